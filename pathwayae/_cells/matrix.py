"""Which matrix a model reads of an AnnData: ``X``, a layer or an embedding, genes in the order of their names."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal, NamedTuple, overload

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells import raw, sources
from pathwayae._cells.scale import other_than_logarithms
from pathwayae.core import kinds
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.notice import warn

logger = logging.getLogger("pathwayae")


class Input(NamedTuple):
    """Cells, which of their columns the model has, in its order, and the names of these (of genes, or numbers)."""

    source: sources.Source
    columns: NDArray[np.intp]
    names: NDArray[np.str_]

    @property
    def n_cells(self) -> int:
        return self.source.shape[0]

    def blocks(self, n_bytes: int) -> Iterator[tuple[int, int, Any]]:
        """First cell, last + 1 and values, dense or CSR, of blocks that are at most so large when dense in float32."""
        limit = n_bytes * self.source.row_bytes / (4 * self.source.shape[1])  # bytes as they are stored
        for block in self.source.blocks(int(max(limit, 1))):
            yield block.start, block.stop, self.narrow(block.values)

    def narrow(self, values: Any) -> Any:
        """The columns of the model, float32."""
        if not np.array_equal(self.columns, np.arange(values.shape[1])):
            values = values[:, self.columns]
        return values.astype(np.float32, copy=False)


def chosen(
    adata: AnnData,
    *,
    layer: str | None = None,
    obsm: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    gene_symbols: str | None = None,
) -> Input:
    """The matrix to train on: an embedding where `obsm` names one, else genes of ``X`` or a layer.

    Raises
    ------
    KeyError, TypeError
        See :func:`of_genes` and :func:`of_embedding`.
    ValueError
        The same, and if genes are chosen for an embedding.
    """
    if obsm is None:
        return _logged(of_genes(adata, layer, gene_symbols, mask_var), "genes")
    for name, value in (("layer", layer), ("mask_var", mask_var)):
        if value is not None:
            msg = (
                f"{name}={kinds.shown(value)} chooses from X or the layers, but obsm={obsm!r}; pass obsm=None, or "
                f"leave {name} out."
            )
            raise ValueError(msg)
    if gene_symbols is not None:  # names what the latents do in genes
        _checks.gene_names(adata, gene_symbols)
    return _logged(of_embedding(adata, obsm), "dimensions")


def _logged(cells: Input, what: str) -> Input:
    logger.info("Reading %s: %d cells × %d %s.", cells.source.name, cells.n_cells, len(cells.columns), what)
    return cells


def of_genes(
    adata: AnnData, layer: str | None, gene_symbols: str | None, mask_var: str | NDArray[np.bool_] | None
) -> Input:
    """Genes of ``X`` or a layer in the order of their names; warns of counts.

    Raises
    ------
    KeyError
        If a layer or column does not exist.
    ValueError
        If gene names repeat or values are not finite.
    """
    source = checked(sources.of_anndata(adata, layer=layer, gene_symbols=gene_symbols), "", raw.instead(adata))
    columns = np.flatnonzero(_checks.gene_mask(adata, mask_var))
    columns = columns[np.argsort(source.genes[columns], kind="stable")]
    return Input(source, columns, source.genes[columns])


def of_embedding(adata: AnnData, obsm: str) -> Input:
    """All columns of an embedding, as they stand.

    Raises
    ------
    KeyError
        If there is no such embedding.
    TypeError, ValueError
        If it is no matrix, is empty, or holds NaN or infinite values.
    """
    if obsm not in adata.obsm:
        msg = (
            f"obsm={obsm!r} is not in adata.obsm, which has {list(adata.obsm)}: run what makes it first (pae.tl.fit "
            "makes 'X_pae', sc.pp.pca 'X_pca'), name another one, or pass obsm=None for genes."
        )
        raise KeyError(msg)
    values = adata.obsm[obsm]
    name = f"adata.obsm[{obsm!r}]"
    if isinstance(values, pd.DataFrame):
        values = values.to_numpy()
    if getattr(values, "ndim", 0) != 2 or 0 in values.shape:
        msg = f"{name} is {getattr(values, 'shape', type(values).__name__)}; a matrix of cells × dimensions is needed."
        raise ValueError(msg)
    if values.dtype.kind not in "fiub":
        msg = f"{name} is of type {values.dtype}; numbers are needed."
        raise TypeError(msg)
    if isinstance(values, np.ndarray) or sp.issparse(values):  # of what is read later, block by block
        _checks.check_finite(values, name)
    names = np.arange(values.shape[1]).astype(str)
    source = sources.of_anndata(AnnData(values, obs=adata.obs[[]], var=pd.DataFrame(index=names)))
    return Input(replace(source, name=name), np.arange(len(names)), names)


@overload
def opened(
    adata: AnnData, layer: str | None, gene_symbols: str | None, normalize: str, *, needed: Literal[True] = True
) -> sources.Source: ...


@overload
def opened(
    adata: AnnData, layer: str | None, gene_symbols: str | None, normalize: str, *, needed: bool
) -> sources.Source | None: ...


def opened(
    adata: AnnData, layer: str | None, gene_symbols: str | None, normalize: str, *, needed: bool = True
) -> sources.Source | None:
    """The matrix to score, counts normalised as those of the fit were; None where there is none and none is needed."""
    if not needed and layer is None and not adata.isbacked and adata.X is None:
        return None
    source = sources.of_anndata(adata, layer=layer, gene_symbols=gene_symbols)
    logger.info("Reading %s: %d cells × %d genes.", source.name, *source.shape)
    return checked(source, normalize, raw.instead(adata))


def checked(source: sources.Source, normalize: str, instead: str = "") -> sources.Source:
    """The source, its counts normalised as those of the fit were; warns of values on another scale than logarithms.

    ``instead`` says what may be passed in their place.
    """
    first = source.block(0, min(source.shape[0], _checks.COUNTS_ROWS))
    if normalize:
        counts = _checks.looks_like_counts(first.values)
        return sources.normalized(source, float(normalize.split()[1])) if counts else source
    if looks_like := other_than_logarithms(first.values):
        warn(f"The values ({source.name}) look like {looks_like}{instead}")
    return source


class Streamed:
    """Cells that are read anew, block by block, in every pass of the solver."""

    def __init__(self, cells: Input) -> None:
        self.cells, self.n, self.n_features = cells, cells.n_cells, len(cells.columns)

    def blocks(self) -> Iterator[Any]:
        """All cells from the first on, dense or CSR, float32."""
        return (values for _, _, values in self.cells.blocks(BLOCK_BYTES))
