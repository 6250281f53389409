"""What was tried where the head to head is lost in planted activity, batches and clusters; other seeds and cells.

``python benchmarks/run.py lost``; its clusters read the results of ``python benchmarks/compare``.
"""

from __future__ import annotations

import sys
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import anndata as ad
import counts
import numpy as np
import pandas as pd
import scanpy as sc
from scipy.stats import spearmanr
from sklearn.cluster import KMeans
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import adjusted_rand_score, silhouette_score

import pathwayae as pae

sys.path.insert(1, str(Path(__file__).parent / "compare"))
import running
from contract import read_result
from tasks import embedding as task

SEEDS, NOISE = (20, 21, 22), (0.0, 0.3, 0.5)
SCALES = {"logarithm (default)": lambda x: x, "square root": lambda x: np.sqrt(np.expm1(x)), "none": np.expm1}
REAL = ("PBMC3k, Hallmark", "PBMC3k, PanglaoDB", "Baron, PanglaoDB", "Kang, Hallmark")
DONORS = ("101", "107")  # those of the head to head, left out here
FEWEST = 40  # cells of a type
CLUSTERED = ("pathwayae", "PCA", "ulm", "cNMF", "scVI", "expiMap hard", "MuVI")
QUIET = {"min_genes": counts.FEWEST_GENES, "progress": False}
Row = dict[str, Any]


# Planted activity.


def activity() -> list[Row]:
    """Correlation with the planted activity by the scale of expression, also of least squares on true loadings."""
    rows = []
    for scale, change in SCALES.items():
        found = [planted(change, noise, seed) for noise in NOISE for seed in SEEDS]
        rows.append({"expression": scale} | pd.DataFrame(found).median().round(3).to_dict() | real(change))
    return rows


def planted(change: Any, noise: float, seed: int) -> Row:
    adata = pae.datasets.simulate(1500, missing=noise, false=noise, random_state=seed)
    adata.X = change(adata.X.toarray())
    truth, label = adata.obsm["true_scores"], f"{noise:.0%}"
    pae.tl.fit(adata, "pathways", **QUIET)
    row = {label: correlation(pae.get.scores(adata), truth)}
    pae.tl.refine(adata, progress=False)
    refined = pae.get.refined(adata)
    pae.tl.fit(adata, refined, **QUIET)
    row[f"{label}, refined"] = correlation(pae.get.scores(adata), truth)
    if noise == 0.3:
        row["30%, refined, ranks"] = correlation(pae.get.scores(adata), truth, method="spearman")
        pae.tl.fit(adata, refined, settings=pae.tl.FitSettings(joint=True), **QUIET)
        row["30%, refined, joint"] = correlation(pae.get.scores(adata), truth)
    if noise == 0.0:
        values = adata.X - adata.X.mean(axis=0)
        spread = np.sqrt(values.std(axis=0)) + 1e-9
        true = adata.varm["true_loadings"].to_numpy() / spread[:, None]
        fitted = np.linalg.lstsq(true, (values / spread).T, rcond=None)[0].T
        row["true loadings, least squares"] = correlation(pd.DataFrame(fitted, truth.index, truth.columns), truth)
    return row


def correlation(scores: pd.DataFrame, truth: pd.DataFrame, method: Any = "pearson") -> float:
    return float(scores[list(truth)].corrwith(truth, method=method).mean())


def real(change: Any) -> Row:
    """The same scale on cells that defaults were chosen on: names, neighbours, and the worst cell type's response."""
    row = {}
    for key in REAL:
        data = counts.problem(key)
        data.adata.X = change(data.adata.X.toarray())
        pae.tl.fit(data.adata, data.sets, **QUIET)
        found = counts.counts(data, counts.Result(pae.get.scores(data.adata)))
        row |= {name if key in name else f"{key}, {name}": round(value, 3) for name, value in found.items()}
    return {name: value for name, value in row.items() if not name.endswith((" t", " rank", " mean"))}


def bent() -> list[Row]:
    """Sets that are right: coefficients against t-values of the same regressions, ours, and all of them bent to fit."""
    found = [curves(seed) for seed in SEEDS]
    return [
        {"score": name} | pd.DataFrame([one[name] for one in found]).median().round(3).to_dict() for name in found[0]
    ]


def curves(seed: int) -> dict[str, Row]:
    adata = pae.datasets.simulate(1500, missing=0.0, false=0.0, random_state=seed)
    truth, values = adata.obsm["true_scores"].to_numpy(), adata.X.toarray().astype(float)
    member = adata.varm["pathways"].to_numpy(float)
    n, p = member.shape
    centred, contrast = values - values.mean(axis=1, keepdims=True), member - member.mean(axis=0)
    single = centred @ contrast / (contrast**2).sum(axis=0)
    r = single * np.sqrt((contrast**2).sum(axis=0)) / np.linalg.norm(centred, axis=1)[:, None]
    design = np.column_stack([np.ones(n), member])
    all_at_once = np.linalg.lstsq(design, values.T, rcond=None)[0]
    error = np.sqrt(((values.T - design @ all_at_once) ** 2).sum(axis=0) / (n - p - 1))
    scores = {
        "a regression per set (ulm): coefficient": single,
        "a regression per set (ulm): t": r * np.sqrt((n - 2) / (1 - r**2)),
        "all sets at once (mlm): coefficient": all_at_once[1:].T,
        "all sets at once (mlm): over its error": (all_at_once[1:] / error).T,
    }
    for name, joint in (("ours", False), ("ours, joint", True)):
        pae.tl.fit(adata, "pathways", settings=pae.tl.FitSettings(joint=joint), **QUIET)
        scores[name] = pae.get.scores(adata)[list(adata.varm["pathways"])].to_numpy()
    return {name: shape(found, truth) for name, found in scores.items()}


def shape(scores: np.ndarray, truth: np.ndarray) -> Row:
    """Correlation with the truth; of ranks; and of the monotone curve of the score that goes with the truth best."""
    pairs = list(zip(scores.T, truth.T, strict=True))
    fitted = [IsotonicRegression().fit(z, t).predict(z) for z, t in pairs]
    return {
        "correlation": float(np.mean([np.corrcoef(z, t)[0, 1] for z, t in pairs])),
        "of ranks": float(np.mean([spearmanr(z, t)[0] for z, t in pairs])),
        "of the best monotone curve": float(
            np.mean([np.corrcoef(f, t)[0, 1] for f, t in zip(fitted, truth.T, strict=True)])
        ),
    }


# Batches.


def batches() -> list[Row]:
    """Six donors of Kang that the head to head does not mix, condition as batch."""
    data = counts.problem("Kang, PanglaoDB")
    whole = data.adata[~data.adata.obs["donor"].astype(str).isin(DONORS)]
    kinds = whole.obs["cell_type"].astype(str)
    whole = whole[kinds.map(kinds.value_counts()) >= FEWEST].copy()
    rows: dict[str, Row] = {}
    for kind, cells in {"even": whole, "biased": biased(whole)}.items():
        for name, embedding in embeddings(cells, data.sets).items():
            found = task.mixed(task.narrow(embedding), cells.obs)
            rows.setdefault(name, {"embedding": name})
            rows[name] |= {f"{kind}, {what}": round(found[what], 3) for what in ("mixing", "kNN")}
    return list(rows.values())


def biased(cells: ad.AnnData) -> ad.AnnData:
    """Without most B cells of one condition and most monocytes of the other, as in the head to head."""
    rng, out = np.random.default_rng(0), np.zeros(cells.n_obs, bool)
    for kind, condition in (("B cells", "stim"), ("CD14+ Monocytes", "ctrl")):
        inside = ((cells.obs["cell_type"] == kind) & (cells.obs["condition"] == condition)).to_numpy()
        out |= inside & (rng.random(cells.n_obs) < 0.9)
    return cells[~out].copy()


def embeddings(cells: ad.AnnData, sets: dict[str, list[str]]) -> dict[str, np.ndarray]:
    """Our scores, told of batches or not, before and after harmony with its ridge as it comes (1) and smaller."""

    def scores(**options: Any) -> np.ndarray:
        pae.tl.fit(cells, sets, **QUIET, **options)
        return np.asarray(cells.obsm["X_pae"], dtype=float)

    untold, told = scores(), scores(batch_key="condition")
    beside = scores(batch_key="condition", covariates=["cell_type"])
    values, member = cells.X.toarray(), np.column_stack([cells.var_names.isin(genes) for genes in sets.values()])
    means = (values - values.mean(axis=0)) / np.maximum(values.std(axis=0), 1e-9) @ (member / member.sum(axis=0))
    components = task.PCA(task.WIDTH, random_state=0).fit_transform(values)
    n = cells.uns["pae"]["n_pathways"]
    return {
        "as they are": untold,
        "batch_key": told,
        "batch_key, covariates=['cell_type']": beside,
        "harmony": harmony(untold, cells.obs),
        "harmony, theta=6": harmony(untold, cells.obs, theta=6),
        "harmony, lamb=0.1": harmony(untold, cells.obs, lamb=0.1),
        "pathways alone, harmony": harmony(untold[:, :n], cells.obs),
        "batch_key, harmony": harmony(told, cells.obs),
        "covariates, harmony": harmony(beside, cells.obs),
        "PCA, harmony": harmony(components, cells.obs),
        "PCA, harmony, lamb=0.1": harmony(components, cells.obs, lamb=0.1),
        "mean of z-scores, harmony": harmony(means, cells.obs),
        "mean of z-scores, harmony, lamb=0.1": harmony(means, cells.obs, lamb=0.1),
    }


def harmony(embedding: np.ndarray, obs: pd.DataFrame, **options: Any) -> np.ndarray:
    import harmonypy

    labels = pd.DataFrame({"batch": obs["condition"].astype(str).to_numpy()})
    narrow = task.narrow(embedding)
    return np.asarray(harmonypy.run_harmony(narrow, labels, "batch", verbose=False, random_state=0, **options).Z_corr)


# Clusters.


def clusters() -> list[Row]:
    """k-means on two donors of Kang: as scores are, components of equal spread, and within each condition."""
    ready, rows = running.Ready(), []
    obs = ready.read("small")[1]["obs"]
    fine, conditions = obs["cell_type"].astype(str).to_numpy(), obs["condition"].astype(str).to_numpy()
    for method in CLUSTERED:
        path = running.WORK / "results" / method.replace(" ", "_") / "small_0.npz"
        if not path.exists():
            continue
        embedding = task.narrow(read_result(path).scores)
        equal = (embedding - embedding.mean(axis=0)) / np.maximum(embedding.std(axis=0), 1e-9)
        row: Row = {"method": method}
        for name, kinds in (("coarse", np.array([task.coarse(kind) for kind in fine])), ("fine", fine)):
            groups = [conditions == one for one in np.unique(conditions)]
            row[f"{name}, as they are"] = agreement(embedding, kinds)
            row[f"{name}, equal spread"] = agreement(equal, kinds)
            row[f"{name}, within conditions"] = np.mean([agreement(embedding[own], kinds[own]) for own in groups])
            if find_spec("igraph"):
                row[f"{name}, Leiden"] = adjusted_rand_score(kinds, leiden(embedding))
        row["silhouette fine"] = silhouette_score(embedding, fine)
        row["silhouette fine, within"] = np.mean([silhouette_score(embedding[own], fine[own]) for own in groups])
        row["kNN fine"] = counts.neighbours(embedding, fine)
        row["kNN fine, equal spread"] = counts.neighbours(equal, fine)
        rows.append({name: value if name == "method" else round(float(value), 3) for name, value in row.items()})
    return rows


def agreement(embedding: np.ndarray, kinds: np.ndarray) -> float:
    """Adjusted Rand index of k-means with as many clusters as types."""
    found = KMeans(len(np.unique(kinds)), n_init=10, random_state=0).fit_predict(embedding)
    return float(adjusted_rand_score(kinds, found))


def leiden(embedding: np.ndarray) -> np.ndarray:
    """Clusters of scanpy's graph of 15 neighbours at resolution 1."""
    adata = ad.AnnData(obsm={"X": embedding.astype(np.float32)})
    sc.pp.neighbors(adata, use_rep="X", random_state=0)
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False, random_state=0)
    return adata.obs["leiden"].to_numpy()


# The page.

PARTS = {
    "Planted activity, by the scale of expression": (
        activity,
        "Simulations with the seeds 20–22 and the head to head's sizes: correlation of scores with the planted "
        "activity, mean over programs, median over seeds; *least squares* regresses the cells on the true loadings. "
        "Then names (coarse and fine), neighbours and IFN-α (AUROC, worst cell type) of the same fits on real cells.",
    ),
    "The same scores, bent": (
        bent,
        "Sets without noise, the same seeds. A t-value is a curve of its coefficient: what it gains is the curve.",
    ),
    "Batches": (
        batches,
        "Kang without the two donors of the head to head, PanglaoDB, condition as batch; metrics of T5. *even*: all "
        "cells; *biased*: 90 % of B cells out of one batch and of CD14+ monocytes out of the other.",
    ),
    "Clusters": (
        clusters,
        "T5's *small*. *as they are* is what is reported; *equal spread*: its 30 principal components divided "
        "by their standard deviation; *within conditions*: k-means in each of the two, mean; *Leiden*: at "
        "resolution 1 (where igraph is installed). Below, what equal spread costs in neighbours.",
    ),
}


def run() -> tuple[str, str, dict[str, list[Row]]]:
    """Title, text and figures."""
    warnings.simplefilter("ignore")
    figures, parts = {}, []
    for title, (work, about) in PARTS.items():
        figures[title] = work()
        table = pd.DataFrame(figures[title])
        if len(table.columns) > 9:  # more figures than a page is wide
            table = table.set_index(table.columns[0]).T.rename_axis("").reset_index()
        parts += [f"## {title}", about, table.to_markdown(index=False)]
    return "What was tried where figures are lost", "\n\n".join(parts), figures
