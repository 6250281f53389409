"""The grouped autoencoder: a tied linear autoencoder whose loadings follow a membership, fitted from moments.

standardised moments (or cells) + membership → start → descent → loadings; many problems descend together
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain, groupby, islice
from typing import TypeVar

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.descent import Descent, Progress, minimize, say_if_risen, side_by_side, threads_for
from pathwayae.core.grouped import members, penalties, reconstruction
from pathwayae.core.grouped.encoder import Encoder, balanced_encoder, expression_bins, score_weights
from pathwayae.core.grouped.loss import Cells, Objective, activate, shares
from pathwayae.core.grouped.problem import Config, Fit, Floats, Problem
from pathwayae.core.grouped.sparse_descent import fit_on_support
from pathwayae.core.grouped.start import deactivate, start
from pathwayae.core.moments.gram_product import Data, Product, operations, relative_product
from pathwayae.core.moments.moments import Standardized
from pathwayae.core.threads import one_thread

N_ARRAYS = 12  # point, best point, gradient, averages of Adam and what a step needs, each g × k
# On a CPU a few problems together (4 to 9 of 2000 genes × 70) are the fastest: a larger state only leaves the caches.
SLICE_BYTES = {"cpu": 2**26, "cuda": 2**32}

T = TypeVar("T")

__all__ = ["Config", "Fit", "Problem", "fit", "fit_many", "objective", "oriented"]


def objective(problems: Sequence[Problem]) -> Objective:
    """The objective (docs/mathematics.md) of these problems, in float32.

    They may differ in cells, membership, θ and ε. Problems in a row that hold the very same ``data`` (the same
    object) share one product with its Gram matrix.
    """
    first = problems[0]
    config, device = first.config, first.config.device
    distinct = {id(problem.membership): problem for problem in problems}
    structures = {key: _structure(problem) for key, problem in distinct.items()}
    by_problem = [structures[id(problem.membership)] for problem in problems]
    weights = [
        shares(problem.config.theta, problem.config.epsilon, has_zero=has_zero, has_entropy=has_entropy)
        for problem, (_, _, has_zero, has_entropy) in zip(problems, by_problem, strict=True)
    ]
    share_data, share_zero, share_entropy = torch.tensor(_once(weights), dtype=torch.float32, device=device).unbind(-1)
    stacked = by_problem[:1] if len(distinct) == 1 else by_problem
    held_out = [problem.validation for problem in problems if problem.validation is not None]
    return Objective(
        data=_cells([problem.data for problem in problems], config),
        outside=_joined([outside for outside, *_ in stacked]).mT,
        entropy_weights=_joined([per_gene for _, per_gene, *_ in stacked]),
        penalised=None if first.penalised.all() else torch.as_tensor(first.penalised, device=device),
        share_data=share_data,
        share_zero=share_zero,
        share_entropy=share_entropy,
        entropy_counts=any(entropy > 0 for *_, entropy in weights),
        l1_ratio=config.l1_ratio,
        activation=config.activation,
        scores=config.scores,
        zero_norm=config.zero_norm,
        ridge=config.ridge,
        validation=_cells(held_out, replace(config, dropout=0.0)) if held_out else None,
        hidden=reconstruction.hiding(config.dropout),
        structured=any(has_zero or has_entropy for _, _, has_zero, has_entropy in by_problem),
    )


def fit(
    data: Data,
    membership: NDArray[np.bool_],
    penalised: NDArray[np.bool_],
    n_components: int,
    config: Config,
    *,
    init: Floats | None = None,
    validation: Data | None = None,
    progress: Progress | None = None,
) -> Fit:
    """Fit the loadings from moments, or through the cells.

    Parameters
    ----------
    data, membership, penalised, n_components, config, init, validation
        See :class:`Problem`.
    progress
        Called for every iteration with its number (from 1) and the terms.
    """
    problem = Problem(data, membership, penalised, n_components, config, validation, init)
    found = _fit_slice([problem], progress)[0]
    say_if_risen(found.history.get("loss", []), found.best_iteration)
    return found


def oriented(fit: Fit, membership: NDArray[np.bool_]) -> Fit:
    """The fit with each pathway turned so that its genes load positively on the whole.

    A component and its negative are the same model; a descent to loadings of both signs may end at either.
    """
    if sp.issparse(fit.loadings):
        return fit
    sign = np.ones(fit.loadings.shape[1])
    p = membership.shape[1]
    sign[:p] = np.where((fit.loadings[:, :p] * membership).sum(axis=0) < 0, -1.0, 1.0)
    if (sign > 0).all():
        return fit
    return fit._replace(loadings=fit.loadings * sign, weights=fit.weights * sign, encoder=fit.encoder.scaled(sign))


def fit_many(problems: Iterable[Problem]) -> Iterator[Fit]:
    """Fit problems of one shape together: restarts, a path of θ, bootstrap draws, other memberships.

    They may differ in data, validation, membership and start and, within ``config``, in θ, ε and seed. Each fit is
    the one :func:`fit` gives, to rounding. Problems in a row with the very same ``data`` (the same object) share one
    matrix product. Problems are taken, and fits given, slice by slice, a slice being as many as fit in
    ``SLICE_BYTES``: give a generator where all the moments at once would not fit in memory. On a CPU slices descend
    side by side, one per thread.

    Parameters
    ----------
    problems
        The problems; all of one slice per thread are held in memory.

    Yields
    ------
    The fit of each problem, in their order.

    Raises
    ------
    ValueError
        If problems differ in what they must share.

    Examples
    --------
    >>> from pathwayae.core.moments.accumulate import accumulate
    >>> cells = np.random.default_rng(0).normal(size=(40, 4))
    >>> sets = np.array([[1, 0], [1, 0], [0, 1], [0, 1]], dtype=bool)
    >>> config = Config(theta=0.3, epsilon=0.0, l1_ratio=0.5, learning_rate=0.03, max_iter=20)
    >>> problem = Problem(accumulate(cells).standardize(), sets, np.ones(4, dtype=bool), 2, config)
    >>> seeds = [replace(problem, config=replace(config, random_state=seed)) for seed in range(3)]
    >>> [fit.loadings.shape for fit in fit_many(seeds)]
    [(4, 2), (4, 2), (4, 2)]
    """
    slices = _slices(problems)
    begin = list(islice(slices, 1 if torch.get_num_threads() == 1 else 2))
    config = begin[0][0].config if begin else None
    if config and len(begin) == 2 and torch.device(config.device).type == "cpu" and config.scores != "members":
        for fits in side_by_side(_fit_slice, chain(begin, slices)):
            yield from fits
        return
    for part in chain(begin, slices):
        yield from _fit_slice(part)


def _slices(problems: Iterable[Problem]) -> Iterator[list[Problem]]:
    """As many problems in a row as fit in ``SLICE_BYTES``."""
    first: Problem | None = None
    held: list[Problem] = []
    n_bytes = 0
    for problem in problems:
        first = problem if first is None else first
        _check_alike(problem, first)
        own = _bytes(problem, held[-1] if held else None)
        if held and n_bytes + own > SLICE_BYTES.get(torch.device(problem.config.device).type, SLICE_BYTES["cpu"]):
            yield held
            held, own, n_bytes = [], _bytes(problem, None), 0
        held.append(problem)
        n_bytes += own
    if held:
        yield held


def _fit_members(problem: Problem) -> Fit:
    config = problem.config
    own = {"balance": config.balance, "joint": config.joint, "support": config.support}
    with one_thread(members.operations(problem.membership)):
        found = members.fit(problem.data, problem.membership, begin=problem.begin, **own)
    on_the_way = (found.directions, found.evidence)
    return Fit(found.loadings, found.weights, found.encoder, {}, 0, True, *on_the_way)


def _fit_slice(problems: Sequence[Problem], progress: Progress | None = None) -> list[Fit]:
    config = problems[0].config
    if config.scores == "members":
        return [_fit_members(problem) for problem in problems]
    if config.support:
        return [fit_on_support(problem, progress) for problem in problems]
    target = objective(problems)
    sets = _sets_to_start_from(problems)
    starts = [_start(problem, own) for problem, own in zip(problems, sets, strict=True)]
    point = torch.stack(starts).to(config.device).mT
    work = sum(operations(problem.data) * problem.n_components for problem in problems)
    with threads_for(work):
        descents = minimize(target, point, **config.descent, progress=progress)
    return [_fit_of(descent, problem) for descent, problem in zip(descents, problems, strict=True)]


def _fit_of(descent: Descent, problem: Problem) -> Fit:
    config = problem.config
    loadings, _ = activate(descent.best, config.activation)
    if config.scores == "least_squares":
        loadings, _ = reconstruction.unit_columns(loadings)
    values = np.ascontiguousarray(loadings.cpu().numpy(), dtype=np.float64)
    weights = score_weights(values, config.scores, config.ridge)
    encoder = balanced_encoder(weights, expression_bins(problem.data.mean)) if config.balance else Encoder(weights)
    return Fit(values, weights, encoder, descent.history, descent.best_iteration, descent.converged)


def _start(problem: Problem, sets: NDArray[np.bool_] | Floats) -> Tensor:
    """Unconstrained weights to start from, (k, g): component by component, for the product with G to be one."""
    init, config = problem.init, problem.config
    if init is None:
        rng = np.random.default_rng(config.random_state)
        hidden = reconstruction.hiding(config.dropout)
        k, signed = problem.n_components, config.activation is None
        init = start(sets, k, problem.data.gram, scores=config.scores, rng=rng, hidden=hidden, signed=signed)
    return torch.from_numpy(np.ascontiguousarray(deactivate(init, config.activation).T, dtype=np.float32))


def _sets_to_start_from(problems: Sequence[Problem]) -> list[NDArray[np.bool_] | Floats]:
    """The membership, or the probability of it from the cells: once for problems on the very same ones."""
    known: dict[tuple[int, int], NDArray[np.bool_] | Floats] = {}
    for problem in problems:
        key = id(problem.data), id(problem.membership)
        if problem.init is None and problem.config.start == "evidence" and key not in known:
            known[key] = members.posterior(problem.data, problem.membership)
    return [known.get((id(problem.data), id(problem.membership)), problem.membership) for problem in problems]


def _structure(problem: Problem) -> tuple[Tensor, Tensor, bool, bool]:
    """Weights of zero suppression (k, g) and of entropy (g,), and whether there is any of either."""
    membership, penalised, k, config = problem.membership, problem.penalised, problem.n_components, problem.config
    outside = penalties.outside_weights(membership, penalised, k, config.zero_norm)
    per_gene = penalties.entropy_weights(membership, penalised, on_classes=config.entropy_on_classes)
    factor = penalties.entropy_factor(config.entropy_scaling, k)
    return (
        torch.as_tensor(np.ascontiguousarray(outside.T), dtype=torch.float32, device=config.device),
        torch.as_tensor(per_gene * factor, dtype=torch.float32, device=config.device),
        bool(outside.any()),
        bool(per_gene.any()),
    )


def _cells(data: Sequence[Data], config: Config) -> Cells:
    """The cells of every problem; a run of problems with the same ones has one product."""
    runs: list[tuple[Product, slice]] = []
    for _, same in groupby(range(len(data)), key=lambda i: id(data[i])):
        where = list(same)
        runs.append((relative_product(data[where[0]], config.device), slice(where[0], where[-1] + 1)))

    def product(w: Tensor) -> Tensor:
        result = torch.empty_like(w)
        for one, part in runs:
            result[part] = one(w[part])
        return result

    sizes = _once([1.0 if config.relative else cells.n * len(cells.mean) / cells.total for cells in data])
    denominator = torch.tensor(sizes, dtype=torch.float64, device=config.device)
    whole = runs[0][0] if len(runs) == 1 else product
    if not config.dropout:
        return Cells(whole, denominator)
    diagonals = [torch.as_tensor(np.asarray(cells.gram.diagonal()) / cells.total) for cells in data]
    diagonal = diagonals[0] if len(runs) == 1 else torch.stack(diagonals)
    return Cells(whole, denominator, diagonal.to(device=config.device, dtype=torch.float32))


def _once(values: list[T]) -> T | list[T]:
    """The value where it is always the same one."""
    return values[0] if all(value == values[0] for value in values) else values


def _joined(tensors: list[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.stack(tensors)


def _bytes(problem: Problem, previous: Problem | None) -> int:
    """Memory for one more problem of a slice: its own state and, if not those of the one before, Gram matrices."""
    g = len(problem.penalised)
    total = 4 * N_ARRAYS * g * problem.n_components
    for name in ("data", "validation"):
        cells = getattr(problem, name)
        if isinstance(cells, Standardized) and (previous is None or cells is not getattr(previous, name)):
            total += 12 * g * g  # float64, and float32 on the device
    return total


def _check_alike(problem: Problem, first: Problem) -> None:
    found = {
        "shape of membership": (problem.membership.shape, first.membership.shape),
        "n_components": (problem.n_components, first.n_components),
        "penalised": (problem.penalised.tolist(), first.penalised.tolist()),
        "validation": (problem.validation is None, first.validation is None),
        "config": tuple(replace(p.config, theta=0.0, epsilon=0.0, random_state=0) for p in (problem, first)),
    }
    for name, (own, others) in found.items():
        if own != others:
            msg = (
                f"Problems fitted together must have the same {name}. They may differ in data, in the genes of the "
                "pathways, in theta, epsilon and random_state; fit others by themselves."
            )
            raise ValueError(msg)
