"""Results of a command as tables in a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pathwayae.core.files import check_outside, whole_or_nothing

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

N_GENES = 50  # top genes of a component in the table


def _scores(adata: AnnData, key: str) -> pd.DataFrame:
    import pathwayae as pae

    return pae.get.scores(adata, key=key).rename_axis("cell").reset_index()


def _unexplained(adata: AnnData, key: str) -> pd.DataFrame:
    import pathwayae as pae

    return pae.get.unexplained(adata, key=key).rename_axis("cell").reset_index()


def _loadings(adata: AnnData, key: str) -> pd.DataFrame:
    import pathwayae as pae

    return pae.get.loadings(adata, key=key).rename_axis("gene").reset_index()


def _top_genes(adata: AnnData, key: str) -> pd.DataFrame:
    import pathwayae as pae

    return pae.get.top_genes(adata, n_genes=N_GENES, key=key)


def _left_out(adata: AnnData, key: str) -> pd.DataFrame:
    dropped: pd.DataFrame = adata.uns[key]["dropped"]
    return dropped


def _rank_genes(adata: AnnData, key: str, key_added: str | None = None) -> pd.DataFrame:
    import pathwayae as pae

    return pae.get.rank_pathways(adata, of="genes", key_added=key_added, key=key)


OWN: dict[str, Callable[..., pd.DataFrame]] = {
    "scores": _scores,
    "unexplained": _unexplained,
    "loadings": _loadings,
    "top_genes": _top_genes,
    "left_out": _left_out,
    "rank_genes": _rank_genes,
}


def table(adata: AnnData, name: str, key: str, **options: Any) -> pd.DataFrame:
    """One table by its name: that of ``pae.get`` unless named above."""
    import pathwayae as pae

    if name in OWN:
        return OWN[name](adata, key, **options)
    found: pd.DataFrame = getattr(pae.get, name)(adata, key=key, **options)
    return found


def check(folder: Path | None, names: Sequence[str], kind: str, *, overwrite: bool) -> Path | None:
    """The folder with ``~`` expanded; raises before any work is done where tables cannot be written."""
    if folder is None:
        return None
    folder = folder.expanduser()
    if kind == "parquet":
        try:
            import pyarrow as pa  # noqa: F401
        except ImportError as error:
            msg = "--table-format parquet needs another package: pip install 'pathwayae[parquet]'."
            raise ImportError(msg) from error
    if folder.exists() and not folder.is_dir():
        msg = f"--tables {folder} is a file; name a folder."
        raise NotADirectoryError(msg)
    check_outside(folder / "table")
    nearest = next(one for one in (folder.absolute(), *folder.absolute().parents) if one.exists())
    if not os.access(nearest, os.W_OK):
        msg = f"--tables {folder}: {nearest} cannot be written to; choose another folder or change its rights."
        raise PermissionError(msg)
    there = [f"{name}.{kind}" for name in names if (folder / f"{name}.{kind}").exists()]
    if there and not overwrite:
        msg = f"--tables {folder} has {', '.join(there)} already; pass --overwrite to replace them."
        raise FileExistsError(msg)
    return folder


def write(adata: AnnData, folder: Path | None, names: Sequence[str], kind: str, key: str, **options: Any) -> list[Path]:
    """Write each table whole or not at all; the paths written."""
    if folder is None:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in names:
        frame = table(adata, name, key, **options)
        paths.append(folder / f"{name}.{kind}")
        with whole_or_nothing(paths[-1]) as part:
            save(frame, part)
    return paths


def save(frame: pd.DataFrame, path: Path) -> None:
    """A table of the kind that its ending says."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, index=False)
    else:
        sep = {".csv": ",", ".tsv": "\t"}[path.suffix]
        frame.to_csv(path, sep=sep, index=False, float_format="%.6g")
