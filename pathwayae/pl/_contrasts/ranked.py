"""What the plots of contrasts share: the table, its comparisons, and words for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._slots import keys, lookup

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pandas as pd
    from anndata import AnnData

LEVEL = 0.05  # of FDR


def read(
    adata: AnnData, group: str | None, within: str | None, key_added: str | None, key: str
) -> tuple[pd.DataFrame, Mapping[str, Any]]:
    """The table, and what ``pae.tl.rank_pathways`` was asked.

    Raises
    ------
    KeyError
        If nothing was compared.
    ValueError
        If a group or level was not compared, or nothing has a p-value.
    """
    table = get.rank_pathways(adata, group=group, within=within, key_added=key_added, key=key)
    name = keys.RANK_PATHWAYS if key_added is None else key_added
    if table["p"].isna().all():
        msg = f"No row of {name!r} has a p-value: the scores do not vary. Run pae.tl.rank_pathways on other cells."
        raise ValueError(msg)
    params: Mapping[str, Any] = lookup.value(adata, key, keys.rank_params(name))
    return table, params


def comparisons(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Pairs of group and level, sorted: groups of one level beside each other."""
    pairs = set(zip(table["group"], table["within"], strict=True))
    return sorted(pairs, key=lambda pair: (pair[1], pair[0]))


def words(pairs: list[tuple[str, str]]) -> list[str]:
    """Names of comparisons: what tells them apart."""
    many_groups = len({group for group, _ in pairs}) > 1
    return [
        " | ".join([one for one in (within, group if many_groups or not within else "") if one])
        for group, within in pairs
    ]


def contrast(table: pd.DataFrame, groupby: str) -> str:
    """What is compared, in words: ``condition: stim − ctrl``."""
    groups, references = table["group"].unique(), table["reference"].unique()
    against = references[0] if len(references) == 1 else "reference"
    against = "all other cells" if against == "rest" else against
    which = groups[0] if len(groups) == 1 else "each group"
    return f"{which} against {against}" if not groupby else f"{groupby}: {which} against {against}"


def number(p: float) -> str:
    """A p-value as it is printed."""
    if not np.isfinite(p):
        return "none"
    return "< 1e-99" if p < 1e-99 else f"{p:.1g}" if p < 0.01 else f"{p:.2f}"
