"""What archetypes mean: genes, pathways and groups of cells that are high at one of them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._slots import archetypes as slots
from pathwayae._slots import keys, lookup, store
from pathwayae.core.archetypes import features
from pathwayae.core.gates import gated
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.tl._archetypes import cells, sample

logger = logging.getLogger("pathwayae")


@gated()
def archetype_features(
    adata: AnnData,
    *,
    groupby: str | Sequence[str] | None = None,
    sample_key: str | None = None,
    layer: str | None = None,
    pathways: str | None = "auto",
    key: str = keys.ARCHETYPES,
    copy: bool = False,
) -> AnnData | None:
    r"""Test which genes, pathways and groups of cells are high at each archetype.

    **Genes and pathways** are regressed on the weights. Weights of a cell sum to one, so the coefficients
    :math:`\beta = (A^\top A)^{-1} A^\top X` are values: what a cell at the archetype is expected to have. The effect is
    the value at the archetype less the mean over the other archetypes, and its t-test has n − k degrees of freedom.
    All comes from :math:`A^\top A`, :math:`A^\top X` and :math:`\sum x^2`: one pass over ``X``, sparse as it is, in
    memory, backed or on dask.

    **Groups**, such as cell types or conditions: their mean weight, the AUROC of the weight (Mann and Whitney 1947),
    and their share of the tenth of the cells closest to the archetype.

    Cells of one donor are alike, so tests over cells find too much. With `sample_key` all standard errors are
    cluster-robust (Liang and Zeger 1986, 10.1093/biomet/73.1.13), with S − 1 degrees of freedom for S donors. The
    archetypes were found in these cells, and in these genes or pathways, so p-values put features in order; they are no
    proof that an archetype exists, which is the question of :func:`pathwayae.tl.archetype_trust`.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.archetypes``, or new cells after ``pae.tl.transform`` with its key.
    groupby
        Columns of ``obs``: categories, strings or booleans. Cells without a value are left out.
    sample_key
        Column of ``obs``, such as the donor: the unit of replication.
    layer
        Genes to test; by default those that the archetypes are expressed in, ``X`` as a rule.
    pathways
        Key of a ``pae.tl.fit`` whose scores are tested too; ``"auto"``: ``"pae"`` where there is one; ``None``: none.
    key
        Key of the archetypes.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes into ``uns[key]``, in the place of an earlier call,

    - ``features``: a DataFrame, one row per archetype and feature, the most specific first: ``archetype``; ``kind``,
      ``"gene"`` or ``"pathway"``; ``feature``; ``value`` at the archetype and ``others``, mean of the values at the
      others, in units of ``X`` or of the scores; ``effect``, their difference; ``statistic``, its t; ``pval``,
      two-sided; ``padj``, Benjamini–Hochberg over all archetypes and features of a kind. Genes that do not vary are
      left out.
    - with `groupby`, ``groups``: a DataFrame, one row per archetype and group: ``groupby``, ``archetype``, ``group``,
      ``n_cells``, ``mean_weight``, ``mean_others`` (of all other cells), ``auroc``, ``share_closest``, ``enrichment``
      (that share over the share of all cells), ``pval``, ``padj`` (over all rows of the column).

    Raises
    ------
    KeyError
        If there are no archetypes under `key`, or a layer, column or fit does not exist.
    ValueError
        If nothing can be tested: no genes and no pathways, an archetype without weight in these cells, numbers to group
        by, or fewer than 3 samples.

    See Also
    --------
    pathwayae.get.archetype_features, pathwayae.get.archetype_groups, pathwayae.pl.archetype_weights

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(400, 300, 5)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 3, progress=False)
    >>> pae.tl.archetype_features(adata, groupby="cell_type")
    >>> pae.get.archetype_features(adata, of="pathway").shape
    (15, 9)
    """
    _checks.choice("copy", copy, (True, False))
    params = lookup.plain(lookup.fit_of(adata, key, keys.ARCHETYPES)[keys.PARAMS])
    weights = slots.weights(adata, key)
    strata = None if sample_key is None else sample.strata(adata, sample_key)
    tables = []
    genes = _genes(adata, weights, layer, str(params["obsm"]), strata)
    if genes is not None:
        tables.append(genes)
    if (fit := _fit_key(adata, pathways)) is not None:
        tables.append(_pathways(adata, weights, fit, strata))
    if not tables:
        msg = "There are neither genes nor pathway scores to test; pass an AnnData with X, or pathways='key of a fit'."
        raise ValueError(msg)
    written: dict[str, Any] = {keys.FEATURES: pd.concat(tables, ignore_index=True)}
    columns = [groupby] if isinstance(groupby, str) else list(groupby or [])
    if columns:
        written[keys.GROUPS] = pd.concat(
            [_groups(adata, weights, column, strata) for column in columns], ignore_index=True
        )
    n_found = int((written[keys.FEATURES]["padj"] <= 0.05).sum())
    logger.info("Archetype features: %d of %d tests have padj ≤ 0.05.", n_found, len(written[keys.FEATURES]))
    target = adata.copy() if copy else adata
    store.add(target, key, written, instead_of=(keys.FEATURES, keys.GROUPS))
    return target if copy else None


def _genes(
    adata: AnnData, weights: pd.DataFrame, layer: str | None, obsm: str, strata: NDArray[np.intp] | None
) -> pd.DataFrame | None:
    """Of every gene that varies, from one pass over the cells."""
    source = cells.genes(adata, obsm or None, layer)
    if source is None:
        return None
    values = weights.to_numpy(dtype=np.float64)
    sums = features.Sums(values.shape[1], source.shape[1], _n_strata(strata))
    for block in source.blocks(BLOCK_BYTES):
        part = slice(block.start, block.stop)
        sums.add(block.values, values[part], None if strata is None else strata[part])
    varies = sums.varies()
    if not varies.any():
        return None
    names = source.genes[varies].tolist()
    return features.feature_table(names, list(weights.columns), features.regression(sums.subset(varies)), kind="gene")


def _pathways(adata: AnnData, weights: pd.DataFrame, fit: str, strata: NDArray[np.intp] | None) -> pd.DataFrame:
    scores = get.scores(adata, key=fit)
    sums = features.Sums(weights.shape[1], scores.shape[1], _n_strata(strata))
    sums.add(scores.to_numpy(dtype=np.float64), weights.to_numpy(dtype=np.float64), strata)
    names = [str(name) for name in scores.columns]
    return features.feature_table(names, list(weights.columns), features.regression(sums), kind="pathway")


def _n_strata(strata: NDArray[np.intp] | None) -> int:
    return 1 if strata is None else int(strata.max()) + 1


def _fit_key(adata: AnnData, pathways: str | None) -> str | None:
    """Key of the fit whose scores are tested."""
    if pathways is None:
        return None
    if pathways != "auto":
        get.component_names(adata, key=pathways)  # raises where there is none
        return pathways
    return keys.DEFAULT if lookup.has_scores(adata, keys.DEFAULT, keys.GROUPED) else None


def _groups(adata: AnnData, weights: pd.DataFrame, column: str, strata: NDArray[np.intp] | None) -> pd.DataFrame:
    """Of every group in a column of ``obs``."""
    _checks.check_column(adata, "groupby", column)
    values = pd.Series(np.asarray(adata.obs[column], dtype=object), index=adata.obs_names)
    if pd.api.types.is_float_dtype(adata.obs[column].dtype):
        msg = f"adata.obs[{column!r}] holds numbers with fractions; groupby needs groups."
        raise ValueError(msg)
    groups = sorted(set(_checks.as_text(values.dropna(), column)))
    if len(groups) < 2:
        msg = f"adata.obs[{column!r}] has {len(groups)} group(s); to compare takes two."
        raise ValueError(msg)
    codes = pd.Categorical(values.astype(str).where(values.notna()), categories=groups).codes
    table = features.group_table(
        weights.to_numpy(dtype=np.float64), list(weights.columns), codes.astype(np.intp), groups, strata
    )
    table.insert(0, "groupby", np.full(len(table), column, dtype=object))
    return table
