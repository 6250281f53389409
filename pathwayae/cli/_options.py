"""Options that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", "-o", help="The .h5ad file to write.", show_default=False)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output if it is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print warnings and errors only.")]
Layer = Annotated[str | None, typer.Option(help="Layer with the values.", show_default="X")]
GeneSymbols = Annotated[
    str | None, typer.Option(help="Column of var with the gene names the pathways use.", show_default="var_names")
]
