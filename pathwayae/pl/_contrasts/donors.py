"""Scores of cells and donors in groups: violins with a dot per donor, and a line per donor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae._slots.groups import groups_of
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _cells, _names
from pathwayae.pl._contrasts import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

MOST_BESIDE, MOST_NAMED = 6, 8  # groups beside each other; donors with a colour each
LEAST = 5  # cells of a violin
COLUMNS = ("groupby", "sample_key", "within")


@gated()
def violin(
    adata: AnnData,
    pathways: str | Sequence[str],
    groupby: str | None = None,
    *,
    sample_key: str | None = None,
    within: str | None = None,
    key_added: str | None = None,
    ncols: int = 1,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[Any]:
    """Draw how the scores of cells are distributed in groups, with a dot per donor at the mean of its cells.

    Fewer than five cells have no violin. Each has the same width, whatever its number of cells.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.scores`.
    pathways
        Names of pathways or free components, a panel each.
    groupby
        Column of ``obs`` with the groups. ``None`` for the columns of ``pae.tl.rank_pathways``: its `groupby`,
        `sample_key` and `within`.
    sample_key
        Column of ``obs`` with the samples, usually donors. ``None`` for no dots if `groupby` is given.
    within
        Column of ``obs``, such as the cell type: one place on the axis per level, at which the groups, six at most,
        stand beside each other. ``None`` for the groups on the axis if `groupby` is given.
    key_added
        Name of the entry that ``pae.tl.rank_pathways`` was told to write.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on, one per pathway. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them for several pathways.

    Raises
    ------
    KeyError
        If nothing was fitted, a column or pathway does not exist, or `groupby` is left out and nothing was compared.
    ValueError
        If a column holds numbers, or there are too many groups.

    Examples
    --------
    >>> ax = pae.pl.violin(adata, "program_1", "cell_type", sample_key="donor", show=False)
    >>> ax.get_ylabel()
    'score'
    """
    groupby, sample_key, within = _columns(adata, groupby, sample_key, within, key_added, key)
    scores = get.scores(adata, pathways, key=key)
    cells = _factors(adata, groupby, sample_key, within)
    groups, levels = _levels(cells["group"]), _levels(cells["level"])
    if within is not None and len(groups) > MOST_BESIDE:
        msg = f"{len(groups)} groups of {groupby!r} cannot stand beside each other within {within!r}; at most "
        raise ValueError(msg + f"{MOST_BESIDE} can. Leave within out, or choose a coarser column.")
    beside = groups if within is not None else [""]
    ticks = levels if within is not None else groups
    labels = _names.titles(ticks, 22, 2)
    step = max(0.42, 0.22 * len(beside), 0.08 + 0.15 * max(1 + name.count("\n") for name in labels))
    names = _names.titles([str(one) for one in scores.columns], 44, 2)
    width = _axes.wide(max(2.2, step * len(ticks)), [line for name in names for line in name.split("\n")], 0.4)
    size = (width + 0.9 + (1.3 if within else 0.0), 2.5 + _axes.room(labels))
    axes, _ = _axes.panels(ax, scores.shape[1], ncols=ncols, size=size)
    for one, column, name in zip(axes, scores.columns, names, strict=True):
        _violins(one, cells.assign(score=scores[column].to_numpy(dtype=float)), beside, ticks, split=within is not None)
        one.set_xticks(range(len(ticks)), labels, rotation=90, fontsize="small")
        one.set(xlim=(-0.6, len(ticks) - 0.4), ylabel="score")
        one.set_xlabel(_axes.plain(within or groupby))
        _axes.head(one, name)
        _axes.bare(one)
    _say_groups(axes[0], beside if within is not None else [], groupby, sample_key)
    _axes.finish(axes, show=show, save=save)
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


@gated()
def paired(
    adata: AnnData,
    pathway: str,
    groupby: str | None = None,
    *,
    sample_key: str | None = None,
    within: str | None = None,
    key_added: str | None = None,
    ncols: int = 4,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[Any]:
    """Draw the mean score of each donor in each group, with a line per donor and a panel per level of `within`.

    Black bars are means over donors. The title gives the effect and the FDR of ``pae.tl.rank_pathways`` where it
    compared two groups of these very columns. Panels share their scale.

    Parameters
    ----------
    adata
        A fitted AnnData. Read through :func:`pathwayae.get.scores` and :func:`pathwayae.get.rank_pathways`.
    pathway
        Name of a pathway or free component.
    groupby
        Column of ``obs`` with the groups. ``None`` for the columns of ``pae.tl.rank_pathways``: its `groupby`,
        `sample_key` and `within`.
    sample_key
        Column of ``obs`` with the samples, usually donors; up to eight have a colour each.
    within
        Column of ``obs``, such as the cell type. ``None`` for one panel of all cells if `groupby` is given.
    key_added
        Name of the entry that ``pae.tl.rank_pathways`` was told to write.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on, one per panel. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes, or an array of them where there are several panels.

    Raises
    ------
    KeyError
        If nothing was fitted, a column or the pathway does not exist, or `groupby` is left out and nothing was
        compared.
    ValueError
        If there is no `sample_key`, or no sample has cells in two groups.

    Examples
    --------
    >>> ax = pae.pl.paired(adata, "program_1", "cell_type", sample_key="donor", show=False)
    >>> ax.get_ylabel()
    'mean score'
    """
    given = groupby
    groupby, sample_key, within = _columns(adata, groupby, sample_key, within, key_added, key)
    if sample_key is None:
        msg = "sample_key must name the column of obs with the donors that lines are drawn for; got None."
        raise ValueError(msg)
    scores = get.scores(adata, [pathway], key=key)
    cells = _factors(adata, groupby, sample_key, within).assign(score=scores.iloc[:, 0].to_numpy(dtype=float))
    means = cells.pivot_table("score", ["level", "sample"], "group", observed=True)
    if (means.notna().sum(axis=1) < 2).all():
        msg = f"No sample of {sample_key!r} has cells in two groups of {groupby!r}: nothing is paired. See pl.violin."
        raise ValueError(msg)
    table = _tested(adata, scores.columns[0], (groupby, sample_key, within), key_added, key, needed=given is None)
    groups = [str(one) for one in means.columns]
    if table is not None and len(references := table["reference"].unique()) == 1 and references[0] in groups:
        groups = [references[0], *(one for one in groups if one != references[0])]
    levels, samples = _levels(cells["level"]), _levels(cells["sample"])
    labels = _names.titles(groups, 22, 2)
    across = min(ncols, len(levels))
    size = (
        max(1.9, 0.45 * len(groups) + 1.1, 3.0 / max(across, 1)) + 1.1 / max(across, 1),
        2.4 + (_axes.room(labels) if len(groups) > 3 else 0.3),
    )
    axes, _ = _axes.panels(ax, len(levels), ncols=ncols, size=size)
    named = len(samples) <= MOST_NAMED
    color = {one: _cells.COLORS[i] if named else _axes.GREY for i, one in enumerate(samples)}
    low, high = float(means.min().min()), float(means.max().max())
    room = 0.06 * (high - low) or 1.0
    for one, level, head in zip(axes, levels, _names.titles(levels, 24, 2), strict=True):
        _lines(one, pd.DataFrame(means.xs(level, level="level")).reindex(columns=groups), color)
        one.set(xlim=(-0.4, len(groups) - 0.6), ylim=(low - room, high + room))
        one.set_xticks(range(len(groups)), labels, rotation=90 if len(groups) > 3 else 0, fontsize="small")
        one.set_ylabel("mean score", fontsize="small")
        _axes.head(one, "\n".join(filter(None, [head, _result(table, level)])), fontsize="small")
    _say_pathway(
        axes, str(scores.columns[0]), {one: color[one] for one in samples} if named else {}, sample_key, own=ax is None
    )
    _axes.finish(axes, show=show, save=save)
    return axes[0] if len(axes) == 1 else np.array(axes, dtype=object)


def _columns(
    adata: AnnData, groupby: str | None, sample_key: str | None, within: str | None, key_added: str | None, key: str
) -> tuple[str, str | None, str | None]:
    """Columns as given, or those that were compared."""
    if groupby is not None:
        return groupby, sample_key, within
    _, params = ranked.read(adata, None, None, key_added, key)
    return str(params["groupby"]), sample_key or params["sample_key"] or None, within or params["within"] or None


def _factors(adata: AnnData, groupby: str, sample_key: str | None, within: str | None) -> pd.DataFrame:
    """Group, sample and level of each cell as categories; a column that is not there has one, without a name."""
    found = {}
    for name, column in (("group", groupby), ("sample", sample_key), ("level", within)):
        values = pd.Series(pd.Categorical([""] * adata.n_obs), index=adata.obs_names)
        values = values if column is None else groups_of(adata, column)
        found[name] = values.cat.rename_categories([str(one) for one in values.cat.categories]).array
    return pd.DataFrame(found, index=adata.obs_names)


def _levels(values: pd.Series) -> list[str]:
    return [str(one) for one in values.cat.categories]


def _violins(ax: Axes, cells: pd.DataFrame, beside: list[str], ticks: list[str], *, split: bool) -> None:
    """Violins, and a dot per sample."""
    width = 0.8 / len(beside)
    for j, group in enumerate(beside):
        color = _cells.COLORS[j] if split else _axes.GREY
        for i, tick in enumerate(ticks):
            part = (
                cells[(cells["level"] == tick) & (cells["group"] == group)] if split else cells[cells["group"] == tick]
            )
            part = part[np.isfinite(part["score"])]
            at = i + (j - (len(beside) - 1) / 2) * width
            if len(part) >= LEAST and np.ptp(part["score"]) > 0:
                drawn: dict[str, Any] = ax.violinplot(part["score"], [at], widths=0.92 * width, showextrema=False)
                for body in drawn["bodies"]:
                    body.set(facecolor=color, alpha=0.45, edgecolor=color, linewidth=0.6)
            means = part.groupby("sample", observed=True)["score"].mean()
            if list(means.index) in ([], [""]):
                continue
            shift = np.linspace(-0.22, 0.22, len(means)) * width if len(means) > 1 else np.zeros(1)
            ax.scatter(at + shift, means, s=13, color=color, edgecolors="black", linewidths=0.5, zorder=3)


def _say_groups(ax: Axes, groups: list[str], groupby: str, sample_key: str | None) -> None:
    """Legend of colours and dots."""
    handles = [
        Line2D([], [], linestyle="none", marker="s", color=_cells.COLORS[j], alpha=0.6, label=_axes.wrap(one, 18))
        for j, one in enumerate(groups)
    ]
    if sample_key is not None:
        dot: dict[str, Any] = {"marker": "o", "markersize": 4, "color": "0.6", "markeredgecolor": "black"}
        label = _axes.plain(f"mean of a {sample_key}")
        handles.append(Line2D([], [], linestyle="none", markeredgewidth=0.5, label=label, **dot))
    if handles:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "alignment": "left"}
        title = _axes.plain(groupby) if groups else None
        ax.legend(handles=handles, title=title, fontsize="small", title_fontsize="small", frameon=False, **place)


def _tested(
    adata: AnnData,
    pathway: str,
    columns: tuple[str, str | None, str | None],
    key_added: str | None,
    key: str,
    *,
    needed: bool,
) -> pd.DataFrame | None:
    """Rows of a pathway, if these columns are those that were compared."""
    name = keys.RANK_PATHWAYS if key_added is None else key_added
    if not needed and keys.rank_params(name) not in lookup.fit_of(adata, key):
        return None
    table, params = ranked.read(adata, None, None, key_added, key)
    if tuple(params[one] or None for one in COLUMNS) != columns:
        return None
    return table[table["pathway"] == pathway]


def _result(table: pd.DataFrame | None, level: str) -> str:
    """Effect and FDR of a panel with one comparison."""
    rows = table[table["within"] == level] if table is not None else None
    if rows is None or len(rows) != 1 or rows["reference"].iloc[0] == "rest":
        return ""
    row = rows.iloc[0]
    return f"{row['effect']:+.2f} s.d., FDR {ranked.number(row['padj'])}".replace(
        "-", "−", 1 if row["effect"] < 0 else 0
    )


def _lines(ax: Axes, means: pd.DataFrame, color: dict[str, str]) -> None:
    """A line per sample through its groups, and bars at the means of groups."""
    for sample, values in means.iterrows():
        there = np.flatnonzero(values.notna())
        style: dict[str, Any] = {"color": color[str(sample)], "marker": "o", "markersize": 3.5, "linewidth": 1.1}
        ax.plot(there, values.to_numpy()[there], label=str(sample), alpha=0.85, **style)
    ax.hlines(means.mean(), np.arange(means.shape[1]) - 0.18, np.arange(means.shape[1]) + 0.18, color="black", zorder=3)
    ax.tick_params(labelsize="small")
    _axes.bare(ax)


def _say_pathway(axes: list[Axes], pathway: str, color: dict[str, str], sample_key: str, *, own: bool) -> None:
    """Name of the pathway and colours of donors: on a figure made here around the panels, else on the first axes."""
    handles = [
        Line2D([], [], color=one, marker="o", markersize=3.5, label=_axes.wrap(name, 18)) for name, one in color.items()
    ]
    words: dict[str, Any] = {"title": _axes.plain(sample_key), "fontsize": "small", "title_fontsize": "small"}
    if own:
        figure = axes[0].figure.figure
        width = int((figure.get_figwidth() - 0.6) / 0.1)
        figure.suptitle(_names.titles([pathway], width)[0], fontsize="medium")
        if handles:
            figure.legend(handles=handles, loc="outside right center", frameon=False, **words)
        return
    axes[0].set_ylabel(f"mean score\n{_names.titles([pathway], 30, 2)[0]}", fontsize="small")
    if handles:
        axes[-1].legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, **words)
