"""The problems of all tasks: cells and sets as peers get them, and the truth, which they do not.

The cells are log-normalised counts of the data sets of ``counts.py``, with the genes that go with the sets there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import anndata as ad
import counts
import numpy as np
import pandas as pd
import scanpy as sc
import scipy.sparse as sp
from contract import Problem

import pathwayae as pae

FEWEST_GENES = 5
IFN = "HALLMARK_INTERFERON_ALPHA_RESPONSE"
LEFT_DONORS, LEFT_TYPE = ("101", "1488"), "B cells"
SEEDS = (2, 3, 4)  # the defaults were chosen on the seeds 0 and 1
NOISE = {0.0: SEEDS[:1], 0.1: SEEDS[:1], 0.3: SEEDS, 0.5: SEEDS[:1]}  # planted
REAL_NOISE = {0.1: SEEDS[:1], 0.3: SEEDS[:1], 0.5: SEEDS[:1]}
FOLDS = range(3)  # of five
DELETED = (5, 10, 15)
SUBSAMPLES = range(2)
SIZES = (1_000, 3_000, 10_000, 100_000)
SET_COUNTS = (50, 500, 5_000)
GIVEN = {  # file of the counts by data set of ``counts.py``
    name: file for name, file in counts.FILES.items() if file is not None
}


class Made(NamedTuple):
    """A problem, and what the runner keeps to itself: ``obs`` of all cells, those new ones among them, and more."""

    problem: Problem
    truth: dict[str, Any]


def with_counts(key: str) -> tuple[ad.AnnData, dict[str, list[str]]]:
    """Cells and sets of ``"cells, collection"`` (``counts.problem``), the counts in a layer where there are any."""
    data = counts.problem(key)
    file = GIVEN.get(key.split(", ")[0])
    if file is not None:
        raw = sc.read_h5ad(counts.DATA / "cells" / file)
        data.adata.layers["counts"] = sp.csr_matrix(raw[data.adata.obs_names, data.adata.var_names].X)
    return data.adata, data.sets


def made(cells: ad.AnnData, sets: dict[str, list[str]], *, new: ad.AnnData | None = None,
         batch: str | None = None, **truth: Any) -> Made:  # fmt: skip
    """Peers see expression, counts and, where there are any, batches."""

    def bare(adata: ad.AnnData) -> ad.AnnData:
        obs = pd.DataFrame(index=adata.obs_names)
        if batch is not None:
            obs["batch"] = adata.obs[batch].astype(str).to_numpy()
        layers = {"counts": sp.csr_matrix(adata.layers["counts"], dtype=np.float32)} if "counts" in adata.layers else {}
        x = sp.csr_matrix(adata.X, dtype=np.float32)
        return ad.AnnData(x, obs=obs, var=pd.DataFrame(index=adata.var_names), layers=layers)

    kept = {name: sorted(genes) for name, genes in sets.items() if len(genes) >= FEWEST_GENES}
    problem = Problem(bare(cells), kept, None if new is None else bare(new))
    return Made(problem, {"obs": cells.obs, "new_obs": None if new is None else new.obs} | truth)


def response() -> Made:
    return made(*with_counts(counts.RESPONSE))


def left_out(what: str) -> Made:
    """Learnt without two donors, or without a cell type, which come as new cells."""
    cells, sets = with_counts(counts.RESPONSE)
    out = cells.obs["donor"].astype(str).isin(LEFT_DONORS) if what == "donors" else cells.obs["cell_type"] == LEFT_TYPE
    return made(cells[~out.to_numpy()].copy(), sets, new=cells[out.to_numpy()].copy())


def planted(noise: float, seed: int, **options: Any) -> Made:
    cells = pae.datasets.simulate(n_cells=1500, missing=noise, false=noise, random_state=seed, **options)
    given = cells.varm["pathways"]
    sets = {name: cells.var_names[given[name]].tolist() for name in given}
    truth = {"loadings": cells.varm["true_loadings"], "scores": cells.obsm["true_scores"]}
    return made(cells, sets, **truth)


def corrupted(noise: float, seed: int) -> Made:
    """Hallmark sets on Kang with a share of members hidden, and as large a share of false ones added."""
    cells, sets = with_counts(counts.RESPONSE)
    rng, given = np.random.default_rng(seed), {}
    for name, genes in sets.items():
        others = np.setdiff1d(cells.var_names, genes)
        kept = rng.choice(sorted(genes), len(genes) - round(noise * len(genes)), replace=False)
        given[name] = [*kept, *rng.choice(others, round(noise * len(kept)), replace=False)]
    return made(cells, given, true=sets)


def fold(key: str, number: int) -> Made:
    """A fifth of the genes of every set hidden; sets with fewer than 10 genes are left as they are."""
    cells, sets = with_counts(key)
    given, hidden = hide(sets, number)
    return made(cells, given, hidden=hidden)


def hide(sets: dict[str, list[str]], number: int) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The sets without their fold, and what is in it."""
    given, hidden = {}, {}
    for name, genes in sets.items():
        order = np.random.default_rng(abs(hash_of(name))).permutation(sorted(genes))
        out = order[number::5] if len(genes) >= 10 else order[:0]
        given[name] = [gene for gene in genes if gene not in set(out)]
        hidden[name] = list(out)
    return given, hidden


def small() -> Made:
    """Two donors of Kang, 1 556 cells × 1 267 genes with the authors' labels, sets of Hallmark and PanglaoDB."""
    cells, sets = with_counts("Kang 2, PanglaoDB")
    hallmark = {name: [gene for gene in genes if gene in cells.var_names] for name, genes in
                counts.collection("Hallmark").items()}  # fmt: skip
    return made(cells, sets | hallmark, pairs=counts.NAMED["Kang 2, PanglaoDB"])


def small_fold() -> Made:
    """The same with a fifth of the genes of every set hidden."""
    whole = small()
    given, hidden = hide(whole.problem.sets, 0)
    return Made(whole.problem._replace(sets=given), whole.truth | {"hidden": hidden})


def hash_of(name: str) -> int:
    """The same number for the same name in every process."""
    return int.from_bytes(name.encode()[-8:], "little") % 2**31


def deleted(number: int) -> Made:
    """The genes of IFN-α that stimulation moves most (t over cells) taken out of every set that has them."""
    cells, sets = with_counts(counts.RESPONSE)
    stimulated = (cells.obs["condition"] == "stim").to_numpy()
    values = cells[:, sets[IFN]].X.toarray()
    a, b = values[stimulated], values[~stimulated]
    t = (a.mean(0) - b.mean(0)) / np.sqrt(a.var(0) / len(a) + b.var(0) / len(b) + 1e-12)
    out = [sets[IFN][i] for i in np.argsort(-t)[:number]]
    given = {name: [gene for gene in genes if gene not in out] for name, genes in sets.items()}
    return made(cells, given, hidden={IFN: out})


def named(key: str) -> Made:
    return made(*with_counts(key), pairs=counts.NAMED[key])


def batches(*, biased: bool, told: bool) -> Made:
    """Two donors of Kang, condition as batch; biased: two cell types mostly in one batch each."""
    cells, sets = with_counts("Kang 2, PanglaoDB")
    if biased:
        rng = np.random.default_rng(0)
        out = np.zeros(cells.n_obs, bool)
        for kind, condition in (("B cells", "stim"), ("CD14+ Monocytes", "ctrl")):
            inside = ((cells.obs["cell_type"] == kind) & (cells.obs["condition"] == condition)).to_numpy()
            out |= inside & (rng.random(cells.n_obs) < 0.9)
        cells = cells[~out].copy()
    return made(cells, sets, batch="condition" if told else None)


def subsample(seed: int) -> Made:
    cells, sets = with_counts(counts.RESPONSE)
    chosen = np.sort(np.random.default_rng(seed).choice(cells.n_obs, int(0.8 * cells.n_obs), replace=False))
    return made(cells[chosen].copy(), sets)


def silent(seed: int) -> Made:
    """20 programs, their sets with 30 % noise, and 20 sets that no program stands behind."""
    return planted(0.3, seed, n_silent=20)


def size(n_cells: int, n_sets: int) -> Made:
    """Cells with 50 planted programs; more sets than these are random ones of 40 genes."""
    cells = pae.datasets.simulate(n_cells=n_cells, n_genes=2000, n_programs=50, random_state=2)
    given, rng = cells.varm["pathways"], np.random.default_rng(0)
    sets = {name: cells.var_names[given[name]].tolist() for name in given}
    sets |= {f"random_{i}": rng.choice(cells.var_names, 40, replace=False).tolist() for i in range(n_sets - 50)}
    return made(cells, sets)


NAMED = {f"names {key}": key for key in counts.NAMED}
BUILD: dict[str, Callable[[], Made]] = {
    "kang": response,
    "kang left donors": lambda: left_out("donors"),
    "kang left type": lambda: left_out("type"),
    **{f"planted {noise} {seed}": lambda n=noise, s=seed: planted(n, s)
       for noise, seeds in NOISE.items() for seed in seeds},
    **{f"corrupted {noise} {seed}": lambda n=noise, s=seed: corrupted(n, s)
       for noise, seeds in REAL_NOISE.items() for seed in seeds},
    **{f"fold Hallmark {i}": lambda i=i: fold(counts.RESPONSE, i) for i in FOLDS},
    **{f"fold Reactome {i}": lambda i=i: fold("PBMC3k, Reactome", i) for i in FOLDS},
    **{f"deleted {n}": lambda n=n: deleted(n) for n in DELETED},
    **{name: lambda key=key: named(key) for name, key in NAMED.items()},
    "small": small,
    "small fold": small_fold,
    **{f"batches {kind} {told}": lambda k=kind, t=told: batches(biased=k == "biased", told=t == "told")
       for kind in ("even", "biased") for told in ("told", "untold")},
    **{f"subsample {seed}": lambda s=seed: subsample(s) for seed in SUBSAMPLES},
    **{f"silent {seed}": lambda s=seed: silent(s) for seed in SEEDS},
    **{f"size {n} 50": lambda n=n: size(n, 50) for n in SIZES},
    **{f"size 1000 {n}": lambda n=n: size(1000, n) for n in SET_COUNTS[1:]},
}  # fmt: skip
