"""The slots of a fit, written together."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _keys
from pathwayae.core import components, grouped_ae
from pathwayae.core.batches import Batches
from pathwayae.core.gram_product import Data, Gram
from pathwayae.tl import _batches


class Model(NamedTuple):
    """Unit-length loadings (g, k), their norms before, the matrix from cells to scores (g, k), and the fit.

    Loadings and encoder are rounded as they are stored, so that ``pae.tl.transform`` gives the very same scores;
    ``tied`` says that they are the same.
    """

    loadings: NDArray[np.float32]
    norm: NDArray[np.float64]
    encoder: NDArray[np.float64]
    fit: grouped_ae.Fit
    tied: bool


def complete(gram: Gram, fit: grouped_ae.Fit, n_extra: int, config: grouped_ae.Config) -> Model:
    """A fit of the pathways with its free components: closed form, from what their scores leave over."""
    free = components.residual_components(gram, fit.encoder, n_extra)
    norm = np.linalg.norm(fit.loadings, axis=0)
    unit = np.maximum(norm, 1e-12)
    loadings = np.column_stack([fit.loadings / unit, free]).astype(np.float32)
    tied = config.scores == "projection" and not config.balance
    own = fit.encoder / unit if config.scores == "projection" else fit.encoder
    encoder = loadings if tied else np.column_stack([own, free]).astype(np.float32)
    return Model(loadings, np.concatenate([norm, np.ones(n_extra)]), encoder.astype(np.float64), fit, tied)


def component_names(pathways: list[str], n_free: int) -> list[str]:
    """Names of the pathways, then ``free_1``, ``free_2``, … without those that a pathway has."""
    taken = set(pathways)
    free = (name for j in itertools.count(1) if (name := f"free_{j}") not in taken)
    return [*pathways, *itertools.islice(free, n_free)]


def everything(n_genes: int, genes: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of the genes of the model with zero rows for all others, float32."""
    rows = np.zeros((n_genes, values.shape[1]), dtype=np.float32)
    rows[genes] = values
    return rows


def write(
    adata: AnnData,
    key: str,
    genes: NDArray[np.intp],
    data: Data,
    membership: sp.csr_matrix,
    model: Model,
    scores: NDArray[np.float32] | None,
    entries: dict[str, Any],
    batches: Batches | None = None,
) -> None:
    """Compute everything, then replace all slots of the key; without scores those of an earlier fit go."""
    n_pathways = membership.shape[1]
    n_free = model.loadings.shape[1] - n_pathways
    pathways = entries[_keys.PATHWAYS]["pathway"].tolist()
    member = sp.lil_matrix((adata.n_vars, n_pathways), dtype=bool)
    member[genes] = membership
    mean, scale = np.full(adata.n_vars, np.nan), np.full(adata.n_vars, np.nan)
    mean[genes], scale[genes] = data.mean, data.scale
    names = component_names(pathways, n_free)
    entries = entries | {
        _keys.COMPONENT_NAMES: np.array(names, dtype=object),
        _keys.N_PATHWAYS: n_pathways,
        _keys.NORM: model.norm,
        _keys.VARIANCE_RATIO: components.variance_ratio(data.gram, model.encoder),
        _keys.VARIANCE_RATIO_TOTAL: components.variance_ratio_together(data.gram, model.encoder),
        _keys.HISTORY: {name: np.array(values) for name, values in model.fit.history.items()},
    }
    slot = _keys.batch_means(key)
    if batches is not None:
        means = np.zeros((adata.n_vars, len(batches.names)))
        means[genes] = batches.means.T
        entries[_keys.BATCHES] = np.array(batches.names, dtype=object)
        entries[_keys.BATCH_VARIANCE] = _batches.variance(batches, data, model.encoder, names)
        adata.varm[slot] = means
    elif slot in adata.varm:
        del adata.varm[slot]
    if scores is not None:
        adata.obsm[_keys.scores(key)] = scores
    elif _keys.scores(key) in adata.obsm:
        del adata.obsm[_keys.scores(key)]  # they belong to other loadings
    for stale in set(_keys.after_fit(key)) & set(adata.varm):
        del adata.varm[stale]
    adata.varm[_keys.loadings(key)] = everything(adata.n_vars, genes, model.loadings)
    if not model.tied:
        adata.varm[_keys.encoder(key)] = everything(adata.n_vars, genes, model.encoder.astype(np.float32))
    elif _keys.encoder(key) in adata.varm:
        del adata.varm[_keys.encoder(key)]  # it belongs to other loadings
    adata.varm[_keys.membership(key)] = member.tocsr()
    adata.var[_keys.mean(key)] = mean
    adata.var[_keys.scale(key)] = scale
    adata.uns[key] = entries
