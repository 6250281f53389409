"""What the cells say about gene and pathway, from moments alone: leave-one-out association and how visible a gene is.

moments → prepare → association of every gene with the rest of every pathway
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pathwayae.core.evidence.basis import krylov, orthonormal, spent
from pathwayae.core.evidence.pathway_loops import left_out, standardized_views
from pathwayae.core.moments.gram_product import CellsGram, Gram, fast_product
from pathwayae.core.moments.low_rank import LowRank

Floats = NDArray[np.float64]

RANK = 100  # leading directions that make the profile of a gene; 50 to 400 differ by less than 0.02 of AUC
STORED = 2**15  # weights of members at a time, to bound memory
ROUGH = np.float32  # products with a matrix
EXACT = 512  # genes up to which all directions are computed
DEPTH = 6  # products that build their subspace; more name cells alike
RIDGE = 3.0  # added to the correlations, whose diagonal is 1, before labels are regressed on them; 0.3 to 30 are alike


class Prepared(NamedTuple):
    """What :func:`association` needs of the data, computed once for any number of gene sets.

    Attributes
    ----------
    factors
        Rows of ``U√Λ``, the leading directions of the correlations, shape (g, ≤ rank).
    similarity
        Cosine of the profiles of two genes, shape (g, g).
    inverse
        ``(R + λI)⁻¹`` of the correlations ``R ≈ UΛUᵀ + D``, D what the directions leave of each gene; shape (g, g).
    """

    factors: Floats
    similarity: LowRank
    inverse: LowRank


def leading_factors(gram: Gram, rank: int) -> Floats:
    """``U√Λ`` of the leading directions of the correlations, shape (g, ≤ rank); rows of 0 for genes that do not vary.

    Few genes are decomposed exactly. For many, the best ``rank`` directions of a block Krylov space are taken (Musco
    and Musco 2015, arXiv:1504.05477), which asks for products with the Gram matrix alone. Those with a matrix are in
    float32: correlations are met to 1e-6. It starts from the same directions always, gene by gene in their order: put
    genes in one order (by name) first. The last of many directions lie in noise and are not told apart, so another
    order moves them.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, in any unit, shape (g, g), or its operator.
    rank
        Number of directions.
    """
    variance = np.maximum(np.asarray(gram.diagonal(), dtype=np.float64), 0.0)
    unit = np.divide(1.0, np.sqrt(variance), out=np.zeros_like(variance), where=variance > 0)
    g = len(unit)
    rank = min(rank, g)
    if g <= EXACT:
        values, vectors = np.linalg.eigh(unit[:, None] * np.asarray(gram @ np.diag(unit)))
        values, vectors = values[g - rank :], vectors[:, g - rank :]
    elif isinstance(gram, LowRank) and gram.sign > 0 and gram.factors.shape[1] <= rank:
        factors = unit[:, None] * gram.factors  # R = FFᵀ and a diagonal: there is nothing to look for
        return np.asarray(factors @ np.linalg.eigh(factors.T @ factors)[1])
    elif isinstance(gram, CellsGram) and gram.through_kernel:
        return _factors_of_cells(gram.rescaled(unit), rank)
    elif isinstance(gram, np.ndarray):
        values, vectors = _leading(fast_product(gram), unit.astype(ROUGH), rank)
    else:
        values, vectors = _leading(gram.__matmul__, unit, rank)
    positive = values > spent(vectors) * max(values.max(), 1e-300)
    factors = vectors[:, positive] * np.sqrt(values[positive])
    factors[unit == 0] = 0.0  # but for rounding
    return factors


def _leading(times: Callable[[Any], Any], unit: Any, rank: int) -> tuple[Floats, Any]:
    """Leading values of ``diag(u) G diag(u)``, and vectors in the precision of u, which is that of products with G."""

    def correlated(block: Any) -> Any:
        return unit[:, None] * np.asarray(times(unit[:, None] * block))

    start = np.random.default_rng(0).normal(size=(len(unit), _width(rank))).astype(unit.dtype)
    basis, _, inside = krylov(correlated, orthonormal(correlated(start)).astype(unit.dtype), DEPTH - 1)
    values, vectors = np.linalg.eigh(inside.astype(np.float64))
    return values[-rank:], basis @ vectors[:, -rank:].astype(unit.dtype)


def _factors_of_cells(correlated: CellsGram, rank: int) -> Floats:
    """The same from few cells, whose products with each other are the smaller matrix.

    ``RⁱΩ = Xᵀ(XXᵀ)ⁱ⁻¹XΩ``: the subspace is that of the genes, seen from the cells. With V a basis there and K = XXᵀ
    the genes' basis ``XᵀV`` has the products ``VᵀKV``, and ``VᵀK²V`` along R.
    """
    kernel = correlated.kernel
    start = correlated.left(np.random.default_rng(0).normal(size=(correlated.shape[0], _width(rank))))
    first = orthonormal(start / np.linalg.norm(start, axis=0))
    basis, images, inside = krylov(lambda block: kernel @ block, first, DEPTH - 1)
    lengths, axes = np.linalg.eigh(inside)
    kept = lengths > 1e-14 * max(lengths.max(), 1e-300)
    axes = axes[:, kept] / np.sqrt(lengths[kept])
    along = images @ axes
    values, inner = (found[..., -rank:] for found in np.linalg.eigh(along.T @ along))
    positive = values > 1e-10 * max(values.max(), 1e-300)
    return correlated.right(basis @ (axes @ (inner[:, positive] * np.sqrt(values[positive]))))


def _width(rank: int) -> int:
    """Columns of the block that a subspace of this rank is built from."""
    return -(-rank // 2)


def prepare(gram: Gram, *, rank: int = RANK, ridge: float = RIDGE) -> Prepared:
    """Profiles of the genes and the inverse of the regularised correlations, from a few products with the Gram matrix.

    With ``Δ = D + λI`` and ``N = (I + FᵀΔ⁻¹F)⁻¹`` the inverse is ``Δ⁻¹ − Δ⁻¹F N FᵀΔ⁻¹`` (Woodbury). The profile of a
    gene is its row of F as a unit vector: which programs it follows, free of how much of its variance is noise.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, in any unit, shape (g, g), or its operator. Centred within strata
        (``Moments.standardize(within=True)``) it knows no difference between donors.
    rank, ridge
        Number of leading directions of a profile, and λ.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 0.0], [-1.0, 0.0, 1.0], [0.0, -2.0, -1.0]])
    >>> prepared = prepare(x.T @ x, ridge=1.0)
    >>> bool(np.allclose(prepared.inverse @ (np.corrcoef(x.T) + np.eye(3)), np.eye(3)))
    True
    """
    factors = leading_factors(gram, rank)
    squares = np.einsum("ij,ij->i", factors, factors)
    length = np.sqrt(squares)[:, None]
    directions = np.divide(factors, length, out=np.zeros_like(factors), where=length > 1e-12)
    varies = np.asarray(gram.diagonal()) > 0
    rest = np.maximum(varies - squares, 0.0) + ridge
    scaled = factors / rest[:, None]
    root = np.linalg.cholesky(np.eye(factors.shape[1]) + factors.T @ scaled)
    inner = scaled @ np.linalg.inv(root).T  # few columns, and a diagonal of 1 or more
    nothing = np.zeros(len(factors))
    return Prepared(factors, LowRank(nothing, directions), LowRank(1.0 / rest, inner, -1.0))


def association(prepared: Prepared, membership: NDArray[np.bool_], *, even: bool = False) -> Floats:
    """Association of every gene with the rest of every pathway, two views of it in standard units.

    Parameters
    ----------
    prepared
        Of :func:`prepare`.
    membership
        Gene i is annotated to pathway j, shape (g, p).
    even
        A gene of the set is held against n − 1 others, one outside against all n, and a member that the annotation
        lacks then looks better than one that it has. If so, what ridge regression predicts for a gene outside is the
        mean over the n sets with one gene left out, ``(n − 1) / n`` of it.

    Returns
    -------
    Shape (g, p, 2): the leave-one-out correlation of profiles, and the leave-one-out ridge prediction, each less its
    mean and over its standard deviation over the genes of the pathway's column; 0 where it does not vary. A gene's own
    annotation takes no part in its own values but through these two.
    """
    return np.ascontiguousarray(views_of(prepared, membership, even=even).transpose(2, 0, 1))


def views_of(prepared: Prepared, membership: NDArray[np.bool_], *, even: bool = False) -> Floats:
    """The values of :func:`association` pathway by pathway, shape (p, 2, g)."""
    labels = np.ascontiguousarray(membership.T, dtype=np.float64)
    views = np.empty((len(labels), 2, len(membership)))
    for view, operator in zip((0, 1), (prepared.similarity, prepared.inverse), strict=True):
        views[:, view] = (operator @ labels.T).T
    if even:
        views[:, 1] *= np.where(labels > 0, 1.0, 1.0 - 1.0 / labels.sum(axis=1, keepdims=True))
    standardized_views(views, prepared.similarity.diagonal(), prepared.inverse.diagonal(), labels)
    return views


def of_members(operator: LowRank, weights: sp.csc_array) -> Floats:
    """Correlation of each member with the score of the rest of its pathway, ``z₋ᵢ = X̃w − x̃ᵢwᵢ``, as weights are stored.

    ``cov(xᵢ, z₋ᵢ) = (Gw)ᵢ − Gᵢᵢwᵢ`` and ``var(z₋ᵢ) = wᵀGw − 2wᵢ(Gw)ᵢ + wᵢ²Gᵢᵢ``. 0 where either does not vary.
    Nothing of the size genes × pathways is formed: a product with the factors for every pathway, and one number of r
    products for every stored weight.
    """
    values, genes = weights.data, weights.indices
    column = np.repeat(np.arange(weights.shape[1]), np.diff(weights.indptr))
    along = operator.sign * np.asarray(weights.T @ operator.factors)
    product = operator.own[genes] * values
    for first in range(0, len(genes), STORED):
        part = slice(first, first + STORED)
        product[part] += np.einsum("ij,ij->i", operator.factors[genes[part]], along[column[part]])
    own = operator.diagonal()[genes]
    alone = values**2 * own
    whole = np.bincount(column, values * product, minlength=weights.shape[1])[column]
    rest = whole - 2.0 * values * product + alone
    varies = (rest > 1e-10 * (np.abs(whole) + alone)) & (own > 0)
    scale = np.sqrt(np.where(varies, rest * own, 1.0))
    return np.where(varies, np.clip((product - own * values) / scale, -1.0, 1.0), 0.0)


def correlations_left_out(operator: LowRank, weights: Floats) -> Floats:
    """The same of every gene and pathway: weights and result have shape (p, g)."""
    products = np.ascontiguousarray((operator @ weights.T).T)
    left_out(products, operator.diagonal(), weights)
    return products


def visibility(prepared: Prepared, mean: Floats, variance: Floats) -> Floats:
    """How visible a gene is in these cells: normal scores of its mean, its variance and its correlation with others.

    A gene that is hardly seen can be a member of nothing, as far as these cells go. Ranks are used, so that the units
    of the matrix do not matter.

    Parameters
    ----------
    prepared
        Of :func:`prepare`.
    mean, variance
        Of each gene, shape (g,).

    Returns
    -------
    Shape (g, 3).
    """
    factors = prepared.factors
    shared = np.einsum("ij,ij->i", factors @ (factors.T @ factors), factors)  # Σ_k R_ik² along the directions
    # Ranked in float32, in which rounding does not tell apart what is equal.
    ranks = [rankdata(values.astype(np.float32)).astype(np.float64) for values in (mean, variance, shared)]
    return np.column_stack([norm.ppf(rank / (len(mean) + 1.0)) for rank in ranks])
