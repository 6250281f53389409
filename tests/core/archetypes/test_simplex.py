"""Weights on the simplex against bisection, enumeration of supports and general optimisers."""

import numpy as np
import pytest
import scipy.optimize
import scipy.sparse as sp
import torch

from pathwayae.core.archetypes import active_set, simplex, simplex_device


def planted(seed=0, n=300, k=6, d=9, noise=0.3):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(k, d))
    return rng.dirichlet(np.full(k, 0.5), n) @ z + noise * rng.normal(size=(n, d)), z


def optimality(x, z, a):
    """Largest violation of the conditions of Karush, Kuhn and Tucker, over all cells."""
    gradient = a @ (z @ z.T) - x @ z.T
    level = (a * gradient).sum(1, keepdims=True)
    return max(float((level - gradient).max()), float(np.abs(a * (gradient - level)).max()))


def by_enumeration(x, z):
    """The smallest of the least squares over every support that have no negative weight."""
    best, value = None, np.inf
    k = len(z)
    for mask in range(1, 2**k):
        on = [j for j in range(k) if mask >> j & 1]
        system = np.block([[z[on] @ z[on].T, np.ones((len(on), 1))], [np.ones((1, len(on))), np.zeros((1, 1))]])
        inner = np.linalg.lstsq(system, np.append(z[on] @ x, 1), rcond=None)[0][:-1]
        if inner.min() >= -1e-12 and np.square(x - inner @ z[on]).sum() < value:
            best, value = np.zeros(k), np.square(x - inner @ z[on]).sum()
            best[on] = inner
    return best


# Projection.


def test_projection_is_the_point_of_the_bisected_threshold_and_leaves_the_simplex_as_it_is():
    points = np.random.default_rng(2).dirichlet(np.ones(5), 20)
    np.testing.assert_allclose(simplex.project(points), points, atol=1e-15)
    values = np.random.default_rng(0).normal(size=(50, 7)) * 3
    for row, projected in zip(values, simplex.project(values), strict=True):
        tau = scipy.optimize.brentq(lambda t: np.maximum(row - t, 0).sum() - 1, row.min() - 2, row.max())  # noqa: B023
        np.testing.assert_allclose(projected, np.maximum(row - tau, 0), atol=1e-9)


def test_projection_is_the_solution_of_the_quadratic_program():
    values = np.random.default_rng(1).normal(size=(5, 4))
    for row, projected in zip(values, simplex.project(values), strict=True):
        found = scipy.optimize.minimize(
            lambda a: np.square(a - row).sum(),  # noqa: B023
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints={"type": "eq", "fun": lambda a: a.sum() - 1},
            method="SLSQP",
            options={"ftol": 1e-14},
        )
        np.testing.assert_allclose(projected, found.x, atol=1e-6)


# Exact weights.


def test_weights_are_the_best_of_all_supports():
    x, z = planted(n=40, k=5)
    expected = np.array([by_enumeration(row, z) for row in x])
    np.testing.assert_allclose(simplex.weights(x, z), expected, atol=1e-6)


def test_weights_match_nonnegative_least_squares_with_a_heavy_row_of_ones():
    x, z = planted(seed=3, n=30, k=8, d=20)
    heavy = 1e5
    for row, found in zip(x, simplex.weights(x, z), strict=True):
        a, _ = scipy.optimize.nnls(np.vstack([z.T, heavy * np.ones(len(z))]), np.append(row, heavy))
        np.testing.assert_allclose(found, a, atol=1e-5)


@pytest.mark.parametrize(("k", "d"), [(1, 3), (2, 1), (8, 3), (20, 40)])
def test_weights_are_optimal_also_with_more_archetypes_than_features_allow(k, d):
    x, z = planted(seed=4, k=k, d=d)
    a = np.zeros((len(x), k))
    simplex.solve(z @ z.T, x @ z.T, a)
    assert a.min() >= 0
    np.testing.assert_allclose(a.sum(1), 1, atol=1e-12)
    assert optimality(x, z, a) < 1e-8 * np.square(z).sum(1).max()


def test_weights_do_not_depend_on_start_offset_format_chunks_or_threads(monkeypatch):
    x, z = planted(seed=6, n=600)
    x[np.abs(x) < 0.5] = 0
    whole = simplex.weights(x, z)
    start = np.random.default_rng(0).dirichlet(np.full(len(z), 0.3), len(x)).astype(np.float32)
    np.testing.assert_allclose(simplex.weights(x, z, start=start), whole, atol=1e-6)
    np.testing.assert_allclose(simplex.weights(x + 1e5, z + 1e5), whole, atol=1e-5)
    np.testing.assert_array_equal(simplex.weights(sp.csc_matrix(x), z), whole)
    monkeypatch.setattr(simplex, "PER_THREAD", 10)
    monkeypatch.setattr(simplex, "threads", lambda: 4)
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MAX_ROWS", 77)
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MIN_ROWS", 1)
    np.testing.assert_array_equal(simplex.weights(x, z), whole)
    np.testing.assert_array_equal(simplex.weights(x[:3], z), whole[:3])


def test_weights_over_coinciding_archetypes_still_fit_best():
    x, z = planted(seed=8, k=4)
    twice = np.concatenate([z, z[:2], z[:1] + 1e-9])
    a = simplex.weights(x, twice)
    np.testing.assert_allclose(
        np.square(x - a @ twice).sum(1), np.square(x - simplex.weights(x, z) @ z).sum(1), rtol=1e-5
    )


def test_the_kernels_run_without_compilation_as_well():
    x, z = planted(seed=10, n=5, k=3)
    a, b = np.zeros((5, 3)), np.zeros((5, 3))
    active_set.rows(z @ z.T, x @ z.T, a)
    active_set.rows.py_func(z @ z.T, x @ z.T, b)
    np.testing.assert_allclose(a, b, atol=1e-12)


# Entropy.


def entropy(a):
    a = a.astype(np.float64)
    return -(a * np.log(np.maximum(a, 1e-300))).sum(1)


@pytest.mark.parametrize("reg", [-0.001, -0.05, -2.0])
def test_spread_weights_satisfy_the_condition_of_a_smooth_optimum(reg):
    x, z = planted(seed=11)
    a = np.zeros((len(x), len(z)))
    simplex.solve(z @ z.T, x @ z.T, a, entropy_reg=reg)
    gradient = a @ (z @ z.T) - x @ z.T - 0.5 * reg * (np.log(a) + 1)
    np.testing.assert_allclose(a.sum(1), 1)
    # Equal on all entries; measured with the weights as factors, since the gradient of a tiny one is all digits.
    level = (a * gradient).sum(1, keepdims=True)
    assert np.abs(a * (gradient - level)).max() < 1e-5


def test_spread_weights_are_those_of_a_general_optimiser():
    x, z = planted(seed=12, n=4, k=4)
    found = simplex.weights(x, z, entropy_reg=-0.5)
    for row, a in zip(x, found, strict=True):

        def value(b, row=row):
            b = np.exp(b - b.max()) / np.exp(b - b.max()).sum()
            return np.square(row - b @ z).sum() + 0.5 * (b * np.log(b + 1e-300)).sum()

        best = scipy.optimize.minimize(value, np.zeros(4), method="BFGS", options={"gtol": 1e-9}).x
        np.testing.assert_allclose(a, np.exp(best) / np.exp(best).sum(), atol=1e-4)


def test_the_sign_of_the_entropy_term_spreads_or_sharpens_and_lowers_its_objective():
    x, z = planted(seed=13)
    spread, plain, sharp = (entropy(simplex.weights(x, z, entropy_reg=reg)).mean() for reg in (-0.2, 0.0, 0.2))
    assert spread > plain + 0.01
    assert sharp < plain - 0.01

    def value(a):
        a = a.astype(np.float64)
        return np.square(x - a @ z).sum(1) + 0.3 * entropy(a)

    assert (value(simplex.weights(x, z, entropy_reg=0.3)) <= value(simplex.weights(x, z)) + 1e-5).all()


@pytest.mark.parametrize("reg", [-0.1, 0.1])
def test_the_start_does_not_matter_with_entropy_either(reg):
    x, z = planted(seed=14)
    start = np.random.default_rng(0).dirichlet(np.ones(len(z)), len(x))
    found = simplex.weights(x, z, entropy_reg=reg, start=start)
    plain = simplex.weights(x, z, entropy_reg=reg)
    np.testing.assert_allclose(found, plain, atol=1e-4)
    if reg < 0:  # entropy is in units of the scale
        scaled = simplex.weights(10 * x, 10 * z, entropy_reg=reg, scale=10)
        np.testing.assert_allclose(scaled, plain, atol=1e-5)


# On a device.


def test_the_batched_active_set_finds_the_same_weights():
    problems = [planted(seed=s, n=100, k=5) for s in (16, 17)]
    gram = torch.tensor(np.stack([z @ z.T for _, z in problems]))
    linear = torch.tensor(np.stack([x @ z.T for x, z in problems]))
    cold = simplex_device.solve(gram, linear, torch.zeros_like(linear))
    warm = simplex_device.solve(gram, linear, torch.full_like(linear, 0.2))
    for r, (x, z) in enumerate(problems):
        assert optimality(x, z, cold[r].numpy()) < 1e-8
        np.testing.assert_allclose(cold[r], simplex.weights(x, z), atol=1e-6)
    np.testing.assert_allclose(warm, cold, atol=1e-9)


@pytest.mark.gpu
def test_weights_on_a_gpu():
    x, z = planted(seed=18)
    np.testing.assert_allclose(simplex.weights(x, z, device="cuda"), simplex.weights(x, z), atol=1e-6)


# Bad input.


def test_a_nan_is_named_and_other_features_are_refused():
    with pytest.raises(ValueError, match=r"X has 3 features, but the archetypes are of shape \(2, 4\)"):
        simplex.weights(np.ones((5, 3)), np.ones((2, 4)))
    x, z = planted(n=20)
    x[7, 2] = np.nan
    with pytest.raises(ValueError, match="nan at cell 7, feature 2"):
        simplex.weights(x, z)
    with pytest.raises(ValueError, match="archetypes hold NaN"):
        simplex.weights(x[:5], z + np.nan)
