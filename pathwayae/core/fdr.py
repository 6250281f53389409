"""False-discovery rate of many tests, some of which could not be made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats


def adjusted(pvalues: NDArray[Any]) -> NDArray[np.float64]:
    """Benjamini & Hochberg's adjustment (1995, 10.1111/j.2517-6161.1995.tb02031.x); NaN stays and is not counted.

    Parameters
    ----------
    pvalues
        Of any shape; all of them are one family.

    Examples
    --------
    >>> adjusted(np.array([0.01, np.nan, 0.04, 0.03]))
    array([0.03,  nan, 0.04, 0.04])
    """
    result = np.full(np.shape(pvalues), np.nan)
    tested = np.isfinite(pvalues)
    if tested.any():
        result[tested] = stats.false_discovery_control(pvalues[tested], method="bh")
    return result
