"""Results of a fit as labelled tables, read from the slots alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae._slots.names import find
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def component_names(
    adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT
) -> list[str]:
    """Return the names of the components: the pathways, then the free components.

    Every function that takes names of components or pathways looks them up here, so that a part of a name will do
    where only one name has it.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]["component_names"]``.
    components
        Names to look up; they come back in full as a list, in the order given. ``None`` for all. The first of these
        that fits counts: the name itself; the name but for case and what stands between words, with or without the
        prefix of its collection (``"hypoxia"`` for ``"HALLMARK_HYPOXIA"``); the words in a row (``"interferon alpha"``
        for ``"HALLMARK_INTERFERON_ALPHA_RESPONSE"``), whole ones before beginnings; four
        letters or more anywhere. What several names have is refused, and a misspelled name is not guessed.
    key
        Key of the fit.

    Returns
    -------
    list of str
        All names, or those asked for.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown (the message gives the closest ones), or it is part of
        several (the message lists them).
    ValueError
        If `components` is empty or repeats a name, or the cells were joined from several fits.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.get.component_names(adata)[-3:]
    ['program_6', 'free_1', 'free_2']
    >>> pae.get.component_names(adata, ["Program 6", "gram_2"])
    ['program_6', 'program_2']
    """
    names = lookup.component_names(adata, key)
    if components is None:
        return names
    return find(names, [components] if isinstance(components, str) else [str(name) for name in components])


@gated()
def scores(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    standardize: bool = False,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return the scores of the cells: of pathways, codes of a sparse autoencoder, or weights of archetypes.

    The table is dense: of many cells and latents name the components that are wanted.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData. Reads ``obsm["X_{key}"]``.
    components
        Names of components, in the order wanted. ``None`` for all.
    standardize
        In standard deviations from the mean over these cells; 0 for a component without variance.
    key
        Key of the fit, of any model.

    Returns
    -------
    pandas.DataFrame
        Cells × components; index ``obs_names``, columns the component names.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If slot and names come from different fits, or `components` is empty or repeats a name.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> pae.get.scores(adata, "program_1").shape
    (300, 1)
    >>> pae.get.scores(adata).groupby(adata.obs["cell_type"], observed=True).mean().shape
    (6, 26)
    """
    table = _labelled(adata, "obsm", keys.scores(key), components, key)
    if not standardize:
        return table
    values = table.astype(float)
    spread = values.std(ddof=0)
    varies = spread > 1e-6 * values.abs().max()  # more than the rounding of float32
    return (values - values.mean()) / spread.where(varies, np.inf)


@gated()
def loadings(adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return the loadings of the genes: of pathways, what latents add to genes, or expression at archetypes.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_loadings"]``; of a sparse autoencoder ``varm["{key}_features"]``, what
        each latent adds to each gene when it fires by 1; of archetypes ``varm[key]``.
    components
        Names of components, in the order wanted. ``None`` for all.
    key
        Key of the fit, of any model.

    Returns
    -------
    pandas.DataFrame
        Genes × components; index ``var_names``, columns the component names. Genes outside the model have zeros. Where
        the slot is sparse, a table of over 2²³ entries has sparse columns (:class:`pandas.SparseDtype`); name the
        components that are wanted for a dense one.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the fit was to an embedding without known gene
        loadings, so that it says nothing about genes.
    ValueError
        If slot and names come from different fits, or `components` is empty or repeats a name.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> pae.get.loadings(adata)["program_1"].nlargest(10).size
    10
    """
    lookup.check_says_genes(adata, key)
    kind = lookup.KINDS[lookup.kind_of(adata, key)]
    return _labelled(adata, "varm", kind.loadings(key), components, key)


def _labelled(adata: AnnData, where: str, slot: str, components: str | Sequence[str] | None, key: str) -> pd.DataFrame:
    chosen = None if components is None else component_names(adata, components, key=key)
    return lookup.table(adata, where, slot, key, chosen)


@gated()
def variance(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return the share of the variance that each component explains on its own.

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

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.get.variance(adata)["kind"].value_counts().to_dict()
    {'pathway': 6, 'free': 2}
    """
    names = component_names(adata, key=key)
    ratio = np.asarray(lookup.value(adata, key, keys.VARIANCE_RATIO, kind=keys.GROUPED), dtype=float).ravel()
    n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS))
    kind = np.where(np.arange(len(names)) < n_pathways, "pathway", "free").astype(object)
    table = pd.DataFrame({"component": names, "variance_ratio": ratio, "kind": kind})
    if (report := lookup.fit_of(adata, key).get(keys.PATHWAYS)) is None:
        return table
    sizes = report.set_index("pathway")[["n_genes", "n_matched"]].reindex(names).fillna(0).astype(int)
    return table.join(sizes.reset_index(drop=True))


@gated()
def history(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    """Return the course of the fit.

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

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.fit(adata, "pathways", scores="projection", progress=False)
    >>> pae.get.history(adata).shape
    (100, 4)
    """
    fit = lookup.fit_of(adata, key)
    without = lookup.plain(fit[keys.PARAMS].get("scores", "")) == "members"  # concat drops what is empty
    terms = fit.get(keys.HISTORY, {}) if without else lookup.value(adata, key, keys.HISTORY)
    first = [name for name in ("loss", "reconstruction", "zero", "entropy") if name in terms]
    columns = {str(name): np.asarray(terms[name], dtype=float).ravel() for name in dict.fromkeys([*first, *terms])}
    return pd.DataFrame(columns).rename_axis(index="iteration")


@gated()
def enrichment(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    max_padj: float | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return the gene sets that the loadings point to.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.enrich``. Reads ``uns[key]["enrichment"]``.
    components
        Names of components. ``None`` for all.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    key
        Key of the fit, of any model.

    Returns
    -------
    pandas.DataFrame
        Columns ``component, term, method, direction, score, pval, padj, n_genes, n_overlap, n_up, n_down, genes``, see
        ``pae.tl.enrich``.

    Raises
    ------
    KeyError
        If nothing was fitted or tested under `key`, or a name is unknown.
    ValueError
        If `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> sets = {"half": adata.var_names[:200], "few": adata.var_names[:20]}
    >>> pae.tl.enrich(adata, sets, method="ora", progress=False)
    >>> pae.get.enrichment(adata, "program_1")["term"].tolist()
    ['few', 'half']
    """
    table = lookup.analysis(adata, key, "", keys.ENRICHMENT, f"enrich(adata, gene_sets, key={key!r})")
    if components is not None:
        table = table[table["component"].isin(component_names(adata, components, key=key))]
    table = significant(table, max_padj)
    return table.astype(dict.fromkeys(table.columns[table.dtypes == "category"], object))


def significant(table: pd.DataFrame, max_padj: float | None) -> pd.DataFrame:
    """Rows up to an adjusted *p*-value, numbered anew; all where it is ``None``.

    Raises
    ------
    ValueError
        If it is not between 0 and 1.
    """
    if max_padj is not None and not 0 <= max_padj <= 1:
        msg = f"max_padj must be between 0 and 1, got {max_padj}."
        raise ValueError(msg)
    return (table if max_padj is None else table[table["padj"] <= max_padj]).reset_index(drop=True)
