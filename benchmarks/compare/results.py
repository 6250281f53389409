"""Results of one method as labelled tables, in the same form whether its components are sets or nameless factors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from contract import Problem, Result, dense
from scipy.stats import rankdata


class Found(NamedTuple):
    """Scores and new scores by set, loadings genes × sets, the whole embedding, and by set what was found used."""

    scores: pd.DataFrame
    loadings: pd.DataFrame
    embedding: np.ndarray
    new: pd.DataFrame | None
    used: pd.Series | None


class Solved:
    """A problem with what a method made of it."""

    def __init__(self, problem: Problem, truth: dict[str, Any], result: Result, cost: dict[str, Any]) -> None:
        self.problem, self.truth, self.result, self.cost = problem, truth, result, cost

    @cached_property
    def found(self) -> Found | None:
        """By set; nothing if the method has components without names and without loadings."""
        problem, result = self.problem, self.result
        columns, signs = places(problem, result)
        if columns is None:
            return None
        names, cells = list(columns), problem.cells
        take = list(columns.values())
        scores = pd.DataFrame(result.scores[:, take] * signs, cells.obs_names, names)
        if result.loadings is None:
            loadings = correlations(dense(cells), scores.to_numpy())
        else:
            loadings = result.loadings[:, take] * signs
        new = None if result.new is None else pd.DataFrame(result.new[:, take] * signs, problem.new.obs_names, names)
        used = None if result.used is None else pd.Series(result.used[take], names)
        return Found(scores, pd.DataFrame(loadings, cells.var_names, names), result.scores, new, used)


Get = Callable[..., Solved | None]  # problem, seed → what was made of it, if anything


def places(problem: Problem, result: Result) -> tuple[dict[str, int] | None, np.ndarray]:
    """Column of every set, and its sign: by name, or that whose loadings pick out the genes of the set best (AUROC)."""
    known = {name: j for j, name in enumerate(result.names) if name in problem.sets}
    if known:
        return known, np.ones(len(known))
    if result.loadings is None:
        return None, np.ones(0)
    ranks = rankdata(result.loadings, axis=0)
    member = problem.membership()
    n, g = member.sum(axis=0)[:, None], len(ranks)
    area = (member.T @ ranks - n * (n + 1) / 2) / (n * (g - n))  # sets × components
    turn = bool((result.scores < 0).any())  # factors without a sign of their own
    best = np.argmax(np.abs(area - 0.5) if turn else area, axis=1)
    signs = np.where(area[np.arange(len(best)), best] < 0.5, -1.0, 1.0) if turn else np.ones(len(best))
    return dict(zip(problem.sets, best.tolist(), strict=True)), signs


def correlations(values: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Pearson correlation of every gene with every score, genes × scores; 0 where one of them is constant."""
    values, scores = values - values.mean(axis=0), scores - scores.mean(axis=0)
    length = np.linalg.norm(values, axis=0)[:, None] * np.linalg.norm(scores, axis=0)
    return np.divide(values.T @ scores, length, out=np.zeros(length.shape), where=length > 1e-9)


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve from ranks; NaN where one side is empty."""
    n, m = int(positive.sum()), int((~positive).sum())
    if not n or not m:
        return float("nan")
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * m))
