"""Files in and out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anndata import AnnData


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse what cannot be written before any work is done."""
    if path.suffix != ".h5ad":
        msg = f"--out {path}: the output is an AnnData file; its name must end in .h5ad."
        raise ValueError(msg)
    if path.is_dir():
        msg = f"--out {path} is a folder; name a file."
        raise IsADirectoryError(msg)
    if path.exists() and not overwrite:
        msg = f"--out {path} is there already; pass --overwrite to replace it."
        raise FileExistsError(msg)
    if not path.parent.is_dir():
        msg = f"--out {path}: there is no folder {path.parent}; make it first."
        raise FileNotFoundError(msg)


def _check_input(path: Path) -> None:
    if not path.exists():
        msg = f"{path}: no such file."
        raise FileNotFoundError(msg)


def read(path: Path) -> AnnData:
    import anndata as ad

    _check_input(path)
    try:
        return ad.read_h5ad(path)
    except (OSError, KeyError) as error:
        msg = f"{path} cannot be read as .h5ad: {error.args[0] if error.args else error}"
        raise OSError(msg) from error


def write(adata: AnnData, path: Path) -> None:
    """Write the target whole, or leave it untouched."""
    from pathwayae.core.files import whole_or_nothing

    with whole_or_nothing(path) as part:
        adata.write_h5ad(part)
