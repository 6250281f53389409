"""``pae.tl.transform`` on cells that a fit has not seen: donors, cell types, fewer genes, other tissues and scales.

Kang PBMC, 8 donors, control and interferon beta, Hallmark, fitted without what is then transformed.
"""

from __future__ import annotations

import logging
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from defaults import DATA
from scipy.stats import mannwhitneyu

import pathwayae as pae

IFN, LARGE = "HALLMARK_INTERFERON_ALPHA_RESPONSE", 100
SHARES = (0.1, 0.2, 0.4, 0.6)
TOTALS = (2e3, 5e3, 2e4, 1e6)


def cells(name: str, total: float = 1e4) -> ad.AnnData:
    """Cells of a file, of 10 cells' genes, scaled to a total and as log1p."""
    adata = sc.read_h5ad(DATA / "cells" / name)
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=total)
    sc.pp.log1p(adata)
    return adata


def transformed(new: ad.AnnData, reference: ad.AnnData, **options) -> tuple[ad.AnnData | None, str]:
    """The cells with their scores, or nothing where they are refused, and what was told."""
    bare = ad.AnnData(new.X.copy(), obs=new.obs.copy(), var=new.var[[]].copy())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pae.DataWarning)
        try:
            pae.tl.transform(bare, reference, progress=False, **options)
        except ValueError as error:
            return None, f"refused: {error}"
    return bare, " ".join(str(one.message) for one in caught) or "–"


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    return float(mannwhitneyu(values[positive], values[~positive]).statistic / (positive.sum() * (~positive).sum()))


def left_out(kang: ad.AnnData, sets: pae.gs.GeneSetCollection) -> list[dict]:
    """The response of donors and of large cell types, by a fit that saw them and by one that did not."""
    stimulated, rows = (kang.obs["condition"] == "stim").to_numpy(), []
    for column in ("donor", "cell_type"):
        values = kang.obs[column].astype(str)
        for value in values.value_counts().loc[lambda n: n >= LARGE].index.sort_values():
            out = (values == value).to_numpy()
            reference = pae.tl.fit(kang[~out].copy(), sets, progress=False, copy=True)
            new, _ = transformed(kang[out], reference)
            seen = auroc(pae.get.scores(kang)[IFN].to_numpy()[out], stimulated[out])
            unseen = auroc(pae.get.scores(new)[IFN].to_numpy(), stimulated[out])
            rows.append(
                {"left out": f"{column} {value}", "cells": int(out.sum()), "seen": seen, "not seen": unseen}
                | {"difference": unseen - seen, "flagged": pae.get.unexplained(new)["unlike"].mean()}
            )
    return rows


def fewer_genes(kang: ad.AnnData) -> list[dict]:
    """Scores of the training cells where a share of the genes is gone, beside those of all genes."""
    order, rows = np.random.default_rng(0).permutation(kang.n_vars), []
    names = pae.get.component_names(kang)[: kang.uns["pae"]["n_pathways"]]
    full = pae.get.scores(kang)[names]
    for share in SHARES:
        new, told = transformed(kang[:, np.sort(order[int(share * len(order)) :])], kang)
        row = {"genes removed": share, "median correlation": np.nan, "worst": np.nan, IFN: np.nan}
        if new is not None:
            r = pae.get.scores(new)[names].corrwith(full)
            row |= {"median correlation": r.median(), "worst": r.min(), IFN: r[IFN]}
        rows.append(row | {"told": told})
    return rows


def strangers(kang: ad.AnnData) -> list[dict]:
    """Cells of other tissues, and the training cells on other scales."""
    rows = []

    def asked(what: str, new: ad.AnnData, **options) -> None:
        got, told = transformed(new, kang, **options)
        share = np.nan if got is None else pae.get.unexplained(got)["unlike"].mean()
        rows.append({"cells": what, "flagged": share, "told": told})

    pancreas = cells("baron_human1_pancreas_2002genes.h5ad")
    asked("pancreas (Baron)", pancreas)
    asked("pancreas, max_missing=1", pancreas, max_missing=1)
    asked("PBMC3k", cells("pbmc3k_raw.h5ad"))
    for total in TOTALS:
        asked(f"Kang, {total:,.0f} counts per cell", cells("kang_ifnb_2000cells.h5ad", total))
    counts = sc.read_h5ad(DATA / "cells" / "kang_ifnb_2000cells.h5ad")
    asked("Kang, counts", counts)
    plain = counts.copy()
    sc.pp.normalize_total(plain, target_sum=1e4)
    asked("Kang, no logarithm", plain)
    scaled = cells("kang_ifnb_2000cells.h5ad")
    sc.pp.scale(scaled, max_value=10)
    asked("Kang, z-scores", scaled)
    mouse = cells("kang_ifnb_2000cells.h5ad")
    mouse.var_names = mouse.var_names.str.capitalize()
    asked("Kang, symbols of mouse", mouse)
    return rows


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    logging.getLogger("pathwayae").setLevel(logging.ERROR)
    sets = pae.gs.read_gmt(DATA / "genesets" / "h.all.v7.5.1.symbols.gmt")
    kang = cells("kang_ifnb_2000cells.h5ad")
    sc.pp.highly_variable_genes(kang, n_top_genes=2000)
    kang = kang[:, kang.var["highly_variable"] | kang.var_names.isin(sets.genes)].copy()
    pae.tl.fit(kang, sets, progress=False)
    out, fewer, strange = left_out(kang, sets), fewer_genes(kang), strangers(kang)

    def shown(rows: list[dict]) -> str:
        table = pd.DataFrame(rows)
        return table.to_markdown(index=False, floatfmt=".4f", missingval="–")

    text = (
        f"Kang PBMC, {kang.n_obs} cells, {kang.n_vars} genes, Hallmark.\n\n"
        "## What was left out of the fit\n\nAUROC of the score of the response to interferon alpha for stimulated "
        "cells, among the cells left out, by a fit with them and by a fit without; the share of them that is flagged "
        f"as not described by the model. Donors and types of {LARGE} cells or more.\n\n{shown(out)}\n\n"
        "## Genes that are missing\n\nCorrelation over cells of each pathway's score with that of all genes.\n\n"
        f"{shown(fewer)}\n\n## Other tissues, other scales\n\n{shown(strange)}"
    )
    return "Cells that a fit has not seen", text, {"left out": out, "fewer genes": fewer, "strangers": strange}
