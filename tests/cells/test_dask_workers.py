"""The pass on workers in other processes: files opened there; one lost worker changes nothing, all are an error."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from dask_cells import OPTIONS, G, N, assert_same, counted, on_dask, read, shards

from pathwayae import _checks
from pathwayae._cells import cluster as _cluster
from pathwayae._cells import dask as _dask
from pathwayae._cells import sources
from pathwayae.core.moments import accumulate as core

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")

pytestmark = [
    pytest.mark.filterwarnings("ignore:Writing zarr v2"),
    pytest.mark.filterwarnings("ignore:Port .* is already in use"),
]


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return counted()


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


@pytest.mark.parametrize("options", [*OPTIONS[1:3], OPTIONS[4]])
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
    with pytest.raises(ValueError, match=r"file .*cut\.h5ad is damaged: the bounds of its rows"):
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
