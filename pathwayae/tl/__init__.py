"""Models fitted to an AnnData; results go into its slots."""

from pathwayae.tl._archetype_features import archetype_features
from pathwayae.tl._archetype_selection import archetype_selection
from pathwayae.tl._archetype_trust import archetype_trust
from pathwayae.tl._archetypes import archetypes
from pathwayae.tl._enrich import enrich
from pathwayae.tl._fit import fit
from pathwayae.tl._latent_ablation import ablation
from pathwayae.tl._latent_agreement import latent_agreement
from pathwayae.tl._latent_genes import latent_genes
from pathwayae.tl._latent_sweep import sweep
from pathwayae.tl._latents import latent_batches, selectivity, sparsity
from pathwayae.tl._refine import refine
from pathwayae.tl._relevance import relevance
from pathwayae.tl._selection import n_extra_path, theta_path
from pathwayae.tl._sparse_ae import sparse_ae
from pathwayae.tl._transform import transform

__all__ = ["ablation", "archetype_features", "archetype_selection", "archetype_trust", "archetypes", "enrich"]
__all__ += ["fit", "latent_agreement", "latent_batches", "latent_genes", "n_extra_path", "refine"]
__all__ += ["relevance", "selectivity", "sparse_ae", "sparsity", "sweep", "theta_path"]
__all__ += ["transform"]
