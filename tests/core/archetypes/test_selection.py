"""Knee, criterion and choice, against arithmetic and planted numbers of archetypes."""

import numpy as np
import pytest

from pathwayae.core.archetypes import selection, solver


def planted(n, k, d, seed, noise=0.1):
    """Mixtures of k corners that are equally far from each other, turned at random."""
    rng = np.random.default_rng(seed)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    cells = rng.dirichlet(np.full(k, 0.5), n) @ turn[:k]
    return cells + noise * cells.std() * rng.normal(size=cells.shape)


def test_degrees_of_freedom_are_faces_and_coordinates():
    weights = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5], [1 - 1e-9, 1e-9, 0]])
    assert selection.degrees_of_freedom(weights, 4) == 0 + 1 + 2 + 0 + 12


def test_a_projection_onto_a_segment_spends_what_stein_says():
    """df = Σ cov(x̂, x) / σ² by simulation, for fixed archetypes."""
    rng = np.random.default_rng(0)
    n, sigma, ends = 60_000, 0.5, np.array([0.0, 1.0])
    truth = rng.uniform(0, 1, n)
    noise = sigma * rng.normal(size=n)
    place = np.clip(truth + noise, *ends)
    weights = np.column_stack([1 - place, place])
    spent = selection.degrees_of_freedom(weights, 1) - 2
    assert spent / n == pytest.approx((place * noise).mean() / sigma**2, abs=0.01)


def test_the_criterion_is_its_formula():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(4), 30)
    expected = 30 * 6 * np.log(12.5 / 180) + np.log(30) * (30 * 3 + 24)
    assert selection.bic(12.5, 100.0, weights, 6) == pytest.approx(expected)
    assert np.isfinite(selection.bic(0.0, 100.0, weights, 6))


@pytest.mark.parametrize(("scale", "offset"), [(1.0, 0.0), (1000.0, 0.0), (1.0, 50.0)])
def test_the_knee_of_a_bent_line_is_its_bend(scale, offset):
    k = np.arange(2, 11)
    explained = np.minimum(0.2 * (k - 1), 0.8 + 0.01 * (k - 5))
    assert selection.knee(k, scale * explained) == 5
    assert selection.knee(k[1:], explained[1:]) == 5
    assert selection.knee([3], [0.5]) == 3
    assert selection.knee([3, 4], [0.5, 0.9]) == 3


@pytest.mark.parametrize(("n", "k", "d"), [(300, 3, 8), (400, 5, 12)])
def test_knee_and_criterion_find_the_planted_number(n, k, d):
    cells = planted(n, k, d, seed=k)
    numbers = list(range(2, k + 4))
    fits = [solver.fit(cells, solver.Config(m, tol=1e-5)) for m in numbers]
    total = ((cells - cells.mean(axis=0)) ** 2).sum()
    explained = [fit.explained_variance for fit in fits]
    criterion = [
        selection.bic((1 - ev) * total, total, fit.weights, d) for ev, fit in zip(explained, fits, strict=True)
    ]
    table, reason = selection.table(numbers, explained, [fit.gap for fit in fits], criterion)
    assert table.loc[table["knee"], "n_archetypes"].tolist() == [k]
    assert table.loc[table["lowest_bic"], "n_archetypes"].tolist() == [k]
    assert reason == f"{k}: the knee of the explained variance; the lowest BIC says the same"
    assert list(table.columns) == list(selection.COLUMNS)


def test_the_largest_number_without_a_wanderer_is_chosen():
    explained, gaps, criterion = [0.4, 0.6, 0.7, 0.75, 0.78], np.zeros(5), [5, 4, 3, 2, 1]
    stability = [(2, 0.1), (2, 0.3), (4, 0.1), (4, 0.2), (3, 0.3)]
    table, reason = selection.table(range(2, 7), explained, gaps, criterion, stability)
    assert table.loc[table["chosen"], "n_archetypes"].tolist() == [4]
    assert reason.startswith("4: the largest number of archetypes that are all stable")
    assert "the lowest BIC says 6" in reason
    np.testing.assert_array_equal(table["n_stable"], [2, 2, 4, 4, 3])


def test_where_none_is_stable_the_knee_is_chosen_and_it_is_said():
    table, reason = selection.table([2, 3, 4], [0.4, 0.8, 0.81], [0, 0, 0], [1, 2, 3], [(1, 0.1)] * 3)
    assert table.loc[table["chosen"], "n_archetypes"].tolist() == [3]
    assert (
        reason == "3: the knee of the explained variance; no number has only stable archetypes; the lowest BIC says 2"
    )
