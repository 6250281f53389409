"""XᵀX of one block of cells: BLAS against a sparse product; SPARSE_COST of core/gram.py comes from here."""

from __future__ import annotations

import time

import numpy as np
import scipy.sparse as sp

from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments import gram

GENES = (500, 2000)
DENSITIES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
REPEATS = 3


def seconds(block: sp.csr_matrix, cost: float) -> float:
    """Best of some runs with one kernel forced: 0 the sparse product, infinity BLAS."""
    total = np.zeros((block.shape[1],) * 2)
    kept, best = gram.SPARSE_COST, np.inf
    gram.SPARSE_COST = cost
    try:
        for _ in range(REPEATS):
            start = time.perf_counter()
            gram.add_gram(total, block, rows=moments.block_rows(block.shape[1]))
            best = min(best, time.perf_counter() - start)
    finally:
        gram.SPARSE_COST = kept
    return best


def scipy_seconds(block: sp.csr_matrix) -> float:
    """Best of some runs of scipy's product, added to a dense matrix."""
    total = np.zeros((block.shape[1],) * 2)
    best = np.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        total += (block.T.tocsr() @ block).toarray()
        best = min(best, time.perf_counter() - start)
    return best


def one(genes: int, density: float) -> dict[str, float | str]:
    """Both kernels on one block of 64 MiB."""
    n = moments.block_rows(genes)
    block = sp.random_array((n, genes), density=density, format="csr", rng=np.random.default_rng(0))
    stored = np.diff(block.indptr).astype(float)
    blas, sparse = seconds(block, np.inf), seconds(block, 0.0)
    return {
        "genes": genes,
        "values stored": f"{density:.1%}",
        "BLAS, ms": 1e3 * blas,
        "sparse, ms": 1e3 * sparse,
        "scipy's sparse, ms": 1e3 * scipy_seconds(block),
        "cost of one sparse multiplication": (sparse / (stored @ stored)) / (blas / (n * genes**2)),
        "chosen": "sparse" if gram.prefers_sparse(block) else "BLAS",
    }


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    import pandas as pd

    rows = [one(genes, density) for genes in GENES for density in DENSITIES]
    text = (
        f"One block of {moments.BLOCK_BYTES // 2**20} MiB, best of {REPEATS} runs, one thread (`OMP_NUM_THREADS=1`). "
        "The cost of one multiplication in the sparse product, in multiplications of dsyrk (g² per cell), falls as a "
        f"block fills up; `SPARSE_COST` is what it is where both take the same time (now {gram.SPARSE_COST:g}). Both "
        "use more threads where there are.\n\n" + pd.DataFrame(rows).to_markdown(index=False, floatfmt=".3g")
    )
    return "Gram matrix of a block: BLAS against a sparse product", text, rows
