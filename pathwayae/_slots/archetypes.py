"""Archetypes in their slots: written, and read back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._slots import keys, lookup


class Fitted(NamedTuple):
    """Archetypes (k, d), the names of their dimensions (genes in order, for a fit to genes), and the settings.

    ``ids`` are the ``var_names`` of genes, where ``dimensions`` may be symbols.
    """

    coordinates: NDArray[np.float64]
    dimensions: list[str]
    ids: list[str]
    names: list[str]
    params: dict[str, Any]


def fitted(adata: AnnData, key: str = keys.ARCHETYPES) -> Fitted:
    """The archetypes under a key.

    Raises
    ------
    KeyError
        If there are none, or a slot is missing.
    """
    params = lookup.plain(lookup.fit_of(adata, key, keys.ARCHETYPES)[keys.PARAMS])
    table = coordinates(adata, key)
    ids = names = table.columns.astype(str).tolist()
    if not params["obsm"]:
        own = dict(zip(adata.var_names, _checks.gene_names(adata, params["gene_symbols"] or None), strict=True))
        table = table[sorted(ids, key=own.__getitem__)]
        ids = table.columns.astype(str).tolist()
        names = [str(own[name]) for name in ids]
    return Fitted(table.to_numpy(dtype=np.float64), names, ids, table.index.tolist(), params)


def weights(adata: AnnData, key: str) -> pd.DataFrame:
    """Weights of the cells, cells × archetypes."""
    lookup.fit_of(adata, key, keys.ARCHETYPES)
    return lookup.table(adata, "obsm", keys.scores(key), key).rename_axis(columns="archetype")


def profiles(adata: AnnData, key: str, *, relative: bool = False) -> pd.DataFrame:
    """Expression at each archetype, genes × archetypes; NaN for genes outside the model. Relative: less the mean."""
    lookup.fit_of(adata, key, keys.ARCHETYPES)
    for where, name in (("varm", keys.profiles(key)), ("var", keys.mean(key))):
        if name not in getattr(adata, where):
            msg = (
                f"adata.{where}[{name!r}] is missing: it is written by pae.tl.archetypes(adata, n_archetypes, "
                f"key_added={key!r}) where the cells have genes, and does not come with pae.tl.transform."
            )
            raise KeyError(msg)
    table = lookup.table(adata, "varm", keys.profiles(key), key).astype(float).rename_axis(columns="archetype")
    mean = pd.Series(np.asarray(adata.var[keys.mean(key)], dtype=float), index=adata.var_names)
    table[mean.isna().to_numpy()] = np.nan
    return table.sub(mean, axis=0) if relative else table


def coordinates(adata: AnnData, key: str) -> pd.DataFrame:
    """Where archetypes lie, archetypes × dimensions of what they were fitted to."""
    entry = lookup.fit_of(adata, key, keys.ARCHETYPES)
    if keys.COORDINATES not in entry:
        return profiles(adata, key).dropna().T
    names = pd.Index(lookup.component_names(adata, key), name="archetype")
    dimensions = [str(name) for name in np.asarray(lookup.plain(entry[keys.DIMENSIONS]))]
    return pd.DataFrame(np.array(lookup.plain(entry[keys.COORDINATES])), index=names, columns=dimensions)
