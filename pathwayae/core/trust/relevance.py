"""Does a pathway describe these cells: its coherence against matched random sets, and variance held-out cells show.

correlations + members → coherence; genes permuted among their like → its null → p-values; moments of a left-out
stratum + a fit without it → variance explained there
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import scipy.optimize
import scipy.stats
from numpy.typing import NDArray

from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.moments.moments import Standardized
from pathwayae.core.moments.sketch import StandardizedSketch
from pathwayae.core.trust import tail
from pathwayae.core.trust.coherence_loops import coherences

MEAN_BINS = 10  # at most, of equal numbers of genes
VARIANCE_BINS = 3  # within each bin of means
BIN_GENES = 12  # genes per cell of the two, where nobody says how many bins
FEWEST = 5  # genes per cell of the two, below which there is nothing to draw from
TIE = 1e-9  # two coherences closer than this are the same set, added up in another order
RIDGE = 1e-8  # relative to scores of unit length, so that the scores of twin components can be told apart

Floats = NDArray[np.float64]
Members = Sequence[NDArray[np.intp]]
Correlations = NDArray[np.float32] | LowRank


class HeldOut(NamedTuple):
    """Shares of ``‖X̃‖²`` of cells left out of a fit: by each score alone and beyond all others, (k,), and by all."""

    alone: Floats
    unique: Floats
    together: float


class Significance(NamedTuple):
    """Of every pathway, (p,): mean, 5 % and 95 % quantile of its null, z, p-value, and the p-value adjusted."""

    null_mean: Floats
    null_low: Floats
    null_high: Floats
    z: Floats
    pval: Floats
    padj: Floats


def correlations(centred: Standardized | StandardizedSketch) -> Correlations:
    """Correlations of the genes from moments of centred cells; a gene that does not vary has none, 0 with itself too.

    float32, as the null reads g² of them in random order again and again; of a sketch, of low rank.
    """
    length = np.sqrt(centred.gram.diagonal())
    inverse = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    if isinstance(centred, StandardizedSketch):
        return LowRank(centred.gram.own * inverse**2, centred.gram.factors * inverse[:, None])
    return (centred.gram * inverse * inverse[:, None]).astype(np.float32)


def coherence(correlation: Correlations, members: Members) -> Floats:
    """Mean correlation of two members, shape (p,): ``(1ᵀRₛ1 − tr Rₛ) / (m (m − 1))``, 0 for fewer than two.

    The mean of m standardised members has variance ``(1 + (m − 1) r̄) / m``, so with m given this orders sets by how
    much of their members' variance their score carries.
    """
    if isinstance(correlation, LowRank):
        return next(coherences(correlation, members, [np.arange(len(correlation.own))]))
    values = np.zeros(len(members))
    for j, rows in enumerate(members):
        if (m := len(rows)) > 1:
            block = correlation[rows[:, None], rows]
            values[j] = (block.sum(dtype=np.float64) - block.trace(dtype=np.float64)) / (m * (m - 1))
    return values


def matched_bins(mean: Floats, variance: Floats, n_bins: int | None = None) -> NDArray[np.intp]:
    """Bin of every gene: quantiles of the mean, and within each, quantiles of the variance, shape (g,).

    Parameters
    ----------
    mean, variance
        Per gene, shape (g,); ties go by position.
    n_bins
        Number of bins of the mean, each divided in ``VARIANCE_BINS``; by default as many, at most ``MEAN_BINS``, as
        leave ``BIN_GENES`` genes in each.

    Raises
    ------
    ValueError
        If that leaves fewer than ``FEWEST`` genes per bin.

    Examples
    --------
    >>> matched_bins(np.arange(15.0), np.arange(15.0) % 3)
    array([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
    """
    g = len(mean)
    n = max(1, min(MEAN_BINS, g // (BIN_GENES * VARIANCE_BINS))) if n_bins is None else n_bins
    if g < FEWEST * VARIANCE_BINS * n:
        msg = (
            f"n_bins={n_bins}: {n} bins of the mean, each in {VARIANCE_BINS} of the variance, leave {g} genes too few "
            f"to match from; at least {FEWEST} per bin are needed. Fit more genes"
            + (f", or choose n_bins up to {most}." if (most := g // (FEWEST * VARIANCE_BINS)) else ".")
        )
        raise ValueError(msg)
    bins = np.empty(g, dtype=np.intp)
    for j, rows in enumerate(np.array_split(np.argsort(mean, kind="stable"), n)):
        rows = np.sort(rows)
        for i, part in enumerate(np.array_split(rows[np.argsort(variance[rows], kind="stable")], VARIANCE_BINS)):
            bins[part] = j * VARIANCE_BINS + i
    return bins


def own_share(members: Members, bins: NDArray[np.intp]) -> Floats:
    """Share of its own members that a matched random set holds on average, ``Σ_b s_b² / n_b / m``, shape (p,)."""
    sizes = np.bincount(bins)
    shares = []
    for rows in members:
        inside = np.bincount(bins[rows], minlength=len(sizes))
        shares.append(float(np.sum(inside**2 / np.maximum(sizes, 1)) / max(len(rows), 1)))
    return np.array(shares)


def null_coherence(
    correlation: Correlations, members: Members, bins: NDArray[np.intp], n_null: int, random_state: int
) -> Iterator[Floats]:
    """Coherence of all pathways after the genes of each bin were permuted, (p,), one draw after the other.

    One permutation serves all pathways, so random sets overlap as the real ones do. For each pathway alone its random
    set is uniform among those with as many genes of every bin; it may hold own members. A pathway's draws depend on
    no other pathway.
    """
    moves = _moves(bins, n_null, random_state)
    if isinstance(correlation, LowRank):
        yield from coherences(correlation, members, moves)
        return
    for moved in moves:
        # sorted: near genes lie near in memory, and a set that comes back to itself has the same sum
        yield coherence(correlation, [np.sort(moved[rows]) for rows in members])


def _moves(bins: NDArray[np.intp], n: int, random_state: int) -> Iterator[NDArray[np.intp]]:
    """The gene that takes the place of each, n times, in one array that is written again and again."""
    rng = np.random.default_rng(random_state)
    groups = [np.flatnonzero(bins == b) for b in np.unique(bins)]
    moved = np.empty(len(bins), dtype=np.intp)
    for _ in range(n):
        for rows in groups:
            moved[rows] = rng.permutation(rows)
        yield moved


def significance(observed: Floats, null: Floats) -> Significance:
    """p-values of coherences, :func:`pathwayae.core.trust.tail.pvalues`, and Benjamini–Hochberg over the pathways.

    Parameters
    ----------
    observed
        Shape (p,).
    null
        Shape (B, p).

    Examples
    --------
    >>> result = significance(np.array([2.0, 0.0]), np.array([[0.0, 0.0], [1.0, -1.0], [2.0, 1.0]]))
    >>> result.pval, result.padj
    (array([0.5 , 0.75]), array([0.75, 0.75]))
    """
    mean, deviation = null.mean(axis=0), null.std(axis=0)
    low, high = np.quantile(null, [0.05, 0.95], axis=0)
    z = np.divide(observed - mean, deviation, out=np.zeros_like(mean), where=deviation > TIE)
    pval = tail.pvalues(observed, null, tie=TIE)
    return Significance(mean, low, high, z, pval, scipy.stats.false_discovery_control(pval))


def held_out(train: Data, left_out: Data, encoder: Floats) -> HeldOut:
    r"""Variance of left-out cells that their scores explain, decoded as the other cells were; from moments only.

    With scores ``Z = X̃E`` and the least-squares decoder of the training cells ``D = (EᵀGE)⁻¹EᵀG``, left-out cells
    with Gram matrix G' have ``‖X̃ − ZD‖² = tr G' − 2 tr(D G'E) + tr(EᵀG'E DDᵀ)``. *Unique* is by how much that rises
    when one score is left out and the decoder solved again: with ``u = P_{·j} / P_{jj}``, ``P = (EᵀGE)⁻¹``, the decoder
    without j is ``D − u d_jᵀ``, so no system is solved twice. Shares below zero say that the score misleads there.

    Parameters
    ----------
    train, left_out
        Moments in the same units, those of the training cells.
    encoder
        Shape (g, k).
    """
    cross = train.gram @ encoder
    power = np.einsum("ij,ij->j", encoder, cross)
    unit = np.divide(1.0, np.sqrt(np.maximum(power, 0.0)), out=np.zeros_like(power), where=power > 0)
    encoder, cross = encoder * unit, cross * unit
    there = left_out.gram @ encoder  # G'E
    scores = encoder.T @ there  # EᵀG'E
    inverse = np.linalg.inv(encoder.T @ cross + np.diag(np.where(power > 0, RIDGE, 1.0)))
    decoder = inverse @ cross.T
    total = left_out.total or 1.0

    alone = 2.0 * np.einsum("ij,ij->j", cross, there) - np.diagonal(scores) * np.einsum("ij,ij->j", cross, cross)
    u = inverse / np.diagonal(inverse)
    decoded = decoder @ decoder.T
    unique = (
        2.0 * np.einsum("jl,lj->j", decoder @ there, u)
        - 2.0 * np.einsum("lj,lj->j", u, scores @ decoded)
        + np.einsum("lj,lj->j", u, scores @ u) * np.diagonal(decoded)
    )
    together = 2.0 * np.sum(decoder.T * there) - np.sum(scores * decoded)
    return HeldOut(alone / total, unique / total, float(together / total))


def matching_order(free: Floats, others: Floats) -> NDArray[np.intp]:
    """For every free component the column of ``others`` most like it, one to one by |cosine|; both (g, k)."""
    cosine = np.abs(free.T @ others)
    return scipy.optimize.linear_sum_assignment(-cosine)[1].astype(np.intp)
