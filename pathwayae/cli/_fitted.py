"""What the commands share that take a fit from a file and add to it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from pathwayae.cli import _files, _tables
from pathwayae.cli._run import Run, running

if TYPE_CHECKING:
    from anndata import AnnData


@contextmanager
def changing(context: typer.Context, names: Sequence[str], **options: Any) -> Iterator[tuple[Run, AnnData]]:
    """The fitted cells, which are written with the tables of these names at the end of the block.

    Options ``fitted``, ``out``, ``tables``, ``table_format``, ``overwrite`` and ``key`` are those of the command;
    ``options`` are those of the tables.
    """
    given = dict(context.params)
    for name in ("fitted", "out", "tables"):  # of which older versions of typer keep the text here
        given[name] = None if given[name] is None else Path(given[name])
    with running(context) as run:
        out = _files.check_out(given["out"], overwrite=given["overwrite"])
        kind = given["table_format"]
        folder = _tables.check(given["tables"], names, kind, overwrite=given["overwrite"])
        with _files.opened(given["fitted"]) as source:
            yield run, source.adata
            _files.write(source, out)
            run.finish(out, *_tables.write(source.adata, folder, names, kind, given["key"], **options))
