"""Error rates of ``pae.tl.refine`` where sets are silent: planted programs beside sets that no program stands behind.

``measured(QUICK)`` takes a minute, ``measured(FULL)`` five on two cores.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pathwayae as pae
from pathwayae.core.evidence import additions, association, calls
from pathwayae.core.evidence import refine as core
from pathwayae.core.trust import heldout

FDR = 0.05
SILENT = {0.0: (20, 0), 0.5: (20, 20), 0.8: (4, 16)}  # programs with sets, silent sets
GENES = {"independent": 0, "correlated blocks": 60, "cell types": 0}  # genes per program that no set knows, 0: none
MARKED, OVERLAP, TIMES, WEAK = 0.1, 0.9, 8.0, 0.15  # of "cell types", see `typed`
KINDS = ("random genes", "lowly expressed", "highly expressed")  # of silent sets, in turn
DECIDED = ("confirmed", "added", "dropped")
COLOURS = {"confirmed": "#0072B2", "added": "#E69F00", "dropped": "#7F7F7F"}


class Plan(NamedTuple):
    """Numbers of cells; seeds of every panel."""

    cells: tuple[int, ...]
    seeds: dict[int, int]


FULL = Plan((150, 500, 3000), {300: 8, 2000: 3})
QUICK = Plan((150, 1000), {300: 3})


class Simulated(NamedTuple):
    """Centred cells, mean and variance of the genes, the truth, and the sets."""

    x: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    true: np.ndarray
    given: np.ndarray


def simulated(n_cells: int, n_genes: int, silent: float, genes: str, seed: int) -> Simulated:
    """Programs with sets first, then silent sets; genes that do not vary are left out."""
    p, q = SILENT[silent]
    unknown = n_genes // GENES[genes] if GENES[genes] else 0
    adata = pae.datasets.simulate(n_cells, n_genes, p + unknown, n_silent=q, random_state=seed)
    x = typed(adata, seed) if genes == "cell types" else adata.X.toarray().astype(float)
    mean, variance = x.mean(axis=0), x.var(axis=0)
    x -= mean
    true, given = np.zeros((2, n_genes, p + q), dtype=bool)
    true[:, :p] = adata.varm["true_loadings"].to_numpy()[:, :p] > 0
    sets = adata.varm["pathways"].to_numpy().astype(bool)
    given[:, :p], given[:, p:] = sets[:, :p], sets[:, p + unknown :]
    by_mean = np.argsort(mean)
    pools = {"lowly expressed": by_mean[: n_genes // 2], "highly expressed": by_mean[-n_genes // 3 :]}
    rng = np.random.default_rng(seed)
    for j in range(p, p + q):
        if (pool := pools.get(KINDS[(j - p) % len(KINDS)])) is not None:
            size = min(int(given[:, j].sum()), 2 * len(pool) // 3)
            given[:, j] = False
            given[rng.choice(pool, size, replace=False), j] = True
    varies = variance > 0
    return Simulated(x[:, varies], mean[varies], variance[varies], true[varies], given[varies])


def typed(adata: ad.AnnData, seed: int) -> np.ndarray:
    """The cells with marker genes for every cell type, which hold most members of one program each.

    A tenth of the genes are markers of a type, expressed eight times as much in it; nine tenths of the members of one
    program are among them, and what this program does itself is weak: its activities are 0.15 times the others'. A set
    that follows its program then follows its type, and all other markers follow the set without belonging to it.
    """
    rng = np.random.default_rng([seed, 1])
    loadings, scores = adata.varm["true_loadings"].to_numpy(), adata.obsm["true_scores"].to_numpy().copy()
    types = adata.obs["cell_type"].cat.codes.to_numpy()
    programs = range(min(types.max() + 1, loadings.shape[1]))
    scores[:, programs] *= WEAK
    rate = scores @ loadings.T + adata.var["true_background"].to_numpy()
    for j in programs:
        members, others = np.flatnonzero(loadings[:, j]), np.flatnonzero(loadings[:, j] == 0)
        own = rng.choice(members, round(OVERLAP * len(members)), replace=False)
        markers = np.append(own, rng.choice(others, round(MARKED * len(loadings)), replace=False))
        rate[np.ix_(types == j, markers)] = TIMES * rate[np.ix_(types == j, markers)] + 0.5
    total = adata.layers["counts"].sum(axis=1).A1[:, None]
    counts = rng.poisson(rate / rate.sum(axis=1, keepdims=True) * total)
    return np.log1p(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4)


def decided(data: Simulated) -> tuple[np.ndarray, np.ndarray]:
    """Calls as ``pae.tl.refine`` makes them, and which sets are decided of."""
    prepared = association.prepare(data.x.T @ data.x)
    seen = association.visibility(prepared, data.mean, data.variance)
    strata = heldout.expression_strata(data.mean)
    auc = heldout.held_out_auc(prepared, data.given, strata=strata)
    carried = calls.carried(heldout.against_chance(prepared, data.given, auc, strata=strata).pvalue, FDR)
    views = association.association(prepared, data.given, even=True)
    result = additions.earned(core.refine(views, data.given, covariates=seen, apart=carried), data.given)
    rate = calls.GENES * FDR
    codes = calls.calls(
        data.given, result.posterior, evidence=result.evidence, fdr=rate, among=carried, drops=calls.DROPS
    )
    return codes, carried


def one(setting: tuple[int, int, float, str, int]) -> dict[str, float]:
    """Shares of wrong and of found ones of each kind, of one simulation."""
    data = simulated(*setting)
    codes, carried = decided(data)
    real = data.true.any(axis=0)
    row = dict(zip(("cells", "genes", "silent", "blocks", "seed"), setting, strict=True))
    row |= {"programs decided of": carried[real].mean()}
    silent = carried[~real]
    row |= {f"silent: {kind}": silent[i::3].mean() if len(silent) else np.nan for i, kind in enumerate(KINDS)}
    for name, right in zip(DECIDED, (data.true, data.true, ~data.true), strict=True):
        here = codes == calls.CALLS.index(name)
        possible = (right & (data.given if name != "added" else ~data.given))[:, real].sum()
        n = int(here.sum())
        row |= {f"{name}: n": n, f"{name}: wrong": (here & ~right).sum() / max(n, 1)}
        row |= {f"{name}: found": (here & right)[:, real].sum() / max(possible, 1)}
    return row


def settings(plan: Plan) -> list[tuple[int, int, float, str, int]]:
    """The longest first."""
    every = [
        (n, g, silent, genes, seed)
        for g, seeds in plan.seeds.items()
        for n, silent, genes, seed in itertools.product(plan.cells, SILENT, GENES, range(seeds))
    ]
    return sorted(every, key=lambda setting: -setting[0] * setting[1])


def measured(plan: Plan) -> pd.DataFrame:
    """Every simulation in a row, two at a time."""
    os.environ["OMP_NUM_THREADS"] = "1"
    with ProcessPoolExecutor(2) as pool:
        rows = pd.DataFrame(list(pool.map(one, settings(plan))))
    return rows.sort_values(["genes", "cells", "silent", "blocks", "seed"], ignore_index=True)


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Means over seeds in per cent, with the standard error of the shares of wrong ones."""
    groups = rows.groupby(["genes", "cells", "silent", "blocks"], sort=True)
    mean, error = groups.mean(numeric_only=True), groups.sem(numeric_only=True)
    table = pd.DataFrame({"programs decided of": (100 * mean["programs decided of"]).round()}, index=mean.index)
    for name in DECIDED:
        wrong, spread = 100 * mean[f"{name}: wrong"], 100 * error[f"{name}: wrong"]
        table[f"wrong {name}"] = [f"{m:.1f} ± {e:.1f}" for m, e in zip(wrong, spread, strict=True)]
        table[f"found, {name}"] = (100 * mean[f"{name}: found"]).round()
        table[f"n {name}"] = mean[f"{name}: n"].round()
    return table


def draw(rows: pd.DataFrame, file: Path) -> None:
    """Shares of wrong ones with two standard errors, one axis for each panel of genes."""
    panels = sorted(rows["genes"].unique())
    height = 1.4 + 0.25 * rows.groupby(["cells", "silent", "blocks"]).ngroups
    figure, axes = plt.subplots(1, len(panels), figsize=(2.0 + 3.4 * len(panels), height), sharey=True, squeeze=False)
    for ax, panel in zip(axes[0], panels, strict=True):
        groups = rows[rows["genes"] == panel].groupby(["cells", "silent", "blocks"], sort=True)
        mean, error = 100 * groups.mean(numeric_only=True), 200 * groups.sem(numeric_only=True)
        place = -np.arange(len(mean), dtype=float)
        for shift, name in zip((0.22, 0.0, -0.22), DECIDED, strict=True):
            column = f"{name}: wrong"
            ax.errorbar(
                mean[column], place + shift, xerr=error[column], fmt="o", ms=3.5, lw=1, color=COLOURS[name], label=name
            )
        ax.axvline(100 * FDR, color="black", lw=0.8, ls="--")
        ax.set(xlabel="wrong ones (%)", title=f"{panel} genes", xlim=(-0.5, None))
        ax.set_yticks(place, [f"{n} cells, {100 * silent:.0f} % silent, {genes}" for n, silent, genes in mean.index])
        ax.spines[["top", "right"]].set_visible(False)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, ncols=3, loc="lower center", fontsize="small")
    figure.tight_layout(rect=(0, 0.35 / height, 1, 1))
    figure.savefig(file, dpi=110)
    plt.close(figure)


def told(rows: pd.DataFrame, picture: str) -> str:
    """The table with what it says."""
    table = summary(rows)
    groups = rows.groupby(["genes", "cells", "silent", "blocks"])
    mean, error = groups.mean(numeric_only=True), groups.sem(numeric_only=True)
    typed_ones = mean.index.get_level_values("blocks") == "cell types"
    counts = []
    for where, those in (("independent or in blocks", ~typed_ones), ("with cell types", typed_ones)):
        above = [(mean.loc[those, f"{name}: wrong"] > FDR) for name in DECIDED]
        clearly = [(mean - 2 * error).loc[those, f"{name}: wrong"] > FDR for name in DECIDED]
        named = (
            f"{a.sum()} ({name}, by more than two standard errors in {b.sum()})"
            for name, a, b in zip(DECIDED, above, clearly, strict=True)
        )
        counts.append(
            f"of {those.sum()} settings {where}, more than {100 * FDR:.0f} % are wrong on average in "
            + ", ".join(named)
        )
    silent = rows[rows["silent"] > 0]
    kinds = ", ".join(f"{kind} {100 * silent[f'silent: {kind}'].mean():.2f} %" for kind in KINDS)
    return (
        "Programs that sets know in part (30 % missing, 30 % false) beside silent sets, which are of three kinds in "
        "turn: random genes, genes of the lower half of expression, of the upper third. *Correlated blocks*: programs "
        "that no set knows, one for 60 genes. *Cell types*: every type has marker genes, a tenth of all, eight times "
        "as high in it, and with them nine tenths of the members of one program, which itself does little; markers "
        "that are no members then follow the set as members do. Wrong: mean share of wrong ones among the genes of "
        f"each call ± its standard error over seeds, in %; {100 * FDR:.0f} are asked for; no call counts as none "
        "wrong. Found: share of the annotated members confirmed, of the members missing added, of the false ones "
        "dropped, in %.\n\n"
        f"{'; '.join(counts).capitalize()}. Silent sets that are decided of all the same: {kinds}.\n\n"
        f"![shares of wrong ones]({picture})\n\n{table.reset_index().to_markdown(index=False)}"
    )
