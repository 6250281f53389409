"""Cells with gene sets, ways to score them, and six counts of how well that is done: for ``defaults.py`` and others.

Names, a response, genes, activity, embedding and concentration; what picks out which cells is in ``pairs.py``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import anndata as ad
import numpy as np
import pairs
import pandas as pd
import scanpy as sc
from scipy.stats import rankdata
from settings import gathered
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

import pathwayae as pae

DATA = Path(os.environ.get("PATHWAYAE_DATA", Path(__file__).parents[2] / "shared" / "data"))
COLLECTIONS = {
    "PanglaoDB": "PanglaoDB_markers_27_Mar_2020.gmt",
    "Reactome": "c2.cp.reactome.v7.5.1.symbols.gmt",
    "Hallmark": "h.all.v7.5.1.symbols.gmt",
    "KEGG": "c2.cp.kegg.v7.5.1.symbols.gmt",
    "GO": "GO_Biological_Process_2021.gmt",
}
FILES = {
    "PBMC3k": "pbmc3k_raw.h5ad",
    "Kang": "kang_ifnb_2000cells.h5ad",
    "Baron": "baron_human1_pancreas_2002genes.h5ad",
    "Kang 2": "kang_ifnb_2donors_1267genes.h5ad",
    "PBMC68k": None,  # comes with scanpy
}
LOOKED_AT = {  # cells, collection → pairs
    "PBMC3k, PanglaoDB": pairs.PBMC_PANGLAO,
    "PBMC3k, Reactome": pairs.PBMC_REACTOME,
    "PBMC3k, Hallmark": pairs.PBMC_HALLMARK,
    "PBMC3k, KEGG": pairs.PBMC_KEGG,
    "Kang, PanglaoDB": pairs.KANG_PANGLAO,
    "Baron, PanglaoDB": pairs.BARON_PANGLAO,
}
NOT_LOOKED_AT = {
    "PBMC3k, GO": pairs.PBMC_GO,
    "Kang 2, PanglaoDB": pairs.KANG2_PANGLAO,
    "PBMC68k, PanglaoDB": pairs.SORTED_PANGLAO,
}
NAMED = LOOKED_AT | NOT_LOOKED_AT
VARIABLE_ONLY = ("Reactome", "GO")  # of PBMC3k and Kang 2 000 variable genes; with other collections also their genes
RESPONSE, IFN = "Kang, Hallmark", "HALLMARK_INTERFERON_ALPHA_RESPONSE"
EMBEDDED = ("PBMC3k, PanglaoDB", "PBMC3k, Reactome", "PBMC3k, Hallmark", RESPONSE, "Baron, PanglaoDB")
CONCENTRATED = ("PBMC3k, Hallmark", "PBMC3k, Reactome", "PBMC3k, PanglaoDB")
SIMULATED = {"": {}, ", overlap": {"overlap": 0.3}}
CHOSEN_ON, REPORTED = (0, 1), (2, 3, 4)  # seeds
FEWEST_GENES = 5
PEERS = ("ulm", "mlm", "aucell")
WORKER = Path(__file__).with_name("peers_worker.py")


class Problem(NamedTuple):
    """Log-normalised, annotated cells, the genes of each set among theirs, and what a fit needs of the cells."""

    key: str
    adata: ad.AnnData
    sets: dict[str, list[str]]
    moments: pae.pp.Moments


class Result(NamedTuple):
    """Scores, cells × components; of a fit also the loadings of the pathways, their report and posteriors."""

    scores: pd.DataFrame
    loadings: np.ndarray | None = None
    pathways: pd.DataFrame | None = None
    posterior: np.ndarray | None = None


Method = Callable[[Problem], Result | None]
Figures = dict[str, float]


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve from ranks."""
    n = positive.sum()
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))


def neighbours(embedding: np.ndarray, labels: np.ndarray) -> float:
    """Balanced accuracy of the cell type of the 15 nearest neighbours, five folds."""
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    return balanced_accuracy_score(labels, cross_val_predict(KNeighborsClassifier(15), embedding, labels, cv=folds))


def read(name: str | None) -> ad.AnnData:
    """Log-normalised cells, genes seen in 10 cells or more, the 2 000 most variable ones marked."""
    if name is None:
        adata = sc.datasets.pbmc68k_reduced().raw.to_adata()  # log-normalised as it comes
        adata.obs["cell_type"] = adata.obs["bulk_labels"]
        return adata
    adata = sc.read_h5ad(DATA / "cells" / name)
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    return adata


def load(name: str, sets: pae.gs.GeneSetCollection) -> ad.AnnData:
    """Log-normalised cells; 2 000 highly variable genes and the genes of the sets, seen in 10 cells or more."""
    adata = read(name)
    return adata[:, adata.var["highly_variable"] | adata.var_names.isin(sets.genes)].copy()


@cache
def annotated(name: str) -> ad.AnnData:
    """Cells of ``FILES`` that have a cell type."""
    adata = read(FILES[name])
    return adata[adata.obs["cell_type"].notna()].copy()


@cache
def collection(name: str) -> pae.gs.GeneSetCollection:
    """Gene sets of ``COLLECTIONS``; of GO those of 10 to 500 genes."""
    sets = pae.gs.read_gmt(DATA / "genesets" / COLLECTIONS[name])
    return sets.filter(min_genes=10, max_genes=500) if name == "GO" else sets


def problem(key: str) -> Problem:
    """Cells and sets of ``"cells, collection"``, with the genes that go with them."""
    cells, name = key.split(", ")
    adata, sets = annotated(cells), collection(name)
    if cells in ("PBMC3k", "Kang"):
        chosen = adata.var["highly_variable"].to_numpy()
        adata = adata[:, chosen if name in VARIABLE_ONLY else chosen | adata.var_names.isin(sets.genes)]
    return _problem(key, adata.copy(), sets)


def simulation(seed: int, kind: str) -> Problem:
    """Planted programs, and sets that know them in part."""
    adata = pae.datasets.simulate(random_state=seed, **SIMULATED[kind])
    given = adata.varm["pathways"]
    return _problem(f"simulation {seed}{kind}", adata, {name: adata.var_names[given[name]] for name in given})


def _problem(key: str, adata: ad.AnnData, sets: Any) -> Problem:
    adata = adata[:, np.sort(adata.var_names)].copy()
    found = {name: [gene for gene in genes if gene in adata.var_names] for name, genes in sets.items()}
    kept = {name: genes for name, genes in found.items() if len(genes) >= FEWEST_GENES}
    return Problem(key, adata, kept, pae.pp.moments(adata, progress=False))


def membership(data: Problem) -> np.ndarray:
    """Genes × sets, boolean."""
    return np.column_stack([data.adata.var_names.isin(genes) for genes in data.sets.values()])


# Methods: from cells and sets to scores.


def fitted(data: Problem, **options: Any) -> Result:
    """Scores and loadings of ``pae.tl.fit``; with its defaults, what ``pae.tl.refine`` makes of simulated sets."""
    adata, shared = data.adata, {"moments": data.moments, "progress": False}
    pae.tl.fit(adata, data.sets, min_genes=FEWEST_GENES, **gathered(shared | options))
    loadings = adata.varm["pae_loadings"][:, : adata.uns["pae"]["n_pathways"]]
    result = Result(pae.get.scores(adata), loadings, pae.get.pathways(adata))
    if options or not data.key.startswith("simulation"):
        return result
    pae.tl.refine(adata, **shared)
    return result._replace(posterior=np.asarray(adata.varm["pae_posterior"]))


def mean(data: Problem, *, standard: bool = False) -> Result:
    """Mean of the genes of each set, as they are or each over its standard deviation."""
    values = np.asarray(data.adata.X.toarray(), dtype=np.float64)
    if standard:
        deviation = values.std(axis=0)
        values = (values - values.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    member = membership(data)
    scores = pd.DataFrame(values @ member / member.sum(axis=0), data.adata.obs_names, list(data.sets))
    return Result(scores, None if standard else member.astype(float))


def score_genes(data: Problem) -> Result:
    """``scanpy.tl.score_genes``, set by set."""
    columns, adata = {}, ad.AnnData(data.adata.X, var=data.adata.var[[]])
    for name, genes in data.sets.items():
        sc.tl.score_genes(adata, genes, score_name="score", use_raw=False)
        columns[name] = adata.obs["score"].to_numpy()
    return Result(pd.DataFrame(columns, data.adata.obs_names))


def peers(problems: Iterable[Problem], python: str) -> tuple[dict[str, dict[str, pd.DataFrame]], dict]:
    """Scores by method and data set, and what the worker says of itself; one process for all of them."""
    found: dict[str, dict[str, pd.DataFrame]] = {method: {} for method in PEERS}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for data in problems:
            cells, genes = data.adata.obs_names.to_numpy(str), data.adata.var_names.to_numpy(str)
            np.savez(folder / f"{data.key}.npz", x=data.adata.X.toarray(), cells=cells, genes=genes)
            net = pd.DataFrame([(name, gene) for name, genes in data.sets.items() for gene in genes])
            net.set_axis(["source", "target"], axis=1).to_csv(folder / f"{data.key}.csv", index=False)
        result = subprocess.run([python, str(WORKER), name], capture_output=True, text=True, check=False)
        if result.returncode:
            sys.exit(f"{WORKER.name} failed:\n{result.stderr}")
        for path in folder.glob("*.pkl"):
            key, method = path.stem.rsplit("_", 1)
            found[method][key] = pd.read_pickle(path)
    return found, json.loads(result.stdout.splitlines()[-1])


# Six counts.


def names(scores: pd.DataFrame, cell_types: np.ndarray, wanted: list[pairs.Pair]) -> tuple[float, float]:
    """Mean AUROC of the coarse pairs, and of the fine ones."""
    areas: dict[bool, list[float]] = {False: [], True: []}
    for pair in wanted:
        if pair.name in scores:
            more = np.isin(cell_types, pair.more)
            asked = more | (~more if pair.less is None else np.isin(cell_types, pair.less))
            areas[pair.fine].append(auroc(scores[pair.name].to_numpy()[asked], more[asked]))
    return float(np.mean(areas[False])), float(np.mean(areas[True]))


def response(scores: pd.DataFrame, obs: pd.DataFrame) -> Figures:
    """IFN-α of stimulated cells: AUROC within cell types, worst and mean; t over donors; rank of its shift."""
    stimulated, values = (obs["condition"] == "stim").to_numpy(), scores[IFN].to_numpy()
    groups = [
        g for g in obs.groupby("cell_type", observed=True).indices.values() if 4 < stimulated[g].sum() < len(g) - 4
    ]
    areas = [auroc(values[g], stimulated[g]) for g in groups]
    after, before = (
        scores[IFN][kept].groupby(obs["donor"][kept], observed=True).mean() for kept in (stimulated, ~stimulated)
    )
    difference = (after - before).to_numpy()
    shift = {
        name: np.mean([z[g][stimulated[g]].mean() - z[g][~stimulated[g]].mean() for g in groups]) / max(z.std(), 1e-12)
        for name, z in zip(scores, scores.to_numpy().T, strict=True)
    }
    return {
        "IFN-α, worst": min(areas),
        "IFN-α, mean": float(np.mean(areas)),
        "IFN-α, t": difference.mean() / difference.std(ddof=1) * len(difference) ** 0.5,
        "IFN-α, rank": 1 + sum(abs(value) > abs(shift[IFN]) for value in shift.values()),
    }


def precision(loadings: np.ndarray, adata: ad.AnnData) -> float:
    """Average precision of loadings for the true members, mean over programs."""
    true = adata.varm["true_loadings"].to_numpy() > 0
    return float(np.mean([average_precision_score(t, x) for t, x in zip(true.T, loadings.T, strict=True)]))


def activity(scores: pd.DataFrame, adata: ad.AnnData) -> Figures:
    """Mean over programs: AUROC of active cells, correlation with the truth, and that within cell types."""
    truth = adata.obsm["true_scores"]
    found = scores[list(truth)]
    types = adata.obs["cell_type"].to_numpy()
    inner = [table - table.groupby(types, observed=True).transform("mean") for table in (found, truth)]
    return {
        "active": float(np.mean([auroc(found[name].to_numpy(), truth[name].to_numpy() > 0) for name in truth])),
        "cor": float(found.corrwith(truth).mean()),
        "cor within": float(inner[0].corrwith(inner[1]).mean()),
    }


def embedded(embedding: np.ndarray, obs: pd.DataFrame) -> float:
    """Neighbours of the cells whose types the authors gave."""
    kept = (obs["cell_type_source"] == "deposited") if "cell_type_source" in obs else np.ones(len(obs), dtype=bool)
    return neighbours(np.asarray(embedding)[np.asarray(kept)], obs["cell_type"][kept].astype(str).to_numpy())


def counts(data: Problem, result: Result) -> Figures:
    """All figures that one data set answers for."""
    key, obs, figures = data.key, data.adata.obs, {}
    if key in NAMED:
        areas = names(result.scores, obs["cell_type"].astype(str).to_numpy(), NAMED[key])
        figures |= dict(zip((f"{key}, coarse", f"{key}, fine"), areas, strict=True))
    if key == RESPONSE:
        figures |= response(result.scores, obs)
    if key in EMBEDDED:
        figures[f"{key}, neighbours"] = embedded(result.scores.to_numpy(), obs)
    if key.startswith("simulation"):
        figures |= {f"{key}, {name}": value for name, value in activity(result.scores, data.adata).items()}
        if result.loadings is not None:
            figures[f"{key}, AP"] = precision(result.loadings, data.adata)
        if result.posterior is not None:
            figures[f"{key}, AP of refine"] = precision(result.posterior, data.adata)
    if key in CONCENTRATED and result.pathways is not None:
        figures[f"{key}, genes"] = float(result.pathways["n_effective"].median())
        figures[f"{key}, one gene"] = int((result.pathways["top_gene_share"] > 0.5).sum())
    return figures
