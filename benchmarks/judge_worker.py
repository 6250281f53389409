"""Cells of scroma's own benchmark and decoupler's scores of them, for benchmarks/judge.py; needs both packages.

``python judge_worker.py folder``: for both scenarios, all ten seeds and both normalisations writes
``scenario_seed_normalisation.npz``: log-normalised ``x`` (cells × genes), ``depth``, ``batch``, ``genes``, ``member``
(genes × sets), ``sets``, of which the first ``active`` are planted, their ``truth`` (active or not) and ``activity``
(cells × active sets), and scores (cells × sets) by the name of the method. Prints the versions as JSON.
"""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import anndata as ad
import decoupler as dc
import numpy as np
import pandas as pd
import scanpy as sc
import scroma

METHODS = ("ulm", "mlm", "aucell", "zscore")
TARGETS = {"median": None, "10000": 1e4}


def member_of(adata: ad.AnnData, sets: list[str]) -> np.ndarray:
    """Genes × sets, 0 or 1."""
    return np.column_stack([adata.var_names.isin(adata.uns["pathways"][name]) for name in sets]).astype(float)


def write(adata: ad.AnnData, path: Path, target: float | None) -> None:
    """One data set with the scores of all methods."""
    sets = [*adata.uns["active_pathways"], *adata.uns["inactive_pathways"]]
    adata.X = adata.X.astype(np.float64)
    sc.pp.filter_cells(adata, min_counts=1)  # decoupler leaves empty cells out
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    sc.pp.normalize_total(adata, target_sum=target)
    sc.pp.log1p(adata)
    x = pd.DataFrame(adata.X.toarray(), adata.obs_names, adata.var_names)
    net = pd.DataFrame([(name, gene) for name in sets for gene in adata.uns["pathways"][name]])
    net.columns = ["source", "target"]
    found = {}
    for method in METHODS:
        scores = getattr(dc.mt, method)(x, net, tmin=5)
        found[method] = (scores[0] if isinstance(scores, tuple) else scores)[sets].to_numpy(np.float32)
    truth, activity = (adata.obsm[f"pathway_activity_truth_{kind}"].to_numpy() for kind in ("binary", "ranked"))
    np.savez(
        path,
        x=x.to_numpy(np.float32),
        depth=depth,
        batch=adata.obs["batch"].to_numpy(str),
        genes=adata.var_names.to_numpy(str),
        member=member_of(adata, sets),
        sets=np.array(sets),
        truth=truth > 0,
        activity=activity,
        **found,
    )


def main(folder: Path) -> None:
    """All data sets."""
    for scenario in ("single", "multi"):
        for replicate in scroma.load_benchmark(scenario):
            for name, target in TARGETS.items():
                write(replicate.copy(), folder / f"{scenario}_{replicate.uns['seed']}_{name}.npz", target)
    print(json.dumps({name: version(name) for name in ("scroma", "decoupler")}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
