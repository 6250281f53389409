"""Archetypal analysis of the cells of an AnnData; results go into its slots."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _inputs, _keys
from pathwayae.core.archetypes import profiles, solver
from pathwayae.core.moments import BLOCK_BYTES
from pathwayae.core.notice import warn
from pathwayae.get._slots import kind_of
from pathwayae.tl import _archetypes_input
from pathwayae.tl._archetypes_input import Cells

logger = logging.getLogger("pathwayae")

PREFIX = "archetype_"
SETTINGS = ("start", "delta", "entropy_reg", "robust", "coreset", "n_restarts", "max_iter", "tol", "device")


def archetypes(
    adata: AnnData,
    n_archetypes: int,
    *,
    obsm: str | None = "auto",
    layer: str | None = None,
    mask_var: str | NDArray[np.bool_] | None = None,
    start: Literal["aa++", "furthest_sum", "kmeans++"] | Sequence[str] | NDArray[Any] = "aa++",
    delta: float = 0.0,
    entropy_reg: float = 0.0,
    robust: Literal["huber", "bisquare"] | None = None,
    coreset: int | Literal["auto"] | None = "auto",
    n_restarts: int = 5,
    max_iter: int = 500,
    tol: float = 1e-6,
    device: str = "cpu",
    random_state: int = 0,
    labels: bool = False,
    key_added: str = _keys.ARCHETYPES,
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
        What to fit: an embedding in ``obsm``; ``"auto"``: ``X_pae`` (pathway scores), else ``X_pca``; ``None``: genes.
        Dimensions are taken as they are scaled.
    layer
        Genes to fit, or to express the archetypes in; by default ``X``, or the layer that the scores are of.
    mask_var
        With ``obsm=None``, genes to use: a boolean column of ``var`` or a boolean array; by default all.
    start
        How the first archetypes are chosen: ``"aa++"``, ``"furthest_sum"``, ``"kmeans++"``; or k cells, by name or
        position; or coordinates (k × d).
    delta
        How far archetypes may leave the hull: they are stretched about the mean of the cells by up to ``1 + delta``.
        Few cells sit at a vertex, so 0.25 is often nearer to the truth.
    entropy_reg
        Times the mean entropy of the weights, in units of the total variance: negative spreads weights over archetypes,
        positive sharpens them.
    robust
        Cells that fit badly count less, by ``"huber"`` or ``"bisquare"`` weights.
    coreset
        Fit to so many cells, drawn by squared distance to the mean, and polish over all; ``"auto"``: from 200 000 cells
        on; ``None``: never.
    n_restarts
        Number of starts; the one with the lowest loss is kept. Real cells have several optima that lie close.
    max_iter, tol
        Most iterations; relative fall of the loss below which the fit has converged.
    device
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    random_state
        Seed of the starts.
    labels
        Also write to ``obs`` the archetype with the largest weight and that weight.
    key_added
        Replaces ``archetypes`` in the names of all slots.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes, in the place of earlier archetypes under the same key,

    - ``obsm["X_archetypes"]``: weights, float32, cells × archetypes, rows with sum 1.
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
    pathwayae.get.archetypes : weights, profiles, coordinates and cells as labelled tables.
    pathwayae.tl.transform : weights of new cells.
    pathwayae.models.ArchetypalAnalysis : the model on plain arrays.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 4)
    >>> adata.obsm["X_archetypes"].shape, adata.varm["archetypes"].shape
    ((300, 4), (400, 4))
    """
    given = dict(locals())
    _check(adata, given)
    obsm = _archetypes_input.chosen(adata, obsm)
    cells = _archetypes_input.read(adata, obsm, layer, mask_var)
    first = _archetypes_input.start(start, adata.obs_names, cells.order)
    fit = _fit(cells, given | {"start": first})
    expressed = _expressed(adata, cells, fit, layer)
    settings = {name: given[name] for name in SETTINGS} | {"layer": layer, "random_state": random_state}
    settings |= {"start": start if isinstance(start, str) else "given", "n_archetypes": n_archetypes, "labels": labels}
    settings |= {_keys.MODEL: _keys.ARCHETYPES, "obsm": obsm, "scale": fit.scale, "n_cells": len(fit.weights)}
    settings["mask_var"] = mask_var if isinstance(mask_var, str | None) else "array"
    target = adata.copy() if copy else adata
    _write(target, key_added, cells, fit, expressed, settings)
    logger.info("%d archetypes: explained variance %.4f, gap %.1e.", n_archetypes, fit.explained_variance, fit.gap)
    return target if copy else None


def _check(adata: Any, given: dict[str, Any]) -> None:
    if not isinstance(adata, AnnData):
        msg = f"adata is a {type(adata).__name__}; pass an AnnData, or use pae.models.ArchetypalAnalysis for arrays."
        raise TypeError(msg)
    for name in ("n_archetypes", "n_restarts", "max_iter"):
        _inputs.number(name, given[name], 1, integer=True)
    _inputs.number("random_state", given["random_state"], 0, integer=True)
    for name, least in (("tol", 1e-15), ("delta", 0), ("entropy_reg", -np.inf)):
        _inputs.number(name, given[name], least)
    for name in ("labels", "copy"):
        _inputs.choice(name, given[name], (True, False))
    _inputs.device(given["device"])
    if kind_of(adata, given["key_added"]) != _keys.ARCHETYPES:
        _check_free(adata, given["key_added"], labels=given["labels"])


def _check_free(adata: AnnData, key: str, *, labels: bool) -> None:
    """Nothing but earlier archetypes is replaced."""
    slots = [("uns", key), ("obsm", _keys.scores(key)), ("varm", _keys.profiles(key)), ("var", _keys.mean(key))]
    slots += [("obs", _keys.label(key)), ("obs", _keys.label_weight(key))] if labels else []
    for where, name in slots:
        if name in getattr(adata, where):
            msg = f"adata.{where}[{name!r}] is there already and is not of archetypes; choose another key_added."
            raise ValueError(msg)


def _fit(cells: Cells, given: dict[str, Any]) -> solver.Fit:
    """The fit, archetypes by their total weight; weights and mixtures in the order of the AnnData."""
    settings = {name: given[name] for name in SETTINGS} | {"device": _inputs.device(given["device"])}
    config = solver.Config(n_archetypes=given["n_archetypes"], seed=given["random_state"], **settings)
    fit = solver.fit(cells.values, config)
    if not fit.converged and fit.n_iter >= config.max_iter:
        msg = (
            f"The archetypes have not converged after max_iter={config.max_iter} iterations (gap {fit.gap:.1e}); raise "
            "max_iter or tol."
        )
        warn(msg)
    return _archetypes_input.ordered(fit, cells.order)


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
    source = _archetypes_input.genes(adata, cells.obsm, layer)
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
        _keys.PARAMS: {name: "" if value is None else value for name, value in settings.items()},
        _keys.COMPONENT_NAMES: names,
        _keys.CELLS: profiles.mixing_table(fit.mixing, adata.obs_names.to_numpy(dtype=object), prefix=PREFIX),
        _keys.ALPHA: np.asarray(fit.alpha),
        _keys.HISTORY: {"loss": np.array(fit.loss)},
        _keys.GAP: float(fit.gap),
        _keys.EXPLAINED_VARIANCE: float(fit.explained_variance),
        _keys.CONVERGED: bool(fit.converged),
        _keys.RESTARTS: np.array(fit.restarts),
    }
    if cells.columns is None:
        entries |= {_keys.COORDINATES: fit.archetypes, _keys.DIMENSIONS: np.array(cells.names, dtype=object)}
    earlier = adata.uns.get(key)
    adata.obsm[_keys.scores(key)] = fit.weights
    if expressed is not None:
        adata.varm[_keys.profiles(key)], adata.var[_keys.mean(key)] = expressed
    elif earlier is not None:
        adata.varm.pop(_keys.profiles(key), None)
        if _keys.mean(key) in adata.var:
            del adata.var[_keys.mean(key)]
    if settings["labels"]:
        _archetypes_input.label(adata, key, names, fit.weights)
    elif earlier is not None and earlier[_keys.PARAMS]["labels"]:
        for column in {_keys.label(key), _keys.label_weight(key)} & set(adata.obs):
            del adata.obs[column]
    adata.uns[key] = entries
