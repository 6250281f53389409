"""Results as labelled tables, read from the slots alone."""

from pathwayae.get._batches import batch_variance
from pathwayae.get._slots import (
    component_names,
    enrichment,
    gene_names,
    history,
    loadings,
    scores,
    to_anndata,
    top_genes,
    variance,
)

__all__ = ["component_names", "enrichment", "gene_names", "history", "loadings", "scores", "to_anndata"]
__all__ += ["batch_variance", "top_genes", "variance"]
