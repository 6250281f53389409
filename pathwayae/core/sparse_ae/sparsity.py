"""What makes codes sparse: activations that keep few latents, and penalties on those that keep all.

All work on stacked problems: the last two axes are cells and latents, whatever comes before counts problems.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Sparsity = Literal["batchtopk", "topk", "jumprelu", "l1", "kl"]
SAMPLE = 17  # one of so many values tells roughly where a threshold lies
TINY = 1e-8  # rates of activity are kept this far from 0 and 1


def top_k(pre: Tensor, k: Tensor) -> Tensor:
    """The k largest positive values of every cell, the rest 0.

    Parameters
    ----------
    pre
        Before the activation, shape (…, cells, latents).
    k
        Whole numbers, shape (…): how many each problem keeps.

    Examples
    --------
    >>> top_k(torch.tensor([[3.0, 1.0, 2.0], [-1.0, -2.0, 5.0]]), torch.tensor(2)).tolist()
    [[3.0, 0.0, 2.0], [0.0, 0.0, 5.0]]
    """
    values, places = pre.topk(int(k.max()), dim=-1)
    rank = torch.arange(values.shape[-1], device=pre.device)
    kept = torch.relu(values) * (rank < k[..., None, None])
    return torch.zeros_like(pre).scatter(-1, places, kept)


def batch_threshold(pre: Tensor, k: Tensor) -> Tensor:
    """The smallest of the k · cells largest values of a batch, at least 0; shape (…).

    Parameters
    ----------
    pre
        Before the activation, shape (…, cells, latents).
    k
        Mean number of latents per cell, shape (…); need not be whole.

    Examples
    --------
    >>> float(batch_threshold(torch.tensor([[3.0, 1.0, 2.0], [-1.0, -2.0, 5.0]]), torch.tensor(1.5)))
    2.0
    """
    values = pre.detach().flatten(-2)
    counts = (k * pre.shape[-2]).round().long().clamp(1, values.shape[-1])
    if values.device.type == "cpu":
        pairs = zip(values.reshape(-1, values.shape[-1]).numpy(), counts.flatten().tolist(), strict=True)
        return values.new_tensor([_largest(row, count) for row, count in pairs]).view(counts.shape).clamp(min=0)
    threshold = values.new_zeros(counts.shape)
    for count in set(counts.flatten().tolist()):  # selection, which is much cheaper than sorting for all counts at once
        same = counts == count
        threshold[same] = values[same].topk(count, dim=-1, sorted=False).values.amin(dim=-1)
    return threshold.clamp(min=0)


def _largest(values: NDArray[Any], count: int) -> Any:
    """The count-th largest value; a sample tells which ones can be left out, so that few are compared."""
    sample = values[::SAMPLE]
    rank = int(1.2 * count / SAMPLE) + SAMPLE
    if rank < len(sample):
        candidates = values[values >= np.partition(sample, -rank)[-rank]]
        values = candidates if len(candidates) >= count else values
    return np.partition(values, -count)[-count]


def above(pre: Tensor, threshold: Tensor) -> Tensor:
    """Values from a threshold on, the rest and all negative ones 0; the threshold broadcasts against ``pre``."""
    return torch.relu(pre) * (pre.detach() >= threshold)


class _Jump(torch.autograd.Function):
    r"""``z · [z > θ]`` whose derivative in θ is :math:`-(\theta/\varepsilon)\,K((z-\theta)/\varepsilon)`, K a box."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, width: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold, width)
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        (gradient,) = gradients
        pre, threshold, width = ctx.saved_tensors
        near = (pre - threshold).abs() < width / 2
        by_threshold = (-(threshold / width) * near * gradient).sum(dim=-2, keepdim=True)
        return gradient * (pre > threshold), by_threshold, None


class _Count(torch.autograd.Function):
    r"""``[z > θ]`` whose derivative in θ is :math:`-K((z-\theta)/\varepsilon)/\varepsilon`, K a box; none in z."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, width: Tensor) -> Tensor:
        ctx.save_for_backward(pre, threshold, width)
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = gradients
        pre, threshold, width = ctx.saved_tensors
        near = (pre - threshold).abs() < width / 2
        return None, (-(1 / width) * near * gradient).sum(dim=-2, keepdim=True), None


def jump(pre: Tensor, threshold: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """JumpReLU codes and the number of latents active per cell, both differentiable in the thresholds.

    Parameters
    ----------
    pre
        Before the activation, shape (…, cells, latents).
    threshold
        θ > 0 of every latent, shape (…, 1, latents).
    width
        ε of the box kernel that stands in for the derivative of the step, broadcasts against ``threshold``.

    Returns
    -------
    Codes, shape of ``pre``, and the mean number active per cell, shape (…).

    References
    ----------
    Rajamanoharan et al., Jumping ahead: improving reconstruction fidelity with JumpReLU sparse autoencoders (2024).
    """
    codes: Tensor = _Jump.apply(pre, threshold, width)  # type: ignore[no-untyped-call]
    active: Tensor = _Count.apply(pre, threshold, width)  # type: ignore[no-untyped-call]
    return codes, active.sum(dim=-1).mean(dim=-1)


def absolute(codes: Tensor) -> Tensor:
    """``mean |h|`` over cells and latents, shape (…)."""
    return codes.abs().mean(dim=(-2, -1))


def kl_divergence(codes: Tensor, rho: Tensor) -> Tensor:
    r"""``Σ_j ρ ln(ρ/ρ̂_j) + (1−ρ) ln((1−ρ)/(1−ρ̂_j))`` with ρ̂ the mean over the batch, shape (…).

    Parameters
    ----------
    codes
        Between 0 and 1, shape (…, cells, latents); their means are clamped to [1e-8, 1 − 1e-8].
    rho
        Wanted mean activity, shape (…), between 0 and 1.
    """
    mean = codes.mean(dim=-2).double().clamp(TINY, 1 - TINY)  # 1 − 1e-8 is 1 in float32
    rho = rho[..., None].double()
    return (rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()).sum(dim=-1)
