"""Archetypal analysis, exact: ``min ‖X − AZ‖²``; cells are mixtures of archetypes, archetypes mixtures of cells."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.archetypes import alternation, coreset, passes, problem, robust, starts
from pathwayae.core.archetypes import together as batch
from pathwayae.core.archetypes.alternation import State
from pathwayae.core.archetypes.cells import Blocks, Cells, Source, check_distinct
from pathwayae.core.archetypes.hull import Hull
from pathwayae.core.archetypes.passes import Found, Request
from pathwayae.core.archetypes.problem import Config, Fit

__all__ = ["Config", "Fit", "fit", "fit_many"]

Floats = NDArray[np.float64]
Weights = NDArray[np.float32]
Advance = Callable[[], object]


def fit(X: Source, config: Config, *, row_weights: NDArray[Any] | None = None, advance: Advance = lambda: None) -> Fit:
    """Fit archetypes to cells.

    Parameters
    ----------
    X
        Cells × features: array, scipy sparse matrix, or :class:`~pathwayae.core.archetypes.cells.Blocks` for cells that
        do not fit in memory. One pass over the cells is made per iteration; only the weights (n, k) are kept.
    config
        Choices.
    row_weights
        Shape (n,): how often each cell counts, as in a bootstrap; cells of weight zero get weights over the archetypes
        but have no part in the fit.
    advance
        Called after every start.

    Returns
    -------
    The best fit of ``config.n_restarts`` starts.

    Raises
    ------
    ValueError
        If a choice makes no sense, there are fewer distinct cells than archetypes, all cells are equal, or values are
        not finite.
    TypeError
        If X is no matrix of numbers.

    References
    ----------
    Cutler & Breiman, Archetypal analysis, Technometrics 36 (1994). Mørup & Hansen, Neurocomputing 80 (2012). Chen,
    Mairal & Harchaoui, Fast and robust archetypal analysis for representation learning, CVPR 2014.

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
    >>> cells = np.concatenate([corners, [[1.0, 1.0], [2.0, 1.0]]])
    >>> found = fit(cells, Config(3))
    >>> found.archetypes[np.lexsort(found.archetypes.T)].round(6) + 0.0
    array([[0., 0.],
           [4., 0.],
           [0., 4.]])
    """
    if _shares(X, config):
        return _together(X, [config], [row_weights], config.device)[0]
    cells = _checked_cells(X, config, row_weights)
    if config.robust is None:
        return _best(cells, config, advance)
    base, now = cells.weights, config
    lengths = np.concatenate([np.sqrt(np.square(x).sum(1)) for _, x in cells.chunks()])
    factors = robust.reweight(lengths, base, config.robust)
    for _ in range(robust.ROUNDS):
        cells = Cells(X, base * factors, corners=factors >= robust.CORNER)
        check_distinct(cells, config.n_archetypes)
        found = _best(cells, now, advance)
        before, factors = factors, robust.reweight(_residuals(cells, found), base, config.robust)
        now = replace(config, start=found.archetypes, n_restarts=1)
        if np.abs(factors - before).max() < robust.SETTLED:
            break
    return found


def fit_many(
    X: Source,
    configs: Sequence[Config],
    *,
    row_weights: NDArray[Any] | None = None,
) -> list[Fit]:
    """Several fits to the same cells: restarts, bootstraps, a sweep of k.

    On the CPU one after the other; on another device those that are neither robust nor of ``entropy_reg`` share their
    passes over the cells.

    Parameters
    ----------
    X
        As in :func:`fit`.
    configs
        R of them; one alone is used for all rows of ``row_weights``.
    row_weights
        Shape (R, n).

    Returns
    -------
    A fit per config, each as :func:`fit` would give it.
    """
    if row_weights is not None and len(configs) == 1:
        configs = list(configs) * len(row_weights)
    if row_weights is not None and len(row_weights) != len(configs):
        msg = f"row_weights has {len(row_weights)} rows for {len(configs)} configs; one row per config is needed."
        raise ValueError(msg)
    rows = [None] * len(configs) if row_weights is None else list(row_weights)
    found: list[Fit | None] = [None] * len(configs)
    together = [i for i, config in enumerate(configs) if _shares(X, config)]
    for device in dict.fromkeys(configs[i].device for i in together):
        mine = [i for i in together if configs[i].device == device]
        fits = _together(X, [configs[i] for i in mine], [rows[i] for i in mine], device)
        for i, one in zip(mine, fits, strict=True):
            found[i] = one
    return [fit(X, configs[i], row_weights=rows[i]) if one is None else one for i, one in enumerate(found)]


def _best(cells: Cells, config: Config, advance: Advance) -> Fit:
    """The best of all starts, and where these were made on a coreset, carried on over all cells."""
    k, (m, short) = config.n_archetypes, coreset.plan(config.coreset, cells.n)
    best: tuple[Cells, State, Weights] | None = None
    losses: list[float] = []
    for i in range(config.n_restarts):
        rng = np.random.default_rng([config.seed, i])
        some = coreset.draw(cells, m, rng) if m else cells
        state, weights = start(some, cells, config, rng), np.zeros((some.n, k), np.float32)
        _drive(some, state, weights, config, config.max_iter)
        for _ in range(coreset.WIDENED if m else 0):
            _widen(state, some, cells)
            _drive(some, state, weights, config, config.max_iter)
        losses.append(float(state.loss[-1] * some.scale**2))
        advance()
        if best is None or losses[-1] < min(losses[:-1]):
            best = some, state, weights
    if best is None:  # n_restarts is at least 1
        raise RuntimeError
    some, state, weights = best
    if m:
        state, weights = carry(state, some, cells), np.zeros((cells.n, k), np.float32)
        _drive(cells, state, weights, config, config.polish if short else config.max_iter)
    return result(cells, state, weights, losses)


def _shares(source: Source, config: Config) -> bool:
    """Whether a fit is made by :mod:`batch`: on a device, from memory, over all cells, with plain weights."""
    if config.device == "cpu" or isinstance(source, Blocks) or config.robust is not None or config.entropy_reg:
        return False
    return not coreset.plan(config.coreset, source.shape[0])[1]


def _together(source: Source, configs: Sequence[Config], rows: Sequence[Any], device: str) -> list[Fit]:
    """All starts of all fits in one batch; the last weights, loss and gap are those of an exact pass."""
    cells = [_checked_cells(source, config, row) for config, row in zip(configs, rows, strict=True)]
    owner = [i for i, config in enumerate(configs) for _ in range(config.n_restarts)]
    states: list[State] = []
    for i, config in enumerate(configs):
        m, _ = coreset.plan(None, cells[i].n)
        for restart in range(config.n_restarts):
            rng = np.random.default_rng([config.seed, restart])
            some = coreset.draw(cells[i], m, rng) if m else cells[i]
            state = start(some, cells[i], config, rng)
            states.append(carry(state, some, cells[i]) if m else state)
    masses = [cells[i].mass for i in owner]
    limits = [(configs[i].tol, configs[i].max_iter) for i in owner]
    dialogues = [
        alternation.alternate(state, mass, tol=tol, max_iter=most)
        for state, mass, (tol, most) in zip(states, masses, limits, strict=True)
    ]
    batch.drive(dialogues, [cells[i] for i in owner], [configs[i].n_archetypes for i in owner], device)
    found = []
    for i, config in enumerate(configs):
        mine = [state for state, at in zip(states, owner, strict=True) if at == i]
        losses = [float(state.loss[-1] * cells[i].scale ** 2) for state in mine]
        state, weights = mine[int(np.argmin(losses))], np.zeros((cells[i].n, config.n_archetypes), np.float32)
        _answer(alternation.certify(state, cells[i].mass, -state.archetypes), cells[i], weights, config)
        found.append(result(cells[i], state, weights, losses))
    return found


def start(some: Cells, cells: Cells, config: Config, rng: np.random.Generator) -> State:
    """First archetypes, for a fit to ``some`` of the cells."""
    k = config.n_archetypes
    alpha = np.full(k, 1.0 + config.delta)
    if isinstance(config.start, str):
        points = np.concatenate([x for _, x in some.chunks()])
        chosen = starts.choose(points, k, config.start, rng, some.weights * some.corners)
        return State(Hull(some.ids[chosen], points[chosen]), alpha)
    given = np.asarray(config.start)
    if given.ndim == 1:
        given = given.astype(np.int64)
        first = some.from_input(cells.to_input(cells.rows(given)))
        if cells.corners[given].all():
            return State(Hull(cells.ids[given], first), alpha)
    else:
        first = some.from_input(given)
    # Coordinates need not lie in the hull: the first weights are fitted to them, the first mixtures are what is near.
    offers = passes.furthest(some, -first)
    ids, at = np.unique(offers.ids, return_index=True)
    return State(Hull.near(ids, offers.points[at], first / alpha[:, None]), alpha, first=first)


def _widen(state: State, some: Cells, cells: Cells) -> None:
    """Let archetypes that were fitted to a coreset be made of any cells: those that its gradient asks for."""
    offers = passes.furthest(cells, state.gradient)
    state.hull.add(offers.ids, some.from_input(cells.to_input(offers.points)))


def carry(state: State, old: Cells, new: Cells) -> State:
    """The same archetypes in the units of other cells."""
    hull = state.hull
    return State(Hull(hull.ids, new.from_input(old.to_input(hull.points)), hull.mixing), state.alpha)


def result(cells: Cells, state: State, weights: Weights, restarts: list[float]) -> Fit:
    """What was found, in the units of the input."""
    return Fit(
        archetypes=cells.to_input(state.archetypes),
        weights=weights,
        mixing=state.hull.matrix(cells.n),
        alpha=state.alpha,
        loss=[value * cells.scale**2 for value in state.loss],
        gap=state.gap,
        explained_variance=1 - state.loss[-1],
        n_iter=len(state.loss),
        converged=state.converged,
        scale=cells.scale,
        row_weights=cells.weights,
        restarts=restarts,
    )


def _drive(cells: Cells, state: State, weights: Weights, config: Config, max_iter: int) -> None:
    reg = config.entropy_reg
    dialogue = alternation.alternate(state, cells.mass, tol=config.tol, max_iter=max_iter, entropy_reg=reg)
    _answer(dialogue, cells, weights, config)


def _answer(dialogue: Generator[Request, Found, Any], cells: Cells, weights: Weights, config: Config) -> None:
    """Make the passes that are asked for."""
    try:
        request = next(dialogue)
        while True:
            request = dialogue.send(passes.run(cells, request, weights, entropy_reg=config.entropy_reg))
    except StopIteration:
        return


def _checked_cells(source: Source, config: Config, row_weights: NDArray[Any] | None) -> Cells:
    cells = Cells(source, row_weights)
    problem.check(config, cells.n, cells.n_features)
    check_distinct(cells, config.n_archetypes)
    return cells


def _residuals(cells: Cells, found: Fit) -> Floats:
    """Lengths of the residuals of all cells, scaled."""
    z = cells.from_input(found.archetypes)
    parts = (x - found.weights[first : first + len(x)] @ z for first, x in cells.chunks())
    return np.concatenate([np.sqrt(np.square(part).sum(1)) for part in parts])
