"""The pass on dask: threads, processes, files opened by workers; one lost worker changes nothing, all are an error."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import threading
import time

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae import _checks
from pathwayae._cells import cluster as _cluster
from pathwayae._cells import dask as _dask
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")
distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2"),
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
]
N, G = 330, 40


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
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


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(core, "BLOCK_BYTES", 8 * G * 32)
    monkeypatch.setattr(_checks, "COUNTS_ROWS", 50)  # the first look


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2, processes=True, threads_per_worker=1, dashboard_address=None, silence_logs=50
    ) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with distributed.Client(cluster) as client:
        client.wait_for_workers(2, timeout=30)
        yield client


def read(data, **kwargs) -> core.Moments:
    return pae.pp.moments(data, **({"progress": False} | kwargs))


def assert_same(result: core.Moments, expected: core.Moments, rtol: float = 1e-12) -> None:
    assert result.strata == expected.strata
    assert result.genes == expected.genes
    assert result.normalize == expected.normalize
    np.testing.assert_array_equal(result.counts, expected.counts)
    np.testing.assert_allclose(result.sums, expected.sums, rtol=rtol)
    np.testing.assert_allclose(result.grams, expected.grams, rtol=rtol)


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


OPTIONS = [
    {},
    {"sample_key": "donor", "batch_key": "batch"},
    {"layer": "counts", "normalize": "log1p", "sample_key": "donor", "target_sum": 1000},
    {"n_folds": 3, "genes": ["gene_30", "gene_2", "gene_17"]},
]

# Threads of this process.


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix, sp.csr_array])
@pytest.mark.parametrize("rows", [7, 25, 1000])
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


def test_chunks_that_divide_the_genes_and_views_are_read(cells) -> None:
    lazy = cells.copy()
    lazy.X = da.from_array(cells.X.toarray(), chunks=(50, 11))
    assert_same(read(lazy), read(cells))
    picked = np.random.default_rng(2).permutation(N)[:150]
    assert_same(read(lazy[picked, 3:30]), read(cells[picked, 3:30]))


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
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


@pytest.mark.parametrize("empty", [[0, 50, 280], [50, 0, 280], [50, 280, 0], [0, 330, 0, 0]])
def test_empty_chunks_are_passed_over(cells, empty) -> None:
    lazy = cells.copy()
    ends = np.cumsum([0, *empty])
    pieces = [da.from_array(cells.X[a:b].toarray(), chunks=-1) for a, b in itertools.pairwise(ends)]
    lazy.X = da.concatenate(pieces, allow_unknown_chunksizes=True)
    lazy.X = da.map_blocks(lambda x: x, lazy.X.rechunk((tuple(empty), G)), dtype=np.float32)
    assert lazy.X.chunks[0] == tuple(empty)
    assert_same(read(lazy, sample_key="donor"), read(cells, sample_key="donor"))


def test_lots_in_memory_and_on_dask_are_added(cells) -> None:
    data = [cells[:100], on_dask(cells[100:200, ::-1].copy()), cells[200:]]
    assert_same(read(data, sample_key="donor"), read(cells, sample_key="donor"))


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


def test_the_parts_of_a_pass_are_counted_in_cells(cells) -> None:
    lazy, heard = on_dask(cells, rows=50), []
    source = sources.of_anndata(lazy)
    lot = _cluster.Lot(source, None, np.zeros(N, dtype=int))
    tasks, _, _ = _cluster.divide([lot], core.WHOLE, G, n_bytes=1, n_grams=50)
    _cluster.add_up(tasks, threads=2, advance=heard.append)
    assert sorted(heard) == [30, 50, 50, 50, 50, 50, 50]


def test_progress_is_shown_unless_turned_off(cells, capsys) -> None:
    read(on_dask(cells), progress=True)
    assert "cells: " in capsys.readouterr().err
    read(on_dask(cells))
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


def test_a_nan_in_a_chunk_is_named(cells) -> None:
    message = r"adata\.X, chunks 8–9, cells 200–249, holds 1 NaN or infinite values, the first in column 5"
    with pytest.raises(ValueError, match=message):
        read(on_dask(cells, with_nan))


def test_a_chunk_that_cannot_be_made_is_named(cells) -> None:
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


def test_counts_in_a_late_chunk_are_named(cells) -> None:
    mixed = cells.copy()
    mixed.X = sp.vstack([cells.X[:250], cells.layers["counts"][250:300], cells.X[300:]]).tocsr()
    with pytest.raises(ValueError, match=r"adata\.X, chunks 10–11, cells 250–299, holds raw counts"):
        read(on_dask(mixed))
    counts = cells.layers["counts"]
    mixed.layers["counts"] = sp.vstack([counts[:250], cells.X[250:300], counts[300:]]).tocsr()
    with pytest.raises(ValueError, match=r"chunks 10–11, cells 250–299, holds values that are no counts"):
        read(on_dask(mixed), layer="counts", normalize="log1p")


def test_a_chunk_of_another_kind_or_shape_is_named(cells) -> None:
    with pytest.raises(ValueError, match=r"cells 200–249, came back as \(49, 40\), not \(50, 40\)"):
        read(on_dask(cells, lambda chunk, i: chunk[1:] if i == 8 else chunk))
    with pytest.raises(ValueError, match=r"cells 200–249, .*is list"):
        read(on_dask(cells, lambda chunk, i: chunk.tolist() if i == 8 else chunk, form=np.asarray))


# Workers in other processes.


@pytest.mark.parametrize("options", OPTIONS)
def test_two_processes_give_the_moments_of_memory(cells, client, options, tmp_path) -> None:
    expected = read(cells, **options)
    assert_same(read(on_dask(cells), **options), expected)
    assert_same(read(shards(cells, tmp_path), **options), expected)


def test_workers_open_files_of_every_kind(cells, client, tmp_path, monkeypatch) -> None:
    expected = read(cells, sample_key="donor")
    monkeypatch.setattr(sources.Source, "blocks", None)  # this process reads no block but the first look
    for form in (np.asarray, sp.csr_matrix, sp.csc_matrix):
        adata = cells.copy()
        adata.X = form(adata.X.toarray())
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata.write_zarr(tmp_path / f"{form.__name__}.zarr")
        for name in ("cells.h5ad", f"{form.__name__}.zarr"):
            monkeypatch.chdir(tmp_path)  # a relative path, which the workers would not find
            assert_same(read(name, sample_key="donor"), expected)


def test_progress_of_workers_is_heard_during_the_pass(cells, client, tmp_path) -> None:
    go, heard = tmp_path / "go", []

    def waits(chunk, i):
        """The last chunk comes only after the client has heard of another."""
        deadline = time.monotonic() + 10
        while i == 6 and not go.exists():
            if time.monotonic() > deadline:
                raise TimeoutError
            time.sleep(0.01)
        return chunk

    def advance(n: int) -> None:
        heard.append(n)
        go.touch()

    source = sources.of_anndata(on_dask(cells, waits, rows=50))
    tasks, _, _ = _cluster.divide(
        [_cluster.Lot(source, None, np.zeros(N, dtype=int))], core.WHOLE, G, n_bytes=1, n_grams=1
    )
    _cluster.add_up(tasks, threads=1, advance=advance)
    assert sorted(heard) == [30] + [50] * 6


def test_memory_is_read_here_and_a_chosen_scheduler_is_kept(cells, client, tmp_path) -> None:
    assert _dask.client() is client
    with dask.config.set(scheduler="threads"):
        assert _dask.client() is None
        assert_same(read(on_dask(cells)), read(cells))
    lots = [_cluster.Lot(sources.of_anndata(cells), None, np.zeros(N, dtype=int))]
    assert _cluster.divide(lots, core.WHOLE, G, n_bytes=1000, n_grams=9)[1] == lots


def test_errors_of_workers_name_file_chunk_and_cells(cells, client, tmp_path) -> None:
    def nan_in_one(chunk, i):
        chunk = chunk.copy()
        chunk[3, 5] = np.nan if i == 8 else 0.0
        return chunk

    def broken_one(chunk, i):
        return 1 / 0 if i == 8 else chunk

    with pytest.raises(ValueError, match=r"adata\.X, chunks 8–9, cells 200–249, holds 1 NaN"):
        read(on_dask(cells, nan_in_one))
    with pytest.raises(ValueError, match=r"adata\.X, chunks 8–9, cells 200–249, cannot be read \(ZeroDivisionError"):
        read(on_dask(cells, broken_one))


def test_damaged_files_on_workers_are_named(cells, client, tmp_path) -> None:
    import h5py

    first, second, third = shards(cells, tmp_path)
    cut = shutil.copy(second, tmp_path / "cut.h5ad")  # a worker may have the other file open for a while yet
    with h5py.File(second, "r+") as file:
        file["X/data"][-3] = np.nan
    with pytest.raises(ValueError, match=r"file .*b\.h5ad, cells \d+–129, holds 1 NaN"):
        read([first, second, third])
    with h5py.File(cut, "r+") as file:
        data = file["X/data"][:-500]
        del file["X/data"]
        file["X/data"] = data
    with pytest.raises(ValueError, match=r"file .*cut\.h5ad, cells \d+–\d+, "):
        read([first, cut, third])
    task = _cluster.Task(_part(first.with_name("absent.h5ad")), [])
    with pytest.raises(ValueError, match=r"file absent cannot be opened by a worker .*absent\.h5ad"):
        _cluster.add_up([task], threads=1, advance=lambda n: None)


def _part(path) -> _cluster.Part:
    from pathwayae._cells import files

    stored = files.Stored("file absent", path, "X", 2**30)
    return _cluster.Part("file absent", 0, 5, G, None, ("all",), None, None, 1000, stored)


def test_a_worker_killed_half_way_changes_nothing(cells, cluster, client, tmp_path) -> None:
    pid, go = tmp_path / "pid", tmp_path / "go"

    def waits(chunk, i):
        """The first worker that comes here leaves its number, and is killed before it goes on."""
        if i == 9 and not go.exists():
            pid.with_suffix(".new").write_text(str(os.getpid()))
            pid.with_suffix(".new").rename(pid)
            for _ in range(1000):
                time.sleep(0.02)
                if go.exists():
                    break
        return chunk

    killed = []

    def kill() -> None:
        for _ in range(1000):
            if pid.exists():
                break
            time.sleep(0.02)
        killed.append(int(pid.read_text()))
        os.kill(killed[0], signal.SIGKILL)
        go.touch()

    before = set(client.run(os.getpid).values())
    lazy = on_dask(cells, waits, rows=10)
    thread = threading.Thread(target=kill)
    thread.start()
    result = read(lazy, sample_key="donor")
    thread.join()
    assert killed[0] in before
    assert_same(result, read(cells, sample_key="donor"))
    client.wait_for_workers(2, timeout=30)
    assert killed[0] not in client.run(os.getpid).values()


def test_a_chunk_that_kills_its_workers_is_named(cells, cluster, client, monkeypatch) -> None:
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)

    def deadly(chunk, i):
        if i == 9:
            os.kill(os.getpid(), signal.SIGKILL)
        return chunk

    with pytest.raises(
        ValueError, match=r"adata\.X, chunk.* cells \d+–\d+, .*all those workers died .* give each more memory"
    ):
        read(on_dask(cells, deadly))


@pytest.mark.parametrize("lost", ["worker", "cluster"])
def test_a_client_that_loses_all_workers_says_so(cells, lost, monkeypatch) -> None:
    monkeypatch.setattr(_dask, "POLL_SECONDS", 0.1)
    reached, go = threading.Event(), threading.Event()
    with (
        distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None, silence_logs=50) as small,
        distributed.Client(small) as client,
    ):
        threads = {"reached": reached, "go": go}
        monkeypatch.setattr(_dask, "test_events", threads, raising=False)

        def waits(chunk, i):
            if i == 9:
                events = _dask.test_events
                events["reached"].set()
                events["go"].wait(20)
            return chunk

        def lose() -> None:
            reached.wait(20)
            if lost == "cluster":
                small.close()
            else:
                worker = small.workers[0]
                client.sync(worker.close, timeout=1, executor_wait=False, reason="test")

        thread = threading.Thread(target=lose)
        thread.start()
        words = "no worker for 0.5 seconds" if lost == "worker" else "(no worker for|gave the pass up)"
        try:
            with (
                dask.config.set({_dask.TIMEOUT_KEY: "500ms"}),
                pytest.raises(RuntimeError, match=f"not finished: .*{words}.*no result .* start workers"),
            ):
                read(on_dask(cells, waits))
        finally:
            go.set()
            thread.join()


def test_a_client_without_workers_is_told_from_the_first_look_on(cells, monkeypatch) -> None:
    monkeypatch.setattr(_dask, "POLL_SECONDS", 0.1)
    with (
        distributed.LocalCluster(n_workers=0, processes=False, dashboard_address=None, silence_logs=50) as none,
        distributed.Client(none),
        dask.config.set({_dask.TIMEOUT_KEY: "300ms"}),
        pytest.raises(_dask.WorkersLostError, match=r"no worker for 0\.3 seconds"),
    ):
        read(on_dask(cells))
    assert _dask.patience() == _dask.WITHOUT_WORKERS == 120
