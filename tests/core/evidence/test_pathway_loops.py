"""Sums of one step of EM against a loop over the genes."""

import numpy as np
import pytest

from pathwayae.core import threads
from pathwayae.core.evidence import pathway_loops


@pytest.mark.parametrize(("g", "n_threads"), [(3, 1), (pathway_loops.BLOCK, 2), (1300, 1), (1300, 2)])
def test_sums_of_a_step_are_those_of_a_loop_over_the_genes(g, n_threads, monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    monkeypatch.setattr(threads, "SMALL", 0)
    rng = np.random.default_rng(0)
    views, seen, member = rng.normal(size=(5, 2, g)), rng.normal(size=(3, g)), rng.random((5, g)) < 0.3
    chosen, b, ratio = np.array([4, 0, 2]), rng.normal(size=(3, 6)), rng.normal(size=(3, 2))
    before = rng.random((5, g))
    posterior = before.copy()
    sums = pathway_loops.posterior_sums(pathway_loops.Genes(views, seen, member), chosen, b, ratio, posterior)
    for q, j in enumerate(chosen):
        total, inside, gradient, hessian, change = 0.0, 0.0, np.zeros(6), np.zeros((6, 6)), 0.0
        for i in range(g):
            row = np.array([*views[j, :, i], *seen[:, i], 1.0])
            fitted = 1 / (1 + np.exp(-b[q] @ row))
            r = 1 / (1 + np.exp(-b[q] @ row - ratio[q, int(member[j, i])]))
            assert posterior[j, i] == pytest.approx(r, abs=1e-14)
            total, inside, change = total + r, inside + r * member[j, i], max(change, abs(r - before[j, i]))
            gradient += (r - fitted) * row
            hessian += fitted * (1 - fitted) * np.outer(row, row)
        expected = (total, inside, gradient, hessian, change)
        for found, value in zip(sums, expected, strict=True):
            np.testing.assert_allclose(found[q], value, rtol=0, atol=1e-11)
    np.testing.assert_array_equal(posterior[[1, 3]], before[[1, 3]])


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_log_odds_beyond_what_an_exponential_can_hold_are_certainties(sign):
    views, nothing = np.full((1, 1, 3), sign * 1e4), np.zeros((0, 3))
    genes = pathway_loops.Genes(views, nothing, np.array([[True, False, True]]))
    posterior = np.zeros((1, 3))
    sums = pathway_loops.posterior_sums(
        genes, np.array([0]), np.array([[1.0, 0.0]]), np.array([[-3.0, 3.0]]), posterior
    )
    np.testing.assert_array_equal(posterior, max(sign, 0.0))
    assert all(np.isfinite(part).all() for part in sums)
