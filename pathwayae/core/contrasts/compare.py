"""One contrast of all scores: the test, the areas under the ROC curve, and the numbers behind them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.contrasts import cells, linear, mixed
from pathwayae.core.contrasts.linear import Estimate, NotTestableError
from pathwayae.core.contrasts.units import Contrast, Units, cells_of, samples_of, spread

Floats = NDArray[np.float64]

NO_CELLS = "no cells on a side"
CONSTANT = "no score varies"
FEW_CELLS = "fewer than two cells on a side"
OF_CELLS = ("wilcoxon", "t-test")


class Compared(NamedTuple):
    """What a contrast says of k scores.

    Attributes
    ----------
    estimate
        Of all scores; effects in standard deviations of cells, 0 and no test for a score that does not vary.
    auroc, n_agree
        Shape (k,).
    n_samples, n_samples_reference, n_pairs
        Samples on each side, and pairs that were compared; 0 where cells are the replicates.
    n_cells, n_cells_reference
        Cells of these samples.
    of_units
        The differences in the units of the scores are these times the means of the units, shape (u,).
    """

    estimate: Estimate
    auroc: Floats
    n_agree: NDArray[np.intp]
    n_samples: int
    n_samples_reference: int
    n_pairs: int
    n_cells: int
    n_cells_reference: int
    of_units: Floats


def compare(values: Any, units: Units, contrast: Contrast, covariates: Floats, method: str) -> Compared:
    """Compare a group with its reference.

    Parameters
    ----------
    values
        Scores of the cells, (n, k), dense or sparse.
    units
        The same, summed up.
    contrast
        What is compared.
    covariates
        Of the units, shape (u, q).
    method
        ``"moderated"``, ``"mixed"``, ``"wilcoxon"`` or ``"t-test"``.

    Raises
    ------
    NotTestableError
        If it cannot be tested; the message says why in a few words.
    """
    means = samples_of(units, contrast, pairs=method == "moderated")
    if means.treated.all() or not means.treated.any():
        raise NotTestableError(NO_CELLS)
    deviation = spread(units, means)
    varies = np.flatnonzero(deviation > 0)
    if not len(varies):
        raise NotTestableError(CONSTANT)
    values = values if len(varies) == len(deviation) else values[:, varies]
    own, other = cells_of(units, means)
    if method in OF_CELLS and min(len(own), len(other)) < 2:
        raise NotTestableError(FEW_CELLS)
    area, z = cells.auroc(values, own, other)
    y = (means.mix @ units.mean[:, varies]) / deviation[varies]
    if method in OF_CELLS:
        found = cells.of_cells(values, own, other, deviation[varies], z if method == OF_CELLS[0] else None)
    else:
        test = linear.moderated if method == "moderated" else mixed.mixed
        found = test(y, means, means.mix @ covariates)
    estimate = _of_all(found, varies, len(deviation))
    areas = np.full(len(deviation), 0.5)
    areas[varies] = area
    agree = np.zeros(len(deviation), dtype=np.intp)
    n_samples = (0, 0, 0)
    if method not in OF_CELLS:
        n_pairs = means.n_pairs if means.paired or method == "mixed" else 0
        agree[varies] = linear.agreeing(y, means, found.effect, pairs=n_pairs > 0)
        first = int(means.treated.sum())
        n_samples = (first, len(means.treated) - first, n_pairs)
    of_units = np.asarray(means.mix.T @ found.weights)
    return Compared(estimate, areas, agree, *n_samples, len(own), len(other), of_units)


def _of_all(found: Estimate, varies: NDArray[np.intp], n: int) -> Estimate:
    """The estimate with scores that do not vary."""
    whole = np.full((len(found) - 1, n), np.nan)
    whole[0] = 0.0
    whole[:, varies] = found[:-1]
    return Estimate(whole[0], whole[1], whole[2], whole[3], whole[4], whole[5], found.weights)


def contrasts(units: Units, groups: list[int], reference: int) -> list[Contrast]:
    """Each group against the reference in each stratum that has cells, strata first."""
    strata = np.unique(units.stratum)
    return [Contrast(int(one), group, reference) for one in strata for group in groups if group != reference]
