"""Loadings by group against naive loops over dense cells, textbook tests, and planted truth."""

import numpy as np
import pytest
import scipy.sparse as sp
from scipy import stats

from pathwayae.core.trust import group_loadings as core


def cells(seed=0, n=240, g=15, p=2, n_groups=3, n_samples=4):
    """Cells, units, encoder, members, and the stratum of each cell with its group and sample."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(np.exp(rng.normal(size=(n, 3)) @ rng.uniform(0.1, 0.5, (3, g))))
    scale, encoder = values.std(axis=0) ** 0.5, rng.uniform(-0.1, 0.5, (g, p))
    strata = core.Strata(*np.divmod(np.arange(n_groups * n_samples), n_samples))
    codes = rng.permutation(np.arange(n) % len(strata.group))
    return values.astype(float), scale, encoder, rng.random((g, p)) < 0.4, codes, strata


def computed(values, scale, encoder, member, codes, strata, *, n_outside=100, n_blocks=3):
    """What both passes make of the cells, block by block."""
    scores = (values / scale) @ encoder
    blocks = np.array_split(np.arange(len(codes)), n_blocks)
    pooled = core.Pooled(len(strata.group), *encoder.shape)
    for rows in blocks:
        pooled.add(values[rows], scores[rows], codes[rows])
    within = core.spread(pooled, scale, encoder)
    pairs = core.Pairs(len(strata.group), *core.chosen(pooled, within, scale, encoder, member, n_outside))
    for rows in blocks:
        pairs.add(values[rows], scores[rows], codes[rows])
    return within, core.kept(pairs, pooled, within, scale, encoder)


def naive(values, scale, encoder, codes, strata, groups):
    """Products with the rest of the pathway and what is shared, by sample, from cells about their stratum's mean."""
    g, p = encoder.shape
    products, shared = np.zeros((strata.sample.max() + 1, g, p)), np.zeros((strata.sample.max() + 1, p))
    for s, (group, sample) in enumerate(zip(*strata, strict=True)):
        if group not in groups:
            continue
        x = values[codes == s] / scale
        x = x - x.mean(axis=0)
        for j in range(p):
            for i in range(g):
                product = x[:, i] @ (x @ encoder[:, j] - encoder[i, j] * x[:, i])
                products[sample, i, j] += product
                shared[sample, j] += encoder[i, j] * product
    return products, shared


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array])
def test_loadings_are_those_of_naive_loops_over_cells(form):
    values, scale, encoder, member, codes, strata = cells()
    within, kept = computed(form(values) if form is not np.asarray else values, scale, encoder, member, codes, strata)
    result = core.compared(strata, within, kept, np.arange(3))
    products, shared = naive(values, scale, encoder, codes, strata, [0, 1, 2])
    whole = products.sum(axis=0) / shared.sum(axis=0)
    np.testing.assert_allclose(result.shared, whole[kept.genes, kept.pathways], rtol=1e-9)
    for group in range(3):
        products, shared = naive(values, scale, encoder, codes, strata, [group])
        others, rest = naive(values, scale, encoder, codes, strata, {0, 1, 2} - {group})
        for found, theirs in ((result.loading, (products, shared)), (result.reference, (others, rest))):
            expected = (theirs[0].sum(axis=0) / theirs[1].sum(axis=0))[kept.genes, kept.pathways]
            np.testing.assert_allclose(found[:, group], expected, rtol=1e-9)
    assert result.carried.all()


def test_the_weights_of_the_score_times_the_loadings_are_one():
    values, scale, encoder, _, codes, strata = cells(1)
    within, kept = computed(values, scale, encoder, np.ones(encoder.shape, bool), codes, strata)
    loading = core.compared(strata, within, kept, np.arange(3)).loading
    weights = encoder[kept.genes, kept.pathways]
    for j in range(2):
        np.testing.assert_allclose(weights[kept.pathways == j] @ loading[kept.pathways == j], 1.0, rtol=1e-9)


def test_one_group_of_all_cells_has_the_shared_loadings_and_nothing_to_compare_with():
    values, scale, encoder, member, codes, strata = cells(2, n_groups=1)
    result = core.compared(strata, *computed(values, scale, encoder, member, codes, strata), np.array([0]))
    np.testing.assert_array_equal(result.loading[:, 0], result.shared)
    assert np.isnan(result.reference).all()
    assert np.isnan(result.pvalue).all()


def test_members_stay_and_the_others_are_the_most_correlated():
    values, scale, encoder, member, codes, strata = cells(3)
    _, kept = computed(values, scale, encoder, member, codes, strata, n_outside=2)
    x = values / scale
    for s in range(len(strata.group)):
        x[codes == s] -= x[codes == s].mean(axis=0)
    for j in range(2):
        genes = kept.genes[kept.pathways == j]
        assert set(np.flatnonzero(member[:, j])) <= set(genes)
        rest = x @ encoder[:, [j]] - x * encoder[:, j]  # without each gene in turn
        r = np.einsum("ci,ci->i", x, rest) / np.linalg.norm(x, axis=0)
        outside = [i for i in np.argsort(-r) if not member[i, j] and r[i] > 0]
        assert set(genes) - set(np.flatnonzero(member[:, j])) == set(outside[:2])


def sides(seed, n_samples=6, n_pairs=5, *, scale=1.0):
    """Two sides with as many cells of every sample, one pathway."""
    rng = np.random.default_rng(seed)

    def one(size):
        shared = size * rng.uniform(80, 120, (n_samples, 1))
        products = shared * 0.5 + size * rng.normal(0, 10, (n_samples, n_pairs))
        return core.Side(np.full(n_samples, 50.0), products, np.ones_like(products), shared, shared * 0.1, shared * 1.1)

    return one(1.0), one(scale)


def test_with_equal_samples_it_is_the_paired_t_test_of_linearised_loadings():
    pathways = np.zeros(5, dtype=int)
    own, other = sides(0, scale=3.0)
    values = []
    for one in (own, other):
        loading = one.products.sum(axis=0) / one.shared.sum(axis=0)
        values.append(loading + (one.products - loading * one.shared) / one.shared.mean(axis=0))
    expected = stats.ttest_rel(*values)
    found = core.difference(own, other, pathways)
    np.testing.assert_allclose(found.pvalue, expected.pvalue, rtol=1e-9)
    np.testing.assert_allclose(found.value / found.error, expected.statistic, rtol=1e-9)


def test_a_sample_of_most_cells_is_not_many_samples():
    own, other = sides(1)
    few = own._replace(dof=np.array([500.0, 10, 10, 10, 10, 10]))
    pathways = np.zeros(5, dtype=int)
    t = core.difference(few, other, pathways)
    freedom = 550**2 / (500**2 + 5 * 100) - 1
    np.testing.assert_allclose(t.pvalue, 2 * stats.t.sf(np.abs(t.value / t.error), freedom), rtol=1e-9)


def test_nothing_is_tested_with_two_samples_or_genes_seen_in_two():
    pathways = np.zeros(5, dtype=int)
    own, other = sides(2, n_samples=2)
    assert np.isnan(core.difference(own, other, pathways).pvalue).all()
    own, other = sides(2)
    seen = np.ones((6, 5))
    seen[:4, 1] = 0
    found = core.difference(own._replace(seen=seen), other, pathways)
    assert np.isnan(found.pvalue).tolist() == [False, True, False, False, False]
    assert not np.isnan(found.value).any()


def test_a_pathway_of_independent_genes_is_not_carried():
    rng = np.random.default_rng(4)
    carried = []
    for _ in range(40):
        values = rng.normal(size=(300, 40))
        encoder = np.full((40, 1), 40**-0.5)
        codes = np.arange(300) % 4
        strata = core.Strata(np.zeros(4, int), np.arange(4))
        parts = computed(values, np.ones(40), encoder, encoder > 0, codes, strata)
        carried.append(core.compared(strata, *parts, np.array([0])).carried[0, 0])
    assert np.mean(carried) < 0.05


def planted(seed, n_samples=6):
    """Counts of 12 genes that follow a program in all groups, and of one, the last, in the first alone.

    The program varies more in one group than in another; samples have from 20 to 80 cells.
    """
    rng = np.random.default_rng(seed)
    counts = rng.integers(20, 80, (3, n_samples))
    codes = np.repeat(np.arange(counts.size), counts.ravel())
    strata = core.Strata(*np.divmod(np.arange(counts.size), n_samples))
    group = strata.group[codes]
    activity = rng.gamma(1.0, 1.0, len(codes)) * np.array([1.0, 2.0, 0.7])[group]
    loadings = np.where(np.arange(13) < 12, rng.gamma(3.0, 0.3, 13), 1.5)
    rate = 0.5 + activity[:, None] * loadings
    rate[group > 0, 12] = 0.5
    values = np.column_stack([rng.poisson(rate), rng.poisson(1.0, (len(codes), 20))]).astype(float)
    encoder = np.where(np.arange(33) < 13, 13**-0.5, 0.0)[:, None]
    scale = values.std(axis=0) ** 0.5
    within, kept = computed(values, scale, encoder, encoder > 0, codes, strata, n_outside=0)
    return core.compared(strata, within, kept, np.arange(3))


def test_a_gene_that_follows_in_one_group_alone_is_found_and_the_others_are_not():
    results = [planted(seed) for seed in range(60)]
    pvalue = np.stack([one.pvalue for one in results])
    assert (pvalue[:, 12, 0] < 0.01).mean() > 0.9
    assert all(one.loading[12, 0] > 3 * one.loading[12, 1:].max() for one in results)
    # Its weight in the score makes the others' loadings differ by a few per cent; without it they are equal.
    others = pvalue[:, :12, 1:]
    assert np.nanmean(others < 0.05) < 0.12


def test_p_values_are_uniform_where_loadings_are_equal():
    rng = np.random.default_rng(9)
    found = []
    for _ in range(80):
        counts = rng.integers(15, 60, (2, 8)) * np.array([[4], [1]])
        codes = np.repeat(np.arange(16), counts.ravel())
        strata = core.Strata(*np.divmod(np.arange(16), 8))
        group = strata.group[codes]
        activity = rng.gamma(1.0, 1.0, len(codes)) * np.array([1.0, 2.0])[group] * rng.lognormal(0, 0.2, 16)[codes]
        values = rng.poisson(0.3 + 0.5 * activity[:, None] * rng.gamma(2.0, 0.5, 25)).astype(float)
        encoder = np.full((25, 1), 0.2)
        parts = computed(values, np.ones(25), encoder, encoder > 0, codes, strata)
        found.append(core.compared(strata, *parts, np.array([0])).pvalue[:, 0])
    p = np.concatenate(found)
    for level in (0.05, 0.01):
        assert 0.4 * level < np.nanmean(p < level) < 1.6 * level
