"""Why so many archetypes: what each number explains, costs, and how much of it holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

PERCENT = FuncFormatter(lambda value, _: f"{100 * value:g} %")


@gated()
def archetype_selection(
    adata: AnnData,
    *,
    key: str = keys.ARCHETYPES,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw explained variance, information criterion and stable archetypes by the number of archetypes.

    A dashed line marks the number that is recommended, rings the knee and the lowest criterion. On the third panel,
    filled bars are numbers of stable archetypes, outlines all of them: a number is safe where its outline is filled.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetype_selection``. Read through :func:`pathwayae.get.archetype_selection`.
    key
        Key of the archetypes.
    ax
        Axes to draw on, three, or two where cells were not drawn again. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray
        The axes.

    Raises
    ------
    KeyError
        If there is no selection under `key`.
    ValueError
        If `ax` does not have as many axes as there are panels.

    Examples
    --------
    >>> axes = pae.pl.archetype_selection(adata, show=False)
    >>> axes[0].get_ylabel()
    'variance explained'
    """
    table = get.archetype_selection(adata, key=key)
    drawn = bool(table["n_stable"].notna().any())
    axes, _ = _axes.panels(ax, 3 if drawn else 2, ncols=3, size=(3.1, 2.9))
    k = table["n_archetypes"].to_numpy(dtype=int)
    chosen = int(k[table["chosen"].to_numpy(dtype=bool)][0])
    for one, column, mark, color in (
        (axes[0], "explained_variance", "knee", _axes.BLUE),
        (axes[1], "bic", "lowest_bic", _axes.VERMILLION),
    ):
        values, ringed = table[column].to_numpy(), table[mark].to_numpy(dtype=bool)
        one.plot(k, values, color=color, marker="o", ms=4, lw=1.6)
        one.plot(k[ringed], values[ringed], "o", ms=11, mfc="none", mec="black", mew=1.2)
    axes[0].yaxis.set_major_formatter(PERCENT)
    axes[0].set(ylabel="variance explained", title="ring: the knee")
    axes[1].set(ylabel="information criterion", title="ring: the lowest")
    axes[1].ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    if drawn:
        axes[2].bar(k, k, width=0.8, color="none", edgecolor=_axes.GREY, lw=0.8)
        axes[2].bar(k, table["n_stable"], width=0.8, color=_axes.GREEN)
        axes[2].set(ylabel="stable archetypes", title="filled: all are stable")
        axes[2].yaxis.set_major_locator(MaxNLocator(integer=True))
    for one in axes:
        one.axvline(chosen, color="black", ls="--", lw=1, zorder=0)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.set_xlabel("number of archetypes")
        one.title.set_fontsize("medium")
        _axes.bare(one)
    _axes.finish(axes, show=show, save=save)
    return np.array(axes, dtype=object)
