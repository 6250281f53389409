"""Minibatches from files: every training cell once, the same batches wherever the cells lie."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae._cells import matrix, minibatches, sources
from pathwayae._cells.minibatches import Blocks

KINDS = ["dense", "csc", "view", "backed csr", "backed dense", "zarr csr", "zarr dense", "dask", "dask csr"]
ROWS = 40  # cells per block


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(minibatches, "BLOCK_BYTES", 4 * 30 * ROWS)
    monkeypatch.setattr(minibatches, "POOL_BYTES", 4 * 30 * 3 * ROWS)


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    rng = np.random.default_rng(0)
    values = rng.gamma(1.0, 1.0, size=(330, 30)) * (rng.random((330, 30)) < 0.4)
    adata = ad.AnnData(sp.csr_matrix(values.astype(np.float32)))
    adata.var_names = [f"G{i}" for i in rng.permutation(30)]
    return adata


def stored(cells: ad.AnnData, kind: str, folder: Path) -> ad.AnnData:
    adata = cells.copy()
    where, _, how = kind.rpartition(" ")
    if how in ("dense", "dask"):
        adata.X = adata.X.toarray()
    elif how == "csc":
        adata.X = adata.X.tocsc()
    if how == "view":
        return ad.concat([adata, adata], index_unique="-")[: adata.n_obs]
    if where == "backed":
        adata.write_h5ad(folder / "cells.h5ad")
        return ad.read_h5ad(folder / "cells.h5ad", backed="r")
    if where == "zarr":
        adata.write_zarr(folder / "cells.zarr")
        import zarr

        group = zarr.open_group(folder / "cells.zarr", mode="r")
        lazy = ad.io.sparse_dataset(group["X"]) if how == "csr" else group["X"]
        return ad.AnnData(lazy, obs=adata.obs, var=adata.var)
    if "dask" in kind:
        dask_array = pytest.importorskip("dask.array")
        chunked = dask_array.from_array(cells.X.toarray(), chunks=(ROWS, 10))
        if how == "csr":
            chunked = chunked.rechunk((ROWS, 30))
            chunked = chunked.map_blocks(sp.csr_matrix, dtype=np.float32, meta=sp.csr_matrix((0, 0), dtype=np.float32))
        adata.X = chunked
    return adata


def blocks_of(adata: ad.AnnData, share: float = 0.1) -> Blocks:
    out = np.random.default_rng(1).random(adata.n_obs) < share
    return Blocks(matrix.of_genes(adata, None, None, None), out)


def expected(cells: ad.AnnData, share: float = 0.1) -> tuple[np.ndarray, np.ndarray]:
    """Training cells and cells held out, genes in the order of their names."""
    values = cells.to_df().sort_index(axis=1).to_numpy()
    out = np.random.default_rng(1).random(len(values)) < share
    return values[~out], values[out]


def ordered(values: np.ndarray) -> np.ndarray:
    return values[np.lexsort(values.T)]


def test_every_training_cell_comes_once_and_batches_are_full(cells: ad.AnnData) -> None:
    blocks = blocks_of(cells)
    train, out = expected(cells)
    batches = list(blocks.epoch(32, np.random.default_rng(3)))
    assert {batch.dtype for batch in batches} == {np.dtype("float32")}
    assert [len(batch) for batch in batches[:-1]] == [32] * (len(batches) - 1)
    assert blocks.n == len(train) == sum(map(len, batches))
    np.testing.assert_array_equal(ordered(np.concatenate(batches)), ordered(train))
    np.testing.assert_array_equal(np.concatenate(list(blocks.held_out())), out)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_same_wherever_the_cells_lie(cells: ad.AnnData, kind: str, tmp_path) -> None:
    reference, other = blocks_of(cells), blocks_of(stored(cells, kind, tmp_path))
    for seed in (0, 1):
        rngs = np.random.default_rng(seed), np.random.default_rng(seed)
        for a, b in zip(reference.epoch(50, rngs[0]), other.epoch(50, rngs[1]), strict=True):
            assert b.dtype == np.float32
            np.testing.assert_array_equal(a, b)
    for a, b in zip(reference.held_out(), other.held_out(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(reference.moments()[0], other.moments()[0], rtol=1e-14)
    assert reference.moments()[1] == pytest.approx(other.moments()[1], rel=1e-14)


@pytest.mark.filterwarnings("ignore:The values")  # on no scale of expression
@pytest.mark.parametrize(("offset", "dense"), [(0.0, False), (3000.0, True)])
def test_moments_are_those_of_the_training_cells_also_far_from_zero(
    cells: ad.AnnData, offset: float, dense: bool
) -> None:
    adata = cells.copy()
    values = adata.X.toarray()
    values[:, :7] += offset
    adata.X = values if dense else sp.csr_matrix(values)
    train, _ = expected(adata)
    mean, power = blocks_of(adata).moments()
    exact = train.astype(np.longdouble)
    np.testing.assert_allclose(mean, exact.mean(axis=0).astype(float), rtol=1e-13)
    assert power == pytest.approx(float(((exact - exact.mean(axis=0)) ** 2).sum(axis=1).mean()), rel=1e-12)


@pytest.mark.filterwarnings("ignore:The values")  # on no scale of expression
def test_orders_follow_the_generator_and_cells_of_several_blocks_meet(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.X = np.zeros((330, 30), dtype=np.float32)
    adata.X[:, 0] = np.arange(330) + 0.5
    first = int(np.flatnonzero(np.sort(adata.var_names) == adata.var_names[0])[0])
    blocks = blocks_of(adata, 0.0)

    def order(seed: int) -> np.ndarray:
        return np.concatenate([batch[:, first] for batch in blocks.epoch(30, np.random.default_rng(seed))])

    np.testing.assert_array_equal(order(0), order(0))
    assert (order(0) != order(1)).mean() > 0.9
    met = [len(np.unique(batch.astype(int) // ROWS)) for batch in order(0)[:300].reshape(10, 30)]
    assert min(met) >= 2
    assert np.mean(met) > 2.5


def test_no_more_than_a_pool_is_read_at_once(cells: ad.AnnData, monkeypatch) -> None:
    blocks = blocks_of(cells)
    read: list[int] = []
    original = sources.Source.block

    def block(self, start, stop):
        read.append(stop - start)
        return original(self, start, stop)

    monkeypatch.setattr(sources.Source, "block", block)
    epoch = blocks.epoch(20, np.random.default_rng(0))
    next(epoch)
    assert max(read) == ROWS
    assert len(read) == 3  # one pool of nine blocks
    list(epoch)
    assert len(read) == 9


def test_a_block_without_training_cells_is_not_read_again(cells: ad.AnnData, monkeypatch) -> None:
    out = np.arange(330) < 2 * ROWS
    blocks = Blocks(matrix.of_genes(cells, None, None, None), out)
    starts: list[int] = []
    original = sources.Source.block
    monkeypatch.setattr(
        sources.Source, "block", lambda self, start, stop: starts.append(start) or original(self, start, stop)
    )
    assert sum(map(len, blocks.epoch(64, np.random.default_rng(0)))) == 330 - 2 * ROWS
    assert min(starts) == 2 * ROWS
    assert sum(map(len, blocks.held_out())) == 2 * ROWS
