"""Cells in memory: every training cell once per epoch, held-out cells apart, exact moments."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.sparse_ae import minibatches
from pathwayae.core.sparse_ae.minibatches import InMemory

X = np.random.default_rng(0).poisson(0.5, (103, 7)).astype(np.float32)
X[:, 0] = np.arange(103)  # names the cells


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix, sp.csc_matrix, lambda x: x.astype(np.float64)])
def test_an_epoch_holds_every_training_cell_once(kind) -> None:
    cells = InMemory(kind(X), held_out=0.2, seed=1)
    rng = np.random.default_rng(3)
    first, second = (np.vstack([np.asarray(b) for b in cells.epoch(16, rng)]) for _ in range(2))
    held = np.vstack([np.asarray(batch) for batch in cells.held_out()])
    assert (cells.n, cells.n_features, len(held)) == (83, 7, 20)
    assert first.dtype == np.float32
    assert not np.array_equal(first, second)
    for seen in (first, second):
        both = np.vstack([seen, held])
        np.testing.assert_array_equal(both[np.argsort(both[:, 0])], X)
    assert [len(batch) for batch in cells.epoch(16, rng)] == [16] * 5 + [3]


@pytest.mark.parametrize("kind", [np.asarray, sp.csr_matrix])
def test_moments_are_those_of_the_training_cells_despite_a_large_mean(kind, monkeypatch) -> None:
    monkeypatch.setattr(minibatches, "BLOCK", 10)
    cells = InMemory(kind(X + np.float32(1000)), held_out=0.2)
    training = (X.astype(float) + 1000)[cells.training]
    mean, spread = cells.moments()
    np.testing.assert_allclose(mean, training.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(spread, training.var(axis=0).sum(), rtol=1e-9)


def test_few_cells_are_all_trained_on_and_many_leave_ten_thousand() -> None:
    assert len(InMemory(X[:19], held_out=0.5).held) == 0
    assert len(InMemory(np.zeros((200_000, 1), dtype=np.float32), held_out=0.1).held) == 10_000
    assert np.array_equal(InMemory(X, seed=4).held, InMemory(X, seed=4).held)
