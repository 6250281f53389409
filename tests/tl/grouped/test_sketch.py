"""A fit and what follows it from a sketch, against the same from the Gram matrix."""

from __future__ import annotations

import logging
import re

import anndata as ad
import numpy as np
import pytest
from grouped_fits import sets_of

import pathwayae as pae
from pathwayae.core.moments.sketch import Sketch

QUIET = {"progress": False}
RANK = 60


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(700, 400, 6, n_donors=4, n_batches=2, random_state=3)


@pytest.fixture(scope="module")
def read(cells) -> dict:
    """Exact moments and a sketch, per donor in each batch."""
    keys = {"sample_key": "donor", "batch_key": "batch"}
    return {
        "exact": pae.pp.moments(cells, sketch=False, **keys, **QUIET),
        "sketch": pae.pp.moments(cells, sketch=True, rank=RANK, **keys, **QUIET),
    }


def fit(cells, moments=None, **kwargs) -> ad.AnnData:
    adata = cells.copy()
    settings = kwargs.pop("settings", None)
    pae.tl.fit(adata, sets_of(cells), moments=moments, settings=settings, **{"n_extra": 2, **QUIET, **kwargs})
    return adata


def correlation(a, b) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))


def loadings(adata) -> np.ndarray:
    values = adata.varm["pae_loadings"]
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)


@pytest.fixture(scope="module")
def fits(cells, read) -> dict:
    return {name: fit(cells, moments) for name, moments in read.items()}


@pytest.mark.parametrize("options", [{}, {"batch_key": "batch"}, {"scores": "projection"}])
def test_scores_and_loadings_are_those_of_the_gram_matrix(cells, read, options):
    exact, sketch = fit(cells, read["exact"], **options), fit(cells, read["sketch"], **options)
    p = exact.uns["pae"]["n_pathways"]
    assert correlation(exact.obsm["X_pae"], sketch.obsm["X_pae"])[:p].min() > 0.99
    assert [one.uns["pae"]["params"]["solver"] for one in (exact, sketch)] == ["gram", "sketch"]
    assert correlation(loadings(exact), loadings(sketch))[:p].min() > 0.97
    np.testing.assert_allclose(
        sketch.uns["pae"]["variance_ratio_total"], exact.uns["pae"]["variance_ratio_total"], rtol=0.05
    )


@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_a_sketch_read_by_the_fit_is_the_one_read_before(cells, batch_key, caplog):
    caplog.set_level(logging.INFO, logger="pathwayae")
    own = fit(cells, batch_key=batch_key, settings=pae.tl.FitSettings(solver="sketch"))
    assert any("Fitting 400 genes from a sketch of their Gram matrix: 100 directions" in one for one in caplog.messages)
    moments = pae.pp.moments(cells, sketch=True, rank=100, batch_key=batch_key, **QUIET)
    before = fit(cells, moments, batch_key=batch_key)
    np.testing.assert_allclose(own.obsm["X_pae"], before.obsm["X_pae"], atol=1e-3 * np.abs(own.obsm["X_pae"]).max())


def test_a_rank_that_suffices_gives_the_fit_of_the_gram_matrix(cells, fits):
    full = pae.pp.moments(cells, sketch=True, rank=cells.n_vars, **QUIET)
    adata = fit(cells, full)
    size = np.abs(fits["exact"].obsm["X_pae"]).max()
    np.testing.assert_allclose(adata.obsm["X_pae"], fits["exact"].obsm["X_pae"], atol=1e-3 * size)


def test_the_order_of_the_genes_does_not_matter(cells, fits):
    order = np.random.default_rng(0).permutation(cells.n_vars)
    turned = cells[:, order].copy()
    moments = pae.pp.moments(turned, sketch=True, rank=RANK, **QUIET)
    adata = fit(turned, moments)
    size = np.abs(fits["sketch"].obsm["X_pae"]).max()
    np.testing.assert_allclose(adata.obsm["X_pae"], fits["sketch"].obsm["X_pae"], atol=1e-3 * size)


def test_relevance_from_a_sketch(cells, fits, read):
    for name, adata in fits.items():
        pae.tl.relevance(adata, moments=read[name], n_folds=3, n_null=200, **QUIET)
    exact, sketch = (pae.get.relevance(fits[name]) for name in ("exact", "sketch"))
    pathways = exact["statistic"].notna()
    np.testing.assert_allclose(sketch["statistic"][pathways], exact["statistic"][pathways], rtol=0.1, atol=0.01)
    np.testing.assert_allclose(sketch["heldout_variance"], exact["heldout_variance"], rtol=0.1, atol=2e-3)
    assert (sketch["verdict"] == exact["verdict"]).all()


def test_stability_from_a_sketch(cells, fits, read):
    for name, adata in fits.items():
        pae.tl.stability(adata, moments=read[name], n_bootstrap=40, **QUIET)
    exact, sketch = (pae.get.stability(fits[name]) for name in ("exact", "sketch"))
    p = int((exact["component"].str.startswith("free_") == False).sum())  # noqa: E712
    np.testing.assert_allclose(sketch["scores"][:p], exact["scores"][:p], atol=0.03)
    low = [fits[name].varm["pae_loadings_low"] for name in ("exact", "sketch")]
    assert correlation(np.asarray(low[0]), np.asarray(low[1]))[:p].min() > 0.95


def test_refinement_from_a_sketch(cells, fits, read):
    for within in (None, "donor"):
        for name, adata in fits.items():
            pae.tl.refine(adata, moments=read[name], sample_key=within, **QUIET)
        exact, sketch = (fits[name].varm["pae_posterior"] for name in ("exact", "sketch"))
        assert correlation(np.asarray(exact), np.asarray(sketch)).min() > 0.95


@pytest.mark.filterwarnings("ignore:The prior is ignored")
def test_theta_and_the_number_of_free_components_from_a_sketch(cells, read):
    adatas = [fit(cells, read[name], scores="projection") for name in ("exact", "sketch")]
    tables = []
    for adata, name in zip(adatas, ("exact", "sketch"), strict=True):
        pae.tl.theta_path(adata, moments=read[name], thetas=(0.1, 0.3), n_folds=3, **QUIET)
        pae.tl.n_extra_path(adata, moments=read[name], n_max=5, n_folds=3, **QUIET)
        tables.append((pae.get.theta_path(adata), pae.get.n_extra_path(adata)))
    for column in ("heldout_error", "auc"):
        np.testing.assert_allclose(tables[1][0][column], tables[0][0][column], atol=0.03)
    for column in ("heldout_explained", "predicted"):
        np.testing.assert_allclose(tables[1][1][column], tables[0][1][column], atol=0.03)


@pytest.mark.parametrize("more", [False, True])
def test_tools_centre_within_the_batches_of_the_fit(cells, read, more):
    """With all genes of the sketch in the model, and with some."""
    adatas = {}
    for name, moments in read.items():
        mask = np.arange(cells.n_vars) < (350 if more else 400)
        adatas[name] = fit(cells, moments, batch_key="batch", mask_var=mask)
        pae.tl.relevance(adatas[name], moments=moments, n_folds=2, n_null=100, **QUIET)
        pae.tl.stability(adatas[name], moments=moments, n_bootstrap=40, **QUIET)
    exact, sketch = (pae.get.relevance(adatas[name]) for name in ("exact", "sketch"))
    np.testing.assert_allclose(sketch["heldout_variance"], exact["heldout_variance"], rtol=0.2, atol=3e-3)


def test_a_fit_that_chooses_reads_a_sketch_where_gram_matrices_are_large(cells, monkeypatch, caplog):
    from pathwayae._cells import strata

    caplog.set_level(logging.INFO, logger="pathwayae")
    monkeypatch.setattr(strata, "EXACT_BYTES", 8 * 400**2)
    adata = fit(cells, n_extra="auto")
    assert any("in 5 strata: a sketch of rank 100" in one for one in caplog.messages)
    assert len(adata.uns["pae"]["n_extra_path"]) > 5


def test_tools_read_what_the_fit_was_made_from(cells, fits, monkeypatch):
    """Gram matrices while they fit, and a sketch where the fit was made from one."""
    from pathwayae._cells import strata
    from pathwayae._slots.grouped import fitted
    from pathwayae.tl._grouped import moments

    monkeypatch.setattr(strata, "EXACT_BYTES", 8 * 400**2)
    model = fitted(fits["exact"], "pae")
    options = {"sample_key": "donor", "batch_key": "batch", "progress": False}
    assert hasattr(moments.moments_of(cells, model, None, **options), "grams")
    assert moments.moments_of(cells, fitted(fits["sketch"], "pae"), None, **options).rank == 100
    monkeypatch.setattr(moments, "MAX_GRAM_BYTES", 8 * 8 * 400**2 - 1)  # of four donors in two batches
    assert moments.moments_of(cells, model, None, **options).rank == 100
    for n_folds in (3, None):
        assert hasattr(moments.moments_of(cells, model, None, n_folds=n_folds, progress=False), "grams")


def test_solvers_that_the_moments_given_do_not_hold_are_refused(cells, read):
    for name, solver, what in (
        ("sketch", "gram", "needs their Gram matrix, but moments= stands in their place and holds a sketch of it"),
        ("exact", "sketch", "needs a sketch, but moments= stands in their place and holds their Gram matrix"),
        ("sketch", "cells", "goes through the cells"),
    ):
        with pytest.raises(ValueError, match=f"solver='{solver}' {what}"):
            fit(cells, read[name], settings=pae.tl.FitSettings(solver=solver))
    for name, solver in (("sketch", "sketch"), ("exact", "gram")):
        assert "X_pae" in fit(cells, read[name], settings=pae.tl.FitSettings(solver=solver)).obsm


def test_a_sketch_is_fitted_without_centring(cells, read):
    settings = pae.tl.FitSettings(center=False, balance=False, init="membership")
    with pytest.warns(pae.DataWarning, match="outside"):
        exact, sketch = (fit(cells, read[name], settings=settings, scores="projection") for name in ("exact", "sketch"))
    assert correlation(exact.obsm["X_pae"], sketch.obsm["X_pae"])[:6].min() > 0.98


def test_moments_that_are_not_finite_are_refused_by_gene(cells, read, fits):
    from dataclasses import replace

    broken = read["sketch"].sums.copy()
    broken[0, 3] = np.nan
    spoilt = replace(read["sketch"], sums=broken)
    name, stratum = spoilt.genes[3], spoilt.strata[0]
    assert isinstance(spoilt, Sketch)
    with pytest.raises(ValueError, match=f"NaN or infinite values: for 1 genes .'{name}'. in 1 strata"):
        fit(cells, spoilt)
    with pytest.raises(ValueError, match=f"for 1 genes .'{name}'. in 1 strata .'{re.escape(stratum)}'"):
        pae.tl.refine(fits["sketch"], moments=spoilt, **QUIET)
    grams = read["exact"].grams.copy()
    grams[1, 5, 5] = np.inf
    with pytest.raises(ValueError, match="NaN or infinite values: for 1 genes"):
        fit(cells, replace(read["exact"], grams=grams))


def test_batches_that_the_sketch_does_not_know_are_refused(cells, read):
    other = cells.copy()
    other.obs["batch"] = "elsewhere"
    with pytest.raises(ValueError, match="No stratum of the moments is of batch 'elsewhere'"):
        pae.tl.fit(other, sets_of(cells), moments=read["sketch"], batch_key="batch", **QUIET)
