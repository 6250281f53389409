"""Sparse codes of real cells: cell types, interferon and gene sets in the latents, with the defaults.

Bounds are what two seeds gave here less a margin; no latent is hand-picked.
"""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from real_cells import variable_genes
from scipy.stats import rankdata

import pathwayae as pae

pytestmark = [pytest.mark.real, pytest.mark.slow]
IFN = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
KEY = {"key": "sparse_ae"}


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    n = positive.sum()
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    """Latents of 50 PCs, tested against the Hallmark sets."""
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 2000)
    sc.pp.pca(adata, n_comps=50, random_state=0)
    pae.tl.sparse_ae(adata, obsm="X_pca", progress=False)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    pae.tl.enrich(adata, sets, method="ora", n_genes=50, **KEY)
    return adata


@pytest.fixture(scope="module")
def pbmc(real_data: Path) -> ad.AnnData:
    """Latents of 2 000 genes; fewer epochs than by default, for time."""
    adata = variable_genes(real_data / "cells" / "pbmc3k_raw.h5ad", 2000)
    adata = adata[adata.obs["cell_type"].notna().to_numpy()].copy()
    pae.tl.sparse_ae(adata, n_latents=256, k=12, n_epochs=25, progress=False)
    return adata


def by_type(adata: ad.AnnData) -> dict[str, np.ndarray]:
    """Cells of each type with at least five of both conditions."""
    stimulated = (adata.obs["condition"] == "stim").to_numpy()
    groups = adata.obs.groupby("cell_type", observed=True).indices
    return {name: cells for name, cells in groups.items() if 4 < stimulated[cells].sum() < len(cells) - 4}


def best_per_type(adata: ad.AnnData) -> dict[str, float]:
    """AUROC of the most selective latent of each cell type."""
    codes = pae.get.scores(adata, key="sparse_ae").to_numpy()
    kinds = adata.obs["cell_type"].astype(str).to_numpy()
    return {kind: max(auroc(column, kinds == kind) for column in codes.T) for kind in np.unique(kinds)}


def interferon(adata: ad.AnnData) -> list[str]:
    """Latents whose top genes hold interferon-α genes more often than chance, and that raise these genes."""
    table = pae.get.enrichment(adata, max_padj=0.01, **KEY)
    found = table.loc[table["term"] == IFN, "component"].tolist()
    genes = ["ISG15", "IFI6", "IFIT3", "MX1", "ISG20"]
    effect = pae.get.loadings(adata, key="sparse_ae").loc[[gene for gene in genes if gene in adata.var_names]].mean()
    return [latent for latent in found if effect[latent] > 0]


def test_a_sparse_code_of_pcs_keeps_most_of_them(kang: ad.AnnData) -> None:
    entry = kang.uns["sparse_ae"]
    assert entry["unexplained"] < 0.25  # of the variance of 50 PCs in cells held out, by 8 of 180 latents
    assert entry["n_dead"] <= 5
    assert np.diff(kang.obsm["X_sparse_ae"].indptr).mean() == pytest.approx(8, abs=1.5)


def test_latents_of_pcs_tell_cell_types(kang: ad.AnnData) -> None:
    best = best_per_type(kang)
    assert np.mean(list(best.values())) > 0.83
    assert min(best["Dendritic cells"], best["FCGR3A+ Monocytes"], best["B cells"], best["CD14+ Monocytes"]) > 0.8
    assert min(best.values()) > 0.65  # CD4 and CD8 T cells: by several latents each


def test_interferon_is_one_latent_in_monocytes_and_several_over_all_types(kang: ad.AnnData) -> None:
    """A sparse code divides what a single PC holds (.98) by cell type; together its latents hold it again."""
    stimulated = (kang.obs["condition"] == "stim").to_numpy()
    codes = pae.get.scores(kang, key="sparse_ae")
    for kind in ("CD14+ Monocytes", "FCGR3A+ Monocytes"):
        cells = by_type(kang)[kind]
        assert max(auroc(column[cells], stimulated[cells]) for column in codes.to_numpy().T) > 0.92
    latents = interferon(kang)
    together = codes[latents].to_numpy().sum(axis=1)
    assert np.mean([auroc(together[cells], stimulated[cells]) for cells in by_type(kang).values()]) > 0.9


def test_the_latent_that_tells_stimulated_cells_best_is_enriched_for_interferon(kang: ad.AnnData) -> None:
    pae.tl.latent_selectivity(kang, "condition")
    table = pae.get.latent_selectivity(kang)
    best = table[table["label"] == "stim"].nlargest(1, "auroc")["latent"].iloc[0]
    found = pae.get.enrichment(kang, components=best, **KEY).sort_values("pval")
    assert found.iloc[0]["term"].startswith("HALLMARK_INTERFERON")
    assert found.iloc[0]["padj"] < 1e-6


def test_shuffled_gene_names_are_enriched_for_hardly_anything(kang: ad.AnnData, real_data: Path) -> None:
    shuffled = kang.copy()
    shuffled.var_names = np.random.default_rng(0).permutation(kang.var_names)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    pae.tl.enrich(shuffled, sets, method="ora", n_genes=50, **KEY)
    found, real = (pae.get.enrichment(adata, max_padj=0.05, **KEY) for adata in (shuffled, kang))
    assert len(found) < 0.01 * len(real)


def test_latents_of_genes_tell_cell_types_and_bear_their_markers(pbmc: ad.AnnData) -> None:
    best = best_per_type(pbmc)
    assert min(best["FCGR3A+ Mono"], best["NK"], best["Platelet"], best["DC"]) > 0.8
    assert best["CD14+ Mono"] > 0.75
    pae.tl.latent_selectivity(pbmc, "cell_type")
    table = pae.get.latent_selectivity(pbmc)
    for kind, markers in {
        "FCGR3A+ Mono": {"FCGR3A", "LST1", "FCER1G", "AIF1"},
        "NK": {"NKG7", "GNLY", "GZMB", "PRF1"},
        "CD14+ Mono": {"S100A8", "S100A9", "LYZ", "CST3"},
    }.items():
        latent = table[table["label"] == kind].nlargest(1, "f1")["latent"].iloc[0]
        top = set(pae.get.loadings(pbmc, latent, key="sparse_ae")[latent].nlargest(10).index)
        assert len(top & markers) >= 3
