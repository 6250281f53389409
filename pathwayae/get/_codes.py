"""Codes and features of a sparse autoencoder as labelled tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd
import scipy.sparse as sp

from pathwayae import _keys
from pathwayae.get._slots import _matrix, component_names, entry_of

if TYPE_CHECKING:
    from anndata import AnnData


def codes(adata: AnnData, latents: str | Sequence[str] | None = None, *, key: str = _keys.SPARSE_AE) -> pd.DataFrame:
    """How strongly each latent fires in each cell, labelled.

    The table is dense: of many cells name the latents that are wanted. The slot itself is sparse, and so is
    :func:`pathwayae.get.to_anndata`.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae`` or ``pae.tl.transform``. Reads ``obsm["X_{key}"]``.
    latents
        Names of latents, in the order wanted. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Cells × latents, float32, 0 where a latent does not fire; index ``obs_names``, columns ``latent_0``, ….

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If slot and names come from different fits, or `latents` is empty or repeats a name.

    Examples
    --------
    >>> pae.get.codes(adata, ["latent_3"]).groupby(adata.obs["cell_type"]).mean()  # doctest: +SKIP
    """
    sparse_ae_entry(adata, key)
    return _columns(adata, "obsm", _keys.scores(key), latents, key)


def features(adata: AnnData, latents: str | Sequence[str] | None = None, *, key: str = _keys.SPARSE_AE) -> pd.DataFrame:
    """What each latent adds to each gene when it fires by 1, labelled.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``. Reads ``varm["{key}_features"]``.
    latents
        Names of latents, in the order wanted. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Genes × latents; index ``var_names``, columns ``latent_0``, …. Genes outside the model have zeros.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the network was trained on an embedding without known
        gene loadings, so that it says nothing about genes.
    ValueError
        If slot and names come from different fits, or `latents` is empty or repeats a name.

    Examples
    --------
    >>> pae.get.features(adata, "latent_3")["latent_3"].nlargest(10)  # doctest: +SKIP
    """
    obsm = sparse_ae_entry(adata, key)[_keys.PARAMS].get("obsm", "")
    if obsm and _keys.features(key) not in adata.varm:
        msg = (
            f"adata.varm[{_keys.features(key)!r}] is missing: {key!r} was trained on obsm[{obsm!r}], whose loadings of "
            "the genes are not known. Train on X, a layer, X_pca with varm['PCs'], or scores of pae.tl.fit."
        )
        raise KeyError(msg)
    return _columns(adata, "varm", _keys.features(key), latents, key)


def sparse_ae_entry(adata: AnnData, key: str) -> Mapping[str, Any]:
    """``uns[key]`` of a sparse autoencoder.

    Raises
    ------
    KeyError
        If there is none under this key; the message names those that are there.
    """
    missing = (
        f"No sparse autoencoder under key {key!r}: run pae.tl.sparse_ae(adata, key_added={key!r}) first, or pass key="
    )
    return entry_of(adata, key, _keys.SPARSE_AE, missing=missing)


def _columns(adata: AnnData, where: str, slot: str, latents: str | Sequence[str] | None, key: str) -> pd.DataFrame:
    """Some columns of a slot, dense, with labels."""
    if slot not in getattr(adata, where):
        again = "run pae.tl.sparse_ae again" + (", or pae.tl.transform for new cells" if where == "obsm" else "")
        msg = f"adata.{where}[{slot!r}] of {key!r} is missing: {again}."
        raise KeyError(msg)
    every = component_names(adata, key=key)
    chosen = component_names(adata, latents, key=key)
    values = _matrix(adata, where, slot, key)
    if latents is not None:
        place = {name: j for j, name in enumerate(every)}
        values = values[:, [place[name] for name in chosen]]
    values = values.toarray() if sp.issparse(values) else values
    rows = adata.obs_names if where == "obsm" else adata.var_names
    return pd.DataFrame(values, index=rows, columns=pd.Index(chosen, name="latent"))
