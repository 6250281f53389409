"""Codes of cells from a sparse autoencoder, genes aligned by name."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _progress
from pathwayae._cells import matrix
from pathwayae._cells.alignment import align
from pathwayae._cells.matrix import Input
from pathwayae._cells.minibatches import BLOCK_BYTES
from pathwayae._slots import store
from pathwayae._slots.sparse_ae import Fitted, fitted
from pathwayae.core.sparse_ae.network import Network, encode


def add_codes(
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
    progress: bool,
    copy: bool,
) -> AnnData | None:
    """Write codes of the new cells, see :func:`pathwayae.tl.transform`."""
    _check(adata, out, batch_key, new_batches)
    model = fitted(reference, key)
    store.same_fit(adata, reference, key, key_added)
    cells, network = on_genes_of(adata, model, layer=layer, gene_symbols=gene_symbols, max_missing=max_missing)
    codes = codes_of(cells, network, progress=progress)
    target = adata.copy() if copy else adata
    store.put_scores(target, reference, key, key_added, codes, ())
    return target if copy else None


def _check(adata: Any, out: Any, batch_key: str | None, new_batches: str) -> None:
    if out is not None or isinstance(adata, str | os.PathLike | Sequence):
        msg = (
            "Codes of a sparse autoencoder are not written to files (out=): they are sparse and small. Open a file "
            "that does not fit in memory with anndata.read_h5ad(path, backed='r') and pass the AnnData: it is read by "
            "blocks."
        )
        raise ValueError(msg)
    if batch_key is not None or new_batches != "global":
        given = f"batch_key={batch_key!r}" if batch_key is not None else f"new_batches={new_batches!r}"
        msg = f"{given}, but a sparse autoencoder centres no batches; leave it out."
        raise ValueError(msg)


def on_genes_of(
    adata: AnnData,
    model: Fitted,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    max_missing: float = 1.0,
) -> tuple[Input, Network]:
    """The cells that a network reads of an AnnData, and the network on the genes that are there.

    Genes are matched by ``var_names``, with `gene_symbols` by the names that the fit had. A gene of the model that the
    cells do not have counts as being at its mean.

    Raises
    ------
    KeyError
        If a layer, column or embedding does not exist.
    ValueError
        If no gene of the model is there, missing ones carry too much, the embedding has another width, or values are
        not finite.
    """
    if model.params["obsm"]:
        return _embedding(adata, model, layer), model.network
    cells = matrix.of_genes(adata, layer or model.params["layer"] or None, gene_symbols, None)
    theirs = model.ids if gene_symbols is None else model.names
    power = np.square(np.asarray(model.network.encoder[0][0], dtype=np.float64)).sum(axis=0)
    carry, then = "the squared weights", "and count as being at their mean"
    columns, found = align(cells.source, theirs, power, carry=carry, then=then, most=max_missing)
    cells = Input(cells.source, columns, theirs[found])
    return cells, model.network if found.all() else _without(model.network, found)


def _embedding(adata: AnnData, model: Fitted, layer: str | None) -> Input:
    obsm = model.params["obsm"]
    if layer is not None:
        msg = f"layer={layer!r}, but the network was trained on obsm[{obsm!r}]; leave layer out."
        raise ValueError(msg)
    cells = matrix.of_embedding(adata, obsm)
    if len(cells.names) != len(model.names):
        msg = (
            f"adata.obsm[{obsm!r}] has {len(cells.names)} dimensions, the network {len(model.names)}: make the "
            "embedding of the new cells as that of the reference was made (its components, not new ones)."
        )
        raise ValueError(msg)
    return cells


def codes_of(cells: Input, network: Network, *, device: str = "cpu", progress: bool = False) -> sp.csr_matrix:
    """Codes of all cells, block by block, float32."""
    parts = []
    with _progress.bar("codes", "cells", cells.n_cells, progress=progress) as bar:
        for start, stop, values in cells.blocks(BLOCK_BYTES):
            parts.append(encode(network, values, device=device))
            bar.update(stop - start)
    return sp.vstack(parts, format="csr")


def _without(network: Network, found: NDArray[np.bool_]) -> Network:
    """The network on some of its genes, all others at their mean: these add nothing to the first layer."""
    (weight, bias), *inner = network.encoder
    *before, (last, last_bias) = network.decoder
    return replace(
        network,
        encoder=((weight[:, found], bias), *inner),
        decoder=(*before, (last[found], last_bias[found])),
        mean=network.mean[found],
    )
