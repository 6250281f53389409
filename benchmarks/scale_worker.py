"""One method on one file in a process of its own: seconds and peak memory beyond the interpreter, as a line of JSON.

``python benchmarks/scale_worker.py METHOD cells.h5ad``
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
from cells_on_disk import PATHWAYS, pathways

import pathwayae as pae

COMPONENTS = PATHWAYS


def memory(what: str) -> float:
    """``VmRSS`` or ``VmHWM`` of this process in MiB."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) / 1024


def measured(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds, and MiB at the peak beyond what the process had before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, begin = memory("VmRSS"), time.perf_counter()
    work()
    seconds = time.perf_counter() - begin
    return seconds, memory("VmHWM") - before


def fit_in_memory(path: str) -> dict[str, float]:
    """``tl.fit`` of cells in memory."""
    adata = ad.read_h5ad(path)
    seconds, peak = measured(lambda: pae.tl.fit(adata, pathways(), progress=False))
    return {"seconds": seconds, "peak_mib": peak}


def fit_from_disk(path: str) -> dict[str, float]:
    """``tl.fit`` of a backed file; the pass, the fit from its moments and the scores also one by one."""
    adata = ad.read_h5ad(path, backed="r")
    seconds, peak = measured(lambda: pae.tl.fit(adata, pathways(), progress=False))
    result = {"seconds": seconds, "peak_mib": peak}
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "moments.npz"
        result["pass_s"], result["pass_peak_mib"] = measured(lambda: pae.pp.moments(path, progress=False).save(saved))
        genes = ad.AnnData(var=adata.var.copy())
        result["refit_s"], result["refit_peak_mib"] = measured(
            lambda: pae.tl.fit(genes, pathways(1), moments=pae.pp.Moments.load(saved), progress=False)
        )
        scores = Path(folder) / "scores.zarr"
        result["scores_s"], result["scores_peak_mib"] = measured(
            lambda: pae.tl.transform(path, genes, out=scores, progress=False)
        )
    return result


def pca(path: str) -> dict[str, float]:
    """``sc.pp.pca`` of cells in memory, as scanpy does it by default."""
    adata = ad.read_h5ad(path)
    seconds, peak = measured(lambda: sc.pp.pca(adata, n_comps=COMPONENTS))
    return {"seconds": seconds, "peak_mib": peak}


def nmf(path: str) -> dict[str, float]:
    """scikit-learn's NMF with its own defaults."""
    from sklearn.decomposition import NMF

    cells = ad.read_h5ad(path).X
    model = NMF(COMPONENTS, random_state=0)
    seconds, peak = measured(lambda: model.fit_transform(cells))
    return {"seconds": seconds, "peak_mib": peak, "iterations": model.n_iter_}


def minibatch_nmf(path: str) -> dict[str, float]:
    """scikit-learn's MiniBatchNMF with its own defaults."""
    from sklearn.decomposition import MiniBatchNMF

    cells = ad.read_h5ad(path).X
    model = MiniBatchNMF(COMPONENTS, random_state=0)
    seconds, peak = measured(lambda: model.fit_transform(cells))
    return {"seconds": seconds, "peak_mib": peak, "iterations": model.n_iter_}


def main(method: str, path: str) -> None:
    """Warm up on a few cells, then measure."""
    warnings.simplefilter("ignore")
    few = ad.AnnData(np.random.default_rng(0).poisson(1.0, (200, 300)).astype(np.float32))
    few.var_names = [f"gene_{i}" for i in range(300)]
    pae.tl.fit(few, {"a": few.var_names[:20].tolist()}, n_extra=2, progress=False)  # compiles and imports
    sc.pp.pca(few, n_comps=2)
    print(json.dumps(METHODS[method](path)))


METHODS = {f.__name__: f for f in (fit_in_memory, fit_from_disk, pca, nmf, minibatch_nmf)}

if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
