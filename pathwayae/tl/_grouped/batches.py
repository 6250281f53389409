"""Batches of the cells at hand: read from ``obs``, looked at, and turned into what their scores are shifted by."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._cells import sources
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments import batches as core
from pathwayae.core.moments.batches import Batches
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.notice import listed, warn
from pathwayae.tl._grouped.settings import Asked

FEW = 10  # a mean of fewer cells takes much of what is theirs with it


class Labels(NamedTuple):
    """Names of the batches, sorted, and which of them each cell is of, shape (n,); the column of ``obs``."""

    key: str
    names: tuple[str, ...]
    codes: NDArray[np.intp]


def check(asked: Asked) -> None:
    """Raise where the settings of a fit contradict centring within batches."""
    batch_key, condition_key = asked.batch_key, asked.condition_key
    for name, value in (("batch_key", batch_key), ("condition_key", condition_key)):
        if not isinstance(value, str | None):
            msg = f"{name}={value!r} must be the name of one column of obs, not {type(value).__name__}."
            raise TypeError(msg)
    if batch_key is None and condition_key is not None:
        msg = f"condition_key={condition_key!r} is only compared with batches; pass batch_key too, or leave it out."
        raise ValueError(msg)
    if batch_key is not None and not asked.settings.center:
        msg = f"batch_key={batch_key!r} centres genes within batches, so center=False contradicts it; leave one out."
        raise ValueError(msg)
    if batch_key is not None and asked.settings.solver == "cells":
        msg = f"batch_key={batch_key!r} needs the Gram matrix; pass solver='gram', or leave solver out."
        raise ValueError(msg)


def read(
    adata: AnnData, source: sources.Source | None, batch_key: str | None, condition_key: str | None
) -> Labels | None:
    """The batches of the cells of a fit; warns of batches that are one condition.

    Raises
    ------
    KeyError
        If a column does not exist.
    ValueError
        If a cell has no batch or condition.
    """
    if batch_key is None:
        return None
    labels = _column(adata, source, batch_key)
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    if condition_key is not None:
        _check_conditions(labels, _column(adata, source, condition_key), batch_key, condition_key)
    return Labels(batch_key, tuple(names.tolist()), codes)


def check_sizes(batches: Batches, key: str) -> None:
    """Warn of batches of so few cells that their own mean is most of them."""
    few = [(name, count) for name, count in zip(batches.names, batches.counts, strict=True) if count < FEW]
    if few:
        named = listed((f"{name!r} ({count:g})" for name, count in few), 10, quoted=False)
        msg = (
            f"{len(few)} of {len(batches.names)} batches of {key!r} have fewer than {FEW} cells: "
            f"{named}. Centred by their own mean they lose much of "
            "what they hold; a batch of one cell scores 0 throughout. Join or leave out such batches."
        )
        warn(msg)


def shifts(
    labels: Labels | None, batches: Batches | None, data: Data, encoder: Encoder
) -> tuple[NDArray[np.intp] | None, NDArray[np.float64] | None]:
    """Batch of each cell of the fit, shape (n,), and what it shifts scores by, shape (b, k)."""
    if labels is None or batches is None:
        return None, None
    place = pd.Index(batches.names).get_indexer(pd.Index(labels.names))
    return place[labels.codes], core.offsets(batches.means, data.mean, data.scale, encoder)


def of_new_cells(source: sources.Source, key: str, names: list[str]) -> NDArray[np.intp]:
    """Place of the batch of each cell among the names, shape (n,); −1, the last, for unknown ones, which are reported.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has no batch.
    """
    labels = sources.labels(source, [key])
    codes = pd.Index(names).get_indexer(pd.Index(labels.astype(str)))
    if (codes < 0).any():
        unknown = np.unique(labels[codes < 0].astype(str))
        msg = (
            f"{int((codes < 0).sum())} cells are of batches that the fit has not seen ({source.name}): "
            f"{listed(unknown, 10)}. The mean of all cells of the fit stands in for that of "
            "their batch, so what shifts the whole batch is still in their scores."
        )
        warn(msg)
    return codes.astype(np.intp)


def _column(adata: AnnData, source: sources.Source | None, key: str) -> NDArray[np.object_]:
    """Values of a column of ``obs`` as text, also where there are no cells to read."""
    if source is not None:
        return sources.labels(source, [key])
    if key not in adata.obs:
        msg = f"{key!r} is not a column of adata.obs, which has {list(adata.obs.columns)}."
        raise KeyError(msg)
    column = pd.Series(np.asarray(adata.obs[key], dtype=object))
    if column.isna().any():
        msg = f"adata: {int(column.isna().sum())} cells have no {key!r}; give them one or leave them out."
        raise ValueError(msg)
    return column.astype(str).to_numpy(dtype=object)


def _check_conditions(
    labels: NDArray[np.object_], conditions: NDArray[np.object_], batch_key: str, condition_key: str
) -> None:
    """Warn of batches that are one condition, where there are several."""
    if len(np.unique(conditions.astype(str))) < 2:
        return
    single = core.single_condition(labels, conditions)
    if not single:
        return
    n_batches = len(np.unique(labels.astype(str)))
    named = listed((f"{name!r} ({value})" for name, value in single.items()), 10, quoted=False)
    rest = (
        f"No batch holds two, so nothing of the difference between the means of the {condition_key!r} groups is left"
        if len(single) == n_batches
        else "It is left where a batch holds several"
    )
    msg = (
        f"Batches and conditions are confounded: {len(single)} of {n_batches} batches of {batch_key!r} hold cells of "
        f"one {condition_key!r} only: {named}. Their own "
        f"mean is taken off them, and what the condition does to all of their cells with it. {rest}. Choose a "
        "batch_key whose batches hold several conditions, or leave it out."
    )
    warn(msg)
