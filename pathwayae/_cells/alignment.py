"""Genes of a model in the columns of other cells, by name; what is lost is reported."""

from __future__ import annotations

import logging
from collections.abc import Iterable
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


def align(
    source: Source, genes: NDArray[Any], power: NDArray[np.float64], *, carry: str, then: str, most: float = 1.0
) -> Alignment:
    """Find the genes of a model in the columns of new cells.

    Parameters
    ----------
    genes
        Names of the genes of the model, shape (g,).
    power
        How much of the model each of them carries, shape (g,).
    carry, then
        What that is, and what happens to genes that are missing, for the warning.
    most
        Share of it that missing genes may carry.

    Raises
    ------
    ValueError
        If none of them is there, or the missing ones carry more than ``most``.
    """
    columns = pd.Index(source.genes).get_indexer(pd.Index(genes))
    found = columns >= 0
    if not found.any():
        msg = (
            f"None of the {len(genes)} genes of the model is in the new cells ({source.name}): {listed(genes)} against "
            f"{listed(source.genes)}. {why_lost(source.genes, genes)}Name the column with matching names with "
            "gene_symbols."
        )
        raise ValueError(msg)
    share = power[found].sum() / max(power.sum(), 1e-300)
    logger.info("%d of %d genes of the model found (%.0f %% of %s)", found.sum(), len(found), 100 * share, carry)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the model are missing from the new cells ({source.name}); they "
            f"carry {1 - share:.0%} of {carry}"
        )
        if 1 - share > most:
            msg += (
                f", more than max_missing={most:g} allows: scores would say little of the new cells. "
                f"{why_lost(source.genes, genes)}Check the names of the genes, fit on the genes that both have "
                "(mask_var), or pass max_missing=1 to score with what is there."
            )
            raise ValueError(msg)
        warn(f"{msg}, {then}. {why_lost(source.genes, genes)}".rstrip())
    return Alignment(columns[found], found)


def why_lost(own: Iterable[Any], wanted: Iterable[Any]) -> str:
    """A sentence on names that would match if they were written alike; empty where none more would.

    Examples
    --------
    >>> why_lost(np.array(["Cd3d", "Cd19"]), np.array(["CD3D", "CD19"]))
    "Without regard to case 100 % would match ('Cd3d' and 'CD3D'): genes of another species. "
    """
    mine, theirs = pd.Series(list(own), dtype=str), pd.Series(list(wanted), dtype=str)
    plain = theirs.isin(mine)
    ways = {
        "Without regard to case": (
            [one.str.upper() for one in (mine, theirs)],
            "genes of another species",
        ),
        "Without versions": (
            [one.str.replace(r"\.\d+$", "", regex=True) for one in (mine, theirs)],
            "drop what follows the dot",
        ),
    }
    for how, ((ours, asked), advice) in ways.items():
        alike = asked.isin(ours)
        if alike.mean() > plain.mean() + 0.2:
            one = int((alike & ~plain).argmax())
            example = f"{str(mine[int((ours == asked[one]).argmax())])!r} and {str(theirs[one])!r}"
            return f"{how} {100 * alike.mean():.0f} % would match ({example}): {advice}. "
    ids = [bool(names.str.match(r"ENS[A-Z]*G\d{6,}").mean() > 0.5) for names in (mine, theirs)]
    return "One side has Ensembl ids, the other has not. " if ids[0] != ids[1] else ""
