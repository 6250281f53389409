"""Moments as a tree reduction in dask: parts of the cells become moments, and moments are added two by two.

A part is a small description that can be sent to a worker: chunks of a dask array come as dependencies of its task, a
file is opened by the worker itself. The tree fixes the order of all additions, so that neither the number of workers
nor the loss of one changes the result; and no process ever holds more than a few Gram matrices, or sketches of them, at
a time.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae._cells import dask as _dask
from pathwayae._cells import files, sources
from pathwayae.core.moments.accumulate_sketch import accumulator, bytes_of
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import AnyMoments

FAN_IN = 2  # moments added by one task
READ_SHARE = 2  # a task reads at least so many times the bytes of what it returns from a file, or one block


class Lot(NamedTuple):
    """One source, the columns to read of it (None: all), and the stratum of each of its cells."""

    source: sources.Source
    columns: NDArray[np.intp] | None
    codes: NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Part:
    """Consecutive cells of one source and what to do with them, without the cells.

    Attributes
    ----------
    name
        What messages call the part of the source.
    start, stop
        Its cells.
    n_genes
        Genes of the source.
    columns
        Those to read; None for all.
    strata, codes
        Names of the strata that occur, and the one of each cell; None for the only one.
    after
        What is done to a block of cells once it was found finite.
    n_bytes
        Size of a block.
    stored
        The file, for the worker to open; None where chunks are sent.
    probes
        Directions of a sketch; None for Gram matrices.
    """

    name: str
    start: int
    stop: int
    n_genes: int
    columns: NDArray[np.int32] | None
    strata: tuple[str, ...]
    codes: NDArray[np.integer[Any]] | None
    after: Callable[[sources.Block], Any] | None
    n_bytes: int
    stored: files.Stored | None
    probes: Probes | None = None


class Task(NamedTuple):
    """A part, and the chunks of dask that hold its cells."""

    part: Part
    chunks: list[Any]


class NamedError(ValueError):
    """An error of a worker whose message names file, chunk and cells already."""


def divide(
    lots: Sequence[Lot],
    strata: tuple[str, ...],
    n_genes: int,
    *,
    n_bytes: int,
    n_grams: int,
    probes: Probes | None = None,
) -> tuple[list[Task], list[Lot], int]:
    """Tasks for dask, the lots that are read in this process, and the number of threads to use.

    Chunks of dask go to the scheduler that dask would use; files go to the workers of a ``dask.distributed`` client.
    Without a client, ``n_grams`` bounds the sets of Gram matrices, or of sketches along ``probes``, that this process
    may hold: a tree needs one per thread and one per level, so with too little room everything is read in one stream.
    """
    distributed = _dask.client() is not None
    chosen = [lot for lot in lots if lot.source.chunks is not None or (distributed and lot.source.stored is not None)]
    left = [lot for lot in lots if not any(lot is other for other in chosen)]
    tasks = [task for lot in chosen for task in _tasks(lot, strata, bytes_of(n_genes, probes), n_bytes, probes)]
    threads = n_grams - bool(left) - len(tasks).bit_length() - 2
    if not distributed and threads < 1:
        return [], list(lots), 1
    return tasks, left, threads


def _tasks(lot: Lot, strata: tuple[str, ...], of_stratum: int, n_bytes: int, probes: Probes | None) -> Iterator[Task]:
    source = lot.source
    if source.chunks is None:
        size = max(n_bytes, READ_SHARE * of_stratum * len(np.unique(lot.codes)))
        stretches = source.stretches(size)
        if source.stored is not None and source.stored.whole:
            stretches = iter([(0, source.shape[0])])
        for start, stop in stretches:
            name = f"{source.name}, cells {start}–{stop - 1},"
            yield Task(_part(lot, strata, start, stop, n_bytes, name, probes), [])
        return
    chunks = source.chunks.to_delayed().ravel().tolist()  # dask fuses what leads to a chunk into one task
    ends = np.array(source.units)
    for start, stop in source.stretches(n_bytes):
        first, last = np.searchsorted(ends, [start, stop - 1], side="right").tolist()
        which = f"chunk {first}" if first == last else f"chunks {first}–{last}"
        name = f"{source.name}, {which}, cells {start}–{stop - 1},"
        yield Task(_part(lot, strata, start, stop, n_bytes, name, probes), chunks[first : last + 1])


def _part(
    lot: Lot, strata: tuple[str, ...], start: int, stop: int, n_bytes: int, name: str, probes: Probes | None
) -> Part:
    source = lot.source
    present, codes = np.unique(lot.codes[start:stop], return_inverse=True)
    return Part(
        name=name,
        start=start,
        stop=stop,
        n_genes=source.shape[1],
        columns=None if lot.columns is None else lot.columns.astype(np.int32),
        strata=tuple(strata[i] for i in present),
        codes=None if len(present) == 1 else codes.astype(np.min_scalar_type(len(present))),
        after=source.after,
        n_bytes=n_bytes,
        stored=source.stored,
        probes=probes,
    )


def of_part(part: Part, topic: str, index: int, chunks: list[Any]) -> AnyMoments:
    """What one task does: the moments of its part, in the strata that occur in it."""
    g = part.n_genes if part.columns is None else len(part.columns)
    n_bytes = bytes_of(g, part.probes) * (1 if part.probes is None else len(part.strata))
    added = accumulator(g, part.strata, part.probes, max_bytes=n_bytes)
    try:
        for block in [_block_of_chunks(part, chunks)] if part.stored is None else _blocks_of_file(part, part.stored):
            values = block.values if part.columns is None else block.values[:, part.columns]
            codes = None if part.codes is None else part.codes[block.start - part.start : block.stop - part.start]
            added.add(values, codes)
    except ValueError as error:
        raise NamedError(str(error)) from error
    except Exception as error:
        msg = f"{part.name} cannot be added up ({type(error).__name__}: {error}); no result is returned."
        raise NamedError(msg) from error
    _tell(topic, index)
    return added.result()


def _blocks_of_file(part: Part, stored: files.Stored) -> Iterator[sources.Block]:
    with ExitStack() as stack:
        source = sources.opened_again(stored, stack, n_genes=part.n_genes, after=part.after)
        yield from source.blocks(part.n_bytes, part.start, part.stop)


def _block_of_chunks(part: Part, chunks: list[Any]) -> sources.Block:
    for chunk in chunks:
        sources.check_kind(chunk, part.name)
    if len(chunks) == 1:
        values = chunks[0]
    elif any(sp.issparse(chunk) for chunk in chunks):
        values = sp.vstack([sp.csr_matrix(chunk) for chunk in chunks], format="csr")
    else:
        values = np.concatenate(chunks)
    block = sources.Block(part.start, part.stop, part.name, values)
    return sources.checked(block, part.n_genes, after=part.after)


def _tell(topic: str, index: int) -> None:
    """The client hears that a part is done; in this process, dask's callbacks say so."""
    if "distributed" in sys.modules:
        from distributed import get_worker

        try:
            worker = get_worker()
        except ValueError:
            return
        worker.log_event(topic, index)


def add(*parts: AnyMoments) -> AnyMoments:
    """Moments of the cells of all; no input is changed, since dask may need it again."""
    whole: Any = parts[0]
    for part in parts[1:]:
        whole = whole + part  # both of one kind
    return whole  # type: ignore[no-any-return]


def tree(tasks: Sequence[Task], topic: str) -> Any:
    """One delayed value: moments of every task, added ``FAN_IN`` at a time, neighbours first."""
    from dask.delayed import delayed

    leaf, node = delayed(of_part, pure=False, traverse=False), delayed(add, pure=False, traverse=False)
    level = [leaf(part, topic, i, chunks, dask_key_name=(topic, i)) for i, (part, chunks) in enumerate(tasks)]
    height = 0
    while len(level) > 1:
        height += 1
        groups = [level[first : first + FAN_IN] for first in range(0, len(level), FAN_IN)]
        name = f"add-{topic}-{height}"
        level = [
            node(*group, dask_key_name=(name, i)) if len(group) > 1 else group[0] for i, group in enumerate(groups)
        ]
    return level[0]


def add_up(tasks: Sequence[Task], *, threads: int, advance: Callable[[int], None]) -> AnyMoments:
    """Moments of all tasks; ``advance`` hears the number of cells of each task that is done.

    Raises
    ------
    RuntimeError
        If the client has lost all workers.
    ValueError
        If cells cannot be read or are refused; names file, chunk and cells.
    """
    topic = f"moments-{uuid.uuid4().hex}"
    done: set[int] = set()

    def finished(index: int) -> None:
        if index not in done:  # a part is read again where its worker died
            done.add(index)
            advance(tasks[index].part.stop - tasks[index].part.start)

    try:
        with _listening(topic, finished):
            whole = _dask.compute(tree(tasks, topic), num_workers=_at_most(threads))
    except _dask.ChunkError as error:
        named = isinstance(error.__cause__, NamedError)
        raise ValueError(str(error.__cause__) if named else _where(error, tasks, done)) from error.__cause__
    for index in range(len(tasks)):  # workers may tell later than they return
        finished(index)
    return whole


def _at_most(threads: int) -> int:
    import dask
    from dask.system import CPU_COUNT

    return max(1, min(threads, dask.config.get("num_workers", None) or CPU_COUNT))


@contextmanager
def _listening(topic: str, finished: Callable[[int], None]) -> Iterator[None]:
    """Hear of finished parts, from the workers or from the scheduler in this process."""
    from dask.callbacks import Callback

    client = _dask.client()
    if client is None:

        def posttask(key: Any, *_: Any) -> None:
            if isinstance(key, tuple) and key[0] == topic:
                finished(key[1])

        with Callback(posttask=posttask):
            yield
        return
    client.subscribe_topic(topic, lambda event: finished(event[1]))
    try:
        yield
    finally:
        if client.status == "running":
            client.unsubscribe_topic(topic)


def _where(error: _dask.ChunkError, tasks: Sequence[Task], done: set[int]) -> str:
    """Name the cells at which dask failed in code that is not ours: a chunk that cannot be made, a worker that dies."""
    cause = error.__cause__
    if cause is not None and type(cause).__name__ == "KilledWorker":
        key = cause.args[0]
        names = (task.part.name for i, task in enumerate(tasks) if key[1:] == (i,) or _leads_to(key, task.chunks))
        return f"{next(names, 'Some cells')} {error}"
    from dask.delayed import delayed

    # Dask does not say which task failed, so the chunks that were not added yet are made once more, one by one.
    left = [task for i, task in enumerate(tasks) if i not in done]
    for task in left:
        for chunk in task.chunks:
            try:
                _dask.compute(delayed(_nothing)(chunk))
            except _dask.ChunkError as again:
                return f"{task.part.name} {again}"
    return (
        f"{(left or tasks)[0].part.name} or later ones {error} It may have been a disk or a network for a moment, "
        "since every chunk could be read a second time: call again."
    )


def _leads_to(key: Any, chunks: list[Any]) -> bool:
    """Whether a task is one of those that make the chunks."""
    return any(key in chunk.dask.cull({chunk.key}).to_dict() for chunk in chunks)


def _nothing(chunk: Any) -> None:
    """Read a chunk and send nothing back."""
    del chunk
