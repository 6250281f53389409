"""What follows a fit, from moments by sketch: the same as from the dense form of their matrices."""

import numpy as np
from numpy.testing import assert_allclose
from oracles import sketch

from pathwayae.core.moments.moments import Standardized
from pathwayae.core.moments.sketch import ARRAYS
from pathwayae.core.trust import relevance, selection, stability

N, G = 90, 30


def read(rank=6):
    rng = np.random.default_rng(0)
    x = rng.gamma(1.0, 1.0, (N, 3)) @ rng.gamma(0.5, 1.0, (3, G)) + rng.normal(size=(N, G))
    return sketch(x, rank=rank, codes=np.arange(N) % 3, strata=("a", "b", "c"))


def dense(data):
    return Standardized(data.n, data.gram @ np.eye(G), data.mean, data.scale)


def test_a_draw_is_the_weighted_sketch():
    for weights in (np.array([2.0, 0.0, 1.0]), np.ones(3)):
        drawn, wanted = stability.reweighted(read(), weights), read().weighted(weights).pool()
        assert drawn.strata == ("all",)
        for name in ARRAYS:
            assert_allclose(getattr(drawn, name), getattr(wanted, name), rtol=1e-10, atol=1e-10)


def test_held_out_variance_and_predicted_genes():
    train = read().without("a").standardize()
    left = read().select("a").standardize_with(train.mean, train.scale)
    encoder = np.random.default_rng(1).normal(size=(G, 4))
    for found, wanted in zip(
        relevance.held_out(train, left, encoder),
        relevance.held_out(dense(train), dense(left), encoder),
        strict=True,
    ):
        assert_allclose(found, wanted, rtol=1e-8, atol=1e-10)
    basis, hidden = np.linalg.qr(encoder)[0], np.arange(G) % 3 == 0
    shares = [selection.predicted_share(gram, basis, hidden, 1) for gram in (left.gram, dense(left).gram)]
    assert_allclose(shares[0], shares[1], rtol=1e-9)


def test_refits_are_matched_on_the_scores_of_a_sketch():
    data = read().standardize()
    loadings = np.random.default_rng(2).normal(size=(G, 4))
    other = loadings[:, [0, 1, 3, 2]] * [1.0, 1.0, -1.0, 1.0]
    for gram in (data.gram, dense(data).gram):
        match = stability.Anchor(gram, loadings, loadings, 2).match(other, other)
        assert match.order.tolist() == [0, 1, 3, 2]
        assert_allclose(match.scores, 1.0)
