"""Cells in, scores out, block by block."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _inputs, _sources
from pathwayae.core import components
from pathwayae.core.moments import BLOCK_BYTES
from pathwayae.core.notice import warn


def opened(
    adata: AnnData, layer: str | None, gene_symbols: str | None, normalize: str, *, needed: bool = True
) -> _sources.Source | None:
    """The matrix to score, counts normalised as those of the fit were; None where there is none and none is needed."""
    if not needed and layer is None and not adata.isbacked and adata.X is None:
        return None
    source = _sources.of_anndata(adata, layer=layer, gene_symbols=gene_symbols)
    first = source.block(0, min(source.shape[0], _inputs.COUNTS_ROWS))
    if not _inputs.looks_like_counts(first.values):
        return source
    if normalize:
        return _sources.normalized(source, float(normalize.split()[1]))
    msg = (
        "The values look like raw counts; log-normalised values are expected. Run sc.pp.normalize_total and "
        "sc.pp.log1p first, or pass the layer that holds such values."
    )
    warn(msg)
    return source


def project(
    source: _sources.Source,
    mean: NDArray[np.float64],
    scale: NDArray[np.float64],
    encoder: NDArray[np.float64],
    genes: NDArray[Any],
) -> NDArray[np.float32]:
    """Scores of all cells, float32, shape (n, k)."""
    scores = np.empty((source.shape[0], encoder.shape[1]), dtype=np.float32)
    for block in source.blocks(BLOCK_BYTES):
        scores[block.start : block.stop] = components.project(block.values, mean, scale, encoder, genes=genes)
    return scores
