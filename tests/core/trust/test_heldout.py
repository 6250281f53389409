"""Held-out AUC against naive loops, random sets against the distribution that they stand for."""

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.metrics import roc_auc_score

from pathwayae.core import threads
from pathwayae.core.evidence import association as assoc
from pathwayae.core.trust import heldout
from pathwayae.core.trust.heldout import against_chance, expression_strata, held_out_auc


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


def naive_auc(prepared, given, strata, n_folds, seed):
    """One association of all genes for every pathway and fold, one comparison for every pair of genes."""
    rng, result = np.random.default_rng(seed), np.full(given.shape[1], np.nan)
    for j in range(given.shape[1]):
        genes = rng.permutation(np.flatnonzero(given[:, j]))
        if len(genes) < 2 or len(genes) == len(given):
            continue
        total = 0.0
        for k in range(n_folds):
            left = given[:, [j]].copy()
            left[genes[k::n_folds]] = False
            values = assoc.association(prepared, left).mean(axis=2)[:, 0]
            for gene in genes[k::n_folds]:
                others = values[~given[:, j] & (strata == strata[gene])]
                others = others if len(others) else values[~given[:, j]]
                total += np.mean([(other < values[gene]) + 0.5 * (other == values[gene]) for other in others])
        result[j] = total / len(genes)
    return result


def sets_of_all_sizes(g):
    sizes = [0, 1, 2, 3, 7, g // 2, g - 1, g]
    given = np.column_stack([random_sets(g, 1, size, size)[:, 0] for size in sizes])
    return np.column_stack([given, np.arange(g) < 12])


@pytest.mark.parametrize(("n_folds", "ridge"), [(2, 3.0), (5, 0.5)])
def test_held_out_auc_is_that_of_loops_over_pathways_folds_and_genes(n_folds, ridge):
    rng = np.random.default_rng(12)
    x = rng.normal(size=(100, 60))
    x[:, :12] += rng.normal(size=(100, 1))
    still = [3, 20, 21, 40]  # genes that do not vary tie
    x[:, still] = 0.0
    x -= x.mean(axis=0)
    prepared, given = assoc.prepare(x.T @ x, rank=20, ridge=ridge), sets_of_all_sizes(60)
    for operator in (prepared.similarity, prepared.inverse):
        operator.factors[still] = 0.0  # but for rounding
    strata = np.where(np.arange(60) < 4, 7, rng.integers(0, 3, size=60))  # no genes in strata 3 to 6
    given[:4, 8], given[4, 8] = True, False
    for seed, groups in ((0, strata), (3, np.zeros(60, dtype=int))):
        found = held_out_auc(prepared, given, strata=groups, n_folds=n_folds, random_state=seed)
        np.testing.assert_allclose(found, naive_auc(prepared, given, groups, n_folds, seed), rtol=0, atol=1e-12)
    whole = held_out_auc(prepared, given, n_folds=n_folds, random_state=3)
    np.testing.assert_array_equal(whole, found)
    assert np.isnan(whole).tolist() == [True, True, False, False, False, False, False, True, False]


@pytest.mark.parametrize(("values", "n_threads"), [(1, 1), (1000, 2)])
def test_held_out_auc_does_not_depend_on_how_much_is_worked_on_at_a_time(values, n_threads, monkeypatch):
    prepared, given, strata = cells(module=10), sets_of_all_sizes(240), np.arange(240) % 4
    whole = held_out_auc(prepared, given, strata=strata)
    monkeypatch.setattr(heldout, "VALUES", values)
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    np.testing.assert_allclose(held_out_auc(prepared, given, strata=strata), whole, rtol=0, atol=1e-12)


def test_random_sets_are_drawn_weighed_and_counted_as_in_a_loop():
    prepared, strata = cells(module=15), expression_strata(np.arange(240.0))
    given = np.column_stack([random_sets(240, 6, 12, 4), random_sets(240, 1, 1, 5), np.arange(240) < 15])
    auc = held_out_auc(prepared, given, strata=strata)
    found = against_chance(prepared, given, auc, strata=strata, n_sets=40, random_state=2)
    used = [j for j in range(8) if np.isfinite(auc[j])]
    unit = [np.sqrt(2 * 241 / (12 * n * (240 - n))) if n < 240 else np.nan for n in given.sum(axis=0)]
    rng = np.random.default_rng(2)
    models = [used[i % len(used)] for i in rng.permutation(40)]
    drawn = np.zeros((240, 40), dtype=bool)
    for column, j in enumerate(models):
        for stratum in range(strata.max() + 1):
            count = (given[:, j] & (strata == stratum)).sum()
            if count:
                drawn[rng.choice(np.flatnonzero(strata == stratum), count, replace=False), column] = True
    far = naive_auc(prepared, drawn, strata, 5, int(rng.integers(2**31))) - 0.5
    null = [far[column] / unit[j] for column, j in enumerate(models)]
    for j in range(8):
        expected = (1 + sum(value >= (auc[j] - 0.5) / unit[j] for value in null)) / 41 if j in used else np.nan
        error = unit[j] * np.sqrt(np.mean(np.square(null))) if j in used else np.nan
        np.testing.assert_allclose([found.pvalue[j], found.standard_error[j]], [expected, error], rtol=1e-10)


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
    assert chance.pvalue[0] < 1e-4


def test_strata_are_of_one_size_and_in_the_order_of_the_mean():
    mean = np.random.default_rng(6).random(1234)
    strata = expression_strata(mean)
    assert np.ptp(np.bincount(strata)) <= 1
    assert len(np.bincount(strata)) == 10
    assert (np.diff(strata[np.argsort(mean)]) >= 0).all()
    assert expression_strata(mean[:30]).tolist() == [0] * 30


def test_a_single_fold_is_refused_and_one_gene_says_nothing():
    prepared, given = cells(), random_sets(240, 2, 1, 5)
    with pytest.raises(ValueError, match="n_folds=1"):
        held_out_auc(prepared, given, n_folds=1)
    auc = held_out_auc(prepared, given)
    chance = against_chance(prepared, given, auc, strata=np.zeros(240, dtype=int), n_sets=20)
    assert np.isnan([*auc, *chance.pvalue, *chance.standard_error]).all()
