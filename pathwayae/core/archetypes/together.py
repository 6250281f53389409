"""Many fits to the same cells at once with torch: they share every pass over the cells, on a leading axis R."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.archetypes import simplex_device
from pathwayae.core.archetypes.alternation import Dialogue
from pathwayae.core.archetypes.cells import Cells
from pathwayae.core.archetypes.passes import PER_ARCHETYPE, Found, Offers, Request, Sums

if TYPE_CHECKING:
    from torch import Tensor

Floats = NDArray[np.float64]
Positions = NDArray[np.int64]

AT_ONCE = 2**26  # float64 values of the systems of all problems that are solved at a time: 512 MB


def drive(dialogues: Sequence[Dialogue], cells: Sequence[Cells], sizes: Sequence[int], device: str) -> None:
    """Answer the requests of all fits until each has ended.

    Parameters
    ----------
    dialogues
        One per fit.
    cells
        The same source for all, in memory; with the weights, center and scale of each fit.
    sizes
        Archetypes of each fit.
    device
        As torch names it. All is computed in float64.
    """
    problems = _Problems(cells, sizes, device)
    pending: dict[int, Request] = {}
    for r, dialogue in enumerate(dialogues):
        pending[r] = next(dialogue)
    while pending:
        found = problems.run(pending)
        for r, answer in found.items():
            try:
                pending[r] = dialogues[r].send(answer)
            except StopIteration:
                del pending[r]


class _Problems:
    """R problems over the same points, each in units of its own: ``v = ratio · u + shift``, u the shared ones."""

    def __init__(self, cells: Sequence[Cells], sizes: Sequence[int], device: str) -> None:
        import torch

        self.cells, self.sizes, self.device = cells, sizes, device
        shared = Cells(cells[0].source)
        source = shared.source
        dense = source.toarray() if sp.issparse(source) else source
        self.points = torch.as_tensor(np.asarray(dense, dtype=np.float64), device=device)
        self.points = (self.points - self._on_device(shared.center)) / shared.scale
        self.weights = torch.stack([self._on_device(one.weights) for one in cells])
        self.ratio = np.array([shared.scale / one.scale for one in cells])
        self.shift = np.array([(shared.center - one.center) / one.scale for one in cells])
        self.a = torch.zeros(len(cells), len(self.points), max(sizes), dtype=torch.float64, device=device)

    def run(self, requests: dict[int, Request]) -> dict[int, Found]:
        """One pass for all requests."""
        fitting = [r for r, request in requests.items() if request.archetypes is not None]
        looking = [r for r, request in requests.items() if request.directions is not None]
        sums = self._fit(fitting, [requests[r].archetypes for r in fitting]) if fitting else {}
        offers = self._look(looking, [requests[r].directions for r in looking]) if looking else {}
        return {r: Found(sums.get(r), offers.get(r)) for r in requests}

    def _fit(self, which: list[int], archetypes: Sequence[Floats | None]) -> dict[int, Sums]:
        import torch

        z = self._padded(
            [(_given(one) - self.shift[r]) / self.ratio[r] for r, one in zip(which, archetypes, strict=True)]
        )
        k = z.shape[1]
        gram = z @ z.mT
        unused = torch.as_tensor([[j >= self.sizes[r] for j in range(k)] for r in which], device=self.device)
        s, m = torch.zeros_like(gram), torch.zeros_like(z)
        squares = torch.zeros(len(which), dtype=torch.float64, device=self.device)
        worst, at = torch.full_like(squares, -1.0), torch.zeros(len(which), dtype=torch.int64, device=self.device)
        rows = torch.as_tensor(which, device=self.device)
        for first, last in self._stretches(len(which) * k * k):
            x = self.points[first:last]
            linear = (x @ z.mT).masked_fill_(unused[:, None, :], simplex_device.NOWHERE)
            a = simplex_device.solve(gram, linear, self.a[rows, first:last, :k])
            self.a[rows, first:last, :k] = a
            w = self.weights[rows, first:last]
            weighted = a * w[..., None]
            s += weighted.mT @ a
            m += weighted.mT @ x
            residual = (x - a @ z).square().sum(-1)
            squares += (w * residual).sum(-1)
            most, where = residual.masked_fill(w == 0, -1.0).max(-1)
            at = torch.where(most > worst, where + first, at)
            worst = torch.maximum(most, worst)
        arrays = [_to_numpy(one) for one in (s, m, squares, at, worst)]
        return {r: self._sums(r, *(one[i] for one in arrays)) for i, r in enumerate(which)}

    def _sums(self, r: int, s: Floats, m: Floats, squares: Floats, at: Positions, worst: Floats) -> Sums:
        """In the units of problem r; ``Σ w a`` are the row sums of S, since every cell's weights add up to one."""
        k, ratio = self.sizes[r], self.ratio[r]
        s = s[:k, :k]
        m = ratio * m[:k] + s.sum(1)[:, None] * self.shift[r]
        cell = int(at)
        point = self._in_units(r, _to_numpy(self.points[cell]))
        loss = float(squares) * ratio**2 / self.cells[r].mass
        return Sums(s, m, loss, 0.0, (int(self.cells[r].ids[cell]), point, float(worst) * ratio**2))

    def _look(self, which: list[int], directions: Sequence[Floats | None]) -> dict[int, Offers]:
        import torch

        g = self._padded([_given(one) for one in directions])
        k = g.shape[1]
        lowest = torch.empty(len(which), k, 0, dtype=torch.float64, device=self.device)
        where = torch.empty(len(which), k, 0, dtype=torch.int64, device=self.device)
        rows = torch.as_tensor(which, device=self.device)
        for first, last in self._stretches(len(which) * k):
            products = g @ self.points[first:last].T
            products = products.masked_fill((self.weights[rows, first:last] == 0)[:, None, :], torch.inf)
            values, at = products.topk(min(PER_ARCHETYPE, last - first), largest=False)
            lowest, where = torch.cat([lowest, values], -1), torch.cat([where, at + first], -1)
            lowest, order = lowest.topk(min(PER_ARCHETYPE, lowest.shape[-1]), largest=False)
            where = where.gather(-1, order)
        smallest, positions = _to_numpy(lowest), where.cpu().numpy()
        return {
            r: self._offers(r, _given(directions[i]), smallest[i, : self.sizes[r]], positions[i, : self.sizes[r]])
            for i, r in enumerate(which)
        }

    def _offers(self, r: int, directions: Floats, values: Floats, positions: Positions) -> Offers:
        import torch

        cells = np.unique(positions[np.isfinite(values)])
        points = self._in_units(r, _to_numpy(self.points[torch.as_tensor(cells, device=self.device)]))
        lowest = self.ratio[r] * values[:, 0] + directions @ self.shift[r]
        return Offers(lowest, self.cells[r].ids[cells], points)

    def _in_units(self, r: int, points: Floats) -> Floats:
        return self.ratio[r] * points + self.shift[r]

    def _padded(self, arrays: Sequence[Floats]) -> Tensor:
        """Arrays (k_r, d) with rows of zeros to the largest k."""
        k = max(len(one) for one in arrays)
        return self._on_device(np.stack([np.pad(one, ((0, k - len(one)), (0, 0))) for one in arrays]))

    def _stretches(self, per_cell: int) -> list[tuple[int, int]]:
        n, rows = len(self.points), max(1, AT_ONCE // per_cell)
        return [(first, min(first + rows, n)) for first in range(0, n, rows)]

    def _on_device(self, values: Floats) -> Tensor:
        import torch

        return torch.as_tensor(np.ascontiguousarray(values, dtype=np.float64), device=self.device)


def _given(array: Floats | None) -> Floats:
    if array is None:  # callers ask only for what a request holds
        raise RuntimeError
    return array


def _to_numpy(values: Tensor) -> NDArray[np.float64]:
    return values.cpu().numpy()
