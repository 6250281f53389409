"""Cells in batches: their means, what they shift the scores by, and the variance between them.

Differences between the means of batches are all that is removed, and exactly, or what of them covariates do not
account for; what a batch does to the spread of a gene, or to what goes with what, stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.groups import share
from pathwayae.core.moments.design import adjusted_means, indicator
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.moments import Floats, Scale, Standardized
from pathwayae.core.moments.sketch import AnyMoments, Sketch, StandardizedSketch
from pathwayae.core.notice import listed

JOINT = " | "  # between the batch and the sample in the name of a stratum


@dataclass(frozen=True, eq=False)
class Batches:
    """Number of cells, shape (b,), and sum of each gene, (b, g), of every batch; of a sketch its shadow, (b, m).

    ``kept`` (b, g) is the part of its mean, less that of all cells, that a batch keeps: what its composition accounts
    for. None where batches keep nothing.
    """

    names: tuple[str, ...]
    counts: Floats
    sums: Floats
    shadow: Floats | None = None
    kept: Floats | None = None

    @property
    def means(self) -> Floats:
        """Mean of each gene in each batch, shape (b, g)."""
        return self.sums / self.counts[:, None]

    @property
    def centres(self) -> Floats:
        """What is taken off the cells of each batch, shape (b, g)."""
        return self.means if self.kept is None else self.means - self.kept

    def subset(self, genes: NDArray[Any]) -> Batches:
        """Batches for some genes: indices or a boolean mask."""
        kept = None if self.kept is None else self.kept[:, genes]
        return Batches(self.names, self.counts, self.sums[:, genes], self.shadow, kept)

    def beside(self, shared: Floats, sums: Floats) -> Batches:
        """The same with batch effects estimated beside covariates, see :func:`design.adjusted_means`."""
        return replace(self, kept=self.means - adjusted_means(shared, sums, len(self.names)))

    def with_effects(self, effects: Floats) -> Batches:
        """The same with batch effects that are known, shape (b, g): what batches are too high by."""
        n = self.counts.sum()
        middle = (self.sums.sum(axis=0) - self.counts @ effects) / n
        return replace(self, kept=self.means - effects - middle)


def sums_of(block: Any, codes: NDArray[np.intp], n_batches: int) -> Floats:
    """Sum of each gene over the cells of each batch, float64, shape (b, g); block dense or CSR, codes from 0.

    With codes of shape (f, n) over the levels of all cells of the factors, see :func:`design.indicator`.
    """
    sums = indicator(codes, n_batches) @ block
    return np.asarray(sums.toarray() if sp.issparse(sums) else sums, dtype=np.float64)


def of_strata(
    moments: AnyMoments, levels: Sequence[str], weights: Floats | None = None, *, effects: Floats | None = None
) -> Batches:
    """Strata added up into batches: a stratum is a batch, or a sample of one, named ``"batch | sample"``.

    Parameters
    ----------
    moments
        Their strata may hold further batches than those of `levels`, and need not hold all of them.
    levels
        Names of the batches that are known.
    weights
        How often every cell of a stratum counts, shape (s,), as in a bootstrap; by default once.
    effects
        What is taken off the cells of each level, (levels, g), where it is known; by default the mean of the batch.

    Returns
    -------
    Batches in the order of their names; those without cells are left out. A stratum that is of no known batch is one
    itself, up to the first ``" | "``.

    Raises
    ------
    ValueError
        If it is not clear to which batch a stratum belongs.
    """
    groups = {stratum: _batch_of(stratum, levels, moments.strata) for stratum in moments.strata}
    names = tuple(sorted(set(groups.values())))
    place = [names.index(groups[stratum]) for stratum in moments.strata]
    share = np.zeros((len(names), len(place)))
    share[place, np.arange(len(place))] = 1.0 if weights is None else weights
    counts = share @ moments.counts
    there = counts > 0
    share, named = share[there], tuple(np.array(names, dtype=object)[there].tolist())
    shadow = share @ moments.shadow if isinstance(moments, Sketch) else None
    found = Batches(named, counts[there], share @ moments.sums, shadow)
    if effects is None:
        return found
    known = dict(zip(levels, effects, strict=True))
    mean = found.sums.sum(axis=0) / found.counts.sum()
    return found.with_effects(
        np.array([known.get(name, own - mean) for name, own in zip(named, found.means, strict=True)])
    )


def centred(
    moments: AnyMoments,
    batches: Batches,
    *,
    scale: Scale = "pareto",
    unit: Floats | None = None,
    genes: NDArray[np.intp] | None = None,
) -> Standardized | StandardizedSketch:
    """Moments of cells less the means of their batch, see ``standardize_within`` of moments and sketch.

    ``genes`` are the indices of those of the batches in the moments, by default all.
    """
    if genes is not None and isinstance(moments, Sketch):
        moments = moments.subset(genes)
    if isinstance(moments, Sketch):
        return moments.standardize_within(
            batches.counts, batches.sums, batches.shadow, kept=batches.kept, scale=scale, unit=unit
        )
    words: dict[str, Any] = {"kept": batches.kept, "scale": scale, "unit": unit, "genes": genes}
    return moments.standardize_within(batches.counts, batches.sums, **words)


def _batch_of(stratum: str, levels: Sequence[str], strata: Sequence[str]) -> str:
    if set(levels) <= set(strata) or set(strata) <= set(levels):  # the strata are batches
        return stratum
    found = [level for level in levels if stratum == level or stratum.startswith(level + JOINT)]
    if len(found) > 1:
        msg = (
            f"Stratum {stratum!r} of the moments may be of batch {' or '.join(map(repr, found))}. Rename the batches, "
            "or read the moments with batch_key alone."
        )
        raise ValueError(msg)
    return found[0] if found else stratum.partition(JOINT)[0]


def offsets(means: Floats, mean: Floats, scale: Floats, encoder: Any) -> Floats:
    """What the scores of a batch are too high by where all cells are centred alike: ``((μ_b − μ) / σ) E``.

    Parameters
    ----------
    means
        Of the genes in each batch, shape (b, g).
    mean, scale
        Centre and unit of all cells, shape (g,).
    encoder
        Array or encoder, shape (g, k).

    Returns
    -------
    Shape (b, k).
    """
    offsets: Floats = ((means - mean) / scale) @ encoder
    return offsets


def variance_between(shifts: Floats, counts: Floats, within: Floats) -> Floats:
    """Share of the variance of each score that lies between batches, shape (k,); 0 for a score without variance.

    Parameters
    ----------
    shifts
        Mean of each score in each batch less its mean over all cells, shape (b, k).
    counts
        Cells of each batch, shape (b,).
    within
        Sum of squares of each score about the means of the batches, shape (k,): ``eᵀ G e``, G centred within them.
    """
    between = counts @ shifts**2
    return share(between, between + within)


def single_condition(batches: NDArray[Any], conditions: NDArray[Any]) -> dict[str, str]:
    """Batches whose cells are all of one condition, and that condition; both labels have shape (n,)."""
    pairs = np.unique(np.stack([batches.astype(str), conditions.astype(str)]), axis=1)
    names, first, number = np.unique(pairs[0], return_index=True, return_counts=True)
    return {str(names[i]): str(pairs[1, first[i]]) for i in np.flatnonzero(number == 1)}


def check_known(names: Sequence[str], known: Sequence[str], strata: Sequence[str]) -> None:
    """Raise where a batch is not among those that the strata of moments were added up into."""
    missing = [name for name in names if name not in known]
    if missing:
        msg = (
            f"No stratum of the moments is of batch {missing[0]!r} ({len(missing)} of {len(names)} batches are not "
            f"there); they are {listed(strata, 10)}. Read them with "
            "pae.pp.moments(…, batch_key=…), and with memory for all of them."
        )
        raise ValueError(msg)


def variance(batches: Batches, data: Data, encoder: Any, power: Floats, names: list[str]) -> pd.DataFrame:
    """One row per component: variance of its score between batches, before and after what is taken off them.

    ``power`` are the sums of squares of the scores as they are then, shape (k,): ``eᵀ G e``.
    """
    kept = np.zeros((len(batches.names), len(names)))
    if batches.kept is not None:
        kept = offsets(batches.kept, np.zeros_like(data.mean), data.scale, encoder)
    within = np.maximum(power - batches.counts @ kept**2, 0.0)
    shifts = offsets(batches.centres, data.mean, data.scale, encoder)
    furthest = np.abs(shifts * np.sqrt(batches.counts)[:, None]).argmax(axis=0)
    spread = np.sqrt(within / data.n)
    shift = shifts[furthest, np.arange(len(names))]
    columns = {
        "component": np.array(names, dtype=object),
        "before": variance_between(shifts + kept, batches.counts, within),
        "after": variance_between(kept, batches.counts, within),
        "batch": np.array(batches.names, dtype=object)[furthest],
        "shift": np.divide(shift, spread, out=np.zeros_like(shift), where=spread > 0),
    }
    return pd.DataFrame(columns)
