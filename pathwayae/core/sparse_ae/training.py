"""Training: many networks on the same minibatches, schedules as fractions of the run, the best state kept."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.descent import Adam, threads_for
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import active
from pathwayae.core.sparse_ae import stack as stacks
from pathwayae.core.sparse_ae.minibatches import Batch, Cells
from pathwayae.core.sparse_ae.network import Network
from pathwayae.core.sparse_ae.settings import Config, resolve
from pathwayae.core.sparse_ae.stack import Stack

logger = logging.getLogger("pathwayae")

TRACK = 20  # minibatches over which BatchTopK's threshold is averaged
RECOUNT = 10  # minibatches between two looks at which latents are dead
DEAD_EPOCHS, DEAD_SHARE = 2, 0.1  # silent for 2 epochs, or a tenth of the run where that is less: dead
BETTER = 1e-3  # relative fall of the held-out error that counts
RARE = 0.01  # share of cells
DIVERGED = 5.0  # times the error without a network
LOST = 1000.0  # the same where it falls steadily, as in a few steps on few cells

Progress = Callable[[int, dict[str, float]], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Fit:
    """A trained network and how it went.

    Attributes
    ----------
    network
        The state with the smallest unexplained variance on held-out cells.
    config
        The settings, every ``None`` filled in.
    history
        Per epoch, means over the cells: ``total``, ``reconstruction``, ``sparsity`` (the penalty before its weight),
        ``auxiliary``, ``unexplained`` (share of variance, on the held-out cells where there are any), ``active``
        (latents per cell), ``dead`` (share of latents that fired in no training cell).
    n_epochs, converged
        Epochs done; whether the held-out error had stopped falling before the end.
    unexplained
        Of the state kept.
    n_dead, n_rare
        Latents active in no training cell, and in some but less than 1 % of them, in the epoch of the state kept.
    gamma
        ``‖μ‖ / ‖σ‖`` of the training cells as the network sees them; above 1 the mean outweighs the variation.
    nothing
        ``reconstruction`` of a network that gives 0.
    """

    network: Network
    config: Config
    history: dict[str, list[float]]
    n_epochs: int
    converged: bool
    unexplained: float
    n_dead: int
    n_rare: int
    gamma: float
    nothing: float


def train(cells: Cells, configs: Sequence[Config], *, order: int = 0, progress: Progress | None = None) -> list[Fit]:
    """Train networks; those that differ only in k, weight, ρ or seed run as one, on the same minibatches.

    Parameters
    ----------
    cells
        Where minibatches come from.
    configs
        Settings of the networks.
    order
        Seed of the order of the cells.
    progress
        Called after every epoch with its number (from 1) and the last terms of the first network.

    Returns
    -------
    One fit per setting, in their order.

    Raises
    ------
    ValueError
        If settings contradict each other, the cells do not vary, or the training of a single network diverged.

    Examples
    --------
    >>> from pathwayae.core.sparse_ae.minibatches import InMemory
    >>> X = np.random.default_rng(0).normal(size=(200, 5))
    >>> fits = train(InMemory(X), [Config(n_latents=8, k=k, n_epochs=2) for k in (1, 2)])
    >>> [fit.network.n_latents for fit in fits]
    [8, 8]
    """
    mean, spread = _moments(cells)
    resolved = [resolve(config, cells.n, cells.n_features) for config in configs]
    groups: dict[Config, list[int]] = defaultdict(list)
    for place, config in enumerate(resolved):
        groups[replace(config, k=0, weight=0, rho=0, seed=0)].append(place)
    fits: dict[int, Fit] = {}
    for places in groups.values():
        run = Run(cells, [resolved[place] for place in places], mean, spread)
        with threads_for(run.operations):
            found = run.all_epochs(np.random.default_rng(order), progress)
        fits.update(zip(places, found, strict=True))
    for fit in fits.values():
        if not _diverged(fit, alone=len(configs) == 1):
            _say_if_all_dead(fit)
    return [fits[place] for place in range(len(configs))]


def _moments(cells: Cells) -> tuple[Floats, float]:
    """Mean and mean squared distance from it, refused where they are no ground for a fit."""
    mean, spread = cells.moments()
    if not (np.isfinite(mean).all() and math.isfinite(spread)):
        bad = int((~np.isfinite(mean)).sum())
        msg = f"the cells hold NaN or infinite values, in {bad} of {len(mean)} features; remove or impute them."
        raise ValueError(msg)
    if spread <= 1e-12 * float(mean @ mean):
        msg = f"the cells hold no variation to fit: all {cells.n} training cells are equal. Pass cells that differ."
        raise ValueError(msg)
    return mean, spread


def _diverged(fit: Fit, *, alone: bool) -> bool:
    """Whether training made a network useless: refused where it is the only one, else warned of.

    Read from the errors of training cells, since few held-out cells may be much alike.
    """
    course = fit.history["reconstruction"]
    times, falls = min(course) / fit.nothing, course[-1] <= min(course[0], 1.1 * min(course))
    usable = fit.config.output == "sigmoid" or times <= DIVERGED or (falls and times <= LOST)
    if usable and math.isfinite(fit.unexplained):
        if times > DIVERGED:
            logger.warning(
                "The error of the network is %.3g times that without it and still falls: raise n_epochs.", times
            )
        return False
    msg = (
        f"The training diverged: the error of the training cells is never below {times:.3g} times what it is without "
        f"a network. Lower learning_rate={fit.config.learning_rate:g}."
    )
    if alone:
        raise ValueError(msg)
    warn(msg)
    return True


def _say_if_all_dead(fit: Fit) -> None:
    """Why no latent fires, and what helps."""
    if fit.n_dead < fit.network.n_latents and fit.history["dead"][-1] < 1:
        return
    gamma = f"γ = ‖mean‖/‖standard deviations‖ = {fit.gamma:.2g}"
    cause = (
        f"{gamma} with center=False: the mean outweighs what varies. Set center=True, or lower weight"
        if fit.gamma > 1
        else (f"{gamma}, so the mean is not the cause. Lower weight or learning_rate, or raise k or n_epochs")
    )
    kept = "" if fit.n_dead == fit.network.n_latents else " at the end (kept is the best state before)"
    warn(f"all {fit.network.n_latents} latents are dead: no training cell activates any{kept}. {cause}.")


class Run:
    """One group of networks in training."""

    def __init__(self, cells: Cells, configs: list[Config], mean: Floats, spread: float) -> None:
        first = configs[0]
        self.cells, self.configs, self.device = cells, configs, torch.device(first.device)
        self.n_models, self.spread = len(configs), spread
        self.norm = spread + (0.0 if first.center else float(mean @ mean))
        self.gamma = 0.0 if first.center else math.sqrt(float(mean @ mean) / spread)
        self.mean = mean if first.center else np.zeros_like(mean)
        self.scale = math.sqrt(self.norm) if first.loss == "share" else 1.0
        self.shift = torch.as_tensor(self.mean, dtype=torch.float32, device=self.device)
        self.stack = stacks.build(configs, cells.n_features)
        self.batch_size, self.epochs = int(first.batch_size or 1), int(first.n_epochs or 1)
        self.steps = math.ceil(cells.n / self.batch_size)
        self.schedule = _Schedule(first, self.n_models, self.epochs * self.steps)
        self.adam = _Adam()
        shape = (self.n_models, int(first.n_latents or 0))
        self.silent = torch.zeros(shape, device=self.device)
        self.dead = torch.zeros(shape, dtype=torch.bool, device=self.device)
        self.any_dead = False
        self.window = min(DEAD_EPOCHS * cells.n, DEAD_SHARE * self.epochs * cells.n)
        self.n_steps = 0
        self.operations = 10.0 * self.n_models * self.batch_size * cells.n_features * shape[1]

    def all_epochs(self, rng: np.random.Generator, progress: Progress | None) -> list[Fit]:
        """Train to the end, or until every network has decayed after its held-out error stopped falling."""
        best = _Best(self.n_models)
        history: list[list[dict[str, float]]] = [[] for _ in range(self.n_models)]
        patience = math.ceil(self.configs[0].patience * self.epochs)
        for epoch in range(self.epochs):
            running = self.schedule.running(self.n_steps)
            if not running.any():
                break
            terms, counts = self.epoch(rng)
            held_out = self._unexplained()
            unexplained = terms["squares"] / (self.spread / self.scale**2) if held_out is None else held_out
            for model in np.flatnonzero(running).tolist():
                entry = self._entry(terms, counts[model], model, float(unexplained[model]))
                history[model].append(entry)
                best.see(self.stack, model, epoch, entry["unexplained"], counts[model], last=held_out is None)
                if held_out is not None and epoch - best.improved[model] >= patience:
                    self.schedule.start_decay(model, self.n_steps)
            if progress is not None:
                progress(epoch + 1, history[0][-1])
        best.restore(self.stack)
        return [self._fit(model, history[model], best) for model in range(self.n_models)]

    def epoch(self, rng: np.random.Generator) -> tuple[dict[str, Floats], Floats]:
        """One pass over the training cells: means of the terms over cells, share of cells per latent (R, m)."""
        sums: dict[str, Tensor] = {}
        counts = torch.zeros_like(self.silent, dtype=torch.float64)
        for batch in self.cells.epoch(self.batch_size, rng):
            standard = self._standard(batch)
            terms, fired = self._step(standard)
            counts += fired
            self.silent = torch.where(fired > 0, 0.0, self.silent + len(standard))
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + value.double() * len(standard)
        n = self.cells.n
        return {name: (value / n).cpu().numpy() for name, value in sums.items()}, (counts / n).cpu().numpy()

    def _step(self, standard: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """One minibatch: losses, gradients, Adam."""
        stack, config = self.stack, self.configs[0]
        if config.sparsity == "jumprelu" and stack.jump is None:
            stacks.start_jumps(stack, standard)
        if config.revive and config.code == "relu" and stack.depth == 1 and self.n_steps % RECOUNT == 0:
            self.dead = self.silent >= self.window
            self.any_dead = bool(self.dead.any())
        with torch.autocast(self.device.type, torch.bfloat16, enabled=config.bfloat16):
            terms, rebuilt = stacks.losses(stack, standard)
            aux = torch.zeros_like(terms.total)
            if self.any_dead:
                aux = stacks.auxiliary(stack, standard, standard - rebuilt, self.dead)
        total = terms.total + config.revive * aux
        torch.autograd.backward(total.sum())
        rates = torch.as_tensor(self.schedule.rates(self.n_steps), dtype=torch.float32, device=self.device)
        self.adam.move(stack, rates)
        if terms.threshold is not None:
            share = 1.0 / min(self.n_steps + 1, TRACK)
            moved = torch.lerp(stack.threshold, terms.threshold, share)
            stack.threshold = torch.where(rates > 0, moved, stack.threshold)
        self.n_steps += 1
        squares = terms.squares / len(standard)
        found = {"total": total, "reconstruction": terms.reconstruction, "sparsity": terms.penalty}
        found |= {"auxiliary": aux, "squares": squares}
        return {name: value.detach() for name, value in found.items()}, terms.fired

    @torch.no_grad()
    def _unexplained(self) -> Floats | None:
        """Share of the held-out cells' variance (about their own mean) not explained, (R,); None without such cells."""
        n, variance = 0, torch.zeros(1, dtype=torch.float64, device=self.device)
        error = torch.zeros(self.n_models, dtype=torch.float64, device=self.device)
        sums = torch.zeros(len(self.mean), dtype=torch.float64, device=self.device)
        for batch in self.cells.held_out():
            standard = self._standard(batch)
            difference = stacks.rebuild(self.stack, standard) - standard
            error += (difference**2).sum(dim=-1).double().sum(dim=-1)
            variance += (standard**2).sum(dim=-1).double().sum()
            sums += standard.double().sum(dim=0)
            n += len(standard)
        if n < 2:
            return None
        variance -= (sums**2).sum() / n
        found: Floats = (error / variance.clamp(min=1e-12)).cpu().numpy()
        return found

    def _standard(self, batch: Batch) -> Tensor:
        return (torch.as_tensor(batch).to(self.device, torch.float32) - self.shift) / self.scale

    @staticmethod
    def _entry(terms: dict[str, Floats], counts: Floats, model: int, unexplained: float) -> dict[str, float]:
        entry = {name: float(terms[name][model]) for name in ("total", "reconstruction", "sparsity", "auxiliary")}
        return {**entry, "unexplained": unexplained, "active": float(counts.sum()), "dead": float((counts == 0).mean())}

    def _fit(self, model: int, history: list[dict[str, float]], best: _Best) -> Fit:
        counts = best.counts[model]
        return Fit(
            network=stacks.export(self.stack, model, self.mean, self.scale),
            config=self.configs[model],
            history={name: [entry[name] for entry in history] for name in history[0]},
            n_epochs=len(history),
            converged=self.schedule.early(model),
            unexplained=float(best.unexplained[model]),
            n_dead=int((counts == 0).sum()),
            n_rare=int(((counts > 0) & (counts < RARE)).sum()),
            gamma=self.gamma,
            nothing=1.0 if self.configs[model].loss == "share" else self.norm / len(self.mean),
        )


class _Schedule:
    """Learning rates of R networks: a rise, a level, a fall that starts early where the error stops falling."""

    def __init__(self, config: Config, n_models: int, n_steps: int) -> None:
        self.rate = config.learning_rate
        self.warm, self.fall = config.warmup * n_steps, config.decay * n_steps
        self.latest = n_steps - self.fall
        self.decay_from = np.full(n_models, self.latest)

    def rates(self, step: int) -> Floats:
        """Learning rate of every network at a step, (R,)."""
        rise = min(1.0, (step + 1) / self.warm) if self.warm else 1.0
        left = self.decay_from + self.fall - step
        fall = np.clip(left / self.fall, 0.0, 1.0) if self.fall else (left > 0).astype(float)
        found: Floats = self.rate * rise * fall
        return found

    def running(self, step: int) -> NDArray[np.bool_]:
        """Networks that still move."""
        return self.decay_from + self.fall > step

    def start_decay(self, model: int, step: int) -> None:
        """Let the learning rate of a network fall from now on, if it does not yet."""
        self.decay_from[model] = min(self.decay_from[model], step)

    def early(self, model: int) -> bool:
        """Whether the fall of a network started before its time."""
        return bool(self.decay_from[model] < self.latest)


class _Best:
    """The state of each network with the smallest error so far; the last one where nothing is held out."""

    def __init__(self, n_models: int) -> None:
        self.unexplained = np.full(n_models, np.inf)
        self.level = np.full(n_models, np.inf)
        self.improved = np.zeros(n_models, dtype=int)
        self.counts: list[Floats] = [np.zeros(0)] * n_models
        self.states: list[list[Tensor]] = [[] for _ in range(n_models)]

    def see(self, stack: Stack, model: int, epoch: int, value: float, counts: Floats, *, last: bool) -> None:
        """Keep the state if it is the best, and note whether the error fell enough to count."""
        if value < self.level[model] * (1 - BETTER):
            self.level[model], self.improved[model] = value, epoch
        if last or value < self.unexplained[model] or not self.states[model]:
            self.unexplained[model], self.counts[model] = value, counts
            self.states[model] = [tensor[model].detach().clone() for tensor in (*stack.parameters(), stack.threshold)]

    @torch.no_grad()
    def restore(self, stack: Stack) -> None:
        """Put the states kept back into the stack."""
        for model, state in enumerate(self.states):
            for tensor, kept in zip((*stack.parameters(), stack.threshold), state, strict=True):
                tensor[model] = kept


class _Adam:
    """Adam on stacked tensors (R, …) with one learning rate per network; a rate of 0 leaves a network as it is."""

    def __init__(self) -> None:
        self.of_tensors: list[Adam] = []

    @torch.no_grad()
    def move(self, stack: Stack, rates: Tensor) -> None:
        """One step along the gradients, which are cleared; a dictionary of unit length keeps it."""
        tensors = stack.parameters()
        self.of_tensors = self.of_tensors or [Adam(tensor) for tensor in tensors]
        one_pass = all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)
        if not one_pass:
            stacks.keep_unit_gradients(stack)
        for tensor, adam in zip(tensors, self.of_tensors, strict=True):
            gradient, tensor.grad = tensor.grad, None
            if gradient is None:
                continue
            if one_pass:
                unit = stack.tied and tensor is stack.weights[-1]
                adam.n_steps += 1
                active.move(tensor, gradient, adam.mean, adam.squares, rates, step=adam.n_steps, unit=unit)
            else:
                adam.move(tensor, gradient, rates)
        if not one_pass:
            stacks.normalise(stack)
