"""Choice, trust and meaning of archetypes on planted corners: what is written, read, kept and refused."""

import anndata
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from anndata import AnnData

import pathwayae as pae
from pathwayae.core.archetypes import bootstrap, features, solver, t_ratio
from pathwayae.pl._archetypes.positions import positions

K = 3


def cornered(n=240, g=40, *, noise=0.05, seed=0):
    """Cells between three corners of ten dimensions; gene j is high at corner j for j < 3; donors of equal make."""
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(K, 0.4), n)
    turn, _ = np.linalg.qr(rng.normal(size=(10, 10)))
    embedding = weights @ (3 * turn[:K]) + noise * rng.normal(size=(n, 10))
    means = np.full((K, g), 0.5)
    means[np.arange(K), np.arange(K)] = 4.0
    genes = np.log1p(rng.poisson(weights @ means)).astype(np.float32)
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    obs["main"] = pd.Categorical.from_codes(weights.argmax(axis=1), [f"type {j}" for j in range(K)])
    obs["donor"] = [f"d{i % 6}" for i in range(n)]
    adata = AnnData(sp.csr_matrix(genes), obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(g)]))
    adata.obsm["X_pca"] = embedding
    return adata


@pytest.fixture(scope="module")
def fitted():
    adata = cornered()
    pae.tl.archetypes(adata, K, obsm="X_pca")
    return adata


@pytest.fixture
def cells(fitted):
    return fitted.copy()


def trusted(adata, **options):
    options = {"n_bootstrap": 6, "n_permutations": 9, "progress": False, **options}
    pae.tl.archetype_trust(adata, **options)
    return pae.get.archetype_trust(adata)


# Trust.


def test_planted_corners_are_stable_and_are_corners(cells):
    table = trusted(cells, n_permutations=19)
    assert table["verdict"].tolist() == ["stable"] * K
    assert (table["spread"] < 0.1).all()
    shape = pae.get.archetype_trust(cells, of="shape").set_index("statistic")
    np.testing.assert_allclose(shape["pval"], 1 / 20)
    assert (shape["observed"] > shape["null_high"]).all()
    expected = "stable: 3 of 3 archetypes are found again in 90 % of 6 draws; t-ratio "
    assert table.attrs["verdict"].startswith(expected)
    assert cells.uns["archetypes"]["verdict"].endswith("p = 0.05")


def test_one_archetype_too_many_wanders(cells):
    pae.tl.archetypes(cells, K + 1, obsm="X_pca")
    table = trusted(cells, n_bootstrap=12, n_permutations=0)
    assert (table["verdict"] == "unstable").any()
    assert table.attrs["verdict"].startswith("unstable: ")
    assert table.attrs["verdict"].endswith("corners not tested")
    with pytest.raises(KeyError, match="No shape"):
        pae.get.archetype_trust(cells, of="shape")


def test_what_is_observed_is_the_fit_and_its_t_ratio_and_draws_are_kept_matched(cells):
    table, entry = trusted(cells), cells.uns["archetypes"]
    shape = pae.get.archetype_trust(cells, of="shape").set_index("statistic")["observed"]
    assert shape["t_ratio"] == pytest.approx(t_ratio.t_ratio(cells.obsm["X_pca"], entry["coordinates"]))
    assert shape["explained_variance"] == pytest.approx(entry["explained_variance"])
    assert entry["bootstrap"].shape == (6, K, 10)
    again = bootstrap.spread(list(table["archetype"]), entry["coordinates"], entry["bootstrap"].astype(float))
    np.testing.assert_allclose(again["spread"], table["spread"], rtol=1e-5)


def test_the_order_of_the_cells_changes_nothing(fitted):
    shuffled = fitted[np.random.default_rng(1).permutation(fitted.n_obs)].copy()
    expected, found = trusted(fitted.copy()), trusted(shuffled)
    pd.testing.assert_frame_equal(found, expected)
    sampled = trusted(fitted.copy(), max_cells=150)
    pd.testing.assert_frame_equal(trusted(shuffled, max_cells=150), sampled)
    assert not np.allclose(sampled["spread"], expected["spread"])


def test_donors_are_drawn_whole(cells, monkeypatch):
    seen = []
    fit_many = solver.fit_many

    def watched(values, configs, *, row_weights=None):
        seen.extend(row_weights)
        return fit_many(values, configs, row_weights=row_weights)

    monkeypatch.setattr(solver, "fit_many", watched)
    trusted(cells, sample_key="donor", n_permutations=0)
    donors = cells.obs["donor"].to_numpy()[np.argsort(cells.obs_names.to_numpy(dtype=str), kind="stable")]
    assert len(seen) == 6
    for times in seen:
        assert pd.Series(times).groupby(donors).nunique().eq(1).all()
        assert pd.Series(times).groupby(donors).first().sum() == 6


def test_archetypes_of_genes_are_trusted_whatever_the_order_of_the_genes(cells):
    pae.tl.archetypes(cells, K, obsm=None)
    shuffled = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    expected = trusted(cells, n_bootstrap=3, n_permutations=2)
    assert "bootstrap" not in cells.uns["archetypes"]
    found = trusted(shuffled, n_bootstrap=3, n_permutations=2)
    pd.testing.assert_frame_equal(found, expected, rtol=1e-4)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_everything_is_there_again_after_writing(cells, tmp_path, form):
    pae.tl.archetype_selection(cells, range(2, 4), obsm="X_pca", n_bootstrap=0, progress=False)
    pae.tl.archetype_features(cells, groupby="main")
    expected = trusted(cells, n_bootstrap=2, n_permutations=2)
    path = tmp_path / f"cells.{form}"
    getattr(cells, f"write_{form}")(path)
    again = getattr(anndata, f"read_{form}")(path)
    for getter in (
        pae.get.archetype_trust,
        pae.get.archetype_selection,
        pae.get.archetype_features,
        pae.get.archetype_groups,
    ):
        pd.testing.assert_frame_equal(getter(again), getter(cells), check_dtype=False)
        assert getter(again).attrs == getter(cells).attrs
    if form == "h5ad":
        pd.testing.assert_frame_equal(trusted(again, n_bootstrap=2, n_permutations=2), expected)


def test_a_copy_leaves_the_cells_alone(cells):
    before = set(cells.uns["archetypes"])
    other = pae.tl.archetype_trust(cells, n_bootstrap=2, n_permutations=2, progress=False, copy=True)
    assert set(cells.uns["archetypes"]) == before
    assert {"trust", "shape", "verdict", "bootstrap"} <= set(other.uns["archetypes"])
    selected = pae.tl.archetype_selection(cells, [2], obsm="X_pca", n_bootstrap=0, progress=False, copy=True)
    assert "archetypes_selection" in selected.uns
    assert "archetypes_selection" not in cells.uns
    meant = pae.tl.archetype_features(cells, copy=True)
    assert "features" in meant.uns["archetypes"]
    assert "features" not in cells.uns["archetypes"]


def test_wrong_requests_are_refused(cells):
    for options, error, message in (
        ({"n_bootstrap": 0}, ValueError, "n_bootstrap=0 is out of range"),
        ({"n_permutations": 1.5}, TypeError, "n_permutations=1.5 must be an integer"),
        ({"null": "genes"}, ValueError, "null='genes' is not known"),
        ({"sample_key": "batch"}, KeyError, "sample_key='batch' is not a column"),
        ({"sample_key": "one"}, ValueError, "at least 3 samples"),
        ({"sample_key": "gaps"}, ValueError, "1 cells have no 'gaps'"),
        ({"key": "pae"}, KeyError, "No archetypes under key 'pae'"),
        ({"max_cells": 3}, ValueError, "max_cells=3 is out of range"),
    ):
        cells.obs["one"] = "a"
        cells.obs["gaps"] = cells.obs["donor"].where(np.arange(cells.n_obs) > 0)
        with pytest.raises(error, match=message):
            trusted(cells, **options)


def test_what_makes_no_sense_to_ask_is_said(cells):
    few, one, replaced = cells[:100].copy(), cells.copy(), cells.copy()
    pae.tl.archetypes(few, 2, obsm=None)
    with pytest.warns(pae.DataWarning, match="100 cells of 40 dimensions are too few"):
        trusted(few, n_bootstrap=1, n_permutations=1)
    trusted(few, n_bootstrap=1, n_permutations=0)
    pae.tl.archetypes(one, 1, obsm="X_pca")
    with pytest.raises(ValueError, match="holds one archetype"):
        trusted(one)
    replaced.obsm["X_pca"] = replaced.obsm["X_pca"][:, :4]
    with pytest.raises(ValueError, match="has 4 dimensions, but the archetypes 10"):
        trusted(replaced)


# Selection.


def test_the_planted_number_is_chosen(cells):
    pae.tl.archetype_selection(
        cells,
        range(2, 5),
        obsm="X_pca",
        n_bootstrap=6,
        settings=pae.tl.ArchetypesSettings(tol=1e-5),
        random_state=3,
        progress=False,
    )
    table = pae.get.archetype_selection(cells)
    assert cells.uns["archetypes_selection"]["n_archetypes"] == K
    assert table.loc[table["chosen"], "n_archetypes"].tolist() == [K]
    assert table.loc[table["lowest_bic"], "n_archetypes"].tolist() == [K]
    assert table["n_stable"][1] == K
    assert table["n_stable"][2] < K + 1
    assert table.attrs["reason"].startswith("3: the largest number of archetypes that are all stable")
    fit = solver.fit(
        cells.obsm["X_pca"][np.argsort(cells.obs_names.to_numpy(dtype=str))],
        solver.Config(K, tol=1e-5, n_restarts=3, seed=3),
    )
    assert table["explained_variance"][1] == pytest.approx(fit.explained_variance)


def test_without_draws_the_knee_is_chosen_and_a_fit_does_not_touch_it(cells):
    pae.tl.archetype_selection(cells, [4, 2, 3], obsm="X_pca", n_bootstrap=0, progress=False)
    pae.tl.archetypes(cells, 2, obsm="X_pca")
    table = pae.get.archetype_selection(cells)
    assert table["n_archetypes"].tolist() == [2, 3, 4]
    assert table[["n_stable", "spread"]].isna().all(axis=None)
    assert (
        table.loc[table["chosen"], "n_archetypes"].tolist() == table.loc[table["knee"], "n_archetypes"].tolist() == [3]
    )


def test_wrong_selections_are_refused(cells):
    for numbers, options, error, message in (
        ([], {}, ValueError, "at least one"),
        ([2, 2], {}, ValueError, "none twice"),
        ([1, 2], {}, ValueError, "n_archetypes=1 is out of range"),
        ([2.5], {}, TypeError, r"n_archetypes=\[2.5\] must be a list of integers"),
        ([2, 400], {}, ValueError, "n_archetypes=400, but there are only 240 cells"),
        ([2], {"obsm": "X_umap"}, KeyError, "X_umap"),
        ([2], {"mask_var": "hv"}, ValueError, "mask_var=.* chooses from X or the layers, but obsm='X_pca'"),
        ([2], {"n_bootstrap": -1}, ValueError, "n_bootstrap=-1 is out of range"),
    ):
        with pytest.raises(error, match=message):
            pae.tl.archetype_selection(cells, numbers, **{"obsm": "X_pca", "progress": False, **options})
        assert "archetypes_selection" not in cells.uns


# Meaning.


def test_planted_genes_and_types_lead_at_their_corners(cells):
    pae.tl.archetype_features(cells, groupby="main")
    lead = pae.get.archetype_features(cells, n_features=1).set_index("archetype")
    groups = pae.get.archetype_groups(cells, "main")
    most = groups.loc[groups.groupby("archetype")["auroc"].idxmax()].set_index("archetype")
    assert sorted(lead["feature"]) == ["g0", "g1", "g2"]
    for archetype, gene in lead["feature"].items():
        assert most.loc[archetype, "group"] == f"type {gene[1]}"
    assert (lead["padj"] < 1e-6).all()
    assert (most["share_closest"] == 1).all()


def test_the_table_is_the_regression_on_the_weights_of_genes_that_vary(cells):
    cells.X = cells.X.multiply(np.arange(cells.n_vars) != 5).tocsr()
    pae.tl.archetype_features(cells)
    sums = features.Sums(K, cells.n_vars)
    sums.add(cells.X, cells.obsm["X_archetypes"])
    expected = features.regression(sums)
    table = pae.get.archetype_features(cells, archetypes="archetype_1").set_index("feature")
    varies = cells.var_names != "g5"
    assert set(table.index) == set(cells.var_names[varies])
    table = table.loc[cells.var_names[varies]]
    np.testing.assert_allclose(table["effect"], expected.effect[1][varies])
    np.testing.assert_allclose(table["statistic"], expected.statistic[1][varies])
    assert table["pval"].notna().all()


def test_backed_and_dense_cells_in_any_order_give_the_same_features(cells, tmp_path):
    rng = np.random.default_rng(0)
    moved = cells[rng.permutation(cells.n_obs)][:, rng.permutation(cells.n_vars)].copy()
    moved.X = moved.X.toarray()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    backed = sc.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for adata in (cells, moved, backed):
        pae.tl.archetype_features(adata, groupby=["main", "donor"], sample_key="donor")
    for adata in (moved, backed):
        for getter in (pae.get.archetype_features, pae.get.archetype_groups):
            pd.testing.assert_frame_equal(getter(adata), getter(cells), rtol=1e-6)


def test_pathway_scores_are_tested_where_there_are_any():
    adata = pae.datasets.simulate(150, 200, 4)
    pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    pae.tl.archetypes(adata, 3)
    pae.tl.archetype_features(adata)
    both = pae.get.archetype_features(adata)
    assert both["kind"].value_counts()["pathway"] == 3 * 4
    part = pae.get.archetype_features(adata, of="pathway", archetypes="archetype_2")
    assert set(part["feature"]) == set(pae.get.component_names(adata))
    pae.tl.archetype_features(adata, pathways=None)
    assert set(pae.get.archetype_features(adata)["kind"]) == {"gene"}


@pytest.mark.parametrize("obsm", ["X_pca", None])
def test_new_cells_have_features_too(cells, obsm):
    pae.tl.archetypes(cells, K, obsm=obsm, progress=False)
    new = cornered(seed=4)
    new.obsm["X_pca"] = cells.obsm["X_pca"] + 0.0
    pae.tl.transform(new, cells, key="archetypes")
    pae.tl.archetype_features(new, groupby="donor")
    assert len(pae.get.archetype_groups(new)) == K * 6


def test_getters_filter(cells):
    pae.tl.archetype_features(cells, groupby=["main", "donor"])
    table = pae.get.archetype_features(cells)
    found = pae.get.archetype_features(cells, max_padj=0.05)
    assert 0 < len(found) < len(table)
    assert (found["padj"] <= 0.05).all()
    top = pae.get.archetype_features(cells, archetypes=["archetype_2", "archetype_0"], n_features=2)
    assert top["archetype"].tolist() == ["archetype_2"] * 2 + ["archetype_0"] * 2
    assert (top["effect"] > 0).all()
    assert set(pae.get.archetype_groups(cells)["groupby"]) == {"main", "donor"}
    assert set(pae.get.archetype_groups(cells, "main")["group"]) == {"type 0", "type 1", "type 2"}
    assert (pae.get.archetype_groups(cells, max_padj=0.01)["padj"] <= 0.01).all()


def test_wrong_features_are_refused(cells):
    for options, error, message in (
        ({"groupby": "nothing"}, KeyError, "groupby='nothing' is not a column"),
        ({"groupby": "number"}, ValueError, "holds numbers"),
        ({"groupby": "one"}, ValueError, r"has 1 group\(s\)"),
        ({"pathways": "pae"}, KeyError, "No fit under key 'pae'"),
        ({"layer": "counts"}, KeyError, "counts"),
        ({"sample_key": "one"}, ValueError, "at least 3 samples"),
        ({"key": "other"}, KeyError, "No archetypes under key 'other'"),
    ):
        cells.obs["one"], cells.obs["number"] = "a", np.arange(cells.n_obs) + 0.5
        with pytest.raises(error, match=message):
            pae.tl.archetype_features(cells, **options)


def test_getters_say_what_to_run(cells):
    with pytest.raises(KeyError, match="pae.tl.archetype_selection"):
        pae.get.archetype_selection(cells)
    with pytest.raises(KeyError, match=r"run pae.tl.archetype_trust"):
        pae.get.archetype_trust(cells)
    with pytest.raises(KeyError, match=r"run pae.tl.archetype_features\(adata, key='archetypes'\) first"):
        pae.get.archetype_features(cells)
    with pytest.raises(KeyError, match=r"with groupby= first"):
        pae.get.archetype_groups(cells)
    with pytest.raises(KeyError, match=r"run pae.tl.archetype_trust"):
        positions(cells, "X_pca", draws=True, key="archetypes")
    with pytest.raises(ValueError, match="of='all' is not known"):
        pae.get.archetype_trust(cells, of="all")
    pae.tl.archetype_features(cells, groupby="main")
    with pytest.raises(KeyError, match="groupby='donor' was not tested"):
        pae.get.archetype_groups(cells, "donor")
    with pytest.raises(KeyError, match="No archetype is called 'x'"):
        pae.get.archetype_features(cells, archetypes="x")
    for options in ({"max_padj": 2}, {"n_features": 0}, {"of": "cell"}):
        with pytest.raises(ValueError, match=f"{next(iter(options))}"):
            pae.get.archetype_features(cells, **options)


def test_positions(cells):
    trusted(cells, n_bootstrap=3, n_permutations=0)
    own = positions(cells, "pca", draws=True, key="archetypes")
    assert own["draw"].tolist() == [d for d in (-1, 0, 1, 2) for _ in range(K)]
    np.testing.assert_allclose(own.iloc[:K, 2:], cells.uns["archetypes"]["coordinates"])
    cells.obsm["X_same"] = cells.obsm["X_pca"][:, :2] * 2
    near = positions(cells, "X_same", n_neighbors=4, key="archetypes")
    for j in range(K):
        far = ((cells.obsm["X_pca"] - cells.uns["archetypes"]["coordinates"][j]) ** 2).sum(axis=1)
        np.testing.assert_allclose(
            near.iloc[j, 2:].to_numpy(float), cells.obsm["X_same"][np.argsort(far)[:4]].mean(axis=0)
        )
    pae.tl.archetypes(cells, K, obsm=None)
    by_weight = positions(cells, "X_same", n_neighbors=1, key="archetypes")
    nearest = cells.obsm["X_archetypes"].argmax(axis=0)
    np.testing.assert_allclose(by_weight.iloc[:, 2:].to_numpy(float), cells.obsm["X_same"][nearest])
