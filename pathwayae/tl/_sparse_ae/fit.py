"""Sparse, overcomplete codes of cells or of an embedding of them."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _progress
from pathwayae._cells import matrix
from pathwayae._cells.minibatches import training_cells
from pathwayae._slots import keys, store
from pathwayae._slots import sparse_ae as slots
from pathwayae._slots.gene_loadings import gene_loadings
from pathwayae.core.gates import gated
from pathwayae.core.sparse_ae import network as core
from pathwayae.core.sparse_ae import training
from pathwayae.core.sparse_ae.settings import Config, resolve
from pathwayae.tl._sparse_ae.settings import SparseAESettings, check, config_of, stored
from pathwayae.tl._sparse_ae.transform import codes_of

logger = logging.getLogger("pathwayae")


@gated()
def sparse_ae(
    adata: AnnData,
    *,
    layer: str | None = None,
    obsm: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    gene_symbols: str | None = None,
    n_latents: int | None = None,
    k: float | None = None,
    sparsity: Literal["batchtopk", "topk", "jumprelu", "l1", "kl"] = "batchtopk",
    n_epochs: int | None = None,
    settings: SparseAESettings | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Train a sparse autoencoder: many latents of which few fire in a cell, each with a meaning of its own.

    With :math:`x' = (x - \mu)/s`, s such that :math:`\langle\|x'\|^2\rangle = 1`,

    .. math:: h = \mathrm{act}(W_e x' + b_e), \qquad \hat x' = W_d h + b_d

    and :math:`\|x' - \hat x'\|^2` as small as it gets while few latents fire. By default `k` per cell on average: of
    the activations of a minibatch the largest are kept (BatchTopK, Bussmann, Leask & Nanda 2024), and new cells are
    encoded by the threshold that has resulted, so that a code does not depend on the cells around it. The defaults
    were chosen for the size of single-cell data: centred, decoder rows of length 1, and latents that died are revived
    (Gao et al. 2024).

    Parameters
    ----------
    adata
        Cells × genes, log-normalised: dense or sparse, in memory, backed, read lazily, or on dask. Cells that do not
        fit in memory (more than 2 GiB of them) are read again in every epoch, in blocks in random order.
    layer
        Layer to read; by default ``X``.
    obsm
        Embedding to read instead, such as ``"X_pca"`` or that of scVI or a foundation model.
    mask_var
        Genes to use: a boolean column of ``var`` or a boolean array; by default all. Take the highly variable ones.
    gene_symbols
        Column of ``var`` with the names of the genes for gene sets and for new cells; by default ``var_names``.
    n_latents
        Number of latents m. By default one per 40 cells, from 256 to 4 096, but at most four times the columns and so
        few that one is active in 20 cells on average.
    k
        Latents per cell: on average (``"batchtopk"``), exactly (``"topk"``) or aimed at (``"jumprelu"``). By default 8,
        or half the square root of the number of columns where that is more.
    sparsity
        ``"batchtopk"``; ``"topk"``; ``"jumprelu"``: a threshold per latent, learned (Rajamanoharan et al. 2024);
        ``"l1"``: weight · Σ|h|; ``"kl"``: sigmoid codes, weight · Σ KL(ρ ‖ mean of h).
    n_epochs
        Passes over the cells. By default 2 000 minibatches; training ends earlier where the error on held-out cells
        has stopped falling.
    settings
        What rarely needs a change: weight of the penalty, layers, the classic networks, minibatches and held-out cells,
        see :class:`pathwayae.tl.SparseAESettings`.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of the start, the order of the cells and the choice of those held out.
    progress
        Show progress bars on a terminal or in a notebook.
    key_added
        Replaces ``sparse_ae`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes, in the place of an earlier network under the same key and its analyses,

    - ``obsm["X_sparse_ae"]``: codes, CSR float32, cells × latents; in units of s, see ``uns``.
    - ``obs["sparse_ae_fit"]``: the id of the fit, which tells cells joined from two fits apart.
    - ``varm["sparse_ae_features"]``: genes × latents, what a latent adds to each gene when it fires by 1,
      :math:`\mathrm{decode}(e_j) - \mathrm{decode}(0)`, in the units of the genes; zero for genes outside the model. Of
      ``obsm="X_pca"`` through ``varm["PCs"]``, of scores of :func:`pathwayae.tl.fit` through their loadings; of an
      embedding without loadings in ``varm`` there is no such slot.
    - ``varm["sparse_ae_encoder"]``, ``varm["sparse_ae_decoder"]``, ``var["sparse_ae_mean"]``,
      ``var["sparse_ae_bias"]``: the layers with a gene axis, where genes were read; NaN in ``var`` outside the model.
    - ``uns["sparse_ae"]``: ``params``, ``component_names`` (``latent_0``, …), ``network`` (the rest of it),
      ``history`` (per epoch ``total``, ``reconstruction``, ``sparsity``, ``auxiliary``; ``unexplained``, the share of
      variance on held-out cells; ``active`` latents per cell; ``dead`` share of the latents), ``n_epochs``,
      ``converged``, ``unexplained``, ``n_dead`` and ``n_rare`` latents (in no cell, in less than 1 % of them) of the
      state that was kept.

    Raises
    ------
    KeyError
        If a layer, embedding or column does not exist.
    ValueError
        If gene names repeat, values are not finite or do not vary, or settings contradict each other.

    Warns
    -----
    pathwayae.DataWarning
        If the values look like raw counts, or all latents are dead.

    See Also
    --------
    pathwayae.get.scores, pathwayae.get.loadings : the slots with labels.
    pathwayae.tl.latent_selectivity, pathwayae.tl.latent_genes, pathwayae.tl.enrich : what latents mean.
    pathwayae.tl.transform : codes of new cells.
    pathwayae.models.SparseAutoencoder : the model on plain arrays.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, n_epochs=5, progress=False)
    >>> adata.obsm["X_sparse_ae"].shape
    (300, 32)
    """
    own = check(settings, n_latents, k, n_epochs, random_state)
    config = config_of(
        own, n_latents=n_latents, k=k, sparsity=sparsity, n_epochs=n_epochs, device=device, random_state=random_state
    )
    store.claim(adata, key_added, keys.SPARSE_AE)
    cells = matrix.chosen(adata, layer=layer, obsm=obsm, mask_var=mask_var, gene_symbols=gene_symbols)
    held_out = float(own.held_out or 0.0)
    read = training_cells(cells, held_out=held_out, seed=random_state, device=config.device, progress=progress)
    fit = _trained(read, config, random_state, progress=progress)
    codes = codes_of(cells, fit.network, device=config.device, progress=progress)
    params = stored(
        own,
        fit.config,
        layer=layer,
        obsm=obsm,
        mask_var=mask_var,
        gene_symbols=gene_symbols,
        random_state=random_state,
    )
    target = adata.copy() if copy else adata
    _write(target, key_added, cells, fit, codes, params)
    logger.info("Trained %d latents; %.3f of the variance is unexplained.", fit.network.n_latents, fit.unexplained)
    return target if copy else None


def _trained(cells: Any, config: Config, order: int, *, progress: bool) -> training.Fit:
    """One network, epoch by epoch on a bar."""
    epochs = resolve(config, cells.n, cells.n_features).n_epochs
    with _progress.bar("training", "epochs", epochs, progress=progress) as bar:

        def step(_: int, terms: dict[str, float]) -> None:
            bar.set_postfix(unexplained=f"{terms['unexplained']:.4f}", refresh=False)
            bar.update()

        return training.train(cells, [config], order=order, progress=step)[0]


def _write(
    adata: AnnData, key: str, cells: matrix.Input, fit: training.Fit, codes: Any, params: dict[str, Any]
) -> None:
    """Compute everything, then replace all slots of the key."""
    features = core.features(fit.network)  # latents × columns
    index = cells.columns if not params["obsm"] else None
    if index is None:
        loadings = gene_loadings(adata, params["obsm"], features.shape[1])
        of_genes = None if loadings is None else (loadings @ features.T).astype(np.float32)
    else:
        of_genes = store.of_all_genes(adata.n_vars, index, features.T)
    entries = {
        keys.PARAMS: params,
        keys.HISTORY: {name: np.array(values) for name, values in fit.history.items()},
    }
    entries |= {name: getattr(fit, name) for name in ("n_epochs", "converged", "unexplained", "n_dead", "n_rare")}
    slots.write(adata, key, fit.network, index, codes, of_genes, entries)
