"""What the cells say about gene and pathway, from moments alone: leave-one-out association and how visible a gene is.

correlations → prepare → association of every gene with the rest of every pathway
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.linalg
import scipy.sparse.linalg
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from pathwayae.core.gram_product import Gram

Floats = NDArray[np.float64]

RANK = 100  # leading directions that make the profile of a gene; 50 to 400 differ by less than 0.02 of AUC
RIDGE = 3.0  # added to the correlations, whose diagonal is 1, before labels are regressed on them; 0.3 to 30 are alike


class Prepared(NamedTuple):
    """What :func:`association` needs of the data, computed once for any number of gene sets.

    Attributes
    ----------
    similarity
        Cosine of the profiles of two genes, shape (g, g).
    inverse
        ``(R + λI)⁻¹`` of the correlations R, shape (g, g).
    """

    similarity: Floats
    inverse: Floats


def correlation(gram: Floats) -> Floats:
    """Correlations of the genes, ``G_ij / √(G_ii G_jj)``; 0 throughout for a gene that does not vary.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, in any unit, shape (g, g).

    Examples
    --------
    >>> correlation(np.array([[4.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]))
    array([[1. , 0.5, 0. ],
           [0.5, 1. , 0. ],
           [0. , 0. , 0. ]])
    """
    length = np.sqrt(np.maximum(np.diagonal(gram), 0.0))
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return gram * unit * unit[:, None]


def leave_one_out(gram: Gram, weights: Floats) -> Floats:
    """Correlation of each gene with the score of the rest of each pathway, ``z₋ᵢ = X̃w − x̃ᵢwᵢ``.

    ``cov(xᵢ, z₋ᵢ) = (Gw)ᵢ − Gᵢᵢwᵢ`` and ``var(z₋ᵢ) = wᵀGw − 2wᵢ(Gw)ᵢ + wᵢ²Gᵢᵢ``: one product ``G W`` for all genes and
    pathways.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, shape (g, g), or its operator; any kernel between genes will do.
    weights
        Weight of each gene in each score, a membership or loadings, shape (g, p).

    Returns
    -------
    From −1 to 1, shape (g, p); 0 where the gene or the rest of the pathway does not vary.

    Examples
    --------
    >>> x = np.array([[1.0, 2.0, 0.0], [-1.0, 0.0, 1.0], [0.0, -2.0, -1.0]])
    >>> loo = leave_one_out(x.T @ x, np.array([[1.0], [1.0], [1.0]]))
    >>> bool(np.isclose(loo[0, 0], np.corrcoef(x[:, 0], x[:, 1] + x[:, 2])[0, 1]))
    True
    """
    own = gram.diagonal()[:, None]
    product = gram @ weights
    covariance = product - own * weights
    whole = np.einsum("ij,ij->j", weights, product)
    rest = whole - 2.0 * weights * product + weights**2 * own
    # What rounding leaves of an empty rest is no variance.
    varies = (rest > 1e-10 * (np.abs(whole) + weights**2 * own)) & (own > 0)
    scale = np.sqrt(np.where(varies, rest * own, 1.0))
    return np.where(varies, np.clip(covariance / scale, -1.0, 1.0), 0.0)


def leave_one_out_ridge(inverse: Floats, labels: Floats) -> Floats:
    """What kernel ridge regression of the labels of all other genes predicts for each gene.

    With ``C = (R + λI)⁻¹`` the prediction for gene i without its own label is ``yᵢ − (Cy)ᵢ / Cᵢᵢ``, so that no
    regression is done twice. Unlike a correlation with the mean it discounts what the genes of a pathway share with
    all other programs: the association is conditional on everything else the cells do.

    Parameters
    ----------
    inverse
        ``(R + λI)⁻¹``, shape (g, g).
    labels
        Membership, or the probability of it, shape (g, p).

    Returns
    -------
    Predicted labels, shape (g, p).
    """
    return labels - (inverse @ labels) / np.diagonal(inverse)[:, None]


def profiles(correlations: Floats, rank: int) -> Floats:
    """Where each gene lies among the leading directions, ``U√Λ`` of the correlations, as unit vectors (g, ≤ rank).

    The direction says which programs a gene follows, free of how much of its variance is noise.
    """
    g = len(correlations)
    rank = min(rank, g)
    if g <= 512 or rank >= g // 2:
        values, vectors = scipy.linalg.eigh(correlations, subset_by_index=[g - rank, g - 1])
    else:
        start = np.sqrt(np.abs(correlations).sum(axis=1))  # follows the genes, whatever their order
        values, vectors = scipy.sparse.linalg.eigsh(correlations, k=rank, which="LA", v0=start)
    positive = values > 1e-10 * max(values.max(), 1e-300)
    scaled = vectors[:, positive] * np.sqrt(values[positive])
    length = np.linalg.norm(scaled, axis=1, keepdims=True)
    return np.divide(scaled, length, out=np.zeros_like(scaled), where=length > 1e-12)


def prepare(gram: Floats, *, rank: int = RANK, ridge: float = RIDGE) -> Prepared:
    """Similarity of the genes' profiles and the inverse of the regularised correlations.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, in any unit, shape (g, g). Centred within strata
        (``Moments.standardize(within=True)``) it knows no difference between donors.
    rank, ridge
        Number of leading directions of a profile, and λ.
    """
    correlations = correlation(gram)
    directions = profiles(correlations, rank)
    regular = correlations + ridge * np.eye(len(correlations))
    factor, _ = scipy.linalg.lapack.dpotrf(regular, lower=1, overwrite_a=1)
    inverse, _ = scipy.linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    lower = np.tril(inverse)
    return Prepared(directions @ directions.T, lower + np.tril(lower, -1).T)


def association(prepared: Prepared, membership: NDArray[np.bool_]) -> Floats:
    """Association of every gene with the rest of every pathway, two views of it in standard units.

    Parameters
    ----------
    prepared
        Of :func:`prepare`.
    membership
        Gene i is annotated to pathway j, shape (g, p).

    Returns
    -------
    Shape (g, p, 2): the leave-one-out correlation of profiles, and the leave-one-out ridge prediction, each less its
    mean and over its standard deviation over the genes of the pathway's column; 0 where it does not vary. A gene's own
    annotation takes no part in its own values but through these two.
    """
    labels = membership.astype(np.float64)
    views = (leave_one_out(prepared.similarity, labels), leave_one_out_ridge(prepared.inverse, labels))
    return np.stack([standard_units(view) for view in views], axis=2)


def standard_units(values: Floats) -> Floats:
    """Every column less its mean and over its standard deviation; 0 where it does not vary."""
    centred = values - values.mean(axis=0)
    deviation = centred.std(axis=0)
    varies = deviation > 1e-10 * np.maximum(np.abs(values).max(axis=0), 1e-300)
    return np.divide(centred, deviation, out=np.zeros_like(centred), where=varies)


def visibility(gram: Floats, mean: Floats, variance: Floats) -> Floats:
    """How visible a gene is in these cells: normal scores of its mean, its variance and its correlation with others.

    A gene that is hardly seen can be a member of nothing, as far as these cells go. Ranks are used, so that the units
    of the matrix do not matter.

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of centred genes, shape (g, g).
    mean, variance
        Of each gene, shape (g,).

    Returns
    -------
    Shape (g, 3).
    """
    shared = (correlation(gram) ** 2).sum(axis=1)
    return np.column_stack([norm.ppf(rankdata(x) / (len(x) + 1.0)) for x in (mean, variance, shared)])
