"""Archetypal analysis of the cells of an AnnData; results go into its slots."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae.core.archetypes import profiles, solver
from pathwayae.core.gates import gated
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.notice import warn
from pathwayae.tl._archetypes import cells as of_archetypes
from pathwayae.tl._archetypes.cells import Cells, labels_of
from pathwayae.tl._archetypes.settings import ArchetypesSettings, check, config_of

logger = logging.getLogger("pathwayae")

PREFIX = "archetype_"


@gated()
def archetypes(
    adata: AnnData,
    n_archetypes: int,
    *,
    obsm: str | None = "X_pae",
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    gene_symbols: str | None = None,
    start: Literal["aa++", "furthest_sum", "kmeans++"] | Sequence[str] | NDArray[Any] = "aa++",
    n_restarts: int = 5,
    labels: bool = False,
    settings: ArchetypesSettings | None = None,
    device: str = "auto",
    random_state: int = 0,
    progress: bool = True,
    key_added: str = keys.ARCHETYPES,
    copy: bool = False,
) -> AnnData | None:
    r"""Find the extremes of the cells, and every cell as a mixture of them.

    .. math:: \min_{A, B} \|X - A Z\|_F^2, \qquad Z = B X,

    rows of the weights A (n × k) and of B (k × n) non-negative with sum 1 (Cutler and Breiman 1994,
    10.1080/00401706.1994.10485840): archetypes are mixtures of a few cells, which are named, and cells are mixtures of
    archetypes. The optimum comes with a certificate, the gap: moving the archetypes within the hull of all cells could
    not raise the explained variance by more.

    Expression at the archetypes of an embedding E is what the best linear decoder makes of their coordinates,
    :math:`P = \bar x + (Z - \bar e)(E_c^\top E_c)^{+} E_c^\top X_c` with centred :math:`E_c, X_c`: of principal
    components, their loadings; of pathway scores, the least-squares map from scores to genes. All cells take part, not
    the few that an archetype is made of.

    Archetypes are numbered by their total weight, the largest first. Cells are taken in the order of their names, so
    that the order of the AnnData does not change the result (cells that do not fit in memory are taken as they come,
    and another order may then lead to another optimum).

    Parameters
    ----------
    adata
        Cells. An embedding is read into memory; ``X`` may be in memory, backed, read lazily, or on dask.
    n_archetypes
        Number of archetypes k, at most the number of distinct cells.
    obsm
        Embedding to fit: ``"X_pae"`` (pathway scores), ``"X_pca"``, or another one in ``obsm``; ``None``: genes.
        Dimensions are taken as they are scaled.
    layer
        Genes to fit, or to express the archetypes in; by default ``X``, or the layer that the scores are of.
    mask_var
        With ``obsm=None``, genes to use: a boolean column of ``var`` or a boolean array; by default all.
    gene_symbols
        Column of ``var`` with the names of the genes for gene sets and for new cells; by default ``var_names``.
    start
        How the first archetypes are chosen: ``"aa++"``, ``"furthest_sum"``, ``"kmeans++"``; or k cells, by name or
        position; or coordinates (k × d).
    n_restarts
        Number of starts; the one with the lowest loss is kept. Real cells have several optima that lie close.
    labels
        Also write to ``obs`` the archetype with the largest weight and that weight.
    settings
        What rarely needs a change: the hull, entropy, robustness and the solver, see
        :class:`pathwayae.tl.ArchetypesSettings`.
    device
        ``"auto"``, ``"cpu"`` or ``"cuda"``.
    random_state
        Seed of the starts.
    progress
        Show a progress bar on a terminal or in a notebook.
    key_added
        Replaces ``archetypes`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes, in the place of earlier archetypes under the same key,

    - ``obsm["X_archetypes"]``: weights, float32, cells × archetypes, rows with sum 1.
    - ``obs["archetypes_fit"]``: the id of the fit, which tells cells joined from two fits apart.
    - ``varm["archetypes"]``: expression at each archetype, float32, genes × archetypes, in units of ``X``; zero rows
      for genes outside the model. Absent where the cells have no matrix of genes.
    - ``var["archetypes_mean"]``: mean of each gene in the cells; NaN for genes outside the model.
    - ``uns["archetypes"]``: ``params``, ``component_names`` (``archetype_0``, …), ``coordinates`` (archetypes ×
      dimensions of the embedding, float64) and ``dimensions`` (their names), ``cells`` (the cells behind each
      archetype, with their weights), ``alpha`` (factors by which archetypes left the hull), ``history`` (``loss``: mean
      squared residual of a cell at every iteration), ``gap``, ``explained_variance`` (centred), ``converged`` and
      ``restarts`` (the final loss of every start).
    - with `labels`, ``obs["archetypes"]`` (categorical) and ``obs["archetypes_weight"]``.

    Raises
    ------
    KeyError
        If an embedding, layer, column or cell does not exist.
    TypeError
        If a number is not of its kind.
    ValueError
        If there are fewer distinct cells than archetypes, values are not finite, gene names repeat, a parameter is out
        of range, or a slot of `key_added` is taken by something else.

    Warns
    -----
    pathwayae.DataWarning
        If the fit has not converged after `max_iter` iterations, or ``X`` looks like raw counts.

    See Also
    --------
    pathwayae.get.scores : the weights, labelled.
    pathwayae.get.archetypes : profiles, coordinates and cells as labelled tables.
    pathwayae.tl.transform : weights of new cells.
    pathwayae.models.ArchetypalAnalysis : the model on plain arrays.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 4, progress=False)
    >>> adata.obsm["X_archetypes"].shape, adata.varm["archetypes"].shape
    ((300, 4), (400, 4))
    """
    _check(adata, n_archetypes)
    own = check(settings, n_restarts, random_state, labels=labels, progress=progress, copy=copy)
    config = config_of(own, n_archetypes, start=start, n_restarts=n_restarts, device=device, random_state=random_state)
    columns = (keys.label(key_added), keys.label_weight(key_added)) if labels else ()
    store.claim(adata, key_added, keys.ARCHETYPES, obs=columns)
    cells = of_archetypes.read(adata, obsm, layer, mask_var, gene_symbols)
    first = of_archetypes.start(start, adata.obs_names, cells.order)
    fit = _fit(cells, replace(config, start=first), progress=progress)
    expressed = _expressed(adata, cells, fit, layer)
    params = asdict(own) | {"n_archetypes": n_archetypes, "n_restarts": n_restarts, "random_state": random_state}
    params |= {"start": start if isinstance(start, str) else "given", "labels": labels, "device": config.device}
    params |= {"obsm": obsm, "layer": layer, "gene_symbols": gene_symbols}
    params |= {"mask_var": mask_var if isinstance(mask_var, str | None) else "array"}
    params |= {"scale": fit.scale, "n_cells": len(fit.weights)}
    target = adata.copy() if copy else adata
    _write(target, key_added, cells, fit, expressed, params)
    logger.info("%d archetypes: explained variance %.4f, gap %.1e.", n_archetypes, fit.explained_variance, fit.gap)
    return target if copy else None


def _check(adata: Any, n_archetypes: Any) -> None:
    if not isinstance(adata, AnnData):
        msg = f"adata is a {type(adata).__name__}; pass an AnnData, or use pae.models.ArchetypalAnalysis for arrays."
        raise TypeError(msg)
    _checks.number("n_archetypes", n_archetypes, 1, integer=True)


def _fit(cells: Cells, config: solver.Config, *, progress: bool) -> solver.Fit:
    """The fit, archetypes by their total weight; weights and mixtures in the order of the AnnData."""
    with _progress.bar("archetypes", "starts", config.n_restarts, progress=progress) as bar:
        fit = solver.fit(cells.values, config, advance=bar.update)
    if not fit.converged and fit.n_iter >= config.max_iter:
        msg = (
            f"The archetypes have not converged after max_iter={config.max_iter} iterations (gap {fit.gap:.1e}); raise "
            "max_iter or tol."
        )
        warn(msg)
    return of_archetypes.ordered(fit, cells.order)


class _Expressed(NamedTuple):
    """Profiles (genes, k) and means (genes,): zero and NaN for genes outside the model."""

    profiles: NDArray[np.float32]
    mean: NDArray[np.float64]


def _expressed(adata: AnnData, cells: Cells, fit: solver.Fit, layer: str | None) -> _Expressed | None:
    """What the archetypes express; None where there are no genes."""
    found = np.zeros((adata.n_vars, fit.archetypes.shape[0]), dtype=np.float32)
    mean = np.full(adata.n_vars, np.nan)
    if cells.columns is not None:
        found[cells.columns], mean[cells.columns] = fit.archetypes.T, cells.mean()
        return _Expressed(found, mean)
    source = of_archetypes.genes(adata, cells.obsm, layer)
    if source is None:
        logger.info("The cells have no genes, so nothing is said of what the archetypes express.")
        return None
    blocks = ((block.start, block.stop, block.values) for block in source.blocks(BLOCK_BYTES))
    found[:], mean[:] = profiles.decoded(blocks, cells.embedding(), fit.archetypes)
    return _Expressed(found, mean)


def _write(
    adata: AnnData, key: str, cells: Cells, fit: solver.Fit, expressed: _Expressed | None, settings: dict[str, Any]
) -> None:
    """Replace all slots of the key; what an earlier fit had more goes."""
    names = np.array([f"{PREFIX}{j}" for j in range(len(fit.archetypes))], dtype=object)
    entries: dict[str, Any] = {
        keys.PARAMS: {name: "" if value is None else value for name, value in settings.items()},
        keys.COMPONENT_NAMES: names,
        keys.CELLS: profiles.mixing_table(fit.mixing, adata.obs_names.to_numpy(dtype=object), prefix=PREFIX),
        keys.ALPHA: np.asarray(fit.alpha),
        keys.HISTORY: {"loss": np.array(fit.loss)},
        keys.GAP: float(fit.gap),
        keys.EXPLAINED_VARIANCE: float(fit.explained_variance),
        keys.CONVERGED: bool(fit.converged),
        keys.RESTARTS: np.array(fit.restarts),
    }
    if cells.columns is None:
        entries |= {keys.COORDINATES: fit.archetypes, keys.DIMENSIONS: np.array(cells.names, dtype=object)}
    varm: dict[str, Any] = {}
    var: dict[str, Any] = {}
    if expressed is not None:
        varm, var = {keys.profiles(key): expressed.profiles}, {keys.mean(key): expressed.mean}
    obs = labels_of(key, names, fit.weights) if settings["labels"] else {}
    store.put(adata, key, keys.ARCHETYPES, entries, obsm={keys.scores(key): fit.weights}, varm=varm, var=var, obs=obs)
