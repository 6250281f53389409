"""Results as labelled tables, read from the slots alone."""

from pathwayae.get._annotation import annotation
from pathwayae.get._archetypes.model import archetypes
from pathwayae.get._archetypes.tables import archetype_features, archetype_groups, archetype_selection, archetype_trust
from pathwayae.get._common import component_names, enrichment, history, loadings, scores, variance
from pathwayae.get._contrasts import rank_pathways
from pathwayae.get._exchange import to_anndata, to_net, to_obs
from pathwayae.get._grouped.agreement import compare
from pathwayae.get._grouped.batches import batch_variance
from pathwayae.get._grouped.genes import gene, leading_genes, similarity
from pathwayae.get._grouped.group_loadings import group_loadings
from pathwayae.get._grouped.groups import scores_by_group
from pathwayae.get._grouped.new_cells import missing_genes, unexplained
from pathwayae.get._grouped.refinement import refined, refinement
from pathwayae.get._grouped.relevance import relevance
from pathwayae.get._grouped.selection import free_components, n_extra_path, theta_path
from pathwayae.get._grouped.stability import stability, top_genes
from pathwayae.get._grouped.trust import pathways, trust
from pathwayae.get._sparse_ae.latents import (
    latent_ablation,
    latent_agreement,
    latent_batches,
    latent_genes,
    latent_selectivity,
    latent_sparsity,
    sparse_ae_sweep,
)

__all__ = [
    "annotation",
    "archetype_features",
    "archetype_groups",
    "archetype_selection",
    "archetype_trust",
    "archetypes",
    "batch_variance",
    "compare",
    "component_names",
    "enrichment",
    "free_components",
    "gene",
    "group_loadings",
    "history",
    "latent_ablation",
    "latent_agreement",
    "latent_batches",
    "latent_genes",
    "latent_selectivity",
    "latent_sparsity",
    "leading_genes",
    "loadings",
    "missing_genes",
    "n_extra_path",
    "pathways",
    "rank_pathways",
    "refined",
    "refinement",
    "relevance",
    "scores",
    "scores_by_group",
    "similarity",
    "sparse_ae_sweep",
    "stability",
    "theta_path",
    "to_anndata",
    "to_net",
    "to_obs",
    "top_genes",
    "trust",
    "unexplained",
    "variance",
]
