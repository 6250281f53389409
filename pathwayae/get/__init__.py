"""Results as labelled tables, read from the slots alone."""

from pathwayae.get._batches import batch_variance
from pathwayae.get._refinement import refined, refinement, refinement_summary
from pathwayae.get._relevance import relevance
from pathwayae.get._selection import free_components, n_extra_path, theta_path
from pathwayae.get._slots import (
    component_names,
    enrichment,
    gene_names,
    history,
    loadings,
    scores,
    to_anndata,
    variance,
)
from pathwayae.get._stability import stability, top_genes

__all__ = ["batch_variance", "component_names", "enrichment", "free_components", "gene_names", "history", "loadings"]
__all__ += ["n_extra_path", "refined", "refinement", "refinement_summary", "relevance", "scores", "stability"]
__all__ += ["theta_path", "to_anndata", "top_genes", "variance"]
