"""Sections on what components may stand for, on new cells, and on how to do it again."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from pathwayae import get, pl
from pathwayae._report.contents import Section, short, table_of
from pathwayae._report.figures import figure
from pathwayae._slots import keys, lookup
from pathwayae._slots.groups import groups_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

LEVEL = 0.05
N_TERMS = 5  # of a component and direction
UNLIKE, LACKING = 0.05, 0.2  # shares of cells and of weights that are worth a warning
ANNOTATED = ["component", "label", "technical", "reason", "nearest", "correlation", "positive", "negative"]


def enrichment(adata: AnnData, key: str) -> Section | None:
    """Gene sets that loadings point to, and what free components may stand for."""
    fit = lookup.fit_of(adata, key)
    words, tables, pictures = [], [], []
    if keys.ANNOTATION in fit:
        table = get.annotation(adata, key=key)
        for name in ("positive", "negative"):
            table[name] = table[name].astype(str).str.replace(";", ", ")
        n = int(table["technical"].astype(bool).sum())
        words.append(f"{len(table):,} components were described; {n:,} look technical. A label is a hint, no name.")
        source = f"pae.get.annotation(adata, key={key!r})"
        tables.append(table_of(table[ANNOTATED], "What components may stand for", source))
    if keys.ENRICHMENT in fit:
        table = get.enrichment(adata, max_padj=LEVEL, key=key)
        n_all = len(get.enrichment(adata, key=key))
        words.append(f"{len(table):,} of {n_all:,} gene sets tested have p adj. ≤ {LEVEL}.")
        if len(table):
            first = table.groupby(["component", "direction"], sort=False).head(N_TERMS).reset_index(drop=True)
            first = first.assign(genes=first["genes"].astype(str).str.replace(";", ", "))
            source = f"pae.get.enrichment(adata, max_padj={LEVEL}, key={key!r})"
            title = f"Gene sets that loadings point to, at most {N_TERMS} per component and direction"
            tables.append(table_of(first.drop(columns="method"), title, source))
            alt = "Dots of leading gene sets by component, with direction and adjusted p; the numbers are in a table."
            components = list(dict.fromkeys(table["component"]))[:15]
            pictures.append(
                figure(
                    partial(pl.enrichment, adata, components, n_terms=2, key=key, show=False),
                    alt,
                    "Leading gene sets of components",
                )
            )
    return Section("enrichment", "What components point to", words, tables, pictures) if words else None


def new_cells(adata: AnnData, key: str, columns: Sequence[str | list[str]]) -> tuple[Section | None, list[str]]:
    """Genes that new cells lack, and cells that the model does not describe; and what to be careful about."""
    fit = lookup.fit_of(adata, key)
    words, tables, warnings = [], [], []
    if keys.MISSING_GENES in fit:
        table = get.missing_genes(adata, key=key).sort_values("weight_missing", ascending=False, kind="stable")
        n = int((table["weight_missing"] > LACKING).sum())
        words.append(
            f"These cells were scored with a model of other cells. {n:,} of {len(table):,} components lack over "
            f"{LACKING:.0%} of their weight."
        )
        warnings += [words[-1]] if n else []
        tables.append(
            table_of(table, "What the cells lack of each component", f"pae.get.missing_genes(adata, key={key!r})")
        )
    if set(keys.unexplained(key).values()) <= set(adata.obs):
        table = get.unexplained(adata, key=key)
        share = float(table["unlike"].mean())
        words.append(f"{share:.1%} of the cells are unlike those of the fit; 1 % are expected.")
        warnings += [words[-1]] if share > UNLIKE else []
        for groupby in columns[:1]:
            by = table.assign(group=groups_of(adata, groupby).astype(object)).groupby("group", observed=True)["unlike"]
            counts = by.agg(["size", "sum", "mean"]).sort_values("mean", ascending=False, kind="stable")
            counts = counts.set_axis(["n_cells", "n_unlike", "share_unlike"], axis=1).reset_index()
            counts["n_unlike"] = counts["n_unlike"].astype(int)
            name = short(groupby if isinstance(groupby, str) else " | ".join(groupby))
            title = f"Cells unlike those of the fit by {name}"
            tables.append(table_of(counts, title, f"pae.get.unexplained(adata, key={key!r})"))
    return (Section("new", "New cells", words, tables) if words else None), warnings


def parameters(adata: AnnData, key: str) -> pd.DataFrame:
    """Settings of the fit and of what was asked of it."""
    fit = lookup.fit_of(adata, key)
    rows = []
    for name in fit:
        if name != keys.PARAMS and not str(name).endswith("_params"):
            continue
        call = "fit" if name == keys.PARAMS else str(name).removesuffix("_params")
        for word, value in lookup.plain(fit[name]).items():
            if word != "left_out":
                listed = value if isinstance(value, str) else ", ".join(map(str, value)) if _many(value) else value
                rows.append({"analysis": call, "setting": word, "value": "none" if listed == "" else str(listed)})
    return pd.DataFrame(rows).sort_values("analysis", key=lambda one: one != "fit", kind="stable")


def _many(value: object) -> bool:
    return hasattr(value, "__len__") and not isinstance(value, str)
