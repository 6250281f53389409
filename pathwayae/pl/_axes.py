"""Axes to draw on, what happens to them at the end, and the look that all plots share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#7F7F7F"


def single(ax: Axes | None, figsize: tuple[float, float]) -> Axes:
    """Axes given, or those of a new figure whose margins grow with its labels."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    if not isinstance(ax, Axes):
        msg = f"ax must be a matplotlib Axes for a plot of one panel, got {type(ax).__name__}."
        raise ValueError(msg)
    return ax


def panels(
    ax: Axes | Sequence[Axes] | None,
    n: int,
    *,
    ncols: int,
    size: tuple[float, float],
    layout: Literal["constrained", "compressed"] = "constrained",
) -> tuple[list[Axes], Figure | None]:
    """Return `n` axes, and the figure if it was made here."""
    if ax is not None:
        given = list(np.ravel(np.asarray(ax, dtype=object)))
        if len(given) != n or not all(isinstance(one, Axes) for one in given):
            msg = f"This plot has {n} panels: ax must be a sequence of {n} matplotlib Axes, got {len(given)}."
            raise ValueError(msg)
        return given, None
    if ncols < 1:
        msg = f"ncols must be at least 1, got {ncols}."
        raise ValueError(msg)
    ncols = min(n, ncols)
    n_rows = math.ceil(n / ncols)
    figure, grid = plt.subplots(
        n_rows, ncols, figsize=(size[0] * ncols, size[1] * n_rows), squeeze=False, layout=layout
    )
    for unused in grid.ravel()[n:]:
        unused.remove()
    return list(grid.ravel()[:n]), figure


def finish(*, show: bool | None) -> None:
    """Show the figure if asked to, or if matplotlib is interactive and nothing was said."""
    if mpl.is_interactive() if show is None else show:
        plt.show()


def bare(ax: Axes) -> None:
    """Leave the frame to the data."""
    ax.spines[["top", "right"]].set_visible(False)


def room(labels: Iterable[str]) -> float:
    """Inches that the longest line of small labels takes up, roughly."""
    return 0.085 * max((len(line) for label in labels for line in label.split("\n")), default=0)


def wrap(name: str, width: int = 34) -> str:
    """Break a long name into even lines, after blanks, slashes and underscores; nothing is cut off."""
    lines = _filled(name, width)
    while width > 1 and len(closer := _filled(name, width - 1)) == len(lines):
        lines, width = closer, width - 1
    return "\n".join(lines).replace("$", r"\$")


def _filled(name: str, width: int) -> list[str]:
    lines = [""]
    for word in re.findall(r"[^\s_/]*[\s_/]*", name):
        for start in range(0, len(word.rstrip()), width):
            part = word[start : start + width] if len(word.rstrip()) > width else word
            if lines[-1] and len((lines[-1] + part).rstrip()) > width:
                lines.append("")
            lines[-1] += part
    return [line.strip() for line in lines]
