"""Annotation and cells weighed against each other, gene by gene or pathway by pathway."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes, _names

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

STYLE = {  # colour and marker of a call
    "confirmed": (_axes.BLUE, "o"),
    "added": (_axes.VERMILLION, "^"),
    "dropped": (_axes.ORANGE, "v"),
    "undecided": ("#B5B5B5", "o"),
}
ROOM = 0.055  # of the height of the axes, between two labels


@gated(n_pathways=1, n_genes=0)
def refinement(
    adata: AnnData,
    pathways: str | Sequence[str] | None = None,
    *,
    n_genes: int = 6,
    n_pathways: int = 30,
    title: str | Sequence[str] | None = None,
    ncols: int = 3,
    key: str = keys.DEFAULT,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw the genes confirmed, added and dropped: per pathway, or gene by gene for pathways named.

    With names, every gene of the model is a point: across, what the cells say (evidence), upwards, what was believed
    before (prior). Their sum decides: right of the line a membership is more likely than not.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.refine``. Read through :func:`pathwayae.get.refinement`.
    pathways
        Names of pathways, one panel each. ``None`` for bars of all pathways, ordered by held-out AUC.
    n_genes
        Number of genes named in a panel, at most, of the likeliest that are not annotated (right edge) and of the
        least likely annotated ones (left edge).
    n_pathways
        Number of bars, at most; those with the largest held-out AUC.
    title
        Titles, one per panel; a string for one panel. ``None`` for the plot's own.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on; as many as panels. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes or numpy.ndarray of them
        An array of Axes for a sequence of pathways, else one Axes.

    Raises
    ------
    KeyError
        If nothing was fitted or refined under `key`, or a pathway is unknown.
    ValueError
        If `title` or `ax` does not match the number of panels, or a number is out of range.

    Examples
    --------
    >>> ax = pae.pl.refinement(adata, show=False)
    >>> axes = pae.pl.refinement(adata, ["program_1", "program_2"], n_genes=3, show=False)
    >>> axes.shape
    (2,)
    """
    for name, value in {"n_genes": n_genes, "n_pathways": n_pathways - 1}.items():
        if value < 0:
            msg = f"{name} is too small; {'n_genes=0 names none' if name == 'n_genes' else 'draw at least one'}."
            raise ValueError(msg)
    if pathways is None:
        summary = get.refinement(adata, of="pathways", key=key)
        shown = min(n_pathways, len(summary))
        own = "" if shown == len(summary) else f"{shown:,} of {len(summary):,} pathways, by held-out AUC; "
        above = _axes.titles([f"{own}bold: carried by the cells"], title)[0]
        summary = summary.sort_values(["heldout_auc", "pathway"], ascending=[False, True], ignore_index=True)[:shown]
        names = _names.labels(summary["pathway"], 42)
        size = (5.6 + _axes.room(names), max(2.2, 1.1 + _axes.pitch(names, 0.25) * shown))
        axes = [_axes.single(ax, size)]
        _overview(axes[0], summary, names)
        _axes.head(axes[0], above, fontsize="small", loc="left")
    else:
        table = get.refinement(adata, pathways, everything=True, key=key)
        summary = get.refinement(adata, pathways, of="pathways", key=key)
        titles = _axes.titles([_title(row) for row in summary.to_dict("records")], title)
        axes, figure = _axes.panels(ax, len(summary), ncols=ncols, size=(4.4, 4.0))
        handles: dict[str, Artist] = {}
        for panel, name, above in zip(axes, summary["pathway"], titles, strict=True):
            _panel(panel, table[table["pathway"] == name], n_genes=n_genes, handles=handles)
            panel.set_title(above, fontsize="medium")
        kinds = [kind for kind in (*STYLE, "posterior 0.5") if kind in handles]
        drawn = [handles[kind] for kind in kinds]
        kinds = ["undecided (small: not annotated)" if kind == "undecided" else kind for kind in kinds]
        if figure is not None:
            columns = 2 if min(ncols, len(summary)) == 1 else 5
            figure.legend(drawn, kinds, loc="outside lower center", ncols=columns, frameon=False)
        else:
            axes[-1].legend(drawn, kinds, fontsize="small")
    _axes.finish(axes, show=show, save=save)
    return axes[0] if pathways is None or isinstance(pathways, str) else np.asarray(axes, dtype=object)


def _overview(ax: Axes, table: pd.DataFrame, names: list[str]) -> None:
    """Annotated genes to the right of 0 and added ones after them; dropped ones to the left."""
    row = np.arange(len(table))
    left = np.zeros(len(table))
    for call in ("confirmed", "undecided", "added"):
        width = table[f"n_{call}"].to_numpy()
        ax.barh(row, width, left=left, color=STYLE[call][0], height=0.74, label=call)
        left = left + width
    ax.barh(row, -table["n_dropped"], color=STYLE["dropped"][0], height=0.74, label="dropped")
    ax.axvline(0, color="black", linewidth=0.8)
    ax.set_yticks(row, names, fontsize="small")
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.margins(x=0.03)
    ax.xaxis.set_major_formatter(lambda value, _: f"{abs(value):g}")
    ax.set_xlabel("genes: dropped to the left, in the refined set to the right")
    for position, (auc, verdict) in enumerate(zip(table["heldout_auc"], table["verdict"], strict=True)):
        text = "–" if np.isnan(auc) else f"{auc:.2f}"
        bold = "bold" if verdict == "carried" else "normal"
        ax.annotate(
            text, (1.02, position), xycoords=("axes fraction", "data"), va="center", fontsize="small", fontweight=bold
        )
    ax.annotate("held-out\nAUC", (1.02, 1.0), xycoords="axes fraction", va="bottom", fontsize="small")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.5 / max(1.0, 0.25 * len(table))), ncols=4, frameon=False)
    _axes.bare(ax)


def _panel(ax: Axes, table: pd.DataFrame, *, n_genes: int, handles: dict[str, Artist]) -> None:
    """Evidence against prior; annotated genes are large, others small."""
    handles["posterior 0.5"] = ax.axline((0, 0), slope=-1, color="black", linewidth=0.8, zorder=1)
    for call in ("undecided", "confirmed", "dropped", "added"):
        color, marker = STYLE[call]
        for annotated in (False, True):
            rows = table[(table["call"] == call) & (table["annotated"] == annotated)]
            if rows.empty:
                continue
            large = annotated or call == "added"
            handles[call] = ax.scatter(
                rows["evidence"],
                rows["prior"],
                s=22 if large else 5,
                color=color,
                marker=marker,
                linewidths=0.4 if large else 0,
                edgecolors="white" if call != "undecided" else "#7F7F7F",
                alpha=1.0 if large else 0.5,
                zorder=3 if large else 2,
                rasterized=not large,
            )
    ax.set_xlabel("evidence of the cells (log-likelihood ratio)")
    ax.set_ylabel("prior (log-odds)")
    ax.margins(x=0.06, y=0.1)
    low, high = ax.get_xlim()
    ax.set_xlim(low - 0.3 * (high - low), high)  # room for names at the left
    _axes.bare(ax)
    _label(ax, table, n_genes)


def _label(ax: Axes, table: pd.DataFrame, n: int) -> None:
    """Names at the right edge: the likeliest genes that are not annotated; at the left: the least likely annotated."""
    annotated = table["annotated"].to_numpy()
    for chosen, edge in ((table[~annotated][:n], 1.01), (table[annotated][::-1][:n], 0.01)):
        if chosen.empty:
            continue
        low, high = ax.get_ylim()
        chosen = chosen.sort_values("prior", kind="stable")
        heights = _apart(((chosen["prior"] - low) / (high - low)).to_numpy(), ROOM)
        columns = (chosen[name] for name in ("gene", "call", "evidence", "prior"))
        for gene, call, x, y, height in zip(*columns, heights, strict=True):
            ax.annotate(
                _axes.plain(gene),
                (x, y),
                xytext=(edge, height),
                textcoords="axes fraction",
                ha="left",
                va="center",
                fontsize="small",
                arrowprops={"arrowstyle": "-", "color": STYLE[call][0], "linewidth": 0.7, "shrinkA": 1, "shrinkB": 3},
                zorder=4,
            )


def _apart(wanted: NDArray[np.float64], room: float) -> NDArray[np.float64]:
    """Ascending heights, `room` apart at least, as close to the wanted ones as that allows, within 0 and 1.

    The least-squares solution pools those that would touch (pool adjacent violators on ``wanted − i · room``).
    """
    blocks: list[list[float]] = []
    for i, value in enumerate(wanted):
        blocks.append([float(value) - i * room, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            blocks[-1] = [
                (blocks[-1][0] * blocks[-1][1] + mean * count) / (blocks[-1][1] + count),
                blocks[-1][1] + count,
            ]
    shift = np.concatenate([np.full(int(count), mean) for mean, count in blocks])
    top = 1.0 - room / 2 - (len(wanted) - 1) * room
    return np.clip(shift, room / 2, max(top, room / 2)) + np.arange(len(wanted)) * room


def _title(row: Mapping[Any, Any]) -> str:
    auc = float(row["heldout_auc"])
    told = "" if np.isnan(auc) else f"\nheld-out AUC {auc:.2f}, {row['verdict']}"
    return _names.titles([str(row["pathway"])], 34)[0] + told
