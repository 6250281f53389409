"""Sparse log-normalised cells of any number, written to an h5ad chunk by chunk, and pathways of random genes."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

GENES, PATHWAYS, SIZE = 2000, 50, 60
CHUNK = 20_000


def pathways(seed: int = 0) -> dict[str, list[str]]:
    """Random sets of genes."""
    rng = np.random.default_rng(seed)
    return {f"pathway_{j}": [f"gene_{i}" for i in rng.choice(GENES, SIZE, replace=False)] for j in range(PATHWAYS)}


def write(path: Path, n_cells: int, seed: int = 0) -> None:
    """About 8 % of the values are not zero: genes seen rarely and often, cells deep and shallow, six programs."""
    rng = np.random.default_rng(seed)
    rate = np.minimum(rng.gamma(0.5, 0.16, GENES), 0.9)
    programs = np.exp(rng.normal(0.0, 0.5, (6, GENES)))
    genes = pd.DataFrame(index=[f"gene_{i}" for i in range(GENES)])
    with h5py.File(path, "w") as file:
        for first in range(0, n_cells, CHUNK):
            values = _some(min(CHUNK, n_cells - first), rate, programs, rng)
            if first == 0:
                names = pd.DataFrame(index=[str(i) for i in range(values.shape[0])])
                ad.io.write_elem(file, "/", ad.AnnData(values, obs=names, var=genes))
            else:
                ad.io.sparse_dataset(file["X"]).append(values)
        ad.io.write_elem(file, "obs", pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)]))


def _some(n: int, rate: np.ndarray, programs: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    depth = rng.gamma(2.0, 0.5, (n, 1))
    seen = rng.random((n, GENES)) < depth * rate * programs[rng.integers(0, len(programs), n)]
    genes = np.nonzero(seen)[1].astype(np.int32)
    values = np.log1p(rng.geometric(0.6, len(genes))).astype(np.float32)
    return sp.csr_matrix((values, genes, np.concatenate([[0], np.cumsum(seen.sum(1))])), shape=seen.shape)
