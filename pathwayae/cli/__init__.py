"""The main jobs from a shell, with files in and files out; one file per command."""

from __future__ import annotations

from typing import Annotated

import typer

from pathwayae.cli._datasets import datasets
from pathwayae.cli._demo import demo
from pathwayae.cli._enrich import enrich
from pathwayae.cli._fit import fit
from pathwayae.cli._genesets import genesets
from pathwayae.cli._options import EXIT_CODES
from pathwayae.cli._rank import rank
from pathwayae.cli._refine import refine
from pathwayae.cli._relevance import relevance
from pathwayae.cli._report import report
from pathwayae.cli._stability import stability
from pathwayae.cli._transform import transform

# torch, scanpy and matplotlib take seconds to import, so the commands import them, and --help does not.

app = typer.Typer(
    no_args_is_help=True,
    epilog=EXIT_CODES,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def main() -> None:
    """Entry point of the ``pathwayae`` command."""
    app(prog_name="pathwayae")


def _version(*, asked: bool) -> None:
    if asked:
        from pathwayae import __version__

        typer.echo(f"pathwayae {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", is_eager=True, callback=lambda value: _version(asked=value)
        ),
    ] = False,
) -> None:
    """Pathway scores for single-cell data.

    \b
    Examples:
      pathwayae demo
      pathwayae fit cells.h5ad --pathways hallmark.gmt --out fitted.h5ad
      pathwayae transform new.h5ad --reference fitted.h5ad --out scored.h5ad
    """  # noqa: D301 \b keeps the lines apart


COMMANDS = (demo, fit, transform, stability, relevance, refine, rank, enrich, report, genesets, datasets)
for _command in COMMANDS:
    app.command(epilog=EXIT_CODES)(_command)
