"""Archetypes of an AnnData: slots, files, order, profiles, blocks of cells, new cells, and what is refused."""

from __future__ import annotations

import logging

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from real_cells import variable_genes

import pathwayae as pae
from pathwayae.core.archetypes import simplex
from pathwayae.models import ArchetypalAnalysis


@pytest.fixture(scope="module")
def scored() -> ad.AnnData:
    adata = pae.datasets.simulate(250, 200, 5, random_state=3)
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    sc.pp.pca(adata, n_comps=8)
    return adata


@pytest.fixture(scope="module")
def fitted(scored: ad.AnnData) -> ad.AnnData:
    return pae.tl.archetypes(scored, 4, labels=True, copy=True)


def bare(adata: ad.AnnData, *obsm: str) -> ad.AnnData:
    """The cells and genes and some embeddings, without any other result."""
    kept = {name: adata.obsm[name].copy() for name in obsm}
    return ad.AnnData(adata.X.copy(), obs=adata.obs[["cell_type"]].copy(), var=adata.var[[]].copy(), obsm=kept)


def assert_same(a: ad.AnnData, b: ad.AnnData, key: str = "archetypes") -> None:
    np.testing.assert_array_equal(a.obsm[f"X_{key}"], b.obsm[f"X_{key}"])
    np.testing.assert_array_equal(a.varm[key], b.varm[key])
    assert set(a.uns[key]) == set(b.uns[key])
    for what in ("weights", "profiles", "coordinates", "cells"):
        pd.testing.assert_frame_equal(
            pae.get.scores(a, what, key=key), pae.get.scores(b, what, key=key), check_dtype=False
        )
    assert {name: str(value) for name, value in a.uns[key]["params"].items()} == {
        name: str(value) for name, value in b.uns[key]["params"].items()
    }


# The fit.


def test_the_slots_hold_what_the_model_on_arrays_finds(fitted: ad.AnnData) -> None:
    order = np.argsort(fitted.obs_names.to_numpy(dtype=str), kind="stable")
    model = ArchetypalAnalysis(4, random_seed=0, n_restarts=5).fit(fitted.obsm["X_pae"][order])
    weights = np.empty_like(model.weights)
    weights[order] = model.weights
    by_size = np.argsort(-weights.sum(0))
    entry = fitted.uns["archetypes"]
    np.testing.assert_array_equal(fitted.obsm["X_archetypes"], weights[:, by_size])
    np.testing.assert_array_equal(entry["coordinates"], model.archetypes[by_size])
    np.testing.assert_array_equal(entry["history"]["loss"], model.loss_history)
    assert entry["gap"] == model.gap_ < 1e-5
    assert entry["explained_variance"] == model.explained_variance_
    assert entry["converged"]
    assert fitted.obsm["X_archetypes"].dtype == np.float32
    assert fitted.obsm["X_archetypes"].sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert entry["params"]["model"] == "archetypes"
    assert entry["params"]["obsm"] == "X_pae"


def test_named_cells_make_the_archetypes(fitted: ad.AnnData) -> None:
    table, scores = fitted.uns["archetypes"]["cells"], pd.DataFrame(fitted.obsm["X_pae"], index=fitted.obs_names)
    for j, (name, part) in enumerate(table.groupby("archetype")):
        assert name == f"archetype_{j}"
        assert part["weight"].sum() == pytest.approx(1)
        mixed = part["weight"].to_numpy() @ scores.loc[part["cell"]].to_numpy()
        np.testing.assert_allclose(mixed, fitted.uns["archetypes"]["coordinates"][j], atol=1e-5)


def test_archetypes_are_numbered_by_their_total_weight(fitted: ad.AnnData) -> None:
    assert (np.diff(fitted.obsm["X_archetypes"].sum(axis=0)) <= 0).all()


def test_labels_are_written_when_asked_for_and_go_with_the_fit(fitted: ad.AnnData) -> None:
    weights = pae.get.scores(fitted, key="archetypes")
    assert fitted.obs["archetypes"].tolist() == weights.idxmax(axis=1).tolist()
    assert fitted.obs["archetypes"].cat.categories.tolist() == weights.columns.tolist()
    np.testing.assert_array_equal(fitted.obs["archetypes_weight"], weights.max(axis=1))
    again = pae.tl.archetypes(fitted, 3, copy=True)
    assert not {"archetypes", "archetypes_weight"} & set(again.obs)
    assert "archetypes" in fitted.obs


def test_what_is_fitted_is_scores_then_components_then_what_is_asked_for(scored: ad.AnnData) -> None:
    assert pae.tl.archetypes(scored, 3, copy=True).uns["archetypes"]["params"]["obsm"] == "X_pae"
    found = pae.tl.archetypes(bare(scored, "X_pca"), 3, copy=True)
    assert found.uns["archetypes"]["params"]["obsm"] == "X_pca"
    assert list(pae.get.archetypes(found, of="coordinates")) == [f"X_pca_{j}" for j in range(8)]
    own = bare(scored)
    own.obsm["X_own"] = pd.DataFrame(scored.obsm["X_pca"][:, :2], index=own.obs_names, columns=["left/right", "up"])
    pae.tl.archetypes(own, 3, obsm="X_own")
    assert list(pae.get.archetypes(own, of="coordinates")) == ["left/right", "up"]


def test_an_embedding_in_sparse_form_gives_the_same(scored: ad.AnnData) -> None:
    adata = bare(scored)
    adata.obsm["X_dense"] = np.maximum(scored.obsm["X_pca"], 0)
    adata.obsm["X_sparse"] = sp.csr_matrix(adata.obsm["X_dense"])
    for key in ("dense", "sparse"):
        pae.tl.archetypes(adata, 3, obsm=f"X_{key}", key_added=f"of_{key}")
    np.testing.assert_allclose(adata.obsm["X_of_sparse"], adata.obsm["X_of_dense"], atol=1e-5)
    np.testing.assert_allclose(adata.varm["of_sparse"], adata.varm["of_dense"], atol=1e-5)


def test_the_order_of_cells_and_genes_does_not_matter(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    shuffled = scored[rng.permutation(scored.n_obs), rng.permutation(scored.n_vars)].copy()
    pae.tl.archetypes(shuffled, 4)
    np.testing.assert_array_equal(shuffled.uns["archetypes"]["coordinates"], fitted.uns["archetypes"]["coordinates"])
    for what in ("weights", "profiles"):
        expected = pae.get.scores(fitted, what, key="archetypes")
        found = pae.get.scores(shuffled, what, key="archetypes").loc[expected.index]
        pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-5)
    pd.testing.assert_frame_equal(pae.get.archetypes(shuffled, of="cells"), pae.get.archetypes(fitted, of="cells"))


def test_starts_are_cells_by_name_or_place_or_coordinates(scored: ad.AnnData) -> None:
    cells = [3, 100, 200]
    names = scored.obs_names[cells].tolist()
    by_place, by_name, by_point = (
        pae.tl.archetypes(scored, 3, start=start, copy=True).uns["archetypes"]
        for start in (cells, names, scored.obsm["X_pae"][cells].astype(float))
    )
    np.testing.assert_array_equal(by_place["history"]["loss"], by_name["history"]["loss"])
    assert by_place["history"]["loss"][-1] == pytest.approx(by_point["history"]["loss"][-1], rel=1e-3)
    order = np.argsort(scored.obs_names.to_numpy(dtype=str), kind="stable")
    model = ArchetypalAnalysis(3, start=[int(np.flatnonzero(order == cell)[0]) for cell in cells])
    model.fit(scored.obsm["X_pae"][order])
    np.testing.assert_array_equal(by_place["history"]["loss"], model.loss_history)
    assert by_place["params"]["start"] == "given"
    with pytest.raises(KeyError, match="nobody"):
        pae.tl.archetypes(scored, 3, start=[*names[:2], "nobody"])


def test_options_reach_the_solver(scored: ad.AnnData) -> None:
    fits = {
        name: flat.archetypes(scored, 3, copy=True, **{name: value}).uns["archetypes"]
        for name, value in {"delta": 0.3, "n_restarts": 3, "robust": "huber", "coreset": 60}.items()
    }
    plain = pae.tl.archetypes(scored, 3, copy=True).uns["archetypes"]
    assert fits["delta"]["alpha"].max() > 1
    assert fits["delta"]["explained_variance"] > plain["explained_variance"]
    assert len(fits["n_restarts"]["restarts"]) == 3
    for name in ("delta", "robust", "coreset"):
        assert not np.array_equal(fits[name]["coordinates"], plain["coordinates"]), name


# Genes.


def test_profiles_of_components_are_their_loadings(scored: ad.AnnData) -> None:
    found = pae.tl.archetypes(scored, 4, obsm="X_pca", copy=True)
    mean = np.asarray(scored.X.mean(axis=0)).ravel()
    expected = mean + found.uns["archetypes"]["coordinates"] @ scored.varm["PCs"].T
    np.testing.assert_allclose(found.varm["archetypes"], expected.T, atol=1e-4)
    np.testing.assert_allclose(found.var["archetypes_mean"], mean, rtol=1e-5)


def test_profiles_of_scores_are_near_to_the_cells_at_the_archetypes(fitted: ad.AnnData) -> None:
    weights, profiles = fitted.obsm["X_archetypes"], pae.get.archetypes(fitted, of="profiles", relative=True).to_numpy()
    x = fitted.X.toarray()
    for j in range(4):
        near = x[np.argsort(-weights[:, j])[:15]].mean(0) - x.mean(0)
        assert np.corrcoef(near, profiles[:, j])[0, 1] > 0.8


def test_a_fit_to_genes_has_its_coordinates_on_the_genes(scored: ad.AnnData) -> None:
    adata = bare(scored)
    mask = np.arange(200) % 4 != 0
    adata.var["used"] = mask
    pae.tl.archetypes(adata, 3, obsm=None, mask_var="used")
    profiles = pae.get.archetypes(adata, of="profiles")
    assert profiles.isna().all(axis=1).to_numpy().tolist() == (~mask).tolist()
    assert (adata.varm["archetypes"][~mask] == 0).all()
    x = adata[:, mask].X.toarray()
    fitted = adata.obsm["X_archetypes"] @ adata.varm["archetypes"][mask].T
    variance = 1 - ((x - fitted) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert adata.uns["archetypes"]["explained_variance"] == pytest.approx(variance, abs=1e-5)
    assert "coordinates" not in adata.uns["archetypes"]
    coordinates = pae.get.archetypes(adata, of="coordinates")
    assert coordinates.columns.tolist() == adata.var_names[mask].tolist()
    np.testing.assert_allclose(adata.var["archetypes_mean"].to_numpy()[mask], x.mean(0), rtol=1e-5)


def test_a_layer_can_be_fitted_or_expressed(scored: ad.AnnData) -> None:
    adata = bare(scored, "X_pca")
    adata.layers["other"], adata.X = adata.X.copy(), None
    pae.tl.archetypes(adata, 3, obsm="X_pca", key_added="no_genes")
    assert "no_genes" not in adata.varm
    with pytest.raises(KeyError, match="pae.tl.archetypes"):
        pae.get.archetypes(adata, of="profiles", key="no_genes")
    pae.tl.archetypes(adata, 3, obsm="X_pca", layer="other")
    expected = pae.tl.archetypes(bare(scored, "X_pca"), 3, obsm="X_pca", copy=True)
    np.testing.assert_array_equal(adata.varm["archetypes"], expected.varm["archetypes"])
    pae.tl.archetypes(adata, 3, obsm="X_pca")  # the same key, now without genes: nothing of the earlier fit stays
    assert "archetypes" not in adata.varm
    assert "archetypes_mean" not in adata.var


@pytest.mark.parametrize("form", ["backed", "dask", "view", "dense"])
def test_cells_elsewhere_give_the_fit_of_cells_in_memory(scored: ad.AnnData, form: str, tmp_path) -> None:
    names = np.argsort(scored.obs_names.to_numpy(dtype=str), kind="stable")
    adata = bare(scored[names], "X_pca")  # in the order of the names, so that all start from the same cells
    expected = pae.tl.archetypes(adata, 3, obsm=None, copy=True)
    decoded = pae.tl.archetypes(adata, 3, obsm="X_pca", copy=True)
    if form == "backed":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    elif form == "dask":
        array = pytest.importorskip("dask.array")
        adata.X = array.from_array(adata.X.toarray(), chunks=(70, 90))
    elif form == "view":
        adata = adata[np.arange(adata.n_obs)]
    else:
        adata.X = adata.X.toarray()
    of_pca = pae.tl.archetypes(adata, 3, obsm="X_pca", copy=form == "view") or adata
    np.testing.assert_allclose(of_pca.varm["archetypes"], decoded.varm["archetypes"], atol=1e-4)
    adata = pae.tl.archetypes(adata, 3, obsm=None, copy=form == "view") or adata
    np.testing.assert_allclose(adata.obsm["X_archetypes"], expected.obsm["X_archetypes"], atol=1e-4)
    np.testing.assert_allclose(adata.varm["archetypes"], expected.varm["archetypes"], atol=1e-4)
    assert (
        pae.get.archetypes(adata, of="cells")["cell"].tolist()
        == pae.get.archetypes(expected, of="cells")["cell"].tolist()
    )


# Slots.


@pytest.mark.parametrize(("kind", "obsm"), [("h5ad", "X_pae"), ("h5ad", "X_pca"), ("h5ad", None), ("zarr", "X_pae")])
def test_files_keep_everything(scored: ad.AnnData, obsm: str | None, kind: str, tmp_path) -> None:
    adata = pae.tl.archetypes(scored, 3, obsm=obsm, labels=True, copy=True)
    if kind == "h5ad":
        adata.write_h5ad(tmp_path / "a.h5ad")
        back = ad.read_h5ad(tmp_path / "a.h5ad")
    else:
        pytest.importorskip("zarr")
        adata.write_zarr(tmp_path / "a.zarr")
        back = ad.read_zarr(tmp_path / "a.zarr")
    assert_same(back, adata)
    assert back.obs["archetypes"].tolist() == adata.obs["archetypes"].tolist()
    new = bare(scored[:10], "X_pae", "X_pca")
    pae.tl.transform(new, tmp_path / f"a.{kind}", key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], adata.obsm["X_archetypes"][:10], atol=1e-3)


def test_subsets_and_concatenations_keep_what_belongs_to_their_cells(fitted: ad.AnnData) -> None:
    part = fitted[50:120, ::2].copy()
    pd.testing.assert_frame_equal(
        pae.get.scores(part, key="archetypes"), pae.get.scores(fitted, key="archetypes").iloc[50:120]
    )
    pd.testing.assert_frame_equal(
        pae.get.archetypes(part, of="profiles"), pae.get.archetypes(fitted, of="profiles").iloc[::2]
    )
    whole = ad.concat([fitted[:100], fitted[100:]], merge="same", uns_merge="same")
    pd.testing.assert_frame_equal(pae.get.scores(whole, key="archetypes"), pae.get.scores(fitted, key="archetypes"))
    assert_same(whole, fitted)


def test_components_and_scores_can_be_read_like_those_of_other_models(fitted: ad.AnnData) -> None:
    assert pae.get.component_names(fitted, key="archetypes") == [f"archetype_{j}" for j in range(4)]
    np.testing.assert_array_equal(pae.get.scores(fitted, key="archetypes"), fitted.obsm["X_archetypes"])
    assert list(pae.get.history(fitted, key="archetypes")) == ["loss"]


def test_a_copy_leaves_the_cells_as_they_were(scored: ad.AnnData) -> None:
    before = scored.copy()
    assert pae.tl.archetypes(scored, 3, copy=True, labels=True) is not None
    assert set(scored.obsm) == set(before.obsm)
    assert set(scored.uns) == set(before.uns)
    assert list(scored.obs) == list(before.obs)
    assert list(scored.var) == list(before.var)


def test_other_keys_stand_beside_each_other(scored: ad.AnnData) -> None:
    adata = scored.copy()
    adata.obsm["X_true"] = adata.obsm["X_pca"]
    pae.tl.archetypes(adata, 3, key_added="three", labels=True)
    pae.tl.archetypes(adata, 4, key_added="four")
    assert adata.obsm["X_three"].shape[1] == 3
    assert adata.obsm["X_four"].shape[1] == adata.varm["four"].shape[1] == 4
    assert {"three", "three_weight"} <= set(adata.obs)
    with pytest.raises(ValueError, match="choose another key_added"):
        pae.tl.archetypes(adata, 3, key_added="pae")
    for key, slot in (
        ("pca", "uns\\['pca'\\]"),
        ("true", "obsm\\['X_true'\\]"),
        ("PCs", "varm\\['PCs'\\]"),
        ("cell_type", "obs\\['cell_type'\\]"),
    ):
        with pytest.raises(ValueError, match=f"{slot} is there already"):
            pae.tl.archetypes(adata, 3, key_added=key, labels=True)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"n_archetypes": 0}, ValueError, "n_archetypes=0"),
        ({"n_archetypes": 2.0}, TypeError, "n_archetypes=2.0"),
        ({"n_archetypes": 300}, ValueError, "n_archetypes=300.*250 cells"),
        ({"obsm": "X_umap"}, KeyError, "X_umap.*X_pae"),
        ({"obsm": None, "layer": "scaled"}, KeyError, "layer='scaled'"),
        ({"obsm": "X_pca", "layer": "scaled"}, KeyError, "layer='scaled'"),
        ({"mask_var": "used"}, ValueError, "mask_var chooses among genes"),
        ({"obsm": None, "mask_var": "used"}, KeyError, "mask_var='used'"),
        ({"start": "far"}, ValueError, "start='far'"),
        ({"delta": -1}, ValueError, "delta=-1"),
        ({"robust": "median"}, ValueError, "robust='median'"),
        ({"random_state": -1}, ValueError, "random_state=-1"),
        ({"device": "abacus"}, ValueError, "device='abacus'"),
        ({"labels": "yes"}, ValueError, "labels='yes'"),
    ],
)
def test_bad_options_are_refused_and_nothing_is_written(scored, options, error, match) -> None:
    adata = scored.copy()
    with pytest.raises(error, match=match):
        flat.archetypes(adata, **{"n_archetypes": 3, **options})
    assert "archetypes" not in adata.uns
    assert "X_archetypes" not in adata.obsm
    assert "archetypes" not in adata.varm


def test_bad_cells_are_refused_and_nothing_is_written(scored: ad.AnnData) -> None:
    with pytest.raises(TypeError, match="ndarray.*ArchetypalAnalysis"):
        pae.tl.archetypes(scored.obsm["X_pae"], 3)
    with pytest.raises(KeyError, match="neither X_pae nor X_pca.*pae.tl.fit"):
        pae.tl.archetypes(bare(scored), 3)
    adata = bare(scored, "X_pca")
    adata.obsm["X_pca"][:] = adata.obsm["X_pca"][np.arange(250) % 3]
    with pytest.raises(ValueError, match="only 3 distinct cells"):
        pae.tl.archetypes(adata, 4)
    pae.tl.archetypes(adata, 3)  # as many as there are
    adata.obsm["X_pca"][:] = 1
    with pytest.raises(ValueError, match="All cells are equal"):
        pae.tl.archetypes(adata, 2, key_added="other")
    adata.obsm["X_pca"][7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pae.tl.archetypes(adata, 2, key_added="other")
    adata = bare(scored, "X_pca")
    adata.X.data[0] = np.inf  # what archetypes express comes after the fit
    with pytest.raises(ValueError, match="NaN or infinite"):
        pae.tl.archetypes(adata, 2, key_added="other")
    assert "other" not in adata.uns
    assert "X_other" not in adata.obsm


def test_one_archetype_and_constant_dimensions(scored: ad.AnnData) -> None:
    adata = bare(scored, "X_pca")
    adata.obsm["X_pca"] = np.column_stack([adata.obsm["X_pca"], np.ones(250, dtype=np.float32)])
    pae.tl.archetypes(adata, 1)
    np.testing.assert_array_equal(adata.obsm["X_archetypes"], 1)
    np.testing.assert_allclose(adata.uns["archetypes"]["coordinates"][0], adata.obsm["X_pca"].mean(0), atol=1e-3)
    np.testing.assert_allclose(adata.varm["archetypes"][:, 0], adata.var["archetypes_mean"], atol=1e-3)


def test_a_fit_that_ends_early_is_told_of(scored: ad.AnnData) -> None:
    with pytest.warns(pae.DataWarning, match="not converged after max_iter=2"):
        pae.tl.archetypes(scored, 4, settings=pae.tl.ArchetypesSettings(max_iter=2), copy=True)


def test_what_was_found_is_logged(scored: ad.AnnData, caplog) -> None:
    with caplog.at_level(logging.INFO, "pathwayae"):
        pae.tl.archetypes(scored, 3, copy=True)
    assert "3 archetypes: explained variance" in caplog.text


# New cells.


@pytest.mark.parametrize("options", [{}, {"obsm": "X_pca"}, {"obsm": None}, {"delta": 0.2}, {"entropy_reg": -0.05}])
def test_the_cells_of_the_fit_get_the_weights_of_the_fit(scored: ad.AnnData, options: dict) -> None:
    reference = flat.archetypes(scored, 4, copy=True, **options)
    new = bare(reference, "X_pae", "X_pca")
    assert pae.tl.transform(new, reference, key="archetypes") is None
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"], atol=1e-3)
    few = bare(reference[[5, 2, 9]], "X_pae", "X_pca")
    few = pae.tl.transform(few, reference, key="archetypes", key_added="ref", copy=True)
    np.testing.assert_allclose(few.obsm["X_ref"], reference.obsm["X_archetypes"][[5, 2, 9]], atol=1e-3)
    assert (
        pae.get.scores(few, key="ref").columns.tolist() == pae.get.scores(reference, key="archetypes").columns.tolist()
    )


def test_new_cells_are_scored_first(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(scored[:20, ::-1])
    with pytest.raises(KeyError, match="pae.tl.transform\\(adata, reference, key='pae'\\)"):
        pae.tl.transform(new, fitted, key="archetypes")
    pae.tl.transform(new, fitted)
    pae.tl.transform(new, fitted, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], fitted.obsm["X_archetypes"][:20], atol=1e-3)
    pae.tl.transform(new, fitted, key="archetypes")  # again, in place of itself


def test_genes_are_matched_by_name_and_missing_ones_left_out(scored: ad.AnnData) -> None:
    reference = pae.tl.archetypes(bare(scored), 3, obsm=None, copy=True)
    order = np.random.default_rng(0).permutation(200)
    new = bare(scored[:30, order])
    pae.tl.transform(new, reference, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"][:30], atol=1e-3)
    z = reference.varm["archetypes"]
    spread = ((z - z.mean(1, keepdims=True)) ** 2).sum(1)
    kept = np.sort(np.argsort(-spread)[:190])
    pae.tl.transform(few := bare(scored[:30, kept]), reference, key="archetypes")
    expected = simplex.weights(scored[:30, kept].X.toarray(), z[kept].T)
    np.testing.assert_allclose(few.obsm["X_archetypes"], expected, atol=1e-5)
    with pytest.warns(pae.DataWarning, match="of 200 genes of the archetypes are missing"):
        pae.tl.transform(bare(scored[:30, np.argsort(spread)[:100]]), reference, key="archetypes")
    renamed = bare(scored[:30])
    renamed.var["symbol"] = renamed.var_names.to_numpy()
    renamed.var_names = [f"ENSG{i}" for i in range(200)]
    with pytest.raises(ValueError, match="None of the 200 genes"):
        pae.tl.transform(renamed, reference, key="archetypes")
    pae.tl.transform(renamed, reference, key="archetypes", gene_symbols="symbol")
    np.testing.assert_allclose(renamed.obsm["X_archetypes"], reference.obsm["X_archetypes"][:30], atol=1e-3)


def test_new_cells_from_files_are_read_by_blocks(scored: ad.AnnData, tmp_path) -> None:
    reference = pae.tl.archetypes(bare(scored), 3, obsm=None, copy=True)
    bare(scored).write_h5ad(tmp_path / "new.h5ad")
    new = ad.read_h5ad(tmp_path / "new.h5ad", backed="r")
    pae.tl.transform(new, reference, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"], atol=1e-3)


def test_new_cells_with_another_embedding_are_refused(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    reference = pae.tl.archetypes(scored, 3, obsm="X_pca", copy=True)
    own = bare(scored[:100])
    sc.pp.pca(own, n_comps=8)
    with pytest.raises(ValueError, match="principal components of their own"):
        pae.tl.transform(own, reference, key="archetypes")
    sc.pp.pca(own, n_comps=5)
    with pytest.raises(ValueError, match="other dimensions \\(5"):
        pae.tl.transform(own, reference, key="archetypes")
    with pytest.raises(KeyError, match="sc.tl.ingest"):
        pae.tl.transform(bare(scored), reference, key="archetypes")
    other = pae.tl.fit(bare_with_pathways(scored), "pathways", n_extra=1, progress=False, copy=True)
    with pytest.raises(ValueError, match="other dimensions"):
        pae.tl.transform(other, fitted, key="archetypes")


def bare_with_pathways(adata: ad.AnnData) -> ad.AnnData:
    made = bare(adata)
    made.varm["pathways"] = adata.varm["pathways"]
    return made


def test_wrong_calls_with_archetypes_are_refused(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(scored, "X_pae")
    for options, match in (({"out": "a.zarr"}, "out="), ({"batch_key": "b"}, "batch_key="), ({"layer": "x"}, "layer=")):
        with pytest.raises(ValueError, match=match):
            pae.tl.transform(new, fitted, key="archetypes", **options)
    with pytest.raises(KeyError):
        pae.tl.transform(new, fitted, key="nothing")
    other = pae.tl.archetypes(new, 4, random_state=1, settings=pae.tl.ArchetypesSettings(delta=0.5), copy=True)
    with pytest.raises(ValueError, match="choose another key_added"):
        pae.tl.transform(other, fitted, key="archetypes")
    assert "X_archetypes" not in new.obsm


@pytest.mark.real
def test_archetypes_of_stimulated_blood_cells_are_its_cell_types_and_interferon(real_data) -> None:
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 1000)
    sc.pp.pca(adata, n_comps=20)
    pae.tl.archetypes(adata, 6)
    entry = adata.uns["archetypes"]
    assert entry["gap"] < 1e-5
    assert entry["converged"]
    assert entry["explained_variance"] > 0.68
    assert entry["cells"]["cell"].isin(adata.obs_names).all()
    weights, relative = pae.get.scores(adata, key="archetypes"), pae.get.archetypes(adata, of="profiles", relative=True)
    interferon = relative.loc["ISG15"].idxmax()
    by_condition = weights[interferon].groupby(adata.obs["condition"], observed=True).mean()
    assert by_condition["stim"] > by_condition["ctrl"] + 0.15
    for gene, cell_type in (("GNLY", "NK cells"), ("CD79A", "B cells")):
        by_type = weights[relative.loc[gene].idxmax()].groupby(adata.obs["cell_type"], observed=True).mean()
        assert by_type.idxmax() == cell_type
        assert by_type.max() > 0.5
    new = adata[:300].copy()
    pae.tl.transform(new, adata, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], adata.obsm["X_archetypes"][:300], atol=1e-3)
