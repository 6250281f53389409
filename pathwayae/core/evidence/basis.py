"""Bases of the columns of tall matrices and leading eigenvectors of large operators, through products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.threads import one_thread

Floats = NDArray[np.float64]

TINY, ROUGHLY_TINY = 1e-7, 3e-4  # singular value, relative to the largest, below which a direction is rounding
SPENT, ROUGHLY_SPENT = 1e-10, 1e-5  # length of what an image adds to a space, relative to it, that is rounding
BEYOND = 10  # directions followed beside those that are asked for
DEPTH, LAST, SHORT = 10, 4, 2  # products of one cycle on the way, and of the last one; fewer after a rough one
CYCLES = 3  # at most; of directions that noise alone tells apart no more come to anything
NARROW, DEEP = 8, 18  # columns at least and products where directions are known: half as many columns, more products
ROUGH = 1e-4  # of a residual, relative to the largest eigenvalue: near enough


def orthonormal(columns: Floats) -> Floats:
    """Orthonormal basis of the span of columns of similar length, shape (g, rank).

    With ``XᵀX = VΛVᵀ`` the basis is ``XVΛ^(−½)``, taken twice, since the first is only orthogonal to the square root of
    the precision (CholeskyQR2; Yamamoto et al. 2015, ETNA 44:306–326). It costs 4 g k² multiplications in
    three products, where a singular value decomposition costs several times that.

    Examples
    --------
    >>> basis = orthonormal(np.array([[1.0, 1.0, 2.0], [0.0, 1.0, 1.0], [0.0, 0.0, 0.0]]))
    >>> basis.shape, bool(np.allclose(basis.T @ basis, np.eye(2)))
    ((3, 2), True)
    """
    basis = np.asarray(columns, dtype=np.float64)
    with one_thread(4.0 * basis.size * basis.shape[1]):
        return _whitened(_whitened(basis))


def _whitened(columns: Any) -> Any:
    """``XVΛ^(−½)`` without the directions that are rounding, in the precision of the columns."""
    if not columns.size:
        return columns[:, :0]
    values, vectors = np.linalg.eigh((columns.T @ columns).astype(np.float64))
    kept = values > _tiny(columns) ** 2 * max(values[-1], 1e-300)
    return columns @ (vectors[:, kept] / np.sqrt(values[kept])).astype(columns.dtype)


def _tiny(columns: Any) -> float:
    return TINY if columns.dtype == np.float64 else ROUGHLY_TINY


def spent(columns: Any) -> float:
    """What is rounding in the precision of the columns, relative to the largest."""
    return SPENT if columns.dtype == np.float64 else ROUGHLY_SPENT


class Krylov(NamedTuple):
    """Orthonormal basis V of a Krylov space of M, its image ``M V``, both (g, n), and what M is inside, ``VᵀM V``."""

    basis: Any
    images: Any
    inside: Any


def krylov(product: Callable[[Any], Any], block: Any, depth: int) -> Krylov:
    """The space of ``V, MV, …, M^(d−1) V`` for an orthonormal V and a symmetric M, as far as there are rows.

    In the precision of V, which is also that of the products.
    """
    g, width = block.shape
    size = min(depth * width, g)
    basis, images = np.empty((2, g, size), dtype=block.dtype)
    inside = np.empty((size, size), dtype=block.dtype)
    new, n = block, 0
    for step in range(1, depth + 1):
        image = product(new)
        begin, n = n, n + new.shape[1]
        basis[:, begin:n], images[:, begin:n] = new, image
        before = basis[:, :n]
        with one_thread(4.0 * before.size * image.shape[1]):
            along = before.T @ image
            inside[:n, begin:n], inside[begin:n, :n] = along, along.T
            if step == depth:
                break
            rest = image - before @ along
            length = np.linalg.norm(rest, axis=0)
            nothing = spent(block) * max(float(np.linalg.norm(image, axis=0).max()), 1e-300)
            new = _whitened(rest[:, length > nothing])[:, : g - n]
            if not new.size:
                break
            new = _whitened(new - before @ (before.T @ new))  # once leaves what rounding makes of it
    return Krylov(basis[:, :n], images[:, :n], inside[:n, :n])


def leading(
    product: Callable[[Floats], Floats],
    n_rows: int,
    n: int,
    *,
    rough: Callable[[Any], Any] | None = None,
) -> tuple[Floats, Floats]:
    """The n largest eigenvalues of a symmetric operator and their vectors, by block Krylov with restarts.

    In each cycle the space of ``V, MV, M²V, …`` is built and the best of it kept (Rayleigh–Ritz), which is where the
    next one starts; blocks of columns make few large products of many small ones (Musco and Musco 2015,
    arXiv:1504.05477). It starts from the same directions always, row by row in their order.

    Parameters
    ----------
    product
        ``V ↦ M V`` for V of shape (n_rows, m).
    n_rows
        Rows of M.
    n
        Number of vectors, at most n_rows.
    rough
        The same product of columns in float32, to come near.

    Returns
    -------
    Eigenvalues from the largest, shape (n,), and vectors of unit length, shape (n_rows, n).

    Examples
    --------
    >>> values, vectors = leading(lambda v: np.arange(100.0)[:, None] * v, 100, 2)
    >>> values.round(6), np.abs(vectors[98:]).round(3).tolist()
    (array([99., 98.]), [[0.0, 1.0], [1.0, 0.0]])
    """
    width = min(n + BEYOND, n_rows)
    near = rough is None  # no cheaper way to come near than the product itself
    rough, kind = (product, np.float64) if rough is None else (rough, np.float32)
    block: Any = orthonormal(np.random.default_rng(0).normal(size=(n_rows, width))).astype(kind)
    for _ in range(CYCLES):
        _, block, rest = _cycle(rough, block, DEPTH, n, width)
        if rest <= ROUGH:
            break
    block = block if near else orthonormal(block)
    values, block, _ = _cycle(product, block, LAST if near else SHORT, n, width)
    return values[:n], block[:, :n]


def leading_near(
    product: Callable[[Floats], Floats],
    start: Floats,
    n: int,
    *,
    rough: Callable[[Any], Any] | None = None,
    within: Callable[[Floats], Floats] = np.asarray,
) -> tuple[Floats, Floats]:
    """The n largest eigenvalues of a symmetric operator that is known roughly, and their vectors.

    One deep Krylov space of few columns is enough, which are mixtures of all that is known: powers of M part what is
    large from the rest. Leading vectors are exact to rounding. Those among a hundred of nearly the same size, which
    noise alone tells apart, have a cosine of 0.999 with the exact ones.

    Parameters
    ----------
    product
        ``V ↦ M V`` for columns V of the space.
    start
        Columns S of the space, shape (n_rows, m), m > n, with M roughly ``S Sᵀ``.
    n
        Number of vectors.
    rough
        The same product of columns in float32, to come near.
    within
        Projector on the space, which M maps to itself; by default all rows.

    Returns
    -------
    Eigenvalues from the largest and vectors of unit length: n of them, or fewer where M has no more.
    """
    width = n + BEYOND
    directions = _evened(start, width)
    mixing = np.random.default_rng(0).normal(size=(directions.shape[1], max(NARROW, -(-n // 2))))
    return _polished(product, orthonormal(directions @ mixing), DEEP, n, rough, within)


def leading_followed(
    product: Callable[[Floats], Floats],
    start: Floats,
    n: int,
    *,
    rough: Callable[[Any], Any],
    within: Callable[[Floats], Floats] = np.asarray,
) -> tuple[Floats, Floats]:
    """:func:`leading_near` of an operator of which all that matters is known.

    The leading directions of S are followed one by one, a few products long: for an operator of low rank and a
    diagonal, S its factors, of which the diagonal turns them little.
    """
    width = n + BEYOND
    block = orthonormal(_evened(start, width)[:, -width:])
    return _polished(product, block, LAST, n, rough, within)


def _polished(
    product: Callable[[Floats], Floats],
    block: Floats,
    depth: int,
    n: int,
    rough: Callable[[Any], Any] | None,
    within: Callable[[Floats], Floats],
) -> tuple[Floats, Floats]:
    """Leading values and vectors from the Krylov space of a block, roughly first where that is cheaper."""
    if not block.shape[1]:
        return np.zeros(0), block
    width = n + BEYOND
    if rough is not None:
        _, block, _ = _cycle(rough, block.astype(np.float32), depth, n, width)
        block, depth = orthonormal(within(block.astype(np.float64))), 1
    values, block, _ = _cycle(product, block, depth, n, width)
    return values[:n], block[:, :n]


def _evened(start: Floats, n: int) -> Floats:
    """Left singular vectors of S, the n leading ones last and of length 1, the others shorter the less they are."""
    if not start.size:
        return start
    squares, right = np.linalg.eigh(start.T @ start)
    least = max(squares[-min(n, len(squares))], TINY**2 * squares[-1], 1e-300)
    return np.asarray(start @ (right * np.clip(squares / least, 0.0, 1.0) / np.sqrt(np.maximum(squares, least))))


def _cycle(product: Callable[[Any], Any], block: Any, depth: int, n: int, width: int) -> tuple[Any, Any, float]:
    """The best of the Krylov space of a block: values, vectors, and the largest residual of the first n of them."""
    basis, images, inside = krylov(product, block, depth)
    with one_thread(10.0 * len(inside) ** 3):
        found, inner = np.linalg.eigh(inside)
    best = slice(None, -width - 1, -1)
    values, vectors, image = found[best], basis @ inner[:, best], images @ inner[:, best]
    rest = np.linalg.norm(image[:, :n] - vectors[:, :n] * values[:n], axis=0).max(initial=0.0)
    return values, vectors, float(rest / max(np.abs(found).max(), 1e-300))
