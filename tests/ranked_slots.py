"""A fit with donors and conditions, and which of its pathways differ."""

import warnings

import numpy as np
import pandas as pd
from fitted import fitted_adata

from pathwayae import DataWarning, tl


def compared(n_donors=5, seed=1):
    """Two pathways differ between conditions; the last one in one cell type alone."""
    adata = fitted_adata()
    rng = np.random.default_rng(seed)
    adata.obs["donor"] = pd.Categorical([f"d{i}" for i in rng.integers(n_donors, size=adata.n_obs)])
    stimulated = rng.random(adata.n_obs) < 0.5
    adata.obs["condition"] = pd.Categorical(np.where(stimulated, "stim", "ctrl"))
    scores = adata.obsm["X_pae"].copy()
    scores[stimulated, 0] += 2.5
    scores[stimulated & (adata.obs["cell_type"] == "NK").to_numpy(), 3] -= 2.0
    adata.obsm["X_pae"] = scores
    adata.X = np.log1p(adata.X)
    return adata


def rank(adata, groupby, **words):
    """Invented scores are no sums over genes, which is said."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The scores under 'pae' are not those", DataWarning)
        tl.rank_pathways(adata, groupby, sample_key="donor", **words)


def ranked():
    adata = compared()
    rank(adata, "condition", reference="ctrl", within="cell_type")
    rank(adata, "cell_type", key_added="types")
    return adata
