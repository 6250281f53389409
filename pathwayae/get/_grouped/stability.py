"""How far to trust a fit, and the genes of its components with their intervals, read from the slots alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


@gated()
def stability(
    adata: AnnData, components: str | Sequence[str] | None = None, *, key: str = keys.DEFAULT
) -> pd.DataFrame:
    """Return how far every component holds where the cells are drawn again or the fit starts elsewhere.

    Parameters
    ----------
    adata
        A fitted AnnData after ``pae.tl.stability``. Reads ``uns[key]["stability"]``.
    components
        Names of components. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component:

        - ``component``, and its ``verdict``, the first of these that applies: ``"no signal"`` (the score explains no
          more than 1.5 times what it would of genes that have nothing to do with each other), ``"taken over"`` (the
          genes of the pathway carry less than half of the squared weights of its score), ``"unstable"`` (in more than
          5 % of the refits the scores correlate by less than 0.9 with those of the fit), ``"untested"`` (a free
          component without draws: all starts agree on it) or ``"stable"``;
        - ``scores`` and ``scores_low``: median and 5 % quantile, over the draws, of the correlation between the scores
          of the refit and those of the fit, on the cells of the fit. Without draws, over the restarts: then nothing is
          said about other cells;
        - ``loadings``: median over the same refits of the cosine between their loadings and those of the fit;
        - ``restarts``: 5 % quantile of the correlation of the scores over the restarts; NaN without restarts;
        - ``own``: share of the squared weights of the score that the genes of the pathway carry; NaN for free
          components;
        - ``variance_ratio`` and ``chance``: share of the variance that the score explains alone, and that it would
          explain of genes that have nothing to do with each other;
        - ``n_draws`` and ``n_restarts``: numbers of draws, and of other starts.

    Raises
    ------
    KeyError
        If nothing was fitted under `key` or refitted, or a name is unknown.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 150, 3)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, scores="projection", progress=False)
    >>> pae.tl.stability(adata, n_bootstrap=0, n_restarts=3, progress=False)
    >>> pae.get.stability(adata)["verdict"].tolist()
    ['stable', 'stable', 'stable', 'untested']
    """
    table = lookup.analysis(adata, key, keys.GROUPED, keys.STABILITY, f"stability(adata, key={key!r})")
    if components is not None:
        names = component_names(adata, components, key=key)
        table = table.set_index("component").loc[names].rename_axis(index="component").reset_index()
    return table.reset_index(drop=True)


@gated()
def top_genes(
    adata: AnnData, components: str | Sequence[str] | None = None, *, n_genes: int = 10, key: str = keys.DEFAULT
) -> pd.DataFrame:
    """Return the genes that load most on each component.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``varm["{key}_loadings"]``, ``varm["{key}_membership"]``, ``var["{key}_scale"]`` and,
        where there are intervals, ``varm["{key}_loadings_low"]`` and ``varm["{key}_loadings_high"]``.
    components
        Names of components. ``None`` for all.
    n_genes
        Number of genes per component. Genes with a loading of 0 are never listed, so there can be fewer.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per component and gene: ``component``, ``rank`` (from 1), ``gene`` (its name in the components, see
        the ``gene_symbols`` of the fit), ``loading``, ``member`` (whether the pathway names the gene); after draws of
        ``pae.tl.stability`` also ``low`` and ``high``, the ends of the 95 % interval of the loading. Ordered by
        loading for components, by absolute loading where loadings have signs (free components, which have no members,
        and fits with weights of members); ties by name.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown.
    ValueError
        If `n_genes` is below 1.

    Examples
    --------
    >>> pae.get.top_genes(adata, "program_1", n_genes=2).columns.tolist()
    ['component', 'rank', 'gene', 'loading', 'member', 'low', 'high']
    >>> pae.get.top_genes(adata, ["program_1", "free_1"], n_genes=2)[["component", "rank", "gene", "member"]]
       component  rank      gene  member
    0  program_1     1   gene_34   False
    1  program_1     2  gene_335   False
    2     free_1     1   gene_46   False
    3     free_1     2  gene_148   False
    """
    if n_genes < 1:
        msg = f"n_genes must be at least 1, got {n_genes}."
        raise ValueError(msg)
    lookup.fit_of(adata, key, keys.GROUPED)
    n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS))
    values = lookup.by_columns(lookup.matrix(adata, "varm", keys.loadings(key), key))
    member = sparse.csc_array(lookup.plain(lookup.slot(adata, "varm", keys.membership(key), key)))
    used = np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float))
    labels = lookup.gene_names(adata, key).to_numpy(dtype=str)
    weighted = bool(lookup.plain(lookup.fit_of(adata, key)[keys.PARAMS]).get(keys.WEIGHTED, False))
    ends = _ends(adata, key)
    places = {name: j for j, name in enumerate(lookup.component_names(adata, key))}
    chosen = component_names(adata, components, key=key)
    parts = []
    for j in (places[name] for name in chosen):
        loads = np.where(used, lookup.column(values, j), 0)
        top = _largest(loads if j < n_pathways and not weighted else np.abs(loads), labels, n_genes)
        is_member = lookup.column(member, j)[top] > 0 if j < n_pathways else np.zeros(len(top), dtype=bool)
        columns = {"rank": np.arange(1, len(top) + 1), "gene": labels[top].astype(object), "loading": loads[top]}
        columns |= {"member": is_member} | {end: lookup.column(table, j)[top] for end, table in ends.items()}
        parts.append(columns)
    table = pd.DataFrame({name: np.concatenate([part[name] for part in parts]) for name in parts[0]})
    table.insert(0, "component", np.repeat(np.array(chosen, dtype=object), [len(part["rank"]) for part in parts]))
    return table


def _largest(size: NDArray[Any], labels: NDArray[np.str_], n: int) -> NDArray[np.intp]:
    """Places of the n largest sizes that are not 0, ties by label."""
    rows = np.flatnonzero(size)
    if len(rows) > n:  # those that tie with the last stay, for the labels to decide
        rows = rows[size[rows] >= np.partition(size[rows], -n)[-n]]
    return rows[np.lexsort((labels[rows], -size[rows]))][:n]


def _ends(adata: AnnData, key: str) -> dict[str, Any]:
    """Ends of the intervals of the loadings, by columns, where the fit has them."""
    slots = {"low": keys.loadings_low(key), "high": keys.loadings_high(key)}
    there = {end: slot for end, slot in slots.items() if lookup.has(adata, "varm", slot)}
    return {end: lookup.by_columns(lookup.matrix(adata, "varm", slot, key)) for end, slot in there.items()}
