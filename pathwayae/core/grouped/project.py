"""Scores of cells: ``Z = ((X − mean) / scale) E``, block by block; what is sparse stays sparse."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped.encoder import Encoder, Weights
from pathwayae.core.moments.accumulate import Matrix, block_rows, dense_block
from pathwayae.core.moments.cells_times import cells_times

Floats = NDArray[np.float64]


def project(
    matrix: Matrix, mean: Floats, scale: Floats, encoder: Encoder | Floats, *, genes: NDArray[Any] | None = None
) -> Floats:
    """Scores ``Z = ((X − mean) / scale) E`` of cells.

    With ``E = W − level[bins]`` the products of a cell are those with the sparse W, and one per bin.

    Parameters
    ----------
    matrix
        Cells × genes, dense or sparse, shape (n, g).
    mean, scale
        Per gene of the model, shape (m,).
    encoder
        Shape (m, k).
    genes
        Columns of the matrix that hold the genes of the model, shape (m,); by default all columns.

    Returns
    -------
    float64, shape (n, k).
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    unit = 1.0 / scale
    offset = encoder.transposed_times(mean * unit)
    weights = _rows_times(encoder.weights, unit)
    bins = None if encoder.bins is None or encoder.level is None else _of_bins(encoder.bins, unit, len(encoder.level))
    if sp.issparse(matrix):
        rows = matrix.tocsr()
        weights, bins = (among(one, genes, rows.shape[1]) for one in (weights, bins))
        scores = cells_times(rows, weights)
        scores -= offset
        if bins is not None and encoder.level is not None:
            scores -= cells_times(rows, bins) @ encoder.level
        return scores
    weights = weights.T.tocsr().T if sp.issparse(weights) else weights
    scores = np.empty((matrix.shape[0], encoder.shape[1]))
    step = block_rows(len(mean))
    for first in range(0, len(scores), step):
        last = min(first + step, len(scores))
        block = dense_block(matrix, first, last, genes)
        scores[first:last] = block @ weights - offset
        if bins is not None and encoder.level is not None:
            scores[first:last] -= (block @ bins) @ encoder.level
    return scores


def _rows_times(weights: Weights, unit: Floats) -> Weights:
    return sp.csr_array(sp.diags_array(unit) @ weights) if sp.issparse(weights) else weights * unit[:, None]


def _of_bins(bins: NDArray[np.intp], unit: Floats, n_bins: int) -> sp.csr_array:
    """Genes × bins: the unit of a gene in its bin; of the last bins there may be no gene."""
    return sp.csr_array((unit, (np.arange(len(bins)), bins)), shape=(len(bins), n_bins))


def among(weights: Weights, genes: NDArray[Any] | None, n_columns: int) -> Weights:
    """Weights of the columns of a matrix, of which these are the genes of the model; the others have none."""
    if weights is None or genes is None:
        return weights
    if sp.issparse(weights):
        entries = weights.tocoo()
        place = np.asarray(genes)[entries.row]
        return sp.csr_array((entries.data, (place, entries.col)), shape=(n_columns, weights.shape[1]))
    placed = np.zeros((n_columns, weights.shape[1]))
    placed[genes] = weights
    return placed
