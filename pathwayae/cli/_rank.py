"""Which pathways differ between groups, from file to file."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from pathwayae.cli import _summary
from pathwayae.cli._fitted import changing
from pathwayae.cli._options import AsJson, Fitted, Key, Out, Overwrite, Quiet, SampleKey, Strict, TableFormat, Tables

SHOWN = ["pathway", "group", "within", "effect", "effect_low", "effect_high", "padj", "n_samples", "n_agree", "gene"]
LEVEL = 0.05  # of padj, of what is printed


def rank(
    context: typer.Context,
    fitted: Fitted,
    groupby: Annotated[
        str, typer.Option("--groupby", "-b", help="Column of obs with the groups to compare.", show_default=False)
    ],
    out: Out,
    groups: Annotated[
        list[str] | None, typer.Option("--group", "--groups", help="Group to test; repeat it.", show_default="all")
    ] = None,
    reference: Annotated[str, typer.Option(help="Group to compare with, or rest: all other cells.")] = "rest",
    sample_key: SampleKey = None,
    within: Annotated[
        str | None, typer.Option(help="Column of obs, such as the cell type, to compare in each level of.")
    ] = None,
    covariates: Annotated[
        list[str] | None,
        typer.Option("--covariate", "--covariates", help="Column of obs that describes samples; repeat it."),
    ] = None,
    method: Annotated[
        Literal["auto", "moderated", "mixed", "wilcoxon", "t-test"],
        typer.Option(help="auto: moderated with --sample-key, else wilcoxon over cells."),
    ] = "auto",
    key: Key = "pae",
    key_added: Annotated[
        str | None, typer.Option(help="Name of the result in uns of the fit.", show_default="rank_pathways")
    ] = None,
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Test which pathways differ between groups of cells, with donors as replicates.

    Without --sample-key cells count as replicates, which a warning says. Tables: rank_pathways, rank_genes.

    \b
    Example:
      pathwayae rank fitted.h5ad --groupby condition --reference ctrl --sample-key donor --within cell_type \\
        --out ranked.h5ad --tables rank
    """  # noqa: D301
    with changing(context, ("rank_pathways", "rank_genes"), key_added=key_added) as (run, adata):
        import pathwayae as pae

        pae.tl.rank_pathways(
            adata,
            groupby,
            groups=groups or "all",
            reference=reference,
            sample_key=sample_key,
            within=within,
            covariates=tuple(covariates or ()),
            method=method,
            key=key,
            key_added=key_added,
        )
        table = pae.get.rank_pathways(adata, key_added=key_added, key=key)
        found = table[table["padj"] <= LEVEL]
        run.found(lambda: _summary.show_frame(found[SHOWN]), n_tests=len(table), n_found=len(found))
