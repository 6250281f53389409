"""Compiled loops over the genes of one pathway after the other: sums of an EM step, ranks of hidden genes.

Threads share the pathways; each pathway is added up by one of them in the order of the genes, so that its numbers
depend neither on the number of threads nor on the other pathways.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from pathwayae.core.threads import share

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Indices = NDArray[np.intp]

BLOCK = 512  # genes at a time, so that all about them stays in the nearest cache
LOG2_E, LN_2 = 1.4426950408889634, (6.93147180369123816490e-01, 1.90821492927058770002e-10)  # the latter in two parts
FACTORS = tuple(1.0 / c for c in range(11, 0, -1))  # of Horner's scheme: the polynomial has degree 11
FAST = {"reassoc", "nsz", "contract"}  # sums may be split over the lanes of a processor, always in the same way


class Sums(NamedTuple):
    """What one pass over the genes of n pathways adds up, k = f + c + 1 coefficients each.

    Attributes
    ----------
    total, inside
        Sum of the posteriors of all genes and of the annotated ones, shape (n,).
    gradient, hessian
        Of the log-likelihood of a logistic regression of the posteriors, the latter negated; (n, k) and (n, k, k).
    change
        Largest change of a posterior, shape (n,).
    """

    total: Floats
    inside: Floats
    gradient: Floats
    hessian: Floats
    change: Floats


class Genes(NamedTuple):
    """What is known of g genes and p pathways.

    Attributes
    ----------
    views
        Associations, shape (p, f, g), and ``covariates``, shape (c, g).
    member
        Annotations, shape (p, g).
    """

    views: Floats
    covariates: Floats
    member: Bools


class Folds(NamedTuple):
    """Sets of genes with some of them hidden.

    Attributes
    ----------
    bounds
        The genes of set j are ``genes[bounds[j] : bounds[j + 1]]``, in any order.
    genes, hidden
        Position of each, and whether it is hidden.
    """

    bounds: Indices
    genes: Indices
    hidden: Bools


def posterior_sums(genes: Genes, chosen: Indices, coefficients: Floats, ratio: Floats, posterior: Floats) -> Sums:
    """Posteriors of some pathways, written into their rows of ``posterior``, and the sums of an EM step over them.

    Parameters
    ----------
    genes
        All pathways.
    chosen
        Numbers of n of them.
    coefficients
        Of views, covariates and 1 in the log-odds, shape (n, k).
    ratio
        Log-likelihood ratio of the annotation where it says no and where it says yes, shape (n, 2).
    posterior
        Shape (p, g); before, those of the step before.
    """
    n, k = coefficients.shape
    sums = Sums(np.zeros(n), np.zeros(n), np.zeros((n, k)), np.zeros((n, k, k)), np.zeros(n))
    everything = (chosen, *genes, coefficients, np.exp(-ratio), posterior, *sums)
    share(lambda first, last: _posterior_sums(first, last, *everything), n, 20.0 * n * genes.views.shape[2])
    return sums


def hidden_ranks(views: tuple[Floats, Floats], diagonals: tuple[Floats, Floats], folds: Folds, strata: Any) -> Floats:
    """Sum over the hidden genes of the share of the others of their stratum that lie below them, ties half.

    Genes are ranked by the mean of :func:`pathwayae.core.evidence.association.association` with the genes left in the
    set: those of their stratum that are in no part of the set, or all of these where the stratum has none.

    Parameters
    ----------
    views
        Similarity and inverse times the indicator of the genes left, shape (n, g) each; overwritten.
    diagonals
        Of similarity and inverse, shape (g,) each.
    folds
        n sets with some genes hidden.
    strata
        (order, bounds) of the genes by stratum: those of stratum s are ``order[bounds[s] : bounds[s + 1]]``.

    Returns
    -------
    Shape (n,).
    """
    result = np.zeros(len(folds.bounds) - 1)
    everything = (*views, *diagonals, *folds, *strata, result)
    share(lambda first, last: _hidden_ranks(first, last, *everything), len(result), 20.0 * views[0].size)
    return result


def standardized_views(views: Floats, own: Floats, diagonal: Floats, labels: Floats) -> None:
    """Turn products with the labels into the associations of every gene with the rest of every pathway, in place.

    Parameters
    ----------
    views
        Similarity and inverse times the labels, shape (p, 2, g).
    own, diagonal
        Diagonals of similarity and inverse, shape (g,) each.
    labels
        Shape (p, g).
    """
    share(
        lambda first, last: _standardized_views(first, last, views, own, diagonal, labels),
        len(views),
        10.0 * views.size,
    )


def left_out(products: Floats, own: Floats, weights: Floats) -> None:
    """Turn products of a kernel of genes with weights into leave-one-out correlations, in place.

    Parameters
    ----------
    products, weights
        Shape (p, g).
    own
        Diagonal of the kernel, shape (g,).
    """
    share(lambda first, last: _left_out(first, last, products, own, weights), len(products), 10.0 * products.size)


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _posterior_sums(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, chosen: Any, views: Any, covariates: Any, member: Any, coefficients: Any, against: Any,
    posterior: Any, total: Any, inside: Any, gradient: Any, hessian: Any, change: Any
):  # fmt: skip
    """Pathways ``start:stop`` of the chosen ones, block of genes by block."""
    f, k, g = views.shape[1], coefficients.shape[1], views.shape[2]
    x, error, weight, bits = np.ones((k, BLOCK)), np.empty(BLOCK), np.empty(BLOCK), np.empty(BLOCK, np.int64)
    for q in range(start, stop):
        j = chosen[q]
        for first in range(0, g, BLOCK):
            m = min(BLOCK, g - first)
            for a in range(f):
                x[a, :m] = views[j, a, first : first + m]
            for a in range(f, k - 1):
                x[a, :m] = covariates[a - f, first : first + m]
            annotated, row = member[j, first : first + m], posterior[j, first : first + m]
            moved = _responsible(x, m, coefficients[q], against[q], annotated, row, error, weight, bits)
            change[q] = max(change[q], moved)
            some, yes = 0.0, 0.0
            for i in range(m):
                some += row[i]
                yes += row[i] * annotated[i]
            total[q] += some
            inside[q] += yes
            _add_products(x, m, error, weight, gradient[q], hessian[q])


@numba.njit(nogil=True, cache=True, fastmath=FAST | {"nnan"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _responsible(  # type: ignore[no-untyped-def]  # noqa: ANN202
    x: Any, m: Any, coefficients: Any, against: Any, annotated: Any, row: Any, error: Any, weight: Any, bits: Any
):
    """Posteriors ``row`` of m genes, their error and weight in the regression; the largest change.

    One exponential serves both: odds of membership are ``exp(b·x)`` without the annotation, and times its ratio with.
    Every loop is one that a processor does for several genes at a time.
    """
    k = len(coefficients)
    error[:m] = coefficients[k - 1]
    for a in range(k - 1):
        for i in range(m):
            error[i] += coefficients[a] * x[a, i]
    _exponential(error, bits, m)
    no, yes = against[0], against[1] - against[0]
    for i in range(m):
        fitted = 1.0 / (1.0 + error[i])
        responsible = 1.0 / (1.0 + error[i] * (no + yes * annotated[i]))
        weight[i] = abs(responsible - row[i])
        row[i] = responsible
        error[i] = responsible - fitted
    moved = 0.0
    for i in range(m):
        moved = max(moved, weight[i])
    for i in range(m):
        fitted = row[i] - error[i]
        weight[i] = fitted * (1.0 - fitted)
    return moved


@numba.njit(nogil=True, cache=True, fastmath=FAST | {"nnan"}, error_model="numpy")  # type: ignore[untyped-decorator]
def _exponential(values: Any, bits: Any, m: Any) -> None:
    """``exp(−v)`` of the first m values in place, to 1e-14 of itself.

    ``2ᵏ eʳ`` with ``|r| ≤ ½ ln 2`` and a Taylor polynomial; the power of two is put together from its bits.
    """
    for i in range(m):
        value = min(max(-values[i], -700.0), 709.9)  # whose power of two is infinite
        k = np.floor(value * LOG2_E + 0.5)
        r = (value - k * LN_2[0]) - k * LN_2[1]
        power = 1.0
        for c in range(len(FACTORS)):
            power = 1.0 + r * FACTORS[c] * power
        values[i] = power
        bits[i] = (np.int64(k) + 1023) << 52
    scale = bits.view(np.float64)
    for i in range(m):
        values[i] *= scale[i]


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _add_products(  # type: ignore[no-untyped-def]  # noqa: ANN202
    x: Any, m: Any, error: Any, weight: Any, gradient: Any, hessian: Any
):
    """Add ``X error`` and ``X diag(weight) Xᵀ`` of m genes."""
    weighted = np.empty(m)
    for a in range(len(gradient)):
        slope = 0.0
        for i in range(m):
            slope += x[a, i] * error[i]
            weighted[i] = x[a, i] * weight[i]
        gradient[a] += slope
        for b in range(a + 1):
            product = 0.0
            for i in range(m):
                product += weighted[i] * x[b, i]
            hessian[a, b] += product
            if b < a:
                hessian[b, a] += product


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _hidden_ranks(  # type: ignore[no-untyped-def]  # noqa: ANN202
    start: Any, stop: Any, similar: Any, inverse: Any, own: Any, diagonal: Any, bounds: Any, genes: Any, hidden: Any,
    order: Any, strata: Any, result: Any
):  # fmt: skip
    """Sets ``start:stop``."""
    g = len(own)
    left, other = np.zeros(g), np.ones(g, dtype=np.bool_)
    for j in range(start, stop):
        for q in range(bounds[j], bounds[j + 1]):
            left[genes[q]], other[genes[q]] = not hidden[q], False
        _leave_one_out(similar[j], own, left)
        for i in range(g):
            inverse[j, i] = left[i] - inverse[j, i] / diagonal[i]
        _standardize(similar[j])
        _standardize(inverse[j])
        for i in range(g):
            similar[j, i] += inverse[j, i]
        result[j] = _ranks(similar[j], left, other, order, strata)
        for q in range(bounds[j], bounds[j + 1]):
            left[genes[q]], other[genes[q]] = 0.0, True


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _standardized_views(start: Any, stop: Any, views: Any, own: Any, diagonal: Any, labels: Any) -> None:
    """Pathways ``start:stop``."""
    for j in range(start, stop):
        _leave_one_out(views[j, 0], own, labels[j])
        for i in range(views.shape[2]):
            views[j, 1, i] = labels[j, i] - views[j, 1, i] / diagonal[i]
        _standardize(views[j, 0])
        _standardize(views[j, 1])


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _left_out(start: Any, stop: Any, products: Any, own: Any, weights: Any) -> None:
    """Pathways ``start:stop``."""
    for j in range(start, stop):
        _leave_one_out(products[j], own, weights[j])


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _leave_one_out(row: Any, own: Any, weight: Any) -> None:
    """Correlation of each gene with the rest of the pathway, in the place of the product ``Gw``; see ``of_members``."""
    whole = 0.0
    for i in range(len(row)):
        whole += weight[i] * row[i]
    for i in range(len(row)):
        alone = weight[i] * weight[i] * own[i]
        rest = whole - 2.0 * weight[i] * row[i] + alone
        varies = (rest > 1e-10 * (abs(whole) + alone)) & (own[i] > 0.0)
        scale = np.sqrt(rest * own[i] if varies else 1.0)
        correlation = min(max((row[i] - own[i] * weight[i]) / scale, -1.0), 1.0)
        row[i] = correlation if varies else 0.0


@numba.njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")  # type: ignore[untyped-decorator]
def _standardize(row: Any) -> None:
    """Take off the mean and divide by the standard deviation; 0 where nothing varies."""
    largest, mean, rest, squares = 0.0, 0.0, 0.0, 0.0
    for i in range(len(row)):
        mean += row[i]
        largest = max(largest, abs(row[i]))
    mean /= len(row)
    for i in range(len(row)):
        row[i] -= mean
        rest += row[i]
    rest /= len(row)
    for i in range(len(row)):
        squares += (row[i] - rest) ** 2
    deviation = np.sqrt(squares / len(row))
    if deviation > 1e-10 * max(largest, 1e-300):
        row /= deviation
    else:
        row[:] = 0.0


@numba.njit(nogil=True, cache=True, error_model="numpy")  # type: ignore[untyped-decorator]
def _ranks(row: Any, left: Any, other: Any, order: Any, strata: Any):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Hidden are the genes that are neither left in the set nor others."""
    rest, found, total = np.empty(len(row)), np.empty(len(row)), 0.0
    for s in range(len(strata) - 1):
        n_rest, n_found = 0, 0
        for i in order[strata[s] : strata[s + 1]]:
            if other[i]:
                rest[n_rest] = row[i]
                n_rest += 1
            elif left[i] == 0.0:
                found[n_found] = row[i]
                n_found += 1
        if n_found and not n_rest:
            for i in range(len(row)):
                if other[i]:
                    rest[n_rest] = row[i]
                    n_rest += 1
        below = 0
        for p in range(n_found):
            for q in range(n_rest):
                below += (rest[q] < found[p]) + (rest[q] <= found[p])
        if n_found:
            total += below / (2.0 * n_rest)
    return total
