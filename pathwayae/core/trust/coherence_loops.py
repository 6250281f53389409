"""Coherence of many gene sets from correlations of low rank, in compiled loops: the matrix is never formed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.threads import threads

AT_ONCE = 16  # draws per thread that wait for each other

Floats = NDArray[np.float64]


def coherences(
    correlation: LowRank, members: Sequence[NDArray[np.intp]], moves: Iterable[NDArray[np.intp]]
) -> Iterator[Floats]:
    """Mean correlation of two members of every set, (p,), after each of the moves of the genes.

    With ``R = F Fᵀ + diag(d)`` it is ``(‖F_Sᵀ1‖² − ‖F_S‖²) / (m (m − 1))``: the diagonal takes no part.

    Parameters
    ----------
    correlation
        Of the genes.
    members
        Genes of each set; sets of fewer than two have coherence 0.
    moves
        The gene in the place of each gene, shape (g,).
    """
    factors = np.ascontiguousarray(correlation.factors, dtype=np.float32)
    squares = np.einsum("ij,ij->i", factors, factors, dtype=np.float64)
    bounds = np.cumsum([0, *map(len, members)])
    genes = np.concatenate([np.zeros(0, dtype=np.intp), *members])
    waiting = iter(moves)

    def one(moved: NDArray[np.intp]) -> Floats:
        result = np.zeros(len(members))
        _sums(factors, squares, moved[genes], bounds, result)
        return result

    with ThreadPoolExecutor(threads()) as pool:
        while batch := [moved.copy() for moved in islice(waiting, AT_ONCE * threads())]:
            yield from pool.map(one, batch)


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _sums(  # type: ignore[no-untyped-def]  # noqa: ANN202
    factors: Any, squares: Any, genes: Any, bounds: Any, result: Any
):
    """Rows of every set added up in float64, so that their order does not count."""
    r = factors.shape[1]
    total = np.zeros(r)
    for j in range(len(result)):
        m = bounds[j + 1] - bounds[j]
        if m < 2:
            continue
        total[:] = 0.0
        own = 0.0
        for p in range(bounds[j], bounds[j + 1]):
            row = factors[genes[p]]
            own += squares[genes[p]]
            for q in range(r):
                total[q] += row[q]
        both = 0.0
        for q in range(r):
            both += total[q] * total[q]
        result[j] = (both - own) / (m * (m - 1))
