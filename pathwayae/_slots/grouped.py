"""A grouped autoencoder in its slots: written, and read back."""

from __future__ import annotations

import itertools
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._slots import keys, lookup, store, whole
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.model import Model
from pathwayae.core.moments.batches import Batches
from pathwayae.core.moments.gram_product import Data


class Fitted(NamedTuple):
    """A fit on m genes, in the order of their names.

    ``genes`` are their places in the AnnData, ``membership`` (m, p) and ``loadings`` (m, k) as stored, ``encoder``
    (m, k) with scores ``((X − mean) / scale) @ encoder``; ``batches`` those that the fit centred genes within, and
    ``effects``, (b, m), what it took off them where that was estimated beside covariates; ``penalised``, (m,), are the
    genes that take part in regularisation, None for all.
    """

    genes: NDArray[np.intp]
    names: NDArray[np.str_]
    components: list[str]
    membership: sp.csr_matrix
    loadings: NDArray[np.float64]
    encoder: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    params: dict[str, Any]
    batches: tuple[str, ...] = ()
    effects: NDArray[np.float64] | None = None
    penalised: NDArray[np.bool_] | None = None

    @property
    def n_pathways(self) -> int:
        """Number of pathways p; the other k − p components are free."""
        return int(self.membership.shape[1])

    def problem(self, data: Data, config: grouped.Config, membership: Any = None) -> grouped.Problem:
        """The same fit of other cells in its units, with the free components that were fitted together."""
        penalised = np.ones(len(self.genes), dtype=bool) if self.penalised is None else self.penalised
        k = len(self.components) if self.params.get("free") == "together" else self.n_pathways
        return grouped.Problem(
            data, self.membership.toarray() if membership is None else membership, penalised, k, config
        )

    def config(self, **changes: Any) -> grouped.Config:
        """Settings of the fit, some of them changed; the device is the best one here."""
        known = {field.name for field in fields(grouped.Config)}
        own = {name: None if value == "" else value for name, value in self.params.items() if name in known}
        settings: dict[str, Any] = own | {"device": _checks.device("auto")} | changes
        return grouped.Config(**settings)


def fitted(adata: AnnData, key: str) -> Fitted:
    """The fit under a key.

    Raises
    ------
    KeyError
        If there is none, or a slot of it is missing.
    ValueError
        If slots do not agree with each other, see :func:`pathwayae._slots.whole.check`.
    """
    whole.check(adata, key)
    params = lookup.plain(lookup.fit_of(adata, key, keys.GROUPED)[keys.PARAMS])
    mean, scale = (
        np.asarray(lookup.slot(adata, "var", slot, key), dtype=np.float64) for slot in (keys.mean(key), keys.scale(key))
    )
    own = _checks.gene_names(adata, params["gene_symbols"] or None)
    index = np.flatnonzero(np.isfinite(scale))
    index = index[np.argsort(own[index], kind="stable")]
    loadings = _rows(lookup.slot(adata, "varm", keys.loadings(key), key), index)
    loadings = loadings.toarray() if sp.issparse(loadings) else loadings
    membership = sp.csr_matrix(lookup.slot(adata, "varm", keys.membership(key), key))[index].astype(bool)
    encoder = encoder_of(adata, key, index).toarray()
    names = lookup.component_names(adata, key)
    levels = batch_names(adata, key)
    effects = batch_means(adata, key)[index].T - mean[index] if levels and "covariates" in params else None
    units = (mean[index], scale[index])
    penalised = None
    if lookup.has(adata, "var", keys.regularised(key)):
        penalised = np.asarray(lookup.slot(adata, "var", keys.regularised(key), key), dtype=bool)[index]
    return Fitted(index, own[index], names, membership, loadings, encoder, *units, params, levels, effects, penalised)


def encoder_of(adata: AnnData, key: str, genes: NDArray[np.intp]) -> Encoder:
    """From standardised values of some genes to scores: the loadings where weights are tied.

    Raises
    ------
    KeyError
        If the fit had an encoder of its own and it is not there.
    """
    params = lookup.plain(lookup.fit_of(adata, key, keys.GROUPED)[keys.PARAMS])
    tied = params["scores"] == "projection" and not params["balance"]
    weights = _rows(lookup.slot(adata, "varm", keys.loadings(key) if tied else keys.encoder(key), key), genes)
    if tied or not lookup.has(adata, "var", keys.bins(key)):
        return Encoder(weights)
    bins = np.asarray(lookup.slot(adata, "var", keys.bins(key), key), dtype=np.float64)[genes].astype(np.intp)
    level = np.asarray(lookup.plain(lookup.value(adata, key, keys.LEVEL)), dtype=np.float64)
    return Encoder(weights, bins, level)


def _rows(values: Any, genes: NDArray[np.intp]) -> Any:
    """Some rows of an array, dense or sparse, float64; also of a lazy one."""
    values = lookup.plain(values)
    if sp.issparse(values):
        return sp.csr_array(values, dtype=np.float64)[genes]
    return np.asarray(values, dtype=np.float64)[genes]


def batch_names(adata: AnnData, key: str) -> tuple[str, ...]:
    """Batches that the fit centred genes within; none where it did not."""
    return tuple(str(name) for name in np.asarray(lookup.plain(lookup.fit_of(adata, key).get(keys.BATCHES, ()))))


def batch_means(adata: AnnData, key: str) -> NDArray[np.float64]:
    """Centre of each gene in each batch of the fit, genes × batches; zero for genes outside the model.

    Its mean there; with covariates what it would be at the composition of all cells.
    """
    return np.asarray(lookup.slot(adata, "varm", keys.batch_means(key), key), dtype=np.float64)


def write(
    adata: AnnData,
    key: str,
    genes: NDArray[np.intp],
    data: Data,
    membership: sp.csr_matrix,
    model: Model,
    scores: NDArray[np.float32] | None,
    entries: dict[str, Any],
    batches_of_fit: Batches | None = None,
    penalised: NDArray[np.bool_] | None = None,
) -> None:
    """Replace all slots of the key; without scores those of an earlier fit go."""
    n_pathways, n_genes = membership.shape[1], adata.n_vars
    names = free_names(entries[keys.PATHWAYS]["pathway"].tolist(), model.loadings.shape[1] - n_pathways)
    entries = entries | {
        keys.COMPONENT_NAMES: np.array(names, dtype=object),
        keys.N_PATHWAYS: n_pathways,
        keys.NORM: model.norm,
        keys.HISTORY: {name: np.array(values) for name, values in model.fit.history.items()},
    }
    means = None
    if batches_of_fit is not None:
        means = np.zeros((n_genes, len(batches_of_fit.names)))
        means[genes] = batches_of_fit.centres.T
        entries[keys.BATCHES] = np.array(batches_of_fit.names, dtype=object)
    encoder, bins = None, None
    if not model.tied:
        encoder = store.of_all_genes(n_genes, genes, model.encoder.weights)
        if model.encoder.bins is not None and model.encoder.level is not None:
            bins = store.column(n_genes, genes, model.encoder.bins.astype(np.float64))
            entries[keys.LEVEL] = model.encoder.level.astype(np.float32)
    varm = {
        keys.loadings(key): store.of_all_genes(n_genes, genes, model.loadings),
        keys.encoder(key): encoder,
        keys.membership(key): store.of_all_genes(n_genes, genes, membership).astype(bool),
        keys.batch_means(key): means,
    }
    var: dict[str, Any] = {
        keys.mean(key): store.column(n_genes, genes, data.mean),
        keys.scale(key): store.column(n_genes, genes, data.scale),
        keys.bins(key): bins,
        keys.regularised(key): None,
    }
    if penalised is not None and not penalised.all():
        var[keys.regularised(key)] = np.isin(np.arange(n_genes), genes[penalised])
    store.put(adata, key, keys.GROUPED, entries, obsm={keys.scores(key): scores}, varm=varm, var=var)


def free_names(pathways: list[str], n_free: int) -> list[str]:
    """Names of the pathways, then ``free_1``, ``free_2``, … without those that a pathway has."""
    taken = set(pathways)
    free = (name for j in itertools.count(1) if (name := f"free_{j}") not in taken)
    return [*pathways, *itertools.islice(free, n_free)]
