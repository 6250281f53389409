"""Squared reconstruction error and its gradient from products with the Gram matrix alone.

All functions take loadings with any number of leading batch dimensions, shape (…, g, k), and return
``‖X̃ − X̂‖²`` (…) and its gradient in the loadings (…, g, k). ``gram_product`` is ``W ↦ G W`` with ``G = X̃ᵀX̃``
(g, g), ``total`` is tr G.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


def projection(
    loadings: Tensor, gram_product: Product, total: float, *, hidden: float = 0.0, diagonal: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Tied weights, ``Z = X̃W`` and ``X̂ = ZWᵀ``.

    ``‖X̃ − X̃WWᵀ‖² = tr G − 2 tr A + tr(A B)`` with ``H = G W``, ``A = WᵀH``, ``B = WᵀW``; the gradient is
    ``−4 H + 2 H B + 2 W A``.

    With entries of the input hidden with probability p (and the others divided by 1 − p), the expected error has
    ``A + λ WᵀDW`` in the place of A in ``tr(A B)``: ``hidden`` is ``λ = p / (1 − p)``, ``diagonal`` is that of G,
    shape (…, g), and D the matrix with it (:func:`hiding`). The gradient gains ``λ (2 W WᵀDW + 2 D W B)``.
    """
    h = gram_product(loadings)
    a = loadings.mT @ h
    b = loadings.mT @ loadings
    trace = a.diagonal(dim1=-2, dim2=-1).sum(-1, dtype=torch.float64)
    if hidden and diagonal is not None:
        noise = (hidden * diagonal)[..., None] * loadings
        a = a + loadings.mT @ noise
        power = (a * b).sum((-2, -1), dtype=torch.float64)
        gradient = ((h + noise) @ b).sub_(h, alpha=2.0).add_(loadings @ a)
        return total - 2.0 * trace + power, gradient.mul_(2.0)
    power = (a * b).sum((-2, -1), dtype=torch.float64)
    b.diagonal(dim1=-2, dim2=-1).sub_(2.0)
    # Factors of the gradient are applied to the small matrices.
    return total - 2.0 * trace + power, (h @ b.mul_(2.0)).add_(loadings @ a.mul_(2.0))


def hiding(dropout: float) -> float:
    """``λ = p / (1 − p)``: what hiding entries of the input with probability p adds to the error.

    With M the mask of what is seen, ``E‖X̃ − (X̃∘M/(1−p)) W Wᵀ‖² = ‖X̃ − X̃WWᵀ‖² + λ tr(WᵀW WᵀDW)``, D the diagonal of
    ``X̃ᵀX̃``: the masks of two entries are independent, so only the squares of entries remain. This is the denoising
    autoencoder of Vincent et al. (2008, 10.1145/1390156.1390294) with dropout noise, in closed form.
    """
    return dropout / (1.0 - dropout)


def least_squares(loadings: Tensor, gram_product: Product, total: float, ridge: float) -> tuple[Tensor, Tensor]:
    """Scores profiled out, ``Z = X̃L(LᵀL + λI)⁻¹`` and ``X̂ = ZLᵀ``; ``ridge`` is λ.

    With ``N = (LᵀL + λI)⁻¹``, ``A = LᵀGL`` and ``B = LᵀL`` the error is ``tr G − 2 tr(N A) + tr(N A N B)``.
    The k × k algebra is done in float64.
    """
    h = gram_product(loadings)
    a = (loadings.mT @ h).double()
    b = (loadings.mT @ loadings).double()
    k = b.shape[-1]
    # Positive definite for λ > 0, so there is no error to check for, which a GPU would have to wait for.
    n = torch.linalg.inv_ex(b + ridge * torch.eye(k, dtype=b.dtype, device=b.device)).inverse
    na = n @ a
    nb = n @ b
    trace = na.diagonal(dim1=-2, dim2=-1).sum(-1)
    value = total - 2.0 * trace + (na @ nb).diagonal(dim1=-2, dim2=-1).sum(-1)
    from_a = -2.0 * n + nb @ n
    anb = a @ nb
    from_b = na @ n + n @ (2.0 * a - anb - anb.mT) @ n
    dtype = loadings.dtype
    return value, (h @ from_a.to(dtype)).add_(loadings @ from_b.to(dtype)).mul_(2.0)


def unit_columns(weights: Tensor, tiny: float = 1e-30) -> tuple[Tensor, Tensor]:
    """``l_j = w_j / ‖w_j‖₂`` and the norms, shapes (…, g, k) and (…, 1, k)."""
    norm = (weights * weights).sum(-2, keepdim=True).clamp_min(tiny).sqrt()
    return weights / norm, norm


def through_unit_columns(gradient: Tensor, loadings: Tensor, norm: Tensor) -> Tensor:
    """Gradient in w of a function of ``l = w / ‖w‖``: ``(d − l (lᵀd)) / ‖w‖``."""
    return (gradient - loadings * (loadings * gradient).sum(-2, keepdim=True)) / norm
