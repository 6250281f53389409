"""Which pathways differ between groups, as labelled tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd

from pathwayae._slots import keys, lookup
from pathwayae.core.gates import gated
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def rank_pathways(
    adata: AnnData,
    *,
    group: str | None = None,
    within: str | None = None,
    max_padj: float | None = None,
    of: Literal["pathways", "genes"] = "pathways",
    key_added: str | None = None,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return which pathways differ between groups, or the genes that carry the differences.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.rank_pathways``. Reads ``uns[key]["rank_pathways"]``.
    group
        Only rows of this group. ``None`` for all.
    within
        Only rows of this level of the column that groups were compared within. ``None`` for all.
    max_padj
        Keep rows up to this adjusted *p*-value, between 0 and 1; of genes those of such pathways. ``None`` for all.
    of
        ``"pathways"``: one row per pathway, group and level; ``"genes"``: the genes that carry most of each effect.
    key_added
        Name of the entry that ``pae.tl.rank_pathways`` was told to write; by default ``"rank_pathways"``.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        Of pathways, by *p* and then size of the statistic, those without a test last: ``pathway, group, reference,
        within, effect, effect_low, effect_high, statistic, df, p, padj, auroc, n_samples, n_samples_reference,
        n_pairs, n_agree, n_cells, n_cells_reference, gene, gene_share, verdict``. Of genes, in the order of these rows,
        by share: ``pathway, group, within, gene, share, effect`` (the part of the gene, in the units of the effect),
        ``member`` (whether the pathway names it). See ``pae.tl.rank_pathways``.

    Raises
    ------
    KeyError
        If nothing was fitted or compared under `key`.
    ValueError
        If a group or level is not in the table, or `max_padj` is not between 0 and 1.

    Examples
    --------
    >>> pae.tl.rank_pathways(adata, "batch", sample_key="donor", within="cell_type")
    >>> pae.get.rank_pathways(adata, group="batch_1", within="type_1").columns[:5].tolist()
    ['pathway', 'group', 'reference', 'within', 'effect']
    >>> pae.get.rank_pathways(adata, of="genes")["member"].dtype
    dtype('bool')
    """
    if of not in ("pathways", "genes"):
        msg = f"of must be 'pathways' or 'genes', got {of!r}."
        raise ValueError(msg)
    if max_padj is not None and not 0 <= max_padj <= 1:
        msg = f"max_padj must be between 0 and 1, got {max_padj}."
        raise ValueError(msg)
    name = keys.RANK_PATHWAYS if key_added is None else key_added
    call = "rank_pathways(adata, groupby" + ("" if key_added is None else f", key_added={name!r}") + f", key={key!r})"
    table = _words(lookup.analysis(adata, key, "", name, call))
    for column, wanted in (("group", group), ("within", within)):
        if wanted is not None:
            if wanted not in set(table[column]):
                msg = f"{column}={wanted!r} was not compared; choose one of {listed(table[column].unique(), 20)}."
                raise ValueError(msg)
            table = table[table[column] == wanted]
    if max_padj is not None:
        table = table[table["padj"] <= max_padj]
    size = table["statistic"].abs()
    order = pd.DataFrame({"p": table["p"], "size": -size}).sort_values(["p", "size"], kind="stable").index
    table = table.loc[order].reset_index(drop=True)
    if of == "pathways":
        return table
    ids = ["pathway", "group", "within"]
    long = _words(lookup.analysis(adata, key, "", keys.rank_genes(name), call))
    return table[ids].merge(long, on=ids, how="inner", sort=False)[long.columns.tolist()]


def _words(table: pd.DataFrame) -> pd.DataFrame:
    """Words are stored as categories, and returned as strings."""
    return table.astype(dict.fromkeys(table.columns[table.dtypes == "category"], object))
