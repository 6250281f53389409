"""Descent on a closed-form objective: Adam, learning-rate decay on plateau, early stopping, best point kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor

SMALL_STEP = 2e8  # floating-point operations

Progress = Callable[[int, dict[str, float]], None]


class Step(NamedTuple):
    """One evaluation: the value to monitor, its named terms and the gradient of the training objective."""

    monitored: Tensor
    terms: dict[str, Tensor]
    gradient: Tensor


class Descent(NamedTuple):
    """Best point found, the terms at every iteration, the best iteration and whether patience ended it."""

    best: Tensor
    history: dict[str, list[float]]
    best_iteration: int
    converged: bool


@contextmanager
def threads_for(n_operations: float) -> Iterator[None]:
    """One thread for steps of few operations, where waiting for the others costs more than they do."""
    before = torch.get_num_threads()
    if n_operations < SMALL_STEP:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def minimize(
    objective: Callable[[Tensor], Step],
    start: Tensor,
    *,
    learning_rate: float,
    max_iter: int,
    min_delta: float,
    early_stopping_patience: int,
    scheduler_patience: int,
    scheduler_factor: float,
    progress: Progress | None = None,
) -> Descent:
    """Minimise ``objective`` from ``start`` with Adam.

    The learning rate is multiplied by ``scheduler_factor`` after more than ``scheduler_patience`` iterations without
    an improvement of at least ``min_delta``; the descent ends after ``early_stopping_patience`` of them, or after
    ``max_iter``. The returned point is the best one evaluated.

    Parameters
    ----------
    objective
        Point → value to monitor, named terms, gradient.
    start
        First point; not modified.
    progress
        Called after every iteration with its number (from 1) and the terms.

    References
    ----------
    Kingma & Ba, Adam: a method for stochastic optimization, arXiv:1412.6980.
    """
    point = start.clone()
    optimizer = torch.optim.Adam([point], lr=learning_rate, fused=True)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=scheduler_patience, factor=scheduler_factor, threshold=min_delta, threshold_mode="abs"
    )
    best, best_value, best_iteration, reference, waited = point.clone(), float("inf"), 0, float("inf"), 0
    history: dict[str, list[float]] = {}
    converged = False
    for iteration in range(1, max_iter + 1):
        step = objective(point)
        # One transfer: on a GPU every number read by itself waits for all that is under way.
        monitored, *values = torch.stack([step.monitored, *step.terms.values()]).tolist()
        terms = dict(zip(step.terms, values, strict=True))
        for name, value in terms.items():
            history.setdefault(name, []).append(value)
        if progress is not None:
            progress(iteration, terms)
        if monitored < best_value:
            best, best_value, best_iteration = point.clone(), monitored, iteration
        waited = 0 if monitored < reference - min_delta else waited + 1
        reference = min(reference, monitored) if waited == 0 else reference
        if waited >= early_stopping_patience:
            converged = True
            break
        point.grad = step.gradient
        optimizer.step()
        scheduler.step(monitored)
    return Descent(best, history, best_iteration, converged)
