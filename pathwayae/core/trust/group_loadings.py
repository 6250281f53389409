"""Loadings of genes within groups of cells: how each gene goes with the rest of a pathway there, and what differs.

two passes over the cells (all genes pooled; chosen genes per stratum) → loadings per group → differences over samples
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy import stats

from pathwayae.core.moments.batches import sums_of
from pathwayae.core.moments.moments import CONSTANT

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]

CARRIED = 3.0  # standard errors that the shared variance of a score must exceed 0 by, for loadings to mean something
FEW_SAMPLES = 3  # on either side of a difference, to test it


class Strata(NamedTuple):
    """Cells of one group, sample and batch: each stratum's group and sample, shape (s,), from 0."""

    group: Indices
    sample: Indices


class Pooled:
    """First pass: moments of every gene and score per stratum, and their products over all cells.

    Attributes
    ----------
    counts
        Cells of each stratum, shape (s,).
    sums, squares
        Of each gene, shape (s, g).
    score_sums, score_squares
        Of each score, shape (s, p).
    products
        ``XᵀZ`` over all cells, shape (g, p).
    """

    def __init__(self, n_strata: int, n_genes: int, n_pathways: int) -> None:
        self.counts = np.zeros(n_strata)
        self.sums, self.squares = np.zeros((2, n_strata, n_genes))
        self.score_sums, self.score_squares = np.zeros((2, n_strata, n_pathways))
        self.products = np.zeros((n_genes, n_pathways))

    def add(self, block: Any, scores: Floats, codes: Indices) -> None:
        """Add cells, dense or CSR, shape (n, g), with their scores (n, p) and strata (n,)."""
        s = len(self.counts)
        wide = block.astype(np.float64)
        self.counts += np.bincount(codes, minlength=s)
        self.sums += sums_of(wide, codes, s)
        self.squares += sums_of(wide.multiply(wide).tocsr() if sp.issparse(wide) else wide**2, codes, s)
        self.score_sums += sums_of(scores, codes, s)
        self.score_squares += sums_of(scores**2, codes, s)
        self.products += np.asarray(wide.T @ scores)


class Pairs:
    """Second pass: products of chosen genes with the score of their pathway, per stratum, shape (s, K).

    Examples
    --------
    >>> pairs = Pairs(2, np.array([0, 1]), np.array([0, 0]))
    >>> pairs.add(np.array([[1.0, 2.0], [3.0, 0.0]]), np.array([[2.0], [1.0]]), np.array([0, 1]))
    >>> pairs.products
    array([[2., 4.],
           [3., 0.]])
    """

    def __init__(self, n_strata: int, genes: Indices, pathways: Indices) -> None:
        self.genes, self.pathways = genes, pathways
        self.products = np.zeros((n_strata, len(genes)))
        self._parts = [(int(j), np.flatnonzero(pathways == j)) for j in np.unique(pathways)]

    def add(self, block: Any, scores: Floats, codes: Indices) -> None:
        """Add cells, dense or CSR, shape (n, g), with their scores (n, p) and strata (n,)."""
        columns = block.tocsc() if sp.issparse(block) else block
        cells, shape = np.arange(len(codes)), (len(self.products), len(codes))
        for j, places in self._parts:
            weights = sp.csr_array((scores[:, j], (codes, cells)), shape=shape)
            product = weights @ columns[:, self.genes[places]].astype(np.float64)
            self.products[:, places] += product.toarray() if sp.issparse(product) else product


class Spread(NamedTuple):
    """What varies within strata, in units of the fit: each about its own mean, so that no difference of means is in it.

    Attributes
    ----------
    dof
        Cells of each stratum less 1, shape (s,).
    own
        Sum of squares of each gene, shape (s, g); 0 for a gene that does not vary.
    total
        Sum of squares of each score, shape (s, p).
    noise
        Part of it that is every gene by itself, ``Σᵢ eᵢ² Dᵢ``, shape (s, p). The rest is what the genes share.
    """

    dof: Floats
    own: Floats
    total: Floats
    noise: Floats

    @property
    def shared(self) -> Floats:
        """``Σᵢ eᵢ cov(xᵢ, z₋ᵢ)``, shape (s, p); may be negative where genes share nothing."""
        return self.total - self.noise


def spread(pooled: Pooled, scale: Floats, encoder: Floats) -> Spread:
    """Sums of squares within strata; encoder (g, p) in the units ``scale`` (g,) of the genes."""
    counts = pooled.counts[:, None]
    own = pooled.squares - pooled.sums**2 / counts
    own[own <= CONSTANT * pooled.squares] = 0.0
    own /= scale**2
    total = np.maximum(pooled.score_squares - pooled.score_sums**2 / counts, 0.0)
    return Spread(pooled.counts - 1.0, own, total, own @ encoder**2)


def chosen(
    pooled: Pooled, within: Spread, scale: Floats, encoder: Floats, member: NDArray[np.bool_], n_outside: int
) -> tuple[Indices, Indices]:
    """Genes and pathways of the pairs that are kept: all members, and the others that go most with the pathway.

    These are the ones with the largest correlation with its score, pooled within strata. What is pooled says nothing of
    how groups differ, so that choosing by it does not make differences (Bourgon et al. 2010, 10.1073/pnas.0914005107).

    Parameters
    ----------
    member
        Shape (g, p).
    n_outside
        Genes that are no members, of each pathway, at most; none with a correlation of 0 or below.

    Returns
    -------
    Both of shape (K,): pathway after pathway, genes in their order.
    """
    centred = pooled.products - pooled.sums.T @ (pooled.score_sums / pooled.counts[:, None])
    own = within.own.sum(axis=0)[:, None]
    products = centred / scale[:, None] - own * encoder
    along = np.divide(products, np.sqrt(own), out=np.zeros_like(products), where=own > 0)
    kept = member.copy()
    for j in range(member.shape[1]):
        outside = np.flatnonzero(~member[:, j] & (along[:, j] > 0))
        kept[outside[np.argsort(-along[outside, j], kind="stable")[:n_outside]], j] = True
    pathways, genes = np.nonzero(kept.T)
    return genes, pathways


class Kept(NamedTuple):
    """Pairs of gene and pathway, per stratum.

    ``genes`` and ``pathways`` have shape (K,); ``products`` are cells times ``cov(xᵢ, z₋ᵢ)``, (s, K), and ``seen`` says
    where the gene varies.
    """

    genes: Indices
    pathways: Indices
    products: Floats
    seen: NDArray[np.bool_]


def kept(pairs: Pairs, pooled: Pooled, within: Spread, scale: Floats, encoder: Floats) -> Kept:
    """Products of the second pass, each about the means of its stratum, with the gene's own part taken out."""
    genes, pathways = pairs.genes, pairs.pathways
    own = within.own[:, genes]
    means = pooled.sums[:, genes] * pooled.score_sums[:, pathways] / pooled.counts[:, None]
    rest = (pairs.products - means) / scale[genes] - own * encoder[genes, pathways]
    return Kept(genes, pathways, np.where(own > 0, rest, 0.0), own > 0)


class Side(NamedTuple):
    """Cells of one group, or of several, by sample.

    ``dof`` (d,) are their cells less the means taken off, ``products`` (d, K) of genes and the rest of their pathway,
    ``seen`` (d, K) in how many strata the gene varies, ``shared`` (d, p) what the genes of each pathway share, and
    ``noise``, ``total`` (d, p) as in :class:`Spread`.
    """

    dof: Floats
    products: Floats
    seen: Floats
    shared: Floats
    noise: Floats
    total: Floats

    def carried(self) -> NDArray[np.bool_]:
        """Pathways whose genes vary together here, by more than three standard errors under independence, (p,)."""
        n = self.dof.sum()
        limit = CARRIED * self.noise.sum(axis=0) * np.sqrt(2.0 / max(n, 1.0))
        return (n > 0) & (self.shared.sum(axis=0) > np.maximum(limit, 1e-12 * self.total.sum(axis=0)))

    def loadings(self, pathways: Indices) -> Floats:
        """``Σ_d cov_d(xᵢ, z₋ᵢ) / Σ_d shared_d``, shape (K,); NaN where the pathway is not carried."""
        whole = np.where(self.carried(), self.shared.sum(axis=0), np.nan)
        return np.asarray(self.products.sum(axis=0) / whole[pathways])

    def influence(self, pathways: Indices) -> Floats:
        """What each sample adds to the error of the loadings, (d, K), its residual made as large as that of a new one.

        A ratio's residual ``C_d − b S_d`` is too small by the weight that the sample has in b itself (Bell & McCaffrey
        2002, Survey Methodology 28:169–181).
        """
        loading = self.loadings(pathways)
        rest = (self.products - loading * self.shared[:, pathways]) / self.shared.sum(axis=0)[pathways]
        return np.asarray(rest / np.sqrt(np.maximum(1.0 - self.weights, 1e-12))[:, None])

    def strength(self) -> tuple[Floats, Floats]:
        """Standard deviation of what the genes share, and its part of the variance of the score; both (p,)."""
        variance, total = np.maximum(self.shared.sum(axis=0), 0.0), self.total.sum(axis=0)
        part = np.divide(variance, total, out=np.zeros_like(total), where=total > 0)
        return np.sqrt(variance / max(self.dof.sum(), 1.0)), part

    @property
    def weights(self) -> Floats:
        """Share of each sample in the cells, shape (d,)."""
        return self.dof / max(self.dof.sum(), 1.0)

    @property
    def n_samples(self) -> int:
        """Samples with cells that can vary."""
        return int((self.dof > 0).sum())

    def enough(self) -> NDArray[np.bool_]:
        """Genes that vary in three samples: of one that is hardly seen nobody knows how far chance moves it, (K,)."""
        return np.asarray((self.seen > 0).sum(axis=0) >= FEW_SAMPLES)


def side(strata: Strata, groups: Indices, within: Spread, kept: Kept) -> Side:
    """The strata of some groups, added up by sample."""
    rows = np.flatnonzero(np.isin(strata.group, groups))
    n_samples = int(strata.sample.max(initial=0)) + 1
    add = sp.csr_array((np.ones(len(rows)), (strata.sample[rows], np.arange(len(rows)))), shape=(n_samples, len(rows)))
    values = (within.dof[:, None], kept.products, kept.seen, within.shared, within.noise, within.total)
    dof, *others = (np.asarray(add @ one[rows]) for one in values)
    return Side(dof[:, 0], *others)


class Difference(NamedTuple):
    """Loadings of one side less those of the other, standard error and p-value, each of shape (K,)."""

    value: Floats
    error: Floats
    pvalue: Floats


def difference(own: Side, other: Side, pathways: Indices) -> Difference:
    """Whether loadings differ between two sides, with the samples as replicates.

    With the influences ψ of every sample on both loadings, ``var = Σ_d (ψ_d − ψ'_d)²``: a sample with cells on both
    sides is compared with itself, as in a paired t-test, which it is where all samples have as many cells. Degrees of
    freedom are the effective number of samples, ``1 / Σ w²`` of the side with fewer, less 1.

    Returns
    -------
    Errors and p-values are NaN with fewer than three samples on a side, p-values also of genes that vary in fewer.
    """
    value = own.loadings(pathways) - other.loadings(pathways)
    if min(own.n_samples, other.n_samples) < FEW_SAMPLES:
        nothing = np.full_like(value, np.nan)
        return Difference(value, nothing, nothing)
    apart = own.influence(pathways) - other.influence(pathways)
    error = np.sqrt((apart**2).sum(axis=0))
    freedom = min(1.0 / (one.weights**2).sum() for one in (own, other)) - 1.0
    known = (error > 0) & own.enough() & other.enough()
    t = np.divide(value, error, out=np.full_like(value, np.nan), where=known)
    return Difference(value, error, 2.0 * stats.t.sf(np.abs(t), freedom))


class Result(NamedTuple):
    """Loadings of K kept pairs in c groups.

    ``shared`` (K,) over all cells; (K, c): ``loading``, ``reference`` (of those it is compared with), ``error`` and
    ``pvalue`` of the difference; (p, c): ``sd`` of what the genes share in a cell's score, ``reliability``, its share
    of the variance of the score, and whether the pathway is ``carried``; (c,): ``n_samples``.
    """

    shared: Floats
    loading: Floats
    reference: Floats
    error: Floats
    pvalue: Floats
    sd: Floats
    reliability: Floats
    carried: NDArray[np.bool_]
    n_samples: Indices


def compared(
    strata: Strata,
    within: Spread,
    kept: Kept,
    groups: Indices,
    *,
    reference: int | None = None,
    test: bool = True,
) -> Result:
    """Loadings of every group beside those of all other groups, or of one of them.

    Parameters
    ----------
    groups
        Those to compare, as ``strata`` counts them, shape (c,).
    reference
        Group to compare with; by default all others, pooled within strata.
    test
        Whether the samples of the strata are replicates.
    """
    every, pathways = np.unique(strata.group), kept.pathways
    columns: list[tuple[NDArray[Any], ...]] = []
    for group in groups:
        own = side(strata, np.array([group]), within, kept)
        others = every[every != group] if reference is None else np.array([reference])
        theirs = error = pvalue = np.full(len(pathways), np.nan)
        if len(others) and group != reference:
            other = side(strata, others, within, kept)
            theirs = other.loadings(pathways)
            if test:
                _, error, pvalue = difference(own, other, pathways)
        found = (own.loadings(pathways), theirs, error, pvalue, *own.strength(), own.carried())
        columns.append((*found, np.array(own.n_samples)))
    shared = side(strata, every, within, kept).loadings(pathways)
    return Result._make([shared, *(np.stack(one, axis=-1) for one in zip(*columns, strict=True))])
