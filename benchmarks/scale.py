"""Time and peak memory against the number of cells: ``tl.fit``, PCA and NMF, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from cells_on_disk import GENES, PATHWAYS, write

FOLDER = Path(__file__).parent
CELLS = (3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000)
LARGEST = {"nmf": 100_000, "minibatch_nmf": 300_000}  # beyond, a run takes many minutes
METHODS = ("fit_in_memory", "fit_from_disk", "pca", "minibatch_nmf", "nmf")
LABELS = {
    "fit_in_memory": "tl.fit, in memory",
    "fit_from_disk": "tl.fit, from disk",
    "pca": "sc.pp.pca",
    "minibatch_nmf": "MiniBatchNMF",
    "nmf": "NMF",
}
MANY, REPEATS = 100_000, 3  # up to so many cells every method is run so often, in turns; the slow ones below it
SLOW = ("nmf", "minibatch_nmf")


def one(method: str, path: Path) -> dict[str, float]:
    """One run."""
    command = [sys.executable, str(FOLDER / "scale_worker.py"), method, str(path)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])


def runs(n_cells: int, path: Path) -> list[dict[str, float | str]]:
    """All methods in turns on the same file."""
    rows = []
    for i in range(REPEATS if n_cells <= MANY else 1):
        for method in METHODS:
            once = i > 0 and n_cells == MANY and method in SLOW
            if n_cells <= LARGEST.get(method, n_cells) and not once:
                rows.append({"cells": n_cells, "method": method} | one(method, path))
                print(rows[-1], flush=True)
    return rows


def kernel_seconds(path: Path, n_cells: int) -> float:
    """Seconds that the products alone of all cells would take: best of BLAS, our sparse and scipy's on one block."""
    import anndata as ad
    import gram as benchmark

    from pathwayae.core.moments import accumulate as moments

    block = ad.read_h5ad(path, backed="r").X[: min(n_cells, moments.block_rows(GENES))]
    best = min(benchmark.seconds(block, np.inf), benchmark.seconds(block, 0.0), benchmark.scipy_seconds(block))
    return best / block.shape[0] * n_cells


def plot(medians: object) -> None:
    """``benchmarks/scale.png``."""
    import matplotlib.pyplot as plt

    colours = dict(zip(METHODS, ("#0072B2", "#56B4E9", "#D55E00", "#CC79A7", "#444444"), strict=True))
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    for axis, column, label in zip(axes, ("seconds", "peak_mib"), ("Wall time, s", "Peak memory, MiB"), strict=True):
        for method in METHODS:
            rows = medians[medians["method"] == method]
            axis.plot(rows["cells"], rows[column], marker="o", color=colours[method], label=LABELS[method])
        axis.set(xscale="log", yscale="log", xlabel=f"Cells (× {GENES} genes, 8 % not zero)", ylabel=label)
        axis.grid(color="0.9")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False)
    figure.savefig(FOLDER / "scale.png", dpi=150)


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    import pandas as pd

    rows, split = [], []
    with tempfile.TemporaryDirectory() as folder:
        for n_cells in CELLS:
            path = Path(folder) / "cells.h5ad"
            begin = time.perf_counter()
            write(path, n_cells)
            print(f"{n_cells} cells written in {time.perf_counter() - begin:.0f} s", flush=True)
            found = runs(n_cells, path)
            rows += found
            disk = pd.DataFrame(found).query("method == 'fit_from_disk'").median(numeric_only=True)
            products = kernel_seconds(path, n_cells)
            split.append(
                {
                    "cells": n_cells,
                    "whole fit, s": disk["seconds"],
                    "the pass, s": disk["pass_s"],
                    "products alone, s": products,
                    "products / pass": products / disk["pass_s"],
                    "refit from saved moments, s": disk["refit_s"],
                    "scores to zarr, s": disk["scores_s"],
                    "peak of fit, MiB": disk["peak_mib"],
                    "peak of pass, MiB": disk["pass_peak_mib"],
                    "peak of scores, MiB": disk["scores_peak_mib"],
                }
            )
            path.unlink()
    medians = pd.DataFrame(rows).groupby(["cells", "method"], as_index=False).median(numeric_only=True)
    plot(medians)
    return "Cells against time and memory", _text(medians, pd.DataFrame(split)), {"runs": rows, "split": split}


def _text(medians: object, split: object) -> str:
    wide = medians.pivot_table(index="cells", columns="method", values="seconds").reindex(columns=METHODS)
    ratios = wide.div(wide["fit_in_memory"], axis=0).drop(columns=["fit_in_memory", "fit_from_disk"])
    memory = medians.pivot_table(index="cells", columns="method", values="peak_mib").reindex(columns=METHODS)
    return "\n\n".join(
        [
            f"{GENES} genes, about 8 % of the values not zero, {PATHWAYS} pathways and 20 free components against "
            f"{PATHWAYS} components of the others, defaults throughout. Every run is a process of its own; up to "
            f"{MANY} cells the median of {REPEATS} in turns (there one of the NMFs), "
            f"beyond a single run. NMF stops at {LARGEST['nmf']} cells, "
            f'MiniBatchNMF at {LARGEST["minibatch_nmf"]}. All but "from disk" have the cells in memory before the '
            "clock starts; from disk, cells are read twice (moments, scores).",
            "Seconds:\n\n" + wide.rename(columns=LABELS).to_markdown(floatfmt=".3g", intfmt=","),
            "Times as long as `tl.fit` in memory:\n\n"
            + ratios.rename(columns=LABELS).to_markdown(floatfmt=".3g", intfmt=","),
            'Peak memory beyond the interpreter with its imports (and the cells, but for "from disk"), MiB:\n\n'
            + memory.rename(columns=LABELS).to_markdown(floatfmt=".3g", intfmt=","),
            'From disk, divided. "Products alone" is the best of BLAS, our sparse and scipy\'s sparse product on one '
            "block of the same file, times the number of blocks:\n\n"
            + split.to_markdown(index=False, floatfmt=".3g", intfmt=","),
            "![Time and memory against the number of cells](scale.png)",
        ]
    )
