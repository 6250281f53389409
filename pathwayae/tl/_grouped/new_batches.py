"""Batches of new cells: those that the fit knows by its means, all others as was asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathwayae._cells import sources
from pathwayae._cells.alignment import Alignment
from pathwayae._cells.labels import labels as labels_of
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.moments.batches import sums_of
from pathwayae.core.notice import listed, warn
from pathwayae.tl._grouped.batches import FEW

logger = logging.getLogger("pathwayae")
Floats = NDArray[np.float64]


class Centres(NamedTuple):
    """Column of ``obs``, names of batches, and their means of the genes of the model.

    ``means`` is (b + 1, g), the last row being what centres the cells of any other batch.
    """

    key: str
    names: tuple[str, ...]
    means: Floats

    def codes(self, source: sources.Source) -> NDArray[np.intp]:
        """Row of the means that centres each cell, shape (n,)."""
        places = _places(source, self.key, self.names)
        return np.where(places < 0, len(self.names), places)


def check(centres: Centres, cells: Sequence[tuple[sources.Source, Alignment]], how: str) -> Centres:
    """The centres of new cells, more of them where each new batch has its own.

    Parameters
    ----------
    cells
        Of one input or of several, in each of which other genes may be found.
    how
        ``"global"``, ``"center"`` or ``"error"``.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has no batch, or a batch is new and that is an error.
    """
    found = []
    for source, place in cells:
        labels = labels_of(source, [centres.key]).astype(str)
        unknown = pd.Index(centres.names).get_indexer(pd.Index(labels)) < 0
        if unknown.any():
            found.append((source, place, labels, unknown))
            if how == "global":
                _report(source, labels[unknown])
    if not found or how == "global":
        return centres
    names = np.unique(np.concatenate([labels[unknown] for *_, labels, unknown in found]))
    if how == "error":
        msg = (
            f"{sum(int(unknown.sum()) for *_, unknown in found)} cells are of batches that the fit has not seen "
            f"({found[0][0].name}): {listed(names, 10)}. Pass new_batches='global', which leaves what shifts the whole "
            "batch in their scores, or 'center', which takes each batch's own mean off and so assumes that its cells "
            "are composed as those of the fit."
        )
        raise ValueError(msg)
    return _centred(centres, tuple(names.tolist()), found)


def _centred(
    centres: Centres,
    names: tuple[str, ...],
    found: Sequence[tuple[sources.Source, Alignment, NDArray[np.str_], NDArray[np.bool_]]],
) -> Centres:
    """With the own mean of every new batch, of every gene over the cells that have it; one pass over the cells."""
    fallback = centres.means[-1]
    sums, counts = (np.zeros((len(names), len(fallback))) for _ in range(2))
    sizes = np.zeros(len(names))
    for source, place, labels, unknown in found:
        codes = pd.Index(names).get_indexer(pd.Index(labels))
        size = np.bincount(codes[unknown], minlength=len(names)).astype(np.float64)
        sizes += size
        counts[:, place.found] += size[:, None]
        genes = np.flatnonzero(place.found)
        for block in source.blocks(BLOCK_BYTES):
            rows = np.flatnonzero(unknown[block.start : block.stop])
            if len(rows):
                values = block.values[rows][:, place.columns]
                sums[:, genes] += sums_of(values, codes[block.start : block.stop][rows], len(names))
    means = np.where(counts > 0, sums / np.maximum(counts, 1.0), fallback)
    few = [f"{name!r} ({size:g})" for name, size in zip(names, sizes, strict=True) if size < FEW]
    if few:
        msg = (
            f"{len(few)} of {len(names)} new batches of {centres.key!r} have fewer than {FEW} cells: "
            f"{listed(few, 10, quoted=False)}. Centred by their own mean they lose much of what they hold."
        )
        warn(msg)
    logger.info(
        "%d new batches are centred by their own means, as if their cells were composed as those of the fit: %s",
        len(names),
        listed(names, 10),
    )
    return Centres(centres.key, (*centres.names, *names), np.vstack([centres.means[:-1], means, fallback]))


def _places(source: sources.Source, key: str, names: Sequence[str]) -> NDArray[np.intp]:
    labels = labels_of(source, [key]).astype(str)
    return pd.Index(names).get_indexer(pd.Index(labels)).astype(np.intp)


def _report(source: sources.Source, labels: NDArray[np.str_]) -> None:
    msg = (
        f"{len(labels)} cells are of batches that the fit has not seen ({source.name}): "
        f"{listed(np.unique(labels), 10)}. The mean of all cells of the fit stands in for that of "
        "their batch, so what shifts the whole batch is still in their scores (new_batches)."
    )
    warn(msg)
