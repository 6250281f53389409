"""Genes of a model in the columns of other cells, by name; what is lost is reported."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pathwayae._cells.sources import Source
from pathwayae.core.notice import listed, warn

logger = logging.getLogger("pathwayae")

FEW = 0.9  # share of what the genes carry below which missing ones deserve a warning


class Alignment(NamedTuple):
    """Columns of the cells that hold the genes found, in the order of the model, and which of its genes those are."""

    columns: NDArray[np.intp]
    found: NDArray[np.bool_]


def align(source: Source, genes: NDArray[Any], power: NDArray[np.float64], *, carry: str, then: str) -> Alignment:
    """Find the genes of a model in the columns of new cells.

    Parameters
    ----------
    genes
        Names of the genes of the model, shape (g,).
    power
        How much of the model each of them carries, shape (g,).
    carry, then
        What that is, and what happens to genes that are missing, for the warning.

    Raises
    ------
    ValueError
        If none of them is there.
    """
    columns = pd.Index(source.genes).get_indexer(pd.Index(genes))
    found = columns >= 0
    if not found.any():
        msg = (
            f"None of the {len(genes)} genes of the model is in the new cells ({source.name}): {listed(genes)} against "
            f"{listed(source.genes)}. Name the column with matching names with gene_symbols."
        )
        raise ValueError(msg)
    share = power[found].sum() / max(power.sum(), 1e-300)
    logger.info("%d of %d genes of the model found (%.0f %% of %s)", found.sum(), len(found), 100 * share, carry)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the model are missing from the new cells ({source.name}); they "
            f"carry {1 - share:.0%} of {carry}, {then}."
        )
        warn(msg)
    return Alignment(columns[found], found)
