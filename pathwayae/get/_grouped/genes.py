"""Loadings seen from the genes, and components that share them."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae._slots import keys, lookup
from pathwayae._slots.groups import groups_of
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names
from pathwayae.get._grouped.stability import top_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray


@gated()
def gene(adata: AnnData, gene: str, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return the loadings of one gene on all components.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_loadings"]``, ``varm["{key}_membership"]`` and, where there are intervals,
        ``varm["{key}_loadings_low"]`` and ``varm["{key}_loadings_high"]``.
    gene
        Name of the gene, as the fit has it (see its ``gene_symbols``) or in ``var_names``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component, the largest absolute loading first: ``component``, ``kind`` (``"pathway"`` or
        ``"free"``), ``loading``, ``share`` (loading over the largest absolute one of the component), ``member``
        (whether the pathway names the gene); after draws of ``pae.tl.stability`` also ``low`` and ``high``.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or there is no such gene; the message gives the closest ones.
    ValueError
        If several genes have this name, or the gene is outside the model.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.get.gene(adata, "gene_1").columns.tolist()
    ['component', 'kind', 'loading', 'share', 'member']
    """
    row = _place(adata, gene, key)
    names = lookup.component_names(adata, key)
    n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS))
    values = lookup.matrix(adata, "varm", keys.loadings(key), key)
    member = sparse.csr_array(lookup.plain(lookup.slot(adata, "varm", keys.membership(key), key)))
    loading = _row(values, row)
    largest = np.asarray(abs(values).max(axis=0).todense() if sparse.issparse(values) else np.abs(values).max(axis=0))
    largest = largest.ravel().astype(float)
    table = pd.DataFrame({"component": names})
    table["kind"] = np.where(np.arange(len(names)) < n_pathways, "pathway", "free").astype(object)
    table["loading"] = loading
    table["share"] = np.divide(loading, largest, out=np.zeros_like(loading), where=largest > 0)
    named = np.zeros(len(names), dtype=bool)
    named[:n_pathways] = _row(member, row)[:n_pathways] > 0
    table["member"] = named
    for end, slot in (("low", keys.loadings_low(key)), ("high", keys.loadings_high(key))):
        if lookup.has(adata, "varm", slot):
            table[end] = _row(lookup.matrix(adata, "varm", slot, key), row)
    return table.sort_values("loading", key=np.abs, ascending=False, kind="stable", ignore_index=True)


@gated()
def similarity(
    adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT
) -> pd.DataFrame:
    """Return the cosine of the loadings of every two components: 1 for the same genes, 0 for none in common.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_loadings"]``.
    components
        Names of components, in the order wanted. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Components × components, from −1 to 1; a component without loadings has 0 with all others.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> pae.get.similarity(adata, ["program_1", "program_2"]).shape
    (2, 2)
    """
    lookup.fit_of(adata, key, keys.GROUPED)
    chosen = component_names(adata, components, key=key)
    places = {name: j for j, name in enumerate(lookup.component_names(adata, key))}
    values = lookup.matrix(adata, "varm", keys.loadings(key), key)
    columns = [places[name] for name in chosen]
    values = sparse.csc_array(values)[:, columns] if sparse.issparse(values) else values[:, columns]
    product = values.astype(float).T @ values.astype(float)
    product = np.asarray(product.todense() if sparse.issparse(product) else product)
    size = np.sqrt(np.diag(product))
    size[size == 0] = np.inf
    cosine = np.clip(product / np.outer(size, size), -1.0, 1.0)
    np.fill_diagonal(cosine, 1.0)
    return pd.DataFrame(cosine, index=chosen, columns=chosen)


@gated()
def leading_genes(
    adata: AnnData,
    component: str,
    groupby: str | Sequence[str],
    *,
    n_genes: int = 15,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return the genes that load most on a component with their mean expression in groups of cells.

    The values are those of ``X`` or of the layer that was fitted; where the fit normalised counts itself, they are
    normalised in the same way.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``X`` or the layer of the fit, and what :func:`top_genes` reads.
    component
        Name of a component.
    groupby
        Column of ``obs`` with categories, strings or booleans, or several of them, whose values make groups together.
    n_genes
        Number of genes, at most.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per gene and group: ``gene``, ``loading``, ``member``, ``group``, ``n_cells``, ``mean`` (of the values
        fitted), ``standard`` (mean in s.d. from the mean of all cells, so that genes compare), ``share`` (of the cells
        of the group with a value above 0).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the layer that was fitted is gone.
    ValueError
        If `groupby` holds numbers, no gene loads on the component, or `n_genes` is below 1.

    Examples
    --------
    >>> table = pae.get.leading_genes(adata, "program_1", "cell_type", n_genes=3)
    >>> table["gene"].nunique()
    3
    """
    (name,) = component_names(adata, component, key=key)
    group = groups_of(adata, groupby)
    genes = top_genes(adata, name, n_genes=n_genes, key=key)
    if genes.empty:
        msg = f"No gene loads on {name!r}, so none leads it; see pae.get.pathways."
        raise ValueError(msg)
    names = lookup.gene_names(adata, key).to_numpy(dtype=str)
    used = np.flatnonzero(np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float)))
    places = {names[j]: int(j) for j in used}
    values = _values(adata, [places[one] for one in genes["gene"]], key)
    spread = values.std(axis=0)
    standard = (values - values.mean(axis=0)) / np.where(spread > 0, spread, np.inf)
    parts = []
    for one in group.cat.categories:
        rows = (group == one).to_numpy()
        part = genes[["gene", "loading", "member"]].assign(group=str(one), n_cells=int(rows.sum()))
        part["mean"], part["standard"] = values[rows].mean(axis=0), standard[rows].mean(axis=0)
        parts.append(part.assign(share=(values[rows] > 0).mean(axis=0)))
    return pd.concat(parts).sort_index(kind="stable").reset_index(drop=True)


def _place(adata: AnnData, gene: str, key: str) -> int:
    """Row of a gene by its name in the fit, or in ``var_names``."""
    lookup.fit_of(adata, key, keys.GROUPED)
    symbols = lookup.gene_names(adata, key)
    used = np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float))
    found = np.flatnonzero((symbols == gene).to_numpy())
    found = found if len(found) else np.flatnonzero(adata.var_names == gene)
    if not len(found):
        lower = {name.lower(): name for name in symbols}
        close = difflib.get_close_matches(str(gene).lower(), lower, n=3, cutoff=0.4)
        hint = f"; closest: {', '.join(repr(lower[name]) for name in close)}" if close else ""
        msg = f"gene={gene!r}: adata has no such gene{hint}."
        raise KeyError(msg)
    found = found[used[found]]
    if len(found) != 1:
        what = (
            "is outside the model (not fitted, so it has no loadings)" if not len(found) else "is the name of several"
        )
        msg = f"gene={gene!r} {what}; genes of the model are those with adata.var[{keys.scale(key)!r}]."
        raise ValueError(msg)
    return int(found[0])


def _row(values: Any, row: int) -> NDArray[np.float64]:
    """One row of a dense or sparse matrix."""
    one = sparse.csr_array(values)[[row]].toarray() if sparse.issparse(values) else np.asarray(values)[[row]]
    return one.ravel().astype(float)


def _values(adata: AnnData, columns: list[int], key: str) -> NDArray[np.float64]:
    """Genes as the fit had them, cells × genes."""
    params = lookup.plain(lookup.fit_of(adata, key)[keys.PARAMS])
    layer, normalize = str(params.get("layer", "") or ""), str(params.get("normalize", "") or "")
    if layer and layer not in adata.layers:
        msg = f"The fit took values from adata.layers[{layer!r}], which is gone; put the layer back."
        raise KeyError(msg)
    if not layer and adata.X is None:
        msg = "adata.X is empty, so there is no expression to take means of; put the values back that were fitted."
        raise KeyError(msg)
    part = adata[:, columns]
    values = lookup.plain(part.layers[layer] if layer else part.X)
    values = np.asarray(values.todense() if sparse.issparse(values) else values, dtype=float)
    if normalize:
        whole = lookup.plain(adata.layers[layer] if layer else adata.X[:])
        total = np.asarray(whole.sum(axis=1, dtype=float), dtype=float).ravel()
        factor = np.divide(float(normalize.split()[1]), total, out=np.ones_like(total), where=total > 0)
        values = np.log1p(values * factor[:, None])
    return values
