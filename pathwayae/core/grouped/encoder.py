"""From weights of genes to scores: least squares on loadings, and balance against a cell's overall level."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Scores = Literal["members", "projection", "least_squares"]
Floats = NDArray[np.float64]

MOST_BINS = 25  # as many as scanpy.tl.score_genes takes
BIN_GENES = 60  # at least; with fewer, a pathway would be compared with itself


def expression_bins(mean: Floats, *, most: int = MOST_BINS, fewest: int = BIN_GENES) -> NDArray[np.intp]:
    """Genes of similar mean: up to ``most`` bins of ``fewest`` genes or more, numbered from the lowest, shape (g,).

    Examples
    --------
    >>> np.bincount(expression_bins(np.arange(150.0))).tolist()
    [75, 75]
    """
    g = len(mean)
    n_bins = int(np.clip(g // fewest, 1, most))
    # Ranked in float32, in which rounding does not tell apart what is equal.
    return ((rankdata(mean.astype(np.float32), method="ordinal") - 1) * n_bins // max(g, 1)).astype(np.intp)


def balanced(weights: Floats, bins: NDArray[np.intp]) -> Floats:
    """Weights less, within each bin, their mean over its genes: ``E[bin] = W[bin] − mean(W[bin])``.

    A score with these weights compares the genes of a pathway with genes of like mean (Tirosh et al. 2016,
    10.1126/science.aad0501): what raises all genes of a bin alike leaves it as it is.

    Parameters
    ----------
    weights
        Shape (g, k).
    bins
        Bin of each gene, shape (g,); see :func:`expression_bins`.

    Examples
    --------
    >>> balanced(np.array([[1.0], [0.0], [3.0], [3.0]]), np.array([0, 0, 1, 1])).ravel()
    array([ 0.5, -0.5,  0. ,  0. ])
    """
    totals = np.zeros((int(bins.max(initial=0)) + 1, weights.shape[1]))
    np.add.at(totals, bins, weights)
    return weights - (totals / np.maximum(np.bincount(bins), 1)[:, None])[bins]


def score_weights(loadings: NDArray[Any], scores: Scores, ridge: float) -> Floats:
    """Weights E of the genes with ``Z = X̃E``: the loadings, or ``L(LᵀL + λI)⁻¹`` for least squares."""
    wide = np.asarray(loadings, dtype=np.float64)
    if scores != "least_squares":
        return wide
    normal = wide.T @ wide + ridge * np.eye(wide.shape[1])
    return np.ascontiguousarray(np.linalg.solve(normal, wide.T).T)


def multiplicity(encoder: Floats) -> Floats:
    """How many times a set of unit columns says what each of them says: ``Σ_k (e_jᵀe_k)²``, shape (k,); 1 if once.

    Dividing each column by its root makes ``Σ_j (x·e_j)²`` close to the squared length of x in their span: distances
    between scores then count once what several pathways share.
    """
    return np.einsum("ij,ij->i", overlap := encoder.T @ encoder, overlap)
