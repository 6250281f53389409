"""One pass over a matrix, block by block: the moments of its cells, per stratum."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.moments import gram, gram_passes
from pathwayae.core.moments.moments import Floats, Moments, Scale, Standardized
from pathwayae.core.moments.strata import WHOLE
from pathwayae.core.sparse import canonical

__all__ = ["Accumulator", "Moments", "Scale", "Standardized", "accumulate", "block_rows", "check_size", "dense_block"]

BLOCK_BYTES = 64 * 2**20  # one dense float64 block of cells
MAX_GRAM_BYTES = 4 * 2**30  # all Gram matrices of one pass
Matrix: TypeAlias = Any  # numpy array or scipy sparse matrix, cells × genes


class Accumulator:
    """Moments of blocks of cells that arrive one after another, added up in float64.

    Parameters
    ----------
    n_genes
        Number of genes g.
    strata
        Names of the strata that the codes of cells count from 0.
    max_bytes
        Limit of one Gram matrix, by default ``MAX_GRAM_BYTES``.
    device
        Where the products are computed, as torch names it; ``"cpu"`` needs no torch.

    Raises
    ------
    ValueError
        If the Gram matrices would need more than that.

    Examples
    --------
    >>> pass_ = Accumulator(2, ("a", "b"))
    >>> pass_.add(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([0, 1]))
    >>> pass_.add(np.array([[4.0, 0.0]]), np.array([1]))
    >>> pass_.result().counts
    array([1., 2.])
    """

    def __init__(
        self,
        n_genes: int,
        strata: tuple[str, ...] = WHOLE,
        *,
        max_bytes: int | None = None,
        device: str = "cpu",
    ) -> None:
        check_size(n_genes, MAX_GRAM_BYTES if max_bytes is None else max_bytes)
        self._strata = strata
        self._rows = block_rows(n_genes)
        self._counts, self._sums = np.zeros(len(strata)), np.zeros((len(strata), n_genes))
        self._grams, self._add = _on(device, (len(strata), n_genes, n_genes))

    def add(self, block: Matrix, codes: NDArray[np.integer[Any]] | None = None) -> None:
        """Add cells, dense or CSR, shape (n, g), with the stratum of each, shape (n,); by default the first."""
        for stratum, part in by_stratum(block, codes):
            self._counts[stratum] += part.shape[0]
            self._sums[stratum] += sum_of(part)
            self._add(self._grams[stratum], part, rows=self._rows)

    def result(self, genes: tuple[str, ...] | None = None, normalize: str = "") -> Moments:
        """Moments of the cells so far; the accumulator ends with it."""
        if isinstance(self._grams, np.ndarray):
            grams = self._grams
            for one in grams:
                gram_passes.mirror(one)
        else:
            grams = self._grams.cpu().numpy()
        return Moments(self._counts, self._sums, grams, self._strata, genes, normalize)


def accumulate(
    matrix: Matrix,
    *,
    genes: NDArray[Any] | None = None,
    codes: NDArray[np.integer[Any]] | None = None,
    strata: tuple[str, ...] = WHOLE,
    progress: Callable[[int], None] | None = None,
) -> Moments:
    """Read a cells × genes matrix once, block by block, in float64.

    Parameters
    ----------
    matrix
        Dense array, CSR or CSC (turned to CSR, never dense as a whole), shape (n, g), finite.
    genes
        Indices of the columns to read, in the order wanted; by default all.
    codes, strata
        Stratum of each cell as an index into the names of the strata, shape (n,); by default one stratum.
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
    rows = canonical(matrix, "matrix")
    n, g = rows.shape[0], rows.shape[1] if genes is None else len(genes)
    added = Accumulator(g, strata)
    step = block_rows(g)
    for start in range(0, n, step):
        block = rows[start : start + step]
        added.add(block if genes is None else block[:, genes], None if codes is None else codes[start : start + step])
        if progress is not None:
            progress(block.shape[0])
    return added.result()


def check_size(n_genes: int, max_bytes: int) -> None:
    """Raise ValueError where a Gram matrix of so many genes does not fit."""
    if 8 * n_genes * n_genes > max_bytes:
        msg = (
            f"{n_genes} genes need a Gram matrix of {8 * n_genes**2 / 2**30:.1f} GiB; at most "
            f"{max_bytes / 2**30:.3g} GiB ({int((max_bytes / 8) ** 0.5)} genes) is allowed. Choose fewer genes, for "
            "instance the highly variable ones (mask_var of a fit, genes of pae.pp.moments)."
        )
        raise ValueError(msg)


def block_rows(n_genes: int) -> int:
    """Cells per block so that one dense float64 block stays below ``BLOCK_BYTES``."""
    return max(1, BLOCK_BYTES // (8 * max(1, n_genes)))


def _on(device: str, shape: tuple[int, int, int]) -> tuple[Any, Callable[..., None]]:
    """Gram matrices of no cells yet on the device, and what adds a block to one of them."""
    if device == "cpu":
        return np.zeros(shape), gram.add_gram
    import torch

    from pathwayae.core.moments import gram_device

    return torch.zeros(shape, dtype=torch.float64, device=device), gram_device.add_gram


def by_stratum(block: Matrix, codes: NDArray[np.integer[Any]] | None) -> Iterator[tuple[int, Matrix]]:
    """Strata that occur in a block of cells, and their cells; the block itself where there is one."""
    present = [0] if codes is None else np.unique(codes).tolist()
    for stratum in present:
        yield stratum, block if codes is None or len(present) == 1 else block[np.flatnonzero(codes == stratum)]


def sum_of(block: Matrix) -> Floats:
    """Sum of each gene in float64, without a copy of the block."""
    if sp.issparse(block):
        return np.bincount(block.indices, block.data, minlength=block.shape[1]).astype(np.float64, copy=False)
    return np.asarray(block.sum(axis=0, dtype=np.float64))


def dense_block(matrix: Any, start: int, stop: int, genes: NDArray[Any] | None = None) -> Floats:
    """Cells ``start:stop`` of some genes as a dense float64 array; nothing else is made dense."""
    block = matrix[start:stop] if genes is None else matrix[start:stop][:, genes]
    return np.asarray(block.toarray() if sp.issparse(block) else block, dtype=np.float64)
