"""MuVI 0.2.2 with its defaults: normal likelihood, all cells at once, one free factor, up to 10 000 steps."""

from __future__ import annotations

import numpy as np
import pandas as pd
from contract import Problem, Result

METHODS = ("MuVI",)
ENVIRONMENT, TRAINED = "muvi", True
IMPORTS, VERSIONS = ("muvi",), ("muvi",)


def run(problem: Problem, method: str) -> Result:
    import anndata as ad
    import muvi

    cells = ad.AnnData(problem.dense().astype(np.float32))
    cells.obs_names, cells.var_names = problem.cells.obs_names, problem.cells.var_names
    cells.varm["I"] = pd.DataFrame(problem.membership(), cells.var_names, list(problem.sets))
    model = muvi.tl.from_adata(cells, prior_mask_key="I", n_factors=1, device="cpu")
    model.fit(seed=problem.seed, verbose=False)
    scores = model.get_factor_scores(as_df=True)
    (loadings,) = model.get_factor_loadings(as_df=True).values()
    log = model._training_log
    note = "" if log["stop_early"] else f"not converged in {log['n_iter']} steps"
    loadings = loadings.loc[scores.columns, cells.var_names].to_numpy().T
    return Result(scores.loc[cells.obs_names].to_numpy(), [str(name) for name in scores], loadings, note=note)
