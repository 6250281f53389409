"""Archetypal analysis by gradient descent, as the first class of this name had it; the exact solver is better."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import ArrayLike, NDArray

from pathwayae.core.archetypes import problem, simplex, starts
from pathwayae.core.archetypes.cells import Cells, Source, check_distinct
from pathwayae.core.descent import Adam, say_if_risen
from pathwayae.core.notice import warn

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]
Point = tuple[Floats, Floats, sp.csr_matrix]  # weights, archetypes, and the mixtures that these are

WEIGHTS = ("renormalise", "euclidean", "softmax")
ARCHETYPES = ("knn", "free")
NEIGHBOURS = 10
LEAST = 1e-6  # smallest weight that clipping leaves
SOFT = 0.01  # and that a softmax starts from: its gradient vanishes with the weight


@dataclass(frozen=True)
class Config:
    """Settings of a descent.

    Attributes
    ----------
    n_archetypes
        k.
    max_iter, learning_rate
        Of Adam, for coordinates of root mean squared length 1 and for weights.
    tol, patience
        The descent ends after ``patience`` iterations without a fall of the loss by ``tol`` of the total variance.
    start
        As in :class:`pathwayae.core.archetypes.problem.Config`.
    weights
        ``"renormalise"``: weights are clipped to 1e-6 or more and divided by their sum; ``"euclidean"``: nearest point
        of the simplex; ``"softmax"``: of free numbers.
    archetypes
        ``"knn"``: mixtures of the 10 cells nearest to free points; ``"free"``: those points.
    entropy_reg
        Times the mean entropy of the weights (in nats), in units of the total variance. Negative spreads weights,
        positive sharpens them.
    seed
        Of the start.
    """

    n_archetypes: int
    max_iter: int = 500
    learning_rate: float = 1e-3
    tol: float = 1e-6
    patience: int = 100
    start: ArrayLike = "kmeans++"
    weights: str = "renormalise"
    archetypes: str = "knn"
    entropy_reg: float = 0.0
    seed: int = 42


@dataclass(frozen=True)
class Hooks:
    """Parts of a descent in other hands; None for its own. All in the units of the cells given.

    Attributes
    ----------
    loss
        Archetypes (k, d), weights (n, k) and cells (n, d), torch tensors in float64 → a number to minimise, whose
        gradient torch finds.
    project_weights
        Weights (n, k) after a step → weights on the simplex.
    project_archetypes
        Free points (k, d) after a step, and cells (n, d) → archetypes.
    """

    loss: Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor] | None = None
    project_weights: Callable[[Floats], Floats] | None = None
    project_archetypes: Callable[[Floats, Floats], Floats] | None = None


def fit(
    X: Source,
    config: Config,
    *,
    hooks: Hooks | None = None,
    progress: Callable[[int, float], None] | None = None,
) -> problem.Fit:
    r"""Descend on ``mean_i ‖x_i − a_i Z‖² + entropy_reg · mean_i H(a_i)`` with Adam, gradients clipped to [−1, 1].

    Cells are centred and divided by one scale, so that steps mean the same in any unit. With ``"knn"`` a free point
    per archetype takes the steps, and the archetype is the mixture of the cells near it
    (:func:`nearest_mixtures`): were the mixture put back in its place, no archetype could leave its first cell.
    Weights start at the best ones for the first cells. The iteration with the lowest loss is kept.

    Parameters
    ----------
    X
        Cells × features, array or sparse; held in memory as dense float64.
    config
        Settings.
    hooks
        Loss and projections in the place of those of the settings.
    progress
        Called with the iteration, from 1, and its loss.

    Returns
    -------
    The fit, as the exact solver gives it, with what is of the descent: weights that need not be optimal; a loss that
    holds the entropy term; no gap (NaN), for the descent has no certificate; no mixtures where archetypes are free.

    Raises
    ------
    ValueError
        If a choice makes no sense, there are fewer distinct cells than archetypes, or the input is not finite.

    Warns
    -----
    pathwayae.core.notice.DataWarning
        If the loss is not finite, which ends the descent.

    References
    ----------
    Kingma & Ba, Adam: a method for stochastic optimization, arXiv:1412.6980.

    Examples
    --------
    >>> corners = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    >>> fit(corners, Config(3)).weights.argmax(axis=1).size
    3
    """
    cells = Cells(X)
    k = config.n_archetypes
    shared = problem.Config(k, config.max_iter, config.tol, config.start, entropy_reg=config.entropy_reg)
    problem.check(shared, cells.n, cells.n_features)
    check_distinct(cells, k)
    points = np.concatenate([x for _, x in cells.chunks()])
    hooks = Hooks() if hooks is None else hooks
    descent = _Descent(points, _first(cells, points, config), config, hooks, cells)
    loss, (weights, archetypes, mixing), converged = _descend(descent, cells.scale**2, progress)
    say_if_risen(loss, 1 + int(np.argmin(loss)), by=1.0)
    return problem.Fit(
        archetypes=cells.to_input(archetypes),
        weights=weights.astype(np.float32),
        mixing=mixing,
        alpha=np.ones(k),
        loss=loss,
        gap=float("nan"),
        explained_variance=1 - descent.squares(weights, archetypes),
        n_iter=len(loss),
        converged=converged,
        scale=cells.scale,
        row_weights=cells.weights,
        restarts=[min(loss)],
    )


def _descend(
    descent: _Descent, unit: float, progress: Callable[[int, float], None] | None
) -> tuple[list[float], Point, bool]:
    """Loss at every iteration, in the units given; the best point; whether patience ended the descent."""
    config, loss = descent.config, list[float]()
    best, kept, waited, reference = np.inf, descent.point(), 0, np.inf
    while len(loss) < config.max_iter and waited < config.patience:
        value = descent.loss()
        if not np.isfinite(value):
            msg = f"The loss is {value} after {len(loss)} iterations; the best before is kept. Lower learning_rate."
            warn(msg)
            break
        loss.append(float(value * unit))
        if progress is not None:
            progress(len(loss), loss[-1])
        if value < best:
            best, kept = value, descent.point()
        waited = 0 if value < reference - config.tol else waited + 1
        reference = value if waited == 0 else reference
        descent.step()
    return loss, kept, waited >= config.patience


def nearest_mixtures(points: Floats, at: Floats, n_neighbours: int = NEIGHBOURS) -> tuple[Positions, Floats]:
    r"""The cells nearest to each place, and weights that fall with their distance.

    .. math:: w_i \propto 1 / (d_i + h), \qquad h = \mathrm{median}_i\, d_i,

    over the neighbours, so that a place on a cell is not that cell alone, as it would be with ``1 / d``.

    Parameters
    ----------
    points
        Cells, shape (n, d).
    at
        Shape (k, d).
    n_neighbours
        At most n are taken.

    Returns
    -------
    Positions, nearest first, and weights that sum to one, both (k, min(n_neighbours, n)).

    Examples
    --------
    >>> positions, weights = nearest_mixtures(np.array([[0.0], [1.0], [9.0]]), np.array([[0.0]]), 2)
    >>> positions, weights.round(2)
    (array([[0, 1]]), array([[0.75, 0.25]]))
    """
    m = min(n_neighbours, len(points))
    squares = np.square(points).sum(axis=1) - 2 * at @ points.T  # less ‖at‖², the same for all cells
    near = np.sort(np.argpartition(squares, m - 1, axis=1)[:, :m], axis=1)
    distance = np.linalg.norm(points[near] - at[:, None], axis=2)
    order = np.argsort(distance, axis=1, kind="stable")
    near, distance = np.take_along_axis(near, order, 1), np.take_along_axis(distance, order, 1)
    floor = np.median(distance, axis=1, keepdims=True)
    closeness = 1 / (distance + np.where(floor > 0, floor, 1))
    return near, closeness / closeness.sum(axis=1, keepdims=True)


def entropy(weights: Floats) -> Floats:
    """``−Σ_j a_ij ln a_ij`` of every row, 0 where a weight is 0.

    Examples
    --------
    >>> entropy(np.array([[0.5, 0.5], [1.0, 0.0]])).round(3)
    array([0.693, 0.   ])
    """
    return (weights * -np.log(np.where(weights > 0, weights, 1))).sum(axis=1)


def renormalised(weights: Floats) -> Floats:
    """Rows clipped to 1e-6 or more and divided by their sums."""
    clipped = np.maximum(weights, LEAST)
    return np.asarray(clipped / clipped.sum(axis=1, keepdims=True))


def mean_squared_residual(
    archetypes: torch.Tensor, weights: torch.Tensor, points: torch.Tensor, entropy_reg: float = 0.0
) -> torch.Tensor:
    """The loss of :func:`fit` in the units of its arguments, for torch to differentiate."""
    error = ((points - weights @ archetypes) ** 2).sum(dim=1).mean()
    if not entropy_reg:
        return error
    spread = -(weights * weights.clamp_min(LEAST).log()).sum(dim=1).mean()
    return error + entropy_reg * spread * ((points - points.mean(dim=0)) ** 2).sum(dim=1).mean()


class _Descent:
    """The point of a descent: numbers behind the weights (n, k) and places of the archetypes (k, d), scaled."""

    def __init__(self, points: Floats, places: Floats, config: Config, hooks: Hooks, cells: Cells) -> None:
        self.points, self.places, self.config, self.entropy_reg = points, places, config, config.entropy_reg
        self.hooks, self.cells = hooks, cells
        self.given = cells.to_input(points) if hooks != Hooks() else points
        self.total = float(np.square(points).sum())
        self._place()
        weights = np.zeros((len(points), config.n_archetypes))
        simplex.solve(self.archetypes @ self.archetypes.T, points @ self.archetypes.T, weights)
        self.inner = np.log(np.maximum(weights, SOFT)) if config.weights == "softmax" else weights
        self._project()
        self.movers = tuple(Adam(torch.from_numpy(one)[None]) for one in (self.inner, self.places))

    def point(self) -> Point:
        """A copy of where the descent stands."""
        return self.weights.copy(), self.archetypes.copy(), self.mixing

    def loss(self) -> float:
        if self.hooks.loss is not None:
            return self._own_loss()[0]
        regular = self.entropy_reg * entropy(self.weights).mean() if self.entropy_reg else 0.0
        return self.squares(self.weights, self.archetypes) + regular

    def squares(self, weights: Floats, archetypes: Floats) -> float:
        """Mean squared residual of a cell, without a residual of cells × features."""
        cross = np.sum((weights.T @ self.points) * archetypes)
        own = np.sum((weights.T @ weights) * (archetypes @ archetypes.T))
        return float(max(self.total - 2 * cross + own, 0.0) / len(self.points))

    def gradients(self) -> tuple[Floats, Floats]:
        """Of the loss by weights and archetypes."""
        if self.hooks.loss is not None:
            return self._own_loss()[1]
        a, z, n = self.weights, self.archetypes, len(self.points)
        by_weights = 2 / n * (a @ (z @ z.T) - self.points @ z.T)
        by_archetypes = 2 / n * ((a.T @ a) @ z - a.T @ self.points)
        if self.entropy_reg:
            by_weights -= self.entropy_reg / n * (1 + np.log(np.maximum(a, LEAST)))
        return by_weights, by_archetypes

    def _own_loss(self) -> tuple[float, tuple[Floats, Floats]]:
        """The loss of the hook in units of the total variance, and its gradients by weights and scaled archetypes."""
        own = (self.cells.to_input(self.archetypes), self.weights, self.given)
        archetypes, weights, given = (torch.from_numpy(np.array(one, dtype=np.float64)) for one in own)
        archetypes.requires_grad_(True)
        weights.requires_grad_(True)
        value = self.hooks.loss(archetypes, weights, given) if self.hooks.loss is not None else archetypes.sum()
        unit = float(self.cells.scale) ** 2
        slopes = torch.autograd.grad(value, (weights, archetypes), allow_unused=True)
        by = [
            np.zeros(of.shape) if one is None else one.numpy() / unit
            for one, of in zip(slopes, own[1::-1], strict=True)
        ]
        return float(value.detach()) / unit, (by[0], by[1] * float(self.cells.scale))

    def step(self) -> None:
        by_weights, by_archetypes = self.gradients()
        if self.config.weights == "softmax":
            by_weights = self.weights * (by_weights - (by_weights * self.weights).sum(axis=1, keepdims=True))
        for mover, point, gradient in zip(
            self.movers, (self.inner, self.places), (by_weights, by_archetypes), strict=True
        ):
            _move(mover, point, np.clip(gradient, -1, 1), self.config.learning_rate)
        self._project()
        self._place()

    def _project(self) -> None:
        kind = self.config.weights
        if self.hooks.project_weights is not None:
            self.inner[:] = np.asarray(self.hooks.project_weights(self.inner.copy()), dtype=np.float64)
            self.weights = self.inner
            return
        if kind == "softmax":
            powers = np.exp(self.inner - self.inner.max(axis=1, keepdims=True))
            self.weights = powers / powers.sum(axis=1, keepdims=True)
            return
        if kind == "euclidean":
            self.inner[:] = simplex.project(self.inner)
        else:
            self.inner[:] = renormalised(self.inner)
        self.weights = self.inner

    def _place(self) -> None:
        shape = (len(self.places), len(self.points))
        if self.hooks.project_archetypes is not None:
            found = self.hooks.project_archetypes(self.cells.to_input(self.places), self.given)
            self.archetypes = self.cells.from_input(np.asarray(found, dtype=np.float64))
            self.mixing = sp.csr_matrix(shape)
            return
        if self.config.archetypes == "free":
            self.archetypes, self.mixing = self.places, sp.csr_matrix(shape)
            return
        near, share = nearest_mixtures(self.points, self.places)
        pointers = np.arange(0, near.size + 1, near.shape[1])
        self.mixing = sp.csr_matrix((share.ravel(), near.ravel(), pointers), shape=shape)
        self.archetypes = np.einsum("km,kmd->kd", share, self.points[near])


def _first(cells: Cells, points: Floats, config: Config) -> Floats:
    """Places where the archetypes start, scaled, shape (k, d)."""
    if isinstance(config.start, str):
        rng = np.random.default_rng(config.seed)
        return points[starts.choose(points, config.n_archetypes, config.start, rng, np.ones(len(points)))]
    given = np.asarray(config.start)
    return points[given] if given.ndim == 1 else cells.from_input(given)


def _move(adam: Adam, point: Floats, gradient: Floats, rate: float) -> None:
    """One step of Adam on one array, in place."""
    stacked, slopes = (torch.from_numpy(one)[None] for one in (point, gradient))  # views
    adam.move(stacked, slopes, torch.tensor([rate], dtype=torch.float64))
