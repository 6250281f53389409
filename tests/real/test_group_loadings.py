"""Which genes carry interferon in which blood cells: Kang et al. 2018, 8 patients, with and without IFN-β."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import pathwayae as pae

pytestmark = pytest.mark.real

IFN = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
MONOCYTES, LYMPHOCYTES = "CD14+ Monocytes", ["B cells", "CD4 T cells", "CD8 T cells", "NK cells"]
MYELOID = ["CXCL10", "CXCL11", "CCL8", "APOBEC3A", "IL1RN", "IDO1", "CCL2"]  # induced in monocytes alone
EVERYWHERE = ["ISG15", "IFIT3", "IFIT1", "MX1", "ISG20", "LY6E"]


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    """3 000 variable genes and those of the Hallmark sets; cell types of ten cells or more."""
    adata = sc.read_h5ad(real_data / "cells" / "kang_ifnb_2000cells.h5ad")
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=3000)
    named = {gene for genes in sets.values() for gene in genes}
    adata = adata[:, adata.var["highly_variable"] | adata.var_names.isin(named)]
    adata = adata[adata.obs["cell_type"] != "Megakaryocytes"].copy()
    pae.tl.fit(adata, sets, progress=False)
    return adata


def test_interferon_is_carried_by_other_genes_in_monocytes(kang: ad.AnnData) -> None:
    pae.tl.group_loadings(kang, "cell_type", sample_key="donor", progress=False)
    table = pae.get.group_loadings(kang, IFN)
    wide = table.pivot_table(index="gene", columns="group", values="loading")
    assert (wide.loc[MYELOID, MONOCYTES] > 0.25).all()
    assert (wide.loc[MYELOID, LYMPHOCYTES].max(axis=1) < 0.75 * wide.loc[MYELOID, MONOCYTES]).all()
    assert (wide.loc[EVERYWHERE, [MONOCYTES, *LYMPHOCYTES]] > 0.25).all(axis=None)
    monocytes = table[table["group"] == MONOCYTES].set_index("gene")
    assert (monocytes.loc[["CCL8", "APOBEC3A", "IL1RN", "IDO1", "CXCL11", "CXCL10"], "padj"] < 0.05).all()
    assert set(monocytes.index[:6]) == {"CCL8", "APOBEC3A", "IL1RN", "IDO1", "CXCL11", "CXCL10"}
    assert monocytes.loc["ISG15", "padj"] > 0.05


def test_no_gene_differs_where_cell_types_are_shuffled_within_patients(kang: ad.AnnData) -> None:
    rng = np.random.default_rng(1)
    adata, found, below = kang.copy(), [], []
    for _ in range(10):
        labels = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
        for donor in adata.obs["donor"].unique():
            own = (adata.obs["donor"] == donor).to_numpy()
            labels[own] = rng.permutation(labels[own])
        adata.obs["shuffled"] = labels
        pae.tl.group_loadings(adata, "shuffled", sample_key="donor", progress=False)
        table = pae.get.group_loadings(adata)
        found.append((table["padj"] < 0.05).sum())
        below.append((table["pval"].dropna() < 0.05).mean())
    assert np.mean(np.array(found) == 0) >= 0.9
    assert 0.02 < np.mean(below) < 0.06
