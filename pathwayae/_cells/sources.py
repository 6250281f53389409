"""Cells from wherever they lie: AnnData in memory, backed or on dask, h5ad and zarr files, as blocks of bounded size.

Every block knows its place, so that an error names the file and the cells.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata.abc import CSCDataset, CSRDataset
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells import collection, dask, files, raw
from pathwayae.core.notice import warn
from pathwayae.core.sparse import canonical, check_bounds, check_compressed, check_unmasked

STORED_BYTES = 16  # value and index of one stored number of a sparse block, at most


class Block(NamedTuple):
    """Consecutive cells: first and last + 1, their name for messages, and values, dense or CSR, all genes."""

    start: int
    stop: int
    name: str
    values: Any


@dataclass(frozen=True, eq=False)
class Source:
    """One matrix that can be read by rows.

    Attributes
    ----------
    name
        What messages call it.
    shape
        Cells × genes.
    genes
        Unique names of its genes, shape (g,).
    read
        Cells ``start:stop`` as a numpy array or a scipy sparse matrix.
    row_bytes
        Bytes that one cell takes when read, about.
    column
        A column of ``obs``; raises KeyError.
    units
        Ends of the stretches that can only be read whole, as dask's chunks; None where any stretch can.
    finite
        Whether the values were looked at already, and lie in canonical rows.
    after
        What is done to every block that was read and found finite; returns its values.
    chunks
        The dask array behind it, all genes in one chunk; None for others.
    stored
        The file behind it; None for others.
    unchanged
        Raises ValueError where the file has changed since it was opened; None for what lies in no file.
    """

    name: str
    shape: tuple[int, int]
    genes: NDArray[np.str_]
    read: Callable[[int, int], Any]
    row_bytes: float
    column: Callable[[str], Any]
    units: tuple[int, ...] | None = None
    finite: bool = False
    after: Callable[[Block], Any] | None = None
    chunks: Any = None
    stored: files.Stored | None = None
    unchanged: Callable[[], None] | None = None

    def blocks(self, n_bytes: int, first: int = 0, last: int | None = None) -> Iterator[Block]:
        """Cells ``first:last`` in order, in blocks of at most ``n_bytes`` (but one cell, or chunk of dask, at least).

        Raises
        ------
        ValueError
            If a block cannot be read or holds NaN or infinite values, or the file has changed by the end.
        """
        for start, stop in self.stretches(n_bytes, first, last):
            yield self.block(start, stop)
        self.check_unchanged()

    def check_unchanged(self) -> None:
        """Raise ValueError where the file behind it has changed since it was opened."""
        if self.unchanged is not None:
            self.unchanged()

    def block(self, start: int, stop: int) -> Block:
        """Some cells, checked."""
        name = f"{self.name}, cells {start}–{stop - 1},"
        try:
            values = self.read(start, stop)
        except dask.WorkersLostError:
            raise
        except dask.ChunkError as error:
            msg = f"{name} {error}"
            raise ValueError(msg) from error.__cause__
        except files.READING as error:
            msg = (
                f"{name} cannot be read ({error}). The file is probably truncated or damaged: fetch or write it again."
            )
            raise ValueError(msg) from error
        block = Block(start, stop, name, values)
        return checked(block, self.shape[1], finite=self.finite, after=self.after)

    def stretches(self, n_bytes: float, first: int = 0, last: int | None = None) -> Iterator[tuple[int, int]]:
        """First cell and last + 1 of stretches of at most ``n_bytes``; of dask, always of all cells in whole chunks."""
        rows = max(1, int(n_bytes / max(self.row_bytes, 1)))
        if self.units is None:
            last = self.shape[0] if last is None else last
            for start in range(first, last, rows):
                yield start, min(start + rows, last)
            return
        start, stop = 0, 0
        for end in self.units:
            if end - start > rows and stop > start:
                yield start, stop
                start = stop
            stop = end
        if stop > start:  # the last chunks of dask may be empty
            yield start, stop


def checked(block: Block, n_genes: int, *, finite: bool = False, after: Callable[[Block], Any] | None = None) -> Block:
    """The block as canonical CSR or dense, its shape and its values looked at, and ``after`` done to it."""
    values, shape = block.values, (block.stop - block.start, n_genes)
    if values.shape != shape:
        msg = f"{block.name} came back as {values.shape}, not {shape}: the data are damaged."
        raise ValueError(msg)
    if not finite:
        values = canonical(values, block.name)
        _checks.check_finite(values, block.name)
    block = block._replace(values=values)
    return block if after is None else block._replace(values=after(block))


def normalized(source: Source, target_sum: float) -> Source:
    """The same cells with every cell's values scaled to one total over all its genes, and their log1p."""
    return replace(source, after=partial(_log1p_block, target_sum=target_sum))


def _log1p_block(block: Block, *, target_sum: float) -> Any:
    """A function of the module, so that it can be sent to a worker."""
    return log1p_total(block.values, target_sum, block.name)


def log1p_total(values: Any, target_sum: float, name: str) -> Any:
    """``log1p(target_sum · x / Σx)`` per cell, in float64, as a new matrix; a cell without counts stays 0."""
    stored = values.data if sp.issparse(values) else values
    if stored.size and (stored.min() < 0 or (stored.dtype.kind == "f" and (stored != np.floor(stored)).any())):
        msg = f"{name} holds values that are no counts (negative or fractions); bring all cells to the same scale."
        raise ValueError(msg)
    total = np.asarray(values.sum(axis=1, dtype=np.float64)).ravel()
    factor = np.divide(target_sum, total, out=np.ones_like(total), where=total > 0)
    if not sp.issparse(values):
        return np.log1p(values * factor[:, None])
    result = values.astype(np.float64)
    result.data *= np.repeat(factor, np.diff(result.indptr))
    np.log1p(result.data, out=result.data)
    return result


def open_all(
    data: Any, stack: ExitStack, *, layer: str | None = None, gene_symbols: str | None = None, n_bytes: int = 2**32
) -> list[Source]:
    """Open one AnnData or path, or a list of them; a collection is several; what is opened closes with the stack.

    Raises
    ------
    KeyError
        If a layer or column of ``var`` does not exist.
    TypeError
        If something is neither an AnnData nor a path.
    ValueError
        If a file cannot be read, holds no cells, has repeated gene names, or is CSC and larger than ``n_bytes``.
    """
    items = data if isinstance(data, list | tuple) else [data]
    if not items:
        msg = "The list of data is empty; pass at least one AnnData or file."
        raise ValueError(msg)
    _warn_of_doubles(items)
    sources = []
    for i, item in enumerate(items):
        where = "adata" if len(items) == 1 else f"data[{i}]"
        if isinstance(item, ad.AnnData):
            sources.append(of_anndata(item, layer=layer, gene_symbols=gene_symbols, where=where, n_bytes=n_bytes))
        elif isinstance(item, str | os.PathLike):
            paths = collection.spread(Path(item).expanduser())
            sources.extend(_of_file(path, stack, layer, gene_symbols, n_bytes) for path in paths)
        else:
            msg = (
                f"{where} is a {type(item).__name__}; pass an AnnData, the path of an h5ad or zarr, or a list of them."
            )
            raise TypeError(msg)
    return sources


def _warn_of_doubles(items: list[Any] | tuple[Any, ...]) -> None:
    """Warn where the same cells are in a list twice: they would count twice."""
    seen: dict[Any, int] = {}
    for i, item in enumerate(items):
        one = os.path.realpath(os.path.expanduser(item)) if isinstance(item, str | os.PathLike) else id(item)
        if seen.setdefault(one, i) != i:
            warn(f"data[{i}] is the same as data[{seen[one]}]: its cells are read and counted twice.")


def of_anndata(
    adata: ad.AnnData,
    *,
    layer: str | None = None,
    gene_symbols: str | None = None,
    where: str = "adata",
    n_bytes: int = 2**32,
) -> Source:
    """The matrix of an AnnData: in memory (checked as a whole), a view, backed, or on dask."""
    named = adata if isinstance(adata.var, pd.DataFrame) else ad.AnnData(var=adata.var.to_memory())
    names = _checks.gene_names(named, gene_symbols, what=where)
    if layer is not None and layer not in adata.layers:
        msg = f"layer={layer!r} is not in {where}.layers, which has {list(adata.layers)}; choose one, or None for X."
        raise KeyError(msg)
    name = f"{where}.X" if layer is None else f"{where}.layers[{layer!r}]"

    def of(part: ad.AnnData) -> Any:
        return part.X if layer is None else part.layers[layer]

    def column(key: str) -> Any:
        if key not in adata.obs:
            msg = f"{key!r} is not a column of {where}.obs, which has {list(adata.obs.columns)}."
            raise KeyError(msg)
        return adata.obs[key]

    if 0 in adata.shape or (layer is None and raw.lacks_x(adata)):
        next_step = raw.instead(adata, where) or " Pass layer=…, or cells with log-normalised values in X."
        msg = f"{name} is empty ({adata.n_obs} cells × {adata.n_vars} genes).{next_step}"
        raise ValueError(msg)
    if adata.is_view and adata.isbacked:
        read, watch = _backed_view(adata, of), files.watch(of(adata._adata_ref), name)
        return Source(name, adata.shape, names, read, 8.0 * adata.n_vars, column, unchanged=watch)
    if adata.is_view:  # never copied as a whole
        whole = of(adata._adata_ref)
        if not dask.is_lazy(whole):
            check_kind(whole, name)
            check_unmasked(whole, name)
            if sp.issparse(whole):
                check_compressed(whole, name)
            return Source(name, adata.shape, names, lambda a, b: of(adata[a:b]), 8.0 * adata.n_vars, column)
    values = of(adata)
    if isinstance(values, np.ndarray) or sp.issparse(values):
        rows = canonical(values, name)
        _checks.check_finite(rows, name)
        return Source(name, adata.shape, names, lambda a, b: rows[a:b], _row_bytes(rows), column, finite=True)
    if dask.is_lazy(values):
        return _of_dask(values, name, names, column)
    watch = files.watch(values, name)
    return Source(name, adata.shape, names, *_reader(values, name, n_bytes), column, unchanged=watch)


def _of_dask(values: Any, name: str, names: NDArray[np.str_], column: Callable[[str], Any]) -> Source:
    """Rows of a dask array, whose chunks are put together along the genes."""
    if len(values.chunks[1]) > 1:
        values = values.rechunk({1: -1})
    width = STORED_BYTES / 4 if sp.issparse(values._meta) else values.dtype.itemsize  # a quarter of it stored, a guess
    return Source(
        name,
        values.shape,
        names,
        lambda a, b: dask.compute(values[a:b]),
        float(width * values.shape[1]),
        column,
        units=tuple(np.cumsum(values.chunks[0]).tolist()),
        chunks=values,
    )


def _backed_view(adata: ad.AnnData, of: Callable[[ad.AnnData], Any]) -> Callable[[int, int], Any]:
    """Rows of a view of a backed AnnData, which anndata itself cannot divide further."""
    parent = adata._adata_ref
    rows, columns = np.arange(parent.n_obs)[adata._oidx], np.arange(parent.n_vars)[adata._vidx]
    values = of(parent)

    def read(start: int, stop: int) -> Any:
        stored, back = np.unique(rows[start:stop], return_inverse=True)  # files are read in increasing order
        together = len(stored) == stored[-1] - stored[0] + 1
        return (values[stored[0] : stored[-1] + 1] if together else values[stored])[back][:, columns]

    return read


def _of_file(path: Path, stack: ExitStack, layer: str | None, gene_symbols: str | None, n_bytes: int) -> Source:
    """The matrix of an h5ad or zarr, of which nothing but ``var`` and ``obs`` is read yet."""
    name = f"file {path}"
    if not path.exists():
        msg = f"{name} does not exist."
        raise FileNotFoundError(msg)
    place = "X" if layer is None else f"layers/{layer}"
    root = files.checked_root(path, stack, name)
    try:
        values, lost = files.values_of(root, place)
        found = None if values is None else values.shape
        watch = files.watch(values, name)
        var, obs = ad.io.read_elem(root["var"]), ad.io.read_elem(root["obs"])
    except files.READING as error:
        msg = f"{name} cannot be opened ({error}). It is truncated, damaged, or no AnnData: fetch or write it again."
        raise ValueError(msg) from error
    if values is None:
        msg = f"{name} has no {place}; choose another layer.{raw.instead_of_file(path) if 'raw' in root else ''}"
        raise KeyError(msg)
    files.check_chunks(values, lost, name)
    if found != (len(obs), len(var)) or 0 in found:
        msg = f"{name} holds {found} values for {len(obs)} cells × {len(var)} genes; a whole file is needed."
        raise ValueError(msg)
    names = _checks.gene_names(ad.AnnData(var=var), gene_symbols, what=name)

    def column(key: str) -> Any:
        if key not in obs:
            msg = f"{key!r} is not a column of obs in {name}, which has {list(obs.columns)}."
            raise KeyError(msg)
        return obs[key]

    stored = files.Stored(name, path.absolute(), place, n_bytes, isinstance(values, CSCDataset))
    read = _reader(values, name, n_bytes)
    return Source(name, values.shape, names, *read, column, stored=stored, unchanged=watch)


def opened_again(
    stored: files.Stored, stack: ExitStack, *, n_genes: int, after: Callable[[Block], Any] | None
) -> Source:
    """The values of a file where only they are needed, as on a worker.

    Raises
    ------
    ValueError
        If the file is not there, or not the one that the client has seen.
    """
    try:
        values, _ = files.values_of(files.root_of(stored.path, stack), stored.place)
    except files.READING as error:
        msg = (
            f"{stored.name} cannot be opened by a worker ({error}). Every worker needs to see {stored.path}, and the "
            "file must be whole: put it where all of them can read it."
        )
        raise ValueError(msg) from error
    if values is None or values.shape[1] != n_genes:
        msg = f"{stored.name} is another file for a worker than for the client: all need to see the same {stored.path}."
        raise ValueError(msg)
    read, row_bytes = _reader(values, stored.name, stored.n_bytes)
    obs: dict[str, Any] = {}
    return Source(stored.name, values.shape, np.zeros(0, dtype=str), read, row_bytes, obs.__getitem__, after=after)


def _reader(values: Any, name: str, n_bytes: int) -> tuple[Callable[[int, int], Any], float]:
    """How to read rows, and the bytes of one."""
    if isinstance(values, CSRDataset | CSCDataset):
        check_bounds(*files.bounds(values, name), values.shape[isinstance(values, CSCDataset)], name)
    if isinstance(values, CSCDataset):
        size = STORED_BYTES * values.group["data"].shape[0]
        if size > n_bytes:
            msg = (
                f"{name} is stored by genes (CSC), so its cells cannot be read in blocks, and {size / 2**30:.1f} GiB "
                "are more than memory allows. Write it as CSR, or raise memory."
            )
            raise ValueError(msg)
        rows: list[Any] = []  # read when first asked for

        def by_genes(a: int, b: int) -> Any:
            if not rows:
                rows.append(canonical(values.to_memory(), name))
            return rows[0][a:b]

        return by_genes, size / values.shape[0]
    check_kind(values, name)
    if isinstance(values, CSRDataset):
        return lambda a, b: values[a:b], STORED_BYTES * values.group["data"].shape[0] / values.shape[0]
    return lambda a, b: np.asarray(values[a:b]), float(values.dtype.itemsize * values.shape[1])


def check_kind(values: Any, name: str) -> None:
    """Raise TypeError unless it is a matrix of numpy, scipy, h5py or zarr."""
    known = isinstance(values, np.ndarray | CSRDataset) or sp.issparse(values)
    if not known and type(values).__module__.split(".")[0] not in ("h5py", "zarr"):
        msg = f"{name} is {type(values).__name__}; a numpy, scipy, h5ad, zarr or dask matrix is needed."
        raise TypeError(msg)


def _row_bytes(values: Any) -> float:
    return STORED_BYTES * values.nnz / values.shape[0] if sp.issparse(values) else values.itemsize * values.shape[1]
