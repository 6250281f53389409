"""Public gene sets and cells: what there is, and where it lies once fetched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pathwayae.cli import _summary
from pathwayae.cli._options import AsJson, Quiet
from pathwayae.cli._run import running

COLUMNS = ["name", "kind", "organism", "n", "licence", "where"]


def datasets(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="What to fetch; all are listed without it.")] = None,
    kind: Annotated[
        str | None, typer.Option(help="List gene sets, ontology, annotation or cells alone.", show_default="all")
    ] = None,
    update: Annotated[bool, typer.Option("--update", help="Download once more what cannot be verified.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """List public gene sets and cells, or fetch one and print its path.

    \b
    Examples:
      pathwayae datasets --kind "gene sets"
      pathwayae fit cells.h5ad --pathways "$(pathwayae datasets immune_pbmc)" --out fitted.h5ad
    """  # noqa: D301
    with running(context) as run:
        import pathwayae as pae

        if name is None:
            table = pae.datasets.list(kind).rename_axis("name").reset_index()
            rows = len(table)
            run.found(lambda: _summary.show_frame(table[COLUMNS], rows=rows), datasets=table.to_dict("records"))
        else:
            fetched = pae.datasets.fetch(name, progress=run.bars, update=update)
            paths = list(fetched.values()) if isinstance(fetched, dict) else [Path(fetched)]
            run.found(lambda: typer.echo("\n".join(str(path) for path in paths)), paths=paths)
        run.finish()
