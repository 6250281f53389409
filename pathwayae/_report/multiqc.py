"""What MultiQC shows of a fit: columns of its general statistics, and a table of its own.

MultiQC takes a file for one section, so there are two: https://docs.seqera.io/multiqc/custom_content.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pathwayae import get
from pathwayae._report import groups
from pathwayae._slots import keys, lookup
from pathwayae._slots.leading import leading

if TYPE_CHECKING:
    from anndata import AnnData

ENDING = "_mqc.json"
LEVEL = 0.05
HEADERS: dict[str, dict[str, Any]] = {
    "n_cells": {"title": "Cells", "format": "{:,.0f}", "scale": "Blues"},
    "n_genes": {"title": "Genes", "description": "Genes in the model", "format": "{:,.0f}", "scale": "Blues"},
    "n_pathways": {"title": "Pathways", "format": "{:,.0f}", "scale": "Greens"},
    "n_dropped": {"title": "Dropped", "description": "Gene sets dropped before the fit", "format": "{:,.0f}"},
    "n_flagged": {"title": "Flagged", "description": "Pathways with a flag", "format": "{:,.0f}", "scale": "OrRd"},
    "matched": {
        "title": "Matched",
        "description": "Genes of a set in the model, median over sets",
        "suffix": " %",
        "min": 0,
        "max": 100,
        "scale": "RdYlGn",
    },
    "variance": {
        "title": "Variance",
        "description": "Explained by all components together",
        "suffix": " %",
        "min": 0,
        "max": 100,
        "scale": "Purples",
    },
    "n_used": {"title": "Used", "description": "Pathways found used by the cells", "format": "{:,.0f}"},
    "n_different": {
        "title": "Differ",
        "description": f"Comparisons of rank_pathways with adjusted p of {LEVEL} or less",
        "format": "{:,.0f}",
    },
    "leading": {"title": "Leading pathway", "description": "First of all pathways"},
}
GENERAL = ("n_cells", "n_pathways", "n_flagged", "variance", "n_different")


def names(path: Path) -> tuple[Path, Path]:
    """The file named, for the general statistics, and the one of the table beside it."""
    return path, path.with_name(f"{path.name.removesuffix(ENDING)}_pathwayae{ENDING}")


def records(adata: AnnData, key: str, sample: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """General statistics and the table, as MultiQC reads them."""
    figures = _figures(adata, key)
    about = "Pathway scores of single cells; the page written by pathwayae report has the details."
    headers = {name: HEADERS[name] | {"namespace": "pathwayae"} for name in GENERAL if name in figures}
    general = {
        "id": "pathwayae_general",
        "plot_type": "generalstats",
        "headers": headers,
        "pconfig": [{name: header} for name, header in headers.items()],  # of MultiQC before 1.24
        "data": {sample: {name: figures[name] for name in headers}},
    }
    table = {
        "id": "pathwayae",
        "section_name": "pathwayae",
        "description": about,
        "plot_type": "table",
        "pconfig": {"id": "pathwayae_table", "title": "pathwayae", "namespace": "pathwayae"},
        "headers": {name: header for name, header in HEADERS.items() if name in figures},
        "data": {sample: figures},
    }
    return general, table


def _figures(adata: AnnData, key: str) -> dict[str, Any]:
    """Numbers of a fit; those that it does not have are left out."""
    fit = lookup.fit_of(adata, key)
    found: dict[str, Any] = {"n_cells": adata.n_obs, "n_pathways": int(lookup.value(adata, key, keys.N_PATHWAYS))}
    if lookup.has(adata, "var", keys.scale(key)):
        scale = np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float)
        found["n_genes"] = int(np.isfinite(scale).sum())
    if keys.PATHWAYS in fit:
        table = get.pathways(adata, key=key)
        found |= {"n_dropped": len(fit.get(keys.DROPPED, ())), "n_flagged": int(table["flag"].astype(bool).sum())}
        if len(table):
            found["matched"] = round(100 * float((table["n_matched"] / table["n_genes"].clip(lower=1)).median()), 2)
        found["leading"] = leading(adata, key, 1).names[0][:200]
    if keys.RELEVANCE in fit or keys.REFINEMENT in fit:
        found["n_used"] = int((get.trust(adata, key=key)["verdict"] == "used").sum())
    if keys.VARIANCE_RATIO_TOTAL in fit:
        found["variance"] = round(100 * float(lookup.plain(fit[keys.VARIANCE_RATIO_TOTAL])), 2)
    if entries := groups.rank_names(adata, key):
        own = None if entries[0] == keys.RANK_PATHWAYS else entries[0]
        found["n_different"] = int((get.rank_pathways(adata, key_added=own, key=key)["padj"] <= LEVEL).sum())
    return {name: found[name] for name in HEADERS if name in found}
