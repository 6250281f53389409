"""The cells of a fit as they were, and new cells held against them: scale of their values, and what is unexplained."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._cells.scale import other_than_logarithms
from pathwayae._cells.sources import Source
from pathwayae._slots import keys, lookup, store
from pathwayae.core import cell_values
from pathwayae.core.grouped.unexplained import Residual, residual
from pathwayae.core.notice import warn
from pathwayae.tl._project import Projection

N_CELLS = 2000  # of a fit that are kept as quantiles
N_FIRST = 1000  # new cells whose values are looked at
MARGIN = 1.25  # ratio beyond the middle 95 % that is borne: new cells may be of one type, and lack genes
HALF = 0.5  # share of the counts of a model's genes that must be there to tell how many all have
CONSTANT = 1.02  # ratio of the 95 % and the 5 % quantile of totals that are all the same
UNLIKE = 0.99  # share of the cells of the fit that have a smaller error than a cell that is not described
MANY = 0.1  # share of such cells among new ones that deserves a warning


class Sample:
    """Looks at some cells of a fit while they are scored."""

    def __init__(self, n: int, found: Residual, projection: Projection, random_state: int) -> None:
        rng = np.random.default_rng(random_state)
        self.rows = np.sort(rng.choice(n, min(n, N_CELLS), replace=False))
        self.found, self.batch = found, projection.batch
        self.genes: NDArray[Any] | None = projection.genes
        self.parts: list[tuple[cell_values.Described, NDArray[np.float64]]] = []

    def __call__(self, start: int, stop: int, values: Any, scores: NDArray[np.float64]) -> None:
        """Some rows of a block."""
        first, last = np.searchsorted(self.rows, (start, stop))
        rows = self.rows[first:last]
        if not len(rows):
            return
        here = rows - start
        some = values if len(here) == values.shape[0] else values[here]
        batch = None if self.batch is None else self.batch[rows]
        errors = self.found.of(some, scores[here], self.genes, batch)
        self.parts.append((cell_values.describe(some, self.genes), errors))

    def entry(self) -> dict[str, Any]:
        """For ``uns``: quantiles of what was seen."""
        values = {
            "level": np.concatenate([one.level for one, _ in self.parts]),
            "total": np.concatenate([one.total for one, _ in self.parts]),
            "inside": np.concatenate([one.inside for one, _ in self.parts]),
            "unexplained": np.concatenate([errors for _, errors in self.parts]),
        }
        kept: dict[str, Any] = {name: cell_values.quantiles(one) for name, one in values.items()}
        negative = any(one.smallest < 0 for one, _ in self.parts)
        return kept | {"quantile": cell_values.QUANTILES.copy(), "n_cells": len(self.rows), "negative": negative}


class Watch:
    """Looks at all new cells while they are scored, and at the values of the first of them."""

    def __init__(
        self,
        source: Source,
        found: Residual,
        projection: Projection,
        seen: Mapping[str, Any],
        *,
        share: float,
        normalize: str,
    ) -> None:
        self.name, self.found, self.projection, self.seen, self.share = source.name, found, projection, seen, share
        self.errors = np.zeros(source.shape[0], dtype=np.float32)
        self.normalize, self.other_scale = normalize, False

    def __call__(self, start: int, stop: int, values: Any, scores: NDArray[np.float64]) -> None:
        """A block."""
        genes, batch = self.projection.genes, self.projection.batch
        if start == 0:
            first = values[:N_FIRST]
            self.other_scale = self._was_told(first) or self._of_other_scale(cell_values.describe(first, genes))
        self.errors[start:stop] = self.found.of(values, scores, genes, None if batch is None else batch[start:stop])

    def columns(self, key: str) -> dict[str, NDArray[Any]]:
        """For ``obs``: what is unexplained of each cell, and the share of the cells of the fit below it.

        Warns of many that are not described, unless the reason was said.
        """
        stored = np.asarray(self.seen["unexplained"])
        quantile = cell_values.rank(self.errors.astype(np.float64), stored).astype(np.float32)
        unlike = int((quantile > UNLIKE).sum())
        if unlike > MANY * len(quantile) and not self.other_scale:
            msg = (
                f"{unlike} of {len(quantile)} new cells ({self.name}) have more that the model does not explain than "
                f"{UNLIKE:.0%} of the cells of the fit: cells of another tissue, type or state, or other technology. "
                "Their scores say how high the pathways are, not what else sets them apart; see pae.get.unexplained."
            )
            warn(msg)
        return dict(zip(keys.unexplained(key).values(), (self.errors, quantile), strict=True))

    def _was_told(self, first: Any) -> bool:
        """Whether it was said when the cells were opened that their values are no logarithms."""
        return not self.normalize and bool(other_than_logarithms(first))

    def _of_other_scale(self, new: cell_values.Described) -> bool:
        """Warn where values are on another scale than those of the fit."""
        what = _other(new, self.seen, self.share)
        if what:
            msg = (
                f"The new cells ({self.name}) {what}. Their scores cannot be compared with those of the fit: bring the "
                "values to the scale of the fit, with the very same steps."
            )
            warn(msg)
        return bool(what)


def residual_of(projection: Projection, ratio: NDArray[np.float64], unit: str) -> Residual:
    """What a model leaves of cells that are scored with this projection."""
    means = projection.mean if projection.means is None else projection.means
    return residual(projection.encoder, means, projection.scale, ratio, unit)


def keep(adata: AnnData, key: str, sample: Sample | None) -> None:
    """Write what was seen of the cells of a fit."""
    if sample is not None and sample.parts:
        store.add(adata, key, {keys.REFERENCE_CELLS: sample.entry()})


def of_fit(reference: AnnData, key: str) -> dict[str, Any] | None:
    """What was seen of the cells of the fit; None where its version did not look, or it had moments alone."""
    entry = lookup.fit_of(reference, key).get(keys.REFERENCE_CELLS)
    return None if entry is None else lookup.plain(entry)


def _other(new: cell_values.Described, seen: Mapping[str, Any], share: float) -> str:
    """What tells the values of new cells from those of the fit; empty where nothing does."""
    if (new.smallest < 0) != bool(seen["negative"]):
        own, fit = ("hold", "had none") if new.smallest < 0 else ("hold no", "had some")
        return f"{own} negative values, as scaled (z-scored) or corrected ones do; those of the fit {fit}"
    return (
        _of_totals(new.total, np.asarray(seen["total"]))
        or _of_model(new, np.asarray(seen["inside"]), share)
        or _of_levels(new.level, np.asarray(seen["level"]))
    )


def _of_totals(new: NDArray[np.float64], stored: NDArray[np.float64]) -> str:
    """Where both sides were brought to one total per cell, and these differ."""
    own, fit = _constant(new), _constant(stored)
    if not own or not fit or 1 / CONSTANT < own / fit < CONSTANT:
        return ""
    return f"were normalised to {own:,.0f} counts per cell, those of the fit to {fit:,.0f}"


def _constant(totals: NDArray[np.float64]) -> float:
    """The total that nearly all cells have; 0 where they differ."""
    low, middle, high = np.quantile(totals, (0.05, 0.5, 0.95))
    return float(middle) if 0 < high < CONSTANT * low else 0.0


def _of_model(new: cell_values.Described, stored: NDArray[np.float64], share: float) -> str:
    """Where the genes of the model have other totals; ``share`` is what those that are not missing have of them."""
    if share < HALF:
        return ""
    own = float(np.median(new.inside)) / share
    low, middle, high = _central(stored)
    if low / MARGIN <= own <= high * MARGIN:
        return ""
    total = _constant(new.total)
    known = f"; they were normalised to {total:,.0f} counts per cell" if total else ""
    return (
        f"are on another scale: the genes of the model have {own:,.0f} of a cell's normalised counts (median), in the "
        f"fit {middle:,.0f} (95 % of its cells {low:,.0f} to {high:,.0f}){known}"
    )


def _of_levels(new: NDArray[np.float64], stored: NDArray[np.float64]) -> str:
    """Where the typical positive value is outside the range that it has in the cells of the fit."""
    if not np.isfinite(new).any() or not np.isfinite(stored).all():
        return ""
    own = float(np.nanmedian(new))
    low, middle, high = _central(stored)
    if low - np.log(MARGIN) <= own <= high + np.log(MARGIN):
        return ""
    return (
        f"are of another depth or scale: their positive values have the mean {own:.2f} (median over cells), those of "
        f"the fit {middle:.2f} (95 % of its cells {low:.2f} to {high:.2f})"
    )


def _central(stored: NDArray[np.float64]) -> tuple[float, float, float]:
    """Ends of the middle 95 % and the median, from quantiles."""
    low, middle, high = np.interp((0.025, 0.5, 0.975), cell_values.QUANTILES, stored)
    return float(low), float(middle), float(high)
