"""Cells in and out: read where they lie, written whole or not at all.

The matrix stays in its file, from where tools read it in blocks. An output of the same kind is a copy of the input with
the tables of the AnnData written anew, so that the size of the matrix does not matter.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pathwayae.cli import _room
from pathwayae.core.files import check_outside, is_zarr, whole_or_nothing

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

KINDS = (".h5ad", ".zarr")
SMALL = ("obs", "var", "obsm", "varm", "uns")  # what is read at once


def check_out(path: Path, *, overwrite: bool, kinds: tuple[str, ...] = KINDS, option: str = "--out") -> Path:
    """The path with ``~`` expanded; raises before any work is done where it cannot be written."""
    path = path.expanduser()
    if path.suffix not in kinds:
        msg = f"{option} {path}: the name of the output must end in {' or '.join(kinds)}."
        raise ValueError(msg)
    check_outside(path)
    if path.is_dir() and path.suffix == ".zarr" and any(path.iterdir()) and not is_zarr(path):
        msg = f"{option} {path} is a folder with something else than a zarr in it; choose another name."
        raise FileExistsError(msg)
    if path.is_dir() and path.suffix != ".zarr":
        msg = f"{option} {path} is a folder; name a file."
        raise IsADirectoryError(msg)
    if path.exists() and not overwrite:
        msg = f"{option} {path} is there already; pass --overwrite to replace it."
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f"{option} {path}: there is no folder {path.parent}; make it first."
        raise FileNotFoundError(msg)
    if not os.access(path.parent, os.W_OK):
        msg = f"{option} {path}: the folder {path.parent} cannot be written to; choose another or change its rights."
        raise PermissionError(msg)
    return path


class Opened(NamedTuple):
    """Cells whose matrices are still in the file they are from, and their tables as they were read."""

    adata: AnnData
    source: Path
    frames: dict[str, pd.DataFrame]
    arrays: dict[str, dict[str, Any]]


@contextmanager
def opened(path: Path) -> Iterator[Opened]:
    """Cells of a file, which is closed at the end of the block.

    Raises
    ------
    OSError
        If there is no such file, or it is no AnnData.
    """
    from pathwayae._cells import files, raw

    path = existing(path)
    with ExitStack() as stack:
        try:
            adata = _tenx(path) or _read(files.checked_root(path, stack, "it"), path)
        except (*files.READING, TypeError, AttributeError) as error:
            msg = f"{path} cannot be read as .h5ad or .zarr: {error.args[0] if error.args else error}"
            raise OSError(msg) from error
        frames = {"obs": adata.obs.copy(deep=False), "var": adata.var.copy(deep=False)}
        try:
            yield Opened(adata, path, frames, {"obsm": dict(adata.obsm), "varm": dict(adata.varm)})
        except ValueError as error:
            if adata.X is not None or not files.has(path, "raw"):
                raise
            msg = f"{error}{raw.instead_of_file(path)}"
            raise ValueError(msg) from error


def _tenx(path: Path) -> AnnData | None:
    """The counts of Cell Ranger, from its h5 or its folder, in memory; None for other files."""
    from pathwayae._cells import formats

    folder = formats.mtx_folder(path)
    if folder is None and not formats.is_tenx_h5(path):
        return None
    import scanpy as sc

    adata: AnnData = sc.read_10x_mtx(folder) if folder else sc.read_10x_h5(path)
    adata.var_names_make_unique()  # several genes may have one symbol; their ids are in var["gene_ids"]
    return adata


def _read(root: Any, path: Path) -> AnnData:
    import anndata as ad

    if missing := [name for name in ("obs", "var") if name not in root]:
        msg = f"it has no {missing[0]}"
        raise ValueError(msg)
    if _old(root):
        return ad.read_h5ad(path)
    parts = {name: ad.io.read_elem(root[name]) for name in SMALL if name in root}
    layers = {name: _values(root, f"layers/{name}", path) for name in root.get("layers", ())}
    X = _values(root, "X", path)
    shape = None if X is not None or layers else (len(parts["obs"]), len(parts["var"]))
    return ad.AnnData(X=X, layers=layers, shape=shape, **parts)


def _values(root: Any, place: str, path: Path) -> Any:
    """A matrix that stays in the file, no chunk of it lost."""
    from pathwayae._cells import files

    values, lost = files.values_of(root, place)
    files.check_chunks(values, lost, str(path))
    return values


def _old(root: Any) -> bool:
    """Whether anndata before 0.7 wrote the file, whose tables are arrays of records."""
    return not hasattr(root["obs"], "keys")


@contextmanager
def reference(path: Path) -> Iterator[AnnData | Path]:
    """A fit whose cells stay in their file; what is neither h5ad nor zarr is left to the tool that takes it."""
    path = existing(path)
    if path.suffix not in KINDS:
        yield path
        return
    with opened(path) as cells:
        yield cells.adata


def existing(path: Path) -> Path:
    """The path with ``~`` expanded, of a file that is there."""
    path = path.expanduser()
    if not path.exists():
        msg = f"{path}: no such file."
        raise FileNotFoundError(msg)
    return path


def write(cells: Opened, out: Path) -> None:
    """Write the file that the cells are from, with what has changed in their tables."""
    import h5py

    source = cells.source
    with whole_or_nothing(out) as part:
        try:
            if source.is_dir() and is_zarr(source) and out.suffix == ".zarr":
                import zarr

                _copy_folder(source, part)
                root = zarr.open_group(part, mode="r+", use_consolidated=False)
                _renew(root, _changed(cells), cells)
                zarr.consolidate_metadata(root.store)
                return
            if source.is_file() and out.suffix == ".h5ad" and h5py.is_hdf5(source):
                with h5py.File(source, "r") as root:
                    old = "obs" not in root or _old(root)
                if not old:
                    shutil.copyfile(source, part)
                    changed = _changed(cells)
                    _room.reserve(part, _room.n_bytes(changed))
                    with h5py.File(part, "r+") as root:
                        _renew(root, changed, cells)
                    return
            _convert(cells, part)
        except RuntimeError as error:  # of HDF5, for a full disk among others
            msg = f"{out} cannot be written: {error}. Is the disk full?"
            raise OSError(msg) from error
        except OSError as error:  # of a copy, which names the source
            raise OSError(error.errno, error.strerror or str(error), str(out)) from error


def _copy_folder(source: Path, part: Path) -> None:
    """A copy that can be written to, whatever the rights of the source; the first error, as of a full disk, ends it."""
    for folder, _, names in os.walk(source, followlinks=True):
        here = part / Path(folder).relative_to(source)
        here.mkdir()
        for name in names:
            shutil.copyfile(Path(folder) / name, here / name)


def _changed(cells: Opened) -> dict[str, Any]:
    """Place → value of what has changed since the file was read."""
    adata = cells.adata
    adata.strings_to_categoricals()
    values: dict[str, Any] = {"uns": dict(adata.uns)}
    values |= {name: getattr(adata, name) for name, was in cells.frames.items() if not was.equals(getattr(adata, name))}
    for name, was in cells.arrays.items():
        now = getattr(adata, name)
        values |= {f"{name}/{key}": value for key, value in now.items() if was.get(key) is not value}
    return values


def _renew(root: Any, changed: dict[str, Any], cells: Opened) -> None:
    """Put what has changed into an open file, and take out what has gone."""
    import anndata as ad

    for name, was in cells.arrays.items():
        root.require_group(name)
        for gone in set(was) - set(getattr(cells.adata, name)):
            del root[name][gone]
    for name, value in changed.items():
        if name in root:
            del root[name]
        folder, _, key = name.rpartition("/")
        ad.io.write_elem(root[folder] if folder else root, key, value)


def _convert(cells: Opened, part: Path) -> None:
    """Read all of the file, and write it as the other kind."""
    import anndata as ad

    source, adata = cells.source, cells.adata

    whole = _tenx(source) or (ad.read_zarr(source) if source.is_dir() else ad.read_h5ad(source))
    whole.obs, whole.var, whole.uns = adata.obs, adata.var, adata.uns
    for name in ("obsm", "varm"):
        getattr(whole, name).clear()
        getattr(whole, name).update(getattr(adata, name))
    if part.suffix == ".zarr":
        whole.write_zarr(part)
    else:
        _room.check(part, _room.of_cells(whole))
        whole.write_h5ad(part)
