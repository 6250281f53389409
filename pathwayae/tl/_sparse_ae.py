"""Sparse, overcomplete codes of cells or of an embedding of them."""

from __future__ import annotations

import logging
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _inputs, _keys
from pathwayae.core.sparse_ae import network as core
from pathwayae.core.sparse_ae import settings, training
from pathwayae.core.sparse_ae.settings import Config
from pathwayae.tl import _matrix, _sparse_fitted
from pathwayae.tl._minibatches import training_cells
from pathwayae.tl._sparse_genes import gene_loadings

logger = logging.getLogger("pathwayae")

OF_CLASSIC = {"hidden": (), "sparsity": "batchtopk", "k": None, "output": "identity", "center": True}
STORED = ("layer", "obsm", "mask_var", "gene_symbols", "classic", "held_out", "random_state")


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
    weight: float | None = None,
    rho: float = 0.05,
    hidden: tuple[int, ...] = (),
    output: Literal["identity", "relu", "sigmoid"] = "identity",
    center: bool = True,
    classic: Literal["l1", "kl", "single"] | None = None,
    batch_size: int | None = None,
    n_epochs: int | None = None,
    learning_rate: float = 1e-3,
    held_out: float | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = _keys.SPARSE_AE,
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
        ``"l1"``: `weight` · Σ|h|; ``"kl"``: sigmoid codes, `weight` · Σ KL(`rho` ‖ mean of h).
    weight
        Of the penalty; by default 0.1 (``"l1"``), 0.01 (``"kl"``), 1 (``"jumprelu"``). With ``"batchtopk"`` and
        ``"topk"`` of a small Σ|h|, by default 0.03, which empties places that only noise would fill: `k` need not be
        exact.
    rho
        Wanted mean activity of a latent, for ``"kl"``.
    hidden
        Sizes of layers between cells and code, mirrored between code and cells.
    output
        Activation of the output. ``"sigmoid"`` needs values between 0 and 1 and ``center=False``.
    center
        Subtract the mean of every column. Without it the mean takes up the latents where it outweighs the variation.
    classic
        One of the classic networks as they were, with sigmoid output and mean squared error, for values between 0 and
        1: ``"l1"`` and ``"kl"``: d → 256 → 128 → 256 → d; ``"single"``: one layer each way. They decide over `hidden`,
        `sparsity`, `k`, `output` and `center`; `n_latents`, `weight`, `rho`, `batch_size` and `n_epochs` may differ.
    batch_size, n_epochs, learning_rate
        Of Adam. By default about a twentieth of the cells (32 to 4 096) and 2 000 minibatches; training ends earlier
        where the error on held-out cells has stopped falling.
    held_out
        Share of the cells, at most 10 000 of them, that is not trained on but measured. By default a tenth; none with
        `classic`, which trains on all cells to the last epoch.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of the start, the order of the cells and the choice of those held out.
    progress
        Show progress bars.
    key_added
        Replaces ``sparse_ae`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes, in the place of an earlier network under the same key and its analyses,

    - ``obsm["X_sparse_ae"]``: codes, CSR float32, cells × latents; in units of s, see ``uns``.
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
    pathwayae.get.codes, pathwayae.get.features : the slots with labels.
    pathwayae.tl.sparsity, pathwayae.tl.selectivity, pathwayae.tl.latent_genes, pathwayae.tl.enrich : what they mean.
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
    given = dict(locals())
    if held_out is None:
        given["held_out"] = held_out = 0.1 if classic is None else 0.0
    config = _config(given)
    cells = _matrix.chosen(adata, layer=layer, obsm=obsm, mask_var=mask_var, gene_symbols=gene_symbols)
    read = training_cells(cells, held_out=held_out, seed=random_state, device=config.device, progress=progress)
    fit = _trained(read, config, random_state, progress=progress)
    codes = _sparse_fitted.codes_of(cells, fit.network, device=config.device, progress=progress)
    target = adata.copy() if copy else adata
    _write(target, key_added, cells, fit, codes, _stored(given, fit.config))
    logger.info("Trained %d latents; %.3f of the variance is unexplained.", fit.network.n_latents, fit.unexplained)
    return target if copy else None


def _config(given: dict[str, Any]) -> Config:
    """Checked settings of the core; what follows from the data stays None."""
    for name in ("n_latents", "batch_size", "n_epochs"):
        if given[name] is not None:
            _inputs.number(name, given[name], 1, integer=True)
    for name, low in (("k", 0), ("weight", 0), ("rho", 1e-8), ("learning_rate", 1e-12)):
        if given[name] is not None:
            _inputs.number(name, given[name], low, 1 - 1e-8 if name == "rho" else float("inf"))
    _inputs.number("held_out", given["held_out"], 0, 0.9)
    _inputs.number("random_state", given["random_state"], 0, integer=True)
    _inputs.choice("sparsity", given["sparsity"], tuple(settings.WEIGHTS))
    _inputs.choice("output", given["output"], ("identity", "relu", "sigmoid"))
    _inputs.choice("classic", given["classic"], (*settings.CLASSIC, None))
    hidden = tuple(given["hidden"])
    for size in hidden:
        _inputs.number("hidden", size, 1, integer=True)
    shared = {"seed": int(given["random_state"]), "device": _inputs.device(given["device"])}
    shared |= {name: given[name] for name in ("rho", "learning_rate")}
    changes = {name: given[name] for name in ("n_latents", "weight", "batch_size", "n_epochs")}
    if given["classic"] is None:
        changes |= {name: given[name] for name in ("sparsity", "k", "output", "center")}
        return Config(hidden=hidden, **shared, **changes)
    for name, default in OF_CLASSIC.items():
        if (hidden if name == "hidden" else given[name]) != default:
            msg = f"classic={given['classic']!r} decides over {name}, but {name}={given[name]!r}; leave one out."
            raise ValueError(msg)
    return settings.classic(given["classic"], **shared, **{name: v for name, v in changes.items() if v is not None})


def _trained(cells: Any, config: Config, order: int, *, progress: bool) -> training.Fit:
    """One network, epoch by epoch on a bar."""
    epochs = settings.resolve(config, cells.n, cells.n_features).n_epochs
    with tqdm(total=epochs, desc="training", unit=" epochs", disable=not progress, leave=False) as bar:

        def step(_: int, terms: dict[str, float]) -> None:
            bar.set_postfix(unexplained=f"{terms['unexplained']:.4f}", refresh=False)
            bar.update()

        return training.train(cells, [config], order=order, progress=step)[0]


def _stored(given: dict[str, Any], config: Config) -> dict[str, Any]:
    """Settings as h5ad and zarr can hold them; "" stands for None."""
    params = {_keys.MODEL: _keys.SPARSE_AE} | {name: given[name] for name in STORED} | asdict(config)
    if not isinstance(params["mask_var"], str | None):
        params["mask_var"] = "array"
    params["hidden"] = np.array(config.hidden, dtype=np.int64)
    return {name: "" if value is None else value for name, value in params.items()}


def _write(
    adata: AnnData, key: str, cells: _matrix.Input, fit: training.Fit, codes: Any, params: dict[str, Any]
) -> None:
    """Compute everything, then replace all slots of the key."""
    features = core.features(fit.network)  # latents × columns
    n_latents = len(features)
    index = cells.columns if not params["obsm"] else None
    if index is None:
        loadings = gene_loadings(adata, params["obsm"], features.shape[1])
        of_genes = None if loadings is None else (loadings @ features.T).astype(np.float32)
    else:
        of_genes = _sparse_fitted.rows(adata.n_vars, index, features.T)
    entries = {
        _keys.PARAMS: params,
        _keys.COMPONENT_NAMES: np.array([f"latent_{j}" for j in range(n_latents)], dtype=object),
        _keys.HISTORY: {name: np.array(values) for name, values in fit.history.items()},
    }
    entries |= {name: getattr(fit, name) for name in ("n_epochs", "converged", "unexplained", "n_dead", "n_rare")}
    slots = _sparse_fitted.slots(key) | {"obs": tuple(_keys.of_cell(key).values())}  # of an earlier fit
    for where, names in slots.items():
        for name in set(names) & set(getattr(adata, where)):
            del getattr(adata, where)[name]
    if of_genes is not None:
        adata.varm[_keys.features(key)] = of_genes
    entries[_keys.NETWORK] = _sparse_fitted.write_network(adata, key, fit.network, index)
    adata.obsm[_keys.scores(key)] = codes
    adata.uns[key] = entries
