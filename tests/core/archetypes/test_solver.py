"""Archetypes against planted vertices, general optimisers, and what must not matter to a fit."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp

from pathwayae.core.archetypes import coreset, simplex
from pathwayae.core.archetypes.solver import Config, fit, fit_many


def mixtures(n=400, k=4, d=8, noise=0.1, seed=0, *, vertices=False):
    """Dirichlet mixtures of k vertices, with noise; the vertices are among the cells if asked for."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(k, d))
    x = rng.dirichlet(np.full(k, 0.5), n) @ z
    x += noise * np.sqrt(x.var(0).mean()) * rng.normal(size=x.shape)
    return (np.concatenate([z, x]) if vertices else x), z


def error(found, vertices):
    distances = scipy.spatial.distance.cdist(found, vertices)
    return distances[scipy.optimize.linear_sum_assignment(distances)].max()


def explained(x, found, w=None):
    w = np.ones(len(x)) if w is None else w
    mean = w @ x / w.sum()
    residual = x - found.weights.astype(float) @ found.archetypes
    return 1 - (w @ np.square(residual).sum(1)) / (w @ np.square(x - mean).sum(1))


# What a fit is.


def test_vertices_among_the_cells_are_recovered_exactly_without_noise():
    x, z = mixtures(noise=0, vertices=True)
    found = fit(x, Config(4))
    assert error(found.archetypes, z) < 1e-4
    assert found.explained_variance > 1 - 1e-9
    assert found.converged


@pytest.mark.parametrize("delta", [0.0, 0.3])
def test_archetypes_are_mixtures_of_the_named_cells_and_weights_lie_on_the_simplex(delta):
    x, _ = mixtures()
    found = fit(x, Config(4, delta=delta))
    np.testing.assert_allclose(found.mixing.sum(1), 1, atol=1e-9)
    assert found.mixing.data.min() > 0
    assert np.diff(found.mixing.indptr).max() <= x.shape[1] + 1
    center = x.mean(0)
    np.testing.assert_allclose(found.archetypes, center + found.alpha[:, None] * (found.mixing @ x - center), atol=1e-9)
    assert (abs(found.alpha - 1) <= delta + 1e-12).all()
    assert found.weights.dtype == np.float32
    assert found.weights.min() >= 0
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)


def test_figures_are_those_of_the_archetypes_and_weights_given():
    x, _ = mixtures()
    found = fit(x, Config(4))
    np.testing.assert_allclose(found.explained_variance, explained(x, found), atol=1e-7)
    np.testing.assert_allclose(found.loss[-1], np.square(x - found.weights @ found.archetypes).sum(1).mean(), rtol=1e-5)
    np.testing.assert_allclose(found.scale**2, x.var(0).sum())
    assert len(found.loss) == found.n_iter
    np.testing.assert_allclose(found.restarts, found.loss[-1:])
    np.testing.assert_allclose(simplex.weights(x, found.archetypes), found.weights, atol=1e-5)  # those of new cells


@pytest.mark.parametrize(("kind", "seed"), [("mixtures", 0), ("noise", 1), ("heavy tails", 2)])
def test_the_loss_never_rises(kind, seed):
    rng = np.random.default_rng(seed)
    x = {
        "mixtures": mixtures(seed=seed)[0],
        "noise": rng.normal(size=(200, 6)),
        "heavy tails": rng.standard_t(2, (200, 6)),
    }
    loss = np.array(fit(x[kind], Config(5)).loss)
    assert (np.diff(loss) <= 1e-12 * loss[0]).all()


def test_the_gap_is_that_of_its_definition_and_bounds_the_archetype_step():
    x, _ = mixtures(n=60, k=3, d=4)
    found = fit(x, Config(3, max_iter=4))
    assert not found.converged
    center = x.mean(0)
    a, z, xc = found.weights.astype(float), found.archetypes - center, x - center
    gradient = 2 * a.T @ (a @ z - xc)
    gap = (gradient * z).sum() - (gradient @ xc.T).min(1).sum()
    total = np.square(xc).sum()
    np.testing.assert_allclose(found.gap, gap / total, rtol=1e-4)
    rows = np.kron(np.eye(3), np.ones(60))

    def objective(b):
        residual = a @ (b.reshape(3, 60) @ xc) - xc
        return np.square(residual).sum() / total, (2 * a.T @ residual @ xc.T).ravel() / total

    best = scipy.optimize.minimize(
        objective,
        found.mixing.toarray().ravel(),
        jac=True,
        bounds=[(0, 1)] * 180,
        constraints={"type": "eq", "fun": lambda b: rows @ b - 1, "jac": lambda b: rows},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 300},
    )
    left = (1 - found.explained_variance) - best.fun
    assert 0 < left <= found.gap


def test_a_converged_fit_is_stationary_in_weights_and_archetypes():
    x, _ = mixtures()
    found = fit(x, Config(4))
    assert found.converged
    assert found.gap < 1e-6
    again = fit(x, Config(4, start=found.archetypes))
    np.testing.assert_allclose(again.loss[-1], found.loss[-1], rtol=1e-6)
    np.testing.assert_allclose(again.archetypes, found.archetypes, atol=1e-3)


@pytest.mark.parametrize("start", ["aa++", "furthest_sum", "kmeans++", np.arange(4), np.eye(4, 8)])
def test_every_start_ends_in_the_same_optimum_on_cells_that_are_mixtures(start):
    x, _ = mixtures()
    reference = fit(x, Config(4, seed=5))
    found = fit(x, Config(4, start=start, seed=3))
    np.testing.assert_allclose(found.explained_variance, reference.explained_variance, atol=1e-6)
    assert error(found.archetypes, reference.archetypes) < 1e-2


def test_given_cells_are_where_the_fit_starts():
    x, z = mixtures(noise=0, vertices=True)
    found = fit(x, Config(4, start=[3, 1, 2, 0], max_iter=1))
    np.testing.assert_allclose(found.archetypes, z[[3, 1, 2, 0]], atol=1e-6)
    x, z = mixtures(n=2000, noise=0, vertices=True)  # among all cells, also with a coreset
    assert error(fit(x, Config(4, start=np.arange(4), coreset=300)).archetypes, z) < 1e-3


def test_the_same_seed_gives_the_same_fit_and_restarts_the_best_of_their_starts():
    x = np.random.default_rng(0).normal(size=(150, 5))
    one, two = fit(x, Config(4, seed=1)), fit(x, Config(4, seed=1))
    np.testing.assert_array_equal(one.weights, two.weights)
    found = fit(x, Config(4, seed=1, n_restarts=5))
    assert found.restarts[0] == one.loss[-1]
    assert len(set(found.restarts)) > 1
    assert found.loss[-1] == min(found.restarts)


# What must not matter.


def test_offsets_and_scale_change_nothing_but_the_units():
    x, _ = mixtures()
    plain = fit(x, Config(4))
    moved = fit(64 * x + 1000, Config(4))
    assert moved.n_iter == plain.n_iter
    np.testing.assert_allclose(moved.explained_variance, plain.explained_variance, atol=1e-9)
    np.testing.assert_allclose(moved.archetypes, 64 * plain.archetypes + 1000, atol=1e-3)
    np.testing.assert_allclose(moved.weights, plain.weights, atol=1e-4)
    np.testing.assert_allclose(moved.loss, np.array(plain.loss) * 64**2, rtol=1e-6)


class Pieces:
    def __init__(self, x, rows, make=np.asarray):
        (self.n, self.n_features), self.x, self.rows, self.make = x.shape, x, rows, make

    def blocks(self):
        for first in range(0, self.n, self.rows):
            yield self.make(self.x[first : first + self.rows])


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix])
def test_cells_in_blocks_are_fitted_as_the_whole(make):
    x, _ = mixtures()
    whole, found = fit(x, Config(4)), fit(Pieces(x, 37, make), Config(4))
    np.testing.assert_allclose(found.explained_variance, whole.explained_variance, atol=1e-8)
    np.testing.assert_allclose(found.archetypes, whole.archetypes, atol=1e-3)
    np.testing.assert_allclose(found.weights, whole.weights, atol=1e-3)


def test_a_constant_feature_changes_nothing():
    x, _ = mixtures()
    whole, found = fit(x, Config(4)), fit(np.column_stack([np.full(len(x), 3.0), x]), Config(4))
    np.testing.assert_allclose(found.weights, whole.weights, atol=1e-4)
    np.testing.assert_allclose(found.archetypes[:, 0], 3)


def test_other_number_types():
    for dtype in (np.float32, np.int64):
        x = (100 * mixtures()[0]).astype(dtype)
        np.testing.assert_allclose(fit(x, Config(4)).weights, fit(x.astype(float), Config(4)).weights, atol=1e-6)


def test_memory_beyond_the_cells_is_that_of_the_weights_and_a_few_chunks():
    x, _ = mixtures(n=30_000, k=3, d=40)
    fit(x[:100], Config(3))
    tracemalloc.start()
    fit(x, Config(3, max_iter=3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30_000 * 3 * 4 + 16 * 2**20 + 0.5 * x.nbytes


# Row weights.


def test_row_weights_are_repeated_cells():
    x, _ = mixtures(n=200)
    w = np.random.default_rng(1).multinomial(200, np.full(200, 1 / 200))
    start = x[[0, 50, 100, 150]]
    weighted = fit(x, Config(4, start=start), row_weights=w)
    repeated = fit(np.repeat(x, w, axis=0), Config(4, start=start))
    np.testing.assert_allclose(weighted.explained_variance, repeated.explained_variance, atol=1e-6)
    np.testing.assert_allclose(weighted.archetypes, repeated.archetypes, atol=5e-3)
    np.testing.assert_allclose(np.repeat(weighted.weights, w, axis=0), repeated.weights, atol=1e-2)
    np.testing.assert_allclose(weighted.explained_variance, explained(x, weighted, w), atol=1e-6)


def test_cells_of_weight_zero_make_no_archetype_but_have_weights():
    x, _ = mixtures()
    w = np.ones(len(x))
    w[fit(x, Config(4)).mixing.indices] = 0
    found = fit(x, Config(4), row_weights=w)
    assert (w[found.mixing.indices] > 0).all()
    np.testing.assert_allclose(found.weights.sum(1), 1, atol=1e-6)


def test_many_fits_are_those_made_one_by_one():
    x, _ = mixtures()
    w = np.random.default_rng(2).multinomial(len(x), np.full(len(x), 1 / len(x)), size=3)
    for one, row in zip(fit_many(x, [Config(3)], row_weights=w), w, strict=True):
        np.testing.assert_array_equal(one.weights, fit(x, Config(3), row_weights=row).weights)
    sweep = fit_many(x, [Config(k) for k in (1, 2, 3, 4)])
    assert [len(one.archetypes) for one in sweep] == [1, 2, 3, 4]
    assert (np.diff([one.explained_variance for one in sweep]) > 0).all()


# Relaxation, entropy, robustness.


def test_relaxed_archetypes_come_nearer_to_vertices_that_few_cells_lie_at():
    x, z = mixtures(n=600, k=5, d=20, noise=0.25, seed=1)
    x = x[np.square(x - z[:, None]).sum(2).min(0) > 0.2 * np.square(z).sum(1).mean()]
    plain, relaxed = fit(x, Config(5)), fit(x, Config(5, delta=0.25))
    assert error(relaxed.archetypes, z) < 0.7 * error(plain.archetypes, z)
    assert relaxed.explained_variance > plain.explained_variance


def test_the_entropy_term_spreads_or_sharpens_the_weights_of_a_fit():
    x, _ = mixtures()

    def entropy(reg):
        a = fit(x, Config(4, entropy_reg=reg)).weights.astype(float)
        return -(a * np.log(np.maximum(a, 1e-300))).sum(1).mean()

    assert entropy(-0.02) > entropy(0.0) + 0.01 > entropy(0.02) + 0.02


@pytest.mark.parametrize("kind", ["huber", "bisquare"])
def test_robust_fits_withstand_gross_outliers(kind):
    x, z = mixtures(n=500, k=3, d=6)
    outliers = np.random.default_rng(3).normal(size=(15, 6)) * 30
    both = np.concatenate([x, outliers])
    clean = error(fit(x, Config(3)).archetypes, z)
    assert error(fit(both, Config(3)).archetypes, z) > 5 * clean
    found = fit(both, Config(3, robust=kind))
    assert error(found.archetypes, z) < 1.5 * clean + 0.1
    assert found.row_weights[500:].max() < 0.2
    assert np.median(found.row_weights[:500]) > 0.9


# Shapes at the edge.


def test_one_archetype_is_the_mean_and_two_of_one_feature_its_ends():
    x = np.random.default_rng(5).normal(size=(50, 1))
    ends = fit(x, Config(2)).archetypes.ravel()
    np.testing.assert_allclose(np.sort(ends), [x.min(), x.max()], atol=1e-5)
    x, _ = mixtures()
    found = fit(x, Config(1))
    np.testing.assert_allclose(found.archetypes[0], x.mean(0), atol=1e-3)
    np.testing.assert_array_equal(found.weights, 1)
    assert abs(found.explained_variance) < 1e-6


def test_as_many_archetypes_as_distinct_cells():
    x = np.repeat(np.random.default_rng(4).normal(size=(5, 3)), 4, axis=0)
    found = fit(x, Config(5))
    assert found.explained_variance > 1 - 1e-9
    more = fit(mixtures(noise=0, vertices=True)[0], Config(6))  # than the cells need
    assert more.explained_variance > 1 - 1e-6
    assert np.isfinite(more.archetypes).all()
    with pytest.raises(ValueError, match="only 5 distinct cells; ask for at most 5"):
        fit(x, Config(6))


def test_an_archetype_that_no_cell_uses_is_put_where_the_fit_is_worst():
    x, z = mixtures(noise=0, vertices=True, k=3)
    start = np.concatenate([z[:2], z[:1]])  # twice the same: one of them is left empty
    found = fit(x, Config(3, start=start))
    assert error(found.archetypes, z) < 1e-3
    assert (found.weights.max(0) > 0.5).all()


# Coresets.


def test_a_large_fit_starts_from_a_coreset_and_ends_in_the_same_optimum(monkeypatch):
    x, _ = mixtures(n=3000)
    whole = fit(x, Config(4))
    monkeypatch.setattr(coreset, "COARSE", 1000)
    monkeypatch.setattr(coreset, "START", 300)
    found = fit(x, Config(4))
    assert found.converged
    np.testing.assert_allclose(found.explained_variance, whole.explained_variance, atol=1e-7)
    assert error(found.archetypes, whole.archetypes) < 1e-3


def test_three_passes_after_a_coreset_are_close_and_say_so():
    x, _ = mixtures(n=5000)
    whole, found = fit(x, Config(4)), fit(x, Config(4, coreset=500))
    assert found.n_iter == 3
    assert abs(found.explained_variance - whole.explained_variance) < 2e-4
    np.testing.assert_allclose(simplex.weights(x, found.archetypes), found.weights, atol=1e-5)
    rough = fit(x, Config(4, coreset=500, polish=1))
    assert rough.explained_variance < found.explained_variance <= whole.explained_variance + 1e-7


# Bad input.


SENSELESS = [
    ({"n_archetypes": 0}, "n_archetypes=0; pass a whole number"),
    ({"n_archetypes": 31}, "only 30 cells; ask for at most 30"),
    ({"max_iter": 0}, "max_iter=0; allowed: at least 1"),
    ({"tol": 0.0}, "tol=0.0"),
    ({"delta": -0.1}, "delta=-0.1; allowed: 0 or more"),
    ({"entropy_reg": np.nan}, "entropy_reg=nan"),
    ({"robust": "tukey"}, "robust='tukey'; allowed: None, 'huber' or 'bisquare'"),
    ({"coreset": 3}, "coreset=3; allowed"),
    ({"coreset": "some"}, "coreset='some'"),
    ({"polish": 0}, "polish=0"),
    ({"n_restarts": 0}, "n_restarts=0"),
    ({"start": "random"}, r"start='random'; choose from aa\+\+, furthest_sum"),
    ({"start": [0, 1, 1]}, "pass 3 different positions"),
    ({"start": [0, 1, 30]}, "start names cell 30; positions run from 0 to 29"),
    ({"start": np.ones((3, 7))}, r"finite, of shape \(3, 8\)"),
]


def test_choices_that_make_no_sense_are_refused():
    x, _ = mixtures(n=30)
    for change, message in SENSELESS:
        with pytest.raises(ValueError, match=message):
            fit(x, replace(Config(3), **change))
    with pytest.raises(ValueError, match="2 rows for 3 configs"):
        fit_many(x, [Config(2)] * 3, row_weights=np.ones((2, 30)))
