"""Batches: exactly the fit of cells centred within them, new cells corrected alike, bad divisions reported."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
from grouped_fits import CLASSIC, OUTSIDE, SQUARES, both, encoder_of, sets_of

import pathwayae as pae
from pathwayae.core.moments import accumulate as core_moments
from pathwayae.tl import _project

pytestmark = pytest.mark.filterwarnings("ignore:Observation names are not unique")


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(400, 300, 6, n_batches=3, batch_effect=0.8, n_donors=4, random_state=3)


def fit(adata: ad.AnnData, pathways="pathways", **kwargs) -> ad.AnnData:
    return flat.fit(adata, pathways, progress=False, copy=True, **{"n_extra": 3, "batch_key": "batch", **kwargs})


@pytest.fixture(scope="module")
def fitted(cells: ad.AnnData, kind: dict) -> ad.AnnData:
    return fit(cells, **kind)


def bare(adata: ad.AnnData) -> ad.AnnData:
    return ad.AnnData(adata.X.copy(), obs=adata.obs.copy(), var=adata.var[[]].copy())


def between(scores: np.ndarray, labels: pd.Series) -> np.ndarray:
    """Share of the variance between the groups, by a loop over them."""
    scores = scores.astype(float)
    total = ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    parts = [
        (labels == name).sum() * (scores[labels == name].mean(axis=0) - scores.mean(axis=0)) ** 2
        for name in labels.unique()
    ]
    return np.sum(parts, axis=0) / total


def centred(adata: ad.AnnData) -> ad.AnnData:
    """Every gene less its mean in the batch of the cell, explicitly; the mean of all cells stays."""
    x = adata.X.toarray().astype(float)
    mean = x.mean(axis=0)
    for name in adata.obs["batch"].unique():
        rows = (adata.obs["batch"] == name).to_numpy()
        x[rows] += mean - x[rows].mean(axis=0)
    result = bare(adata)
    result.X = x
    return result


def assert_same(a: ad.AnnData, b: ad.AnnData, atol: float) -> None:
    b = b[a.obs_names, a.var_names]
    np.testing.assert_allclose(a.varm["pae_loadings"], b.varm["pae_loadings"], atol=atol)
    np.testing.assert_allclose(encoder_of(a), encoder_of(b), atol=atol)
    np.testing.assert_allclose(a.obsm["X_pae"], b.obsm["X_pae"], atol=100 * atol)
    np.testing.assert_allclose(a.varm["pae_batch_means"], b.varm["pae_batch_means"], atol=1e-12)
    assert list(a.uns["pae"]["batches"]) == list(b.uns["pae"]["batches"])


@pytest.mark.filterwarnings(OUTSIDE)
def test_the_fit_is_that_of_cells_centred_batch_by_batch(cells: ad.AnnData) -> None:
    for options in [
        {},
        {"balance": False},
        {"scale": "unit"},
        {"scores": "projection"},
        {"scores": "least_squares"},
        CLASSIC,
        CLASSIC | {"scale": "unit"},
        CLASSIC | {"scale": None},
        SQUARES,
    ]:
        result = fit(cells, **options)
        expected = fit(centred(cells), sets_of(cells), batch_key=None, **options)
        np.testing.assert_allclose(result.varm["pae_loadings"], expected.varm["pae_loadings"], atol=2e-5)
        np.testing.assert_allclose(encoder_of(result), encoder_of(expected), atol=2e-5)
        np.testing.assert_allclose(result.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-3)
        np.testing.assert_allclose(result.var["pae_scale"], expected.var["pae_scale"], rtol=1e-9)
        assert result.uns["pae"]["variance_ratio_total"] == pytest.approx(expected.uns["pae"]["variance_ratio_total"])


def test_planted_batch_effects_are_removed_exactly(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    plain = fit(cells, batch_key=None, **kind)
    assert between(plain.obsm["X_pae"], cells.obs["batch"]).max() > 0.1
    assert between(fitted.obsm["X_pae"], cells.obs["batch"]).max() < 1e-12
    means = fitted.to_df().groupby(cells.obs["batch"], observed=True).mean().T
    np.testing.assert_allclose(fitted.varm["pae_batch_means"], means, rtol=1e-5, atol=1e-6)
    assert list(fitted.uns["pae"]["batches"]) == ["batch_1", "batch_2", "batch_3"]
    assert fitted.uns["pae"]["params"]["batch_key"] == "batch"


@both
def test_the_variance_between_batches_is_that_of_the_scores_centred_alike(cells: ad.AnnData, options: dict) -> None:
    adata = cells.copy()
    adata.obs["run"] = np.where(np.arange(400) < 12, "few", adata.obs["batch"].astype(str))  # far off, but small
    fitted = fit(adata, batch_key="run", **options)
    x = fitted.X.toarray().astype(float)
    scores = (x - x.mean(axis=0)) / fitted.var["pae_scale"].to_numpy() @ encoder_of(fitted)
    table = pae.get.batch_variance(fitted)
    labels = fitted.obs["run"]
    np.testing.assert_allclose(table["before"], between(scores, labels), rtol=1e-6)
    np.testing.assert_allclose(table["after"], between(fitted.obsm["X_pae"], labels), atol=1e-12)
    assert table["component"].tolist() == pae.get.component_names(fitted)
    sizes = labels.value_counts()
    for j, (name, shift) in enumerate(zip(table["batch"], table["shift"], strict=True)):
        part = {b: sizes[b] * scores[labels == b, j].mean() ** 2 for b in sizes.index}
        assert name == max(part, key=part.__getitem__)
        spread = fitted.obsm["X_pae"][:, j].astype(float).std()
        assert shift == pytest.approx(scores[labels == name, j].mean() / spread, rel=1e-4)
    shifts = np.array([np.abs(scores[labels == name].mean(axis=0)) for name in sizes.index])
    assert (sizes.index[shifts.argmax(axis=0)] != table["batch"]).any()


@both
def test_one_batch_is_a_fit_without_batches(cells: ad.AnnData, options: dict) -> None:
    one = cells.copy()
    one.obs["batch"] = "only"
    result, plain = fit(one, **options), fit(one, batch_key=None, **options)
    np.testing.assert_allclose(result.varm["pae_loadings"], plain.varm["pae_loadings"], atol=2e-5)
    np.testing.assert_allclose(encoder_of(result), encoder_of(plain), atol=2e-5)
    np.testing.assert_allclose(result.obsm["X_pae"], plain.obsm["X_pae"], atol=2e-3)
    assert pae.get.batch_variance(result)["before"].max() < 1e-12


def test_neither_the_order_of_cells_and_genes_nor_the_kind_of_names_matters(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict
) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(400), rng.permutation(300)].copy()
    shuffled.obs["batch"] = shuffled.obs["batch"].astype(str)
    assert_same(fitted, fit(shuffled, **kind), atol=2e-5)
    numbered = cells.copy()
    numbered.obs["batch"] = numbered.obs["batch"].cat.codes + 8
    numbered = fit(numbered, **kind)
    assert list(numbered.uns["pae"]["batches"]) == ["10", "8", "9"]
    np.testing.assert_allclose(numbered.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-4)


def test_moments_of_the_batches_or_their_samples_give_the_same_fit(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict
) -> None:
    for sample_key in [None, "donor"]:
        moments = pae.pp.moments(cells[:, ::-1], batch_key="batch", sample_key=sample_key, progress=False)
        assert len(moments.strata) == (3 if sample_key is None else 12)
        assert_same(fitted, fit(cells, moments=moments, **kind), atol=1e-5)
        no_cells = ad.AnnData(obs=cells.obs, var=cells.var)
        flat.fit(no_cells, sets_of(cells), moments=moments, n_extra=3, batch_key="batch", progress=False, **kind)
        new = bare(cells)
        pae.tl.transform(new, no_cells)
        np.testing.assert_allclose(new.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-3)


def test_moments_may_hold_batches_that_these_cells_do_not_have(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict
) -> None:
    moments = pae.pp.moments(cells, batch_key="batch", progress=False)
    part = cells[cells.obs["batch"] == "batch_2"].copy()
    result = fit(part, moments=moments, **kind)
    assert list(result.uns["pae"]["batches"]) == ["batch_1", "batch_2", "batch_3"]
    np.testing.assert_allclose(result.obsm["X_pae"], fitted[part.obs_names].obsm["X_pae"], atol=1e-3)


@both
def test_a_gene_that_varies_only_between_batches_is_left_out(cells: ad.AnnData, options: dict, caplog) -> None:
    caplog.set_level("INFO", logger="pathwayae")
    other = cells.copy()
    x = other.X.toarray()
    x[:, 7] = 1.3 * other.obs["batch"].cat.codes
    other.X = x
    result = fit(other, **options)
    assert "1 of 300 genes do not vary within batches" in caplog.text
    assert np.flatnonzero(result.var["pae_scale"].isna()).tolist() == [7]
    assert (result.varm["pae_loadings"][7] == 0).all()
    assert (encoder_of(result)[7] == 0).all()
    assert (result.varm["pae_batch_means"][7] == 0).all()


def test_few_cells_and_many_genes_go_through_the_gram_matrix(cells: ad.AnnData) -> None:
    few = cells[:100].copy()
    assert fit(few).uns["pae"]["params"]["solver"] == "gram"
    assert fit(few, batch_key=None).uns["pae"]["params"]["solver"] == "cells"
    with pytest.raises(ValueError, match="batch_key='batch' needs the Gram matrix; pass solver='gram'"):
        fit(few, solver="cells")


def test_a_gram_matrix_that_does_not_fit_is_an_error_without_a_way_through_the_cells(cells, monkeypatch) -> None:
    monkeypatch.setattr(core_moments, "MAX_GRAM_BYTES", 8 * 300 * 300 - 1)
    dense = cells.copy()
    dense.X = cells.X.toarray()
    with pytest.raises(ValueError, match="300 genes need a Gram matrix") as caught:
        fit(dense)
    assert "solver='cells'" not in str(caught.value)
    with pytest.raises(ValueError, match="go through the cells \\(solver='cells'\\)"):
        fit(dense, batch_key=None, solver="gram")


def test_cells_are_read_from_wherever_they_lie(cells: ad.AnnData, fitted: ad.AnnData, kind: dict, tmp_path) -> None:
    for form in ["backed", "dask", "view"]:
        if form == "backed":
            bare(cells).write_h5ad(tmp_path / "cells.h5ad")
            other = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
        elif form == "dask":
            other = bare(cells)
            other.X = pytest.importorskip("dask.array").from_array(cells.X.toarray(), chunks=(90, 300))
        else:
            other = ad.concat([bare(cells), bare(cells)], index_unique="-")[:400]
            other.obs_names = cells.obs_names
        flat.fit(other, sets_of(cells), n_extra=3, batch_key="batch", progress=False, **kind)
        np.testing.assert_allclose(other.varm["pae_loadings"], fitted.varm["pae_loadings"], atol=2e-5)
        np.testing.assert_allclose(other.obsm["X_pae"], fitted.obsm["X_pae"], atol=2e-3)


def test_batches_survive_a_file_subsetting_and_concatenation(fitted: ad.AnnData, tmp_path) -> None:
    for form in ["h5ad", "zarr"]:
        path = tmp_path / f"cells.{form}"
        getattr(fitted, f"write_{form}")(path)
        back = ad.read_h5ad(path) if form == "h5ad" else ad.read_zarr(path)
        pd.testing.assert_frame_equal(pae.get.batch_variance(back), pae.get.batch_variance(fitted), check_dtype=False)
        both = ad.concat([back[:150], back[150:]], merge="same", uns_merge="same")
        for reference in (path, back, both):
            new = bare(fitted)
            pae.tl.transform(new, reference)
            np.testing.assert_array_equal(new.obsm["X_pae"], fitted.obsm["X_pae"])
        part = fitted[:, :200].copy()
        np.testing.assert_array_equal(part.varm["pae_batch_means"], fitted.varm["pae_batch_means"][:200])


def test_a_later_fit_without_batches_leaves_none_behind(fitted: ad.AnnData, kind: dict) -> None:
    again = fit(fitted, batch_key=None, **kind)
    assert "pae_batch_means" not in again.varm
    assert "batches" not in again.uns["pae"]
    with pytest.raises(KeyError, match="centred no batches"):
        pae.get.batch_variance(again)
    with pytest.raises(ValueError, match="batch_key='batch', but the fit centred no batches"):
        pae.tl.transform(bare(fitted), again, batch_key="batch")


# New cells.


def test_the_cells_of_the_fit_get_the_scores_of_the_fit_in_any_order(fitted: ad.AnnData) -> None:
    new = bare(fitted)
    pae.tl.transform(new, fitted)
    np.testing.assert_array_equal(new.obsm["X_pae"], fitted.obsm["X_pae"])
    rng = np.random.default_rng(1)
    part = bare(fitted)[rng.permutation(400)[:30], rng.permutation(300)].copy()
    part.obs = part.obs.rename(columns={"batch": "run"})
    with pytest.raises(KeyError, match="'batch' is not a column"):
        pae.tl.transform(part, fitted)
    pae.tl.transform(part, fitted, batch_key="run")
    np.testing.assert_allclose(part.obsm["X_pae"], fitted[part.obs_names].obsm["X_pae"], atol=1e-5)


@pytest.mark.filterwarnings("ignore:.* that the model does not explain")
def test_a_batch_that_the_fit_has_not_seen_is_reported_and_centred_by_all_cells(fitted: ad.AnnData) -> None:
    new = bare(fitted)[:50].copy()
    new.obs["batch"] = np.where(np.arange(50) < 20, "new_1", new.obs["batch"].astype(str))
    with pytest.warns(pae.DataWarning, match=r"20 cells are of batches that the fit has not seen .*'new_1'\. The mean"):
        pae.tl.transform(new, fitted)
    np.testing.assert_array_equal(new.obsm["X_pae"][20:], fitted.obsm["X_pae"][20:50])
    x = fitted.X.toarray().astype(float)
    scores = (x[:20] - x.mean(axis=0)) / fitted.var["pae_scale"].to_numpy() @ encoder_of(fitted)
    np.testing.assert_allclose(new.obsm["X_pae"][:20], scores, atol=1e-4)


def test_missing_genes_count_as_their_mean_in_the_batch(fitted: ad.AnnData) -> None:
    missing = np.arange(300) % 3 == 0
    filled = fitted.X.toarray()
    codes = fitted.obs["batch"].cat.codes.to_numpy()
    filled[:, missing] = fitted.varm["pae_batch_means"].T[codes][:, missing]
    expected = bare(fitted)
    expected.X = filled
    pae.tl.transform(expected, fitted)
    new = bare(fitted)[:, ~missing].copy()
    with pytest.warns(pae.DataWarning, match="100 of 300 genes of the model are missing"):
        pae.tl.transform(new, fitted)
    np.testing.assert_allclose(new.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-4)


@pytest.mark.filterwarnings("ignore:.* that the model does not explain")
def test_files_and_shards_are_corrected_by_the_column_of_each(fitted: ad.AnnData, tmp_path) -> None:
    for out in ["scores.zarr", "scores.parquet"]:
        if out.endswith("parquet"):
            pytest.importorskip("pyarrow")
        shards = [bare(fitted)[:150].copy(), bare(fitted)[150:, ::-1].copy()]
        shards[0].write_h5ad(tmp_path / "a.h5ad")
        shards[1].obs["batch"] = shards[1].obs["batch"].astype(str)
        shards[1].write_zarr(tmp_path / "b.zarr")
        files = [tmp_path / "a.h5ad", tmp_path / "b.zarr"]
        pae.tl.transform(files, fitted, out=tmp_path / out, progress=False)
        back = pd.read_parquet(tmp_path / out) if out.endswith("parquet") else ad.read_zarr(tmp_path / out).to_df()
        np.testing.assert_allclose(back.to_numpy(), fitted.obsm["X_pae"], atol=1e-5)
        shards[0].obs["batch"] = "other"
        with pytest.warns(pae.DataWarning, match=r"150 cells are of batches .*data\[0\]\.X\): 'other'"):
            pae.tl.transform(shards, fitted, out=tmp_path / f"more_{out}", progress=False)


def test_every_block_of_cells_is_corrected_by_its_own_batches(fitted: ad.AnnData, monkeypatch) -> None:
    monkeypatch.setattr(_project, "BLOCK_BYTES", 30_000)
    calls = []
    original = _project.projected
    monkeypatch.setattr(_project, "projected", lambda *a, **k: calls.append(1) or original(*a, **k))
    new = bare(fitted)
    pae.tl.transform(new, fitted, progress=False)
    assert len(calls) > 4
    np.testing.assert_allclose(new.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-5)


# Bad divisions.


def slots(adata: ad.AnnData) -> tuple:
    return set(adata.obsm), set(adata.varm), set(adata.var), set(adata.uns)


def test_bad_batches_are_refused(cells: ad.AnnData) -> None:
    for options, error, match in [
        ({"batch_key": "nowhere"}, KeyError, "'nowhere' is not a column"),
        ({"batch_key": 3}, TypeError, "batch_key=3 must be text or None, not int. It names a column of adata.obs"),
        ({"batch_key": "partial"}, ValueError, "7 cells have no 'partial'"),
        ({"batch_key": "own"}, ValueError, "genes varies within batches"),
        ({"center": False}, ValueError, "center=False contradicts it"),
        ({"condition_key": "nowhere"}, KeyError, "'nowhere' is not a column"),
        ({"condition_key": "partial"}, ValueError, "7 cells have no 'partial'"),
        ({"condition_key": "donor", "batch_key": None}, ValueError, "pass batch_key too"),
    ]:
        adata = cells.copy()
        adata.obs["partial"] = [None] * 7 + ["a"] * 393
        adata.obs["own"] = adata.obs_names
        before = slots(adata)
        with pytest.raises(error, match=match):
            flat.fit(adata, "pathways", progress=False, **{"batch_key": "batch", **options})
        assert slots(adata) == before
        no_cells = ad.AnnData(obs=adata.obs, var=adata.var)
        moments = pae.pp.moments(cells, batch_key="batch", progress=False)
        if options.get("batch_key") != "own":
            with pytest.raises(error, match=match):
                flat.fit(no_cells, sets_of(cells), moments=moments, **{"batch_key": "batch", **options})


def test_moments_of_other_strata_are_refused(cells: ad.AnnData) -> None:
    for keys in ({}, {"sample_key": "donor"}, {"batch_key": "batch", "n_folds": 2}):
        moments = pae.pp.moments(cells, progress=False, **keys)
        with pytest.raises(ValueError, match="No stratum of the moments is of batch"):
            fit(cells, moments=moments)


def test_new_cells_without_a_batch_are_refused(fitted: ad.AnnData) -> None:
    new = bare(fitted)
    new.obs["batch"] = new.obs["batch"].where(np.arange(400) > 2)
    with pytest.raises(ValueError, match="3 cells have no 'batch'"):
        pae.tl.transform(new, fitted)
    assert "X_pae" not in new.obsm
    lost = fitted.copy()
    del lost.varm["pae_batch_means"]
    with pytest.raises(KeyError, match="pae_batch_means"):
        pae.tl.transform(bare(fitted), lost)


def test_batches_of_few_cells_are_named(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.obs["small"] = ["lone"] + ["trio"] * 3 + ["rest"] * 396
    fit(adata)  # of many cells: nothing is said
    with pytest.warns(pae.DataWarning, match=r"2 of 3 batches of 'small' have .*: 'lone' \(1\), 'trio'"):
        result = fit(adata, batch_key="small")
    np.testing.assert_allclose(result.obsm["X_pae"][0], 0, atol=1e-5)


def test_batches_of_one_condition_are_named(cells: ad.AnnData) -> None:
    adata = cells.copy()
    batch = adata.obs["batch"].astype(str)
    adata.obs["condition"] = np.where(batch == "batch_1", "ctrl", np.where(np.arange(400) % 2, "ctrl", "stim"))
    with pytest.warns(pae.DataWarning, match=r"1 of 3 batches of 'batch' .*: 'batch_1' \(ctrl\)\. .* holds several"):
        fit(adata, condition_key="condition")
    adata.obs["condition"] = np.where(batch == "batch_1", "ctrl", "stim")
    with pytest.warns(pae.DataWarning, match=r"3 of 3 batches.*No batch holds two, so nothing"):
        fit(adata, condition_key="condition")
    adata.obs["condition"] = "ctrl"  # nothing to compare
    assert fit(adata, condition_key="condition").uns["pae"]["params"]["condition_key"] == "condition"
    fit(adata, condition_key="donor")
