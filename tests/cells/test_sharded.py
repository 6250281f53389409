"""Zarr with several chunks to a file, as sharded stores and collections of annbatch have: the answers of plain ones."""

import shutil

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from cli_runs import done, error_of, run

import pathwayae as pae
from pathwayae.core.notice import DataWarning

zarr = pytest.importorskip("zarr")
pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata"),
    pytest.mark.filterwarnings("ignore:Writing zarr v2"),
    pytest.mark.filterwarnings("ignore:zarr v3 autosharding"),
]

N, G = 90, 120
FORMS = {"csr": sp.csr_matrix, "csc": sp.csc_matrix, "dense": np.asarray}
ROWS, SHARD = 8, 32  # cells of a chunk, and of a shard; neither divides the number of cells


def sharded(adata, path, key="/"):
    """Write X in shards of several chunks, the last of both not full."""

    def write(func, store, name, value, dataset_kwargs, *, iospec):
        of = dict(dataset_kwargs)
        if iospec.encoding_type in ("csr_matrix", "csc_matrix"):
            per_cell = value.nnz // N
            of |= {"chunks": (ROWS * per_cell,), "shards": (SHARD * per_cell,)}
        elif name == "X":
            of |= {"chunks": (ROWS, 16), "shards": (SHARD, 32)}
        func(store, name, value, dataset_kwargs=of)

    root = zarr.open_group(path, mode="a", zarr_format=3)
    ad.experimental.write_dispatched(root, key, adata, callback=write)
    return path


def shards_of(path):
    return sorted(one for one in path.rglob("*") if one.is_file() and one.name != "zarr.json")


@pytest.fixture(scope="module")
def cells():
    adata = pae.datasets.simulate(N, G, 3, random_state=1)
    adata.X = adata.X.toarray()
    return adata


@pytest.fixture(scope="module")
def fitted(cells):
    adata = cells.copy()
    pae.tl.fit(adata, "pathways", min_genes=2, n_extra=2, progress=False)
    return adata


@pytest.fixture(scope="module", params=FORMS)
def form(request):
    return FORMS[request.param]


@pytest.fixture(scope="module")
def stored(cells, form, tmp_path_factory):
    adata = cells.copy()
    adata.X = form(cells.X)
    return sharded(adata, tmp_path_factory.mktemp("sharded") / "cells.zarr")


def test_moments_and_scores_are_those_of_the_plain_cells(cells, fitted, stored, tmp_path):
    root = zarr.open_group(stored, mode="r")
    values = root["X"] if "X" in root.array_keys() else root["X/data"]
    assert values.shards
    assert values.shards != values.chunks
    found, expected = pae.pp.moments(stored, progress=False), pae.pp.moments(cells, progress=False)
    np.testing.assert_allclose(found.grams, expected.grams, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12)
    pae.tl.transform(stored, fitted, out=tmp_path / "scores.zarr", progress=False)
    scores = ad.read_zarr(tmp_path / "scores.zarr")[cells.obs_names].X
    np.testing.assert_allclose(scores, fitted.obsm["X_pae"], atol=1e-5)


@pytest.mark.parametrize("form", ["csr"], indirect=True)
def test_a_fit_is_that_of_the_plain_cells_and_can_be_written(cells, fitted, stored, tmp_path):
    adata = ad.read_zarr(stored)
    pae.tl.fit(adata, "pathways", min_genes=2, n_extra=2, progress=False)
    np.testing.assert_allclose(adata.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-4)
    back = ad.read_zarr(sharded(adata, tmp_path / "fitted.zarr"))
    np.testing.assert_array_equal(pae.get.scores(back), pae.get.scores(adata))


@pytest.mark.parametrize("form", ["csr"], indirect=True)
def test_the_command_fits_a_sharded_store_and_leaves_its_matrix_as_it_is(fitted, stored, tmp_path):
    out = tmp_path / "out.zarr"
    done("fit", stored, "-p", "pathways", "--min-genes", 2, "--n-extra", 2, "-o", out)
    np.testing.assert_allclose(ad.read_zarr(out).obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-4)
    assert [one.read_bytes() for one in shards_of(out / "X")] == [one.read_bytes() for one in shards_of(stored / "X")]
    done("transform", stored, "-r", out, "-o", tmp_path / "scores.parquet")


def test_a_shard_that_is_gone_is_missed(cells, form, stored, tmp_path):
    path = tmp_path / "cells.zarr"
    shutil.copytree(stored, path)
    whole = shards_of(path / "X" / "data" if form is not np.asarray else path / "X")
    whole[1].unlink()
    if form is np.asarray:
        with pytest.warns(DataWarning, match=f"lacks 1 of {len(whole)} chunks"):
            pae.pp.moments(path, progress=False)
    else:
        with pytest.raises(ValueError, match="lacks 1 chunks of its values"):
            pae.pp.moments(path, progress=False)


def test_a_shard_that_is_cut_off_is_refused(stored, tmp_path):
    path = tmp_path / "cells.zarr"
    shutil.copytree(stored, path)
    cut = max(shards_of(path / "X"), key=lambda one: one.stat().st_size)
    cut.write_bytes(cut.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"cells.zarr.*(cannot be read|is cut off|damaged)"):
        pae.pp.moments(path, progress=False)


def test_cells_and_genes_without_counts_are_zeros_not_losses(cells, tmp_path):
    """Zarr leaves out chunks of zeros: inside a shard without a trace, a shard of them with a warning."""
    adata = cells.copy()
    adata.X[:20] = 0  # chunks of the first shard
    path = sharded(adata, tmp_path / "chunks.zarr")
    expected = pae.pp.moments(adata, progress=False)
    np.testing.assert_allclose(pae.pp.moments(path, progress=False).grams, expected.grams, rtol=1e-12)
    adata.X[:SHARD] = 0
    path = sharded(adata, tmp_path / "shards.zarr")
    expected = pae.pp.moments(adata, progress=False)
    with pytest.warns(DataWarning, match="lacks 4 of 12 chunks of its dense values"):
        found = pae.pp.moments(path, progress=False)
    np.testing.assert_allclose(found.grams, expected.grams, rtol=1e-12)
    adata.X = sp.csr_matrix(adata.X)
    path = sharded(adata, tmp_path / "sparse.zarr")  # what sparse cells lack is not stored anyway
    np.testing.assert_allclose(pae.pp.moments(path, progress=False).grams, expected.grams, rtol=1e-12)


@pytest.fixture(scope="module")
def collection(cells, tmp_path_factory):
    """What annbatch's DatasetCollection writes: a marked group of AnnData, its cells shuffled."""
    path = tmp_path_factory.mktemp("collection") / "cells.zarr"
    zarr.open_group(path, mode="w", zarr_format=3).attrs.update(
        {"encoding-type": "annbatch-preshuffled", "encoding-version": "0.1.0"}
    )
    order = np.random.default_rng(0).permutation(N)
    adata = cells.copy()
    adata.X = sp.csr_matrix(adata.X)
    for number, part in zip((0, 2, 10), np.array_split(order, 3), strict=True):
        sharded(adata[np.sort(part)].copy(), path, f"dataset_{number}")
    return path


def test_a_collection_is_its_data_sets_in_the_order_of_their_numbers(cells, fitted, collection, tmp_path):
    found, expected = pae.pp.moments(collection, progress=False), pae.pp.moments(cells, progress=False)
    assert found.n == N
    np.testing.assert_allclose(found.grams, expected.grams, rtol=1e-10, atol=1e-8)
    pae.tl.transform([collection], fitted, out=tmp_path / "scores.zarr", progress=False)
    scores = ad.read_zarr(tmp_path / "scores.zarr")
    np.testing.assert_allclose(scores[cells.obs_names].X, fitted.obsm["X_pae"], atol=1e-5)
    shards = list(dict.fromkeys(scores.obs["pae_shard"]))
    assert [one.rsplit("_", 1)[1] for one in shards] == ["0", "2", "10"]
    both = pae.pp.moments([collection, cells], progress=False)
    np.testing.assert_allclose(both.grams, 2 * expected.grams, rtol=1e-10, atol=1e-8)


def test_a_collection_where_one_file_is_needed_says_what_to_name(collection, tmp_path):
    error = error_of(run("fit", collection, "-p", "pathways", "-o", tmp_path / "out.zarr"), 4)
    assert "collection of annbatch" in error
    assert "dataset_0" in error


def test_annbatch_itself(cells, collection, tmp_path):
    annbatch = pytest.importorskip("annbatch")
    cells.write_h5ad(tmp_path / "cells.h5ad")
    made = annbatch.DatasetCollection(tmp_path / "made.zarr").add_adatas(
        [tmp_path / "cells.h5ad"], dataset_size=50, shuffle_chunk_size=10, n_obs_per_chunk=ROWS, shard_size=SHARD
    )
    assert not made.is_empty
    expected = pae.pp.moments(cells, progress=False)
    for path in (tmp_path / "made.zarr", collection):
        found = pae.pp.moments(path, progress=False)
        np.testing.assert_allclose(found.grams, expected.grams, rtol=1e-10, atol=1e-8)
    assert len(annbatch.DatasetCollection(collection, mode="r").obs()) == N
