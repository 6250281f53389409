"""Descents on closed-form objectives, many at once: Adam, learning-rate decay on plateau, early stopping, best kept."""

from __future__ import annotations

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from pathwayae.core.notice import warn
from pathwayae.core.threads import all_busy

SMALL_STEP = 1e9  # floating-point operations; below, a step takes some ten milliseconds on one thread
BETA, BETA_SQUARES, EPS = 0.9, 0.999, 1e-8  # of Adam, as proposed in its paper
MIN_DECAY = 1e-8  # a learning rate that would fall by less stays
SHORTER = 0.1  # steps of a descent that only rose from its start, relative to those before
RISE = 0.005  # of the loss at the start, beyond what steps about a minimum do
READ_EVERY = 10  # iterations; on a GPU reading a number waits for all that is under way

# A forked process has the parent's threads of OpenMP in name only, and waits for them for ever: it has one thread.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))

Progress = Callable[[int, dict[str, float]], None]
T = TypeVar("T")
R = TypeVar("R")


class Step(NamedTuple):
    """One evaluation: values to monitor (R,), their named terms (R,) and the gradients (R, …) to descend along."""

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


def side_by_side(work: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """``work(item)`` of every item in their order, several at a time, each on one thread of torch.

    Descents side by side wait for each other less than the threads of one do within its many small steps.
    """
    before = torch.get_num_threads()
    running: deque[Future[R]] = deque()
    try:
        torch.set_num_threads(1)  # for this thread, and for libraries that know one number for all
        with all_busy(), ThreadPoolExecutor(before, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for item in items:
                running.append(pool.submit(work, item))
                if len(running) > before:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
    finally:
        for future in running:
            future.cancel()
        torch.set_num_threads(before)


class Adam:
    """Adam on R stacked points with a learning rate each; a rate of 0 leaves its point as it is."""

    def __init__(self, point: Tensor) -> None:
        self.mean, self.squares = torch.zeros_like(point), torch.zeros_like(point)
        self.scratch, self.root = torch.empty_like(point), torch.empty_like(point)
        self.n_steps = 0

    def move(self, point: Tensor, gradient: Tensor, rates: Tensor) -> None:
        """One step of every point, in place."""
        self.n_steps += 1
        # The bias of both averages goes into rate and ε, which are small, rather than into every entry.
        bias, bias_root = 1.0 - BETA**self.n_steps, (1.0 - BETA_SQUARES**self.n_steps) ** 0.5
        self.mean.mul_(BETA).add_(gradient, alpha=1.0 - BETA)
        self.squares.mul_(BETA_SQUARES).addcmul_(gradient, gradient, value=1.0 - BETA_SQUARES)
        torch.sqrt(self.squares, out=self.root).add_(EPS * bias_root)
        torch.mul(self.mean, _per_point(rates * (-bias_root / bias), point), out=self.scratch)
        point.addcdiv_(self.scratch, self.root)

    def back(self, point: Tensor, to: Tensor, lost: Tensor) -> None:
        """Put some points, (R,), where they were, at rest."""
        where = _per_point(lost, point)
        torch.where(where, to, point, out=point)
        self.mean.masked_fill_(where, 0.0)


class _Watch:
    """What each of R descents has reached: its best point, its learning rate, and whether it still runs."""

    def __init__(self, point: Tensor, learning_rate: float) -> None:
        n, device = len(point), point.device
        self.best = point.clone()
        # Values are compared in float64, as Python would.
        self.best_value = torch.full((n,), torch.inf, dtype=torch.float64, device=device)
        self.reference, self.last = self.best_value.clone(), self.best_value.clone()
        self.rates = torch.full((n,), learning_rate, dtype=torch.float64, device=device)
        self.best_iteration, self.waited, self.since_decay, self.length = (
            torch.zeros((n,), dtype=torch.int64, device=device) for _ in range(4)
        )
        self.active = torch.ones((n,), dtype=torch.bool, device=device)

    def see(self, point: Tensor, monitored: Tensor, min_delta: float, patience: int) -> None:
        """Take in the values at the points; a descent stops after ``patience`` of them without an improvement."""
        self.last = values = monitored.double()
        self.length += self.active
        better = (values < self.best_value) & self.active
        torch.where(_per_point(better, point), point, self.best, out=self.best)
        self.best_value = torch.where(better, values, self.best_value)
        self.best_iteration = torch.where(better, self.length, self.best_iteration)
        improved = values < self.reference - min_delta
        self.reference = torch.where(improved, values, self.reference)
        self.waited = (self.waited + 1).masked_fill_(improved, 0)
        self.since_decay = (self.since_decay + 1).masked_fill_(improved, 0)
        self.active = self.active & (self.waited < patience)

    def decay(self, patience: int, factor: float) -> Tensor:
        """Lower the rates of those without an improvement for more than ``patience`` iterations.

        Those of them that are above their start, (R,), are to go back to it: their steps were too long.
        """
        due = self.since_decay > patience
        lost = due & (self.waited >= self.length - 1) & ~(self.last <= self.reference) & self.active
        lower = self.rates * torch.where(lost, min(factor, SHORTER), factor)
        self.rates = torch.where(due & (self.rates - lower > MIN_DECAY), lower, self.rates)
        self.since_decay = self.since_decay.masked_fill(due, 0)
        return lost


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
) -> list[Descent]:
    """Minimise R objectives at once from R starts with Adam; each result is that of a descent of its own.

    A learning rate is multiplied by ``scheduler_factor`` after more than ``scheduler_patience`` iterations without
    an improvement of at least ``min_delta``; one that only rose from its start then begins there again, with a tenth of
    its steps. A descent ends after ``early_stopping_patience`` of them, or after ``max_iter``. One that has ended stays
    where it is until all have. The points returned are the best ones evaluated.
    Nothing is read from a GPU but every ``READ_EVERY`` iterations; the results do not depend on it.

    Parameters
    ----------
    objective
        Points (R, …) → values to monitor (R,), named terms (R,), gradients (R, …). No point may matter to another.
    start
        First points, shape (R, …); not modified. Their memory layout is kept.
    progress
        Called for every iteration with its number (from 1) and the terms, averaged over the R descents.

    Returns
    -------
    A descent per start.

    References
    ----------
    Kingma & Ba, Adam: a method for stochastic optimization, arXiv:1412.6980.

    Examples
    --------
    >>> target = torch.tensor([[1.0], [2.0]])
    >>> def squares(point):
    ...     value = ((point - target) ** 2).sum(-1)
    ...     return Step(value, {"loss": value}, 2 * (point - target))
    >>> rules = {"min_delta": 0.0, "early_stopping_patience": 50, "scheduler_patience": 5, "scheduler_factor": 0.5}
    >>> first, second = minimize(squares, torch.zeros(2, 1), learning_rate=0.1, max_iter=300, **rules)
    >>> round(float(first.best), 1), round(float(second.best), 1)
    (1.0, 2.0)
    """
    point = start.clone()
    adam, watch = Adam(point), _Watch(point, learning_rate)
    names: list[str] = []
    record = torch.empty(0)
    n_read, every = 0, _read_every(point)
    for iteration in range(1, max_iter + 1):
        step = objective(point)
        if iteration == 1:
            names = list(step.terms)
            record = step.monitored.new_empty(max_iter, len(names), len(point))
        torch.stack(list(step.terms.values()), out=record[iteration - 1])
        watch.see(point, step.monitored, min_delta, early_stopping_patience)
        if iteration % every == 0 or iteration == max_iter:
            last = int(watch.length.max())
            if progress is not None:
                for i, means in enumerate(record[n_read:last].double().mean(-1).tolist(), start=n_read + 1):
                    progress(i, dict(zip(names, means, strict=True)))
            n_read = last
            if not bool(watch.active.any()):
                break
        adam.move(point, step.gradient, watch.rates * watch.active)
        lost = watch.decay(scheduler_patience, scheduler_factor)
        if point.is_cuda or bool(lost.any()):
            adam.back(point, watch.best, lost)
    return _descents(watch, names, record)


def say_if_risen(loss: list[float], best_iteration: int, *, by: float = RISE) -> None:
    """Warn where a descent never left its start, because its steps led up: of the loss at every iteration."""
    if len(loss) < 2 or best_iteration > 1:
        return
    if not math.isfinite(loss[-1]) or loss[-1] > loss[0] + by * abs(loss[0]):
        msg = (
            f"The loss rose from {loss[0]:.3g} at the start to {loss[-1]:.3g}, and the start is kept: nothing was "
            "fitted. The steps are too long; lower learning_rate."
        )
        warn(msg)


def _read_every(point: Tensor) -> int:
    return READ_EVERY if point.is_cuda else 1


def _descents(watch: _Watch, names: list[str], record: Tensor) -> list[Descent]:
    columns = list(record.permute(2, 1, 0).cpu()) if names else [torch.empty(0, 0)] * len(watch.best)
    ends = zip(watch.length.tolist(), watch.best_iteration.tolist(), watch.active.tolist(), strict=True)
    return [
        Descent(
            best,
            {name: values[:length].tolist() for name, values in zip(names, terms, strict=True)},
            best_iteration,
            not active,
        )
        for best, terms, (length, best_iteration, active) in zip(watch.best, columns, ends, strict=True)
    ]


def _per_point(values: Tensor, point: Tensor) -> Tensor:
    """Values (R,) to be combined with points (R, …)."""
    if values.is_floating_point():
        values = values.to(point.dtype)
    return values.reshape(-1, *[1] * (point.ndim - 1))
