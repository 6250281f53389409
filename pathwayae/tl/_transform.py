"""Scores of new cells from a fit, genes aligned by name."""

from __future__ import annotations

import logging
import os
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData

from pathwayae import _inputs, _keys
from pathwayae.core import components
from pathwayae.core.notice import warn
from pathwayae.tl._project import opened, project

logger = logging.getLogger("pathwayae")

CARRIED = (_keys.PARAMS, _keys.COMPONENT_NAMES, _keys.N_PATHWAYS, _keys.VARIANCE_RATIO)
FEW = 0.9  # share of the squared loadings below which missing genes deserve a warning


def transform(
    adata: AnnData,
    reference: AnnData | str | os.PathLike[str],
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    key: str = _keys.DEFAULT,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Score new cells with a fitted model: :math:`Z = ((X - \mu)/\sigma)\,E`, with μ, σ and E of the reference.

    Genes are aligned by name. A gene of the model that the new cells do not have counts as being at its mean, which
    is reported. The cells the model was fitted on get the scores of the fit.

    Parameters
    ----------
    adata
        New cells, log-normalised like those of the fit; dense or sparse, in memory, backed, or on dask. Counts are
        normalised first where the moments of the fit were.
    reference
        An AnnData that ``pae.tl.fit`` was run on, or the path of one saved as ``.h5ad`` or ``.zarr``.
    layer
        Layer of the new cells; by default the one the model was fitted on.
    gene_symbols
        Column of the new cells' ``var`` with the names that the pathways of the fit use; by default ``var_names``
        of both sides are matched.
    key
        Key of the fit in the reference.
    key_added
        Key of the scores in `adata`; by default `key`.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``obsm["X_pae"]`` (float32, cells × components) and, unless there already, the
    component names, parameters and variance ratios of the reference to ``uns["pae"]``.

    Raises
    ------
    KeyError
        If the reference has no fit under `key`, or a layer or column is missing.
    ValueError
        If no gene of the model is in the new cells, gene names repeat, values are not finite, or `adata` holds another
        fit under `key_added`.

    Warns
    -----
    pathwayae.DataWarning
        If the missing genes carry more than a tenth of the squared loadings, or the values look like raw counts.

    Examples
    --------
    >>> import numpy as np
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> new = adata[:50, ::-1].copy()
    >>> pae.tl.transform(new, adata)
    >>> bool(np.allclose(new.obsm["X_pae"], adata.obsm["X_pae"][:50], atol=1e-5))
    True
    """
    key_added = key if key_added is None else key_added
    fitted = _reference(reference, key)
    entries = fitted.uns[key]
    params = entries[_keys.PARAMS]
    _check_other_fit(adata, entries, key_added)
    layer = layer if layer is not None else (params["layer"] or None)
    source = opened(adata, layer, gene_symbols, str(params.get("normalize", "")))
    model, genes = _align(adata, fitted, key, gene_symbols)
    loadings = np.asarray(fitted.varm[_keys.loadings(key)])
    encoder = components.encoder(loadings, int(entries[_keys.N_PATHWAYS]), params["scores"], float(params["ridge"]))
    mean = fitted.var[_keys.mean(key)].to_numpy(dtype=np.float64)[model]
    scale = fitted.var[_keys.scale(key)].to_numpy(dtype=np.float64)[model]
    scores = project(source, mean, scale, encoder[model], genes)
    target = adata.copy() if copy else adata
    target.obsm[_keys.scores(key_added)] = scores
    if key_added not in target.uns:
        target.uns[key_added] = {name: entries[name] for name in CARRIED}
    return target if copy else None


def _reference(reference: AnnData | str | os.PathLike[str], key: str) -> AnnData:
    """The fitted AnnData, read from disk where a path is given."""
    if isinstance(reference, str | os.PathLike):
        path = os.fspath(reference)
        reference = ad.read_zarr(path) if path.rstrip("/").endswith(".zarr") else ad.read_h5ad(path)
    if not isinstance(reference, AnnData):
        msg = f"reference is a {type(reference).__name__}; pass a fitted AnnData or the path of one."
        raise TypeError(msg)
    missing = [
        slot
        for slot, there in (
            (f"uns[{key!r}]", key in reference.uns),
            (f"varm[{_keys.loadings(key)!r}]", _keys.loadings(key) in reference.varm),
            (f"var[{_keys.scale(key)!r}]", _keys.scale(key) in reference.var),
        )
        if not there
    ]
    if missing:
        msg = f"The reference has no {' and no '.join(missing)}; run pae.tl.fit(reference, …) first or pass its key."
        raise KeyError(msg)
    return reference


def _check_other_fit(adata: AnnData, entries: dict[str, Any], key: str) -> None:
    own = adata.uns.get(key)
    if own is not None and list(own[_keys.COMPONENT_NAMES]) != list(entries[_keys.COMPONENT_NAMES]):
        msg = f"adata already holds a fit with other components under {key!r}; choose another key_added."
        raise ValueError(msg)


def _align(
    adata: AnnData, fitted: AnnData, key: str, gene_symbols: str | None
) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Indices of the shared genes in the reference and in the new cells; what is lost is reported."""
    column = None
    if gene_symbols is not None:
        column = fitted.uns[key][_keys.PARAMS]["gene_symbols"] or None
    theirs = _inputs.gene_names(fitted, column, what="reference")
    own = pd.Index(_inputs.gene_names(adata, gene_symbols))
    model = np.flatnonzero(np.isfinite(fitted.var[_keys.scale(key)].to_numpy(dtype=float)))
    position = own.get_indexer(theirs[model])
    found = position >= 0
    if not found.any():
        msg = (
            f"None of the {len(model)} genes of the model is in the new cells: {', '.join(theirs[model][:3])}, … "
            f"against {', '.join(own[:3])}, …. Name the column with matching names with gene_symbols."
        )
        raise ValueError(msg)
    power = (np.asarray(fitted.varm[_keys.loadings(key)], dtype=float)[model] ** 2).sum(axis=1)
    share = power[found].sum() / power.sum()
    logger.info("%d of %d genes of the model found (%.0f %% of the loadings)", found.sum(), len(found), 100 * share)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the model are missing from the new cells; they carry "
            f"{1 - share:.0%} of the squared loadings and count as being at their mean."
        )
        warn(msg)
    return model[found], position[found]
