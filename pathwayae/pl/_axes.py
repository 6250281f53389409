"""Axes to draw on, what happens to them at the end, and the look that all plots share."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.transforms import Bbox

from pathwayae.core.files import whole_or_nothing
from pathwayae.core.notice import printable

if TYPE_CHECKING:
    from matplotlib.backend_bases import RendererBase
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

# Okabe and Ito's colours, told apart with any kind of colour vision.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
GREY = "#7F7F7F"
LONGEST = 80  # characters of a name in one line
MAX_PANELS, MAX_ROWS = 48, 100  # of a figure that can be read
EXTEND = {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}


@dataclass(frozen=True)
class Colors:
    """Colours of numbers as a user asked for them; words that contradict each other are refused.

    Raises
    ------
    ValueError
        If there is no such colour map, `norm` is none, it comes with limits, or the limits are not in order.
    """

    cmap: str | Colormap
    norm: Normalize | None = None
    vmin: float | None = None
    vmax: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.cmap, Colormap) and self.cmap not in mpl.colormaps:
            msg = f"cmap must be a matplotlib Colormap or the name of one, such as 'viridis'; got {self.cmap!r}."
            raise ValueError(msg)
        if not isinstance(self.norm, Normalize | None):
            msg = f"norm must be a matplotlib Normalize, got {type(self.norm).__name__}."
            raise ValueError(msg)
        limits = [one for one in (self.vmin, self.vmax) if one is not None]
        if self.norm is not None and limits:
            msg = "norm has limits of its own: pass vmin and vmax to it, or leave it out."
            raise ValueError(msg)
        if not np.isfinite(limits).all() or (len(limits) == 2 and limits[0] >= limits[1]):
            msg = f"vmin must be below vmax, and both finite; got vmin={self.vmin}, vmax={self.vmax}."
            raise ValueError(msg)

    def scale(self, low: float, high: float) -> dict[str, Any]:
        """Colour map and limits for an artist, from `low` to `high` where the user said nothing."""
        if self.norm is not None:  # a copy for every panel: one without limits takes those of its values
            return {"cmap": self.cmap, "norm": deepcopy(self.norm)}
        low, high = (own if own is not None else one for own, one in ((self.vmin, low), (self.vmax, high)))
        if not low < high:
            low, high = (high - 1.0, high) if self.vmin is None and self.vmax is not None else (low, low + 1.0)
        return {"cmap": self.cmap, "vmin": low, "vmax": high}

    def scale_around_zero(self, limit: float) -> dict[str, Any]:
        """Colour map and limits for an artist, ± `limit` by default; one limit alone is mirrored."""
        if self.vmax is None and self.vmin is not None and self.vmin < 0:
            limit = -self.vmin
        elif self.vmin is None and self.vmax is not None and self.vmax > 0:
            limit = self.vmax
        limit = limit or 1.0
        return self.scale(-limit, limit)


def extend_of(artist: ScalarMappable, values: NDArray[Any]) -> str:
    """Ends of a colour bar beyond which there are values."""
    low, high = artist.get_clim()
    return EXTEND[bool(np.nanmin(values) < low), bool(np.nanmax(values) > high)]


def titles(own: Sequence[str], title: str | Sequence[str] | None) -> list[str]:
    """Titles of the panels: those asked for, or the plot's own.

    Raises
    ------
    ValueError
        If they are not strings, as many as there are panels.
    """
    if title is None:
        return list(own)
    given = [title] if isinstance(title, str) else list(title)
    if len(given) != len(own) or not all(isinstance(one, str) for one in given):
        wanted = "a string" if len(own) == 1 else f"a sequence of {len(own)} strings, one per panel"
        msg = f"title must be {wanted}; got {title!r}."
        raise ValueError(msg)
    return given


def head(ax: Axes, title: str, **style: Any) -> None:
    """Set a title, if there is one: axes given may have their own."""
    if title:
        ax.set_title(title, **{"fontsize": "medium", **style})


def single(
    ax: Axes | Sequence[Axes] | None,
    figsize: tuple[float, float],
    layout: Literal["constrained", "compressed"] = "constrained",
) -> Axes:
    """Axes given, or those of a new figure whose margins grow with its labels."""
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout=layout)
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
    if n > MAX_PANELS:
        msg = (
            f"{n} panels are too many for one figure, which takes {MAX_PANELS}; name fewer, and call again for others."
        )
        raise ValueError(msg)
    ncols = min(n, ncols)
    n_rows = math.ceil(n / ncols)
    figure, grid = plt.subplots(
        n_rows, ncols, figsize=(size[0] * ncols, size[1] * n_rows), squeeze=False, layout=layout
    )
    for unused in grid.ravel()[n:]:
        unused.remove()
    return list(grid.ravel()[:n]), figure


def finish(
    drawn: Axes | Sequence[Axes] | NDArray[Any] | None = None, *, show: bool | None, save: str | Path | None = None
) -> None:
    """Write the figure of the axes drawn on if a file is named; show it if asked to, or if matplotlib is interactive.

    Raises
    ------
    ValueError
        If matplotlib writes no files with this ending.
    FileNotFoundError
        If the folder of the file does not exist.
    """
    if save is not None and drawn is not None:
        _write(np.ravel(np.asarray(drawn, dtype=object))[0].figure.figure, Path(save).expanduser())
    if mpl.is_interactive() if show is None else show:
        plt.show()


def _write(figure: Figure, path: Path) -> None:
    """Exactly this file, with all that is drawn, names beyond given axes too."""
    kinds = figure.canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in kinds:
        msg = f"save={str(path)!r}: the ending names the kind of file; choose one of {', '.join(sorted(kinds))}."
        raise ValueError(msg)
    if not path.parent.is_dir():
        msg = f"save={str(path)!r}: the folder {str(path.parent)!r} does not exist; make it first."
        raise FileNotFoundError(msg)
    with whole_or_nothing(path) as part:
        figure.savefig(part, dpi=150, bbox_inches="tight")


def bare(ax: Axes) -> None:
    """Leave the frame to the data."""
    ax.spines[["top", "right"]].set_visible(False)


def inset(ax: Axes, side: Literal["top", "right"], inches: float, gap: float = 0.06) -> Axes:
    """Axes along a side of others, as long as these and so many inches wide, whatever the size of the figure."""
    beside = ax.inset_axes((1.0, 0.0, 0.1, 1.0) if side == "right" else (0.0, 1.0, 1.0, 0.1))
    beside.set_axes_locator(partial(_along, ax, side, inches, gap))
    return beside


def _along(ax: Axes, side: str, inches: float, gap: float, beside: Axes, _: RendererBase | None) -> Bbox:
    box, inch = ax.get_window_extent(), beside.figure.dpi
    if side == "right":
        place = Bbox.from_bounds(box.x1 + gap * inch, box.y0, inches * inch, box.height)
    else:
        place = Bbox.from_bounds(box.x0, box.y1 + gap * inch, box.width, inches * inch)
    return place.transformed(beside.figure.transSubfigure.inverted())


def room(labels: Iterable[str]) -> float:
    """Inches that the longest line of small labels takes up, roughly."""
    return 0.085 * max((len(line) for label in labels for line in label.split("\n")), default=0)


def wide(width: float, centred: Iterable[str], sides: float) -> float:
    """Inches of a panel, at least those that keep words centred on it within its figure, with so much at its sides."""
    longest = max((len(line) for words in centred for line in words.split("\n")), default=0)
    return max(width, 0.09 * longest - 2 * sides)


def pitch(labels: Sequence[str], least: float) -> float:
    """Inches from one row to the next, so that the lines of no two small labels meet."""
    lines = np.array([1 + label.count("\n") for label in labels] or [1])
    return max(least, 0.04 + 0.07 * float((lines[1:] + lines[:-1]).max(initial=0)))


def plain(name: object) -> str:
    """A name in one line as it is drawn: no mathematics, nothing unseen, the end of a very long one cut."""
    text = printable(str(name))
    return (text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…").replace("$", r"\$")


def wrap(name: str, width: int = 34) -> str:
    """Break a long name into even lines, after blanks, slashes and underscores; nothing is cut off."""
    name = printable(name)
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
