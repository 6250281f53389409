"""Contrasts of simulated samples against loops, scipy, statsmodels and what was planted."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from scipy import stats

from pathwayae.core.contrasts import linear
from pathwayae.core.contrasts.compare import compare, contrasts
from pathwayae.core.contrasts.linear import CONFOUNDED, FEW_SAMPLES, NO_DF, NotTestableError
from pathwayae.core.contrasts.moderation import Prior
from pathwayae.core.contrasts.units import REST, Contrast, aggregate, samples_of, spread

AGAINST = Contrast(0, 1, 0)


def cells(*, n_samples=6, k=5, paired=True, effect=0.0, between=0.5, counts=(5, 60), seed=0):
    """Scores of cells (n, k) with an effect on the first column, their samples and groups (0 or 1)."""
    rng = np.random.default_rng(seed)
    sides = [(s, g) for s in range(n_samples) for g in (0, 1)] if paired else [(s, s % 2) for s in range(n_samples)]
    constant = rng.normal(scale=1.0, size=(n_samples, k))
    values, sample, group = [], [], []
    for s, g in sides:
        n = int(rng.integers(*counts))
        mean = constant[s] + rng.normal(scale=between, size=k)
        mean[0] += effect * g
        values.append(mean + rng.normal(size=(n, k)))
        sample += [s] * n
        group += [g] * n
    return np.vstack(values), np.array(sample), np.array(group)


def compared(values, sample, group, method="moderated", covariates=None, contrast=AGAINST):
    units = aggregate(values, np.zeros(len(sample), dtype=int), sample, group)
    described = np.zeros((len(units.count), 0)) if covariates is None else covariates(units)
    return compare(values, units, contrast, described, method)


def table(values, sample, group, j):
    """Means of one column by sample and group, in pooled standard deviations of cells."""
    frame = pd.DataFrame({"y": values[:, j], "sample": sample, "group": group})
    variance = frame.groupby("group")["y"].var()
    count = frame.groupby("group")["y"].count() - 1
    deviation = np.sqrt((variance * count).sum() / count.sum())
    means = frame.groupby(["sample", "group"], as_index=False).agg(y=("y", "mean"), n=("y", "size"))
    return means.assign(y=means["y"] / deviation)


def test_means_and_squares_are_those_of_a_loop_dense_or_sparse():
    values, sample, group = cells(n_samples=3)
    sample[::17] = -1
    stratum = (np.arange(len(sample)) % 2).astype(int)
    units = aggregate(values, stratum, sample, group)
    for i, (w, s, g) in enumerate(zip(units.stratum, units.sample, units.group, strict=True)):
        own = values[(stratum == w) & (sample == s) & (group == g)]
        assert units.count[i] == len(own)
        np.testing.assert_allclose(units.mean[i], own.mean(axis=0))
        np.testing.assert_allclose(units.squares[i], ((own - own.mean(axis=0)) ** 2).sum(axis=0))
    again = aggregate(sp.csc_array(values), stratum, sample, group)
    np.testing.assert_allclose(again.mean, units.mean)


def test_the_spread_is_that_of_cells_about_the_mean_of_their_side():
    values, sample, group = cells()
    units = aggregate(values, np.zeros(len(sample), dtype=int), sample, group)
    first, second = values[group == 1], values[group == 0]
    expected = np.sqrt((first.var(axis=0) * len(first) + second.var(axis=0) * len(second)) / (len(values) - 2))
    np.testing.assert_allclose(spread(units, samples_of(units, AGAINST, pairs=True)), expected)


@pytest.fixture
def unmoderated(monkeypatch):
    """No prior, and means of equal weight."""
    monkeypatch.setattr(linear, "fit_prior", lambda variances, df, n_independent: Prior(0.0, 0.0))
    monkeypatch.setattr(linear, "extra_variance", lambda *arguments: 1e9)


@pytest.mark.usefixtures("unmoderated")
@pytest.mark.parametrize("paired", [True, False])
def test_without_moderation_and_weights_it_is_the_t_test_of_scipy(paired):
    values, sample, group = cells(paired=paired, n_samples=8)
    found = compared(values, sample, group)
    for j in range(values.shape[1]):
        means = table(values, sample, group, j)
        first, second = (means.loc[means["group"] == g].sort_values("sample")["y"] for g in (1, 0))
        expected = stats.ttest_rel(first, second) if paired else stats.ttest_ind(first, second)
        assert found.estimate.statistic[j] == pytest.approx(expected.statistic, rel=1e-5)
        assert found.estimate.pval[j] == pytest.approx(expected.pvalue, rel=1e-5)
        interval = expected.confidence_interval()
        assert (found.estimate.low[j], found.estimate.high[j]) == pytest.approx((interval.low, interval.high), rel=1e-4)
        difference = first.to_numpy() - second.to_numpy() if paired else first.to_numpy() - second.mean()
        assert found.n_agree[j] == (np.sign(difference) == np.sign(found.estimate.effect[j])).sum()
    assert (found.n_samples, found.n_samples_reference) == ((8, 8) if paired else (4, 4))
    assert found.n_pairs == (8 if paired else 0)


def test_few_pathways_are_weighted_least_squares_of_statsmodels_with_covariates():
    values, sample, group = cells(k=2, n_samples=9, paired=False, counts=(1, 80))
    age = np.random.default_rng(5).normal(size=9)

    found = compared(values, sample, group, covariates=lambda units: age[units.sample][:, None])
    units = aggregate(values, np.zeros(len(sample), dtype=int), sample, group)
    means = samples_of(units, AGAINST, pairs=True)
    y = (means.mix @ units.mean) / spread(units, means)
    design = np.column_stack([means.treated, np.ones(9), age[means.sample]]).astype(float)
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    left = y - hat @ y
    free = 1 - np.diag(hat)
    extra = max((((left**2).sum(axis=0) - (free / means.n_cells).sum()) / free.sum()).max(), 0.0)
    for j in range(2):
        fit = sm.WLS(y[:, j], design, weights=1 / (extra + 1 / means.n_cells)).fit()
        assert found.estimate.effect[j] == pytest.approx(fit.params[0], rel=1e-8)
        assert found.estimate.pval[j] == pytest.approx(fit.pvalues[0], rel=1e-7)
        assert [found.estimate.low[j], found.estimate.high[j]] == pytest.approx(fit.conf_int()[0].tolist(), rel=1e-7)


@pytest.mark.parametrize("method", ["moderated", "mixed"])
def test_effects_are_the_weights_times_the_means_of_units(method):
    values, sample, group = cells(paired=True)
    found = compared(values, sample, group, method)
    units = aggregate(values, np.zeros(len(sample), dtype=int), sample, group)
    difference = found.of_units @ units.mean
    deviation = spread(units, samples_of(units, AGAINST, pairs=True))
    np.testing.assert_allclose(difference / deviation, found.estimate.effect, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("drop", [0, 3])
def test_mixed_is_the_mixed_model_of_statsmodels(drop):
    values, sample, group = cells(n_samples=8, effect=0.8)
    kept = ~((group == 1) & (sample < drop))  # samples on one side alone
    values, sample, group = values[kept], sample[kept], group[kept]
    found = compared(values, sample, group, "mixed")
    for j in range(3):
        means = table(values, sample, group, j)
        fit = sm.MixedLM.from_formula("y ~ group", means, groups="sample").fit()
        assert found.estimate.effect[j] == pytest.approx(fit.params["group"], rel=1e-3)
        assert found.estimate.statistic[j] == pytest.approx(fit.tvalues["group"], rel=1e-3)
    assert found.estimate.df[0] == 8 - drop - 1
    assert (found.n_samples, found.n_samples_reference, found.n_pairs) == (8 - drop, 8, 8 - drop)


def test_mixed_of_unpaired_samples_is_ordinary_least_squares():
    values, sample, group = cells(paired=False, n_samples=8)
    found = compared(values, sample, group, "mixed")
    means = table(values, sample, group, 0)
    expected = stats.ttest_ind(means.loc[means["group"] == 1, "y"], means.loc[means["group"] == 0, "y"])
    assert found.estimate.pval[0] == pytest.approx(expected.pvalue, rel=1e-6)


def test_tests_over_cells_are_those_of_scipy():
    values, sample, group = cells()
    values = np.round(values, 1)  # with ties
    first, second = values[group == 1], values[group == 0]
    ranked = compared(values, 0 * sample, group, "wilcoxon")
    expected = stats.mannwhitneyu(first, second, method="asymptotic")
    np.testing.assert_allclose(ranked.estimate.pval, expected.pvalue, rtol=1e-6)
    np.testing.assert_allclose(ranked.auroc, expected.statistic / (len(first) * len(second)))
    t = compared(values, 0 * sample, group, "t-test")
    welch = stats.ttest_ind(first, second, equal_var=False)
    np.testing.assert_allclose(t.estimate.pval, welch.pvalue, rtol=1e-7)
    np.testing.assert_allclose(t.estimate.df, welch.df)
    assert (t.n_samples, t.n_pairs, t.n_agree.sum()) == (0, 0, 0)
    assert (t.n_cells, t.n_cells_reference) == (len(first), len(second))


def test_the_rest_is_all_other_cells_of_each_sample():
    rng = np.random.default_rng(2)
    sample, group = rng.integers(0, 5, 600), rng.integers(0, 3, 600)
    values = rng.normal(size=(600, 4)) + group[:, None]
    found = compared(values, sample, group, contrast=Contrast(0, 2, REST))
    again = compared(values, sample, (group == 2).astype(int))
    np.testing.assert_allclose(found.estimate.effect, again.estimate.effect)
    np.testing.assert_allclose(found.estimate.pval, again.estimate.pval)
    np.testing.assert_allclose(found.auroc, again.auroc)


def test_samples_on_one_side_are_left_out_of_pairs_unless_pairs_are_few():
    values, sample, group = cells(n_samples=6)
    kept = ~((group == 1) & (sample < 2))
    found = compared(values[kept], sample[kept], group[kept])
    assert (found.n_pairs, found.n_samples, found.n_samples_reference) == (4, 4, 4)
    only = kept & (sample >= 2)
    assert found.n_cells_reference == (only & (group == 0)).sum()
    np.testing.assert_allclose(found.estimate.pval, compared(values[only], sample[only], group[only]).estimate.pval)
    kept = ~((group == 1) & (sample < 4)) & ~((group == 0) & (sample == 5))  # one pair of six samples
    found = compared(values[kept], sample[kept], group[kept])
    assert (found.n_pairs, found.n_samples, found.n_samples_reference) == (0, 2, 5)


def test_means_of_few_cells_weigh_less_where_samples_do_not_differ():
    means = np.array([0.0] * 4 + [1.0] * 4)
    y, count = np.random.default_rng(0).normal(size=(8, 3)) * 1e-3, np.array([1.0, 100, 100, 100] * 2)
    assert linear.extra_variance(y, means, np.ones((8, 1)), count) == 0.0
    assert linear.extra_variance(1e3 * y, means, np.ones((8, 1)), count) > 0.2


def reason(values, sample, group, method="moderated", covariates=None):
    with pytest.raises(NotTestableError) as caught:
        compared(values, sample, group, method, covariates)
    return str(caught.value)


@pytest.mark.parametrize("method", ["moderated", "mixed"])
def test_what_cannot_be_tested_says_why(method):
    values, sample, group = cells(paired=False)
    one = (group == 0) | (sample == 1)
    assert reason(values[one], sample[one], group[one], method) == FEW_SAMPLES
    assert reason(values, sample, 0 * group, method) == "no cells on a side"
    told = lambda units: units.group[:, None].astype(float)  # noqa: E731
    assert reason(values, sample, group, method, told) == CONFOUNDED
    many = lambda units: np.eye(6)[units.sample][:, [0, 1, 2, 3]]  # noqa: E731
    assert reason(values, sample, group, method, many) == NO_DF
    assert reason(np.ones_like(values), sample, group, method) == "no score varies"
    assert reason(values[:3], 0 * sample[:3], np.array([0, 0, 1]), "wilcoxon") == "fewer than two cells on a side"


def test_a_score_that_does_not_vary_changes_nothing_for_the_others():
    values, sample, group = cells()
    found = compared(np.column_stack([values, np.full(len(values), 3.0)]), sample, group)
    alone = compared(values, sample, group)
    np.testing.assert_allclose(found.estimate.pval[:-1], alone.estimate.pval)
    assert found.estimate.effect[-1] == 0.0
    assert np.isnan(found.estimate.pval[-1])
    assert found.auroc[-1] == 0.5


def test_contrasts_are_every_group_against_the_reference_in_every_stratum():
    units = aggregate(np.ones((4, 1)), np.array([0, 0, 2, 2]), np.zeros(4, dtype=int), np.array([0, 1, 0, 1]))
    assert contrasts(units, [1], 0) == [Contrast(0, 1, 0), Contrast(2, 1, 0)]


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("between", [0.0, 0.5])
def test_p_values_are_uniform_where_nothing_differs(paired, between):
    """Samples of 1 to 60 cells that differ by as much as given; by cell the same data are called far too often."""
    pval, by_cell = [], []
    for seed in range(60):
        values, sample, group = cells(n_samples=8, k=25, paired=paired, between=between, counts=(1, 60), seed=seed)
        values = values[:, 1:]
        pval.append(compared(values, sample, group).estimate.pval)
        by_cell.append(compared(values, 0 * sample, group, "t-test").estimate.pval)
    pval = np.concatenate(pval)
    assert np.mean(pval <= 0.05) == pytest.approx(0.05, abs=0.02)
    assert np.mean(pval <= 0.005) < 0.01
    assert stats.kstest(pval, "uniform").statistic < 0.06
    if between:
        assert np.mean(np.concatenate(by_cell) <= 0.05) > 0.2


def test_planted_differences_are_found_with_their_size():
    effect, covered = [], []
    for seed in range(40):
        values, sample, group = cells(effect=1.5, between=0.3, seed=seed)
        found = compared(values, sample, group)
        units = aggregate(values, np.zeros(len(sample), dtype=int), sample, group)
        true = 1.5 / spread(units, samples_of(units, AGAINST, pairs=True))[0]
        effect.append(found.estimate.effect[0] / true)
        covered.append(found.estimate.low[0] <= true <= found.estimate.high[0])
        assert found.estimate.pval[0] < 0.01
    assert np.mean(effect) == pytest.approx(1.0, abs=0.05)
    assert np.mean(covered) > 0.85
