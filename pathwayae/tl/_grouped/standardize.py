"""What a fit needs of the cells: their Gram matrix from one pass or from given moments, or the cells themselves."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _checks
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core
from pathwayae.core.moments import batches as core_batches
from pathwayae.core.moments import gram_product
from pathwayae.core.moments.accumulate import BLOCK_BYTES, Accumulator
from pathwayae.core.moments.batches import Batches
from pathwayae.core.moments.gram_product import STORED_BYTES, Data, Solver
from pathwayae.core.moments.moments import Moments, Scale, Standardized
from pathwayae.core.notice import warn
from pathwayae.tl._grouped.batches import Labels, check_sizes

logger = logging.getLogger("pathwayae")

Genes = NDArray[np.intp]


def standardized(
    source: sources.Source | None,
    names: NDArray[np.str_],
    mask: NDArray[np.bool_],
    *,
    moments: Moments | None,
    solver: Solver,
    center: bool,
    scale: Scale,
    device: str,
    progress: bool,
    labels: Labels | None = None,
) -> tuple[Genes, Data, Batches | None]:
    """The genes that vary, in the order of their names, their standardised cells, and their means in each batch.

    Cells are those of the source or the moments. The order of names makes the result independent of the order of the
    genes in the AnnData. With labels, cells are centred within batches, always from their Gram matrix.
    """
    batches = None
    if moments is not None:
        genes, read = _given(moments, names, mask)
        if labels is not None:
            batches = _given_batches(moments, labels, names[genes])
    elif source is None:
        msg = "There are neither moments nor cells to fit; pass one of them."
        raise ValueError(msg)
    else:
        genes = np.flatnonzero(mask)
        genes = genes[np.argsort(names[genes], kind="stable")]
        if labels is None and gram_product.prefer_cells(source.shape[0], len(genes), solver):
            matrix, columns = _held(source, genes, progress=progress)
            varies = _varying(gram_product.mean_and_variance(matrix, columns)[1])
            if not varies.all():
                columns = (np.arange(len(genes)) if columns is None else columns)[varies]
            return genes[varies], gram_product.standardize(matrix, center=center, scale=scale, genes=columns), None
        _check_gram(source, genes, only=labels is not None)
        read, batches = _read(source, genes, device, labels, progress=progress)
    if labels is not None and batches is not None:
        genes, data, batches = _within(genes, read, batches, scale)
        check_sizes(batches, labels.key)
        return genes, data, batches
    varies = _varying(read.variance)
    if not varies.all():
        genes, read = genes[varies], read.subset(varies)
    return genes, read.standardize(center=center, scale=scale), None


def _within(genes: Genes, read: Moments, batches: Batches, scale: Scale) -> tuple[Genes, Data, Batches]:
    """Genes that vary within batches, and their cells centred there."""
    data = read.standardize_within(batches.counts, batches.sums, scale=scale)
    varies = _varying(np.diagonal(data.gram), "within batches")
    if not varies.all():
        genes, batches = genes[varies], batches.subset(varies)
        data = Standardized(data.n, data.gram[np.ix_(varies, varies)], data.mean[varies], data.scale[varies])
    return genes, data, batches


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


def _given_batches(moments: Moments, labels: Labels, names: NDArray[np.str_]) -> Batches:
    """Batches of the genes, of which the moments hold all, from the strata."""
    batches = core_batches.of_strata(moments, labels.names)
    core_batches.check_known(labels.names, batches.names, moments.strata)
    position = {name: i for i, name in enumerate(moments.genes or ())}
    return batches.subset(np.array([position[name] for name in names]))


def _read(
    source: sources.Source, genes: Genes, device: str, labels: Labels | None, *, progress: bool
) -> tuple[Moments, Batches | None]:
    """Moments of the genes from one pass over the cells, in which they keep the order that they have there.

    Batches need no Gram matrix of their own, however many there are.
    """
    order = np.argsort(genes)
    columns = slice(None) if len(genes) == source.shape[1] else genes[order]
    added = Accumulator(len(genes), device=device)
    sums = np.zeros((0 if labels is None else len(labels.names), len(genes)))
    with _bar(source, progress=progress) as bar:
        for block in source.blocks(BLOCK_BYTES):
            values = block.values[:, columns]
            added.add(values)
            if labels is not None:
                sums += core_batches.sums_of(values, labels.codes[block.start : block.stop], len(sums))
            bar.update(block.stop - block.start)
    back = np.argsort(order)
    read = added.result().subset(back)
    if labels is None:
        return read, None
    return read, Batches(labels.names, np.bincount(labels.codes).astype(float), sums[:, back])


def _varying(variance: NDArray[np.float64], where: str = "over the cells") -> NDArray[np.bool_]:
    """Which genes vary; raises where none does, and warns of those that do not."""
    varies = variance > 0
    if not varies.any():
        msg = f"No gene varies {where}, so there is nothing to fit."
        raise ValueError(msg)
    if not varies.all():
        same = "have the same value in every cell" if where == "over the cells" else f"do not vary {where}"
        msg = (
            f"{(~varies).sum()} of {len(varies)} genes {same} and are left out of the "
            "model. sc.pp.filter_genes removes genes that are never seen."
        )
        warn(msg)
    return varies


def _held(source: sources.Source, genes: Genes, *, progress: bool) -> tuple[Any, Genes | None]:
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


def _check_gram(source: sources.Source, genes: Genes, *, only: bool) -> None:
    """Raise where the Gram matrix is too large, naming the cells as a way out where they would fit and are allowed."""
    try:
        core.check_size(len(genes), core.MAX_GRAM_BYTES)
    except ValueError as error:
        n_bytes = _held_bytes(source, genes)
        if only or n_bytes > core.MAX_GRAM_BYTES:
            raise
        msg = f"{error} Or go through the cells (solver='cells'), which need about {_gib(n_bytes)}."
        raise ValueError(msg) from error


def _held_bytes(source: sources.Source, genes: Genes) -> float:
    """Bytes that the cells would need in memory beside the source, judged by the first of them."""
    n = source.shape[0]
    first = source.block(0, min(n, _checks.COUNTS_ROWS)).values
    if sp.issparse(first):
        return STORED_BYTES * first[:, genes].nnz / first.shape[0] * n
    return 0.0 if source.finite else float(first.itemsize * n * len(genes))


def _gib(n_bytes: float) -> str:
    return f"{n_bytes / 2**30:.3g} GiB"


def _bar(source: sources.Source, *, progress: bool) -> Any:
    return tqdm(total=source.shape[0], desc="cells", unit=" cells", disable=not progress, leave=False)
