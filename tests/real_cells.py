"""Real cells prepared as a notebook would."""

from pathlib import Path

import anndata as ad
import scanpy as sc


def variable_genes(path: Path, n_genes: int) -> ad.AnnData:
    """Log-normalised counts of the highly variable genes."""
    adata = sc.read_h5ad(path)
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_genes)
    return adata[:, adata.var["highly_variable"]].copy()
