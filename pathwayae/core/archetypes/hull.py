"""The hull of the cells, held by the few that matter: archetypes as mixtures of them, and cells that come in."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.archetypes import active_set

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

KEEP = 200  # candidates that no archetype uses at present, besides those that came in last
SWEEPS = 50
EXACT = 1e-13  # of the total variance: a sweep that gains less ends the descent


def nearest(points: NDArray[Any], target: NDArray[Any]) -> tuple[Floats, Floats]:
    """Point of the convex hull that lies nearest to a target, and its weights over the points.

    Parameters
    ----------
    points
        Shape (c, d).
    target
        Shape (d,).

    Returns
    -------
    The nearest point, shape (d,), and weights on the simplex, shape (c,), at most d + 1 of them above zero.

    References
    ----------
    Wolfe, Finding the nearest point in a polytope, Math. Program. 11 (1976).

    Examples
    --------
    >>> point, weights = nearest(np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0]]), np.array([1.0, -1.0]))
    >>> point, weights
    (array([1., 0.]), array([0.5, 0.5, 0. ]))
    """
    points, target = np.asarray(points, dtype=np.float64), np.asarray(target, dtype=np.float64)
    shifted = points - target
    weights = np.zeros((1, len(points)))
    active_set.rows(shifted @ shifted.T, np.zeros_like(weights), weights)
    return weights[0] @ points, weights[0]


class Hull:
    """Candidate cells and the archetypes as their mixtures: ``Z = diag(alpha) B C``.

    Column generation: only cells that were named as candidates can be used; :meth:`add` brings in those that the
    gradient over all cells asks for, and the least useful ones are forgotten.

    Parameters
    ----------
    ids
        Names of the first candidates, shape (c,).
    points
        Their scaled coordinates, shape (c, d).
    mixing
        B, shape (k, c), rows on the simplex; by default archetype j is the j-th candidate.
    """

    def __init__(self, ids: Positions, points: Floats, mixing: Floats | None = None) -> None:
        self.ids, self.points = np.asarray(ids, dtype=np.int64), np.asarray(points, dtype=np.float64)
        self.mixing = np.eye(len(self.ids)) if mixing is None else mixing
        self.gram = self.points @ self.points.T

    @classmethod
    def near(cls, ids: Positions, points: Floats, targets: Floats) -> Hull:
        """Mixtures of candidates that lie nearest to targets, shape (k, d)."""
        mixing = np.array([nearest(points, target)[1] for target in targets])
        return cls(ids, points, mixing)

    @property
    def mixtures(self) -> Floats:
        """``B C``, shape (k, d)."""
        return self.mixing @ self.points

    def add(self, ids: Positions, points: Floats) -> None:
        """Bring in cells; those that are candidates already are passed over."""
        new, first = np.unique(ids, return_index=True)
        fresh = first[~np.isin(new, self.ids)]
        if len(fresh) == 0:
            return
        self._forget()
        more = points[fresh]
        across = self.points @ more.T
        self.gram = np.block([[self.gram, across], [across.T, more @ more.T]])
        self.points = np.concatenate([self.points, more])
        self.ids = np.concatenate([self.ids, ids[fresh]])
        self.mixing = np.pad(self.mixing, ((0, 0), (0, len(fresh))))

    def place(self, archetype: int, cell: int) -> None:
        """Put one archetype on one candidate."""
        self.mixing[archetype] = 0
        self.mixing[archetype, np.flatnonzero(self.ids == cell)[0]] = 1

    def descend(self, s: Floats, m: Floats, alpha: Floats, mass: float) -> None:
        """Best mixtures of the candidates for given ``S = AᵀWA`` and ``M = AᵀWX``; ``mass`` is the total variance."""
        cross = (alpha[:, None] * m) @ self.points.T
        scaled = s * np.outer(alpha, alpha)
        most = self.points.shape[1] + 1
        active_set.descend(self.gram, scaled, cross, self.mixing, most, EXACT * mass, SWEEPS)

    def matrix(self, n: int) -> sp.csr_matrix:
        """B over all cells, CSR of shape (k, n)."""
        archetype, candidate = np.nonzero(self.mixing)
        values = self.mixing[archetype, candidate]
        return sp.csr_matrix((values, (archetype, self.ids[candidate])), shape=(len(self.mixing), n))

    def _forget(self) -> None:
        used = self.mixing.any(0)
        idle = np.flatnonzero(~used)
        if len(idle) <= KEEP:
            return
        keep = np.union1d(np.flatnonzero(used), idle[-KEEP:])
        self.ids, self.points = self.ids[keep], self.points[keep]
        # One memory layout, so that the kernel is compiled once.
        self.mixing = np.ascontiguousarray(self.mixing[:, keep])
        self.gram = self.gram[np.ix_(keep, keep)]
