"""Bases of the columns of tall matrices and leading eigenvectors of large operators, through products alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.blas import one_thread

Floats = NDArray[np.float64]

TINY = 1e-7  # singular value, relative to the largest, below which a direction is rounding
BEYOND = 10  # directions followed beside those that are asked for
DEPTH, LAST = 8, 4  # products of one cycle on the way, and of one at the end
CYCLES = 3  # at most, one where directions are known; of those that noise alone tells apart no more come to anything
ROUGH, TOLERANCE = 1e-4, 1e-6  # of a residual, relative to the largest eigenvalue


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
        for _ in range(2):
            if not basis.size:
                return basis[:, :0]
            values, vectors = np.linalg.eigh(basis.T @ basis)
            kept = values > TINY**2 * max(values[-1], 1e-300)
            basis = basis @ (vectors[:, kept] / np.sqrt(values[kept]))
    return basis


def krylov(product: Callable[[Floats], Floats], block: Floats, depth: int) -> tuple[Floats, Floats]:
    """Orthonormal basis of ``V, MV, …, M^(d−1) V`` for an orthonormal V, as far as there are rows, and its image."""
    g, width = block.shape
    basis, images = np.empty((2, g, min(depth * width, g)), order="C")
    image, n = product(block), width
    basis[:, :n], images[:, :n] = block, image
    for _ in range(1, depth):
        before = basis[:, :n]
        with one_thread(4.0 * before.size * image.shape[1]):
            rest = image - before @ (before.T @ image)
            length = np.linalg.norm(rest, axis=0)
            new = orthonormal(rest[:, length > 1e-10 * max(float(np.linalg.norm(image, axis=0).max()), 1e-300)])
            new = new[:, : g - n]
            if not new.size:
                break
            new = orthonormal(new - before @ (before.T @ new))  # once leaves what rounding makes of it
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
    rough: Callable[[Floats], Floats] | None = None,
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
        The same product in less precision, to come near.

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
    rough = product if rough is None else rough
    known = start is not None and start.shape[1] >= width
    if start is None or not known:
        block = orthonormal(np.random.default_rng(0).normal(size=(n_rows, width)))
    else:
        block = start @ np.linalg.eigh(start.T @ rough(start))[1][:, : -width - 1 : -1]
    values = np.zeros(0)
    far = CYCLES if not known else int(not near)
    for times, depth, tolerance, most in ((rough, DEPTH, ROUGH, far), (product, LAST, TOLERANCE, 1)):
        for _ in range(most):
            values, block, rest = _cycle(times, block, depth, n)
            if rest <= tolerance:
                break
    return values[:n], block[:, :n]


def _cycle(product: Callable[[Floats], Floats], block: Floats, depth: int, n: int) -> tuple[Floats, Floats, float]:
    """The best of the Krylov space of a block: values, vectors, and the largest residual of the first n of them."""
    basis, images = krylov(product, block, depth)
    inside = basis.T @ images
    with one_thread(10.0 * len(inside) ** 3):
        found, inner = np.linalg.eigh(inside)
    best = slice(None, -block.shape[1] - 1, -1)
    values, vectors, image = found[best], basis @ inner[:, best], images @ inner[:, best]
    rest = np.linalg.norm(image[:, :n] - vectors[:, :n] * values[:n], axis=0).max(initial=0.0)
    return values, vectors, float(rest / max(np.abs(found).max(), 1e-300))
