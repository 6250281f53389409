"""Archetypes as labelled tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData

OF = ("profiles", "coordinates", "cells")


@gated()
def archetypes(
    adata: AnnData,
    *,
    of: Literal["profiles", "coordinates", "cells"] = "profiles",
    relative: bool = False,
    key: str = keys.ARCHETYPES,
) -> pd.DataFrame:
    """Return what archetypes express, where they lie, or who they are made of, labelled.

    The weights of the cells are :func:`pathwayae.get.scores` with the key of the archetypes.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, or after ``pae.tl.transform`` with its key (coordinates).
    of
        - ``"profiles"``: genes × archetypes, expression at each archetype; NaN for genes outside the model. Reads
          ``varm[key]`` and ``var["{key}_mean"]``.
        - ``"coordinates"``: archetypes × dimensions of what they were fitted to (genes, where that was ``X``). Reads
          ``uns[key]["coordinates"]``, or ``varm[key]`` of genes.
        - ``"cells"``: the cells that each archetype is a mixture of, columns ``archetype, cell, weight``. Reads
          ``uns[key]["cells"]``.
    relative
        Of profiles: less the mean of the gene in all cells of the fit.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, or they do not have what is asked for.
    ValueError
        If `of` is unknown, or `relative` is asked of anything but profiles.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 4, progress=False)
    >>> pae.get.archetypes(adata, of="coordinates").shape
    (4, 6)
    """
    if of not in OF:
        msg = f"of={of!r} is not known; choose one of {', '.join(map(repr, OF))}."
        raise ValueError(msg)
    if relative and of != "profiles":
        msg = f"relative=True is of of='profiles', not of {of!r}; leave it out."
        raise ValueError(msg)
    if of == "cells":
        return pd.DataFrame(lookup.value(adata, key, keys.CELLS, kind=keys.ARCHETYPES)).copy()
    return slots.coordinates(adata, key) if of == "coordinates" else slots.profiles(adata, key, relative=relative)
