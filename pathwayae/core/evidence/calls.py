"""Memberships decided under a false-discovery rate: confirmed, added, dropped, or left open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.fdr import adjusted

Floats = NDArray[np.float64]

CALLS = ("undecided", "confirmed", "added", "dropped")
UNDECIDED, CONFIRMED, ADDED, DROPPED = range(4)
GENES = 0.8  # of the rate is for genes of pathways that are carried, the rest for pathways that are said to be
DROPS = 0.05  # of the rate of the genes is what the model may claim to be wrong of those dropped, see :func:`calls`


def carried(pvalue: Floats, fdr: float) -> NDArray[np.bool_]:
    """Pathways whose genes are decided of: carried by the cells at a false-discovery rate of a fifth of `fdr`.

    A posterior holds for a pathway that some program stands behind; where none does, all that is confirmed or added is
    wrong. Of pathways with an adjusted p-value of q or less, a share of q at most is expected to be such (Benjamini &
    Hochberg 1995), and at ``q = fdr / 5`` it takes a fifth of the rate; the genes of the others have what is left.

    Parameters
    ----------
    pvalue
        Of the pathways, NaN where they were not tested, shape (p,).
    fdr
        Rate over all decisions.

    Examples
    --------
    >>> carried(np.array([0.001, 0.01, np.nan, 0.9]), 0.05)
    array([ True, False, False, False])
    """
    return adjusted(pvalue) <= (1.0 - GENES) * fdr + 1e-12


def calls(
    membership: NDArray[np.bool_],
    posterior: Floats,
    *,
    evidence: Floats | None = None,
    fdr: float = 0.05,
    among: NDArray[np.bool_] | None = None,
    drops: float = 1.0,
) -> NDArray[np.int8]:
    """Decide under a false-discovery rate: codes into ``CALLS``.

    Three families of decisions, over all pathways together: annotated genes are *confirmed* in the order of
    1 − posterior or *dropped* in the order of the posterior, others are *added* in the order of 1 − posterior, each as
    long as the mean of these local error rates stays at or below `fdr` (Sun & Cai 2007, 10.1198/016214507000000545).
    The rest is *undecided*. No gene is confirmed or added below a posterior of 0.5, none dropped above it; and where
    the evidence is given, none is confirmed or added that it does not speak for, none dropped that it does not speak
    against: an annotation is not confirmed by itself.

    Parameters
    ----------
    membership, posterior
        Annotation and probability of membership, shape (g, p).
    evidence
        Log-likelihood ratio of the association, shape (g, p).
    fdr
        Expected share of wrong ones among the decisions of each kind, from 0 to 1, where posteriors hold.
    among
        Pathways that are decided of, shape (p,), for instance :func:`carried`; the genes of others belong to no family.
        By default all.
    drops
        Share of `fdr` at which genes are dropped. A member that the cells do not show looks like none, and how many
        such members there are is no part of the model; :data:`DROPS` leaves them room, as measured.

    Returns
    -------
    int8, shape (g, p).

    Raises
    ------
    ValueError
        If `fdr` is not between 0 and 1.

    Examples
    --------
    >>> given = np.array([[True], [True], [True], [False], [False]])
    >>> codes = calls(given, np.array([[0.99], [0.7], [0.01], [0.98], [0.001]]))
    >>> [CALLS[code] for code in codes.ravel()]
    ['confirmed', 'undecided', 'dropped', 'added', 'undecided']
    """
    if not 0.0 <= fdr <= 1.0:
        msg = f"fdr={fdr!r} is no share of wrong decisions; choose a value from 0 to 1, for instance 0.05."
        raise ValueError(msg)
    codes = np.full(membership.shape, UNDECIDED, dtype=np.int8)
    likely = posterior >= 0.5
    speaks = np.ones_like(posterior) if evidence is None else np.where(likely, evidence, -evidence)
    decidable = (speaks > 0) if among is None else (speaks > 0) & among
    for code, family, error, rate in (
        (CONFIRMED, membership & likely, 1.0 - posterior, fdr),
        (ADDED, ~membership & likely, 1.0 - posterior, fdr),
        (DROPPED, membership & ~likely, posterior, drops * fdr),
    ):
        family = family & decidable
        codes[family & (error <= _threshold(error[family], rate))] = code
    return codes


def _threshold(error: Floats, fdr: float) -> float:
    """Largest local error rate that may be accepted so that the mean of the accepted ones is at most `fdr`."""
    ordered = np.sort(error)
    mean = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    accepted = np.flatnonzero(mean <= fdr)
    if not len(accepted):
        return -1.0
    last = ordered[accepted[-1]]
    with_ties = mean[np.searchsorted(ordered, last, side="right") - 1]  # which stand or fall together
    return float(last if with_ties <= fdr else np.nextafter(last, -1.0))
