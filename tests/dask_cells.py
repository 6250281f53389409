"""Cells as chunks of dask and as shards in files, and when two passes gave the same moments."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae.core.moments import accumulate as core
from pathwayae.core.moments.sketch import ARRAYS

da = pytest.importorskip("dask.array")
N, G = 330, 40
OPTIONS = [
    {},
    {"sample_key": "donor", "batch_key": "batch"},
    {"layer": "counts", "normalize": "log1p", "sample_key": "donor", "target_sum": 1000},
    {"n_folds": 3, "genes": ["gene_30", "gene_2", "gene_17"]},
    {"sample_key": "donor", "sketch": True, "rank": 5},
]


def counted() -> ad.AnnData:
    """Log-normalised cells of three donors and two batches, and their counts."""
    rng = np.random.default_rng(0)
    counts = rng.poisson(rng.gamma(0.3, 3.0, G), size=(N, G)).astype(np.float32)
    counts[:, 0] += 1
    adata = ad.AnnData(sp.csr_matrix(np.log1p(counts)))
    adata.var_names = [f"gene_{i}" for i in range(G)]
    adata.obs_names = [f"cell_{i}" for i in range(N)]
    adata.layers["counts"] = sp.csr_matrix(counts)
    adata.obs["donor"] = pd.Categorical(np.sort(rng.choice(["d3", "d1", "d2"], N))[::-1])  # few strata in a chunk
    adata.obs["batch"] = rng.choice(["left", "right"], N)
    return adata


def read(data, **kwargs) -> core.Moments:
    return pae.pp.moments(data, **({"progress": False} | kwargs))


def assert_same(result: core.Moments, expected: core.Moments, rtol: float = 1e-12) -> None:
    assert result.strata == expected.strata
    assert result.genes == expected.genes
    assert result.normalize == expected.normalize
    np.testing.assert_array_equal(result.counts, expected.counts)
    kept = ("sums", "grams") if hasattr(expected, "grams") else ARRAYS[1:]
    for name in kept:
        values = getattr(expected, name)
        np.testing.assert_allclose(getattr(result, name), values, rtol=rtol, atol=rtol * np.abs(values).max())


def on_dask(cells: ad.AnnData, function=None, *, rows: int = 25, form=sp.csr_matrix) -> ad.AnnData:
    """The cells as chunks; ``function`` is called with each chunk and its number."""
    lazy = cells.copy()
    for name in ("X", "counts"):
        values = cells.X if name == "X" else cells.layers[name]
        chunks = da.from_array(values.toarray(), chunks=(rows, G))
        if function is not None:

            def called(chunk, block_info=None, function=function):
                return function(chunk, block_info[0]["chunk-location"][0])

            chunks = chunks.map_blocks(called, dtype=chunks.dtype, meta=np.zeros((0, 0), dtype=np.float32))
        if form is not np.asarray:
            chunks = chunks.map_blocks(form, dtype=chunks.dtype, meta=form((0, 0), dtype=np.float32))
        if name == "X":
            lazy.X = chunks
        else:
            lazy.layers[name] = chunks
    return lazy


def shards(cells: ad.AnnData, folder) -> list:
    """Three files with their genes in different orders, one of them a zarr."""
    rng = np.random.default_rng(1)
    cells[:120].copy().write_h5ad(folder / "a.h5ad")
    cells[120:250, rng.permutation(G)].copy().write_h5ad(folder / "b.h5ad")
    cells[250:, rng.permutation(G)].copy().write_zarr(folder / "c.zarr")
    return [folder / "a.h5ad", str(folder / "b.h5ad"), folder / "c.zarr"]
