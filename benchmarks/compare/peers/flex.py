"""MOFA-FLEX 0.1.2, weights and factors non-negative, horseshoe weights, one free factor, up to 10 000 epochs."""

from __future__ import annotations

import numpy as np
import pandas as pd
from contract import Problem, Result

METHODS = ("MOFA-FLEX",)
ENVIRONMENT, TRAINED = "mofaflex", True
IMPORTS, VERSIONS = ("mofaflex",), ("mofaflex",)
EPOCHS = 10_000


def run(problem: Problem, method: str) -> Result:
    import anndata as ad
    import mofaflex

    cells = ad.AnnData(problem.dense().astype(np.float32))
    cells.obs_names, cells.var_names = problem.cells.obs_names, problem.cells.var_names
    cells.varm["I"] = pd.DataFrame(problem.membership(), cells.var_names, list(problem.sets))
    model = mofaflex.MOFAFLEX(
        {"all": {"rna": cells}},
        mofaflex.DataOptions(annotations_varm_key="I", subset_var=None, plot_data_overview=False),
        mofaflex.ModelOptions(
            n_factors=1, weight_prior="Horseshoe", factor_prior="Normal", likelihoods="Normal",
            nonnegative_weights=True, nonnegative_factors=True,
        ),
        mofaflex.TrainingOptions(device="cpu", max_epochs=EPOCHS, seed=problem.seed, save_path=False),
    )  # fmt: skip
    scores, weights = model.get_factors()["all"], model.get_weights()["rna"]
    steps = len(getattr(model, "training_loss", ()))
    note = f"not converged in {steps} epochs" if steps >= EPOCHS else ""
    loadings = weights.reindex(index=scores.columns, columns=cells.var_names).fillna(0.0).to_numpy().T
    return Result(scores.loc[cells.obs_names].to_numpy(), [str(name) for name in scores], loadings, note=note)
