"""What latents of a sparse autoencoder add to genes: a heat map, or images where features are pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    from numpy.typing import NDArray


@gated()
def latent_features(
    adata: AnnData,
    latents: str | Sequence[str] | None = None,
    *,
    n_latents: int = 16,
    n_genes: int = 4,
    shape: tuple[int, int] | None = None,
    cmap: str | Colormap = "RdBu_r",
    norm: Normalize | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    title: str | Sequence[str] | None = None,
    ncols: int = 8,
    key: str = keys.SPARSE_AE,
    ax: Axes | Sequence[Axes] | None = None,
    show: bool | None = None,
    save: str | Path | None = None,
) -> Axes | NDArray[np.object_]:
    """Draw what each latent adds to the features when it fires: genes as a heat map, or pixels as images.

    Without `shape`, rows are the genes that the latents move most, columns latents, and each column is divided by its
    largest effect, so that latents compare. With `shape`, one image per latent with colours of its own, 0 in white.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae``. Read through :func:`pathwayae.get.loadings`.
    latents
        Names of latents. ``None`` for the `n_latents` with the largest mean activation over these cells.
    n_latents
        Number of latents if `latents` is ``None``.
    n_genes
        Genes that each latent brings in, for the heat map.
    shape
        Rows and columns of an image, whose pixels are the genes in their order.
    cmap
        Diverging colour map; its centre is at 0.
    norm
        Scale of the colours, with limits of its own. ``None`` for a linear one.
    vmin
        Value at the low end of the colours. ``None`` to choose by the values.
    vmax
        Value at the high end of the colours. ``None`` to choose by the values.
    title
        Titles, one per panel; a string for one panel. ``None`` for the plot's own.
    ncols
        Panels per row of a new figure.
    key
        Key of the fit.
    ax
        Axes to draw on: one for the heat map, as many as latents for images. ``None`` for a new figure.
    show
        Show the figure. ``None`` to do so if matplotlib is interactive.
    save
        File to write the figure to, of the kind that its ending names (.png, .pdf, .svg). ``None`` for no file.

    Returns
    -------
    matplotlib.axes.Axes or numpy.ndarray of them
        The heat map, or an array of one Axes per latent.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, a name is unknown, or the latents say nothing about genes.
    ValueError
        If a number is below 1, `shape` does not hold the genes, `norm` comes with limits, or `title` or `ax` does not
        match the number of panels.

    Examples
    --------
    >>> ax = pae.pl.latent_features(adata, n_latents=5, show=False)
    >>> len(ax.get_xticklabels())
    5

    Of 400 genes as images of 20 × 20 pixels:

    >>> axes = pae.pl.latent_features(adata, ["latent_3", "latent_8"], shape=(20, 20), show=False)
    >>> axes.shape
    (2,)
    """
    colors = _axes.Colors(cmap, norm, vmin, vmax)
    for name, value in {"n_latents": n_latents, "n_genes": n_genes, "ncols": ncols}.items():
        if value < 1:
            msg = f"{name} must be at least 1, got {value}."
            raise ValueError(msg)
    if shape is not None and (len(shape) != 2 or min(shape) < 1 or shape[0] * shape[1] != adata.n_vars):
        msg = f"shape must be rows × columns of an image that holds all {adata.n_vars} genes, got {tuple(shape)}."
        raise ValueError(msg)
    lookup.fit_of(adata, key, keys.SPARSE_AE)
    chosen = _most_active(adata, n_latents, key) if latents is None else get.component_names(adata, latents, key=key)
    table = get.loadings(adata, chosen, key=key).astype(float)
    drawn: Axes | NDArray[np.object_]
    if shape is None:
        above = _axes.titles([""], title)[0]
        drawn = _heat_map(_axes.single(ax, _size(table, n_genes)), table, _names(adata, key), n_genes, colors)
        _axes.head(drawn, above)
    else:
        titles = _axes.titles([_axes.wrap(str(name), 16) for name in table], title)
        size = (1.15, 1.15 * shape[0] / shape[1] + 0.22 + 0.14 * max(one.count("\n") for one in titles))
        axes, _ = _axes.panels(ax, len(titles), ncols=ncols, size=size)
        for panel, effect, above in zip(axes, table.to_numpy().T, titles, strict=True):
            _image(panel, effect.reshape(shape), colors)
            panel.set_title(above, fontsize="small", pad=3)
        drawn = np.asarray(axes, dtype=object)
    _axes.finish(drawn, show=show, save=save)
    return drawn


def _most_active(adata: AnnData, n: int, key: str) -> list[str]:
    """Latents with the largest mean activation, in the order of the model."""
    mean = lookup.mean_scores(adata, key)
    largest = set(mean.sort_values(ascending=False, kind="stable").index[:n])
    return [name for name in mean.index if name in largest]


def _names(adata: AnnData, key: str) -> NDArray[np.object_]:
    return lookup.gene_names(adata, key).to_numpy(dtype=object)


def _size(table: pd.DataFrame, n_genes: int) -> tuple[float, float]:
    rows = min(len(table), n_genes * table.shape[1])
    return 2.6 + 0.3 * table.shape[1], max(2.6, 1.3 + 0.16 * rows)


def _heat_map(ax: Axes, table: pd.DataFrame, genes: NDArray[np.object_], n_genes: int, colors: _axes.Colors) -> Axes:
    largest = table.abs().max()
    values = (table / largest.where(largest > 0, 1.0)).to_numpy()
    rows: list[int] = []
    for effect in values.T:
        top = np.lexsort((genes.astype(str), -np.abs(effect)))[:n_genes]
        top = top[effect[top] != 0]
        rows += [i for i in sorted(top, key=lambda i: -effect[i]) if i not in rows]
    if not rows:
        msg = "None of these latents moves any gene; name others."
        raise ValueError(msg)
    shown = values[rows]
    image = ax.imshow(shown, aspect="auto", interpolation="nearest", **colors.scale_around_zero(1.0))
    ax.set_yticks(range(len(rows)), [_axes.plain(genes[i]) for i in rows], fontsize="x-small")
    ax.set_xticks(range(table.shape[1]), [_axes.wrap(str(name), 26) for name in table], rotation=90, fontsize="small")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    label, length = "effect on the gene\n(share of the latent's largest)", min(1.0, 12 / len(rows))
    extend = _axes.extend_of(image, shown)
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend, shrink=length, aspect=14, pad=0.02)
    return ax


def _image(ax: Axes, values: NDArray[np.float64], colors: _axes.Colors) -> None:
    ax.imshow(values, interpolation="nearest", **colors.scale_around_zero(float(np.abs(values).max())))
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set_color("0.7")
