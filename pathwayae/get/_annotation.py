"""What components may stand for, as a labelled table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def annotation(
    adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT
) -> pd.DataFrame:
    """Return what components may stand for, from ``pae.tl.annotate_components``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.annotate_components``. Reads ``uns[key]["annotation"]``.
    components
        Names of components. ``None`` for all that were annotated.
    key
        Key of the fit, of any model.

    Returns
    -------
    pandas.DataFrame
        One row per component, see ``pae.tl.annotate_components``.

    Raises
    ------
    KeyError
        If nothing was fitted or annotated under `key`, or a name is unknown.

    Examples
    --------
    >>> pae.tl.annotate_components(adata, progress=False)
    >>> pae.get.annotation(adata)["component"].tolist()
    ['free_1', 'free_2']
    """
    table = lookup.analysis(adata, key, "", keys.ANNOTATION, f"annotate_components(adata, key={key!r})")
    if components is not None:
        table = table[table["component"].isin(component_names(adata, components, key=key))]
    return table.reset_index(drop=True)
