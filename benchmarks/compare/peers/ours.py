"""pathwayae: ``tl.fit`` with its defaults; the same on the sets that ``tl.refine`` makes of those given; relevance."""

from __future__ import annotations

import numpy as np
from contract import Problem, Result

METHODS = ("pathwayae", "pathwayae refine", "pathwayae relevance")
ONLY = {"pathwayae relevance": "silent"}  # asked of problems whose names begin so
ENVIRONMENT, TRAINED = None, False
SEEDED = ("pathwayae",)
BATCHES = ("pathwayae",)  # methods that take batches
IMPORTS = VERSIONS = ("pathwayae",)
FEWEST_GENES, LEVEL, LEAST = 5, 0.05, -1e3


def run(problem: Problem, method: str) -> Result:
    """Fit, by ``batch_key`` where there are batches; new cells by ``tl.transform``."""
    import pathwayae as pae

    cells = problem.cells
    asked = {"batch_key": problem.batch, "min_genes": FEWEST_GENES, "progress": False, "random_state": problem.seed}
    if len(problem.sets) >= min(cells.shape):
        asked["n_extra"] = 0  # no room for free components
    pae.tl.fit(cells, problem.sets, **asked)
    names, used = list(cells.uns["pae"]["component_names"]), None
    loadings = dense(cells.varm["pae_loadings"])
    if method == "pathwayae refine":
        names, loadings = refined(cells, names, asked)
    elif method == "pathwayae relevance":
        pae.tl.relevance(cells, progress=False)
        table = pae.get.relevance(cells).set_index("component")["padj"]
        used = table.reindex(names).to_numpy() <= LEVEL
    if problem.new is not None:
        pae.tl.transform(problem.new, cells, progress=False)
        return Result(cells.obsm["X_pae"], names, loadings, problem.new.obsm["X_pae"], used)
    return Result(cells.obsm["X_pae"], names, loadings, None, used)


def dense(table) -> np.ndarray:
    """Large tables are sparse."""
    return np.asarray(table.toarray() if hasattr(table, "toarray") else table, dtype=float)


def refined(cells, names: list[str], asked: dict) -> tuple[list[str], np.ndarray]:
    """Fit of the refined sets; as loadings of a pathway the posterior log-odds that a gene is a member of it."""
    import pathwayae as pae

    pae.tl.refine(cells, progress=False)
    odds = dense(cells.varm["pae_prior"]) + dense(cells.varm["pae_evidence"])
    odds[~np.isfinite(cells.var["pae_scale"])] = LEAST
    column = dict(zip(names, np.maximum(odds, LEAST).T, strict=False))
    pae.tl.fit(cells, pae.get.refined(cells), **asked)
    names = list(cells.uns["pae"]["component_names"])
    fitted = dict(zip(names, dense(cells.varm["pae_loadings"]).T, strict=True))
    return names, np.column_stack([column.get(name, fitted[name]) for name in names])
