"""T1: the response to interferon."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from problems import IFN
from results import Get, auroc

TITLE = "T1 Response to a condition"
TEXT = """\
Kang et al.: PBMC of 8 donors, control and interferon β (2 000 cells), Hallmark.
- *worst*, *mean*: AUROC of the IFN-α score for stimulated against control cells, within each cell type with more
  than 4 cells of either kind; the smallest and the mean over cell types.
- *t*: paired t over the 8 donors of the mean IFN-α score, stimulated less control.
- *unrelated*: the shift of a set is the mean over cell types of stimulated less control, in standard deviations of
  its score; share of the sets with less than 5 % of their genes in IFN-α or IFN-γ whose shift is at least a quarter
  of IFN-α's in size. Less is better.
- *donors, sign* and *rank*: the shifts of all sets within every donor (cell types with 5 cells or more of either
  kind); over all pairs of donors, the share of sets whose shifts have the same sign, and the Spearman correlation
  of shifts.
- *left-out donors*, *type*: mean AUROC within cell types of IFN-α for two donors, or for all B cells, that the
  method did not learn from. Methods without a way to score new cells have none.
- *small*: two donors with the authors' labels (1 556 cells × 1 267 genes), Hallmark and PanglaoDB, where trained
  methods run too."""
PROBLEMS = ("small", "kang", "kang left donors", "kang left type")
QUICK, TRAINED, SEEDED = ("small",), ("small",), ()
HEADLINES = {
    "worst": True, "mean": True, "t": True, "unrelated": False, "donors, sign": True, "donors, rank": True,
    "left-out donors": True, "left-out type": True, "small, worst": True, "small, mean": True,
    "small, unrelated": False,
}  # fmt: skip
OURS = "pathwayae"
LEAST_CELLS = 5


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    whole = get("kang")
    if whole and whole.found is not None:
        scores, obs = whole.found.scores, whole.truth["obs"]
        figures = {what: [value] for what, value in basic(whole).items()} | {"t": [paired(scores[IFN], obs)]}
        figures |= dict(zip(("donors, sign", "donors, rank"), agreement(scores, obs), strict=True))
    part = get("small")
    if part and part.found is not None:
        figures |= {f"small, {what}": [value] for what, value in basic(part).items()}
    for name, problem in {"left-out donors": "kang left donors", "left-out type": "kang left type"}.items():
        left = get(problem)
        if left and left.found is not None and left.found.new is not None:
            figures[name] = [float(np.mean(within(left.found.new[IFN], left.truth["new_obs"])))]
    return figures


def basic(solved) -> dict[str, float]:
    scores, obs = solved.found.scores, solved.truth["obs"]
    areas, shift = within(scores[IFN], obs), shifts(scores, obs)
    others = [name for name in unrelated(solved.problem.sets) if name in shift]
    return {
        "worst": min(areas),
        "mean": float(np.mean(areas)),
        "unrelated": float((shift[others].abs() >= abs(shift[IFN]) / 4).mean()),
    }


def groups(obs: pd.DataFrame, least: int) -> list[np.ndarray]:
    """Cells of every cell type with so many stimulated and so many control cells."""
    stimulated = (obs["condition"] == "stim").to_numpy()
    parts = obs["cell_type"].astype(str).groupby(obs["cell_type"].astype(str).to_numpy()).indices.values()
    return [g for g in parts if min(stimulated[g].sum(), (~stimulated[g]).sum()) >= least]


def within(score: pd.Series, obs: pd.DataFrame) -> list[float]:
    stimulated, values = (obs["condition"] == "stim").to_numpy(), score.to_numpy()
    return [auroc(values[g], stimulated[g]) for g in groups(obs, LEAST_CELLS)]


def shifts(scores: pd.DataFrame, obs: pd.DataFrame) -> pd.Series:
    """Mean over cell types of stimulated less control, in standard deviations of all cells."""
    stimulated = (obs["condition"] == "stim").to_numpy()
    values = scores.to_numpy(float)
    parts = [values[g][stimulated[g]].mean(0) - values[g][~stimulated[g]].mean(0) for g in groups(obs, LEAST_CELLS)]
    spread = values.std(axis=0)
    return pd.Series(np.mean(parts, axis=0) / np.where(spread > 0, spread, 1.0), scores.columns)


def paired(score: pd.Series, obs: pd.DataFrame) -> float:
    donor, condition = obs["donor"].astype(str), obs["condition"].astype(str)
    stim, ctrl = (score[condition == kind].groupby(donor[condition == kind]).mean() for kind in ("stim", "ctrl"))
    difference = (stim - ctrl).to_numpy()
    return float(difference.mean() / difference.std(ddof=1) * len(difference) ** 0.5)


def unrelated(sets: dict[str, list[str]]) -> list[str]:
    interferon = set(sets[IFN]) | set(sets.get(IFN.replace("ALPHA", "GAMMA"), ()))
    return [name for name, genes in sets.items() if len(interferon & set(genes)) < 0.05 * len(genes)]


def agreement(scores: pd.DataFrame, obs: pd.DataFrame) -> tuple[list[float], list[float]]:
    """Mean over all pairs of donors: same sign, and Spearman correlation over sets."""
    spread = scores.std()
    scaled = scores / spread.where(spread > 0, 1.0)
    by_donor = [shifts(scaled[rows], obs[rows]) * scaled[rows].std() for rows in
                ((obs["donor"].astype(str) == donor).to_numpy() for donor in sorted(obs["donor"].astype(str).unique()))
                if groups(obs[rows], LEAST_CELLS)]  # fmt: skip
    pairs = list(combinations(by_donor, 2))
    sign = [float((np.sign(a) == np.sign(b)).mean()) for a, b in pairs]
    rank = [float(a.rank().corr(b.rank())) for a, b in pairs]
    return [float(np.mean(sign))], [float(np.mean(rank))]
