"""A fit of the pathways with its free components."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped import components
from pathwayae.core.grouped.encoder import Encoder, Weights
from pathwayae.core.grouped.problem import Config, Fit
from pathwayae.core.moments.gram_product import Gram
from pathwayae.core.threads import one_thread

MIXED = 256  # columns of a space of free components


class Model(NamedTuple):
    """Unit-length loadings (g, k), their norms before, the matrix from cells to scores (g, k), and the fit.

    Loadings and encoder are rounded as they are stored, so that ``pae.tl.transform`` gives the very same scores; both
    are sparse (CSR) where the fit kept loadings on a support. ``tied`` says that they are the same.
    """

    loadings: Weights
    norm: NDArray[np.float64]
    encoder: Encoder
    fit: Fit
    tied: bool


def complete(gram: Gram, fit: Fit, n_extra: int, config: Config) -> Model:
    """A fit of the pathways with its free components: closed form, from what their scores leave over."""
    with one_thread(2.0 * fit.encoder.shape[0] * (fit.encoder.shape[1] + n_extra) * MIXED):
        free = components.residual_components(gram, fit.encoder, n_extra, directions=fit.directions)
    norm = _lengths(fit.loadings)
    unit = 1.0 / np.maximum(norm, 1e-12)
    loadings = _beside(fit.loadings, unit, free, sparse=config.support)
    norm = np.concatenate([norm, np.ones(n_extra)])
    if config.scores == "projection" and not config.balance:
        return Model(loadings, norm, Encoder(loadings.astype(np.float64)), fit, tied=True)
    own = fit.encoder.scaled(unit) if config.scores == "projection" else fit.encoder
    if not config.support:
        dense = np.column_stack([own.toarray(), free]).astype(np.float32)
        return Model(loadings, norm, Encoder(dense.astype(np.float64)), fit, tied=False)
    weights = _beside(own.weights, np.ones(len(unit)), free, sparse=True)
    level = None if own.level is None else np.column_stack([own.level, np.zeros((len(own.level), n_extra))])
    return Model(loadings, norm, Encoder(weights.astype(np.float64), own.bins, level).rounded(), fit, tied=False)


def _lengths(columns: Weights) -> NDArray[np.float64]:
    squares = columns.power(2) if sp.issparse(columns) else columns**2
    return np.sqrt(np.asarray(squares.sum(axis=0)).ravel())


def _beside(columns: Weights, unit: NDArray[np.float64], free: NDArray[np.float64], *, sparse: bool) -> Any:
    """Columns times their units, then the free components, float32."""
    if sparse:
        return sp.csr_array(sp.hstack([sp.csc_array(columns) @ sp.diags_array(unit), free]), dtype=np.float32)
    columns = columns.toarray() if sp.issparse(columns) else columns
    return np.column_stack([columns * unit, free]).astype(np.float32)
