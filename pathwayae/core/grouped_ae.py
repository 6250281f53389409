"""The grouped autoencoder: a tied linear autoencoder whose loadings follow a membership, fitted from moments.

standardised moments (or cells) + membership → start → descent → loadings
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core import penalties, reconstruction
from pathwayae.core.gram_product import Data, Gram, Product, operations, relative_product
from pathwayae.core.optimize import Progress, Step, minimize, threads_for

Activation = Literal["softplus", "sigmoid", "identity"]
Scores = Literal["projection", "least_squares"]

MAX_THETA = 1.0 - 1e-3  # θ = 1 would be structure without data
SMALL = 0.01  # start of a loading outside its pathway, relative to one inside
RIDGE = 0.1  # λ of least-squares scores, relative to loadings of unit length
NOISE = 0.1  # relative, to break ties between pathways with the same genes


Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Config:
    """Everything about a fit that is not data; the names are those of :class:`pathwayae.models.GroupedAutoencoder`.

    Attributes
    ----------
    theta, epsilon, l1_ratio
        θ in [0, 1], ε and ρ in [0, 1] of the objective.
    activation
        ``W = act(V)``; ``"identity"`` allows negative loadings.
    entropy_on_classes, entropy_scaling, zero_norm
        See :mod:`pathwayae.core.penalties`.
    scores, ridge
        ``"projection"``: ``Z = X̃W``; ``"least_squares"``: ``Z = X̃L(LᵀL + λI)⁻¹`` with λ = ``ridge``.
    relative
        Divide the RMSE by ``RMS(X̃)``, so that θ means the same on every data set.
    learning_rate, max_iter, min_delta, early_stopping_patience, scheduler_patience, scheduler_factor
        See :func:`pathwayae.core.optimize.minimize`.
    random_state
        Seed of the noise that breaks ties in the start.
    device
        Where the iterations run, as torch names it.
    """

    theta: float
    epsilon: float
    l1_ratio: float
    learning_rate: float
    max_iter: int
    activation: Activation = "softplus"
    entropy_on_classes: bool = False
    entropy_scaling: penalties.EntropyScaling = "log"
    zero_norm: penalties.ZeroNorm = "component"
    scores: Scores = "projection"
    ridge: float = RIDGE
    relative: bool = True
    min_delta: float = 1e-5
    early_stopping_patience: int = 100
    scheduler_patience: int = 10
    scheduler_factor: float = 0.5
    random_state: int = 0
    device: str = "cpu"


class Fit(NamedTuple):
    """Loadings (g, k) — of unit length per column for least squares —, terms per iteration, and how it ended."""

    loadings: Floats
    history: dict[str, list[float]]
    best_iteration: int
    converged: bool


class Problem(NamedTuple):
    """``W ↦ G W / tr G`` on the device, and what the squared error over tr G is divided by."""

    product: Product
    denominator: float


@dataclass(frozen=True)
class Objective:
    """``(1 − θ) RMSE + θ [(1 − ε) zero + ε entropy]`` as a function of the unconstrained weights.

    Attributes
    ----------
    data, validation
        Moments of the cells to fit, and of held-out cells whose loss is monitored when given.
    outside, entropy_weights, penalised
        Weights of the two structural terms, (g, k) and (g,), and the genes that take part (g,), see
        :mod:`pathwayae.core.penalties`.
    share_data, share_zero, share_entropy
        ``1 − θ``, ``θ (1 − ε)`` and ``θ ε``, see :func:`shares`.
    """

    data: Problem
    outside: Tensor
    entropy_weights: Tensor
    penalised: Tensor
    share_data: float
    share_zero: float
    share_entropy: float
    l1_ratio: float
    activation: Activation
    scores: Scores
    zero_norm: penalties.ZeroNorm
    ridge: float
    validation: Problem | None = None

    def __call__(self, point: Tensor) -> Step:
        """Loss, terms and gradient at unconstrained weights of shape (…, g, k)."""
        weights, slope = activate(point, self.activation)
        loadings, norm = weights, None
        if self.scores == "least_squares":
            loadings, norm = reconstruction.unit_columns(weights)
        rmse, gradient = self._rmse(loadings, self.data, self.share_data)
        zero, zero_gradient = self._zero(loadings)
        gradient.add_(zero_gradient, alpha=self.share_zero)
        if self.share_entropy > 0:
            entropy, entropy_gradient = penalties.entropy(loadings, self.entropy_weights)
            gradient.add_(entropy_gradient, alpha=self.share_entropy)
        else:  # for the history
            entropy = penalties.entropy_value(loadings, self.entropy_weights)
        structure = self.share_zero * zero + self.share_entropy * entropy
        if norm is not None:
            gradient = reconstruction.through_unit_columns(gradient, loadings, norm)
        loss = self.share_data * rmse + structure
        terms = {"loss": loss, "reconstruction": rmse, "zero": zero, "entropy": entropy}
        if self.validation is not None:
            terms["validation_loss"] = self.share_data * self._rmse(loadings, self.validation, 0.0)[0] + structure
        return Step(terms.get("validation_loss", loss), terms, gradient.mul_(slope))

    def _rmse(self, loadings: Tensor, data: Problem, share: float) -> tuple[Tensor, Tensor]:
        """The RMSE, and ``share`` times its gradient."""
        if self.scores == "projection":
            squared, gradient = reconstruction.projection(loadings, data.product, 1.0)
        else:
            squared, gradient = reconstruction.least_squares(loadings, data.product, 1.0, self.ridge)
        rmse = (squared / data.denominator).clamp_min(1e-24).sqrt().to(loadings.dtype)
        return rmse, gradient.mul_((share / (2.0 * rmse * data.denominator))[..., None, None])

    def _zero(self, loadings: Tensor) -> tuple[Tensor, Tensor]:
        if self.zero_norm == "feature":
            return penalties.zero_feature(loadings, self.outside, self.l1_ratio)
        return penalties.zero_component(loadings, self.outside, self.penalised)


def shares(theta: float, epsilon: float, *, has_zero: bool, has_entropy: bool) -> tuple[float, float, float]:
    """Weights of reconstruction, zero suppression and entropy in the loss.

    θ is clipped to ``MAX_THETA``, so that the data never vanish from the loss. Where only one structural term
    exists (no gene has a pathway, or no gene is penalised) it gets all of θ.
    """
    theta = min(theta, MAX_THETA)
    if has_zero and has_entropy:
        return 1.0 - theta, theta * (1.0 - epsilon), theta * epsilon
    return 1.0 - theta, theta if has_zero else 0.0, theta if has_entropy else 0.0


def activate(point: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
    """``W = act(V)`` and ``dW/dV``."""
    if activation == "softplus":
        return F.softplus(point), torch.sigmoid(point)
    if activation == "sigmoid":
        weights = torch.sigmoid(point)
        return weights, weights * (1.0 - weights)
    return point, torch.ones_like(point)


def deactivate(weights: Floats, activation: Activation) -> Floats:
    """``V`` with ``act(V) = W``; weights are moved inside the range of the activation first."""
    if activation == "softplus":
        weights = np.maximum(weights, 1e-6)
        return weights + np.log(-np.expm1(-weights))
    if activation == "sigmoid":
        weights = np.clip(weights, 1e-6, 1.0 - 1e-3)
        return np.log(weights) - np.log1p(-weights)
    return weights


def start(
    membership: NDArray[np.bool_],
    n_components: int,
    gram: Gram,
    *,
    scores: Scores,
    rng: np.random.Generator,
) -> Floats:
    """Loadings to start from: the membership, scaled to explain the data as well as one scalar can.

    1 inside a pathway and ``SMALL`` outside, free components all 1, each times seeded noise; columns of unit
    length; then, for ``scores="projection"``, times s with ``s² = tr A / tr(A B)``, the minimum of
    ``tr G − 2 s² tr A + s⁴ tr(A B)``.
    """
    g, p = membership.shape
    weights = np.ones((g, n_components))
    weights[:, :p] = np.where(membership, 1.0, SMALL)
    weights *= 1.0 + NOISE * rng.uniform(-1.0, 1.0, size=weights.shape)
    if n_components > p:
        weights[:, p:] *= rng.uniform(size=(g, n_components - p))
    weights /= np.linalg.norm(weights, axis=0)
    if scores == "least_squares":
        return weights
    a = weights.T @ (gram @ weights)
    power = float(np.sum(a * (weights.T @ weights)))
    return weights * np.sqrt(np.trace(a) / power) if power > 0 else weights


def objective(
    data: Data,
    membership: NDArray[np.bool_],
    penalised: NDArray[np.bool_],
    n_components: int,
    config: Config,
    validation: Data | None = None,
) -> Objective:
    """The objective (docs/mathematics.md) for these cells or their moments and this membership, in float32."""
    outside = penalties.outside_weights(membership, penalised, n_components, config.zero_norm)
    per_gene = penalties.entropy_weights(membership, penalised, on_classes=config.entropy_on_classes)
    share_data, share_zero, share_entropy = shares(
        config.theta, config.epsilon, has_zero=bool(outside.any()), has_entropy=bool(per_gene.any())
    )
    factor = penalties.entropy_factor(config.entropy_scaling, n_components)

    def problem(cells: Data) -> Problem:
        denominator = 1.0 if config.relative else cells.n * len(cells.mean) / cells.total
        return Problem(relative_product(cells, config.device), denominator)

    return Objective(
        data=problem(data),
        outside=torch.as_tensor(outside, dtype=torch.float32, device=config.device),
        entropy_weights=torch.as_tensor(per_gene * factor, dtype=torch.float32, device=config.device),
        penalised=torch.as_tensor(penalised, device=config.device),
        share_data=share_data,
        share_zero=share_zero,
        share_entropy=share_entropy,
        l1_ratio=config.l1_ratio,
        activation=config.activation,
        scores=config.scores,
        zero_norm=config.zero_norm,
        ridge=config.ridge,
        validation=None if validation is None else problem(validation),
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
    data
        Moments of the standardised cells, g genes, or the cells themselves; both give the same result.
    membership
        Gene i belongs to pathway j, shape (g, p).
    penalised
        Genes that take part in regularisation, shape (g,); the others follow the data alone.
    n_components
        k ≥ p; component j < p is pathway j.
    init
        Loadings to start from, shape (g, k); by default :func:`start`.
    validation
        Held-out cells in the same units; learning rate, stopping and the point kept follow their loss.
    progress
        Called after every iteration with its number and the terms.
    """
    target = objective(data, membership, penalised, n_components, config, validation)
    if init is None:
        rng = np.random.default_rng(config.random_state)
        init = start(membership, n_components, data.gram, scores=config.scores, rng=rng)
    point = torch.as_tensor(deactivate(init, config.activation), dtype=torch.float32, device=config.device)
    with threads_for(operations(data) * n_components):
        descent = minimize(
            target,
            point,
            learning_rate=config.learning_rate,
            max_iter=config.max_iter,
            min_delta=config.min_delta,
            early_stopping_patience=config.early_stopping_patience,
            scheduler_patience=config.scheduler_patience,
            scheduler_factor=config.scheduler_factor,
            progress=progress,
        )
    loadings, _ = activate(descent.best, config.activation)
    if config.scores == "least_squares":
        loadings, _ = reconstruction.unit_columns(loadings)
    return Fit(loadings.cpu().numpy().astype(np.float64), descent.history, descent.best_iteration, descent.converged)
