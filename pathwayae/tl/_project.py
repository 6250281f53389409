"""Cells in, scores out, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pathwayae import _progress
from pathwayae._cells import sources
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.project import project as projected
from pathwayae.core.moments.accumulate import BLOCK_BYTES

# Called with the first cell, last + 1, their values as they were read, and their scores, float64.
Look: TypeAlias = Callable[[int, int, Any, NDArray[np.float64]], None]


class Projection(NamedTuple):
    """Columns of the matrix that hold the genes of the model, shape (m,), their means, units and encoder (m, k).

    Where batches were centred by their own means: the batch of each cell, shape (n,), what it shifts scores by,
    shape (b, k), and its means of the genes, shape (b, m).
    """

    genes: NDArray[Any]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    encoder: Encoder
    batch: NDArray[np.intp] | None = None
    offsets: NDArray[np.float64] | None = None
    means: NDArray[np.float64] | None = None


def scored(
    source: sources.Source, projection: Projection, look: Look | None = None
) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """First cell, last + 1 and scores of one block after another; neither cells nor scores exceed a block's bytes.

    Parameters
    ----------
    look
        Sees every block with its scores, so that the cells need not be read again.
    """
    width = 8 * max(1, projection.encoder.shape[1])
    for block in source.blocks(int(BLOCK_BYTES * min(1.0, source.row_bytes / width))):
        values = projected(block.values, projection.mean, projection.scale, projection.encoder, genes=projection.genes)
        if projection.batch is not None and projection.offsets is not None:
            values -= projection.offsets[projection.batch[block.start : block.stop]]
        if look is not None:
            look(block.start, block.stop, block.values, values)
        yield block.start, block.stop, values.astype(np.float32)


def project(
    source: sources.Source, projection: Projection, *, look: Look | None = None, progress: bool = False
) -> NDArray[np.float32]:
    """Scores of all cells, float32, shape (n, k)."""
    scores = np.empty((source.shape[0], projection.encoder.shape[1]), dtype=np.float32)
    with bar(source.shape[0], progress=progress) as shown:
        for start, stop, values in scored(source, projection, look):
            scores[start:stop] = values
            shown.update(stop - start)
    return scores


def bar(n: int, *, progress: bool) -> Any:
    """A progress bar over the cells."""
    return _progress.bar("scores", "cells", n, progress=progress)
