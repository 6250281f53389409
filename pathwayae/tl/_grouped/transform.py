"""Scores of new cells from a grouped autoencoder, genes aligned by name; in memory or from file to file."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._cells import collection, sources
from pathwayae._cells.alignment import Alignment, align
from pathwayae._cells.matrix import checked, opened
from pathwayae._slots import grouped, keys, lookup, store, whole
from pathwayae.core import cell_values
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments import batches
from pathwayae.tl import _stream
from pathwayae.tl._grouped import missing, seen
from pathwayae.tl._grouped import new_batches as of_new_batches
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
    new_batches: str,
    max_missing: float,
    key: str,
    key_added: str,
    progress: bool,
    copy: bool,
) -> AnnData | None:
    """Write the scores of the new cells, see :func:`pathwayae.tl.transform`."""
    model = _model(reference, key, batch_key, new_batches)
    layer = layer if layer is not None else (model.params["layer"] or None)
    asked = _Asked(gene_symbols, new_batches, max_missing)
    if out is not None:
        path = _stream.check_out(out)
        items = collection.spread_all(adata)
        with ExitStack() as stack:
            found = sources.open_all(adata, stack, layer=layer, gene_symbols=gene_symbols)
            cells = _placed([checked(source, model.normalize) for source in found], model, asked)
            shards = [_shard(item, one, key_added) for item, one in zip(items, cells, strict=True)]
            var = get.variance(reference, key=key).set_index("component").rename_axis(index=None)
            entries = {keys.MISSING_GENES: _tables(cells, [shard.name for shard in shards])}
            uns = {key_added: store.carried(reference, key, CARRIED) | entries}
            _stream.write(path, shards, var, uns, shard_key=f"{key_added}_shard", progress=progress)
        return None
    store.same_fit(adata, reference, key, key_added)
    (own,) = _placed([opened(adata, layer, gene_symbols, model.normalize)], model, asked)
    scores = project(own.source, own.projection, look=own.watch, progress=progress)
    target = adata.copy() if copy else adata
    entries = {keys.MISSING_GENES: own.missing}
    store.put_scores(target, reference, key, key_added, scores, CARRIED, entries=entries, obs=own.columns(key_added))
    return target if copy else None


class _Asked(NamedTuple):
    """Which names of genes match, what centres new batches, and how much may be missing."""

    gene_symbols: str | None
    new_batches: str
    max_missing: float


class _Model(NamedTuple):
    """The reference and the key of its fit; g genes of the model in its AnnData, units (g,) and encoder (g, k).

    ``centres`` are those of batches, where the fit centred within them; ``seen`` is what it kept of its cells.
    """

    reference: AnnData
    key: str
    params: dict[str, Any]
    genes: NDArray[np.intp]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    encoder: Encoder
    centres: of_new_batches.Centres | None
    seen: dict[str, Any] | None

    @property
    def normalize(self) -> str:
        """How the moments of the fit were normalised; empty where they were not."""
        return str(self.params.get("normalize", ""))


class _Placed(NamedTuple):
    """New cells and how they are scored: what they lack, and what is found of each while it is scored."""

    source: sources.Source
    projection: Projection
    missing: pd.DataFrame
    watch: seen.Watch | None

    def columns(self, key: str) -> dict[str, NDArray[Any]]:
        """For ``obs``, once the cells are scored."""
        return {} if self.watch is None else self.watch.columns(key)


def _model(reference: AnnData, key: str, batch_key: str | None, how: str) -> _Model:
    """The fit of the reference, of which no slot is missing or damaged."""
    whole.check(reference, key)
    params = lookup.plain(lookup.fit_of(reference, key, keys.GROUPED)[keys.PARAMS])
    own = str(params.get("batch_key", ""))
    given = [("batch_key", batch_key)] if batch_key is not None else [("new_batches", how)] if how != "global" else []
    if given and not own:
        name, value = given[0]
        msg = f"{name}={value!r}, but the fit centred no batches; leave it out, or fit with batch_key."
        raise ValueError(msg)
    mean, scale = (
        np.asarray(lookup.slot(reference, "var", slot, key), dtype=np.float64)
        for slot in (keys.mean(key), keys.scale(key))
    )
    genes = np.flatnonzero(np.isfinite(scale))
    encoder = grouped.encoder_of(reference, key, genes)
    centres = None
    if own:
        means = grouped.batch_means(reference, key)[genes].T
        names = grouped.batch_names(reference, key)
        centres = of_new_batches.Centres(batch_key or own, names, np.vstack([means, mean[genes]]))
    return _Model(
        reference, key, params, genes, mean[genes], scale[genes], encoder, centres, seen.of_fit(reference, key)
    )


def _placed(cells: list[sources.Source], model: _Model, asked: _Asked) -> list[_Placed]:
    """Every input on the genes that it has, held against what the fit has seen."""
    column = None if asked.gene_symbols is None else (model.params["gene_symbols"] or None)
    theirs = _checks.gene_names(model.reference, column, what="reference")[model.genes]
    power = model.encoder.power_of_genes()
    places = []
    for source in cells:
        carry, then = "the squared weights of the scores", "and count as being at their mean"
        places.append(align(source, theirs, power, carry=carry, then=then, most=asked.max_missing))
    centres = model.centres
    if centres is not None:
        centres = of_new_batches.check(centres, list(zip(cells, places, strict=True)), asked.new_batches)
    return [_on_genes(source, place, model, theirs, centres) for source, place in zip(cells, places, strict=True)]


def _on_genes(
    source: sources.Source,
    place: Alignment,
    model: _Model,
    genes: NDArray[np.str_],
    centres: of_new_batches.Centres | None,
) -> _Placed:
    found = place.found
    mean, scale, encoder = model.mean[found], model.scale[found], model.encoder.of_genes(found)
    shifts: tuple[Any, ...] = ()
    if centres is not None:
        means = centres.means[:, found]
        shifts = (centres.codes(source), batches.offsets(means, mean, scale, encoder), means)
    projection = Projection(place.columns, mean, scale, encoder, *shifts)
    membership = sp.csr_matrix(
        lookup.plain(lookup.slot(model.reference, "varm", keys.membership(model.key), model.key))
    )
    components = lookup.component_names(model.reference, model.key)
    table = missing.missing(components, genes, membership[model.genes], model.encoder, found)
    missing.report(table, source.name)
    watch = None
    if model.seen is not None:
        ratio = np.asarray(lookup.plain(lookup.value(model.reference, model.key, keys.VARIANCE_RATIO)))
        left = seen.residual_of(projection, ratio, str(model.params["scale"]))
        of_genes = np.expm1(np.clip(model.mean, 0.0, cell_values.LARGEST))
        share = float(of_genes[found].sum() / max(of_genes.sum(), 1e-300))
        watch = seen.Watch(source, left, projection, model.seen, share=max(share, 1e-6), normalize=model.normalize)
    return _Placed(source, projection, table, watch)


def _shard(item: Cells, cells: _Placed, key_added: str) -> _stream.Shard:
    name = cells.source.name if isinstance(item, AnnData) else os.fspath(item)
    return _stream.Shard(
        cells.source, cells.projection, _stream.obs_of(item), name, cells.watch, lambda: cells.columns(key_added)
    )


def _tables(cells: list[_Placed], names: list[str]) -> pd.DataFrame:
    """What every input lacks, one under the other; of several with a column for the one that it is of."""
    if len(cells) == 1:
        return cells[0].missing
    tables = [one.missing.assign(shard=name) for one, name in zip(cells, names, strict=True)]
    return pd.concat(tables, ignore_index=True)
