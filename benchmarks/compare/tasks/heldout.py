"""T3: genes held out of real sets."""

from __future__ import annotations

import numpy as np
import pandas as pd
from problems import DELETED
from results import Get, auroc

TITLE = "T3 Held-out genes of real sets"
TEXT = """\
A fifth of the genes of every set (of 10 or more) is hidden (two folds of five): Hallmark on Kang, Reactome on
PBMC3k; *small*: one fold, Hallmark and PanglaoDB on the cells of T1's *small*. Genes outside the given set are
ranked by loading (of methods that give scores alone, by correlation with the score).
- *AUROC* of the hidden genes among them, and their *recall* in the first 50 and 200; median over sets of AUROC,
  mean of recall.
- *IFN, 5 / 10 / 15 deleted*: the genes of IFN-α that stimulation moves most are taken out of all sets; how many of
  them are among the first 50 genes outside the set; where nearly all methods find all of them, it ranks nobody."""
FOLDS = range(2)  # of five
PARTS = ("Hallmark", "Reactome")
PROBLEMS = ("small fold", *(f"fold {part} {i}" for part in PARTS for i in FOLDS), *(f"deleted {n}" for n in DELETED))
QUICK, TRAINED, SEEDED = ("small fold",), ("small fold",), ()
HEADLINES = {
    **{f"{part}, {what}": True for part in (*PARTS, "small") for what in ("AUROC", "recall@50", "recall@200")},
}
OURS = "pathwayae refine"


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    for part in (*PARTS, "small"):
        for name in [f"fold {part} {i}" for i in FOLDS] if part in PARTS else ["small fold"]:
            solved = get(name)
            if solved and solved.found is not None:
                table = pd.DataFrame([one(solved, name) for name, out in solved.truth["hidden"].items() if len(out)])
                values = {"AUROC": table["AUROC"].median(), **table.drop(columns="AUROC").mean().to_dict()}
                for what, value in values.items():
                    figures.setdefault(f"{part}, {what}", []).append(float(value))
    for n in DELETED:
        solved = get(f"deleted {n}")
        if solved and solved.found is not None:
            (name,) = solved.truth["hidden"]
            figures[f"IFN, {n} deleted"] = [n * one(solved, name)["recall@50"]]
    return figures


def one(solved, name: str) -> dict[str, float]:
    """AUROC and recall of the hidden genes of a set among those outside the given one; chance if the set is missing."""
    loadings = solved.found.loadings
    if name not in loadings:
        return {"AUROC": 0.5, "recall@50": 0.0, "recall@200": 0.0}
    return recovered(loadings[name], solved.problem.sets[name], solved.truth["hidden"][name])


def recovered(loadings: pd.Series, given: list[str], hidden: list[str]) -> dict[str, float]:
    """AUROC and recall of the hidden genes of a set among those outside the given one, by loadings of all genes."""
    outside = ~loadings.index.isin(given)
    values = np.nan_to_num(loadings.to_numpy(float)[outside])
    found = loadings.index[outside].isin(hidden)
    order = np.argsort(-values, kind="stable")
    first = {f"recall@{n}": float(found[order[:n]].sum() / found.sum()) for n in (50, 200)}
    return {"AUROC": auroc(values, found), **first}
