"""Archetypes as labelled tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from pathwayae import _keys
from pathwayae.get._slots import entry_of

if TYPE_CHECKING:
    from anndata import AnnData

WHAT = ("weights", "profiles", "coordinates", "cells")


def archetypes(
    adata: AnnData,
    what: Literal["weights", "profiles", "coordinates", "cells"] = "weights",
    *,
    relative: bool = False,
    key: str = _keys.ARCHETYPES,
) -> pd.DataFrame:
    """Archetypes, labelled: the cells' weights, what the archetypes express, where they lie, who they are made of.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, or after ``pae.tl.transform`` with its key (weights and coordinates).
    what
        - ``"weights"``: cells × archetypes, rows with sum 1. Reads ``obsm["X_{key}"]``.
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
        If `what` is unknown, or `relative` is asked of anything but profiles.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 4)
    >>> pae.get.archetypes(adata, "coordinates").shape
    (4, 6)
    """
    if what not in WHAT:
        msg = f"what={what!r} is not known; choose one of {', '.join(map(repr, WHAT))}."
        raise ValueError(msg)
    if relative and what != "profiles":
        msg = f"relative=True is of what='profiles', not of {what!r}; leave it out."
        raise ValueError(msg)
    entry = archetypes_entry(adata, key)
    names = pd.Index([str(name) for name in np.asarray(entry[_keys.COMPONENT_NAMES])], name="archetype")
    if what == "weights":
        values = _found(adata.obsm, _keys.scores(key), f"adata.obsm[{_keys.scores(key)!r}]", key)
        return pd.DataFrame(np.asarray(values), index=adata.obs_names, columns=names)
    if what == "cells":
        return pd.DataFrame(_found(entry, _keys.CELLS, f"adata.uns[{key!r}][{_keys.CELLS!r}]", key)).copy()
    if what == "coordinates" and _keys.COORDINATES in entry:
        dimensions = [str(name) for name in np.asarray(entry[_keys.DIMENSIONS])]
        return pd.DataFrame(np.asarray(entry[_keys.COORDINATES]), index=names, columns=dimensions)
    profiles = _profiles(adata, key, names)
    if what == "coordinates":
        return profiles.dropna().T
    return profiles.sub(adata.var[_keys.mean(key)].astype(float), axis=0) if relative else profiles


def archetypes_entry(adata: AnnData, key: str) -> Mapping[str, Any]:
    """``uns[key]`` of archetypes.

    Raises
    ------
    KeyError
        If there is none under this key; the message names those that are there.
    """
    missing = (
        f"No archetypes under key {key!r}: run pae.tl.archetypes(adata, n_archetypes, key_added={key!r}) first, or "
        "pass key="
    )
    return entry_of(adata, key, _keys.ARCHETYPES, missing=missing)


def _profiles(adata: AnnData, key: str, names: pd.Index) -> pd.DataFrame:
    slot, column = _keys.profiles(key), _keys.mean(key)
    values = np.asarray(_found(adata.varm, slot, f"adata.varm[{slot!r}]", key), dtype=float)
    inside = np.isfinite(np.asarray(_found(adata.var, column, f"adata.var[{column!r}]", key), dtype=float))
    return pd.DataFrame(np.where(inside[:, None], values, np.nan), index=adata.var_names, columns=names)


def _found(holder: Any, name: str, where: str, key: str) -> Any:
    if name not in holder:
        msg = (
            f"{where} is missing: it is written by pae.tl.archetypes(adata, n_archetypes, key_added={key!r}) where "
            "the cells have genes, and does not come with pae.tl.transform."
        )
        raise KeyError(msg)
    return holder[name]
