"""The pass on dask by threads of this process: the moments of memory, and what is refused with its place."""

from __future__ import annotations

import itertools

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from dask_cells import OPTIONS, G, N, assert_same, counted, on_dask, read
from pairwise import pairwise

from pathwayae import _checks
from pathwayae._cells import cluster as _cluster
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2"),
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
]
FORMS = [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array]


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return counted()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(core, "BLOCK_BYTES", 8 * G * 32)
    monkeypatch.setattr(_checks, "COUNTS_ROWS", 50)  # the first look


# Threads of this process.


@pytest.mark.parametrize(("rows", "form", "options"), pairwise(rows=(7, 25, 1000), form=FORMS, options=OPTIONS))
def test_a_tree_of_threads_gives_the_moments_of_memory(cells, rows, form, options) -> None:
    assert_same(read(on_dask(cells, rows=rows, form=form), **options), read(cells, **options))


def test_the_digits_do_not_depend_on_the_number_of_threads(cells) -> None:
    lazy = on_dask(cells)
    first = read(lazy, sample_key="donor")
    for settings in ({"num_workers": 1}, {"num_workers": 7}, {"scheduler": "sync"}):
        with dask.config.set(settings):
            again = read(lazy, sample_key="donor")
        np.testing.assert_array_equal(again.grams, first.grams)
        np.testing.assert_array_equal(again.sums, first.sums)


def test_chunks_that_divide_the_genes_and_views_and_mixed_lots_are_read(cells) -> None:
    lazy = cells.copy()
    lazy.X = da.from_array(cells.X.toarray(), chunks=(50, 11))
    assert_same(read(lazy), read(cells))
    picked = np.random.default_rng(2).permutation(N)[:150]
    assert_same(read(lazy[picked, 3:30]), read(cells[picked, 3:30]))
    data = [cells[:100], on_dask(cells[100:200, ::-1].copy()), cells[200:]]
    assert_same(read(data, sample_key="donor"), read(cells, sample_key="donor"))


@pytest.mark.parametrize(("kind", "form"), [("h5ad", np.asarray), ("zarr", sp.csr_matrix), ("h5ad", sp.csc_matrix)])
def test_a_lazily_read_file_is_read_with_its_columns(cells, kind, form, tmp_path) -> None:
    pytest.importorskip("xarray")
    adata = cells.copy()
    adata.X = form(adata.X.toarray())
    adata.var["symbol"] = [f"s{i}" for i in range(G)]
    path = tmp_path / f"cells.{kind}"
    adata.write_h5ad(path) if kind == "h5ad" else adata.write_zarr(path)
    lazy = ad.experimental.read_lazy(path)
    for options in ({"sample_key": "donor", "batch_key": "batch"}, {"gene_symbols": "symbol", "n_folds": 2}):
        assert_same(read(lazy, **options), read(adata, **options))


@pytest.mark.parametrize("empty", [[0, 50, 0, 280], [50, 280, 0], [0, 330, 0, 0]])
def test_empty_chunks_are_passed_over(cells, empty) -> None:
    lazy = cells.copy()
    ends = np.cumsum([0, *empty])
    pieces = [da.from_array(cells.X[a:b].toarray(), chunks=-1) for a, b in itertools.pairwise(ends)]
    lazy.X = da.concatenate(pieces, allow_unknown_chunksizes=True)
    lazy.X = da.map_blocks(lambda x: x, lazy.X.rechunk((tuple(empty), G)), dtype=np.float32)
    assert lazy.X.chunks[0] == tuple(empty)
    assert_same(read(lazy, sample_key="donor"), read(cells, sample_key="donor"))


def test_no_task_adds_more_than_two_and_every_part_is_read_once(cells) -> None:
    source = sources.of_anndata(on_dask(cells, rows=10))
    lot = _cluster.Lot(source, None, np.arange(N) // 40)
    names = tuple(f"s{i}" for i in range(9))
    tasks, left, threads = _cluster.divide([lot], names, G, n_bytes=20 * 4 * G, n_grams=20)
    assert (len(tasks), left, threads) == (17, [], 20 - 5 - 2)
    assert [(task.part.start, task.part.stop) for task in tasks] == [(a, min(a + 20, N)) for a in range(0, N, 20)]
    assert max(len(task.part.strata) for task in tasks) == 1  # those that occur, no others
    graph = dict(_cluster.tree(tasks, "topic").__dask_graph__())
    inputs = {key: sum(isinstance(k, tuple) for k in node.dependencies) for key, node in graph.items()}
    sums = {key: n for key, n in inputs.items() if isinstance(key, tuple) and str(key[0]).startswith("add-topic")}
    assert len(sums) == len(tasks) - 1
    assert set(sums.values()) == {_cluster.FAN_IN}
    assert max(int(key[0].split("-")[-1]) for key in sums) == 5  # levels


def test_without_room_for_a_tree_cells_are_read_in_one_stream(cells, monkeypatch) -> None:
    made = []
    original = core.Accumulator.__init__
    monkeypatch.setattr(
        core.Accumulator, "__init__", lambda self, *args, **kwargs: (made.append(1), original(self, *args, **kwargs))[1]
    )
    lazy = on_dask(cells)
    streamed = read(lazy, memory=6.5 * 8 * G * G / 2**30)
    assert len(made) == 1
    assert_same(read(lazy, memory=30 * 8 * G * G / 2**30), streamed)
    assert len(made) > 7


def test_the_parts_of_a_pass_are_counted_in_cells_on_a_bar_unless_turned_off(cells, watched, capsys) -> None:
    lazy, heard = on_dask(cells, rows=50), []
    lot = _cluster.Lot(sources.of_anndata(lazy), None, np.zeros(N, dtype=int))
    tasks, _, _ = _cluster.divide([lot], core.WHOLE, G, n_bytes=1, n_grams=50)
    _cluster.add_up(tasks, threads=2, advance=heard.append)
    assert sorted(heard) == [30] + [50] * 6
    read(lazy, progress=True)
    assert "cells: " in capsys.readouterr().err
    read(lazy)
    assert capsys.readouterr().err == ""


# What is refused, with the place.


def with_nan(chunk, i):
    chunk = chunk.copy()
    if i == 8:
        chunk[3, 5] = np.nan
    return chunk


def broken(chunk, i):
    if i == 8:
        raise ZeroDivisionError("no such block")
    return chunk


def test_a_nan_in_a_chunk_and_a_chunk_that_cannot_be_made_are_named(cells) -> None:
    message = r"adata\.X, chunks 8–9, cells 200–249, holds 1 NaN or infinite values, the first in column 5"
    with pytest.raises(ValueError, match=message):
        read(on_dask(cells, with_nan))
    message = r"adata\.X, chunks 8–9, cells 200–249, cannot be read \(ZeroDivisionError: no such block\)"
    with pytest.raises(ValueError, match=message) as caught:
        read(on_dask(cells, broken))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    first = on_dask(cells, lambda chunk, i: broken(chunk, 8))
    with pytest.raises(ValueError, match=r"adata\.X, cells 0–49, cannot be read \(ZeroDivisionError: no such block\)"):
        read(first)


def test_a_chunk_that_fails_only_once_is_still_an_error(cells) -> None:
    failed = []

    def flaky(chunk, i):
        if i == 8 and failed.count(i) < 1:
            failed.append(i)
            raise OSError("the disk was away")
        return chunk

    source = sources.of_anndata(on_dask(cells, flaky))
    tasks, _, _ = _cluster.divide(
        [_cluster.Lot(source, None, np.zeros(N, dtype=int))], core.WHOLE, G, n_bytes=1, n_grams=99
    )
    with pytest.raises(ValueError, match=r"adata\.X, chunk \d, cells .*disk was away.* call again"):
        _cluster.add_up(tasks, threads=1, advance=lambda n: None)


def test_counts_and_chunks_of_another_kind_or_shape_are_named(cells) -> None:
    mixed = cells.copy()
    mixed.X = sp.vstack([cells.X[:250], cells.layers["counts"][250:300], cells.X[300:]]).tocsr()
    with pytest.raises(ValueError, match=r"adata\.X, chunks 10–11, cells 250–299, holds raw counts"):
        read(on_dask(mixed))
    counts = cells.layers["counts"]
    mixed.layers["counts"] = sp.vstack([counts[:250], cells.X[250:300], counts[300:]]).tocsr()
    with pytest.raises(ValueError, match=r"chunks 10–11, cells 250–299, holds values that are no counts"):
        read(on_dask(mixed), layer="counts", normalize="log1p")
    with pytest.raises(ValueError, match=r"cells 200–249, came back as \(49, 40\), not \(50, 40\)"):
        read(on_dask(cells, lambda chunk, i: chunk[1:] if i == 8 else chunk))
    with pytest.raises(ValueError, match=r"cells 200–249, .*is list"):
        read(on_dask(cells, lambda chunk, i: chunk.tolist() if i == 8 else chunk, form=np.asarray))
