"""Bases of the columns of tall matrices and leading eigenvectors of large operators, through products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.blas import one_thread

Floats = NDArray[np.float64]

TINY, ROUGHLY_TINY = 1e-7, 3e-4  # singular value, relative to the largest, below which a direction is rounding
BEYOND = 10  # directions followed beside those that are asked for
DEPTH, LAST, SHORT = 10, 4, 2  # products of one cycle on the way, and of the last one; fewer after a rough one
CYCLES = 3  # at most, one where directions are known; of those that noise alone tells apart no more come to anything
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


def krylov(product: Callable[[Any], Any], block: Any, depth: int) -> tuple[Any, Any]:
    """Orthonormal basis of ``V, MV, …, M^(d−1) V`` for an orthonormal V, as far as there are rows, and its image.

    In the precision of V, which is also that of the products.
    """
    g, width = block.shape
    basis, images = np.empty((2, g, min(depth * width, g)), dtype=block.dtype)
    image, n = product(block), width
    basis[:, :n], images[:, :n] = block, image
    for _ in range(1, depth):
        before = basis[:, :n]
        with one_thread(4.0 * before.size * image.shape[1]):
            rest = image - before @ (before.T @ image)
            length = np.linalg.norm(rest, axis=0)
            nothing = _tiny(block) * 1e-3 * max(float(np.linalg.norm(image, axis=0).max()), 1e-300)
            new = _whitened(rest[:, length > nothing])[:, : g - n]
            if not new.size:
                break
            new = _whitened(new - before @ (before.T @ new))  # once leaves what rounding makes of it
        image = product(new)
        basis[:, n : n + new.shape[1]], images[:, n : n + new.shape[1]] = new, image
        n += new.shape[1]
    return basis[:, :n], images[:, :n]


def leading(
    product: Callable[[Floats], Floats],
    n_rows: int,
    n: int,
    *,
    start: Floats | None = None,
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
    start
        Orthonormal columns to look in first, shape (n_rows, m), m ≥ n.
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
    known = start is not None and start.shape[1] >= width
    block: Any = start if known else orthonormal(np.random.default_rng(0).normal(size=(n_rows, width)))
    block = block.astype(kind)
    if known:
        block = block @ np.linalg.eigh(block.T @ rough(block))[1][:, : -width - 1 : -1]
    for _ in range(CYCLES if not known else int(not near)):
        _, block, rest = _cycle(rough, block, DEPTH, n)
        if rest <= ROUGH:
            break
    block = block if near else orthonormal(block)
    values, block, _ = _cycle(product, block, LAST if near else SHORT, n)
    return values[:n], block[:, :n]


def _cycle(product: Callable[[Any], Any], block: Any, depth: int, n: int) -> tuple[Any, Any, float]:
    """The best of the Krylov space of a block: values, vectors, and the largest residual of the first n of them."""
    basis, images = krylov(product, block, depth)
    inside = basis.T @ images
    with one_thread(10.0 * len(inside) ** 3):
        found, inner = np.linalg.eigh(inside)
    best = slice(None, -block.shape[1] - 1, -1)
    values, vectors, image = found[best], basis @ inner[:, best], images @ inner[:, best]
    rest = np.linalg.norm(image[:, :n] - vectors[:, :n] * values[:n], axis=0).max(initial=0.0)
    return values, vectors, float(rest / max(np.abs(found).max(), 1e-300))
