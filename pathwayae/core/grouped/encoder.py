"""From weights of genes to scores: least squares on loadings, and balance against a cell's overall level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import rankdata

Scores = Literal["members", "projection", "least_squares"]
Floats = NDArray[np.float64]
Weights: TypeAlias = Any  # genes × components: numpy array or scipy sparse array

MOST_BINS = 25  # as many as scanpy.tl.score_genes takes
CHUNK = 512  # components at a time, to bound memory
RIDGE_JOINT = 1.0  # the squared length of an encoder
BIN_GENES = 60  # at least; with fewer, a pathway would be compared with itself


@dataclass(frozen=True, eq=False)
class Encoder:
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

    __array_ufunc__: ClassVar[None] = None  # arrays leave ``values @ encoder`` to it

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

    def lengths(self) -> Floats:
        """Length of each column, shape (k,)."""
        whole = np.asarray(_squares(self.weights).sum(axis=0)).ravel()
        if self.bins is None or self.level is None:
            return np.sqrt(whole)
        sums = _dense(self._indicator() @ self.weights)
        sizes = np.bincount(self.bins, minlength=len(self.level))[:, None]
        return np.sqrt(np.maximum(whole + ((sizes * self.level - 2.0 * sums) * self.level).sum(axis=0), 0.0))

    def power_of_genes(self) -> Floats:
        """Sum of the squares of each row, shape (g,)."""
        whole = np.asarray(_squares(self.weights).sum(axis=1)).ravel()
        if self.bins is None or self.level is None:
            return whole
        crossed = np.asarray(self.weights @ self.level.T)[np.arange(len(whole)), self.bins]
        return np.maximum(whole - 2.0 * crossed + (self.level**2).sum(axis=1)[self.bins], 0.0)

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

    def __rmatmul__(self, values: Floats) -> Floats:
        """``values @ E``, for values of shape (m, g)."""
        return self.transposed_times(values.T).T

    def cross(self, other: Encoder, of_genes: Floats | None = None) -> Floats:
        """``Eᵀ diag(v) F`` with another encoder of the same bins and a weight of each gene, by default 1; (k, m)."""
        each = np.ones(self.shape[0]) if of_genes is None else of_genes
        mine, theirs = self.weights, other.weights
        scaled = theirs if of_genes is None else _rows_times(theirs, each)
        product = _dense(mine.T @ scaled)
        if self.bins is None or self.level is None or other.level is None:
            return product
        mass = np.bincount(self.bins, each, minlength=len(self.level))[:, None] * other.level
        own = mine if of_genes is None else _rows_times(mine, each)
        product -= _dense(self._indicator() @ own).T @ other.level
        product += self.level.T @ (mass - _dense(self._indicator() @ scaled))
        return product

    def overlap(self, of_genes: Floats | None = None) -> Floats:
        """``Eᵀ diag(v) E``, shape (k, k)."""
        return self.cross(self, of_genes)

    def outer(self) -> Floats:
        """``E Eᵀ``, shape (g, g)."""
        whole = _dense(self.weights @ self.weights.T)
        if self.bins is None or self.level is None:
            return whole
        crossed = _dense(self.weights @ self.level.T)[:, self.bins]
        whole -= crossed
        whole -= crossed.T
        whole += (self.level @ self.level.T)[np.ix_(self.bins, self.bins)]
        return whole

    def _indicator(self) -> Any:
        """Bins × genes, 1 where a gene is in a bin."""
        if self.bins is None or self.level is None:
            return sp.csr_array((0, self.shape[0]))
        return indicator(self.bins, len(self.level))


def indicator(bins: NDArray[np.intp], n_bins: int) -> sp.csr_array:
    """Bins × genes, 1 where a gene is in a bin."""
    return sp.csr_array((np.ones(len(bins)), (bins, np.arange(len(bins)))), shape=(n_bins, len(bins)))


def balanced_encoder(weights: Weights, bins: NDArray[np.intp]) -> Encoder:
    """Weights less, within each bin, their mean over its genes: ``E[bin] = W[bin] − mean(W[bin])``, without forming it.

    A score with these weights compares the genes of a pathway with genes of like mean (Tirosh et al. 2016,
    10.1126/science.aad0501): what raises all genes of a bin alike leaves it as it is.
    """
    n_bins = int(bins.max(initial=0)) + 1
    return Encoder(
        weights,
        bins,
        _dense(indicator(bins, n_bins) @ weights) / np.maximum(np.bincount(bins, minlength=n_bins), 1)[:, None],
    )


def _rows_times(weights: Weights, values: Floats) -> Weights:
    return sp.diags_array(values) @ weights if sp.issparse(weights) else values[:, None] * weights


def _squares(weights: Weights) -> Weights:
    """Of every weight; of a copy, since scipy sorts in place what it raises to a power."""
    return weights.copy().power(2) if sp.issparse(weights) else weights**2


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


def score_weights(loadings: NDArray[Any], scores: Scores, ridge: float) -> Floats:
    """Weights E of the genes with ``Z = X̃E``: the loadings, or ``L(LᵀL + λI)⁻¹`` for least squares."""
    wide = np.asarray(loadings, dtype=np.float64)
    if scores != "least_squares":
        return wide
    normal = wide.T @ wide + ridge * np.eye(wide.shape[1])
    return np.ascontiguousarray(np.linalg.solve(normal, wide.T).T)


def jointly(encoder: Encoder) -> Encoder:
    """``E(EᵀE + I)⁻¹`` of unit columns: scores of a ridge regression of every cell on all encoders at once.

    What a cell has of one pathway is then not counted again for another that shares some of its genes. Of what one
    column alone says half is kept, of what m equal columns say m/(m + 1), divided among them.

    Balanced columns stay so: each result is a sum of columns.

    Parameters
    ----------
    encoder
        Unit columns, dense or sparse, shape (g, k); k may be larger than g.

    Returns
    -------
    Dense, columns of unit length again; a column of zeros stays one.

    Examples
    --------
    >>> shared = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]) / np.sqrt(2.0)
    >>> jointly(Encoder(shared)).toarray().round(3)
    array([[ 0.784, -0.196],
           [ 0.588,  0.588],
           [-0.196,  0.784]])
    """
    mixed = np.linalg.inv(encoder.overlap() + RIDGE_JOINT * np.eye(encoder.shape[1]))
    level = None if encoder.level is None else encoder.level @ mixed
    found = Encoder(np.asarray(encoder.weights @ mixed), encoder.bins, level)
    length = found.lengths()
    return found.scaled(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0))


def multiplicity(encoder: Encoder | Floats) -> Floats:
    """How many times a set of unit columns says what each of them says: ``Σ_k (e_jᵀe_k)²``, shape (k,); 1 if once.

    Dividing each column by its root makes ``Σ_j (x·e_j)²`` close to the squared length of x in their span: distances
    between scores then count once what several pathways share.
    """
    encoder = encoder if isinstance(encoder, Encoder) else Encoder(encoder)
    times = np.zeros(encoder.shape[1])
    for first in range(0, len(times), CHUNK):
        some = slice(first, first + CHUNK)
        times[some] = (encoder.of_components(some).cross(encoder) ** 2).sum(axis=1)
    return times
