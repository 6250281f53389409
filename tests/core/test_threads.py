"""Work shared out over threads: everything once, no digit changed, the threads of BLAS as they were afterwards."""

import numpy as np
import pytest
import threadpoolctl

from pathwayae.core import threads


def blas():
    """Threads of every BLAS of the process."""
    return [one["num_threads"] for one in threadpoolctl.threadpool_info() if one["user_api"] == "blas"]


def test_threads_are_bounded_by_the_environment(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert threads.threads() == 1
    for unset in ("", "0", "many", "1000"):
        monkeypatch.setenv("OMP_NUM_THREADS", unset)
        assert threads.threads() == threads.numba.get_num_threads()


@pytest.mark.parametrize(("n", "size", "n_threads"), [(0, 0, 2), (1, 1e9, 3), (7, 1e9, 3), (1000, 1e9, 2), (50, 10, 4)])
def test_a_shared_loop_does_everything_once(monkeypatch, n, size, n_threads):
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    done = []
    threads.share(lambda first, last: done.append((first, last)), n, size)
    assert sorted(i for first, last in done for i in range(first, last)) == list(range(n))
    assert len(done) == (min(4 * n_threads, n) if size >= threads.SMALL and n > 1 else 1)


def test_what_fails_in_a_thread_is_raised(monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: 2)

    def fail(first, last):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        threads.share(fail, 100, 1e9)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("n_threads", [1, 2, 5])
@pytest.mark.parametrize(("n", "m", "k"), [(1, 3, 2), (4, 600, 3), (601, 37, 1), (7, 5, 0)])
def test_a_shared_product_is_the_product(monkeypatch, kind, n_threads, n, m, k):
    monkeypatch.setattr(threads, "threads", lambda: n_threads)
    monkeypatch.setattr(threads, "WORTH", 0.0)
    rng = np.random.default_rng(0)
    matrix, columns = rng.normal(size=(n, m)).astype(kind), rng.normal(size=(m, k)).astype(kind)
    before = blas()
    found = threads.shared_product(matrix, columns)
    assert found.dtype == kind
    expected = matrix.astype(np.float64) @ columns.astype(np.float64)
    np.testing.assert_allclose(found, expected, rtol=0, atol=m * np.finfo(kind).eps * 10)
    assert blas() == before


def test_a_product_is_shared_out_but_among_threads_that_have_work(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(threads.numba, "get_num_threads", lambda: 3)
    monkeypatch.setattr(threads, "WORTH", 0.0)
    parts = []
    waiting = threads._waiting
    monkeypatch.setattr(threads, "_waiting", lambda *asked: parts.append(asked) or waiting(*asked))
    square = np.eye(9)
    with threads.all_busy():
        np.testing.assert_array_equal(threads.shared_product(square, square), square)
    assert not parts
    with threads.one_thread(0.0):
        np.testing.assert_array_equal(threads.shared_product(square, square), square)
    assert len(parts) == 2  # beside this thread's own


def test_blas_has_its_threads_again_after_the_last_who_asked():
    before = blas()
    with threads.one_thread(0.0):
        with threads.all_busy(), pytest.raises(ZeroDivisionError), threads.one_thread(1.0):
            raise ZeroDivisionError
        assert set(blas()) == {1}
        with threads.one_thread(threads.SMALL_PRODUCT):  # nothing to limit
            pass
        assert set(blas()) == {1}
    assert blas() == before


def test_shapes_that_do_not_fit_are_refused_by_every_thread(monkeypatch):
    monkeypatch.setattr(threads, "threads", lambda: 2)
    monkeypatch.setattr(threads, "WORTH", 0.0)
    with pytest.raises(ValueError, match="mismatch"):
        threads.shared_product(np.eye(4), np.eye(3))
    assert not threads._busy
    assert not threads._limits
