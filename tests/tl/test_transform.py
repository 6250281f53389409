"""Scores of new cells: the same numbers, genes aligned by name, losses reported."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pytest

import pathwayae as pae

CLASSIC = {"scores": "projection", "balance": False, "init": "membership", "dropout": 0.0}
OUTSIDE = r"ignore:.*\(flag 'outside'\)"  # of program_4, which a descent gives to genes outside


@pytest.fixture(scope="module", params=[{}, CLASSIC], ids=["members", "projection"])
def fitted(request) -> ad.AnnData:
    adata = pae.datasets.simulate(400, 300, 6, random_state=3)
    flat.fit(adata, "pathways", n_extra=3, progress=False, **request.param)
    return adata


def options_of(fitted: ad.AnnData) -> dict:
    return {} if fitted.uns["pae"]["params"]["scores"] == "members" else CLASSIC


def bare(adata: ad.AnnData) -> ad.AnnData:
    """The cells and genes without any result."""
    return ad.AnnData(adata.X.copy(), obs=adata.obs.copy(), var=adata.var[[]].copy())


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize(
    ("scores", "balance"),
    [("members", True), ("projection", True), ("projection", False), ("least_squares", False)],
)
def test_the_cells_of_the_fit_get_the_scores_of_the_fit(scores: str, balance: bool) -> None:
    reference = pae.datasets.simulate(400, 300, 6, random_state=3)
    flat.fit(reference, "pathways", scores=scores, balance=balance, progress=False)
    assert ("pae_encoder" in reference.varm) == (scores != "projection" or balance)
    new = bare(reference)
    assert pae.tl.transform(new, reference) is None
    np.testing.assert_array_equal(new.obsm["X_pae"], reference.obsm["X_pae"])
    assert new.uns["pae"]["fit_id"] == reference.uns["pae"]["fit_id"]
    assert new.uns["pae"]["params"]["model"] == "grouped"
    pae.tl.transform(new, reference)  # again, in place of itself


def test_other_cells_and_genes_and_the_order_of_genes_do_not_matter(fitted: ad.AnnData) -> None:
    extra = ad.AnnData(np.ones((400, 2), dtype=np.float32), obs=fitted.obs)
    extra.var_names = ["other_1", "other_2"]
    new = ad.concat([extra, bare(fitted)], axis=1)[[5]].copy()
    new = new[:, np.random.default_rng(0).permutation(302)].copy()
    pae.tl.transform(new, fitted)
    np.testing.assert_allclose(new.obsm["X_pae"], fitted.obsm["X_pae"][[5]], atol=1e-5)


def test_missing_genes_count_as_their_mean_and_are_reported(fitted: ad.AnnData) -> None:
    missing = np.zeros(300, dtype=bool)
    missing[::4] = True
    x = fitted.X.toarray()
    filled = x.copy()
    filled[:, missing] = fitted.var["pae_mean"].to_numpy()[missing]
    at_mean = ad.AnnData(filled, obs=fitted.obs, var=fitted.var[[]])
    pae.tl.transform(at_mean, fitted)
    new = bare(fitted)[:, ~missing].copy()
    encoder = fitted.varm["pae_encoder" if "pae_encoder" in fitted.varm else "pae_loadings"].astype(float)
    share = (encoder[missing] ** 2).sum() / (encoder**2).sum()
    match = f"75 of 300 genes of the model are missing .*they carry {share:.0%} of the squared weights of the scores"
    with pytest.warns(pae.DataWarning, match=match):
        pae.tl.transform(new, fitted)
    np.testing.assert_allclose(new.obsm["X_pae"], at_mean.obsm["X_pae"], atol=1e-4)


def test_a_saved_reference_works_from_its_path_and_names_come_along(fitted: ad.AnnData, tmp_path) -> None:
    fitted.write_h5ad(tmp_path / "reference.h5ad")
    new = bare(fitted)
    pae.tl.transform(new, tmp_path / "reference.h5ad", key_added="ref")
    np.testing.assert_array_equal(new.obsm["X_ref"], fitted.obsm["X_pae"])
    assert list(pae.get.scores(new, key="ref")) == list(pae.get.scores(fitted))
    new.write_h5ad(tmp_path / "new.h5ad")
    pae.tl.transform(ad.read_h5ad(tmp_path / "new.h5ad"), fitted, key_added="ref")  # holds the same fit


def test_symbols_in_a_column_match_the_names_of_the_fit(fitted: ad.AnnData) -> None:
    new = bare(fitted)
    new.var["symbol"] = new.var_names.to_numpy()
    new.var_names = [f"ENSG{i:011d}" for i in range(300)]
    with pytest.raises(ValueError, match="None of the 300 genes"):
        pae.tl.transform(new, fitted)
    assert "X_pae" not in new.obsm
    pae.tl.transform(new, fitted, gene_symbols="symbol")
    np.testing.assert_array_equal(new.obsm["X_pae"], fitted.obsm["X_pae"])


def test_the_layer_of_the_fit_is_the_default(fitted: ad.AnnData) -> None:
    reference = bare(fitted)
    reference.layers["lognorm"] = reference.X.copy()
    reference.varm["pathways"] = fitted.varm["pathways"]
    flat.fit(reference, "pathways", layer="lognorm", n_extra=3, progress=False, **options_of(fitted))
    new = bare(fitted)
    with pytest.raises(KeyError, match="layer='lognorm'"):
        pae.tl.transform(new, reference)
    new.layers["lognorm"], new.X = new.X, None
    pae.tl.transform(new, reference)
    np.testing.assert_array_equal(new.obsm["X_pae"], fitted.obsm["X_pae"])


def test_bad_input_is_refused(fitted: ad.AnnData) -> None:
    new = bare(fitted)
    lost = fitted.copy()
    slot = "pae_encoder" if "pae_encoder" in fitted.varm else "pae_loadings"
    del lost.varm[slot]
    with pytest.raises(KeyError, match=slot):
        pae.tl.transform(new, lost)
    with pytest.raises(KeyError, match="reference: No fit under key 'pae': run pae.tl.fit"):
        pae.tl.transform(new, new)
    with pytest.raises(TypeError, match="reference is a int"):
        pae.tl.transform(new, 3)
    with pytest.raises(FileNotFoundError):
        pae.tl.transform(new, "nowhere.h5ad")
    other = pae.tl.fit(fitted, "pathways", n_extra=1, progress=False, copy=True)
    kept = other.obsm["X_pae"].copy()
    with pytest.raises(ValueError, match="adata already holds another fit under 'pae'; choose another key_added"):
        pae.tl.transform(other, fitted)
    np.testing.assert_array_equal(other.obsm["X_pae"], kept)
    new.X = new.X.toarray()
    new.X[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pae.tl.transform(new, fitted)
    assert "X_pae" not in new.obsm
