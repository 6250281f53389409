"""Models fitted to an AnnData; results go into its slots."""

from pathwayae.tl._annotate import annotate_components
from pathwayae.tl._archetypes.features import archetype_features
from pathwayae.tl._archetypes.fit import archetypes
from pathwayae.tl._archetypes.selection import archetype_selection
from pathwayae.tl._archetypes.settings import ArchetypesSettings
from pathwayae.tl._archetypes.trust import archetype_trust
from pathwayae.tl._contrasts.rank import rank_pathways
from pathwayae.tl._enrich import enrich
from pathwayae.tl._grouped.fit import fit
from pathwayae.tl._grouped.group_loadings import group_loadings
from pathwayae.tl._grouped.refine import refine
from pathwayae.tl._grouped.relevance import relevance
from pathwayae.tl._grouped.selection import n_extra_path, theta_path
from pathwayae.tl._grouped.settings import FitSettings
from pathwayae.tl._grouped.stability import stability
from pathwayae.tl._sparse_ae.ablation import latent_ablation
from pathwayae.tl._sparse_ae.agreement import latent_agreement
from pathwayae.tl._sparse_ae.fit import sparse_ae
from pathwayae.tl._sparse_ae.genes import latent_genes
from pathwayae.tl._sparse_ae.latents import latent_batches, latent_selectivity, latent_sparsity
from pathwayae.tl._sparse_ae.settings import SparseAESettings
from pathwayae.tl._sparse_ae.sweep import sparse_ae_sweep
from pathwayae.tl._transform import transform

__all__ = [
    "ArchetypesSettings",
    "FitSettings",
    "SparseAESettings",
    "annotate_components",
    "archetype_features",
    "archetype_selection",
    "archetype_trust",
    "archetypes",
    "enrich",
    "fit",
    "group_loadings",
    "latent_ablation",
    "latent_agreement",
    "latent_batches",
    "latent_genes",
    "latent_selectivity",
    "latent_sparsity",
    "n_extra_path",
    "rank_pathways",
    "refine",
    "relevance",
    "sparse_ae",
    "sparse_ae_sweep",
    "stability",
    "theta_path",
    "transform",
]
