"""What a fit needs of the cells: their Gram matrix or a sketch of it, from one pass or as given, or the cells."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core
from pathwayae.core.moments import batches as core_batches
from pathwayae.core.moments import gram_product
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.moments.accumulate_sketch import accumulator
from pathwayae.core.moments.batches import Batches
from pathwayae.core.moments.gram_product import STORED_BYTES, Data, StandardizedCells
from pathwayae.core.moments.moments import Moments, Scale
from pathwayae.core.moments.offsets import far_from_zero
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import EXACT_BYTES, RANK, AnyMoments, StandardizedSketch
from pathwayae.core.moments.strata import WHOLE, places_of
from pathwayae.tl._grouped.batches import Labels, check_sizes, of_moments
from pathwayae.tl._grouped.moments import check_finite

logger = logging.getLogger("pathwayae")

BETWEEN_CELLS = "over the cells"

Genes = NDArray[np.intp]
Solver = Literal["auto", "gram", "cells", "sketch"]


def standardized(
    source: sources.Source | None,
    names: NDArray[np.str_],
    mask: NDArray[np.bool_],
    *,
    moments: AnyMoments | None,
    solver: Solver,
    center: bool,
    scale: Scale,
    device: str,
    progress: bool,
    labels: Labels | None = None,
    given: bool = True,
) -> tuple[Genes, Data, Batches | None]:
    """The genes that vary, in the order of their names, their standardised cells, and their means in each batch.

    Cells are those of the source or the moments. The order of names makes the result independent of the order of the
    genes in the AnnData. With labels, cells are centred within batches, from their Gram matrix or a sketch of it.
    Moments that were not given but read of the source have its batches as strata, and no covariates.
    """
    batches = None
    if moments is not None:
        genes, read, places = _given(moments, names, mask)
        if labels is not None:
            batches = _given_batches(moments, labels if given else labels._replace(covariates=()), names[genes])
            if source is not None and labels.covariates and not given:
                batches = _counted(source, genes, labels, batches, progress=progress)
    elif source is None:
        msg = "There are neither moments nor cells to fit; pass one of them."
        raise ValueError(msg)
    else:
        genes = np.flatnonzero(mask)
        genes = genes[np.argsort(names[genes], kind="stable")]
        shift = _shift(source, genes, solver) if center else None
        way = _way(source, genes, solver, divided=labels is not None or shift is not None)
        if way == "cells":
            matrix, columns = _held(source, genes, progress=progress)
            varies = _varying(gram_product.mean_and_variance(matrix, columns)[1])
            if not varies.all():
                columns = (np.arange(len(genes)) if columns is None else columns)[varies]
            return genes[varies], gram_product.standardize(matrix, center=center, scale=scale, genes=columns), None
        if way == "gram":
            _check_gram(source, genes, only=labels is not None)
        probes = (
            Probes.of(tuple(names[np.sort(genes)].tolist()), rank=min(RANK, len(genes))) if way == "sketch" else None
        )
        read, batches, places = _read(source, genes, probes, device, labels, shift, progress=progress)
        if shift is not None:
            found = _standard(genes, read, places, batches, labels, center=center, scale=scale)
            return _moved_back(*found, shift[np.searchsorted(names[genes], names[found[0]])])
    return _standard(genes, read, places, batches, labels, center=center, scale=scale)


def _standard(
    genes: Genes,
    read: AnyMoments,
    places: Genes,
    batches: Batches | None,
    labels: Labels | None,
    *,
    center: bool,
    scale: Scale,
) -> tuple[Genes, Data, Batches | None]:
    """The genes that vary, and their cells, from moments that hold them at these places."""
    if labels is not None and batches is not None:
        genes, data, batches = _within(genes, read, places, batches, scale)
        check_sizes(batches, labels.key)
        return genes, _said(data), batches
    varies = _varying(read.variance[places])
    places = places[varies]
    if isinstance(read, Moments):
        return genes[varies], read.standardize(center=center, scale=scale, genes=places), None
    return genes[varies], _said(read.subset(places).standardize(center=center, scale=scale)), None


def _shift(source: sources.Source, genes: Genes, solver: Solver) -> NDArray[np.float64] | None:
    """What is taken off genes that lie far from 0 while the cells are read, shape (g,); None where none does."""
    first = source.block(0, min(source.shape[0], _checks.COUNTS_ROWS))
    shift = far_from_zero(first.values[:, genes])
    if shift is not None and solver == "cells":
        msg = (
            f"{int((shift != 0).sum())} genes lie far from 0 ({shift[np.abs(shift).argmax()]:.3g}) beside how they "
            "differ between cells, and solver='cells' would lose their digits; leave solver out."
        )
        raise ValueError(msg)
    return shift


def _moved_back(
    genes: Genes, data: Data, batches: Batches | None, shift: NDArray[np.float64]
) -> tuple[Genes, Data, Batches | None]:
    """Means of cells that were read without what lies between them and 0."""
    if batches is not None:
        batches = replace(batches, sums=batches.sums + batches.counts[:, None] * shift)
    return genes, replace(data, mean=data.mean + shift), batches


def solver_of(data: Data) -> str:
    """What a fit is made from, as ``FitSettings.solver`` calls it."""
    if isinstance(data, StandardizedCells):
        return "cells"
    return "sketch" if isinstance(data, StandardizedSketch) else "gram"


def _way(source: sources.Source, genes: Genes, solver: Solver, *, divided: bool) -> Literal["gram", "cells", "sketch"]:
    """What is read of the cells: what was asked for, or the smaller of the exact ones while it is small."""
    if solver != "auto":
        return solver
    n, g = source.shape[0], len(genes)
    few = 2 * n < g and 8 * n * n <= EXACT_BYTES
    if few and not divided and _held_bytes(source, genes) <= core.MAX_GRAM_BYTES:
        return "cells"
    return "gram" if 8 * g * g <= EXACT_BYTES else "sketch"


def _said(data: Data) -> Data:
    """The same; what a sketch leaves out goes to the log."""
    if isinstance(data, StandardizedSketch):
        g, r = data.gram.factors.shape
        msg = "Fitting %d genes from a sketch of their Gram matrix: %d directions hold %.3g %% of the variance."
        logger.info(msg, g, r, 100.0 * (1.0 - data.error))
    return data


def _within(
    genes: Genes, read: AnyMoments, places: Genes, batches: Batches, scale: Scale
) -> tuple[Genes, Data, Batches]:
    """Genes that vary within batches, and their cells centred there, from moments that hold them at these places."""
    if isinstance(read, Moments):
        varies = _varying(
            read.variance_within(batches.counts, batches.sums, kept=batches.kept, genes=places), "within batches"
        )
        batches = batches.subset(varies)
        return genes[varies], core_batches.centred(read, batches, scale=scale, genes=places[varies]), batches
    data = core_batches.centred(read, batches, scale=scale, genes=places)
    varies = _varying(np.asarray(data.gram.diagonal()), "within batches")
    if varies.all() or not isinstance(data, StandardizedSketch):
        return genes, data, batches
    return genes[varies], data.subset(varies), batches.subset(varies)


def _given(moments: AnyMoments, names: NDArray[np.str_], mask: NDArray[np.bool_]) -> tuple[Genes, AnyMoments, Genes]:
    """The genes that the moments hold too, in the order of their names, the moments, and their places in them."""
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
    pooled, places = moments.pool(), places_of(shared, moments.genes)
    check_finite(pooled, places)
    return np.array([position[name] for name in shared]), pooled, places


def _given_batches(moments: AnyMoments, labels: Labels, names: NDArray[np.str_]) -> Batches:
    """Batches of the genes, of which the moments hold all, from the strata."""
    batches = of_moments(moments, labels)
    position = {name: i for i, name in enumerate(moments.genes or ())}
    return batches.subset(np.array([position[name] for name in names]))


def _read(
    source: sources.Source,
    genes: Genes,
    probes: Probes | None,
    device: str,
    labels: Labels | None,
    shift: NDArray[np.float64] | None,
    *,
    progress: bool,
) -> tuple[AnyMoments, Batches | None, Genes]:
    """Moments of the genes from one pass over the cells, in the order that they have there, and their places in it.

    Batches need no Gram matrix of their own, however many there are. What is shifted is taken off every cell.
    """
    order = np.argsort(genes)
    columns = slice(None) if len(genes) == source.shape[1] else genes[order]
    added = accumulator(len(genes), WHOLE, probes, device=device)
    sums = np.zeros((0 if labels is None else labels.n_levels, len(genes)))
    levels = None if labels is None else labels.levels
    with _bar(source, progress=progress) as bar:
        for block in source.blocks(BLOCK_BYTES):
            values = block.values[:, columns]
            if shift is not None:
                values = (values.toarray() if sp.issparse(values) else values) - shift[order]
            added.add(values)
            if levels is not None:
                sums += core_batches.sums_of(values, levels[:, block.start : block.stop], len(sums))
            bar.update(block.stop - block.start)
    back = np.argsort(order)
    if labels is None or levels is None:
        return added.result(), None, back
    own = sums[: len(labels.names)]
    shadow = None if probes is None else own @ probes.matrix()
    batches = Batches(labels.names, np.bincount(labels.codes).astype(float), own[:, back], shadow)
    return added.result(), labels.beside(batches, sums[:, back]), back


def _counted(source: sources.Source, genes: Genes, labels: Labels, batches: Batches, *, progress: bool) -> Batches:
    """Batches beside covariates, whose sums are read of the cells."""
    sums, levels = np.zeros((labels.n_levels, len(genes))), labels.levels
    with _bar(source, progress=progress) as bar:
        for block in source.blocks(BLOCK_BYTES):
            sums += core_batches.sums_of(block.values[:, genes], levels[:, block.start : block.stop], len(sums))
            bar.update(block.stop - block.start)
    return labels.beside(batches, sums)


def _varying(variance: NDArray[np.float64], where: str = BETWEEN_CELLS) -> NDArray[np.bool_]:
    """Which genes vary; raises where none does, and logs how many do not."""
    varies = variance > 0
    if not varies.any():
        if where == BETWEEN_CELLS:
            next_step = "Pass at least two cells that differ; equal or empty ones come of a wrong layer or subset"
        else:
            next_step = "Name groups of several cells: a column with a value per cell takes out all that differs"
        msg = f"None of {len(varies)} genes varies {where}, so there is nothing to fit. {next_step}."
        raise ValueError(msg)
    if not varies.all():
        logger.info("%d of %d genes do not vary %s and are left out.", (~varies).sum(), len(varies), where)
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
    other = "pass solver='gram' or 'sketch', or use" if gram <= limit else "pass solver='sketch', or use"
    msg = (
        f"{n} cells × {g} genes do not fit in memory through the cells: these need about {_gib(n_bytes)}, their Gram "
        f"matrix {_gib(gram)}, and at most {_gib(limit)} is allowed. Next step: {other} fewer genes (mask_var), for "
        "instance the highly variable ones or those of the pathways."
    )
    raise ValueError(msg)


def _check_gram(source: sources.Source, genes: Genes, *, only: bool) -> None:
    """Raise where the Gram matrix is too large, naming the ways out: the cells where they fit and are allowed."""
    try:
        core.check_size(len(genes), core.MAX_GRAM_BYTES)
    except ValueError as error:
        n_bytes = _held_bytes(source, genes)
        other = "Or fit from a sketch of it (solver='sketch')."
        if not only and n_bytes <= core.MAX_GRAM_BYTES:
            other += f" Or go through the cells (solver='cells'), which need about {_gib(n_bytes)}."
        msg = f"{error} {other}"
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
    return _progress.bar("cells", "cells", source.shape[0], progress=progress)
