"""Fits in processes that were forked after one, when several threads are at work."""

import os
import subprocess
import sys

import pytest

FORKED = """
import multiprocessing, torch
from pathwayae.core.descent import Step, minimize
torch.set_num_threads(2)
rules = dict(min_delta=0.0, early_stopping_patience=9, scheduler_patience=9, scheduler_factor=0.5)
matrix = torch.rand(600, 600)
def fit(_):
    step = lambda point: Step((point**2).sum(-1), {"loss": (point**2).sum(-1)}, 2 * point + 0 * (matrix @ matrix)[0])
    return float(minimize(step, torch.ones(1, 600), learning_rate=0.1, max_iter=5, **rules)[0].best.sum())
if __name__ == "__main__":
    here = fit(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map_async(fit, [1, 2]).get(60)
    assert there == [here, here], (here, there)
"""

SHARED = """
import multiprocessing
import numpy as np
from pathwayae.core import threads
threads.threads, threads.WORTH = lambda: 2, 0.0
matrix = np.arange(10_000.0).reshape(100, 100)
def multiplied(_):
    return float(threads.shared_product(matrix, matrix).sum())
if __name__ == "__main__":
    here = multiplied(0)
    assert threads._waiting.cache_info().currsize == 1
    with multiprocessing.get_context("fork").Pool(2) as pool:
        there = pool.map_async(multiplied, [1, 2]).get(60)
    assert there == [here, here], (here, there)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no forks here")
@pytest.mark.parametrize("script", [FORKED, SHARED], ids=["descents", "products"])
def test_a_fork_after_a_fit_does_not_hang(script):
    environment = os.environ | {"OMP_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
