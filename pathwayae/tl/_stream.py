"""Scores of cells that do not fit in memory: from files, block by block, to a file that is whole or not there."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._cells import files, sources
from pathwayae.core.files import check_outside, whole_or_nothing
from pathwayae.core.notice import warn
from pathwayae.tl._project import Look, Projection, bar, scored

CHUNK_BYTES = 4 * 2**20  # of one chunk of scores in a zarr
KINDS = (".zarr", ".parquet")

Add = Callable[[int, NDArray[np.float32]], None]


class Shard(NamedTuple):
    """One of the inputs: its cells, how they are scored, its own ``obs``, and what messages call it.

    ``look`` sees the cells while they are scored; ``columns`` gives what it found of each, for ``obs``.
    """

    source: sources.Source
    projection: Projection
    obs: pd.DataFrame
    name: str
    look: Look | None = None
    columns: Callable[[], dict[str, NDArray[Any]]] = dict


def check_out(out: str | os.PathLike[str]) -> Path:
    """The path to write to; raises before any work is done where it cannot be written."""
    path = Path(out).expanduser()
    if path.suffix not in KINDS:
        msg = f"out={str(out)!r} must end in {' or '.join(KINDS)}; other kinds of files cannot be written."
        raise ValueError(msg)
    if path.exists():
        msg = f"out={str(out)!r} is there already; remove it or choose another name."
        raise FileExistsError(msg)
    if not path.absolute().parent.is_dir():
        msg = f"out={str(out)!r}: there is no folder {path.absolute().parent}; make it first."
        raise FileNotFoundError(msg)
    if not os.access(path.absolute().parent, os.W_OK):
        msg = f"out={str(out)!r}: the folder {path.absolute().parent} cannot be written to; choose another one."
        raise PermissionError(msg)
    check_outside(path)
    _library(path.suffix)
    return path


def obs_of(item: AnnData | str | os.PathLike[str]) -> pd.DataFrame:
    """Annotation of the cells of an AnnData, an h5ad or a zarr."""
    if isinstance(item, AnnData):
        return item.obs if isinstance(item.obs, pd.DataFrame) else item.obs.to_memory()
    with ExitStack() as stack:
        return ad.io.read_elem(files.root_of(Path(item).expanduser(), stack)["obs"])


def write(
    out: Path, shards: list[Shard], var: pd.DataFrame, uns: dict[str, Any], *, shard_key: str, progress: bool
) -> None:
    """Score all cells in the order of the shards; at any time one block of them is in memory.

    What is found of the cells beside their scores is added to ``obs`` of a zarr at the end.

    Parameters
    ----------
    out
        What :func:`check_out` returned.
    var
        One row per component, named after it.
    uns
        Unstructured entries of a zarr.
    shard_key
        Column of ``obs`` of a zarr that tells several shards apart.
    """
    _check_names(shards, out)
    n = sum(shard.source.shape[0] for shard in shards)
    with whole_or_nothing(out) as part, ExitStack() as stack:
        if out.suffix == ".zarr":
            with warnings.catch_warnings():  # said above
                warnings.filterwarnings("ignore", "Observation names are not unique", UserWarning)
                shell = AnnData(obs=_joined(shards, shard_key), var=var, uns=uns)
            add = _zarr(part, shell, out)
        else:
            names = np.concatenate([shard.obs.index.to_numpy(dtype=str) for shard in shards])
            add = _parquet(part, names, list(var.index), stack)
        first = 0
        with bar(n, progress=progress) as shown:
            for shard in shards:
                for start, stop, scores in scored(shard.source, shard.projection, shard.look):
                    add(first + start, scores)
                    shown.update(stop - start)
                first += shard.source.shape[0]
        found = [shard.columns() for shard in shards]
        if out.suffix == ".zarr" and all(found):
            _add_columns(part, shell.obs, {name: np.concatenate([one[name] for one in found]) for name in found[0]})


def _library(suffix: str) -> Any:
    """The library that writes the kind of file, or an ImportError that says how to get it."""
    try:
        if suffix == ".zarr":
            import zarr

            if not hasattr(zarr.Group, "create_array"):
                raise ImportError
            return zarr
        import pyarrow.parquet
    except ImportError as error:
        which = "pathwayae[zarr]" if suffix == ".zarr" else "pathwayae[parquet]"
        msg = f"out with the ending {suffix} needs another package: pip install '{which}'."
        raise ImportError(msg) from error
    return pyarrow.parquet


def _check_names(shards: list[Shard], out: Path) -> None:
    names = pd.Index(np.concatenate([shard.obs.index.to_numpy(dtype=str) for shard in shards]))
    if not names.is_unique:
        which = "their shard is a column of obs" if out.suffix == ".zarr" else "rows keep the order of the inputs"
        repeated = names[names.duplicated()]
        msg = (
            f"{len(repeated)} cells have the name of another, for instance {repeated[0]}; {which}. Make the names "
            "unique in the inputs to find a cell by its name."
        )
        warn(msg)


def _joined(shards: list[Shard], shard_key: str) -> pd.DataFrame:
    """``obs`` of all shards, one under the other, with the union of their columns."""
    if len(shards) == 1:
        return shards[0].obs.copy()
    obs = ad.concat([AnnData(obs=shard.obs) for shard in shards], join="outer").obs
    if shard_key in obs:
        msg = f"obs has a column {shard_key!r} already, for where each cell is from; choose another key_added."
        raise ValueError(msg)
    sizes = [len(shard.obs) for shard in shards]
    labels = [shard.name for shard in shards]
    kinds = pd.Index(list(dict.fromkeys(labels)))
    obs[shard_key] = pd.Categorical.from_codes(np.repeat(kinds.get_indexer(pd.Index(labels)), sizes), categories=kinds)
    return obs


def _zarr(part: Path, shell: AnnData, out: Path) -> Add:
    """Write everything but ``X``, which is made empty; returns what fills its rows."""
    zarr = _library(".zarr")
    shell.strings_to_categoricals()
    group = zarr.open_group(part, mode="w", zarr_format=_zarr_format())
    try:
        ad.io.write_elem(group, "/", shell)
    except OSError:
        raise
    except Exception as error:  # anndata has an own kind for values that it cannot write, dates for instance
        reasons = ". ".join([str(error), *getattr(error, "__notes__", [])])
        msg = f"out={str(out)!r}: obs of the cells cannot be written: {reasons}. Change or drop the column."
        raise ValueError(msg) from error
    if "X" in group:
        del group["X"]
    rows = max(1, CHUNK_BYTES // (4 * shell.n_vars))
    chunks = (min(shell.n_obs, rows), shell.n_vars)
    values = group.create_array("X", shape=shell.shape, chunks=chunks, dtype="float32")
    values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    zarr.consolidate_metadata(group.store)

    def add(start: int, scores: NDArray[np.float32]) -> None:
        values[start : start + len(scores)] = scores

    return add


def _zarr_format() -> int:
    """The format that anndata writes: newer versions write 3 alone, and warn of the setting before it goes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(ad.settings, "zarr_write_format", 3)


def _add_columns(part: Path, obs: pd.DataFrame, columns: dict[str, NDArray[Any]]) -> None:
    """Replace ``obs`` of a zarr by one with these columns."""
    zarr = _library(".zarr")
    group = zarr.open_group(part, mode="r+", use_consolidated=False)
    ad.io.write_elem(group, "obs", obs.assign(**columns))
    zarr.consolidate_metadata(group.store)


def _parquet(part: Path, names: NDArray[np.str_], columns: list[str], stack: ExitStack) -> Add:
    """Open a table with the names of the cells as index; returns what appends a row group."""
    pq = _library(".parquet")
    import pyarrow as pa

    def table(start: int, scores: NDArray[np.float32]) -> Any:
        frame = pd.DataFrame(scores, index=names[start : start + len(scores)].astype(object), columns=columns)
        return pa.Table.from_pandas(frame, preserve_index=True)

    schema = table(0, np.zeros((1, len(columns)), dtype=np.float32)).schema
    writer = stack.enter_context(pq.ParquetWriter(part, schema))

    def add(start: int, scores: NDArray[np.float32]) -> None:
        writer.write_table(table(start, scores), row_group_size=len(scores))

    return add
