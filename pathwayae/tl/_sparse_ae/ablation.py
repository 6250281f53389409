"""How many latents a cell needs: progressive ablation of the codes of a sparse autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae._slots.sparse_ae import codes as codes_of_cells
from pathwayae._slots.sparse_ae import fitted
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import ablation as core
from pathwayae.core.sparse_ae.network import Network, decode, features
from pathwayae.tl._sparse_ae.transform import on_genes_of

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from pathwayae._cells.matrix import Input

BLOCK_BYTES = 64 * 2**20  # of cells read at once, dense in float32


@gated()
def latent_ablation(
    adata: AnnData,
    *,
    n_cells: int = 10_000,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how many latents a cell needs: zero its activations from the smallest up, and see what is left.

    With :math:`h^{(q)}` the code of a cell of which the q largest activations are kept (ties by the number of the
    latent), :math:`\mathrm{EV}(q) = 1 - \sum \|x - \mathrm{decode}(h^{(q)})\|^2 / \sum \|x - \bar x\|^2` over all
    cells, :math:`\bar x` their mean; of one cell alone, what is decoded of no latent. The fewest latents for a share
    are the smallest q with :math:`\mathrm{EV}(q)` at least that share of the whole code's. A linear decoder is taken
    one latent at a time, in the time of decoding once; with hidden layers cells are decoded for every q: up to 64 every
    number, then numbers that grow by a tenth, and those around the fewest again one by one.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``, with what it was trained on. Reads ``obsm["X_{key}"]`` and the network.
    n_cells
        Of more cells than these, so many are drawn at random; the curve hardly depends on their number.
    random_state
        Seed of the draw.
    progress
        Show a progress bar on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With, both read by :func:`pathwayae.get.latent_ablation` and replacing those of an earlier call:

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
        If a number is out of range, or there is nothing to explain.

    Warns
    -----
    pathwayae.DataWarning
        If the whole code explains nothing.

    See Also
    --------
    pathwayae.get.latent_ablation, pathwayae.pl.latent_ablation

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.latent_ablation(adata, progress=False)
    >>> pae.get.latent_ablation(adata)["share"].iloc[-1].item()
    1.0
    """
    _checks.number("n_cells", n_cells, 1, integer=True)
    _checks.number("random_state", random_state, 0, integer=True)
    cells, network = on_genes_of(adata, fitted(adata, key))
    blocks = _blocks(cells, codes_of_cells(adata, key), n_cells, random_state)
    errors = _errors(network)
    kept = core.grid(max(int(np.diff(codes.indptr).max(initial=0)) for _, codes in blocks))
    table = core.curve(blocks, errors, kept)
    with _progress.bar("ablation", "refinements", progress=progress) as bar:
        while missing := core.between(table):
            table = core.curve(blocks, errors, sorted({*table["kept"], *missing}))
            bar.update()
    fewest = core.fewest(table)
    if (fewest["kept"] < 0).any():
        whole = table["explained_variance"].iloc[-1]
        msg = f"The whole code explains {whole:.1%} of the variance, so there is no share of it to keep; fit again."
        warn(msg)
    found: dict[str, pd.DataFrame] = {keys.ABLATION: table, keys.ABLATION_FEWEST: fewest}
    target = adata.copy() if copy else adata
    store.add(target, key, found)
    return target if copy else None


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
