"""Cells and pathways in files: a fit in a file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from pathwayae.cli import _files, _summary
from pathwayae.cli._options import GeneSymbols, Layer, Out, Overwrite, Quiet
from pathwayae.cli._run import bars, reported


class Scores(StrEnum):
    """Where the weights of a score come from."""

    members = "members"
    projection = "projection"
    least_squares = "least_squares"


def fit(
    cells: Annotated[Path, typer.Argument(help="Cells × genes, log-normalised, .h5ad.", metavar="CELLS")],
    pathways: Annotated[
        str, typer.Option("--pathways", "-p", help="GMT file, or key of a membership in varm.", show_default=False)
    ],
    out: Out,
    layer: Layer = None,
    mask_var: Annotated[
        str | None, typer.Option(help="Boolean column of var with the genes to use.", show_default="all")
    ] = None,
    gene_symbols: GeneSymbols = None,
    min_genes: Annotated[int, typer.Option(help="Leave out pathways with fewer genes in the data.")] = 5,
    max_genes: Annotated[
        int | None, typer.Option(help="Leave out pathways with more genes in the data.", show_default="no limit")
    ] = None,
    n_extra: Annotated[int, typer.Option(help="Number of free components.")] = 20,
    theta: Annotated[float, typer.Option(help="Strength of the pathways in a descent, 0 to 1.")] = 0.3,
    scores: Annotated[Scores, typer.Option(help="Every pathway by its members, or a descent.")] = Scores.members,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    seed: Annotated[int, typer.Option(help="Seed of the start.")] = 0,
    key_added: Annotated[str, typer.Option(help="Prefix of the slots written.")] = "pae",
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score cells by pathways: loadings, scores and free components.

    \b
    Examples:
      pathwayae fit cells.h5ad --pathways hallmark.gmt --out fitted.h5ad
      pathwayae fit cells.h5ad -p sets.gmt -o fitted.h5ad --gene-symbols symbol --mask-var highly_variable
    """  # noqa: D301
    with reported():
        _files.check_output(out, overwrite=overwrite)
        import pathwayae as pae

        adata = _files.read(cells)
        pae.tl.fit(
            adata,
            pathways,
            layer=layer,
            mask_var=mask_var,
            gene_symbols=gene_symbols,
            min_genes=min_genes,
            max_genes=max_genes,
            n_extra=n_extra,
            theta=theta,
            scores=scores.value,
            device=device,
            random_state=seed,
            key_added=key_added,
            progress=bars() and not quiet,
        )
        _files.write(adata, out)
        if not quiet:
            _summary.show(adata, key_added)
            typer.echo(f"\nWritten: {out}")
