"""A trained sparse autoencoder on plain arrays: encode, decode, what each latent stands for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from torch import Tensor

from pathwayae.core.sparse import canonical
from pathwayae.core.sparse_ae import sparsity as rules

CHUNK = 2**22  # numbers of a chunk of cells in flight

Code = Literal["relu", "sigmoid"]
Output = Literal["identity", "relu", "sigmoid"]
Layer: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]  # W (out, in) and b (out,)
Matrix: TypeAlias = Any  # dense or CSR; scipy has no types


@dataclass(frozen=True, eq=False)
class Network:
    """One trained model: ``x' = (x − mean) / scale``, codes ``h``, reconstruction ``x̂ = mean + scale · x̂'``.

    Attributes
    ----------
    encoder, decoder
        Layers in order, each W (out, in) and b (out,); ReLU between them.
    mean
        Shape (d,), float64, in the units of the data.
    scale
        One number for all features.
    threshold
        Smallest activation at inference: shape () for ``batchtopk``, (m,) for ``jumprelu``, else 0.
    sparsity, code, output
        Kind of sparsity, activation of the codes, activation of the output.
    k
        Latents per cell that were asked for (``batchtopk``, ``topk``, ``jumprelu``), else 0.
    """

    encoder: tuple[Layer, ...]
    decoder: tuple[Layer, ...]
    mean: NDArray[np.float64]
    scale: float
    threshold: NDArray[np.float64]
    sparsity: rules.Sparsity
    k: float
    code: Code = "relu"
    output: Output = "identity"

    @property
    def n_latents(self) -> int:
        """Number of latents m."""
        return int(self.encoder[-1][0].shape[0])

    @property
    def n_features(self) -> int:
        """Number of features d."""
        return int(self.encoder[0][0].shape[1])


def encode(network: Network, X: Matrix, *, device: str = "cpu") -> sp.csr_matrix:
    """Codes of cells, float32 CSR, shape (n, m); computed in float64, so that they do not depend on the batch.

    Parameters
    ----------
    network
        The trained model.
    X
        Cells × features, dense or CSR, in the units of the training data.
    device
        Where to compute, as torch names it.

    Raises
    ------
    ValueError
        If the number of features is not that of the network.
    """
    _check_width(X, network.n_features, "X", "features")
    found = [sp.csr_matrix((0, network.n_latents), dtype=np.float32)]
    for chunk in _chunks(X, network):
        codes = codes_of(network, _tensor(chunk, device)).to(torch.float32)
        found.append(sp.csr_matrix(codes.cpu().numpy()))
    return sp.csr_matrix(sp.vstack(found, format="csr", dtype=np.float32))


def codes_of(network: Network, cells: Tensor) -> Tensor:
    """Codes (b, m) of cells (b, d) in the units of the data, on the device and in the precision of ``cells``."""
    mean = torch.as_tensor(network.mean, dtype=cells.dtype, device=cells.device)
    pre = _through(network.encoder, (cells - mean) / network.scale)
    if network.code == "sigmoid":
        return torch.sigmoid(pre)
    if network.sparsity == "topk":
        return rules.top_k(pre, torch.as_tensor(int(network.k), device=pre.device))
    return rules.above(pre, torch.as_tensor(network.threshold, dtype=pre.dtype, device=pre.device))


def decode(network: Network, codes: Matrix, *, device: str = "cpu") -> NDArray[np.float32]:
    """Reconstructed cells in the units of the data, float32, shape (n, d).

    Parameters
    ----------
    network
        The trained model.
    codes
        Cells × latents, dense or CSR.
    device
        Where to compute, as torch names it.

    Raises
    ------
    ValueError
        If the number of latents is not that of the network.
    """
    _check_width(codes, network.n_latents, "codes", "latents")
    found = np.empty((codes.shape[0], network.n_features), dtype=np.float32)
    start = 0
    for chunk in _chunks(codes, network):
        found[start : start + chunk.shape[0]] = _decoded(network, chunk, device)
        start += chunk.shape[0]
    return found


def features(network: Network) -> NDArray[np.float64]:
    """What each latent adds to a cell, ``decode(e_j) − decode(0)`` in the units of the data, shape (m, d)."""
    if len(network.decoder) == 1 and network.output == "identity":
        return network.decoder[0][0].T.astype(np.float64) * network.scale
    nothing = _decoded(network, np.zeros((1, network.n_latents)), "cpu")
    one = np.eye(network.n_latents)
    return np.vstack([_decoded(network, chunk, "cpu") for chunk in _chunks(one, network)]) - nothing


def residual(network: Network, X: Matrix, *, device: str = "cpu") -> tuple[float, float]:
    """``‖X − X̂‖²`` and ``‖X − mean(X)‖²`` over all cells and features, float64, a chunk of cells at a time."""
    _check_width(X, network.n_features, "X", "features")
    error, squares, sums = 0.0, 0.0, np.zeros(network.n_features)
    for chunk in _chunks(X, network):
        cells = _tensor(chunk, device)
        rebuilt = _finish(network, _through(network.decoder, codes_of(network, cells)))
        centred = cells - torch.as_tensor(network.mean, device=cells.device)
        error += float(((cells - rebuilt) ** 2).sum())
        squares += float((centred**2).sum())
        sums += centred.sum(dim=0).cpu().numpy()
    return error, squares - float(sums @ sums) / max(X.shape[0], 1)


def _decoded(network: Network, codes: Matrix, device: str) -> NDArray[np.float64]:
    """Reconstruction (b, d), float64; the first layer uses only latents that fire where codes are CSR."""
    if not sp.issparse(codes):
        rebuilt = _through(network.decoder, _tensor(codes, device))
    else:
        weight, bias = network.decoder[0]
        first = torch.as_tensor(codes @ weight.T.astype(np.float64) + bias, device=device)
        rest = network.decoder[1:]
        rebuilt = _through(rest, torch.relu(first)) if rest else first
    values: NDArray[np.float64] = _finish(network, rebuilt).cpu().numpy()
    return values


def _through(layers: Sequence[Layer], values: Tensor) -> Tensor:
    """Linear layers with ReLU between them."""
    for number, (weight, bias) in enumerate(layers):
        values = torch.relu(values) if number else values
        w, b = (torch.as_tensor(part, dtype=values.dtype, device=values.device) for part in (weight, bias))
        values = values @ w.T + b
    return values


def _finish(network: Network, rebuilt: Tensor) -> Tensor:
    """Output activation and units of the data."""
    mean = torch.as_tensor(network.mean, dtype=rebuilt.dtype, device=rebuilt.device)
    return activate_output(rebuilt, network.output) * network.scale + mean


def activate_output(values: Tensor, output: Output) -> Tensor:
    """The activation of the output."""
    if output == "sigmoid":
        return torch.sigmoid(values)
    return torch.relu(values) if output == "relu" else values


def _tensor(chunk: Matrix, device: str) -> Tensor:
    dense = chunk.toarray() if sp.issparse(chunk) else np.asarray(chunk)
    return torch.as_tensor(np.require(dense, dtype=np.float64, requirements="W"), device=device)


def _chunks(matrix: Matrix, network: Network) -> Iterator[Matrix]:
    size = max(1, CHUNK // (network.n_features + network.n_latents))
    matrix = canonical(matrix) if sp.issparse(matrix) else np.asarray(matrix)
    for start in range(0, matrix.shape[0], size):
        yield matrix[start : start + size]


def _check_width(matrix: Matrix, width: int, name: str, what: str) -> None:
    if matrix.ndim != 2 or matrix.shape[1] != width:
        msg = f"{name} has shape {matrix.shape}, but the network was trained on {width} {what}; pass (n, {width})."
        raise ValueError(msg)
