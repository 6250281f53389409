"""Nearest points of hulls and the best mixtures of candidates, against general optimisers."""

import numpy as np
import pytest
import scipy.optimize

from pathwayae.core.archetypes.hull import KEEP, Hull, nearest


def by_slsqp(points, target):
    c = len(points)
    return scipy.optimize.minimize(
        lambda b: np.square(b @ points - target).sum(),
        np.full(c, 1 / c),
        jac=lambda b: 2 * points @ (b @ points - target),
        bounds=[(0, 1)] * c,
        constraints={"type": "eq", "fun": lambda b: b.sum() - 1, "jac": lambda b: np.ones(c)},
        method="SLSQP",
        options={"ftol": 1e-15, "maxiter": 500},
    ).fun


@pytest.mark.parametrize("seed", range(3))
def test_nearest_point_is_that_of_a_general_optimiser(seed):
    rng = np.random.default_rng(seed)
    points, target = rng.normal(size=(15, 4)), 2 * rng.normal(size=4)
    point, weights = nearest(points, target)
    np.testing.assert_allclose(np.square(point - target).sum(), by_slsqp(points, target), rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weights @ points, point)
    np.testing.assert_allclose(weights.sum(), 1)
    assert weights.min() >= 0
    assert (weights > 0).sum() <= 5


def test_no_point_lies_beyond_the_plane_through_the_nearest_one():
    rng = np.random.default_rng(5)
    points, target = rng.normal(size=(200, 10)), np.full(10, 3.0)
    point, _ = nearest(points, target)
    assert ((points - point) @ (target - point)).max() < 1e-8


def test_a_target_inside_is_reached_as_are_duplicates_and_a_single_point():
    rng = np.random.default_rng(6)
    points = rng.normal(size=(50, 3))
    target = rng.dirichlet(np.ones(50)) @ points
    np.testing.assert_allclose(nearest(points, target)[0], target, atol=1e-5)
    np.testing.assert_allclose(nearest(np.ones((4, 2)), np.zeros(2))[0], [1, 1])
    np.testing.assert_allclose(nearest(np.array([[2.0, 3.0]]), np.zeros(2))[0], [2, 3])


# Archetypes as mixtures.


def value(z, s, m):
    return float(np.vdot(z, s @ z - 2 * m))


def problem(seed=0, n=40, k=3, d=5):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, d))
    a = rng.dirichlet(np.full(k, 0.4), n)
    return x, a.T @ a, a.T @ x


def test_descent_finds_the_best_mixtures_of_the_candidates():
    x, s, m = problem()
    hull = Hull(np.arange(3), x[:3])
    hull.add(np.arange(40), x)
    hull.descend(s, m, np.ones(3), 40.0)
    found = value(hull.mixtures, s, m)

    def objective(b):
        z = b.reshape(3, 40) @ x
        return value(z, s, m), (2 * (s @ z - m) @ x.T).ravel()

    rows = np.kron(np.eye(3), np.ones(40))
    best = scipy.optimize.minimize(
        objective,
        np.full(120, 1 / 40),
        jac=True,
        bounds=[(0, 1)] * 120,
        constraints={"type": "eq", "fun": lambda b: rows @ b - 1, "jac": lambda b: rows},
        method="SLSQP",
        options={"ftol": 1e-14, "maxiter": 1000},
    )
    assert found <= best.fun + 1e-8 * abs(best.fun)
    gradient = s @ hull.mixtures - m
    gap = 2 * ((gradient * hull.mixtures).sum() - (gradient @ x.T).min(1).sum())
    assert -1e-9 < gap < 1e-5
    assert found - best.fun <= gap + 1e-8  # the gap bounds what is left


def test_stretched_mixtures_are_the_best_of_the_stretched_hull():
    x, s, m = problem(seed=3)
    x -= x.mean(0)
    hull = Hull(np.arange(40), x, np.eye(3, 40))
    hull.descend(s, m, np.full(3, 1.5), 40.0)
    other = Hull(np.arange(40), 1.5 * x, np.eye(3, 40))
    other.descend(s, m, np.ones(3), 40.0)
    np.testing.assert_allclose(1.5 * hull.mixtures, other.mixtures, atol=1e-6)


def test_mixing_names_the_cells():
    x, s, m = problem(seed=4)
    names = np.random.default_rng(0).permutation(100)[:40]
    hull = Hull(names[:3], x[:3])
    hull.add(names, x)
    hull.descend(s, m, np.ones(3), 40.0)
    matrix = hull.matrix(100)
    assert matrix.shape == (3, 100)
    assert set(matrix.indices) <= set(names)
    everything = np.zeros((100, 5))
    everything[names] = x
    np.testing.assert_allclose(matrix @ everything, hull.mixtures, atol=1e-12)


def test_candidates_nobody_uses_are_forgotten_and_the_archetypes_stay():
    rng = np.random.default_rng(5)
    hull = Hull(np.arange(2), rng.normal(size=(2, 3)))
    before = hull.mixtures.copy()
    for i in range(10):
        hull.add(np.arange(2 + 100 * i, 102 + 100 * i), rng.normal(size=(100, 3)))
    assert len(hull.ids) <= 2 + KEEP + 100
    assert len(np.unique(hull.ids)) == len(hull.ids)
    np.testing.assert_allclose(hull.mixtures, before)
    np.testing.assert_allclose(hull.gram, hull.points @ hull.points.T, atol=1e-12)


def test_a_candidate_comes_in_once():
    hull = Hull(np.arange(2), np.eye(2))
    hull.add(np.array([1, 5, 5]), np.array([[0.0, 1.0], [3.0, 3.0], [3.0, 3.0]]))
    assert hull.ids.tolist() == [0, 1, 5]
    hull.place(0, 5)
    np.testing.assert_array_equal(hull.mixtures, [[3, 3], [0, 1]])
