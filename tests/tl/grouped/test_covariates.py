"""Batch effects beside covariates: exactly the fit of cells corrected by least squares, and biology kept."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
from dask_cells import on_dask
from grouped_fits import CLASSIC, OUTSIDE, encoder_of, sets_of

import pathwayae as pae
from pathwayae.core.moments import accumulate as core_moments
from pathwayae.tl._grouped import standardize

SHARES = {"batch_1": 0.2, "batch_2": 0.8, "batch_3": 0.5}  # of the cells of a batch that are of types 1 to 3


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """Batches with an effect and with a composition of their own."""
    adata = pae.datasets.simulate(900, 300, 6, n_batches=3, batch_effect=0.8, n_donors=4, random_state=3)
    rng = np.random.default_rng(0)
    first = adata.obs["cell_type"].isin(["type_1", "type_2", "type_3"])
    share = adata.obs["batch"].astype(str).map(SHARES)
    adata = adata[rng.random(900) < np.where(first, share, 1.0 - share)].copy()
    adata.obs["sex"] = rng.choice(["f", "m"], adata.n_obs)
    return adata


def fit(adata: ad.AnnData, pathways="pathways", **kwargs) -> ad.AnnData:
    usual = {"n_extra": 3, "batch_key": "batch", "covariates": "cell_type"}
    return flat.fit(adata, pathways, progress=False, copy=True, **usual | kwargs)


@pytest.fixture(scope="module")
def fitted(cells: ad.AnnData, kind: dict) -> ad.AnnData:
    return fit(cells, **kind)


def bare(adata: ad.AnnData) -> ad.AnnData:
    return ad.AnnData(adata.X.copy(), obs=adata.obs.copy(), var=adata.var[[]].copy())


def effects_of(adata: ad.AnnData, covariates: list[str]) -> np.ndarray:
    """Effect of the batch of each cell, by lstsq on indicators of every cell."""
    x = adata.X.toarray().astype(float)
    batch = pd.get_dummies(adata.obs["batch"].astype(str)).to_numpy(float)
    others = [pd.get_dummies(adata.obs[name].astype(str)).to_numpy(float) for name in covariates]
    effects = batch @ np.linalg.lstsq(np.column_stack([batch, *others]), x, rcond=None)[0][: batch.shape[1]]
    return effects - effects.mean(axis=0)


def corrected(adata: ad.AnnData, covariates: list[str]) -> ad.AnnData:
    result = bare(adata)
    result.X = adata.X.toarray().astype(float) - effects_of(adata, covariates)
    return result


def assert_same(a: ad.AnnData, b: ad.AnnData, atol: float) -> None:
    b = b[a.obs_names, a.var_names]
    np.testing.assert_allclose(a.varm["pae_loadings"], b.varm["pae_loadings"], atol=atol)
    np.testing.assert_allclose(encoder_of(a), encoder_of(b), atol=atol)
    np.testing.assert_allclose(a.obsm["X_pae"], b.obsm["X_pae"], atol=100 * atol)
    np.testing.assert_allclose(a.varm["pae_batch_means"], b.varm["pae_batch_means"], atol=1e-6)


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("covariates", [["cell_type"], ["cell_type", "sex"], ["sex", "cell_type"]])
def test_the_fit_is_that_of_cells_corrected_by_least_squares(cells: ad.AnnData, covariates: list[str]) -> None:
    for options in [{}, {"scale": "unit"}, {"scale": None, "balance": False}, CLASSIC]:
        result = fit(cells, covariates=covariates, **options)
        plain = fit(corrected(cells, covariates), sets_of(cells), batch_key=None, covariates=None, **options)
        atol = 2e-5 if options is CLASSIC else 1e-6
        np.testing.assert_allclose(result.varm["pae_loadings"], plain.varm["pae_loadings"], atol=atol)
        np.testing.assert_allclose(result.obsm["X_pae"], plain.obsm["X_pae"], atol=50 * atol)
        np.testing.assert_allclose(result.var["pae_scale"], plain.var["pae_scale"], rtol=1e-6)
        assert result.uns["pae"]["variance_ratio_total"] == pytest.approx(plain.uns["pae"]["variance_ratio_total"])
        assert result.uns["pae"]["params"]["covariates"].tolist() == covariates


def test_what_is_stored_is_the_mean_at_the_composition_of_all_cells(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    centre = cells.X.toarray().mean(axis=0) + effects_of(cells, ["cell_type"])
    for j, name in enumerate(fitted.uns["pae"]["batches"]):
        rows = (cells.obs["batch"] == name).to_numpy()
        np.testing.assert_allclose(fitted.varm["pae_batch_means"][:, j], centre[rows][0], atol=1e-5)


def test_the_table_of_variance_is_that_of_the_scores(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    table = pae.get.batch_variance(fitted)
    x = cells.X.toarray().astype(float)
    raw = (x - x.mean(axis=0)) / fitted.var["pae_scale"].to_numpy() @ encoder_of(fitted)
    labels = cells.obs["batch"]
    for scores, column, atol in ((raw, "before", 1e-5), (fitted.obsm["X_pae"].astype(float), "after", 1e-5)):
        scores = scores - scores.mean(axis=0)
        means = pd.DataFrame(scores).groupby(labels.to_numpy()).transform("mean").to_numpy()
        np.testing.assert_allclose(table[column], (means**2).sum(axis=0) / (scores**2).sum(axis=0), atol=atol)
    assert (table["after"] < table["before"]).mean() > 0.5


def test_batches_lose_their_effect_and_keep_their_cell_types() -> None:
    truth = pae.datasets.simulate(1500, 400, 6, n_cell_types=3, random_state=5)
    high = truth.uns["simulation"]["high"]
    kind, program = next((t, j) for t in high.index for j in high.columns if high.loc[t, j] and high[j].sum() == 1)
    rng = np.random.default_rng(1)
    own = (truth.obs["cell_type"] == kind).to_numpy()
    batch = np.where(rng.random(1500) < np.where(own, 0.8, 0.35), "a", "b")
    truth.obs["batch"] = batch
    shifted = truth.copy()
    shifted.X = shifted.X.toarray() + rng.normal(0.0, 0.5, (2, 400))[(batch == "b").astype(int)]

    def gap(adata: ad.AnnData) -> tuple[float, float]:
        """The type over the others, in s.d. of the score, in batch a and in batch b; and between batches within it."""
        score = pae.get.scores(adata)[program].to_numpy(float)
        score = score / score.std()
        means = {(b, t): score[(batch == b) & (own == t)].mean() for b in "ab" for t in (True, False)}
        return means["a", True] - means["b", True], means["a", False] - means["b", False]

    names = sets_of(truth)
    plain = gap(fit(truth, names, batch_key=None, covariates=None))
    before = gap(fit(truth, names, covariates=None))
    assert np.abs(plain).max() < 0.1
    assert min(np.abs(before)) > 0.15  # centring the batches moves the cells of each type apart
    for adata in (truth, shifted):
        assert np.abs(gap(fit(adata, names))).max() < 0.1
    untouched = fit(truth, names, batch_key=None, covariates=None)
    for adata in (truth, shifted):
        beside = pae.get.scores(fit(adata, names))[program]
        assert np.corrcoef(beside, pae.get.scores(untouched)[program])[0, 1] > 0.99


def test_neither_the_order_of_cells_and_genes_nor_the_kind_of_labels_matters(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict
) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(300)].copy()
    shuffled.obs["cell_type"] = shuffled.obs["cell_type"].astype(str)
    assert_same(fitted, fit(shuffled, **kind), atol=2e-5)
    renamed = cells.copy()
    renamed.obs["cell_type"] = pd.Categorical(
        cells.obs["cell_type"].map(lambda name: f"a / {name[::-1]}"), categories=None
    ).add_categories(["never"])
    assert_same(fitted, fit(renamed, covariates=("cell_type",), **kind), atol=2e-5)


def test_however_cells_are_read_the_fit_is_the_same(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict, tmp_path, monkeypatch
) -> None:
    dense = cells.copy()
    dense.X = cells.X.toarray()
    assert_same(fitted, fit(dense, **kind), atol=2e-5)
    assert_same(fitted, fit(on_dask(cells), **kind), atol=2e-5)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    flat.fit(backed, "pathways", n_extra=3, batch_key="batch", covariates="cell_type", progress=False, **kind)
    np.testing.assert_allclose(backed.obsm["X_pae"], fitted.obsm["X_pae"], atol=2e-3)
    monkeypatch.setattr(standardize, "BLOCK_BYTES", 40_000)
    monkeypatch.setattr(core_moments, "BLOCK_BYTES", 40_000)
    assert_same(fitted, fit(cells, **kind), atol=2e-5)


def test_a_sketch_of_full_rank_gives_the_same_fit(cells: ad.AnnData, monkeypatch) -> None:
    monkeypatch.setattr(standardize, "RANK", 300)
    exact, near = fit(cells), fit(cells, solver="sketch")
    assert near.uns["pae"]["params"]["solver"] == "sketch"
    np.testing.assert_allclose(near.varm["pae_loadings"], exact.varm["pae_loadings"], atol=1e-4)
    np.testing.assert_allclose(near.obsm["X_pae"][:, :6], exact.obsm["X_pae"][:, :6], atol=1e-3)
    np.testing.assert_allclose(near.varm["pae_batch_means"], exact.varm["pae_batch_means"], atol=1e-6)


def test_moments_of_batches_and_levels_give_the_same_fit(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    for beside, sample_key in (("cell_type", None), ([], "cell_type"), (["cell_type", "sex"], "donor")):
        moments = pae.pp.moments(cells, batch_key="batch", covariates=beside, sample_key=sample_key, progress=False)
        assert_same(fitted, fit(cells, moments=moments, **kind), atol=2e-5)
    several = fit(cells, moments=moments, covariates=["cell_type", "sex"], **kind)
    assert_same(fit(cells, covariates=["cell_type", "sex"], **kind), several, atol=2e-5)
    moments = pae.pp.moments(cells, batch_key="batch", progress=False)
    with pytest.raises(ValueError, match=r"Stratum 'batch_1' .* is of no level of covariates=\['cell_type'\]"):
        fit(cells, moments=moments, **kind)


def test_the_training_cells_score_the_same_when_transformed(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    for part in (cells, cells[::3], cells[cells.obs["batch"] == "batch_2"]):
        new = bare(part)
        del new.obs["cell_type"]  # not needed any more
        pae.tl.transform(new, fitted, progress=False)
        np.testing.assert_allclose(new.obsm["X_pae"], fitted[part.obs_names].obsm["X_pae"], atol=1e-5)


def test_fits_survive_files_and_the_analyses_after_them(cells: ad.AnnData, fitted: ad.AnnData, tmp_path) -> None:
    fitted.write_h5ad(tmp_path / "fit.h5ad")
    fitted.write_zarr(tmp_path / "fit.zarr")
    for back in (ad.read_h5ad(tmp_path / "fit.h5ad"), ad.read_zarr(tmp_path / "fit.zarr")):
        assert list(back.uns["pae"]["params"]["covariates"]) == ["cell_type"]
        new = bare(cells)
        pae.tl.transform(new, back[:, ::-1], progress=False)
        np.testing.assert_allclose(new.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-5)
        pd.testing.assert_frame_equal(
            pae.get.batch_variance(back), pae.get.batch_variance(fitted), check_dtype=False, check_index_type=False
        )


@pytest.mark.filterwarnings("ignore:.*strata can be drawn")
def test_analyses_take_the_batch_effects_of_the_fit(cells: ad.AnnData) -> None:
    fitted, plain = fit(cells), fit(corrected(cells, ["cell_type"]), sets_of(cells), batch_key=None, covariates=None)
    for adata in (fitted, plain):
        pae.tl.relevance(adata, sample_key="donor", n_folds=4, n_null=20, progress=False)
        pae.tl.stability(adata, n_bootstrap=40, sample_key="donor", progress=False)
    found, same = pae.get.relevance(fitted), pae.get.relevance(plain)
    np.testing.assert_allclose(found["statistic"][:6], same["statistic"][:6], rtol=1e-4)
    np.testing.assert_allclose(found["heldout_variance"][:6], same["heldout_variance"][:6], atol=0.01)
    found, same = pae.get.stability(fitted), pae.get.stability(plain)
    np.testing.assert_allclose(found["variance_ratio"], same["variance_ratio"], rtol=1e-4)
    np.testing.assert_allclose(found["scores"][:6], same["scores"][:6], atol=0.01)


def test_what_is_chosen_by_cells_held_out_sees_corrected_cells(cells: ad.AnnData) -> None:
    result = fit(cells, n_extra="auto")
    n_extra = result.uns["pae"]["params"]["n_extra"]
    assert_same(result, fit(cells, n_extra=n_extra), atol=2e-5)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"covariates": "nothing"}, KeyError, "'nothing' is not a column"),
        ({"covariates": ["cell_type", "cell_type"]}, ValueError, "name each column once"),
        ({"covariates": "batch"}, ValueError, "not batch_key='batch'"),
        ({"covariates": "cell_type", "batch_key": None}, ValueError, "pass batch_key too"),
        ({"covariates": [3]}, TypeError, "must be text, a list of text.* a column of adata.obs"),
        ({"covariates": "depth"}, ValueError, r"'depth' holds numbers \(float64\).*pd.cut"),
        ({"covariates": "number"}, ValueError, r"'number' holds numbers \(int64\).*astype\(str\)"),
        ({"covariates": "gap"}, ValueError, "1 cells have no 'gap'"),
        ({"covariates": "copy"}, ValueError, r"'batch_1' and 'batch_2' of 'batch' share no level of 'copy'.*3 such"),
        ({"covariates": ["cell_type", "copy"]}, ValueError, "confounded"),
        ({"covariates": "lonely"}, ValueError, r"'batch_1' and 'batch_2', 'batch_3' of 'batch' share no level"),
    ],
)
def test_what_cannot_be_estimated_is_refused_and_nothing_written(cells, options, error, message) -> None:
    adata = cells.copy()
    adata.obs["depth"] = np.linspace(0, 1, adata.n_obs)
    adata.obs["number"] = np.arange(adata.n_obs) % 3
    adata.obs["gap"] = adata.obs["cell_type"].astype(object)
    adata.obs.loc[adata.obs_names[4], "gap"] = None
    adata.obs["copy"] = adata.obs["batch"].map(lambda name: f"of {name}")
    adata.obs["lonely"] = np.where(adata.obs["batch"] == "batch_1", "only", adata.obs["cell_type"].astype(str))
    with pytest.raises(error, match=message):
        flat.fit(adata, "pathways", progress=False, **{"batch_key": "batch"} | options)
    assert "pae" not in adata.uns
    assert "X_pae" not in adata.obsm


def test_a_link_of_few_cells_is_warned_of_and_logical_covariates_are_fine(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.obs["odd"] = np.where(adata.obs["batch"] == "batch_1", "only", adata.obs["cell_type"].astype(str))
    first = adata.obs_names[(adata.obs["batch"] == "batch_1") & (adata.obs["cell_type"] == "type_1")][:2]
    adata.obs.loc[first, "odd"] = "type_1"
    with pytest.warns(pae.DataWarning, match=r"Few cells tell the batches .* 'batch_1' \(as from"):
        fit(adata, covariates="odd")
    adata.obs["yes"] = adata.obs["sex"] == "f"
    assert_same(fit(adata, covariates="sex"), fit(adata, covariates="yes"), atol=1e-6)


# Where they are not given.


def uneven(share: float) -> ad.AnnData:
    """Two batches without any effect: a share of the cells of one type, which stand apart, and half of the others."""
    adata = pae.datasets.simulate(1600, 400, 8, n_cell_types=4, random_state=6)
    own = (adata.obs["cell_type"] == "type_1").to_numpy()
    adata.X = adata.X.toarray() + own[:, None] * adata.varm["pathways"]["program_1"].to_numpy() * 1.5
    draw = np.random.default_rng(0).random(1600)
    adata.obs["batch"] = np.where(draw < np.where(own, share, 0.5), "a", "b")
    return adata


def test_unequal_composition_is_warned_of_and_what_helps_is_named() -> None:
    message = r"Batches of 'batch' differ by more than .* s\.d\. .*score 'program_\d'\), .* in 2 of 2 .*covariates="
    with pytest.warns(pae.DataWarning, match=message):
        fit(uneven(0.9), covariates=None)
    fit(uneven(0.9))  # warnings are errors here
    fit(uneven(0.5), covariates=None)


def test_batches_of_different_cells_are_warned_of() -> None:
    adata = uneven(0.5)
    adata.obs["batch"] = np.where(adata.obs["cell_type"] == "type_1", "a", "b")
    with pytest.warns(pae.DataWarning, match="Batches of 'batch' "):
        fit(adata, covariates=None)
