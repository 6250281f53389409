"""Which loadings may be other than 0: the members of each pathway, and the genes outside that go with it most."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.evidence.association import Prepared
from pathwayae.core.moments.gram_product import Gram
from pathwayae.core.moments.low_rank import LowRank

OUTSIDE = 30  # genes outside a pathway, at least; as many as it has members if these are more
CHUNK = 256  # pathways at a time, to bound memory

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]
Unsigned = NDArray[np.uint32]  # so that compiled loops do not test for negative ones


class Support(NamedTuple):
    """Pairs of gene and component, once component by component and once gene by gene.

    Attributes
    ----------
    bounds, genes
        The genes of component j are ``genes[bounds[j] : bounds[j + 1]]``, ascending.
    gene_bounds, components, places
        The components of gene i are ``components[gene_bounds[i] : gene_bounds[i + 1]]``, and ``places`` says where the
        same pairs are in ``genes``.
    """

    bounds: Unsigned
    genes: Unsigned
    gene_bounds: Unsigned
    components: Unsigned
    places: Unsigned

    @property
    def sizes(self) -> Indices:
        """Number of pairs of each component, shape (k,)."""
        return np.diff(self.bounds).astype(np.intp)

    @property
    def rows(self) -> Indices:
        """Gene of each pair."""
        return self.genes.astype(np.intp)

    @property
    def columns(self) -> Indices:
        """Component of each pair, in the order of ``genes``."""
        return np.repeat(np.arange(len(self.bounds) - 1), self.sizes)

    def matrix(self, values: NDArray[Any]) -> sp.csc_array:
        """Genes × components with these values, shape (nnz,), in the order of ``genes``."""
        shape = (len(self.gene_bounds) - 1, len(self.bounds) - 1)
        return sp.csc_array((values, self.genes.astype(np.int32), self.bounds.astype(np.int64)), shape=shape)


def support_of(genes: Indices, components: Indices, shape: tuple[int, int]) -> tuple[Support, Indices]:
    """The support of these pairs in any order, none twice, and where each of its pairs was.

    Examples
    --------
    >>> support, where = support_of(np.array([2, 0, 1]), np.array([0, 1, 0]), (3, 2))
    >>> support.genes.tolist(), support.bounds.tolist(), where.tolist()
    ([1, 2, 0], [0, 2, 3], [2, 0, 1])
    """
    by_component = sp.coo_array((np.arange(len(genes)), (genes, components)), shape=shape).tocsc()
    by_component.sort_indices()
    order = by_component.data.copy()
    by_component.data = np.arange(len(genes))
    by_gene = by_component.tocsr()
    parts = (by_component.indptr, by_component.indices, by_gene.indptr, by_gene.indices, by_gene.data)
    return Support(*(part.astype(np.uint32) for part in parts)), order


def low_rank(gram: Gram, prepared: Prepared) -> LowRank:
    """``G ≈ F Fᵀ + diag(d)``: along the leading directions of the correlations; the diagonal is exact.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃``, or its operator; one of low rank is taken as it is.
    prepared
        Of :func:`pathwayae.core.evidence.association.prepare` with this matrix.
    """
    if isinstance(gram, LowRank) and gram.sign > 0:
        return gram
    variance = np.maximum(np.asarray(gram.diagonal(), dtype=np.float64), 0.0)
    factors = prepared.factors * np.sqrt(variance)[:, None]
    return LowRank(np.maximum(variance - np.einsum("ij,ij->i", factors, factors), 0.0), factors)


def n_outside(member: sp.csc_array) -> Indices:
    """How many genes outside each pathway are in its support: as many as it has members, ``OUTSIDE`` at least.

    No more than there are, and none of a pathway without members.

    Examples
    --------
    >>> n_outside(sp.csc_array(np.arange(100)[:, None] < [0, 5, 40, 90])).tolist()
    [0, 30, 40, 10]
    """
    size = np.diff(member.indptr).astype(np.intp)
    return np.where(size > 0, np.minimum(np.maximum(size, OUTSIDE), member.shape[0] - size), 0)


def correlations(gram: LowRank, member: sp.csc_array) -> Iterator[Floats]:
    """Of all genes with the sum of the members of one pathway after the other, but for a factor of the pathway.

    Those of members count what they say of themselves for what they share with others alone.
    """
    length = np.sqrt(gram.diagonal())[:, None]
    unit = np.divide(gram.factors, length, out=np.zeros_like(gram.factors), where=length > 0)
    for first in range(0, member.shape[1], CHUNK):
        sums = member[:, first : first + CHUNK].astype(np.float64).T @ gram.factors
        yield from sums @ unit.T


def chosen(members: Indices, values: Floats, n: int) -> Indices:
    """The members of a pathway and the n other genes with the highest values, ascending.

    Examples
    --------
    >>> chosen(np.array([0, 1]), np.array([9.0, 9.0, 0.5, 0.1, 0.7]), 1).tolist()
    [0, 1, 4]
    """
    others = values.copy()
    others[members] = -np.inf
    return np.sort(np.concatenate([members, highest(others, n)]))


def highest(values: Floats, n: int) -> Indices:
    """Places of the n highest values, ascending."""
    return np.sort(np.argpartition(values, len(values) - n)[len(values) - n :]) if n else np.empty(0, dtype=np.intp)
