"""What follows a fit in closed form: free components from the residual, scores of cells, variance explained."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.linalg
import scipy.sparse as sp
import scipy.sparse.linalg
from numpy.typing import NDArray

from pathwayae.core.evidence.basis import orthonormal
from pathwayae.core.moments.accumulate import Matrix, block_rows, dense_block
from pathwayae.core.moments.gram_product import Gram

Floats = NDArray[np.float64]


def residual_components(gram: Gram, encoder: Floats, n_extra: int) -> Floats:
    """Leading eigenvectors of what the pathways leave over: ``(I − QQᵀ) G (I − QQᵀ)``, Q a basis of their encoder.

    Closed form, no pass over the data. Columns have unit length, are orthogonal to the encoder and to each
    other, and have their largest entry positive.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    encoder
        Of the pathways, shape (g, p); may be rank-deficient, or have p = 0.
    n_extra
        Number of components, at most g − p.

    Returns
    -------
    Shape (g, n_extra).
    """
    g = gram.shape[0]
    if n_extra == 0:
        return np.zeros((g, 0))
    basis = orthonormal(encoder)
    # The encoder's own space gets a negative eigenvalue: where the residual runs out, its null space comes before it.
    below = float(gram.trace()) / g

    def residual(v: Floats) -> Floats:
        return v - basis @ (basis.T @ v)

    if n_extra >= g - 1 or g <= 256:
        project = np.eye(g) - basis @ basis.T
        matrix = project @ (gram @ project) - below * (basis @ basis.T)
        vectors = scipy.linalg.eigh(matrix, subset_by_index=[g - n_extra, g - 1])[1][:, ::-1]
    else:
        operator = sp.linalg.LinearOperator(
            (g, g),
            matvec=lambda v: residual(gram @ residual(v.ravel())) - below * (basis @ (basis.T @ v.ravel())),
            dtype=np.float64,
        )
        values, vectors = sp.linalg.eigsh(operator, k=n_extra, which="LA", v0=residual(gram.diagonal()))
        vectors = vectors[:, np.argsort(values)[::-1]]
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n_extra)]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def variance_ratio(gram: Gram, encoder: Floats) -> Floats:
    """Share of ``‖X̃‖²`` that the least-squares fit on each score alone explains, shape (k,).

    For ``z = X̃e`` this is ``‖G e‖² / (eᵀG e · tr G)``. Shares of overlapping components overlap.
    """
    ge = gram @ encoder
    power = np.einsum("ij,ij->j", encoder, ge)
    explained = np.einsum("ij,ij->j", ge, ge)
    return np.divide(explained, power * gram.trace(), out=np.zeros_like(power), where=power > 0)


def variance_ratio_together(gram: Gram, encoder: Floats) -> float:
    """Share of ``‖X̃‖²`` that the least-squares fit on all scores together explains."""
    ge = gram @ encoder
    length = np.sqrt(np.einsum("ij,ij->j", encoder, ge))
    ge = ge / np.where(length > 0, length, 1.0)
    scaled = encoder / np.where(length > 0, length, 1.0)
    inverse = np.linalg.pinv(scaled.T @ ge, rcond=1e-10, hermitian=True)
    return float(np.sum((ge.T @ ge) * inverse) / gram.trace())


def residual_sum_of_squares(gram: Gram, encoder: Floats, decoder: Floats) -> float:
    """``‖X̃ − X̃ E Dᵀ‖² = tr G − 2 tr(Eᵀ G D) + tr(Eᵀ G E Dᵀ D)``."""
    ge = gram @ encoder
    return float(gram.trace() - 2.0 * np.sum(ge * decoder) + np.sum((encoder.T @ ge) * (decoder.T @ decoder)))


def n_effective(loadings: NDArray[Any]) -> Floats:
    """Effective number of genes of each column, ``(Σ w²)² / Σ w⁴`` (the inverse participation ratio), shape (k,).

    Examples
    --------
    >>> n_effective(np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    array([3., 1.])
    """
    squares = np.asarray(loadings, dtype=np.float64) ** 2
    fourth = (squares**2).sum(axis=0)
    return np.divide(squares.sum(axis=0) ** 2, fourth, out=np.zeros_like(fourth), where=fourth > 0)


def largest_share(loadings: NDArray[Any]) -> Floats:
    """Share of the squares of each column that its largest entry has, shape (k,); 0 for a column of zeros."""
    squares = np.asarray(loadings, dtype=np.float64) ** 2
    total = squares.sum(axis=0)
    return np.divide(squares.max(axis=0, initial=0.0), total, out=np.zeros_like(total), where=total > 0)


def agreement(gram: Gram, encoder: Floats, others: Floats) -> Floats:
    """Correlation of each score with another score of the same cells, shape (k,); NaN where one does not vary.

    ``eᵀG f / √(eᵀG e · fᵀG f)`` for columns e and f; a correlation where genes are centred.
    """
    first, second = gram @ encoder, gram @ others
    power = np.einsum("ij,ij->j", encoder, first) * np.einsum("ij,ij->j", others, second)
    cross = np.einsum("ij,ij->j", encoder, second)
    varies = power > 1e-20 * np.maximum(power.max(initial=0.0), 1e-300)
    return np.divide(cross, np.sqrt(np.maximum(power, 0.0)), out=np.full(len(power), np.nan), where=varies)


def share_of_part(gram: Gram, encoder: Floats, part: Floats) -> Floats:
    """Share of the variance of each score that one part of its weights makes, ``fᵀG e / eᵀG e``, shape (k,).

    The shares of parts that add up to the encoder add up to 1; one may be negative, or above 1.
    """
    product = gram @ encoder
    power = np.einsum("ij,ij->j", encoder, product)
    cross = np.einsum("ij,ij->j", part, product)
    return np.divide(cross, power, out=np.zeros_like(power), where=power > 0)


def project(
    matrix: Matrix, mean: Floats, scale: Floats, encoder: Floats, *, genes: NDArray[Any] | None = None
) -> Floats:
    """Scores ``Z = ((X − mean) / scale) E`` of cells, block by block; a sparse matrix stays sparse.

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
    weights = encoder / scale[:, None]
    offset = mean @ weights
    rows = matrix.tocsr() if sp.issparse(matrix) else matrix
    scores = np.empty((rows.shape[0], encoder.shape[1]))
    step = block_rows(len(mean))
    for first in range(0, len(scores), step):
        last = min(first + step, len(scores))
        if sp.issparse(rows):
            block = (rows[first:last] if genes is None else rows[first:last][:, genes]).astype(np.float64)
        else:
            block = dense_block(rows, first, last, genes)
        scores[first:last] = block @ weights - offset
    return scores
