"""Results as labelled tables, read from the slots alone."""

from pathwayae.get._archetype_tables import (
    archetype_features,
    archetype_groups,
    archetype_positions,
    archetype_selection,
    archetype_trust,
)
from pathwayae.get._archetypes import archetypes
from pathwayae.get._batches import batch_variance
from pathwayae.get._codes import codes, features
from pathwayae.get._latents import (
    ablation,
    latent_agreement,
    latent_batches,
    latent_genes,
    selectivity,
    sparsity,
    sweep,
)
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
from pathwayae.get._trust import pathways, trust

__all__ = [
    "ablation",
    "archetype_features",
    "archetype_groups",
    "archetype_positions",
    "archetype_selection",
    "archetype_trust",
]
__all__ += ["archetypes", "batch_variance", "codes", "component_names", "enrichment", "features"]
__all__ += ["free_components", "gene_names", "history", "latent_agreement", "latent_batches", "latent_genes"]
__all__ += ["loadings", "n_extra_path", "pathways", "refined", "refinement", "refinement_summary", "relevance"]
__all__ += ["scores", "selectivity", "sparsity", "stability", "sweep", "theta_path"]
__all__ += ["to_anndata", "top_genes", "trust", "variance"]
