"""The loss of the grouped autoencoder as a function of its unconstrained weights, with its gradient in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from pathwayae.core.descent import Step
from pathwayae.core.grouped import penalties, reconstruction
from pathwayae.core.grouped.encoder import Scores
from pathwayae.core.moments.gram_product import Product

Activation = Literal["softplus", "sigmoid", "identity"]

MAX_THETA = 1.0 - 1e-3  # θ = 1 would be structure without data


class Cells(NamedTuple):
    """``W ↦ G W / tr G`` on the device, and what the squared error over tr G is divided by, () or (R,).

    Where entries are hidden also ``diag G / tr G``, shape (g,) or (R, g).
    """

    product: Product
    denominator: Tensor
    diagonal: Tensor | None = None


@dataclass(frozen=True)
class Objective:
    """``(1 − θ) RMSE + θ [(1 − ε) zero + ε entropy]`` as a function of the unconstrained weights.

    What differs between R problems has a first dimension R; what they share has none, and then any number of weights
    may be evaluated together.

    Attributes
    ----------
    data, validation
        Moments of the cells to fit, and of held-out cells whose loss is monitored when given.
    outside, entropy_weights, penalised
        Weights of the two structural terms, (g, k) and (g,), and the genes that take part (g,), None for all, see
        :mod:`pathwayae.core.grouped.penalties`.
    share_data, share_zero, share_entropy
        ``1 − θ``, ``θ (1 − ε)`` and ``θ ε``, see :func:`shares`.
    entropy_counts
        Whether any ``θ ε`` is above 0.
    structured
        Whether there is any structural term.
    hidden
        λ of :func:`pathwayae.core.grouped.reconstruction.hiding`, of the cells to fit; held-out cells are seen whole.
    """

    data: Cells
    outside: Tensor
    entropy_weights: Tensor
    penalised: Tensor | None
    share_data: Tensor
    share_zero: Tensor
    share_entropy: Tensor
    entropy_counts: bool
    l1_ratio: float
    activation: Activation
    scores: Scores
    zero_norm: penalties.ZeroNorm
    ridge: float
    validation: Cells | None = None
    hidden: float = 0.0
    structured: bool = True

    def __call__(self, point: Tensor) -> Step:
        """Loss, terms and gradient at unconstrained weights of shape (…, g, k)."""
        weights, slope = activate(point, self.activation)
        loadings, norm = weights, None
        if self.scores == "least_squares":
            loadings, norm = reconstruction.unit_columns(weights)
        rmse, gradient = self._rmse(loadings, self.data, self.share_data)
        zero, zero_gradient = self._zero(loadings)
        gradient.add_(zero_gradient.mul_(self.share_zero[..., None, None]))
        if self.entropy_counts:
            entropy, entropy_gradient = penalties.entropy(loadings, self.entropy_weights)
            gradient.add_(entropy_gradient.mul_(self.share_entropy[..., None, None]))
        else:  # for the history
            entropy = penalties.entropy_value(loadings, self.entropy_weights)
        structure = self.share_zero * zero + self.share_entropy * entropy
        if norm is not None:
            gradient = reconstruction.through_unit_columns(gradient, loadings, norm)
        loss = self.share_data * rmse + structure
        terms = {"loss": loss, "reconstruction": rmse, "zero": zero, "entropy": entropy}
        if self.validation is not None:
            held_out, _ = self._rmse(loadings, self.validation, torch.zeros_like(self.share_data))
            terms["validation_loss"] = self.share_data * held_out + structure
        monitored = terms.get("validation_loss", loss)
        if not self.structured:  # however small the share of the data, nothing else can improve
            monitored = monitored / self.share_data
        return Step(monitored, terms, gradient.mul_(slope))

    def _rmse(self, loadings: Tensor, data: Cells, share: Tensor) -> tuple[Tensor, Tensor]:
        """The RMSE, and ``share`` times its gradient."""
        if self.scores == "projection":
            squared, gradient = reconstruction.projection(
                loadings, data.product, 1.0, hidden=self.hidden, diagonal=data.diagonal
            )
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
