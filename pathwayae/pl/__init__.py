"""Plots of a fit: they read slots, draw on matplotlib axes and return them."""

from pathwayae.pl._archetype_heatmaps import archetype_profiles, archetype_weights
from pathwayae.pl._archetype_selection import archetype_selection
from pathwayae.pl._archetypes import archetypes
from pathwayae.pl._coverage import coverage
from pathwayae.pl._embedding import embedding
from pathwayae.pl._enrichment import enrichment
from pathwayae.pl._history import history
from pathwayae.pl._latent_cells import top_cells
from pathwayae.pl._latent_features import latent_features
from pathwayae.pl._latent_selectivity import selectivity
from pathwayae.pl._latent_sparsity import ablation, sparsity
from pathwayae.pl._latent_sweep import sweep
from pathwayae.pl._loadings import loadings
from pathwayae.pl._overlap import overlap
from pathwayae.pl._refinement import refinement
from pathwayae.pl._relevance import relevance
from pathwayae.pl._scores import scores
from pathwayae.pl._selection import n_extra_path, theta_path
from pathwayae.pl._simplex import simplex
from pathwayae.pl._variance import variance

__all__ = ["ablation", "archetype_profiles", "archetype_selection", "archetype_weights", "archetypes", "coverage"]
__all__ += ["embedding", "enrichment", "history", "latent_features", "loadings", "n_extra_path"]
__all__ += ["overlap", "refinement", "relevance", "scores", "selectivity", "simplex"]
__all__ += ["sparsity", "sweep", "theta_path", "top_cells", "variance"]
