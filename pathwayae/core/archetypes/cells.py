"""The cells of a fit, read in chunks: an array, a CSR matrix or blocks from anywhere; centred, with one scale."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.sparse import canonical

Floats = NDArray[np.float64]

CHUNK_VALUES = 2**19  # float64 values of one dense chunk: 4 MB, so that it stays near the processor
MIN_ROWS, MAX_ROWS = 256, 8192


@runtime_checkable
class Blocks(Protocol):
    """Cells that arrive in blocks, again and again in the same order.

    Attributes
    ----------
    n
        Number of cells.
    n_features
        Number of features d.
    """

    n: int
    n_features: int

    def blocks(self) -> Iterator[Any]:
        """All cells from the first on: dense or CSR, each of shape (b, d)."""
        ...


Source: TypeAlias = Any  # numpy array, scipy sparse matrix or Blocks, cells × features


class Cells:
    """Cells as a fit sees them: ``(x − center) / scale``, in dense float64 chunks, never all at once.

    Parameters
    ----------
    source
        Cells × features: array, scipy sparse matrix, or :class:`Blocks`.
    row_weights
        Shape (n,), non-negative; by default one each. A cell of weight zero is as good as absent: it is not fitted,
        and no archetype is made of it.
    corners
        Whether archetypes may be made of a cell, shape (n,); by default of all with weight.
    ids
        What the cells are called in the whole, shape (n,); by default their positions.

    Attributes
    ----------
    n, n_features
        Shape of the source.
    weights
        Shape (n,) float64.
    corners, ids
        As given.
    mass
        Sum of the weights.
    center
        Weighted mean, shape (d,).
    scale
        Root of the weighted mean squared distance to it, so that this is 1 for the scaled cells.

    Raises
    ------
    ValueError
        If there are no cells, values or weights are not finite, weights do not fit, or all cells are equal.
    TypeError
        If the source is neither.

    Examples
    --------
    >>> cells = Cells(np.array([[0.0], [2.0]]))
    >>> cells.center, cells.scale
    (array([1.]), 1.0)
    >>> [chunk.tolist() for _, chunk in cells.chunks()]
    [[[-1.0], [1.0]]]
    """

    def __init__(
        self,
        source: Source,
        row_weights: NDArray[Any] | None = None,
        *,
        corners: NDArray[np.bool_] | None = None,
        ids: NDArray[np.int64] | None = None,
    ) -> None:
        self.source = checked(source)
        self.n, self.n_features = shape(self.source)
        self.weights = _checked_weights(row_weights, self.n)
        self.corners = self.weights > 0 if corners is None else corners & (self.weights > 0)
        self.ids = np.arange(self.n) if ids is None else ids
        self.center, spread = self._moments()
        self.mass = float(self.weights.sum())
        self.scale = float(np.sqrt(spread / self.mass))

    def chunks(self) -> Iterator[tuple[int, Floats]]:
        """First position and values, scaled, of one chunk after the other; the values are the caller's."""
        factor = 1 / self.scale
        for start, values in chunks(self.source):
            values -= self.center
            values *= factor
            yield start, values

    def to_input(self, points: Floats) -> Floats:
        """Scaled coordinates in the units of the source."""
        return points * self.scale + self.center

    def from_input(self, points: NDArray[Any]) -> Floats:
        """Coordinates in the units of the source, scaled."""
        return (np.asarray(points, dtype=np.float64) - self.center) / self.scale

    def rows(self, positions: NDArray[np.int64]) -> Floats:
        """Some cells, scaled, in the order asked for."""
        found = np.empty((len(positions), self.n_features))
        for start, values in self.chunks():
            inside = (positions >= start) & (positions < start + len(values))
            found[inside] = values[positions[inside] - start]
        return found

    def _moments(self) -> tuple[Floats, float]:
        """Mean, and sum of squared distances to it, merged chunk by chunk so that no digits are lost."""
        mean, spread, mass = np.zeros(self.n_features), 0.0, 0.0
        for start, values in chunks(self.source):
            check_finite(values, start)
            w = self.weights[start : start + len(values)]
            more = w.sum()
            if more == 0:
                continue
            own = w @ values / more
            spread += float(w @ np.square(values - own).sum(1))
            spread += float(np.square(own - mean).sum()) * mass * more / (mass + more)
            mass += more
            mean += (own - mean) * (more / mass)
        if spread <= 1e-24 * max(1.0, float(np.square(mean).sum())) * mass:
            msg = "All cells are equal (no feature varies), so there are no archetypes; look at the input."
            raise ValueError(msg)
        return mean, spread


def chunks(source: Source) -> Iterator[tuple[int, Floats]]:
    """First position and values, dense float64 copies, of one chunk after the other."""
    n, d = shape(source)
    rows = int(np.clip(CHUNK_VALUES // d, MIN_ROWS, MAX_ROWS))
    start = 0
    for block in source.blocks() if isinstance(source, Blocks) else [source]:
        values = canonical(block, "A block of cells")
        if start + values.shape[0] > n:
            _check_count(start + values.shape[0], n)
        if values.ndim != 2 or values.shape[1] != d:
            msg = f"A block of cells has shape {values.shape}; {d} features are expected."
            raise ValueError(msg)
        for first in range(0, values.shape[0], rows):
            part = values[first : first + rows]
            yield start + first, np.array(part.toarray() if sp.issparse(part) else part, dtype=np.float64)
        start += values.shape[0]
    _check_count(start, n)


def _check_count(found: int, n: int) -> None:
    if found != n:
        held = "more than" if found > n else f"{found}, not"
        msg = f"The blocks hold {held} the {n} cells of their attribute n; it must count all of them."
        raise ValueError(msg)


def check_finite(values: Floats, start: int) -> None:
    """Refuse NaN and infinite values, naming the first; ``start`` is the position of the first cell."""
    if np.isfinite(values).all():
        return
    row, column = (int(i[0]) for i in np.nonzero(~np.isfinite(values)))
    msg = (
        f"X holds {values[row, column]} at cell {start + row}, feature {column}; archetypes need finite values: drop "
        f"such cells or fill them in."
    )
    raise ValueError(msg)


def checked(source: Source) -> Source:
    """The source, CSR where it is sparse; refused where it cannot hold cells."""
    if isinstance(source, Blocks) and not isinstance(source, np.ndarray):
        return source
    if sp.issparse(source):
        source = canonical(source)
    elif not isinstance(source, np.ndarray):
        msg = f"X is a {type(source).__name__}; pass an array, a scipy sparse matrix or blocks of cells."
        raise TypeError(msg)
    if source.ndim != 2:
        msg = f"X has {source.ndim} dimensions; pass cells × features."
        raise ValueError(msg)
    if source.dtype.kind not in "fiub":
        msg = f"X is of type {source.dtype}; pass real numbers."
        raise TypeError(msg)
    return source


def shape(source: Source) -> tuple[int, int]:
    """Cells and features of a source, at least one of each."""
    n, d = (source.n, source.n_features) if isinstance(source, Blocks) else source.shape
    if n == 0 or d == 0:
        msg = f"X has {n} cells and {d} features; at least one of each is needed."
        raise ValueError(msg)
    return int(n), int(d)


def _checked_weights(row_weights: NDArray[Any] | None, n: int) -> Floats:
    if row_weights is None:
        return np.ones(n)
    weights = np.asarray(row_weights, dtype=np.float64)
    if weights.shape != (n,):
        msg = f"row_weights has shape {weights.shape}; one weight per cell is needed: ({n},)."
        raise ValueError(msg)
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() == 0:
        msg = "row_weights must be finite and non-negative, and not all zero."
        raise ValueError(msg)
    return weights


def check_distinct(cells: Cells, k: int) -> None:
    """Refuse more archetypes than distinct cells to make them of.

    Raises
    ------
    ValueError
        Naming both numbers.
    """
    seen = np.empty((0, cells.n_features))
    for start, values in cells.chunks():
        inside = values[cells.corners[start : start + len(values)]]
        seen = np.unique(np.concatenate([seen, inside]), axis=0)
        if len(seen) >= k:
            return
    msg = f"n_archetypes={k}, but there are only {len(seen)} distinct cells; ask for at most {len(seen)} archetypes."
    raise ValueError(msg)
