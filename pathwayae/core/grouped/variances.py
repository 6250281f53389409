"""What scores explain, and what they go with: figures per score from products with the Gram matrix alone.

Every product ``G E`` is taken once for all figures: a few columns after the other, between the cells where there are
few of them, or between the leading directions of a sketch.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped.components import scores_of
from pathwayae.core.grouped.encoder import Encoder, indicator
from pathwayae.core.moments.gram_product import CellsGram, Gram
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.threads import shared_product

Floats = NDArray[np.float64]

CHUNK = 256  # components at a time, to bound memory
FEW = 512  # scores up to which they are told apart exactly
RIDGE = 1e-10  # of scores of unit length: those that are combinations of others do not matter


class Figures(NamedTuple):
    """Of k scores ``z = X̃e``, shape (k,) each.

    Attributes
    ----------
    power
        ``eᵀGe``, the sum of squares of the score.
    explained
        ``‖Ge‖²``.
    crossed
        ``fᵀGe`` with each other encoder of the same cells, shape (m, k).
    """

    power: Floats
    explained: Floats
    crossed: Floats

    def variance_ratio(self, total: float) -> Floats:
        """Share of ``‖X̃‖²`` = `total` that the least-squares fit on each score alone explains.

        For ``z = X̃e`` this is ``‖G e‖² / (eᵀG e · tr G)``. Shares of overlapping components overlap.
        """
        return np.divide(self.explained, self.power * total, out=np.zeros_like(self.power), where=self.power > 0)


def figures(gram: Gram, encoder: Encoder | Floats, *others: Encoder) -> Figures:
    """Power, variance explained and products with the scores of other encoders, a few columns after the other.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    encoder
        Shape (g, k).
    others
        Encoders of at most as many columns, which belong to the first ones of the encoder.
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    k = encoder.shape[1]
    result = Figures(np.zeros(k), np.zeros(k), np.zeros((len(others), k)))
    for first in range(0, k, CHUNK):
        some = slice(first, first + CHUNK)
        own = encoder.of_components(some)
        _fill(result, some, gram, own, _image(gram, own), others)
    return result


def powers(gram: Gram, encoder: Encoder) -> Floats:
    """``eᵀGe``, shape (k,); of sparse weights from the products of their own genes alone."""
    if not encoder.is_sparse or not isinstance(gram, np.ndarray):
        return figures(gram, encoder).power
    weights = sp.csc_array(encoder.weights)
    found = np.empty(weights.shape[1])
    for j, (first, last) in enumerate(itertools.pairwise(weights.indptr)):
        genes, values = weights.indices[first:last], weights.data[first:last]
        found[j] = values @ gram[np.ix_(genes, genes)] @ values
    if encoder.bins is None or encoder.level is None:
        return found
    bins = indicator(encoder.bins, len(encoder.level))
    binned = np.asarray(bins @ gram)
    whole = np.asarray(binned @ bins.T) @ encoder.level
    return found + _dot(encoder.level, whole - 2.0 * np.asarray((weights.T @ binned.T).T))


def figures_together(gram: Gram, encoder: Encoder, *others: Encoder) -> tuple[Figures, float]:
    """:func:`figures` and :func:`variance_ratio_together` from one product with all columns."""
    k = encoder.shape[1]
    if isinstance(gram, LowRank) or k > encoder.shape[0]:
        return figures(gram, encoder, *others), variance_ratio_together(gram, encoder)
    image = _image(gram, encoder)
    result = Figures(np.zeros(k), np.zeros(k), np.zeros((len(others), k)))
    _fill(result, slice(0, k), gram, encoder, image, others)
    return result, _together(gram, encoder, image)


class _Image(NamedTuple):
    """``G E``; between few cells ``X̃E`` and ``X̃X̃ᵀX̃E`` instead, which say the same."""

    genes: Floats | None = None
    scores: Floats | None = None
    cells: Floats | None = None


def _image(gram: Gram, encoder: Encoder) -> _Image:
    if isinstance(gram, CellsGram) and gram.through_kernel:
        scores = scores_of(gram, encoder)
        return _Image(scores=scores, cells=gram.kernel @ scores)
    return _Image(genes=times(gram, encoder))


def _fill(
    result: Figures, some: slice, gram: Gram, encoder: Encoder, image: _Image, others: tuple[Encoder, ...]
) -> None:
    """Figures of some columns."""
    if image.genes is not None:
        result.power[some], result.explained[some] = _columns(encoder, image.genes), _dot(image.genes, image.genes)
    elif image.scores is not None and image.cells is not None:
        result.power[some], result.explained[some] = _dot(image.scores, image.scores), _dot(image.scores, image.cells)
    for row, other in zip(result.crossed, others, strict=True):
        stop = min(some.stop, other.shape[1])
        if some.start < stop:
            part, m = other.of_components(slice(some.start, stop)), stop - some.start
            if image.genes is not None:
                row[some.start : stop] = _columns(part, image.genes[:, :m])
            elif image.scores is not None and isinstance(gram, CellsGram):
                row[some.start : stop] = _dot(image.scores[:, :m], scores_of(gram, part))


def times(gram: Gram, encoder: Encoder) -> Floats:
    """``G E``, dense, shape (g, k); of sparse weights only what is stored is multiplied."""
    if not encoder.is_sparse or not isinstance(gram, np.ndarray):
        return np.asarray(shared_product(gram, encoder.toarray()))
    image: Floats = np.ascontiguousarray((sp.csr_array(encoder.weights.T) @ gram).T)
    if encoder.bins is not None and encoder.level is not None:
        image -= (indicator(encoder.bins, len(encoder.level)) @ gram).T @ encoder.level
    return image


def variance_ratio(gram: Gram, encoder: Encoder | Floats) -> Floats:
    """Share of ``‖X̃‖²`` that the least-squares fit on each score alone explains, shape (k,)."""
    return figures(gram, encoder).variance_ratio(float(gram.trace()))


def variance_ratio_together(gram: Gram, encoder: Encoder | Floats) -> float:
    """Share of ``‖X̃‖²`` that the least-squares fit on all scores together explains.

    ``tr((EᵀGE)⁻¹ EᵀG²E) / tr G``; where there are more scores than cells, the share is that of the projection onto
    what the scores span between cells.
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    if not (isinstance(gram, CellsGram) and gram.through_kernel) and encoder.shape[1] > encoder.shape[0]:
        whole = gram if isinstance(gram, np.ndarray) else np.asarray(gram @ np.eye(encoder.shape[0]))
        return max(1.0 - _unexplained(whole, encoder) / float(np.trace(whole)), 0.0)
    return _together(gram, encoder, _Image() if isinstance(gram, LowRank) else _image(gram, encoder))


def _together(gram: Gram, encoder: Encoder, image: _Image) -> float:
    total = float(gram.trace())
    if image.scores is not None and image.cells is not None:
        length = np.linalg.norm(image.scores, axis=0)
        unit = 1.0 / np.where(length > 0, length, 1.0)
        scores, cells = image.scores * unit, image.cells * unit
        if scores.shape[1] <= len(scores):
            return _traced(scores.T @ scores, scores.T @ cells) / total
        outer = scores @ cells.T  # SSᵀK, of which the trace is that of its symmetric part
        return _traced(scores @ scores.T, (outer + outer.T) / 2.0) / total
    inner, outer = _products(gram, encoder, image)
    length = np.sqrt(np.maximum(np.diagonal(inner), 0.0))
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return _traced(inner * unit * unit[:, None], outer * unit * unit[:, None]) / total


def _unexplained(gram: Floats, encoder: Encoder) -> float:
    """What all scores together leave of ``‖X̃‖²`` where there are more of them than genes.

    They span all of X̃ but for directions N of the genes that no column has, ``EᵀN = 0``. Along these the rest of X̃
    explains all but the Schur complement ``(Nᵀ(G + εI)⁻¹N)⁻¹``, here of N that are no unit vectors.
    """
    missing = _missing(encoder)
    if not missing.shape[1]:
        return 0.0
    whole = gram.copy()
    whole[np.diag_indices_from(whole)] += RIDGE * float(np.diagonal(gram).max(initial=0.0)) or 1.0
    root = scipy.linalg.cho_factor(whole, lower=True, overwrite_a=True)
    return float(np.trace(np.linalg.solve(missing.T @ scipy.linalg.cho_solve(root, missing), missing.T @ missing)))


def _missing(encoder: Encoder) -> Floats:
    """Directions of the genes that no column has, ``Eᵀn = 0``, shape (g, g − rank): by Cholesky with pivots of EEᵀ."""
    inner = encoder.outer()
    factor, order, rank, _ = scipy.linalg.lapack.dpstrf(inner, lower=1, tol=RIDGE * float(np.diagonal(inner).max()))
    found = np.zeros((len(inner), len(inner) - rank))
    own, others = order[:rank] - 1, order[rank:] - 1
    found[own] = scipy.linalg.solve_triangular(factor[:rank, :rank], factor[rank:, :rank].T, lower=True, trans="T")
    found[others] = -np.eye(len(others))
    return found


def _products(gram: Gram, encoder: Encoder, image: _Image) -> tuple[Floats, Floats]:
    """``EᵀGE`` and ``EᵀG²E``, shape (k, k) each."""
    if image.genes is not None or not isinstance(gram, LowRank):
        found = times(gram, encoder) if image.genes is None else image.genes
        return encoder.transposed_times(found), found.T @ found
    own, factors = gram.own, gram.factors
    along = encoder.transposed_times(factors)
    mixed = along @ encoder.transposed_times(own[:, None] * factors).T
    outer = along @ (factors.T @ factors) @ along.T + gram.sign * (mixed + mixed.T) + encoder.overlap(own**2)
    return gram.sign * along @ along.T + encoder.overlap(own), outer


def _traced(inner: Floats, outer: Floats) -> float:
    """``tr(inner⁺ outer)`` of symmetric matrices, the first of products of columns near unit length."""
    if len(inner) <= FEW:
        return float(np.sum(np.linalg.pinv(inner, rcond=RIDGE, hermitian=True) * outer))
    scale = float(np.diagonal(inner).max(initial=0.0)) or 1.0
    root = scipy.linalg.cholesky(inner + RIDGE * scale * np.eye(len(inner)), lower=True, overwrite_a=True)
    inverse = np.tril(scipy.linalg.lapack.dpotri(root, lower=1, overwrite_c=1)[0])
    return float(2.0 * np.sum(inverse * outer) - np.sum(np.diagonal(inverse) * np.diagonal(outer)))


def _dot(first: Floats, second: Floats) -> Floats:
    """Products of columns, shape (k,)."""
    return np.einsum("ij,ij->j", first, second)


def _columns(encoder: Encoder, image: Floats) -> Floats:
    """``eᵀh`` column by column, for images of shape (g, k)."""
    weights = encoder.weights
    products = np.ravel(weights.multiply(image).sum(axis=0)) if sp.issparse(weights) else _dot(weights, image)
    if encoder.bins is None or encoder.level is None:
        return products
    return products - _dot(encoder.level, np.asarray(indicator(encoder.bins, len(encoder.level)) @ image))


def agreement(found: Figures, others: Floats) -> Floats:
    """Correlation of each score with the first other score of the same cells, shape (p,); NaN where one does not vary.

    ``eᵀG f / √(eᵀG e · fᵀG f)``; a correlation where genes are centred.

    Parameters
    ----------
    found
        Figures of the scores with those of the others.
    others
        ``fᵀG f``, shape (p,), of the first p ≤ k scores.
    """
    power = found.power[: len(others)] * others
    varies = power > 1e-20 * np.maximum(power.max(initial=0.0), 1e-300)
    crossed = found.crossed[0, : len(others)]
    return np.divide(crossed, np.sqrt(np.maximum(power, 0.0)), out=np.full(len(power), np.nan), where=varies)


def share_of_part(found: Figures, part: int) -> Floats:
    """Share of the variance of each score that one part of its weights makes, ``fᵀG e / eᵀG e``, shape (k,).

    The shares of parts that add up to the encoder add up to 1; one may be negative, or above 1. ``part`` is the
    place of f among the others.
    """
    return np.divide(found.crossed[part], found.power, out=np.zeros_like(found.power), where=found.power > 0)
