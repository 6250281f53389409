"""Who computes: work shared out over threads of our own, each with one of BLAS.

Threads of BLAS wait for their next product without rest, some tenth of a second long, in the way of compiled loops that
begin meanwhile. Products that matter are therefore shared out here, and small ones are left to one thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from itertools import pairwise
from threading import Lock
from typing import Any

import numba
import numpy as np
from threadpoolctl import ThreadpoolController

SMALL = 2**23  # operations of a compiled loop, below which starting threads costs more than they save
SMALL_PRODUCT = 2e8  # floating-point operations: some ten milliseconds of one thread of BLAS
WORTH = 2e7  # operations of a product from which sharing it out among threads that wait pays
_lock = Lock()
_limits: list[Any] = []  # of those who asked; the first one's goes with the last
_busy: list[None] = []  # one for each of those whose threads all have work


def threads() -> int:
    """Threads to share work out over: those of numba, no more than ``OMP_NUM_THREADS`` where it is set.

    One within :func:`all_busy`, where the others have work of their own.
    """
    if _busy:
        return 1
    asked = os.environ.get("OMP_NUM_THREADS", "")
    n = numba.get_num_threads()
    return min(n, int(asked)) if asked.isdigit() and int(asked) > 0 else n


def share(work: Callable[[int, int], Any], n: int, size: float) -> None:
    """``work(first, last)`` for parts of ``range(n)``, by all threads; by this one where `size` operations are few."""
    parts = min(4 * threads(), n)
    if size < SMALL or threads() == 1 or parts < 2:
        work(0, n)
        return
    cuts = (n * np.arange(parts + 1) // parts).tolist()
    with ThreadPoolExecutor(threads()) as pool:
        list(pool.map(work, cuts[:-1], cuts[1:]))


def shared_product(matrix: Any, columns: Any) -> Any:
    """``M V``, the rows of a dense matrix shared out over the threads where that is worth it.

    Parameters
    ----------
    matrix
        Dense, shape (n, m), or an operator, which has a way of its own.
    columns
        Shape (m, k), of the type of a dense matrix: float32 or float64.

    Examples
    --------
    >>> shared_product(np.eye(2), np.array([[1.0], [2.0]])).tolist()
    [[1.0], [2.0]]
    """
    n = threads()
    if n == 1 or not isinstance(matrix, np.ndarray) or 2.0 * matrix.size * columns.shape[1] < WORTH:
        return matrix @ columns
    result = np.empty((len(matrix), columns.shape[1]), dtype=columns.dtype)
    cuts = (len(matrix) * np.arange(n + 1) // n).tolist()

    def some(first: int, last: int) -> None:
        np.matmul(matrix[first:last], columns, out=result[first:last])

    with one_thread(0.0):
        others = [_waiting(os.getpid(), n).submit(some, *part) for part in pairwise(cuts[1:])]
        some(*cuts[:2])
        for other in others:
            other.result()
    return result


@cache
def _waiting(process: int, n: int) -> ThreadPoolExecutor:  # noqa: ARG001
    """Threads that wait for parts of products; a process that was forked off has none of its parent's."""
    return ThreadPoolExecutor(n - 1, thread_name_prefix="pathwayae")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


@contextmanager
def one_thread(n_operations: float) -> Iterator[None]:
    """One thread of BLAS for what follows where that is few operations, in all threads of the process.

    Examples
    --------
    >>> with one_thread(1e6):
    ...     pass
    """
    if n_operations >= SMALL_PRODUCT:
        yield
        return
    with _lock:
        if not _limits:
            _limits.append(_controller().limit(limits=1, user_api="blas"))
        _limits.append(None)
    try:
        yield
    finally:
        with _lock:
            _limits.pop()
            if len(_limits) == 1:
                _limits.pop().restore_original_limits()


@contextmanager
def all_busy() -> Iterator[None]:
    """For threads that work side by side: each has one of BLAS, and nothing is shared out.

    Examples
    --------
    >>> with all_busy():
    ...     pass
    """
    with one_thread(0.0):
        _busy.append(None)
        try:
            yield
        finally:
            _busy.pop()
