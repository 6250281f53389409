"""R restarts as one batched descent against one descent, and what share of the machine's matrix product they reach."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import torch
from speed import GENES, PATHWAYS, make

from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments import accumulate as moments

RESTARTS = (1, 8, 32)
REPEATS = 5
CONFIG = grouped.Config(theta=0.3, epsilon=0.0, l1_ratio=0.5, learning_rate=0.03, max_iter=100)


def peak(threads: int) -> float:
    """Best GFLOP/s of a float32 product of the shapes of a descent, many restarts wide."""
    torch.set_num_threads(threads)
    gram, w = torch.randn(GENES, GENES), torch.randn(8 * PATHWAYS, GENES)
    best = np.inf
    for _ in range(20):
        begin = time.perf_counter()
        w @ gram
        best = min(best, time.perf_counter() - begin)
    return 2 * w.shape[0] * GENES**2 / best / 1e9


def operations() -> float:
    """Floating-point operations of a step: ``G W`` and the four products of g × k with k × k."""
    return 2.0 * GENES**2 * PATHWAYS + 8.0 * GENES * PATHWAYS**2


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    import pandas as pd

    cells, membership = make(5_000, np.random.default_rng(0))
    data = moments.accumulate(cells).standardize()
    problem = grouped.Problem(data, membership, np.ones(GENES, dtype=bool), PATHWAYS, CONFIG)
    problems = [replace(problem, config=replace(CONFIG, random_state=seed)) for seed in range(max(RESTARTS))]
    device = "cuda" if torch.cuda.is_available() else "cpu"
    problems = [replace(one, config=replace(one.config, device=device)) for one in problems]
    rows = []
    threads = torch.get_num_threads()
    for used in (1, threads) if device == "cpu" and threads > 1 else (threads,):
        best = peak(used)
        times: dict[int, list[float]] = {r: [] for r in RESTARTS}
        for _ in range(REPEATS):
            for r in RESTARTS:
                begin = time.perf_counter()
                list(grouped.fit_many(problems[:r]))
                times[r].append(time.perf_counter() - begin)
        for r, seconds in times.items():
            median = float(np.median(seconds))
            rows.append(
                {
                    "threads allowed": used,
                    "restarts": r,
                    "seconds": median,
                    "times one": float(np.median(np.array(seconds) / np.array(times[1]))),
                    "GFLOP/s": r * CONFIG.max_iter * operations() / median / 1e9,
                    "share of the best product": r * CONFIG.max_iter * operations() / median / 1e9 / best,
                }
            )
    torch.set_num_threads(threads)
    text = (
        f"{GENES} genes × {PATHWAYS} pathways, {CONFIG.max_iter} steps, float32, on {device}; starts included. "
        f"R in turns, {REPEATS} rounds, medians. Every restart does the same {operations() / 1e6:.0f} MFLOP per step; "
        "one descent alone takes one thread (see `core/optimize.py`), a batch all that are allowed, each with descents "
        "of its own where there are enough. The best product "
        "is that of 8 restarts with G, measured before.\n\n"
        + pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3g")
    )
    return "Restarts: R descents as one batched problem", text, rows
