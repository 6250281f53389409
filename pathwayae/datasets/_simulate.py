"""Cells with planted programs, and gene sets that know them only in part."""

from __future__ import annotations

import numbers

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.gates import gated

SMALLEST, LARGEST = 25, 59  # genes of a program or a silent set


@gated(depth=(1e-3, 1e9), batch_effect=(0, 50), donor_effect=(0, 50))
def simulate(
    n_cells: int = 3000,
    n_genes: int = 1000,
    n_programs: int = 20,
    *,
    missing: float = 0.3,
    false: float = 0.3,
    overlap: float = 0.0,
    n_silent: int = 0,
    n_cell_types: int = 6,
    n_batches: int = 1,
    batch_effect: float = 0.3,
    n_donors: int = 1,
    donor_effect: float = 0.2,
    depth: float = 3000.0,
    random_state: int = 0,
) -> ad.AnnData:
    """Make cells with planted gene programs, and gene sets that know these programs only in part.

    A program holds 25 to 59 genes drawn at random, with loadings Gamma(2, 1). Its activity in a cell is
    Gamma(0.5, 1), present with probability 0.35, times 2.0 in the cell types where the program is high (each with
    probability 0.4) and 0.3 elsewhere. Expression is a Gamma(1, 0.5) background per gene plus activities times
    loadings, times the factors of the cell's batch and donor; counts are Poisson at a depth of
    ``depth · LogNormal(0, 0.3)`` per cell. From each program's gene set a share of the members is removed and a share
    of false ones added.

    Overlap, silent sets, batches and donors draw from random streams of their own: with the same seed, asking for
    batches or donors changes the counts but neither programs, gene sets, cell types nor scores; silent sets change
    nothing else at all.

    Parameters
    ----------
    n_cells, n_genes, n_programs, n_cell_types
        Sizes; at least 120 genes.
    missing, false
        Share of the members removed from each gene set, and share of members added that are none, in [0, 1].
    overlap
        Share of the genes that each program but the first takes from one of the programs before it, in [0, 1], as far
        as that program has so many. Programs share a few genes by chance even at 0.
    n_silent
        Number of gene sets that no program stands behind: 25 to 59 genes drawn at random.
    n_batches, n_donors
        Cells are spread over batches and over donors at random, independently of each other. 1 leaves the column out.
    batch_effect, donor_effect
        Standard deviation of the logarithm of a gene's factor in a batch or a donor, where there are several.
    depth
        Median counts per cell.
    random_state
        Seed; the same seed gives the same cells.

    Returns
    -------
    AnnData with ``X`` log1p of counts per 10 000 (CSR float32), ``layers["counts"]``, ``obs["cell_type"]``, and

    - ``varm["pathways"]``: the corrupted gene sets, boolean DataFrame genes × (programs, then ``silent_1`` …), ready
      for ``pae.tl.fit(adata, "pathways")``;
    - the truth: ``varm["true_loadings"]`` (genes × programs, zero outside a program), ``obsm["true_scores"]``
      (cells × programs) and ``var["true_background"]``;
    - for several batches ``obs["batch"]`` and ``varm["true_batch_effects"]`` (genes × batches, logarithms of the
      factors); for several donors ``obs["donor"]`` and ``varm["true_donor_effects"]``;
    - ``uns["simulation"]``: the arguments, and ``"high"``, in which cell types a program is high.

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
    >>> adata = pae.datasets.simulate(200, 300, 5, overlap=0.2, n_silent=3, n_batches=2, n_donors=4)
    >>> list(adata.varm["pathways"].columns[-3:]), list(adata.obs.columns)
    (['silent_1', 'silent_2', 'silent_3'], ['cell_type', 'batch', 'donor'])
    """
    arguments = {"n_cells": n_cells, "n_genes": n_genes, "n_programs": n_programs, "missing": missing, "false": false}
    arguments |= {"overlap": overlap, "n_silent": n_silent, "n_cell_types": n_cell_types, "n_batches": n_batches}
    arguments |= {"batch_effect": batch_effect, "n_donors": n_donors, "donor_effect": donor_effect, "depth": depth}
    arguments |= {"random_state": random_state}
    _check(arguments)
    rng = np.random.default_rng(random_state)
    overlap_rng, silent_rng, batch_rng, donor_rng = map(
        np.random.default_rng, np.random.SeedSequence(random_state).spawn(4)
    )
    loadings, given = _programs(n_genes, n_programs, missing, false, rng, overlap=overlap, overlap_rng=overlap_rng)
    cell_type = rng.integers(n_cell_types, size=n_cells)
    high = rng.random((n_cell_types, n_programs)) < 0.4
    present = rng.random((n_cells, n_programs)) < 0.35
    scores = rng.gamma(0.5, 1.0, (n_cells, n_programs)) * present * np.where(high[cell_type], 2.0, 0.3)
    background = rng.gamma(1.0, 0.5, n_genes)
    rate = scores @ loadings.T + background

    programs = _names("program", n_programs)
    genes, cells = pd.Index(_names("gene", n_genes)), pd.Index(_names("cell", n_cells))
    types = _names("type", n_cell_types)
    obs = pd.DataFrame({"cell_type": pd.Categorical([types[t] for t in cell_type])}, index=cells)
    effects = {}
    for name, count, sd, stream in (
        ("batch", n_batches, batch_effect, batch_rng),
        ("donor", n_donors, donor_effect, donor_rng),
    ):
        if count > 1:
            group, effect = stream.integers(count, size=n_cells), stream.normal(0.0, sd, (n_genes, count))
            rate *= np.exp(effect).T[group]
            obs[name] = pd.Categorical.from_codes(group, pd.Index(_names(name, count)))
            effects[f"true_{name}_effects"] = pd.DataFrame(effect, index=genes, columns=_names(name, count))
    counts = _counts(rate, depth, rng)

    adata = ad.AnnData(_log_per_10k(counts), obs=obs, var=pd.DataFrame({"true_background": background}, index=genes))
    adata.layers["counts"] = sp.csr_matrix(counts.astype(np.float32))
    sets = np.column_stack([given, _silent(n_genes, n_silent, silent_rng)])
    adata.varm["pathways"] = pd.DataFrame(sets, index=genes, columns=programs + _names("silent", n_silent))
    adata.varm["true_loadings"] = pd.DataFrame(loadings, index=genes, columns=programs)
    adata.obsm["true_scores"] = pd.DataFrame(scores, index=cells, columns=programs)
    for name, table in effects.items():
        adata.varm[name] = table
    adata.uns["simulation"] = {**arguments, "high": pd.DataFrame(high, index=types, columns=programs)}
    return adata


def _names(what: str, count: int) -> list[str]:
    return [f"{what}_{i + 1}" for i in range(count)]


def _programs(
    n_genes: int,
    n_programs: int,
    missing: float,
    false: float,
    rng: np.random.Generator,
    *,
    overlap: float,
    overlap_rng: np.random.Generator,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """True loadings and corrupted membership, genes × programs."""
    loadings = np.zeros((n_genes, n_programs))
    given = np.zeros((n_genes, n_programs), dtype=bool)
    for j in range(n_programs):
        members = rng.choice(n_genes, rng.integers(SMALLEST, LARGEST + 1), replace=False)
        if overlap > 0 and j > 0:
            other = np.flatnonzero(loadings[:, overlap_rng.integers(j)])
            members = _shared(members, other, overlap, overlap_rng)
        loadings[members, j] = rng.gamma(2.0, 1.0, len(members))
        given[:, j] = _corrupt(members, n_genes, missing, false, rng)
    return loadings, given


def _shared(
    members: NDArray[np.int64], other: NDArray[np.int64], overlap: float, rng: np.random.Generator
) -> NDArray[np.int64]:
    """As many members, a share of them from another program."""
    taken = rng.choice(other, min(round(overlap * len(members)), len(other)), replace=False)
    own = members[~np.isin(members, taken)]
    return np.concatenate([taken, rng.choice(own, len(members) - len(taken), replace=False)])


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


def _silent(n_genes: int, n_silent: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    sets = np.zeros((n_genes, n_silent), dtype=bool)
    for j in range(n_silent):
        sets[rng.choice(n_genes, rng.integers(SMALLEST, LARGEST + 1), replace=False), j] = True
    return sets


def _counts(rate: NDArray[np.float64], depth: float, rng: np.random.Generator) -> NDArray[np.int64]:
    """Poisson counts of cells whose expected totals are ``depth · LogNormal(0, 0.3)``."""
    total = depth * rng.lognormal(0.0, 0.3, (len(rate), 1))
    return rng.poisson(rate / rate.sum(axis=1, keepdims=True) * total)


def _log_per_10k(counts: NDArray[np.int64]) -> sp.csr_matrix:
    per_10k = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) * 1e4
    return sp.csr_matrix(np.log1p(per_10k).astype(np.float32))


def _check(arguments: dict[str, float]) -> None:
    least = {"n_cells": 1, "n_genes": 120, "n_programs": 1, "n_silent": 0, "n_cell_types": 1}
    for name, smallest in {**least, "n_batches": 1, "n_donors": 1, "random_state": 0}.items():
        value = arguments[name]
        if not isinstance(value, numbers.Integral) or isinstance(value, bool):
            msg = f"{name}={value!r} must be an integer."
            raise TypeError(msg)
        if value < smallest:
            msg = f"{name}={value} is too small; at least {smallest} is needed."
            raise ValueError(msg)
    if not 0 < arguments["depth"] < float("inf"):
        msg = f"depth={arguments['depth']} must be a number above 0, the median counts per cell."
        raise ValueError(msg)
    for name in ("missing", "false", "overlap"):
        if not 0 <= arguments[name] <= 1:
            msg = f"{name}={arguments[name]} is not a share; choose a value from 0 to 1."
            raise ValueError(msg)
    if arguments["overlap"] > 0 and arguments["n_programs"] < 2:
        msg = f"overlap={arguments['overlap']} needs at least 2 programs; n_programs is {arguments['n_programs']}."
        raise ValueError(msg)
    for name in ("batch_effect", "donor_effect"):
        if not 0 <= arguments[name] < float("inf"):
            msg = f"{name}={arguments[name]} is not a standard deviation; choose 0 or more."
            raise ValueError(msg)
