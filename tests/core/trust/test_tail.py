"""p-values beyond the most extreme random value, against distributions whose tails are known."""

import numpy as np
import pytest
from scipy import stats

from pathwayae.core.trust import tail


def test_counts_are_used_where_there_are_ten_or_few_random_values():
    rng = np.random.default_rng(0)
    null = rng.normal(size=(500, 6))
    observed = np.sort(null, axis=0)[-10, np.arange(6)]
    np.testing.assert_allclose(tail.pvalues(observed, null), 11 / 501)
    few = null[:199]
    np.testing.assert_allclose(tail.pvalues(np.full(6, 9.0), few), 1 / 200)
    np.testing.assert_allclose(tail.pvalues(few[0], few), (1 + (few >= few[0]).sum(axis=0)) / 200)


def test_one_null_serves_all_statistics():
    null, observed = np.random.default_rng(1).normal(size=300), np.linspace(-1, 6, 20)
    one = tail.pvalues(observed, null[:, None])
    np.testing.assert_array_equal(one, tail.pvalues(observed, np.repeat(null[:, None], 20, axis=1)))
    assert (np.diff(one) <= 0).all()


LAWS = {"exponential": stats.expon(), "normal": stats.norm(), "skewed": stats.chi2(3), "heavy": stats.genpareto(0.2)}


@pytest.mark.parametrize("name", [*LAWS, "bounded"])
def test_small_p_are_as_rare_as_they_say_or_rarer(name):
    law = LAWS.get(name, stats.uniform())
    null = law.rvs(size=(1000, 200), random_state=np.random.default_rng(2))
    chance = np.geomspace(0.05, 1e-9, 60)
    found = np.array([tail.pvalues(np.full(200, value), null) for value in law.isf(chance)])
    for level in (1e-2, 1e-3, 1e-4):
        # The chance of a value that is given p of level or less, by every one of the nulls.
        reached = np.where((found <= level).any(axis=0), chance[(found <= level).argmax(axis=0)], 0.0)
        assert reached.mean() <= (2.0 if name == "heavy" else 1.4) * level
        if name in ("exponential", "heavy"):
            assert reached.mean() >= 0.4 * level


def test_no_p_is_below_a_thousandth_of_one_count_and_constant_nulls_are_counted():
    null = np.random.default_rng(3).normal(size=(999, 2))
    null[:, 1] = 0.5
    np.testing.assert_allclose(tail.pvalues(np.array([50.0, 0.7]), null), [1e-6, 1e-3])
    np.testing.assert_allclose(tail.pvalues(np.array([0.0, 0.5]), null)[1], 1.0)


def test_nothing_of_the_input_changes_and_all_statistics_may_be_common():
    null, observed = np.random.default_rng(4).normal(size=(400, 3)), np.zeros(3)
    before = null.copy()
    np.testing.assert_allclose(tail.pvalues(observed, null), (1 + (null >= 0).sum(axis=0)) / 401)
    tail.pvalues(observed + 9, null)
    np.testing.assert_array_equal(null, before)
