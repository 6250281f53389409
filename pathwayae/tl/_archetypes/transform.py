"""Weights of new cells over the archetypes of a fit, genes aligned by name."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._cells.alignment import align
from pathwayae._cells.matrix import Input, Streamed, of_embedding, of_genes
from pathwayae._slots import keys, store
from pathwayae._slots.archetypes import Fitted, fitted
from pathwayae.core.archetypes import simplex
from pathwayae.core.notice import listed
from pathwayae.tl._archetypes.cells import dimensions

CARRIED = (keys.COORDINATES, keys.DIMENSIONS, keys.ALPHA)


def add_weights(
    adata: Any,
    reference: AnnData,
    *,
    out: str | os.PathLike[str] | None,
    layer: str | None,
    gene_symbols: str | None,
    batch_key: str | None,
    new_batches: str,
    max_missing: float,
    key: str,
    key_added: str,
    progress: bool,  # noqa: ARG001
    copy: bool,
) -> AnnData | None:
    """Write the weights of the new cells, see :func:`pathwayae.tl.transform`."""
    given = {"out": out and str(out), "batch_key": batch_key}
    given["new_batches"] = None if new_batches == "global" else new_batches
    if any(value is not None for value in given.values()):
        name, value = next((name, value) for name, value in given.items() if value is not None)
        msg = (
            f"{name}={value!r} is not of archetypes; leave it out. Cells that do not fit in memory can be opened with "
            "anndata.read_h5ad(path, backed='r') and are read by blocks."
        )
        raise ValueError(msg)
    model = fitted(reference, key)
    store.same_fit(adata, reference, key, key_added)
    obsm = str(model.params["obsm"])
    if obsm:
        _check_embedding(adata, reference, obsm, model, layer)
        cells, coordinates = of_embedding(adata, obsm), model.coordinates
    else:
        layer = layer or str(model.params["layer"]) or None
        cells, coordinates = _aligned(
            of_genes(adata, layer, gene_symbols, None), model, max_missing, symbols=gene_symbols is not None
        )
    weights = simplex.weights(
        Streamed(cells),
        coordinates,
        device="cpu",
        entropy_reg=float(model.params["entropy_reg"]),
        scale=float(model.params["scale"]),
    )
    target = adata.copy() if copy else adata
    store.put_scores(target, reference, key, key_added, weights, CARRIED)
    return target if copy else None


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
            f"obsm[{obsm!r}] of the new cells has other dimensions ({len(own)}: {listed(own)}) than the "
            f"archetypes ({len(model.dimensions)}: {listed(model.dimensions)}); make it with {how}."
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


def _aligned(cells: Input, model: Fitted, max_missing: float, *, symbols: bool) -> tuple[Input, NDArray[np.float64]]:
    """Genes of the archetypes that the cells have, by name, and the archetypes over them."""
    names = np.array(model.dimensions if symbols else model.ids)
    spread = np.square(model.coordinates - model.coordinates.mean(axis=0)).sum(axis=0)
    carry, then = "the squared distances between archetypes", "and weights go by the others alone"
    columns, found = align(cells.source, names, spread, carry=carry, then=then, most=max_missing)
    return Input(cells.source, columns, names[found]), model.coordinates[:, found]
