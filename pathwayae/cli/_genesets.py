"""Gene sets by themselves: what they hold, how they fit the cells, and smaller ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pathwayae.cli import _files
from pathwayae.cli._options import AsJson, GeneSymbols, Overwrite, Quiet, Strict
from pathwayae.cli._run import running

if TYPE_CHECKING:
    from pathwayae.gs import GeneSetCollection


def genesets(
    context: typer.Context,
    sets: Annotated[Path, typer.Argument(help="GMT file.", metavar="SETS")],
    cells: Annotated[
        Path | None, typer.Option(help="Cells, .h5ad or .zarr: sizes are those among their genes.", show_default=False)
    ] = None,
    gene_symbols: GeneSymbols = None,
    select: Annotated[
        str | None, typer.Option(help="Keep sets in whose name this regular expression is found.", show_default=False)
    ] = None,
    min_genes: Annotated[int, typer.Option(help="Leave out sets with fewer genes.")] = 1,
    max_genes: Annotated[
        int | None, typer.Option(help="Leave out sets with more genes.", show_default="no limit")
    ] = None,
    merge_similar: Annotated[
        float | None, typer.Option(help="Unite sets from this Jaccard index on, 0 to 1.", show_default="never")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="GMT file to write the sets left to.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Check gene sets before a fit: how many, how large, and how many of their genes the cells have.

    \b
    Examples:
      pathwayae genesets hallmark.gmt --cells cells.h5ad
      pathwayae genesets go.gmt --cells cells.h5ad --min-genes 10 --max-genes 500 --merge-similar 0.8 --out go10.gmt
    """  # noqa: D301
    with running(context) as run:
        if out is not None:
            out = _files.check_out(out, overwrite=overwrite, kinds=(".gmt",))
        import pathwayae as pae

        given = pae.gs.read_gmt(_files.existing(sets))
        names = None if cells is None else _names(cells, gene_symbols)
        chosen = given if select is None else given.select(regex=select)
        chosen = chosen.filter(min_genes=min_genes, max_genes=max_genes, genes=names)
        if merge_similar is not None:
            chosen = chosen.merge_similar(jaccard=merge_similar)
        if out is not None:
            chosen.to_gmt(out)
        figures = _figures(given, chosen, names)
        run.found(lambda: _show(figures), **figures)
        run.finish(*([] if out is None else [out]))


def _names(cells: Path, gene_symbols: str | None) -> list[str]:
    """Names of the genes of the cells; raises where no gene could match."""
    from pathwayae import _checks

    with _files.opened(cells) as source:
        names: list[str] = _checks.gene_names(source.adata, gene_symbols, what=str(cells)).tolist()
        return names


def _figures(given: GeneSetCollection, chosen: GeneSetCollection, names: list[str] | None) -> dict[str, Any]:
    from statistics import median

    from pathwayae.core.genesets.membership import mismatch_message

    sizes = [len(genes) for genes in chosen.values()]
    figures: dict[str, Any] = {
        "n_given": len(given),
        "n_sets": len(chosen),
        "n_genes": len(chosen.genes),
        "genes_per_set": {"min": min(sizes), "median": median(sizes), "max": max(sizes)} if sizes else {},
        "identifiers": given.identifiers(),
    }
    if names is not None:
        shared = len(set(given.genes) & set(names))
        if not shared:
            raise ValueError(mismatch_message(given.genes, names))
        figures |= {"n_genes_of_cells": len(names), "share_of_genes_found": shared / len(given.genes)}
    return figures


def _show(figures: dict[str, Any]) -> None:
    typer.echo(f"{figures['n_sets']:,} of {figures['n_given']:,} sets with {figures['n_genes']:,} genes.")
    if size := figures["genes_per_set"]:
        typer.echo(f"Genes per set: {size['min']} to {size['max']}, median {size['median']:g}.")
    typer.echo(f"Identifiers: {figures['identifiers']}.")
    if "share_of_genes_found" in figures:
        typer.echo(
            f"{figures['share_of_genes_found']:.0%} of the genes of the sets are among the "
            f"{figures['n_genes_of_cells']:,} genes of the cells."
        )
