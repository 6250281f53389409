"""What a latent of a sparse autoencoder does to genes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathwayae import _checks, get
from pathwayae._slots import keys, lookup, store
from pathwayae._slots.sparse_ae import codes as codes_of_cells
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData


@gated()
def latent_genes(
    adata: AnnData,
    latents: str | Sequence[str] | None = None,
    *,
    n_genes: int = 20,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""List the genes that each latent moves most: what the decoder adds to them when the latent fires.

    The effect of latent j is :math:`\mathrm{decode}(e_j) - \mathrm{decode}(0)`: without the difference, the offset of
    the decoder would be taken for it. For a linear decoder it is the row of the dictionary; with hidden layers, what a
    latent alone does. Of an embedding with known gene loadings (``X_pca`` with ``varm["PCs"]``, scores of
    ``pae.tl.fit``) it is mapped back to genes. ``pae.tl.enrich(adata, gene_sets, key="sparse_ae")`` tests all genes.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``. Reads ``varm["{key}_features"]`` and ``obsm["X_{key}"]``.
    latents
        Names of latents. ``None`` for all.
    n_genes
        Genes per latent, at most: those with the largest effect, up or down. A gene without effect is never listed.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns[key]["latent_genes"]``, which replaces that of an earlier call, a row per latent and gene:
        ``latent``, ``rank`` (from 1; ties by name), ``gene`` (as named at the fit), ``effect`` (in the units of the
        genes, for an activation of 1) and ``typical`` (for the mean activation of the latent in the cells in which it
        fires; 0 where it fires in none).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the latents say nothing about genes.
    TypeError, ValueError
        If `n_genes` is not a whole number of at least 1.

    See Also
    --------
    pathwayae.get.latent_genes, pathwayae.pl.latent_features, pathwayae.tl.enrich

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.latent_genes(adata, "latent_3", n_genes=10)
    >>> pae.get.latent_genes(adata)["rank"].tolist()
    [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    """
    _checks.number("n_genes", n_genes, 1, integer=True)
    lookup.fit_of(adata, key, keys.SPARSE_AE)
    chosen = get.component_names(adata, latents, key=key)
    effects = get.loadings(adata, latents, key=key)
    names = lookup.gene_names(adata, key).to_numpy(dtype=str)
    codes = codes_of_cells(adata, key).astype(np.float64)
    codes.eliminate_zeros()
    fired = np.maximum(np.diff(codes.tocsc().indptr), 1)
    activation = pd.Series(np.asarray(codes.sum(axis=0)).ravel() / fired, index=get.component_names(adata, key=key))
    tables = []
    for name in chosen:
        effect = effects[name].to_numpy(dtype=np.float64)
        top = np.lexsort((names, -np.abs(effect)))[:n_genes]
        top = top[effect[top] != 0]
        ranks = np.arange(1, len(top) + 1)
        columns = {"latent": name, "rank": ranks, "gene": names[top].astype(object), "effect": effect[top]}
        tables.append(pd.DataFrame(columns | {"typical": effect[top] * activation[name]}))
    found = {keys.LATENT_GENES: pd.concat(tables, ignore_index=True)}
    target = adata.copy() if copy else adata
    store.add(target, key, found)
    return target if copy else None
