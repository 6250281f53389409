"""How many latents a cell needs: progressive ablation of the codes of a sparse autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae import _inputs, _keys
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import ablation as core
from pathwayae.core.sparse_ae.network import Network, decode, features
from pathwayae.tl._latents import check_network, codes_of, written
from pathwayae.tl._sparse_fitted import align, fitted

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from pathwayae.tl._matrix import Input

BLOCK_BYTES = 64 * 2**20  # of cells read at once, dense in float32


def ablation(
    adata: AnnData,
    *,
    n_cells: int = 10_000,
    random_state: int = 0,
    key: str = _keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""How many latents a cell needs: zero those of each cell from the smallest activation up, and see what is left.

    With :math:`h^{(q)}` the code of a cell of which the q largest activations are kept (ties by the number of the
    latent), :math:`\mathrm{EV}(q) = 1 - \sum \|x - \mathrm{decode}(h^{(q)})\|^2 / \sum \|x - \bar x\|^2` over all
    cells, :math:`\bar x` their mean. The fewest latents for a share are the smallest q with :math:`\mathrm{EV}(q)` at
    least that share of the whole code's. A linear decoder is taken one latent at a time, in the time of decoding once;
    with hidden layers cells are decoded for every q: up to 64 every number, then numbers that grow by a tenth, and
    those around the fewest again one by one.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``, with what it was trained on. Reads ``obsm["X_{key}"]`` and the network.
    n_cells
        Of more cells than these, so many are drawn at random; the curve hardly depends on their number.
    random_state
        Seed of the draw.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With, both read by :func:`pathwayae.get.ablation` and replacing those of an earlier call:

        - ``uns[key]["ablation"]``, a row per number: ``kept``; ``mean_kept`` (activations that are left per cell: some
          have fewer) and ``population`` (their share of the latents); ``explained_variance``; ``share`` (of what the
          whole code explains; NaN where that is nothing)
        - ``uns[key]["ablation_fewest"]``: ``share`` (0.9, 0.95), ``kept`` (−1 where the whole code explains nothing),
          ``mean_kept``, ``explained_variance``

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or what it was trained on is gone.
    TypeError, ValueError
        If a number is out of range, or the cells do not vary.

    Warns
    -----
    pathwayae.DataWarning
        If the whole code explains nothing.

    See Also
    --------
    pathwayae.get.ablation, pathwayae.pl.ablation

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.ablation(adata)
    >>> pae.get.ablation(adata)["share"].iloc[-1].item()
    1.0
    """
    _inputs.number("n_cells", n_cells, 2, integer=True)
    _inputs.number("random_state", random_state, 0, integer=True)
    check_network(adata, key)
    cells, network = align(adata, fitted(adata, key))
    blocks = _blocks(cells, codes_of(adata, key), n_cells, random_state)
    errors = _errors(network)
    kept = core.grid(max(int(np.diff(codes.indptr).max(initial=0)) for _, codes in blocks))
    table = core.curve(blocks, errors, kept)
    while missing := core.between(table):
        table = core.curve(blocks, errors, sorted({*table["kept"], *missing}))
    fewest = core.fewest(table)
    if (fewest["kept"] < 0).any():
        whole = table["explained_variance"].iloc[-1]
        msg = f"The whole code explains {whole:.1%} of the variance, so there is no share of it to keep; fit again."
        warn(msg)
    found: dict[str, pd.DataFrame] = {_keys.ABLATION: table, _keys.ABLATION_FEWEST: fewest}
    return written(adata.copy() if copy else adata, key, found, copy=copy)


def _blocks(
    cells: Input, codes: sp.csr_matrix, n_cells: int, seed: int
) -> list[tuple[NDArray[np.float32], sp.csr_matrix]]:
    """Values and codes of all cells, or of so many drawn at random, dense and in memory."""
    n = cells.n_cells
    chosen = np.ones(n, dtype=bool)
    if n > n_cells:
        chosen[:] = False
        chosen[np.random.default_rng(seed).choice(n, n_cells, replace=False)] = True
    blocks = []
    for start, stop, values in cells.blocks(BLOCK_BYTES):
        rows = np.flatnonzero(chosen[start:stop])
        if len(rows):
            part = values[rows]
            blocks.append((part.toarray() if sp.issparse(part) else np.asarray(part), codes[start + rows]))
    return blocks


def _errors(network: Network) -> core.Errors:
    if len(network.decoder) > 1 or network.output != "identity":
        return core.decoded(lambda codes: decode(network, codes))
    offset = decode(network, sp.csr_matrix((1, network.n_latents), dtype=np.float32))[0]
    return core.linear(features(network), offset)
