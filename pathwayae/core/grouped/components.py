"""What follows a fit in closed form: free components from the residual, and how columns spread over genes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import scipy.linalg
import scipy.optimize
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.evidence.basis import BEYOND, leading, leading_followed, leading_near, orthonormal
from pathwayae.core.grouped.encoder import Encoder, Weights, indicator
from pathwayae.core.moments.gram_product import CellsGram, Gram, fast_product
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.threads import shared_product

FEW = 256  # genes or columns up to which dense decompositions are as fast
RIDGE = 1e-11  # of the largest product of columns with each other: directions below it are combinations of others
HALF = 0.5  # of the length of a vector; what lies in the encoder has nothing left beside it
LEAST = 1e-3  # size of a row, relative to what is best for all
SPENT = 1e-10  # of the variance: where a component has less, the residual has run out

Floats = NDArray[np.float64]


def residual_components(
    gram: Gram, encoder: Encoder | Floats, n_extra: int, *, directions: Floats | None = None
) -> Floats:
    """Leading eigenvectors of what the pathways leave over: ``(I − QQᵀ) G (I − QQᵀ)``, Q a basis of their encoder.

    No pass over the data. Columns have unit length, are orthogonal to the encoder and to each other, and have their
    largest entry positive. Of few cells the eigenvectors are found between cells: those of
    ``X̃(I − QQᵀ)X̃ᵀ``, whose images in the genes they are.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    encoder
        Of the pathways, shape (g, p); may be rank-deficient, or have p = 0.
    n_extra
        Number of components, at most g − p.
    directions
        Leading directions of G, shape (g, r), where they are known: what is left of them is looked at first.

    Returns
    -------
    Shape (g, n_extra).
    """
    g = gram.shape[0]
    if n_extra == 0:
        return np.zeros((g, 0))
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    beside = _beside(encoder)
    vectors = None
    if isinstance(gram, CellsGram) and gram.through_kernel and n_extra + BEYOND < gram.n:
        vectors = _from_cells(gram, encoder, beside, n_extra)
    elif directions is not None and g > FEW and n_extra + BEYOND < min(g, directions.shape[1]):
        vectors = _from_directions(gram, beside, n_extra, directions)
    if vectors is None:
        vectors = _from_anywhere(gram, beside, n_extra)
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(n_extra)]
    return vectors * np.where(largest < 0, -1.0, 1.0)


def _from_directions(gram: Gram, beside: Callable[[Any], Any], n_extra: int, directions: Floats) -> Floats | None:
    """Leading eigenvectors of the residual from leading directions of G; None where the residual runs out."""
    exact = partial(shared_product, gram)

    def product(values: Any, times: Callable[[Any], Any] = exact) -> Any:
        return beside(np.asarray(times(beside(values))))

    way = leading_followed if isinstance(gram, LowRank) else leading_near
    rough = partial(product, times=fast_product(gram))
    vectors = way(product, beside(directions), n_extra, rough=rough, within=beside)[1]
    vectors = beside(vectors)
    length = np.linalg.norm(vectors, axis=0)
    return vectors / length if vectors.shape[1] == n_extra and length.min() > HALF else None


def _from_anywhere(gram: Gram, beside: Callable[[Any], Any], n_extra: int) -> Floats:
    """Leading eigenvectors of the residual where nothing is known of them."""
    g = gram.shape[0]
    # The encoder's own space gets a negative eigenvalue: where the residual runs out, its null space comes first.
    below = float(gram.trace()) / g
    exact = partial(shared_product, gram)

    def product(values: Any, times: Callable[[Any], Any] = exact) -> Any:
        rest = beside(values)
        return beside(np.asarray(times(rest))) - below * (values - rest)

    if n_extra >= g - 1 or g <= FEW:
        vectors = np.linalg.eigh(product(np.eye(g)))[1][:, ::-1][:, :n_extra]
        return np.asarray(vectors)
    rough = None if isinstance(gram, LowRank) else partial(product, times=fast_product(gram))
    vectors = beside(leading(product, g, n_extra, rough=rough)[1])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=0))  # but for what rough products left along the encoder


def _beside(encoder: Encoder) -> Callable[[Any], Any]:
    """``V ↦ (I − QQᵀ) V``, Q a basis of the columns; of many columns ``V − E (EᵀE)⁻¹EᵀV``, so that Q is not formed.

    In the precision of V, float64 or float32.
    """
    if not encoder.is_sparse or encoder.shape[1] <= FEW:
        basis = orthonormal(encoder.toarray())
        of = {kind: basis.astype(kind) for kind in (np.dtype(np.float64), np.dtype(np.float32))}
        return lambda values: values - of[values.dtype] @ (of[values.dtype].T @ values)
    root = _root(encoder.overlap())

    def beside(values: Any) -> Any:
        rest = values.astype(np.float64)
        for _ in range(2):  # once leaves what rounding makes of it
            rest = rest - encoder.times(scipy.linalg.cho_solve((root, True), encoder.transposed_times(rest)))
        return rest.astype(values.dtype)

    return beside


def _root(overlap: Floats) -> Floats:
    """Cholesky factor of a product of columns with each other; those that are combinations of others do not matter."""
    overlap = overlap + np.diag(np.where(np.diagonal(overlap) > 0, RIDGE * np.diagonal(overlap).max(initial=0.0), 1.0))
    return np.asarray(scipy.linalg.cholesky(overlap, lower=True, overwrite_a=True, check_finite=False))


def _from_cells(gram: CellsGram, encoder: Encoder, beside: Callable[[Floats], Floats], n_extra: int) -> Floats | None:
    """Leading eigenvectors from the products of cells with each other; None where the residual runs out."""
    matrix = gram.kernel
    if encoder.shape[1]:
        scores = scores_of(gram, encoder)
        inner = scipy.linalg.solve_triangular(_root(encoder.overlap()), scores.T, lower=True, check_finite=False)
        matrix = matrix - inner.T @ inner
    values, cells = leading(lambda block: matrix @ block, len(matrix), n_extra)
    if values[-1] <= SPENT * max(float(np.trace(gram.kernel)), 1e-300):
        return None
    return np.linalg.qr(beside(gram.right(cells)))[0]


def scores_of(gram: CellsGram, encoder: Encoder) -> Floats:
    """``X̃E`` of the cells behind a Gram matrix, shape (n, k)."""
    scores = gram.left(sp.csr_array(encoder.weights) if encoder.is_sparse else encoder.weights)
    if encoder.bins is None or encoder.level is None:
        return scores
    return scores - gram.left(sp.csr_array(indicator(encoder.bins, len(encoder.level)).T)) @ encoder.level


def residual_sum_of_squares(gram: Gram, encoder: Floats, decoder: Floats) -> float:
    """``‖X̃ − X̃ E Dᵀ‖² = tr G − 2 tr(Eᵀ G D) + tr(Eᵀ G E Dᵀ D)``."""
    ge = gram @ encoder
    return float(gram.trace() - 2.0 * np.sum(ge * decoder) + np.sum((encoder.T @ ge) * (decoder.T @ decoder)))


def best_scale(gram: Gram, encoder: Floats, decoder: Floats) -> float:
    """``s ≥ 0`` that makes ``‖X̃ − s² X̃ E Dᵀ‖²`` least: ``s² = tr(EᵀGD) / tr(EᵀGE DᵀD)``; 1 where none does.

    Examples
    --------
    >>> best_scale(np.eye(2), np.full((2, 1), 2.0), np.full((2, 1), 1.0))
    0.5
    """
    ge = gram @ encoder
    along, power = float(np.sum(ge * decoder)), float(np.sum((encoder.T @ ge) * (decoder.T @ decoder)))
    return (along / power) ** 0.5 if along > 0 and power > 0 else 1.0


def resized(gram: Gram, loadings: Floats) -> Floats:
    """Tied loadings whose rows, each times a number above 0, explain the data as well as they can.

    Terms of ``zero_norm="feature"`` and entropy are of rows relative to their sums and do not see it: the data alone
    decide over the size of a row, and with θ near 1 they say too little for a descent to reach it. L-BFGS on
    ``−2 tr A + tr(A B)`` as a function of the numbers.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    loadings
        Shape (g, k).
    """
    total = float(gram.trace())
    first = best_scale(gram, loadings, loadings)

    def error(rows: Floats) -> tuple[float, Floats]:
        weights = loadings * rows[:, None]
        along = np.asarray(gram @ weights)
        inner, overlap = weights.T @ along, weights.T @ weights
        slope = 2.0 * (along @ overlap + weights @ inner) - 4.0 * along
        value = float(np.sum(inner * overlap)) - 2.0 * float(np.trace(inner))
        return value / total, (slope * loadings).sum(axis=1) / total

    start = np.full(len(loadings), first)
    found = scipy.optimize.minimize(
        error, start, jac=True, method="L-BFGS-B", bounds=[(LEAST * first, None)] * len(start)
    )
    return np.asarray(loadings * found.x[:, None])


def n_effective(loadings: Weights) -> Floats:
    """Effective number of genes of each column, ``(Σ w²)² / Σ w⁴`` (the inverse participation ratio), shape (k,).

    Examples
    --------
    >>> n_effective(np.array([[1.0, 1.0], [1.0, 0.0], [1.0, 0.0]]))
    array([3., 1.])
    """
    squares = _squares(loadings)
    fourth = np.asarray((squares * squares).sum(axis=0)).ravel()
    total = np.asarray(squares.sum(axis=0)).ravel()
    return np.divide(total**2, fourth, out=np.zeros_like(fourth), where=fourth > 0)


def largest_share(loadings: Weights) -> Floats:
    """Share of the squares of each column that its largest entry has, shape (k,); 0 for a column of zeros."""
    squares = _squares(loadings)
    total = np.asarray(squares.sum(axis=0)).ravel()
    largest = squares.max(axis=0).toarray() if sp.issparse(squares) else squares.max(axis=0, initial=0.0)
    return np.divide(np.ravel(largest), total, out=np.zeros_like(total), where=total > 0)


def _squares(loadings: Weights) -> Weights:
    if sp.issparse(loadings):
        return sp.csc_array(loadings, dtype=np.float64, copy=True).power(2)
    return np.asarray(loadings, dtype=np.float64) ** 2
