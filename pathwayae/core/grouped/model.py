"""A fit of the pathways with its free components."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.grouped import components
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments.gram_product import Gram


class Model(NamedTuple):
    """Unit-length loadings (g, k), their norms before, the matrix from cells to scores (g, k), and the fit.

    Loadings and encoder are rounded as they are stored, so that ``pae.tl.transform`` gives the very same scores;
    ``tied`` says that they are the same.
    """

    loadings: NDArray[np.float32]
    norm: NDArray[np.float64]
    encoder: NDArray[np.float64]
    fit: grouped.Fit
    tied: bool


def complete(gram: Gram, fit: grouped.Fit, n_extra: int, config: grouped.Config) -> Model:
    """A fit of the pathways with its free components: closed form, from what their scores leave over."""
    free = components.residual_components(gram, fit.encoder, n_extra)
    norm = np.linalg.norm(fit.loadings, axis=0)
    unit = np.maximum(norm, 1e-12)
    loadings = np.column_stack([fit.loadings / unit, free]).astype(np.float32)
    tied = config.scores == "projection" and not config.balance
    own = fit.encoder / unit if config.scores == "projection" else fit.encoder
    encoder = loadings if tied else np.column_stack([own, free]).astype(np.float32)
    return Model(loadings, np.concatenate([norm, np.ones(n_extra)]), encoder.astype(np.float64), fit, tied)
