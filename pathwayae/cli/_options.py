"""Options that several commands take, and the exit codes they share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

EXIT_CODES = (
    "Exit codes: 0 done; 1 unexpected error, with a traceback to report; 2 wrong usage; 3 cells, gene sets or options "
    "that do not fit together; 4 a file, the disk, memory or a package; 5 a warning under --strict; 130 interrupted; "
    "143 terminated. Nothing is written under the output's name unless the run was whole."
)


def number_or_auto(value: str | float) -> float | str:
    """``"auto"`` or a number, of an option that takes both; a ValueError is wrong usage."""
    return value if value == "auto" else float(value)


def whole_or_auto(value: str | int) -> int | str:
    """``"auto"`` or a whole number."""
    return "auto" if value == "auto" else int(value)


Cells = Annotated[Path, typer.Argument(help="Cells × genes, log-normalised, .h5ad or .zarr.", metavar="CELLS")]
Fitted = Annotated[Path, typer.Argument(help="Fitted cells, .h5ad or .zarr.", metavar="FITTED")]
Out = Annotated[Path, typer.Option("--out", "-o", help="The .h5ad or .zarr to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace outputs that are there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings of the data are errors; nothing is written.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print a summary as JSON on standard output, and only that.")]
Tables = Annotated[Path | None, typer.Option(help="Folder to write the results to as tables.", show_default=False)]
TableFormat = Annotated[Literal["csv", "tsv", "parquet"], typer.Option(help="Kind of the tables.")]
Key = Annotated[str, typer.Option(help="Prefix of the slots of the fit.")]
KeyAdded = Annotated[str, typer.Option(help="Prefix of the slots written.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the values.", show_default="X")]
GeneSymbols = Annotated[
    str | None, typer.Option(help="Column of var with the gene names the pathways use.", show_default="var_names")
]
SampleKey = Annotated[str | None, typer.Option(help="Column of obs with the donor or sample of each cell.")]
Seed = Annotated[int, typer.Option("--random-state", "--seed", help="Seed of everything that is drawn.")]
