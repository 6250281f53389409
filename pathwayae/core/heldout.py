"""Do the cells carry a pathway? Genes hidden from its set and looked for again, against sets drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from pathwayae.core.association import Prepared, association

Floats = NDArray[np.float64]

CHUNK = 250  # random sets at a time, to bound memory
FEWEST = 50  # genes in a stratum, and
STRATA = 10  # strata at most


class Chance(NamedTuple):
    """Error and chance of held-out AUCs, shape (p,) each.

    Attributes
    ----------
    standard_error
        Of the AUC of a random set of that size.
    pvalue
        Probability of an AUC at least as large for random genes, one-sided; NaN where there is no AUC.
    """

    standard_error: Floats
    pvalue: Floats


def expression_strata(mean: Floats) -> NDArray[np.intp]:
    """Genes of similar mean: up to ten strata of 50 genes or more, numbered from the lowest, shape (g,).

    Examples
    --------
    >>> np.bincount(expression_strata(np.arange(120.0))).tolist()
    [60, 60]
    """
    g = len(mean)
    n_strata = int(np.clip(g // FEWEST, 1, STRATA))
    return ((rankdata(mean, method="ordinal") - 1) * n_strata // max(g, 1)).astype(np.intp)


def held_out_auc(
    prepared: Prepared,
    membership: NDArray[np.bool_],
    *,
    strata: NDArray[np.intp] | None = None,
    n_folds: int = 5,
    random_state: int = 0,
) -> Floats:
    """AUC of the genes of a pathway, hidden fold by fold, against the genes not annotated to it.

    A fold of each set is hidden, and the mean of the associations of all genes with what is left of the set ranks the
    hidden ones among the others. 0.5 is chance.

    Parameters
    ----------
    prepared
        Of :func:`pathwayae.core.association.prepare`.
    membership
        Gene i is annotated to pathway j, shape (g, p).
    strata
        Number of the stratum of each gene, shape (g,): a hidden gene is ranked among the others of its stratum, so
        that genes which are merely seen better count for nothing; among all where its stratum has no others.
    n_folds
        A share of 1 / `n_folds` is hidden at a time; at least 2.
    random_state
        Seed of the folds, which go by the position of a gene: put genes in one order (by name) first.

    Returns
    -------
    Mean over the hidden genes, shape (p,); NaN for a pathway with fewer than two genes or with all of them.

    Raises
    ------
    ValueError
        If `n_folds` is below 2.
    """
    if n_folds < 2:
        msg = f"n_folds={n_folds} hides whole gene sets; at least 2 folds are needed, 5 are usual."
        raise ValueError(msg)
    g, p = membership.shape
    strata = np.zeros(g, dtype=np.intp) if strata is None else strata
    rng = np.random.default_rng(random_state)
    fold = np.full((g, p), -1)
    for j in range(p):
        genes = np.flatnonzero(membership[:, j])
        fold[rng.permutation(genes), j] = np.arange(len(genes)) % n_folds
    size = membership.sum(axis=0)
    total = np.zeros(p)
    for k in range(n_folds):
        hidden = fold == k
        x = association(prepared, membership & ~hidden).mean(axis=2)
        for j in np.flatnonzero(hidden.any(axis=0) & (size < g)).tolist():
            total[j] += _above(x[:, j], hidden[:, j], ~membership[:, j], strata)
    return np.where((size >= 2) & (size < g), total / np.maximum(size, 1), np.nan)


def against_chance(
    prepared: Prepared,
    membership: NDArray[np.bool_],
    auc: Floats,
    *,
    strata: NDArray[np.intp],
    n_sets: int = 999,
    random_state: int = 0,
) -> Chance:
    """How far held-out AUCs lie from those of random genes with the same sizes and strata.

    Every random set stands for one of the pathways: as many genes from every stratum, drawn without replacement, and
    sent through :func:`held_out_auc`. Deviations from 0.5 are divided by ``√(2 (g + 1) / (12 n (g − n)))``, the
    standard deviation of a rank sum over n of g genes (Mann & Whitney 1947, 10.1214/aoms/1177730491) times √2, for a
    pair of genes speaks twice, each for the other; after that all sets share one null distribution, and
    ``p = (b + 1) / (B + 1)`` with b of B random sets at least as far (Phipson & Smyth 2010, 10.2202/1544-6115.1585).

    Parameters
    ----------
    prepared, membership
        As for :func:`held_out_auc`.
    auc
        What it returned for them, with the same `strata`, shape (p,).
    strata
        Stratum of each gene, for instance :func:`expression_strata`.
    n_sets
        B, number of random sets over all pathways together.
    random_state
        Seed of sets and folds.

    Returns
    -------
    Standard errors and p-values.
    """
    g = len(membership)
    rng = np.random.default_rng(random_state)
    size = membership.sum(axis=0)
    unit = np.sqrt((g + 1) / (6.0 * np.maximum(size * (g - size), 1)))
    used = np.flatnonzero(np.isfinite(auc))
    if not len(used):
        return Chance(np.full(len(auc), np.nan), np.full(len(auc), np.nan))
    models = used[rng.permutation(n_sets) % len(used)]
    deviations = []
    for begin in range(0, n_sets, CHUNK):
        chosen = models[begin : begin + CHUNK]
        sets = np.column_stack([_random_set(membership[:, j], strata, rng) for j in chosen])
        found = held_out_auc(prepared, sets, strata=strata, random_state=int(rng.integers(2**31)))
        deviations.append((found - 0.5) / unit[chosen])
    null = np.sort(np.concatenate(deviations))
    above = n_sets - np.searchsorted(null, (auc - 0.5) / unit, side="left")
    pvalue = np.where(np.isfinite(auc), (above + 1.0) / (n_sets + 1.0), np.nan)
    return Chance(np.where(np.isfinite(auc), unit * np.sqrt((null**2).mean()), np.nan), pvalue)


def _above(x: Floats, hidden: NDArray[np.bool_], others: NDArray[np.bool_], strata: NDArray[np.intp]) -> float:
    """Sum over the hidden genes of the share of the others in their stratum that lie below them, ties half."""
    total = 0.0
    for stratum in np.unique(strata[hidden]).tolist():
        here = strata == stratum
        found, rest = x[hidden & here], x[others & here]
        rest = np.sort(rest if len(rest) else x[others])
        below = np.searchsorted(rest, found, side="left") + np.searchsorted(rest, found, side="right")
        total += float(below.sum()) / (2 * len(rest))
    return total


def _random_set(member: NDArray[np.bool_], strata: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.bool_]:
    """As many genes from every stratum as the set has."""
    drawn = np.zeros(len(member), dtype=bool)
    for stratum, count in enumerate(np.bincount(strata[member]).tolist()):
        if count:
            drawn[rng.choice(np.flatnonzero(strata == stratum), count, replace=False)] = True
    return drawn
