"""pathwayae: ``tl.fit`` by default; on the sets that ``tl.refine`` makes; relevance; unlogged values; with harmony.

*refine*: the sets given are put right by ``tl.refine`` and fitted again. *unlogged*: the same on counts per 10 000
without a logarithm. *harmony*: harmonypy on the scores of a fit that is not told of batches. The last two are lines
that a user can write, asked where they matter, and not ranked.
"""

from __future__ import annotations

import numpy as np
from contract import Problem, Result

METHODS = ("pathwayae", "pathwayae refine", "pathwayae relevance", "pathwayae unlogged", "pathwayae harmony")
ONLY = {  # asked of problems whose names begin so
    "pathwayae relevance": "silent",
    "pathwayae unlogged": "planted",
    "pathwayae harmony": ("batches even told", "batches biased told"),
}
ENVIRONMENT, TRAINED = None, False
SEEDED = ("pathwayae",)
BATCHES = ("pathwayae", "pathwayae harmony")  # methods that take batches
IMPORTS = VERSIONS = ("pathwayae",)
FEWEST_GENES, LEVEL, LEAST = 5, 0.05, -1e3
RIDGE = 0.1  # of harmony, 1 by default; chosen on other donors of Kang (``benchmarks/lost.py``)


def run(problem: Problem, method: str) -> Result:
    """Fit, by ``batch_key`` where there are batches; new cells by ``tl.transform``."""
    import pathwayae as pae

    cells, batch = problem.cells, None if method == "pathwayae harmony" else problem.batch
    asked = {"batch_key": batch, "min_genes": FEWEST_GENES, "progress": False, "random_state": problem.seed}
    if method == "pathwayae unlogged":
        cells.X = cells.X.expm1()
    if len(problem.sets) >= min(cells.shape):
        asked["n_extra"] = 0  # no room for free components
    pae.tl.fit(cells, problem.sets, **asked)
    names, used = list(cells.uns["pae"]["component_names"]), None
    loadings = dense(cells.varm["pae_loadings"])
    if method in ("pathwayae refine", "pathwayae unlogged"):
        names, loadings = refined(cells, names, asked)
    elif method == "pathwayae relevance":
        pae.tl.relevance(cells, progress=False)
        table = pae.get.relevance(cells).set_index("component")["padj"]
        used = table.reindex(names).to_numpy() <= LEVEL
    if method == "pathwayae harmony":
        return Result(harmonised(cells, problem.batch), [f"harmonised {i + 1}" for i in range(len(names))])
    if problem.new is not None:
        pae.tl.transform(problem.new, cells, progress=False)
        return Result(cells.obsm["X_pae"], names, loadings, problem.new.obsm["X_pae"], used)
    return Result(cells.obsm["X_pae"], names, loadings, None, used)


def dense(table) -> np.ndarray:
    """Large tables are sparse."""
    return np.asarray(table.toarray() if hasattr(table, "toarray") else table, dtype=float)


def harmonised(cells, batch: str) -> np.ndarray:
    """Scores that harmonypy shifts by batch and cluster."""
    import harmonypy

    return harmonypy.run_harmony(
        cells.obsm["X_pae"], cells.obs, batch, lamb=RIDGE, verbose=False, random_state=0
    ).Z_corr


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
