"""From weights of genes to scores: least squares on loadings, and balance against a cell's overall level."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

Scores = Literal["members", "projection", "least_squares"]
Floats = NDArray[np.float64]
Weights: TypeAlias = Any  # genes × components: numpy array or scipy sparse array

MOST_BINS = 25  # as many as scanpy.tl.score_genes takes
BIN_GENES = 60  # at least; with fewer, a pathway would be compared with itself


class Encoder(NamedTuple):
    """From standardised cells to scores: ``Z = X̃E`` with ``E = W − level[bins]``, genes × components.

    Balanced weights are nowhere zero, but they are sparse weights less one number per bin of genes.

    Attributes
    ----------
    weights
        W, dense or sparse, float64, shape (g, k).
    bins, level
        Bin of each gene, shape (g,), and what is taken from its weights, shape (b, k); None where nothing is.

    Examples
    --------
    >>> weights = sp.csc_array(np.array([[1.0], [0.0], [3.0], [3.0]]))
    >>> balanced_encoder(weights, np.array([0, 0, 1, 1])).toarray().ravel()
    array([ 0.5, -0.5,  0. ,  0. ])
    """

    weights: Weights
    bins: NDArray[np.intp] | None = None
    level: Floats | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """``(g, k)``."""
        return (int(self.weights.shape[0]), int(self.weights.shape[1]))

    @property
    def is_sparse(self) -> bool:
        """Whether the weights are."""
        return sp.issparse(self.weights)

    def toarray(self) -> Floats:
        """E as a dense array."""
        weights = self.weights.toarray() if sp.issparse(self.weights) else self.weights
        return weights if self.bins is None or self.level is None else weights - self.level[self.bins]

    def of_components(self, chosen: Any) -> Encoder:
        """Some columns."""
        return Encoder(self.weights[:, chosen], self.bins, None if self.level is None else self.level[:, chosen])

    def of_genes(self, chosen: NDArray[Any]) -> Encoder:
        """Some rows."""
        weights = self.weights.tocsr()[chosen] if sp.issparse(self.weights) else self.weights[chosen]
        return Encoder(weights, None if self.bins is None else self.bins[chosen], self.level)

    def scaled(self, factors: Floats) -> Encoder:
        """Columns times a factor each, shape (k,)."""
        weights = self.weights @ sp.diags_array(factors) if sp.issparse(self.weights) else self.weights * factors
        return Encoder(weights, self.bins, None if self.level is None else self.level * factors)

    def rounded(self) -> Encoder:
        """To what float32 can hold."""
        level = None if self.level is None else self.level.astype(np.float32).astype(np.float64)
        return Encoder(self.weights.astype(np.float32).astype(np.float64), self.bins, level)

    def times(self, values: Floats) -> Floats:
        """``E @ values``, for values of shape (k,) or (k, m)."""
        product = np.asarray(self.weights @ values)
        return product if self.bins is None or self.level is None else product - (self.level @ values)[self.bins]

    def transposed_times(self, values: Floats) -> Floats:
        """``Eᵀ @ values``, for values of shape (g,) or (g, m)."""
        product = np.asarray(self.weights.T @ values)
        if self.bins is None or self.level is None:
            return product
        return product - self.level.T @ np.asarray(self._indicator() @ values)

    def overlap(self, of_genes: Floats | None = None) -> Floats:
        """``Eᵀ diag(v) E`` for a weight of each gene, shape (g,), by default 1; shape (k, k)."""
        if self.bins is None or self.level is None:
            scaled = self.weights if of_genes is None else _rows_times(self.weights, of_genes)
            return _dense(self.weights.T @ scaled)
        each = np.ones(self.shape[0]) if of_genes is None else of_genes
        scaled = _rows_times(self.weights, each)
        crossed = self.level.T @ _dense(self._indicator() @ scaled)
        square = self.level.T @ (np.bincount(self.bins, each, minlength=len(self.level))[:, None] * self.level)
        return _dense(self.weights.T @ scaled) - crossed - crossed.T + square

    def _indicator(self) -> Any:
        """Bins × genes, 1 where a gene is in a bin."""
        bins, level = self.bins, self.level
        if bins is None or level is None:
            return sp.csr_array((0, self.shape[0]))
        return sp.csr_array((np.ones(len(bins)), (bins, np.arange(len(bins)))), shape=(len(level), len(bins)))


def balanced_encoder(weights: Weights, bins: NDArray[np.intp]) -> Encoder:
    """Weights less, within each bin, their mean over its genes, as :func:`balanced`, without forming it."""
    n_bins = int(bins.max(initial=0)) + 1
    indicator = sp.csr_array((np.ones(len(bins)), (bins, np.arange(len(bins)))), shape=(n_bins, len(bins)))
    return Encoder(
        weights, bins, _dense(indicator @ weights) / np.maximum(np.bincount(bins, minlength=n_bins), 1)[:, None]
    )


def _rows_times(weights: Weights, values: Floats) -> Weights:
    return sp.diags_array(values) @ weights if sp.issparse(weights) else values[:, None] * weights


def _dense(values: Any) -> Floats:
    return np.asarray(values.toarray() if sp.issparse(values) else values, dtype=np.float64)


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


def multiplicity(encoder: Encoder | Floats) -> Floats:
    """How many times a set of unit columns says what each of them says: ``Σ_k (e_jᵀe_k)²``, shape (k,); 1 if once.

    Dividing each column by its root makes ``Σ_j (x·e_j)²`` close to the squared length of x in their span: distances
    between scores then count once what several pathways share.
    """
    overlap = encoder.overlap() if isinstance(encoder, Encoder) else encoder.T @ encoder
    return np.einsum("ij,ij->i", overlap, overlap)
