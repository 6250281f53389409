"""Cells whose logarithms lie in ``raw``, as scanpy keeps them beside scaled values: what to pass in their place."""

from __future__ import annotations

import anndata as ad


def instead(adata: ad.AnnData, where: str = "adata") -> str:
    """The call that makes cells of the values of ``raw``, with all its genes; empty where there is none.

    Loadings have a place for the genes of ``var`` alone, and ``raw`` has more of them: hence cells of their own.

    Examples
    --------
    >>> import numpy as np
    >>> cells = ad.AnnData(np.ones((2, 3)))
    >>> cells.raw = cells.copy()
    >>> instead(cells[:, :1].copy())[:53]
    ' adata.raw has 3 genes: pass adata.raw.to_adata(), wh'
    """
    raw = getattr(adata, "raw", None)
    if raw is None:
        return ""
    held = f"{where}.raw has {raw.shape[1]:,} genes: pass {where}.raw.to_adata(), which takes obs and obsm along"
    return f" {held}, if its values are log-normalised."


def instead_of_file(path: object) -> str:
    """The same for a file that has a ``raw``."""
    return (
        " It has a raw: write that as a file of its own, in Python by "
        f"anndata.read_h5ad({str(path)!r}).raw.to_adata().write_h5ad('raw.h5ad'), if its values are log-normalised."
    )


def lacks_x(adata: ad.AnnData) -> bool:
    """Whether there is no ``X``; nothing is read."""
    whole = adata if adata._adata_ref is None else adata._adata_ref
    try:
        return whole.X is None
    except KeyError:  # of a file
        return True
