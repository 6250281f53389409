"""Scores of new cells from a fit of any model."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import anndata as ad
from anndata import AnnData

from pathwayae import _checks
from pathwayae._cells import files
from pathwayae._slots import keys, lookup, model_files
from pathwayae.core.gates import gated
from pathwayae.tl._archetypes.transform import add_weights
from pathwayae.tl._grouped.transform import Cells, add_scores
from pathwayae.tl._sparse_ae.transform import add_codes

MODELS = {keys.GROUPED: add_scores, keys.SPARSE_AE: add_codes, keys.ARCHETYPES: add_weights}


@gated(own=("adata", "reference"), stores=("adata", "reference"))
def transform(
    adata: Cells | Sequence[Cells],
    reference: Cells,
    *,
    out: str | os.PathLike[str] | None = None,
    mod: str | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    batch_key: str | None = None,
    new_batches: Literal["global", "center", "error"] = "global",
    max_missing: float = 0.5,
    progress: bool = True,
    key: str = keys.DEFAULT,
    key_added: str | None = None,
    copy: bool = False,
) -> AnnData | None:
    r"""Score new cells with a fitted model: :math:`Z = ((X - \mu)/\sigma)\,E`, with μ, σ and E of the reference.

    Genes are aligned by name. A gene of the model that the new cells do not have counts as being at its mean: what
    share of each pathway's weight is lost is in :func:`pathwayae.get.missing_genes`. The cells the model was fitted on
    get the scores of the fit.

    The values of the new cells are held against those of the cells of the fit, and another depth or scale is warned of.
    What a cell has beside the components, the residual of its standardised values,

    .. math:: u = \frac{\|\tilde x\|^2 - z (E^\top E)^{-1} z^\top}{\sum_i \operatorname{var}(\tilde x_i)},

    is held against that of cells of the fit: where it is larger than in 99 % of them, the model does not describe the
    cell (:func:`pathwayae.get.unexplained`). Files of versions that kept nothing of the cells are not compared.

    Where the fit centred batches, a cell of one of them is centred by the mean of its batch in the fit; of other
    batches see `new_batches`.

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
        saved as ``.h5ad`` or ``.zarr``; or a model alone, from :func:`pathwayae.models.load` or the path of its
        ``.npz``.
    out
        File to write the scores to, in the place of ``obsm``; it must not be there yet. Its ending says what it is:

        - ``.zarr``: an AnnData for ``anndata.read_zarr``, cells × components as :func:`pathwayae.get.to_anndata` makes
          it: scores in ``X`` (float32), components in ``var``, the ``obs`` of all inputs with the union of their
          columns, and for several inputs ``obs["pae_shard"]``, the one that a cell is from;
        - ``.parquet``: a table with the names of the cells as index and a column (float32) per component, written
          with pyarrow (``pip install 'pathwayae[parquet]'``).
    mod
        Modality of a MuData of new cells, whose AnnData is scored.
    layer
        Layer of the new cells; by default the one the model was fitted on.
    gene_symbols
        Column of the new cells' ``var`` with the names that the pathways of the fit use; by default ``var_names``
        of both sides are matched.
    batch_key
        Column of the new cells' ``obs`` with their batches; by default the one that the fit centred within, if any.
    new_batches
        What centres cells of batches that the fit has not seen: ``"global"``, the mean of all cells of the fit, so that
        scores keep whatever shifts the whole batch, which is reported; ``"center"``, the mean of the batch itself (one
        more pass), which assumes that its cells are composed as those of the fit are: where it holds more of a cell
        type, what is high in that type is taken off; ``"error"``, nothing, they are refused.
    max_missing
        Share of the squared weights of the model that missing genes may carry, from 0 to 1; beyond it the cells are
        refused.
    progress
        Show a progress bar on a terminal or in a notebook.
    key
        Key of the fit in the reference.
    key_added
        Key of the scores in `adata`; by default `key`.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``obsm["X_pae"]`` (float32, cells × components; CSR of a sparse autoencoder) and,
    unless there already, the component names, parameters and variance ratios of the reference to ``uns["pae"]``. Of
    ``pae.tl.fit`` also ``uns["pae"]["missing_genes"]``, and ``obs["pae_unexplained"]`` (u) and
    ``obs["pae_unexplained_quantile"]`` (share of the cells of the fit below it, from 0 to 1), float32. With `out`
    nothing but the file is written; a parquet has scores alone.

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
        `batch_key` or `new_batches` is given but the fit centred no batches, a batch is new and
        ``new_batches="error"``, missing genes carry more than `max_missing`, `adata` holds another fit under
        `key_added`, or `out` is given for another model than ``pae.tl.fit``.

    Warns
    -----
    pathwayae.DataWarning
        If the missing genes carry more than a tenth of the squared weights of the scores, or more than half of those of
        a pathway; the values look like raw counts or are of another depth or scale; over a tenth of the cells are not
        described by the model; batches are unknown to the fit; or names of cells repeat in `out`.

    Examples
    --------
    >>> import anndata
    >>> import numpy as np
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> new = adata[:50, ::-1].copy()
    >>> pae.tl.transform(new, adata, progress=False)
    >>> bool(np.allclose(new.obsm["X_pae"], adata.obsm["X_pae"][:50], atol=1e-5))
    True

    Shards on disk, one after the other; the scores go into a file of their own:

    >>> adata[:200].write_h5ad("a.h5ad")
    >>> adata[200:].write_h5ad("b.h5ad")
    >>> pae.tl.transform(["a.h5ad", "b.h5ad"], adata, out="scores.zarr", progress=False)
    >>> anndata.read_zarr("scores.zarr").shape
    (300, 26)
    """
    key_added = key if key_added is None else key_added
    adata = _checks.modality(adata, mod)
    _check(adata, out, copy=copy)
    _checks.choice("new_batches", new_batches, ("global", "center", "error"))
    _checks.number("max_missing", max_missing, 0, 1)
    reference = _read(reference)
    try:
        lookup.fit_of(reference, key)
    except KeyError as error:
        msg = f"reference: {error.args[0]}"
        raise KeyError(msg) from None
    score = MODELS[lookup.kind_of(reference, key)]
    return score(
        adata,
        reference,
        out=out,
        layer=layer,
        gene_symbols=gene_symbols,
        batch_key=batch_key,
        new_batches=new_batches,
        max_missing=max_missing,
        key=key,
        key_added=key_added,
        progress=progress,
        copy=copy,
    )


def _check(adata: Any, out: Any, *, copy: bool) -> None:
    if out is None and isinstance(adata, str | os.PathLike | list | tuple):
        msg = (
            f"adata={adata!r} names files, and their cells need a file for their scores: pass out='scores.zarr' or "
            "out='scores.parquet', or read one file with anndata.read_h5ad and pass the AnnData."
        )
        raise ValueError(msg)
    if out is None and not isinstance(adata, AnnData):
        msg = f"adata is a {type(adata).__name__}; pass an AnnData, or with out= paths of h5ad or zarr files."
        raise TypeError(msg)
    if out is not None and copy:
        msg = "copy=True returns a changed AnnData, but with out= none is changed; leave one of them out."
        raise ValueError(msg)


def _read(reference: Cells) -> AnnData:
    """The fitted AnnData, or the model alone, read from disk where a path is given."""
    if isinstance(reference, str | os.PathLike):
        path = os.path.expanduser(os.fspath(reference).rstrip("/"))
        if path.endswith(model_files.ENDING):
            return model_files.read(path)
        with ExitStack() as stack:
            files.checked_root(Path(path), stack, f"reference={path!r}")
        reference = (ad.read_zarr if os.path.isdir(path) else ad.read_h5ad)(path)
    if not isinstance(reference, AnnData):
        msg = (
            f"reference is a {type(reference).__name__}; pass a fitted AnnData or the path of one, of a MuData its "
            "modality, such as reference.mod['rna']."
        )
        raise TypeError(msg)
    return reference
