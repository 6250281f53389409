"""What the codes of a sparse autoencoder say by themselves: how sparse they are, what latents tell apart and follow."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._slots import keys, store
from pathwayae._slots import sparse_ae as slots
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.core.sparse_ae import batch_effect as core_batches
from pathwayae.core.sparse_ae import measures
from pathwayae.core.sparse_ae import selectivity as core_selectivity

ALL = "all"  # name of the row of all cells


class Labels(NamedTuple):
    """Label of each cell, from 0, shape (n,), and their names."""

    codes: NDArray[np.intp]
    names: list[str]


@gated()
def latent_sparsity(
    adata: AnnData,
    *,
    groupby: str | None = None,
    threshold: float = measures.THRESHOLD,
    relative: bool = False,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how sparse the codes are: latents active in a cell, cells that activate a latent.

    A latent counts as active above the threshold. *Population sparsity* is the share of latents active in a cell,
    *lifetime sparsity* the share of cells that activate a latent. A latent is dead in the classic sense if fewer than
    1 % of cells activate it; of a cell type that is rarer, that is as it should be, so ``kind`` tells latents that no
    cell activates from rare ones. Dense latents (more than 50 %) tell little apart and often follow depth or batch.
    *Hoyer's measure* of a code, :math:`(\sqrt m - \|h\|_1 / \|h\|_2) / (\sqrt m - 1)`, needs no threshold and no unit
    (Hoyer 2004, JMLR 5).

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae`` or ``pae.tl.transform``. Reads ``obsm["X_{key}"]``.
    groupby
        Column of ``obs``; cells of each group get a row of the summary of their own.
    threshold
        Activations above it count, in units of the codes; with `relative`, as a share from 0 to 1.
    relative
        Whether the threshold is a share of the largest activation of each latent over these cells.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With, all read by :func:`pathwayae.get.latent_sparsity`:

        - ``uns[key]["sparsity"]``, a row per latent: ``latent``; ``n_cells`` that activate it, ``lifetime`` their
          share; ``max``, ``mean`` over all cells, ``mean_active`` over those; ``dead``; ``kind``, one of ``"never"``,
          ``"rare"`` (below 1 %), ``"common"``, ``"dense"`` (above 50 %)
        - ``obs["{key}_l0"]``, ``obs["{key}_population"]``, ``obs["{key}_hoyer"]``: number and share of latents active
          in each cell, and Hoyer's measure of its code (NaN where nothing is active)
        - ``uns[key]["sparsity_groups"]``, a row for all cells, ``"all"``, and one per group: ``n_cells``; means of
          ``l0``, ``population``, ``hoyer``; shares of latents that among these cells are ``never`` active, ``dead``,
          ``rare``, ``dense``
        - ``uns[key]["activations"]``: histogram of the activations above 0, bins equally wide on a log axis

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or `groupby` is no column.
    ValueError
        If the threshold is out of range, or a cell has no group.

    Warns
    -----
    pathwayae.DataWarning
        If no activation is above the threshold.

    See Also
    --------
    pathwayae.get.latent_sparsity, pathwayae.pl.latent_sparsity

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.latent_sparsity(adata)
    >>> pae.get.latent_sparsity(adata).shape
    (32, 8)
    """
    _checks.number("threshold", threshold, 0, 1 if relative else float("inf"))
    groups = None if groupby is None else labels_of(adata, "groupby", groupby, at_least=1)
    codes = slots.codes(adata, key)
    names = get.component_names(adata, key=key)
    threshold, relative = float(threshold), bool(relative)
    cells = measures.of_cells(codes, threshold, relative=relative)
    latents = measures.of_latents(codes, threshold, relative=relative)
    if not latents["n_cells"].any():
        msg = (
            f"No activation is above threshold={threshold:g}; the largest is {latents['max'].max():.3g}. Choose a "
            "smaller threshold, or a share of each latent's largest activation with relative=True."
        )
        warn(msg)
    latents.insert(0, "latent", names)
    mask = measures.active(measures.checked(codes), threshold, relative=relative)
    rows = [{"group": ALL} | measures.summary(cells, mask)]
    if groups is not None:
        for i, name in enumerate(groups.names):
            chosen = np.flatnonzero(groups.codes == i)
            rows.append({"group": name} | measures.summary(cells.iloc[chosen], mask[chosen]))
    of_cells = {column: cells[name].to_numpy() for name, column in keys.of_cell(key).items()}
    found = {
        keys.SPARSITY: latents,
        keys.SPARSITY_GROUPS: pd.DataFrame(rows),
        keys.ACTIVATIONS: measures.activations(codes),
        keys.SPARSITY_PARAMS: {"threshold": threshold, "relative": relative, "groupby": groupby or ""},
    }
    target = adata.copy() if copy else adata
    store.add(target, key, found, obs=of_cells)
    return target if copy else None


@gated()
def latent_selectivity(
    adata: AnnData,
    groupby: str,
    *,
    threshold: float | None = None,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Measure how well each latent tells the cells of each label (cell type, condition, digit) from all others.

    *AUROC*: the probability that a cell of the label has a higher activation than one of the others, ties counted half;
    1 for a latent that is higher in every cell of the label, 0.5 for one that says nothing, below 0.5 for one that the
    label lacks. It is exact: with R the sum of the ranks of the :math:`n_1` cells of the label,
    :math:`(R - n_1 (n_1 + 1) / 2) / (n_1 n_2)`. The *p*-value is Mann and Whitney's (1947, 10.1214/aoms/1177730491),
    two-sided, with correction for ties, adjusted over all latents and labels as Benjamini and Hochberg (1995) do. It
    takes cells as independent, which cells of one donor are not: read it as a filter, and AUROC as the size.
    *F1*: harmonic mean of precision and recall where a cell is called by the latent being at or above a threshold.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae`` or ``pae.tl.transform``. Reads ``obsm["X_{key}"]``.
    groupby
        Column of ``obs`` with the labels: categories, strings, integers or booleans.
    threshold
        For F1: a cell is called where the latent is above this share, from 0 to 1, of its largest activation. ``None``
        for the threshold with the largest F1 of each latent and label, which is optimistic for small labels.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns[key]["selectivity"]``, which replaces that of an earlier call, a row per latent and label:
        ``latent``, ``label``, ``auroc``, ``pval`` and ``padj`` (NaN for a latent that fires nowhere, or the same
        everywhere), ``f1``, ``precision``, ``recall``, ``threshold`` (in units of the codes), ``mean`` and
        ``mean_rest`` (activation in cells of the label, and in all others). :func:`pathwayae.get.latent_selectivity`
        with
        ``best=True`` sorts latents from the most to the least selective.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or `groupby` is no column.
    ValueError
        If there are fewer than two labels, a cell has none, they are fractions, or the threshold is out of range.

    See Also
    --------
    pathwayae.get.latent_selectivity, pathwayae.pl.latent_selectivity

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.latent_selectivity(adata, "cell_type")
    >>> pae.get.latent_selectivity(adata, best=True).columns[:3].tolist()
    ['latent', 'label', 'auroc']
    """
    if threshold is not None:
        _checks.number("threshold", threshold, 0, 1)
    labels = labels_of(adata, "groupby", groupby)
    codes = slots.codes(adata, key)
    table = core_selectivity.selectivity(codes, labels.codes, len(labels.names), threshold=threshold)
    names = np.array(get.component_names(adata, key=key), dtype=object)
    table["latent"] = names[table["latent"]]
    table["label"] = np.array(labels.names, dtype=object)[table["label"]]
    params = {"groupby": groupby, "threshold": "" if threshold is None else float(threshold)}
    found = {keys.SELECTIVITY: table, keys.SELECTIVITY_PARAMS: params}
    target = adata.copy() if copy else adata
    store.add(target, key, found)
    return target if copy else None


@gated()
def latent_batches(
    adata: AnnData,
    batch_key: str,
    *,
    groupby: str | None = None,
    min_variance: float = core_batches.MIN_SHARE,
    key: str = keys.SPARSE_AE,
    copy: bool = False,
) -> AnnData | None:
    r"""Test which latents follow the batch, and by how much.

    With cell types (`groupby`) all is within them, so that a latent of a cell type which one batch holds more of is not
    taken for one of the batch. The *share of variance* between batches is
    :math:`\eta^2 = \sum_g \sum_b n_{gb} (\mu_{gb} - \mu_g)^2 / \sum_g \sum_{i \in g} (h_i - \mu_g)^2`. The *p*-value is
    of Kruskal and Wallis's test (1952, 10.1080/01621459.1952.10483441) with correction for ties, the statistics and
    degrees of freedom of the groups added up, adjusted over latents as Benjamini and Hochberg (1995) do. With many
    cells tiny differences are significant; the share tells whether they matter.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.sparse_ae`` or ``pae.tl.transform``. Reads ``obsm["X_{key}"]``.
    batch_key
        Column of ``obs`` with the batches.
    groupby
        Column of ``obs`` with groups to compare within, such as cell types.
    min_variance
        Share of the variance, from 0 to 1, from which on a significant latent is flagged.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns[key]["latent_batches"]``, which replaces that of an earlier call, a row per latent: ``latent``,
        ``variance`` (share between batches), ``batch`` and ``auroc`` (the batch that it tells best from all others, up
        or down, over all cells), ``statistic``, ``pval``, ``padj`` (NaN where nothing can be compared), and ``flag``
        (``padj ≤ 0.05`` and ``variance ≥ min_variance``).

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    ValueError
        If there are fewer than two batches, or a cell has no batch or group.

    Warns
    -----
    pathwayae.DataWarning
        If no group holds cells of two batches, so that nothing can be compared.

    See Also
    --------
    pathwayae.get.latent_batches

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6, n_batches=2)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, progress=False)
    >>> pae.tl.latent_batches(adata, "batch", groupby="cell_type")
    >>> pae.get.latent_batches(adata)["flag"].dtype
    dtype('bool')
    """
    _checks.number("min_variance", min_variance, 0, 1)
    labels = labels_of(adata, "batch_key", batch_key)
    groups = None if groupby is None else labels_of(adata, "groupby", groupby, at_least=1).codes
    codes = slots.codes(adata, key)
    table = core_batches.association(codes, labels.codes, len(labels.names), groups=groups, min_share=min_variance)
    if table["pval"].isna().all() and groups is not None:
        msg = (
            f"No group of {groupby!r} holds cells of two batches of {batch_key!r}, so batch and group cannot be told "
            "apart. Leave groupby out, and read the result as that of both."
        )
        warn(msg)
    table["batch"] = np.array(labels.names, dtype=object)[table["batch"]]
    table.insert(0, "latent", get.component_names(adata, key=key))
    params = {"batch_key": batch_key, "groupby": groupby or "", "min_variance": float(min_variance)}
    found = {keys.LATENT_BATCHES: table, keys.LATENT_BATCHES_PARAMS: params}
    target = adata.copy() if copy else adata
    store.add(target, key, found)
    return target if copy else None


def labels_of(adata: AnnData, name: str, column: Any, *, at_least: int = 2) -> Labels:
    """Labels of the cells from a column of ``obs``, in the order of its categories, those without a cell left out.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has no label, labels are fractions, or there are fewer than ``at_least``.
    """
    if not isinstance(column, str) or column not in adata.obs:
        known = ", ".join(map(repr, adata.obs.columns)) or "none"
        msg = f"{name}={column!r} is not a column of adata.obs; columns: {known}."
        raise KeyError(msg)
    values = adata.obs[column]
    if pd.api.types.is_float_dtype(values) and (values.dropna() % 1 != 0).any():
        msg = f"adata.obs[{column!r}] holds fractions; {name} needs labels. Divide them into bins first (pandas.cut)."
        raise ValueError(msg)
    if n_missing := int(values.isna().sum()):
        msg = (
            f"{n_missing} of {len(values)} cells have no label in adata.obs[{column!r}]; give them one, or leave them "
            f"out: adata[adata.obs[{column!r}].notna()]."
        )
        raise ValueError(msg)
    labels = values.astype("category").cat.remove_unused_categories()
    names = [str(label) for label in labels.cat.categories]
    if len(names) < at_least:
        msg = f"adata.obs[{column!r}] has one label, {names[0]!r}; {name} needs two or more to compare."
        raise ValueError(msg)
    return Labels(labels.cat.codes.to_numpy().astype(np.intp), names)
