"""cNMF 1.7.1: consensus of 20 runs of NMF (100 by default; 20 for the sake of time), 30 programs, all genes."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from contract import Problem, Result

METHODS = ("cNMF",)
ENVIRONMENT, TRAINED = "cnmf", True
IMPORTS, VERSIONS = ("cnmf",), ("cnmf",)
PROGRAMS, RUNS = 30, 20
DENSITY = 2.0  # no run is left out


def run(problem: Problem, method: str) -> Result:
    import anndata as ad
    import cnmf

    cells = ad.AnnData(problem.cells.layers["counts"].astype(np.float64))
    cells.obs_names, cells.var_names = problem.cells.obs_names, problem.cells.var_names
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "counts.h5ad"
        cells.write_h5ad(path)
        model = cnmf.cNMF(output_dir=name, name="run")
        model.prepare(str(path), components=[PROGRAMS], n_iter=RUNS, seed=problem.seed, num_highvar_genes=cells.n_vars)
        model.factorize(worker_i=0, total_workers=1)
        model.combine()
        model.consensus(PROGRAMS, density_threshold=DENSITY, show_clustering=False, close_clustergram_fig=True)
        usage, scores, _, _ = model.load_results(K=PROGRAMS, density_threshold=DENSITY)
    loadings = scores.reindex(cells.var_names).fillna(0.0).to_numpy()
    usage = usage.reindex(cells.obs_names).fillna(0.0).to_numpy()
    return Result(usage, [f"program {i + 1}" for i in range(usage.shape[1])], loadings)
