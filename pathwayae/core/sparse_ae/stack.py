"""Several networks of one shape as one: parameters with a leading axis R, their start, codes and losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pathwayae.core.sparse_ae import active, sparsity
from pathwayae.core.sparse_ae.network import Layer, Network, activate_output
from pathwayae.core.sparse_ae.settings import Config

JUMP_WIDTH = 0.2  # of the kernel of JumpReLU, relative to the threshold at the start
SMALLEST = 1e-6  # threshold of JumpReLU to start from
FEW = 1 / 8  # share of latents that fire up to which, on a CPU, sums over them beat dense products


@dataclass(eq=False)
class Stack:
    """R networks in training.

    Attributes
    ----------
    weights, biases
        Of all layers, encoder first: (R, in, out) and (R, 1, out).
    jump, width
        Logarithm of JumpReLU's thresholds (R, 1, m) and the width of its kernel (R, 1, 1).
    threshold
        Running threshold of BatchTopK, (R,).
    config
        Settings shared by all; ``k``, ``weight``, ``rho`` (R,) are those of each.
    """

    config: Config
    weights: list[Tensor]
    biases: list[Tensor]
    k: Tensor
    weight: Tensor
    rho: Tensor
    threshold: Tensor
    jump: Tensor | None = None
    width: Tensor | None = None
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        self.depth = len(self.weights) // 2

    @property
    def tied(self) -> bool:
        """Whether the decoder is a dictionary of unit length, started as the transposed encoder."""
        return self.config.unit_norm and self.depth == 1

    def parameters(self) -> list[Tensor]:
        """All tensors that are trained."""
        return [*self.weights, *self.biases, *([] if self.jump is None else [self.jump])]


class Terms(NamedTuple):
    """Losses of R networks (R,), cells in which each latent fires (R, m), squared error and BatchTopK's threshold."""

    total: Tensor
    reconstruction: Tensor
    penalty: Tensor
    fired: Tensor
    squares: Tensor
    threshold: Tensor | None


def build(configs: Sequence[Config], d: int) -> Stack:
    """Networks at their start, each from its own seed; without a tied start the numbers are those of torch's layers."""
    first, device = configs[0], torch.device(configs[0].device)
    starts = [_start(config, d) for config in configs]
    weights = [torch.stack(parts).to(device) for parts in zip(*[start[0] for start in starts], strict=True)]
    weights[0] = weights[0].mT.contiguous().mT  # a latent's weights side by side in memory, as in the dictionary
    biases = [torch.stack(parts).to(device) for parts in zip(*[start[1] for start in starts], strict=True)]
    per_model = {
        name: torch.tensor([float(getattr(config, name)) for config in configs], device=device)
        for name in ("k", "weight", "rho")
    }
    stack = Stack(first, weights, biases, threshold=torch.zeros(len(configs), device=device), **per_model)
    for tensor in stack.parameters():
        tensor.requires_grad_()
    return stack


def _start(config: Config, d: int) -> tuple[list[Tensor], list[Tensor]]:
    """Weights (in, out) and biases (1, out) of one network, drawn on the CPU."""
    generator = torch.Generator().manual_seed(config.seed)
    sizes = [d, *config.hidden, int(config.n_latents or 0), *reversed(config.hidden), d]
    weights, biases = [], []
    if config.unit_norm and not config.hidden:
        dictionary = torch.randn((sizes[1], d), generator=generator)
        dictionary /= dictionary.norm(dim=1, keepdim=True)
        return [dictionary.T.contiguous(), dictionary], [torch.zeros(1, sizes[1]), torch.zeros(1, d)]
    for n_in, n_out in pairwise(sizes):
        layer = torch.empty((n_out, n_in))
        torch.nn.init.kaiming_uniform_(layer, a=5**0.5, generator=generator)
        bias = torch.empty(n_out).uniform_(-(n_in**-0.5), n_in**-0.5, generator=generator)
        weights.append(layer.T.contiguous())
        biases.append(bias[None])
    return weights, biases


def encode(stack: Stack, cells: Tensor) -> Tensor:
    """Values before the activation of the codes, (R, b, m); ``cells`` (b, d) are standardised."""
    offset = -stack.biases[1] @ stack.weights[0] if stack.tied else 0.0
    values = torch.matmul(cells, stack.weights[0]) + (stack.biases[0] + offset)
    for weight, bias in zip(stack.weights[1 : stack.depth], stack.biases[1 : stack.depth], strict=True):
        values = torch.relu(values) @ weight + bias
    return _precise(values)


def decode(stack: Stack, codes: Tensor) -> Tensor:
    """Standardised reconstruction (R, b, d)."""
    layers = list(zip(stack.weights[stack.depth :], stack.biases[stack.depth :], strict=True))
    for number, (weight, bias) in enumerate(layers):
        codes = (torch.relu(codes) if number else codes) @ weight + bias
    return activate_output(_precise(codes), stack.config.output)


def few_fire(stack: Stack) -> bool:
    """Whether sums over the latents that fire take the place of dense products: few of them, one layer, on a CPU."""
    counted = stack.config.sparsity in ("batchtopk", "topk") and stack.depth == 1
    dictionary = stack.weights[-1]
    few = float(stack.k.max()) <= FEW * dictionary.shape[1]
    return counted and few and dictionary.device.type == "cpu" and dictionary.dtype == torch.float32


def _precise(values: Tensor) -> Tensor:
    """What was multiplied in bfloat16 goes on in float32."""
    return values.float() if values.dtype == torch.bfloat16 else values


def codes_at_inference(stack: Stack, pre: Tensor) -> Tensor:
    """Codes (R, b, m) that do not depend on the other cells of the batch."""
    config = stack.config
    if config.code == "sigmoid":
        return torch.sigmoid(pre)
    if config.sparsity == "topk":
        return sparsity.top_k(pre, stack.k.long())
    if stack.jump is not None:
        return sparsity.above(pre, stack.jump.exp())
    return sparsity.above(pre, stack.threshold[:, None, None])


def losses(stack: Stack, cells: Tensor) -> tuple[Terms, Tensor]:
    """Losses of a minibatch of standardised cells (b, d), without the auxiliary one, and their reconstruction."""
    config = stack.config
    if few_fire(stack):
        rebuilt, penalty, fired, threshold = _few(stack, cells)
    else:
        codes, penalty, threshold = _activate(stack, encode(stack, cells))
        rebuilt, fired = decode(stack, codes), (codes.detach() > 0).sum(dim=-2)
    squares = ((rebuilt - cells) ** 2).sum(dim=(-2, -1))
    share = config.loss == "share"
    reconstruction = squares / (cells.shape[0] if share else cells.numel())
    if config.sparsity in ("l1", "batchtopk", "topk") and share:
        penalty = penalty * fired.shape[-1]
    total = reconstruction + stack.weight * penalty
    return Terms(total, reconstruction, penalty, fired, squares.detach(), threshold), rebuilt


def _few(stack: Stack, cells: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """As :func:`encode`, :func:`_activate` and :func:`decode`, over the latents that fire: x̂, penalty, counts, θ."""
    threshold = None
    with torch.no_grad():
        pre = encode(stack, cells)
        if stack.config.sparsity == "topk":
            found = active.find(sparsity.top_k(pre, stack.k.long()))
        else:
            threshold = sparsity.batch_threshold(pre, stack.k)
            found = active.find(pre, threshold[:, None, None])
    centre = stack.biases[1] if stack.tied else torch.zeros_like(stack.biases[1])
    encoder = (stack.weights[0], stack.biases[0], centre)
    rebuilt, total = active.decode_with_gradients(found, cells, encoder, stack.weights[1])
    rebuilt = activate_output(rebuilt + stack.biases[1], stack.config.output)
    return rebuilt, total / (pre.shape[-2] * pre.shape[-1]), found.fired, threshold


def rebuild(stack: Stack, cells: Tensor) -> Tensor:
    """Standardised reconstruction (R, b, d) of cells each by itself, without gradients."""
    codes = codes_at_inference(stack, encode(stack, cells))
    if few_fire(stack):
        return activate_output(
            active.decode(active.find(codes), stack.weights[1]) + stack.biases[1], stack.config.output
        )
    return decode(stack, codes)


def _activate(stack: Stack, pre: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Codes in training, their penalty before its weight, and BatchTopK's threshold of this batch."""
    kind = stack.config.sparsity
    if kind == "batchtopk":
        threshold = sparsity.batch_threshold(pre, stack.k)
        codes = sparsity.above(pre, threshold[:, None, None])
        return codes, sparsity.absolute(codes), threshold
    if kind == "topk":
        codes = sparsity.top_k(pre, stack.k.long())
        return codes, sparsity.absolute(codes), None
    if kind == "jumprelu":
        codes, active = sparsity.jump(torch.relu(pre), *_jumps(stack))
        return codes, (active / stack.k - 1) ** 2, None
    codes = torch.sigmoid(pre) if stack.config.code == "sigmoid" else torch.relu(pre)
    penalty = sparsity.absolute(codes) if kind == "l1" else sparsity.kl_divergence(codes, stack.rho)
    return codes, penalty.to(pre.dtype), None


def _jumps(stack: Stack) -> tuple[Tensor, Tensor]:
    """Thresholds and kernel widths of JumpReLU, set by the first batch so that k latents fire per cell."""
    if stack.jump is None or stack.width is None:
        msg = "JumpReLU has no thresholds yet; call start_jumps first."
        raise RuntimeError(msg)
    return stack.jump.exp(), stack.width


def start_jumps(stack: Stack, cells: Tensor) -> None:
    """Set JumpReLU's thresholds from a first batch, so that k latents fire per cell."""
    with torch.no_grad():
        start = sparsity.batch_threshold(encode(stack, cells), stack.k).clamp(min=SMALLEST)[:, None, None]
        stack.width = JUMP_WIDTH * start
        stack.jump = start.log().expand(-1, 1, stack.biases[stack.depth - 1].shape[-1]).clone()
    stack.jump.requires_grad_()


def auxiliary(stack: Stack, cells: Tensor, residual: Tensor, dead: Tensor) -> Tensor:
    """Share of the residual (R, b, d) that dead latents (R, m) leave, (R,): gradients that wake them; 0 where none is.

    Of the dead the d/2 largest per cell take part, with the decoder but not its bias. A negative bias, which would keep
    a latent silent and without a gradient, is left out of the value but not of the gradient.

    References
    ----------
    Gao et al., Scaling and evaluating sparse autoencoders (2024).
    """
    places = dead.any(dim=0).nonzero()[:, 0]  # of those alive in all networks nothing is needed
    dead, bias = dead[:, None, places], stack.biases[0][..., places]
    centred = cells - stack.biases[1] if stack.tied else cells
    pre = _precise(centred @ stack.weights[0].mT.index_select(1, places).mT) + bias
    values = torch.relu(pre + torch.relu(-bias).detach()) * dead
    most = max(residual.shape[-1] // 2, 1)
    if most < int(dead.sum(dim=-1).max()):
        values = sparsity.top_k(values, torch.full((len(values),), most, device=values.device))
    target = residual.detach()
    rebuilt = _precise(values @ stack.weights[-1].index_select(1, places))
    share = ((rebuilt - target) ** 2).sum(dim=(-2, -1)) / (target**2).sum(dim=(-2, -1)).clamp(min=1e-12)
    return torch.where(dead.any(dim=-1)[:, 0], share, torch.zeros_like(share))


def keep_unit_gradients(stack: Stack) -> None:
    """Remove from the dictionary's gradient what would only change lengths."""
    dictionary = stack.weights[-1]
    if stack.tied and dictionary.grad is not None:
        along = (dictionary.grad * dictionary).sum(dim=-1, keepdim=True)
        dictionary.grad -= along * dictionary.detach()


@torch.no_grad()
def normalise(stack: Stack) -> None:
    """Bring the dictionary's rows back to length 1."""
    if stack.tied:
        stack.weights[-1] /= stack.weights[-1].norm(dim=-1, keepdim=True)


def export(stack: Stack, index: int, mean: np.ndarray, scale: float) -> Network:
    """One network of the stack as arrays; ``W(x − b) + b_e`` becomes ``W x + (b_e − W b)``."""
    config = stack.config
    layers: list[Layer] = [
        (
            np.ascontiguousarray(weight[index].detach().cpu().numpy().T),
            bias[index, 0].detach().cpu().numpy().copy(),
        )
        for weight, bias in zip(stack.weights, stack.biases, strict=True)
    ]
    if stack.tied:
        weight, bias = layers[0]
        layers[0] = (weight, (bias.astype(float) - weight.astype(float) @ layers[1][1]).astype(np.float32))
    if stack.jump is not None:
        threshold = stack.jump[index, 0].detach().exp().double().cpu().numpy()
    else:
        threshold = np.asarray(float(stack.threshold[index]))
    counts = config.sparsity in ("batchtopk", "topk", "jumprelu")
    return Network(
        encoder=tuple(layers[: stack.depth]),
        decoder=tuple(layers[stack.depth :]),
        mean=mean,
        scale=scale,
        threshold=threshold,
        sparsity=config.sparsity,
        k=float(stack.k[index]) if counts else 0.0,
        code=config.code or "relu",
        output=config.output,
    )
