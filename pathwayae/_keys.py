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


def batch_means(key: str) -> str:
    """``varm``: genes × batches, mean of the gene in each batch of the fit; 0 for genes outside the model."""
    return f"{key}_batch_means"


def loadings_low(key: str) -> str:
    """``varm``: lower ends of the intervals of the loadings; zero rows for genes outside the model."""
    return f"{key}_loadings_low"


def loadings_high(key: str) -> str:
    """``varm``: upper ends of the intervals of the loadings; zero rows for genes outside the model."""
    return f"{key}_loadings_high"


# Entries of uns[key].
PARAMS = "params"
COMPONENT_NAMES = "component_names"
N_PATHWAYS = "n_pathways"
NORM = "norm"
VARIANCE_RATIO = "variance_ratio"
VARIANCE_RATIO_TOTAL = "variance_ratio_total"
HISTORY = "history"
PATHWAYS = "pathways"
DROPPED = "dropped"
ENRICHMENT = "enrichment"
BATCHES = "batches"
BATCH_VARIANCE = "batch_variance"
STABILITY = "stability"
RELEVANCE = "relevance"
REFINEMENT = "refinement"
REFINEMENT_PARAMS = "refinement_params"


# Of pae.tl.refine, genes × pathways.
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


def after_fit(key: str) -> tuple[str, ...]:
    """Slots of ``varm`` that follow from a fit and do not outlive it."""
    return prior(key), evidence(key), posterior(key), call(key)


THETA_PATH = "theta_path"
N_EXTRA_PATH = "n_extra_path"

SPARSE_AE = "sparse_ae"
ARCHETYPES = "archetypes"
MODEL = "model"


# Of pae.tl.sparse_ae; the codes are obsm[scores(key)].
def features(key: str) -> str:
    """``varm``: genes × latents, what a latent adds to each gene; zero rows for genes outside the model."""
    return f"{key}_features"


# Of pae.tl.archetypes; the weights are obsm[scores(key)].
def profiles(key: str) -> str:
    """``varm``: genes × archetypes; zero rows for genes outside the model."""
    return key
