"""Batch effects beside covariates, against least squares on dense indicators and moments of corrected cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from oracles import sketch

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.batches import Batches, centred, of_strata, sums_of, variance
from pathwayae.core.moments.design import adjusted_means, cells_shared, comparable, effective_cells, indicator

SIZES = (3, 4, 2)  # batches, types, sexes


def dense(levels: np.ndarray) -> np.ndarray:
    return np.array([[float(q in cell) for q in range(sum(SIZES))] for cell in levels.T])


def by_least_squares(x: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Effect of each batch, adding up to nothing over the cells, with lstsq on the cells themselves."""
    effects = np.linalg.lstsq(dense(levels), x, rcond=None)[0][: SIZES[0]]
    share = np.bincount(levels[0], minlength=SIZES[0]) / len(x)
    return effects - share @ effects


@pytest.fixture
def cells() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    shares = np.array([[0.7, 0.1, 0.1, 0.1], [0.1, 0.7, 0.2, 0.0], [0.1, 0.1, 0.1, 0.7]])
    batch = rng.integers(3, size=120)
    kind = np.array([rng.choice(4, p=shares[b]) for b in batch])
    sex = (rng.random(120) < np.array([0.2, 0.5, 0.8])[batch]).astype(int)
    x = 3.0 * rng.normal(size=(3, 6))[batch] + 2.0 * rng.normal(size=(4, 6))[kind] + rng.normal(size=(2, 6))[sex]
    return x + rng.normal(size=(120, 6)) + 8.0, np.array([batch, 3 + kind, 7 + sex])


def batches_of(x: np.ndarray, levels: np.ndarray) -> Batches:
    sums = sums_of(x, levels, sum(SIZES))
    plain = Batches(("a", "b", "c"), np.bincount(levels[0]).astype(float), sums[:3])
    return plain.beside(cells_shared(levels, sum(SIZES)), sums)


def test_an_indicator_and_the_cells_that_levels_share_are_those_of_a_loop(cells) -> None:
    _, levels = cells
    np.testing.assert_array_equal(indicator(levels, sum(SIZES)).toarray(), dense(levels).T)
    np.testing.assert_array_equal(indicator(levels[0], 3).toarray(), dense(levels)[:, :3].T)
    np.testing.assert_array_equal(cells_shared(levels, sum(SIZES)), dense(levels).T @ dense(levels))
    weights = np.arange(120.0)
    weighted = (dense(levels) * weights[:, None]).T @ dense(levels)
    np.testing.assert_allclose(cells_shared(levels, sum(SIZES), weights), weighted)


def test_effects_are_those_of_least_squares_on_the_cells(cells) -> None:
    x, levels = cells
    batches = batches_of(sp.csr_matrix(x), levels)
    np.testing.assert_allclose(batches.centres, x.mean(axis=0) + by_least_squares(x, levels), rtol=1e-10)
    np.testing.assert_allclose(batches.counts @ batches.centres, x.sum(axis=0), rtol=1e-12)
    some = batches.subset(np.array([4, 1]))
    np.testing.assert_allclose(some.centres, batches.centres[:, [4, 1]])


def test_without_covariates_they_are_the_means(cells) -> None:
    x, levels = cells
    sums = sums_of(x, levels[0], 3)
    shared = cells_shared(levels[:1], 3)
    means = [x[levels[0] == b].mean(axis=0) for b in range(3)]
    np.testing.assert_allclose(adjusted_means(shared, sums, 3), means)
    np.testing.assert_allclose(effective_cells(shared, 3), np.bincount(levels[0]))
    np.testing.assert_array_equal(comparable(shared, 3), 0)


@pytest.mark.parametrize("scale", ["unit", "pareto", None])
def test_moments_are_those_of_corrected_cells(cells, scale) -> None:
    x, levels = cells
    corrected = x - by_least_squares(x, levels)[levels[0]]
    expected = accumulate(corrected).standardize(scale=scale)
    batches = batches_of(x, levels)
    for read in (accumulate(x), accumulate(sp.csr_matrix(x))):
        data = centred(read, batches, scale=scale)
        np.testing.assert_allclose(data.gram, expected.gram, atol=1e-9)
        np.testing.assert_allclose(data.scale, expected.scale, rtol=1e-12)
        np.testing.assert_allclose(data.mean, expected.mean, rtol=1e-12)
    near = centred(sketch(x, rank=6), batches_of(x, levels), scale=scale)
    np.testing.assert_allclose(near.gram @ np.eye(6), expected.gram, atol=1e-7)
    some = np.array([0, 2, 5])
    whole = sketch(x, rank=6, codes=levels[0], strata=("a", "b", "c"))
    plain = of_strata(whole, ("a", "b", "c"))
    own = replace(plain, kept=batches.kept).subset(some)
    cut = centred(whole.subset(some), own, scale=scale)
    np.testing.assert_allclose(cut.gram @ np.eye(3), expected.gram[np.ix_(some, some)], atol=1e-7)


def test_known_effects_are_taken_off_as_they_are(cells) -> None:
    x, levels = cells
    effects = by_least_squares(x, levels)
    names = ("a", "b", "c")
    read = accumulate(x, codes=levels[0], strata=names)
    drawn = read.weighted([2.0, 0.0, 1.0])
    own = of_strata(read, names, np.array([2.0, 0.0, 1.0]), effects=effects)
    assert own.names == ("a", "c")
    rows = np.concatenate([np.flatnonzero(levels[0] == b) for b in (0, 0, 2)])
    corrected = (x - effects[levels[0]])[rows]
    expected = accumulate(corrected).standardize(scale=None)
    np.testing.assert_allclose(centred(drawn, own, scale=None).gram, expected.gram, atol=1e-9)
    whole = of_strata(read, names, effects=effects)
    np.testing.assert_allclose(whole.centres, batches_of(x, levels).centres, rtol=1e-10)


def test_batches_that_share_no_level_cannot_be_compared() -> None:
    def groups(*pairs: tuple[int, ...]) -> list[int]:
        levels = np.array(pairs).T
        return comparable(cells_shared(levels, levels.max() + 1), levels[0].max() + 1).tolist()

    assert groups((0, 2), (1, 3)) == [0, 1]
    assert groups((0, 2), (0, 3), (1, 3), (1, 4)) == [0, 0]
    assert groups((0, 4), (1, 4), (2, 5), (3, 5), (3, 6)) == [0, 0, 1, 1]
    # both covariates link the batches one by one, but one is the other's mirror and leaves nothing to tell
    assert groups((0, 2, 4), (1, 2, 5), (0, 3, 4), (1, 3, 5)) == [0, 1]
    assert groups((0, 2, 4), (1, 2, 5), (0, 3, 5), (1, 3, 4)) == [0, 0]


@pytest.mark.parametrize("many", [1, 10**7])
def test_a_single_cell_in_common_is_enough_but_little_sure(many: int) -> None:
    levels = np.array([[0, 0, 1, 1], [2, 3, 3, 4]])
    shared = cells_shared(levels, 5, np.array([many, 1.0, 1.0, many]))
    np.testing.assert_array_equal(comparable(shared, 2), 0)
    sums = indicator(levels, 5) @ np.array([[5.0 * many], [1.0], [3.0], [9.0 * many]])
    centres = adjusted_means(shared, sums, 2)
    assert centres[1] - centres[0] == pytest.approx(2.0, rel=1e-6)
    assert effective_cells(shared, 2).max() < 3


def test_effective_cells_are_those_of_the_variance_of_the_adjusted_means(cells) -> None:
    _, levels = cells
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(120, 4000))
    spread = batches_of(noise, levels).centres.var(axis=1)
    np.testing.assert_allclose(effective_cells(cells_shared(levels, sum(SIZES)), 3), 1.0 / spread, rtol=0.1)


def test_the_variance_between_batches_is_that_of_the_scores_before_and_after(cells) -> None:
    x, levels = cells
    batches = batches_of(x, levels)
    data = centred(accumulate(x), batches, scale="unit")
    encoder = np.random.default_rng(2).normal(size=(6, 2))
    table = variance(batches, data, encoder, np.einsum("ij,ij->j", encoder, data.gram @ encoder), ["one", "two"])
    raw = (x - x.mean(axis=0)) / data.scale @ encoder
    corrected = raw - (by_least_squares(x, levels) / data.scale @ encoder)[levels[0]]
    for scores, column in ((raw, "before"), (corrected, "after")):
        means = np.array([scores[levels[0] == b].mean(axis=0) for b in range(3)])
        share = (means[levels[0]] ** 2).sum(axis=0) / (scores**2).sum(axis=0)
        np.testing.assert_allclose(table[column], share, rtol=1e-9)
    within = raw - np.array([raw[levels[0] == b].mean(axis=0) for b in range(3)])[levels[0]]
    for j, (name, shift) in enumerate(zip(table["batch"], table["shift"], strict=True)):
        b = "abc".index(name)
        off = (raw - corrected)[levels[0] == b, j][0]
        assert shift == pytest.approx(off / within[:, j].std(), rel=1e-9)
