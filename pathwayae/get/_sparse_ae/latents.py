"""What was found out about the latents of a sparse autoencoder, as labelled tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.core.sparse_ae import selectivity as core
from pathwayae.get._common import component_names, significant

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def latent_sparsity(
    adata: AnnData,
    *,
    of: Literal["latents", "cells", "groups", "activations"] = "latents",
    key: str = keys.SPARSE_AE,
) -> pd.DataFrame:
    """Return how sparse the codes are, from ``pae.tl.latent_sparsity``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_sparsity``. Reads ``uns[key]`` and, of cells, ``obs``.
    of
        ``"latents"``: a row per latent; ``"cells"``: a row per cell; ``"groups"``: a row for all cells and one per
        group; ``"activations"``: their histogram.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Of latents: ``latent, n_cells, lifetime, max, mean, mean_active, dead, kind``. Of cells: index ``obs_names``,
        ``l0, population, hoyer``. Of groups: ``group, n_cells, l0, population, hoyer, never, dead, rare, dense``. Of
        activations: ``low, high, count``. See ``pae.tl.latent_sparsity``.

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`.
    ValueError
        If `of` is unknown.

    Examples
    --------
    >>> pae.get.latent_sparsity(adata).columns.tolist()
    ['latent', 'n_cells', 'lifetime', 'max', 'mean', 'mean_active', 'dead', 'kind']
    >>> pae.get.latent_sparsity(adata, of="cells").shape
    (300, 3)
    """
    places = {"latents": keys.SPARSITY, "groups": keys.SPARSITY_GROUPS, "activations": keys.ACTIVATIONS}
    if of != "cells" and of not in places:
        msg = f"of={of!r} is not known; choose one of 'latents', 'cells', 'groups', 'activations'."
        raise ValueError(msg)
    table = _table(adata, key, places.get(of, keys.SPARSITY), "latent_sparsity(adata")
    if of != "cells":
        return table
    return lookup.of_cells(adata, keys.of_cell(key), f"latent_sparsity(adata, key={key!r})")


@gated()
def latent_selectivity(
    adata: AnnData,
    latents: str | Sequence[str] | None = None,
    *,
    best: bool = False,
    max_padj: float | None = None,
    key: str = keys.SPARSE_AE,
) -> pd.DataFrame:
    """Return how well latents tell labels apart, from ``pae.tl.latent_selectivity``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_selectivity``. Reads ``uns[key]["selectivity"]``.
    latents
        Names of latents. ``None`` for all.
    best
        One row per latent that fires at all, with the label that it tells best; the most selective latent first, the
        least selective last.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``latent, label, auroc, pval, padj, f1, precision, recall, threshold, mean, mean_rest``; with `best` also
        ``auroc_second`` (of the label that comes second) and ``specificity`` (1: all activation in one label, 0: the
        same mean in all).

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`, or a name is unknown.
    ValueError
        If `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> pae.get.latent_selectivity(adata, "latent_3")["label"].tolist()
    ['type_1', 'type_2', 'type_3', 'type_4']
    >>> pae.get.latent_selectivity(adata, best=True)["latent"].is_unique
    True
    """
    table = _table(adata, key, keys.SELECTIVITY, "latent_selectivity(adata, groupby")
    table = _of(adata, table, latents, key)
    if best:
        table = core.best_label(table)
    return significant(table, max_padj)


@gated()
def latent_genes(
    adata: AnnData, latents: str | Sequence[str] | None = None, *, key: str = keys.SPARSE_AE
) -> pd.DataFrame:
    """Return the genes that each latent moves most, from ``pae.tl.latent_genes``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_genes``. Reads ``uns[key]["latent_genes"]``.
    latents
        Names of latents. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``latent, rank, gene, effect, typical``, see ``pae.tl.latent_genes``.

    Raises
    ------
    KeyError
        If nothing was fitted or looked up under `key`, or a name is unknown.

    Examples
    --------
    >>> pae.get.latent_genes(adata, "latent_3")[["latent", "rank"]].tail(2)
         latent  rank
    3  latent_3     4
    4  latent_3     5
    """
    return _of(adata, _table(adata, key, keys.LATENT_GENES, "latent_genes(adata"), latents, key)


@gated()
def latent_batches(
    adata: AnnData, *, flagged: bool = False, max_padj: float | None = None, key: str = keys.SPARSE_AE
) -> pd.DataFrame:
    """Return which latents follow the batch, from ``pae.tl.latent_batches``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_batches``. Reads ``uns[key]["latent_batches"]``.
    flagged
        Keep flagged latents only.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``latent, variance, batch, auroc, statistic, pval, padj, flag``, see ``pae.tl.latent_batches``.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`.
    ValueError
        If `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> pae.get.latent_batches(adata).columns.tolist()
    ['latent', 'variance', 'batch', 'auroc', 'statistic', 'pval', 'padj', 'flag']
    >>> len(pae.get.latent_batches(adata, flagged=True)) < len(pae.get.latent_batches(adata))
    True
    """
    table = significant(_table(adata, key, keys.LATENT_BATCHES, "latent_batches(adata, batch_key"), max_padj)
    return table[table["flag"].astype(bool)].reset_index(drop=True) if flagged else table


@gated()
def latent_agreement(adata: AnnData, *, key: str = keys.SPARSE_AE) -> pd.DataFrame:
    """Return which latents come back when the network is trained again, from ``pae.tl.latent_agreement``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_agreement``. Reads ``uns[key]["latent_agreement"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``latent, cosine, cosine_min, found, stable, chance, fires``, see ``pae.tl.latent_agreement``.

    Raises
    ------
    KeyError
        If nothing was fitted or compared under `key`.

    Examples
    --------
    >>> pae.get.latent_agreement(adata).columns.tolist()
    ['latent', 'cosine', 'cosine_min', 'found', 'stable', 'chance', 'fires']
    """
    return _table(adata, key, keys.LATENT_AGREEMENT, "latent_agreement(adata")


@gated()
def latent_ablation(adata: AnnData, *, fewest: bool = False, key: str = keys.SPARSE_AE) -> pd.DataFrame:
    """Return the variance explained as the smallest activations are zeroed, from ``pae.tl.latent_ablation``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_ablation``. Reads ``uns[key]["ablation"]`` and ``uns[key]["ablation_fewest"]``.
    fewest
        The fewest latents that keep 90 % and 95 % of what the whole code explains, instead of the curve.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``kept, mean_kept, population, explained_variance, share``, or with `fewest`
        ``share, kept, mean_kept, explained_variance``; see ``pae.tl.latent_ablation``.

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`.

    Examples
    --------
    >>> pae.get.latent_ablation(adata, fewest=True)["share"].tolist()
    [0.9, 0.95]
    """
    return _table(adata, key, keys.ABLATION_FEWEST if fewest else keys.ABLATION, "latent_ablation(adata")


@gated()
def sparse_ae_sweep(
    adata: AnnData,
    *,
    of: Literal["settings", "fits", "equal_sparsity"] = "settings",
    key: str = keys.SPARSE_AE,
) -> pd.DataFrame:
    """Return reconstruction against sparsity for the settings tried, from ``pae.tl.sparse_ae_sweep``.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae_sweep``. Reads ``uns["{key}_sweep"]``.
    of
        ``"settings"``: a row per setting, means over seeds; ``"fits"``: a row per fit; ``"equal_sparsity"``: what each
        kind of sparsity leaves unexplained at the same sparsity.
    key
        Key of the sweep.

    Returns
    -------
    pandas.DataFrame
        See ``pae.tl.sparse_ae_sweep``.

    Raises
    ------
    KeyError
        If no sweep is there under `key`.
    ValueError
        If `of` is unknown.

    Examples
    --------
    >>> pae.get.sparse_ae_sweep(adata)[["sparsity", "n_latents", "strength"]]
        sparsity  n_latents  strength
    0  batchtopk         16       2.0
    1  batchtopk         16       4.0
    2  batchtopk         16       8.0
    >>> pae.get.sparse_ae_sweep(adata, of="equal_sparsity").columns.tolist()
    ['hoyer', 'sparsity', 'unexplained', 'n_latents']
    """
    if of not in ("settings", "fits", "equal_sparsity"):
        msg = f"of={of!r} is not known; choose one of 'settings', 'fits', 'equal_sparsity'."
        raise ValueError(msg)
    call = f"sparse_ae_sweep(adata, key_added={key!r})"
    return pd.DataFrame(lookup.before_a_fit(adata, keys.sweep(key), of, "sweep", call)).reset_index(drop=True).copy()


def _table(adata: AnnData, key: str, name: str, call: str) -> pd.DataFrame:
    """A table in ``uns[key]``, or the call that writes it."""
    return lookup.analysis(adata, key, keys.SPARSE_AE, name, f"{call}, key={key!r})")


def _of(adata: AnnData, table: pd.DataFrame, latents: str | Sequence[str] | None, key: str) -> pd.DataFrame:
    """Rows of some latents, in the order asked for."""
    if latents is None:
        return table
    chosen = component_names(adata, latents, key=key)
    place = {name: i for i, name in enumerate(chosen)}
    rows = table[table["latent"].isin(chosen)]
    return rows.sort_values("latent", key=lambda names: names.map(place), kind="stable", ignore_index=True)
