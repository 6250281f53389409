"""What scores explain, and what they go with: figures per score from products with the Gram matrix alone.

Every product ``G E`` is taken once for all figures: a few columns after the other, between the cells where there are
few of them, or between the leading directions of a sketch.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped.components import scores_of
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments.gram_product import CellsGram, Gram
from pathwayae.core.moments.low_rank import LowRank

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
    """Power, variance explained and products with the scores of other encoders, column by column.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, shape (g, g), or its operator.
    encoder
        Shape (g, k).
    others
        Encoders of the same shape, whose columns belong to those of the first.
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    result = Figures(np.zeros(encoder.shape[1]), np.zeros(encoder.shape[1]), np.zeros((len(others), encoder.shape[1])))
    for some, power, explained, crossed in _parts(gram, encoder, others):
        result.power[some], result.explained[some], result.crossed[:, some] = power, explained, crossed
    return result


def _parts(gram: Gram, encoder: Encoder, others: tuple[Encoder, ...]) -> Iterator[tuple[slice, Floats, Floats, Floats]]:
    for first in range(0, encoder.shape[1], CHUNK):
        some = slice(first, first + CHUNK)
        own, rest = encoder.of_components(some), [other.of_components(some) for other in others]
        if isinstance(gram, CellsGram) and gram.through_kernel:
            image = scores_of(gram, own)
            powers = _dot(image, image)
            explained = _dot(image, gram.kernel @ image)
            crossed = [_dot(image, scores_of(gram, other)) for other in rest]
        else:
            image = times(gram, own)
            powers, explained = _columns(own, image), _dot(image, image)
            crossed = [_columns(other, image) for other in rest]
        yield some, powers, explained, np.array(crossed).reshape(len(rest), len(powers))


def times(gram: Gram, encoder: Encoder) -> Floats:
    """``G E``, dense, shape (g, k); of sparse weights only what is stored is multiplied."""
    if not encoder.is_sparse or not isinstance(gram, np.ndarray):
        return np.asarray(gram @ encoder.toarray())
    product: Floats = np.ascontiguousarray((sp.csr_array(encoder.weights.T) @ gram).T)
    if encoder.bins is not None and encoder.level is not None:
        indicator = sp.csr_array((np.ones(len(encoder.bins)), (encoder.bins, np.arange(len(encoder.bins)))))
        product -= (indicator @ gram).T @ encoder.level
    return product


def variance_ratio(gram: Gram, encoder: Encoder | Floats) -> Floats:
    """Share of ``‖X̃‖²`` that the least-squares fit on each score alone explains, shape (k,)."""
    return figures(gram, encoder).variance_ratio(float(gram.trace()))


def variance_ratio_together(gram: Gram, encoder: Encoder | Floats) -> float:
    """Share of ``‖X̃‖²`` that the least-squares fit on all scores together explains.

    ``tr((EᵀGE)⁻¹ EᵀG²E) / tr G``; where there are more scores than cells, the share is that of the projection onto
    what the scores span between cells.
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    if isinstance(gram, CellsGram) and gram.through_kernel:
        scores = _unit(scores_of(gram, encoder))
        image = gram.kernel @ scores
        if scores.shape[1] <= gram.n:
            return _traced(scores.T @ scores, scores.T @ image) / float(gram.trace())
        return _traced(scores @ scores.T, scores @ image.T) / float(gram.trace())
    if encoder.shape[1] > encoder.shape[0]:  # what they span is what a basis of theirs does
        encoder = Encoder(_basis(encoder))
    inner, outer = _products(gram, encoder)
    length = np.sqrt(np.maximum(np.diagonal(inner), 0.0))
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return _traced(inner * unit * unit[:, None], outer * unit * unit[:, None]) / float(gram.trace())


def _basis(encoder: Encoder) -> Floats:
    """Orthonormal basis of more columns than rows, shape (g, rank)."""
    dense = encoder.toarray()
    values, vectors = np.linalg.eigh(dense @ dense.T)
    return vectors[:, values > RIDGE * max(values[-1], 1e-300)]


def _products(gram: Gram, encoder: Encoder) -> tuple[Floats, Floats]:
    """``EᵀGE`` and ``EᵀG²E``, shape (k, k) each."""
    if not isinstance(gram, LowRank):
        image = times(gram, encoder)
        return encoder.transposed_times(image), image.T @ image
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


def _unit(columns: Floats) -> Floats:
    length = np.linalg.norm(columns, axis=0)
    return columns / np.where(length > 0, length, 1.0)


def _dot(first: Floats, second: Floats) -> Floats:
    """Products of columns, shape (k,)."""
    return np.einsum("ij,ij->j", first, second)


def _columns(encoder: Encoder, image: Floats) -> Floats:
    """``eᵀh`` column by column, for images of shape (g, k)."""
    weights = encoder.weights
    products = np.ravel(weights.multiply(image).sum(axis=0)) if sp.issparse(weights) else _dot(weights, image)
    if encoder.bins is None or encoder.level is None:
        return products
    sums = np.zeros_like(encoder.level)
    indicator = sp.csr_array(
        (np.ones(len(encoder.bins)), (encoder.bins, np.arange(len(encoder.bins)))), shape=(len(sums), len(image))
    )
    return products - _dot(encoder.level, np.asarray(indicator @ image))


def agreement(found: Figures, others: Floats) -> Floats:
    """Correlation of each score with the first other score of the same cells, shape (k,); NaN where one does not vary.

    ``eᵀG f / √(eᵀG e · fᵀG f)``; a correlation where genes are centred.

    Parameters
    ----------
    found
        Figures of the scores with those of the others.
    others
        ``fᵀG f``, shape (k,).
    """
    power = found.power * others
    varies = power > 1e-20 * np.maximum(power.max(initial=0.0), 1e-300)
    crossed = found.crossed[0]
    return np.divide(crossed, np.sqrt(np.maximum(power, 0.0)), out=np.full(len(power), np.nan), where=varies)


def share_of_part(found: Figures, part: int) -> Floats:
    """Share of the variance of each score that one part of its weights makes, ``fᵀG e / eᵀG e``, shape (k,).

    The shares of parts that add up to the encoder add up to 1; one may be negative, or above 1. ``part`` is the
    place of f among the others.
    """
    return np.divide(found.crossed[part], found.power, out=np.zeros_like(found.power), where=found.power > 0)
