"""A sparse autoencoder in its slots: written, read back, and laid on the genes of other cells."""

from __future__ import annotations

import logging
from dataclasses import fields, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _inputs, _keys, get
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae.network import Network, encode
from pathwayae.get._codes import sparse_ae_entry
from pathwayae.tl import _matrix
from pathwayae.tl._matrix import Input
from pathwayae.tl._minibatches import BLOCK_BYTES

logger = logging.getLogger("pathwayae")

FEW = 0.9  # share of the squared weights below which missing genes deserve a warning


class Fitted(NamedTuple):
    """A network, the names of its columns in its order (genes, or numbers of dimensions), its latents and settings.

    ``index`` are the places of the genes in the AnnData, None for an embedding; ``ids`` are their ``var_names``, where
    ``names`` may be symbols.
    """

    network: Network
    names: NDArray[np.str_]
    ids: NDArray[np.str_]
    index: NDArray[np.intp] | None
    latents: list[str]
    params: dict[str, Any]


def slots(key: str) -> dict[str, tuple[str, ...]]:
    """All slots of a fit with a gene axis."""
    return {
        "varm": (_keys.features(key), _keys.encoder(key), _keys.decoder(key)),
        "var": (_keys.mean(key), _keys.bias(key)),
    }


def write_network(adata: AnnData, key: str, network: Network, index: NDArray[np.intp] | None) -> dict[str, Any]:
    """Write what has a gene axis to ``varm`` and ``var``; returns the rest, for ``uns[key]["network"]``."""
    plain: dict[str, Any] = {}
    for field in fields(network):
        value = getattr(network, field.name)
        if field.name in ("encoder", "decoder"):
            for i, (weight, bias) in enumerate(value):
                plain |= {f"{field.name}_weight_{i}": np.asarray(weight), f"{field.name}_bias_{i}": np.asarray(bias)}
        else:
            plain[field.name] = np.asarray(value).item() if np.ndim(value) == 0 else np.asarray(value)
    if index is None:
        return plain
    last = len(network.decoder) - 1
    adata.varm[_keys.encoder(key)] = rows(adata.n_vars, index, plain.pop("encoder_weight_0").T)
    adata.varm[_keys.decoder(key)] = rows(adata.n_vars, index, plain.pop(f"decoder_weight_{last}"))
    for slot, value in ((_keys.mean(key), plain.pop("mean")), (_keys.bias(key), plain.pop(f"decoder_bias_{last}"))):
        column = np.full(adata.n_vars, np.nan)
        column[index] = value
        adata.var[slot] = column
    return plain


def fitted(adata: AnnData, key: str = _keys.SPARSE_AE) -> Fitted:
    """The sparse autoencoder under a key, its genes in the order of their names.

    Raises
    ------
    KeyError
        If there is none, or a slot of it is missing.
    """
    entry = sparse_ae_entry(adata, key)
    params = {str(name): _value(value) for name, value in entry[_keys.PARAMS].items()}
    plain = {str(name): _value(value) for name, value in entry[_keys.NETWORK].items()}
    index = None
    if not params["obsm"]:
        _check_slots(adata, key)
        own = _inputs.gene_names(adata, params["gene_symbols"] or None)
        index = np.flatnonzero(np.isfinite(_column(adata, _keys.mean(key))))
        index = index[np.argsort(own[index], kind="stable")]
        last = sum(name.startswith("decoder_weight") for name in plain)
        plain["encoder_weight_0"] = np.asarray(adata.varm[_keys.encoder(key)])[index].T
        plain[f"decoder_weight_{last}"] = np.asarray(adata.varm[_keys.decoder(key)])[index]
        plain["mean"] = _column(adata, _keys.mean(key))[index]
        plain[f"decoder_bias_{last}"] = _column(adata, _keys.bias(key))[index].astype(np.float32)
    names = own[index] if index is not None else np.arange(len(plain["mean"])).astype(str)
    layers = {side: _layers(plain, side) for side in ("encoder", "decoder")}
    others = {field.name: plain[field.name] for field in fields(Network) if field.name not in layers}
    others["threshold"] = np.asarray(others["threshold"], dtype=np.float64)
    ids = names if index is None else adata.var_names.to_numpy(dtype=str)[index]
    return Fitted(Network(**layers, **others), names, ids, index, get.component_names(adata, key=key), params)


def _layers(plain: dict[str, Any], side: str) -> tuple[tuple[Any, Any], ...]:
    n_layers = sum(name.startswith(f"{side}_weight") for name in plain)
    return tuple((plain[f"{side}_weight_{i}"], plain[f"{side}_bias_{i}"]) for i in range(n_layers))


def _value(value: Any) -> Any:
    """As it was before it was stored."""
    if hasattr(value, "compute"):  # read lazily
        value = value.compute()
    return value.item() if isinstance(value, np.generic | np.ndarray) and np.ndim(value) == 0 else value


def _column(adata: AnnData, name: str) -> NDArray[np.float64]:
    """A column of ``var``, which may be read lazily."""
    return np.asarray(adata.var[name], dtype=np.float64)


def rows(n_genes: int, index: NDArray[np.intp], values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values of the genes of the model with zero rows for all others."""
    rows = np.zeros((n_genes, values.shape[1]), dtype=np.float32)
    rows[index] = values
    return rows


def _check_slots(adata: AnnData, key: str) -> None:
    needed = {"varm": (_keys.encoder(key), _keys.decoder(key)), "var": (_keys.mean(key), _keys.bias(key))}
    for where, names in needed.items():
        for name in names:
            if name not in getattr(adata, where):
                msg = f"adata.{where}[{name!r}] is missing: run pae.tl.sparse_ae(adata, key_added={key!r}) again."
                raise KeyError(msg)


def align(
    adata: AnnData, model: Fitted, *, layer: str | None = None, gene_symbols: str | None = None
) -> tuple[Input, Network]:
    """The cells that a network reads of an AnnData, and the network on the genes that are there.

    Genes are matched by ``var_names``, with `gene_symbols` by the names that the fit had. A gene of the model that the
    cells do not have counts as being at its mean.

    Raises
    ------
    KeyError
        If a layer, column or embedding does not exist.
    ValueError
        If no gene of the model is there, the embedding has another width, or values are not finite.
    """
    if model.params["obsm"]:
        return _embedding(adata, model, layer), model.network
    cells = _matrix.of_genes(adata, layer or model.params["layer"] or None, gene_symbols, None)
    place = {name: j for j, name in enumerate(cells.source.genes.tolist())}
    theirs = model.ids if gene_symbols is None else model.names
    found = np.array([name in place for name in theirs.tolist()])
    if not found.any():
        msg = (
            f"None of the {len(found)} genes of the model is in the new cells ({cells.source.name}): "
            f"{', '.join(theirs[:3])}, … against {', '.join(cells.source.genes[:3])}, …. Name the column with "
            "matching names with gene_symbols."
        )
        raise ValueError(msg)
    cells = Input(cells.source, np.array([place[name] for name in theirs[found].tolist()]), theirs[found])
    if found.all():
        return cells, model.network
    weights = np.asarray(model.network.encoder[0][0], dtype=np.float64) ** 2
    share = weights[:, found].sum() / weights.sum()
    logger.info("%d of %d genes of the model found (%.0f %% of the weights)", found.sum(), len(found), 100 * share)
    if share < FEW:
        msg = (
            f"{(~found).sum()} of {len(found)} genes of the model are missing from the new cells "
            f"({cells.source.name}); they carry {1 - share:.0%} of the squared weights and count as at their mean."
        )
        warn(msg)
    return cells, _without(model.network, found)


def _embedding(adata: AnnData, model: Fitted, layer: str | None) -> Input:
    obsm = model.params["obsm"]
    if layer is not None:
        msg = f"layer={layer!r}, but the network was trained on obsm[{obsm!r}]; leave layer out."
        raise ValueError(msg)
    cells = _matrix.of_embedding(adata, obsm)
    if len(cells.names) != len(model.names):
        msg = (
            f"adata.obsm[{obsm!r}] has {len(cells.names)} dimensions, the network {len(model.names)}: make the "
            "embedding of the new cells as that of the reference was made (its components, not new ones)."
        )
        raise ValueError(msg)
    return cells


def codes_of(cells: Input, network: Network, *, device: str = "cpu", progress: bool = False) -> sp.csr_matrix:
    """Codes of all cells, block by block, float32."""
    parts = []
    with tqdm(total=cells.n_cells, desc="codes", unit=" cells", disable=not progress, leave=False) as bar:
        for start, stop, values in cells.blocks(BLOCK_BYTES):
            parts.append(encode(network, values, device=device))
            bar.update(stop - start)
    return sp.vstack(parts, format="csr")


def _without(network: Network, found: NDArray[np.bool_]) -> Network:
    """The network on some of its genes, all others at their mean: these add nothing to the first layer."""
    (weight, bias), *inner = network.encoder
    *before, (last, last_bias) = network.decoder
    return replace(
        network,
        encoder=((weight[:, found], bias), *inner),
        decoder=(*before, (last[found], last_bias[found])),
        mean=network.mean[found],
    )
