"""Compiled passes over a Gram matrix: some of its genes, standardised, its other half. One reading and one writing.

Threads share the rows.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.threads import share

Floats = NDArray[np.float64]

TILE = 64  # rows and columns that stay in the cache while they are exchanged


def of_genes(gram: Floats, index: NDArray[np.intp], *, out: Floats | None = None) -> Floats:
    """``G[index][:, index]``, shape (m, m), written to `out` where there is one.

    Examples
    --------
    >>> of_genes(np.arange(9.0).reshape(3, 3), np.array([2, 0]))
    array([[8., 6.],
           [2., 0.]])
    """
    result = np.empty((len(index), len(index))) if out is None else out
    share(lambda first, last: _of_genes(first, last, gram, index, result), len(index), len(index) ** 2)
    return result


def standardized(
    gram: Floats, sums: Floats, mean: Floats, scale: Floats, n: float, index: NDArray[np.intp] | None = None
) -> Floats:
    """``(G − s μᵀ − μ sᵀ + n μμᵀ) / (σ σᵀ)`` for sums s, means μ and units σ of the genes, shape (m, m).

    ``index`` are the m genes of G that these are of, by default all.

    Examples
    --------
    >>> standardized(np.array([[5.0]]), np.array([3.0]), np.array([1.5]), np.array([0.5]), 2.0)
    array([[2.]])
    """
    m = len(mean)
    result = np.empty((m, m))
    everything = (gram, sums - n * mean, mean, 1.0 / scale, result)
    if index is None:
        share(lambda first, last: _standardized(first, last, sums, *everything), m, 8.0 * result.size)
    else:
        share(lambda first, last: _standardized_of(first, last, index, sums, *everything), m, 8.0 * result.size)
    return result


def without(gram: Floats, low: Floats, weights: Floats, scale: Floats, index: NDArray[np.intp] | None = None) -> Floats:
    """``(G − Σ_b w_b l_b l_bᵀ) / (σ σᵀ)`` for rows l, shape (b, m), and units σ of the genes, shape (m, m).

    ``index`` are the m genes of G that these are of, by default all. Some rows at a time, so that there is no second
    matrix of the size of the result.

    Examples
    --------
    >>> without(np.array([[5.0]]), np.array([[2.0]]), np.array([1.0]), np.array([0.5]))
    array([[4.]])
    """
    m = low.shape[1]
    result, weighed = np.empty((m, m)), low * weights[:, None]

    def some(start: int, stop: int) -> None:
        for first in range(start, stop, TILE):
            rows = slice(first, min(first + TILE, stop))
            own = result[rows]
            np.matmul(weighed[:, rows].T, low, out=own)
            np.subtract(gram[rows] if index is None else gram[index[rows]].take(index, axis=1), own, out=own)
            own /= scale
            own /= scale[rows, None]

    share(some, m, result.size)
    return result


def mirror(gram: Floats) -> None:
    """Copy the lower triangle onto the upper one, in place."""
    n_tiles = -(-len(gram) // TILE)
    share(lambda first, last: _mirror(first, last, gram), n_tiles, 4.0 * gram.size)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _of_genes(start: Any, stop: Any, gram: Any, index: Any, result: Any) -> None:
    """Rows ``start:stop``."""
    for i in range(start, stop):
        row, own = gram[index[i]], result[i]
        for j in range(len(index)):
            own[j] = row[index[j]]


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _standardized(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, sums: Any, gram: Any, rest: Any, mean: Any, unit: Any, result: Any
):
    """Rows ``start:stop``; what is taken off is ``s μᵀ + μ (s − n μ)ᵀ``."""
    for i in range(start, stop):
        row, own = gram[i], result[i]
        one, two, three = sums[i], mean[i], unit[i]
        for j in range(len(row)):
            own[j] = (row[j] - one * mean[j] - two * rest[j]) * three * unit[j]


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _standardized_of(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, index: Any, sums: Any, gram: Any, rest: Any, mean: Any, unit: Any, result: Any
):
    """The same of some genes of the matrix."""
    for i in range(start, stop):
        row, own = gram[index[i]], result[i]
        one, two, three = sums[i], mean[i], unit[i]
        for j in range(len(index)):
            own[j] = (row[index[j]] - one * mean[j] - two * rest[j]) * three * unit[j]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _mirror(start: Any, stop: Any, gram: Any) -> None:
    """Tiles ``start:stop`` of columns below the diagonal onto rows right of it."""
    g = len(gram)
    for tile in range(start, stop):
        left = tile * TILE
        right = min(left + TILE, g)
        for top in range(left, g, TILE):
            for j in range(left, right):
                for i in range(max(top, j + 1), min(top + TILE, g)):
                    gram[j, i] = gram[i, j]
