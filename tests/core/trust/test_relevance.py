"""Coherence against matched random sets, and variance explained in cells left out, from moments."""

from itertools import permutations, product

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import kstest

from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments.moments import Standardized
from pathwayae.core.trust import relevance


def typed_cells(n=400, g=300, n_types=5, seed=0):
    """Cells of a few types, so that any two genes are correlated a little; no program behind any set."""
    rng = np.random.default_rng(seed)
    level = rng.gamma(1.0, 1.0, (n_types, g)) * rng.gamma(1.0, 1.0, g)
    return rng.poisson(level[rng.integers(n_types, size=n)]).astype(float)


def judged(cells, members, *, n_null=400, seed=0):
    read = moments.accumulate(cells)
    correlation = relevance.correlations(read.standardize(scale=None))
    bins = relevance.matched_bins(read.mean, read.variance)
    null = np.array(list(relevance.null_coherence(correlation, members, bins, n_null, seed)))
    return relevance.significance(relevance.coherence(correlation, members), null)


def test_coherence_is_the_mean_correlation_of_two_members():
    cells = typed_cells(100, 30)
    cells[:, 7] = 2.0  # does not vary
    members = [np.array([0, 3, 7, 20]), np.arange(1, 30), np.array([4]), np.array([], dtype=int)]
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.nan_to_num(np.corrcoef(cells.T))
    expected = [np.mean([r[i, j] for i in rows for j in rows if i != j] or [0.0]) for rows in members]
    correlation = relevance.correlations(moments.accumulate(cells).standardize(scale=None))
    assert_allclose(relevance.coherence(correlation, members), expected, atol=1e-6)
    assert not correlation[7].any()


def test_bins_are_quantiles_of_the_mean_and_of_the_variance_within():
    rng = np.random.default_rng(0)
    mean, variance = rng.gamma(1.0, 1.0, 600), rng.gamma(1.0, 1.0, 600)
    bins = relevance.matched_bins(mean, variance, 4)
    assert_array_equal(np.bincount(bins), np.full(12, 50))
    for low, high in zip(range(3), range(1, 4), strict=True):
        assert mean[bins // 3 == low].max() <= mean[bins // 3 == high].min()
    for one in range(4):
        parts = [variance[bins == 3 * one + i] for i in range(3)]
        assert parts[0].max() <= parts[1].min()
        assert parts[1].max() <= parts[2].min()
    order = rng.permutation(600)
    assert_array_equal(relevance.matched_bins(mean[order], variance[order], 4), bins[order])


def test_there_are_as_many_bins_as_the_genes_fill_and_too_few_genes_are_refused():
    for g, n in ((15, 3), (149, 12), (400, 30), (1_400, 30), (9_000, 30)):
        values = np.arange(float(g))
        assert len(np.unique(relevance.matched_bins(values, values))) == n
    with pytest.raises(ValueError, match="n_bins=3.*44 genes too few.*n_bins up to 2"):
        relevance.matched_bins(values[:44], values[:44], 3)
    with pytest.raises(ValueError, match="Fit more genes."):
        relevance.matched_bins(values[:14], values[:14])


def test_share_of_own_members_in_random_sets_is_that_over_all_permutations():
    bins = np.array([0, 0, 0, 1, 1, 1, 1])
    members = [np.array([0, 1, 3]), np.array([3, 4, 5, 6]), np.array([], dtype=int)]
    moved = [np.array([*a, *b]) for a, b in product(permutations(range(3)), permutations(range(3, 7)))]
    expected = [np.mean([np.isin(one[rows], rows).mean() for one in moved]) if len(rows) else 0.0 for rows in members]
    assert_allclose(relevance.own_share(members, bins), expected)


def test_a_random_set_has_as_many_genes_of_every_bin():
    bins = relevance.matched_bins(*np.random.default_rng(0).random((2, 90)), 2)
    level = np.random.default_rng(1).random(6)[bins]
    correlation = np.outer(level, level).astype(np.float32)  # knows genes by their bin alone, but for the diagonal
    np.fill_diagonal(correlation, 1.0)
    members = [np.arange(10), np.arange(5, 60, 3)]
    observed = relevance.coherence(correlation, members)
    for one in relevance.null_coherence(correlation, members, bins, 20, 0):
        assert_allclose(one, observed, rtol=1e-5)


def test_the_null_has_the_mean_over_all_sets_with_those_bins():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 8))
    correlation = (values + values.T).astype(np.float32)
    bins = np.repeat([0, 1], 4)
    rows = np.array([0, 1, 4])
    moved = [np.array([*a[:2], b[0]]) for a, b in product(permutations(range(4)), permutations(range(4, 8)))]
    every = np.array([relevance.coherence(correlation, [one])[0] for one in moved])
    null = np.array(list(relevance.null_coherence(correlation, [rows], bins, 4_000, 0)))
    assert abs(null.mean() - every.mean()) < 4 * every.std() / np.sqrt(4_000)
    assert_allclose(np.unique(null.round(4)), np.unique(every.round(4)))


def test_random_sets_overlap_as_the_real_ones_do_and_do_not_depend_on_each_other():
    correlation = np.random.default_rng(0).random((60, 60)).astype(np.float32)
    bins = np.arange(60) % 3
    members = [np.arange(10), np.arange(10), np.arange(5, 25)]
    null = np.array(list(relevance.null_coherence(correlation, members, bins, 30, 4)))
    assert_array_equal(null[:, 0], null[:, 1])
    alone = np.array(list(relevance.null_coherence(correlation, members[2:], bins, 30, 4)))
    assert_array_equal(null[:, 2:], alone)
    other = np.array(list(relevance.null_coherence(correlation, members, bins, 30, 5)))
    assert not np.array_equal(null, other)


def test_p_counts_ties_and_is_adjusted_over_the_pathways():
    rng = np.random.default_rng(0)
    observed, null = rng.normal(1.0, 1.0, 12), rng.normal(size=(99, 12))
    null[:5, 0] = observed[0]
    result = relevance.significance(observed, null)
    pval = np.array([(1 + sum(null[:, j] >= observed[j])) / 100 for j in range(12)])
    order = np.argsort(pval)
    stepped = [min(pval[order[i]] * 12 / (i + 1) for i in range(rank, 12)) for rank in range(12)]
    assert_allclose(result.pval, pval)
    assert_allclose(result.padj[order], np.minimum(stepped, 1.0))
    assert_allclose(result.z, (observed - null.mean(axis=0)) / null.std(axis=0))
    assert_allclose([result.null_low, result.null_high], np.quantile(null, [0.05, 0.95], axis=0))


def test_a_set_that_holds_all_genes_is_like_its_random_sets():
    result = judged(typed_cells(100, 60), [np.arange(60)], n_null=9)
    assert (result.pval[0], result.z[0]) == (1.0, 0.0)


def test_p_is_uniform_where_sets_are_random_in_spite_of_cell_types():
    cells, rng = typed_cells(), np.random.default_rng(1)
    members = [np.sort(rng.choice(300, size, replace=False)) for size in rng.integers(10, 60, 250)]
    result = judged(cells, members)
    assert kstest(result.pval, "uniform").pvalue > 0.01
    assert 0.02 < (result.pval <= 0.05).mean() < 0.08
    assert (result.padj <= 0.05).mean() <= 0.05


def test_p_is_uniform_where_coherent_sets_have_other_names():
    pvalues = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        cells = typed_cells()
        sets = [np.arange(j * 20, j * 20 + 20) for j in range(10)]
        for rows in sets:
            cells[:, rows] += rng.gamma(0.5, 2.0, (len(cells), 1))
        assert (judged(cells, sets).padj <= 0.05).all()
        shuffled = [np.sort(names[rows]) for names in (rng.permutation(300) for _ in range(20)) for rows in sets]
        result = judged(cells, shuffled)
        assert (result.padj <= 0.05).mean() <= 0.05
        pvalues.append(result.pval)
    assert kstest(np.concatenate(pvalues), "uniform").pvalue > 0.01
    assert 0.03 < (np.concatenate(pvalues) <= 0.05).mean() < 0.07


def share_left(cells, left_out, encoder):
    """Share of the left-out sum of squares that the decoder of the other cells leaves over."""
    decoder = np.linalg.lstsq(cells @ encoder, cells, rcond=None)[0]
    return np.sum((left_out - left_out @ encoder @ decoder) ** 2) / np.sum(left_out**2)


def gram(cells):
    return Standardized(len(cells), cells.T @ cells, np.zeros(cells.shape[1]), np.ones(cells.shape[1]))


@pytest.fixture
def parted():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(4, 12))
    return rng.normal(size=(80, 4)) @ mix + rng.normal(size=(80, 12)), rng.normal(size=(30, 4)) @ mix + 0.3, rng


def test_left_out_variance_is_that_of_cells(parted):
    train, left_out, rng = parted
    encoder = rng.normal(size=(12, 5)) * [1.0, 10.0, 0.1, 3.0, 1.0]
    result = relevance.held_out(gram(train), gram(left_out), encoder)
    whole = share_left(train, left_out, encoder)
    assert_allclose(result.together, 1 - whole, rtol=1e-6)
    assert_allclose(result.alone, [1 - share_left(train, left_out, encoder[:, [j]]) for j in range(5)], rtol=1e-6)
    dropped = [share_left(train, left_out, np.delete(encoder, j, axis=1)) - whole for j in range(5)]
    assert_allclose(result.unique, dropped, rtol=1e-5, atol=1e-8)


def test_twins_have_nothing_of_their_own_and_an_empty_component_nothing_at_all(parted):
    train, left_out, rng = parted
    one = rng.normal(size=(12, 2))
    encoder = np.column_stack([one, one[:, 0], np.zeros(12)])
    result = relevance.held_out(gram(train), gram(left_out), encoder)
    expected = share_left(train, left_out, one[:, [0]]) - share_left(train, left_out, one)
    assert_allclose(result.unique, [0.0, expected, 0.0, 0.0], atol=1e-6)
    assert_allclose(result.alone[[0, 3]], [result.alone[2], 0.0], rtol=1e-9)
    assert_allclose(result.together, 1 - share_left(train, left_out, one), rtol=1e-6)
    result = relevance.held_out(gram(train), gram(np.zeros((3, 12))), encoder)  # cells that do not vary
    assert_array_equal([*result.alone, *result.unique, result.together], np.zeros(9))


def test_free_components_are_found_again_in_another_order_with_other_signs():
    free = np.linalg.qr(np.random.default_rng(0).normal(size=(20, 4)))[0]
    order = np.array([2, 0, 3, 1])
    others = (free * [1, -1, 1, -1])[:, order]
    assert_array_equal(order[relevance.matching_order(free, others)], np.arange(4))
