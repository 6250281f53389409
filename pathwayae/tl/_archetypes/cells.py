"""What archetypes are fitted to: an embedding or genes, cells in the order of their names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._cells import sources
from pathwayae._cells.matrix import Input, Streamed, chosen, opened
from pathwayae._slots import keys, lookup
from pathwayae.core.archetypes import profiles, solver
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.notice import listed


class Cells(NamedTuple):
    """Cells as the solver takes them.

    ``values`` is an array, CSR or :class:`Streamed`, cell ``order[i]`` of the AnnData in row i (as they come where
    None); ``names`` are those of the dimensions, ``columns`` the places of the genes (None for an embedding).
    """

    values: Any
    order: NDArray[np.intp] | None
    names: list[str]
    obsm: str | None
    columns: NDArray[np.intp] | None

    def mean(self) -> NDArray[np.float64]:
        """Of every dimension."""
        blocks = self.values.blocks() if isinstance(self.values, Streamed) else [self.values]
        total = sum(np.asarray(block.sum(axis=0, dtype=np.float64)).ravel() for block in blocks)
        return np.asarray(total) / (self.values.n if isinstance(self.values, Streamed) else self.values.shape[0])

    def embedding(self) -> NDArray[Any]:
        """Coordinates in the order of the AnnData, dense."""
        values = self.values.toarray() if sp.issparse(self.values) else self.values
        return values if self.order is None else values[np.argsort(self.order)]


def read(adata: AnnData, obsm: str | None, layer: str | None, mask_var: Any, gene_symbols: str | None = None) -> Cells:
    """The cells to fit.

    Raises
    ------
    KeyError
        If an embedding, layer or column does not exist.
    TypeError, ValueError
        If it is no matrix of finite numbers, gene names repeat, or genes are chosen for an embedding.
    """
    cells = chosen(
        adata, obsm=obsm, layer=layer if obsm is None else None, mask_var=mask_var, gene_symbols=gene_symbols
    )
    values, order = in_memory(cells, adata.obs_names, always=obsm is not None)
    names = cells.names.tolist() if obsm is None else dimensions(adata, obsm)
    return Cells(values, order, names, obsm, cells.columns if obsm is None else None)


def in_memory(cells: Input, obs_names: pd.Index, *, always: bool) -> tuple[Any, NDArray[np.intp] | None]:
    """Values in the order of the names of the cells, and that order; blocks where the cells are elsewhere."""
    if not (cells.source.finite or always):
        return Streamed(cells), None
    parts = [values for _, _, values in cells.blocks(2**62 if cells.source.finite else BLOCK_BYTES)]
    together = sp.vstack if sp.issparse(parts[0]) else np.concatenate
    values: Any = parts[0] if len(parts) == 1 else together(parts)
    values = values.tocsr() if sp.issparse(values) else values
    order = np.argsort(obs_names.to_numpy(dtype=str), kind="stable")
    return values[order], order


def dimensions(adata: AnnData, obsm: str) -> list[str]:
    """Names of the columns of an embedding: its own, those of the components of a fit, or numbered."""
    values = adata.obsm[obsm]
    if isinstance(values, pd.DataFrame):
        return [str(name) for name in values.columns]
    names = lookup.names_of_scores(adata, obsm)
    return names if len(names) == values.shape[1] else [f"{obsm}_{j}" for j in range(values.shape[1])]


def start(given: Any, obs_names: pd.Index, order: NDArray[np.intp] | None) -> Any:
    """The start as the solver takes it: cells by their place in its order.

    Raises
    ------
    KeyError
        If a cell is unknown.
    """
    if isinstance(given, str):
        return given
    values = np.asarray(given)
    if values.dtype.kind in "OUST":
        names = values.astype(str)
        unknown = [name for name in names if name not in obs_names]
        if unknown:
            msg = f"start names cells that are not in adata.obs_names: {listed(unknown, 5)}."
            raise KeyError(msg)
        values = pd.Index(obs_names.astype(str)).drop_duplicates().get_indexer(names)
        values = np.flatnonzero(~obs_names.duplicated())[values]
    inside = values.ndim == 1 and values.dtype.kind in "iu" and len(values) and values.min() >= 0
    if order is None or not inside or values.max() >= len(order):  # what is wrong is said by the solver
        return values
    return np.argsort(order)[values]


def ordered(fit: solver.Fit, order: NDArray[np.intp] | None) -> solver.Fit:
    """Archetypes by their total weight, cells in the order of the AnnData."""
    sequence = profiles.by_size(fit.weights, fit.archetypes)
    weights, mixing = fit.weights[:, sequence], fit.mixing[sequence]
    if order is not None:
        back = np.argsort(order)
        weights, mixing = weights[back], mixing[:, back]
    return replace(
        fit,
        archetypes=fit.archetypes[sequence],
        weights=np.ascontiguousarray(weights, dtype=np.float32),
        mixing=mixing,
        alpha=fit.alpha[sequence],
    )


def genes(adata: AnnData, obsm: str | None, layer: str | None) -> sources.Source | None:
    """The genes to express archetypes of an embedding in, as the fit took them where there is one; None without any."""
    params = lookup.params_of_scores(adata, str(obsm))
    own = str(params.get("layer", ""))
    layer = layer or (own if own in adata.layers else None)
    if adata.n_vars == 0 or (layer is None and not adata.isbacked and adata.X is None):
        return None
    return opened(adata, layer, None, str(params.get("normalize", "")))


def labels_of(key: str, names: NDArray[np.object_], weights: NDArray[np.float32]) -> dict[str, Any]:
    """Columns of ``obs``: the archetype with the largest weight, and that weight."""
    closest = pd.Categorical.from_codes(weights.argmax(axis=1), categories=pd.Index(list(names)))
    return {keys.label(key): closest, keys.label_weight(key): weights.max(axis=1)}
