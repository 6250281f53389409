"""On which scale values are: logarithms of normalised counts, or what is often brought in their place."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae import _checks

LOGARITHM = 20.0  # above the log1p of any count
SAME = 1.02  # ratio of the 95 % and the 5 % quantile of totals that were made the same
FEW = 50  # cells or genes below which means and deviations say nothing of how values were made
NEGATIVE = 0.3  # share of values below 0 from which on they are no logarithms with some correction
STANDARD = 0.15  # how far the mean of a typical gene lies from 0, and its deviation from 1, where both were set

LOG = "Run sc.pp.normalize_total and sc.pp.log1p first, or pass the layer that holds such values."


def other_than_logarithms(values: Any) -> str:
    """What cells look like that are no logarithms of normalised counts, and what to do; empty where they are.

    Parameters
    ----------
    values
        Cells × genes, dense or CSR.

    Examples
    --------
    >>> other_than_logarithms(np.log1p([[3.0, 0.0], [1.0, 7.0]]))
    ''
    >>> other_than_logarithms(np.array([[3.0, 0.0], [1.0, 7.0]])).split(";")[0]
    'raw counts'
    """
    if _checks.looks_like_counts(values):
        return f"raw counts; log-normalised values are expected. {LOG}"
    stored = values.data if sp.issparse(values) else values
    if not stored.size:
        return ""
    smallest, largest = float(stored.min()), float(stored.max())
    if smallest < 0:
        return _below_zero(values)
    if largest > LOGARITHM:
        return _counts(values, largest)
    everywhere = smallest == largest and stored.size == values.shape[0] * values.shape[1]
    if min(values.shape) < FEW or largest == 0 or everywhere:  # without variation a fit refuses them
        return ""
    if all(np.isin(some, (0, largest)).all() for some in (stored.ravel()[:1000], stored)):
        return f"present and absent alone (0 and {largest:g}); how much of a gene there is, is lost. {LOG}"
    return _totals(values, largest)


def _counts(values: Any, largest: float) -> str:
    """Of values too large for logarithms."""
    return _totals(values, largest) or (
        f"counts that are not whole (up to {largest:,.0f}), as after correction for ambient RNA or shared reads; a few "
        f"genes and the depth of the cells would make the scores. {LOG}"
    )


def _totals(values: Any, largest: float) -> str:
    """Of values that add up to the same in all cells; empty where they do not."""
    total = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    low, middle, high = np.quantile(total[total > 0], (0.05, 0.5, 0.95))
    if high >= SAME * low:
        return ""
    return (
        f"counts normalised to {_short(middle)} per cell without a logarithm (up to {_short(largest)}); a few genes of "
        "high expression would make the scores. Run sc.pp.log1p first, after sc.pp.normalize_total(target_sum=1e4)."
    )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= FEW else f"{value:.3g}"


def _below_zero(values: Any) -> str:
    """Of values of which some are below 0."""
    dense = np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)
    negative = float((dense < 0).mean())
    if min(dense.shape) < FEW or negative < NEGATIVE:
        return ""
    lost = dense.mean(axis=0) <= 1e-6 * dense.std(axis=0)  # of corrected logarithms the means are above 0
    return _scaled(dense) or (
        f"no logarithms of counts: {negative:.0%} are below 0 (down to {dense.min():.3g}) and so is the mean of "
        f"{lost.mean():.0%} of the genes, as of residuals and of centred or shifted values; genes of like expression "
        "are compared, and how much they are expressed is lost. Pass log-normalised values; batch_key and covariates "
        "take out what was regressed out."
        if lost.mean() >= NEGATIVE
        else ""
    )


def _scaled(dense: NDArray[np.float64]) -> str:
    """Of genes scaled to mean 0 and deviation 1; empty of others."""
    deviation = dense.std(axis=0)
    varies = deviation > 0
    if not varies.any():
        return ""
    away = np.median(np.abs(dense[:, varies].mean(axis=0))), abs(float(np.median(deviation[varies])) - 1.0)
    if max(away) > STANDARD:
        return ""
    return (
        "scaled (z-scored) genes; their means, by which genes of like expression are compared, are lost, and clipped "
        "values are not what they were. Pass log-normalised values that were not scaled; the fit scales genes itself."
    )
