"""Archetypes against py_pcha and partipy: explained variance, error of the vertices, gap, time and memory.

The peers run in environments of their own, whose Python interpreters are named by ``$PY_PCHA_PYTHON`` and
``$PARTIPY_PYTHON``; one that is not named is left out, and the table says so. Everything runs on one thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist, pdist

GRID = [(n, *shape) for n in (700, 5_000, 50_000) for shape in ((5, 20), (8, 50))]
PEERS = {"py_pcha": "PY_PCHA_PYTHON", "partipy": "PARTIPY_PYTHON"}
WORKER = Path(__file__).with_name("archetypes_worker.py")
DELTAS = (0.0, 0.1, 0.25, 0.5)
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


def make(n: int, k: int, d: int, *, noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Dirichlet(0.5) mixtures of k random vertices, with noise of a share of the mean standard deviation."""
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(k, d))
    cells = rng.dirichlet(np.full(k, 0.5), n) @ vertices
    cells += noise * np.sqrt(cells.var(0).mean()) * rng.normal(size=cells.shape)
    return cells, vertices


def vertex_error(archetypes: np.ndarray, vertices: np.ndarray) -> float:
    """Mean distance to the optimally matched vertices, in mean distances between vertices."""
    distances = cdist(archetypes, vertices)
    return float(distances[linear_sum_assignment(distances)].mean() / pdist(vertices).mean())


def solvers() -> tuple[dict[str, str], str]:
    """Interpreters by name, and a note on those that are missing."""
    found = {"pathwayae": sys.executable}
    found |= {name: os.environ[variable] for name, variable in PEERS.items() if os.environ.get(variable)}
    missing = [f"{name} (${PEERS[name]} is not set)" for name in PEERS if name not in found]
    return found, f"Left out: {', '.join(missing)}." if missing else ""


def fit(name: str, python: str, cells: np.ndarray, vertices: np.ndarray, **options: object) -> dict[str, object]:
    """One solver in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = Path(folder, "cells.npy"), Path(folder, "result.npz")
        np.save(data, cells)
        command = [python, str(WORKER), name, str(data), str(out), json.dumps(options)]
        result = subprocess.run(command, capture_output=True, text=True, env=os.environ | ONE_THREAD, check=False)
        if result.returncode:
            sys.exit(f"{name} failed:\n{result.stderr}")
        figures = json.loads(result.stdout.splitlines()[-1])
        return figures | {"vertex_error": vertex_error(np.load(out)["archetypes"], vertices)}


def row(name: str, shape: tuple[int, int, int], figures: dict) -> dict[str, object]:
    """One line of the table; the gap also as a share of the loss, which is the stricter way to see it."""
    n, k, d = shape
    gap = figures.get("gap", np.nan)
    return {
        "cells": n,
        "k": k,
        "features": d,
        "solver": name,
        "s": figures["seconds"],
        "explained variance": figures["explained_variance"],
        "vertex error": figures["vertex_error"],
        "gap": gap,
        "gap / loss": gap / (1 - figures["explained_variance"]),
        "iterations": figures.get("iterations", np.nan),
        "extra memory / data": figures["extra"],
        "first call, s": figures["first_call"],
    }


def grid(pythons: dict[str, str]) -> pd.DataFrame:
    """All solvers on all shapes, in turns."""
    rows = []
    for shape in GRID:
        cells, vertices = make(*shape)
        repeats = 3 if shape[0] <= 5_000 else 2
        for name, python in pythons.items():
            figures = fit(name, python, cells, vertices, n_archetypes=shape[1], repeats=repeats)
            rows.append(row(name, shape, figures))
    table = pd.DataFrame(rows)
    for name in pythons:
        own = table[table.solver == "pathwayae"].set_index(["cells", "k"]).s
        other = table[table.solver == name].set_index(["cells", "k"]).s
        table.loc[table.solver == name, "pathwayae's time / its time"] = (own / other).to_numpy()
    return table


def relaxed(pythons: dict[str, str]) -> pd.DataFrame:
    """Vertices few cells lie at: archetypes that may leave the hull."""
    shape = (2_000, 8, 50)
    cells, vertices = make(*shape, noise=0.25)
    rows = [
        {"delta": delta} | row(name, shape, fit(name, python, cells, vertices, n_archetypes=8, delta=delta, repeats=3))
        for delta in DELTAS
        for name, python in pythons.items()
    ]
    return pd.DataFrame(rows).drop(columns=["cells", "k", "features", "first call, s", "extra memory / data"])


def large() -> pd.DataFrame:
    """A coreset with three passes over all cells against the fit over all, and a million cells."""
    rows = []
    for n, coreset in ((200_000, None), (200_000, 10_000), (1_000_000, None), (1_000_000, "auto")):
        shape = (n, 8, 50)
        cells, vertices = make(*shape)
        cells = cells.astype(np.float32)
        figures = fit("pathwayae", sys.executable, cells, vertices, n_archetypes=8, coreset=coreset)
        rows.append({"coreset": str(coreset)} | row("pathwayae", shape, figures))
    return pd.DataFrame(rows).drop(columns=["solver", "k", "features", "first call, s"])


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    pythons, note = solvers()
    tables = {"grid": grid(pythons), "delta": relaxed(pythons), "large": large()}
    formats = {name: tables[name].to_markdown(index=False, floatfmt=".6g", missingval="") for name in tables}
    text = (
        "Rows are Dirichlet(0.5) mixtures of k random vertices with 10 % noise. One thread, processor seconds, the "
        "best of two or three runs after a first call on 200 cells (which compiles). Explained variance is centred and "
        "computed here from archetypes and weights. The error of the vertices is the mean distance to the optimally "
        "matched vertex, in mean distances between vertices. Gap: Frank-Wolfe gap of the archetypes over all cells as "
        f"a share of the total variance. {note}\n\n{formats['grid']}\n\n"
        "Harder: 2 000 cells, k = 8, 50 features, 25 % noise; archetypes may leave the hull by `delta`:\n\n"
        f"{formats['delta']}\n\n"
        "Many cells (float32, k = 8, 50 features): all cells, or a coreset and three passes over all:\n\n"
        f"{formats['large']}"
    )
    return "Archetypes: exact, certified", text, {name: table.to_dict("records") for name, table in tables.items()}
