"""Paths along which the strength of the prior and the number of free components are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

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
def theta_path(
    adata: AnnData,
    *,
    key: str = keys.DEFAULT,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    r"""Draw what scores say of hidden members and the held-out error over θ, with standard errors and the θ chosen.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.theta_path`` or a fit with ``theta="auto"``. Read through
        :func:`pathwayae.get.theta_path`.
    key
        Key of the fit.
    ax
        Two axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Correlation with hidden members on the first, held-out error on the second.

    Raises
    ------
    KeyError
        If nothing was fitted, or no path computed, under `key`.

    Examples
    --------
    >>> axes = pae.pl.theta_path(adata, key="projection", show=False)
    >>> axes[0].get_ylabel()
    'correlation of scores\nwith hidden members'
    """
    table = get.theta_path(adata, key=key)
    axes, _ = _axes.panels(ax, 2, ncols=2, size=(4.2, 3.2))
    theta = table["theta"].to_numpy()
    chosen = float(theta[table["chosen"].to_numpy(bool)][0])
    style: dict[str, Any] = {"marker": "o", "markersize": 5, "linewidth": 1.6, "capsize": 3, "elinewidth": 1}
    axes[0].errorbar(theta, table["correlation"], table["correlation_se"], color=_axes.BLUE, **style)
    if table["correlation"].min() < 0.05:
        axes[0].axhline(0.0, color=_axes.GREY, linestyle=":", linewidth=1)
    axes[0].set_ylabel("correlation of scores\nwith hidden members")
    axes[1].errorbar(theta, table["heldout_error"], table["se"], color=_axes.VERMILLION, **style)
    axes[1].yaxis.set_major_formatter(PERCENT)
    axes[1].set_ylabel("variance of held-out cells\nnot explained")
    for one in axes:
        one.axvline(chosen, color="black", linestyle="--", linewidth=1, zorder=0)
        one.set_xlabel("θ, strength of the prior")
        one.set_title(f"chosen: θ = {chosen:g}", fontsize="medium")
        _axes.bare(one)
    _axes.finish(axes, show=show, save=save)
    return np.asarray(axes, dtype=object)


@gated()
def n_extra_path(
    adata: AnnData,
    *,
    key: str = keys.DEFAULT,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw the variance explained and predicted by number of free components; a line marks the number chosen.

    The share explained in held-out cells grows with the number whatever the components are; its distance to the
    training cells shows how much is fitted to noise. The share predicted of held-out genes has a best number.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.n_extra_path`` or a fit with ``n_extra="auto"``. Read through
        :func:`pathwayae.get.n_extra_path`.
    key
        Key of the fit.
    ax
        Two axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray of matplotlib.axes.Axes
        Variance predicted on the first, explained on the second.

    Raises
    ------
    KeyError
        If nothing was fitted, or no path computed, under `key`.

    Examples
    --------
    >>> axes = pae.pl.n_extra_path(adata, show=False)
    >>> axes[0].get_xlabel()
    'number of free components'
    """
    table = get.n_extra_path(adata, key=key)
    axes, _ = _axes.panels(ax, 2, ncols=2, size=(4.2, 3.2))
    number, predicted = table["n_extra"].to_numpy(), table["predicted"].to_numpy()
    chosen = int(number[table["chosen"].to_numpy(bool)][0])
    axes[0].fill_between(number, predicted - table["se"], predicted + table["se"], color=_axes.BLUE, alpha=0.2, lw=0)
    axes[0].plot(number, predicted, color=_axes.BLUE, linewidth=1.6)
    axes[0].plot(chosen, predicted[np.flatnonzero(number == chosen)[0]], "o", color=_axes.BLUE)
    axes[0].set_ylabel("variance of held-out genes\nin held-out cells, predicted")
    axes[1].plot(number, table["explained"], color=_axes.GREY, linestyle="--", linewidth=1.6, label="training cells")
    axes[1].plot(number, table["heldout_explained"], color=_axes.VERMILLION, linewidth=1.6, label="held-out cells")
    axes[1].set_ylabel("variance explained by\npathways and free components")
    axes[1].legend(loc="lower right", frameon=False, fontsize="small")
    for one in axes:
        one.axvline(chosen, color="black", linestyle="--", linewidth=1, zorder=0)
        one.yaxis.set_major_formatter(PERCENT)
        one.xaxis.set_major_locator(MaxNLocator(integer=True))
        one.set_xlabel("number of free components")
        one.set_title(f"chosen: {chosen}", fontsize="medium")
        _axes.bare(one)
    _axes.finish(axes, show=show, save=save)
    return np.asarray(axes, dtype=object)
