"""Cells whose genes lie far from 0: the scores are those of the same cells near it."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import pathwayae as pae

SETS = {f"set_{j}": [f"gene_{i}" for i in range(10 * j, 10 * j + 15)] for j in range(4)}


def cells(offset=0.0, genes=slice(None), form=np.asarray):
    rng = np.random.default_rng(0)
    member = np.array([[f"gene_{i}" in names for i in range(60)] for names in SETS.values()])
    x = rng.gamma(0.7, 1.0, size=(300, 4)) @ member * 0.6 + rng.gamma(1.0, 0.4, size=(300, 60))
    x = np.round(x * 2.0**10) / 2.0**10  # so that an offset takes no digit of the values themselves
    x[:, genes] += offset
    adata = ad.AnnData(form(x))
    adata.var_names = [f"gene_{i}" for i in range(60)]
    adata.obs["batch"] = np.where(np.arange(300) % 3, "a", "b")
    return adata


def fitted(adata, **options):
    pae.tl.fit(adata, SETS, n_extra=2, progress=False, **options)
    return adata


def assert_alike(found, expected, offset):
    digit = np.spacing(abs(offset))  # the last one of a float64 of that size, which its mean has lost
    np.testing.assert_allclose(found.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-6 + 100 * digit)
    np.testing.assert_allclose(found.varm["pae_loadings"], expected.varm["pae_loadings"], atol=5e-5)
    np.testing.assert_allclose(found.var["pae_mean"] - offset, expected.var["pae_mean"], atol=1e-9 + digit)
    np.testing.assert_allclose(found.var["pae_scale"], expected.var["pae_scale"], rtol=1e-6)


@pytest.mark.filterwarnings("ignore:The values")
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("options", [{}, {"batch_key": "batch"}, {"settings": pae.tl.FitSettings(solver="sketch")}])
@pytest.mark.parametrize("offset", [1e6, -1e8, 2.0**33])
def test_scores_do_not_depend_on_how_far_from_zero_cells_lie(offset, options, form):
    settings = dict(options)
    expected = fitted(cells(), **settings)
    found = fitted(cells(offset, form=form), **settings)
    assert_alike(found, expected, offset)
    again = cells(offset, form=form)
    pae.tl.transform(again, found, progress=False, **{k: v for k, v in options.items() if k == "batch_key"})
    np.testing.assert_allclose(again.obsm["X_pae"], found.obsm["X_pae"], atol=1e-6 + 100 * np.spacing(abs(offset)))


@pytest.mark.filterwarnings("ignore:The values")
def test_some_genes_may_lie_far_from_zero_in_any_order():
    order = np.random.default_rng(1).permutation(60)
    chosen = [3, 11, 40]
    expected, found = fitted(cells()), fitted(cells(1e7, chosen)[:, order].copy())
    offset = np.where(np.isin(np.arange(60), chosen), 1e7, 0.0)[order]
    np.testing.assert_allclose(found.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-5)
    np.testing.assert_allclose(found.var["pae_mean"] - offset, expected.var["pae_mean"].iloc[order], atol=1e-6)


@pytest.mark.filterwarnings("ignore:The values")
def test_a_form_that_cannot_be_shifted_is_refused_and_moments_are_warned_of():
    with pytest.raises(ValueError, match=r"60 genes lie far from 0 \(1e\+06\).*solver='cells'"):
        fitted(cells(1e6), settings=pae.tl.FitSettings(solver="cells"))
    with pytest.warns(pae.DataWarning, match=r"60 genes of adata\.X lie far from 0"):
        pae.pp.moments(cells(1e6), progress=False)
