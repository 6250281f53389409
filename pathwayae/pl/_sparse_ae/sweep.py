"""Reconstruction against sparsity over the settings of a sparse autoencoder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullFormatter

from pathwayae import get
from pathwayae._slots import keys
from pathwayae.core.gates import gated
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

SIZE = (4.4, 3.3)  # of a panel, in inches
DECADES, PLAIN = 2.0, 4.0  # of a log axis: up to these also 2 and 5 are named, and numbers are written out
COLORS = {
    "batchtopk": _axes.BLUE,
    "topk": "#56B4E9",
    "jumprelu": _axes.GREEN,
    "l1": _axes.ORANGE,
    "kl": _axes.VERMILLION,
}
STYLES = ["-", "--", "-.", ":"]
MARKERS = ["o", "s", "^", "D", "v", "P"]
NAMES = {
    "l0": "latents active in a cell (log axis)",
    "population": "share of latents active in a cell (log axis)",
    "hoyer": "Hoyer's measure (1: one latent)",
}


@gated()
def sparse_ae_sweep(
    adata: AnnData,
    *,
    by: Literal["l0", "population", "hoyer"] = "hoyer",
    key: str = keys.SPARSE_AE,
    ax: Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> NDArray[np.object_]:
    """Draw what codes leave unexplained in held-out cells, and latents that never fire there, by their sparsity.

    A curve per kind of sparsity (colour) and number of latents (marker and line) through its settings in their order;
    the number at a point is the setting, k or weight. Bars are a standard deviation over seeds.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae_sweep``. Read through :func:`pathwayae.get.sparse_ae_sweep`.
    by
        Measure of sparsity on the horizontal axis: ``"hoyer"``, ``"l0"`` or ``"population"``.
    key
        Key of the sweep.
    ax
        Two axes to draw on. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    numpy.ndarray
        The two axes.

    Raises
    ------
    KeyError
        If no sweep is there under `key`.
    ValueError
        If `by` is unknown, or `ax` does not have two axes.

    Examples
    --------
    >>> axes = pae.pl.sparse_ae_sweep(adata, by="l0", show=False)
    >>> axes[0].get_xlabel()
    'latents active in a cell (log axis)'
    """
    if by not in NAMES:
        msg = f"by={by!r} is not known; choose one of {', '.join(map(repr, NAMES))}."
        raise ValueError(msg)
    table = get.sparse_ae_sweep(adata, key=key)
    axes, _ = _axes.panels(ax, 2, ncols=2, size=SIZE)
    sizes = list(dict.fromkeys(sorted(table["n_latents"])))
    for (kind, n_latents), rows in table.groupby(["sparsity", "n_latents"], sort=False):
        rows = rows[rows[by] > 0] if by != "hoyer" else rows[rows[by].notna()]
        look: dict[str, Any] = {
            "color": COLORS.get(str(kind), _axes.GREY),
            "ls": STYLES[sizes.index(n_latents) % len(STYLES)],
            "marker": MARKERS[sizes.index(n_latents) % len(MARKERS)],
            "label": f"{kind}, {n_latents:,} latents" if len(sizes) > 1 else str(kind),
        }
        rows = rows.sort_values("strength", kind="stable")
        _curve(axes[0], rows, by, "unexplained", look)
        _curve(axes[1], rows, by, "never", look)
        _settings(axes[0], rows, by, look["color"])
    for one, label in zip(axes, ("variance unexplained\n(held-out cells)", "latents that never fire"), strict=True):
        one.set(xlabel=NAMES[by], ylabel=label)
        one.yaxis.set_major_formatter(FuncFormatter(percent))
        one.set_ylim(bottom=0)
        if by != "hoyer":
            log_axis(one)
        _axes.bare(one)
    axes[0].legend(frameon=False, fontsize="small")
    _axes.finish(axes, show=show, save=save)
    return np.array(axes, dtype=object)


def _curve(ax: Axes, rows: pd.DataFrame, by: str, value: str, look: dict[str, Any]) -> None:
    ax.errorbar(
        rows[by],
        rows[value],
        xerr=rows[f"{by}_sd"],
        yerr=rows[f"{value}_sd"],
        ms=4.5,
        lw=1.4,
        elinewidth=0.7,
        **look,
    )


def _settings(ax: Axes, rows: pd.DataFrame, by: str, color: str) -> None:
    for row in rows.itertuples():
        at = (getattr(row, by), row.unexplained)
        ax.annotate(f"{row.strength:g}", at, (3, 4), textcoords="offset points", fontsize=6.5, color=color)


def log_axis(ax: Axes) -> None:
    """A logarithmic axis with a few plain numbers, also over less than a decade; over many, powers of ten alone."""
    ax.set_xscale("log")
    low, high = ax.get_xlim()
    decades = np.log10(high / low) if low > 0 else 1.0
    subs = (1.0, 2.0, 5.0) if decades < DECADES else (1.0,)
    ax.xaxis.set_major_locator(LogLocator(subs=subs, numticks=12 if decades < DECADES else 6))
    if decades < PLAIN:
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        ax.xaxis.set_major_formatter(LogFormatterMathtext())
    ax.xaxis.set_minor_formatter(NullFormatter())


def percent(value: float, _: int) -> str:
    """Text of a tick at a share."""
    return f"{100 * value:.3g} %"
