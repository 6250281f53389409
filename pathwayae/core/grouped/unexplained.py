"""What the components of a model leave of a cell: the squared distance to the span of their encoders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.project import among
from pathwayae.core.moments.accumulate import Matrix, block_rows, dense_block
from pathwayae.core.moments.cells_times import cells_times
from pathwayae.core.moments.moments import Scale
from pathwayae.core.threads import one_thread

Floats = NDArray[np.float64]

MOST = 500  # components that count, those that explain most
RIDGE = 1e-8  # of the mean of the diagonal; components may be equal


@dataclass(frozen=True, eq=False)
class Residual:
    """Distance of cells to the span of the encoders, from their scores: ``(‖x̃‖² − z (EᵀE)⁻¹ zᵀ) / v``.

    Attributes
    ----------
    means
        Of the genes, shape (m,), or of the genes in each batch, shape (b, m).
    scale
        Units of the genes, shape (m,).
    components
        Those that span, indices.
    inverse
        ``(EᵀE)⁻¹`` of these.
    total
        Variance v of all genes in these units: a cell has 1 on average where nothing is explained.
    """

    means: Floats
    scale: Floats
    components: NDArray[np.intp]
    inverse: Floats
    total: float

    def of(
        self, matrix: Matrix, scores: Floats, genes: NDArray[Any] | None = None, batch: NDArray[np.intp] | None = None
    ) -> Floats:
        """Of cells with their scores, shape (n, k); columns of their genes; batch of each where means are of batches.

        Returns
        -------
        Shape (n,).
        """
        chosen = scores[:, self.components]
        with one_thread(2.0 * chosen.size * len(self.inverse)):
            explained = ((chosen @ self.inverse) * chosen).sum(axis=1)
        length = squared_lengths(matrix, self.means, self.scale, genes, batch)
        return np.maximum(length - explained, 0.0) / self.total


def residual(encoder: Encoder, means: Floats, scale: Floats, ratio: Floats, unit: Scale | str) -> Residual:
    """What is needed to find how much of a cell is unexplained.

    Parameters
    ----------
    encoder
        Shape (m, k).
    means, scale
        See :class:`Residual`.
    ratio
        Share of variance of each component, shape (k,): those with the most count.
    unit
        What the scale is: the variance of a gene in its units is 1 (``"unit"``) or its scale squared (``"pareto"``).
    """
    components = np.sort(np.argsort(-ratio, kind="stable")[:MOST])
    with one_thread(2.0 * encoder.shape[0] * len(components) ** 2):
        overlap = encoder.of_components(components).overlap()
        ridge = RIDGE * float(np.trace(overlap)) / max(1, len(overlap))
        inverse = np.linalg.inv(overlap + max(ridge, 1e-300) * np.eye(len(overlap))).astype(np.float64, copy=False)
    total = float((scale**2).sum()) if unit == "pareto" else float(len(scale))
    return Residual(means, scale, components, inverse, max(total, 1e-300))


def squared_lengths(
    matrix: Matrix,
    means: Floats,
    scale: Floats,
    genes: NDArray[Any] | None = None,
    batch: NDArray[np.intp] | None = None,
) -> Floats:
    """``‖(x − μ) / σ‖²`` of cells, dense or sparse, float64, shape (n,); what is sparse stays sparse.

    Parameters
    ----------
    means
        Shape (m,); or (b, m) with the batch of each cell, shape (n,).
    genes
        Columns of the matrix that hold the genes of the model, shape (m,); by default all columns.

    Examples
    --------
    >>> squared_lengths(np.array([[1.0, 2.0]]), np.zeros(2), np.array([1.0, 2.0]))
    array([2.])
    """
    means = np.atleast_2d(means)
    batch = np.zeros(matrix.shape[0], dtype=np.intp) if batch is None else batch
    if not sp.issparse(matrix):
        found = np.empty(matrix.shape[0])
        step = block_rows(means.shape[1])
        for first in range(0, len(found), step):
            last = min(first + step, len(found))
            block = (dense_block(matrix, first, last, genes) - means[batch[first:last]]) / scale
            found[first:last] = np.einsum("ij,ij->i", block, block)
        return found
    rows, weight = matrix.tocsr(), scale**-2.0
    squares = sp.csr_array((np.square(rows.data, dtype=np.float64), rows.indices, rows.indptr), shape=rows.shape)
    found = cells_times(squares, among(weight[:, None], genes, rows.shape[1]))[:, 0]
    found += (means**2 @ weight)[batch]
    for one in np.unique(batch):
        own = np.flatnonzero(batch == one)
        part = rows if len(own) == len(found) else rows[own]
        found[own] -= 2.0 * cells_times(part, among((weight * means[one])[:, None], genes, rows.shape[1]))[:, 0]
    return np.maximum(found, 0.0)
