"""Plots of a fit: they read slots, draw on matplotlib axes and return them."""

from pathwayae.pl._archetypes.embedding import archetypes
from pathwayae.pl._archetypes.heatmaps import archetype_profiles, archetype_weights
from pathwayae.pl._archetypes.selection import archetype_selection
from pathwayae.pl._archetypes.simplex import archetype_simplex
from pathwayae.pl._contrasts.donors import paired, violin
from pathwayae.pl._contrasts.dots import rank_pathways
from pathwayae.pl._contrasts.volcano import volcano
from pathwayae.pl._embedding import embedding
from pathwayae.pl._enrichment import enrichment
from pathwayae.pl._genesets.coverage import coverage
from pathwayae.pl._genesets.overlap import overlap
from pathwayae.pl._grouped.genes import gene, leading_genes
from pathwayae.pl._grouped.group_loadings import group_loadings
from pathwayae.pl._grouped.history import history
from pathwayae.pl._grouped.loadings import loadings
from pathwayae.pl._grouped.loadings_heatmap import loadings_heatmap
from pathwayae.pl._grouped.network import network
from pathwayae.pl._grouped.refinement import refinement
from pathwayae.pl._grouped.relevance import relevance
from pathwayae.pl._grouped.scores import scores, scores_dotplot
from pathwayae.pl._grouped.selection import n_extra_path, theta_path
from pathwayae.pl._grouped.variance import variance
from pathwayae.pl._grouped.variance_by_group import variance_by_group
from pathwayae.pl._overview import overview
from pathwayae.pl._sparse_ae.cells import latent_cells
from pathwayae.pl._sparse_ae.features import latent_features
from pathwayae.pl._sparse_ae.selectivity import latent_selectivity
from pathwayae.pl._sparse_ae.sparsity import latent_ablation, latent_sparsity
from pathwayae.pl._sparse_ae.sweep import sparse_ae_sweep

__all__ = [
    "archetype_profiles",
    "archetype_selection",
    "archetype_simplex",
    "archetype_weights",
    "archetypes",
    "coverage",
    "embedding",
    "enrichment",
    "gene",
    "group_loadings",
    "history",
    "latent_ablation",
    "latent_cells",
    "latent_features",
    "latent_selectivity",
    "latent_sparsity",
    "leading_genes",
    "loadings",
    "loadings_heatmap",
    "n_extra_path",
    "network",
    "overlap",
    "overview",
    "paired",
    "rank_pathways",
    "refinement",
    "relevance",
    "scores",
    "scores_dotplot",
    "sparse_ae_sweep",
    "theta_path",
    "variance",
    "variance_by_group",
    "violin",
    "volcano",
]
