"""One fit of archetypes in a process of its own, for benchmarks/archetypes.py; needs numpy and the solver, no more.

``python archetypes_worker.py solver cells.npy result.npz options`` with solver one of pathwayae, py_pcha, partipy, and
options a JSON object (n_archetypes, delta, repeats, …). Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def resident(field: str) -> int:
    """VmRSS (now) or VmHWM (peak) of this process in bytes; Linux."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    return 0


def forget_peak() -> None:
    """Let the peak start from what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def pathwayae(cells, k, delta, **options):
    from pathwayae.core.archetypes import solver

    found = solver.fit(cells, solver.Config(k, delta=delta, **options))
    more = {"gap": found.gap, "iterations": found.n_iter, "converged": found.converged}
    return found.archetypes, found.weights, more


def py_pcha(cells, k, delta):
    if not hasattr(np, "mat"):
        np.mat = np.asmatrix  # noqa: NPY201  gone since numpy 2
    from py_pcha import PCHA

    np.random.seed(0)  # noqa: NPY002  it draws from the global state, and fails where it draws the number of cells
    archetypes, weights, *_ = PCHA(cells.T, noc=k, delta=delta)
    return np.asarray(archetypes).T, np.asarray(weights).T, {}


def partipy(cells, k, delta):
    from partipy.arch import AA

    model = AA(n_archetypes=k, delta=delta)
    model.fit(cells)
    return np.asarray(model.Z), np.asarray(model.A), {}


def main(name: str, path: str, out: str, options: dict) -> None:
    solve = {"pathwayae": pathwayae, "py_pcha": py_pcha, "partipy": partipy}[name]
    cells = np.load(path)
    k, repeats = options.pop("n_archetypes"), options.pop("repeats", 1)
    options.setdefault("delta", 0.0)
    begin = time.perf_counter()
    solve(cells[:200], k, **options)  # compiles what is compiled
    first = time.perf_counter() - begin
    wall, processor = [], []
    before = resident("VmRSS")
    forget_peak()
    for _ in range(repeats):
        begin, own = time.perf_counter(), time.process_time()
        archetypes, weights, more = solve(cells, k, **options)
        wall.append(time.perf_counter() - begin)
        processor.append(time.process_time() - own)
    more |= {"wall": min(wall), "seconds": min(processor), "first_call": first}
    more |= {"extra": (resident("VmHWM") - before) / cells.nbytes}
    residual, total = 0.0, 0.0
    mean = cells.mean(0)
    for i in range(0, len(cells), 10_000):
        part = cells[i : i + 10_000]
        residual += float(((part - weights[i : i + 10_000] @ archetypes) ** 2).sum())
        total += float(((part - mean) ** 2).sum())
    np.savez(out, archetypes=archetypes)
    print(json.dumps(more | {"explained_variance": 1 - residual / total}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], json.loads(sys.argv[4]))
