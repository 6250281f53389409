"""How sparse codes are: share of latents active in a cell, share of cells that activate a latent, Hoyer's measure.

Nothing here is ever made dense; codes are cells × latents, CSR, with values of at least 0.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

THRESHOLD = 0.1  # an activation above it counts, in the units of the codes
DEAD = 0.01  # share of cells; below, a latent is dead in the classic sense
DENSE = 0.5  # share of cells; above, a latent is dense

NEVER, RARE, COMMON, IS_DENSE = "never", "rare", "common", "dense"

Floats = NDArray[np.float64]


def checked(codes: Any) -> sp.csr_matrix:
    """Codes as CSR in float64, without stored zeros or duplicates; a copy.

    Raises
    ------
    ValueError
        If codes are not two-dimensional, empty, not finite, or negative.
    """
    if getattr(codes, "ndim", 0) != 2 or 0 in codes.shape:
        msg = f"codes must be a matrix of cells × latents with at least one of each, got {np.shape(codes)}."
        raise ValueError(msg)
    held = sp.csr_matrix(codes, dtype=np.float64, copy=True)
    held.sum_duplicates()
    held.eliminate_zeros()
    if not np.isfinite(held.data).all():
        msg = f"codes hold {int((~np.isfinite(held.data)).sum())} values that are NaN or infinite; fit again."
        raise ValueError(msg)
    if held.nnz and held.data.min() < 0:
        msg = f"codes must be at least 0, the smallest is {held.data.min():.3g}; no sparse autoencoder has such codes."
        raise ValueError(msg)
    return held


def maxima(codes: sp.csr_matrix) -> Floats:
    """Largest activation of each latent, shape (m,); 0 where it is never active."""
    return np.asarray(codes.max(axis=0).todense(), dtype=np.float64).ravel()


def active(codes: sp.csr_matrix, threshold: float = THRESHOLD, *, relative: bool = False) -> sp.csr_matrix:
    """Which activations lie above the threshold: boolean CSR, cells × latents.

    Parameters
    ----------
    codes
        Of :func:`checked`.
    threshold
        At least 0, in the units of the codes; with `relative`, of the latent's largest activation over these cells.
    relative
        Whether the threshold is a share, from 0 to 1.
    """
    limit = threshold * maxima(codes)[codes.indices] if relative else threshold
    mask = codes.data > limit
    result = sp.csr_matrix((mask, codes.indices.copy(), codes.indptr.copy()), shape=codes.shape)
    result.eliminate_zeros()
    return result


def hoyer(codes: sp.csr_matrix) -> Floats:
    """Hoyer's measure of every cell, ``(√m − ‖h‖₁/‖h‖₂) / (√m − 1)``: 1 for one active latent, 0 where all are equal.

    Free of the unit of the codes, and of a threshold. NaN for a cell without an active latent, or with one latent.

    References
    ----------
    Hoyer, Non-negative matrix factorization with sparseness constraints, JMLR 5, 2004.

    Examples
    --------
    >>> hoyer(checked(np.array([[0.0, 3.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0]])))
    array([1., 0.])
    """
    one = np.asarray(codes.sum(axis=1)).ravel()
    two = np.sqrt(np.asarray(codes.multiply(codes).sum(axis=1)).ravel())
    root = np.sqrt(codes.shape[1])
    result = np.full(codes.shape[0], np.nan)
    if root > 1:
        np.divide(one, two, out=result, where=two > 0)
        result = (root - result) / (root - 1.0)
    return result


def of_cells(codes: Any, threshold: float = THRESHOLD, *, relative: bool = False) -> pd.DataFrame:
    """Sparsity of every cell.

    Parameters
    ----------
    codes
        Cells × latents, CSR or dense, at least 0.
    threshold, relative
        What counts as active, see :func:`active`.

    Returns
    -------
    pandas.DataFrame
        A row per cell: ``l0`` number of latents active, ``population`` their share, ``l1`` sum of the code,
        ``hoyer`` (:func:`hoyer`).

    Raises
    ------
    ValueError
        If the codes are no codes (:func:`checked`).

    Examples
    --------
    >>> of_cells(np.array([[0.0, 0.5, 0.05, 0.0], [0.2, 0.2, 0.2, 0.2]]))["population"].tolist()
    [0.25, 1.0]
    """
    held = checked(codes)
    count = np.diff(active(held, threshold, relative=relative).indptr)
    return pd.DataFrame(
        {
            "l0": count.astype(np.int64),
            "population": count / held.shape[1],
            "l1": np.asarray(held.sum(axis=1)).ravel(),
            "hoyer": hoyer(held),
        }
    )


def of_latents(codes: Any, threshold: float = THRESHOLD, *, relative: bool = False) -> pd.DataFrame:
    """Sparsity of every latent over the cells.

    Parameters
    ----------
    codes
        Cells × latents, CSR or dense, at least 0.
    threshold, relative
        What counts as active, see :func:`active`.

    Returns
    -------
    pandas.DataFrame
        A row per latent: ``n_cells`` that activate it, ``lifetime`` their share, ``max`` and ``mean`` activation over
        all cells, ``mean_active`` over those that activate it (NaN where none), ``dead`` (lifetime below 1 %), and
        ``kind``: ``"never"`` (no cell), ``"rare"`` (below 1 %), ``"common"``, ``"dense"`` (above 50 %).

    Raises
    ------
    ValueError
        If the codes are no codes (:func:`checked`).

    Examples
    --------
    >>> of_latents(np.array([[0.0, 0.5, 0.3], [0.0, 0.0, 0.2]]))["kind"].tolist()
    ['never', 'common', 'dense']
    """
    held = checked(codes)
    mask = active(held, threshold, relative=relative)
    count = np.bincount(mask.indices, minlength=held.shape[1])
    above = np.asarray(held.multiply(mask).sum(axis=0)).ravel()
    lifetime = count / held.shape[0]
    kind = np.select([count == 0, lifetime < DEAD, lifetime > DENSE], [NEVER, RARE, IS_DENSE], COMMON)
    return pd.DataFrame(
        {
            "n_cells": count.astype(np.int64),
            "lifetime": lifetime,
            "max": maxima(held),
            "mean": np.asarray(held.mean(axis=0)).ravel(),
            "mean_active": np.divide(above, count, out=np.full(len(count), np.nan), where=count > 0),
            "dead": lifetime < DEAD,
            "kind": kind.astype(object),
        }
    )


def summary(cells: pd.DataFrame, mask: sp.csr_matrix) -> dict[str, float]:
    """One row for a set of cells, from their rows of :func:`of_cells` and of :func:`active`.

    ``n_cells``; means over the cells ``l0``, ``population``, ``hoyer``; shares of latents by their lifetime among
    these cells: ``never``, ``dead`` (below 1 %, those that are never active among them), ``rare`` (below 1 % but
    active), ``dense``.
    """
    n, m = mask.shape
    lifetime = np.bincount(mask.indices, minlength=m) / n
    return {
        "n_cells": n,
        "l0": float(cells["l0"].mean()),
        "population": float(cells["population"].mean()),
        "hoyer": float(cells["hoyer"].mean()),
        "never": float(np.mean(lifetime == 0)),
        "dead": float(np.mean(lifetime < DEAD)),
        "rare": float(np.mean((lifetime > 0) & (lifetime < DEAD))),
        "dense": float(np.mean(lifetime > DENSE)),
    }


def activations(codes: Any, n_bins: int = 60) -> pd.DataFrame:
    """Histogram of the activations above 0, in bins of equal width on a log axis.

    Returns
    -------
    pandas.DataFrame
        ``low``, ``high`` (half open, the last one closed), ``count``; no rows where nothing is active.

    Examples
    --------
    >>> activations(np.array([[0.1, 1.0], [10.0, 0.0]]), n_bins=2)["count"].tolist()
    [1, 2]
    """
    values = checked(codes).data
    if not len(values):
        return pd.DataFrame({"low": [], "high": [], "count": np.zeros(0, dtype=np.int64)})
    low, high = values.min(), values.max()
    if low == high:
        low, high = low / 2.0, high * 2.0
    edges = np.geomspace(low, high, n_bins + 1)
    edges[0], edges[-1] = low, high  # rounding must not leave out the extremes
    count, _ = np.histogram(values, edges)
    return pd.DataFrame({"low": edges[:-1], "high": edges[1:], "count": count})
