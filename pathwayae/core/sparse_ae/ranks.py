"""Ranks of cells by the activation of each latent, all latents at once, the many zeros in closed form."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


class Ranked(NamedTuple):
    """Activations above 0 sorted by latent, then value, and where they stand among all n cells of their latent.

    Attributes
    ----------
    row, column, value, rank
        Cell, latent, activation and rank (from 1; the mean over ties), shape (nnz,).
    group
        First position of every run of equal activations of a latent, shape (groups,).
    ends
        Position after the last activation of each latent, shape (m,).
    n_zero
        Cells that do not activate each latent, shape (m,). They share the mean rank ``(n_zero + 1) / 2``.
    ties
        ``Σ (t³ − t)`` over the runs of each latent, its zeros among them, shape (m,).
    n
        Number of cells.
    """

    row: Ints
    column: Ints
    value: Floats
    rank: Floats
    group: Ints
    ends: Ints
    n_zero: Floats
    ties: Floats
    n: int


def rank(codes: sp.csr_matrix) -> Ranked:
    """Rank the cells of every latent.

    Parameters
    ----------
    codes
        Cells × latents, of ``measures.checked``: values above 0 only.
    """
    n, m = codes.shape
    by_latent = codes.tocsc()
    indptr = by_latent.indptr.astype(np.intp)
    column = np.repeat(np.arange(m), np.diff(indptr))
    order = np.lexsort((by_latent.data, column))
    value, row = by_latent.data[order], by_latent.indices[order].astype(np.intp)
    n_zero = (n - np.diff(indptr)).astype(np.float64)
    new = np.ones(len(value), dtype=bool)
    new[1:] = (value[1:] != value[:-1]) | (column[1:] != column[:-1])
    group = np.flatnonzero(new)
    size = np.diff(np.append(group, len(value)))
    of_group = column[group]
    mean = n_zero[of_group] + (group - indptr[of_group]) + (size + 1) / 2.0
    wide = size.astype(np.float64)
    ties = np.bincount(of_group, weights=wide**3 - wide, minlength=m) + n_zero**3 - n_zero
    return Ranked(row, column, value, np.repeat(mean, size), group, indptr[1:], n_zero, ties, n)


def sums(ranked: Ranked, labels: Ints, n_labels: int) -> Floats:
    """Sum of the ranks of the cells of each label, latents × labels; labels from 0, shape (n,)."""
    m = len(ranked.ends)
    place = ranked.column * n_labels + labels[ranked.row]
    found = np.bincount(place, minlength=m * n_labels).reshape(m, n_labels)
    ranks = np.bincount(place, weights=ranked.rank, minlength=m * n_labels).reshape(m, n_labels)
    zeros = np.bincount(labels, minlength=n_labels)[None, :] - found
    return ranks + zeros * (ranked.n_zero[:, None] + 1.0) / 2.0
