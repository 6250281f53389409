"""Batches that hold cell types in unequal shares, on real cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from real_cells import variable_genes

import pathwayae as pae

pytestmark = pytest.mark.real
FIRED = "more than a shift of all their cells"


def load(path: Path) -> ad.AnnData:
    adata = variable_genes(path, 3000)
    return adata[adata.obs["cell_type"].notna()].copy()


def fit(adata: ad.AnnData, sets: Path, **options) -> ad.AnnData:
    return pae.tl.fit(adata, str(sets), progress=False, copy=True, **options)


def split(adata: ad.AnnData, share: float, seed: int = 0) -> ad.AnnData:
    """Two batches, a share of the B cells and half of all others in the first."""
    own = (adata.obs["cell_type"] == "B").to_numpy()
    draw = np.random.default_rng(seed).random(adata.n_obs)
    adata = adata.copy()
    adata.obs["batch"] = np.where(draw < np.where(own, share, 0.5), "one", "two")
    return adata


@pytest.fixture(scope="module")
def pbmc(real_data: Path) -> ad.AnnData:
    return load(real_data / "cells" / "pbmc3k_raw.h5ad")


@pytest.mark.filterwarnings("ignore:The values .* look like no logarithms:pathwayae.DataWarning")  # shifted genes
@pytest.mark.parametrize("effect", [0.0, 0.3])
def test_b_cells_in_unequal_shares_keep_their_score(pbmc: ad.AnnData, real_data: Path, effect: float) -> None:
    sets = real_data / "genesets" / "PanglaoDB_markers_27_Mar_2020.gmt"
    adata = split(pbmc, 0.8)
    shift = np.random.default_rng(1).normal(0.0, effect, (2, adata.n_vars))
    batch = (adata.obs["batch"] == "two").to_numpy().astype(int)
    shifted = adata.copy()
    shifted.X = adata.X.toarray() + shift[batch] if effect else adata.X
    own = (adata.obs["cell_type"] == "B").to_numpy()

    def means(fitted: ad.AnnData) -> np.ndarray:
        scores = pae.get.scores(fitted)["panglao_B_cells"].to_numpy(float)
        return np.array([scores[own & (batch == b)].mean() for b in (0, 1)])

    plain = means(fit(adata, sets))
    with pytest.warns(pae.DataWarning, match=FIRED):
        centred = means(fit(shifted, sets, batch_key="batch"))
    beside = means(fit(shifted, sets, batch_key="batch", covariates="cell_type"))
    assert (centred - plain)[1] - (centred - plain)[0] > 0.5  # B cells of the two batches moved apart
    np.testing.assert_allclose(beside, plain, atol=0.02 if effect == 0 else 0.15)


def test_splits_of_one_composition_are_not_warned_of(pbmc: ad.AnnData, real_data: Path, recwarn) -> None:
    for seed in range(2):
        fit(split(pbmc, 0.5, seed), real_data / "genesets" / "h.all.v7.5.1.symbols.gmt", batch_key="batch")
    assert not [one for one in recwarn if FIRED in str(one.message)]


def test_donors_beside_cell_types_do_not_differ_more_within_a_type(real_data: Path) -> None:
    kang = load(real_data / "cells" / "kang_ifnb_2000cells.h5ad")
    sets = real_data / "genesets" / "h.all.v7.5.1.symbols.gmt"
    rows = (kang.obs["cell_type"] == "CD4 T cells").to_numpy()

    def between(fitted: ad.AnnData) -> float:
        scores = fitted.obsm["X_pae"][rows, :50].astype(float)
        scores -= scores.mean(axis=0)
        means = pd.DataFrame(scores).groupby(kang.obs["donor"].to_numpy()[rows]).transform("mean").to_numpy()
        return float(((means**2).sum(axis=0) / (scores**2).sum(axis=0)).mean())

    plain = between(fit(kang, sets))
    with pytest.warns(pae.DataWarning, match=FIRED):
        centred = between(fit(kang, sets, batch_key="donor"))
    beside = between(fit(kang, sets, batch_key="donor", covariates=["cell_type"]))
    assert centred > 2 * plain
    assert beside < plain
