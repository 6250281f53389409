"""One thread for products too small to share: waiting for the others, who may be busy elsewhere, costs more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any

from threadpoolctl import ThreadpoolController

SMALL = 2e8  # floating-point operations: some ten milliseconds of one thread
_lock = Lock()
_limits: list[Any] = []  # of those who asked; the first one's goes with the last


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
    if n_operations >= SMALL:
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
