"""Paths along which a fit was chosen, and what its free components are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae._slots import keys, lookup
from pathwayae.core import groups
from pathwayae.core.gates import gated
from pathwayae.get import _common

if TYPE_CHECKING:
    from anndata import AnnData

Floats = np.ndarray[Any, np.dtype[np.float64]]
N_AT_ONCE = 256  # pathways whose scores are taken as float64


@gated()
def theta_path(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return what scores and loadings say of hidden members, and the held-out error, along a path of θ.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.fit(…, theta="auto")`` or ``pae.tl.theta_path``. Reads ``uns[key]["theta_path"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per θ, ascending: ``theta``; ``heldout_error`` (share of the variance of held-out cells that is not
        explained, mean over folds) and its standard error ``se``; ``correlation`` of scores with members hidden from
        the pathways, in held-out cells, and ``correlation_se``; ``auc`` of the loadings for hidden members (partial, up
        to a false-positive rate of 0.1; 0.5 is chance), and ``auc_se``; ``inside`` (mean share of squared loadings on
        the members given); ``as_good`` (a correlation as large as the best, to one standard error); ``chosen``, the
        best.

    Raises
    ------
    KeyError
        If nothing was fitted, or no path computed, under `key`.

    Examples
    --------
    >>> pae.get.theta_path(adata, key="projection").query("chosen")["theta"].tolist()
    [0.4]
    """
    return _path(adata, key, keys.THETA_PATH, "theta")


@gated()
def n_extra_path(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return the variance of held-out cells by number of free components.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.fit(…, n_extra="auto")`` or ``pae.tl.n_extra_path``. Reads
        ``uns[key]["n_extra_path"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per number from 0: ``n_extra``; ``explained`` and ``heldout_explained`` (shares of the variance of
        training and of held-out cells); ``predicted`` (share of the variance of held-out genes in held-out cells,
        below 0 where a mean would predict better); ``se`` (of how far that is below the best); ``chosen``.

    Raises
    ------
    KeyError
        If nothing was fitted, or no path computed, under `key`.

    Examples
    --------
    >>> pae.get.n_extra_path(adata).query("chosen")["n_extra"].tolist()
    [8]
    """
    return _path(adata, key, keys.N_EXTRA_PATH, "n_extra")


@gated()
def free_components(
    adata: AnnData, *, batch_key: str | Sequence[str] | None = None, n_genes: int = 5, key: str = keys.DEFAULT
) -> pd.DataFrame:
    r"""Describe each free component: its genes, the pathway nearest to it, its enrichment, and how much it is batch.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads scores, loadings, membership and, where ``pae.tl.enrich`` was run, its table.
    batch_key
        Column or columns of ``obs`` with batches, samples or anything that divides the cells. For each, a column
        ``eta2_{batch_key}`` with :math:`\eta^2`, the share of the variance of the scores between its levels, from 0 to
        1; cells without a level are left out. With m levels and no difference, :math:`(m - 1) / (n - 1)` is expected.
    n_genes
        Number of genes to name on either side.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per free component: ``component``; ``variance_ratio`` (what the score explains alone); ``positive`` and
        ``negative`` (genes with the largest loadings of each sign, joined with ``;``); ``nearest`` (pathway whose
        scores are most correlated with its scores, of either sign) and ``correlation``; ``nearest_genes`` (pathway
        whose members its loadings point to most) and ``cosine``, of its loadings with the members, since free
        loadings are orthogonal to those of the pathways; ``term`` and ``padj`` where there is an enrichment; and
        ``eta2_…``.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    ValueError
        If `n_genes` is below 1.

    Examples
    --------
    >>> table = pae.get.free_components(adata, batch_key=["batch", "donor"], n_genes=3)
    >>> table["component"].tolist(), table.columns[-2:].tolist()
    (['free_1', 'free_2'], ['eta2_batch', 'eta2_donor'])
    """
    if n_genes < 1:
        msg = f"n_genes must be at least 1, got {n_genes}."
        raise ValueError(msg)
    batches = [batch_key] if isinstance(batch_key, str) else list(batch_key or ())
    for name in batches:
        if name not in adata.obs:
            msg = f"batch_key={name!r} is not a column of adata.obs, which has {list(adata.obs.columns)}."
            raise KeyError(msg)
    info = _common.variance(adata, key=key)
    free, pathways = (info.loc[info["kind"] == kind, "component"].tolist() for kind in ("free", "pathway"))
    table = info.loc[info["kind"] == "free", ["component", "variance_ratio"]].reset_index(drop=True)
    labels = lookup.gene_names(adata, key).to_numpy(dtype=str)
    loadings = lookup.table(adata, "varm", keys.loadings(key), key, free).to_numpy(dtype=float)
    for side, sign in (("positive", 1.0), ("negative", -1.0)):
        table[side] = [_extreme(sign * loads, labels, n_genes) for loads in loadings.T]
    scores = lookup.table(adata, "obsm", keys.scores(key), key, free).to_numpy(dtype=float)
    table["nearest"], table["correlation"] = _nearest(_correlation(adata, key, _centred(scores), pathways), pathways)
    members = sp.csc_array(lookup.plain(lookup.slot(adata, "varm", keys.membership(key), key)), dtype=float)
    length = np.sqrt(np.asarray(members.sum(axis=0)).ravel())
    towards = (members.T @ _unit(loadings)).T / np.where(length > 0, length, 1.0)
    table["nearest_genes"], table["cosine"] = _nearest(towards, pathways)
    if keys.ENRICHMENT in lookup.fit_of(adata, key):
        best = _common.enrichment(adata, key=key).sort_values("padj", kind="stable").drop_duplicates("component")
        table = table.merge(best[["component", "term", "padj"]], on="component", how="left")
    for name in batches:
        table[f"eta2_{name}"] = _between(scores, adata.obs[name])
    return table


def _path(adata: AnnData, key: str, name: str, option: str) -> pd.DataFrame:
    call = f'fit(adata, pathways, {option}="auto", key_added={key!r}) or pae.tl.{name}(adata, key={key!r})'
    return lookup.analysis(adata, key, keys.GROUPED, name, call)


def _extreme(values: Floats, labels: Any, n_genes: int) -> str:
    order = np.lexsort((labels, -values))
    return ";".join(labels[order[values[order] > 0][:n_genes]])


def _correlation(adata: AnnData, key: str, own: Floats, pathways: list[str]) -> Floats:
    """Of scores, as :func:`_centred` leaves them, with those of all pathways, some pathways at a time."""
    scores = lookup.matrix(adata, "obsm", keys.scores(key), key)  # the pathways come first
    starts = range(0, len(pathways), N_AT_ONCE)
    parts = (scores[:, start : min(start + N_AT_ONCE, len(pathways))] for start in starts)
    return np.hstack([own.T @ _centred(np.asarray(part, dtype=float)) for part in parts])


def _centred(columns: Floats) -> Floats:
    """Columns less their mean, of unit length."""
    return _unit(columns - columns.mean(axis=0))


def _unit(columns: Floats) -> Floats:
    """Columns of unit length; those of length 0 stay."""
    length = np.linalg.norm(columns, axis=0)
    return columns / np.where(length > 0, length, 1.0)


def _nearest(similarity: Floats, names: list[str]) -> tuple[list[str], Floats]:
    """Name and similarity of the nearest column of each row, of either sign."""
    best = np.abs(similarity).argmax(axis=1)
    return [names[j] for j in best], similarity[np.arange(len(best)), best]


def _between(scores: Floats, column: pd.Series) -> Floats:
    """Share of the variance of each score between the levels of a column; NaN where a score does not vary."""
    levels, names = pd.factorize(np.asarray(column, dtype=object))
    inside = levels >= 0
    if not inside.any():
        return np.full(scores.shape[1], np.nan)
    between, total = groups.squares(scores[inside], levels[inside], len(names))
    return np.where(np.ptp(scores[inside], axis=0) > 0, groups.share(between, total), np.nan)
