"""One method on one or more problems, each in a process of its own, within limits; run by ``__main__.py``.

``python worker.py PEER METHOD LIMIT FOLDER:SEED:OUT …``: what the peer needs is imported once; then a process is forked
for every problem, warms up if nothing is trained, and writes ``OUT.npz`` and ``OUT.json`` (processor and wall seconds,
peak memory, or why there is no result). The clock starts when the cells have been read.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import sys
import time
import traceback
import warnings
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import anndata as ad
import numpy as np
import scipy.sparse as sp
from contract import Problem, read_problem, write_result

WALL_PER_PROCESSOR = 6.0  # of a limit: other work may share the machine


def memory(what: str) -> float:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def few() -> Problem:
    """A few cells to warm up on."""
    rng = np.random.default_rng(0)
    cells = ad.AnnData(sp.csr_matrix(rng.poisson(0.5, (60, 80)).astype(np.float32)))
    cells.layers["counts"] = cells.X.copy()
    return Problem(cells, {f"set_{i}": cells.var_names[8 * i : 8 * i + 12].tolist() for i in range(6)})


def solve(peer: ModuleType, method: str, folder: Path, seed: int, out: Path) -> dict[str, Any]:
    """Run and write; what it took."""
    problem = read_problem(folder, seed)
    if not peer.TRAINED:
        with contextlib.suppress(Exception):
            peer.run(few(), method)
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, begin, used = memory("VmRSS"), time.perf_counter(), time.process_time()
    result = peer.run(problem, method)
    row = {"processor_s": time.process_time() - used, "seconds": time.perf_counter() - begin}
    row |= {"peak_mib": memory("VmHWM") - before, "note": result.note}
    if not np.isfinite(result.scores).all():
        raise ValueError(f"{(~np.isfinite(result.scores)).sum()} scores are not finite")
    write_result(out.with_suffix(".npz"), result)
    return row


def child(peer: ModuleType, method: str, limit: float, folder: Path, seed: int, out: Path) -> None:
    """The forked process: never returns."""
    seconds = int(resource.getrusage(resource.RUSAGE_SELF).ru_utime + limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    try:
        row = solve(peer, method, folder, seed, out)
    except Exception as error:  # whatever a peer does is part of the result
        traceback.print_exc()
        row = {"failed": f"{type(error).__name__}: {error}"[:300]}
    out.with_suffix(".json").write_text(json.dumps(row))
    sys.stdout.flush()
    os._exit(0)


def wait(process: int, limit: float) -> str:
    """Why the process ended without a result; nothing if it did not."""
    end = time.monotonic() + WALL_PER_PROCESSOR * limit + 60
    while time.monotonic() < end:
        done, status = os.waitpid(process, os.WNOHANG)
        if done:
            return "" if status == 0 else f"ended by signal {status & 127} (limit: {limit:.0f} processor seconds)"
        time.sleep(0.05)
    os.kill(process, 9)
    os.waitpid(process, 0)
    return f"not over after {WALL_PER_PROCESSOR * limit + 60:.0f} seconds"


def main(name: str, method: str, limit: float, asked: list[str]) -> None:
    warnings.simplefilter("ignore")
    peer = importlib.import_module(f"peers.{name}")
    for module in peer.IMPORTS:
        importlib.import_module(module)
    versions = {module: version(module) for module in getattr(peer, "VERSIONS", ())}
    for one in asked:
        folder, seed, out = one.rsplit(":", 2)
        process = os.fork()
        if not process:
            child(peer, method, limit, Path(folder), int(seed), Path(out))
        failed = wait(process, limit)
        path = Path(out).with_suffix(".json")
        row = {"failed": failed} if failed else json.loads(path.read_text())
        path.write_text(json.dumps(row | {"versions": versions}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:])
