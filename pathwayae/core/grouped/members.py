"""Every pathway by itself: weights of its members from how well they go together, and who else goes with them.

leading directions of the correlations + membership → item–rest correlations → weights of the members → encoder;
evidence on all other genes → loadings. No pathway enters the score of another; there is no start and no descent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from pathwayae.core.descent import side_by_side
from pathwayae.core.evidence.association import (
    RANK,
    Prepared,
    correlations_left_out,
    of_members,
    prepare,
    views_of,
    visibility,
)
from pathwayae.core.evidence.refine import State, posterior_alone
from pathwayae.core.grouped.encoder import Encoder, Weights, balanced_encoder, expression_bins, jointly, multiplicity
from pathwayae.core.moments.gram_product import Data

Floats = NDArray[np.float64]

FLOOR = 0.4  # say of a member that goes with none of the others; halves of the cells then agree on every set (≥ 0.9)
STEPS = 2  # from equal weights; more steps change names by less than 0.002
CHUNK = 128  # pathways weighed at a time, to bound memory
SMALL = 2**15  # genes × pathways below which threads cost more than they save
FEWEST = 30  # genes outside a pathway that have a loading on it, where loadings are kept on a support


class Members(NamedTuple):
    """Weights of the genes (g, p), the encoder that follows, and loadings of all genes or of a support.

    Weights are sparse, those of the members; or, of all pathways jointly, dense and of all genes.

    ``directions`` are leading ones of the Gram matrix, (g, r), on the way to them, and ``evidence`` where the weighing
    of evidence ended, from which that of cells much like these may begin.
    """

    weights: Weights
    encoder: Encoder
    loadings: Weights
    directions: Floats
    evidence: State | None = None


class Weighed(NamedTuple):
    """Membership of some pathways and its posterior, pathways × genes, and where EM ended, of those that have one."""

    sets: NDArray[np.bool_]
    posterior: Floats
    state: State


def fit(
    data: Data,
    membership: Weights,
    *,
    balance: bool,
    joint: bool = False,
    support: bool = False,
    begin: State | None = None,
) -> Members:
    """Weights, encoder and loadings of every pathway from the moments of the cells.

    Parameters
    ----------
    data
        Moments of standardised, centred cells, g genes, or the cells themselves.
    membership
        Gene i belongs to pathway j where it is not 0, dense or sparse, shape (g, p): boolean, or the prior weight of a
        member, negative for genes that go down with the pathway.
    balance
        Compare members with genes of like mean, see :func:`pathwayae.core.grouped.encoder.balanced_encoder`.
    joint
        Regress cells on all encoders at once, see :func:`pathwayae.core.grouped.encoder.jointly`.
    support
        Keep loadings of the members, and of as many genes outside as a pathway has members, at least ``FEWEST``, the
        largest: the others are exactly 0, and loadings sparse.
    begin
        ``evidence`` of a fit of the same pathways to like cells.

    Returns
    -------
    Encoders have unit length but for what pathways share, see :func:`pathwayae.core.grouped.encoder.multiplicity`.
    """
    member = sp.csc_array(membership)
    prepared = prepare(data.gram)
    weights = member_weights(prepared, member)
    encoder = balanced_encoder(weights, expression_bins(data.mean)) if balance else Encoder(weights)
    length, whole = encoder.lengths(), np.sqrt(np.asarray(weights.power(2).sum(axis=0)).ravel())
    # What rounding leaves of a set that is all genes is no contrast.
    exists = length > 1e-7 * whole
    unit = np.divide(1.0, length, out=np.zeros_like(length), where=exists)
    encoder = encoder.scaled(unit)
    encoder = jointly(encoder) if joint else encoder
    encoder = encoder.scaled(1.0 / np.sqrt(np.maximum(multiplicity(encoder), 1.0)))
    weighed = posteriors(data, member, prepared, begin)
    parts, states = zip(*_loadings(prepared, weights, weighed, support=support), strict=True)
    loadings = sp.hstack(parts, format="csc") if support else np.hstack(parts)
    directions = prepared.factors * np.sqrt(np.maximum(np.asarray(data.gram.diagonal()), 0.0))[:, None]
    return Members(encoder.weights if joint else weights, encoder, loadings, directions, State.joined(states))


def operations(membership: Weights) -> float:
    """Of the largest product of :func:`fit` but for those with the Gram matrix: of profiles and sets."""
    return 4.0 * membership.shape[0] * membership.shape[1] * RANK


def member_weights(prepared: Prepared, member: sp.csc_array) -> sp.csc_array:
    """``w_ij = a_ij (max(s_ij ρ_ij, 0) + 0.4)`` for the members, ρ the correlation with the score of the other members.

    The item–rest (corrected item–total) correlation of psychometrics (Guilford 1953, Educational and Psychological
    Measurement 13:87–93), of the genes' profiles, so that a noisy gene is not taken for an unrelated one; first with
    equal weights, then with those that came of it. A gene never speaks for itself, and the floor keeps a say for every
    member. No gene gets more weight than all others together (in squares). The prior weight a_ij, 1 without any, has
    the sign s_ij: of a gene that goes down with its pathway the negative counts, in ρ as in the score.

    Parameters
    ----------
    prepared
        Of :func:`pathwayae.core.evidence.association.prepare`.
    member
        Shape (g, p), boolean or prior weights.

    Returns
    -------
    Shape (g, p); nothing is stored of genes that are no members.
    """
    weights = member.astype(np.float64)
    weights.eliminate_zeros()
    weights.sort_indices()
    prior = weights.data.copy()
    for _ in range(STEPS):
        along = of_members(prepared.similarity, weights) * np.sign(prior)
        weights.data = prior * (np.maximum(along, 0.0) + FLOOR)
    squares = weights.data**2
    column = np.repeat(np.arange(weights.shape[1]), np.diff(weights.indptr))
    total = np.bincount(column, squares, minlength=weights.shape[1])
    rest = np.sqrt(np.maximum(total[column] - squares, 0.0))
    weights.data = np.where(rest > 0, np.clip(weights.data, -rest, rest), weights.data)
    return weights


def posterior(data: Data, membership: Weights, prepared: Prepared | None = None) -> Floats:
    """Probability that a gene belongs to a pathway, each pathway by itself, shape (g, p).

    A pathway with no genes or all of them says nothing of others: its membership.
    """
    prepared = prepare(data.gram) if prepared is None else prepared
    found = posteriors(data, sp.csc_array(membership, dtype=bool), prepared)
    return np.vstack([own.posterior for own in found]).T


def posteriors(data: Data, member: sp.csc_array, prepared: Prepared, begin: State | None = None) -> Iterator[Weighed]:
    """Membership and its posterior of at most ``CHUNK`` pathways after the other, in their order.

    With signs (of prior weights) the labels of the associations have them, and a member that goes down is evidence by
    the negative of its association; the posterior of other genes is that they go up with the pathway.
    """
    seen = visibility(prepared, data.mean, np.asarray(data.gram.diagonal()) * data.scale**2 / data.n)

    def weigh(first: int, last: int) -> Weighed:
        signs = np.sign(np.ascontiguousarray(member[:, first:last].toarray().T, dtype=np.float64))
        sets = signs != 0
        possible = _possible(sets.sum(axis=1), sets.shape[1])
        result = sets.astype(np.float64)
        views = views_of(prepared, signs[possible].T)
        views *= np.where(signs[possible] < 0, -1.0, 1.0)[:, None]
        before = None if begin is None else begin.of(np.arange(places[first], places[last]))
        result[possible], state = posterior_alone(views, np.ascontiguousarray(sets[possible]), seen, before)
        return Weighed(sets, result, state)

    places = np.concatenate([[0], np.cumsum(_possible(np.diff(member.indptr), member.shape[0]))])
    yield from _shared_out(weigh, member.shape[1], member.shape[0])


def _possible(size: NDArray[Any], g: int) -> NDArray[np.bool_]:
    """Pathways that tell genes apart."""
    return (size > 0) & (size < g)


def _shared_out(work: Callable[[int, int], Weighed], p: int, g: int) -> Iterator[Weighed]:
    """``work(first, last)`` for up to ``CHUNK`` of p pathways after the other, by all threads where that is much."""
    n_threads = 1 if p * g < SMALL else torch.get_num_threads()
    step = max(1, min(CHUNK // (n_threads + 1), -(-p // n_threads)))  # one more waits than threads work
    parts = [(first, min(first + step, p)) for first in range(0, p, step)]
    yield from map(work, *zip(*parts, strict=True)) if n_threads == 1 else side_by_side(lambda part: work(*part), parts)


def _loadings(
    prepared: Prepared, weights: sp.csc_array, weighed: Iterator[Weighed], *, support: bool
) -> Iterator[tuple[Weights, State]]:
    """Loadings of some pathways after the other, genes × pathways, and where their EM ended.

    Those of members are their weights, of other genes ``r_ij (max(ρ_ij, 0) + 0.4)``: how they go with a pathway, times
    the probability r of belonging to it.
    """
    first = 0
    for sets, believed, state in weighed:
        own = weights[:, first : first + len(sets)].toarray().T
        values = np.maximum(correlations_left_out(prepared.similarity, np.ascontiguousarray(own)), 0.0)
        values += FLOOR
        values *= believed
        values[sets] = own[sets]
        yield (_on_support(values, sets) if support else values.T), state
        first += len(sets)


def _on_support(values: Floats, sets: NDArray[np.bool_]) -> sp.csc_array:
    """Values of members and of the largest others, pathways × genes before, genes × pathways after."""
    kept, g = sets.copy(), sets.shape[1]
    for row, inside, here in zip(values, sets, kept, strict=True):
        outside = np.flatnonzero(~inside)
        n = min(max(FEWEST, g - len(outside)), len(outside))
        if n:
            here[outside[np.argpartition(-row[outside], n - 1)[:n]]] = True
    return sp.csr_array(np.where(kept, values, 0.0)).T
