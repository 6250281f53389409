"""One pass over a matrix: number of cells, gene sums and Gram matrix, and the algebra on them.

A linear model with squared error sees the data only through these moments, so every iteration after the pass costs the
same for a thousand cells as for a hundred million.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

BLOCK_BYTES = 64 * 2**20  # one dense float64 block of cells
MAX_GRAM_BYTES = 4 * 2**30
CONSTANT = 1e-12  # a variance below this share of the mean square is rounding, not variation

Scale = Literal["unit", "pareto"] | None
Matrix: TypeAlias = Any  # numpy array or scipy sparse matrix, cells × genes


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of a cells × genes matrix for least-squares models.

    Attributes
    ----------
    n
        Number of cells.
    sum
        Sum of each gene over the cells, float64, shape (g,).
    gram
        ``XᵀX``, not centred, float64, shape (g, g).
    """

    n: int
    sum: NDArray[np.float64]
    gram: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean of each gene, shape (g,)."""
        return self.sum / self.n

    @property
    def variance(self) -> NDArray[np.float64]:
        """Population variance of each gene (divisor n), shape (g,); exactly 0 for a constant gene."""
        mean_square = np.diagonal(self.gram) / self.n
        variance = mean_square - self.mean**2
        return np.where(variance > CONSTANT * mean_square, variance, 0.0)

    def subset(self, genes: NDArray[np.integer[Any]] | NDArray[np.bool_]) -> Moments:
        """Moments of some genes, in the order asked for (indices or a boolean mask)."""
        return Moments(self.n, self.sum[genes], self.gram[genes][:, genes])

    def standardize(self, *, center: bool, scale: Scale) -> Standardized:
        """Moments of ``X̃ = (X − μ) / σ`` without touching the matrix again.

        Parameters
        ----------
        center
            Subtract the mean of each gene: ``G − n μμᵀ``.
        scale
            What each gene is divided by: its standard deviation σ (``"unit"``), √σ (``"pareto"``, van den Berg
            et al. 2006, 10.1186/1471-2164-7-142) or nothing (``None``). A constant gene keeps its unit.
        """
        mean = self.mean if center else np.zeros_like(self.sum)
        deviation = np.sqrt(self.variance)
        power = {"unit": 1.0, "pareto": 0.5, None: 0.0}[scale]
        unit = np.where(deviation > 0, deviation, 1.0) ** power
        standardized = self.standardize_with(mean, unit)
        if center:  # what rounding leaves of a constant gene
            constant = deviation == 0
            standardized.gram[constant] = 0.0
            standardized.gram[:, constant] = 0.0
        return standardized

    def standardize_with(self, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> Standardized:
        """Moments of ``(X − mean) / scale`` for given means and units: ``G − s μᵀ − μ sᵀ + n μμᵀ``, s the sums."""
        cross = np.outer(self.sum, mean)
        gram = self.gram - cross - cross.T + self.n * np.outer(mean, mean)
        gram /= scale
        gram /= scale[:, None]
        return Standardized(self.n, gram, mean, scale)


@dataclass(frozen=True, eq=False)
class Standardized:
    """Gram matrix of the standardised cells, with what is needed to standardise new ones.

    Attributes
    ----------
    n
        Number of cells.
    gram
        ``X̃ᵀX̃``, float64, shape (g, g).
    mean, scale
        ``X̃ = (X − mean) / scale``, float64, shape (g,).
    """

    n: int
    gram: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def total(self) -> float:
        """``‖X̃‖²``, the trace of the Gram matrix."""
        return float(np.trace(self.gram))


def block_rows(n_genes: int) -> int:
    """Cells per block so that one dense float64 block stays below ``BLOCK_BYTES``."""
    return max(1, BLOCK_BYTES // (8 * max(1, n_genes)))


def dense_block(matrix: Any, start: int, stop: int, genes: NDArray[Any] | None = None) -> NDArray[np.float64]:
    """Cells ``start:stop`` of some genes as a dense float64 array; nothing else is made dense."""
    block = matrix[start:stop] if genes is None else matrix[start:stop][:, genes]
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)


def accumulate(
    matrix: Matrix, *, genes: NDArray[Any] | None = None, progress: Callable[[int], None] | None = None
) -> Moments:
    """Read a cells × genes matrix once, block by block, in float64.

    Parameters
    ----------
    matrix
        Dense array, CSR or CSC (turned to CSR, never dense as a whole), shape (n, g), finite.
    genes
        Indices of the columns to read, in the order wanted; by default all.
    progress
        Called with the number of cells read after each block.

    Returns
    -------
    Moments of the matrix.

    Raises
    ------
    ValueError
        If the Gram matrix would need more than ``MAX_GRAM_BYTES``.
    """
    rows = matrix.tocsr() if sp.issparse(matrix) else matrix
    n, g = rows.shape[0], rows.shape[1] if genes is None else len(genes)
    if 8 * g * g > MAX_GRAM_BYTES:
        msg = (
            f"{g} genes need a Gram matrix of {8 * g * g / 2**30:.1f} GiB; at most {MAX_GRAM_BYTES / 2**30:.0f} GiB "
            f"({int((MAX_GRAM_BYTES / 8) ** 0.5)} genes) is allowed. Choose fewer genes, for instance the highly "
            "variable ones (mask_var)."
        )
        raise ValueError(msg)
    total = np.zeros(g)
    gram = np.zeros((g, g))
    step = block_rows(g)
    for start in range(0, n, step):
        block = dense_block(rows, start, min(start + step, n), genes)
        total += block.sum(axis=0)
        gram += block.T @ block
        if progress is not None:
            progress(len(block))
    return Moments(n, total, gram)
