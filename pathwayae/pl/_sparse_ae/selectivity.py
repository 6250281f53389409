"""Which labels latents of a sparse autoencoder tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from pathwayae import get
from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.pl import _axes

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap, Normalize

LEVEL = 0.05  # of the adjusted p-value
LOOK = {  # label, colour map
    "auroc": ("AUROC", "RdBu_r"),
    "f1": ("F1", "viridis"),
    "mean": ("mean activation\n(share of the latent's largest)", "viridis"),
}


@gated()
def latent_selectivity(
    adata: AnnData,
    latents: str | Sequence[str] | None = None,
    *,
    n_latents: int = 30,
    by: Literal["auroc", "f1", "mean"] = "auroc",
    cmap: str | Colormap | None = None,
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | None = None,
    key: str = keys.SPARSE_AE,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes:
    """Draw a heat map of latents × labels: how well each latent tells the cells of each label from all others.

    Latents are ordered by the label that they tell best, then by how well; of AUROC, 0.5 is white and says nothing.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.latent_selectivity``. Read through :func:`pathwayae.get.latent_selectivity`.
    latents
        Names of latents. ``None`` for the most selective ones: labels take turns, each with the best latents of those
        that tell it best; latents whose adjusted *p*-value is above 0.05 come last.
    n_latents
        Number of latents if `latents` is ``None``, at most.
    by
        What is drawn: ``"auroc"``, ``"f1"``, or ``"mean"``, the mean activation.
    cmap
        Colour map. ``None`` for a diverging one of AUROC, which ends at 0 and 1, else a sequential one.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
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
        The image on it holds the values, in the order drawn.

    Raises
    ------
    KeyError
        If nothing was fitted or measured under `key`, or a name is unknown.
    ValueError
        If `by` is unknown, `n_latents` is below 1, `norm` comes with limits, or no latent fires.

    Examples
    --------
    >>> ax = pae.pl.latent_selectivity(adata, n_latents=12, by="f1", show=False)
    >>> ax.get_xlabel()
    'cell_type'
    """
    if by not in LOOK:
        msg = f"by={by!r} is not known; choose one of {', '.join(map(repr, LOOK))}."
        raise ValueError(msg)
    if n_latents < 1:
        msg = f"n_latents must be at least 1, got {n_latents}."
        raise ValueError(msg)
    label, usual = LOOK[by]
    colors = _axes.Colors(usual if cmap is None else cmap, norm, vmin, vmax)
    above = _axes.titles([""], title)[0]
    table = get.latent_selectivity(adata, latents, key=key)
    best = get.latent_selectivity(adata, latents, best=True, key=key)
    if best.empty:
        msg = "No latent fires in these cells in more than one way, so none tells labels apart."
        raise ValueError(msg)
    labels = list(dict.fromkeys(table["label"]))
    order = _in_blocks(best if latents is not None else _taking_turns(best, n_latents), labels)
    wide = table.pivot_table(index="latent", columns="label", values=by, observed=True).loc[order, labels]
    if by == "mean":
        wide = wide.div(wide.max(axis=1), axis=0)
    rows, columns = [_axes.wrap(name, 26) for name in order], [_axes.wrap(name, 26) for name in labels]
    height = max(1.6, 0.19 * len(rows))
    width = max(1.2, 0.34 * len(columns))
    ax = _axes.single(ax, (width + _axes.room(rows) + 1.5, max(3.0, height + _axes.room(columns) + 0.5)))
    values = wide.to_numpy(dtype=float)
    image = ax.imshow(values, aspect="auto", interpolation="nearest", **colors.scale(0.0, 1.0))
    ax.set_yticks(range(len(rows)), rows, fontsize="x-small")
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_xlabel(str(lookup.fit_of(adata, key).get(keys.SELECTIVITY_PARAMS, {}).get("groupby", "")))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    extend, length = _axes.extend_of(image, values), min(1.0, 1.9 / height)
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend, shrink=length, aspect=14, pad=0.02)
    _axes.head(ax, above)
    _axes.finish(ax, show=show, save=save)
    return ax


def _taking_turns(best: pd.DataFrame, n: int) -> pd.DataFrame:
    """The best latents of every label: first the first of each, then the second of each."""
    turn = best.groupby("label", sort=False).cumcount()
    doubtful = (best["padj"] > LEVEL).to_numpy()  # the best of thousands is high by chance for a label of few cells
    return best.iloc[np.lexsort((-best["auroc"].to_numpy(), turn.to_numpy(), doubtful))[:n]]


def _in_blocks(best: pd.DataFrame, labels: list[str]) -> list[str]:
    place = best["label"].map({label: i for i, label in enumerate(labels)}).to_numpy()
    return best["latent"].iloc[np.lexsort((-best["auroc"].to_numpy(), place))].tolist()
