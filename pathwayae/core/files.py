"""Files that are whole or not there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_or_nothing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden sibling to write to, a file or a folder, which takes the place of ``path`` at the end, or vanishes.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with whole_or_nothing(Path(folder) / "a.txt") as part:
    ...         _ = part.write_text("all of it")
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['a.txt']
    """
    target = Path(path)
    part = target.with_name(f".{target.stem}.{os.getpid()}.tmp{target.suffix}")
    try:
        yield part
        part.replace(target)
    finally:
        if part.is_dir():
            shutil.rmtree(part)
        else:
            part.unlink(missing_ok=True)
