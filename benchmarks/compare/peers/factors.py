"""scikit-learn: PCA and NMF of all genes, which know no sets, and the first component of the genes of each set."""

from __future__ import annotations

import numpy as np
from contract import Problem, Result, dense

METHODS = ("PCA", "NMF", "MiniBatchNMF", "first component")
ENVIRONMENT, TRAINED = None, False
SEEDED = ("PCA", "NMF", "MiniBatchNMF")
IMPORTS = ("sklearn.decomposition",)
VERSIONS = ("scikit-learn",)
ITERATIONS = 1000  # 200 by default, which do not suffice
FEWEST, MOST = 30, 60  # components: as many as there are sets, within these


def run(problem: Problem, method: str) -> Result:
    """Factors have no names; the runner gives each set the factor whose loadings pick out its genes best."""
    from sklearn.decomposition import NMF, PCA, MiniBatchNMF

    values = problem.dense()
    if method == "first component":
        return first(problem, values)
    n = int(np.clip(len(problem.sets), FEWEST, MOST))
    models = {"PCA": PCA, "NMF": NMF, "MiniBatchNMF": MiniBatchNMF}
    more = {} if method == "PCA" else {"max_iter": ITERATIONS}
    model = models[method](min(n, *values.shape), random_state=problem.seed, **more)
    scores = model.fit_transform(values)
    new = None if problem.new is None else model.transform(dense(problem.new))
    names = [f"{method} {i + 1}" for i in range(scores.shape[1])]
    rounds = getattr(model, "n_iter_", 0)
    note = "" if method == "PCA" or rounds < model.max_iter else f"not converged in {rounds} iterations"
    return Result(scores, names, model.components_.T, new, note=note)


def first(problem: Problem, values: np.ndarray) -> Result:
    """First principal component of the genes of each set, turned so that most of its weight is positive."""
    shift = values.mean(axis=0)
    member = problem.membership()
    weights = np.zeros(member.shape)
    for j, genes in enumerate(member.T):
        _, _, directions = np.linalg.svd(values[:, genes] - shift[genes], full_matrices=False)
        weights[genes, j] = directions[0] * np.sign(directions[0].sum() or 1.0)
    new = None if problem.new is None else (dense(problem.new) - shift) @ weights
    return Result((values - shift) @ weights, list(problem.sets), None, new)
