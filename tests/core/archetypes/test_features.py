"""Regression on weights and ranks of groups, against least squares, statsmodels and scipy."""

from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy.stats import false_discovery_control, kstest, mannwhitneyu, rankdata

from pathwayae.core.archetypes import features


def cells(n=120, k=4, g=6, seed=0):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.full(k, 0.6), n)
    values = weights @ rng.gamma(2.0, size=(k, g)) + rng.normal(size=(n, g))
    values[values < 0.5] = 0
    return values, weights, rng.integers(0, 6, n)


def sums_of(values, weights, strata=None, n_strata=1, cuts=(0, 13, 70, 120)):
    sums = features.Sums(weights.shape[1], values.shape[1], n_strata)
    for i, j in pairwise(cuts):
        sums.add(values[i:j], weights[i:j], None if strata is None else strata[i:j])
    return sums


def contrasts(k):
    return [np.where(np.arange(k) == j, 1.0, -1.0 / (k - 1)) for j in range(k)]


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_array])
def test_effects_are_contrasts_of_least_squares(form):
    values, weights, _ = cells()
    effects = features.regression(sums_of(form(values), weights))
    for i in range(values.shape[1]):
        model = sm.OLS(values[:, i], weights).fit()
        np.testing.assert_allclose(effects.value[:, i], model.params)
        for j, contrast in enumerate(contrasts(4)):
            test = model.t_test(contrast)
            np.testing.assert_allclose(effects.effect[j, i], test.effect.item())
            np.testing.assert_allclose(effects.statistic[j, i], test.tvalue.item())
            np.testing.assert_allclose(effects.pval[j, i], test.pvalue.item(), rtol=1e-6)
            np.testing.assert_allclose(effects.others[j, i], np.delete(model.params, j).mean())


def test_donors_make_cluster_robust_errors():
    values, weights, donors = cells(seed=3)
    effects = features.regression(sums_of(sp.csr_matrix(values), weights, donors, 6))
    for i in range(values.shape[1]):
        groups = {"groups": donors, "use_correction": True, "df_correction": True}
        model = sm.OLS(values[:, i], weights).fit(cov_type="cluster", cov_kwds=groups, use_t=True)
        for j, contrast in enumerate(contrasts(4)):
            test = model.t_test(contrast)
            np.testing.assert_allclose(effects.statistic[j, i], test.tvalue.item())
            np.testing.assert_allclose(effects.pval[j, i], test.pvalue.item(), rtol=1e-6)


def test_p_is_uniform_where_a_gene_has_nothing_to_do_with_the_weights():
    rng = np.random.default_rng(1)
    weights = rng.dirichlet(np.ones(3), 200)
    values = rng.poisson(0.7, size=(200, 400)).astype(float)
    sums = features.Sums(3, 400)
    sums.add(sp.csr_matrix(values), weights)
    assert kstest(features.regression(sums).pval[0], "uniform").pvalue > 0.01


def test_a_gene_without_residual_and_one_that_never_varies():
    _, weights, _ = cells()
    values = np.column_stack([weights @ [3.0, 0.0, 0.0, 0.0], np.full(len(weights), 2.0), np.zeros(len(weights))])
    effects = features.regression(sums_of(values, weights))
    assert effects.pval[0, 0] == 0
    np.testing.assert_allclose(effects.effect[:, 0], [3, -1, -1, -1], atol=1e-9)
    np.testing.assert_array_equal(effects.pval[:, 1:], 1)
    np.testing.assert_array_equal(effects.statistic[:, 1:], 0)


def test_an_archetype_without_weight_cannot_be_tested():
    values, weights, _ = cells()
    weights[:, 2] = 0
    with pytest.raises(ValueError, match=r"archetype 2 has the least"):
        features.regression(sums_of(values, weights))


def test_the_table_is_sorted_adjusted_and_free_of_the_order_of_genes():
    values, weights, _ = cells()
    values[:, 5] = values[:, 4]  # a tie
    names = list("fedcba")
    table = features.feature_table(names, list("ABCD"), features.regression(sums_of(values, weights)), kind="gene")
    np.testing.assert_allclose(table["padj"], false_discovery_control(table["pval"]))
    for _, part in table.groupby("archetype"):
        assert (np.diff(part["statistic"]) <= 0).all()
    order = np.random.default_rng(0).permutation(6)
    moved = features.feature_table(
        [names[i] for i in order], list("ABCD"), features.regression(sums_of(values[:, order], weights)), kind="gene"
    )
    assert moved["feature"].tolist() == table["feature"].tolist()
    np.testing.assert_allclose(moved["effect"], table["effect"])


def test_groups_by_rank_as_scipy_has_them():
    assert np.isnan(features.mann_whitney(np.arange(1.0, 5), np.ones(4, bool))).all()  # no others
    assert features.mann_whitney(np.full(4, 2.5), np.array([True, False, True, False])) == (0.5, 1.0)
    rng = np.random.default_rng(0)
    values = np.round(rng.normal(size=90), 1)
    member = rng.random(90) < 0.3
    auroc, pval = features.mann_whitney(rankdata(values), member)
    expected = mannwhitneyu(values[member], values[~member], method="asymptotic")
    assert auroc == pytest.approx(expected.statistic / (member.sum() * (~member).sum()))
    assert pval == pytest.approx(expected.pvalue)


def test_groups_and_donors():
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.ones(3), 300)
    codes = np.where(weights[:, 0] > 0.5, 0, rng.integers(1, 3, 300))
    codes[:10] = -1
    donors = rng.integers(0, 5, 300)
    table = features.group_table(weights, list("ABC"), codes, ["x", "y", "z"], donors)
    first = table.set_index(["archetype", "group"]).loc[("A", "x")]
    inside, own = codes[10:] == 0, weights[10:, 0]
    assert first["n_cells"] == inside.sum()
    assert first["mean_weight"] == pytest.approx(own[inside].mean())
    assert first["mean_others"] == pytest.approx(own[~inside].mean())
    assert first["share_closest"] == 1
    assert first["enrichment"] == pytest.approx(290 / inside.sum())
    model = sm.OLS(own, sm.add_constant(inside.astype(float))).fit(
        cov_type="cluster", cov_kwds={"groups": donors[10:]}, use_t=True
    )
    assert first["pval"] == pytest.approx(model.pvalues[1])
    np.testing.assert_allclose(table["padj"], false_discovery_control(table["pval"]))
