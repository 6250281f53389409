"""One method on one file in a process of its own: seconds and peak memory beyond the interpreter, as a line of JSON.

``python benchmarks/scale_worker.py METHOD cells.h5ad SETS``, with a Python that has decoupler for ulm and aucell.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from cells_on_disk import PATHWAYS, SIZE, pathways
from measuring import MIB, Row, measured

COMPONENTS = PATHWAYS
CALLED = 100  # sets that score_genes is timed on, one call each; more are reckoned
TURNS = 3  # of what is over in a moment


def few_cells() -> ad.AnnData:
    """A few sparse cells to warm up on."""
    values = sp.csr_matrix(np.random.default_rng(0).poisson(0.2, (200, 300)).astype(np.float32))
    return ad.AnnData(values, var=pd.DataFrame(index=[f"gene_{i}" for i in range(300)]))


def warm_up() -> None:
    """Imports and compiles what a fit needs."""
    import pathwayae as pae

    for solver in ("gram", "cells", "sketch"):
        few = few_cells()
        settings = pae.tl.FitSettings(solver=solver)
        pae.tl.fit(few, {"a": few.var_names[:20].tolist()}, n_extra=2, settings=settings, progress=False)


def sets_for(genes: int, n_sets: int, seed: int = 0) -> dict[str, list[str]]:
    return pathways(seed, n_genes=genes, sizes=[SIZE] * n_sets)


def net_of(sets: dict[str, list[str]]) -> pd.DataFrame:
    """As decoupler takes them."""
    return pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes], columns=["source", "target"])


def fit_in_memory(path: str, n_sets: int) -> Row:
    """``tl.fit`` of cells in memory."""
    return _fit(ad.read_h5ad(path), n_sets)


def fit_from_disk(path: str, n_sets: int) -> Row:
    """``tl.fit`` of a backed file."""
    return _fit(ad.read_h5ad(path, backed="r"), n_sets)


def _fit(adata: ad.AnnData, n_sets: int) -> Row:
    import pathwayae as pae

    warm_up()
    sets = sets_for(adata.n_vars, n_sets)
    row = measured(lambda: pae.tl.fit(adata, sets, progress=False))
    return row | {"solver": adata.uns["pae"]["params"]["solver"]}


def stages(path: str, n_sets: int) -> Row:
    """The pass over a file, a fit from its moments, and the scores, one by one."""
    import pathwayae as pae

    warm_up()
    adata = ad.read_h5ad(path, backed="r")
    row: Row = {}

    def keep(name: str, found: Row) -> None:
        row.update({f"{name}_s": found["seconds"], f"{name}_peak_mib": found["peak_mib"]})

    with tempfile.TemporaryDirectory() as folder:
        read: list[Any] = []
        keep("pass", measured(lambda: read.append(pae.pp.moments(path, progress=False))))
        refits = []
        for turn in range(TURNS):
            genes, sets = ad.AnnData(var=adata.var.copy()), sets_for(adata.n_vars, n_sets, turn)
            refits.append(measured(lambda g=genes, s=sets: pae.tl.fit(g, s, moments=read[0], progress=False)))
        keep("refit", sorted(refits, key=lambda found: found["seconds"])[TURNS // 2])
        keep(
            "scores", measured(lambda: pae.tl.transform(path, genes, out=Path(folder) / "scores.zarr", progress=False))
        )
    return row


def pca(path: str, _: int) -> Row:
    """``sc.pp.pca`` of cells in memory, as scanpy does it by default."""
    import scanpy as sc

    sc.pp.pca(few_cells(), n_comps=2)
    adata = ad.read_h5ad(path)
    return measured(lambda: sc.pp.pca(adata, n_comps=COMPONENTS))


def score_genes(path: str, n_sets: int) -> Row:
    """``sc.tl.score_genes``, a call for every set."""
    import scanpy as sc

    adata = ad.read_h5ad(path)
    sets = list(sets_for(adata.n_vars, n_sets).values())[:CALLED]

    def work() -> None:
        for genes in sets:
            sc.tl.score_genes(adata, genes, score_name="score", use_raw=False)

    row = measured(work)
    times = n_sets / len(sets)
    return row | {"timed_s": row["seconds"]} | {name: times * row[name] for name in ("seconds", "processor_s")}


def ulm(path: str, n_sets: int) -> Row:
    """decoupler's univariate linear model."""
    return _decoupler("ulm", path, n_sets)


def aucell(path: str, n_sets: int) -> Row:
    """decoupler's area under the recovery curve."""
    return _decoupler("aucell", path, n_sets)


def _decoupler(method: str, path: str, n_sets: int) -> Row:
    import decoupler as dc

    score, few = getattr(dc.mt, method), few_cells()
    score(few, net_of({"a": few.var_names[:20].tolist(), "b": few.var_names[9:29].tolist()}))
    adata = ad.read_h5ad(path)
    net = net_of(sets_for(adata.n_vars, n_sets))
    return measured(lambda: score(adata, net))


def nmf(path: str, _: int) -> Row:
    """scikit-learn's NMF with its own defaults."""
    from sklearn.decomposition import NMF

    return _factorized(path, NMF(COMPONENTS, random_state=0))


def minibatch_nmf(path: str, _: int) -> Row:
    """scikit-learn's MiniBatchNMF with its own defaults."""
    from sklearn.decomposition import MiniBatchNMF

    return _factorized(path, MiniBatchNMF(COMPONENTS, random_state=0))


def _factorized(path: str, model: Any) -> Row:
    cells = ad.read_h5ad(path).X
    return measured(lambda: model.fit_transform(cells)) | {"iterations": model.n_iter_}


def limit(path: str, _: int) -> Row:
    """Seconds of reading every stored value of the file once, and of the matrix product of the moments alone."""
    best = np.inf
    for _ in range(TURNS):
        begin = time.perf_counter()
        with h5py.File(path, "r") as file:
            for name in ("data", "indices", "indptr"):
                values = file["X"][name]
                step = 64 * MIB // values.dtype.itemsize
                place = np.empty(min(step, len(values)), values.dtype)
                for first in range(0, len(values), step):
                    part = slice(first, min(first + step, len(values)))
                    values.read_direct(place, part, np.s_[: part.stop - first])
        best = min(best, time.perf_counter() - begin)
    return {"reading_s": best} | product(path)


def product(path: str) -> Row:
    """Best of some ways on one block of cells, times the number of blocks: ``XᵀX``, or of a sketch ``Xᵀ(XΩ)``."""
    import gram as benchmark

    from pathwayae.core.moments import accumulate, sketch_product
    from pathwayae.core.moments.probes import Probes
    from pathwayae.core.moments.sketch import RANK

    adata = ad.read_h5ad(path, backed="r")
    n, g = adata.shape
    exact = 8 * g**2 <= 2**30
    rows = accumulate.block_rows(g)
    block = adata.X[: min(n, rows if exact else 4 * rows)]
    if exact:
        kernels = (lambda: benchmark.seconds(block, np.inf), lambda: benchmark.seconds(block, 0.0))
        times = [kernel() for kernel in kernels] + [benchmark.scipy_seconds(block)]
    else:
        omega = np.ascontiguousarray(Probes.of(g, rank=RANK).matrix())
        total, times = np.zeros_like(omega), []
        for work in (
            lambda: sketch_product.add_product(total, block, omega, rows=rows),
            lambda: block.T @ (block @ omega),
        ):
            for _ in range(TURNS):
                begin = time.perf_counter()
                work()
                times.append(time.perf_counter() - begin)
    return {"product_s": min(times) * n / block.shape[0], "product": "XᵀX" if exact else "Xᵀ(XΩ)"}


FITS = (fit_in_memory, fit_from_disk, stages)
PEERS = (pca, ulm, aucell, score_genes, minibatch_nmf, nmf)
METHODS = {f.__name__: f for f in (*FITS, *PEERS, limit)}

if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(METHODS[sys.argv[1]](sys.argv[2], int(sys.argv[3])), default=float))
