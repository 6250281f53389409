"""How far a fit holds in cells drawn again, from file to file."""

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


def stability(
    context: typer.Context,
    fitted: Fitted,
    out: Out,
    sample_key: SampleKey = None,
    n_bootstrap: Annotated[int, typer.Option(help="Number of draws; 0 for none.")] = 200,
    n_restarts: Annotated[int, typer.Option(help="Of a descent: number of other starts.")] = 0,
    random_state: Seed = 0,
    key: Key = "pae",
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Refit donors or cells drawn again: intervals and a verdict per component.

    Tables: stability, trust.

    \b
    Example:
      pathwayae stability fitted.h5ad --sample-key donor --out fitted2.h5ad --tables stability
    """  # noqa: D301
    with changing(context, ("stability", "trust")) as (run, adata):
        import pathwayae as pae

        pae.tl.stability(
            adata,
            n_bootstrap=n_bootstrap,
            n_restarts=n_restarts,
            sample_key=sample_key,
            random_state=random_state,
            progress=run.bars,
            key=key,
        )
        verdicts = pae.get.stability(adata, key=key)["verdict"]
        run.found(lambda: _summary.show_counts(verdicts), verdicts=verdicts.value_counts().to_dict())
