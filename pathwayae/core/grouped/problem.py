"""What a fit is about and what it finds: settings, problem, result."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.evidence.refine import State
from pathwayae.core.grouped import penalties
from pathwayae.core.grouped.encoder import Encoder, Scores, Weights
from pathwayae.core.grouped.loss import Activation
from pathwayae.core.moments.gram_product import Data

MOSTLY = 0.9  # θ
RIDGE = 0.1  # λ of least-squares scores, relative to loadings of unit length

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
        See :mod:`pathwayae.core.grouped.penalties`.
    scores, ridge
        ``"projection"``: ``Z = X̃W``; ``"least_squares"``: ``Z = X̃L(LᵀL + λI)⁻¹`` with λ = ``ridge``; ``"members"``:
        every pathway by itself in closed form, see :mod:`pathwayae.core.grouped.members`, for which only ``balance``
        and ``joint`` count.
    dropout
        Probability with which an entry of the input is hidden, see
        :func:`pathwayae.core.grouped.reconstruction.hiding`.
    start
        Pathways to start from: the membership, or its posterior, see :func:`pathwayae.core.grouped.members.posterior`.
    balance
        Take from the weights of a score their mean over genes of like mean, see
        :func:`pathwayae.core.grouped.encoder.balanced_encoder`; genes must be centred.
    joint
        Of members: regress cells on all encoders at once, see :func:`pathwayae.core.grouped.encoder.jointly`.
    support
        Keep loadings of the genes of a pathway and of some others alone; all others are exactly 0. A descent is then
        that of :func:`pathwayae.core.grouped.sparse_descent.fit_on_support`, on the CPU whatever the ``device``.
    relative
        Divide the RMSE by ``RMS(X̃)``, so that θ means the same on every data set.
    learning_rate, max_iter, min_delta, early_stopping_patience, scheduler_patience, scheduler_factor
        See :func:`pathwayae.core.descent.minimize`.
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
    dropout: float = 0.0
    start: Literal["membership", "evidence"] = "membership"
    balance: bool = False
    joint: bool = False
    support: bool = False
    relative: bool = True
    min_delta: float = 1e-5
    early_stopping_patience: int = 100
    scheduler_patience: int = 10
    scheduler_factor: float = 0.5
    random_state: int = 0
    device: str = "cpu"

    @property
    def free_in_size(self) -> bool:
        """Whether the data alone decide over the size of a gene's row, and count for too little to be followed."""
        tied = self.scores == "projection" and not self.balance and not self.dropout
        return tied and self.activation != "sigmoid" and self.zero_norm == "feature" and self.theta > MOSTLY

    @property
    def descent(self) -> dict[str, Any]:
        """What :func:`pathwayae.core.descent.minimize` is told."""
        rules = ("min_delta", "early_stopping_patience", "scheduler_patience", "scheduler_factor")
        return {name: getattr(self, name) for name in ("learning_rate", "max_iter", *rules)}


class Fit(NamedTuple):
    """What a fit found.

    Attributes
    ----------
    loadings
        Shape (g, k), dense or sparse; of unit length per column for least squares.
    weights, encoder
        Of the genes in the scores, before and after they are balanced, shape (g, k): ``Z = X̃E``.
    history, best_iteration, converged
        Terms per iteration, and how the descent ended; without a descent there are none.
    directions
        Leading directions of the Gram matrix, shape (g, r), where they came up on the way.
    evidence
        Of ``scores="members"``: where the weighing of evidence ended.
    """

    loadings: Weights
    weights: Weights
    encoder: Encoder
    history: dict[str, list[float]]
    best_iteration: int
    converged: bool
    directions: Floats | None = None
    evidence: State | None = None


@dataclass(frozen=True, eq=False)
class Problem:
    """What one fit is about.

    Attributes
    ----------
    data
        Moments of the standardised cells, g genes, or the cells themselves; both give the same result.
    membership
        Gene i belongs to pathway j, boolean, shape (g, p); for ``scores="members"`` it may be sparse.
    penalised
        Genes that take part in regularisation, shape (g,); the others follow the data alone.
    n_components
        k ≥ p; component j < p is pathway j.
    config
        Everything that is not data.
    validation
        Held-out cells in the same units; learning rate, stopping and the point kept follow their loss.
    init
        Loadings to start from, shape (g, k); by default :func:`pathwayae.core.grouped.start.start`.
    begin
        Of ``scores="members"``: where the weighing of evidence begins, that of a fit to cells much like these.
    """

    data: Data
    membership: Any
    penalised: NDArray[np.bool_]
    n_components: int
    config: Config
    validation: Data | None = None
    init: Floats | None = None
    begin: State | None = None
