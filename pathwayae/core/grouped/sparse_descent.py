"""The descent of ``scores="projection"`` on a support: thousands of pathways, with loadings that are 0 elsewhere.

moments → low rank and a diagonal → support → start → Adam, the support growing where the gradient says so → loadings
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.descent import Progress, Step, minimize, threads_for
from pathwayae.core.evidence.association import Prepared, prepare
from pathwayae.core.grouped import members
from pathwayae.core.grouped.encoder import Encoder, balanced_encoder, expression_bins
from pathwayae.core.grouped.loss import activate
from pathwayae.core.grouped.problem import Fit, Problem
from pathwayae.core.grouped.reconstruction import hiding
from pathwayae.core.grouped.start import NOISE, SMALL, deactivate
from pathwayae.core.grouped.support import (
    CHUNK,
    Support,
    chosen,
    correlations,
    highest,
    low_rank,
    n_outside,
    support_of,
)
from pathwayae.core.grouped.support_loops import Gradient, reconstruction, relative
from pathwayae.core.grouped.support_penalties import Pairs, entropy, pairs_of, structure, zero_component
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.threads import threads

GROW_AT = (10, 25, 50)  # iterations at which genes may come in
GROWTH = 0.5  # genes that come in, at most, as a share of the genes outside that a pathway starts with
FEW = 4  # candidates per gene that may come in, whose gradient is computed in full

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


def fit_on_support(problem: Problem, progress: Progress | None = None) -> Fit:
    """Loadings of ``scores="projection"`` that are exactly 0 outside a support.

    The objective is that of :func:`pathwayae.core.grouped.fit.objective` with ``G ≈ F Fᵀ + diag(d)`` in the place of
    the Gram matrix, the diagonal of which is exact, on a support: the members of each pathway and the genes outside
    that are most likely its members too (with ``start="membership"`` those with the highest correlation with the sum
    of its members; all genes for free components). All other genes of a component have one loading between them, the
    *rest*, which starts at the mean of theirs. It counts in error and penalties as often as there are such genes, for
    letting go of them is what the penalty does with most of its force; in the result it is 0. At ``GROW_AT`` the
    gradient is looked at outside the support, and genes whose loading would grow leave the rest.

    A step costs some ``nnz r + Σ_i |J_i|²`` operations, r columns of F and J_i the components of gene i, in the place
    of ``g² k``. Always on the CPU, in float64.

    Parameters
    ----------
    problem
        With ``scores="projection"``, ``zero_norm="component"`` and no held-out cells.
    progress
        See :func:`pathwayae.core.descent.minimize`.

    Returns
    -------
    Loadings and weights are a ``scipy.sparse.csc_array``, float64, shape (g, k).

    Raises
    ------
    ValueError
        If the problem is another one.
    """
    config = problem.config
    if (config.scores, config.zero_norm, problem.validation) != ("projection", "component", None):
        msg = (
            f"support=True with scores={config.scores!r}, zero_norm={config.zero_norm!r}, held-out cells="
            f"{problem.validation is not None}: loadings on a support are those of scores='projection' with "
            "zero_norm='component' and without held-out cells. Pass support=False."
        )
        raise ValueError(msg)
    with _threads() as pool:
        target, point = _begin(problem, pool)
        with threads_for(0):
            (descent,) = minimize(target, point, **config.descent, progress=progress)
    support, places = target.slots.support(descent.best_iteration)
    loadings = support.matrix(activate(descent.best[places], config.activation)[0].numpy())
    encoder = balanced_encoder(loadings, expression_bins(problem.data.mean)) if config.balance else Encoder(loadings)
    found = (descent.history, descent.best_iteration, descent.converged)
    return Fit(loadings, loadings, encoder, *found, directions=target.cells.factors)


class Slots:
    """Places of the flat point: pairs of gene and component, room for more of them, the rest of each component.

    Parameters
    ----------
    support
        Pairs to start with; they have the first places, in its order.
    spare
        How many pairs may come in, of each component, shape (k,).
    """

    def __init__(self, support: Support, spare: Indices) -> None:
        n, room, k = len(support.genes), int(spare.sum()), len(spare)
        self.shape = (len(support.gene_bounds) - 1, k)
        self.genes = np.concatenate([support.rows, np.zeros(room, dtype=np.intp)])
        self.components = np.concatenate([support.columns, np.repeat(np.arange(k), spare), np.arange(k)])
        self.since = np.concatenate([np.zeros(n, dtype=np.intp), np.full(room, np.iinfo(np.intp).max)])
        self.next = n + np.cumsum(spare) - spare  # place of the next pair that comes in, of each component
        self.left = spare.copy()

    def support(self, iteration: int) -> tuple[Support, Tensor]:
        """The pairs that are in at an iteration, and their places."""
        inside = np.flatnonzero(self.since <= iteration)
        support, order = support_of(self.genes[inside], self.components[inside], self.shape)
        return support, torch.from_numpy(inside[order])

    def let_in(self, genes: Indices, component: int, iteration: int) -> None:
        """Give some of the places left to genes."""
        first = self.next[component]
        self.genes[first : first + len(genes)] = genes
        self.since[first : first + len(genes)] = iteration
        self.next[component] += len(genes)
        self.left[component] -= len(genes)


class OnSupport:
    """The objective of :class:`pathwayae.core.grouped.loss.Objective` at a flat point, whose support grows on the way.

    A place that is still free moves as the rest of its component does, of which its gene will have been one.

    Parameters
    ----------
    problem
        What is fitted; its membership is a ``csc_array``.
    gram
        Of its cells.
    slots
        What the point, shape (1, places), stands for.
    pool
        Threads of the compiled loops.
    """

    def __init__(self, problem: Problem, gram: LowRank, slots: Slots, pool: Executor | None) -> None:
        config = problem.config
        self.config, self.structure, self.slots = config, structure(problem), slots
        self.pool = pool
        self.denominator = 1.0 if config.relative else problem.data.n * len(problem.penalised) / gram.trace()
        self.cells = relative(gram, hiding(config.dropout))
        self.iteration = 0
        self.of_place = torch.from_numpy(slots.components)
        self._take_in()

    def __call__(self, point: Tensor) -> Step:
        """Loss, terms and gradient; called once an iteration."""
        self.iteration += 1
        values, slope = activate(point[0], self.config.activation)
        rest = values[-self.slots.shape[1] :]
        if self.iteration in GROW_AT and self.slots.left.any():
            self._grow(values[self.places], rest)
        terms, gradient, of_rest, _ = self.evaluate(values[self.places], rest, self.support, self.pairs)
        whole = (of_rest / self.n_rest)[self.of_place]
        whole[self.places] = gradient
        return Step(terms["loss"], terms, (whole * slope)[None])

    def evaluate(
        self, weights: Tensor, rest: Tensor, support: Support, pairs: Pairs
    ) -> tuple[dict[str, Tensor], Tensor, Tensor, Gradient]:
        """Terms (1,) and gradients (nnz,) and (k,) at loadings of any support, and the products behind them."""
        share_data, share_zero, share_entropy = self.structure.shares
        found = reconstruction(weights.numpy(), rest.numpy(), support, self.cells, self.pool)
        rmse = max(found.squared / self.denominator, 1e-24) ** 0.5
        zero, spread = zero_component(weights, rest, pairs), entropy(weights, rest, pairs)
        factor = share_data / (2.0 * rmse * self.denominator)
        gradient = torch.from_numpy(found.gradient) * factor
        gradient.add_(zero.gradient, alpha=share_zero).add_(spread.gradient, alpha=share_entropy)
        of_rest = torch.from_numpy(found.of_rest) * factor
        of_rest.add_(zero.of_rest, alpha=share_zero).add_(spread.of_rest, alpha=share_entropy)
        loss = share_data * rmse + share_zero * zero.value + share_entropy * spread.value
        values = {"loss": loss, "reconstruction": loss.new_tensor(rmse), "zero": zero.value, "entropy": spread.value}
        return {name: value[None] for name, value in values.items()}, gradient, of_rest, found

    def _take_in(self) -> None:
        self.support, self.places = self.slots.support(self.iteration)
        self.pairs = pairs_of(self.support, self.structure)
        self.n_rest = torch.from_numpy(np.maximum(self.slots.shape[0] - self.support.sizes, 1))

    def _grow(self, weights: Tensor, rest: Tensor) -> None:
        """Let in genes whose loading would grow: those with the steepest gradient where all candidates are in."""
        checks = sum(at >= self.iteration for at in GROW_AT)
        allowed = -(-self.slots.left // checks)
        old, found = self.support, self.evaluate(weights, rest, self.support, self.pairs)[-1]
        genes, components, signs = self._candidates(found, allowed)
        both = np.concatenate([old.rows, genes]), np.concatenate([old.columns, components])
        support, order = support_of(*both, self.slots.shape)
        values = np.concatenate([weights.numpy(), signs * rest.numpy()[components]])[order]
        _, gradient, *_ = self.evaluate(torch.from_numpy(values), rest, support, pairs_of(support, self.structure))
        pull = np.empty(len(order))
        pull[order] = gradient.numpy()
        pull = -signs * pull[len(weights) :]
        ends = np.searchsorted(components, np.arange(len(allowed) + 1))
        for j in np.flatnonzero(allowed):
            some = slice(ends[j], ends[j + 1])
            best = highest(pull[some], min(int(allowed[j]), ends[j + 1] - ends[j]))
            self.slots.let_in(genes[some][best[pull[some][best] > 0]], int(j), self.iteration)
        self._take_in()

    def _candidates(self, found: Gradient, allowed: Indices) -> tuple[Indices, Indices, Floats]:
        """Genes outside along which the error falls fastest, leaving aside what genes do not share; signs of loadings.

        What is left aside is never negative where loadings are not, so nothing is missed but the order.
        """
        genes, signs = [np.empty(0, dtype=np.intp)], [np.empty(0)]
        bounds, g = self.support.bounds.astype(np.intp), self.slots.shape[0]
        signed = self.config.activation == "identity"
        for first in range(0, len(allowed), CHUNK):
            some = slice(first, first + CHUNK)
            falls = -(found.residual[some] @ self.cells.factors.T + found.profiles[some] @ found.mixed.T)
            for j, row in enumerate(falls, start=first):
                size = np.abs(row) if signed else row
                size[self.support.genes[bounds[j] : bounds[j + 1]]] = -np.inf
                best = highest(size, min(FEW * int(allowed[j]), g))
                best = best[size[best] > 0]
                genes.append(best)
                signs.append(np.sign(row[best]))
        sizes = [len(part) for part in genes[1:]]
        return np.concatenate(genes), np.repeat(np.arange(len(allowed)), sizes), np.concatenate(signs)


def _begin(problem: Problem, pool: Executor | None = None) -> tuple[OnSupport, Tensor]:
    """Objective and first point of a descent."""
    prepared = prepare(problem.data.gram)
    gram = low_rank(problem.data.gram, prepared)
    member = sp.csc_array(problem.membership, dtype=bool, copy=True)
    member.sort_indices()
    problem = replace(problem, membership=member)
    support, values, rest = _start(problem, gram, prepared)
    if problem.init is None:
        found = reconstruction(values, rest, support, relative(gram, hiding(problem.config.dropout)), pool)
        scale = np.sqrt(found.trace / found.power) if found.power > 0 else 1.0
        values, rest = values * scale, rest * scale
    outside = np.zeros(problem.n_components)
    outside[: member.shape[1]] = n_outside(member)
    spare = np.minimum(np.ceil(GROWTH * outside).astype(np.intp), member.shape[0] - support.sizes)
    slots = Slots(support, spare)
    point = np.concatenate([values, rest[slots.components[len(values) :]]])
    point = deactivate(point, problem.config.activation)
    return OnSupport(problem, gram, slots, pool), torch.from_numpy(point)[None]


def _start(problem: Problem, gram: LowRank, prepared: Prepared) -> tuple[Support, Floats, Floats]:
    """The support, loadings to start from there and of the rest, but for the scale of all of them.

    Those of :func:`pathwayae.core.grouped.start.start`, as they are where the problem has some.
    """
    member, k, (g, p) = problem.membership, problem.n_components, problem.membership.shape
    n, total, squares = n_outside(member), np.zeros(k), np.zeros(k)
    genes, parts = [], []
    for j, (likely, column) in enumerate(_columns(problem, gram, prepared)):
        members_of = member.indices[member.indptr[j] : member.indptr[j + 1]] if j < p else np.arange(g)
        genes.append(chosen(members_of, likely, int(n[j]) if j < p else 0))
        parts.append(column[genes[j]])
        total[j], squares[j] = np.abs(column).sum(), (column**2).sum()
    components = np.repeat(np.arange(k), [len(part) for part in genes])
    values, (support, _) = np.concatenate(parts), support_of(np.concatenate(genes), components, (g, k))
    n_rest = g - support.sizes

    def beyond(of_all: Floats, of_support: Floats) -> Floats:
        return np.where(n_rest > 0, np.maximum(of_all - np.bincount(components, of_support, minlength=k), 0.0), 0.0)

    rest, squares = beyond(total, np.abs(values)) / np.maximum(n_rest, 1), beyond(squares, values**2)
    if problem.init is not None:
        return support, values, rest
    rng = np.random.default_rng(problem.config.random_state)
    values *= 1.0 + NOISE * rng.uniform(-1.0, 1.0, size=len(values))
    free = components >= p
    values[free] *= rng.uniform(size=int(free.sum()))
    length = np.sqrt(np.maximum(squares + np.bincount(components, values**2, minlength=k), 1e-300))
    return support, values / length[components], rest / length


def _columns(problem: Problem, gram: LowRank, prepared: Prepared) -> Iterator[tuple[Floats, Floats]]:
    """How much each gene goes with one component after the other, and its start before it is scaled."""
    member, (g, p) = problem.membership, problem.membership.shape
    if problem.init is None and problem.config.start == "evidence":
        for _, believed, _ in members.posteriors(problem.data, member, prepared):
            yield from zip(believed, np.maximum(believed, SMALL), strict=True)
    else:
        for j, likely in enumerate(correlations(gram, member)):
            column = np.full(g, SMALL)
            column[member.indices[member.indptr[j] : member.indptr[j + 1]]] = 1.0
            yield likely, column if problem.init is None else problem.init[:, j].astype(np.float64)
    for j in range(p, problem.n_components):
        yield np.ones(g), np.ones(g) if problem.init is None else problem.init[:, j].astype(np.float64)


@contextmanager
def _threads() -> Iterator[Executor | None]:
    """Those of compiled loops; none but this one where descents run side by side."""
    n = min(threads(), torch.get_num_threads())
    if n == 1:
        yield None
        return
    with ThreadPoolExecutor(n) as pool:
        yield pool
