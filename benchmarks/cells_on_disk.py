"""Sparse log-normalised cells of any number, written to an h5ad chunk by chunk, and pathways of random genes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

GENES, PATHWAYS, SIZE = 2000, 50, 60
CHUNK = 40_000_000  # values drawn at a time


def pathways(seed: int = 0, *, n_genes: int = GENES, sizes: Sequence[int] = (SIZE,) * PATHWAYS) -> dict[str, list[str]]:
    """Random sets of genes."""
    rng = np.random.default_rng(seed)
    drawn = [rng.choice(n_genes, size, replace=False) for size in sizes]
    return {f"pathway_{j}": [f"gene_{i}" for i in genes] for j, genes in enumerate(drawn)}


def density(n_genes: int) -> float:
    """Share of the values that are not zero, about: 8 % of 2 000 variable genes, 4 % of 20 000 or more."""
    return float(np.interp(np.log(n_genes), np.log([2_000, 20_000]), [0.08, 0.04]))


def write(path: Path, n_cells: int, n_genes: int = GENES, seed: int = 0) -> None:
    """Genes seen rarely and often, cells deep and shallow, six programs."""
    rng = np.random.default_rng(seed)
    rate = np.minimum(rng.gamma(0.5, 2.0 * density(n_genes), n_genes), 0.9).astype(np.float32)
    programs = np.exp(rng.normal(0.0, 0.5, (6, n_genes))).astype(np.float32)
    genes = pd.DataFrame(index=[f"gene_{i}" for i in range(n_genes)])
    chunk = CHUNK // n_genes
    with h5py.File(path, "w") as file:
        for first in range(0, n_cells, chunk):
            values = _some(min(chunk, n_cells - first), rate, programs, rng)
            if first == 0:
                names = pd.DataFrame(index=[str(i) for i in range(values.shape[0])])
                ad.io.write_elem(file, "/", ad.AnnData(values, obs=names, var=genes))
            else:
                ad.io.sparse_dataset(file["X"]).append(values)
        ad.io.write_elem(file, "obs", pd.DataFrame(index=[f"cell_{i}" for i in range(n_cells)]))


def _some(n: int, rate: np.ndarray, programs: np.ndarray, rng: np.random.Generator) -> sp.csr_matrix:
    depth = rng.gamma(2.0, 0.5, (n, 1)).astype(np.float32)
    rates = (rate * programs)[rng.integers(0, len(programs), n)]
    seen = rng.random(rates.shape, dtype=np.float32) < depth * rates
    genes = np.nonzero(seen)[1].astype(np.int32)
    values = np.log1p(rng.geometric(0.6, len(genes))).astype(np.float32)
    return sp.csr_matrix((values, genes, np.concatenate([[0], np.cumsum(seen.sum(1))])), shape=seen.shape)
