"""Error rates of ``pae.tl.refine`` where sets are silent: planted programs beside sets that no program stands behind.

``measured(QUICK)`` takes a minute, ``measured(FULL)`` five on two cores.
"""

from __future__ import annotations

import itertools
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import pathwayae as pae
from pathwayae.core.evidence import association, calls
from pathwayae.core.evidence import refine as core
from pathwayae.core.trust import heldout

FDR = 0.05
SILENT = {0.0: (20, 0), 0.5: (20, 20), 0.8: (4, 16)}  # programs with sets, silent sets
GENES = {"independent": 0, "correlated blocks": 60}  # one program that no set knows for as many genes, 0 for none
KINDS = ("random genes", "lowly expressed", "highly expressed")  # of silent sets, in turn
DECIDED = ("confirmed", "added", "dropped")
FOLLOWS = 2.0  # t of a member's regression on the true activities, from which on the cells show it
COLOURS = {"confirmed": "#0072B2", "added": "#E69F00", "dropped": "#7F7F7F"}


class Plan(NamedTuple):
    """Numbers of cells; seeds of every panel."""

    cells: tuple[int, ...]
    seeds: dict[int, int]


FULL = Plan((150, 500, 3000), {300: 8, 2000: 3})
QUICK = Plan((150, 1000), {300: 3})


class Simulated(NamedTuple):
    """Centred cells, mean and variance of the genes, the truth, the sets, and which members the cells show."""

    x: np.ndarray
    mean: np.ndarray
    variance: np.ndarray
    true: np.ndarray
    given: np.ndarray
    shown: np.ndarray


def simulated(n_cells: int, n_genes: int, silent: float, genes: str, seed: int) -> Simulated:
    """Programs with sets first, then silent sets; genes that do not vary are left out."""
    p, q = SILENT[silent]
    unknown = n_genes // GENES[genes] if GENES[genes] else 0
    adata = pae.datasets.simulate(n_cells, n_genes, p + unknown, n_silent=q, random_state=seed)
    x = adata.X.toarray().astype(float)
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
    scores = adata.obsm["true_scores"].to_numpy()
    shown = np.zeros_like(true)
    shown[:, :p] = followed(x, scores - scores.mean(axis=0))[:, :p] > FOLLOWS
    varies = variance > 0
    return Simulated(x[:, varies], mean[varies], variance[varies], true[varies], given[varies], shown[varies])


def followed(x: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """t-values of the regression of every gene on the true activities, genes × programs."""
    inverse = np.linalg.pinv(scores.T @ scores)
    slopes = inverse @ (scores.T @ x)
    rest = ((x - scores @ slopes) ** 2).sum(axis=0) / max(len(x) - scores.shape[1] - 1, 1)
    error = np.sqrt(np.diag(inverse)[:, None] * rest)
    return np.divide(slopes, error, out=np.zeros_like(slopes), where=error > 0).T


def decided(data: Simulated) -> tuple[np.ndarray, np.ndarray]:
    """Calls as ``pae.tl.refine`` makes them, and which sets are decided of."""
    prepared = association.prepare(data.x.T @ data.x)
    seen = association.visibility(prepared, data.mean, data.variance)
    strata = heldout.expression_strata(data.mean)
    auc = heldout.held_out_auc(prepared, data.given, strata=strata)
    carried = calls.carried(heldout.against_chance(prepared, data.given, auc, strata=strata).pvalue, FDR)
    views = association.association(prepared, data.given, even=True)
    result = core.refine(views, data.given, covariates=seen, apart=carried)
    rate = calls.GENES * FDR
    return calls.calls(data.given, result.posterior, evidence=result.evidence, fdr=rate, among=carried), carried


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
    row["dropped: shown"] = ((codes == calls.DROPPED) & data.shown).sum() / max(row["dropped: n"], 1)
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
        if name == "dropped":
            table["of these shown"] = (100 * mean["dropped: shown"]).round(1)
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
            column = "dropped: shown" if name == "dropped" else f"{name}: wrong"
            label = "dropped, of members the cells show" if name == "dropped" else name
            ax.errorbar(
                mean[column], place + shift, xerr=error[column], fmt="o", ms=3.5, lw=1, color=COLOURS[name], label=label
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
    wrong = rows.groupby(["genes", "cells", "silent", "blocks"]).mean(numeric_only=True)
    above = {name: int((wrong[f"{name}: wrong"] > FDR).sum()) for name in DECIDED}
    shown = int((wrong["dropped: shown"] > FDR).sum())
    silent = rows[rows["silent"] > 0]
    kinds = ", ".join(f"{kind} {100 * silent[f'silent: {kind}'].mean():.2f} %" for kind in KINDS)
    return (
        "Programs that sets know in part (30 % missing, 30 % false) beside silent sets, which are of three kinds in "
        "turn: random genes, genes of the lower half of expression, of the upper third. *Correlated blocks*: programs "
        "that no set knows, one for 60 genes. Wrong: mean share of wrong ones among the genes of each call ± "
        f"its standard error over seeds, in %; {100 * FDR:.0f} are asked for; no call counts as none wrong. Found: "
        "share of the annotated members confirmed, of the members missing added, of the false ones dropped, in %. *Of "
        "these shown*: dropped members that follow their program in these cells, t > 2 in the regression of the gene "
        "on the true activities; the other members look like none to whoever knows the activities.\n\n"
        f"Of {len(table)} settings, more than {100 * FDR:.0f} % are wrong on average in {above['confirmed']} "
        f"(confirmed), {above['added']} (added), {above['dropped']} (dropped), {shown} (dropped, of members that "
        f"the cells show). Silent sets that are decided of all the same: {kinds}.\n\n"
        f"![shares of wrong ones]({picture})\n\n{table.reset_index().to_markdown(index=False)}"
    )
