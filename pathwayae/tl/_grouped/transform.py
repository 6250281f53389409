"""Scores of new cells from a grouped autoencoder, genes aligned by name; in memory or from file to file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._cells import sources
from pathwayae._cells.alignment import align
from pathwayae._cells.matrix import checked, opened
from pathwayae._slots import grouped, keys, lookup, store
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments import batches
from pathwayae.tl import _stream
from pathwayae.tl._grouped.batches import of_new_cells
from pathwayae.tl._project import Projection, project

Cells: TypeAlias = AnnData | str | os.PathLike[str]
CARRIED = (keys.N_PATHWAYS, keys.VARIANCE_RATIO)


def add_scores(
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
    """Write the scores of the new cells, see :func:`pathwayae.tl.transform`."""
    model = _model(reference, key, batch_key)
    layer = layer if layer is not None else (model.params["layer"] or None)
    if out is not None:
        path = _stream.check_out(out)
        items = list(adata) if isinstance(adata, list | tuple) else [adata]
        with ExitStack() as stack:
            opened_all = sources.open_all(adata, stack, layer=layer, gene_symbols=gene_symbols)
            shards = [_shard(item, source, model, gene_symbols) for item, source in zip(items, opened_all, strict=True)]
            var = get.variance(reference, key=key).set_index("component").rename_axis(index=None)
            uns = {key_added: store.carried(reference, key, CARRIED)}
            _stream.write(path, shards, var, uns, shard_key=f"{key_added}_shard", progress=progress)
        return None
    store.same_fit(adata, reference, key, key_added)
    source = opened(adata, layer, gene_symbols, model.normalize)
    scores = project(source, _aligned(source, model, gene_symbols), progress=progress)
    target = adata.copy() if copy else adata
    store.put_scores(target, reference, key, key_added, scores, CARRIED)
    return target if copy else None


class _Model(NamedTuple):
    """The reference and the key of its fit; g genes of the model in its AnnData, units (g,) and encoder (g, k).

    ``batch_key`` is the column of the new cells where the fit centred within batches, else ``""``.
    """

    reference: AnnData
    key: str
    params: dict[str, Any]
    genes: NDArray[np.intp]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    encoder: Encoder
    batch_key: str

    @property
    def normalize(self) -> str:
        """How the moments of the fit were normalised; empty where they were not."""
        return str(self.params.get("normalize", ""))


def _model(reference: AnnData, key: str, batch_key: str | None) -> _Model:
    """The fit of the reference, of which no slot is missing."""
    params = lookup.plain(lookup.fit_of(reference, key, keys.GROUPED)[keys.PARAMS])
    own = str(params.get("batch_key", ""))
    if batch_key is not None and not own:
        msg = f"batch_key={batch_key!r}, but the fit centred no batches; leave it out, or fit with batch_key."
        raise ValueError(msg)
    mean, scale = (
        np.asarray(lookup.slot(reference, "var", slot, key), dtype=np.float64)
        for slot in (keys.mean(key), keys.scale(key))
    )
    genes = np.flatnonzero(np.isfinite(scale))
    encoder = grouped.encoder_of(reference, key, genes)
    if own:
        grouped.batch_means(reference, key)
    return _Model(reference, key, params, genes, mean[genes], scale[genes], encoder, batch_key or own)


def _shard(item: Cells, source: sources.Source, model: _Model, gene_symbols: str | None) -> _stream.Shard:
    projection = _aligned(source, model, gene_symbols)
    name = source.name if isinstance(item, AnnData) else os.fspath(item)
    return _stream.Shard(checked(source, model.normalize), projection, _stream.obs_of(item), name)


def _aligned(source: sources.Source, model: _Model, gene_symbols: str | None) -> Projection:
    """The model on the genes that the cells have too."""
    column = None if gene_symbols is None else (model.params["gene_symbols"] or None)
    theirs = _checks.gene_names(model.reference, column, what="reference")[model.genes]
    power = model.encoder.power_of_genes()
    carry, then = "the squared weights of the scores", "and count as being at their mean"
    columns, found = align(source, theirs, power, carry=carry, then=then)
    mean, scale, encoder = model.mean[found], model.scale[found], model.encoder.of_genes(found)
    return Projection(columns, mean, scale, encoder, *_shifts(source, model, found))


def _shifts(
    source: sources.Source, model: _Model, found: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.float64]] | tuple[()]:
    """Batch of each new cell and what it shifts scores by, the last being batches that the fit has not seen."""
    if not model.batch_key:
        return ()
    names = list(grouped.batch_names(model.reference, model.key))
    means = grouped.batch_means(model.reference, model.key)[model.genes[found]].T
    known = batches.offsets(means, model.mean[found], model.scale[found], model.encoder.of_genes(found))
    return of_new_cells(source, model.batch_key, names), np.vstack([known, np.zeros_like(known[:1])])
