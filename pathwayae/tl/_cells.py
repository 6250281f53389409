"""What a fit needs of the cells: their Gram matrix from one pass or from given moments, or the cells themselves."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _inputs, _sources
from pathwayae.core import gram_product
from pathwayae.core import moments as core
from pathwayae.core.gram_product import STORED_BYTES, Data, Solver
from pathwayae.core.moments import BLOCK_BYTES, Accumulator, Moments, Scale
from pathwayae.core.notice import warn

logger = logging.getLogger("pathwayae")

Genes = NDArray[np.intp]


def standardized(
    source: _sources.Source,
    names: NDArray[np.str_],
    mask: NDArray[np.bool_],
    *,
    moments: Moments | None,
    solver: Solver,
    center: bool,
    scale: Scale,
    device: str,
    progress: bool,
) -> tuple[Genes, Data]:
    """The genes that vary, in the order of their names, and their standardised cells; the source or the moments.

    The order of names makes the result independent of the order of the genes in the AnnData.
    """
    if moments is not None:
        genes, read = _given(moments, names, mask)
    else:
        genes = np.flatnonzero(mask)
        genes = genes[np.argsort(names[genes], kind="stable")]
        if gram_product.prefer_cells(source.shape[0], len(genes), solver):
            matrix, columns = _held(source, genes, progress=progress)
            varies = _varying(gram_product.mean_and_variance(matrix, columns)[1])
            if not varies.all():
                columns = (np.arange(len(genes)) if columns is None else columns)[varies]
            return genes[varies], gram_product.standardize(matrix, center=center, scale=scale, genes=columns)
        _check_gram(source, genes)
        read = _read(source, genes, device, progress=progress)
    varies = _varying(read.variance)
    if not varies.all():
        genes, read = genes[varies], read.subset(varies)
    return genes, read.standardize(center=center, scale=scale)


def _given(moments: Moments, names: NDArray[np.str_], mask: NDArray[np.bool_]) -> tuple[Genes, Moments]:
    """The genes that the moments hold too, in the order of their names, and their moments."""
    if moments.genes is None:
        msg = "These moments have no gene names to match; read them with pae.pp.moments."
        raise ValueError(msg)
    wanted = np.sort(names[mask])
    shared = wanted[np.isin(wanted, np.array(moments.genes))]
    if not len(shared):
        msg = f"None of the {len(wanted)} genes is in the moments: {wanted[0]}, … against {moments.genes[0]}, …."
        raise ValueError(msg)
    logger.info("%d of %d genes are in the moments, which hold %d.", len(shared), len(wanted), len(moments.genes))
    position = {name: i for i, name in enumerate(names)}
    return np.array([position[name] for name in shared]), moments.pool().subset(shared)


def _read(source: _sources.Source, genes: Genes, device: str, *, progress: bool) -> Moments:
    """Moments of the genes from one pass over the cells, in which they keep the order that they have there."""
    order = np.argsort(genes)
    columns = slice(None) if len(genes) == source.shape[1] else genes[order]
    added = Accumulator(len(genes), device=device)
    with _bar(source, progress=progress) as bar:
        for block in source.blocks(BLOCK_BYTES):
            added.add(block.values[:, columns])
            bar.update(block.stop - block.start)
    return added.result().subset(np.argsort(order))


def _varying(variance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which genes vary; raises where none does, and warns of those that do not."""
    varies = variance > 0
    if not varies.any():
        msg = "No gene varies over the cells, so there is nothing to fit."
        raise ValueError(msg)
    if not varies.all():
        msg = (
            f"{(~varies).sum()} of {len(varies)} genes have the same value in every cell and are left out of the "
            "model. sc.pp.filter_genes removes genes that are never seen."
        )
        warn(msg)
    return varies


def _held(source: _sources.Source, genes: Genes, *, progress: bool) -> tuple[Any, Genes | None]:
    """A matrix in memory, and its columns that hold the genes in their order; None for all its columns.

    A dense array in memory is not copied; a sparse one becomes float64 CSR; other cells are read once.
    """
    n, g = source.shape[0], len(genes)
    if source.finite and source.after is None and not sp.issparse(source.block(0, 1).values):
        return source.block(0, n).values, genes
    parts: list[Any] = []
    stored = 0
    with _bar(source, progress=progress) as bar:
        for block in source.blocks(BLOCK_BYTES):
            part = block.values[:, genes]
            if not sp.issparse(part):
                if not parts:
                    _check_held(part.itemsize * n * g, n, g)
                    parts.append(np.empty((n, g), dtype=part.dtype))
                parts[0][block.start : block.stop] = part
            else:
                stored += part.nnz
                if STORED_BYTES * stored > core.MAX_GRAM_BYTES:
                    _check_held(STORED_BYTES * stored / block.stop * n, n, g)
                part = part.astype(np.float64)
                part.sum_duplicates()
                parts.append(part)
            bar.update(block.stop - block.start)
    return (sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else parts[0]), None


def _check_held(n_bytes: float, n: int, g: int) -> None:
    """Raise where the cells are too large to be held, with the ways that are left."""
    limit = core.MAX_GRAM_BYTES
    if n_bytes <= limit:
        return
    gram = 8 * g * g
    other = "pass solver='gram', or use" if gram <= limit else "use"
    msg = (
        f"{n} cells × {g} genes do not fit in memory through the cells: these need about {_gib(n_bytes)}, their Gram "
        f"matrix {_gib(gram)}, and at most {_gib(limit)} is allowed. Next step: {other} fewer genes (mask_var), for "
        "instance the highly variable ones or those of the pathways."
    )
    raise ValueError(msg)


def _check_gram(source: _sources.Source, genes: Genes) -> None:
    """Raise where the Gram matrix is too large, naming the cells as a way out where they would fit."""
    try:
        core.check_size(len(genes), core.MAX_GRAM_BYTES)
    except ValueError as error:
        n_bytes = _held_bytes(source, genes)
        if n_bytes > core.MAX_GRAM_BYTES:
            raise
        msg = f"{error} Or go through the cells (solver='cells'), which need about {_gib(n_bytes)}."
        raise ValueError(msg) from error


def _held_bytes(source: _sources.Source, genes: Genes) -> float:
    """Bytes that the cells would need in memory beside the source, judged by the first of them."""
    n = source.shape[0]
    first = source.block(0, min(n, _inputs.COUNTS_ROWS)).values
    if sp.issparse(first):
        return STORED_BYTES * first[:, genes].nnz / first.shape[0] * n
    return 0.0 if source.finite else float(first.itemsize * n * len(genes))


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"


def _bar(source: _sources.Source, *, progress: bool) -> Any:
    return tqdm(total=source.shape[0], desc="cells", unit=" cells", disable=not progress, leave=False)
