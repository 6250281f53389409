"""Choice, trust and meaning of archetypes as labelled tables, and where archetypes lie on an embedding."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy.spatial import KDTree

from pathwayae import _keys
from pathwayae.get._archetypes import archetypes, archetypes_entry

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray


def archetype_selection(adata: AnnData, *, key: str = _keys.ARCHETYPES) -> pd.DataFrame:
    """How well several numbers of archetypes do.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_selection``. Reads ``uns["{key}_selection"]``.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``n_archetypes, explained_variance, gap, bic, n_stable, spread, knee, lowest_bic, chosen``, see
        ``pae.tl.archetype_selection``; ``attrs["reason"]`` says in one line which number to take, and why.

    Raises
    ------
    KeyError
        If there is no selection under `key`.

    Examples
    --------
    >>> pae.get.archetype_selection(adata).attrs["reason"]  # doctest: +SKIP
    """
    name = _keys.selection(key)
    entry = adata.uns.get(name)
    if not isinstance(entry, Mapping) or _keys.TABLE not in entry:
        msg = f"No selection in adata.uns[{name!r}]: run pae.tl.archetype_selection(adata, key_added={key!r}) first."
        raise KeyError(msg)
    table = pd.DataFrame(entry[_keys.TABLE]).reset_index(drop=True).copy()
    table.attrs["reason"] = str(entry[_keys.REASON])
    return table


def archetype_trust(
    adata: AnnData, what: Literal["archetypes", "shape"] = "archetypes", *, key: str = _keys.ARCHETYPES
) -> pd.DataFrame:
    """Whether other cells have the same archetypes, and whether the cells have corners.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_trust``. Reads ``uns[key]``.
    what
        ``"archetypes"``: one row per archetype; ``"shape"``: one row per statistic of the cells' shape.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``archetype, spread, spread_high, nearest, found_again, n_draws, verdict``, or ``statistic, observed,
        null_mean, null_high, pval, n_permutations``, see ``pae.tl.archetype_trust``; ``attrs["verdict"]`` is one line.

    Raises
    ------
    KeyError
        If archetypes were not fitted, or not tested, under `key`.
    ValueError
        If `what` is unknown.

    Examples
    --------
    >>> pae.get.archetype_trust(adata).attrs["verdict"]  # doctest: +SKIP
    """
    if what not in ("archetypes", "shape"):
        msg = f"what={what!r} is not known; choose 'archetypes' or 'shape'."
        raise ValueError(msg)
    table = _table(adata, key, _keys.TRUST if what == "archetypes" else _keys.SHAPE, "archetype_trust")
    table.attrs["verdict"] = str(adata.uns[key][_keys.VERDICT])
    return table


def archetype_features(
    adata: AnnData,
    *,
    kind: Literal["gene", "pathway"] | None = None,
    archetypes: str | Sequence[str] | None = None,
    max_padj: float | None = None,
    n_top: int | None = None,
    key: str = _keys.ARCHETYPES,
) -> pd.DataFrame:
    """Genes and pathways that are high at each archetype, the most specific first.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_features``. Reads ``uns[key]["features"]``.
    kind
        ``"gene"`` or ``"pathway"``. ``None`` for both.
    archetypes
        Names of archetypes, in the order wanted. ``None`` for all.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    n_top
        Keep so many features of each archetype and kind, those with a positive effect. ``None`` for all.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``archetype, kind, feature, value, others, effect, statistic, pval, padj``, see
        ``pae.tl.archetype_features``.

    Raises
    ------
    KeyError
        If archetypes were not fitted, or features not tested, under `key`, or a name is unknown.
    ValueError
        If an argument is out of range.

    Examples
    --------
    >>> pae.get.archetype_features(adata, kind="gene", n_top=5)  # doctest: +SKIP
    """
    table = _table(adata, key, _keys.FEATURES, "archetype_features")
    if kind is not None:
        if kind not in ("gene", "pathway"):
            msg = f"kind={kind!r} is not known; choose 'gene', 'pathway', or None for both."
            raise ValueError(msg)
        table = table[table["kind"] == kind]
    if archetypes is not None:
        names = archetype_names(adata, archetypes, key=key)
        table = pd.concat([table[table["archetype"] == name] for name in names])
    if max_padj is not None:
        if not 0 <= max_padj <= 1:
            msg = f"max_padj must be between 0 and 1, got {max_padj}."
            raise ValueError(msg)
        table = table[table["padj"] <= max_padj]
    if n_top is not None:
        if n_top < 1:
            msg = f"n_top must be at least 1, got {n_top}."
            raise ValueError(msg)
        high = table[table["effect"] > 0]
        table = high.groupby(["archetype", "kind"], sort=False, observed=True).head(n_top)
    return table.reset_index(drop=True)


def archetype_groups(
    adata: AnnData, groupby: str | None = None, *, max_padj: float | None = None, key: str = _keys.ARCHETYPES
) -> pd.DataFrame:
    """Groups of cells along the weights of each archetype.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_features`` with ``groupby``. Reads ``uns[key]["groups"]``.
    groupby
        Column of ``obs`` that was tested. ``None`` for all that were.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``groupby, archetype, group, n_cells, mean_weight, mean_others, auroc, share_closest, enrichment, pval,
        padj``, see ``pae.tl.archetype_features``.

    Raises
    ------
    KeyError
        If archetypes were not fitted, or the column not tested, under `key`.
    ValueError
        If `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> pae.get.archetype_groups(adata, "cell_type")  # doctest: +SKIP
    """
    table = _table(adata, key, _keys.GROUPS, "archetype_features", "with groupby=")
    if groupby is not None:
        known = table["groupby"].unique().tolist()
        if groupby not in known:
            msg = f"groupby={groupby!r} was not tested, but {known}: run pae.tl.archetype_features(adata, groupby=…)."
            raise KeyError(msg)
        table = table[table["groupby"] == groupby]
    if max_padj is not None:
        if not 0 <= max_padj <= 1:
            msg = f"max_padj must be between 0 and 1, got {max_padj}."
            raise ValueError(msg)
        table = table[table["padj"] <= max_padj]
    return table.reset_index(drop=True)


def archetype_positions(
    adata: AnnData,
    basis: str = "X_umap",
    *,
    draws: bool = False,
    n_neighbors: int = 15,
    key: str = _keys.ARCHETYPES,
) -> pd.DataFrame:
    """Where archetypes lie on an embedding of the cells.

    On the embedding that they were fitted to, their coordinates. On another one the mean place of the cells nearest to
    them: in the embedding of the fit, or by weight where genes were fitted. An archetype on the hull of the cells has
    its nearest cells on one side, so its place is drawn inwards a little.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``.
    basis
        Name in ``obsm``; ``"umap"`` stands for ``"X_umap"``.
    draws
        Also the archetypes of all draws of ``pae.tl.archetype_trust``.
    n_neighbors
        Number of nearest cells.
    key
        Key of the archetypes.

    Returns
    -------
    pandas.DataFrame
        Columns ``archetype``, ``draw`` (−1 for the archetypes of the fit) and one per dimension of the basis, numbered.

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, no such embedding, or no draws.
    ValueError
        If `n_neighbors` is below 1.
    """
    if n_neighbors < 1:
        msg = f"n_neighbors must be at least 1, got {n_neighbors}."
        raise ValueError(msg)
    entry, name = archetypes_entry(adata, key), embedding_name(adata, basis)
    weights = archetypes(adata, key=key)
    names, k = list(weights.columns), weights.shape[1]
    fitted = str(entry[_keys.PARAMS]["obsm"])
    if draws and _keys.BOOTSTRAP not in entry:
        msg = f"No draws in adata.uns[{key!r}]: run pae.tl.archetype_trust(adata, key={key!r}); only of embeddings."
        raise KeyError(msg)
    drawn = np.asarray(entry[_keys.BOOTSTRAP], dtype=float) if draws else np.empty((0, k, 0))
    target = np.asarray(adata.obsm[name], dtype=float)
    if not fitted:
        places = np.array(
            [target[np.argsort(-one, kind="stable")[:n_neighbors]].mean(axis=0) for one in weights.to_numpy().T]
        )
    else:
        points = np.asarray(entry[_keys.COORDINATES], dtype=float)
        points = np.vstack([points, *drawn]) if draws else points
        places = points if name == fitted else _nearby(adata, fitted, target, points, n_neighbors)
    table = pd.DataFrame(places)
    table.insert(0, "draw", np.repeat(np.arange(-1, len(drawn)), k))
    table.insert(0, "archetype", np.tile(np.array(names, dtype=object), 1 + len(drawn)))
    return table


def embedding_name(adata: AnnData, basis: str) -> str:
    """Name of an embedding in ``obsm``, with or without its ``X_``.

    Raises
    ------
    KeyError
        If there is none.
    """
    name = basis if basis in adata.obsm else f"X_{basis}"
    if name not in adata.obsm:
        msg = f"adata.obsm has no {basis!r}; found: {', '.join(map(repr, adata.obsm)) or 'none'}."
        raise KeyError(msg)
    return name


def archetype_names(adata: AnnData, chosen: str | Sequence[str] | None = None, *, key: str) -> list[str]:
    """Names of all archetypes, or those asked for.

    Raises
    ------
    KeyError
        If a name is unknown.
    """
    names = [str(name) for name in np.asarray(archetypes_entry(adata, key)[_keys.COMPONENT_NAMES])]
    if chosen is None:
        return names
    wanted = [chosen] if isinstance(chosen, str) else [str(name) for name in chosen]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        msg = f"No archetype is called {', '.join(map(repr, unknown))}; there are {', '.join(names)}."
        raise KeyError(msg)
    return wanted


def _nearby(
    adata: AnnData, fitted: str, target: NDArray[np.float64], points: NDArray[np.float64], n: int
) -> NDArray[np.float64]:
    if fitted not in adata.obsm:
        msg = f"adata.obsm[{fitted!r}], which the archetypes were fitted to, is gone, so they cannot be placed."
        raise KeyError(msg)
    cells = np.asarray(adata.obsm[fitted], dtype=float)
    nearest = KDTree(cells).query(points, k=np.arange(1, min(n, len(cells)) + 1))[1]
    return target[nearest].mean(axis=1)


def _table(adata: AnnData, key: str, name: str, tool: str, how: str = "") -> pd.DataFrame:
    entry: Mapping[str, Any] = archetypes_entry(adata, key)
    if name not in entry:
        msg = f"No {name} in adata.uns[{key!r}]: run pae.tl.{tool}(adata, key={key!r}) {how}".rstrip() + " first."
        raise KeyError(msg)
    return pd.DataFrame(entry[name]).reset_index(drop=True).copy()
