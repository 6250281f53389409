"""Batches whose composition differs, against what was planted."""

from __future__ import annotations

import numpy as np
import pytest

from pathwayae.core.trust import composition as module
from pathwayae.core.trust.composition import composition

KINDS = np.random.default_rng(7).normal(size=(5, 12)) * 2.0  # centres of five kinds of cells


def cells(shares: list[list[float]], *, n: int = 600, seed: int = 0, shift: float = 0.0):
    """Cells of batches with shares of kinds, each batch shifted at random and centred; batch and kind of each."""
    rng = np.random.default_rng(seed)
    batch = np.repeat(np.arange(len(shares)), n)
    kind = np.concatenate([rng.choice(len(KINDS), n, p=one) for one in shares])
    x = KINDS[kind] + rng.normal(size=(len(batch), 12)) + shift * rng.normal(size=(len(shares), 12))[batch]
    means = np.array([x[batch == b].mean(axis=0) for b in range(len(shares))])
    return (x - means[batch]).astype(np.float32), batch, kind


EVEN = [0.2] * 5
UNEVEN = [[0.4, 0.15, 0.15, 0.15, 0.15], [0.1, 0.225, 0.225, 0.225, 0.225]]


@pytest.mark.parametrize("shift", [0.0, 5.0])
def test_what_is_found_is_the_difference_that_the_composition_makes(shift: float) -> None:
    x, batch, kind = cells(UNEVEN, shift=shift)
    found = composition(x, batch, 2, seed=0)
    # least squares with the kinds known, cell by cell
    design = np.column_stack([batch[:, None] == [0, 1], kind[:, None] == np.arange(5)]).astype(float)
    effect = np.linalg.lstsq(design, x.astype(float), rcond=None)[0][:2]
    effect -= effect.mean(axis=0)
    np.testing.assert_allclose(found.off, effect / x.std(axis=0), atol=0.03)
    assert found.flagged.any(axis=1).all()
    np.testing.assert_array_equal(found.groups, 0)
    np.testing.assert_array_equal(found.counts, [600, 600])


def test_batches_of_one_composition_are_not_flagged() -> None:
    flagged = 0
    for seed in range(30):
        for shares in ([EVEN] * 2, [EVEN] * 6, [UNEVEN[0]] * 3):
            x, batch, _ = cells(shares, n=200, seed=seed, shift=2.0)
            flagged += bool(composition(x, batch, len(shares), seed=seed).flagged.any())
    assert flagged <= 2


def test_a_shift_of_one_kind_of_cells_is_no_composition() -> None:
    rng = np.random.default_rng(1)
    x, batch = rng.normal(size=(800, 10)), rng.integers(2, size=800)
    assert not composition(x, batch, 2, seed=0).flagged.any()
    one = composition(np.column_stack([x, np.zeros(800)]), batch, 2, seed=0)
    np.testing.assert_array_equal(one.off[:, 10], 0)


def test_neither_shifts_nor_units_nor_another_run_matter() -> None:
    x, batch, _ = cells(UNEVEN)
    found = composition(x, batch, 2, seed=3)
    moved = composition(x + 3.0 * batch[:, None] - 1.0, batch, 2, seed=3)
    np.testing.assert_array_equal(composition(2.0 * x, batch, 2, seed=3).off, found.off)
    np.testing.assert_array_equal(composition(x, batch, 2, seed=3).off, found.off)
    kept = moved.off - found.off
    np.testing.assert_allclose(kept, kept[:1] * [[1.0], [-1.0]], atol=1e-4)  # what was added is found again
    assert np.abs(kept[0] + 1.5 / x.std(axis=0)).max() < 1e-3


def test_batches_without_like_cells_are_of_several_groups() -> None:
    rng = np.random.default_rng(0)
    kind = np.array([[10.0, 0.0], [-10.0, 0.0], [0.0, 10.0], [0.0, -10.0]])[np.repeat(np.arange(4), 100)]
    batch = np.repeat([0, 0, 1, 1], 100)
    found = composition(kind + rng.normal(size=(400, 2)), batch, 2, seed=0)
    assert found.groups.tolist() == [0, 1]


def test_of_many_cells_some_of_every_batch_are_looked_at(monkeypatch) -> None:
    x, batch, _ = cells([*UNEVEN, EVEN], n=1000)
    monkeypatch.setattr(module, "N_CELLS", 1500)
    found = composition(x, batch, 3, seed=0)
    np.testing.assert_array_equal(found.counts, [500, 500, 500])
    order = np.random.default_rng(0).permutation(3000)
    assert composition(x[order], batch[order], 3, seed=0).flagged.any()
