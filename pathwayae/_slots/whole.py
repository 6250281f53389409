"""A fit held to what a fit is before anything is made of it: files and hands change slots."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData

from pathwayae._slots import keys, lookup
from pathwayae.core.notice import listed

SCORES = ("members", "projection", "least_squares")


def check(adata: AnnData, key: str) -> None:
    """Raise ValueError where the slots of a grouped fit do not agree with each other, or hold no usable numbers.

    Raises
    ------
    KeyError
        If there is no fit, or a slot of it is missing.
    """
    entry = lookup.fit_of(adata, key, keys.GROUPED)
    wrong = [*_of_entry(adata, key, entry), *_of_genes(adata, key), *_of_loadings(adata, key)]
    if wrong:
        msg = (
            f"The fit under key {key!r} is damaged: {'; '.join(wrong)}. Fit again (pae.tl.fit), or read it again from "
            "the file that it was written to."
        )
        raise ValueError(msg)


def _of_entry(adata: AnnData, key: str, entry: Any) -> list[str]:
    """What is wrong in ``uns``."""
    names = lookup.component_names(adata, key)
    params, p = lookup.plain(entry[keys.PARAMS]), lookup.plain(entry.get(keys.N_PATHWAYS, 0))
    wrong = []
    if len(set(names)) < len(names):
        wrong.append(f"components share names ({listed({name for name in names if names.count(name) > 1})})")
    if not (isinstance(p, int | np.integer) and 0 <= p <= len(names)):
        wrong.append(f"{keys.N_PATHWAYS} is {p!r} of {len(names)} components")
    if keys.VARIANCE_RATIO in entry and np.shape(lookup.plain(entry[keys.VARIANCE_RATIO])) != (len(names),):
        wrong.append(f"{keys.VARIANCE_RATIO} is not of {len(names)} components")
    if keys.PATHWAYS in entry:
        table = lookup.plain(entry[keys.PATHWAYS])
        if "pathway" not in table or len(table["pathway"]) != p:
            wrong.append(f"the table {keys.PATHWAYS!r} is not of {p!r} pathways")
    if params.get("scores") not in SCORES:
        wrong.append(f"scores={params.get('scores')!r} is none of {', '.join(map(repr, SCORES))}")
    return wrong


def _of_genes(adata: AnnData, key: str) -> list[str]:
    """What is wrong with means and units; genes outside the model have neither."""
    mean, scale = (
        np.asarray(lookup.slot(adata, "var", slot, key), dtype=np.float64) for slot in (keys.mean(key), keys.scale(key))
    )
    inside = ~np.isnan(scale)
    wrong = []
    if not inside.any():
        wrong.append(f"no gene has a unit in var[{keys.scale(key)!r}]")
    if not (scale[inside] > 0).all() or not np.isfinite(scale[inside]).all():
        wrong.append(f"var[{keys.scale(key)!r}] has units that are infinite, 0 or negative")
    if not np.isfinite(mean[inside]).all() or np.isfinite(mean[~inside]).any():
        wrong.append(f"var[{keys.mean(key)!r}] and var[{keys.scale(key)!r}] are of other genes, or not finite")
    return wrong


def _of_loadings(adata: AnnData, key: str) -> list[str]:
    """What is wrong with genes × components."""
    k, wrong = len(lookup.component_names(adata, key)), []
    p, of_sets = lookup.plain(lookup.value(adata, key, keys.N_PATHWAYS)), adata.varm.get(keys.membership(key))
    if of_sets is not None and of_sets.shape[1] != p:
        wrong.append(f"varm[{keys.membership(key)!r}] has {of_sets.shape[1]} columns for {p!r} pathways")
    slots = [keys.loadings(key)] + [keys.encoder(key)] * (keys.encoder(key) in adata.varm)
    outside = np.isnan(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=np.float64))
    for name in slots:
        values = lookup.plain(lookup.slot(adata, "varm", name, key))
        values = values if sp.issparse(values) else np.asarray(values)
        if what := lookup.unsound(values):
            wrong.append(f"varm[{name!r}] {what}")
        elif abs(values[outside]).sum() > 0:
            wrong.append(f"varm[{name!r}] has values of genes without a unit in var[{keys.scale(key)!r}]")
        if values.shape[1] != k:
            wrong.append(f"varm[{name!r}] has {values.shape[1]} columns for {k} components")
    return wrong
