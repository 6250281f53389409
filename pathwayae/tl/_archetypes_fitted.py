"""Archetypes in their slots, read back, and the weights of new cells over them."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _keys, get
from pathwayae.core.archetypes import simplex
from pathwayae.core.notice import warn
from pathwayae.get._archetypes import archetypes_entry
from pathwayae.get._slots import kind_of
from pathwayae.tl._archetypes_input import Streamed, dimensions
from pathwayae.tl._matrix import Input, of_embedding, of_genes

CARRIED = (_keys.PARAMS, _keys.COMPONENT_NAMES, _keys.COORDINATES, _keys.DIMENSIONS, _keys.ALPHA)
FEW = 0.9  # share of the squared distances between archetypes below which missing genes deserve a warning


class Fitted(NamedTuple):
    """Archetypes (k, d), the names of their dimensions (genes in order, for a fit to genes), and the settings."""

    coordinates: NDArray[np.float64]
    dimensions: list[str]
    names: list[str]
    params: dict[str, Any]


def fitted(adata: AnnData, key: str = _keys.ARCHETYPES) -> Fitted:
    """The archetypes under a key.

    Raises
    ------
    KeyError
        If there are none, or a slot is missing.
    """
    params = {str(name): _value(value) for name, value in archetypes_entry(adata, key)[_keys.PARAMS].items()}
    table = get.archetypes(adata, "coordinates", key=key)
    if not params["obsm"]:
        table = table[np.sort(table.columns.to_numpy(dtype=str))]
    return Fitted(table.to_numpy(dtype=np.float64), table.columns.tolist(), table.index.tolist(), params)


def add_weights(
    adata: Any,
    reference: AnnData,
    *,
    out: str | os.PathLike[str] | None,
    layer: str | None,
    gene_symbols: str | None,
    batch_key: str | None,
    key: str,
    key_added: str,
    progress: bool,  # noqa: ARG001
    copy: bool,
) -> AnnData | None:
    """Write the weights of the new cells, see :func:`pathwayae.tl.transform`."""
    if out is not None or batch_key is not None:
        name, value = ("out", str(out)) if out is not None else ("batch_key", batch_key)
        msg = (
            f"{name}={value!r} is not of archetypes; leave it out. Cells that do not fit in memory can be opened with "
            "anndata.read_h5ad(path, backed='r') and are read by blocks."
        )
        raise ValueError(msg)
    model = fitted(reference, key)
    _check_other_fit(adata, reference, key, key_added)
    obsm = str(model.params["obsm"])
    if obsm:
        _check_embedding(adata, reference, obsm, model, layer)
        cells, coordinates = of_embedding(adata, obsm), model.coordinates
    else:
        layer = layer or str(model.params["layer"]) or None
        cells, coordinates = _aligned(of_genes(adata, layer, gene_symbols, None), model)
    weights = simplex.weights(
        Streamed(cells),
        coordinates,
        device="cpu",
        entropy_reg=float(model.params["entropy_reg"]),
        scale=float(model.params["scale"]),
    )
    target = adata.copy() if copy else adata
    target.obsm[_keys.scores(key_added)] = weights
    if key_added not in target.uns:
        entry = archetypes_entry(reference, key)
        target.uns[key_added] = {name: _value(entry[name]) for name in CARRIED if name in entry}
    return target if copy else None


def _check_other_fit(adata: AnnData, reference: AnnData, key: str, key_added: str) -> None:
    """A fit of its own under the key must be that of the reference, or copied from it: all have the same names."""
    own = adata.uns.get(key_added)
    if own is None:
        return
    theirs = archetypes_entry(reference, key)
    same = kind_of(adata, key_added) == _keys.ARCHETYPES and _equal(own, theirs, _keys.ALPHA)
    same = same and all(_equal(own, theirs, name) for name in (_keys.COORDINATES, _keys.CELLS) if name in own)
    if not same:
        msg = f"adata already holds another fit under {key_added!r}; choose another key_added."
        raise ValueError(msg)


def _equal(own: Any, theirs: Any, name: str) -> bool:
    if name not in own or name not in theirs:
        return False
    a, b = _value(own[name]), _value(theirs[name])
    return bool(a.equals(b)) if isinstance(a, pd.DataFrame) else np.array_equal(np.asarray(a), np.asarray(b))


def _check_embedding(adata: AnnData, reference: AnnData, obsm: str, model: Fitted, layer: str | None) -> None:
    """The new cells must have the embedding of the reference, not one of their own under the same name."""
    if layer is not None:
        msg = f"layer={layer!r}, but the archetypes are of obsm[{obsm!r}]; leave layer out."
        raise ValueError(msg)
    how = f"pae.tl.transform(adata, reference, key={obsm.removeprefix('X_')!r})"
    if obsm.removeprefix("X_") not in reference.uns or obsm == "X_pca":
        how = "sc.tl.ingest(adata, reference)" if obsm == "X_pca" else "the model that made that of the reference"
    if obsm not in adata.obsm:
        msg = (
            f"The archetypes are of obsm[{obsm!r}], but the new cells have {list(adata.obsm)}: bring them into the "
            f"embedding of the reference first, with {how}."
        )
        raise KeyError(msg)
    own = dimensions(adata, obsm)
    if len(own) != len(model.dimensions) or (own != model.dimensions and own[0] != f"{obsm}_0"):
        msg = (
            f"obsm[{obsm!r}] of the new cells has other dimensions ({len(own)}: {', '.join(own[:3])}, …) than the "
            f"archetypes ({len(model.dimensions)}: {', '.join(model.dimensions[:3])}, …); make it with {how}."
        )
        raise ValueError(msg)
    if obsm == "X_pca" and _other_loadings(adata, reference):
        msg = (
            "The new cells have principal components of their own: adata.varm['PCs'] is not that of the reference. "
            f"Project them onto those of the reference, with {how}, and delete varm['PCs'] of the new cells."
        )
        raise ValueError(msg)


def _other_loadings(adata: AnnData, reference: AnnData) -> bool:
    if "PCs" not in adata.varm or "PCs" not in reference.varm:
        return False
    own, theirs = (pd.DataFrame(np.asarray(a.varm["PCs"]), index=a.var_names) for a in (adata, reference))
    shared = own.index[own.index.isin(theirs.index)]
    if own.shape[1] != theirs.shape[1]:
        return True
    return not np.allclose(own.loc[shared], theirs.loc[shared], rtol=1e-3, atol=1e-5)


def _aligned(cells: Input, model: Fitted) -> tuple[Input, NDArray[np.float64]]:
    """Genes of the archetypes that the cells have, by name, and the archetypes over them."""
    own = pd.Index(cells.source.genes)
    position = own.get_indexer(model.dimensions)
    found = position >= 0
    if not found.any():
        msg = (
            f"None of the {len(found)} genes of the archetypes is in the new cells: {', '.join(model.dimensions[:3])}, "
            f"… against {', '.join(own[:3])}, …. Name the column with matching names with gene_symbols."
        )
        raise ValueError(msg)
    spread = np.square(model.coordinates - model.coordinates.mean(axis=0)).sum(axis=0)
    share = spread[found].sum() / max(spread.sum(), 1e-300)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the archetypes are missing from the new cells; they carry "
            f"{1 - share:.0%} of the squared distances between archetypes, and weights go by the others alone."
        )
        warn(msg)
    names = np.array(model.dimensions)[found]
    return Input(cells.source, position[found], names), model.coordinates[:, found]


def _value(value: Any) -> Any:
    """As it was before it was stored or read lazily."""
    value = value.compute() if hasattr(value, "compute") else value
    value = value.to_memory() if hasattr(value, "to_memory") else value
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value
