"""The page of a fit: every section that there is something to say in."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np

from pathwayae import get
from pathwayae._report import again, components, fit, groups
from pathwayae._report.contents import Page, Section, counted, short, table_of
from pathwayae._slots import keys, lookup
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from anndata import AnnData

LIBRARIES = ("anndata", "numpy", "scipy", "pandas", "torch", "scanpy", "matplotlib")
FEW_MATCHED = 0.5  # median share of the genes of a set
ORDER = ("used", "untested", "not used", "unstable", "unfaithful")
NOT_ASKED = {
    keys.RELEVANCE: ("whether the cells use each pathway", "relevance(adata, sample_key=…, key={key!r})"),
    keys.STABILITY: ("whether other cells give the same", "stability(adata, sample_key=…, key={key!r})"),
    keys.REFINEMENT: ("which genes belong to the pathways", "refine(adata, key={key!r})"),
    keys.ENRICHMENT: ("which other gene sets the loadings point to", "enrich(adata, gene_sets, key={key!r})"),
    keys.ANNOTATION: ("what free components may stand for", "annotate_components(adata, key={key!r})"),
}
RANK = "rank_pathways(adata, groupby, sample_key=…, within=…, key={key!r})"


def page(
    adata: AnnData, key: str, *, title: str | None, groupby: str | Sequence[str] | None, basis: str | None
) -> Page:
    """Everything that the page says.

    Raises
    ------
    KeyError
        If there is no fit of pathways under the key, or no such column or basis.
    ValueError
        If `groupby` holds numbers or too many groups.
    """
    whole = keys.PATHWAYS in lookup.fit_of(adata, key, keys.GROUPED)  # new cells have scores alone
    scored = lookup.has_scores(adata, key, keys.GROUPED)
    columns = groups.groupings(adata, key, groupby)
    where = groups.basis_of(adata, basis)
    new, warnings = components.new_cells(adata, key, columns)
    sections: list[Section | None] = [new]
    if whole:
        sections += [fit.pathways(adata, key), fit.genes(adata, key)]
    if scored:
        sections += [groups.embedding(adata, key, where, columns), groups.scores(adata, key, columns)]
    sections += [groups.differences(adata, key), groups.loadings(adata, key), components.enrichment(adata, key)]
    if whole:
        sections += [fit.tests(adata, key), fit.data(adata, key)]
    sections.append(_again(adata, key, whole=whole))
    return Page(
        title or f"Pathways of {adata.n_obs:,} cells",
        _facts(adata, key, whole=whole),
        _words(adata, key, whole=whole),
        [*_warnings(adata, key, whole=whole, scored=scored), *warnings],
        _not_asked(adata, key) if whole else [],
        [section for section in sections if section is not None],
    )


def _facts(adata: AnnData, key: str, *, whole: bool) -> list[tuple[str, str]]:
    names, n_pathways = lookup.component_names(adata, key), int(lookup.value(adata, key, keys.N_PATHWAYS))
    facts = [("cells", f"{adata.n_obs:,}"), ("genes", f"{adata.n_vars:,}")]
    if lookup.has(adata, "var", keys.scale(key)):
        used = np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float))
        facts.append(("genes in the model", f"{int(used.sum()):,}"))
    facts += [("pathways", f"{n_pathways:,}"), ("free components", f"{len(names) - n_pathways:,}")]
    if whole:
        facts.append(("gene sets dropped", f"{len(lookup.fit_of(adata, key).get(keys.DROPPED, ())):,}"))
    if keys.VARIANCE_RATIO_TOTAL in lookup.fit_of(adata, key):
        facts.append(("variance explained", f"{_explained(adata, key):.0%}"))
    return facts


def _explained(adata: AnnData, key: str) -> float:
    return float(lookup.plain(lookup.value(adata, key, keys.VARIANCE_RATIO_TOTAL)))


def _words(adata: AnnData, key: str, *, whole: bool) -> list[str]:
    """What is explained, and how the verdicts fall."""
    words = []
    if keys.VARIANCE_RATIO_TOTAL in lookup.fit_of(adata, key):
        explained = _explained(adata, key)
        words.append(
            f"All components together explain {explained:.0%} of the variance of the genes in the model; "
            f"{1 - explained:.0%} is left unexplained, much of it noise of single counts."
        )
    if whole:
        n_pathways = int(lookup.value(adata, key, keys.N_PATHWAYS))
        verdicts = get.trust(adata, key=key)["verdict"].head(n_pathways).tolist()
        counts = [f"{verdicts.count(one):,} {one}" for one in ORDER if one in verdicts]
        words += [f"Pathways: {', '.join(counts)}."] if counts else []
    return words + groups.in_short(adata, key)


def _warnings(adata: AnnData, key: str, *, whole: bool, scored: bool) -> list[str]:
    """What a reader has to be careful about."""
    entry, found = lookup.fit_of(adata, key), []
    if whole:
        table = get.pathways(adata, key=key)
        for flag, own in table[table["flag"].astype(bool)].groupby("flag", sort=False):
            found.append(f"{len(own):,} flagged “{flag}”: {listed(map(short, own['pathway']), 5, quoted=False)}.")
        share = table["n_matched"] / table["n_genes"].clip(lower=1)
        if len(table) and share.median() < FEW_MATCHED:
            found.append(
                f"Half of the gene sets have under {share.median():.0%} of their genes in the model: scores speak for "
                "these genes alone."
            )
        if len(dropped := entry.get(keys.DROPPED, ())):
            names = listed(map(short, dropped["pathway"]), 5, quoted=False)
            found.append(f"{counted(len(dropped), 'gene set')} dropped for the number of genes in the data: {names}.")
    if not scored:
        found.append("The cells have no scores: the fit is of moments. pae.tl.transform gives cells scores.")
    for name in groups.rank_names(adata, key):
        settings = groups.settings_of(adata, key, keys.rank_params(name))
        if not settings.get("sample_key"):
            found.append(
                f"{name} treats cells as replicates: its p-values say nothing about other donors; pass sample_key=."
            )
        if n := len(settings.get("left_out", ())):
            found.append(f"{counted(n, 'comparison')} of {name} could not be made.")
    if keys.ANNOTATION in entry:
        table = get.annotation(adata, key=key)
        if len(own := table[table["technical"].astype(bool)]):
            found.append(
                f"{counted(len(own), 'component')} may be technical: {listed(own['component'], 5, quoted=False)}."
            )
    return found


def _not_asked(adata: AnnData, key: str) -> list[tuple[str, str]]:
    entry = lookup.fit_of(adata, key)
    found = [(what, f"pae.tl.{call.format(key=key)}") for name, (what, call) in NOT_ASKED.items() if name not in entry]
    if not groups.rank_names(adata, key):
        found.insert(0, ("what differs between groups", f"pae.tl.{RANK.format(key=key)}"))
    return found


def _again(adata: AnnData, key: str, *, whole: bool) -> Section:
    """Settings, versions, and the lines that repeat them."""
    frame = components.parameters(adata, key)
    words = [
        f"This page was written by pathwayae {version('pathwayae')} with Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
        + ". The fit may be of other versions, which it does not keep."
    ]
    if fit_id := str(lookup.plain(lookup.fit_of(adata, key).get(keys.FIT_ID, ""))):
        words.append(f"Id of the fit: {fit_id}; the same cells, gene sets and settings give the same.")
    code: list[tuple[str, str]] = []
    if whole:
        words.append("Names of files stand for your own; gene sets are not kept in the fit.")
        code = [
            ("Python", again.python(adata, key)),
            ("Command line, the fit and this page", again.command(adata, key)),
        ]
    tables = [table_of(frame, "Settings", f"adata.uns[{key!r}]['params']")]
    return Section("again", "Settings, versions, and how to repeat it", words, tables, (), code)
