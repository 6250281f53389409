"""Matched agreement, intervals and verdicts against naive loops."""

import itertools

import numpy as np
import pytest

from pathwayae.core.moments import gram_product
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.trust import stability


@pytest.fixture
def cells():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(60, 3)) @ rng.normal(size=(3, 12)) + rng.normal(size=(60, 12))
    return values - values.mean(axis=0)


def random_refit(seed, g=12, k=5):
    return np.random.default_rng(seed).normal(size=(g, k))


def test_as_many_strata_are_drawn_as_there_are_each_equally_likely():
    weights = stability.bootstrap_weights(8, 20000, np.random.default_rng(0))
    assert (weights.sum(axis=1) == 8).all()
    np.testing.assert_allclose(weights.mean(axis=0), 1.0, atol=0.03)
    np.testing.assert_allclose(weights.var(axis=0), 1 - 1 / 8, atol=0.05)  # n p (1 − p) of a multinomial
    again = stability.bootstrap_weights(8, 20000, np.random.default_rng(0))
    np.testing.assert_array_equal(weights, again)


def test_reweighted_moments_are_those_of_cells_repeated():
    rng = np.random.default_rng(1)
    values, codes = rng.poisson(1.0, size=(50, 6)).astype(float), rng.integers(0, 4, size=50)
    moments = accumulate(values, codes=codes, strata=("a", "b", "c", "d"))
    weights = np.array([2.0, 0.0, 1.0, 3.0])
    draw = stability.reweighted(moments, weights)
    repeated = accumulate(np.repeat(values, weights[codes].astype(int), axis=0))
    assert (draw.n, draw.strata) == (repeated.n, ("all",))
    np.testing.assert_allclose(draw.sum, repeated.sum, rtol=1e-12)
    np.testing.assert_allclose(draw.gram, repeated.gram, rtol=1e-12)
    np.testing.assert_allclose(draw.gram, moments.weighted(weights).pool().gram, rtol=1e-12)


@pytest.mark.parametrize("implicit", [False, True])
def test_agreement_is_the_correlation_of_scores_and_the_cosine_of_loadings(cells, implicit):
    loadings, encoder, other, other_encoder = (random_refit(seed) for seed in range(4))
    gram = cells.T @ cells
    if implicit:
        gram = gram_product.standardize(cells, center=True, scale=None).gram
    match = stability.Anchor(gram, loadings, encoder, 5).match(other, other_encoder)
    assert match.order.tolist() == list(range(5))
    assert (match.sign == 1).all()
    for j in range(5):
        a, b = cells @ encoder[:, j], cells @ other_encoder[:, j]
        assert match.scores[j] == pytest.approx(np.corrcoef(a, b)[0, 1], abs=1e-10)
        lengths = np.linalg.norm(loadings[:, j]) * np.linalg.norm(other[:, j])
        assert match.loadings[j] == pytest.approx(loadings[:, j] @ other[:, j] / lengths, abs=1e-10)


@pytest.mark.parametrize("seed", range(3))
def test_free_components_are_matched_as_the_best_of_all_permutations(cells, seed):
    loadings, other, p = random_refit(seed), random_refit(seed + 100), 1
    found = stability.Anchor(cells.T @ cells, loadings, loadings, p).match(other, other)
    scores = np.corrcoef((cells @ loadings).T, (cells @ other).T)[:5, 5:]

    def agreement(order):
        return sum(abs(scores[p + i, p + j]) for i, j in enumerate(order))

    best = max(itertools.permutations(range(4)), key=agreement)
    assert (found.order[p:] - p).tolist() == list(best)
    np.testing.assert_allclose(found.scores[p:], [abs(scores[p + i, p + j]) for i, j in enumerate(best)], atol=1e-10)
    assert found.scores[0] == pytest.approx(scores[0, 0])  # a pathway is matched by name and keeps its sign


def test_refits_that_are_permuted_turned_or_empty(cells):
    loadings, gram = random_refit(7), cells.T @ cells
    other = loadings[:, [0, 1, 4, 2, 3]] * np.array([1, 1, -1, 1, -1])
    found = stability.Anchor(gram, loadings, loadings, 2).match(other, other)
    np.testing.assert_allclose(other[:, found.order] * found.sign, loadings)
    np.testing.assert_allclose([found.scores, found.loadings], 1.0)
    turned = stability.Anchor(gram, loadings, loadings, 5).match(-loadings, -loadings)  # pathways keep their sign
    np.testing.assert_allclose([turned.scores, turned.loadings], -1.0)
    empty = loadings.copy()
    empty[:, [1, 4]] = 0.0
    found = stability.Anchor(gram, loadings, loadings, 3).match(empty, empty)
    assert found.scores[[1, 4]].tolist() == found.loadings[[1, 4]].tolist() == [0.0, 0.0]
    assert found.scores[0] == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "level"), [(1, 0.5), (2, 0.95), (3, 0.5), (20, 0.95), (41, 0.5), (200, 0.95)])
def test_ends_of_intervals_are_percentiles(n, level):
    values = np.random.default_rng(n).normal(size=(n, 4, 3))
    tails = stability.Tails(n, (4, 3), level=level)
    for value in values:
        tails.add(value)
    expected = np.quantile(values, [(1 - level) / 2, (1 + level) / 2], axis=0)
    np.testing.assert_allclose(tails.interval(), expected, atol=1e-6)
    np.testing.assert_array_equal(values, np.random.default_rng(n).normal(size=(n, 4, 3)))


def test_own_share_is_the_part_of_the_squares_inside_the_pathway():
    loadings = np.array([[0.6, 0.0, 1.0], [0.8, 0.0, 0.0]])
    membership = np.array([[True, True], [False, True]])
    own = stability.own_share(loadings, membership)
    assert own[:2].tolist() == pytest.approx([0.36, 0.0])
    assert np.isnan(own[2])


def test_a_score_of_independent_genes_explains_its_chance_share():
    rng, n = np.random.default_rng(0), 400
    units, encoder = rng.gamma(4.0, size=200), rng.normal(size=(200, 4))
    encoder[:, 3] = np.eye(200)[0]
    explained, possible = np.zeros(4), np.zeros(4)
    for _ in range(100):
        values = rng.normal(size=(n, 200)) * units
        ge = values.T @ (values @ encoder)
        explained += (ge**2).sum(axis=0)
        possible += (encoder * ge).sum(axis=0) * (values**2).sum()
    np.testing.assert_allclose(stability.chance_share(n * units**2, n, encoder), explained / possible, rtol=0.015)


def test_verdicts_follow_their_rules():
    nan = np.nan
    cases = [  # low, own, variance, drawn
        ((0.90, 0.9, 0.02, True), "stable"),
        ((0.899, 0.9, 0.02, True), "unstable"),
        ((0.99, 0.49, 0.02, True), "taken over"),
        ((0.99, 0.5, 0.02, True), "stable"),
        ((0.99, 0.9, 0.015, True), "no signal"),
        ((0.2, 0.9, 0.01, True), "no signal"),
        ((0.2, 0.49, 0.01, True), "no signal"),  # the first that applies
        ((0.2, 0.49, 0.0151, True), "taken over"),
        ((0.99, nan, 0.015, False), "no signal"),
        ((0.99, nan, 0.02, True), "stable"),
        ((0.99, nan, 0.02, False), "untested"),
        ((0.5, nan, 0.02, False), "unstable"),
        ((0.99, 0.9, 0.02, False), "stable"),
    ]
    for (low, own, variance, drawn), expected in cases:
        found = stability.verdicts(*(np.array([value]) for value in (low, own, variance, 0.01)), drawn=drawn)
        assert found.tolist() == [expected], (low, own, variance, drawn)


def matches(scores):
    order, ones = np.arange(2), np.ones(2)
    return [stability.Match(order, ones, np.array(values), np.array(values) / 2) for values in scores]


def test_the_table_gives_medians_and_quantiles_over_draws_and_the_worse_of_both_decides():
    draws = matches([(0.95 + 0.001 * i, 0.99) for i in range(21)])
    restarts = matches([(0.99, 0.5), (0.99, 1.0)])
    settings = {"own": np.array([0.9, 0.9]), "variance": np.array([0.1, 0.2]), "chance": np.zeros(2)}
    both = stability.table(["a", "b"], draws, restarts, **settings)
    assert both["verdict"].tolist() == ["stable", "unstable"]
    assert both["scores"].tolist() == pytest.approx([0.96, 0.99])
    assert both["scores_low"].tolist() == pytest.approx([0.951, 0.99])
    assert both["loadings"].tolist() == pytest.approx([0.48, 0.495])
    assert both["restarts"].tolist() == pytest.approx([0.99, 0.525])
    assert both[["n_draws", "n_restarts"]].drop_duplicates().to_numpy().tolist() == [[21, 2]]
    alone = stability.table(["a", "b"], draws, [], **settings)
    assert alone["verdict"].tolist() == ["stable", "stable"]
    assert alone["restarts"].isna().all()
    starts = stability.table(["a", "b"], [], restarts, **settings)
    assert starts["scores"].tolist() == pytest.approx([0.99, 0.75])
    assert starts["n_draws"].tolist() == [0, 0]
