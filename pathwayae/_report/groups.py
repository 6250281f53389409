"""Sections on groups of cells: where pathways are high, what differs, and which genes carry them where."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pathwayae import get, pl
from pathwayae._report.contents import Figure, Section, Table, records, short, table_of
from pathwayae._report.figures import figure
from pathwayae._report.fit import ranked
from pathwayae._slots import keys, lookup
from pathwayae._slots.groups import groups_of

if TYPE_CHECKING:
    from anndata import AnnData

BASES = ("X_umap", "X_tsne", "X_pca")
N_PANELS, N_PATHWAYS, N_COLUMNS = 6, 30, 40
LEVEL = 0.05
RANKED = ["pathway", "group", "reference", "within", "effect", "effect_low", "effect_high", "p", "padj", "auroc"]
RANKED += ["n_samples", "n_samples_reference", "n_pairs", "n_agree", "n_cells", "n_cells_reference", "gene"]
RANKED += ["gene_share", "verdict"]


def rank_names(adata: AnnData, key: str) -> list[str]:
    """Entries that pae.tl.rank_pathways wrote."""
    fit = lookup.fit_of(adata, key)
    names = [name for name in fit if keys.rank_params(name) in fit and keys.rank_genes(name) in fit]
    return sorted(names, key=lambda name: name != keys.RANK_PATHWAYS)


def _compared(adata: AnnData, key: str, name: str) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """The table of an entry, its rows of pathways (all where there are none), and its settings."""
    table = get.rank_pathways(adata, key_added=None if name == keys.RANK_PATHWAYS else name, key=key)
    named = set(lookup.component_names(adata, key)[: int(lookup.value(adata, key, keys.N_PATHWAYS))])
    pathways = table[table["pathway"].isin(named)]
    return table, pathways if len(pathways) else table, settings_of(adata, key, keys.rank_params(name))


def settings_of(adata: AnnData, key: str, name: str) -> dict[str, Any]:
    """Settings of an analysis; empty where it was not run."""
    found: dict[str, Any] = lookup.plain(lookup.fit_of(adata, key).get(name, {}))
    return found


def groupings(adata: AnnData, key: str, groupby: str | Sequence[str] | None) -> list[str | list[str]]:
    """The columns asked for, or those that stored analyses compared."""
    if groupby is not None:
        groups_of(adata, groupby)
        return [groupby if isinstance(groupby, str) else list(groupby)]
    asked = [settings_of(adata, key, keys.rank_params(name)) for name in rank_names(adata, key)]
    asked.append(settings_of(adata, key, keys.GROUP_LOADINGS_PARAMS))
    names = [str(one.get(word) or "") for word in ("within", "groupby") for one in asked]
    found: list[str | list[str]] = []
    for name in dict.fromkeys(names):
        if name in adata.obs:
            try:
                groups_of(adata, name)
            except ValueError:  # too many groups by now, or none
                continue
            found.append(name)
    return found


def basis_of(adata: AnnData, basis: str | None) -> str | None:
    """The embedding asked for, or the first of the usual ones that is there."""
    if basis is None:
        return next((name for name in BASES if name in adata.obsm), None)
    found = next((name for name in (basis, f"X_{basis}") if name in adata.obsm), None)
    if found is None:
        msg = f"adata.obsm has no basis {basis!r}; it has {', '.join(map(repr, adata.obsm)) or 'none'}."
        raise KeyError(msg)
    return found


def embedding(adata: AnnData, key: str, basis: str | None, columns: Sequence[str | list[str]]) -> Section | None:
    """Cells on an embedding, coloured by groups and the leading pathways."""
    if basis is None:
        return None
    first = [name for entry in rank_names(adata, key) for name in _compared(adata, key, entry)[1]["pathway"].head(2)]
    names = list(dict.fromkeys([*first[: N_PANELS // 2], *ranked(adata, key)]))[:N_PANELS]
    chosen = "that differ most between groups, then the leading ones" if first else "first in the table"
    own = [one for one in columns if isinstance(one, str)][:2]
    where = basis.removeprefix("X_").upper() if basis in BASES else basis.removeprefix("X_")
    scored = [
        figure(
            partial(pl.embedding, adata, names, basis=basis, key=key, show=False),
            f"Cells on {where}, one panel per pathway, coloured by score: {', '.join(map(short, names))}.",
            f"Scores on {where} of the pathways {chosen}",
        )
    ]
    pictures = []
    for name in own:
        levels = groups_of(adata, name).cat.categories
        alt = f"Cells on {where}, coloured by the {len(levels)} groups of {short(name)}."
        picture = figure(
            partial(pl.embedding, adata, name, basis=basis, key=key, show=False),
            alt,
            f"{short(name)} on {where}",
        )
        pictures.append(picture)
    return Section("embedding", "Cells", (), (), [*pictures, *scored])


def scores(adata: AnnData, key: str, columns: Sequence[str | list[str]]) -> Section | None:
    """Mean scores by group."""
    tables, pictures = [], []
    for groupby in columns:
        name = groupby if isinstance(groupby, str) else " | ".join(groupby)
        long = get.scores_by_group(adata, groupby, ranked(adata, key), key=key)
        wide = long.pivot_table(index="component", columns="group", values="mean", sort=False, dropna=False)
        between = long.drop_duplicates("component").set_index("component")["between"]
        wide = wide.loc[between.sort_values(ascending=False, kind="stable").index, wide.columns[:N_COLUMNS]]
        n_groups = long["group"].nunique()
        most = f", the first {N_COLUMNS} of {n_groups} groups" if n_groups > N_COLUMNS else ""
        best = long.iloc[int(np.nanargmax(long["mean"].to_numpy()))]
        alt = (
            f"Heat map of mean scores by {short(name)} in standard deviations of all cells; highest is "
            f"{short(best['component'])} in {short(best['group'])}, {best['mean']:.2f}."
        )
        caption = f"Mean scores by {short(name)}"
        pictures.append(
            figure(
                partial(pl.scores, adata, groupby, n_pathways=N_PATHWAYS, key=key, show=False),
                alt,
                caption,
            )
        )
        source = f"pae.get.scores_by_group(adata, {groupby!r}, key={key!r})"
        title = f"{caption}, in s.d. of all cells, those that differ most first{most}"
        tables.append(table_of(wide.rename_axis(columns=None).reset_index(), title, source))
    words = ["0 is the mean of all cells. Means describe the cells at hand; they are no test."]
    return Section("groups", "Groups of cells", words, tables, pictures) if tables else None


def _about(name: str, settings: dict[str, Any], table: pd.DataFrame) -> list[str]:
    """What was compared, how, and how much was found."""
    n = int((table["padj"] <= LEVEL).sum())
    within = f" within each level of {settings['within']}" if settings.get("within") else ""
    sample_key = settings.get("sample_key")
    test = f"samples ({sample_key}) as replicates" if sample_key else "cells as replicates: p-values are far too small"
    also = f", beside {settings['covariates']}" if settings.get("covariates") else ""
    return [
        f"{name}: groups of {settings.get('groupby', '')} against {settings.get('reference', '')}{within}{also}; "
        f"{settings.get('method', '')} test, {test}. {n:,} of {len(table):,} comparisons have p adj. ≤ {LEVEL}."
    ]


def in_short(adata: AnnData, key: str) -> list[str]:
    """What comes first in each table of pae.tl.rank_pathways."""
    words = []
    for name in rank_names(adata, key):
        table, pathways, settings = _compared(adata, key, name)
        words += _about(name, settings, table)
        if len(pathways) and pathways["padj"].iloc[0] <= LEVEL:
            top = pathways.iloc[0]
            where = f" in {short(str(top['within']))}" if top["within"] else ""
            words[-1] += (
                f" First pathway: {short(top['pathway'])}, {short(str(top['group']))}{where}, effect "
                f"{top['effect']:.2f} s.d. ({top['effect_low']:.2f} to {top['effect_high']:.2f})."
            )
    return words


def _first(table: pd.DataFrame, pathways: pd.DataFrame) -> pd.DataFrame:
    """One row per comparison: how much was found, and which pathway comes first."""
    rows = []
    for (group, within), own in table.groupby(["group", "within"], sort=False):
        named = pathways[(pathways["group"] == group) & (pathways["within"] == within)]
        top = named.iloc[0]
        rows.append(
            {"group": group, "within": within, "n_tested": len(own), "n_found": int((own["padj"] <= LEVEL).sum())}
            | {"first": top["pathway"]}
            | {name: top[name] for name in ("effect", "padj", "n_samples", "n_agree", "gene")}
        )
    return pd.DataFrame(rows).sort_values(["n_found", "padj"], ascending=[False, True], kind="stable")


def _filled(table: pd.DataFrame) -> pd.DataFrame:
    """Without columns of empty words."""
    words = [name for name in ("within", "verdict", "gene") if name in table and not table[name].astype(bool).any()]
    return table.drop(columns=words)


def differences(adata: AnnData, key: str) -> Section | None:
    """Tables and plots of pae.tl.rank_pathways."""
    words = in_short(adata, key)
    first, whole, without = list[Table](), list[Table](), list[Table]()
    pictures: list[Figure] = []
    for name in rank_names(adata, key):
        table, pathways, settings = _compared(adata, key, name)
        entry = "" if name == keys.RANK_PATHWAYS else f"key_added={name!r}, "
        source = f"pae.get.rank_pathways(adata, {entry}key={key!r})"
        first.append(table_of(_filled(_first(table, pathways)), f"{name}: what comes first in each comparison", source))
        whole.append(table_of(_filled(table[RANKED]), f"{name}: all comparisons by p", source))
        left_out = pd.DataFrame(settings.get("left_out", {}))
        if len(left_out):
            where = f"adata.uns[{key!r}][{keys.rank_params(name)!r}]['left_out']"
            without.append(table_of(left_out, f"{name}: comparisons that could not be made", where))
        pictures += _picture(adata, key, name, table)
    tables = [*first, *whole, *without]
    return Section("differences", "Differences between groups", words, tables, pictures) if tables else None


def _picture(adata: AnnData, key: str, name: str, table: pd.DataFrame) -> list[Figure]:
    draw = getattr(pl, "rank_pathways", None)
    if draw is None:
        return []
    n = int((table["padj"] <= LEVEL).sum())
    alt = f"Effects of {name} by pathway and group; {n} of {len(table)} have an adjusted p of {LEVEL} or less."
    options = {} if name == keys.RANK_PATHWAYS else {"key_added": name}
    return [figure(partial(draw, adata, key=key, show=False, **options), alt, f"{name}: effect and adjusted p")]


def loadings(adata: AnnData, key: str) -> Section | None:
    """Loadings of genes within groups."""
    if keys.GROUP_LOADINGS not in lookup.fit_of(adata, key):
        return None
    settings = settings_of(adata, key, keys.GROUP_LOADINGS_PARAMS)
    of_groups = get.group_loadings(adata, of="groups", key=key)
    of_genes = get.group_loadings(adata, key=key)
    tested = of_genes["padj"].notna().any()
    found = of_genes[of_genes["padj"] <= LEVEL].sort_values("padj", kind="stable")
    words = [f"Groups of {settings.get('groupby', '')} against {settings.get('reference', '')}."]
    words += [
        f"{len(found):,} loadings of {int(of_genes['padj'].notna().sum()):,} tested differ with p adj. ≤ {LEVEL}."
        if tested
        else "Nothing was tested: pass sample_key= to pae.tl.group_loadings."
    ]
    source = f"pae.get.group_loadings(adata, key={key!r})"
    columns = ["pathway", "group", "gene", "member", "loading", "reference", "difference", "se", "padj", "n_samples"]
    tables = [table_of(found[columns], "Loadings that differ, by p", source)] if len(found) else []
    wide = of_groups.rename(columns={"pathway": "component"})
    title = "Where the genes of a pathway vary together"
    tables.append(table_of(wide, title, f"pae.get.group_loadings(adata, of='groups', key={key!r})"))
    pictures = []
    for row in records(found["pathway"].value_counts().head(2).reset_index()):
        name = str(row["pathway"])
        alt = f"Loadings of genes of {short(name)} by group, as differences from the other groups."
        pictures.append(
            figure(partial(pl.group_loadings, adata, name, key=key, show=False), alt, f"{short(name)} by group")
        )
    return Section("loadings", "Which genes carry a pathway where", words, tables, pictures)
