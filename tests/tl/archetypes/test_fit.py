"""Archetypes of an AnnData: slots, files, order, profiles, blocks of cells, and what is refused."""

from __future__ import annotations

import logging

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from archetypal_cells import bare

import pathwayae as pae
from pathwayae.models import ArchetypalAnalysis


def assert_same(a: ad.AnnData, b: ad.AnnData, key: str = "archetypes") -> None:
    np.testing.assert_array_equal(a.obsm[f"X_{key}"], b.obsm[f"X_{key}"])
    np.testing.assert_array_equal(a.varm[key], b.varm[key])
    assert set(a.uns[key]) == set(b.uns[key])
    pd.testing.assert_frame_equal(pae.get.scores(a, key=key), pae.get.scores(b, key=key), check_dtype=False)
    for of in ("profiles", "coordinates", "cells"):
        one, other = (pae.get.archetypes(adata, of=of, key=key) for adata in (a, b))
        pd.testing.assert_frame_equal(one, other, check_dtype=False)
    assert a.uns[key]["fit_id"] == b.uns[key]["fit_id"]
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
    assert (np.diff(fitted.obsm["X_archetypes"].sum(axis=0)) <= 0).all()  # numbered by their total weight
    assert entry["params"]["model"] == "archetypes"
    assert entry["params"]["obsm"] == "X_pae"
    assert pae.get.component_names(fitted, key="archetypes") == [f"archetype_{j}" for j in range(4)]
    np.testing.assert_array_equal(pae.get.scores(fitted, key="archetypes"), fitted.obsm["X_archetypes"])
    assert list(pae.get.history(fitted, key="archetypes")) == ["loss"]


def test_named_cells_make_the_archetypes(fitted: ad.AnnData) -> None:
    table, scores = fitted.uns["archetypes"]["cells"], pd.DataFrame(fitted.obsm["X_pae"], index=fitted.obs_names)
    for j, (name, part) in enumerate(table.groupby("archetype")):
        assert name == f"archetype_{j}"
        assert part["weight"].sum() == pytest.approx(1)
        mixed = part["weight"].to_numpy() @ scores.loc[part["cell"]].to_numpy()
        np.testing.assert_allclose(mixed, fitted.uns["archetypes"]["coordinates"][j], atol=1e-5)


def test_labels_are_written_when_asked_for_and_go_with_the_fit(fitted: ad.AnnData) -> None:
    weights = pae.get.scores(fitted, key="archetypes")
    assert fitted.obs["archetypes"].tolist() == weights.idxmax(axis=1).tolist()
    assert fitted.obs["archetypes"].cat.categories.tolist() == weights.columns.tolist()
    np.testing.assert_array_equal(fitted.obs["archetypes_weight"], weights.max(axis=1))
    again = pae.tl.archetypes(fitted, 3, copy=True)
    assert not {"archetypes", "archetypes_weight"} & set(again.obs)
    assert "archetypes" in fitted.obs


def test_what_is_fitted_is_what_is_asked_for_by_default_the_scores(scored: ad.AnnData) -> None:
    own = bare(scored, "X_pca")
    with pytest.raises(
        KeyError, match=r"obsm='X_pae' is not in adata\.obsm, which has \['X_pca'\]: run .*pae\.tl\.fit"
    ):
        pae.tl.archetypes(own, 3)
    own.obsm["X_own"] = pd.DataFrame(scored.obsm["X_pca"][:, :2], index=own.obs_names, columns=["left/right", "up"])
    for obsm, names in (("X_pca", [f"X_pca_{j}" for j in range(8)]), ("X_own", ["left/right", "up"])):
        pae.tl.archetypes(own, 3, obsm=obsm)
        assert own.uns["archetypes"]["params"]["obsm"] == obsm
        assert list(pae.get.archetypes(own, of="coordinates")) == names
    assert list(pae.get.archetypes(pae.tl.archetypes(scored, 3, copy=True), of="coordinates")) == (
        pae.get.component_names(scored)
    )
    own.obsm["X_dense"] = np.maximum(scored.obsm["X_pca"], 0)
    own.obsm["X_sparse"] = sp.csr_matrix(own.obsm["X_dense"])
    for key in ("dense", "sparse"):
        pae.tl.archetypes(own, 3, obsm=f"X_{key}", key_added=f"of_{key}")
    np.testing.assert_allclose(own.obsm["X_of_sparse"], own.obsm["X_of_dense"], atol=1e-5)
    np.testing.assert_allclose(own.varm["of_sparse"], own.varm["of_dense"], atol=1e-5)


def test_the_order_of_cells_and_genes_does_not_matter(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    shuffled = scored[rng.permutation(scored.n_obs), rng.permutation(scored.n_vars)].copy()
    pae.tl.archetypes(shuffled, 4)
    np.testing.assert_array_equal(shuffled.uns["archetypes"]["coordinates"], fitted.uns["archetypes"]["coordinates"])
    for read in (pae.get.scores, pae.get.loadings):
        expected = read(fitted, key="archetypes")
        found = read(shuffled, key="archetypes").loc[expected.index]
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


def test_options_reach_the_solver(scored: ad.AnnData, watched, caplog, capsys) -> None:
    plain = pae.tl.archetypes(scored, 3, copy=True).uns["archetypes"]
    assert "archetypes: " in capsys.readouterr().err  # the bar
    with caplog.at_level(logging.INFO, "pathwayae"):
        fits = {
            name: flat.archetypes(scored, 3, copy=True, progress=False, **{name: value}).uns["archetypes"]
            for name, value in {"delta": 0.3, "n_restarts": 3, "robust": "huber", "coreset": 60}.items()
        }
    assert "3 archetypes: explained variance" in caplog.text
    assert "archetypes: " not in capsys.readouterr().err
    assert fits["delta"]["alpha"].max() > 1
    assert fits["delta"]["explained_variance"] > plain["explained_variance"]
    assert len(fits["n_restarts"]["restarts"]) == 3
    for name in ("delta", "robust", "coreset"):
        assert not np.array_equal(fits[name]["coordinates"], plain["coordinates"]), name
    with pytest.warns(pae.DataWarning, match="not converged after max_iter=2"):
        pae.tl.archetypes(scored, 4, settings=pae.tl.ArchetypesSettings(max_iter=2), copy=True)


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


@pytest.mark.parametrize("form", ["backed", "dask", "view"])
def test_cells_elsewhere_give_the_fit_of_cells_in_memory(scored: ad.AnnData, form: str, tmp_path) -> None:
    names = np.argsort(scored.obs_names.to_numpy(dtype=str), kind="stable")
    adata = bare(scored[names], "X_pca")  # in the order of the names, so that all start from the same cells
    expected = pae.tl.archetypes(adata, 3, obsm=None, copy=True)
    decoded = pae.tl.archetypes(adata, 3, obsm="X_pca", copy=True)
    if form == "backed":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    elif form == "dask":
        adata.X = pytest.importorskip("dask.array").from_array(adata.X.toarray(), chunks=(70, 90))
    else:
        adata.X = adata.X.toarray()
        adata = adata[np.arange(adata.n_obs)]
    of_pca = pae.tl.archetypes(adata, 3, obsm="X_pca", copy=form == "view") or adata
    np.testing.assert_allclose(of_pca.varm["archetypes"], decoded.varm["archetypes"], atol=1e-4)
    found = pae.tl.archetypes(adata, 3, obsm=None, copy=form == "view") or adata
    np.testing.assert_allclose(found.obsm["X_archetypes"], expected.obsm["X_archetypes"], atol=1e-4)
    np.testing.assert_allclose(found.varm["archetypes"], expected.varm["archetypes"], atol=1e-4)
    cells = [pae.get.archetypes(one, of="cells")["cell"].tolist() for one in (found, expected)]
    assert cells[0] == cells[1]
    if form == "backed":  # new cells are read by blocks
        pae.tl.transform(adata, expected, key="archetypes", key_added="new")
        np.testing.assert_allclose(adata.obsm["X_new"], expected.obsm["X_archetypes"], atol=1e-3)


# Slots.


@pytest.mark.parametrize(("kind", "obsm"), [("h5ad", None), ("zarr", "X_pae")])
def test_files_keep_everything(scored: ad.AnnData, obsm: str | None, kind: str, tmp_path) -> None:
    adata = pae.tl.archetypes(scored, 3, obsm=obsm, labels=True, copy=True)
    getattr(adata, f"write_{kind}")(tmp_path / f"a.{kind}")
    back = getattr(ad, f"read_{kind}")(tmp_path / f"a.{kind}")
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


def test_a_copy_leaves_the_cells_as_they_were(scored: ad.AnnData) -> None:
    before = scored.copy()
    assert pae.tl.archetypes(scored, 3, copy=True, labels=True) is not None
    for where in ("obsm", "varm", "uns", "obs", "var"):
        assert list(getattr(scored, where)) == list(getattr(before, where)), where


def test_bad_options_are_refused_and_nothing_is_written(scored) -> None:
    for options, error, match in (
        ({"n_archetypes": 2.0}, TypeError, "n_archetypes=2.0"),
        ({"n_archetypes": 300}, ValueError, "n_archetypes=300.*250 cells"),
        ({"obsm": "X_umap"}, KeyError, "X_umap.*X_pae"),
        ({"obsm": "X_pca", "layer": "scaled"}, KeyError, "layer='scaled'"),
        ({"mask_var": "used"}, ValueError, "mask_var=.used. chooses from X or the layers, but obsm='X_pae'"),
        ({"gene_symbols": "symbol"}, KeyError, "gene_symbols='symbol' is not a column"),
        ({"settings": {"delta": 1}}, TypeError, r"must be pae\.tl\.ArchetypesSettings"),
        ({"obsm": None, "mask_var": "used"}, KeyError, "mask_var='used'"),
        ({"start": "far"}, ValueError, "start='far'"),
        ({"delta": -1}, ValueError, "delta=-1"),
        ({"robust": "median"}, ValueError, "robust='median'"),
        ({"random_state": -1}, ValueError, "random_state=-1"),
        ({"labels": "yes"}, TypeError, "labels='yes'"),
    ):
        adata = scored.copy()
        fit = pae.tl.archetypes if "settings" in options else flat.archetypes
        with pytest.raises(error, match=match):
            fit(adata, **{"n_archetypes": 3, **options})
        assert "archetypes" not in adata.uns
        assert "X_archetypes" not in adata.obsm
        assert "archetypes" not in adata.varm


def test_bad_cells_are_refused_and_nothing_is_written(scored: ad.AnnData) -> None:
    with pytest.raises(TypeError, match=r"ndarray.*pae\.models"):
        pae.tl.archetypes(scored.obsm["X_pae"], 3)
    adata = bare(scored, "X_pca")
    adata.obsm["X_pca"][:] = adata.obsm["X_pca"][np.arange(250) % 3]
    with pytest.raises(ValueError, match="only 3 distinct cells"):
        pae.tl.archetypes(adata, 4, obsm="X_pca")
    pae.tl.archetypes(adata, 3, obsm="X_pca")  # as many as there are
    adata.obsm["X_pca"][:] = 1
    with pytest.raises(ValueError, match="All cells are equal"):
        pae.tl.archetypes(adata, 2, obsm="X_pca", key_added="other")
    adata.obsm["X_pca"][7, 2] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        pae.tl.archetypes(adata, 2, obsm="X_pca", key_added="other")
    adata = bare(scored, "X_pca")
    adata.X.data[0] = np.inf  # what archetypes express comes after the fit
    with pytest.raises(ValueError, match="NaN or infinite"):
        pae.tl.archetypes(adata, 2, obsm="X_pca", key_added="other")
    assert "other" not in adata.uns
    assert "X_other" not in adata.obsm


def test_one_archetype_and_constant_dimensions(scored: ad.AnnData) -> None:
    adata = bare(scored, "X_pca")
    adata.obsm["X_pca"] = np.column_stack([adata.obsm["X_pca"], np.ones(250, dtype=np.float32)])
    pae.tl.archetypes(adata, 1, obsm="X_pca")
    np.testing.assert_array_equal(adata.obsm["X_archetypes"], 1)
    np.testing.assert_allclose(adata.uns["archetypes"]["coordinates"][0], adata.obsm["X_pca"].mean(0), atol=1e-3)
    np.testing.assert_allclose(adata.varm["archetypes"][:, 0], adata.var["archetypes_mean"], atol=1e-3)
