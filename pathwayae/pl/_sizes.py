"""A legend of the sizes of dots, with the bar of their colours under it."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from matplotlib.transforms import Bbox, ScaledTranslation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.backend_bases import RendererBase
    from matplotlib.collections import PathCollection
    from matplotlib.legend import Legend


def legend_and_bar(
    ax: Axes,
    dots: PathCollection,
    areas: Sequence[float],
    names: Sequence[str],
    *,
    title: str,
    label: str,
    extend: str,
    gap: float = 0.0,
    hollow: Sequence[bool] = (),
) -> None:
    """Draw both to the right of a panel, behind a gap in inches; dots can be hollow."""
    look: dict[str, Any] = {"edgecolors": "0.25", "linewidths": 0.5}
    faces = ["none" if empty else "0.6" for empty in hollow] or ["0.6"] * len(areas)
    legend = ax.legend(
        [ax.scatter([], [], s=area, facecolors=face, **look) for area, face in zip(areas, faces, strict=True)],
        names,
        title=title,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        bbox_transform=ax.transAxes + ScaledTranslation(gap, 0.0, ax.figure.dpi_scale_trans),
        borderpad=0.0,
        borderaxespad=0.7,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        frameon=False,
    )
    inset = ax.inset_axes((1.0, 0.0, 0.1, 1.0))
    inset.set_axes_locator(partial(under, legend))
    bar = ax.figure.colorbar(dots, cax=inset, extend=extend)
    bar.ax.tick_params(labelsize="small")
    bar.set_label(label, fontsize="small")


def under(legend: Legend, inset: Axes, renderer: RendererBase | None) -> Bbox:
    """Place an inset below a legend, at a size in inches, in coordinates of the figure."""
    inch = inset.figure.dpi
    above = legend.get_window_extent(renderer)
    box = Bbox.from_bounds(above.x0, above.y0 - 1.25 * inch, 0.11 * inch, 1.1 * inch)
    return box.transformed(inset.figure.transSubfigure.inverted())
