"""CUDA against the CPU of the same machine: time, agreement, and what share of the card is used.

``python benchmarks/gpu.py``, with ``--out FOLDER`` to write elsewhere, ``--small`` for a minute on any machine,
``--device cpu:0`` to go through torch without a card, ``--only fits`` for some sections. gpu.md and gpu.json are
written after every row; a section that fails or takes too long says so in its place, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from run import machine
from threadpoolctl import threadpool_limits

import pathwayae as pae
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments import moments as strata

FOLDER = Path(__file__).parent
SIZE = 60  # genes of a set
CONFIG = grouped.Config(theta=0.3, epsilon=0.0, l1_ratio=0.5, learning_rate=0.03, max_iter=100)
FREE = 20
CHUNK = 50_000  # cells drawn at a time
PATIENCE = 40.0  # seconds that a fit on the CPU may be expected to take in full
Row = dict[str, Any]
PEAK = "of the product's peak"


@dataclass
class Plan:
    """Sizes, the device, and what was measured of it."""

    device: str = "cuda"
    cells: tuple[int, ...] = (100_000, 1_000_000)
    genes: int = 2000
    sets: int = 50
    turns: int = 3
    wide: tuple[int, int, int] = (12_000, 8000, 1200)  # cells, genes, sets
    square: int = 8192
    restarts: int = 32
    archetypes: int = 8
    networks: tuple[tuple[int | None, int | None], ...] = ((None, None), (2048, 4))  # latents, epochs
    found: dict[str, float] = field(default_factory=dict)

    @property
    def product(self) -> float:
        """TFLOP/s of a float32 product on the device."""
        return self.found.get(f"float32 product on {self.device}", np.nan)

    @property
    def transfer(self) -> float:
        """GB/s from page-locked memory."""
        return self.found.get("copy to the device from page-locked memory", np.nan)


SMALL = Plan(
    cells=(3000, 5000),
    genes=300,
    sets=8,
    turns=2,
    wide=(1000, 500, 20),
    square=512,
    restarts=4,
    archetypes=3,
    networks=((None, 3), (64, 2)),
)


def wait(device: str) -> None:
    """Until the device has done what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def seconds(work: Callable[[], Any], device: str) -> tuple[float, Any]:
    """Wall time of the work and of what it left to the device, and its result."""
    wait(device)
    begin = time.perf_counter()
    result = work()
    wait(device)
    return time.perf_counter() - begin, result


def rate(work: Callable[[], Any], device: str, repeats: int = 5) -> float:
    """Runs per second, the median of some after one that warms up."""
    work()
    return 1 / float(np.median([seconds(work, device)[0] for _ in range(repeats)]))


def busy(name: str, wall: float, work: Callable[[], Any], device: str) -> Iterator[Row]:
    """What the card did in work that takes so long: kernels and copies, and the kind of kernel it spent most on."""
    if torch.device(device).type != "cuda":
        return
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        work()
        wait(device)
    kernels, copies, kinds = 0, 0.0, defaultdict(float)
    for event in profile.key_averages():
        spent = event.self_device_time_total / 1e6
        if event.key.startswith(("Memcpy", "Memset")):
            copies += spent
        elif spent > 0:
            kernels += event.count
            kinds[kind_of(event.key)] += spent
    computing = sum(kinds.values())
    most = max(kinds, key=kinds.__getitem__)
    yield {
        "on the card": name,
        "kernels": kernels,
        "computing, s": computing,
        "of the time": computing / wall,
        "copying, s": copies,
        "most of it": f"{most} ({kinds[most] / computing:.0%})",
    }


def kind_of(kernel: str) -> str:
    """``"products"``, or the name of the kernel without its template."""
    if re.search("gemm|cutlass|cublas", kernel, re.IGNORECASE):
        return "products"
    return re.split(r"[<(]", kernel.removeprefix("void "))[0].split("::")[-1]


def largest(found: Any, expected: Any) -> float:
    """Largest difference relative to the largest value."""
    difference, size = np.abs(np.asarray(found) - np.asarray(expected)).max(), np.abs(np.asarray(expected)).max()
    return float(difference / size)


def agreement(what: str, found: Any, expected: Any, tolerance: float) -> Row:
    """A row on how far the device is from the CPU."""
    difference = largest(found, expected)
    return {"agreement": what, "difference": difference, "tolerance": tolerance, "holds": difference <= tolerance}


# What the card can do.


def peaks(plan: Plan) -> Iterator[Row]:
    """Products of square matrices, copies, and the time of a kernel that does nothing to speak of."""
    n, device, found = plan.square, plan.device, plan.found
    for where in (device, "cpu"):
        for dtype, precision in ((torch.float32, "highest"), (torch.float32, "high"), (torch.float64, "highest")):
            if where == "cpu" and precision == "high":
                continue
            side = n if where == device else n // 2
            a, b = (torch.randn(side, side, dtype=dtype, device=where) for _ in range(2))
            before = torch.get_float32_matmul_precision()
            torch.set_float32_matmul_precision(precision)
            speed = 2 * side**3 * rate(lambda a=a, b=b: a @ b, where) / 1e12
            torch.set_float32_matmul_precision(before)
            name = f"{'tf32' if precision == 'high' else str(dtype)[6:]} product on {where}"
            found.setdefault(name, speed)
            yield {"what": f"{name}, {side}³", "measured": speed, "unit": "TFLOP/s"}
    number = 2 * n**2
    here, there = torch.randn(number), torch.empty(number, device=device)
    pinned = here.pin_memory() if torch.device(device).type == "cuda" else here
    other = torch.empty_like(there)
    for name, work, count in (
        ("copy on the device, read and written", lambda: other.copy_(there), 8),
        ("copy to the device", lambda: there.copy_(here), 4),
        ("copy to the device from page-locked memory", lambda: there.copy_(pinned, non_blocking=True), 4),
        ("copy from the device", lambda: there.cpu(), 4),
    ):
        found[name] = count * number * rate(work, device) / 1e9
        yield {"what": f"{name}, {4 * number / 1e6:.0f} MB", "measured": found[name], "unit": "GB/s"}
    few = torch.zeros(64, device=device)

    def many() -> None:
        for _ in range(1000):
            few.add_(1.0)

    found["launch"] = 1e3 / rate(many, device)
    yield {"what": "one small kernel after the other", "measured": found["launch"], "unit": "µs each"}


# The main job.


def draw(n: int, genes: int, device: str) -> ad.AnnData:
    """Sparse log-normalised cells as in cells_on_disk.py, drawn on the device: about 8 % of the values not zero."""
    rng, generator = np.random.default_rng(0), torch.Generator(device).manual_seed(0)
    rate_of = torch.as_tensor(np.clip(rng.gamma(0.5, 0.16, genes), 0.005, 0.9), dtype=torch.float32, device=device)
    programs = torch.as_tensor(np.exp(rng.normal(0.0, 0.5, (6, genes))), dtype=torch.float32, device=device)
    depth = torch.as_tensor(rng.gamma(2.0, 0.5, (n, 1)), dtype=torch.float32, device=device)
    of_cell = torch.as_tensor(rng.integers(0, 6, n), device=device)
    parts = []
    for first in range(0, n, CHUNK):
        part = slice(first, min(first + CHUNK, n))
        chance = depth[part] * programs[of_cell[part]] * rate_of
        seen = torch.rand(chance.shape, generator=generator, device=device) < chance
        places = seen.nonzero()[:, 1].int()
        noise = torch.rand(len(places), generator=generator, device=device).clamp_(min=1e-7)
        values = torch.log1p(1 + torch.floor(noise.log() / np.log(0.4)))
        bounds = np.concatenate([[0], np.cumsum(seen.sum(1).cpu().numpy())])
        parts.append(sp.csr_matrix((values.cpu().numpy(), places.cpu().numpy(), bounds), shape=tuple(seen.shape)))
    cells = ad.AnnData(sp.vstack(parts, format="csr"))
    cells.obs_names, cells.var_names = [f"cell_{i}" for i in range(n)], [f"gene_{i}" for i in range(genes)]
    return cells


def some_sets(plan: Plan) -> dict[str, list[str]]:
    """Random sets of genes."""
    rng = np.random.default_rng(0)
    size = min(SIZE, plan.genes // 5)
    return {f"set_{j}": [f"gene_{i}" for i in rng.choice(plan.genes, size, replace=False)] for j in range(plan.sets)}


def compared(
    plan: Plan, works: dict[str, Callable[[str], Any]], turns: int
) -> Iterator[tuple[str, float, float, Any, Any]]:
    """Each work on the CPU and on the device in turns: its name, median seconds, and last results."""
    times: dict[tuple[str, str], list[float]] = {}
    results: dict[tuple[str, str], Any] = {}
    for _ in range(turns):
        for name, work in works.items():
            for where in ("cpu", plan.device):
                taken, results[name, where] = seconds(lambda work=work, where=where: work(where), where)
                times.setdefault((name, where), []).append(taken)
    for name in works:
        medians = (float(np.median(times[name, where])) for where in ("cpu", plan.device))
        yield name, *medians, results[name, "cpu"], results[name, plan.device]


def timed(name: str, cpu: float, gpu: float, **more: Any) -> Row:
    """A row on how long something took."""
    return {"step": name, "cpu, s": cpu, "device, s": gpu, "cpu / device": cpu / gpu} | more


def fits(plan: Plan, n: int) -> Iterator[Row]:
    """``pae.tl.fit`` as a whole, and its steps one by one."""
    device = plan.device
    cells, sets = draw(n, plan.genes, device), some_sets(plan)
    stored = cells.X.nnz
    yield {"step": f"{n} cells, {stored / n / plan.genes:.1%} stored"}
    few = cells[:2000].copy()
    for where in ("cpu", device):
        pae.tl.fit(few, sets, device=where, progress=False)
    turns = plan.turns if n <= CHUNK * 2 else 1

    def fit(where: str) -> ad.AnnData:
        model = ad.AnnData(cells.X, obs=cells.obs[[]], var=cells.var[[]])
        pae.tl.fit(model, sets, device=where, progress=False)
        return model

    def read(where: str) -> pae.pp.Moments:
        return pae.pp.moments(cells, device=where, progress=False)

    (name, whole, whole_gpu, expected, found), (_, *both, moments, others) = compared(
        plan, {"tl.fit, whole": fit, "read": read}, turns
    )
    yield timed(name, whole, whole_gpu)
    flops, sent = 2.0 * n * plan.genes**2, 12.0 * stored  # place and value of what is stored
    shares = {
        PEAK: flops / both[1] / plan.product / 1e12,
        "of the transfer's peak": sent / both[1] / 1e9 / plan.transfer,
    }
    steps = [("the pass over the cells", *both)]
    yield timed(*steps[0], **shares)
    if turns > 1:
        yield from busy("the pass over the cells", both[1], lambda: read(device), device)
    data = moments.pool().standardize()
    membership = np.array([[f"gene_{i}" in set(genes) for genes in sets.values()] for i in range(plan.genes)])
    problem = grouped.Problem(data, membership, np.ones(plan.genes, dtype=bool), plan.sets, CONFIG)

    def descend(where: str) -> grouped.Fit:
        return next(grouped.fit_many([replace(problem, config=replace(CONFIG, device=where))]))

    for name, cpu, gpu, *_ in compared(plan, {"the descent, 100 steps": descend}, max(turns, 2)):
        work = CONFIG.max_iter * operations(plan.genes, plan.sets)
        steps.append((name, cpu, gpu))
        yield timed(*steps[-1], **{PEAK: work / gpu / plan.product / 1e12})
        yield from busy(name, gpu, lambda: descend(device), device)
    taken, _ = seconds(lambda: pae.tl.transform(cells, expected, progress=False), "cpu")
    steps.append(("scores (on the CPU either way)", taken, taken))
    yield timed(*steps[-1])
    rest = (spent - sum(step[i] for step in steps) for i, spent in ((1, whole), (2, whole_gpu)))
    yield timed("the rest of the fit (free components, variances, slots)", *rest)
    j = plan.sets
    models = (found, expected)
    yield agreement("moments", others.gram, moments.gram, 1e-5)
    yield agreement("loadings of the sets", *(one.varm["pae_loadings"][:, :j] for one in models), 1e-3)
    yield agreement("scores of the sets", *(one.obsm["X_pae"][:, :j] for one in models), 1e-3)
    some = (one.varm["pae_loadings"][:, j : j + 5] for one in models)
    yield agreement("loadings of the first 5 free components", *some, 1e-3)
    ratios = (one.uns["pae"]["variance_ratio"] for one in models)
    yield agreement("variance ratios of all components", *ratios, 1e-3)


def operations(genes: int, components: int) -> float:
    """Floating-point operations of a step: ``G W`` and the four products of g × k with k × k."""
    return 2.0 * genes**2 * components + 8.0 * genes * components**2


def first_fits(plan: Plan) -> Iterator[Row]:
    """The smaller number of cells."""
    return fits(plan, plan.cells[0])


def more_fits(plan: Plan) -> Iterator[Row]:
    """The larger one."""
    return fits(plan, plan.cells[1])


# Embeddings.


def embedded(plan: Plan) -> ad.AnnData:
    """Cells × 50: sums of a few of 64 programs each, and mixtures of a few corners."""
    rng, n = np.random.default_rng(0), plan.cells[0]
    active = rng.gamma(2.0, 1.0, (n, 64)) * (rng.random((n, 64)) < 4 / 64)
    sums = active @ rng.normal(size=(64, 50))
    mixtures = rng.dirichlet(np.full(plan.archetypes, 0.3), n) @ rng.normal(size=(plan.archetypes, 50))
    cells = ad.AnnData(obs=pd.DataFrame(index=[f"cell_{i}" for i in range(n)]))
    cells.obsm["X_sums"] = (sums + 0.2 * sums.std() * rng.normal(size=sums.shape)).astype(np.float32)
    cells.obsm["X_mixtures"] = (mixtures + 0.1 * rng.normal(size=mixtures.shape)).astype(np.float32)
    return cells


def networks(plan: Plan) -> Iterator[Row]:
    """``pae.tl.sparse_ae``: the default, and one of more latents for a few epochs."""
    cells = embedded(plan)
    for latents, epochs in plan.networks:

        def train(where: str, latents: int | None = latents, n_epochs: int | None = epochs) -> dict[str, Any]:
            options = {"n_latents": latents, "n_epochs": n_epochs, "device": where, "progress": False}
            pae.tl.sparse_ae(cells, obsm="X_sums", **options)
            return cells.uns["sparse_ae"] | {"shape": cells.obsm["X_sparse_ae"].shape}

        for where in ("cpu", plan.device):
            train(where, n_epochs=1)
        for _, cpu, gpu, one, other in compared(plan, {"train": train}, 1):
            steps = np.ceil(0.9 * cells.n_obs / one["params"]["batch_size"])
            name = f"{one['shape'][1]} latents, minibatches of {one['params']['batch_size']}"
            per_step = {
                "epochs": f"{one['n_epochs']} and {other['n_epochs']}",
                "ms per minibatch, cpu": 1e3 * cpu / one["n_epochs"] / steps,
                "ms per minibatch, device": 1e3 * gpu / other["n_epochs"] / steps,
            }
            yield timed(name, cpu, gpu, **per_step)
            epoch, _ = seconds(lambda: train(plan.device, n_epochs=1), plan.device)
            yield from busy(f"{name}, one epoch", epoch, lambda: train(plan.device, n_epochs=1), plan.device)
            yield agreement(f"{name}: unexplained variance", other["unexplained"], one["unexplained"], 2e-2)
            first = [one["history"]["unexplained"][0], other["history"]["unexplained"][0]]
            yield agreement(f"{name}: the same after one epoch", *first, 2e-2)


def archetypes(plan: Plan) -> Iterator[Row]:
    """``pae.tl.archetypes`` of five starts, and weights of all cells over given archetypes."""
    cells = embedded(plan)
    few = cells[:1000].copy()

    def fit(where: str, of: ad.AnnData = cells) -> dict[str, Any]:
        pae.tl.archetypes(of, plan.archetypes, obsm="X_mixtures", device=where, progress=False)
        return dict(of.uns["archetypes"])

    fit("cpu", few)
    fit(plan.device, few)
    from pathwayae.core.archetypes import simplex

    points, corners = cells.obsm["X_mixtures"], cells.obsm["X_mixtures"][: plan.archetypes]
    weights = {"weights of all cells": lambda where: simplex.weights(points, corners, device=where)}
    for name, cpu, gpu, expected, found in compared(plan, weights, 2):
        yield timed(name, cpu, gpu)
        yield from busy(name, gpu, lambda: simplex.weights(points, corners, device=plan.device), plan.device)
        yield agreement(name, found, expected, 1e-5)
    for _, cpu, gpu, expected, found in compared(plan, {"fit": fit}, 1):
        passes = f"{len(expected['history']['loss'])} and {len(found['history']['loss'])}"
        yield timed(f"{plan.archetypes} archetypes, 5 starts", cpu, gpu, **{"passes of the best": passes})
        yield agreement("explained variance", found["explained_variance"], expected["explained_variance"], 1e-6)


# Many descents, and a large one.


def restarts(plan: Plan) -> Iterator[Row]:
    """R restarts as one batch against one, on both."""
    rng = np.random.default_rng(0)
    data, membership = wide_moments(2 * plan.genes, plan.genes, plan.sets, plan.device, rng)
    problem = grouped.Problem(data, membership, np.ones(plan.genes, dtype=bool), plan.sets, CONFIG)

    def some(where: str, r: int) -> list[grouped.Fit]:
        config = replace(CONFIG, device=where)
        seeds = [replace(problem, config=replace(config, random_state=seed)) for seed in range(r)]
        return list(grouped.fit_many(seeds))

    numbers = (1, plan.restarts)
    works = {f"{r} restart{'s' * (r > 1)}": lambda where, r=r: some(where, r) for r in numbers}
    some(plan.device, 1)
    one: tuple[float, ...] = ()
    for r, (name, cpu, gpu, expected, found) in zip(numbers, compared(plan, works, plan.turns), strict=True):
        one = one or (cpu, gpu)
        work = r * CONFIG.max_iter * operations(plan.genes, plan.sets)
        more = {
            "times one, cpu": cpu / one[0],
            "times one, device": gpu / one[1],
            PEAK: work / gpu / 1e12 / plan.product,
        }
        yield timed(name, cpu, gpu, **more)
        yield from busy(name, gpu, lambda r=r: some(plan.device, r), plan.device)
        values = [np.stack([each.loadings for each in some_fits]) for some_fits in (found, expected)]
        yield agreement(f"{name}: loadings", *values, 1e-3)


def wide_moments(
    n: int, genes: int, sets: int, device: str, rng: np.random.Generator
) -> tuple[strata.Standardized, np.ndarray]:
    """Moments of dense cells with a program per tenth set, from a product on the device, and random sets."""
    membership = np.zeros((genes, sets), dtype=bool)
    for j in range(sets):
        membership[rng.choice(genes, min(SIZE, genes // 5), replace=False), j] = True
    programs = membership[:, ::10].T * rng.gamma(2.0, 1.0, (membership[:, ::10].shape[1], genes))
    scores = rng.gamma(0.5, 1.0, (n, len(programs)))
    generator = torch.Generator(device).manual_seed(0)
    cells = torch.as_tensor(scores, dtype=torch.float32, device=device) @ torch.as_tensor(
        programs, dtype=torch.float32, device=device
    )
    cells += torch.randn(cells.shape, generator=generator, device=device)
    cells -= cells.mean(0)
    gram = (cells.mT @ cells).double()
    gram = (0.5 * (gram + gram.mT)).cpu().numpy()
    return strata.Standardized(n, gram, np.zeros(genes), np.ones(genes)), membership


def large(plan: Plan) -> Iterator[Row]:
    """Many sets on many genes from moments: start, steps, memory."""
    n, genes, sets = plan.wide
    data, membership = wide_moments(n, genes, sets, plan.device, np.random.default_rng(0))
    device, cuda = plan.device, torch.device(plan.device).type == "cuda"

    def fit(where: str, steps: int) -> grouped.Fit:
        config = replace(CONFIG, device=where, max_iter=steps)
        return grouped.fit(data, membership, np.ones(genes, dtype=bool), sets, config)

    fit(device, 1)
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    begin, _ = seconds(lambda: fit(device, 1), device)
    whole, _ = seconds(lambda: fit(device, CONFIG.max_iter), device)
    used = {"memory of the device, GiB": torch.cuda.max_memory_allocated() / 2**30} if cuda else {}
    step = (whole - begin) / (CONFIG.max_iter - 1)
    share = operations(genes, sets) / step / 1e12 / plan.product
    yield {"step": "start and first step", "device, s": begin}
    yield {
        "step": f"{sets} sets × {genes} genes, {CONFIG.max_iter} steps",
        "device, s": whole,
        "ms per step, device": 1e3 * step,
        PEAK: share,
        **used,
    }
    eleven, _ = seconds(lambda: fit(device, 11), device)
    yield from busy("start and 11 steps", eleven, lambda: fit(device, 11), device)
    few = 6
    first, _ = seconds(lambda: fit("cpu", 1), "cpu")
    some, expected = seconds(lambda: fit("cpu", few), "cpu")
    cpu_step = max(some - first, 1e-9) / (few - 1)
    best = plan.found.get("float32 product on cpu", np.nan)
    expect = first + cpu_step * (CONFIG.max_iter - 1)
    yield {
        "step": f"on the CPU, {few} steps",
        "cpu, s": some,
        "ms per step, cpu": 1e3 * cpu_step,
        PEAK: operations(genes, sets) / cpu_step / 1e12 / best,
        "cpu / device": cpu_step / step,
    }
    yield agreement(f"loadings after {few} steps", fit(device, few).loadings, expected.loadings, 1e-3)
    if expect < PATIENCE:
        taken, expected = seconds(lambda: fit("cpu", CONFIG.max_iter), "cpu")
        yield timed(f"whole, {CONFIG.max_iter} steps", taken, whole)
        yield agreement("loadings", fit(device, CONFIG.max_iter).loadings, expected.loadings, 1e-3)
    else:
        yield {"step": f"whole on the CPU, expected from {few} steps and not run", "cpu, s": expect}


# The CPU by itself.


@contextmanager
def threads_of(n: int) -> Iterator[None]:
    """Let everything on the CPU use so many threads."""
    before, asked = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(n)
    os.environ["OMP_NUM_THREADS"] = str(n)  # core/gram.py asks for it
    try:
        with threadpool_limits(n):
            yield
    finally:
        torch.set_num_threads(before)
        os.environ.pop("OMP_NUM_THREADS")
        if asked is not None:
            os.environ["OMP_NUM_THREADS"] = asked


def threads(plan: Plan) -> Iterator[Row]:
    """What the CPU's figures owe to the number of threads."""
    cells, sets, embedding = draw(plan.cells[0], plan.genes, plan.device), some_sets(plan), embedded(plan)
    mixtures = {"obsm": "X_mixtures", "device": "cpu", "progress": False}
    works = {
        "tl.fit, s": lambda: pae.tl.fit(cells, sets, device="cpu", progress=False),
        "the pass, s": lambda: pae.pp.moments(cells, device="cpu", progress=False),
        "tl.archetypes, s": lambda: pae.tl.archetypes(embedding, plan.archetypes, **mixtures),
    }
    for n in sorted({1, 4, os.cpu_count() or 1}):
        with threads_of(n):
            yield {"step": f"{n} threads" if n > 1 else "1 thread"} | {
                name: seconds(work, "cpu")[0] for name, work in works.items()
            }


SECTIONS: dict[str, tuple[str, Callable[[Plan], Iterator[Row]], int]] = {  # title, rows, seconds allowed
    "peaks": ("What the machine can do", peaks, 30),
    "fits": ("tl.fit", first_fits, 70),
    "restarts": ("Restarts as one batch", restarts, 40),
    "networks": ("tl.sparse_ae on an embedding", networks, 70),
    "archetypes": ("tl.archetypes on an embedding", archetypes, 50),
    "threads": ("The same on fewer threads of the CPU", threads, 70),
    "large": ("Many sets on many genes", large, 90),
    "more_fits": ("tl.fit of more cells", more_fits, 90),
}


@contextmanager
def limit(allowed: int) -> Iterator[None]:
    """Raise TimeoutError when the time is over."""

    def stop(*_: object) -> None:
        msg = f"not done after {allowed} s"
        raise TimeoutError(msg)

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(allowed)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def measure(plan: Plan, names: list[str], save: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """All sections; what was found is saved after every row."""
    found: dict[str, Any] = {}
    for name in names:
        _, section, allowed = SECTIONS[name]
        rows: list[Row] = []
        found[name] = {"rows": rows}
        begin = time.perf_counter()
        try:
            with limit(allowed):
                for row in section(plan):
                    rows.append(row)
                    save(found)
        except Exception as error:  # the others go on
            found[name]["failed"] = f"{type(error).__name__}: {error}"[:500]
        found[name]["seconds"] = time.perf_counter() - begin
        if torch.device(plan.device).type == "cuda":
            torch.cuda.empty_cache()
        save(found)
        print(f"{name}: {found[name]['seconds']:.0f} s {found[name].get('failed', '')}", flush=True)
    return found


def text_of(plan: Plan, found: dict[str, Any]) -> str:
    """Tables of all sections."""
    parts = [
        f"{plan.genes} genes × {plan.sets} sets and {FREE} free components where nothing else is said, defaults "
        "throughout, cells in memory; the device is " + name_of(plan.device) + f". Medians of {plan.turns} runs in "
        f"turns for tl.fit up to {2 * CHUNK} cells and for restarts; the rest ran once or twice after "
        "a run that warms up. "
        "Shares are of the float32 product (TF32 off) and of the copy from page-locked memory in the first table. "
        "*Difference* is the largest one relative to the largest value.",
    ]
    for name, section in found.items():
        parts.append(f"## {SECTIONS[name][0]}")
        rows = section["rows"]
        if rows and "what" in rows[0]:
            parts.append(_table(rows))
        else:
            parts += [
                _table(some)
                for key in ("step", "on the card", "agreement")
                if (some := [row for row in rows if key in row])
            ]
        if "failed" in section:
            parts.append(f"Not finished: {section['failed']}")
    return "\n\n".join(parts)


def _table(rows: list[Row]) -> str:
    return pd.DataFrame(rows).fillna("").to_markdown(index=False, floatfmt=".3g", disable_numparse=False)


def name_of(device: str) -> str:
    """What the card calls itself, and what it has."""
    if torch.device(device).type != "cuda":
        return f"{device} through torch"
    card = torch.cuda.get_device_properties(device)
    return (
        f"{card.name} ({card.multi_processor_count} multiprocessors, {card.total_memory / 2**30:.0f} GiB, "
        f"CUDA {torch.version.cuda})"
    )


TITLE = "CUDA against the CPU of the same machine"


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    plan = Plan()
    found = measure(plan, list(SECTIONS), lambda _: None)
    return TITLE, text_of(plan, found), found


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=FOLDER)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", nargs="+", choices=list(SECTIONS), default=list(SECTIONS))
    options = parser.parse_args()
    plan = replace(SMALL if options.small else Plan(), device=options.device, found={})
    where = machine()
    line = ", ".join(f"{key} {value}" for key, value in where.items())

    def save(found: dict[str, Any]) -> None:
        figures = json.dumps({"machine": where, "figures": found}, indent=1, default=float)
        (options.out / "gpu.json").write_text(figures + "\n")
        (options.out / "gpu.md").write_text(f"# {TITLE}\n\n{line}\n\n{text_of(plan, found)}\n")

    measure(plan, options.only, save)


if __name__ == "__main__":
    main()
