"""Least squares over the simplex by an active set, compiled: many rows over few points, and points of a hull."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import register_jitable

TOLERANCE = 1e-11  # of a reduced gradient, in units of the largest squared length
RIDGE = 1e-12  # keeps the systems of coinciding points solvable, same units


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def rows(gram: Any, linear: Any, weights: Any):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Minimise ``½ aᵀGa − qᵀa`` over the simplex for each row q of ``linear`` (n, k), from and into ``weights``."""
    k = gram.shape[0]
    factor, parts, support = np.empty((k, k)), np.empty((3, k)), np.empty(k, np.int64)
    for i in range(len(linear)):
        minimize(gram, linear[i], weights[i], factor, parts, support)


@register_jitable  # type: ignore[untyped-decorator]
def minimize(  # type: ignore[no-untyped-def]  # noqa: ANN201
    gram: Any, linear: Any, weights: Any, factor: Any, parts: Any, support: Any
):
    """Solve one row; ``factor`` (s, s), ``parts`` (3, k) and ``support`` (s,) are scratch, s the largest support.

    On the simplex ``aᵀ(G + c11ᵀ)a`` differs from ``aᵀGa`` by the constant c; with it the systems are positive definite
    as soon as the points of the support are affinely independent.
    """
    k, most = len(linear), len(support)
    gradient, u, v = parts[0], parts[1], parts[2]
    size, shift = 0.0, 0.0
    for j in range(k):
        size = max(size, gram[j, j])
    shift = size if size > 0 else 1.0
    s = _first_support(gram, linear, weights, support)
    entered = -1
    for _ in range(10 * most + 20):
        level = _on_support(gram, linear, shift, factor, u, v, support, s)
        step, out = 1.0, -1
        for i in range(s):
            if u[i] <= 0.0:
                ratio = weights[support[i]] / (weights[support[i]] - u[i]) if weights[support[i]] > 0 else 0.0
                if ratio < step or out < 0:
                    step, out = ratio, i
        if out >= 0:
            stuck = support[out] == entered  # only rounding can turn back what has just come in
            s = _leave(weights, u, support, s, step, out)
            if stuck:
                break
            continue
        for i in range(s):
            weights[support[i]] = u[i]
        entered = _entering(gram, linear, weights, gradient, support, s, level - TOLERANCE * shift)
        if entered < 0 or s == most:
            break
        support[s] = entered
        s += 1


@register_jitable  # type: ignore[untyped-decorator]
def _entering(  # type: ignore[no-untyped-def]  # noqa: ANN202
    gram: Any, linear: Any, weights: Any, gradient: Any, support: Any, s: int, below: float
):
    """Entry at zero with the most negative gradient, if that is below a bound; else −1."""
    k = len(linear)
    for j in range(k):
        gradient[j] = -linear[j]
    for i in range(s):
        a, row = weights[support[i]], gram[support[i]]
        for j in range(k):
            gradient[j] += a * row[j]
    entered = -1
    for j in range(k):
        if weights[j] == 0.0 and gradient[j] < below:
            below, entered = gradient[j], j
    return entered


@register_jitable  # type: ignore[untyped-decorator]
def _first_support(gram: Any, linear: Any, weights: Any, support: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Entries above zero, or where there is none the best single one; returns how many."""
    k, most = len(linear), len(support)
    s = 0
    for j in range(k):
        if weights[j] > 0 and s < most:
            support[s] = j
            s += 1
        else:
            weights[j] = 0.0
    if s == 0:
        best = 0
        for j in range(k):
            if 0.5 * gram[j, j] - linear[j] < 0.5 * gram[best, best] - linear[best]:
                best = j
        weights[best], support[0], s = 1.0, best, 1
    return s


@register_jitable  # type: ignore[untyped-decorator]
def _leave(  # type: ignore[no-untyped-def]  # noqa: ANN202
    weights: Any, u: Any, support: Any, s: int, step: float, out: int
):
    """Go towards ``u`` until entry ``out`` of the support is zero and take it out; returns how many stay."""
    left = 0
    for i in range(s):
        j = support[i]
        weights[j] += step * (u[i] - weights[j])
        if i == out or weights[j] <= 0.0:
            weights[j] = 0.0
        else:
            support[left] = j
            left += 1
    return left


@register_jitable  # type: ignore[untyped-decorator]
def _on_support(  # type: ignore[no-untyped-def]  # noqa: ANN202
    gram: Any, linear: Any, shift: Any, factor: Any, u: Any, v: Any, support: Any, s: Any
):
    """Minimiser with sum one on the support, without signs, into ``u``; returns the common value of the gradient."""
    offset = linear[support[0]]  # the same for all entries changes nothing, and costs digits where it is large
    for i in range(s):
        row = gram[support[i]]
        for j in range(i + 1):
            value = row[support[j]] + shift
            if i == j:
                value += RIDGE * shift
            for p in range(j):
                value -= factor[i, p] * factor[j, p]
            if i == j:
                factor[i, i] = np.sqrt(max(value, RIDGE * shift))
            else:
                factor[i, j] = value / factor[j, j]
        u[i] = linear[support[i]] - offset
    _two_solves(factor, u, u, v, s)
    total, ones = 0.0, 0.0
    for i in range(s):
        total += u[i]
        ones += v[i]
    level = (1.0 - total) / ones
    for i in range(s):
        u[i] += level * v[i]
    return level - shift - offset


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def descend(  # type: ignore[no-untyped-def]  # noqa: ANN201
    gram: Any, s: Any, cross: Any, mixing: Any, most: int, tolerance: float, sweeps: int
):
    """Minimise ``tr(ZᵀSZ) − 2 tr(ZᵀM)`` over archetypes ``Z = B C`` that are mixtures of the points C.

    Block coordinates: with the others fixed, the optimal archetype j is the point of the hull of C that lies nearest
    to ``z_j + (M_j − S_j Z) / S_jj``. Everything is written through ``gram = C Cᵀ`` and ``cross = M Cᵀ``.

    Parameters
    ----------
    gram, s, cross
        Shapes (c, c), (k, k), (k, c).
    mixing
        B, shape (k, c), rows on the simplex; changed in place.
    most
        Points per archetype at most; d + 1 suffice.
    tolerance
        Ends when a sweep over all archetypes lowers the objective by less.
    sweeps
        At most so many.
    """
    k, c = mixing.shape
    most = min(most, c)
    factor, parts, support = np.empty((most, most)), np.empty((3, c)), np.empty(most, np.int64)
    image = mixing @ gram
    target, weights, moved = np.empty(c), np.empty(c), np.empty(c)
    for _ in range(sweeps):
        gain = 0.0
        for j in range(k):
            if s[j, j] <= 0.0:
                continue
            target[:] = cross[j]
            for other in range(k):
                if other != j:
                    target -= s[j, other] * image[other]
            target /= s[j, j]
            weights[:] = mixing[j]
            minimize(gram, target, weights, factor, parts, support)
            moved[:] = 0.0
            for i in range(c):
                if weights[i] > 0.0:
                    moved += weights[i] * gram[i]
            for i in range(c):
                gain += s[j, j] * (weights[i] - mixing[j, i]) * (moved[i] - image[j, i])
            image[j], mixing[j] = moved, weights
        if gain < tolerance:
            break


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def spread(gram: Any, linear: Any, weights: Any, mu: float):  # type: ignore[no-untyped-def]  # noqa: ANN201
    """Minimise ``½ aᵀGa − qᵀa + μ Σ a log a`` over the simplex for each row q of ``linear``; μ above zero.

    Newton's method with the steps taken in ``log a``, so that all weights stay above zero. ``weights`` (n, k) holds
    rows on the simplex to start from and is changed in place.
    """
    n, k = linear.shape
    factor, u, v = np.empty((k, k)), np.empty(k), np.empty(k)
    gradient, new = np.empty(k), np.empty(k)
    size = mu
    for j in range(k):
        size = max(size, gram[j, j])
    for i in range(n):
        a, q = weights[i], linear[i]
        for j in range(k):
            a[j] = max(a[j], 1e-9)
        a /= a.sum()
        value = _spread_value(gram, q, a, mu, gradient)
        for _ in range(100):
            decrement = _newton_step(gram, a, mu, gradient, factor, u, v)
            if decrement <= TOLERANCE * size:
                break
            step, better = 1.0, False
            for _ in range(40):
                for j in range(k):
                    new[j] = a[j] * np.exp(min(max(step * u[j] / a[j], -30.0), 3.0))
                new /= new.sum()
                for j in range(k):
                    new[j] = max(new[j], 1e-300)
                at = _spread_value(gram, q, new, mu, v)
                if at < value:
                    better = True
                    break
                step *= 0.5
            if not better:
                break
            value = at
            a[:], gradient[:] = new, v


@register_jitable  # type: ignore[untyped-decorator]
def _newton_step(  # type: ignore[no-untyped-def]  # noqa: ANN202
    gram: Any, a: Any, mu: float, gradient: Any, factor: Any, u: Any, v: Any
):
    """Newton's step of :func:`spread` within the plane of sum one, into ``u``; returns what it promises."""
    k = len(a)
    for r in range(k):
        for c in range(r + 1):
            entry = gram[r, c] + (mu / a[r] if r == c else 0.0)
            for p in range(c):
                entry -= factor[r, p] * factor[c, p]
            factor[r, c] = np.sqrt(max(entry, RIDGE * mu)) if r == c else entry / factor[c, c]
    _two_solves(factor, gradient, u, v, k)
    level = u.sum() / v.sum()
    decrement = 0.0
    for j in range(k):
        u[j] = level * v[j] - u[j]
        decrement -= gradient[j] * u[j]
    return decrement


@register_jitable  # type: ignore[untyped-decorator]
def _spread_value(gram: Any, q: Any, a: Any, mu: Any, gradient: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Objective of :func:`spread`; its gradient, but for a constant, into ``gradient``."""
    value = 0.0
    for j in range(len(a)):
        inner = 0.0
        for p in range(len(a)):
            inner += gram[j, p] * a[p]
        value += a[j] * (0.5 * inner - q[j] + mu * np.log(a[j]))
        gradient[j] = inner - q[j] + mu * np.log(a[j])
    return value


@register_jitable  # type: ignore[untyped-decorator]
def _two_solves(factor: Any, right: Any, u: Any, v: Any, s: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Solve ``L Lᵀ u = right`` and ``L Lᵀ v = 1`` for the leading s rows."""
    for i in range(s):
        first, second = right[i], 1.0
        for p in range(i):
            first -= factor[i, p] * u[p]
            second -= factor[i, p] * v[p]
        u[i], v[i] = first / factor[i, i], second / factor[i, i]
    for i in range(s - 1, -1, -1):
        first, second = u[i], v[i]
        for p in range(i + 1, s):
            first -= factor[p, i] * u[p]
            second -= factor[p, i] * v[p]
        u[i], v[i] = first / factor[i, i], second / factor[i, i]
