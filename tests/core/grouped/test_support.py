"""Which pairs of gene and component a support has: against the same choice on dense matrices."""

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import leave_one_out

from pathwayae.core.evidence.association import prepare
from pathwayae.core.grouped import support
from pathwayae.core.moments.low_rank import LowRank


def pairs(shape=(12, 5), density=0.4, seed=0):
    return np.random.default_rng(seed).random(shape) < density


def gram(g=60, r=4, seed=1):
    rng = np.random.default_rng(seed)
    return LowRank(rng.uniform(0.5, 2.0, size=g), rng.normal(size=(g, r)))


def test_a_support_knows_its_pairs_both_ways():
    chosen = pairs()
    chosen[:, 2], chosen[3] = False, False  # an empty component, an empty gene
    genes, components = np.nonzero(chosen)
    order = np.random.default_rng(1).permutation(len(genes))
    found, where = support.support_of(genes[order], components[order], chosen.shape)
    np.testing.assert_array_equal(found.matrix(np.ones(len(genes))).toarray(), chosen)
    np.testing.assert_array_equal(genes[order][where], found.rows)
    np.testing.assert_array_equal(components[order][where], found.columns)
    np.testing.assert_array_equal(found.sizes, chosen.sum(axis=0))
    for i in range(12):
        mine = slice(found.gene_bounds[i], found.gene_bounds[i + 1])
        np.testing.assert_array_equal(found.components[mine], np.flatnonzero(chosen[i]))
        np.testing.assert_array_equal(found.genes[found.places[mine]], i)
        np.testing.assert_array_equal(found.columns[found.places[mine]], found.components[mine])


@pytest.mark.parametrize("outside", [3, 30])
def test_outside_are_the_genes_that_go_with_the_sum_of_the_members_most(outside, monkeypatch):
    monkeypatch.setattr(support, "OUTSIDE", outside)
    monkeypatch.setattr(support, "CHUNK", 2)  # pathways come in several parts
    low, membership = gram(), pairs((60, 5), 0.15)
    membership[:, 1], membership[:, 2] = False, True  # no genes, all genes
    member = sp.csc_array(membership)
    exact = leave_one_out(low.factors @ low.factors.T + np.diag(low.own), membership.astype(float))
    for j, (values, n) in enumerate(zip(support.correlations(low, member), support.n_outside(member), strict=True)):
        size = membership[:, j].sum()
        most = np.argsort(np.where(membership[:, j], -np.inf, exact[:, j]))
        assert n == (min(max(outside, size), 60 - size) if size else 0)
        expected = membership[:, j].copy()
        expected[most[60 - n :]] = True
        before = values.copy()
        found = support.chosen(np.flatnonzero(membership[:, j]), values, n)
        np.testing.assert_array_equal(found, np.flatnonzero(expected), err_msg=str(j))
        np.testing.assert_array_equal(values, before)


def test_the_low_rank_has_the_diagonal_of_the_matrix_and_is_it_where_the_rest_is_its_own():
    low = gram()
    matrix = low.factors @ low.factors.T + np.diag(low.own)
    found = support.low_rank(matrix, prepare(matrix, rank=20))
    np.testing.assert_allclose(found.diagonal(), np.diag(matrix), rtol=1e-12)
    whole = support.low_rank(matrix, prepare(matrix, rank=60))
    np.testing.assert_allclose(whole.factors @ whole.factors.T + np.diag(whole.own), matrix, atol=1e-10)
    assert support.low_rank(low, prepare(low)) is low


def test_a_gene_that_does_not_vary_goes_with_nothing():
    low = LowRank(np.r_[0.0, np.ones(59)], np.vstack([np.zeros(4), gram().factors[1:]]))
    (values,) = support.correlations(low, sp.csc_array(np.arange(60)[:, None] == 5))
    assert values[0] == 0
    assert np.isfinite(values).all()
