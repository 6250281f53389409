"""How sparse the codes of a sparse autoencoder are, and how much of them is needed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FuncFormatter, MaxNLocator

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes
from pathwayae.pl._sparse_ae.sweep import log_axis, percent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

DEAD = 0.01  # share of cells
SIZE = (3.1, 3.2)  # of a panel, in inches
LINE = 12  # points, of a legend above a panel
LINES = 3
MANY = 100  # latents kept, from which on the axis is logarithmic
MARKS = {0.9: _axes.ORANGE, 0.95: _axes.VERMILLION}


@gated()
def latent_sparsity(
    adata: AnnData,
    *,
    n_bins: int = 40,
    key: str = keys.SPARSE_AE,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw three histograms: latents active in a cell, cells that activate a latent, and the activations on log axes.

    Dashed lines are the means. Latents that fewer than 1 % of the cells activate have a colour of their own.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_sparsity``. Read through :func:`pathwayae.get.latent_sparsity`.
    n_bins
        Bins of the first two histograms, at most.
    key
        Key of the fit.
    ax
        Three axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray
        The three axes.

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`.
    ValueError
        If `n_bins` is below 1, or `ax` does not have three axes.

    Examples
    --------
    >>> axes = pae.pl.latent_sparsity(adata, show=False)
    >>> [ax.get_title() for ax in axes]
    ['population', 'lifetime', 'activation']
    """
    if n_bins < 1:
        msg = f"n_bins must be at least 1, got {n_bins}."
        raise ValueError(msg)
    cells, latents, bars = (get.latent_sparsity(adata, of=of, key=key) for of in ("cells", "latents", "activations"))
    axes, _ = _axes.panels(ax, 3, ncols=3, size=SIZE)
    _population(axes[0], cells["l0"].to_numpy(), len(latents), n_bins)
    _lifetime(axes[1], latents["lifetime"].to_numpy(), n_bins)
    _activations(axes[2], *(bars[name].to_numpy(dtype=float) for name in ("low", "high", "count")))
    for one in axes:
        _axes.bare(one)
    _axes.finish(axes, show=show, save=save)
    return np.array(axes, dtype=object)


def _population(ax: Axes, active: NDArray[np.int64], n_latents: int, n_bins: int) -> None:
    """Whole numbers of latents per bin, so that no bin is fuller for holding one more number than the next."""
    low, high = int(active.min()), int(active.max())
    width = max(1, int(np.ceil((high - low + 1) / n_bins)))
    edges = np.arange(low, high + width + 1, width) - 0.5
    ax.hist(active, edges.tolist(), color=_axes.BLUE)
    _mean(ax, float(active.mean()), f"mean {active.mean():.1f} of {n_latents:,}")
    ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    ax.set(xlabel="latents active in a cell", ylabel="cells")
    _title(ax, "population")


def _lifetime(ax: Axes, lifetime: NDArray[np.float64], n_bins: int) -> None:
    width = max(DEAD, float(lifetime.max()) / n_bins)
    edges = width * np.arange(int(lifetime.max() / width) + 2)
    dead = lifetime < DEAD
    ax.hist(
        [lifetime[dead], lifetime[~dead]],
        edges.tolist(),
        stacked=True,
        color=[_axes.VERMILLION, _axes.BLUE],
        label=[f"below 1 %: {dead.sum():,}", f"1 % or more: {(~dead).sum():,}"],
    )
    _mean(ax, float(lifetime.mean()), f"mean {100 * lifetime.mean():.2g} %")
    ax.xaxis.set_major_formatter(FuncFormatter(percent))
    ax.xaxis.set_major_locator(MaxNLocator(4))
    ax.set(xlabel="cells that activate a latent", ylabel="latents")
    _title(ax, "lifetime")


def _activations(ax: Axes, low: NDArray[np.float64], high: NDArray[np.float64], count: NDArray[np.float64]) -> None:
    ax.bar(low, count, width=high - low, align="edge", color=_axes.BLUE)
    log_axis(ax)
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)  # below the bar of a single one
    ax.set(xlabel="activation (log axis)", ylabel="activations (log axis)")
    _title(ax, "activation")


def _title(ax: Axes, title: str) -> None:
    """Above the legends, all at one height."""
    ax.set_title(title, pad=6 + LINE * LINES)


def _mean(ax: Axes, value: float, label: str) -> None:
    ax.axvline(value, color="black", lw=1.2, ls=(0, (4, 2)), label=label)
    above: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1), "frameon": False}  # where it hides no bar
    ax.legend(**above, fontsize="small", handlelength=1.4, borderaxespad=0.1, labelspacing=0.3)


@gated()
def latent_ablation(
    adata: AnnData,
    *,
    title: str | None = None,
    key: str = keys.SPARSE_AE,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw the variance explained as the latents of every cell are zeroed from the smallest activation up.

    Marked are the fewest latents that keep 90 % and 95 % of what the whole code explains. The axis of latents is
    logarithmic where there are more than a hundred.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_ablation``. Read through :func:`pathwayae.get.latent_ablation`.
    title
        Title of the panel. ``None`` for the plot's own, if it has one.
    key
        Key of the fit.
    ax
        Axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes
        Its first line is the curve.

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`.
    ValueError
        If `title` is no string.

    Examples
    --------
    >>> ax = pae.pl.latent_ablation(adata, show=False)
    >>> ax.get_ylabel()
    'variance explained'
    """
    above = _axes.titles([""], title)[0]
    table, fewest = get.latent_ablation(adata, key=key), get.latent_ablation(adata, fewest=True, key=key)
    ax = _axes.single(ax, (4.2, 3.2))
    most = int(table["kept"].max())
    ax.plot(table["kept"], table["explained_variance"], color=_axes.BLUE, marker="o", ms=3 if most > 20 else 4.5)
    ax.axhline(0, color=_axes.GREY, lw=0.6, zorder=0)
    marked = fewest[fewest["kept"] >= 0]
    columns = (marked[name].to_numpy() for name in ("share", "kept", "explained_variance"))
    for share, kept, explained in zip(*columns, strict=True):
        color = MARKS.get(round(float(share), 3), _axes.GREY)
        label = f"{100 * share:g} % of it: {int(kept)} latents"
        ax.plot([kept] * 2, [0, explained], color=color, lw=1.6, label=label)
        ax.plot([kept], [explained], color=color, marker="o", ms=7, mfc="none", mew=1.6)
    if most > MANY:
        ax.set_xscale("symlog", linthresh=1)
        ax.set_xlim(left=0)
    else:
        ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_formatter(FuncFormatter(percent))
    low = float(table["explained_variance"].min())
    if low < -1:
        ax.set_ylim(bottom=-1)
    ax.set(xlabel="largest activations kept in each cell", ylabel="variance explained")
    n_marked = len(marked)
    if n_marked:
        whole = float(table["explained_variance"].iloc[-1])
        ax.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),  # above the panel, where it hides nothing
            frameon=False,
            fontsize="small",
            title=f"the whole code explains {100 * whole:.3g} %",
            title_fontsize="small",
            alignment="left",
        )
    _axes.head(ax, above, pad=6 + (14 + 14 * n_marked if n_marked else 0))
    _axes.bare(ax)
    _axes.finish(ax, show=show, save=save)
    return ax
