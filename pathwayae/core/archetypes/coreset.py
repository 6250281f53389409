"""A few thousand cells that stand for all: drawn by squared distance to the mean, with weights that undo it."""

from __future__ import annotations

import numpy as np

from pathwayae.core.archetypes.cells import Cells

START = 5_000  # cells of the coreset that a fit to more than COARSE cells starts from
COARSE = 20_000
WIDENED = 2  # times that cells outside a coreset come in as candidates
MANY = 200_000  # above, "auto" fits a coreset
AUTO = 10_000


def plan(asked: int | str | None, n: int) -> tuple[int, bool]:
    """Cells of the coreset for n cells, 0 for none; and whether the fit over all cells stays short."""
    if asked is None or (asked == "auto" and n <= MANY):
        return (START if n > COARSE else 0), False
    m = AUTO if asked == "auto" else int(asked)
    return (m, True) if m < n else (0, False)


def draw(cells: Cells, m: int, rng: np.random.Generator) -> Cells:
    """At most m distinct cells, drawn m times with chances ``q ∝ w ‖x − mean‖²``, of weight ``w / (m q)`` per draw.

    The loss over the coreset is an unbiased estimate of the loss over all cells, whatever the archetypes.

    Parameters
    ----------
    cells
        All cells.
    m
        Number of draws.
    rng
        Source of the draws.

    References
    ----------
    Mair & Brefeld, Coresets for archetypal analysis, NeurIPS 2019.
    """
    squares = np.concatenate([np.square(x).sum(1) for _, x in cells.chunks()])
    chance = cells.weights * squares
    chance /= chance.sum()
    drawn, times = np.unique(rng.choice(cells.n, size=m, p=chance), return_counts=True)
    weights = times * cells.weights[drawn] / (m * chance[drawn])
    points = cells.to_input(cells.rows(drawn))
    return Cells(points, weights, corners=cells.corners[drawn], ids=cells.ids[drawn])
