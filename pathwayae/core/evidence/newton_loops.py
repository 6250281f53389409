"""Compiled Newton steps of one pathway after the other: a few coefficients each, some of which may be held at 0."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.evidence.pathway_loops import Sums

Floats = NDArray[np.float64]


def steps_alone(current: Floats, sums: Sums, n_views: int, precision: Floats, centre: Floats, longest: float) -> Floats:
    """One Newton step of every pathway by itself, drawn to a centre, no longer than `longest`.

    A view whose coefficient would fall below 0 is held there, and the others are solved for without it.

    Parameters
    ----------
    current
        Coefficients, shape (n, k).
    sums
        Of the posteriors.
    n_views
        Number of views, which come first.
    precision, centre
        What draws the coefficients but the intercept, shape (k,); the last precision is 0.
    """
    result = np.empty_like(current)
    _steps_alone(current, sums.gradient, sums.hessian, n_views, precision, centre, longest, result)
    return result


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _steps_alone(  # type: ignore[no-untyped-def]  # noqa: ANN202
    current: Any, gradient: Any, hessian: Any, n_views: Any, precision: Any, centre: Any, longest: Any, result: Any
):
    """Pathway by pathway; held coefficients have a row and a column of the identity."""
    n, k = current.shape
    matrix, step, free = np.empty((k, k)), np.empty(k), np.empty(k, dtype=np.bool_)
    for q in range(n):
        free[:] = True
        lowest = 0
        while lowest >= 0:
            for i in range(k):
                step[i] = gradient[q, i] + precision[i] * (centre[i] - current[q, i])
                for j in range(k):
                    curvature = hessian[q, i, j] + (max(precision[i], 1e-6) if i == j else 0.0)
                    if not free[j]:
                        step[i] += curvature * current[q, j]
                    matrix[i, j] = curvature if free[i] and free[j] else (1.0 if i == j else 0.0)
                if not free[i]:
                    step[i] = 0.0
            _solve(matrix, step)
            lowest, least = -1, 0.0
            for i in range(n_views):
                if free[i] and current[q, i] + step[i] < least:
                    lowest, least = i, current[q, i] + step[i]
            if lowest >= 0:
                free[lowest] = False
        for i in range(k):
            change = step[i] if free[i] else -current[q, i]
            result[q, i] = current[q, i] + min(max(change, -longest), longest)


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _solve(matrix: Any, right: Any) -> None:
    """``matrix⁻¹ right`` in the place of ``right``, by a Cholesky factor in the place of the matrix."""
    k = len(right)
    for i in range(k):
        for j in range(i + 1):
            value = matrix[i, j]
            for c in range(j):
                value -= matrix[i, c] * matrix[j, c]
            matrix[i, j] = np.sqrt(value) if i == j else value / matrix[j, j]
    for i in range(k):
        for c in range(i):
            right[i] -= matrix[i, c] * right[c]
        right[i] /= matrix[i, i]
    for i in range(k - 1, -1, -1):
        for c in range(i + 1, k):
            right[i] -= matrix[c, i] * right[c]
        right[i] /= matrix[i, i]
