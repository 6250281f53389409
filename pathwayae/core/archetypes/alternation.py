"""The alternation of weights and archetypes, as a dialogue: it asks for passes over the cells and says when to stop."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.archetypes.hull import Hull
from pathwayae.core.archetypes.passes import Found, Offers, Request, Sums

Floats = NDArray[np.float64]

EMPTY = 1e-9  # an archetype with a smaller share of the squared weights has no cells
PERFECT = 1e-12  # squared residual, in units of the total variance, that no archetype needs to be spent on
ROUNDING = 1e-14  # of the total variance: gains below this are none
GAP = 0.1  # of the tolerance
RESEEDS = 5  # per archetype


@dataclass(eq=False)
class State:
    """Archetypes on their way.

    Attributes
    ----------
    hull
        The mixtures.
    alpha
        Shape (k,), their stretch about the mean.
    first
        Archetypes to fit the first weights for, shape (k, d); by default those of the hull.
    loss
        Mean squared residual after every iteration, in units of the total variance.
    gap, converged
        As in :class:`~pathwayae.core.archetypes.problem.Fit`.
    gradient
        ``S Z − M`` where the gap was found, shape (k, d).
    """

    hull: Hull
    alpha: Floats
    first: Floats | None = None
    loss: list[float] = field(default_factory=list)
    gap: float = np.inf
    converged: bool = False
    gradient: Floats = field(default_factory=lambda: np.zeros((0, 0)))

    @property
    def archetypes(self) -> Floats:
        """``diag(alpha) B C``."""
        return self.alpha[:, None] * self.hull.mixtures


Dialogue = Generator[Request, Found, None]


def alternate(state: State, mass: float, *, tol: float, max_iter: int, entropy_reg: float = 0.0) -> Dialogue:
    """Lower the loss until it stays and the gap is closed; changes ``state``.

    An iteration asks for the best weights at the archetypes, extrapolated by Nesterov's rule, and moves the archetypes
    to the optimum for these weights, over the cells that are candidates. Cells come in along the gradient of the
    iteration before, found in the same pass. A step that does not lower the loss is taken back and the extrapolation
    starts anew, so the loss never rises. When it stays, one more pass makes the weights exact, and another one finds
    the gap over all cells; where this is still open, the cells that hold it open come in and the alternation goes on.

    Parameters
    ----------
    state
        Where to start.
    mass
        Sum of the weights of the cells.
    tol, max_iter, entropy_reg
        As in :class:`~pathwayae.core.archetypes.problem.Config`.

    References
    ----------
    O'Donoghue & Candès, Adaptive restart for accelerated gradient schemes, Found. Comput. Math. 15 (2015).
    """
    hull, reseeds, step, last = state.hull, 0, 0, np.inf
    z = state.archetypes
    y = z if state.first is None else state.first
    known: Sums | None = None  # of the weights at y, where a certificate has just asked for them
    directions = -z  # before there is a gradient: outwards
    for iteration in range(1, max_iter + 1):
        if known is None:
            found = yield Request(y, directions)
            _take(hull, found.offers)
        sums, known = found.sums if known is None else known, None
        open_ = _candidate_gap(state, sums, y, mass)
        fresh = reseeds < RESEEDS * len(z) and _reseed(hull, sums, mass)
        reseeds += fresh
        before = hull.mixing.copy()
        hull.descend(sums.s, sums.m, state.alpha, mass)
        new = state.archetypes
        residual = max(1 + float(np.vdot(new, sums.s @ new - 2 * sums.m)) / mass, 0.0)
        value = residual + entropy_reg * sums.entropy
        taken = value <= last or step == 0
        gain, last = (last - value, value) if taken else (np.inf, last)
        if taken:
            state.loss.append(residual)
            directions = sums.s @ new - sums.m
            y, z, step = new + step / (step + 3) * (new - z), new, step + 1
        else:
            hull.mixing = before
        if fresh or not taken:
            y, z, step, gain = state.archetypes, state.archetypes, 0, np.inf
        settled = gain <= tol * abs(value) + ROUNDING and open_ <= GAP * tol
        if settled or iteration == max_iter:
            known = yield from certify(state, mass, directions)
            state.converged = bool(settled and state.gap <= GAP * tol)
            if state.converged:
                return
            last, y, step = known.loss + entropy_reg * known.entropy, z, 0


def _candidate_gap(state: State, sums: Sums, at: Floats, mass: float) -> float:
    """The gap at some archetypes, over the candidates alone: never more than over all cells."""
    gradient = sums.s @ at - sums.m
    lowest = (gradient @ state.hull.points.T).min(1)
    held = np.einsum("ij,ij->i", gradient, at)
    return float(2 * (held - state.alpha * lowest).sum() / mass)


def certify(state: State, mass: float, directions: Floats) -> Generator[Request, Found, Sums]:
    """Exact weights at the archetypes, the loss there and the gap; the cells that hold it open become candidates."""
    z = state.archetypes
    found = yield Request(z, directions)
    sums = found.sums
    gradient = sums.s @ z - sums.m
    offers = (yield Request(None, gradient)).offers
    _take(state.hull, found.offers)
    _take(state.hull, offers)
    lowest = np.zeros(len(z)) if offers is None else offers.lowest
    held = np.einsum("ij,ij->i", gradient, z)
    state.gradient = gradient
    state.gap = max(float(2 * (held - state.alpha * lowest).sum() / mass), 0.0)
    state.loss[-1] = sums.loss
    return sums


def _take(hull: Hull, offers: Offers | None) -> None:
    if offers is not None:
        hull.add(offers.ids, offers.points)


def _reseed(hull: Hull, sums: Sums, mass: float) -> bool:
    """Put one archetype that no cell uses on the worst-fitted cell; whether there was one, and such a cell."""
    empty = np.flatnonzero(np.diag(sums.s) <= EMPTY * mass)
    cell, point, residual = sums.worst
    if len(empty) == 0 or residual <= PERFECT:
        return False
    hull.add(np.array([cell]), point[None])
    hull.place(int(empty[0]), cell)
    return True
