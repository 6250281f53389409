"""A fit as its slots hold it, and the moments of the cells for the genes of its model."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _inputs, _keys, get, pp
from pathwayae.core import batches, grouped_ae
from pathwayae.core.moments import Moments, Standardized
from pathwayae.tl._batches import check_known


class Fitted(NamedTuple):
    """A fit on m genes, in the order of their names.

    ``index`` are their places in the AnnData, ``membership`` (m, p) and ``loadings`` (m, k) as stored, ``encoder``
    (m, k) with scores ``((X − mean) / scale) @ encoder``; ``batches`` those that the fit centred genes within.
    """

    index: NDArray[np.intp]
    names: NDArray[np.str_]
    components: list[str]
    membership: sp.csr_matrix
    loadings: NDArray[np.float64]
    encoder: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    params: dict[str, Any]
    batches: tuple[str, ...] = ()

    @property
    def n_pathways(self) -> int:
        """Number of pathways p; the other k − p components are free."""
        return int(self.membership.shape[1])

    def config(self, **changes: Any) -> grouped_ae.Config:
        """Settings of the fit, some of them changed; the device is the best one here."""
        known = {field.name for field in fields(grouped_ae.Config)}
        own = {name: None if value == "" else value for name, value in self.params.items() if name in known}
        return grouped_ae.Config(**own | {"device": _inputs.device("auto")} | changes)

    def standardize(self, moments: Moments) -> Standardized:
        """Moments of some or all strata, centred and scaled by themselves as the fit did, within its batches.

        Raises
        ------
        ValueError
            If a stratum is of no batch of the fit.
        """
        scale = self.params["scale"] or None
        if not self.batches:
            return moments.standardize(center=bool(self.params["center"]), scale=scale)
        own = batches.of_strata(moments, self.batches)
        check_known(own.names, self.batches, moments.strata)
        return moments.standardize_within(own.counts, own.sums, scale=scale)

    def left_out(self, moments: Moments, train: Standardized) -> Standardized:
        """Moments of strata that took no part in ``train``, in its units, centred as new cells would be.

        With batches these are centred at their own means: cells of a batch are left out of all others with it.
        """
        if not self.batches:
            return moments.standardize_with(train.mean, train.scale)
        own = batches.of_strata(moments, self.batches)
        return moments.standardize_within(own.counts, own.sums, unit=train.scale)


def fitted(adata: AnnData, key: str) -> Fitted:
    """The fit under a key.

    Raises
    ------
    KeyError
        If there is none, or a slot of it is missing.
    """
    names = get.component_names(adata, key=key)
    for where, slot in (("varm", _keys.loadings(key)), ("varm", _keys.membership(key)), ("var", _keys.scale(key))):
        if slot not in getattr(adata, where):
            msg = f"adata.{where}[{slot!r}] is missing: run pae.tl.fit(adata, pathways, key_added={key!r}) again."
            raise KeyError(msg)
    params = dict(adata.uns[key][_keys.PARAMS])
    own = _inputs.gene_names(adata, params["gene_symbols"] or None)
    index = np.flatnonzero(np.isfinite(adata.var[_keys.scale(key)].to_numpy(dtype=float)))
    index = index[np.argsort(own[index], kind="stable")]
    loadings = np.asarray(adata.varm[_keys.loadings(key)], dtype=np.float64)[index]
    membership = sp.csr_matrix(adata.varm[_keys.membership(key)])[index].astype(bool)
    encoder = np.asarray(encoder_of(adata, key, params), dtype=np.float64)[index]
    mean, scale = (adata.var[slot].to_numpy(dtype=np.float64)[index] for slot in (_keys.mean(key), _keys.scale(key)))
    levels = tuple(str(name) for name in np.asarray(adata.uns[key].get(_keys.BATCHES, ())))
    return Fitted(index, own[index], names, membership, loadings, encoder, mean, scale, params, levels)


def encoder_of(adata: AnnData, key: str, params: dict[str, Any]) -> Any:
    """The matrix from standardised cells to scores, genes × components: the loadings where weights are tied.

    Raises
    ------
    KeyError
        If the fit had an encoder of its own and it is not there.
    """
    slot = _keys.encoder(key)
    if params["scores"] == "projection" and not params["balance"]:
        slot = _keys.loadings(key)
    if slot not in adata.varm:
        msg = f"adata.varm[{slot!r}] is missing: run pae.tl.fit(adata, pathways, key_added={key!r}) again."
        raise KeyError(msg)
    return adata.varm[slot]


def moments_of(
    adata: AnnData,
    model: Fitted,
    moments: Moments | None,
    *,
    sample_key: str | None = None,
    batch_key: str | None = None,
    n_folds: int | None = None,
    random_state: int = 0,
    progress: bool = True,
) -> Moments:
    """Moments of the genes of the model in their order, per stratum: those given, or from one pass over the cells.

    Raises
    ------
    ValueError
        If the moments given lack a gene of the model or were normalised otherwise than those of the fit.
    """
    normalize = str(model.params.get("normalize", ""))
    if moments is None:
        return pp.moments(
            adata,
            layer=model.params["layer"] or None,
            genes=model.names.tolist(),
            gene_symbols=model.params["gene_symbols"] or None,
            sample_key=sample_key,
            batch_key=batch_key,
            n_folds=n_folds,
            normalize="log1p" if normalize else None,
            target_sum=float(normalize.split()[1]) if normalize else 1e4,
            random_state=random_state,
            progress=progress,
        )
    if moments.normalize != normalize:
        msg = f"moments were normalised by {moments.normalize!r}, those of the fit by {normalize!r}; read them alike."
        raise ValueError(msg)
    return moments.subset(model.names)
