"""Cells on which archetypes are fitted again: some of them, in an order that does not depend on that of the AnnData."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells.matrix import Streamed
from pathwayae._slots import keys, lookup
from pathwayae._slots.archetypes import Fitted
from pathwayae.core.archetypes import solver
from pathwayae.tl._archetypes import cells as of_archetypes
from pathwayae.tl._archetypes.cells import Cells

BATCH = 16  # fits that are given to the solver at once


class Sample(NamedTuple):
    """Cells in memory: values (m, d), dense or CSR, and their places in the AnnData, shape (m,)."""

    values: Any
    places: NDArray[np.intp]
    n_cells: int

    @property
    def whole(self) -> bool:
        """Whether these are all cells."""
        return len(self.places) == self.n_cells

    def dense(self) -> NDArray[np.float64]:
        """Values as a float64 array."""
        values = self.values.toarray() if sp.issparse(self.values) else self.values
        return np.asarray(values, dtype=np.float64)

    def strata(self, adata: AnnData, sample_key: str | None) -> NDArray[np.intp] | None:
        """Number of the stratum of each cell; None without a key."""
        return None if sample_key is None else np.unique(strata(adata, sample_key)[self.places], return_inverse=True)[1]


def sample(cells: Cells, max_cells: int, rng: np.random.Generator) -> Sample:
    """All cells, or ``max_cells`` of them drawn at random, in the order of the solver."""
    streamed = isinstance(cells.values, Streamed)
    n = cells.values.n if streamed else cells.values.shape[0]
    rows = np.arange(n) if n <= max_cells else np.sort(rng.choice(n, max_cells, replace=False))
    places = rows if cells.order is None else cells.order[rows]
    if not streamed:
        return Sample(cells.values[rows] if len(rows) < n else cells.values, places, n)
    parts, first = [], 0
    for block in cells.values.blocks():
        own = rows[(rows >= first) & (rows < first + block.shape[0])] - first
        parts.append(block[own])
        first += block.shape[0]
    return Sample(sp.vstack(parts, format="csr") if sp.issparse(parts[0]) else np.concatenate(parts), places, n)


def of_fit(adata: AnnData, key: str, model: Fitted) -> Cells:
    """The cells that a fit was of: the same embedding, or the genes that the AnnData still has of the model.

    Raises
    ------
    KeyError
        If the embedding or the layer is gone.
    ValueError
        If the embedding is not the one of the fit.
    """
    if obsm := model.params["obsm"]:
        cells = of_archetypes.read(adata, obsm, None, None)
        if len(cells.names) != model.coordinates.shape[1]:
            d = model.coordinates.shape[1]
            msg = (
                f"adata.obsm[{obsm!r}] has {len(cells.names)} dimensions, but the archetypes {d}: "
                f"it was replaced since; run pae.tl.archetypes(adata, …, key_added={key!r}) again."
            )
            raise ValueError(msg)
        return cells
    inside = np.isfinite(np.asarray(lookup.slot(adata, "var", keys.mean(key), key), dtype=float))
    return of_archetypes.read(adata, None, model.params["layer"] or None, inside, model.params["gene_symbols"] or None)


def config(model: Fitted, *, device: str) -> solver.Config:
    """The settings of a fit for another one; given starts are replaced by random ones."""
    params = model.params
    start = params["start"]
    return solver.Config(
        n_archetypes=int(params["n_archetypes"]),
        max_iter=int(params["max_iter"]),
        tol=float(params["tol"]),
        start="aa++" if start == "given" else start,
        delta=float(params["delta"]),
        entropy_reg=float(params["entropy_reg"]),
        robust=params["robust"] or None,
        coreset=params["coreset"] or None,
        n_restarts=int(params["n_restarts"]),
        seed=int(params["random_state"]),
        device=_checks.device(device),
    )


def seeded(base: solver.Config, rng: np.random.Generator) -> solver.Config:
    """The same with another seed."""
    return replace(base, seed=int(rng.integers(2**31)))


def strata(adata: AnnData, sample_key: str) -> NDArray[np.intp]:
    """Number of the stratum of every cell, from 0, in the order of their names.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If a cell has no value, or there are fewer than 3 values.
    """
    _checks.check_column(adata, "sample_key", sample_key)
    found, codes = np.unique(_checks.as_text(adata.obs[sample_key], sample_key).astype(str), return_inverse=True)
    if len(found) < 3:
        msg = (
            f"adata.obs[{sample_key!r}] has {len(found)} value(s), but at least 3 samples are needed; leave sample_key "
            "out to take cells as independent."
        )
        raise ValueError(msg)
    return codes
