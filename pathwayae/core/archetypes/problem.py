"""What a fit is asked for, and what it gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray

from pathwayae.core.archetypes import starts

Floats = NDArray[np.float64]

ROBUST = (None, "huber", "bisquare")


@dataclass(frozen=True, eq=False)
class Config:
    """Choices of one fit.

    Attributes
    ----------
    n_archetypes
        k, at least 1 and at most the number of distinct cells.
    max_iter
        Passes over the cells at most.
    tol
        The fit ends when a pass lowers the loss by less than this share of it, and the gap (see :class:`Fit`) is below
        a tenth of this.
    start
        ``"aa++"``, ``"furthest_sum"``, ``"kmeans++"``; positions of k cells; or coordinates, shape (k, d), in the units
        of the input, as those of an earlier fit.
    delta
        How far archetypes may leave the hull of the cells: they lie in the hull, stretched about the mean of the cells
        by ``1 + delta``.
    entropy_reg
        Adds ``entropy_reg · mean entropy of the weights`` (in nats) to the loss per cell, in units of the total
        variance. Positive: fewer archetypes per cell (no longer convex; the nearest optimum is taken). Negative: the
        weights spread.
    robust
        None, ``"huber"`` or ``"bisquare"``: cells that fit badly count less.
    coreset
        None: the optimum over all cells (of more than 20 000, reached from a coreset). A number: fit so many cells,
        drawn by squared distance, then ``polish`` passes over all. ``"auto"``: 10 000 for more than 200 000 cells.
    polish
        Passes over all cells after a coreset.
    n_restarts
        Starts; the best fit is given.
    seed
        Of the start and the coreset.
    device
        ``"cpu"``, or as torch names it.
    """

    n_archetypes: int
    max_iter: int = 500
    tol: float = 1e-6
    start: ArrayLike = "aa++"
    delta: float = 0.0
    entropy_reg: float = 0.0
    robust: str | None = None
    coreset: int | str | None = None
    polish: int = 3
    n_restarts: int = 1
    seed: int = 42
    device: str = "cpu"


@dataclass(frozen=True, eq=False)
class Fit:
    """Archetypes, weights and how sure they are.

    Attributes
    ----------
    archetypes
        Shape (k, d), units of the input.
    weights
        Shape (n, k), float32, rows on the simplex: the exact optimum for these archetypes.
    mixing
        CSR (k, n), rows with sum one: ``archetypes = c + alpha (mixing X − c)``, c the weighted mean of the cells.
    alpha
        Shape (k,), within ``[1 − delta, 1 + delta]``.
    loss
        Weighted mean squared residual per cell after each iteration, units of the input squared.
    gap
        Frank-Wolfe gap of the archetypes over all cells, as a share of the total variance: with these weights, no
        other archetypes raise the explained variance by more.
    explained_variance
        ``1 − loss / variance``, centred, weighted.
    n_iter
        Iterations over all cells.
    converged
        Whether loss and gap met ``tol``.
    scale
        Root of the total variance of the cells, the unit of ``entropy_reg`` and of ``gap``.
    row_weights
        Shape (n,): the weights the cells had, robust ones included.
    restarts
        Final loss of every start, on the coreset where there was one.
    """

    archetypes: Floats
    weights: NDArray[np.float32]
    mixing: sp.csr_matrix
    alpha: Floats
    loss: list[float]
    gap: float
    explained_variance: float
    n_iter: int
    converged: bool
    scale: float
    row_weights: Floats
    restarts: list[float] = field(default_factory=list)


def check(config: Config, n: int, d: int) -> None:
    """Refuse choices that make no sense for n cells of d features.

    Raises
    ------
    ValueError
        Naming the choice, what it is, and what is allowed.
    """
    k = config.n_archetypes
    if not isinstance(k, int | np.integer) or isinstance(k, bool) or k < 1:
        msg = f"n_archetypes={k!r}; pass a whole number of at least 1."
        raise ValueError(msg)
    if k > n:
        msg = f"n_archetypes={k}, but there are only {n} cells; ask for at most {n} archetypes."
        raise ValueError(msg)
    rules = (
        ("max_iter", config.max_iter >= 1, "at least 1"),
        ("tol", config.tol > 0, "a number above 0"),
        ("delta", bool(np.isfinite(config.delta)) and config.delta >= 0, "0 or more, such as 0.25"),
        ("entropy_reg", np.isfinite(config.entropy_reg), "a finite number"),
        ("robust", config.robust in ROBUST, "None, 'huber' or 'bisquare'"),
        ("coreset", _is_coreset(config.coreset, k), f"None, 'auto' or a number of cells above {k}"),
        ("polish", config.polish >= 1, "at least 1"),
        ("n_restarts", config.n_restarts >= 1, "at least 1"),
    )
    for name, good, allowed in rules:
        if not good:
            msg = f"{name}={getattr(config, name)!r}; allowed: {allowed}."
            raise ValueError(msg)
    _check_start(config.start, k, n, d)


def _is_coreset(value: Any, k: int) -> bool:
    if value is None or value == "auto":
        return True
    return bool(isinstance(value, int | np.integer) and not isinstance(value, bool) and value > k)


def _check_start(start: Any, k: int, n: int, d: int) -> None:
    if isinstance(start, str):
        if start not in starts.STARTS:
            msg = f"start={start!r}; choose from {', '.join(starts.STARTS)}, or pass the positions of {k} cells."
            raise ValueError(msg)
        return
    given = np.asarray(start)
    if given.ndim == 2:
        if given.shape != (k, d) or given.dtype.kind not in "fiu" or not np.isfinite(given).all():
            msg = f"start has shape {given.shape}; coordinates must be finite, of shape ({k}, {d})."
            raise ValueError(msg)
        return
    if given.dtype.kind not in "iu" or given.shape != (k,) or len(np.unique(given)) < k:
        msg = f"start={start!r}; pass {k} different positions of cells, coordinates, or the name of a method."
        raise ValueError(msg)
    if given.min() < 0 or given.max() >= n:
        wrong = int(given.min()) if given.min() < 0 else int(given.max())
        msg = f"start names cell {wrong}; positions run from 0 to {n - 1}."
        raise ValueError(msg)
