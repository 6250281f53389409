"""Collections larger than the cells or the genes, and sets larger than most."""

import tracemalloc

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae.tl._grouped import settings

pytestmark = pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")  # flags are of other tests


def cells(n, g, seed=0, *, sparse=True):
    """Log counts with a few programs, small numbers."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(size=(n, 4)) @ rng.normal(size=(4, g)) * 0.3) * rng.gamma(1.0, 0.5, size=g)
    x = np.log1p(rng.poisson(rate)).astype(np.float32)
    x[0] += 0.5  # every gene varies
    obs, var = (pd.DataFrame(index=[f"{kind}{i}" for i in range(m)]) for kind, m in (("c", n), ("G", g)))
    return ad.AnnData(sp.csr_matrix(x) if sparse else x, obs=obs, var=var)


def random_sets(g, n_sets, seed=1, sizes=(5, 40)):
    rng = np.random.default_rng(seed)
    size = rng.integers(*sizes, size=n_sets)
    return {f"S{j}": [f"G{i}" for i in rng.choice(g, m, replace=False)] for j, m in enumerate(size)}


def fit(adata, sets, *, support=True, n_extra=0, **options):
    own = pae.tl.FitSettings(support=support)
    return pae.tl.fit(adata, sets, n_extra=n_extra, settings=own, progress=False, copy=True, **options)


@pytest.mark.parametrize("shape", [(60, 300), (200, 150)], ids=["few cells", "more cells"])
@pytest.mark.parametrize("support", [True, False])
def test_more_sets_than_cells_and_genes_are_scored_each_as_it_is_alone(shape, support):
    adata = cells(*shape)
    sets = random_sets(shape[1], 400)
    found = fit(adata, sets, support=support)
    assert found.obsm["X_pae"].shape == (shape[0], 400)
    assert np.isfinite(found.obsm["X_pae"]).all()
    ratio, together = found.uns["pae"]["variance_ratio"], found.uns["pae"]["variance_ratio_total"]
    x = adata.X.toarray().astype(float)
    x = (x - x.mean(axis=0)) / np.sqrt(x.std(axis=0))
    left, singular, _ = np.linalg.svd(found.obsm["X_pae"].astype(float), full_matrices=False)
    left = left[:, singular > 1e-5 * singular.max()]  # float32
    assert together == pytest.approx(((left.T @ x) ** 2).sum() / (x**2).sum(), rel=1e-5)
    assert 0 < ratio.min() < ratio.max() < together
    some = list(sets)[::80]
    alone = fit(adata, {name: sets[name] for name in some}, support=support)
    for j, name in enumerate(some):
        own, among = alone.obsm["X_pae"][:, j], found.obsm["X_pae"][:, list(sets).index(name)]
        assert np.corrcoef(own, among)[0, 1] > 1 - 1e-6


def test_what_is_possible_is_said_where_free_components_have_no_room():
    adata = cells(60, 300)
    with pytest.warns(pae.DataWarning, match=r"n_extra=20 .* room for: 0 are fitted\. Pass n_extra=0 or fewer"):
        assert fit(adata, random_sets(300, 400), n_extra=20).obsm["X_pae"].shape == (60, 400)
    with pytest.warns(pae.DataWarning, match=r"n_extra=20 .* 300 genes, 60 cells, 290 pathways .*: 10 are fitted"):
        assert fit(adata, random_sets(300, 290), n_extra=20).obsm["X_pae"].shape == (60, 300)
    with pytest.warns(pae.DataWarning, match=r"n_extra=70 .*: 59 are fitted"):
        assert fit(adata, random_sets(300, 20), n_extra=70).obsm["X_pae"].shape == (60, 79)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_a_descent_on_more_sets_than_cells_is_refused_with_the_way_out(scores):
    with pytest.raises(ValueError, match=r"70 pathways are more than the 60 cells .* 60\. Pass scores='members'"):
        fit(cells(60, 300), random_sets(300, 70), support="auto", scores=scores)
    with pytest.raises(ValueError, match=r"120 pathways are more than .* 100 genes .* 100\. Pass scores='members'"):
        fit(cells(300, 100), random_sets(100, 120), support="auto", n_extra=5, scores=scores)


@pytest.mark.parametrize("support", [True, False])
def test_a_set_of_all_genes_is_finite_and_the_others_are_as_without_it(support):
    adata, sets = cells(80, 300), random_sets(300, 10)
    found = fit(adata, {"ALL": list(adata.var_names), **sets}, support=support, n_extra=2)
    without = fit(adata, sets, support=support, n_extra=2)
    assert np.isfinite(found.obsm["X_pae"]).all()
    for j in range(10):  # up to what pathways share
        both = found.obsm["X_pae"][:, j + 1], without.obsm["X_pae"][:, j]
        assert np.corrcoef(*both)[0, 1] > 1 - 1e-6
    loadings = found.varm["pae_loadings"]
    loadings = loadings.toarray() if support else loadings
    assert np.isfinite(loadings).all()
    assert (loadings[:, 0] > 0).all()
    almost = fit(adata, {"MOST": list(adata.var_names[:-1]), **sets}, support=support)
    assert np.isfinite(almost.obsm["X_pae"]).all()
    assert almost.obsm["X_pae"][:, 0].std() > 0


def test_a_set_of_20_000_genes_is_scored_in_bounded_memory():
    adata = cells(40, 21_000)
    sets = {"MOST": list(adata.var_names[:20_000])} | random_sets(21_000, 20)
    tracemalloc.start()
    found = fit(adata, sets, support="auto", n_extra=2)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.isfinite(found.obsm["X_pae"]).all()
    assert found.obsm["X_pae"][:, 0].std() > 0
    assert int(found.uns["pae"]["pathways"]["n_matched"].iloc[0]) == 20_000
    assert peak < 500e6


def test_20_000_sets_are_scored_each_as_it_is_alone():
    adata = cells(60, 150)
    sets = random_sets(150, 20_000, sizes=(5, 10))
    found = fit(adata, sets)
    assert found.obsm["X_pae"].shape == (60, 20_000)
    assert np.isfinite(found.obsm["X_pae"]).all()
    assert found.uns["pae"]["variance_ratio_total"] == pytest.approx(1.0, rel=1e-5)
    some = list(sets)[::5000]
    alone = fit(adata, {name: sets[name] for name in some})
    for j in range(4):
        assert np.corrcoef(alone.obsm["X_pae"][:, j], found.obsm["X_pae"][:, 5000 * j])[0, 1] > 1 - 1e-6


def test_nothing_of_the_size_sets_by_sets_is_held():
    adata = cells(60, 150)
    fit(adata, random_sets(150, 100))
    sets = random_sets(150, 5000, sizes=(5, 10))
    tracemalloc.start()
    fit(adata, sets)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * 5000**2 / 2


@pytest.mark.parametrize("scores", ["members", "projection", "least_squares"])
def test_large_fits_are_on_a_support_of_themselves_but_for_least_squares(monkeypatch, scores):
    adata, sets = cells(80, 120), random_sets(120, 5)
    form = np.ndarray if scores == "least_squares" else sp.csr_matrix
    for large, expected in ((120 * 7, np.ndarray), (120 * 7 - 1, form)):
        monkeypatch.setattr(settings, "LARGE", large)
        found = fit(adata, sets, support="auto", n_extra=2, scores=scores)
        assert isinstance(found.varm["pae_loadings"], expected)
