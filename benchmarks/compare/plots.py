"""Plots of a whole run: where each method stands, membership against noise, time against cells."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from scipy.stats import rankdata

OURS = "pathwayae"
COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#D55E00", "#999999", "#F0E442", "#000000")
MARKERS = "osD^vPX*<>"
FEWEST = 3  # figures of a method that is shown
STANDING, NOISE, TIME = "compare_standing.png", "compare_noise.png", "compare_time.png"


def draw(figures: dict[str, Any], tasks: dict[str, ModuleType], folder: Path) -> list[tuple[str, str]]:
    """Names of the files and their captions."""
    folder.mkdir(parents=True, exist_ok=True)
    done = []
    table = standing(figures, tasks)
    if table.shape[1] > 1:
        heat(table, folder / STANDING)
        done.append((STANDING, "Standing in every figure: 1 first, 0 last of those asked; grey was not asked."))
    if "T2" in figures["tasks"]:
        curves(figures["tasks"]["T2"], folder / NOISE)
        done.append((NOISE, "Membership and activity of planted programs against noise in the sets."))
    if "T7" in figures["tasks"]:
        clock(figures["tasks"]["T7"], folder / TIME)
        done.append((TIME, "Processor seconds on one thread, 50 sets, 2 000 genes."))
    return done


def standing(figures: dict[str, Any], tasks: dict[str, ModuleType]) -> pd.DataFrame:
    """Methods × headlines, from 0 to 1."""
    columns = {}
    for name, task in tasks.items():
        found = figures["tasks"].get(name, {})
        for headline, more in task.HEADLINES.items():
            values = {m: float(np.median(of[headline])) for m, of in found.items() if headline in of}
            if len(values) > 2:
                rank = rankdata([value if more else -value for value in values.values()])
                columns[f"{name} {headline}"] = dict(zip(values, (rank - 1) / (len(values) - 1), strict=True))
    table = pd.DataFrame(columns).dropna(thresh=FEWEST)
    return table.loc[table.mean(axis=1).sort_values(ascending=False).index]


def heat(table: pd.DataFrame, path: Path) -> None:
    table = table.T  # figures below each other, so that the picture is as wide as a page
    figure, ax = plt.subplots(figsize=(0.26 * table.shape[1] + 2.9, 0.175 * len(table) + 1.7), layout="constrained")
    colours = plt.get_cmap("cividis").with_extremes(bad="#DDDDDD")
    image = ax.imshow(np.ma.masked_invalid(table.to_numpy()), cmap=colours, vmin=0, vmax=1, aspect="auto")
    ax.set_xticks(range(table.shape[1]), table.columns, rotation=90, fontsize=9)
    ax.set_yticks(range(len(table)), table.index, fontsize=8)
    ax.xaxis.tick_top()
    for label in ax.get_xticklabels():
        label.set_fontweight("bold" if label.get_text().startswith(OURS) else "normal")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    figure.colorbar(image, ax=ax, label="standing (1 first)", shrink=0.25, pad=0.01)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def style(methods: list[str]) -> dict[str, dict[str, Any]]:
    """Ours blue and thick, the others by colour and marker."""
    found, i, ours = {}, 0, 0
    for method in methods:
        if method.startswith(OURS):
            found[method] = {"color": "#0072B2", "lw": 2.4, "zorder": 5, "ls": ("-", "--", ":")[ours % 3]}
            ours += 1
        else:
            turn, place = divmod(i, len(COLOURS))
            found[method] = {
                "color": COLOURS[place],
                "lw": 1.1,
                "ls": ("-", ":", "-.")[turn % 3],
                "mfc": "white" if turn else None,
            }
            i += 1
        found[method] |= {"marker": MARKERS[len(found) % len(MARKERS)], "ms": 5}
    return found


def lines(ax: Axes, series: dict[str, dict[float, float]]) -> None:
    styles = style(list(series))
    for method, points in series.items():
        at = sorted(points)
        ax.plot(at, [points[x] for x in at], label=method, **styles[method])
    ax.spines[["top", "right"]].set_visible(False)


def curves(found: dict[str, Any], path: Path) -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9.4, 4.0), layout="constrained")
    for ax, what, label in zip(
        axes,
        ("AP", "activity"),
        ("average precision for true members", "correlation with planted activity"),
        strict=True,
    ):
        series = {m: points(of, "planted ", f"%, {what}") for m, of in found.items()}
        lines(ax, {m: part for m, part in series.items() if part})
        ax.set(xlabel="members hidden and false ones added (%)", ylabel=label)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def points(of: dict[str, list[float]], before: str, after: str) -> dict[float, float]:
    """Number in the name of a figure → its median."""
    names = [name for name in of if name.startswith(before) and name.endswith(after)]
    return {float(name[len(before) : -len(after)]): float(np.median(of[name])) for name in names}


def clock(found: dict[str, Any], path: Path) -> None:
    figure, ax = plt.subplots(figsize=(6.6, 4.4), layout="constrained")
    series = {m: points(of, "", " cells, s") for m, of in found.items()}
    lines(ax, {m: part for m, part in series.items() if part})
    ax.set(xscale="log", yscale="log", xlabel="cells", ylabel="processor seconds")
    handles, labels = ax.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=130)
    plt.close(figure)
