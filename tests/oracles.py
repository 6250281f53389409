"""What the package computes in loops, or without forming it, written out."""

import numpy as np

from pathwayae.core.moments.accumulate import block_rows
from pathwayae.core.moments.accumulate_sketch import SketchAccumulator
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import RANK
from pathwayae.core.moments.strata import WHOLE
from pathwayae.core.sparse import canonical


def leave_one_out(gram, weights):
    """Correlation of each gene with the score of the rest of each pathway; Gram matrix or operator, and (g, p)."""
    own = gram.diagonal()[:, None]
    product = gram @ weights
    whole = np.einsum("ij,ij->j", weights, product)
    rest = whole - 2.0 * weights * product + weights**2 * own
    # What rounding leaves of an empty rest is no variance.
    varies = (rest > 1e-10 * (np.abs(whole) + weights**2 * own)) & (own > 0)
    scale = np.sqrt(np.where(varies, rest * own, 1.0))
    return np.where(varies, np.clip((product - own * weights) / scale, -1.0, 1.0), 0.0)


def leave_one_out_ridge(inverse, labels):
    """What kernel ridge regression of the labels of all other genes predicts for each, ``yᵢ − (Cy)ᵢ / Cᵢᵢ``."""
    return labels - (inverse @ labels) / inverse.diagonal()[:, None]


def balanced(weights, bins):
    """Weights less, within each bin, their mean over its genes, shape (g, k)."""
    totals = np.zeros((int(bins.max(initial=0)) + 1, weights.shape[1]))
    np.add.at(totals, bins, weights)
    return weights - (totals / np.maximum(np.bincount(bins), 1)[:, None])[bins]


def sketch(matrix, *, rank=RANK, seed=0, genes=None, codes=None, strata=WHOLE):
    """A sketch of cells in memory, read block by block."""
    rows = canonical(matrix, "matrix")
    added = SketchAccumulator(Probes.of(rows.shape[1] if genes is None else genes, rank=rank, seed=seed), strata)
    step = block_rows(rows.shape[1])
    for start in range(0, rows.shape[0], step):
        added.add(rows[start : start + step], None if codes is None else codes[start : start + step])
    return added.result(genes)
