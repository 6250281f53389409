"""Cells to try things on: simulations with known truth."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

__all__ = ["simulate"]


def simulate(
    n_cells: int = 3000,
    n_genes: int = 1000,
    n_programs: int = 20,
    *,
    missing: float = 0.3,
    false: float = 0.3,
    n_cell_types: int = 6,
    depth: float = 3000.0,
    random_state: int = 0,
) -> ad.AnnData:
    """Cells with planted gene programs, and gene sets that know these programs only in part.

    A program holds 25 to 59 genes drawn at random, with loadings Gamma(2, 1). Its activity in a cell is
    Gamma(0.5, 1), present with probability 0.35, times 2.0 in the cell types where the program is high (each with
    probability 0.4) and 0.3 elsewhere. Expression is a Gamma(1, 0.5) background per gene plus activities times
    loadings; counts are Poisson at a depth of ``depth · LogNormal(0, 0.3)`` per cell. From each program's gene set a
    share of the members is removed and a share of false ones added.

    Parameters
    ----------
    n_cells, n_genes, n_programs, n_cell_types
        Sizes; at least 120 genes.
    missing, false
        Share of the members removed from each gene set, and share of members added that are none, in [0, 1].
    depth
        Median counts per cell.
    random_state
        Seed; the same seed gives the same cells.

    Returns
    -------
    AnnData with ``X`` log1p of counts per 10 000 (CSR float32), ``layers["counts"]``, ``obs["cell_type"]``, and

    - ``varm["pathways"]``: the corrupted gene sets, boolean DataFrame genes × programs, ready for
      ``pae.tl.fit(adata, "pathways")``;
    - ``varm["true_loadings"]`` (g × programs, zero outside a program) and ``obsm["true_scores"]``
      (n × programs): the truth.

    Raises
    ------
    ValueError
        If a size or a share is out of range.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(200, 300, 5)
    >>> adata.varm["pathways"].shape
    (300, 5)
    """
    _check_simulation(n_cells, n_genes, n_programs, n_cell_types, missing=missing, false=false, depth=depth)
    rng = np.random.default_rng(random_state)
    loadings = np.zeros((n_genes, n_programs))
    given = np.zeros((n_genes, n_programs), dtype=bool)
    for j in range(n_programs):
        members = rng.choice(n_genes, rng.integers(25, 60), replace=False)
        loadings[members, j] = rng.gamma(2.0, 1.0, len(members))
        given[:, j] = _corrupt(members, n_genes, missing, false, rng)
    cell_type = rng.integers(n_cell_types, size=n_cells)
    high = rng.random((n_cell_types, n_programs)) < 0.4
    present = rng.random((n_cells, n_programs)) < 0.35
    scores = rng.gamma(0.5, 1.0, (n_cells, n_programs)) * present * np.where(high[cell_type], 2.0, 0.3)
    counts = _counts(scores @ loadings.T + rng.gamma(1.0, 0.5, n_genes), depth, rng)

    names = [f"program_{j + 1}" for j in range(n_programs)]
    genes = pd.Index([f"gene_{i + 1}" for i in range(n_genes)])
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical([f"type_{t + 1}" for t in cell_type])},
        index=[f"cell_{i + 1}" for i in range(n_cells)],
    )
    per_10k = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4
    adata = ad.AnnData(sp.csr_matrix(np.log1p(per_10k).astype(np.float32)), obs=obs, var=pd.DataFrame(index=genes))
    adata.layers["counts"] = sp.csr_matrix(counts.astype(np.float32))
    adata.varm["pathways"] = pd.DataFrame(given, index=genes, columns=names)
    adata.varm["true_loadings"] = pd.DataFrame(loadings, index=genes, columns=names)
    adata.obsm["true_scores"] = pd.DataFrame(scores, index=obs.index, columns=names)
    return adata


def _corrupt(
    members: NDArray[np.int64], n_genes: int, missing: float, false: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Membership with some members removed and some genes added that are none."""
    given = np.zeros(n_genes, dtype=bool)
    given[members] = True
    others = np.flatnonzero(~given)
    given[rng.choice(members, round(missing * len(members)), replace=False)] = False
    given[rng.choice(others, round(false * len(members)), replace=False)] = True
    return given


def _counts(rate: NDArray[np.float64], depth: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Poisson counts of cells whose expected totals are ``depth · LogNormal(0, 0.3)``."""
    total = depth * rng.lognormal(0.0, 0.3, (len(rate), 1))
    return rng.poisson(rate / rate.sum(axis=1, keepdims=True) * total)


def _check_simulation(
    n_cells: int, n_genes: int, n_programs: int, n_cell_types: int, *, missing: float, false: float, depth: float
) -> None:
    for name, value, least in (
        ("n_cells", n_cells, 1),
        ("n_genes", n_genes, 120),
        ("n_programs", n_programs, 1),
        ("n_cell_types", n_cell_types, 1),
    ):
        if value < least:
            msg = f"{name}={value} is too small; at least {least} is needed."
            raise ValueError(msg)
    if not depth > 0:
        msg = f"depth={depth} must be above 0 counts per cell."
        raise ValueError(msg)
    for name, share in (("missing", missing), ("false", false)):
        if not 0 <= share <= 1:
            msg = f"{name}={share} is not a share; choose a value from 0 to 1."
            raise ValueError(msg)
