"""Starts, coresets and robust weights against what they promise on average."""

import numpy as np
import pytest

from pathwayae.core.archetypes import coreset, starts
from pathwayae.core.archetypes.cells import Cells
from pathwayae.core.archetypes.robust import reweight, weighted_median

ONES = np.ones


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("start", starts.STARTS)
def test_starts_are_distinct_cells_of_weight_and_repeat_with_the_seed(start):
    points = np.repeat(rng().normal(size=(12, 2)), 3, axis=0)
    weights = ONES(36)
    weights[:9] = 0
    chosen = starts.choose(points, 6, start, rng(1), weights)
    assert len(np.unique(points[chosen], axis=0)) == 6
    assert (weights[chosen] > 0).all()
    np.testing.assert_array_equal(chosen, starts.choose(points, 6, start, rng(1), weights))
    points = np.repeat(np.arange(5.0)[:, None], 4, axis=0)
    assert sorted(points[starts.choose(points, 5, start, rng(2), ONES(20)), 0]) == [0, 1, 2, 3, 4]  # all of them


def test_archetypal_start_never_takes_a_cell_within_the_hull_of_the_others():
    corners = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    inside = corners.mean(0) + 0.1 * rng().normal(size=(50, 2))
    points = np.concatenate([corners, inside])
    hits = [set(starts.choose(points, 3, "aa++", rng(s), ONES(53))) for s in range(200)]
    # The first is any cell; once a corner is among two, far corners are almost sure to be next.
    assert np.mean([len(chosen & {0, 1, 2}) >= 2 for chosen in hits]) > 0.95


def test_archetypal_start_draws_by_squared_distance_to_the_hull():
    points = np.array([[0.0], [1.0], [3.0]])
    weights = np.array([1.0, 1.0, 1.0])
    seconds = [tuple(starts.choose(points, 2, "aa++", rng(s), weights)) for s in range(4000)]
    from_first = [b for a, b in seconds if a == 0]
    assert abs(np.mean(np.array(from_first) == 2) - 9 / 10) < 0.03


def test_furthest_sum_takes_the_extremes():
    points = np.concatenate([rng().normal(size=(100, 2)), [[50, 0], [0, 50], [-50, -50]]])
    assert set(starts.choose(points, 3, "furthest_sum", rng(1), ONES(103))) == {100, 101, 102}


# Coresets.


def test_a_coreset_estimates_the_loss_without_bias():
    points = rng(1).standard_t(3, size=(400, 3))
    weights = rng(2).integers(0, 3, 400).astype(float)
    cells = Cells(points, weights)
    z = rng(3).normal(size=(1, 3))
    exact = float(weights @ np.square(points - z).sum(1))
    estimates, masses = [], []
    for s in range(300):
        some = coreset.draw(cells, 60, rng(s))
        estimates.append(some.weights @ np.square(points[some.ids] - z).sum(1))
        masses.append(some.mass)
        assert (weights[some.ids] > 0).all()
    assert abs(np.mean(estimates) / exact - 1) < 4 * np.std(estimates) / exact / np.sqrt(300)
    assert abs(np.mean(masses) / cells.mass - 1) < 4 * np.std(masses) / cells.mass / np.sqrt(300)


def test_coreset_cells_carry_their_names_and_values():
    points = rng(4).normal(size=(300, 2))
    some = coreset.draw(Cells(points), 50, rng(5))
    np.testing.assert_allclose(some.source, points[some.ids], atol=1e-12)
    assert len(np.unique(some.ids)) == some.n <= 50


def test_plans():
    assert coreset.plan(None, 1000) == (0, False)
    assert coreset.plan(None, 10**6) == (coreset.START, False)
    assert coreset.plan("auto", 1000) == (0, False)
    assert coreset.plan("auto", 10**6) == (coreset.AUTO, True)
    assert coreset.plan(500, 1000) == (500, True)
    assert coreset.plan(1000, 1000) == (0, False)


# Robust weights.


def test_weighted_median_is_that_of_repeated_values():
    values, times = rng(6).normal(size=51), rng(7).integers(0, 4, 51)
    repeated = np.sort(np.repeat(values, times))
    assert weighted_median(values, times) == repeated[int(np.ceil(len(repeated) / 2)) - 1]


def test_robust_factors_follow_their_formulas():
    residuals = np.array([0.5, 1.0, 1.0, 1.0, 3.0, 5.9, 6.1])
    np.testing.assert_allclose(reweight(residuals, ONES(7), "huber"), np.minimum(1, 2 / residuals))
    expected = np.where(residuals < 6, (1 - (residuals / 6) ** 2) ** 2, 0)
    np.testing.assert_allclose(reweight(residuals, ONES(7), "bisquare"), expected)
    np.testing.assert_array_equal(reweight(np.array([0.0, 0.0, 0.0, 1.0]), ONES(4), "bisquare"), 1)  # a perfect fit
