"""Means of samples in a linear model, weighted by how much their numbers of cells tell, with moderated variances."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from pathwayae.core.contrasts.moderation import fit_prior, independent, squeeze
from pathwayae.core.contrasts.units import Means

Floats = NDArray[np.float64]

TOLERANCE = 1e-8  # of the largest singular value
LEVEL = 0.95  # of intervals

FEW_SAMPLES = "fewer than two samples on a side"
CONFOUNDED = "cannot be told from the covariates"
NO_DF = "as many coefficients as means"


class Estimate(NamedTuple):
    """Differences of k scores.

    Attributes
    ----------
    effect, low, high, statistic, df, pval
        Shape (k,); the effect in the units of the scores that were given.
    weights
        The effects are these times the means, shape (N,).
    """

    effect: Floats
    low: Floats
    high: Floats
    statistic: Floats
    df: Floats
    pval: Floats
    weights: Floats


class NotTestableError(Exception):
    """A contrast that cannot be tested; the message is why, in a few words."""


def nuisance(means: Means, covariates: Floats, *, blocks: bool) -> Floats:
    """Columns beside the group: a constant per sample, or one of all, and covariates in units of their spread.

    Raises
    ------
    NotTestableError
        If a side has fewer than two samples.
    """
    if min(means.treated.sum(), (~means.treated).sum()) < 2:
        raise NotTestableError(FEW_SAMPLES)
    first = np.unique(means.sample)[None, :] == means.sample[:, None] if blocks else np.ones((len(means.sample), 1))
    centred = covariates - covariates.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    return np.column_stack([first, centred[:, size > 0] / size[size > 0]])


def basis(columns: Floats) -> Floats:
    """Orthonormal basis of what columns span, shape (N, rank)."""
    left, singular, _ = np.linalg.svd(columns, full_matrices=False)
    return left[:, singular > TOLERANCE * singular[0]]


class _Fit(NamedTuple):
    effect: Floats
    variance: Floats  # residual
    size: float  # of what is left of the group: the standard error is its inverse times the residual deviation
    df: float
    weights: Floats
    free: Floats  # share of each mean that is left to the residual
    residuals: Floats


def _least_squares(y: Floats, treated: Floats, others: Floats, precision: Floats) -> _Fit:
    """Regress on the group with everything else projected out of it (Frisch, Waugh and Lovell)."""
    root = np.sqrt(precision)
    q = basis(root[:, None] * others)
    own = root * treated
    own = own - q @ (q.T @ own)
    size = float(np.sqrt(own @ own))
    if size <= TOLERANCE * np.linalg.norm(root * treated):
        raise NotTestableError(CONFOUNDED)
    df = len(y) - q.shape[1] - 1
    if df < 1:
        raise NotTestableError(NO_DF)
    unit = own / size
    scaled = root[:, None] * y
    left = scaled - q @ (q.T @ scaled)
    along = unit @ left
    left = left - unit[:, None] * along
    variance = (left**2).sum(axis=0) / df
    free = 1.0 - (q**2).sum(axis=1) - unit**2
    return _Fit(along / size, variance, size, float(df), root * unit / size, free, left)


def extra_variance(y: Floats, treated: Floats, others: Floats, count: Floats) -> float:
    r"""Variance of means beyond that of averaging cells, in units of the variance of cells; not below 0.

    Of unweighted residuals the expected sum of squares is
    :math:`\sum_i (1 - h_{ii}) (\tau^2 + 1 / n_i)`; solved for τ² for every score, the largest over scores. A smaller
    one would let samples of many cells decide the scores whose samples differ most, and call too much there.

    Parameters
    ----------
    y
        Means in standard deviations of cells, shape (N, k).
    count
        Number of cells of each, shape (N,).
    """
    fit = _least_squares(y, treated, others, np.ones(len(y)))
    found = (fit.variance * fit.df - fit.free @ (1.0 / count)) / fit.free.sum()
    return max(float(np.max(found)), 0.0)


def moderated(y: Floats, means: Means, covariates: Floats) -> Estimate:
    r"""Moderated t-test of the difference between the group and its reference.

    A mean of n cells weighs :math:`1 / (\tau^2 + 1/n)`, see :func:`extra_variance`. Where samples are paired each has a
    constant of its own.

    Parameters
    ----------
    y
        Means of samples in standard deviations of cells, shape (N, k).
    means
        What they are of.
    covariates
        Shape (N, q).

    Raises
    ------
    NotTestableError
        If there are too few samples, or the group cannot be told from the covariates.
    """
    others = nuisance(means, covariates, blocks=means.paired)
    treated = means.treated.astype(np.float64)
    extra = extra_variance(y, treated, others, means.n_cells)
    fit = _least_squares(y, treated, others, 1.0 / (extra + 1.0 / means.n_cells))
    n_independent = independent(fit.residuals, fit.df)
    prior = fit_prior(fit.variance, fit.df, n_independent)
    variance, df = squeeze(fit.variance, fit.df, prior, fit.df * n_independent)
    return tested(fit.effect, np.sqrt(variance) / fit.size, np.full(y.shape[1], df), fit.weights)


def tested(effect: Floats, error: Floats, df: Floats, weights: Floats) -> Estimate:
    """Student's t of effects with their standard errors, two-sided, and the intervals."""
    known = error > 0
    statistic = np.divide(effect, error, out=np.full_like(effect, np.nan), where=known)
    reach = stats.t.ppf(0.5 + LEVEL / 2.0, df) * error
    pval = np.where(known, 2.0 * stats.t.sf(np.abs(statistic), df), np.nan)
    return Estimate(effect, effect - reach, effect + reach, statistic, df, pval, weights)


def agreeing(y: Floats, means: Means, effect: Floats, *, pairs: bool) -> NDArray[np.intp]:
    """Pairs whose difference has the sign of the effect, shape (k,).

    Without `pairs` samples of the group that are on that side of the mean of the samples of the reference.
    """
    first, second = y[means.treated], y[~means.treated]
    _, mine, theirs = np.intersect1d(means.sample[means.treated], means.sample[~means.treated], return_indices=True)
    difference = first[mine] - second[theirs] if pairs else first - second.mean(axis=0)
    return ((difference * np.sign(effect)) > 0).sum(axis=0).astype(np.intp)
