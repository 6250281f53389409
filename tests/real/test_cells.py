"""What the defaults promise on real cells: names, interferon, embedding."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

import pathwayae as pae

pytestmark = pytest.mark.real
IFN = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
TYPES = {
    "panglao_B_cells": ["B"],
    "panglao_NK_cells": ["NK"],
    "panglao_Monocytes": ["CD14+ Mono", "FCGR3A+ Mono"],
    "panglao_Dendritic_cells": ["DC"],
    "panglao_T_cells": ["Naive CD4 T", "Memory CD4 T", "CD8 T"],
}


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    n = positive.sum()
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))


def neighbours(embedding: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy of 15 nearest neighbours, the mean of four splits into five folds."""
    accuracies = []
    for seed in range(4):
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        found = cross_val_predict(KNeighborsClassifier(15), embedding, labels, cv=folds)
        accuracies.append(balanced_accuracy_score(labels, found))
    return float(np.mean(accuracies))


def load(path: Path, sets: pae.gs.GeneSetCollection) -> ad.AnnData:
    """Log-normalised cells; 2 000 highly variable genes and the genes of the sets, seen in 10 cells or more."""
    adata = sc.read_h5ad(path)
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    return adata[:, adata.var["highly_variable"] | adata.var_names.isin(sets.genes)].copy()


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    adata = load(real_data / "cells" / "kang_ifnb_2000cells.h5ad", sets)
    pae.tl.fit(adata, sets, progress=False)
    return adata


@pytest.fixture(scope="module")
def pbmc(real_data: Path) -> ad.AnnData:
    sets = pae.gs.read_gmt(real_data / "genesets" / "PanglaoDB_markers_27_Mar_2020.gmt")
    adata = load(real_data / "cells" / "pbmc3k_raw.h5ad", sets)
    adata = adata[adata.obs["cell_type"].notna()].copy()
    pae.tl.fit(adata, sets, min_genes=10, progress=False)
    adata.uns["sets"] = {name: list(genes) for name, genes in sets.items()}
    return adata


def by_type(adata: ad.AnnData) -> list[np.ndarray]:
    """Cells of each type with at least five of both conditions."""
    stimulated = (adata.obs["condition"] == "stim").to_numpy()
    groups = adata.obs.groupby("cell_type", observed=True).indices.values()
    return [cells for cells in groups if 4 < stimulated[cells].sum() < len(cells) - 4]


def test_interferon_alpha_tells_stimulated_cells_within_every_type(kang: ad.AnnData) -> None:
    stimulated = (kang.obs["condition"] == "stim").to_numpy()
    score = pae.get.scores(kang)[IFN].to_numpy()
    assert min(auroc(score[cells], stimulated[cells]) for cells in by_type(kang)) >= 0.97


def test_interferon_alpha_differs_most_between_conditions(kang: ad.AnnData) -> None:
    stimulated = (kang.obs["condition"] == "stim").to_numpy()
    scores = pae.get.scores(kang)
    shift = pd.Series(
        {
            name: np.mean([z[cells][stimulated[cells]].mean() - z[cells][~stimulated[cells]].mean()
                           for cells in by_type(kang)]) / z.std()
            for name, z in zip(scores, scores.to_numpy().T, strict=True)
        }
    )  # fmt: skip
    assert shift.abs().idxmax() == IFN
    assert shift[IFN] > 0


def test_scores_mean_their_names(pbmc: ad.AnnData) -> None:
    """Better than the means of the genes over all names, and no single name is lost (32 cells are dendritic)."""
    scores, means = {}, {}
    for name, kinds in TYPES.items():
        positive = pbmc.obs["cell_type"].isin(kinds).to_numpy()
        genes = [gene for gene in pbmc.uns["sets"][name] if gene in pbmc.var_names]
        means[name] = auroc(np.asarray(pbmc[:, genes].X.mean(axis=1)).ravel(), positive)
        scores[name] = auroc(pae.get.scores(pbmc)[name].to_numpy(), positive)
    assert np.mean(list(scores.values())) >= np.mean(list(means.values()))
    assert all(scores[name] >= means[name] - 0.03 for name in TYPES)


def test_a_score_speaks_for_its_whole_pathway(pbmc: ad.AnnData, kang: ad.AnnData) -> None:
    for adata in (pbmc, kang):
        table = pae.get.pathways(adata)
        assert (table["top_gene_share"] <= 0.5 + 1e-6).all()
        assert (table["n_effective"] >= 0.3 * table["n_matched"]).mean() > 0.9
        assert (table["agreement"] >= 0.5).all()
        assert (table["outside"] == 0).all()


def test_a_pathway_means_the_same_in_any_collection(pbmc: ad.AnnData) -> None:
    names = list(TYPES)
    few = pae.tl.fit(
        pbmc, {name: pbmc.uns["sets"][name] for name in names}, min_genes=10, n_extra=0, progress=False, copy=True
    )
    one, other = pae.get.scores(few)[names], pae.get.scores(pbmc)[names]
    for name in names:
        assert np.corrcoef(one[name], other[name])[0, 1] > 1 - 1e-6


def test_scores_embed_cell_types_as_well_as_50_principal_components(pbmc: ad.AnnData, kang: ad.AnnData) -> None:
    deposited = (kang.obs["cell_type_source"] == "deposited").to_numpy()
    for adata, cells in ((pbmc, np.ones(pbmc.n_obs, dtype=bool)), (kang, deposited)):
        labels = adata.obs["cell_type"].astype(str).to_numpy()[cells]
        variable = adata.var["highly_variable"].to_numpy()
        scores = neighbours(adata.obsm["X_pae"][cells], labels)
        for genes in (np.ones(adata.n_vars, dtype=bool), variable):
            components = PCA(50, random_state=0).fit_transform(adata[:, genes].X.toarray())[cells]
            assert scores >= neighbours(components, labels)
