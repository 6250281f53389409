"""Kang PBMC: interferon comes first by donor in every cell type, shuffled cells give nothing, identity is not added."""

import warnings

import numpy as np
import pandas as pd
import pytest
from real_cells import variable_genes

import pathwayae as pae

pytestmark = pytest.mark.real
INTERFERON = {"HALLMARK_INTERFERON_ALPHA_RESPONSE", "HALLMARK_INTERFERON_GAMMA_RESPONSE"}
ASKED = {"groupby": "condition", "reference": "ctrl", "sample_key": "donor", "within": "cell_type"}


@pytest.fixture(scope="module")
def cells(real_data):
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 3000)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    pae.tl.fit(adata, sets, min_genes=10, progress=False)
    return adata


def ranked(adata) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pae.DataWarning)  # megakaryocytes of too few donors
        pae.tl.rank_pathways(adata, **ASKED)
    return pae.get.rank_pathways(adata)


def test_interferon_comes_first_in_every_cell_type(cells):
    table = ranked(cells)
    named = table[~table["pathway"].str.startswith("free_")]
    assert table["within"].nunique() == 7
    for _, own in named.groupby("within"):
        assert set(own["pathway"].head(2)) == INTERFERON
        first = own.head(2)
        assert (first["padj"] < 0.01).all()
        assert (first["n_agree"] == first["n_pairs"]).all()
        assert set(first["gene"]) <= {"ISG15", "ISG20", "IFIT1", "IFIT3", "CXCL10", "IFI6"}


def test_shuffled_within_donors_there_is_nothing(cells):
    bare = cells.copy()
    bare.X = None
    called = []
    for seed in range(10):
        rng = np.random.default_rng(seed)
        condition = cells.obs["condition"].astype(str).to_numpy().copy()
        for rows in cells.obs.groupby(["donor", "cell_type"], observed=True).indices.values():
            condition[rows] = rng.permutation(condition[rows])
        bare.obs["condition"] = condition
        called.append((ranked(bare)["padj"] <= 0.05).any())
    assert sum(called) <= 1


def test_genes_of_monocytes_are_not_added_to_what_monocytes_do(cells):
    adata = cells.copy()
    pae.tl.refine(adata, progress=False)
    added = pae.get.refinement(adata, calls="added").astype({"pathway": str, "gene": str})
    identity = {"LYZ", "S100A8", "S100A9", "CST3", "TYROBP", "FCER1G", "FTL", "CD63", "LGALS1", "FCN1", "MAFB"}
    assert not identity & set(added["gene"])  # all of them, to TNFα signalling, without the bounds on additions
    assert {"IFI6", "IFIT1"} <= set(added.loc[added["pathway"] == "HALLMARK_INTERFERON_ALPHA_RESPONSE", "gene"])
    assert len(added) < 10
