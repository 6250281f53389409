"""A sparse autoencoder in its slots: written, and read back."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._slots import keys, lookup, store
from pathwayae.core.sparse_ae.network import Network


class Fitted(NamedTuple):
    """A network, the names of its columns in its order (genes, or numbers of dimensions), its latents and settings.

    ``genes`` are the places of the genes in the AnnData, None for an embedding; ``ids`` are their ``var_names``, where
    ``names`` may be symbols.
    """

    network: Network
    names: NDArray[np.str_]
    ids: NDArray[np.str_]
    genes: NDArray[np.intp] | None
    latents: list[str]
    params: dict[str, Any]


def write(
    adata: AnnData,
    key: str,
    network: Network,
    index: NDArray[np.intp] | None,
    codes: sp.csr_matrix,
    features: NDArray[np.float32] | None,
    entries: dict[str, Any],
) -> None:
    """Replace all slots of the key: what has a gene axis in ``varm`` and ``var``, the rest of the network in ``uns``.

    Parameters
    ----------
    index
        Places of the genes of the network in the AnnData; None for an embedding.
    features
        What a latent adds to each gene, genes × latents; None where that is not known.
    """
    rest: dict[str, Any] = {}
    for field in fields(network):
        value = getattr(network, field.name)
        if field.name in ("encoder", "decoder"):
            for i, (weight, bias) in enumerate(value):
                rest |= {f"{field.name}_weight_{i}": np.asarray(weight), f"{field.name}_bias_{i}": np.asarray(bias)}
        else:
            rest[field.name] = np.asarray(value).item() if np.ndim(value) == 0 else np.asarray(value)
    varm: dict[str, Any] = {keys.features(key): features}
    var: dict[str, Any] = {}
    if index is not None:
        last = len(network.decoder) - 1
        first, final = rest.pop("encoder_weight_0").T, rest.pop(f"decoder_weight_{last}")
        varm |= {
            keys.encoder(key): store.of_all_genes(adata.n_vars, index, first),
            keys.decoder(key): store.of_all_genes(adata.n_vars, index, final),
        }
        var = {
            keys.mean(key): store.column(adata.n_vars, index, rest.pop("mean")),
            keys.bias(key): store.column(adata.n_vars, index, rest.pop(f"decoder_bias_{last}")),
        }
    names = np.array([f"latent_{j}" for j in range(network.n_latents)], dtype=object)
    entries = entries | {keys.COMPONENT_NAMES: names, keys.NETWORK: rest}
    store.put(adata, key, keys.SPARSE_AE, entries, obsm={keys.scores(key): codes}, varm=varm, var=var)


def fitted(adata: AnnData, key: str = keys.SPARSE_AE) -> Fitted:
    """The sparse autoencoder under a key, its genes in the order of their names.

    Raises
    ------
    KeyError
        If there is none, or a slot of it is missing.
    """
    params = lookup.plain(lookup.fit_of(adata, key, keys.SPARSE_AE)[keys.PARAMS])
    layers = lookup.plain(lookup.value(adata, key, keys.NETWORK, missing=no_network(key)))
    index = None
    if not params["obsm"]:
        varm = [np.asarray(lookup.slot(adata, "varm", slot, key)) for slot in (keys.encoder(key), keys.decoder(key))]
        mean, bias = (
            np.asarray(lookup.slot(adata, "var", slot, key), dtype=np.float64)
            for slot in (keys.mean(key), keys.bias(key))
        )
        own = _checks.gene_names(adata, params["gene_symbols"] or None)
        index = np.flatnonzero(np.isfinite(mean))
        index = index[np.argsort(own[index], kind="stable")]
        last = sum(name.startswith("decoder_weight") for name in layers)
        layers["encoder_weight_0"], layers[f"decoder_weight_{last}"] = varm[0][index].T, varm[1][index]
        layers["mean"], layers[f"decoder_bias_{last}"] = mean[index], bias[index].astype(np.float32)
    names = own[index] if index is not None else np.arange(len(layers["mean"])).astype(str)
    stored = {field.name: layers[field.name] for field in fields(Network) if field.name not in ("encoder", "decoder")}
    stored["threshold"] = np.asarray(stored["threshold"], dtype=np.float64)
    network = Network(_layers(layers, "encoder"), _layers(layers, "decoder"), **stored)
    ids = names if index is None else adata.var_names.to_numpy(dtype=str)[index]
    return Fitted(network, names, ids, index, lookup.component_names(adata, key), params)


def codes(adata: AnnData, key: str) -> sp.csr_matrix:
    """Codes of the cells, CSR."""
    lookup.fit_of(adata, key, keys.SPARSE_AE)
    return sp.csr_matrix(lookup.matrix(adata, "obsm", keys.scores(key), key))


def no_network(key: str) -> str:
    """What to say where new cells have codes, but not the network that made them."""
    return f"adata.uns[{key!r}] has codes but no network, as new cells do; call this on the AnnData of the fit."


def _layers(plain: dict[str, Any], side: str) -> tuple[tuple[Any, Any], ...]:
    n_layers = sum(name.startswith(f"{side}_weight") for name in plain)
    return tuple((plain[f"{side}_weight_{i}"], plain[f"{side}_bias_{i}"]) for i in range(n_layers))
