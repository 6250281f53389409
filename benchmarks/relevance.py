"""Is ``pae.tl.relevance`` calibrated where gene names say nothing, and does it find what is there? What it costs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import chain

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import scanpy as sc
from defaults import DATA
from run import FOLDER
from scipy.stats import false_discovery_control, kstest

import pathwayae as pae
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped import variances
from pathwayae.core.trust import relevance as core

GENES, SHUFFLES, SEEDS, DRAWS, REFITS = 3000, 20, 5, 1000, 99
LEVEL = 0.05
SETTINGS = {
    "30 % missing, 30 % false": {},
    "40 % missing, 40 % false": {"missing": 0.4, "false": 0.4},
    "1 500 shallow cells": {"n_cells": 1500, "depth": 1000.0},
    "1 500 shallow cells, 60 % missing, 60 % false": {
        "n_cells": 1500,
        "depth": 1000.0,
        "missing": 0.6,
        "false": 0.6,
    },
}


class Cells:
    """Correlations and bins of the genes of some cells, which serve any gene sets."""

    def __init__(self, adata: ad.AnnData) -> None:
        self.moments = pae.pp.moments(adata, progress=False)
        self.correlation = core.correlations(self.moments.standardize(scale=None))
        self.bins = core.matched_bins(self.moments.mean, self.moments.variance)

    def test(self, members: list[np.ndarray], seed: int = 0, draws: int = DRAWS) -> core.Significance:
        """What ``pae.tl.relevance`` does, without the cells left out."""
        null = np.array(list(core.null_coherence(self.correlation, members, self.bins, draws, seed)))
        return core.significance(core.coherence(self.correlation, members), null)


def kang(sets: pae.gs.GeneSetCollection) -> ad.AnnData:
    adata = sc.read_h5ad(DATA / "cells" / "kang_ifnb_2000cells.h5ad")
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=GENES)
    adata = adata[:, adata.var["highly_variable"]].copy()
    pae.tl.fit(adata, sets, min_genes=10, progress=False)
    return adata


def members_of(membership) -> list[np.ndarray]:
    dense = membership.toarray() if hasattr(membership, "toarray") else np.asarray(membership)
    return [np.flatnonzero(column) for column in dense.T]


def calibration(cells: Cells, members: list[np.ndarray]) -> dict[str, list[core.Significance]]:
    """Sets that say nothing: all gene names shuffled, which keeps overlaps; and every set drawn on its own."""
    g = len(cells.bins)
    shuffled, drawn = [], []
    for seed in range(SHUFFLES):
        rng = np.random.default_rng(1000 + seed)
        names = rng.permutation(g)
        shuffled.append(cells.test([np.sort(names[rows]) for rows in members], seed))
        drawn.append(cells.test([np.sort(rng.choice(g, len(rows), replace=False)) for rows in members], seed))
    return {"gene names shuffled": shuffled, "random sets": drawn}


def calibrated(results: dict[str, list[core.Significance]]) -> list[dict]:
    rows = []
    for name, runs in results.items():
        pval = np.concatenate([run.pval for run in runs])
        called = np.array([(run.padj <= LEVEL).mean() for run in runs])
        rows.append(
            {
                "sets": name,
                "p-values": len(pval),
                "called at FDR 5 %": called.mean(),
                "most in one run": called.max(),
                "runs with any": (called > 0).mean(),
                "p ≤ 0.05": (pval <= LEVEL).mean(),
                "p ≤ 0.01": (pval <= 0.01).mean(),
                "KS p": kstest(pval, "uniform").pvalue,
            }
        )
    return rows


def draw(results: dict[str, list[core.Significance]], real: core.Significance) -> None:
    """Observed against expected p, both axes logarithmic: the small ones decide."""
    figure, ax = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    runs = {name: np.concatenate([run.pval for run in of]) for name, of in results.items()}
    runs["Hallmark"] = real.pval
    for (name, pval), color in zip(runs.items(), ("#0072B2", "#E69F00", "#D55E00"), strict=True):
        expected = (np.arange(len(pval)) + 0.5) / len(pval)
        ax.plot(expected, np.sort(pval), ".", ms=4, color=color, label=f"{name} ({len(pval)} p-values)")
    ends = [1 / (DRAWS + 1), 1]
    ax.plot(ends, ends, color="#7F7F7F", lw=0.8, zorder=0)
    ax.axhline(ends[0], color="#7F7F7F", lw=0.8, ls=":", zorder=0)
    ax.set(xscale="log", yscale="log", xlabel="expected p", ylabel="observed p")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small")
    figure.savefig(FOLDER / "relevance.png", dpi=110)
    plt.close(figure)


def power() -> list[dict]:
    """Planted programs, known in part, beside as many sets that no program stands behind."""
    rows = []
    for name, options in SETTINGS.items():
        found, silent, planted = [], [], []
        for seed in range(SEEDS):
            adata = pae.datasets.simulate(n_silent=20, random_state=seed, **options)
            result = Cells(adata).test(members_of(adata.varm["pathways"]))
            true = ~adata.varm["pathways"].columns.str.startswith("silent")
            called = result.padj <= LEVEL
            found.append(called[true].mean())
            silent.append(called[~true].mean())
            planted.append(np.median(result.z[true]))
        figures = {"programs found": found, "silent sets called": silent, "median z of programs": planted}
        rows.append({"simulation": name, **{key: float(np.mean(values)) for key, values in figures.items()}})
    return rows


def refits() -> list[dict]:
    """Statistics of whole fits, each with every pathway replaced by a matched random set, beside coherence."""
    adata = pae.datasets.simulate(n_silent=20)
    true = ~adata.varm["pathways"].columns.str.startswith("silent")
    cells, membership = Cells(adata), adata.varm["pathways"].to_numpy().astype(bool)
    data, (g, p) = cells.moments.standardize(), membership.shape
    config = grouped.Config(theta=0.3, epsilon=0.0, l1_ratio=0.5, learning_rate=0.03, max_iter=100)
    rng = np.random.default_rng(0)

    def drawn() -> Iterator[np.ndarray]:
        for _ in range(REFITS):
            order = np.empty(g, dtype=np.intp)
            for b in np.unique(cells.bins):
                order[cells.bins == b] = rng.permutation(np.flatnonzero(cells.bins == b))
            yield membership[order]

    sets = list(chain([membership], drawn()))
    begin = time.perf_counter()
    problems = (grouped.Problem(data, one, np.ones(g, dtype=bool), p, config) for one in sets)
    values = []
    for one, fit in zip(sets, grouped.fit_many(problems), strict=True):
        unit = fit.loadings / np.linalg.norm(fit.loadings, axis=0)
        values.append(
            [
                (unit**2 * one).sum(axis=0),
                variances.variance_ratio(data.gram, unit),
                core.held_out(data, data, unit).unique,
                np.sum(fit.loadings**2, axis=0),
            ]
        )
    seconds = time.perf_counter() - begin
    names = [
        "squared loadings inside the set",
        "variance alone",
        "variance beyond all others",
        "length of the loadings",
    ]
    stacked = np.array(values)
    tests = {name: core.significance(stacked[0, i], stacked[1:, i]) for i, name in enumerate(names)}
    begin = time.perf_counter()
    tests["coherence (chosen)"] = cells.test(members_of(membership), draws=REFITS)
    took = time.perf_counter() - begin
    return [
        {
            "statistic": name,
            "null": "coherence" if "chosen" in name else "refits",
            "seconds": took if "chosen" in name else seconds,
            "programs found": float(np.mean(result.padj[true] <= LEVEL)),
            "silent sets called": float(np.mean(result.padj[~true] <= LEVEL)),
            "median z of programs": float(np.median(result.z[true])),
        }
        for name, result in tests.items()
    ]


def false_discoveries(real: core.Significance, shuffled: list[core.Significance]) -> float:
    """Share of shuffled sets among all that are called, the real sets tested together with shuffled ones."""
    shares = []
    for null in shuffled:
        called = false_discovery_control(np.concatenate([real.pval, null.pval])) <= LEVEL
        shares.append(called[len(real.pval) :].sum() / max(called.sum(), 1))
    return float(np.mean(shares))


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    sets = pae.gs.read_gmt(DATA / "genesets" / "h.all.v7.5.1.symbols.gmt")
    adata = kang(sets)
    begin, busy = time.perf_counter(), time.process_time()
    pae.tl.relevance(adata, sample_key="donor", n_null=DRAWS, progress=False)
    seconds, busy = time.perf_counter() - begin, time.process_time() - busy
    cells, members = Cells(adata), members_of(adata.varm["pae_membership"])
    begin = time.perf_counter()
    real = cells.test(members)
    alone = time.perf_counter() - begin
    results = calibration(cells, members)
    draw(results, real)
    null, found, others = calibrated(results), power(), refits()
    mixed = false_discoveries(real, results["gene names shuffled"])
    names = pae.get.component_names(adata)[: len(members)]
    ranked = sorted((-z, name) for z, name, padj in zip(real.z, names, real.padj, strict=True) if padj <= LEVEL)
    top = ", ".join(f"{name.removeprefix('HALLMARK_')} ({-z:.1f})" for z, name in ranked[:8])

    def table(rows: list[dict]) -> str:
        return pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3g")

    text = (
        f"Kang PBMC, {adata.n_obs} cells, {adata.n_vars} highly variable genes, {len(members)} Hallmark sets; "
        f"coherence against {DRAWS} matched random sets. {len(ranked)} sets are found at FDR 5 %, first (z): {top}. "
        f"`pae.tl.relevance` with its five fits for cells left out took {seconds:.1f} s ({busy:.1f} s of processor "
        f"time, which a busy machine does not change as much), the random sets alone {alone:.1f} s.\n\n"
        f"## Calibration\n\n{SHUFFLES} runs each on the same cells; p is uniform as it should be where `KS p` is not "
        f"small.\n\n{table(null)}\n\nHallmark sets tested together with the same sets of shuffled names: "
        f"{100 * mixed:.1f} % of those called are shuffled ones.\n\n"
        "![observed against expected p](relevance.png)\n\n"
        f"## Power\n\nSimulated cells with 20 programs and 20 silent sets, means over seeds 0 to {SEEDS - 1}.\n\n"
        f"{table(found)}\n\n"
        f"## Refits as null\n\nThe first simulation, seed 0: {REFITS} fits with all pathways replaced by matched "
        "random sets, and statistics of the fitted pathway. A fit leaves false members out and moves to what varies in "
        "the cells whatever set it starts from, so its loadings tell real sets from random ones less than the set "
        "itself does. (Real sets, which hold false members, keep less of their loadings inside than random ones.)\n\n"
        f"{table(others)}"
    )
    figures = {
        "calibration": null,
        "power": found,
        "refits": others,
        "seconds": seconds,
        "processor seconds": busy,
        "seconds of random sets": alone,
        "mixed": mixed,
    }
    return "Relevance: coherence against matched random sets", text, figures
