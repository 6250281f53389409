"""Files that are whole or not there."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

logger = logging.getLogger("pathwayae")


@contextmanager
def whole_or_nothing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A hidden sibling to write to, a file or a folder, which takes the place of ``path`` at the end, or vanishes.

    What a killed run has left is not removed, since the run may go on on another machine; it is logged.

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
    for left in _left(target):
        logger.warning("%s is left of a run that was killed or is going on; remove it if none is.", left)
    try:
        yield part
        _take_place(part, target)
    finally:
        _remove(part)


def _left(target: Path) -> list[Path]:
    """Parts of the same target by other runs."""
    begin, end = f".{target.stem}.", f".tmp{target.suffix}"
    if not target.parent.is_dir():
        return []
    found = [one for one in target.parent.iterdir() if one.name.startswith(begin) and one.name.endswith(end)]
    return sorted(one for one in found if one.name[len(begin) : -len(end)].isdigit())


def _take_place(part: Path, target: Path) -> None:
    """Rename; a folder cannot be renamed onto another, which therefore steps aside first."""
    if not (target.is_dir() and not target.is_symlink() and part.is_dir()):
        part.replace(target)
        return
    aside = part.with_name(f"{part.name}.old")
    target.replace(aside)
    try:
        part.replace(target)
    except OSError:
        aside.replace(target)
        raise
    shutil.rmtree(aside)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part)
    else:
        part.unlink(missing_ok=True)
