"""Cells to train on: their moments, random minibatches and held-out cells; here from matrices in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

BLOCK = 8192  # cells read at once where order does not matter
HELD_OUT_MOST = 10_000  # held-out cells beyond these say nothing new
HELD_OUT_LEAST = 20  # with fewer cells than this none are held out
SHARE_OF_DEVICE = 0.5  # of its free memory that the matrix may take

Batch: TypeAlias = NDArray[np.float32] | Tensor
Floats: TypeAlias = NDArray[np.float64]


class Cells(Protocol):
    """Where training cells come from.

    ``n`` counts the training cells; ``moments`` gives their mean (d,) and their mean squared distance from it;
    ``epoch`` yields every training cell once in random order; ``held_out`` yields the others, always the same.
    """

    @property
    def n(self) -> int:
        """Number of training cells."""

    @property
    def n_features(self) -> int:
        """Number of features d."""

    def moments(self) -> tuple[Floats, float]:
        """Mean (d,) of the training cells and their mean squared distance from it."""

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Every training cell once, in random order, float32 (b, d)."""

    def held_out(self) -> Iterator[Batch]:
        """The held-out cells, float32 (b, d); none where nothing was held out."""


class InMemory:
    """Cells of a matrix in memory; dense ones, and CSR ones that fit, lie on the device as a whole.

    Parameters
    ----------
    X
        Cells × features, dense or CSR, finite.
    held_out
        Share of the cells kept for measuring, from 0 to below 1; at most 10 000 cells, and none of fewer than 20.
    seed
        Of the choice of held-out cells.
    device
        Where the minibatches shall be, as torch names it.

    Examples
    --------
    >>> cells = InMemory(np.eye(100, 3), held_out=0.1)
    >>> cells.n, sum(len(batch) for batch in cells.held_out())
    (90, 10)
    """

    def __init__(self, X: Any, *, held_out: float = 0.1, seed: int = 0, device: str = "cpu") -> None:
        n = X.shape[0]
        n_held = min(int(held_out * n), HELD_OUT_MOST) if n >= HELD_OUT_LEAST else 0
        order = np.random.default_rng(seed).permutation(n)
        self.held, self.training = np.sort(order[:n_held]), np.sort(order[n_held:])
        self.matrix = _placed(X, device)

    @property
    def n(self) -> int:
        """Number of training cells."""
        return len(self.training)

    @property
    def n_features(self) -> int:
        """Number of features d."""
        return int(self.matrix.shape[1])

    def moments(self) -> tuple[Floats, float]:
        """Mean (d,) of the training cells and their mean squared distance from it, in float64."""
        total = np.zeros(self.n_features)
        for block in self._blocks(self.training):
            total += _double(block).sum(axis=0)
        mean = total / self.n
        spread = sum(float(((_double(block) - mean) ** 2).sum()) for block in self._blocks(self.training))
        return mean, spread / self.n

    def epoch(self, batch_size: int, rng: np.random.Generator) -> Iterator[Batch]:
        """Every training cell once, in random order, float32 (b, d)."""
        order = rng.permutation(self.training)
        for start in range(0, len(order), batch_size):
            yield self._rows(order[start : start + batch_size])

    def held_out(self) -> Iterator[Batch]:
        """The held-out cells, float32 (b, d)."""
        return self._blocks(self.held)

    def _blocks(self, cells: NDArray[np.int64]) -> Iterator[Batch]:
        for start in range(0, len(cells), BLOCK):
            yield self._rows(cells[start : start + BLOCK])

    def _rows(self, cells: NDArray[np.int64]) -> Batch:
        if isinstance(self.matrix, Tensor):
            return self.matrix.index_select(0, torch.as_tensor(cells, device=self.matrix.device))  # faster than [ ]
        rows: NDArray[np.float32] = self.matrix[cells].toarray()
        return rows


def _placed(X: Any, device: str) -> Any:
    """A dense tensor on the device where it fits, else what it is: CSR on the CPU, a tensor on the CPU."""
    size = X.shape[0] * X.shape[1] * 4
    cuda = torch.device(device).type == "cuda"
    fits = cuda and size < SHARE_OF_DEVICE * torch.cuda.mem_get_info(device)[0]
    if not sp.issparse(X):
        dense = torch.from_numpy(np.require(X, dtype=np.float32, requirements=["C", "W"]))
        return dense.to(device) if fits else dense
    X = X.tocsr().astype(np.float32)
    if not fits:
        return X
    dense = torch.empty(X.shape, dtype=torch.float32, device=device)
    for start in range(0, X.shape[0], BLOCK):
        dense[start : start + BLOCK] = torch.from_numpy(X[start : start + BLOCK].toarray()).to(device)
    return dense


def _double(batch: Batch) -> Floats:
    values: Floats = batch.double().cpu().numpy() if isinstance(batch, Tensor) else batch.astype(np.float64)
    return values
