"""Which genes belong to the pathways, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pathwayae.cli import _files, _summary
from pathwayae.cli._fitted import changing
from pathwayae.cli._options import (
    AsJson,
    Fitted,
    Key,
    Out,
    Overwrite,
    Quiet,
    SampleKey,
    Seed,
    Strict,
    TableFormat,
    Tables,
)


def refine(
    context: typer.Context,
    fitted: Fitted,
    out: Out,
    gmt: Annotated[Path | None, typer.Option(help="GMT file to write the refined sets to.", show_default=False)] = None,
    sample_key: SampleKey = None,
    batch_key: Annotated[
        str | None, typer.Option(help="Column of obs with batches.", show_default="as in the fit")
    ] = None,
    fdr: Annotated[float, typer.Option(help="Share of wrong ones to expect among the calls, 0 to 1.")] = 0.05,
    random_state: Seed = 0,
    key: Key = "pae",
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Weigh every gene of every pathway by the cells: confirmed, added or dropped.

    Tables: refinement.

    \b
    Example:
      pathwayae refine fitted.h5ad --sample-key donor --out refined.h5ad --gmt refined.gmt
    """  # noqa: D301
    with changing(context, ("refinement",)) as (run, adata):
        if gmt is not None:
            gmt = _files.check_out(gmt, overwrite=overwrite, kinds=(".gmt",), option="--gmt")
        import pathwayae as pae

        pae.tl.refine(
            adata,
            sample_key=sample_key,
            batch_key=batch_key,
            fdr=fdr,
            random_state=random_state,
            progress=run.bars,
            key=key,
        )
        if gmt is not None:
            pae.get.refined(adata, key=key).to_gmt(gmt)
            run.also(gmt)
        calls = pae.get.refinement(adata, key=key)["call"]
        run.found(lambda: _summary.show_counts(calls), calls=calls.value_counts().to_dict())
