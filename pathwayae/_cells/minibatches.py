"""Minibatches of cells that may lie in files: in memory where they fit, else by blocks in random order.

Both give the same interface to the training. What fits in memory is trained on as any matrix in memory is, so that the
result does not depend on where the cells were read from.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae import _progress
from pathwayae._cells.matrix import Input
from pathwayae.core.sparse_ae.minibatches import InMemory

BLOCK_BYTES = 16 * 2**20  # of a block of cells, dense in float32
POOL_BYTES = 256 * 2**20  # of the blocks that are shuffled together
HELD_BYTES = 2 * 2**30  # of cells read from files that are kept in memory, as they are stored there

Floats = NDArray[np.float32]


class Blocks:
    """Cells of a source, read again in every epoch; those held out stay in memory.

    An epoch visits the blocks in random order. Some of them together make a pool, whose cells are shuffled; what does
    not fill a batch goes to the next pool: every training cell comes once, and all batches but the last are full.

    Parameters
    ----------
    cells
        The source and its columns.
    held_out
        Which cells are not trained on, shape (n,).
    progress
        Show a bar over the first pass, which reads the moments.
    """

    def __init__(self, cells: Input, held_out: NDArray[np.bool_], *, progress: bool = False) -> None:
        self.cells = cells
        self.out = held_out
        self.stretches = [(start, stop) for start, stop in _stretches(cells) if not held_out[start:stop].all()]
        self._mean, self._power, self._kept = self._pass(progress=progress)

    @property
    def n(self) -> int:
        """Number of training cells."""
        return int((~self.out).sum())

    @property
    def n_features(self) -> int:
        """Number of columns."""
        return len(self.cells.columns)

    def moments(self) -> tuple[NDArray[np.float64], float]:
        """Mean of the training cells, shape (d,), and their mean squared distance from it."""
        return self._mean, self._power

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Floats]:
        """Every training cell once, in dense batches."""
        waiting: list[Any] = []
        for pool in self._pools(rng):
            values = _stack([*waiting, *pool])
            pool.clear()  # not held twice
            order = rng.permutation(values.shape[0])
            full = len(order) // batch_size * batch_size
            for start in range(0, full, batch_size):
                yield dense(values[order[start : start + batch_size]])
            waiting = [values[order[full:]]] if full < len(order) else []
        if waiting:
            yield dense(waiting[0])
        self.cells.source.check_unchanged()

    def held_out(self) -> Iterator[Floats]:
        """The cells that are not trained on, in order."""
        for part in self._kept:
            yield dense(part)

    def _pools(self, rng: np.random.Generator) -> Iterator[list[Any]]:
        """Training cells of blocks in random order, so many that they fill a pool."""
        pool: list[Any] = []
        size = 0
        for i in rng.permutation(len(self.stretches)):
            start, stop = self.stretches[i]
            pool.append(self._block(start, stop)[~self.out[start:stop]])
            size += 4 * (stop - start) * self.n_features
            if size >= POOL_BYTES:
                yield pool
                pool, size = [], 0
        if pool:
            yield pool

    def _block(self, start: int, stop: int) -> Any:
        return self.cells.narrow(self.cells.source.block(start, stop).values)

    def _pass(self, *, progress: bool) -> tuple[NDArray[np.float64], float, list[Any]]:
        """Moments of the training cells, merged block by block so that large means lose no digits; cells held out."""
        mean, power, n, kept = np.zeros(self.n_features), 0.0, 0, []
        with _progress.bar("cells", "cells", len(self.out), progress=progress) as bar:
            for start, stop in _stretches(self.cells):
                values, out = self._block(start, stop), self.out[start:stop]
                if out.any():
                    kept.append(values[out])
                if not out.all():
                    mean, power, n = _merged(mean, power, n, values[~out])
                bar.update(stop - start)
        return mean, power / n, kept


def _stretches(cells: Input) -> Iterator[tuple[int, int]]:
    """Blocks that depend on the number of columns alone, not on how they are stored; of dask, its chunks."""
    source = cells.source
    rows = max(1, BLOCK_BYTES // (4 * source.shape[1]))
    return source.stretches((rows + 0.5) * max(source.row_bytes, 1.0))  # the half against rounding


def dense(values: Any) -> Floats:
    """Cells as a dense array of their own, float32."""
    return values.toarray() if sp.issparse(values) else np.ascontiguousarray(values)


def _stack(parts: list[Any]) -> Any:
    if len(parts) == 1:
        return parts[0]
    return sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts)


def _merged(mean: NDArray[np.float64], power: float, n: int, values: Any) -> tuple[NDArray[np.float64], float, int]:
    """Mean, summed squared distance from it and number of cells, after some more of them; all in float64.

    Chan, Golub & LeVeque (1983): sums about the mean of each part, and what lies between the means of the two.
    """
    m = values.shape[0]
    if sp.issparse(values):
        stored = values.tocsc()
        stored.sum_duplicates()
        filled, data = np.diff(stored.indptr), stored.data.astype(np.float64)
        own = np.bincount(np.repeat(np.arange(len(filled)), filled), weights=data, minlength=len(filled)) / m
        # The zeros of a column add its squared mean each.
        spread = ((data - np.repeat(own, filled)) ** 2).sum() + ((m - filled) * own**2).sum()
    else:
        own = values.mean(axis=0, dtype=np.float64)
        spread = ((values - own) ** 2).sum()
    shift = own - mean
    total = n + m
    return mean + shift * (m / total), power + float(spread) + float(shift @ shift) * n * m / total, total


def training_cells(
    cells: Input, *, held_out: float, seed: int, device: str = "cpu", progress: bool = False
) -> InMemory | Blocks:
    """Cells to train on and cells held out: in memory where they are or fit there, else by blocks.

    Which cells are held out depends on their number, the share and the seed alone.
    """
    if _fits(cells):
        return InMemory(_in_memory(cells, progress=progress), held_out=held_out, seed=seed, device=device)
    return Blocks(cells, held_cells(cells.n_cells, held_out, seed), progress=progress)


def held_cells(n: int, share: float, seed: int) -> NDArray[np.bool_]:
    """The cells that training in memory would hold out, as a mask."""
    mask = np.zeros(n, dtype=bool)
    mask[InMemory(np.empty((n, 0), dtype=np.float32), held_out=share, seed=seed).held] = True
    return mask


def _fits(cells: Input) -> bool:
    """Whether the columns are in memory already, or small enough to be read once and kept."""
    source = cells.source
    if source.finite and source.after is None:
        return True
    return source.row_bytes * source.shape[0] * len(cells.columns) / source.shape[1] <= HELD_BYTES


def _in_memory(cells: Input, *, progress: bool) -> Any:
    source = cells.source
    if source.finite and source.after is None:
        return cells.narrow(source.block(0, source.shape[0]).values)
    parts = []
    with _progress.bar("cells", "cells", cells.n_cells, progress=progress) as bar:
        for start, stop, values in cells.blocks(BLOCK_BYTES):
            parts.append(values)
            bar.update(stop - start)
    return _stack(parts)
