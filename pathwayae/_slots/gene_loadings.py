"""From the dimensions of an embedding back to genes, where the loadings of the genes are known."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, lookup


def gene_loadings(adata: AnnData, obsm: str, n_dimensions: int) -> NDArray[np.float64] | sp.csr_array | None:
    """How much one unit of each dimension adds to each gene, genes × dimensions; None where it is not known.

    Float64, and sparse where the loadings are.

    - ``X_pca`` of scanpy: ``varm["PCs"]`` (unit-length axes of centred genes: what they add is their transpose);
    - ``X_{key}`` of :func:`pathwayae.tl.fit`: the loadings times the unit of each gene, ``X̂ = Z Wᵀ σ + μ``;
    - another embedding with loadings of the same name and width in ``varm``.
    """
    key = obsm.removeprefix("X_")
    if lookup.kind_of(adata, key) == keys.GROUPED and keys.loadings(key) in adata.varm and keys.scale(key) in adata.var:
        scale = np.nan_to_num(np.asarray(adata.var[keys.scale(key)], dtype=float))
        loadings = _known(adata.varm[keys.loadings(key)])
        loadings = (
            sp.csr_array(sp.diags_array(scale) @ loadings) if sp.issparse(loadings) else loadings * scale[:, None]
        )
    else:
        slot = "PCs" if obsm == "X_pca" else obsm
        if slot not in adata.varm:
            return None
        loadings = _known(adata.varm[slot])
    return loadings if loadings.shape[1:] == (n_dimensions,) else None


def _known(values: Any) -> Any:
    """A slot as float64, dense or CSR; 0 for what is missing."""
    values = lookup.plain(values)
    if not sp.issparse(values):
        return np.nan_to_num(np.asarray(values, dtype=float))
    known = sp.csr_array(values, dtype=float, copy=True)
    known.data = np.nan_to_num(known.data)
    return known
