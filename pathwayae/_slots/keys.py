"""Every slot name the package writes, and nothing else."""

from __future__ import annotations

DEFAULT = "pae"


def scores(key: str) -> str:
    """``obsm``: cells × components."""
    return f"X_{key}"


def loadings(key: str) -> str:
    """``varm``: genes × components; zero rows for genes outside the model."""
    return f"{key}_loadings"


def membership(key: str) -> str:
    """``varm``: genes × pathways, sparse boolean."""
    return f"{key}_membership"


def mean(key: str) -> str:
    """``var``: mean of the gene in the cells fitted; NaN for genes outside the model."""
    return f"{key}_mean"


def scale(key: str) -> str:
    """``var``: unit of the gene in the model; NaN for genes outside the model."""
    return f"{key}_scale"


def encoder(key: str) -> str:
    """``varm``: genes × components, what turns standardised cells into scores, where it is not the loadings.

    Of a sparse autoencoder: genes × outputs of the first layer, transposed weights. Zero rows for genes outside the
    model.
    """
    return f"{key}_encoder"


def regularised(key: str) -> str:
    """``var``: whether the gene takes part in regularisation, where the classes of some are NaN."""
    return f"{key}_regularised"


def bins(key: str) -> str:
    """``var``: bin of genes of like mean, where the encoder is sparse weights less one number per bin.

    NaN for genes outside the model; the numbers are ``uns[key]["level"]``, bins × components.
    """
    return f"{key}_bin"


def batch_means(key: str) -> str:
    """``varm``: genes × batches, mean of the gene in each batch of the fit; 0 for genes outside the model."""
    return f"{key}_batch_means"


def loadings_low(key: str) -> str:
    """``varm``: lower ends of the intervals of the loadings; zero rows for genes outside the model."""
    return f"{key}_loadings_low"


def loadings_high(key: str) -> str:
    """``varm``: upper ends of the intervals of the loadings; zero rows for genes outside the model."""
    return f"{key}_loadings_high"


def unexplained(key: str) -> dict[str, str]:
    """``obs``: what the model leaves of each new cell, by its name in tables; from pae.tl.transform."""
    return {name: f"{key}_{name}" for name in ("unexplained", "unexplained_quantile")}


# Entries of uns[key].
PARAMS = "params"
WEIGHTED = "weighted"  # of params: members have signs and sizes
COMPONENT_NAMES = "component_names"
N_PATHWAYS = "n_pathways"
NORM = "norm"
VARIANCE_RATIO = "variance_ratio"
VARIANCE_RATIO_TOTAL = "variance_ratio_total"
LEVEL = "level"
HISTORY = "history"
PATHWAYS = "pathways"
DROPPED = "dropped"
ENRICHMENT = "enrichment"
ENRICHMENT_PARAMS = "enrichment_params"
ANNOTATION = "annotation"
ANNOTATION_PARAMS = "annotation_params"
BATCHES = "batches"
BATCH_VARIANCE = "batch_variance"
REFERENCE_CELLS = "reference_cells"  # quantiles over a sample of the cells of a fit
MISSING_GENES = "missing_genes"  # of cells that pae.tl.transform scored
STABILITY = "stability"
STABILITY_PARAMS = "stability_params"
RELEVANCE = "relevance"
RELEVANCE_PARAMS = "relevance_params"
REFINEMENT = "refinement"
REFINEMENT_PARAMS = "refinement_params"
RANK_PATHWAYS = "rank_pathways"
GROUP_LOADINGS = "group_loadings"
GROUP_LOADINGS_PARAMS = "group_loadings_params"


# Of pae.tl.refine, genes × pathways; they do not outlive the fit that they are of.
def prior(key: str) -> str:
    """``varm``: log-odds of membership by the annotation."""
    return f"{key}_prior"


def evidence(key: str) -> str:
    """``varm``: log-likelihood ratio of membership by the cells."""
    return f"{key}_evidence"


def posterior(key: str) -> str:
    """``varm``: probability of membership."""
    return f"{key}_posterior"


def call(key: str) -> str:
    """``varm``: code of what was decided."""
    return f"{key}_call"


def rank_params(name: str) -> str:
    """``uns[key]``: settings of pae.tl.rank_pathways, and what was left out."""
    return f"{name}_params"


def rank_genes(name: str) -> str:
    """``uns[key]``: genes that carry the differences of pae.tl.rank_pathways."""
    return f"{name}_genes"


THETA_PATH = "theta_path"
THETA_PATH_PARAMS = "theta_path_params"
N_EXTRA_PATH = "n_extra_path"
N_EXTRA_PATH_PARAMS = "n_extra_path_params"

# Which model a fit is of: uns[key]["params"]["model"]. The names are the default keys as well, but that of the first.
MODEL = "model"
GROUPED = "grouped"
SPARSE_AE = "sparse_ae"
ARCHETYPES = "archetypes"

FIT_ID = "fit_id"  # of uns[key]: the same for the same fit, and carried along by pae.tl.transform
OBS_COLUMNS = "obs_columns"  # of uns[key]: columns of obs that pae.get.to_obs wrote


def mark(key: str) -> str:
    """``obs``: the id of the fit that the scores of a cell are of."""
    return f"{key}_fit"


# Of pae.tl.sparse_ae; the codes are obsm[scores(key)].
def features(key: str) -> str:
    """``varm``: genes × latents, what a latent adds to each gene; zero rows for genes outside the model."""
    return f"{key}_features"


# The network of pae.tl.sparse_ae: what has a gene axis; everything else is in uns[key]["network"].
NETWORK = "network"


def decoder(key: str) -> str:
    """``varm``: genes × inputs of the last layer, weights; zero rows for genes outside the model."""
    return f"{key}_decoder"


def bias(key: str) -> str:
    """``var``: bias of the last layer, in units of the network; NaN for genes outside the model."""
    return f"{key}_bias"


# Of the analysis of a sparse autoencoder: entries of uns[key].
SPARSITY = "sparsity"
SPARSITY_GROUPS = "sparsity_groups"
SPARSITY_PARAMS = "sparsity_params"
ACTIVATIONS = "activations"
SELECTIVITY = "selectivity"
SELECTIVITY_PARAMS = "selectivity_params"
LATENT_GENES = "latent_genes"
LATENT_BATCHES = "latent_batches"
LATENT_BATCHES_PARAMS = "latent_batches_params"
LATENT_AGREEMENT = "latent_agreement"
ABLATION = "ablation"
ABLATION_FEWEST = "ablation_fewest"


def of_cell(key: str) -> dict[str, str]:
    """``obs``: sparsity of the code of each cell, by its name in tables; from pae.tl.latent_sparsity."""
    return {name: f"{key}_{name}" for name in ("l0", "population", "hoyer")}


def sweep(key: str) -> str:
    """``uns``: settings of a sparse autoencoder tried side by side; comes before a fit and outlives it."""
    return f"{key}_sweep"


# Of pae.tl.archetypes; the weights are obsm[scores(key)].
def profiles(key: str) -> str:
    """``varm``: genes × archetypes, expression at each archetype; zero rows for genes outside the model."""
    return key


def label(key: str) -> str:
    """``obs``: archetype with the largest weight."""
    return key


def label_weight(key: str) -> str:
    """``obs``: the largest weight."""
    return f"{key}_weight"


DIMENSIONS = "dimensions"
COORDINATES = "coordinates"
ALPHA = "alpha"
GAP = "gap"
EXPLAINED_VARIANCE = "explained_variance"
CONVERGED = "converged"
CELLS = "cells"
RESTARTS = "restarts"


# Of pae.tl.archetype_selection: it comes before a fit, which does not touch it.
def selection(key: str) -> str:
    """``uns``: several numbers of archetypes."""
    return f"{key}_selection"


# Entries of it, and what pae.tl.archetype_trust and pae.tl.archetype_features add to uns[key].
TABLE = "table"
REASON = "reason"
CHOSEN = "n_archetypes"
TRUST = "trust"
SHAPE = "shape"
VERDICT = "verdict"
BOOTSTRAP = "bootstrap"
FEATURES = "features"
GROUPS = "groups"
