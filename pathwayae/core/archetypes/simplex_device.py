"""Weights of cells over archetypes with torch, for many problems at once: the active set of all rows side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

TOLERANCE = 1e-11  # of a reduced gradient, in units of the largest squared length of an archetype
RIDGE = 1e-12  # keeps the systems of coinciding points solvable, same units
NOWHERE = -1e6  # linear term of an archetype that pads a smaller problem: never worth a weight


def solve(gram: Tensor, linear: Tensor, start: Tensor) -> Tensor:
    """Minimise ``½ aᵀGa − qᵀa`` over the simplex for every row q, exactly.

    The steps of :func:`~pathwayae.core.archetypes.active_set.minimize`, taken by all rows at a time; rows that have
    ended wait no longer. A round is one batched Cholesky factorisation.

    Parameters
    ----------
    gram
        Shape (R, k, k), float64.
    linear, start
        Shape (R, n, k), float64; rows of ``start`` on the simplex, or zeros.

    Returns
    -------
    Shape (R, n, k).
    """
    import torch

    n_problems, n, k = linear.shape
    shift = gram.diagonal(dim1=-2, dim2=-1).amax(-1)
    shift = torch.where(shift > 0, shift, torch.ones_like(shift))
    a, q = start.reshape(-1, k).clone(), linear.reshape(-1, k)
    problem = torch.arange(n_problems, device=a.device).repeat_interleave(n)
    empty = (a.sum(-1) == 0).nonzero().ravel()
    diagonal = gram.diagonal(dim1=-2, dim2=-1)
    a[empty, (0.5 * diagonal[problem[empty]] - q[empty]).argmin(-1)] = 1
    todo = torch.arange(len(a), device=a.device)
    support, entered = a > 0, torch.full((len(a),), -1, device=a.device)
    for _ in range(10 * k + 20):
        if len(todo) == 0:
            break
        rows = problem[todo]
        one = _round(gram[rows], shift[rows, None], q[todo], a[todo], support[todo], entered[todo])
        a[todo], support[todo], entered[todo], ended = one
        todo = todo[~ended]
    return a.reshape(linear.shape)


def _round(
    gram: Tensor, shift: Tensor, q: Tensor, a: Tensor, support: Tensor, entered: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One step of every row: new weights, supports, entries that came in last, and which rows have ended."""
    import torch

    best, level = _on_support(gram, shift, q, support)
    blocked = support & (best <= 0)
    ratio = torch.where(blocked, a / (a - best).clamp(min=1e-300), torch.inf)
    step, out = ratio.min(-1, keepdim=True)
    back = blocked.any(-1)
    part = torch.where(back[:, None], a + torch.where(support, step * (best - a), 0.0), best)
    part = part.scatter(-1, out, torch.where(back[:, None], 0.0, part.gather(-1, out))).clamp_(min=0)
    kept = torch.where(back[:, None], support & (part > 0), support)
    gradient = (part[:, None] @ gram)[:, 0] - q
    reduced = torch.where(kept, torch.inf, gradient - level)
    lowest, coming = reduced.min(-1)
    comes = ~back & (lowest < -TOLERANCE * shift[:, 0])
    kept = kept | (comes[:, None] & torch.nn.functional.one_hot(coming, a.shape[-1]).bool())
    stuck = back & (out[:, 0] == entered)  # only rounding can turn back what has just come in
    now = torch.where(comes, coming, torch.where(back, entered, -1))
    return part, kept, now, stuck | (~back & ~comes)


def _on_support(gram: Tensor, shift: Tensor, q: Tensor, support: Tensor) -> tuple[Tensor, Tensor]:
    """Minimiser with sum one on each support, zero elsewhere, and the value that the gradient has on it."""
    import torch

    inside = support.to(q.dtype)
    # The same for all entries changes nothing, and costs digits where it is large.
    offset = (q * inside).sum(-1, keepdim=True) / inside.sum(-1, keepdim=True)
    q = q - offset
    system = (gram + shift[..., None]) * inside[:, :, None] * inside[:, None, :]
    diagonal = torch.where(support, RIDGE * shift, torch.ones_like(q))
    factor, _ = torch.linalg.cholesky_ex(system + torch.diag_embed(diagonal))
    solved = torch.cholesky_solve(torch.stack([q * inside, inside], -1), factor)
    u, v = solved[..., 0], solved[..., 1]
    level = (1 - u.sum(-1, keepdim=True)) / v.sum(-1, keepdim=True)
    return (u + level * v) * inside, level - shift - offset


def weights(x: NDArray[Any], archetypes: NDArray[Any], start: NDArray[Any], device: str) -> NDArray[np.float64]:
    """Weights of cells, shape (n, k), computed on a device in float64."""
    import torch

    points = torch.as_tensor(np.asarray(x, dtype=np.float64), device=device)
    z = torch.as_tensor(archetypes, device=device)
    found = solve((z @ z.T)[None], (points @ z.T)[None], torch.as_tensor(start, device=device)[None])
    return found[0].cpu().numpy()
