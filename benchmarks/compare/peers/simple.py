"""Means of the genes of each set: as they are, each over its standard deviation, and less control genes (scanpy)."""

from __future__ import annotations

import anndata as ad
import numpy as np
from contract import Problem, Result, dense

METHODS = ("mean of genes", "mean of z-scores", "score_genes")
ENVIRONMENT, TRAINED = None, False
SEEDED = ("score_genes",)
IMPORTS, VERSIONS = (), ("scanpy",)


def run(problem: Problem, method: str) -> Result:
    """All three take new cells one by one, but z-scores take mean and spread from the first."""
    if method == "score_genes":
        new = None if problem.new is None else score_genes(problem.new, problem)
        return Result(score_genes(problem.cells, problem), list(problem.sets), new=new)
    values, member = problem.dense(), problem.membership()
    shift, scale = 0.0, 1.0
    if method == "mean of z-scores":
        shift, spread = values.mean(axis=0), values.std(axis=0)
        scale = np.where(spread > 0, spread, 1.0)
    weights = member / member.sum(axis=0)
    new = None if problem.new is None else (dense(problem.new) - shift) / scale @ weights
    return Result((values - shift) / scale @ weights, list(problem.sets), new=new)


def score_genes(cells: ad.AnnData, problem: Problem) -> np.ndarray:
    """``scanpy.tl.score_genes``, set by set."""
    import scanpy as sc

    bare, columns = ad.AnnData(cells.X, var=cells.var[[]]), []
    for genes in problem.sets.values():
        sc.tl.score_genes(bare, genes, score_name="score", use_raw=False, random_state=problem.seed)
        columns.append(bare.obs["score"].to_numpy())
    return np.column_stack(columns)
