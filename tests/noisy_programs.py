"""Cells with planted programs of known genes, without gene sets."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd


def programs(n: int, g: int, sizes: list[int], seed: int = 0) -> ad.AnnData:
    """Cells with one program after the other in the first genes, and noise; genes of all means."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, g)) + rng.uniform(0, 4, size=g) + 4
    for j, last in enumerate(np.cumsum(sizes)):
        x[:, last - sizes[j] : last] += 1.5 * rng.normal(size=(n, 1))
    return ad.AnnData(x, var=pd.DataFrame(index=[f"G{i}" for i in range(g)]))


def names(adata: ad.AnnData, *rows: int) -> list[str]:
    return adata.var_names[list(rows)].tolist()


def towering() -> ad.AnnData:
    """Gene 0 varies a hundred times as much as the others of its pathway."""
    adata = programs(400, 100, [10, 10])
    adata.X[:, 0] += 15 * np.random.default_rng(1).normal(size=400)
    return adata
