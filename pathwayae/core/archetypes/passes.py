"""One pass over the cells: their best weights, and the sums that everything else needs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.archetypes import simplex
from pathwayae.core.archetypes.cells import Cells

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

PER_ARCHETYPE = 8  # cells offered to each archetype by one pass, from different parts of the cells
PARTS = 4  # of a chunk


@dataclass(frozen=True, eq=False)
class Request:
    """One pass: the archetypes to fit weights for (or None), and the directions to look for cells along (or None).

    Both of shape (k, d), in the units of :class:`~pathwayae.core.archetypes.cells.Cells`.
    """

    archetypes: Floats | None
    directions: Floats | None


@dataclass(frozen=True, eq=False)
class Offers:
    """Cells far along each direction.

    Attributes
    ----------
    lowest
        Smallest product of a cell with each direction, shape (k,).
    ids, points
        Names and coordinates of cells that have it, or nearly.
    """

    lowest: Floats
    ids: Positions
    points: Floats


@dataclass(frozen=True, eq=False)
class Sums:
    """What the weights of all cells add up to.

    Attributes
    ----------
    s, m
        ``AᵀWA`` (k, k) and ``AᵀWX`` (k, d).
    loss
        Weighted mean squared residual, scaled.
    entropy
        Weighted mean entropy of the weights; 0 where it was not asked for.
    worst
        Name, coordinates and squared residual of the worst-fitted cell that archetypes may be made of.
    """

    s: Floats
    m: Floats
    loss: float
    entropy: float
    worst: tuple[int, Floats, float]


class Found:
    """Answer to a request."""

    def __init__(self, sums: Sums | None, offers: Offers | None) -> None:
        self._sums, self._offers = sums, offers

    @property
    def sums(self) -> Sums:
        """Of a pass that fitted weights."""
        if self._sums is None:
            msg = "this pass fitted no weights"
            raise RuntimeError(msg)
        return self._sums

    @property
    def offers(self) -> Offers | None:
        """Of a pass with directions."""
        return self._offers


def run(cells: Cells, request: Request, weights: NDArray[np.float32], *, entropy_reg: float = 0.0) -> Found:
    """Read all cells once.

    Parameters
    ----------
    cells
        The cells.
    request
        What to find.
    weights
        Shape (n, k): those found last, or zeros; the new ones are written into it.
    entropy_reg
        Of the weights.

    Examples
    --------
    >>> cells = Cells(np.array([[0.0], [1.0], [2.0]]))
    >>> weights = np.zeros((3, 2), dtype=np.float32)
    >>> found = run(cells, Request(cells.from_input(np.array([[0.0], [2.0]])), None), weights)
    >>> weights
    array([[1. , 0. ],
           [0.5, 0.5],
           [0. , 1. ]], dtype=float32)
    """
    adder = None if request.archetypes is None else _Adder(request.archetypes, cells.n_features, entropy_reg)
    finder = None if request.directions is None else Finder(request.directions)
    for start, x in cells.chunks():
        part = slice(start, start + len(x))
        if adder is not None:
            adder.see(x, cells, part, weights[part])
        if finder is not None:
            finder.see(x, cells.corners[part], cells.ids[part])
    return Found(None if adder is None else adder.sums(cells.mass), None if finder is None else finder.offers())


class _Adder:
    def __init__(self, archetypes: Floats, d: int, entropy_reg: float) -> None:
        k = len(archetypes)
        self.archetypes, self.gram, self.entropy_reg = archetypes, archetypes @ archetypes.T, entropy_reg
        self.s, self.m = np.zeros((k, k)), np.zeros((k, d))
        self.squares, self.entropy = 0.0, 0.0
        self.worst: tuple[int, Floats, float] = (-1, np.zeros(d), -1.0)

    def see(self, x: Floats, cells: Cells, part: slice, weights: NDArray[np.float32]) -> None:
        w = cells.weights[part]
        linear = x @ self.archetypes.T
        a = weights.astype(np.float64)
        simplex.solve(self.gram, linear, a, entropy_reg=self.entropy_reg)
        weights[:] = a
        weighted = a * w[:, None]
        self.s += weighted.T @ a
        self.m += weighted.T @ x
        residual = np.einsum("ij,ij->i", x, x) + np.einsum("ij,ij->i", a, a @ self.gram - 2 * linear)
        self.squares += float(w @ residual)
        if self.entropy_reg:
            self.entropy -= float(w @ (a * np.log(np.maximum(a, 1e-300))).sum(1))
        residual = np.where(cells.corners[part], residual, -1.0)
        at = int(np.argmax(residual))
        if residual[at] > self.worst[2]:
            self.worst = (int(cells.ids[part][at]), x[at].copy(), float(residual[at]))

    def sums(self, mass: float) -> Sums:
        return Sums(self.s, self.m, max(self.squares, 0.0) / mass, self.entropy / mass, self.worst)


class Finder:
    """Keeps the cells with the smallest products with each direction, one per part of the cells at most.

    Parameters
    ----------
    directions
        Shape (k, d).
    """

    def __init__(self, directions: Floats) -> None:
        self.directions = directions
        self.values: list[Floats] = []
        self.ids: list[Positions] = []
        self.points: list[Floats] = []

    def see(self, x: Floats, corners: NDArray[np.bool_], ids: Positions) -> None:
        """Look at some cells; those that no archetype may be made of are passed over."""
        products = self.directions @ x.T
        if not corners.all():
            products[:, ~corners] = np.inf
        columns = np.arange(len(self.directions))
        cuts = np.linspace(0, len(x), min(PARTS, len(x)) + 1).astype(int)
        for i, j in pairwise(cuts):
            at = i + np.argmin(products[:, i:j], axis=1)
            self.values.append(products[columns, at])
            self.ids.append(ids[at])
            self.points.append(x[at])
        if len(self.values) > 4 * PER_ARCHETYPE:
            self._shorten()

    def offers(self) -> Offers:
        """The best of what was seen."""
        self._shorten()
        values = np.array(self.values)
        finite = np.isfinite(values).ravel()
        return Offers(values.min(0), np.concatenate(self.ids)[finite], np.concatenate(self.points)[finite])

    def _shorten(self) -> None:
        values, ids, points = np.array(self.values), np.array(self.ids), np.array(self.points)
        order = np.argsort(values, axis=0, kind="stable")[:PER_ARCHETYPE]
        columns = np.arange(values.shape[1])
        self.values, self.ids = list(values[order, columns]), list(ids[order, columns])
        self.points = list(points[order, columns])


def furthest(cells: Cells, directions: Floats) -> Offers:
    """Cells with the smallest products with each direction, shape (k, d)."""
    finder = Finder(directions)
    for start, x in cells.chunks():
        part = slice(start, start + len(x))
        finder.see(x, cells.corners[part], cells.ids[part])
    return finder.offers()
