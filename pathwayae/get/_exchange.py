"""A fit in the forms of other tools: columns of ``obs`` and an AnnData for scanpy, tables of weights for decoupler."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from pathwayae._slots import keys, lookup, store
from pathwayae.core.gates import gated
from pathwayae.get._common import component_names, loadings, scores, variance
from pathwayae.get._grouped.refinement import refined, refinement
from pathwayae.get._grouped.trust import trust

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def to_obs(
    adata: AnnData,
    components: str | Sequence[str],
    *,
    standardize: bool = False,
    prefix: str = "",
    key: str = keys.DEFAULT,
) -> list[str]:
    """Make scores columns of ``obs`` and return their names, for ``color=``, ``keys=`` or ``var_names=`` of scanpy.

    Parameters
    ----------
    adata
        A fitted or transformed AnnData, of any model. Reads ``obsm["X_{key}"]``.
    components
        Names of components, or parts that only one name has, see :func:`component_names`.
    standardize
        In standard deviations from the mean over these cells, so that pathways side by side have one scale. Either way
        0 is the mean of the cells of the fit, or of these: the dots of ``sc.pl.dotplot`` are the share of cells above.
    prefix
        Put before the names, to tell fits apart.
    key
        Key of the fit.

    Returns
    -------
    list of str
        Names of the columns of ``adata.obs`` that were written, in the order of `components`: the full names, with
        ``-`` for ``/``, which files cannot hold in a name. ``uns[key]["obs_columns"]`` remembers them: they are written
        anew by the next call, and the next fit under `key` removes them.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name is unknown or part of several.
    ValueError
        If ``obs`` has such a column that is not of this fit, or a gene has the name, which scanpy could not tell
        apart; nothing is written then.

    See Also
    --------
    to_anndata : all scores at once, cells × components.

    Examples
    --------
    >>> import scanpy as sc
    >>> names = pae.get.to_obs(adata, ["program 1", "program 2"])
    >>> names
    ['program_1', 'program_2']
    >>> sc.pl.umap(adata, color=[*names, "cell_type"], show=False)[0].get_title()
    'program_1'
    >>> axes = sc.pl.dotplot(adata, names, groupby="cell_type", show=False)
    >>> pae.get.to_obs(adata, "program_1", prefix="descent: ", key="projection")
    ['descent: program_1']
    """
    table = scores(adata, components, standardize=standardize, key=key)
    columns = [prefix + str(name).replace("/", "-") for name in table.columns]
    genes = adata.var_names if adata.raw is None else adata.var_names.union(adata.raw.var_names)
    if both := [name for name in columns if name in genes]:
        msg = f"{both[0]!r} is the name of a gene too, and scanpy would not know which is meant; pass prefix='score: '."
        raise ValueError(msg)
    if len(set(columns)) < len(columns):
        msg = f"Two components would be one column of obs, as '/' becomes '-': {columns}. Write one, then the other."
        raise ValueError(msg)
    store.put_columns(adata, key, table.set_axis(columns, axis=1))
    return columns


@gated()
def to_net(
    adata: AnnData,
    components: str | Sequence[str] | None = None,
    *,
    of: Literal["loadings", "membership", "refined"] = "loadings",
    n_genes: int | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return genes with weights as a long table, the network that decoupler takes, or gene sets with weights.

    Parameters
    ----------
    adata
        A fitted AnnData; for ``"refined"`` after ``pae.tl.refine``.
    components
        Names of components, or parts that only one name has. ``None`` for all (of ``"loadings"``), or all pathways.
    of
        ``"loadings"``: the loadings, of any model; those of free components and latents have both signs.
        ``"membership"``: the genes that the pathways name, each with weight 1. ``"refined"``: the sets of
        :func:`refined`, each gene with its posterior as weight.
    n_genes
        Genes per component with the largest weights, by size. ``None`` for all that are not 0; of the loadings these
        are most genes.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        ``source`` (component), ``target`` (gene, by its name in the pathways, see the ``gene_symbols`` of the fit) and
        ``weight``; components in the order asked for, the largest weights first, ties by name. No pair twice.
        ``pae.gs.as_collection`` makes gene sets of it (without weights), and these write GMT; decoupler's own reader of
        GMT cuts names at blanks, so give it the table.

    Raises
    ------
    KeyError
        If nothing was fitted (or refined) under `key`, a name is unknown, or a free component is asked for its members.
    ValueError
        If `of` is unknown, or `n_genes` is below 1.

    Examples
    --------
    >>> net = pae.get.to_net(adata, "program_1", n_genes=2)
    >>> net[["source", "target"]]
          source    target
    0  program_1   gene_34
    1  program_1  gene_335

    In decoupler ``dc.mt.ulm(adata, net)``; as GMT:

    >>> pae.gs.as_collection(pae.get.to_net(adata, of="refined")).to_gmt("refined.gmt")
    """
    if n_genes is not None and n_genes < 1:
        msg = f"n_genes must be at least 1, or None for all, got {n_genes}."
        raise ValueError(msg)
    if of == "refined":
        parts = _refined(adata, components, key)
    elif of == "membership":
        parts = _members(adata, components, key)
    elif of == "loadings":
        wide = loadings(adata, components, key=key)
        genes = lookup.gene_names(adata, key).to_numpy(dtype=str)
        parts = [(str(name), genes, wide[name].to_numpy()) for name in wide.columns]
    else:
        msg = f"of={of!r} is not known; choose 'loadings', 'membership' or 'refined'."
        raise ValueError(msg)
    tables = []
    for name, genes, weight in parts:
        rows = np.flatnonzero(weight)
        rows = rows[np.lexsort((genes[rows], -np.abs(weight[rows])))][:n_genes]
        tables.append(
            pd.DataFrame({"source": name, "target": genes[rows].astype(object), "weight": weight[rows].astype(float)})
        )
    return pd.concat(tables, ignore_index=True)


Part = tuple[str, "np.ndarray[tuple[int], np.dtype[np.str_]]", "np.ndarray[tuple[int], np.dtype[np.float64]]"]


def _members(adata: AnnData, components: str | Sequence[str] | None, key: str) -> list[Part]:
    """Pathways with the genes that they name, each with weight 1."""
    n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS, kind=keys.GROUPED))
    own = component_names(adata, key=key)[:n_pathways]
    chosen = own if components is None else component_names(adata, components, key=key)
    if free := [name for name in chosen if name not in own]:
        msg = f"{free[0]!r} is a free component, which names no genes; ask for of='loadings', or name pathways."
        raise KeyError(msg)
    member = lookup.by_columns(lookup.plain(lookup.slot(adata, "varm", keys.membership(key), key)))
    genes = lookup.gene_names(adata, key).to_numpy(dtype=str)
    place = {name: j for j, name in enumerate(own)}
    return [(name, genes, lookup.column(member, place[name]).astype(float)) for name in chosen]


def _refined(adata: AnnData, components: str | Sequence[str] | None, key: str) -> list[Part]:
    """Pathways with the genes of their refined sets; weight 1 where nothing could be weighed."""
    table = refinement(adata, components, key=key)
    sets = refined(adata, key=key)
    chosen = list(sets) if components is None else component_names(adata, components, key=key)
    parts = []
    for name in chosen:
        posterior = table[table["pathway"] == name].set_index("gene")["posterior"]
        genes = np.array(sets.get(name, ()), dtype=str)
        parts.append((name, genes, posterior.reindex(genes).fillna(1.0).to_numpy(dtype=float)))
    return parts


@gated()
def to_anndata(adata: AnnData, *, key: str = keys.DEFAULT) -> AnnData:
    """Return cells × components as an AnnData, for the plots and rankings of scanpy and for decoupler.

    A test over cells (``sc.tl.rank_genes_groups``) takes cells of one donor for replicates: use it to find what marks a
    cluster, not to say which pathways a condition changes; :func:`pathwayae.tl.rank_pathways` does that.

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
        component, and after ``pae.tl.fit`` the ``verdict`` and ``reason`` of :func:`trust`; ``obs`` (without the
        columns of :func:`to_obs`), ``obsm`` and ``obsp`` as they were, and of ``uns`` the colours (``*_colors``),
        ``neighbors`` and ``umap``. Nothing is shared with `adata`. Scores are no
        logarithms of counts: ``logfoldchanges`` of ``sc.tl.rank_genes_groups`` mean nothing here.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`.

    Examples
    --------
    >>> import scanpy as sc
    >>> programs = pae.get.to_anndata(adata)
    >>> programs.shape
    (300, 9)
    >>> axes = sc.pl.matrixplot(programs, ["program_1", "free_1"], "cell_type", show=False)
    >>> sc.get.obs_df(programs, ["cell_type", "program_1"]).shape
    (300, 2)
    """
    import anndata

    values = lookup.matrix(adata, "obsm", keys.scores(key), key)
    var = pd.DataFrame(index=component_names(adata, key=key))
    fit = lookup.fit_of(adata, key)
    if keys.VARIANCE_RATIO in fit:
        var = variance(adata, key=key).set_index("component").rename_axis(index=None)
    if keys.PATHWAYS in fit and lookup.has(adata, "varm", keys.loadings(key)):
        var = var.join(trust(adata, key=key).set_index("component")[["verdict", "reason"]])
    carried = {name: adata.uns[name] for name in adata.uns if name.endswith("_colors") or name in ("neighbors", "umap")}
    ours = [name for name in store.columns_written(adata, key) if name in adata.obs]
    return anndata.AnnData(
        X=values.copy(),
        obs=adata.obs.drop(columns=ours),
        var=var,
        obsm={name: value.copy() for name, value in adata.obsm.items() if name != keys.scores(key)},
        obsp={name: value.copy() for name, value in adata.obsp.items()},
        uns=deepcopy(carried),
    )
