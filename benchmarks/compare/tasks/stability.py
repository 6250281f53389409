"""T6: seeds, subsamples, and sets that nothing stands behind."""

from __future__ import annotations

import numpy as np
from problems import SEEDS, SUBSAMPLES
from results import Get, auroc
from scipy.optimize import linear_sum_assignment

TITLE = "T6 Stability and false sets"
TEXT = """\
- *seeds*: Kang with Hallmark, runs with the seeds 1 and 2 against seed 0: correlation of the scores of each set,
  median over sets; components without names are paired one to one by the size of their correlations (Hungarian).
- *subsample, scores* and *loadings*: the same for fits on 80 % of the cells (two draws) against all of them, on the
  cells they share, and for loadings (of methods that give scores alone, the correlation of genes with scores).
- *silent, AUROC*: simulation with 20 programs and 20 sets that no program stands behind (three seeds): does the
  variance of a score tell the former from the latter? *false used*, *true used*: of methods with a test of their
  own, share of the silent sets and of the programs that it calls used at 5 %."""
MAIN = "kang"
DRAWN = tuple(f"subsample {seed}" for seed in SUBSAMPLES)
SILENT = tuple(f"silent {seed}" for seed in SEEDS)
PROBLEMS = (MAIN, *DRAWN, *SILENT)
QUICK, TRAINED, SEEDED = (SILENT[0],), (), (MAIN,)
REPEATS = (1, 2)
HEADLINES = {"seeds": True, "subsample, scores": True, "subsample, loadings": True, "silent, AUROC": True}
OURS = "pathwayae"


def measure(get: Get) -> dict[str, list[float]]:
    figures: dict[str, list[float]] = {}
    whole = get(MAIN)
    if whole:
        again = [other for seed in REPEATS if (other := get(MAIN, seed))]
        if again:
            figures["seeds"] = [alike(whole, other)[0] for other in again]
        parts = [alike(whole, other) for name in DRAWN if (other := get(name))]
        if parts:
            figures["subsample, scores"] = [part[0] for part in parts]
            figures["subsample, loadings"] = [part[1] for part in parts if np.isfinite(part[1])]
    for name in SILENT:
        solved = get(name)
        if solved is None or solved.found is None:
            continue
        found = solved.found
        program = ~found.scores.columns.str.startswith("silent")
        figures.setdefault("silent, AUROC", []).append(auroc(found.scores.var().to_numpy(), np.asarray(program)))
        if found.used is not None:
            figures.setdefault("false used", []).append(float(found.used[~program].mean()))
            figures.setdefault("true used", []).append(float(found.used[program].mean()))
    return {name: values for name, values in figures.items() if values}


def alike(one, other) -> tuple[float, float]:
    """Median correlation of scores on the cells of the second, and of loadings."""
    shared = one.problem.cells.obs_names.get_indexer(other.problem.cells.obs_names)
    named = set(one.result.names) & set(one.problem.sets)
    if named:
        a, b = one.found, other.found
        both = [name for name in a.scores if name in b.scores]
        scores = paired(a.scores[both].to_numpy()[shared], b.scores[both].to_numpy())
        loadings = paired(a.loadings[both].to_numpy(), b.loadings.loc[a.loadings.index, both].to_numpy())
        return float(np.median(scores)), float(np.median(loadings))
    table = np.abs(cross(one.result.scores[shared], other.result.scores))
    rows, columns = linear_sum_assignment(-table)
    loadings = np.nan
    if one.result.loadings is not None:
        loadings = float(np.median(np.abs(paired(one.result.loadings[:, rows], other.result.loadings[:, columns]))))
    return float(np.median(table[rows, columns])), loadings


def standard(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, float) - np.mean(values, axis=0)
    length = np.linalg.norm(values, axis=0)
    return values / np.where(length > 0, length, 1.0)


def paired(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (standard(a) * standard(b)).sum(axis=0)


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return standard(a).T @ standard(b)
