"""A step of training on a CPU: products over the few latents that fire, and Adam in one pass over the parameters.

With k of m latents active per cell only the encoder needs all products. The reconstruction, and the gradients of
codes, dictionary and encoder, are sums over the active pairs of a cell and a latent: ``4 k / m`` of the work of dense
products. Stacks of R networks are laid out as R · b cells and R · m latents. All loops run in a fixed order on one
thread, so that the same data give the same digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.descent import BETA, BETA_SQUARES, EPS

TINY = np.finfo(np.float32).tiny  # smaller codes are 0

Floats = NDArray[np.float32]
Places = NDArray[np.int64]


class Active(NamedTuple):
    """Active pairs of R networks, cell by cell.

    ``cells`` and ``latents`` (p,) count through the stack (``r b + i`` and ``r m + j``), ``values`` (p,) are the codes,
    ``fired`` (R, m) the cells in which each latent is active, ``shape`` is (R, b, m).
    """

    cells: Places
    latents: Places
    values: Floats
    fired: Tensor
    shape: tuple[int, int, int]


def find(values: Tensor, least: Tensor | float = 0.0) -> Active:
    """The positive entries of ``values`` (R, b, m) that are at least ``least``, which broadcasts against them.

    Examples
    --------
    >>> found = find(torch.tensor([[[3.0, 1.0, 2.0], [-1.0, -2.0, 5.0]]]), 2.0)
    >>> found.cells.tolist(), found.latents.tolist(), found.values.tolist()
    ([0, 0, 1], [0, 2, 2], [3.0, 2.0, 5.0])
    """
    n_models, n, m = values.shape
    flat = values.detach().contiguous().numpy()
    bound = np.maximum(np.asarray(least, dtype=np.float32), TINY)
    places = np.flatnonzero(flat >= bound)
    cells, latents = np.divmod(places, m)
    if n_models > 1:
        latents += m * (cells // n)
    fired = np.bincount(latents, minlength=n_models * m).reshape(n_models, m)
    return Active(cells, latents, flat.reshape(-1)[places], torch.from_numpy(fired), (n_models, n, m))


def decode(active: Active, dictionary: Tensor) -> Tensor:
    """``Σ_j h_ij D_j`` (R, b, d) of a dictionary (R, m, d), without gradients."""
    n_models, n, _ = active.shape
    rows = _rows(dictionary)
    rebuilt = np.zeros((n_models * n, rows.shape[1]), dtype=np.float32)
    _add_rows(rebuilt, active.cells, active.latents, active.values, rows)
    return torch.from_numpy(rebuilt).view(n_models, n, -1)


def decode_with_gradients(
    active: Active, cells: Tensor, encoder: tuple[Tensor, Tensor, Tensor], dictionary: Tensor
) -> tuple[Tensor, Tensor]:
    """The same with gradients, and ``Σ_ij |h_ij|`` of every network (R,).

    Parameters
    ----------
    active
        Positive entries of ``(x − c) W + b``, which thereby are differentiable in W, b and c.
    cells
        x, standardised (b, d).
    encoder
        W (R, d, m), b (R, 1, m) and c (R, 1, d).
    dictionary
        D (R, m, d).
    """
    rebuilt, total = _Decode.apply(active, cells, *encoder, dictionary)  # type: ignore[no-untyped-call]
    return rebuilt, total


class _Decode(torch.autograd.Function):
    """Reconstruction and absolute sum whose gradients are summed over the active pairs."""

    @staticmethod
    def forward(
        ctx: Any, active: Active, cells: Tensor, weight: Tensor, bias: Tensor, centre: Tensor, dictionary: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cells, weight, bias, centre, dictionary)
        ctx.active = active
        n_models, n, _ = active.shape
        total = np.bincount(active.cells // n, active.values, minlength=n_models)
        return decode(active, dictionary), torch.as_tensor(total, dtype=torch.float32)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        cells, weight, bias, centre, dictionary = ctx.saved_tensors
        active: Active = ctx.active
        n_models, n, m = active.shape
        rows = _rows(dictionary)
        by_weight, by_rows = np.empty_like(rows), np.empty_like(rows)
        by_bias = np.empty(len(rows), dtype=np.float32)
        starts = np.concatenate(([0], np.cumsum(active.fired.numpy().ravel())))
        order = np.empty(len(active.values), dtype=np.int64)
        _by_latent(starts[:-1].copy(), active.latents, order)
        upstream = (gradients[0].contiguous().view(n_models * n, -1).numpy(), gradients[1].contiguous().numpy())
        pairs = (starts, active.cells[order], active.values[order], m, n)
        _sum_gradients(by_weight, by_bias, by_rows, pairs, upstream, (cells.contiguous().numpy(), _rows(centre), rows))
        bias_gradient = torch.from_numpy(by_bias).view_as(bias)
        weight_gradient = torch.from_numpy(by_weight).view(n_models, m, -1).mT
        by_centre = -(bias_gradient @ weight.mT) if ctx.needs_input_grad[4] else None
        return None, None, weight_gradient, bias_gradient, by_centre, torch.from_numpy(by_rows).view_as(dictionary)


def move(
    point: Tensor, gradient: Tensor, mean: Tensor, squares: Tensor, rates: Tensor, *, step: int, unit: bool
) -> None:
    """One step of Adam in place, all tensors (R, …) of one layout.

    Parameters
    ----------
    point, gradient, mean, squares
        What moves, along what, and the running means of the gradient and of its square, which are updated.
    rates
        Learning rate of every network (R,).
    step
        Number of the step, from 1.
    unit
        Rows of ``point`` (R, m, d) have length 1 and keep it: what the gradient would change of their lengths is
        removed from it first.
    """
    tensors = (point.detach(), gradient, mean, squares)
    rows, slope, first, second = (_by_row(tensor, point, split=unit) for tensor in tensors)
    scale = (rates / (1 - BETA**step)).numpy()
    root = np.float32(1 / (1 - BETA_SQUARES**step) ** 0.5)
    _adam(rows, slope, first, second, scale, root, unit)


def _by_row(tensor: Tensor, like: Tensor, *, split: bool) -> Floats:
    """As (R, rows, values) in the order of memory of ``like``; one row where they are not told apart."""
    if tensor.stride() != like.stride():
        tensor = torch.empty_like(like).copy_(tensor)
    if not tensor.is_contiguous():
        tensor = tensor.mT
    found: Floats = (tensor if split else tensor.reshape(len(tensor), 1, -1)).numpy()
    return found


def _rows(tensor: Tensor) -> Floats:
    """(R, rows, d) as (R · rows, d)."""
    rows: Floats = tensor.detach().contiguous().flatten(0, 1).numpy()
    return rows


FAST = {"reassoc", "nsz", "contract"}  # sums may be split over the lanes of a processor, always in the same way


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _add_rows(rebuilt: Any, cells: Any, latents: Any, values: Any, rows: Any) -> None:
    """``rebuilt[cell] += value · rows[latent]`` for every pair."""
    for p in range(len(values)):
        target, source, value = rebuilt[cells[p]], rows[latents[p]], values[p]
        for c in range(len(target)):
            target[c] += value * source[c]


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _by_latent(free: Any, latents: Any, order: Any) -> None:
    """Order of the pairs latent by latent; ``free`` is the next place of each."""
    for p in range(len(latents)):
        order[free[latents[p]]] = p
        free[latents[p]] += 1


@numba.njit(nogil=True, cache=True, fastmath=FAST)  # type: ignore[untyped-decorator]
def _sum_gradients(by_weight: Any, by_bias: Any, by_rows: Any, pairs: Any, upstream: Any, inputs: Any) -> None:
    """Gradients latent by latent; those of a code are ``⟨∂/∂x̂_i, D_j⟩ + ∂/∂Σ|h|``."""
    starts, at, values, m, n = pairs
    by_rebuilt, by_total = upstream
    cells, centre, rows = inputs
    for q in range(len(rows)):
        row, to_row, to_weight, off = rows[q], by_rows[q], by_weight[q], centre[q // m]
        to_row[:] = 0
        to_weight[:] = 0
        total = np.float32(0)
        for p in range(starts[q], starts[q + 1]):
            error, cell, value = by_rebuilt[at[p]], cells[at[p] % n], values[p]
            by_code = by_total[q // m]
            for c in range(len(row)):
                by_code += error[c] * row[c]
            for c in range(len(row)):
                to_row[c] += value * error[c]
                to_weight[c] += by_code * cell[c]
            total += by_code
        if total != 0:
            for c in range(len(row)):
                to_weight[c] -= total * off[c]
        by_bias[q] = total


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _adam(point: Any, gradient: Any, mean: Any, squares: Any, scale: Any, root: Any, unit: Any) -> None:
    """Adam row by row."""
    first, second, eps = np.float32(1 - BETA), np.float32(1 - BETA_SQUARES), np.float32(EPS)
    for r in range(len(point)):
        for q in range(point.shape[1]):
            row, slope, centre, spread = point[r, q], gradient[r, q], mean[r, q], squares[r, q]
            along, length = np.float32(0), np.float32(0)
            if unit:
                for c in range(len(row)):
                    along += slope[c] * row[c]
            for c in range(len(row)):
                change = slope[c] - along * row[c]
                centre[c] += first * (change - centre[c])
                spread[c] += second * (change * change - spread[c])
                row[c] -= scale[r] * centre[c] / (np.sqrt(spread[c]) * root + eps)
                length += row[c] * row[c]
            if unit:
                length = np.float32(1) / np.sqrt(length)
                for c in range(len(row)):
                    row[c] *= length
