"""New cells scored by a fit, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pathwayae.cli import _files
from pathwayae.cli._options import GeneSymbols, Out, Overwrite, Quiet
from pathwayae.cli._run import bars, reported


def transform(
    cells: Annotated[Path, typer.Argument(help="New cells, log-normalised like the fitted ones, .h5ad.")],
    reference: Annotated[
        Path, typer.Option("--reference", "-r", help="Fitted cells, .h5ad or .zarr.", show_default=False)
    ],
    out: Out,
    layer: Annotated[str | None, typer.Option(help="Layer with the values.", show_default="as in the fit")] = None,
    gene_symbols: GeneSymbols = None,
    key: Annotated[str, typer.Option(help="Prefix of the slots of the fit.")] = "pae",
    key_added: Annotated[str | None, typer.Option(help="Prefix of the slots written.", show_default="as --key")] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score new cells with a fit; genes are matched by name.

    \b
    Example:
      pathwayae transform new.h5ad --reference fitted.h5ad --out scored.h5ad
    """  # noqa: D301
    with reported():
        _files.check_output(out, overwrite=overwrite)
        import pathwayae as pae

        adata = _files.read(cells)
        fitted = reference if reference.suffix == ".zarr" else _files.read(reference)
        progress = bars() and not quiet
        pae.tl.transform(
            adata, fitted, layer=layer, gene_symbols=gene_symbols, key=key, key_added=key_added, progress=progress
        )
        _files.write(adata, out)
        if not quiet:
            n_scores = adata.obsm[f"X_{key_added or key}"].shape[1]
            typer.echo(f"Scored {adata.n_obs:,} cells on {n_scores} components.\nWritten: {out}")
