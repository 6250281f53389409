"""Compiled loops of the reconstruction error of loadings on a support: low rank and a diagonal in the place of G.

Threads share the components, or the genes; each is added up by one of them in a fixed order, so that no number depends
on how many threads there are.
"""

from __future__ import annotations

from concurrent.futures import Executor
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.grouped.support import Support
from pathwayae.core.moments.low_rank import LowRank

FAST = {"reassoc", "nsz", "contract"}  # sums may be split over the lanes of a processor, always in the same way
PARTS = 16  # of like size, so that no thread waits long for the others
SMALL = 2**20  # products of two loadings of a gene, and of a loading and a factor; fewer are left to one thread

Floats = NDArray[np.float64]


class Relative(NamedTuple):
    """``G / tr G = F Fᵀ + diag(d)`` and, with entries hidden, what the error sees of a gene's own.

    Attributes
    ----------
    own, noise
        d and ``d + λ diag(G) / tr G``, shape (g,).
    factors
        F, shape (g, r).
    """

    own: Floats
    noise: Floats
    factors: Floats


class Gradient(NamedTuple):
    """What :func:`reconstruction` finds, and the products it went through.

    Attributes
    ----------
    squared
        ``1 − 2 tr A + tr((A + λ WᵀDW) B)``, for ``tr G`` is 1.
    trace, power
        ``tr A`` and ``tr((A + λ WᵀDW) B)``.
    gradient
        Of ``squared`` in every loading of the support, shape (nnz,).
    of_rest
        The same, summed over the genes outside the support of each component, shape (k,).
    profiles, residual
        ``Y = FᵀW`` and ``Y (B − 2I)``, a row per component, shape (k, r).
    mixed
        ``W Yᵀ``, shape (g, r).
    """

    squared: float
    trace: float
    power: float
    gradient: Floats
    of_rest: Floats
    profiles: Floats
    residual: Floats
    mixed: Floats


def relative(gram: LowRank, hidden: float) -> Relative:
    """A Gram matrix over its trace; ``hidden`` is λ of :func:`pathwayae.core.grouped.reconstruction.hiding`."""
    total = gram.trace()
    own = gram.own / total
    return Relative(own, own + hidden * gram.diagonal() / total, np.ascontiguousarray(gram.factors / np.sqrt(total)))


def reconstruction(weights: Floats, rest: Floats, support: Support, cells: Relative, pool: Executor | None) -> Gradient:
    """``‖X̃ − X̃WWᵀ‖² / tr G`` with entries of the input hidden, and its gradient on the support.

    W is ``S + 1 uᵀ``: u_j for the genes outside the support of component j, and S on the support alone. With
    ``Y = FᵀW``, ``B = WᵀW`` and E the diagonal of ``noise``, ``tr A = ‖Y‖² + Σ d_i w_ij²`` and
    ``tr((A + λ WᵀDW) B) = ‖W Yᵀ‖² + tr(WᵀEW B)``; half the gradient is
    ``f_i·(Y(B − 2I))_j + (W Yᵀ)_i·Y_j + e_i (W B)_ij + (W WᵀEW)_ij − 2 d_i w_ij``. ``Y B`` is ``(W Yᵀ)ᵀ W``, and of B
    and ``WᵀEW`` one row is held at a time.

    Parameters
    ----------
    weights
        Loadings on the support, shape (nnz,).
    rest
        u, shape (k,).
    support
        Where they are.
    cells
        Of :func:`relative`.
    pool
        Threads to share the work; this one alone if None.
    """
    own, noise, factors = cells
    shared = _pairs(support)
    pool = pool if shared[-1] + len(weights) * factors.shape[1] >= SMALL else None
    (g, r), k, columns, genes = factors.shape, len(rest), support.bounds, support.gene_bounds
    above = weights - np.repeat(rest, support.sizes)
    by_gene = above[support.places]
    profiles, residual, mixed = rest[:, None] * factors.sum(axis=0), np.empty((k, r)), np.empty((g, r))
    _share(_product, (columns, support.genes, above, factors, profiles), columns, pool)
    mixed[:] = (rest[:, None] * profiles).sum(axis=0)
    _share(_product, (genes, support.components, by_gene, profiles, mixed), genes, pool)
    residual[:] = rest[:, None] * mixed.sum(axis=0) - 2.0 * profiles
    sums = np.column_stack([_column_sums(support, above), _column_sums(support, above * noise[support.genes])])
    gradient, of_rest, trace, power = np.empty(len(weights)), np.empty(k), np.empty(k), np.empty(k)
    everything = (
        columns, support.genes, above, genes, support.components, by_gene, rest, sums, own, noise, factors, profiles,
        mixed, residual, gradient, of_rest, trace, power,
    )  # fmt: skip
    _share(_gradient, everything, shared, pool)
    of_rest += 2.0 * ((residual * factors.sum(axis=0)).sum(axis=1) + (profiles * mixed.sum(axis=0)).sum(axis=1))
    whole_trace = float((profiles**2).sum() + trace.sum())
    whole_power = float((mixed**2).sum() + power.sum())
    squared = 1.0 - 2.0 * whole_trace + whole_power
    return Gradient(squared, whole_trace, whole_power, gradient, of_rest, profiles, residual, mixed)


def _column_sums(support: Support, values: Floats) -> Floats:
    return np.bincount(support.columns, values, minlength=len(support.bounds) - 1).astype(np.float64)


def _pairs(support: Support) -> NDArray[np.intp]:
    """Pairs of components that share a gene, added up over the genes of each component and the components before."""
    sharing = np.diff(support.gene_bounds).astype(np.intp)[support.genes]
    return np.concatenate([[0], np.cumsum(sharing)])[support.bounds]


def _share(loop: Any, arrays: tuple[Any, ...], bounds: NDArray[Any], pool: Executor | None) -> None:
    """``loop(first, last, *arrays)`` for parts of the rows, by all threads; bounds count the work before each row."""
    rows = len(bounds) - 1
    if pool is None:
        loop(0, rows, *arrays)
        return
    ends = np.searchsorted(bounds, int(bounds[-1]) * np.arange(1, PARTS) / PARTS)
    cuts = np.unique([0, *ends.tolist(), rows]).tolist()
    list(pool.map(lambda first, last: loop(first, last, *arrays), cuts[:-1], cuts[1:]))


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _product(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, bounds: Any, places: Any, values: Any, rows: Any, result: Any
):
    """Add rows ``start:stop`` of a sparse matrix times a dense one."""
    for j in range(start, stop):
        for p in range(bounds[j], bounds[j + 1]):
            _add(result[j], rows[places[p]], values[p])


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _gradient(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, bounds: Any, genes: Any, above: Any, gene_bounds: Any, components: Any, by_gene: Any,
    rest: Any, sums: Any, own: Any, noise: Any, factors: Any, profiles: Any, mixed: Any, residual: Any, gradient: Any,
    of_rest: Any, trace: Any, power: Any
):  # fmt: skip
    """Components ``start:stop``."""
    k, g = len(rest), float(len(own))
    all_own, all_noise = own.sum(), noise.sum()
    shared = np.empty((k, 2))  # a row of WᵀW and one of WᵀEW
    for j in range(start, stop):
        first, last, u = bounds[j], bounds[j + 1], rest[j]
        mine, values = genes[first:last], above[first:last]
        _add_rows(mine, values, gene_bounds, components, by_gene, noise, shared)
        level, level_seen, both, outside = 0.0, 0.0, 0.0, 0.0
        one, two = sums[j, 0] + g * u, sums[j, 1] + all_noise * u
        for q in range(k):
            shared[q, 0] += one * rest[q] + u * sums[q, 0]
            shared[q, 1] += two * rest[q] + u * sums[q, 1]
            level += rest[q] * shared[q, 0]
            level_seen += rest[q] * shared[q, 1]
            both += shared[q, 0] * shared[q, 1]
            outside += (sums[q, 1] + all_noise * rest[q]) * shared[q, 0] + (sums[q, 0] + g * rest[q]) * shared[q, 1]
        for p in range(len(mine)):
            _add(residual[j], mixed[mine[p]], values[p])
            gradient[first + p] = _dot(mixed[mine[p]], profiles[j])  # while the row is near
        power[j], trace[j] = both, all_own * u * u
        outside -= 2.0 * all_own * u
        for p in range(len(mine)):
            i, w = mine[p], values[p] + u
            some = slice(gene_bounds[i], gene_bounds[i + 1])
            same, seen = _along(components[some], by_gene[some], shared)
            half = gradient[first + p] + _dot(factors[i], residual[j]) + noise[i] * (same + level) + seen + level_seen
            gradient[first + p] = 2.0 * (half - 2.0 * own[i] * w)
            outside -= half - 2.0 * own[i] * u
            trace[j] += own[i] * (w * w - u * u)
        of_rest[j] = 2.0 * outside


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_rows(  # type: ignore[no-untyped-def]  # noqa: ANN202
    mine: Any, values: Any, gene_bounds: Any, components: Any, by_gene: Any, noise: Any, shared: Any
):
    """What a component has in common with every other on the support: ``Σ_i s_i s_il`` and ``Σ_i s_i e_i s_il``."""
    shared[:] = 0.0
    for p in range(len(mine)):
        i, s = mine[p], values[p]
        seen = noise[i] * s
        some = slice(gene_bounds[i], gene_bounds[i + 1])
        others, row = components[some], by_gene[some]
        for q in range(len(others)):
            shared[others[q], 0] += s * row[q]
            shared[others[q], 1] += seen * row[q]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _along(others: Any, row: Any, shared: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    same, seen = 0.0, 0.0
    for q in range(len(others)):
        same += row[q] * shared[others[q], 0]
        seen += row[q] * shared[others[q], 1]
    return same, seen


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add(total: Any, row: Any, value: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    for a in range(len(total)):
        total[a] += value * row[a]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _dot(one: Any, other: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    total = 0.0
    for a in range(len(one)):
        total += one[a] * other[a]
    return total
