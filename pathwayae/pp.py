"""Before a fit: one pass over cells of any size and place, to moments that can be kept."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, Literal, TypeAlias

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._cells import cluster
from pathwayae._cells import sources as _sources
from pathwayae._cells import strata as _strata
from pathwayae._cells.scale import other_than_logarithms
from pathwayae.core.gates import gated
from pathwayae.core.moments import accumulate as core
from pathwayae.core.moments import stored
from pathwayae.core.moments.accumulate_sketch import accumulator, bytes_of
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.offsets import far_from_zero
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import RANK, AnyMoments, Sketch
from pathwayae.core.notice import listed, warn

__all__ = ["Moments", "Sketch", "moments", "read_moments"]

logger = logging.getLogger("pathwayae")

Cells: TypeAlias = AnnData | str | os.PathLike[str]
FEW_CELLS = 50  # in fewer, log values may all happen to be whole numbers
BLOCK_SHARE = 16  # a block takes at most this part of the memory, so that its copies stay far below it


@gated(stores=("data",), memory=(1e-6, 1e9), target_sum=(1e-12, 1e15))
def moments(
    data: Cells | Sequence[Cells],
    *,
    layer: str | None = None,
    genes: Sequence[str] | NDArray[np.str_] | None = None,
    gene_symbols: str | None = None,
    join: Literal["exact", "inner"] = "exact",
    sample_key: str | None = None,
    batch_key: str | None = None,
    covariates: str | Sequence[str] | None = None,
    n_folds: int | None = None,
    normalize: Literal["log1p"] | None = None,
    target_sum: float = 1e4,
    sketch: bool | Literal["auto"] = "auto",
    rank: int = RANK,
    memory: float = 4.0,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
) -> Moments | Sketch:
    """Read cells once, in blocks: number, sums and Gram matrix of each stratum, all that a fit needs of them.

    Parameters
    ----------
    data
        An AnnData (in memory, a view, backed, or on dask), the path of an h5ad or zarr, or a list of them: an atlas
        in shards, joined on gene names. The path of a collection of annbatch stands for all its data sets.
    layer
        Layer to read; by default ``X``.
    genes
        Names of the genes to read, in the order wanted; by default those of the first data.
    gene_symbols
        Column of ``var`` with the names; by default ``var_names``.
    join
        Without `genes`, data with different genes are an error (``"exact"``), or the shared genes are read
        (``"inner"``). The order of genes may differ in either case.
    sample_key, batch_key
        Columns of ``obs``; each value is a stratum of its own (each pair of values with both, ``"batch | sample"``).
    covariates
        Column of ``obs``, or several, whose levels are kept apart in every batch (``"batch | level | sample"``), for
        fits that estimate batch effects beside them.
    n_folds
        Divide the strata among so many folds, whole, the largest first; without strata, the cells at random. A fold
        is named after its strata, joined with ``" + "``.
    normalize
        ``"log1p"``: the stored values are counts; inside the pass every cell is scaled to `target_sum` over all its
        genes, chosen or not, and log1p taken. None: they are used as they are.
    target_sum
        Total of every cell under ``normalize="log1p"``.
    sketch
        Keep the Gram matrix of every stratum (False; 8 g² bytes each for g genes), or a sketch of it (True; 16 g · rank
        bytes): its largest directions as a matrix of low rank, and its diagonal exactly. ``"auto"``: Gram matrices as
        long as those of all strata fit in 1 GiB (and in `memory`), else sketches. Which was read is logged.
    rank
        Directions of a sketch that are kept. With 100, scores and genes of pathways are those of the Gram matrix; free
        components of few, noisy cells are less sharp (``benchmarks/sketch.md``). No more than the genes are taken; a
        rank above the cells makes the sketch exact.
    memory
        Upper bound in GiB for all Gram matrices, or all sketches; more strata than fit are pooled into folds, with a
        warning. A block
        of cells takes a sixteenth of it and at most 64 MiB; a chunk of dask is read whole whatever its size, and so is
        a file stored by genes (CSC), which is refused where it is larger than `memory`. It holds for this process;
        workers of a client need as much for every thread in the worst case, where each part has cells of all strata.
    device
        Where cells read in this process are multiplied: ``"cpu"`` in float64; ``"cuda"`` in float32 per block, added
        up in float64, which agrees with the CPU to about 3e-6; ``"auto"`` for CUDA where there is a device.
    random_state
        Seed of random folds, and of the directions of a sketch: sketches read with other seeds cannot be joined.
    progress
        Show a progress bar on a terminal or in a notebook.

    Notes
    -----
    Where the cells are read:

    - An AnnData on dask (``anndata.experimental.read_lazy``, for instance) is read by the scheduler that dask would
      use: the workers of a ``dask.distributed`` client if there is one, else threads of this process.
    - Files are read by the workers of a ``dask.distributed`` client if there is one; every worker opens them itself,
      so all of them need to see the same paths. Without a client, they are read in this process, one after another.
    - Anything else is read in this process.

    Dask adds the moments of parts of the cells two by two. The parts and the order of additions depend on the data and
    `memory` alone, so that neither the number of workers nor the loss of one changes the result, but for rounding
    (1e-12) where processes do linear algebra with different numbers of threads. No worker holds more than one Gram
    matrix, or sketch, per stratum for each of its threads and a few that wait to be added; scheduler and client hold
    the result only. Threads of this process share `memory`: there are as many as it has room for, and one stream where
    it has room for none. Chunks of dask smaller than a block are put together, and their cells may travel between
    workers.

    Missing chunks: a sparse zarr that lacks some is refused. A dense one is warned of, since zarr does not write chunks
    that hold only zeros.

    Returns
    -------
    :class:`~pathwayae.pp.Moments` with float64 ``counts`` (s,), ``sums`` (s, g) and ``grams`` (s, g, g), ``strata``
    and ``genes``, or a :class:`~pathwayae.pp.Sketch` with ``products`` (s, g, m) in the place of ``grams``. Either
    adds, subtracts, reweights, subsets, saves and loads, and goes into ``pae.tl.fit(moments=…)``.

    Raises
    ------
    FileNotFoundError
        If a file does not exist.
    KeyError
        If a layer or column does not exist.
    TypeError
        If something is neither an AnnData nor a path.
    ValueError
        If genes differ, a file is truncated or changes during the pass, values are not finite, or counts and log
        values are mixed. The message names file, chunk and cells; no partial result is returned.
    RuntimeError
        If a ``dask.distributed`` client has had no worker for ``distributed.scheduler.no-workers-timeout`` of dask's
        configuration (without a value there: 120 seconds), or was closed.

    Warns
    -----
    pathwayae.DataWarning
        If the values look like raw counts, counts without a logarithm or scaled genes and `normalize` is None, strata
        are pooled to fit `memory`, or a dense zarr lacks chunks.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> adata.obs["donor"] = ["a", "b", "c"] * 100
    >>> moments = pae.pp.moments(adata, sample_key="donor", progress=False)
    >>> moments.strata, moments.n, moments.without("b").n
    (('a', 'b', 'c'), 300, 200)
    >>> pae.tl.fit(adata, "pathways", moments=moments, progress=False)
    >>> adata.obsm["X_pae"].shape
    (300, 26)
    """
    _check(n_folds=n_folds, normalize=normalize, join=join, target_sum=target_sum, memory=memory, seed=random_state)
    _checks.choice("sketch", sketch, ("auto", True, False))
    _checks.number("rank", rank, 1, integer=True)
    budget = int(memory * 2**30)
    device = device if device == "cpu" else _checks.device(device)
    with ExitStack() as stack:
        sources = _sources.open_all(data, stack, layer=layer, gene_symbols=gene_symbols, n_bytes=budget)
        names, columns = _columns(sources, genes, join)
        counts = _check_values(sources, normalize)
        beside = [covariates] if isinstance(covariates, str) else list(covariates or ())
        keys = [key for key in (batch_key, *beside, sample_key) if key is not None]
        codes, strata = _strata.of_cells(sources, keys, n_folds, random_state)
        size = (len(codes), len(strata))
        probes = _strata.probes_for(names, *size, sketch=sketch, rank=rank, budget=budget, seed=random_state)
        codes, strata = _strata.fit_memory(codes, strata, len(names), probes, budget)
        if normalize is not None:
            sources = [_sources.normalized(source, target_sum) for source in sources]
        elif not counts:
            sources = [replace(source, after=_without_counts) for source in sources]
        ends = np.cumsum([source.shape[0] for source in sources])[:-1]
        lots = [cluster.Lot(*lot) for lot in zip(sources, columns, np.split(codes, ends), strict=True)]
        read = _read_all(lots, strata, len(names), probes, budget, device, progress=progress)
    how = "" if normalize is None else f"{normalize} {target_sum:g}"
    result = replace(read, genes=tuple(names.tolist()), normalize=how)
    kind = f"a sketch of rank {result.rank}" if isinstance(result, Sketch) else "exact"
    logger.info("Moments of %d cells × %d genes in %d strata: %s.", result.n, len(names), len(strata), kind)
    return result


@gated(reads=("path",))
def read_moments(path: str | os.PathLike[str]) -> Moments | Sketch:
    """Read moments from a file, whether they are exact or a sketch.

    Parameters
    ----------
    path
        What ``save`` of moments wrote.

    Returns
    -------
    :class:`~pathwayae.pp.Moments` or :class:`~pathwayae.pp.Sketch`, as they were saved.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no file of moments, is truncated, or does not agree with itself.

    Examples
    --------
    >>> import tempfile, pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pae.pp.moments(adata, sketch=True, rank=20, progress=False).save(f"{folder}/moments.npz")
    ...     pae.pp.read_moments(f"{folder}/moments.npz").rank
    20
    """
    about = stored.about(path, stored.MOMENTS, stored.SKETCH)
    return Sketch.load(path) if about["format"] == stored.SKETCH else Moments.load(path)


def _check(
    *, n_folds: object, normalize: object, join: object, target_sum: object, memory: object, seed: object
) -> None:
    _checks.choice("normalize", normalize, ("log1p", None))
    _checks.choice("join", join, ("exact", "inner"))
    _checks.number("target_sum", target_sum, 1e-12)
    _checks.number("memory", memory, 1e-6)
    _checks.number("random_state", seed, 0, integer=True)
    if n_folds is not None:
        _checks.number("n_folds", n_folds, 2, integer=True)


def _columns(
    sources: list[_sources.Source], genes: Sequence[str] | NDArray[np.str_] | None, join: str
) -> tuple[NDArray[np.str_], list[NDArray[np.intp] | None]]:
    """Names of the genes to read and where they lie in every source; None for all genes as they lie."""
    first = sources[0]
    if isinstance(genes, str):
        msg = f"genes={genes!r} must be a list of names."
        raise TypeError(msg)
    names = first.genes if genes is None else np.asarray(list(genes), dtype=str)
    if len(set(names)) != len(names) or not len(names):
        msg = (
            f"genes must hold at least one name, and each once; got {len(names)}, {len(set(names))} of them different: "
            f"{listed(names)}."
        )
        raise ValueError(msg)
    if genes is None and join == "inner":
        for source in sources[1:]:
            names = names[np.isin(names, source.genes)]
        if not len(names):
            msg = f"The {len(sources)} data share no gene; do all of them use the same kind of names?"
            raise ValueError(msg)
    columns: list[NDArray[np.intp] | None] = []
    for source in sources:
        position = {name: i for i, name in enumerate(source.genes)}
        lost = [name for name in names if name not in position]
        more = set(source.genes) - set(names) if genes is None and join == "exact" else ()
        if lost or more:
            some = listed(lost or sorted(more))
            than = "the genes asked for" if genes is not None else first.name
            msg = (
                f"{source.name} has other genes than {than}: {len(lost)} missing, {len(more)} more, for instance "
                f'{some}. Pass genes= with names that all of them have, or join="inner".'
            )
            raise ValueError(msg)
        index = np.array([position[name] for name in names])
        columns.append(None if np.array_equal(index, np.arange(source.shape[1])) else index)
    return names, columns


def _check_values(sources: list[_sources.Source], normalize: str | None) -> bool:
    """Look at the first cells of every source before the long pass: counts everywhere, or nowhere; which of them."""
    counts, scales = [], []
    for source in sources:
        values = source.block(0, min(source.shape[0], _checks.COUNTS_ROWS)).values
        counts.append(_checks.looks_like_counts(values))
        scales.append("" if normalize or counts[-1] else other_than_logarithms(values))
        if (shift := far_from_zero(values)) is not None:
            msg = (
                f"{(shift != 0).sum()} genes of {source.name} lie far from 0 ({shift[np.abs(shift).argmax()]:.3g}) "
                "beside how they differ between cells, and sums of squares lose these differences. Take a constant off "
                "every gene first; pae.tl.fit does so by itself."
            )
            warn(msg)
    if len(set(counts)) > 1:
        yes, no = sources[counts.index(True)].name, sources[counts.index(False)].name
        msg = f"{yes} holds raw counts, {no} does not; bring both to the same scale before they are joined."
        raise ValueError(msg)
    if normalize is not None and not counts[0]:
        msg = (
            f"normalize={normalize!r} needs counts, but the values of {sources[0].name} are no whole numbers above 1; "
            "leave normalize out where they are log-normalised already, or choose the layer of counts."
        )
        raise ValueError(msg)
    if normalize is None and counts[0]:
        msg = (
            f'The values of {sources[0].name} look like raw counts; pass normalize="log1p", or a log-normalised layer.'
        )
        warn(msg)
    for source, looks_like in zip(sources, scales, strict=True):
        if looks_like:
            warn(f"The values of {source.name} look like {looks_like}")
    return counts[0]


def _without_counts(block: _sources.Block) -> Any:
    """Values of the block; raises where counts appear among log values."""
    if block.stop - block.start >= FEW_CELLS and _checks.looks_like_counts(block.values):
        msg = f"{block.name} holds raw counts, the cells before do not; bring all cells to the same scale."
        raise ValueError(msg)
    return block.values


def _read_all(
    lots: list[cluster.Lot],
    strata: tuple[str, ...],
    n_genes: int,
    probes: Probes | None,
    budget: int,
    device: str,
    *,
    progress: bool,
) -> AnyMoments:
    """The pass itself: in one stream in this process, as a tree of dask tasks, or some of each."""
    n_bytes = min(core.BLOCK_BYTES, budget // BLOCK_SHARE)
    room = budget // (bytes_of(n_genes, probes) * len(strata))
    tasks, left, threads = cluster.divide(lots, strata, n_genes, n_bytes=n_bytes, n_grams=room, probes=probes)
    total = sum(lot.source.shape[0] for lot in lots)
    parts: list[AnyMoments] = []
    with _progress.bar("cells", "cells", total, progress=progress) as bar:
        if tasks:
            parts.append(cluster.add_up(tasks, threads=threads, advance=bar.update))
        if left:
            added = accumulator(n_genes, strata, probes, max_bytes=budget, device=device)
            for source, index, codes in left:
                for block in source.blocks(n_bytes):
                    values = block.values if index is None else block.values[:, index]
                    added.add(values, codes[block.start : block.stop])
                    bar.update(block.stop - block.start)
            parts.append(added.result())
        for lot in lots:
            lot.source.check_unchanged()
    whole = cluster.add(*parts)
    return whole if whole.strata == strata else whole.select(*strata)
