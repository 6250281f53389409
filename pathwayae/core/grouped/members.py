"""Every pathway by itself: weights of its members from how well they go together, and who else goes with them.

leading directions of the correlations + membership → item–rest correlations → weights of the members → encoder;
evidence on all other genes → loadings. No pathway enters the score of another; there is no start and no descent.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.evidence.association import Prepared, association, leave_one_out, prepare, visibility
from pathwayae.core.evidence.refine import refine
from pathwayae.core.grouped.encoder import balanced, expression_bins, multiplicity
from pathwayae.core.moments.gram_product import Data

Floats = NDArray[np.float64]

FLOOR = 0.4  # say of a member that goes with none of the others; halves of the cells then agree on every set (≥ 0.9)
STEPS = 2  # from equal weights; more steps change names by less than 0.002
CHUNK = 128  # pathways weighed at a time, to bound memory


class Members(NamedTuple):
    """Weights of the members (g, p), 0 for other genes, the encoder that follows, and the loadings of all genes."""

    weights: Floats
    encoder: Floats
    loadings: Floats


def fit(data: Data, membership: NDArray[np.bool_], *, balance: bool) -> Members:
    """Weights, encoder and loadings of every pathway from the moments of the cells.

    Parameters
    ----------
    data
        Moments of standardised, centred cells, g genes, or the cells themselves.
    membership
        Gene i belongs to pathway j, shape (g, p).
    balance
        Compare members with genes of like mean, see :func:`pathwayae.core.grouped.encoder.balanced`.

    Returns
    -------
    Encoders have unit length but for what pathways share, see :func:`pathwayae.core.grouped.encoder.multiplicity`.
    """
    prepared = prepare(data.gram)
    weights = member_weights(prepared, membership)
    encoder = balanced(weights, expression_bins(data.mean)) if balance else weights
    length = np.linalg.norm(encoder, axis=0)
    # What rounding leaves of a set that is all genes is no contrast.
    exists = length > 1e-9 * np.linalg.norm(weights, axis=0)
    encoder = np.divide(encoder, length, out=np.zeros_like(encoder), where=exists)
    encoder /= np.sqrt(np.maximum(multiplicity(encoder), 1.0))
    outside = outside_loadings(prepared, membership, weights, data)
    return Members(weights, encoder, np.where(membership, weights, outside))


def member_weights(prepared: Prepared, membership: NDArray[np.bool_]) -> Floats:
    """``w_ij = max(ρ_ij, 0) + 0.4`` for the members: ρ the correlation of gene i with the score of the other members.

    The item–rest (corrected item–total) correlation of psychometrics (Guilford 1953, Educational and Psychological
    Measurement 13:87–93), of the genes' profiles, so that a noisy gene is not taken for an unrelated one; first with
    equal weights, then with those that came of it. A gene never speaks for itself, and the floor keeps a say for every
    member. No gene gets more weight than all others together (in squares).

    Parameters
    ----------
    prepared
        Of :func:`pathwayae.core.evidence.association.prepare`.
    membership
        Shape (g, p).

    Returns
    -------
    Shape (g, p); 0 for genes that are no members.
    """
    weights = membership.astype(np.float64)
    for _ in range(STEPS):
        weights = membership * (np.maximum(leave_one_out(prepared.similarity, weights), 0.0) + FLOOR)
    if not weights.size:
        return weights
    largest, columns = weights.argmax(axis=0), np.arange(weights.shape[1])
    top = weights[largest, columns]
    rest = np.sqrt(np.maximum((weights**2).sum(axis=0) - top**2, 0.0))
    weights[largest, columns] = np.where(rest > 0, np.minimum(top, rest), top)
    return weights


def posterior(data: Data, membership: NDArray[np.bool_], prepared: Prepared | None = None) -> Floats:
    """Probability that a gene belongs to a pathway, each pathway by itself, shape (g, p).

    A pathway with no genes or all of them says nothing of others: its membership.
    """
    result = membership.astype(np.float64)
    size = membership.sum(axis=0)
    possible = np.flatnonzero((size > 0) & (size < len(membership)))
    prepared = prepare(data.gram) if prepared is None else prepared
    seen = visibility(prepared, data.mean, np.asarray(data.gram.diagonal()) * data.scale**2 / data.n)
    for first in range(0, len(possible), CHUNK):
        chosen = possible[first : first + CHUNK]
        sets = membership[:, chosen]
        result[:, chosen] = refine(association(prepared, sets), sets, covariates=seen, pooled=False).posterior
    return result


def outside_loadings(prepared: Prepared, membership: NDArray[np.bool_], weights: Floats, data: Data) -> Floats:
    """``r_ij (max(ρ_ij, 0) + 0.4)``: how a gene that is no member goes with a pathway, times its probability r."""
    believed = posterior(data, membership, prepared)
    return believed * (np.maximum(leave_one_out(prepared.similarity, weights), 0.0) + FLOOR)
