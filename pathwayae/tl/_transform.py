"""Scores of new cells from a fit, genes aligned by name; in memory or from file to file."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, TypeAlias

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _inputs, _keys, _sources, get
from pathwayae.core import batches
from pathwayae.core.notice import warn
from pathwayae.get._slots import kind_of
from pathwayae.tl import _batches, _stream
from pathwayae.tl._archetypes_fitted import add_weights
from pathwayae.tl._fitted import encoder_of
from pathwayae.tl._project import Projection, checked, opened, project
from pathwayae.tl._sparse_transform import add_codes

logger = logging.getLogger("pathwayae")

Cells: TypeAlias = AnnData | str | os.PathLike[str]
OTHER_MODELS = {_keys.SPARSE_AE: add_codes, _keys.ARCHETYPES: add_weights}
CARRIED = (_keys.PARAMS, _keys.COMPONENT_NAMES, _keys.N_PATHWAYS, _keys.VARIANCE_RATIO)
FEW = 0.9  # share of the squared weights below which missing genes deserve a warning


def transform(
    adata: Cells | Sequence[Cells],
    reference: Cells,
    *,
    out: str | os.PathLike[str] | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    batch_key: str | None = None,
    key: str = _keys.DEFAULT,
    key_added: str | None = None,
    progress: bool = True,
    copy: bool = False,
) -> AnnData | None:
    r"""Score new cells with a fitted model: :math:`Z = ((X - \mu)/\sigma)\,E`, with μ, σ and E of the reference.

    Genes are aligned by name. A gene of the model that the new cells do not have counts as being at its mean, which
    is reported. The cells the model was fitted on get the scores of the fit.

    Where the fit centred batches, a cell of one of them is centred by the mean of its batch in the fit. For a batch
    that the fit has not seen the mean of all cells of the fit stands in, which is reported: its scores keep whatever
    shifts the whole batch.

    Of archetypes (``key="archetypes"``) the new cells get their optimal weights: from the ``obsm`` of the same name,
    which must be made as that of the reference was, or from genes, of which those that are missing are left out.

    Of a sparse autoencoder (``key="sparse_ae"``) the codes of the new cells are written: from the same layer or, where
    it was trained on an embedding, from the ``obsm`` of that name, which must be made as that of the reference was.

    Cells that do not fit in memory are read from files and scored into a file, one block at a time. It appears under
    its name when it is whole.

    Parameters
    ----------
    adata
        New cells, log-normalised like those of the fit; dense or sparse, in memory, backed, read lazily, or on dask.
        With `out` also the path of an h5ad or zarr, or a list of paths and AnnData: shards, whose genes may differ
        and stand in any order. Counts are normalised first where the moments of the fit were.
    reference
        An AnnData that ``pae.tl.fit``, ``pae.tl.sparse_ae`` or ``pae.tl.archetypes`` was run on, or the path of one
        saved as ``.h5ad`` or ``.zarr``.
    out
        File to write the scores to, in the place of ``obsm``; it must not be there yet. Its ending says what it is:

        - ``.zarr``: an AnnData for ``anndata.read_zarr``, cells × components as :func:`pathwayae.get.to_anndata` makes
          it: scores in ``X`` (float32), components in ``var``, the ``obs`` of all inputs with the union of their
          columns, and for several inputs ``obs["pae_shard"]``, the one that a cell is from;
        - ``.parquet``: a table with the names of the cells as index and a column (float32) per component, written
          with pyarrow (``pip install 'pathwayae[parquet]'``).
    layer
        Layer of the new cells; by default the one the model was fitted on.
    gene_symbols
        Column of the new cells' ``var`` with the names that the pathways of the fit use; by default ``var_names``
        of both sides are matched.
    batch_key
        Column of the new cells' ``obs`` with their batches; by default the one that the fit centred within, if any.
    key
        Key of the fit in the reference.
    key_added
        Key of the scores in `adata`; by default `key`.
    progress
        Show a progress bar.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``obsm["X_pae"]`` (float32, cells × components; CSR of a sparse autoencoder) and,
    unless there already, the component names, parameters and variance ratios of the reference to ``uns["pae"]``. With
    `out` nothing but the file is written.

    Raises
    ------
    FileExistsError
        If `out` is there already.
    FileNotFoundError
        If a file, or the folder of `out`, does not exist.
    ImportError
        If `out` needs a package that is not installed.
    KeyError
        If the reference has no fit under `key`, or a layer or column is missing.
    ValueError
        If no gene of the model is in the new cells, gene names repeat, values are not finite, a file is truncated
        (the message names it and its cells), `out` is missing or has another ending, a cell has no batch,
        `batch_key` is given but the fit centred no batches, `adata` holds another fit under `key_added`, or `out` is
        given for another model than ``pae.tl.fit``.

    Warns
    -----
    pathwayae.DataWarning
        If the missing genes carry more than a tenth of the squared weights of the scores, the values look like raw
        counts, batches are unknown to the fit, or names of cells repeat in `out`.

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
    >>> pae.tl.transform(["a.h5ad", "b.h5ad"], adata, out="scores.zarr")  # doctest: +SKIP
    """
    key_added = key if key_added is None else key_added
    _check(adata, out, copy=copy)
    reference = _read(reference)
    other = OTHER_MODELS.get(kind_of(reference, key))
    if other is not None:
        options = {"layer": layer, "gene_symbols": gene_symbols, "batch_key": batch_key, "progress": progress}
        return other(adata, reference, out=out, key=key, key_added=key_added, copy=copy, **options)
    model = _model(reference, key, batch_key)
    layer = layer if layer is not None else (model.params["layer"] or None)
    if out is not None:
        path = _stream.check_out(out)
        items = list(adata) if isinstance(adata, list | tuple) else [adata]
        with ExitStack() as stack:
            sources = _sources.open_all(adata, stack, layer=layer, gene_symbols=gene_symbols)
            shards = [_shard(item, source, model, gene_symbols) for item, source in zip(items, sources, strict=True)]
            var = get.variance(model.fitted, key=key).set_index("component").rename_axis(index=None)
            uns = {key_added: {name: model.entries[name] for name in CARRIED}}
            _stream.write(path, shards, var, uns, shard_key=f"{key_added}_shard", progress=progress)
        return None
    _check_other_fit(adata, model.entries, key_added)
    source = opened(adata, layer, gene_symbols, model.normalize)
    scores = project(source, _align(source, model, gene_symbols), progress=progress)
    target = adata.copy() if copy else adata
    target.obsm[_keys.scores(key_added)] = scores
    if key_added not in target.uns:
        target.uns[key_added] = {name: model.entries[name] for name in CARRIED}
    return target if copy else None


class _Fitted(NamedTuple):
    """The reference, the key and the entries of its fit; ``uns[key]`` may be lazy in the reference, never here.

    ``batch_key`` is the column of the new cells where the fit centred within batches, else ``""``.
    """

    fitted: AnnData
    key: str
    entries: dict[str, Any]
    batch_key: str

    @property
    def params(self) -> dict[str, Any]:
        return self.entries[_keys.PARAMS]

    @property
    def normalize(self) -> str:
        return str(self.params.get("normalize", ""))

    def var(self, column: str) -> NDArray[np.float64]:
        return np.asarray(self.fitted.var[column], dtype=np.float64)


def _check(adata: Any, out: Any, *, copy: bool) -> None:
    if out is None and isinstance(adata, str | os.PathLike | list | tuple):
        msg = (
            "Cells from files need a file for their scores: pass out='scores.zarr' or out='scores.parquet', or read "
            "one file with anndata.read_h5ad and pass the AnnData."
        )
        raise ValueError(msg)
    if out is None and not isinstance(adata, AnnData):
        msg = f"adata is a {type(adata).__name__}; pass an AnnData, or with out= paths of h5ad or zarr files."
        raise TypeError(msg)
    if out is not None and copy:
        msg = "copy=True returns a changed AnnData, but with out= none is changed; leave one of them out."
        raise ValueError(msg)


def _model(reference: AnnData, key: str, batch_key: str | None) -> _Fitted:
    fitted = _reference(reference, key)
    entries = {name: value.compute() if hasattr(value, "compute") else value for name, value in fitted.uns[key].items()}
    own = str(entries[_keys.PARAMS].get("batch_key", ""))
    if batch_key is not None and not own:
        msg = f"batch_key={batch_key!r}, but the fit centred no batches; leave it out, or fit with batch_key."
        raise ValueError(msg)
    return _Fitted(fitted, key, entries, batch_key or own)


def _shard(item: Cells, source: _sources.Source, model: _Fitted, gene_symbols: str | None) -> _stream.Shard:
    projection = _align(source, model, gene_symbols)
    name = source.name if isinstance(item, AnnData) else os.fspath(item)
    return _stream.Shard(checked(source, model.normalize), projection, _stream.obs_of(item), name)


def _read(reference: Cells) -> AnnData:
    """The fitted AnnData, read from disk where a path is given."""
    if isinstance(reference, str | os.PathLike):
        path = os.fspath(reference)
        reference = ad.read_zarr(path) if path.rstrip("/").endswith(".zarr") else ad.read_h5ad(path)
    if not isinstance(reference, AnnData):
        msg = f"reference is a {type(reference).__name__}; pass a fitted AnnData or the path of one."
        raise TypeError(msg)
    return reference


def _reference(reference: AnnData, key: str) -> AnnData:
    """The reference, in which no slot of the fit is missing."""
    slot = _keys.batch_means(key)
    missing = [
        name
        for name, there in (
            (f"uns[{key!r}]", key in reference.uns),
            (f"varm[{_keys.loadings(key)!r}]", _keys.loadings(key) in reference.varm),
            (f"var[{_keys.scale(key)!r}]", _keys.scale(key) in reference.var),
            (f"varm[{slot!r}]", slot in reference.varm or _keys.BATCHES not in reference.uns.get(key, ())),
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


def _align(source: _sources.Source, model: _Fitted, gene_symbols: str | None) -> Projection:
    """The model on the genes that the cells have too, by name; what is lost is reported."""
    column = None if gene_symbols is None else (model.params["gene_symbols"] or None)
    theirs = _inputs.gene_names(model.fitted, column, what="reference")
    own = pd.Index(source.genes)
    scale = model.var(_keys.scale(model.key))
    genes = np.flatnonzero(np.isfinite(scale))
    position = own.get_indexer(theirs[genes])
    found = position >= 0
    if not found.any():
        msg = (
            f"None of the {len(genes)} genes of the model is in the new cells ({source.name}): "
            f"{', '.join(theirs[genes][:3])}, … against {', '.join(own[:3])}, …. Name the column with matching names "
            "with gene_symbols."
        )
        raise ValueError(msg)
    encoder = np.asarray(encoder_of(model.fitted, model.key, model.params), dtype=np.float64)
    power = (encoder[genes] ** 2).sum(axis=1)
    share = power[found].sum() / power.sum()
    logger.info("%d of %d genes of the model found (%.0f %% of the weights)", found.sum(), len(found), 100 * share)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the model are missing from the new cells ({source.name}); they "
            f"carry {1 - share:.0%} of the squared weights of the scores and count as being at their mean."
        )
        warn(msg)
    genes = genes[found]
    mean, scale, encoder = model.var(_keys.mean(model.key))[genes], scale[genes], encoder[genes]
    return Projection(position[found], mean, scale, encoder, *_shifts(source, model, genes, mean, scale, encoder))


def _shifts(
    source: _sources.Source, model: _Fitted, genes: NDArray[np.intp], *units: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]] | tuple[()]:
    """Batch of each new cell and what it shifts scores by, the last being batches that the fit has not seen."""
    if not model.batch_key:
        return ()
    names = [str(name) for name in np.asarray(model.entries[_keys.BATCHES])]
    means = np.asarray(model.fitted.varm[_keys.batch_means(model.key)], dtype=np.float64)[genes].T
    known = batches.offsets(means, *units)
    return _batches.of_new_cells(source, model.batch_key, names), np.vstack([known, np.zeros_like(known[:1])])
