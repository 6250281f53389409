"""Loadings within groups of cells and how they differ, read from the slots of ``pae.tl.group_loadings``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.core.notice import listed
from pathwayae.get._common import significant

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def group_loadings(
    adata: AnnData,
    pathways: str | Sequence[str] | None = None,
    groups: str | Sequence[str] | None = None,
    *,
    of: Literal["genes", "groups"] = "genes",
    max_padj: float | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return the loadings of genes on pathways within groups of cells, beside those of other groups.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.group_loadings``. Reads ``uns[key]["group_loadings"]``.
    pathways, groups
        Names of pathways and groups of that call. ``None`` for all.
    of
        ``"genes"``: one row per pathway, group and gene; ``"groups"``: one row per pathway and group.
    max_padj
        Of genes: keep rows up to this adjusted *p*-value, between 0 and 1. ``None`` for all.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per pathway, group and gene, pathways and groups in their order, genes from those that the group has
        more of than the others to those that it has less of, ties by name:

        - ``pathway``, ``group``, ``gene`` (its name in the pathways), ``member`` (whether the pathway names it);
        - ``loading``: within the group, see ``pae.tl.group_loadings``; NaN where the pathway is not carried there;
        - ``shared``: the loading over all groups, pooled; ``reference``: over those that the group is compared with;
        - ``difference``: loading − reference; ``se``, its standard error over donors;
        - ``pval``, and ``padj`` (Benjamini–Hochberg) over everything tested in that call; NaN without a test;
        - ``n_samples``, ``n_cells`` of the group.

        Of groups: ``pathway``, ``group``, ``n_cells``, ``n_samples``; ``sd``: standard deviation of what the genes of
        the pathway share, in units of its score; ``reliability``: its share of the variance of the score within the
        group, from 0 to 1; ``carried``: whether the genes vary together there.

    Raises
    ------
    KeyError
        If nothing was fitted or compared under `key`, or a name is unknown; the message gives the closest ones.
    ValueError
        If `of` is unknown, or `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(600, 200, 3, n_cell_types=2, n_donors=6)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    >>> pae.tl.group_loadings(adata, "cell_type", sample_key="donor", progress=False)
    >>> pae.get.group_loadings(adata, "program_1", "type_1")[["group", "n_samples"]].drop_duplicates().values.tolist()
    [['type_1', 6]]
    >>> pae.get.group_loadings(adata, of="groups")["carried"].tolist()
    [True, True, True, True, True, True]
    """
    if of not in ("genes", "groups"):
        msg = f"of={of!r} is not known; choose 'genes' or 'groups'."
        raise ValueError(msg)
    missing = f"No group_loadings in adata.uns[{key!r}]: run pae.tl.group_loadings(adata, groupby, key={key!r}) first."
    entry = lookup.plain(lookup.value(adata, key, keys.GROUP_LOADINGS, kind=keys.GROUPED, missing=missing))
    rows = _chosen(entry["pathways"], pathways, "pathway")
    columns = _chosen(entry["groups"], groups, "group")
    if of == "groups":
        return _of_groups(entry, rows, columns)
    return significant(_of_genes(entry, rows, columns), max_padj)


def _of_genes(entry: dict[str, Any], rows: list[int], columns: list[int]) -> pd.DataFrame:
    """One row per pathway, group and gene."""
    place = pd.Index(rows).get_indexer(
        pd.Index(np.asarray(entry["pathway"]))
    )  # of each pair among the pathways asked for
    pairs = np.flatnonzero(place >= 0)
    pair, group = (one.ravel() for one in np.meshgrid(pairs, columns, indexing="ij"))
    names = ("loading", "reference", "error", "pvalue", "padj")
    values = {name: np.asarray(entry[name])[pair, group].astype(float) for name in names}
    shared = np.asarray(entry["shared"])[pair].astype(float)
    difference = values["loading"] - values["reference"]
    known = np.where(np.isnan(values["loading"]), shared, values["loading"])
    most = np.where(np.isnan(difference), known, difference)
    genes = np.unique(np.asarray(entry["gene"], dtype=object).astype(str), return_inverse=True)[1].ravel()
    order = np.lexsort((genes[pair], -most, pd.Index(columns).get_indexer(pd.Index(group)), place[pair]))
    pathways, groups, gene = (np.asarray(entry[name], dtype=object) for name in ("pathways", "groups", "gene"))
    table = {
        "pathway": pathways[np.asarray(entry["pathway"])[pair]],
        "group": groups[group],
        "gene": gene[pair],
        "member": np.asarray(entry["member"])[pair].astype(bool),
        "loading": values["loading"],
        "shared": shared,
        "reference": values["reference"],
        "difference": difference,
        "se": values["error"],
        "pval": values["pvalue"],
        "padj": values["padj"],
        "n_samples": np.asarray(entry["n_samples"])[group],
        "n_cells": np.asarray(entry["n_cells"])[group],
    }
    return pd.DataFrame({name: one[order] for name, one in table.items()})


def _of_groups(entry: dict[str, Any], rows: list[int], columns: list[int]) -> pd.DataFrame:
    """One row per pathway and group."""
    place = np.ix_(rows, columns)
    names, groups = (np.asarray(entry[name], dtype=object) for name in ("pathways", "groups"))
    table = {"pathway": np.repeat(names[rows], len(columns)), "group": np.tile(groups[columns], len(rows))}
    table |= {name: np.tile(np.asarray(entry[name])[columns], len(rows)) for name in ("n_cells", "n_samples")}
    table |= {name: np.asarray(entry[name])[place].ravel() for name in ("sd", "reliability", "carried")}
    return pd.DataFrame(table)


def _chosen(names: Any, asked: str | Sequence[str] | None, noun: str) -> list[int]:
    """Places of the names asked for among those of the call."""
    own = [str(name) for name in np.asarray(names, dtype=object)]
    chosen = own if asked is None else [asked] if isinstance(asked, str) else [str(name) for name in asked]
    unknown = [name for name in chosen if name not in own]
    if unknown or not chosen:
        lower = {name.lower(): name for name in own}
        close = difflib.get_close_matches(unknown[0].lower(), lower, n=3, cutoff=0.4) if unknown else []
        hint = f"closest: {listed(lower[one] for one in close)}" if close else f"there are {listed(own, 10)}"
        msg = f"pae.tl.group_loadings was not asked for {noun} {listed(unknown)} ({hint})."
        raise KeyError(msg)
    return [own.index(name) for name in chosen]
