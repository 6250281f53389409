"""How well each latent tells the cells of each label from all others, exact and without making codes dense."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from pathwayae.core import fdr, groups
from pathwayae.core.sparse_ae import measures, ranks
from pathwayae.core.sparse_ae.ranks import Ranked

Floats = NDArray[np.float64]
Ints = NDArray[np.intp]

COLUMNS = ("latent", "label", "auroc", "pval", "padj", "f1", "precision", "recall", "threshold", "mean", "mean_rest")


def selectivity(codes: Any, labels: Ints, n_labels: int, *, threshold: float | None = None) -> pd.DataFrame:
    """Test every latent against every label: the cells of the label against all others.

    Parameters
    ----------
    codes
        Cells × latents, CSR or dense, at least 0, shape (n, m).
    labels
        Label of each cell, from 0 to ``n_labels − 1``, shape (n,); each has a cell.
    n_labels
        At least 2.
    threshold
        Where a latent counts as active for F1, as a share of its largest activation, from 0 to 1 (not at it: above).
        ``None`` for the activation that gives the largest F1, chosen for each latent and label.

    Returns
    -------
    pandas.DataFrame
        A row per latent and label, latents in order: ``auroc`` (0.5 for a latent that is never active), ``pval``
        (:func:`auroc`), ``padj`` (Benjamini–Hochberg over all tests of latents that are active), ``f1``,
        ``precision``, ``recall`` and the ``threshold`` they hold at (active: at or above it; in units of the codes),
        ``mean`` and ``mean_rest``: activation in the cells of the label, and in all others.

    Raises
    ------
    ValueError
        If there are fewer than two labels, a label without a cell, or the codes are no codes.

    Examples
    --------
    >>> codes = np.array([[0.9, 0.0], [0.7, 0.2], [0.0, 0.1], [0.0, 0.3]])
    >>> table = selectivity(codes, np.array([0, 0, 1, 1]), 2)
    >>> table[["auroc", "f1"]].head(2).to_numpy().tolist()
    [[1.0, 1.0], [0.0, 0.0]]
    """
    held = measures.checked(codes)
    check_labels(labels, n_labels, held.shape[0])
    ranked = ranks.rank(held)
    area, pval = auroc(ranked, labels, n_labels)
    best = best_f1(ranked, labels, n_labels) if threshold is None else f1_at(held, labels, n_labels, threshold)
    inside, outside = means(ranked, labels, n_labels)
    m = held.shape[1]
    columns = {"auroc": area, "pval": pval, "padj": fdr.adjusted(pval), **best, "mean": inside, "mean_rest": outside}
    table = pd.DataFrame({name: values.ravel() for name, values in columns.items()})
    table["latent"], table["label"] = np.repeat(np.arange(m), n_labels), np.tile(np.arange(n_labels), m)
    return table[list(COLUMNS)]


def check_labels(labels: Ints, n_labels: int, n_cells: int) -> None:
    """Raise ValueError unless there are two labels or more, one per cell, and each has a cell."""
    if labels.shape != (n_cells,):
        msg = f"labels must have one value per cell ({n_cells}), got shape {labels.shape}."
        raise ValueError(msg)
    if n_labels < 2:
        msg = f"At least two labels are needed to tell cells apart, got {n_labels}."
        raise ValueError(msg)
    if labels.min() < 0 or labels.max() >= n_labels or (np.bincount(labels, minlength=n_labels) == 0).any():
        msg = f"labels must run from 0 to {n_labels - 1}, and each must have a cell."
        raise ValueError(msg)


def auroc(ranked: Ranked, labels: Ints, n_labels: int) -> tuple[Floats, Floats]:
    """Area under the ROC curve of each latent for each label, and the two-sided p-value of Mann and Whitney's test.

    See :func:`pathwayae.core.groups.mann_whitney`; p is NaN for a latent that is never active or the same everywhere.

    Returns
    -------
    Both latents × labels.
    """
    count = np.bincount(labels, minlength=n_labels).astype(np.float64)
    area, pval = groups.mann_whitney(ranks.sums(ranked, labels, n_labels), count, ranked.n, ranked.ties[:, None])
    return area, np.where(ranked.n_zero[:, None] < ranked.n, pval, np.nan)


def best_f1(ranked: Ranked, labels: Ints, n_labels: int) -> dict[str, Floats]:
    """Largest F1 over all thresholds above 0, with the precision, recall and threshold that give it.

    A cell is called where its activation is at or above the threshold, so each run of equal activations is one place
    to cut: with T cells of the label among the K called, ``F1 = 2T / (K + n₁)``. The threshold is the lowest that does.
    Being chosen on the same cells, it is optimistic for small labels.

    Returns
    -------
    ``f1``, ``precision``, ``recall``, ``threshold``, each latents × labels; 0 and threshold NaN where never active.
    """
    m = len(ranked.ends)
    count = np.bincount(labels, minlength=n_labels)
    found = {name: np.zeros((m, n_labels)) for name in ("f1", "precision", "recall")}
    found["threshold"] = np.full((m, n_labels), np.nan)
    if not len(ranked.value):
        return found
    latent = ranked.column[ranked.group]
    called = (ranked.ends[latent] - ranked.group).astype(np.float64)
    used, first = np.unique(latent, return_index=True)
    label_of = labels[ranked.row]
    place = np.arange(len(latent))
    for label in range(n_labels):
        before = np.concatenate([[0], np.cumsum(label_of == label)])
        hits = (before[ranked.ends[latent]] - before[ranked.group]).astype(np.float64)
        f1 = 2.0 * hits / (called + count[label])
        highest = np.maximum.reduceat(f1, first)
        is_best = f1 == np.repeat(highest, np.diff(np.append(first, len(latent))))
        at = np.minimum.reduceat(np.where(is_best, place, len(latent)), first)
        found["f1"][used, label] = highest
        found["precision"][used, label] = hits[at] / called[at]
        found["recall"][used, label] = hits[at] / count[label]
        found["threshold"][used, label] = ranked.value[ranked.group[at]]
    return found


def f1_at(codes: sp.csr_matrix, labels: Ints, n_labels: int, share: float) -> dict[str, Floats]:
    """F1, precision and recall where cells above `share` of a latent's largest activation are called.

    Returns
    -------
    As :func:`best_f1`; the threshold in units of the codes.
    """
    mask = measures.active(codes, share, relative=True)
    m = codes.shape[1]
    place = mask.indices.astype(np.intp) * n_labels + labels[np.repeat(np.arange(len(labels)), np.diff(mask.indptr))]
    hits = np.bincount(place, minlength=m * n_labels).reshape(m, n_labels).astype(np.float64)
    called = hits.sum(axis=1, keepdims=True)
    count = np.bincount(labels, minlength=n_labels).astype(np.float64)
    largest = measures.maxima(codes)
    limit = np.where(largest > 0, share * largest, np.nan)
    return {
        "f1": 2.0 * hits / (called + count),
        "precision": np.divide(hits, called, out=np.zeros_like(hits), where=called > 0),
        "recall": hits / count,
        "threshold": np.repeat(limit[:, None], n_labels, axis=1),
    }


def means(ranked: Ranked, labels: Ints, n_labels: int) -> tuple[Floats, Floats]:
    """Mean activation of each latent in the cells of each label, and in all others; latents × labels."""
    m = len(ranked.ends)
    place = ranked.column * n_labels + labels[ranked.row]
    total = np.bincount(place, weights=ranked.value, minlength=m * n_labels).reshape(m, n_labels)
    count = np.bincount(labels, minlength=n_labels)
    return total / count, (total.sum(axis=1, keepdims=True) - total) / (ranked.n - count)


def specificity(means_of_labels: Floats) -> Floats:
    """``1 − H(q) / ln L`` of each latent, q its mean activations in the L labels as shares; NaN if never active.

    1 where one label has all the activation, 0 where all have as much. H is Shannon's entropy.
    """
    total = means_of_labels.sum(axis=1, keepdims=True)
    share = np.divide(means_of_labels, total, out=np.full_like(means_of_labels, np.nan), where=total > 0)
    entropy = stats.entropy(share, axis=1)
    return np.where(total[:, 0] > 0, 1.0 - entropy / np.log(means_of_labels.shape[1]), np.nan)


def best_label(table: pd.DataFrame) -> pd.DataFrame:
    """The label that each latent tells best (largest AUROC), from the table of :func:`selectivity`.

    Returns
    -------
    pandas.DataFrame
        A row per latent that is active, most selective first: the columns of that row, ``auroc_second`` (of the label
        that comes second) and ``specificity`` (:func:`specificity`).
    """
    used = table[table["pval"].notna()]
    if used.empty:
        return used.assign(auroc_second=[], specificity=[])
    by_area = used.iloc[np.lexsort((-used["auroc"].to_numpy(), used["latent"].to_numpy()))]
    top = by_area.drop_duplicates("latent").reset_index(drop=True)
    top["auroc_second"] = by_area.groupby("latent", sort=False)["auroc"].nth(1).to_numpy()
    wide = used.pivot_table(index="latent", columns="label", values="mean", sort=False, observed=True)
    top["specificity"] = specificity(wide.loc[top["latent"]].to_numpy(dtype=np.float64))
    return top.take(np.argsort(-top["auroc"].to_numpy(), kind="stable")).reset_index(drop=True)
