"""Do the cells carry a pathway? Genes hidden from its set and looked for again, against sets drawn at random."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from pathwayae.core.evidence.association import Prepared
from pathwayae.core.evidence.pathway_loops import Folds, hidden_ranks
from pathwayae.core.grouped.encoder import expression_bins
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.trust import tail

Floats = NDArray[np.float64]

CHUNK = 250  # random sets at a time, and
VALUES = 2**20  # associations at a time, to bound memory
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
    return expression_bins(mean, most=STRATA, fewest=FEWEST)


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
        Of :func:`pathwayae.core.evidence.association.prepare`.
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
    order = np.argsort(strata, kind="stable")
    by_stratum = (order, np.searchsorted(strata[order], np.arange(strata.max(initial=0) + 2)))
    size = membership.sum(axis=0)
    folds, pathway = _folds(membership, n_folds, np.random.default_rng(random_state))
    total = np.zeros(p)
    step = max(1, VALUES // max(g, 1))
    for first in range(0, len(pathway), step):
        some = _part(folds, first, first + step)
        views = (_product(prepared.similarity, some), _product(prepared.inverse, some))
        diagonals = (prepared.similarity.diagonal(), prepared.inverse.diagonal())
        np.add.at(total, pathway[first : first + step], hidden_ranks(views, diagonals, some, by_stratum))
    return np.where((size >= 2) & (size < g), total / np.maximum(size, 1), np.nan)


def _folds(membership: NDArray[np.bool_], n_folds: int, rng: np.random.Generator) -> tuple[Folds, NDArray[np.intp]]:
    """Every set of two genes or more, but not all, once for each of its folds, and the number of its pathway."""
    g, p = membership.shape
    size = membership.sum(axis=0)
    members = np.split(np.nonzero(membership.T)[1], np.cumsum(size)[:-1])
    genes, hidden, times = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=bool)], np.zeros(p, dtype=np.intp)
    for j in range(p):
        shuffled = rng.permutation(members[j])
        if 2 <= len(shuffled) < g:
            times[j] = min(n_folds, len(shuffled))
            genes.append(np.tile(shuffled, times[j]))
            hidden.append((np.arange(len(shuffled)) % n_folds == np.arange(times[j])[:, None]).ravel())
    pathway = np.repeat(np.arange(p), times)
    bounds = np.append(0, np.cumsum(size[pathway]))
    return Folds(bounds, np.concatenate(genes), np.concatenate(hidden)), pathway


def _part(folds: Folds, first: int, last: int) -> Folds:
    """Some of the sets."""
    bounds = folds.bounds[first : last + 1]
    inside = slice(bounds[0], bounds[-1])
    return Folds(bounds - bounds[0], folds.genes[inside], folds.hidden[inside])


def _product(operator: LowRank, folds: Folds) -> Floats:
    """The operator times the indicator of the genes left in each set, sets × genes."""
    left = ~folds.hidden
    row = np.repeat(np.arange(len(folds.bounds) - 1), np.diff(folds.bounds))[left]
    genes = folds.genes[left]
    shape = (len(folds.bounds) - 1, len(operator.own))
    sets = sparse.csr_array((np.ones(len(genes)), (row, genes)), shape=shape)
    product: Floats = (operator.sign * (sets @ operator.factors)) @ operator.factors.T
    product[row, genes] += operator.own[genes]
    return product


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
    pair of genes speaks twice, each for the other; after that all sets share one null distribution, which gives
    p-values by :func:`pathwayae.core.trust.tail.pvalues`.

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
    genes = [np.flatnonzero(strata == stratum) for stratum in range(strata.max() + 1)]
    counts = {j: np.bincount(strata[membership[:, j]]).tolist() for j in used.tolist()}
    for begin in range(0, n_sets, CHUNK):
        chosen = models[begin : begin + CHUNK]
        sets = np.zeros((len(chosen), g), dtype=bool)
        for row, j in zip(sets, chosen.tolist(), strict=True):
            row[_random_genes(genes, counts[j], rng)] = True
        found = held_out_auc(prepared, sets.T, strata=strata, random_state=int(rng.integers(2**31)))
        deviations.append((found - 0.5) / unit[chosen])
    null = np.concatenate(deviations)
    pvalue = np.full(len(auc), np.nan)
    pvalue[used] = tail.pvalues((auc[used] - 0.5) / unit[used], null[:, None])
    return Chance(np.where(np.isfinite(auc), unit * np.sqrt((null**2).mean()), np.nan), pvalue)


def _random_genes(genes: list[NDArray[np.intp]], counts: list[int], rng: np.random.Generator) -> NDArray[np.intp]:
    """So many genes from every stratum."""
    drawn = [rng.choice(here, count, replace=False) for here, count in zip(genes, counts, strict=False) if count]
    return np.concatenate(drawn)
