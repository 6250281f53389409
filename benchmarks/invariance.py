"""What must not change a score: seeds, which cells were there, what else was asked, when a descent ended.

And what a fit on all genes costs and how far its scores stay with their genes; time of the default and of a descent.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any
from unittest.mock import patch

import anndata as ad
import numpy as np
import pandas as pd
from archetypes_worker import forget_peak, resident
from counts import annotated, collection
from defaults import BEFORE
from scipy.stats import rankdata
from settings import gathered

import pathwayae as pae
from pathwayae.core.grouped import start
from pathwayae.core.grouped.encoder import expression_bins

MEMBERS, DESCENT = "members (default)", "projection as before"
METHODS: dict[str, dict[str, Any]] = {MEMBERS: {}, DESCENT: BEFORE}
CELLS = ("PBMC3k, Hallmark", "Kang, Hallmark", "Baron, PanglaoDB")
SEEDS = {MEMBERS: (3, start.NOISE), DESCENT: (20, start.NOISE), f"{DESCENT}, starts 10 % apart": (20, 0.1)}
DRAWS, SPLITS = 5, 2
COLLECTIONS, SIZES = ("PBMC3k, Reactome", "PBMC3k, PanglaoDB"), (5, 50, 250)
COLLECTION_DRAWS = 3
STEPS = (50, 200)
DESCENTS = {DESCENT: BEFORE, "projection": {"scores": "projection"}, "least squares": {"scores": "least_squares"}}
TURNS = {"PBMC3k, Hallmark": 5, "PBMC3k, Reactome": 3}
FEW_SETS = 6  # every so many sets of all for a descent on all genes, which would take hours with all
READING = (
    "The default draws nothing and no other pathway enters a score, so seeds and collections change nothing. What "
    "other cells change is below; a descent as it was before moves with all of them."
)
HIGH, LOW = 0.9, 0.6  # AUROC of a score, and of the members' own part


def variable(key: str) -> tuple[ad.AnnData, pae.gs.GeneSetCollection]:
    """Annotated cells and the 2 000 variable genes (all where there are hardly more), and the sets."""
    cells, name = key.split(", ")
    adata = annotated(cells)
    return adata[:, adata.var["highly_variable"]].copy() if cells != "Baron" else adata.copy(), collection(name)


def fit(adata: ad.AnnData, sets: Any, **options: Any) -> None:
    """``pae.tl.fit`` without its bars."""
    pae.tl.fit(adata, sets, min_genes=5, progress=False, **gathered(options))


def scores(adata: ad.AnnData) -> pd.DataFrame:
    """Scores of the pathways, without the free components."""
    return pae.get.scores(adata).iloc[:, : adata.uns["pae"]["n_pathways"]].astype(float)


def alike(first: pd.DataFrame, second: pd.DataFrame) -> np.ndarray:
    """Correlation of each score with the score of the same name; those that one of the fits lacks are left out."""
    shared = first.columns.intersection(second.columns)
    return first[shared].corrwith(second[shared]).fillna(0.0).to_numpy()


def worst(values: list[np.ndarray], quantile: float = 0.05) -> dict[str, float]:
    """Smallest correlation and a quantile."""
    together = np.concatenate(values)
    return {"worst": float(together.min()), f"{quantile:.0%} quantile": float(np.quantile(together, quantile))}


def seeds() -> list[dict[str, Any]]:
    """Other seeds against seed 0."""
    rows = []
    for key in CELLS:
        adata, sets = variable(key)
        moments = pae.pp.moments(adata, progress=False)
        for name, (n, noise) in SEEDS.items():
            found = []
            for seed in range(n):
                with patch.object(start, "NOISE", noise):
                    fit(adata, sets, moments=moments, random_state=seed, **METHODS[name.split(", ")[0]])
                found.append(scores(adata))
            rows.append({"cells, sets": key, "fit": name, "seeds": n} | worst([alike(found[0], z) for z in found[1:]]))
    return rows


def parts(n: int) -> Iterator[tuple[str, np.ndarray, np.ndarray | None]]:
    """Cells of a fit and those of the fit it is compared with: None for all cells."""
    rng = np.random.default_rng(0)
    for _ in range(DRAWS):
        yield "80 % against all", np.sort(rng.choice(n, round(0.8 * n), replace=False)), None
    for _ in range(SPLITS):
        order = rng.permutation(n)
        yield "half against half", np.sort(order[: n // 2]), np.sort(order[n // 2 :])


def scored(adata: ad.AnnData, sets: Any, cells: np.ndarray, options: dict[str, Any]) -> pd.DataFrame:
    """Scores of all cells from a fit to some of them."""
    some, every = adata[cells].copy(), ad.AnnData(adata.X, obs=adata.obs[[]], var=adata.var[[]])
    fit(some, sets, **options)
    pae.tl.transform(every, some, progress=False)
    return scores(every)


def cells() -> list[dict[str, Any]]:
    """Fits to some of the cells, scores of all cells."""
    rows = []
    for key in CELLS:
        adata, sets = variable(key)
        for name, options in METHODS.items():
            fit(adata, sets, **options)
            whole, found = scores(adata), {}
            for kind, first, second in parts(adata.n_obs):
                other = whole if second is None else scored(adata, sets, second, options)
                found.setdefault(kind, []).append(alike(scored(adata, sets, first, options), other))
            rows += [{"cells, sets": key, "fit": name, "cells of": kind} | worst(v) for kind, v in found.items()]
    return rows


def collections() -> list[dict[str, Any]]:
    """The score of a set fitted among few others against its score among all."""
    rows = []
    for key in COLLECTIONS:
        adata, sets = variable(key)
        moments = pae.pp.moments(adata, progress=False)
        for name, options in METHODS.items():
            fit(adata, sets, moments=moments, **options)
            whole, found = scores(adata), {}
            for draw in range(COLLECTION_DRAWS):
                order = np.random.default_rng(draw).permutation(whole.columns)
                for size in SIZES:
                    if size < len(order):
                        fit(adata, {s: sets[s] for s in order[:size]}, moments=moments, **options)
                        found.setdefault(size, []).append(alike(scores(adata), whole))
            rows += [
                {"cells, sets": key, "fit": name, "sets": size, "of": whole.shape[1]} | worst(values, 0.1)
                for size, values in found.items()
            ]
    return rows


def steps() -> list[dict[str, Any]]:
    """Descents ended earlier or later against 100 steps."""
    rows, (adata, sets) = [], variable(CELLS[0])
    moments = pae.pp.moments(adata, progress=False)
    for name, options in DESCENTS.items():
        fit(adata, sets, moments=moments, **options)
        whole = scores(adata)
        for n in STEPS:
            fit(adata, sets, moments=moments, max_iter=n, **options)
            rows.append({"cells, sets": CELLS[0], "fit": name, "steps": n} | worst([alike(scores(adata), whole)]))
    return rows


def areas(values: np.ndarray, types: np.ndarray) -> np.ndarray:
    """AUROC of every column for every cell type against the other cells, types × columns."""
    ranks, found = rankdata(values, axis=0), []
    for kind in np.unique(types):
        inside = types == kind
        n = inside.sum()
        found.append((ranks[inside].sum(axis=0) - n * (n + 1) / 2) / (n * (len(types) - n)))
    return np.array(found)


def own_part(adata: ad.AnnData) -> np.ndarray:
    """Plain mean of the members of each set, balanced over expression, from the genes and units of the fit."""
    used = np.isfinite(adata.var["pae_scale"].to_numpy())
    mean, scale = (adata.var[f"pae_{name}"].to_numpy()[used] for name in ("mean", "scale"))
    weights = adata.varm["pae_membership"][used].toarray().astype(float)
    each = pd.DataFrame(weights / weights.sum(axis=0))
    weights = (each - each.groupby(expression_bins(mean)).transform("mean")).to_numpy()
    return (adata.X[:, used] @ (weights / scale[:, None])) - (mean / scale) @ weights


def all_genes(name: str, every: int) -> dict[str, Any]:
    """One fit of PBMC3k and Reactome on all genes seen in 10 cells or more, in a process of its own."""
    warnings.filterwarnings("ignore", category=pae.DataWarning)
    adata, sets = annotated("PBMC3k").copy(), collection("Reactome")
    present = set(adata.var_names)
    kept = {s: genes for s, genes in sets.items() if len(present.intersection(genes)) >= 5}
    chosen = dict(list(kept.items())[::every])
    before = resident("VmRSS")
    forget_peak()
    begin, own = time.perf_counter(), time.process_time()
    fit(adata, chosen, **METHODS[name])
    wall, processor = time.perf_counter() - begin, time.process_time() - own
    peak = resident("VmHWM")
    report = pae.get.pathways(adata)
    types = adata.obs["cell_type"].astype(str).to_numpy()
    area = areas(scores(adata).to_numpy(), types)
    foreign = (area > HIGH) & (areas(own_part(adata), types) < LOW)
    return {
        "fit": name,
        "genes": adata.n_vars,
        "sets": len(report),
        "s": wall,
        "processor s": processor,
        "more memory, GB": (peak - before) / 1e9,
        "one gene": int((report["top_gene_share"] > 0.5).sum()),
        "effective genes, median": float(report["n_effective"].median()),
        "pairs above 0.9": int((area > HIGH).sum()),
        "of these, own part below 0.6": int(foreign.sum()),
    }


def on_all_genes() -> list[dict[str, Any]]:
    """All sets where that is possible, and the same sample of them for both fits."""
    rows = []
    for name, every in ((MEMBERS, 1), (MEMBERS, FEW_SETS), (DESCENT, FEW_SETS)):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            rows.append(pool.submit(all_genes, name, every).result())
        print(rows[-1], flush=True)
    return rows


def times() -> list[dict[str, Any]]:
    """The two fits in turns, medians over the turns."""
    rows = []
    for key, turns in TURNS.items():
        adata, sets = variable(key)
        found: dict[str, list[tuple[float, float]]] = {name: [] for name in METHODS}
        for _ in range(turns):
            for name, options in METHODS.items():
                begin, own = time.perf_counter(), time.process_time()
                fit(adata, sets, **options)
                found[name].append((time.perf_counter() - begin, time.process_time() - own))
        wall, processor = ({name: [t[i] for t in values] for name, values in found.items()} for i in (0, 1))
        for i, values in enumerate((wall, processor)):
            ratio = np.median(np.divide(values[MEMBERS], values[DESCENT]))
            medians = {f"{name}, s": float(np.median(v)) for name, v in values.items()}
            kind = ("wall", "processor")[i]
            rows.append({"cells, sets": key, "time": kind, "turns": turns} | medians | {"ratio": float(ratio)})
    return rows


TABLES = {
    "Seeds": (
        seeds,
        "Scores of other seeds against those of seed 0, 2 000 variable genes (Baron: all). The default draws nothing, "
        "so three seeds say it. With starts 10 % apart, as they were until 2026-11-26, a descent shows how much a "
        "start decides.",
    ),
    "Cells": (
        cells,
        "Fits to 80 % of the cells (5 draws) against the fit to all, and fits to two halves (2 splits) against each "
        "other; the scores compared are those of all cells under both fits.",
    ),
    "Collection": (
        collections,
        "The score of a set fitted with 5, 50 or 250 sets of a collection drawn at random (3 draws, nested) against "
        "its score in the fit of all of them.",
    ),
    "Steps": (
        steps,
        "Descents ended after 50 or 200 steps against 100. The default has no steps.",
    ),
    "All genes": (
        on_all_genes,
        "PBMC3k and Reactome on all genes seen in 10 cells or more, each fit in a process of its own; a descent with "
        "all sets would take hours, so both are also given every sixth set. *More memory*: largest resident memory "
        "during the fit less that before it. *Pairs*: a set and a cell type whose score tells the type from all "
        "others with an AUROC above 0.9; *own part*: the plain mean of the members, balanced over expression.",
    ),
    "Time": (
        times,
        "Both fits in turns on the same cells, 2 000 variable genes, medians over the turns; *ratio*: median of the "
        "ratios, default over descent. The processor was shared with other work, hence also processor seconds (of all "
        "threads).",
    ),
}


def report(figures: dict[str, list[dict[str, Any]]]) -> str:
    """Text and tables."""
    parts = [READING]
    for name, (_, text) in TABLES.items():
        table = pd.DataFrame(figures[name]).to_markdown(index=False, floatfmt=".4g", missingval="")
        parts += [f"## {name}", text, table]
    return "\n\n".join(parts)


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    warnings.filterwarnings("ignore", category=pae.DataWarning)
    figures = {}
    for name, (measure, _) in TABLES.items():
        begin = time.perf_counter()
        figures[name] = measure()
        print(f"{name}: {time.perf_counter() - begin:.0f} s", flush=True)
    return "What must not change a score", report(figures), figures
