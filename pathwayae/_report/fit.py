"""Sections of the fit itself: its data and gene sets, its pathways and their genes, how far to trust them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd

from pathwayae import get, pl
from pathwayae._report.contents import Figure, Section, Table, counted, short, table_of
from pathwayae._report.figures import figure
from pathwayae._slots import keys, lookup
from pathwayae._slots.leading import leading

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData

N_GENES = 10  # leading genes of a component
TRUST = ["component", "verdict", "reason", "flag", "n_genes", "n_matched", "matched", "variance_ratio", "n_effective"]
TRUST += ["top_gene", "top_gene_share", "agreement", "outside", "stability", "relevance_padj", "heldout_variance"]
TRUST += ["heldout_auc", "heldout_padj"]
VERDICTS = (
    "Verdicts: used (its genes vary together in these cells), untested (nothing but the fit is known), not used "
    "(nothing shows that these cells use it), unstable (refits disagree), unfaithful (the score does not speak for the "
    "pathway)."
)


def ranked(adata: AnnData, key: str) -> list[str]:
    """All components, the pathways that matter most first, free ones last."""
    names = lookup.component_names(adata, key)
    first = leading(adata, key, len(names)).names if keys.PATHWAYS in lookup.fit_of(adata, key) else names
    return [*first, *(name for name in names if name not in set(first))]


def data(adata: AnnData, key: str) -> Section:
    """Cells, genes and gene sets, what was matched and what was dropped."""
    dropped = pd.DataFrame(lookup.fit_of(adata, key).get(keys.DROPPED, {}))
    table = get.pathways(adata, key=key)
    words, tables = [], []
    if len(table):
        share = table["n_matched"] / table["n_genes"].clip(lower=1)
        words.append(
            f"{len(table):,} gene sets were fitted. Of the genes that a set names, {share.median():.0%} are in the "
            f"model (median; from {share.min():.0%} to {share.max():.0%})."
        )
        least = table.assign(component=table["pathway"], matched=share).sort_values("matched", kind="stable")
        least = least[["component", "n_genes", "n_matched", "matched", "lost"]]
        least["lost"] = least["lost"].astype(str).str.replace(";", ", ")
        source = f"pae.get.pathways(adata, key={key!r})"
        tables.append(table_of(least, "Gene sets by the share of their genes found, with genes not found", source))
    if len(dropped):
        words.append(f"{counted(len(dropped), 'gene set')} dropped before the fit; the table says why.")
        dropped = dropped.rename(columns={"pathway": "component"})
        tables.insert(0, table_of(dropped, "Gene sets dropped", f"adata.uns[{key!r}]['dropped']"))
    else:
        words.append("No gene set was dropped.")
    return Section("data", "Data and gene sets", words, tables)


def trust_table(adata: AnnData, key: str) -> pd.DataFrame:
    """The table of :func:`pathwayae.get.trust` in order, with flags and shares of genes matched; empty columns out."""
    table = get.trust(adata, key=key).set_index("component").loc[ranked(adata, key)].reset_index()
    own = get.pathways(adata, key=key).set_index("pathway")
    table["flag"] = [own["flag"].get(name, "") for name in table["component"]]
    table["n_genes"] = table["component"].map(own["n_genes"])
    table["matched"] = table["n_matched"] / table["n_genes"].clip(lower=1)
    columns = [name for name in TRUST if name in table]
    return table[[name for name in columns if not (table[name].isna() | (table[name] == "")).all()]]


def pathways(adata: AnnData, key: str) -> Section:
    """Components ranked, with verdicts."""
    table = trust_table(adata, key)
    source = f"pae.get.trust(adata, key={key!r})"
    order = leading(adata, key, 1).order
    words = [f"Order: {order}; pathways with a flag after the others, free components last.", VERDICTS]
    pictures = []
    if len(table) > 1:
        best = table.iloc[0]
        alt = (
            f"Bars of the share of the variance that components explain alone; {short(best['component'])}, first in "
            f"the table, explains {best['variance_ratio']:.1%}."
        )
        pictures.append(figure(partial(pl.variance, adata, key=key, show=False), alt, "Variance explained alone"))
    return Section("pathways", "Pathways", words, [table_of(table, "Components and verdicts", source)], pictures)


def genes_of(adata: AnnData, key: str) -> pd.DataFrame:
    """One row per component with its leading genes."""
    names = ranked(adata, key)
    long = get.top_genes(adata, names, n_genes=N_GENES, key=key)
    free = long["component"].isin(lookup.component_names(adata, key)[int(lookup.value(adata, key, keys.N_PATHWAYS)) :])
    labels = long["gene"].map(short).where(long["loading"] >= 0, "−" + long["gene"].map(short))
    pairs: pd.Series[Any] = pd.Series(
        list(zip(labels, long["member"].astype(bool) | free, strict=True)), index=long["component"]
    )
    lists = pairs.groupby(level=0, sort=False).agg(tuple)
    return pd.DataFrame({"component": names, "top_genes": [lists.get(name, ()) for name in names]})


def genes(adata: AnnData, key: str) -> Section:
    """Leading genes of every component."""
    source = f"pae.get.top_genes(adata, n_genes={N_GENES}, key={key!r})"
    words = [
        "Heaviest loadings first. A + marks a gene that the set does not name. Free components name no genes; before "
        "genes that go down with them stands a −."
    ]
    tables = [table_of(genes_of(adata, key), f"The {N_GENES} leading genes of each component", source)]
    return Section("genes", "Leading genes", words, tables)


CALLED = ("n_confirmed", "n_added", "n_dropped", "n_undecided")
ASKED: dict[str, tuple[str, str, list[str]]] = {
    keys.STABILITY: (
        "stability",
        "Refits of cells drawn again",
        ["component", "verdict", "scores", "scores_low", "loadings", "own", "variance_ratio", "chance"],
    ),
    keys.RELEVANCE: (
        "relevance",
        "Whether the cells use a pathway",
        ["component", "verdict", "z", "pval", "padj", "heldout_variance", "heldout_unique"],
    ),
    keys.REFINEMENT: (
        "refinement",
        "Which genes belong to the pathways",
        ["component", "verdict", "n_genes", "annotated_share", "false_share", "heldout_auc", "pval", "padj", *CALLED],
    ),
}


def tests(adata: AnnData, key: str) -> Section | None:
    """Tables of what was asked of the fit."""
    fit = lookup.fit_of(adata, key)
    tables: list[Table] = []
    words, pictures = [], list[Figure]()
    for name, (call, title, columns) in ASKED.items():
        if name not in fit:
            continue
        reader: Callable[..., pd.DataFrame] = getattr(get, call)
        table = reader(adata, key=key, **({"of": "pathways"} if name == keys.REFINEMENT else {}))
        table = table.rename(columns={"pathway": "component"})
        own = set(table["component"])
        table = table.set_index("component").loc[[one for one in ranked(adata, key) if one in own]].reset_index()
        counts = ", ".join(f"{n:,} {verdict}" for verdict, n in table["verdict"].value_counts().items())
        words.append(f"{title}: {counts}.")
        source = (
            f"pae.get.{call}(adata, {'of=' + repr('pathways') + ', ' if name == keys.REFINEMENT else ''}key={key!r})"
        )
        tables.append(table_of(table[[one for one in columns if one in table]], title, source))
    return Section("tests", "How far to trust it", words, tables, pictures) if tables else None
