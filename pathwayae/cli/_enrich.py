"""What components point to, from file to file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from pathwayae.cli import _files, _summary
from pathwayae.cli._fitted import changing
from pathwayae.cli._options import AsJson, Fitted, Key, Out, Overwrite, Quiet, Seed, Strict, TableFormat, Tables

SHOWN = ["component", "term", "direction", "score", "padj", "n_overlap", "n_genes"]


def enrich(
    context: typer.Context,
    fitted: Fitted,
    gene_sets: Annotated[Path, typer.Option("--gene-sets", "-g", help="GMT file.", show_default=False)],
    out: Out,
    method: Annotated[
        Literal["prerank", "ora"], typer.Option(help="Of the ranking of all genes, or of the top genes.")
    ] = "prerank",
    sign: Annotated[
        Literal["both", "up", "down"], typer.Option(help="Genes that go up with the component, or down.")
    ] = "both",
    components: Annotated[
        list[str] | None, typer.Option("--component", help="Component to test; repeat it.", show_default="all")
    ] = None,
    n_genes: Annotated[int, typer.Option(help="Number of top genes, of method ora.")] = 100,
    min_genes: Annotated[int, typer.Option(help="Leave out sets with fewer genes in the model.")] = 5,
    max_genes: Annotated[
        int | None, typer.Option(help="Leave out sets with more genes in the model.", show_default="no limit")
    ] = None,
    n_permutations: Annotated[int, typer.Option(help="Number of random sets, of method prerank.")] = 1000,
    random_state: Seed = 0,
    n_jobs: Annotated[int, typer.Option(help="Number of threads, of method prerank.")] = 1,
    key: Key = "pae",
    tables: Tables = None,
    table_format: TableFormat = "csv",
    as_json: AsJson = False,
    strict: Strict = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Test which gene sets the loadings of each component point to.

    Tables: enrichment.

    \b
    Example:
      pathwayae enrich fitted.h5ad --gene-sets go.gmt --component free_1 --out enriched.h5ad --tables enrichment
    """  # noqa: D301
    with changing(context, ("enrichment",)) as (run, adata):
        import pathwayae as pae

        pae.tl.enrich(
            adata,
            pae.gs.read_gmt(_files.existing(gene_sets)),
            method=method,
            sign=sign,
            components=components or None,
            n_genes=n_genes,
            min_genes=min_genes,
            max_genes=max_genes,
            n_permutations=n_permutations,
            random_state=random_state,
            n_jobs=n_jobs,
            progress=run.bars,
            key=key,
        )
        table = pae.get.enrichment(adata, key=key).sort_values("padj", kind="stable")
        found = table[table["padj"] <= 0.05]
        run.found(lambda: _summary.show_frame(found[SHOWN]), n_tests=len(table), n_found=len(found))
