"""Means of samples in a linear model with a random constant per sample, fitted by statsmodels."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.contrasts.linear import CONFOUNDED, NO_DF, Estimate, NotTestableError, basis, nuisance, tested
from pathwayae.core.contrasts.units import Means

Floats = NDArray[np.float64]


def mixed(y: Floats, means: Means, covariates: Floats) -> Estimate:
    """Mixed model with a random constant per sample, by restricted maximum likelihood; one score at a time.

    Samples that are on one side alone tell too. Degrees of freedom are those of the residual with a fixed constant per
    sample (containment); where no sample is on both sides it is ordinary least squares. All means weigh the same.

    Parameters
    ----------
    y
        Means of samples, shape (N, k).
    means
        What they are of.
    covariates
        Shape (N, q).

    Raises
    ------
    NotTestableError
        As :func:`pathwayae.core.contrasts.linear.moderated`.
    """
    q = basis(nuisance(means, covariates, blocks=False))
    treated = means.treated.astype(np.float64)
    if np.linalg.norm(treated - q @ (q.T @ treated)) <= 1e-8 * np.linalg.norm(treated):
        raise NotTestableError(CONFOUNDED)
    design = np.column_stack([treated, q])
    blocks = means.n_pairs > 0
    whole = basis(np.column_stack([design, nuisance(means, covariates, blocks=blocks)])) if blocks else design
    df = len(y) - whole.shape[1]
    if df < 1:
        raise NotTestableError(NO_DF)
    fits = [_fitted(column, design, means.sample, blocks=blocks) for column in y.T]
    effect, error, ratio = np.array(fits).T
    weights = _weights(design, means.sample, float(np.nanmedian(ratio)))
    return tested(effect, error, np.full(y.shape[1], float(df)), weights)


def _fitted(y: Floats, design: Floats, sample: NDArray[np.intp], *, blocks: bool) -> tuple[float, float, float]:
    """Effect, its standard error, and the variance between samples in units of the residual one; NaN where it fails."""
    import statsmodels.api as sm

    if not np.ptp(y) > 0:
        return 0.0, 0.0, 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")  # of variances at 0, which is an answer
        if not blocks:
            fit: Any = sm.OLS(y, design).fit()
            return float(fit.params[0]), float(fit.bse[0]), 0.0
        try:
            fit = sm.MixedLM(y, design, groups=sample).fit(reml=True)
        except np.linalg.LinAlgError:
            return float("nan"), float("nan"), float("nan")
    error = float(fit.bse_fe[0])
    ratio = float(fit.cov_re[0, 0] / fit.scale)
    return float(fit.fe_params[0]), error if np.isfinite(error) else float("nan"), ratio


def _weights(design: Floats, sample: NDArray[np.intp], ratio: float) -> Floats:
    """What the effect is of the means, by generalised least squares with this ratio of variances."""
    same = (sample[:, None] == sample[None, :]).astype(np.float64)
    inverse = np.linalg.inv(np.eye(len(sample)) + (ratio if np.isfinite(ratio) else 0.0) * same)
    weights: Floats = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)[0]
    return weights
