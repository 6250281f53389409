"""Files of cells that are neither h5ad nor zarr: what they are, and the call that reads them."""

from __future__ import annotations

from pathlib import Path

from pathwayae._cells.collection import members

READERS = {
    ".loom": "anndata.io.read_loom({path!r})",
    ".csv": "anndata.io.read_csv({path!r})",
    ".tsv": "anndata.io.read_csv({path!r}, delimiter='\\t')",
    ".txt": "anndata.io.read_csv({path!r}, delimiter='\\t')",
}
IN_R = (".rds", ".rdata", ".h5seurat", ".qs")
TENX_H5, TENX_MTX = "scanpy.read_10x_h5({path!r})", "scanpy.read_10x_mtx({path!r})"
GZIPPED, ZIPPED = b"\x1f\x8b", b"PK\x03\x04"


def mtx_folder(path: Path) -> Path | None:
    """The folder of a 10x matrix (``matrix.mtx``, barcodes, genes), where the path is one or its matrix."""
    folder = path.parent if path.name in ("matrix.mtx", "matrix.mtx.gz") else path
    return folder if any((folder / name).is_file() for name in ("matrix.mtx", "matrix.mtx.gz")) else None


def is_tenx_h5(path: Path) -> bool:
    """Whether a file is one that Cell Ranger writes as HDF5."""
    import h5py

    if not path.is_file() or not h5py.is_hdf5(path):
        return False
    try:
        with h5py.File(path, "r") as root:
            groups = [one for one in root.values() if hasattr(one, "keys")]
            return "obs" not in root and any("barcodes" in one and "indptr" in one for one in groups)
    except (OSError, RuntimeError, KeyError):
        return False


def foreign(path: Path) -> str:
    """How to read a file that is no AnnData, for messages; empty where it is one, or nothing known."""
    call, name = "", path.name.lower()
    if found := members(path):
        return (
            f"it is a collection of annbatch; name one of its {len(found)} data sets, such as {found[0]}. "
            "pae.pp.moments, and pae.tl.transform with out=, read all of them"
        )
    if folder := mtx_folder(path):
        call, path = TENX_MTX, folder
    elif path.is_file():
        with path.open("rb") as file:
            start = file.read(4)
        if start[:2] == GZIPPED:
            return f"it is compressed; decompress it first: gunzip {path}"
        if start == ZIPPED and not name.endswith(".npz"):
            return f"it is a zip archive; unpack it first: unzip {path}"
        if name.endswith(IN_R):
            return "it is a file of R; write it there: zellkonverter::writeH5AD(as.SingleCellExperiment(x), 'x.h5ad')"
        if name.endswith(".h5mu"):
            return "it is a MuData; write one modality for itself: mdata.mod['rna'].write_h5ad('rna.h5ad')"
        call = TENX_H5 if is_tenx_h5(path) else READERS.get(path.suffix.lower(), "")
    return f"it is no AnnData; read it with {call.format(path=str(path))}, and pass what comes" if call else ""
