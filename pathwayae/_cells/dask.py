"""Computing with dask where the user wants it: on the workers of a client, or here; and never waiting for nobody."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

POLL_SECONDS = 0.5  # how often a waiting client asks whether there are workers
WITHOUT_WORKERS = 120.0  # seconds, where dask's configuration says nothing
TIMEOUT_KEY = "distributed.scheduler.no-workers-timeout"


class WorkersLostError(RuntimeError):
    """No worker is left to finish a pass."""


class ChunkError(Exception):
    """What dask computes with has failed; the message goes on from the name of what was computed."""


def is_lazy(values: Any) -> bool:
    """Whether a matrix is a dask array, or one of anndata's views of such an array."""
    return any(kind.__module__.startswith("dask.array") for kind in type(values).__mro__)


def client() -> Any | None:
    """The ``dask.distributed`` client that dask would compute with at this place; None for any other scheduler."""
    if "distributed" not in sys.modules:  # nobody can have made a client
        return None
    from dask.base import get_scheduler

    owner = getattr(get_scheduler(), "__self__", None)
    return owner if type(owner).__module__.startswith("distributed") else None


@contextmanager
def in_this_process() -> Iterator[None]:
    """Small things, such as columns of ``obs``, are computed here even where there is a client."""
    if "dask" not in sys.modules:
        yield
        return
    import dask

    with dask.config.set(scheduler="threads"):
        yield


def compute(lazy: Any, **local: Any) -> Any:
    """Value of one dask collection; ``local`` goes to the scheduler where there is no client.

    Raises
    ------
    ChunkError
        If anything in the graph fails, from the error of it.
    WorkersLostError
        If the client is closed, or has had no worker for some time (:func:`patience`).
    """
    at = client()
    try:
        return lazy.compute(**local) if at is None else _on_workers(at, lazy)
    except WorkersLostError:
        raise
    except Exception as error:
        msg = f"cannot be read ({type(error).__name__}: {error}). {_advice(error)}"
        raise ChunkError(msg) from error


def _advice(error: Exception) -> str:
    if type(error).__name__ == "KilledWorker":
        return (
            "Dask names one of the tasks that the worker had. Workers that run out of memory end like this: give each "
            "more memory or fewer threads, make the chunks of dask smaller, or choose fewer genes."
        )
    return "No result is returned. Dask cannot make these chunks: repair what the array is made from."


def _on_workers(at: Any, lazy: Any) -> Any:
    from distributed import CancelledError, wait
    from distributed.scheduler import NoValidWorkerError

    future = at.compute(lazy)
    try:
        _wait(at, future, wait)
        return future.result()
    except (CancelledError, NoValidWorkerError) as error:
        raise WorkersLostError(_lost(f"dask gave the pass up ({type(error).__name__})")) from error
    finally:
        if not future.done():
            future.cancel()
        future.release()


def _wait(at: Any, future: Any, wait: Any) -> None:
    """Return when the future is done; raise where no worker is left to do it."""
    since = None
    while not future.done():
        try:
            wait(future, timeout=POLL_SECONDS)
        except TimeoutError:
            now = time.monotonic()
            since = None if _n_workers(at) else since or now
            if since is not None and now - since >= patience():
                raise WorkersLostError(_lost(f"the client has had no worker for {patience():g} seconds")) from None


def _n_workers(at: Any) -> int:
    try:
        return len(at.nthreads())
    except (OSError, TimeoutError, RuntimeError, ValueError):  # the scheduler does not answer either
        return 0


def patience() -> float:
    """Seconds without any worker after which a pass ends."""
    import dask
    from dask.utils import parse_timedelta

    said = dask.config.get(TIMEOUT_KEY, None)
    return WITHOUT_WORKERS if said is None else float(parse_timedelta(said))


def _lost(what: str) -> str:
    return (
        f"The pass over the cells was not finished: {what}; no result is returned. Look at the logs of the workers "
        "(the end of memory or of a job's time are common causes), start workers, and call again. Where they may take "
        f"longer to come, set dask.config.set({{{TIMEOUT_KEY!r}: '10 minutes'}}); to read in this process, close the "
        "client."
    )
