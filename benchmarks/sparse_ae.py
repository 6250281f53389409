"""Sparse autoencoder: planted programs found by every kind, scaling, and time per epoch against plain torch."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import torch

from pathwayae.core.sparse_ae import network, training
from pathwayae.core.sparse_ae.minibatches import InMemory
from pathwayae.core.sparse_ae.settings import Config, classic

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from planted_programs import plant, share_found

LATENTS = 256
KINDS = {
    "default": Config(n_latents=LATENTS),
    "default, every gene + 10": Config(n_latents=LATENTS),
    "default, not centred": Config(n_latents=LATENTS, center=False),
    "BatchTopK 8, no L1": Config(n_latents=LATENTS, weight=0.0),
    "BatchTopK 4": Config(n_latents=LATENTS, k=4),
    "BatchTopK 16": Config(n_latents=LATENTS, k=16),
    "TopK 8": Config(n_latents=LATENTS, sparsity="topk"),
    "JumpReLU 8": Config(n_latents=LATENTS, sparsity="jumprelu"),
    "L1": Config(n_latents=LATENTS, sparsity="l1"),
    "KL": Config(n_latents=LATENTS, sparsity="kl"),
    "classic L1": classic("l1", n_latents=LATENTS),
    "classic KL": classic("kl", n_latents=LATENTS),
    "classic single layer": classic("single", n_latents=LATENTS),
}
SHAPES = ((5_000, 200, 256, 256), (5_000, 50, 200, 256), (20_000, 50, 512, 1024), (5_000, 2_000, 256, 256))
SIZES = (700, 2_000, 5_000, 20_000, 100_000)
PAIRS = 5


def planted(name: str, config: Config, *, seed: int = 0) -> dict[str, object]:
    """One row of the table."""
    cells, programs = plant(seed=seed)
    cells = cells + np.float32(10) if "+ 10" in name else cells
    if name.startswith("classic"):  # made for data in [0, 1], and without held-out cells
        cells = (cells - cells.min(axis=0)) / (cells.max(axis=0) - cells.min(axis=0))
    data = InMemory(cells, held_out=0.1)
    begin = time.perf_counter()
    fit = training.train(data, [config])[0]
    seconds = time.perf_counter() - begin
    held = cells[data.held]
    error, variance = network.residual(fit.network, held)
    codes = network.encode(fit.network, held)
    return {
        "network": name,
        "seed": seed,
        "found": share_found(network.features(fit.network), programs),
        "unexplained": error / variance,
        "active latents per cell": codes.nnz / len(held),
        "above 0.1": float((codes.toarray() > 0.1).sum(axis=1).mean()),
        "dead": fit.n_dead / fit.network.n_latents,
        "rare": fit.n_rare / fit.network.n_latents,
        "seconds": seconds,
    }


def scaling(n: int) -> dict[str, float]:
    """The defaults from hundreds to a hundred thousand cells."""
    cells, programs = plant(n)
    begin = time.perf_counter()
    fit = training.train(InMemory(cells), [Config()])[0]
    seconds = time.perf_counter() - begin
    return {
        "cells": n,
        "latents": fit.network.n_latents,
        "k": fit.network.k,
        "batch": fit.config.batch_size,
        "epochs": fit.n_epochs,
        "found": share_found(network.features(fit.network), programs),
        "unexplained": fit.unexplained,
        "dead": fit.n_dead / fit.network.n_latents,
        "seconds": seconds,
    }


class Plain(torch.nn.Module):
    """The same BatchTopK network as a module, as one would write it."""

    def __init__(self, d: int, m: int, k: int) -> None:
        super().__init__()
        self.encoder, self.decoder, self.k = torch.nn.Linear(d, m), torch.nn.Linear(m, d), k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pre = torch.relu(self.encoder(x - self.decoder.bias))
        kept = pre.flatten().topk(self.k * len(x))
        codes = torch.zeros_like(pre).flatten().scatter(0, kept.indices, kept.values).view_as(pre)
        return self.decoder(codes)


def plain_epoch(model: Plain, loader: object, optimiser: torch.optim.Optimizer) -> None:
    """One epoch of the usual loop."""
    for (batch,) in loader:
        loss = ((model(batch) - batch) ** 2).sum(dim=1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            model.decoder.weight /= model.decoder.weight.norm(dim=0, keepdim=True)


def per_epoch(n: int, d: int, m: int, batch: int) -> dict[str, float]:
    """Seconds per epoch of this package and of the plain loop, in turns."""
    cells = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32) / d**0.5
    data = InMemory(cells, held_out=0)
    config = Config(n_latents=m, k=8, batch_size=batch, n_epochs=10_000)
    run = training.Run(data, [training.resolve(config, n, d)], *data.moments())
    model = Plain(d, m, 8)
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(torch.from_numpy(cells)), batch_size=batch, shuffle=True
    )
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    rng = np.random.default_rng(0)
    times: dict[str, list[float]] = {"here": [], "plain": []}
    for turn in range(PAIRS + 1):
        for name, step in (("here", lambda: run.epoch(rng)), ("plain", lambda: plain_epoch(model, loader, optimiser))):
            begin = time.perf_counter()
            step()
            if turn:  # the first warms up
                times[name].append(time.perf_counter() - begin)
    return {
        "cells": n,
        "features": d,
        "latents": m,
        "batch": batch,
        "here, ms per epoch": 1e3 * float(np.median(times["here"])),
        "plain torch, ms per epoch": 1e3 * float(np.median(times["plain"])),
        "ratio (median of pairs)": float(np.median(np.array(times["plain"]) / np.array(times["here"]))),
    }


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    import pandas as pd

    table = [planted(name, config) for name, config in KINDS.items()]
    seeds = [planted("default", KINDS["default"], seed=seed) for seed in (1, 2)]
    sizes = [scaling(n) for n in SIZES]
    epochs = [per_epoch(*shape) for shape in SHAPES]
    text = (
        "64 programs of 20 genes among 200, 3.8 active per cell on average, 4 % noise, 5 000 cells, "
        f"{LATENTS} latents; *found*: a program with a latent of |cosine| above 0.8. Unexplained variance and active "
        "latents are those of 500 held-out cells. The classic networks get cells scaled to [0, 1] per gene.\n\n"
        + pd.DataFrame(table + seeds).to_markdown(index=False, floatfmt=".3g")
        + "\n\nThe defaults, all of them, from hundreds to a hundred thousand cells:\n\n"
        + pd.DataFrame(sizes).to_markdown(index=False, floatfmt=".4g")
        + f"\n\nOne epoch of training (no held-out cells), against a plain PyTorch loop with nn.Module, DataLoader and "
        f"Adam on the same shapes, in turns, {PAIRS} pairs, medians:\n\n"
        + pd.DataFrame(epochs).to_markdown(index=False, floatfmt=".3g")
    )
    figures = {"planted": table, "seeds": seeds, "sizes": sizes, "epochs": epochs}
    return "Sparse autoencoder: what is found, and how fast", text, figures
