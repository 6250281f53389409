"""The structural terms of the objective: which loadings may be large, and how spread out a gene may be.

Every term is linear or a ratio in the loadings, so value and gradient are closed forms. All functions take
loadings with any number of leading batch dimensions, shape (…, g, k), and return a value (…) and a gradient (…, g, k).
Weights may have the same leading dimensions, or none.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ZeroNorm = Literal["feature", "component"]
EntropyScaling = Literal["log", "exp"] | None

TINY = 1e-30


def outside_weights(
    membership: NDArray[np.bool_], penalised: NDArray[np.bool_], n_components: int, zero_norm: ZeroNorm
) -> NDArray[np.float64]:
    """Weight of each (gene, component) pair in the zero-suppression term.

    Parameters
    ----------
    membership
        Gene i belongs to pathway j, shape (g, p).
    penalised
        Genes that take part in regularisation at all, shape (g,).
    n_components
        k ≥ p; the components after the p-th are free and have no members.
    zero_norm
        ``"feature"``: pairs (i, j) where gene i has a pathway and j is not one of them; each component counts
        as the mean over its own pairs and every component with a pair counts the same, ``1 / (|O_j| J)``.
        ``"component"``: pairs where gene i is not in pathway j, genes without a pathway included,
        ``1 / (k √g)``.

    Returns
    -------
    Weights, zero where a loading may be large, shape (g, k).
    """
    g, p = membership.shape
    inside = np.zeros((g, n_components), dtype=bool)
    inside[:, :p] = membership
    if zero_norm == "component":
        return (~inside & penalised[:, None]) / (n_components * math.sqrt(g))
    outside = ~inside & (membership.any(axis=1) & penalised)[:, None]
    count = outside.sum(axis=0)
    n_used = max(1, int((count > 0).sum()))
    return outside / (np.maximum(count, 1) * n_used)


def entropy_weights(
    membership: NDArray[np.bool_], penalised: NDArray[np.bool_], *, on_classes: bool
) -> NDArray[np.float64]:
    """Weight of each gene's entropy, summing to 1 (or to 0 without any penalised gene), shape (g,).

    With ``on_classes`` the mean is taken within each pathway first and then over pathways, genes without a
    pathway being one more class; a gene in several pathways counts in each.
    """
    if not on_classes:
        return penalised / max(1, int(penalised.sum()))
    annotated = membership.any(axis=1)
    classes = np.column_stack([membership, ~annotated]) & penalised[:, None]
    size = classes.sum(axis=0)
    n_used = max(1, int((size > 0).sum()))
    return (classes / (np.maximum(size, 1) * n_used)).sum(axis=1)


def entropy_factor(scaling: EntropyScaling, n_components: int) -> float:
    """1 / ln k (``"log"``), 1 / exp k (``"exp"``) or 1 (``None``); 1 for ``"log"`` with a single component."""
    if scaling is None:
        return 1.0
    if scaling == "exp":
        return math.exp(-n_components)
    return 1.0 / math.log(n_components) if n_components > 1 else 1.0


def zero_feature(loadings: Tensor, weights: Tensor, l1_ratio: float) -> tuple[Tensor, Tensor]:
    """``ρ Σ a_ij p_ij + (1 − ρ) sqrt(Σ a_ij q_ij)`` with row-normalised ``p = |w| / Σ|w|`` and ``q = w² / Σw²``."""
    magnitude = loadings.abs()
    row = magnitude.sum(-1, keepdim=True).clamp_min(TINY)
    p = magnitude / row
    # Normalising p rather than w keeps the squares of very small loadings from vanishing.
    square_row = (p * p).sum(-1, keepdim=True).clamp_min(TINY)
    q = p * p / square_row
    first = (weights * p).sum((-2, -1))
    root = (weights * q).sum((-2, -1)).clamp_min(TINY).sqrt()
    grad_p = l1_ratio * (weights - (weights * p).sum(-1, keepdim=True))
    half = (1.0 - l1_ratio) / root[..., None, None]
    grad_q = half * (weights - (weights * q).sum(-1, keepdim=True)) * p / square_row
    return l1_ratio * first + (1.0 - l1_ratio) * root, (grad_p + grad_q) / row * loadings.sign()


def zero_component(loadings: Tensor, weights: Tensor, penalised: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """``Σ a_ij |l_ij| / ‖l_j‖₂``: what each component loads outside its pathway, free of scale.

    Genes that are not ``penalised`` (boolean, shape (g,)) do not count in the norm either.
    """
    counted = loadings if penalised is None else loadings * penalised[:, None]
    norm = (counted * counted).sum(-2, keepdim=True).clamp_min(TINY).sqrt()
    outside = counted.abs().mul_(weights).sum(-2, keepdim=True)
    # Products of two are faster than addcmul, which runs entry by entry where an operand is broadcast.
    gradient = counted.sign().mul_(weights).div_(norm).sub_(counted * (outside / norm**3))
    return (outside / norm).sum((-2, -1)), gradient


def entropy(loadings: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """``Σ_i c_i e_i`` with ``e_i = −Σ_j p_ij ln p_ij`` and ``p = |w| / Σ|w|``; weights c have shape (…, g)."""
    row, log_p, per_gene = _spread(loadings)
    gradient = log_p.add_(per_gene).mul_(-weights[..., None] / row).mul_(loadings.sign())
    return (weights * per_gene[..., 0]).sum(-1), gradient


def entropy_value(loadings: Tensor, weights: Tensor) -> Tensor:
    """The value of :func:`entropy` alone."""
    return (weights * _spread(loadings)[2][..., 0]).sum(-1)


def _spread(loadings: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``Σ_j |w_ij|`` (…, g, 1), ``ln p_ij`` (…, g, k) and ``e_i`` (…, g, 1)."""
    magnitude = loadings.abs()
    row = magnitude.sum(-1, keepdim=True).clamp_min(TINY)
    p = magnitude.div_(row)
    log_p = p.clamp_min(TINY).log_()
    return row, log_p, -p.mul_(log_p).sum(-1, keepdim=True)
