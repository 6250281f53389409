"""Codes of new cells from a sparse autoencoder, genes aligned by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from pathwayae import _keys
from pathwayae.get._slots import kind_of
from pathwayae.tl._sparse_fitted import Fitted, align, codes_of, fitted


def add_codes(
    adata: Any,
    reference: AnnData,
    *,
    out: str | os.PathLike[str] | None,
    layer: str | None,
    gene_symbols: str | None,
    batch_key: str | None,
    key: str,
    key_added: str,
    progress: bool,
    copy: bool,
) -> AnnData | None:
    """Write codes of the new cells, see :func:`pathwayae.tl.transform`."""
    _check(adata, out, batch_key)
    model = fitted(reference, key)
    _check_other(adata, model, key_added)
    cells, network = align(adata, model, layer=layer, gene_symbols=gene_symbols)
    codes = codes_of(cells, network, progress=progress)
    target = adata.copy() if copy else adata
    target.obsm[_keys.scores(key_added)] = codes
    if key_added not in target.uns:
        names = np.array(model.latents, dtype=object)
        target.uns[key_added] = {_keys.PARAMS: dict(model.params), _keys.COMPONENT_NAMES: names}
    return target if copy else None


def _check(adata: Any, out: Any, batch_key: str | None) -> None:
    if out is not None or isinstance(adata, str | os.PathLike | Sequence):
        msg = (
            "Codes of a sparse autoencoder are not written to files (out=): they are sparse and small. Open a file "
            "that does not fit in memory with anndata.read_h5ad(path, backed='r') and pass the AnnData: it is read by "
            "blocks."
        )
        raise ValueError(msg)
    if batch_key is not None:
        msg = f"batch_key={batch_key!r}, but a sparse autoencoder centres no batches; leave it out."
        raise ValueError(msg)


def _check_other(adata: AnnData, model: Fitted, key: str) -> None:
    """Latents of all networks have the same names: settings are compared, and a number that follows from the cells."""
    own = adata.uns.get(key)
    if own is None:
        return
    same = kind_of(adata, key) == _keys.SPARSE_AE and list(own[_keys.COMPONENT_NAMES]) == model.latents
    params = dict(own[_keys.PARAMS]) if same else {}
    same = same and (_keys.NETWORK not in own or float(own[_keys.NETWORK]["scale"]) == model.network.scale)
    if not same or any(not np.array_equal(params.get(name, ""), value) for name, value in model.params.items()):
        msg = f"adata already holds another fit under {key!r}; choose another key_added."
        raise ValueError(msg)
