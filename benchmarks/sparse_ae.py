"""Sparse autoencoder: planted programs found by every kind, scaling, and time per epoch against plain torch and a peer.

EleutherAI's sparsify runs in an environment of its own, whose Python interpreter is named by ``$SPARSIFY_PYTHON``;
where it is not named the peer is left out, and the text says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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
    "BatchTopK 16, no L1": Config(n_latents=LATENTS, k=16, weight=0.0),
    "TopK 8": Config(n_latents=LATENTS, sparsity="topk"),
    "JumpReLU 8": Config(n_latents=LATENTS, sparsity="jumprelu"),
    "L1": Config(n_latents=LATENTS, sparsity="l1"),
    "KL": Config(n_latents=LATENTS, sparsity="kl"),
    "classic L1": classic("l1", n_latents=LATENTS),
    "classic KL": classic("kl", n_latents=LATENTS),
    "classic single layer": classic("single", n_latents=LATENTS),
}
SHAPES = ((5_000, 50, 200, 256), (5_000, 200, 256, 256), (5_000, 2_000, 512, 256), (20_000, 50, 512, 1024))
SIZES = (700, 2_000, 5_000, 20_000, 100_000)
PAIRS = 5
PEER = "SPARSIFY_PYTHON"
WORKER = Path(__file__).with_name("sparse_ae_worker.py")


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


def here(data: InMemory, **options: object) -> Callable[[], float]:
    """One epoch of this package, timed."""
    config = training.resolve(Config(n_epochs=10_000, **options), data.n, data.n_features)
    trained = training.Run(data, [config], *data.moments())
    rng = np.random.default_rng(0)
    return timed(lambda: trained.epoch(rng))


def plain(cells: np.ndarray, m: int, k: int, batch: int) -> Callable[[], float]:
    """One epoch of the plain loop, timed."""
    model = Plain(cells.shape[1], m, k)
    dataset = torch.utils.data.TensorDataset(torch.from_numpy(cells))
    loader = torch.utils.data.DataLoader(dataset, batch_size=batch, shuffle=True)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    return timed(lambda: plain_epoch(model, loader, optimiser))


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """Seconds that a call takes."""

    def call() -> float:
        begin = time.perf_counter()
        work()
        return time.perf_counter() - begin

    return call


@contextmanager
def peer(cells: np.ndarray, *sizes: int) -> Iterator[Callable[[], float]]:
    """One epoch of sparsify in its own process, timed there."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cells.npy")
        np.save(path, cells)
        command = [os.environ[PEER], str(WORKER), str(path), *map(str, sizes)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        ) as process:

            def call() -> float:
                process.stdin.write("epoch\n")
                process.stdin.flush()
                for line in process.stdout:
                    if line.startswith("seconds"):
                        return float(line.split()[1])
                sys.exit("the worker of sparsify ended early")

            yield call
            process.stdin.close()


def per_epoch(n: int, d: int, m: int, batch: int, k: int = 8) -> dict[str, float]:
    """Milliseconds per epoch of this package, of the plain loop and of the peer, in turns on one thread."""
    cells = np.random.default_rng(0).normal(size=(n, d)).astype(np.float32) / d**0.5
    data = InMemory(cells, held_out=0)
    calls = {
        "BatchTopK": here(data, n_latents=m, k=k, batch_size=batch),
        "TopK": here(data, n_latents=m, k=k, batch_size=batch, sparsity="topk"),
        "plain BatchTopK": plain(cells, m, k, batch),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    if PEER in os.environ:
        with peer(cells, m, k, batch) as call:
            times = in_turns(calls | {"sparsify TopK": call})
    else:
        times = in_turns(calls)
    torch.set_num_threads(before)
    row = {"cells": n, "features": d, "latents": m, "batch": batch, "k": k}
    row |= {f"{name}, ms": 1e3 * float(np.median(values)) for name, values in times.items()}
    row["plain / BatchTopK"] = float(np.median(times["plain BatchTopK"] / times["BatchTopK"]))
    if PEER in os.environ:
        row["sparsify / TopK"] = float(np.median(times["sparsify TopK"] / times["TopK"]))
    return row


def in_turns(calls: dict[str, Callable[[], float]]) -> dict[str, np.ndarray]:
    """Seconds of every call, one after the other, without the first turn, which warms up."""
    turns = [[call() for call in calls.values()] for _ in range(PAIRS + 1)][1:]
    return dict(zip(calls, np.array(turns).T, strict=True))


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
        "Adam, and against EleutherAI's sparsify (its SparseCoder, Adam, the matrix indexed by a permutation, no loss "
        "of dead latents), on the same shapes, one thread, in turns, "
        f"{PAIRS} turns after one that warms up; medians, and medians of the ratios of a turn"
        + ("" if PEER in os.environ else f" (sparsify left out: ${PEER} is not set)")
        + ":\n\n"
        + pd.DataFrame(epochs).to_markdown(index=False, floatfmt=".3g")
    )
    figures = {"planted": table, "seeds": seeds, "sizes": sizes, "epochs": epochs}
    return "Sparse autoencoder: what is found, and how fast", text, figures
