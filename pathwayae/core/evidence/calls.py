"""Memberships decided under a false-discovery rate: confirmed, added, dropped, or left open."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

CALLS = ("undecided", "confirmed", "added", "dropped")
UNDECIDED, CONFIRMED, ADDED, DROPPED = range(4)


def silent_share(pvalue: Floats, carried: NDArray[np.bool_]) -> float:
    """Share to expect of pathways that no program stands behind, among those said to be carried by the cells.

    ``π₀ · m · p / k``: the largest p-value of the k carried of m pathways, and the share π₀ of silent ones told from
    the p-values above 0.5 (Storey 2002, 10.1111/1467-9868.00346; one more is counted than there are).

    Parameters
    ----------
    pvalue
        Of the pathways, NaN where they were not tested, shape (p,).
    carried
        Shape (p,).

    Examples
    --------
    >>> silent_share(np.array([0.001, 0.01, 0.7, 0.9]), np.array([True, True, False, False]))
    0.02
    """
    tested = pvalue[np.isfinite(pvalue)]
    chosen = pvalue[carried]
    if not len(chosen):
        return 0.0
    silent = min(len(tested), 2.0 * (1 + np.count_nonzero(tested > 0.5)))
    return float(min(1.0, silent * chosen.max() / len(chosen)))


def calls(
    membership: NDArray[np.bool_],
    posterior: Floats,
    *,
    evidence: Floats | None = None,
    fdr: float = 0.05,
    carried: NDArray[np.bool_] | None = None,
    silent: float = 0.0,
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
        Expected share of wrong ones among the decisions of each kind, from 0 to 1.
    carried
        The cells carry the pathway, shape (p,): nothing is decided of others, and their genes belong to no family. By
        default all.
    silent
        Share of the carried pathways that are silent all the same, :func:`silent_share`. A posterior holds for a
        pathway with a program behind it, so a gene is confirmed or added wrongly with ``1 − (1 − silent) · posterior``.

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
    decidable = (speaks > 0) if carried is None else (speaks > 0) & carried
    wrong = 1.0 - (1.0 - silent) * posterior
    for code, family, error in (
        (CONFIRMED, membership & likely, wrong),
        (ADDED, ~membership & likely, wrong),
        (DROPPED, membership & ~likely, posterior),
    ):
        family = family & decidable
        codes[family & (error <= _threshold(error[family], fdr))] = code
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
