"""What is high at an archetype: genes and pathways by regression on the weights, groups of cells by their ranks.

blocks of cells → sums → expected value at each archetype, against the others, with p-values
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata, t

from pathwayae.core import fdr, groups

Floats = NDArray[np.float64]

CLOSEST = 0.1  # share of the cells that count as the closest to an archetype


class Sums:
    """All that the regression of many features on the weights needs of the cells, added up block by block.

    Parameters
    ----------
    n_archetypes, n_features
        k and g.
    n_strata
        Number of strata (donors) S; 1 where cells are taken as independent.

    Attributes
    ----------
    n
        Number of cells.
    squares
        ``Σ x²`` of each feature, shape (g,).
    grams, crosses
        ``AᵀA`` and ``AᵀX`` of each stratum, shapes (S, k, k) and (S, k, g).
    """

    def __init__(self, n_archetypes: int, n_features: int, n_strata: int = 1) -> None:
        self.n = 0
        self.squares = np.zeros(n_features)
        self.grams = np.zeros((n_strata, n_archetypes, n_archetypes))
        self.crosses = np.zeros((n_strata, n_archetypes, n_features))

    def add(self, values: Any, weights: NDArray[Any], strata: NDArray[np.intp] | None = None) -> None:
        """Some more cells: values (b, g), dense or sparse as they are stored, weights (b, k), strata (b,)."""
        weights = np.asarray(weights, dtype=np.float64)
        self.n += len(weights)
        if sp.issparse(values):
            values = values.astype(np.float64)
            self.squares += np.asarray(values.multiply(values).sum(axis=0)).ravel()
        else:
            values = np.asarray(values, dtype=np.float64)
            self.squares += np.einsum("ij,ij->j", values, values)
        for s in [0] if strata is None else np.unique(strata):
            own = slice(None) if strata is None else np.flatnonzero(strata == s)
            self.grams[s] += weights[own].T @ weights[own]
            self.crosses[s] += np.asarray((values[own].T @ weights[own]).T)

    def varies(self) -> NDArray[np.bool_]:
        """Which features do not have the same value in every cell."""
        total = self.crosses.sum(axis=(0, 1))  # weights of a cell sum to one
        return self.squares - total**2 / max(self.n, 1) > 1e-10 * self.squares

    def subset(self, features: NDArray[np.bool_]) -> Sums:
        """Some of the features."""
        found = Sums(self.crosses.shape[1], int(features.sum()), len(self.grams))
        found.n, found.squares, found.grams = self.n, self.squares[features], self.grams
        found.crosses = self.crosses[:, :, features]
        return found


class Effects(NamedTuple):
    """Of every archetype and feature, shape (k, g).

    ``value`` is what a cell at the archetype is expected to have, ``others`` the mean over the other archetypes,
    ``effect`` the difference, ``statistic`` the effect over its standard error, ``pval`` two-sided.
    """

    value: Floats
    others: Floats
    effect: Floats
    statistic: Floats
    pval: Floats


def regression(sums: Sums) -> Effects:
    r"""Least squares of each feature on the weights of the cells, and each archetype against the mean of the others.

    The weights of a cell sum to one, so there is no intercept and the coefficients ``β = (AᵀA)⁻¹ AᵀX`` are values: what
    the feature is at each corner. With ``c_j`` = 1 at j and −1/(k − 1) elsewhere, ``c_jᵀβ`` is the effect, and

    - with one stratum, ``se² = s² · c_jᵀ(AᵀA)⁻¹c_j``, ``s² = RSS / (n − k)``, t with n − k degrees of freedom;
    - with S strata, the cluster-robust variance (Liang and Zeger 1986, 10.1093/biomet/73.1.13; Cameron and Miller 2015,
      10.3368/jhr.50.2.317) ``S/(S−1) · (n−1)/(n−k) · Σ_s u_s²`` with
      ``u_s = c_jᵀ(AᵀA)⁻¹ (A_sᵀX_s − A_sᵀA_s β)``, t with S − 1 degrees of freedom.

    Parameters
    ----------
    sums
        Of all cells.

    Raises
    ------
    ValueError
        If an archetype has no weight of its own in these cells.

    Examples
    --------
    >>> weights = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    >>> sums = Sums(2, 1)
    >>> sums.add(np.array([[3.0], [1.0], [2.0], [3.0]]), weights)
    >>> regression(sums).value.round(6).tolist()
    [[3.0], [1.0]]
    """
    gram, cross = sums.grams.sum(axis=0), sums.crosses.sum(axis=0)
    k, g = cross.shape
    if k < 2 or np.linalg.eigvalsh(gram)[0] <= 1e-10 * np.trace(gram):
        weak = int(np.argmin(np.diagonal(gram)))
        msg = (
            f"The weights of {sums.n} cells do not tell {k} archetypes apart (archetype {weak} has the least); pass "
            "the cells of the fit, or fit fewer archetypes, two at least."
        )
        raise ValueError(msg)
    inverse = np.linalg.inv(gram)
    value = inverse @ cross
    contrasts = (np.eye(k) * k - 1.0) / (k - 1)
    effect = contrasts @ value
    rss = sums.squares - np.einsum("ij,ij->j", value, cross)
    rss = np.where(rss > 1e-12 * sums.squares, rss, 0.0)  # what rounding leaves of no residual is none
    free = max(sums.n - k, 1)
    n_strata = len(sums.grams)
    if n_strata == 1:
        variance = np.einsum("ij,jl,il->i", contrasts, inverse, contrasts)[:, None] * (rss / free)
        degrees = free
    else:
        scores = np.zeros((k, g))
        project = contrasts @ inverse
        for own, crossed in zip(sums.grams, sums.crosses, strict=True):
            scores += (project @ (crossed - own @ value)) ** 2
        variance = scores * (n_strata / (n_strata - 1.0)) * ((sums.n - 1.0) / free)
        variance[:, rss == 0] = 0.0
        degrees = n_strata - 1
    se = np.sqrt(variance)
    moves = np.abs(effect) > 1e-12 * np.sqrt(sums.squares / max(sums.n, 1))
    exact = np.where(moves, np.copysign(np.inf, effect), 0.0)
    statistic = np.where(se > 0, effect / np.where(se > 0, se, 1.0), exact)
    return Effects(value, value - effect, effect, statistic, 2.0 * t.sf(np.abs(statistic), degrees))


def feature_table(names: list[str], archetypes: list[str], effects: Effects, *, kind: str) -> pd.DataFrame:
    """One row per archetype and feature, Benjamini–Hochberg over all of them; within an archetype by falling t.

    Parameters
    ----------
    names, archetypes
        Of the features (g) and archetypes (k).
    effects
        Of :func:`regression`.
    kind
        What the features are, for the column ``kind``.
    """
    padj = fdr.adjusted(effects.pval)
    by_name = np.argsort(np.argsort(np.array(names, dtype=str), kind="stable"))
    rows = []
    for j, archetype in enumerate(archetypes):
        order = np.lexsort((by_name, -effects.statistic[j]))
        rows.append(
            pd.DataFrame(
                {
                    "archetype": archetype,
                    "kind": kind,
                    "feature": np.array(names, dtype=object)[order],
                    "value": effects.value[j, order],
                    "others": effects.others[j, order],
                    "effect": effects.effect[j, order],
                    "statistic": effects.statistic[j, order],
                    "pval": effects.pval[j, order],
                    "padj": padj[j, order],
                }
            )
        )
    return pd.concat(rows, ignore_index=True)


def group_table(
    weights: NDArray[Any],
    archetypes: list[str],
    codes: NDArray[np.intp],
    groups: list[str],
    strata: NDArray[np.intp] | None = None,
) -> pd.DataFrame:
    """One row per archetype and group of cells: how much more of the archetype the group has than all other cells.

    Parameters
    ----------
    weights
        Shape (n, k).
    archetypes, groups
        Names.
    codes
        Group of each cell, −1 for none (such cells are left out), shape (n,).
    strata
        Stratum of each cell, shape (n,); None where cells are taken as independent.

    Returns
    -------
    Columns ``archetype``, ``group``, ``n_cells``, ``mean_weight``, ``mean_others``; ``auroc``, the chance that a cell
    of the group has more weight than one of the others; ``share_closest``, the group's share of the tenth of all cells
    with the largest weight, and ``enrichment``, that over its share of all cells; ``pval``, ``padj``
    (Benjamini–Hochberg). Without strata the test is of Mann and Whitney (normal approximation, ties counted), with
    strata it is the cluster-robust t of the difference of means.
    """
    kept = codes >= 0
    weights, codes = np.asarray(weights, dtype=np.float64)[kept], codes[kept]
    strata = None if strata is None else np.unique(strata[kept], return_inverse=True)[1]
    n = len(weights)
    n_closest = max(1, int(np.ceil(CLOSEST * n)))
    rows = []
    for j, archetype in enumerate(archetypes):
        own = weights[:, j]
        ranks = rankdata(own)
        closest = own >= np.partition(own, n - n_closest)[n - n_closest]
        for i, group in enumerate(groups):
            member = codes == i
            auroc, pval = mann_whitney(ranks, member)
            if strata is not None:
                pval = clustered(own, member, strata)
            share = member[closest].mean()
            rows.append(
                {
                    "archetype": archetype,
                    "group": group,
                    "n_cells": int(member.sum()),
                    "mean_weight": own[member].mean() if member.any() else np.nan,
                    "mean_others": own[~member].mean() if not member.all() else np.nan,
                    "auroc": auroc,
                    "share_closest": share,
                    "enrichment": share / member.mean() if member.any() else np.nan,
                    "pval": pval,
                }
            )
    found = pd.DataFrame(rows)
    found["padj"] = fdr.adjusted(found["pval"].to_numpy(dtype=np.float64))
    return found


def mann_whitney(ranks: Floats, member: NDArray[np.bool_]) -> tuple[float, float]:
    """Area under the ROC curve of the members, and the two-sided p-value of Mann and Whitney (1947) with ties.

    Parameters
    ----------
    ranks
        Mid-ranks of all cells, shape (n,).
    member
        Shape (n,); NaN is given where all or none are.

    Examples
    --------
    >>> round(mann_whitney(np.array([1.0, 2.0, 3.0, 4.0]), np.array([False, False, True, True]))[0], 6)
    1.0
    """
    inside = int(member.sum())
    if not 0 < inside < len(ranks):
        return float("nan"), float("nan")
    _, tied = np.unique(ranks, return_counts=True)
    area, pval = groups.mann_whitney(ranks[member].sum(), inside, len(ranks), (tied.astype(float) ** 3 - tied).sum())
    return (0.5, 1.0) if np.isnan(pval) else (float(area), float(pval))


def clustered(values: Floats, member: NDArray[np.bool_], strata: NDArray[np.intp]) -> float:
    """Two-sided p-value of the difference of two means where cells of a stratum depend on each other.

    The cluster-robust t of the regression on the membership, as in :func:`regression`.
    """
    if member.all() or not member.any():
        return float("nan")
    weights = np.column_stack([member, ~member]).astype(np.float64)
    n_strata = int(strata.max()) + 1
    sums = Sums(2, 1, n_strata)
    sums.add(values[:, None], weights, strata)
    return float(regression(sums).pval[0, 0]) if n_strata > 1 else float("nan")
