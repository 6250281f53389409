"""Which genes carry a difference of scores: a score is a sum over genes, and so is a difference of its means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.contrasts.units import Units
from pathwayae.core.grouped.encoder import Encoder

Floats = NDArray[np.float64]

CHUNK = 256  # components at a time


class Shares(NamedTuple):
    """The genes that carry the differences of scores, the foremost first.

    Attributes
    ----------
    gene
        Place among the genes of the model, shape (r, k, t).
    share
        Part of the difference, of its sign where positive; all genes together make 1; same shape.
    total
        The differences that the genes add up to, in the units of the scores, shape (r, k).
    """

    gene: NDArray[np.intp]
    share: Floats
    total: Floats


def weights_of_cells(of_units: Floats, units: Units) -> sp.csr_array:
    """The differences of r contrasts as sums over cells, shape (r, n)."""
    used = np.flatnonzero(units.of_cell >= 0)
    n_units = len(units.count)
    place = sp.csr_array(
        (1.0 / units.count[units.of_cell[used]], (units.of_cell[used], used)), shape=(n_units, len(units.of_cell))
    )
    return sp.csr_array(sp.csr_array(of_units) @ place)


def differences(blocks: Iterator[tuple[int, int, Any]], weights: sp.csr_array, n_genes: int) -> Floats:
    """The same differences of the genes, shape (r, g), in one pass.

    Parameters
    ----------
    blocks
        First cell, last + 1 and values of one block after another.
    weights
        Shape (r, n).
    """
    total = np.zeros((weights.shape[0], n_genes))
    for start, stop, values in blocks:
        part = weights[:, start:stop] @ values
        total += part.toarray() if sp.issparse(part) else part
    return total


def shares(standardized: Floats, encoder: Encoder, n_top: int) -> Shares:
    """Genes by their part of each difference of scores.

    With D the differences of standardised genes and E the encoder the difference of a score is ``Σ_i D_i e_ij``.

    Parameters
    ----------
    standardized
        D, shape (r, g).
    encoder
        Shape (g, k).
    n_top
        Genes to keep per contrast and score.
    """
    (r, g), k = standardized.shape, encoder.shape[1]
    n_top = min(n_top, g)
    gene = np.zeros((r, k, n_top), dtype=np.intp)
    share, total = np.full((r, k, n_top), np.nan), np.zeros((r, k))
    for first in range(0, k, CHUNK):
        some = slice(first, min(first + CHUNK, k))
        weights = encoder.of_components(some).toarray().T
        for i, own in enumerate(standardized):
            parts = weights * own
            total[i, some] = parts.sum(axis=1)
            size = parts * np.sign(total[i, some])[:, None]
            top = np.argpartition(-size, n_top - 1, axis=1)[:, :n_top]
            order = np.argsort(-np.take_along_axis(size, top, axis=1), axis=1, kind="stable")
            gene[i, some] = np.take_along_axis(top, order, axis=1)
            sums = np.where(total[i, some] == 0, np.nan, total[i, some])[:, None]
            share[i, some] = np.take_along_axis(parts, gene[i, some], axis=1) / sums
    return Shares(gene, share, total)
