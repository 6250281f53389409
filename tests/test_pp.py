"""One pass over cells from anywhere: every source gives the moments of the dense matrix, or an error with a place."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import pathwayae as pae
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2")


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    rng = np.random.default_rng(0)
    counts = rng.poisson(0.8, size=(230, 40)).astype(np.float32)
    adata = ad.AnnData(sp.csr_matrix(counts))
    adata.var_names = [f"gene_{i}" for i in range(40)]
    adata.obs_names = [f"cell_{i}" for i in range(230)]
    adata.layers["counts"] = adata.X.copy()
    adata.obs["donor"] = pd.Categorical(rng.choice(["d1", "d2", "d3", "d4", "d5"], 230))
    adata.obs["batch"] = rng.choice(["left", "right"], 230)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    adata.layers["lognorm"] = adata.X.copy()
    return adata


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(core, "BLOCK_BYTES", 8 * 40 * 32)


def read(data, **kwargs) -> core.Moments:
    return pae.pp.moments(data, progress=False, **kwargs)


def assert_moments(result: core.Moments, matrix, rtol: float = 1e-12) -> None:
    dense = np.asarray(matrix.toarray() if sp.issparse(matrix) else matrix, dtype=np.float64)
    assert result.n == len(dense)
    np.testing.assert_allclose(result.sum, dense.sum(axis=0), rtol=rtol)
    np.testing.assert_allclose(result.gram, dense.T @ dense, rtol=rtol)


def stored(cells: ad.AnnData, kind: str, folder):
    """The cells in one of the ways in which cells lie."""
    place, form = kind.split("-")
    adata = cells.copy()
    make = {"dense": lambda x: x.toarray(), "csr": sp.csr_matrix, "csc": sp.csc_matrix}[form]
    adata.X = make(adata.X)
    if place == "memory":
        return adata
    if place == "view":
        wide = ad.concat([adata, adata], index_unique="-", merge="same")
        return wide[:230]
    if place == "dask":
        dask_array = pytest.importorskip("dask.array")
        chunks = dask_array.from_array(cells.X.toarray(), chunks=(50, 40))
        adata.X = chunks if form == "dense" else chunks.map_blocks(make)
        return adata
    if place == "zarr":
        adata.write_zarr(folder / "cells.zarr")
        return folder / "cells.zarr"
    adata.write_h5ad(folder / "cells.h5ad")
    if place == "h5ad":
        return folder / "cells.h5ad"
    backed = ad.read_h5ad(folder / "cells.h5ad", backed="r")
    return backed if place == "backed" else backed[backed.obs_names]


@pytest.fixture
def blocks(monkeypatch) -> list[int]:
    """Bytes of every block that is read."""
    sizes, original = [], sources.Source.block

    def block(self, start, stop):
        sizes.append((stop - start) * self.row_bytes)
        return original(self, start, stop)

    monkeypatch.setattr(sources.Source, "block", block)
    return sizes


@pytest.mark.parametrize("place", ["memory", "view", "dask", "h5ad", "zarr", "backed", "backedview"])
def test_every_source_gives_the_moments_in_small_blocks_and_is_left_alone(cells, place: str, blocks, tmp_path) -> None:
    for form in ("dense", "csr", "csc")[: 2 if place == "dask" else 3]:
        (tmp_path / form).mkdir()
        data = stored(cells, f"{place}-{form}", tmp_path / form)
        content = data.read_bytes() if place == "h5ad" else None
        blocks.clear()
        result = read(data, sample_key="donor")
        if place != "dask":
            assert len(blocks) > 4
            assert max(blocks[1:]) <= core.BLOCK_BYTES  # the first is the look at the first cells
        assert_moments(result, cells.X)
        assert result.genes == tuple(cells.var_names)
        assert result.strata == ("d1", "d2", "d3", "d4", "d5")
        for name in result.strata:
            assert_moments(result.select(name), cells.X[(cells.obs["donor"] == name).to_numpy()])
        genes = ["gene_30", "gene_2", "gene_17"]
        assert_moments(read(data, genes=genes), cells[:, genes].X)
        read(data, layer="counts", normalize="log1p")
        if place == "h5ad":
            assert data.read_bytes() == content
        elif place != "zarr":
            back = data.to_memory()
            dense = back.X.compute() if hasattr(back.X, "compute") else back.X
            np.testing.assert_array_equal(sp.csr_matrix(dense).toarray(), cells.X.toarray())
            np.testing.assert_array_equal(back.layers["counts"].toarray(), cells.layers["counts"].toarray())


def test_views_are_read_as_they_are(cells: ad.AnnData, tmp_path) -> None:
    for place in ("memory", "backed"):
        whole = stored(cells, f"{place}-csr", tmp_path)
        for rows in (slice(10, 90), slice(None, None, -2), [5, 3, 200, 3]):
            view = whole[rows, 5:25]
            assert view.is_view
            result = read(view)
            assert view.is_view
            assert_moments(result, cells[rows, 5:25].X)


def test_layers_are_read_everywhere(cells: ad.AnnData, tmp_path) -> None:
    empty = cells.copy()
    empty.X = sp.csr_matrix(empty.shape, dtype=np.float32)
    for place in ["memory", "h5ad", "zarr", "backed"]:
        data = stored(empty, f"{place}-csr", tmp_path)
        assert_moments(read(data, layer="lognorm"), cells.X)
        with pytest.raises(KeyError, match="absent"):
            read(data, layer="absent")


def test_shards_in_any_order_of_genes_are_the_whole(cells: ad.AnnData, tmp_path) -> None:
    shuffled = cells[100:180, np.random.default_rng(1).permutation(40)].copy()
    shuffled.write_h5ad(tmp_path / "b.h5ad")
    cells[180:].copy().write_zarr(tmp_path / "c.zarr")
    shards = [cells[:100], tmp_path / "b.h5ad", str(tmp_path / "c.zarr")]
    result = read(shards, batch_key="batch")
    assert_moments(result, cells.X)
    assert result.strata == ("left", "right")
    assert_moments(sum_of([read(shard).subset(cells.var_names) for shard in shards]), cells.X)


def sum_of(parts: list[core.Moments]) -> core.Moments:
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


def test_counts_are_normalised_inside_the_pass_as_scanpy_does(cells: ad.AnnData) -> None:
    for make in [np.asarray, sp.csr_matrix, sp.csc_matrix]:
        for dtype in [np.float32, np.int64, np.int32, np.uint8]:
            raw = cells.copy()
            raw.X = make(cells.layers["counts"].toarray().astype(dtype))
            genes = list(cells.var_names[::3])
            result = read(raw, normalize="log1p", genes=genes)
            assert_moments(result, cells[:, genes].X, rtol=1e-6)  # scanpy divides in float32
            assert result.normalize == "log1p 10000"
    assert_moments(read(cells, layer="counts", normalize="log1p"), cells.X, rtol=1e-6)


def test_a_cell_without_counts_stays_empty(cells: ad.AnnData) -> None:
    counts = cells.layers["counts"].toarray()
    counts[7] = 0
    raw = ad.AnnData(sp.csr_matrix(counts))
    result = read(raw, normalize="log1p", target_sum=1000)
    sc.pp.normalize_total(raw, target_sum=1000)
    sc.pp.log1p(raw)
    assert_moments(result, raw.X, rtol=1e-6)


def test_samples_within_batches_and_folds(cells: ad.AnnData) -> None:
    pairs = read(cells, sample_key="donor", batch_key="batch")
    assert pairs.strata[0] == "left | d1"
    assert len(pairs.strata) == 10
    donors = read(cells, sample_key="donor", n_folds=2)
    assert len(donors.strata) == 2
    assert sorted(" + ".join(donors.strata).split(" + ")) == ["d1", "d2", "d3", "d4", "d5"]
    assert abs(donors.counts[0] - donors.counts[1]) < 60
    folds = read(cells, n_folds=4)
    assert folds.strata == ("fold_1", "fold_2", "fold_3", "fold_4")
    assert folds.counts.tolist() == [58, 58, 57, 57]
    np.testing.assert_array_equal(folds.grams, read(cells, n_folds=4).grams)
    assert (folds.grams != read(cells, n_folds=4, random_state=1).grams).any()
    for result in (pairs, donors, folds):
        assert_moments(result, cells.X)


def test_more_strata_than_memory_are_pooled_and_said(cells: ad.AnnData) -> None:
    with pytest.warns(pae.DataWarning, match="5 strata of 40 genes .* pooled into 3 folds"):
        result = read(cells, sample_key="donor", memory=3.5 * 8 * 40 * 40 / 2**30)
    assert sorted(" + ".join(result.strata).split(" + ")) == ["d1", "d2", "d3", "d4", "d5"]
    assert_moments(result, cells.X)
    with pytest.raises(ValueError, match="40 genes need a Gram matrix"):
        read(cells, memory=0.5 * 8 * 40 * 40 / 2**30)


def test_chunks_of_dask_are_computed_once_each(cells: ad.AnnData) -> None:
    dask_array = pytest.importorskip("dask.array")
    computed = []

    def note(x):
        if len(x):
            computed.append(len(x))
        return x

    lazy = cells.copy()
    lazy.X = dask_array.from_array(cells.X.toarray(), chunks=(50, 40)).map_blocks(note, meta=np.zeros((0, 0)))
    source = sources.of_anndata(lazy)
    list(source.blocks(1))
    assert computed == [50, 50, 50, 50, 30]
    merged = [block.stop for block in source.blocks(8 * 40 * 100)]
    assert merged == [100, 200, 230]


# What is refused.


def damaged(cells: ad.AnnData, values, folder):
    for name, part in (("a.h5ad", cells[:100].copy()), ("b.h5ad", cells[100:].copy())):
        if name == "b.h5ad":
            values(part)
        part.write_h5ad(folder / name)
    return [folder / "a.h5ad", folder / "b.h5ad"]


def test_a_nan_is_named_with_file_and_cells(cells: ad.AnnData, tmp_path) -> None:
    def values(part):
        part.X = part.X.toarray()
        part.X[77, 3] = np.nan

    with pytest.raises(ValueError, match=r"file .*b\.h5ad, cells \d+–\d+, holds 1 NaN or infinite values, .*column 3"):
        read(damaged(cells, values, tmp_path))


def test_a_shard_of_counts_among_log_values_is_named(cells: ad.AnnData, tmp_path) -> None:
    def values(part):
        part.X = part.layers["counts"]

    shards = damaged(cells, values, tmp_path)
    for normalize in (None, "log1p"):
        with pytest.raises(ValueError, match=r"b\.h5ad holds raw counts, .*a\.h5ad does not"):
            read(shards, normalize=normalize)


def test_counts_that_begin_within_a_file_are_named(cells: ad.AnnData, monkeypatch) -> None:
    monkeypatch.setattr(core, "BLOCK_BYTES", 8 * 40 * 60)
    mixed = sp.vstack([cells.X] * 5 + [cells.layers["counts"]] * 2).tocsr()
    with pytest.raises(ValueError, match=r"adata\.X, cells 1\d+–1\d+, holds raw counts, the cells before do not"):
        read(ad.AnnData(mixed))
    mixed = sp.vstack([cells.layers["counts"]] * 5 + [cells.X]).tocsr()
    with pytest.raises(ValueError, match=r"adata\.X, cells 1\d+–1\d+, holds values that are no counts"):
        read(ad.AnnData(mixed), normalize="log1p")


def test_normalising_twice_is_refused_and_raw_counts_are_warned_of(cells: ad.AnnData) -> None:
    with pytest.raises(ValueError, match="needs counts"):
        read(cells, normalize="log1p")
    with pytest.warns(pae.DataWarning, match="look like raw counts"):
        read(cells, layer="counts")


def test_other_genes_are_named_unless_the_shared_ones_are_asked_for(cells: ad.AnnData, tmp_path) -> None:
    cells[100:, 3:].copy().write_h5ad(tmp_path / "b.h5ad")
    shards = [cells[:100], tmp_path / "b.h5ad"]
    with pytest.raises(ValueError, match=r"b\.h5ad has other genes than data\[0\]\.X: 3 missing, 0 more, .* 'gene_0"):
        read(shards)
    with pytest.raises(ValueError, match=r"data\[1\]\.X has other genes .* 0 missing, 3 more"):
        read([tmp_path / "b.h5ad", cells[:100]])
    with pytest.raises(ValueError, match="than the genes asked for: 1 missing"):
        read(shards, genes=["gene_5", "gene_0"])
    assert_moments(read(shards, join="inner"), cells.X[:, 3:])
    assert_moments(read(shards, genes=["gene_5", "gene_4"]), cells.X[:, [5, 4]])


def test_a_truncated_h5ad_is_named(cells: ad.AnnData, tmp_path) -> None:
    for share in [0.0, 0.3, 0.9]:
        cells.write_h5ad(tmp_path / "a.h5ad")
        content = (tmp_path / "a.h5ad").read_bytes()
        (tmp_path / "t.h5ad").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=r"t\.h5ad cannot be opened"):
            read([tmp_path / "a.h5ad", tmp_path / "t.h5ad"])


def test_a_missing_chunk_of_a_sparse_zarr_is_not_read_as_zeros(cells: ad.AnnData, tmp_path) -> None:
    for part in ("data", "indices"):
        cells.write_zarr(tmp_path / f"{part}.zarr")
        chunks = (tmp_path / f"{part}.zarr/X/{part}").rglob("*")
        max(path for path in chunks if path.name.isdigit()).unlink()
        with pytest.raises(ValueError, match=rf"{part}\.zarr lacks 1 chunks of its values"):
            read(tmp_path / f"{part}.zarr")


def test_a_file_that_stores_fewer_values_than_its_rows_have_is_named(cells: ad.AnnData, tmp_path) -> None:
    import h5py

    cells.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "r+") as file:
        data = file["X/data"][:1000]
        del file["X/data"]
        file["X/data"] = data
    with pytest.raises(ValueError, match=r"file .*a\.h5ad is damaged: the bounds of its rows"):
        read(tmp_path / "a.h5ad")


def test_a_missing_chunk_of_a_dense_zarr_is_warned_of(cells: ad.AnnData, tmp_path) -> None:
    adata = cells.copy()
    adata.X = adata.X.toarray()
    with ad.settings.override(auto_shard_zarr_v3=False):  # newer versions put many chunks into a file
        adata.write_zarr(tmp_path / "a.zarr", chunks=(50, 20))
    assert_moments(read(tmp_path / "a.zarr"), adata.X)
    chunks = [path for path in (tmp_path / "a.zarr/X").rglob("*") if path.is_file() and path.name[-1].isdigit()]
    assert len(chunks) == 10
    next(path for path in chunks if str(path.relative_to(tmp_path / "a.zarr/X")).strip("c/") in ("1.0", "1/0")).unlink()
    adata.X[50:100, :20] = 0
    with pytest.warns(pae.DataWarning, match=r"a\.zarr lacks 1 of 10 chunks of its dense values, .* read as zeros"):
        assert_moments(read(tmp_path / "a.zarr"), adata.X)


def test_what_is_no_data_is_refused(cells: ad.AnnData, tmp_path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        read(tmp_path / "absent.h5ad")
    with pytest.raises(TypeError, match=r"data=<list of 2> must be .*ndarray"):
        read([cells, np.ones((3, 3))])
    with pytest.raises(ValueError, match="empty"):
        read([])
    with pytest.raises(ValueError, match="is empty"):
        read(cells[:0])
    with pytest.raises(KeyError, match="'site' is not a column of adata.obs"):
        read(cells, sample_key="site")
    lost = cells.copy()
    lost.obs["batch"] = lost.obs["batch"].where(np.arange(230) > 3)
    with pytest.raises(ValueError, match="4 cells have no 'batch'"):
        read(lost, batch_key="batch")
    with pytest.raises(ValueError, match="n_folds=9 is more than the 5 strata"):
        read(cells, sample_key="donor", n_folds=9)
    with pytest.raises(ValueError, match="each once"):
        read(cells, genes=["gene_1", "gene_1"])
    with pytest.raises(TypeError, match="must be a list of text"):
        read(cells, genes="gene_1")
    with pytest.raises(ValueError, match="device='tpu9' is not a torch device"):
        read(cells, device="tpu9")


def test_a_large_file_by_genes_is_refused_with_the_way_out(cells: ad.AnnData, tmp_path) -> None:
    path = stored(cells, "h5ad-csc", tmp_path)
    with pytest.raises(ValueError, match="stored by genes"):
        read(path, memory=8 * 40 * 40 / 2**30)


@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)])  # cpu:0 goes through torch
def test_another_device_gives_the_same_moments(device):
    adata = pae.datasets.simulate(400, 150, 3, n_donors=3)
    found = pae.pp.moments(adata, sample_key="donor", device=device, progress=False)
    expected = pae.pp.moments(adata, sample_key="donor", progress=False)
    assert found.strata == expected.strata
    np.testing.assert_array_equal(found.sums, expected.sums)
    np.testing.assert_allclose(found.grams, expected.grams, atol=1e-5 * expected.grams.max())
