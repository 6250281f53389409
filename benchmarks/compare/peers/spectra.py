"""Spectra (scSpectra 0.2.1) without cell types, lambda 0.1, all sets kept, a factor more than there are sets.

Its factors start at the sets but keep no name (several may be labelled alike), so they are matched by their loadings.
"""

from __future__ import annotations

import numpy as np
from contract import Problem, Result

METHODS = ("Spectra",)
ENVIRONMENT, TRAINED = "spectra", True
IMPORTS, VERSIONS = ("Spectra",), ("scSpectra",)


def run(problem: Problem, method: str) -> Result:
    import anndata as ad
    import Spectra
    import torch

    torch.manual_seed(problem.seed)
    np.random.seed(problem.seed)
    cells = ad.AnnData(problem.dense().astype(np.float32))
    cells.var_names = problem.cells.var_names
    model = Spectra.est_spectra(
        cells, dict(problem.sets), use_highly_variable=False, use_cell_types=False, cell_type_key=None, lam=0.1,
        filter_sets=False, label_factors=False, clean_gs=False, num_epochs=10_000, verbose=False,
    )  # fmt: skip
    scores = np.asarray(model.cell_scores)
    return Result(scores, [f"factor {i + 1}" for i in range(scores.shape[1])], np.asarray(model.factors).T)
