"""Variances of many pathways squeezed towards a common value, as limma does (Smyth 2004, 10.2202/1544-6115.1027).

But for one thing: how alike the variances are is known no better than so many pathways tell, see :func:`fit_prior`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma

Floats = NDArray[np.float64]

FEWEST = 3  # variances that a prior can be fitted to
SMALLEST = 1e-5  # of the median variance; below, a variance says nothing


class Prior(NamedTuple):
    """Degrees of freedom of the prior, from 0 (none) to infinity, and the variance that it draws to."""

    df: float
    variance: float


def fit_prior(variances: Floats, df: float, n_independent: float) -> Prior:
    r"""Fit a scaled inverse chi-squared prior to variances of equal degrees of freedom, by moments of their logarithms.

    With :math:`e_j = \ln s_j^2 - \psi(d/2) + \ln(d/2)`:
    :math:`\psi'(d_0/2) = \mathrm{var}(e) - \psi'(d/2) + \mathrm{se}` and
    :math:`s_0^2 = \exp(\bar e + \psi(d_0/2) - \ln(d_0/2))`. Fewer than three variances have no prior.

    limma has no standard error there: thousands of genes know :math:`d_0`. Tens of pathways do not, and where their
    variances happen to differ by no more than chance :math:`d_0 = \infty` would make of four donors a hundred. So one
    standard error of :math:`\mathrm{var}(e)` from n independent variances is added,
    :math:`\max(\mathrm{var}(e), \psi') \sqrt{2/(n-1) + \psi^{(3)}/(n \psi'^2)}` at :math:`d/2`.

    Parameters
    ----------
    variances
        Residual variances, shape (k,); zeros count as very small ones.
    df
        Residual degrees of freedom of each.
    n_independent
        How many of them are independent, see :func:`independent`; infinitely many make it limma's.

    Examples
    --------
    >>> variances = np.array([0.3, 0.7, 1.0, 1.2, 2.4])
    >>> fit_prior(variances, 4.0, np.inf).df, round(float(fit_prior(variances, 4.0, 5.0).df), 1)
    (inf, 5.0)
    """
    if len(variances) < FEWEST or not (variances > 0).any():
        return Prior(0.0, 0.0)
    floor = SMALLEST * (np.median(variances) or variances.max())
    e = np.log(np.maximum(variances, floor)) - digamma(df / 2.0) + np.log(df / 2.0)
    spread, chance, n = float(np.var(e, ddof=1)), float(polygamma(1, df / 2.0)), max(n_independent, 2.0)
    unsure = max(spread, chance) * np.sqrt(2.0 / (n - 1.0) + float(polygamma(3, df / 2.0)) / (n * chance**2))
    excess = spread - chance + unsure
    if excess <= 0:
        return Prior(np.inf, float(np.exp(e.mean())))
    df0 = 2.0 * trigamma_inverse(excess)
    return Prior(df0, float(np.exp(e.mean() + digamma(df0 / 2.0) - np.log(df0 / 2.0))))


def squeeze(variances: Floats, df: float, prior: Prior, pooled: float) -> tuple[Floats, float]:
    r"""Posterior variances :math:`(d s^2 + d_0 s_0^2) / (d + d_0)` and their degrees of freedom.

    The latter are :math:`d + d_0`, and not more than the variances together have (``pooled``), see :func:`independent`.
    """
    if np.isinf(prior.df):
        return np.full(len(variances), prior.variance), pooled
    return (df * variances + prior.df * prior.variance) / (df + prior.df), min(df + prior.df, pooled)


def independent(residuals: Floats, df: float) -> float:
    r"""Number of independent pathways that would know the common variance as well as these, from 1 to k.

    The mean of k variances with correlated residuals is as sure as that of
    :math:`k^2 / \sum_{jl} \rho_{jl}^2` independent ones. Of :math:`\rho^2` stands :math:`(r^2 - 1/d) / (1 - 1/d)`,
    without what chance adds to squares of correlations.

    Parameters
    ----------
    residuals
        Of a linear model with d degrees of freedom, shape (N, k).

    Examples
    --------
    >>> independent(np.array([[1.0, 2.0], [-1.0, -2.0]]), 1.0)
    1.0
    """
    length = np.sqrt((residuals**2).sum(axis=0))
    unit = residuals[:, length > 0] / length[length > 0]
    k = unit.shape[1]
    if df <= 1 or k < 2:
        return 1.0
    chance = (float(((unit @ unit.T) ** 2).sum()) - k - k * (k - 1) / df) / (1.0 - 1.0 / df)
    return k**2 / (k + min(max(chance, 0.0), float(k * (k - 1))))


def trigamma_inverse(value: float) -> float:
    """Solve ``ψ'(x) = value`` by Newton's method on its reciprocal, which is nearly linear.

    Examples
    --------
    >>> round(trigamma_inverse(float(polygamma(1, 2.5))), 12)
    2.5
    """
    if value > 1e7:
        return float(1.0 / np.sqrt(value))
    if value < 1e-6:
        return 1.0 / value
    x = 0.5 + 1.0 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1.0 - trigamma / value) / float(polygamma(2, x))
        x += step
        if -step / x < 1e-10:
            break
    return x
