"""From the dimensions of an embedding back to genes, where the loadings of the genes are known."""

from __future__ import annotations

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, lookup


def gene_loadings(adata: AnnData, obsm: str, n_dimensions: int) -> NDArray[np.float64] | None:
    """How much one unit of each dimension adds to each gene, genes × dimensions; None where it is not known.

    - ``X_pca`` of scanpy: ``varm["PCs"]`` (unit-length axes of centred genes: what they add is their transpose);
    - ``X_{key}`` of :func:`pathwayae.tl.fit`: the loadings times the unit of each gene, ``X̂ = Z Wᵀ σ + μ``;
    - another embedding with loadings of the same name and width in ``varm``.
    """
    key = obsm.removeprefix("X_")
    if lookup.kind_of(adata, key) == keys.GROUPED and keys.loadings(key) in adata.varm and keys.scale(key) in adata.var:
        scale = np.nan_to_num(adata.var[keys.scale(key)].to_numpy(dtype=float))
        loadings = np.asarray(adata.varm[keys.loadings(key)], dtype=float) * scale[:, None]
    else:
        slot = "PCs" if obsm == "X_pca" else obsm
        if slot not in adata.varm:
            return None
        loadings = np.nan_to_num(np.asarray(adata.varm[slot], dtype=float))
    return loadings if loadings.shape[1:] == (n_dimensions,) else None
