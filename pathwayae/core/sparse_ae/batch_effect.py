"""Which latents follow the batch: share of their variance between batches, and a rank test, within groups of cells."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pathwayae.core import fdr
from pathwayae.core.groups import share, squares
from pathwayae.core.sparse_ae import measures, ranks, selectivity

MIN_SHARE = 0.1  # of the variance between batches; a latent with more is flagged if its test says so too
LEVEL = 0.05  # of the adjusted p-value

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]


def association(
    codes: Any, labels: Ints, n_batches: int, *, groups: Ints | None = None, min_share: float = MIN_SHARE
) -> pd.DataFrame:
    """How far each latent follows the batch.

    With groups (cell types) all is within them, so that batches which merely hold other cell types are not blamed: the
    share is ``Σ_g Σ_b n_gb (μ_gb − μ_g)² / Σ_g Σ_i (h_i − μ_g)²``, the test adds Kruskal and Wallis's statistics
    of the groups and their degrees of freedom. Groups with cells of one batch say nothing and are left out.

    Parameters
    ----------
    codes
        Cells × latents, CSR or dense, at least 0, shape (n, m).
    labels
        Batch of each cell, from 0 to ``n_batches − 1``, shape (n,).
    n_batches
        At least 2.
    groups
        Group of each cell, from 0, shape (n,). ``None`` for one group.
    min_share
        Share of variance from which on a latent is flagged.

    Returns
    -------
    pandas.DataFrame
        A row per latent: ``variance`` (share of its variance between batches, η²), ``auroc`` and ``batch`` (the batch
        that it tells best, either way, over all groups: largest ``|AUROC − 0.5|``), ``statistic`` and ``pval`` of the
        test (NaN where the latent is never active or nothing can be compared), ``padj`` (Benjamini–Hochberg),
        ``flag``: ``padj ≤ 0.05`` and ``variance ≥ min_share``.

    Raises
    ------
    ValueError
        If there are fewer than two batches, or the codes are no codes.
    """
    held = measures.checked(codes)
    selectivity.check_labels(labels, n_batches, held.shape[0])
    groups = np.zeros(len(labels), dtype=np.intp) if groups is None else groups
    m = held.shape[1]
    between, total, statistic, freedom = np.zeros(m), np.zeros(m), np.zeros(m), np.zeros(m)
    for group in np.unique(groups):
        cells = np.flatnonzero(groups == group)
        present, own = np.unique(labels[cells], return_inverse=True)
        if len(present) < 2:
            continue
        part = held[cells]
        sums = squares(part, own, len(present))
        between, total = between + sums[0], total + sums[1]
        value, tested = _kruskal(ranks.rank(part), own, len(present))
        statistic += np.where(tested, value, 0.0)
        freedom += np.where(tested, len(present) - 1.0, 0.0)
    tested = freedom > 0
    pval = np.where(tested, stats.chi2.sf(statistic, np.where(tested, freedom, 1.0)), np.nan)
    found = share(between, total)
    padj = fdr.adjusted(pval)
    area, _ = selectivity.auroc(ranks.rank(held), labels, n_batches)
    best = np.abs(area - 0.5).argmax(axis=1)
    return pd.DataFrame(
        {
            "variance": found,
            "batch": best,
            "auroc": area[np.arange(m), best],
            "statistic": np.where(tested, statistic, np.nan),
            "pval": pval,
            "padj": padj,
            "flag": (np.nan_to_num(padj, nan=1.0) <= LEVEL) & (found >= min_share),
        }
    )


def _kruskal(ranked: ranks.Ranked, labels: Ints, n_labels: int) -> tuple[Floats, NDArray[np.bool_]]:
    """Kruskal and Wallis's H, corrected for ties, per latent; and where ranks differ at all."""
    n = float(ranked.n)
    count = np.bincount(labels, minlength=n_labels)
    # About the mean rank: H is a difference of large numbers otherwise.
    mean = ranks.sums(ranked, labels, n_labels) / count - (n + 1.0) / 2.0
    h = 12.0 / (n * (n + 1.0)) * (mean**2 @ count)
    correction = 1.0 - ranked.ties / (n**3 - n)
    varies = correction > 1e-12
    return h / np.where(varies, correction, 1.0), varies
