"""What latents say about real cells: interferon in monocytes, cell types, donors."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import pytest
import scanpy as sc
from real_cells import variable_genes

import pathwayae as pae

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    """Stimulated and control PBMC, latents of 30 principal components."""
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 2000)
    sc.pp.pca(adata, n_comps=30, random_state=0)
    pae.tl.sparse_ae(adata, obsm="X_pca", progress=False)
    return adata


def test_latents_of_monocytes_tell_stimulated_from_control(kang, real_data):
    """The latent that fires in stimulated monocytes moves interferon genes, found from PCs through their loadings."""
    monocytes = kang[kang.obs["cell_type"] == "CD14+ Monocytes"].copy()
    pae.tl.latent_selectivity(monocytes, "condition")
    table = pae.get.latent_selectivity(monocytes, best=True)
    stimulated = table[table["label"] == "stim"].iloc[0]
    assert stimulated["auroc"] > 0.9
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    pae.tl.enrich(kang, sets, key="sparse_ae", method="ora", n_genes=30)
    found = pae.get.enrichment(kang, key="sparse_ae", components=stimulated["latent"], max_padj=0.01)
    assert {"HALLMARK_INTERFERON_ALPHA_RESPONSE", "HALLMARK_INTERFERON_GAMMA_RESPONSE"} <= set(found["term"][:4])
    pae.tl.latent_genes(kang, stimulated["latent"], n_genes=20)
    top = pae.get.latent_genes(kang)
    up = set(top.loc[top["effect"] > 0, "gene"])
    assert len(up & {"CXCL10", "ISG15", "ISG20", "IFIT3", "CCL8", "IFITM3", "APOBEC3A", "RSAD2", "IFI6"}) >= 3


def test_every_large_cell_type_has_a_latent_of_its_own(kang):
    pae.tl.latent_selectivity(kang, "cell_type")
    table = pae.get.latent_selectivity(kang)
    sizes = kang.obs["cell_type"].value_counts()
    best = table[table["padj"] < 1e-6].groupby("label")["auroc"].max()
    for name in ("B cells", "CD14+ Monocytes", "FCGR3A+ Monocytes", "NK cells", "Dendritic cells"):
        assert sizes[name] > 30
        assert best[name] > 0.8, name


def test_few_latents_of_a_cell_hold_most_of_it(kang):
    pae.tl.latent_sparsity(kang, groupby="cell_type")
    pae.tl.latent_ablation(kang)
    whole = pae.get.latent_ablation(kang)["explained_variance"].iloc[-1]
    assert whole > 0.75
    fewest = pae.get.latent_ablation(kang, fewest=True)
    assert fewest["kept"].iloc[0] < pae.get.latent_sparsity(kang, of="groups")["l0"].iloc[0]


def test_latents_of_a_donor_are_few_within_cell_types(kang):
    pae.tl.latent_batches(kang, "donor", groupby="cell_type")
    assert pae.get.latent_batches(kang)["flag"].mean() < 0.2
