"""pyucell: rank-based U statistic of each set in each cell."""

from __future__ import annotations

import anndata as ad
import numpy as np
from contract import Problem, Result

METHODS = ("pyucell",)
ENVIRONMENT, TRAINED = "pyucell", False
IMPORTS = VERSIONS = ("pyucell",)


def run(problem: Problem, method: str) -> Result:
    """Defaults, one core."""

    def scored(cells: ad.AnnData) -> np.ndarray:
        import pyucell

        bare = ad.AnnData(cells.X, obs=cells.obs[[]], var=cells.var[[]])
        pyucell.compute_ucell_scores(bare, signatures=problem.sets, n_jobs=1)
        return np.column_stack([bare.obs[f"{name}_UCell"] for name in problem.sets])

    new = None if problem.new is None else scored(problem.new)
    return Result(scored(problem.cells), list(problem.sets), new=new)
