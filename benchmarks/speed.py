"""Iterations from moments against plain autograd through the matrix, and what the data-driven start saves."""

from __future__ import annotations

import time

import numpy as np
import torch

from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments import accumulate as moments

GENES, PATHWAYS, SIZE = 2000, 50, 60
CELLS = (2_000, 20_000, 100_000)
REPEATS = 5
CONFIG = grouped.Config(theta=0.3, epsilon=0.1, l1_ratio=0.5, learning_rate=0.03, max_iter=1, zero_norm="feature")


def make(n_cells: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Cells with planted programs, dense float32, and the membership."""
    membership = np.zeros((GENES, PATHWAYS), dtype=bool)
    for j in range(PATHWAYS):
        membership[rng.choice(GENES, SIZE, replace=False), j] = True
    scores = rng.gamma(0.5, 1.0, (n_cells, PATHWAYS)).astype(np.float32)
    cells = scores @ (membership.T * rng.gamma(2.0, 1.0, (PATHWAYS, GENES))).astype(np.float32)
    cells += rng.normal(size=cells.shape).astype(np.float32)
    return cells, membership


def autograd_loss(point: torch.Tensor, cells: torch.Tensor, target: grouped.Objective, total: float) -> torch.Tensor:
    """The same objective written through the cells, for automatic differentiation."""
    w = torch.nn.functional.softplus(point)
    rmse = (((cells - (cells @ w) @ w.T) ** 2).sum() / total).sqrt()
    p = w / w.sum(1, keepdim=True)
    q = w**2 / (w**2).sum(1, keepdim=True)
    zero = target.l1_ratio * (target.outside * p).sum()
    zero = zero + (1 - target.l1_ratio) * (target.outside * q).sum().sqrt()
    entropy = (target.entropy_weights * torch.special.entr(p).sum(1)).sum()
    return target.share_data * rmse + target.share_zero * zero + target.share_entropy * entropy


def iterations(n_cells: int, rng: np.random.Generator) -> dict[str, float]:
    """Seconds per iteration both ways, in turns, and the pass."""
    cells, membership = make(n_cells, rng)
    begin = time.perf_counter()
    data = moments.accumulate(cells).standardize(center=True, scale="unit")
    reading = time.perf_counter() - begin
    target = grouped.objective([grouped.Problem(data, membership, np.ones(GENES, dtype=bool), PATHWAYS, CONFIG)])
    cells -= data.mean.astype(np.float32)
    cells /= data.scale.astype(np.float32)
    standard = torch.from_numpy(cells)
    start = grouped.start(membership, PATHWAYS, data.gram, scores="projection", rng=rng)
    point = torch.as_tensor(grouped.deactivate(start, "softplus"), dtype=torch.float32)

    def through_moments() -> torch.Tensor:
        return target(point).terms["loss"]

    def through_cells() -> torch.Tensor:
        leaf = point.clone().requires_grad_()
        loss = autograd_loss(leaf, standard, target, data.total)
        loss.backward()
        return loss.detach()

    difference = abs(float(through_moments()) - float(through_cells()))
    times: dict[str, list[float]] = {"moments": [], "autograd": []}
    for _ in range(REPEATS):
        for name, step, count in (("moments", through_moments, 10), ("autograd", through_cells, 1)):
            begin = time.perf_counter()
            for _ in range(count):
                step()
            times[name].append((time.perf_counter() - begin) / count)
    medians = {name: float(np.median(values)) for name, values in times.items()}
    ratio = float(np.median(np.array(times["autograd"]) / np.array(times["moments"])))
    return {
        "cells": n_cells,
        "moments, iterations/s": 1 / medians["moments"],
        "autograd, iterations/s": 1 / medians["autograd"],
        "ratio (median of pairs)": ratio,
        "the pass, s": reading,
        "difference of the losses": difference,
    }


def steps_to_optimum(rng: np.random.Generator) -> dict[str, dict[str, float]]:
    """Iterations until the loss is within 1 % of the best found, from both starts."""
    cells, membership = make(5_000, rng)
    data = moments.accumulate(cells).standardize(center=True, scale="unit")
    penalised = np.ones(GENES, dtype=bool)
    config = grouped.Config(
        theta=0.3, epsilon=0.1, l1_ratio=0.5, learning_rate=0.1, max_iter=3000, early_stopping_patience=300
    )
    random = np.log1p(np.exp(0.1 * rng.normal(size=(GENES, PATHWAYS))))
    history = {
        name: np.array(grouped.fit(data, membership, penalised, PATHWAYS, config, init=init).history["loss"])
        for name, init in (("from the membership", None), ("from random weights", random))
    }
    best = min(values.min() for values in history.values())
    return {
        name: {
            "first loss": float(values[0]),
            "final loss": float(values.min()),
            "steps to its own final loss + 1 %": int(np.argmax(values <= 1.01 * values.min())) + 1,
            "steps to the best final loss + 1 %": (
                int(np.argmax(values <= 1.01 * best)) + 1 if (values <= 1.01 * best).any() else float("nan")
            ),
        }
        for name, values in history.items()
    }


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    import pandas as pd

    rng = np.random.default_rng(0)
    rates = [iterations(n, rng) for n in CELLS]
    starts = steps_to_optimum(rng)
    text = (
        f"{GENES} genes × {PATHWAYS} pathways, float32. Both ways are timed in turns, {REPEATS} pairs, medians.\n\n"
        + pd.DataFrame(rates).to_markdown(index=False, floatfmt=".3g")
        + "\n\nStart of the descent (5 000 cells, Adam at 0.1, the same objective):\n\n"
        + pd.DataFrame(starts).T.to_markdown(floatfmt=".4g")
    )
    return "Speed: moments against automatic differentiation", text, {"rates": rates, "starts": starts}
