"""Products with the Gram matrix of standardised cells, from the matrix itself or through the cells.

A fit needs ``G W``, the trace and the diagonal of ``G = X̃ᵀX̃``. With fewer than half as many cells as genes
``X̃ᵀ(X̃ W)`` costs less than ``G W``. Both give the same numbers. A sketch of G costs less than either and gives
nearly the same.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments.accumulate import Matrix
from pathwayae.core.moments.cells_times import cells_times
from pathwayae.core.moments.gram import add_gram
from pathwayae.core.moments.gram_passes import mirror
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.moments.moments import CONSTANT, Scale, Standardized
from pathwayae.core.moments.sketch import StandardizedSketch
from pathwayae.core.threads import shared_product

SPARSE_SHARE = 0.1  # with more non-zero values than this, dense products in float32 are faster than sparse ones
KERNEL_BYTES = 2**30  # of the products of cells with each other
STORED_BYTES = 36  # of one stored value: value and index in the own matrix, the scaled one and its transpose

Floats = NDArray[np.float64]
Genes = NDArray[Any] | None
Product = Callable[[Tensor], Tensor]
Solver = Literal["auto", "gram", "cells"]


class Gram(Protocol):
    """What a Gram matrix is asked for; a numpy array (g, g) can do it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """``(g, g)``."""

    def __matmul__(self, other: Any, /) -> Any:
        """``G @ other``."""

    def trace(self) -> Any:
        """``‖X̃‖²``."""

    def diagonal(self) -> Any:
        """``‖x̃_i‖²`` of each gene, shape (g,)."""


class CellsGram:
    """``X̃ᵀX̃`` with ``X̃ = (X − mean) / scale``, never formed.

    A sparse matrix stays sparse while few values are not zero, its mean then being taken off in float64. Other cells
    are standardised explicitly, since ``X W − 1 μᵀW`` would cancel in float32: once, or again in every product where
    they need more than ``moments.MAX_GRAM_BYTES``.

    Parameters
    ----------
    matrix
        Cells × genes, dense or sparse, not modified.
    mean, scale
        Of the genes, shape (g,); a scale of infinity makes a gene 0.
    genes
        Columns of the matrix, in the order wanted; by default all.

    Attributes
    ----------
    cells, genes
        The matrix as it is held, and the columns of it that count; None for all.
    """

    def __init__(self, matrix: Matrix, mean: Floats, scale: Floats, genes: Genes = None) -> None:
        self.cells, self.genes = _columns(matrix, genes)
        self._mean, self._scale = mean, scale
        self.n, self.shape = matrix.shape[0], (len(mean), len(mean))

    def __matmul__(self, other: Floats) -> Floats:
        """``G @ other`` in float64, for a vector (g,) or a matrix (g, m)."""
        columns = torch.from_numpy(np.ascontiguousarray(other, dtype=np.float64)).reshape(len(other), -1)
        return np.asarray(self._product(columns).numpy().reshape(other.shape))

    @property
    def through_kernel(self) -> bool:
        """Whether the products of the cells with each other are a smaller matrix than those of the genes, and fit."""
        return 2 * self.n < self.shape[0] and 8 * self.n**2 <= KERNEL_BYTES

    @cached_property
    def kernel(self) -> Floats:
        """``X̃X̃ᵀ``, the products of cells with each other, shape (n, n)."""
        cells, shift = self._standard
        kernel = np.zeros((self.n, self.n))
        add_gram(kernel, cells.T.tocsr() if sp.issparse(cells) else cells.T, rows=moments.block_rows(self.n))
        mirror(kernel)
        along = np.asarray(cells @ shift)
        kernel -= along
        kernel -= along[:, None]
        kernel += shift @ shift
        return kernel

    def rescaled(self, unit: Floats) -> CellsGram:
        """The Gram matrix with every gene times its unit, shape (g,)."""
        scale = np.divide(self._scale, unit, out=np.full_like(unit, np.inf), where=unit > 0)
        return CellsGram(self.cells, self._mean, scale, self.genes)

    def left(self, values: Floats) -> Floats:
        """``X̃ @ values`` for values of shape (g, m), dense or sparse; dense, shape (n, m)."""
        cells, shift = self._standard
        if sp.issparse(cells):
            product = cells_times(cells, sp.csr_array(values) if sp.issparse(values) else values)
        else:
            product = np.asarray(values.T @ cells.T).T if sp.issparse(values) else cells @ values
        product -= shift @ values
        return product

    def right(self, values: Floats) -> Floats:
        """``X̃ᵀ @ values`` for values of shape (n, m); shape (g, m)."""
        cells, shift = self._standard
        return np.asarray(cells.T @ values) - np.outer(shift, values.sum(axis=0))

    def trace(self) -> float:
        """``‖X̃‖²``."""
        return float(self._squares.sum())

    def diagonal(self) -> Floats:
        """``‖x̃_i‖²`` of each gene, shape (g,)."""
        return self._squares.copy()

    def product(self, dtype: torch.dtype, device: str, divisor: float = 1.0) -> Product:
        """``W ↦ X̃ᵀ(X̃ W) / divisor`` for W of shape (…, g, k) on the device."""
        if self._is_sparse():
            return _sparse_product([part.to(device) for part in self._sparse_parts], divisor)
        root = divisor**0.5

        def blocks() -> Iterator[Tensor]:
            step = moments.block_rows(self.shape[0])
            for first in range(0, self.n, step):
                block = moments.dense_block(self.cells, first, first + step, self.genes)
                yield torch.as_tensor((block - self._mean) / (self._scale * root), dtype=dtype, device=device)

        held = list(blocks()) if self._fits() else None

        def product(w: Tensor) -> Tensor:
            result = torch.zeros_like(w)
            for cells in blocks() if held is None else held:
                result += ((w.mT @ cells.mT) @ cells).mT  # this order of the products is the faster one
            return result

        return product

    @cached_property
    def _standard(self) -> tuple[Matrix, Floats]:
        """``S`` and ``m`` with ``X̃ = S − 1 mᵀ``: sparse cells divided, or dense ones standardised and m = 0."""
        shift = self._mean / self._scale
        if sp.issparse(self.cells):
            scaled = self.cells.copy()
            scaled.data /= self._scale[scaled.indices]
            return scaled, shift
        cells = moments.dense_block(self.cells, 0, self.n, self.genes)
        return (cells - self._mean) / self._scale, np.zeros_like(shift)

    @cached_property
    def _product(self) -> Product:
        return self.product(torch.float64, "cpu")

    @cached_property
    def _sparse_parts(self) -> list[Tensor]:
        """``S = X / scale``, its transpose and ``m = mean / scale`` as a row; held once for all products."""
        scaled = self.cells.copy()
        scaled.data /= self._scale[scaled.indices]
        return [_torch_csr(scaled), _torch_csr(scaled.T.tocsr()), torch.as_tensor(self._mean / self._scale)[None]]

    @cached_property
    def _squares(self) -> Floats:
        return _squares(self.cells, self.genes, self._mean) / self._scale**2

    def _fits(self) -> bool:
        return 8 * self.n * self.shape[0] <= moments.MAX_GRAM_BYTES

    def _is_sparse(self) -> bool:
        if not sp.issparse(self.cells):
            return False
        return self.cells.nnz <= SPARSE_SHARE * self.n * self.shape[0] or not self._fits()


@dataclass(frozen=True, eq=False)
class StandardizedCells:
    """Standardised cells in the place of their moments; the Gram matrix is implicit.

    Attributes
    ----------
    n
        Number of cells.
    gram
        ``X̃ᵀX̃`` as an operator.
    mean, scale
        ``X̃ = (X − mean) / scale``, float64, shape (g,).
    """

    n: int
    gram: CellsGram
    mean: Floats
    scale: Floats

    @property
    def total(self) -> float:
        """``‖X̃‖²``, the trace of the Gram matrix."""
        return self.gram.trace()


Data: TypeAlias = Standardized | StandardizedCells | StandardizedSketch


def prefer_cells(n: int, g: int, solver: Solver = "auto") -> bool:
    """Whether to go through the cells: asked to, or with ``2n < g``, or where G would not fit in memory."""
    return solver == "cells" or (solver == "auto" and (2 * n < g or 8 * g * g > moments.MAX_GRAM_BYTES))


def mean_and_variance(matrix: Matrix, genes: Genes = None) -> tuple[Floats, Floats]:
    """Mean and population variance of each gene in float64; the variance of a constant gene is exactly 0."""
    rows, genes = _columns(matrix, genes)
    n = rows.shape[0]
    if sp.issparse(rows):
        mean = np.asarray(rows.sum(axis=0)).ravel() / n
    else:
        g = rows.shape[1] if genes is None else len(genes)
        mean = sum((block.sum(axis=0) for block in _dense_blocks(rows, genes)), start=np.zeros(g)) / n
    variance = _squares(rows, genes, mean) / n
    return mean, np.where(variance > CONSTANT * (variance + mean**2), variance, 0.0)


def standardize(matrix: Matrix, *, center: bool, scale: Scale, genes: Genes = None) -> StandardizedCells:
    """Cells standardised as :meth:`pathwayae.core.moments.moments.Moments.standardize` does with their moments."""
    rows, genes = _columns(matrix, genes)
    mean, variance = mean_and_variance(rows, genes)
    power = {"unit": 0.5, "pareto": 0.25, None: 0.0}[scale]
    unit = np.where(variance > 0, variance, 1.0) ** power
    shift = mean if center else np.zeros_like(mean)
    # What rounding leaves of a constant gene must not count.
    divisor = np.where((variance == 0) & center, np.inf, unit)
    return StandardizedCells(rows.shape[0], CellsGram(rows, shift, divisor, genes), shift, unit)


def standardize_with(matrix: Matrix, mean: Floats, scale: Floats, *, genes: Genes = None) -> StandardizedCells:
    """Cells ``(X − mean) / scale`` for given means and units, shape (g,)."""
    return StandardizedCells(matrix.shape[0], CellsGram(matrix, mean, scale, genes), mean, scale)


def fast_product(gram: Gram) -> Callable[[Any], Any]:
    """``V ↦ G V`` in float32, for subspaces that are looked for step by step."""
    if isinstance(gram, LowRank):
        return LowRank(gram.own.astype(np.float32), gram.factors.astype(np.float32), gram.sign).__matmul__
    if not isinstance(gram, np.ndarray):
        return lambda values: np.asarray(gram @ values.astype(np.float64)).astype(np.float32)
    return partial(shared_product, gram.astype(np.float32))


def relative_product(data: Data, device: str) -> Product:
    """``W ↦ G W / tr G`` in float32 on the device; the division keeps the numbers near 1."""
    if isinstance(data, StandardizedCells):
        return data.gram.product(torch.float32, device, data.total)
    if isinstance(data, StandardizedSketch):
        return _low_rank_product(data.gram, device, data.total)
    relative = np.empty(data.gram.shape, dtype=np.float32)
    np.divide(data.gram, data.total, out=relative, casting="same_kind")  # without a copy in float64
    gram = torch.as_tensor(relative, device=device)
    # G is symmetric, and on one thread this order of the product is up to a quarter faster than gram @ w.
    return lambda w: (w.mT @ gram).mT


def operations(data: Data) -> float:
    """Floating-point operations of ``G w`` for one column."""
    g = len(data.mean)
    if isinstance(data, StandardizedSketch):
        return (4.0 * data.gram.factors.shape[1] + 2.0) * g
    return 4.0 * data.n * g if isinstance(data, StandardizedCells) else 2.0 * g * g


def _columns(matrix: Matrix, genes: Genes) -> tuple[Matrix, Genes]:
    """A sparse matrix as a CSR of the genes in float64, never to be changed, and None; a dense one and the genes."""
    if not sp.issparse(matrix):
        return matrix, genes
    rows = matrix.tocsr() if genes is None else matrix.tocsr()[:, genes]
    if rows.dtype == np.float64 and rows.has_canonical_format:
        return rows, None
    rows = rows.astype(np.float64)
    rows.sum_duplicates()
    return rows, None


def _dense_blocks(matrix: Matrix, genes: Genes) -> Iterator[Floats]:
    step = moments.block_rows(matrix.shape[1] if genes is None else len(genes))
    for first in range(0, matrix.shape[0], step):
        yield moments.dense_block(matrix, first, first + step, genes)


def _squares(matrix: Matrix, genes: Genes, center: Floats) -> Floats:
    """``Σ (x − center)²`` of each gene, without subtracting one large number from another."""
    if sp.issparse(matrix):
        stored = np.bincount(matrix.indices, minlength=len(center))
        squares = np.bincount(matrix.indices, (matrix.data - center[matrix.indices]) ** 2, minlength=len(center))
        return np.asarray(squares + (matrix.shape[0] - stored) * center**2)
    blocks = (((block - center) ** 2).sum(axis=0) for block in _dense_blocks(matrix, genes))
    return sum(blocks, start=np.zeros(len(center)))


def _sparse_product(parts: list[Tensor], divisor: float) -> Product:
    """``W ↦ X̃ᵀ(X̃ W) / divisor`` with ``X̃ = S − 1 mᵀ``, S sparse; in float64, as m may be large."""
    cells, genes, shift = parts

    def product(w: Tensor) -> Tensor:
        columns = w.double().movedim(-2, 0)
        flat = columns.reshape(len(columns), -1)
        scores = cells @ flat - shift @ flat
        result = (genes @ scores - shift.mT @ scores.sum(0, keepdim=True)) / divisor
        return result.reshape(columns.shape).movedim(0, -2).to(w.dtype)

    return product


def _low_rank_product(gram: LowRank, device: str, divisor: float) -> Product:
    """``W ↦ (d ∘ W + F (FᵀW)) / divisor`` in float32."""
    own = torch.as_tensor(gram.own[:, None] / divisor, dtype=torch.float32, device=device)
    factors = torch.as_tensor(gram.factors / divisor**0.5, dtype=torch.float32, device=device)
    return lambda w: own * w + gram.sign * (factors @ (factors.mT @ w))


def _torch_csr(matrix: Any) -> Tensor:
    first, genes, values = (torch.from_numpy(part) for part in (matrix.indptr, matrix.indices, matrix.data))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
        return torch.sparse_csr_tensor(first, genes, values, matrix.shape, check_invariants=True)
