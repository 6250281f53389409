"""Simulated cells: what is planted is what is said."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from pathwayae.datasets import simulate


@pytest.fixture(scope="module")
def adata():
    return simulate(600, 400, 8, n_cell_types=4, random_state=3)


def assert_same(first, second):
    for a, b in ((first.X, second.X), (first.layers["counts"], second.layers["counts"])):
        assert (a != b).nnz == 0
    pd.testing.assert_frame_equal(first.obs, second.obs)
    pd.testing.assert_frame_equal(first.var, second.var)
    for key in ("pathways", "true_loadings"):
        pd.testing.assert_frame_equal(first.varm[key], second.varm[key])
    pd.testing.assert_frame_equal(first.obsm["true_scores"], second.obsm["true_scores"])


def test_shapes_and_types_are_those_documented(adata):
    assert adata.shape == (600, 400)
    assert sp.issparse(adata.X)
    assert adata.X.format == "csr"
    assert adata.X.dtype == np.float32
    assert adata.layers["counts"].shape == (600, 400)
    names = [f"program_{j}" for j in range(1, 9)]
    for frame, index in (
        (adata.varm["pathways"], adata.var_names),
        (adata.varm["true_loadings"], adata.var_names),
        (adata.obsm["true_scores"], adata.obs_names),
    ):
        assert list(frame.columns) == names
        assert frame.index.equals(index)
    assert adata.varm["pathways"].to_numpy().dtype == np.bool_
    assert adata.obs["cell_type"].nunique() == 4
    assert list(adata.obs.columns) == ["cell_type"]  # options at their defaults leave no trace
    assert set(adata.varm) == {"pathways", "true_loadings"}
    assert (adata.var["true_background"] > 0).all()
    assert adata.obs_names.is_unique
    assert adata.var_names.is_unique


def test_the_defaults_are_the_sizes_of_the_design():
    result = simulate()
    assert result.shape == (3000, 1000)
    assert result.varm["pathways"].shape == (1000, 20)
    assert result.obs["cell_type"].nunique() == 6


def test_x_is_the_logarithm_of_counts_per_10_000(adata):
    counts = adata.layers["counts"].toarray().astype(np.float64)
    np.testing.assert_array_equal(counts, counts.round())
    assert counts.min() == 0
    expected = np.log1p(counts / counts.sum(axis=1, keepdims=True) * 1e4)
    np.testing.assert_allclose(adata.X.toarray(), expected, rtol=1e-6)  # float32


def test_the_median_depth_is_the_one_asked_for():
    for depth in [500.0, 3000.0]:
        totals = simulate(2000, 300, 4, depth=depth).layers["counts"].toarray().sum(axis=1)
        # LogNormal(0, 0.3): the median of 2000 has a standard error of 0.3 · 1.25 / √2000 = 0.8 %; 4 of these.
        assert np.median(totals) == pytest.approx(depth, rel=0.034)
        assert np.std(np.log(totals)) == pytest.approx(np.sqrt(0.3**2 + 1 / depth), rel=0.07)


def test_programs_have_25_to_59_genes_and_positive_loadings_for_members_only():
    loadings = simulate(5, 400, 200).varm["true_loadings"].to_numpy()
    size = (loadings > 0).sum(axis=0)
    assert (loadings >= 0).all()
    assert (size.min(), size.max()) == (25, 59)
    members = loadings[loadings > 0]
    # Gamma(2, 1) has mean 2 and variance 2; four standard errors.
    assert members.mean() == pytest.approx(2.0, abs=4 * np.sqrt(2 / members.size))


def test_scores_are_not_negative_and_present_in_a_third_of_the_cells(adata):
    scores = adata.obsm["true_scores"].to_numpy()
    assert (scores >= 0).all()
    assert (scores > 0).mean() == pytest.approx(0.35, abs=4 * np.sqrt(0.35 * 0.65 / scores.size))


def test_a_program_is_high_or_low_by_cell_type():
    result = simulate(6000, 130, 10, n_cell_types=3, random_state=1)
    scores, cell_type = result.obsm["true_scores"], result.obs["cell_type"]
    means = scores.groupby(cell_type.to_numpy()).mean().to_numpy().ravel() / (0.35 * 0.5)
    # Gamma(0.5, 1) where present: 2000 cells a type give a relative standard error of 6 % around 0.3 or 2.0.
    level = np.where(means > 1, 2.0, 0.3)
    np.testing.assert_allclose(means / level, 1.0, atol=0.25)
    assert set(level) == {0.3, 2.0}


def test_gene_sets_miss_members_and_hold_false_ones_as_asked():
    for n_genes in [120, 400]:
        for missing, false in [(0.3, 0.3), (0.0, 0.0), (0.5, 0.1), (0.0, 1.0), (1.0, 0.25), (1.0, 1.0)]:
            result = simulate(5, n_genes, 30, missing=missing, false=false)
            given, true = result.varm["pathways"].to_numpy(), result.varm["true_loadings"].to_numpy() > 0
            size = true.sum(axis=0)
            np.testing.assert_array_equal((true & ~given).sum(axis=0), np.round(missing * size))
            np.testing.assert_array_equal((given & ~true).sum(axis=0), np.round(false * size))


def test_the_cells_show_the_planted_programs(adata):
    # The expected expression is linear in scores · loadings: members rise with the score, other genes do not.
    x = np.asarray(adata.X.todense())
    scores, true = adata.obsm["true_scores"].to_numpy(), adata.varm["true_loadings"].to_numpy() > 0
    correlation = np.corrcoef(x.T, scores.T)[:400, 400:]
    for j in range(8):
        ranks = correlation[true[:, j], j][:, None] > correlation[~true[:, j], j]
        assert ranks.mean() > 0.9


def test_the_same_seed_gives_the_same_cells_also_from_a_file_and_another_gives_others(adata, tmp_path):
    assert_same(adata, simulate(600, 400, 8, n_cell_types=4, random_state=3))
    adata.write_h5ad(tmp_path / "cells.h5ad")
    assert_same(adata, ad.read_h5ad(tmp_path / "cells.h5ad"))
    other = simulate(600, 400, 8, n_cell_types=4, random_state=4)
    assert (adata.X != other.X).nnz > 0
    assert not adata.varm["pathways"].equals(other.varm["pathways"])
    assert not adata.obsm["true_scores"].equals(other.obsm["true_scores"])


def test_the_truth_does_not_depend_on_global_random_states():
    np.random.seed(0)  # noqa: NPY002
    first = simulate(20, 120, 2)
    np.random.seed(1)  # noqa: NPY002
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    assert_same(first, simulate(20, 120, 2))
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_the_default_cells_stay_the_same():
    # Benchmarks stand on these cells: a change of the random stream must be meant.
    counts = simulate(30, 120, 3).layers["counts"]
    assert counts.sum() == 96_043
    assert simulate(30, 120, 3).varm["pathways"].to_numpy().sum(axis=0).tolist() == [54, 58, 55]


def test_the_arguments_and_what_is_high_are_kept(tmp_path):
    result = simulate(50, 130, 3, missing=0.1, n_batches=2, random_state=7)
    kept = dict(result.uns["simulation"])
    high = kept.pop("high")
    pd.testing.assert_frame_equal(simulate(**kept).varm["pathways"], result.varm["pathways"])
    assert high.shape == (6, 3)
    result.write_h5ad(tmp_path / "cells.h5ad")
    read = ad.read_h5ad(tmp_path / "cells.h5ad")
    pd.testing.assert_frame_equal(read.uns["simulation"]["high"], high)
    assert read.uns["simulation"]["missing"] == 0.1
    pd.testing.assert_frame_equal(read.varm["true_batch_effects"], result.varm["true_batch_effects"])
    assert read.obs["batch"].equals(result.obs["batch"])


def test_programs_share_the_genes_asked_for():
    for overlap in [0.2, 0.5, 1.0]:
        result = simulate(5, 400, 20, overlap=overlap, missing=0.2, false=0.1)
        true = result.varm["true_loadings"].to_numpy() > 0
        size = true.sum(axis=0)
        plain = simulate(5, 400, 20, missing=0.2, false=0.1).varm["true_loadings"].to_numpy() > 0
        np.testing.assert_array_equal(size, plain.sum(axis=0))
        shared = true.T.astype(int) @ true
        for j in range(1, 20):
            # At least this many with one program before it, as far as that one has so many.
            wanted = np.minimum(np.round(overlap * size[j]), size[:j])
            assert (shared[j, :j] >= wanted).any()
        given = result.varm["pathways"].to_numpy()
        np.testing.assert_array_equal((true & ~given).sum(axis=0), np.round(0.2 * size))


def test_silent_sets_come_last_and_change_nothing_else(adata):
    result = simulate(600, 400, 8, n_cell_types=4, random_state=3, n_silent=200)
    assert list(result.varm["pathways"].columns[:10]) == [*adata.varm["pathways"].columns, "silent_1", "silent_2"]
    size = result.varm["pathways"].iloc[:, 8:].sum(axis=0)
    assert (size.min(), size.max()) == (25, 59)
    result.varm["pathways"] = result.varm["pathways"].iloc[:, :8]
    assert_same(adata, result)


def test_batches_and_donors_multiply_genes_by_known_factors():
    for name in ["batch", "donor"]:
        arguments = {f"n_{name}{'es' if name == 'batch' else 's'}": 3, f"{name}_effect": 0.5}
        plain, result = (simulate(6000, 150, 3, depth=20_000, random_state=2, **given) for given in ({}, arguments))
        effects = result.varm[f"true_{name}_effects"]
        assert list(effects.columns) == [f"{name}_{i}" for i in (1, 2, 3)] == list(result.obs[name].cat.categories)
        assert effects.to_numpy().std() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(2 * effects.size))
        assert result.obs[name].value_counts().min() > 1800
        # Cells differ in nothing else that is true.
        for slot in ("pathways", "true_loadings"):
            pd.testing.assert_frame_equal(result.varm[slot], plain.varm[slot])
        pd.testing.assert_frame_equal(result.obsm["true_scores"], plain.obsm["true_scores"])
        assert result.obs["cell_type"].equals(plain.obs["cell_type"])
        # Observed over expected counts follow the factors, up to one factor per group for the depth.
        rate = plain.obsm["true_scores"].to_numpy() @ plain.varm["true_loadings"].to_numpy().T
        rate += plain.var["true_background"].to_numpy()
        for label in effects:
            cells = (result.obs[name] == label).to_numpy()
            share = np.exp(effects[label].to_numpy()) * rate[cells]
            expected = (share / share.sum(axis=1, keepdims=True)).mean(axis=0)
            counts = result.layers["counts"][cells].toarray()
            observed = (counts / counts.sum(axis=1, keepdims=True)).mean(axis=0)
            common = expected > 1e-3
            np.testing.assert_allclose(observed[common], expected[common], rtol=0.05)


def test_batches_and_donors_are_crossed():
    result = simulate(2000, 120, 2, n_batches=2, n_donors=4)
    assert pd.crosstab(result.obs["batch"], result.obs["donor"]).to_numpy().min() > 150


def test_the_smallest_sizes_work():
    for n_cells, n_programs, n_cell_types in [(1, 1, 1), (2, 3, 9)]:
        result = simulate(n_cells, 120, n_programs, n_cell_types=n_cell_types)
        assert result.shape == (n_cells, 120)
        assert np.isfinite(result.X.toarray()).all()


def test_sizes_and_shares_out_of_range_are_refused_by_name():
    for arguments, message in [
        ({"n_cells": 0}, "n_cells=0 is too small; at least 1"),
        ({"n_genes": 119}, "n_genes=119 is too small; at least 120"),
        ({"n_programs": 0}, "n_programs=0 is too small; at least 1"),
        ({"n_cell_types": 0}, "n_cell_types=0 is too small; at least 1"),
        ({"missing": -0.1}, "missing=-0.1 is not a share"),
        ({"missing": 1.1}, "missing=1.1 is not a share"),
        ({"false": 2}, "false=2 is not a share"),
        ({"false": float("nan")}, "false=nan is no finite number"),
        ({"depth": 0.0}, "depth"),
        ({"depth": -5.0}, "depth"),
        ({"depth": float("inf")}, "depth"),
        ({"overlap": 1.5}, "overlap=1.5 is not a share"),
        ({"overlap": 0.1, "n_programs": 1}, "overlap=0.1 needs at least 2 programs"),
        ({"n_silent": -1}, "n_silent=-1 is too small; at least 0"),
        ({"n_batches": 0}, "n_batches=0 is too small; at least 1"),
        ({"n_donors": 0}, "n_donors=0 is too small; at least 1"),
        ({"batch_effect": -0.1}, "batch_effect=-0.1 is out of range"),
        ({"donor_effect": float("nan")}, "donor_effect=nan is no finite number"),
        ({"random_state": -1}, "random_state=-1 is out of range"),
    ]:
        with pytest.raises(ValueError, match=message):
            simulate(**{"n_cells": 10, "n_genes": 120, "n_programs": 2, **arguments})
    for arguments in ({"n_cells": 10.0}, {"n_batches": "2"}, {"n_silent": True}):
        with pytest.raises(TypeError, match="must be an integer"):
            simulate(**{"n_cells": 10, "n_genes": 120, "n_programs": 2, **arguments})
