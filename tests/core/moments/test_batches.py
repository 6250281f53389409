"""Means of batches, what they shift scores by, and the variance between them, against naive loops."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.batches import (
    Batches,
    check_known,
    of_strata,
    offsets,
    single_condition,
    sums_of,
    variance,
    variance_between,
)
from pathwayae.core.moments.moments import Moments


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = rng.integers(3, size=60)
    return rng.normal(size=(60, 5)) + 4.0 * rng.normal(size=(3, 5))[codes] + 10.0, codes


def batches_of(x: np.ndarray, codes: np.ndarray) -> Batches:
    names = tuple(f"b{b}" for b in range(codes.max() + 1))
    return Batches(names, np.bincount(codes).astype(float), sums_of(x, codes, len(names)))


@pytest.mark.parametrize("kind", ["dense", "csr", "float32"])
def test_sums_are_those_of_a_loop_over_batches(cells, kind: str) -> None:
    x, codes = cells
    block = {"dense": x, "csr": sp.csr_matrix(x), "float32": x.astype(np.float32)}[kind]
    expected = [x[codes == b].sum(axis=0) for b in range(3)]
    sums = sums_of(block, codes, 4)
    assert sums.dtype == np.float64
    np.testing.assert_allclose(sums[:3], expected, rtol=1e-6 if kind == "float32" else 1e-12)
    np.testing.assert_array_equal(sums[3], 0)


def test_a_subset_has_the_means_of_its_genes(cells) -> None:
    x, codes = cells
    expected = np.array([x[codes == b][:, [4, 1]].mean(axis=0) for b in range(3)])
    np.testing.assert_allclose(batches_of(x, codes).subset(np.array([4, 1])).means, expected)


@pytest.mark.parametrize("scale", ["unit", "pareto", None])
def test_moments_centred_within_batches_are_those_of_cells_less_the_mean_of_their_batch(cells, scale) -> None:
    x, codes = cells
    x[:, 2] = codes * 1.1  # constant within batches
    batches = batches_of(x, codes)
    data = accumulate(x).standardize_within(batches.counts, batches.sums, scale=scale)
    left = x - batches.means[codes]
    left[:, 2] = 0.0
    unit = np.where(left.std(axis=0) > 0, left.std(axis=0), 1.0) ** {"unit": 1.0, "pareto": 0.5, None: 0.0}[scale]
    np.testing.assert_allclose(data.gram, (left / unit).T @ (left / unit), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(data.scale, unit, rtol=1e-12)
    np.testing.assert_allclose(data.mean, x.mean(axis=0), rtol=1e-12)
    strata = accumulate(x, codes=codes, strata=batches.names).standardize(scale=scale, within=True)
    np.testing.assert_allclose(strata.gram, data.gram, rtol=1e-10, atol=1e-10)


def test_offsets_are_the_differences_of_scores(cells) -> None:
    x, codes = cells
    rng = np.random.default_rng(1)
    mean, scale, encoder = x.mean(axis=0), rng.uniform(0.5, 2.0, 5), rng.normal(size=(5, 4))
    scores = (x - mean) / scale @ encoder
    expected = [scores[codes == b].mean(axis=0) for b in range(3)]
    np.testing.assert_allclose(offsets(batches_of(x, codes).means, mean, scale, encoder), expected, atol=1e-12)


def test_the_share_between_batches_is_that_of_an_analysis_of_variance(cells) -> None:
    x, codes = cells
    encoder = np.random.default_rng(1).normal(size=(5, 4))
    encoder[:, 3] = 0.0
    batches = batches_of(x, codes)
    scores = (x - x.mean(axis=0)) @ encoder
    within = np.array([((scores[codes == b] - scores[codes == b].mean(axis=0)) ** 2).sum(axis=0) for b in range(3)])
    shifts = offsets(batches.means, x.mean(axis=0), np.ones(5), encoder)
    found = variance_between(shifts, batches.counts, within.sum(axis=0))
    total = ((scores - scores.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(found[:3], 1 - within.sum(axis=0)[:3] / total[:3], rtol=1e-10)
    assert found[3] == 0
    data = accumulate(x).standardize_within(batches.counts, batches.sums, scale=None)
    table = variance(batches, data, encoder, within.sum(axis=0), list("abcd"))
    np.testing.assert_allclose(table["before"], found, rtol=1e-9, atol=1e-12)
    spread = np.sqrt(within.sum(axis=0) / 60)
    for j, row in table.iloc[:3].iterrows():
        furthest = (np.abs(shifts[:, j]) * np.sqrt(batches.counts)).argmax()
        assert row["batch"] == batches.names[furthest]
        assert row["shift"] == pytest.approx(shifts[furthest, j] / spread[j])
    assert table["after"].tolist() == [0.0] * 4
    assert table["shift"][3] == 0


def test_a_few_cells_far_away_are_not_the_batch_that_shifts_a_score_most() -> None:
    codes = np.repeat([0, 1, 2], [49, 49, 2])
    x = np.array([0.6, -0.68, 2.0])[codes][:, None] + np.random.default_rng(0).normal(size=(100, 1)) * 0.01
    batches = batches_of(x, codes)
    data = accumulate(x).standardize_within(batches.counts, batches.sums, scale=None)
    power = data.gram[0]
    assert variance(batches, data, np.ones((1, 1)), power, ["a"])["batch"].tolist() == ["b1"]


def strata(*names: str) -> Moments:
    sums = np.arange(len(names), dtype=float)[:, None] + np.ones(2)
    return Moments(np.arange(1.0, len(names) + 1), sums, np.zeros((len(names), 2, 2)), names)


def test_strata_are_added_up_into_batches() -> None:
    for names, levels, expected in (
        (("a", "b"), ["a", "b"], {"a": 1, "b": 2}),
        (("b", "a"), ["b"], {"a": 2, "b": 1}),  # the moments may hold more batches
        (("a | s", "a | t", "b | s"), ["a", "b"], {"a": 3, "b": 3}),
        (("a | s", "c | s", "c | t"), ["a"], {"a": 1, "c": 5}),
        (("x | y | s", "x | y | t"), ["x | y"], {"x | y": 3}),
        (("a", "a | b"), ["a", "a | b"], {"a": 1, "a | b": 2}),  # batches as they are
        (("a | b",), ["a", "a | b"], {"a | b": 1}),
        (("a + b", "c"), ["a", "c"], {"a + b": 1, "c": 2}),
    ):
        batches = of_strata(strata(*names), levels)
        assert dict(zip(batches.names, batches.counts, strict=True)) == expected
        assert batches.names == tuple(sorted(expected))
        np.testing.assert_allclose(batches.sums, np.array(list(batches.counts))[:, None] * np.ones(2))


def test_strata_that_may_be_of_two_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'a \| b \| s' of the moments may be of batch 'a' or 'a \| b'"):
        of_strata(strata("a | b | s", "a | s"), ["a", "a | b"])


def test_batches_that_no_stratum_is_of_are_named() -> None:
    check_known(["a", "b"], ["b", "a", "c"], ["a | s", "b | s", "c"])
    with pytest.raises(ValueError, match=r"is of batch 'x' \(1 of 2 batches are not there\); they are 'a \| s', 'c'"):
        check_known(["a", "x"], ["a", "c"], ["a | s", "c"])


def test_batches_of_one_condition_are_found() -> None:
    batches = np.array(["a", "a", "b", "b", "c", 1], dtype=object)
    conditions = np.array(["ctrl", "stim", "ctrl", "ctrl", "stim", "stim"], dtype=object)
    assert single_condition(batches, conditions) == {"1": "stim", "b": "ctrl", "c": "stim"}
