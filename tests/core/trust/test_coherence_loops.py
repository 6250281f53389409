"""Coherence from correlations of low rank against the matrix itself."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from oracles import sketch

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.trust import coherence_loops, relevance

MEMBERS = [np.array([0, 3, 7, 20]), np.arange(1, 30), np.array([4]), np.array([], dtype=int), np.array([5, 6])]


def cells(n=60, g=40, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(1.0, 1.0, (n, 4)) @ rng.gamma(0.5, 1.0, (4, g))).astype(float)
    x[:, 7] = 2.0  # does not vary
    return x


def test_a_low_rank_matrix_and_its_dense_form_have_the_same_coherences():
    rng = np.random.default_rng(1)
    low = LowRank(rng.random(40), rng.normal(size=(40, 5)).astype(np.float32).astype(float))
    dense = (low @ np.eye(40)).astype(np.float32)
    assert_allclose(relevance.coherence(low, MEMBERS), relevance.coherence(dense, MEMBERS), rtol=1e-5)
    assert_array_equal(relevance.coherence(low, MEMBERS)[2:4], 0.0)
    assert len(relevance.coherence(low, [])) == 0


def test_a_sketch_of_full_rank_has_the_correlations_of_the_cells():
    exact = relevance.correlations(accumulate(cells()).standardize(scale=None))
    low = relevance.correlations(sketch(cells(), rank=40).standardize(scale="unit"))
    assert_allclose(low @ np.eye(40), exact, atol=1e-6)
    assert not low.factors[7].any()
    assert_allclose(relevance.coherence(low, MEMBERS), relevance.coherence(exact, MEMBERS), atol=1e-6)
    within = relevance.correlations(sketch(cells(), rank=40, codes=np.arange(60) % 2, strata=("a", "b")).standardize())
    assert_allclose(within.diagonal()[np.arange(40) != 7], 1.0)


def test_random_sets_are_the_same_and_so_is_what_they_say():
    exact = relevance.correlations(accumulate(cells()).standardize(scale=None))
    low = relevance.correlations(sketch(cells(), rank=40).standardize(scale="unit"))
    bins = relevance.matched_bins(cells().mean(axis=0), cells().var(axis=0), 2)
    drawn = [np.array(list(relevance.null_coherence(r, MEMBERS, bins, 70, 3))) for r in (exact, low)]
    assert drawn[0].shape == (70, 5)
    assert_allclose(drawn[1], drawn[0], atol=1e-6)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_digits_do_not_depend_on_threads_or_the_order_of_members(monkeypatch, threads):
    rng = np.random.default_rng(2)
    low = LowRank(np.zeros(40), rng.normal(size=(40, 5)))
    moves = [rng.permutation(40) for _ in range(50)]
    wanted = np.array(list(coherence_loops.coherences(low, MEMBERS, moves)))
    monkeypatch.setattr(coherence_loops, "threads", lambda: threads)
    assert_array_equal(np.array(list(coherence_loops.coherences(low, MEMBERS, moves))), wanted)
    turned = [rows[::-1] for rows in MEMBERS]
    again = np.array(list(coherence_loops.coherences(low, turned, moves)))
    assert_allclose(again, wanted, rtol=0, atol=relevance.TIE / 100)
