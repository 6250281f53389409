"""Choice, trust and meaning of archetypes as labelled tables, and where archetypes lie on an embedding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.get._common import significant

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def archetype_selection(adata: AnnData, *, key: str = keys.ARCHETYPES) -> pd.DataFrame:
    """Return how well several numbers of archetypes do.

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
    >>> pae.get.archetype_selection(adata)["n_archetypes"].tolist()
    [2, 3, 4]
    >>> pae.get.archetype_selection(adata).attrs["reason"]
    '3: the largest number of archetypes that are all stable; the knee says the same, the lowest BIC says 4'
    """
    name = keys.selection(key)
    table, reason = (
        lookup.before_a_fit(adata, name, part, "selection", f"archetype_selection(adata, key_added={key!r})")
        for part in (keys.TABLE, keys.REASON)
    )
    table = pd.DataFrame(table).reset_index(drop=True).copy()
    table.attrs["reason"] = str(reason)
    return table


@gated()
def archetype_trust(
    adata: AnnData, *, of: Literal["archetypes", "shape"] = "archetypes", key: str = keys.ARCHETYPES
) -> pd.DataFrame:
    """Return whether other cells have the same archetypes, and whether the cells have corners.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_trust``. Reads ``uns[key]``.
    of
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
        If `of` is unknown.

    Examples
    --------
    >>> pae.get.archetype_trust(adata)["archetype"].tolist()
    ['archetype_0', 'archetype_1', 'archetype_2']
    >>> pae.get.archetype_trust(adata).attrs["verdict"].split(":")[0]
    'unstable'
    """
    if of not in ("archetypes", "shape"):
        msg = f"of={of!r} is not known; choose 'archetypes' or 'shape'."
        raise ValueError(msg)
    table = _table(adata, key, keys.TRUST if of == "archetypes" else keys.SHAPE, "archetype_trust")
    table.attrs["verdict"] = str(lookup.value(adata, key, keys.VERDICT))
    return table


@gated()
def archetype_features(
    adata: AnnData,
    archetypes: str | Sequence[str] | None = None,
    *,
    of: Literal["gene", "pathway"] | None = None,
    max_padj: float | None = None,
    n_features: int | None = None,
    key: str = keys.ARCHETYPES,
) -> pd.DataFrame:
    """Return the genes and pathways that are high at each archetype, the most specific first.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_features``. Reads ``uns[key]["features"]``.
    archetypes
        Names of archetypes, in the order wanted. ``None`` for all.
    of
        ``"gene"`` or ``"pathway"``. ``None`` for both.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    n_features
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
    >>> pae.get.archetype_features(adata, of="gene", n_features=5).shape
    (15, 9)
    """
    table = _table(adata, key, keys.FEATURES, "archetype_features")
    if of is not None:
        if of not in ("gene", "pathway"):
            msg = f"of={of!r} is not known; choose 'gene', 'pathway', or None for both."
            raise ValueError(msg)
        table = table[table["kind"] == of]
    if archetypes is not None:
        names = archetype_names(adata, archetypes, key=key)
        table = pd.concat([table[table["archetype"] == name] for name in names])
    table = significant(table, max_padj)
    if n_features is not None:
        if n_features < 1:
            msg = f"n_features must be at least 1, got {n_features}."
            raise ValueError(msg)
        high = table[table["effect"] > 0]
        table = high.groupby(["archetype", "kind"], sort=False, observed=True).head(n_features)
    return table.reset_index(drop=True)


@gated()
def archetype_groups(
    adata: AnnData, groupby: str | None = None, *, max_padj: float | None = None, key: str = keys.ARCHETYPES
) -> pd.DataFrame:
    """Return the groups of cells along the weights of each archetype.

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
    >>> pae.get.archetype_groups(adata, "cell_type")[["archetype", "group", "n_cells"]].head(2)
         archetype   group  n_cells
    0  archetype_0  type_1       81
    1  archetype_0  type_2       69
    """
    table = _table(adata, key, keys.GROUPS, "archetype_features", "with groupby=")
    if groupby is not None:
        known = table["groupby"].unique().tolist()
        if groupby not in known:
            msg = f"groupby={groupby!r} was not tested, but {known}: run pae.tl.archetype_features(adata, groupby=…)."
            raise KeyError(msg)
        table = table[table["groupby"] == groupby]
    return significant(table, max_padj)


def archetype_names(adata: AnnData, chosen: str | Sequence[str] | None = None, *, key: str) -> list[str]:
    """Names of all archetypes, or those asked for.

    Raises
    ------
    KeyError
        If a name is unknown.
    """
    lookup.fit_of(adata, key, keys.ARCHETYPES)
    names = lookup.component_names(adata, key)
    if chosen is None:
        return names
    wanted = [chosen] if isinstance(chosen, str) else [str(name) for name in chosen]
    unknown = [name for name in wanted if name not in names]
    if unknown:
        msg = f"No archetype is called {', '.join(map(repr, unknown))}; there are {', '.join(names)}."
        raise KeyError(msg)
    return wanted


def _table(adata: AnnData, key: str, name: str, tool: str, how: str = "") -> pd.DataFrame:
    return lookup.analysis(adata, key, keys.ARCHETYPES, name, f"{tool}(adata, key={key!r}) {how}".rstrip())
