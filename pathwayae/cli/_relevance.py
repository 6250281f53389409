"""Whether the cells use the pathways, from file to file."""

from __future__ import annotations

from typing import Annotated

import typer

from pathwayae.cli import _summary
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


def relevance(
    context: typer.Context,
    fitted: Fitted,
    out: Out,
    sample_key: SampleKey = None,
    n_folds: Annotated[int, typer.Option(help="Number of folds of cells left out.")] = 5,
    n_null: Annotated[int, typer.Option(help="Number of random sets of every pathway.")] = 1000,
    n_bins: Annotated[
        int | None, typer.Option(help="Number of bins of the mean to match in.", show_default="at most 10")
    ] = None,
    random_state: Seed = 0,
    key: Key = "pae",
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Ask of every pathway whether the cells use it: against random sets, and in donors left out.

    Tables: relevance, trust.

    \b
    Example:
      pathwayae relevance fitted.h5ad --sample-key donor --out fitted2.h5ad --tables relevance
    """  # noqa: D301
    with changing(context, ("relevance", "trust")) as (run, adata):
        import pathwayae as pae

        pae.tl.relevance(
            adata,
            sample_key=sample_key,
            n_folds=n_folds,
            n_null=n_null,
            n_bins=n_bins,
            random_state=random_state,
            progress=run.bars,
            key=key,
        )
        verdicts = pae.get.relevance(adata, key=key)["verdict"]
        run.found(lambda: _summary.show_counts(verdicts), verdicts=verdicts.value_counts().to_dict())
