"""The demo: built-in cells and gene sets, tables and pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from pathwayae.cli import _room, _summary
from pathwayae.cli._run import running
from pathwayae.cli._tables import save
from pathwayae.core.files import check_outside, whole_or_nothing

if TYPE_CHECKING:
    from anndata import AnnData

    from pathwayae.gs import GeneSetCollection

LABELS = "bulk_labels"  # cell types of the demo's cells
HIDDEN = ("B_CELLS", "B_CELL_RECEPTOR_SIGNALLING", "PLASMA_CELLS")  # left out of the demo's blind fit
SHOWN: tuple[str, ...] = ("B_CELLS", "NK_CELLS", "CLASSICAL_MONOCYTES", "MHC_CLASS_II_PRESENTATION")
SHOWN += ("T_CELL_RECEPTOR_SIGNALLING", "CD34_PROGENITORS")


def demo(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write to.")] = Path("pathwayae_demo"),
) -> None:
    """Fit built-in gene sets to built-in blood cells.

    29 immune gene sets and 700 cells; no network is needed. Writes the fitted cells (pbmc_pae.h5ad), three tables and
    six pictures; files of these names are replaced.

    \b
    Example:
      pathwayae demo --out my_demo
    """  # noqa: D301
    with running(context):
        out = out.expanduser()
        check_outside(out / "table")
        out.mkdir(parents=True, exist_ok=True)
        typer.echo("Loading scanpy and torch …")
        import matplotlib as mpl
        import scanpy as sc

        import pathwayae as pae

        mpl.use("Agg")
        sets = pae.gs.read_gmt(cast("Path", pae.datasets.fetch("immune_pbmc")))  # of one file
        adata = _pbmc()
        typer.echo(f"Fitting {len(sets)} gene sets to {adata.n_obs} cells × {adata.n_vars} genes …")
        pae.tl.fit(adata, sets)
        _summary.show(adata)
        typer.echo("\nDo these cells use the gene sets? …")
        pae.tl.relevance(adata)
        names = pae.get.pathways(adata)["pathway"].tolist()  # free components name no genes, which could be tested
        counts = pae.get.trust(adata, names)["verdict"].value_counts()
        typer.echo(f"  Of {len(names)} gene sets " + ", ".join(f"{n} are {verdict}" for verdict, n in counts.items()))
        typer.echo("\nNeighbours and UMAP on the scores …")
        sc.pp.neighbors(adata, use_rep="X_pae")
        sc.tl.umap(adata)
        blind = _free_components(adata, sets)
        written = [out / "pbmc_pae.h5ad"]
        with whole_or_nothing(written[0]) as part:
            _room.check(part, _room.of_cells(adata))
            adata.write_h5ad(part)
        written += _tables(adata, out) + _pictures(adata, blind, out)
        typer.echo(f"\nWritten to {out.resolve()}:")
        for path in written:
            typer.echo(f"  {path.name}")


def _pbmc() -> AnnData:
    """700 blood cells × 765 genes, log-normalised, with cell types and the published UMAP."""
    import anndata as ad
    import scanpy as sc

    source = sc.datasets.pbmc68k_reduced()  # X is scaled, raw is log-normalised
    adata = ad.AnnData(source.raw.X.copy(), obs=source.obs.copy(), var=source.raw.var.copy())
    adata.obsm["X_umap_published"] = source.obsm["X_umap"].copy()
    return adata


def _free_components(adata: AnnData, sets: GeneSetCollection) -> AnnData:
    """Test the free components, here and in a copy fitted without the B-cell sets, and say what was found."""
    import pathwayae as pae

    def best(fitted: AnnData) -> list[str]:
        free = pae.get.variance(fitted).query("kind == 'free'")["component"].tolist()
        pae.tl.enrich(fitted, sets, method="ora", components=free, n_genes=50)
        table = pae.get.enrichment(fitted, max_padj=0.05).drop_duplicates("component")
        return [f"  {row.component} → {row.term}, {row.n_overlap} of {row.n_genes} genes" for row in table.itertuples()]

    typer.echo("\nSets that the free components point to (over-representation, padj ≤ 0.05):")
    typer.echo("\n".join(best(adata) or ["  none: they hold what the sets do not name"]))
    typer.echo(f"The same for a fit without {', '.join(HIDDEN)}:")
    blind = adata.copy()
    pae.tl.fit(blind, {name: genes for name, genes in sets.items() if name not in HIDDEN}, progress=False)
    typer.echo("\n".join(best(blind) or ["  none"]))
    return blind


def _tables(adata: AnnData, folder: Path) -> list[Path]:
    """Save variance and matched genes per component, top genes, and how far to trust them; the paths written."""
    import pathwayae as pae

    tables = {"components": pae.get.variance(adata), "top_genes": pae.get.top_genes(adata, n_genes=20)}
    tables["trust"] = pae.get.trust(adata)
    paths = [folder / f"{name}.csv" for name in tables]
    for path, table in zip(paths, tables.values(), strict=True):
        with whole_or_nothing(path) as part:
            save(table, part)
    return paths


def _pictures(adata: AnnData, blind: AnnData, folder: Path) -> list[Path]:
    """Draw and save; the paths written."""
    import matplotlib.pyplot as plt
    import numpy as np

    import pathwayae as pae

    pictures: dict[str, Callable[[], Any]] = {
        "scores_by_cell_type": lambda: pae.pl.scores(adata, LABELS, show=False),
        "umap_pathways": lambda: pae.pl.embedding(adata, SHOWN, show=False),
        "loadings": lambda: pae.pl.loadings(adata, show=False),
        "variance": lambda: pae.pl.variance(adata, show=False),
        "relevance": lambda: pae.pl.relevance(adata, show=False),
        "enrichment_without_b_cell_sets": lambda: pae.pl.enrichment(blind, show=False),
    }
    paths = []
    for name, draw in pictures.items():
        figure = np.ravel(np.asarray(draw(), dtype=object))[0].figure
        paths.append(folder / f"{name}.png")
        with whole_or_nothing(paths[-1]) as part:
            figure.savefig(part, dpi=150)
        plt.close(figure)
    return paths
