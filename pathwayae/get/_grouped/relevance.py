"""Which pathways the cells use, as a labelled table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names, significant

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def relevance(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    max_padj: float | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return which pathways the cells use: against matched random sets, and in cells left out.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.relevance``. Reads ``uns[key]["relevance"]``.
    components
        Names of components, in the order wanted. ``None`` for all.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1; free components have none. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Columns ``component, statistic, null_mean, null_low, null_high, z, pval, padj, heldout_variance, heldout_se,
        heldout_unique, heldout_unique_se, verdict``, see ``pae.tl.relevance``.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`, or a name is unknown.
    ValueError
        If `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> pae.get.relevance(adata, max_padj=0.05)["component"].tolist()
    ['program_1', 'program_2', 'program_3', 'program_4', 'program_5', 'program_6']
    """
    names = component_names(adata, components, key=key)
    table = lookup.analysis(adata, key, keys.GROUPED, keys.RELEVANCE, f"relevance(adata, key={key!r})")
    return significant(table.set_index("component").loc[names].reset_index(), max_padj)
