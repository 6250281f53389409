"""New cells held against the cells of a fit, as tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated

if TYPE_CHECKING:
    from anndata import AnnData

UNLIKE = 0.99


@gated()
def missing_genes(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    r"""Return what the new cells lack of each pathway: genes, and the share of the score's squared weights.

    With E the encoder of the fit, the share of component j is
    :math:`\sum_{i\ \text{missing}} e_{ij}^2 / \sum_i e_{ij}^2`.

    Parameters
    ----------
    adata
        New cells scored by :func:`pathwayae.tl.transform`. Reads ``uns[key]["missing_genes"]``.
    key
        Key of the scores.

    Returns
    -------
    pandas.DataFrame
        One row per component: ``component``, ``n_genes`` (its genes in the model; of a free component all genes),
        ``n_missing`` (those that the new cells do not have and that count as their mean), ``weight_missing`` (from 0 to
        1) and ``missing`` (up to five names, the heaviest first, joined by ``;``). Of several files there is a row for
        each, with its name in ``shard``.

    Raises
    ------
    KeyError
        If the cells have no scores of ``pae.tl.transform`` under `key`.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> new = adata[:50, 20:].copy()
    >>> pae.tl.transform(new, adata, progress=False)
    >>> table = pae.get.missing_genes(new)
    >>> table.loc[0, "component"], bool(table["weight_missing"].max() < 0.5)
    ('program_1', True)
    """
    return lookup.analysis(adata, key, keys.GROUPED, keys.MISSING_GENES, "transform(adata, reference)")


@gated()
def unexplained(adata: AnnData, *, key: str = keys.DEFAULT) -> pd.DataFrame:
    r"""Return how much of each new cell the model leaves unexplained, next to the cells of the fit.

    The residual of the standardised cell beside the span of the encoders (of the 500 components that explain most), in
    units of the variance of all genes:
    :math:`u = (\|\tilde x\|^2 - z (E^\top E)^{-1} z^\top) / \sum_i \operatorname{var}(\tilde x_i)`, over the genes
    that the cells have. A cell of another tissue, or of a type that the fit has not seen, expresses genes that hardly
    vary there. Many cells beyond 99 % are also found in data of another technology; 1 % are by definition.

    Parameters
    ----------
    adata
        New cells scored by :func:`pathwayae.tl.transform`. Reads ``obs["{key}_unexplained"]`` and
        ``obs["{key}_unexplained_quantile"]``.
    key
        Key of the scores.

    Returns
    -------
    pandas.DataFrame
        One row per cell: ``unexplained`` (u, at least 0), ``unexplained_quantile`` (share of the cells of the fit that
        have less, from 0 to 1) and ``unlike`` (whether that is above 0.99).

    Raises
    ------
    KeyError
        If the cells have no such columns: the fit is of a version, or of moments, that kept nothing of its cells.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", progress=False)
    >>> new = adata[:50].copy()
    >>> pae.tl.transform(new, adata, progress=False)
    >>> bool(pae.get.unexplained(new)["unlike"].mean() < 0.1)
    True
    """
    lookup.fit_of(adata, key, keys.GROUPED)
    table = lookup.of_cells(
        adata, keys.unexplained(key), "transform(adata, reference), with a fit that has seen cells,"
    )
    return table.assign(unlike=table["unexplained_quantile"] > UNLIKE)
