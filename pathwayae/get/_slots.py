"""Results of a fit as labelled tables, read from the slots alone."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from pathwayae import _keys

if TYPE_CHECKING:
    from anndata import AnnData


def component_names(
    adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = _keys.DEFAULT
) -> list[str]:
    """Names of the components: the pathways, then the free components.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]["component_names"]``.
    components
        Names to look up; they come back as a list, in the order given. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    list of str
        All names, or those asked for.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown; the message gives the closest ones.
    ValueError
        If `components` is empty or repeats a name.
    """
    names = [str(name) for name in np.asarray(_entry(adata, key, _keys.COMPONENT_NAMES)).ravel()]
    if components is None:
        return names
    chosen = [components] if isinstance(components, str) else [str(name) for name in components]
    if not chosen or len(set(chosen)) < len(chosen):
        msg = f"Name at least one component, and none twice; got {chosen}."
        raise ValueError(msg)
    unknown = [name for name in chosen if name not in set(names)]
    if unknown:
        lower = {name.lower(): name for name in names}
        close = difflib.get_close_matches(unknown[0].lower(), lower, n=3, cutoff=0.4)
        hint = f"closest: {', '.join(repr(lower[name]) for name in close)}" if close else f"e.g. {names[0]!r}"
        msg = f"No component is called {', '.join(map(repr, unknown))} ({hint}); see pae.get.component_names(adata)."
        raise KeyError(msg)
    return chosen


def gene_names(adata: AnnData, *, key: str = _keys.DEFAULT) -> pd.Series:
    """Names of the genes as the pathways have them.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]["params"]["gene_symbols"]`` and that column of ``var``, else ``var_names``.
    key
        Key of the fit.

    Returns
    -------
    pandas.Series
        One string per gene, indexed by ``var_names``; the ``var_names`` stand in where a symbol is missing.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or the column is gone from ``var``.
    """
    column = str(_entry(adata, key, _keys.PARAMS).get("gene_symbols", "") or "")
    own = pd.Series(adata.var_names.astype(str), index=adata.var_names, dtype=object, name="gene")
    if not column:
        return own
    if column not in adata.var:
        msg = f"The fit took gene names from adata.var[{column!r}], which is gone; put the column back."
        raise KeyError(msg)
    symbols = adata.var[column]
    return symbols.astype(object).where(symbols.notna(), own).astype(str).rename("gene")


def scores(adata: AnnData, *, standardize: bool = False, key: str = _keys.DEFAULT) -> pd.DataFrame:
    """Scores of the cells, labelled.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``obsm["X_{key}"]``.
    standardize
        In standard deviations from the mean over these cells; 0 for a component without variance.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Cells × components; index ``obs_names``, columns the component names.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    ValueError
        If slot and names come from different fits.

    Examples
    --------
    >>> pae.get.scores(adata)["HALLMARK_HYPOXIA"].groupby(adata.obs["cell_type"]).mean()  # doctest: +SKIP
    """
    table = _table(adata, "obsm", _keys.scores(key), key)
    if not standardize:
        return table
    values = table.astype(float)
    spread = values.std(ddof=0)
    varies = spread > 1e-6 * values.abs().max()  # more than the rounding of float32
    return (values - values.mean()) / spread.where(varies, np.inf)


def loadings(adata: AnnData, *, key: str = _keys.DEFAULT) -> pd.DataFrame:
    """Loadings of the genes, labelled.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_loadings"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Genes × components; index ``var_names``, columns the component names. Genes outside the model have zeros.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    ValueError
        If slot and names come from different fits.
    """
    return _table(adata, "varm", _keys.loadings(key), key)


def variance(adata: AnnData, *, key: str = _keys.DEFAULT) -> pd.DataFrame:
    """Share of the variance that each component explains on its own.

    Free components are ordered by the variance they explain of what the pathways leave over (residual variance), but
    ``variance_ratio`` is what each score explains alone: it need not fall from ``free_1`` on.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``variance_ratio``, ``n_pathways`` and ``pathways`` of ``uns[key]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component, in the order of the model: ``component``, ``variance_ratio`` (the shares overlap where
        components do, and need not add up), ``kind`` (``"pathway"`` or ``"free"``), ``n_genes`` (genes that the
        pathway names) and ``n_matched`` (those in the model): 0 for free components, no such columns after transform.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    """
    names = component_names(adata, key=key)
    ratio = np.asarray(_entry(adata, key, _keys.VARIANCE_RATIO), dtype=float).ravel()
    n_pathways = int(_entry(adata, key, _keys.N_PATHWAYS))
    kind = np.where(np.arange(len(names)) < n_pathways, "pathway", "free").astype(object)
    table = pd.DataFrame({"component": names, "variance_ratio": ratio, "kind": kind})
    if (report := _fit(adata, key).get(_keys.PATHWAYS)) is None:
        return table
    sizes = report.set_index("pathway")[["n_genes", "n_matched"]].reindex(names).fillna(0).astype(int)
    return table.join(sizes.reset_index(drop=True))


def history(adata: AnnData, *, key: str = _keys.DEFAULT) -> pd.DataFrame:
    """Course of the fit.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]["history"]``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per iteration (index ``iteration``), columns ``loss``, ``reconstruction``, ``zero``, ``entropy``.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.
    """
    terms = _entry(adata, key, _keys.HISTORY)
    first = [name for name in ("loss", "reconstruction", "zero", "entropy") if name in terms]
    columns = {str(name): np.asarray(terms[name], dtype=float).ravel() for name in dict.fromkeys([*first, *terms])}
    return pd.DataFrame(columns).rename_axis(index="iteration")


def enrichment(
    adata: AnnData,
    *,
    key: str = _keys.DEFAULT,
    components: str | Sequence[str] | None = None,
    max_padj: float | None = None,
) -> pd.DataFrame:
    """Gene sets that the loadings point to.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.enrich``. Reads ``uns[key]["enrichment"]``.
    key
        Key of the fit.
    components
        Names of components. ``None`` for all.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.

    Returns
    -------
    pandas.DataFrame
        Columns ``component, term, method, score, pval, padj, n_genes, n_overlap, genes``, see ``pae.tl.enrich``.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`, or a name is unknown.
    ValueError
        If `max_padj` is not between 0 and 1.
    """
    if _keys.ENRICHMENT not in _fit(adata, key):
        msg = f"No enrichment in adata.uns[{key!r}]: run pae.tl.enrich(adata, gene_sets, key={key!r}) first."
        raise KeyError(msg)
    table = pd.DataFrame(_fit(adata, key)[_keys.ENRICHMENT])
    if components is not None:
        table = table[table["component"].isin(component_names(adata, components, key=key))]
    if max_padj is not None:
        if not 0 <= max_padj <= 1:
            msg = f"max_padj must be between 0 and 1, got {max_padj}."
            raise ValueError(msg)
        table = table[table["padj"] <= max_padj]
    return table.reset_index(drop=True)


def to_anndata(adata: AnnData, *, key: str = _keys.DEFAULT) -> AnnData:
    """Cells × components, for scanpy's own plots and tests.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``obsm["X_{key}"]`` and, of components, the table of :func:`variance`.
    key
        Key of the fit.

    Returns
    -------
    anndata.AnnData
        ``X`` the scores (codes of a sparse autoencoder stay sparse); ``var`` the table of :func:`variance`, indexed by
        component; ``obs``, ``obsm`` and ``obsp`` as they were, and of ``uns`` the colours (``*_colors``) and
        ``neighbors``. Nothing is shared with `adata`.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.

    Examples
    --------
    >>> programs = pae.get.to_anndata(adata)  # doctest: +SKIP
    >>> sc.tl.rank_genes_groups(programs, "cell_type", method="wilcoxon")  # doctest: +SKIP
    """
    import anndata

    values = _matrix(adata, "obsm", _keys.scores(key), key)
    var = pd.DataFrame(index=component_names(adata, key=key))
    if _keys.VARIANCE_RATIO in _fit(adata, key):
        var = variance(adata, key=key).set_index("component").rename_axis(index=None)
    carried = {name: adata.uns[name] for name in adata.uns if name.endswith("_colors") or name == "neighbors"}
    return anndata.AnnData(
        X=values.copy(),
        obs=adata.obs.copy(),
        var=var,
        obsm={name: value.copy() for name, value in adata.obsm.items() if name != _keys.scores(key)},
        obsp={name: value.copy() for name, value in adata.obsp.items()},
        uns=deepcopy(carried),
    )


def kind_of(adata: AnnData, key: str) -> str:
    """``"sparse_ae"`` or ``"archetypes"`` where the key names one; empty for a fit of ``pae.tl.fit``, or nothing."""
    entry = adata.uns.get(key)
    params = entry.get(_keys.PARAMS) if hasattr(entry, "get") else None
    return str(params.get(_keys.MODEL, "")) if hasattr(params, "get") else ""


def entry_of(adata: AnnData, key: str, kind: str, *, missing: str) -> Mapping[str, Any]:
    """``uns[key]`` of a model of this kind.

    Raises
    ------
    KeyError
        If there is none under this key: ``missing``, and the keys of those that are there.
    """
    found = [name for name in adata.uns if kind_of(adata, name) == kind]
    if key not in found:
        msg = f"{missing}; keys found: {', '.join(map(repr, found)) or 'none'}."
        raise KeyError(msg)
    return adata.uns[key]


def _fit(adata: AnnData, key: str) -> Mapping[str, Any]:
    """Return ``uns[key]``, or say what to do."""
    entry = adata.uns.get(key)
    if isinstance(entry, Mapping) and _keys.COMPONENT_NAMES in entry:
        return entry
    found = [repr(name) for name, fit in adata.uns.items() if isinstance(fit, Mapping) and _keys.COMPONENT_NAMES in fit]
    msg = f"No fit under key {key!r}: run pae.tl.fit(adata, pathways, key_added={key!r}) first, or pass key=; "
    raise KeyError(msg + f"keys found: {', '.join(found) or 'none'}.")


def _entry(adata: AnnData, key: str, name: str) -> Any:
    return _slot(adata, f"uns[{key!r}]", name, key)


def _slot(adata: AnnData, where: str, name: str, key: str) -> Any:
    """Return an entry of a fit, or say what to do; `where` is ``uns[key]`` or the name of a slot."""
    fit = _fit(adata, key)
    holder = fit if where.startswith("uns") else getattr(adata, where)
    if name not in holder:
        msg = (
            f"adata.{where}[{name!r}] of fit {key!r} is missing: run pae.tl.fit(adata, pathways, key_added={key!r}) "
            "again, or pae.tl.transform for new cells."
        )
        raise KeyError(msg)
    return holder[name]


def _matrix(adata: AnnData, where: str, name: str, key: str) -> Any:
    """An array in ``obsm`` or ``varm`` whose columns are components, dense or sparse."""
    n_components = len(component_names(adata, key=key))
    values = _slot(adata, where, name, key)
    values = values if sp.issparse(values) else np.asarray(values)
    if values.ndim != 2 or values.shape[1] != n_components:
        msg = (
            f"adata.{where}[{name!r}] has shape {values.shape}, but adata.uns[{key!r}] names {n_components} "
            "components: they come from different fits."
        )
        raise ValueError(msg)
    return values


def _table(adata: AnnData, where: str, name: str, key: str) -> pd.DataFrame:
    """Label an array in ``obsm`` or ``varm`` whose columns are components."""
    values = _matrix(adata, where, name, key)
    values = values.toarray() if sp.issparse(values) else values
    rows = adata.obs_names if where == "obsm" else adata.var_names
    return pd.DataFrame(values, index=rows, columns=pd.Index(component_names(adata, key=key), name="component"))
