"""Held-out AUC against naive loops, random sets against the distribution that they stand for."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from pathwayae.core import association as assoc
from pathwayae.core.heldout import against_chance, expression_strata, held_out_auc


def cells(n=300, g=240, seed=0, module=0):
    """Noise; the first `module` genes share a signal."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, g))
    x[:, :module] += rng.normal(size=(n, 1))
    x -= x.mean(axis=0)
    return assoc.prepare(x.T @ x)


def random_sets(g, p, size, seed):
    rng = np.random.default_rng(seed)
    return np.column_stack([np.isin(np.arange(g), rng.choice(g, size, replace=False)) for _ in range(p)])


def test_held_out_auc_hides_each_gene_once():
    rng = np.random.default_rng(8)
    x = rng.normal(size=(100, 40))
    x[:, :12] += rng.normal(size=(100, 1))
    x -= x.mean(axis=0)
    given = np.zeros((40, 2), dtype=bool)
    given[:10, 0], given[8:16, 1] = True, True
    prepared = assoc.prepare(x.T @ x, rank=8)
    for j in range(2):
        genes = np.flatnonzero(given[:, j])
        expected = []
        for gene in genes:
            left = given.copy()
            left[gene, j] = False
            values = assoc.association(prepared, left).mean(axis=2)[:, j]
            tested = np.append(np.flatnonzero(~given[:, j]), gene)
            expected.append(roc_auc_score(tested == gene, values[tested]))
        # With as many folds as genes every fold is one gene, whatever the seed.
        result = held_out_auc(prepared, given[:, [j]], n_folds=len(genes), random_state=3)
        assert result[0] == pytest.approx(np.mean(expected), abs=1e-12)


def test_held_out_auc_repeats_with_its_seed_and_says_nothing_of_one_gene():
    x = np.random.default_rng(9).normal(size=(50, 30))
    prepared = assoc.prepare(x.T @ x, rank=8)
    given = np.zeros((30, 3), dtype=bool)
    given[:10, 0], given[4, 1], given[:, 2] = True, True, True
    first = held_out_auc(prepared, given, random_state=1)
    np.testing.assert_array_equal(first, held_out_auc(prepared, given, random_state=1))
    assert np.isfinite(first).tolist() == [True, False, False]


def test_within_strata_a_gene_is_ranked_among_its_like():
    prepared = cells(module=10)
    given = random_sets(240, 2, 12, 1)
    given[:10, 0] = True
    strata = np.arange(240) % 3
    for j in range(2):
        genes = np.flatnonzero(given[:, j])
        expected = []
        for gene in genes:
            left = given[:, [j]].copy()
            left[gene] = False
            values = assoc.association(prepared, left).mean(axis=2)[:, 0]
            others = values[~given[:, j] & (strata == strata[gene])]
            expected.append((others < values[gene]).mean() + (others == values[gene]).mean() / 2)
        found = held_out_auc(prepared, given[:, [j]], strata=strata, n_folds=len(genes))
        assert found[0] == pytest.approx(np.mean(expected), abs=1e-12)


def test_a_gene_with_no_others_in_its_stratum_is_ranked_among_all():
    prepared, given = cells(), random_sets(240, 1, 10, 2)
    alone = np.where(given[:, 0], 1, 0)
    np.testing.assert_allclose(
        held_out_auc(prepared, given, strata=alone), held_out_auc(prepared, given), rtol=0, atol=1e-12
    )


def test_genes_that_are_merely_seen_better_are_not_carried():
    # Half of the genes share a signal; a set drawn among them is nothing special among its like.
    prepared = cells(module=120)
    given = np.zeros((240, 8), dtype=bool)
    for j in range(8):
        given[np.random.default_rng(j).choice(120, 15, replace=False), j] = True
    seen_better = (np.arange(240) < 120).astype(int)
    assert held_out_auc(prepared, given).min() > 0.65
    assert abs(held_out_auc(prepared, given, strata=seen_better).mean() - 0.5) < 0.1


def test_pvalues_of_random_sets_are_uniform():
    prepared, strata = cells(), expression_strata(np.arange(240.0))
    given = np.column_stack([random_sets(240, 60, size, size) for size in (8, 20, 50)])
    auc = held_out_auc(prepared, given, strata=strata)
    chance = against_chance(prepared, given, auc, strata=strata)
    for size in range(3):
        part = slice(60 * size, 60 * (size + 1))
        assert kstest(chance.pvalue[part], "uniform").pvalue > 0.01
        # 60 deviations know their spread to 9 %, random sets theirs to 2 %.
        assert auc[part].std() / chance.standard_error[part].mean() == pytest.approx(1.0, abs=0.28)


def test_a_pathway_that_is_there_stands_out():
    prepared, strata = cells(module=15), np.zeros(240, dtype=int)
    given = random_sets(240, 5, 15, 4)
    given[:, 0] = np.arange(240) < 15
    auc = held_out_auc(prepared, given, strata=strata)
    chance = against_chance(prepared, given, auc, strata=strata)
    assert auc[0] > 0.99
    assert chance.pvalue[0] == pytest.approx(1 / 1000)


def test_without_an_auc_there_is_no_pvalue():
    prepared, given = cells(), random_sets(240, 2, 1, 5)
    auc = held_out_auc(prepared, given)
    chance = against_chance(prepared, given, auc, strata=np.zeros(240, dtype=int), n_sets=20)
    assert np.isnan([*auc, *chance.pvalue, *chance.standard_error]).all()


def test_strata_are_of_one_size_and_in_the_order_of_the_mean():
    mean = np.random.default_rng(6).random(1234)
    strata = expression_strata(mean)
    assert np.ptp(np.bincount(strata)) <= 1
    assert len(np.bincount(strata)) == 10
    assert (np.diff(strata[np.argsort(mean)]) >= 0).all()
    assert expression_strata(mean[:30]).tolist() == [0] * 30


def test_a_single_fold_is_refused():
    with pytest.raises(ValueError, match="n_folds=1"):
        held_out_auc(cells(50, 40), np.ones((40, 1), dtype=bool), n_folds=1)
