"""Which genes belong to a pathway: the annotation and the cells weighed against each other, with error control.

membership + association (+ covariates) → two groups per pathway → prior, evidence, posterior, local FDR

The model of pathway j, gene by gene: it is truly a member or not (z); the annotation A says yes to a member with
probability α and to another gene with probability β; the association x with the rest of the pathway has density f₀
among non-members and f₁ among members, ``f₁ = f₀ · exp(b·x − κ)``, an exponential tilt with no assumption on f₀. So
``logit P(z | A, x) = log-odds of the annotation + (b·x − κ)``: prior plus evidence. α, β and b are estimated by EM:
the annotations themselves are noisy labels (logistic regression with label noise; Bootkrajang & Kabán 2012,
10.1007/978-3-642-33460-3_15), and what is estimated for one pathway is drawn to what holds for all, as strongly as the
pathways agree (empirical Bayes), or, every pathway by itself, to what is usual. Two groups and local FDR: Efron 2008,
10.1214/07-STS236.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

from pathwayae.core.evidence.newton_loops import steps_alone
from pathwayae.core.evidence.pathway_loops import Genes, Sums, posterior_sums

Floats = NDArray[np.float64]

ANNOTATED = (8.0, 2.0)  # Beta prior: of ten true members about eight are annotated,
FALSE = (2.0, 8.0)  # and of ten annotated genes about two are no members; ten genes' worth of belief
STEP = 1.0  # longest step of a coefficient
CENTRE = 0.1  # precision that draws their mean to 0, so that it stays finite where two groups separate
SHRINK = (1.0, 1e4)  # bounds of the precision that draws the coefficients of one pathway to those of all

# Where every pathway is weighed by itself:
WORTH = 1.0  # a standard unit of a view is worth one log-odds,
WORTH_PRECISION = 0.3  # give or take two: from none at all to more than a clear pathway shows
COVARIATE_PRECISION = 3.0  # give or take half a log-odds: being seen alone does not make a member
VALUES = 2**22  # associations at a time, to bound memory

MAX_ITER = 100  # EM steps
MOVED = 1e-3  # change of a posterior below which EM ends


class Refinement(NamedTuple):
    """Memberships weighed; arrays are genes × pathways unless said otherwise.

    Attributes
    ----------
    prior
        Log-odds of membership before the association is seen: the annotation and, where given, the covariates.
    evidence
        Log-likelihood ratio ``log f₁(x)/f₀(x)`` of the association.
    posterior
        Probability of membership, ``expit(prior + evidence)``.
    local_fdr
        Probability that it is wrong to do what is nearest: to add a gene that is not annotated (1 − posterior), to
        keep an annotated one with a posterior of 0.5 or more (1 − posterior), to drop one with less (posterior).
    annotated_share
        α: share of the true members that are annotated, shape (p,).
    false_share
        Share of the annotated genes that are no members, shape (p,).
    slopes
        b: what one standard unit of each association is worth, shape (p, f).
    n_iterations
        Number of EM steps taken, the largest of all pathways.
    """

    prior: Floats
    evidence: Floats
    posterior: Floats
    local_fdr: Floats
    annotated_share: Floats
    false_share: Floats
    slopes: Floats
    n_iterations: int


class State(NamedTuple):
    """Coefficients (p, f + c + 1), the intercept last; α (p,); share of the annotated that are no members (p,)."""

    coefficients: Floats
    alpha: Floats
    false: Floats

    def of(self, some: slice | NDArray[np.intp]) -> State:
        """State of some pathways."""
        return State(*(values[some] for values in self))

    @classmethod
    def joined(cls, parts: Sequence[State]) -> State:
        """Of pathways that were weighed one part after the other."""
        return cls(*(np.concatenate(own) for own in zip(*parts, strict=True)))


def refine(
    associations: Floats,
    membership: NDArray[np.bool_],
    *,
    covariates: Floats | None = None,
    pooled: bool = True,
    apart: NDArray[np.bool_] | None = None,
    max_iter: int = MAX_ITER,
    tolerance: float = MOVED,
) -> Refinement:
    """Posterior of every membership from its annotation and the association of the gene with the rest of the pathway.

    Parameters
    ----------
    associations
        Leave-one-out associations in standard units, larger for members, shape (g, p, f): those of
        :func:`pathwayae.core.evidence.association.association`.
    membership
        Gene i is annotated to pathway j, shape (g, p); at least one gene and not all of them in each.
    covariates
        What else makes a gene a likely member, in standard units, shape (g, c), for instance
        :func:`pathwayae.core.evidence.association.visibility`. They enter the prior; their weight is learned.
    pooled
        Draw the coefficients of each pathway to the mean of all, as strongly as the pathways agree. If not, to one
        log-odds per standard unit of a view and to no effect of the covariates, as strongly as module constants say:
        a pathway's results then depend on no other pathway.
    apart
        Pathways, shape (p,), that are pooled among themselves and not with the others: what holds for pathways that the
        cells carry does not hold for those they do not.
    max_iter, tolerance
        EM ends when no posterior changes by more than `tolerance`: of any pathway, or, if not pooled, of this one.

    Returns
    -------
    The refinement.

    Raises
    ------
    ValueError
        If shapes do not fit, values are not finite, or a pathway has no or all genes.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> true = np.arange(500)[:, None] < 40
    >>> given = true.copy()
    >>> given[:10], given[490:] = False, True
    >>> x = np.where(true, 5.0, 0.0) + rng.normal(size=(500, 1))
    >>> found = refine(x[:, :, None], given)
    >>> bool(found.posterior[:40].min() > found.posterior[40:].max())
    True
    """
    x, seen, member = _checked(associations, membership, covariates)
    pools = _pools(len(member), member.shape[1] * x.shape[2], apart, pooled=pooled)
    parts = []
    for some in pools:
        genes = Genes(np.ascontiguousarray(x[:, some].transpose(1, 2, 0)), seen, member[some])
        parts.append(_refined(genes, pooled=pooled, max_iter=max_iter, tolerance=tolerance))
    order = np.argsort(np.concatenate(pools))
    prior, evidence, posterior, local_fdr = (
        np.concatenate(values)[order].T for values in zip(*(values for values, _, _ in parts), strict=True)
    )
    coefficients, alpha, false = State.joined([state for _, state, _ in parts]).of(order)
    slopes, steps = coefficients[:, : x.shape[2]], max(taken for _, _, taken in parts)
    return Refinement(prior, evidence, posterior, local_fdr, alpha, false, slopes, steps)


def _pools(p: int, values: int, apart: NDArray[np.bool_] | None, *, pooled: bool) -> list[NDArray[np.intp]]:
    """Pathways that are weighed at a time: those of one pool, or as many as memory has room for."""
    everyone = np.arange(p)
    if not pooled:
        few = max(1, VALUES // values)
        return [everyone[first : first + few] for first in range(0, p, few)]
    if apart is None or apart.all() or not apart.any():
        return [everyone]
    return [everyone[apart], everyone[~apart]]


def posterior_alone(
    views: Floats, member: NDArray[np.bool_], covariates: Floats, begin: State | None = None
) -> tuple[Floats, State]:
    """The posterior of :func:`refine` with every pathway by itself, pathway by pathway.

    Parameters
    ----------
    views
        Associations, shape (p, f, g).
    member
        Annotations, at least one gene and not all of them in each, shape (p, g).
    covariates
        Shape (g, c).
    begin
        Where EM begins, such as where it ended for cells much like these.

    Returns
    -------
    Shape (p, g), and where EM ended.
    """
    genes = Genes(views, np.ascontiguousarray(covariates.T), member)
    result = np.zeros(member.shape)
    state, _ = _em(genes, result, pooled=False, max_iter=MAX_ITER, tolerance=MOVED, begin=begin)
    return result, state


def _refined(
    genes: Genes, *, pooled: bool, max_iter: int, tolerance: float
) -> tuple[tuple[Floats, Floats, Floats, Floats], State, int]:
    """Prior, evidence, posterior and local FDR, pathways × genes, with the state and the number of steps."""
    state, taken = _em(genes, np.zeros(genes.member.shape), pooled=pooled, max_iter=max_iter, tolerance=tolerance)
    few = max(1, VALUES // (genes.member.shape[1] * genes.views.shape[1]))
    parts = []
    for begin in range(0, len(state.alpha), few):
        part = slice(begin, begin + few)
        some = genes._replace(views=genes.views[part], member=genes.member[part])
        parts.append(_weighed(some, state.of(part)))
    prior, evidence, posterior, local_fdr = (np.concatenate(values) for values in zip(*parts, strict=True))
    return (prior, evidence, posterior, local_fdr), state, taken


def _checked(
    associations: Floats, membership: NDArray[np.bool_], covariates: Floats | None
) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """Associations (g, p, f), covariates (c, g) and membership (p, g)."""
    x = np.asarray(associations, dtype=np.float64)
    g, p = membership.shape
    if x.ndim != 3 or x.shape[:2] != (g, p):
        msg = f"associations have shape {x.shape}; for this membership ({g}, {p}, number of views) is needed."
        raise ValueError(msg)
    seen = np.zeros((g, 0)) if covariates is None else np.asarray(covariates, dtype=np.float64)
    if seen.ndim != 2 or len(seen) != g:
        msg = f"covariates have shape {seen.shape}; ({g}, number of covariates) is needed."
        raise ValueError(msg)
    if not all(np.isfinite([values.min(initial=0.0), values.max(initial=0.0)]).all() for values in (x, seen)):
        msg = "associations or covariates hold values that are not finite; leave out genes that do not vary."
        raise ValueError(msg)
    size = membership.sum(axis=0)
    if ((size == 0) | (size == g)).any():
        j = int(np.flatnonzero((size == 0) | (size == g))[0])
        msg = f"Pathway {j} has {size[j]} of {g} genes; a pathway needs members and genes that are none. Leave it out."
        raise ValueError(msg)
    return x, np.ascontiguousarray(seen.T), np.ascontiguousarray(membership.T, dtype=bool)


def _em(
    genes: Genes, posterior: Floats, *, pooled: bool, max_iter: int, tolerance: float, begin: State | None = None
) -> tuple[State, int]:
    """Coefficients and shares of all pathways, and the number of steps taken; posteriors are written."""
    size = genes.member.sum(axis=1)
    g, n_views, n_covariates = genes.member.shape[1], genes.views.shape[1], len(genes.covariates)
    state = _start(size, g, n_views, n_covariates) if begin is None else State(*(own.copy() for own in begin))
    precision = np.full(n_views + n_covariates, 20.0)
    moving = np.arange(len(size))
    sums = posterior_sums(genes, moving, state.coefficients, _annotation(size, g, state), posterior)
    steps = 0
    while steps < max_iter and len(moving):
        part, n = state.of(moving), size[moving]
        if pooled:
            coefficients, precision = _pooled(part.coefficients, sums, precision, n_views)
        else:
            coefficients = _alone(part.coefficients, sums, n_views)
        part = State(coefficients, *_shares(sums, n))
        for whole, values in zip(state, part, strict=True):
            whole[moving] = values
        sums = posterior_sums(genes, moving, part.coefficients, _annotation(n, g, part), posterior)
        going = sums.change >= tolerance
        going |= pooled and going.any()
        moving, sums = moving[going], Sums(*(values[going] for values in sums))
        steps += 1
    return state, steps


def _start(size: NDArray[np.intp], g: int, n_views: int, n_covariates: int) -> State:
    """Members as many as annotated, each view worth its share of one log-odds per standard unit."""
    p = len(size)
    coefficients = np.zeros((p, n_views + n_covariates + 1))
    coefficients[:, :n_views] = 1.0 / n_views
    coefficients[:, -1] = logit(size / g) - 1.0
    return State(coefficients, np.full(p, ANNOTATED[0] / sum(ANNOTATED)), np.full(p, FALSE[0] / sum(FALSE)))


def _annotation(size: NDArray[np.intp], g: int, state: State) -> Floats:
    """Log-likelihood ratio of the annotation: log (1 − α)/(1 − β) where it says no, log α/β where yes; (p, 2)."""
    members = np.minimum((1.0 - state.false) * size / state.alpha, g - 1.0)
    beta = np.minimum(state.false * size / (g - members), 1.0 - 1e-9)
    return np.column_stack([np.log1p(-state.alpha) - np.log1p(-beta), np.log(state.alpha / beta)])


def _shares(sums: Sums, size: NDArray[np.intp]) -> tuple[Floats, Floats]:
    """α and the share of the annotated genes that are no members, with ten genes' worth of belief."""
    alpha = (sums.inside + ANNOTATED[0]) / (sums.total + sum(ANNOTATED))
    false = (size - sums.inside + FALSE[0]) / (size + sum(FALSE))
    return np.clip(alpha, 0.01, 0.999), np.clip(false, 0.001, 0.99)


def _times(matrices: Floats, vectors: Floats) -> Floats:
    """Matrix by matrix, (p, k, k) and (p, k) or (k,)."""
    product: Floats = np.matmul(matrices, vectors[..., None])[..., 0]
    return product


def _newton(
    current: Floats, sums: Sums, precision: Floats, n_views: int, centre: Callable[[Floats, Floats], Floats]
) -> Floats:
    """One Newton step on the posteriors as labels, no longer than ``STEP``, drawn to a centre.

    Association never speaks against membership: a view whose coefficient would fall below 0 is held there, and the
    others are solved for without it. Merely cut off, it would leave to a view that says nearly the same what was meant
    for the difference of the two.

    Parameters
    ----------
    current
        Coefficients, shape (p, k).
    sums, precision
        Of the posteriors, and of what draws the coefficients but the intercept to the centre.
    centre
        Makes the centre, shape (k,), of the step to the centre 0 and of the covariances of the coefficients that are
        not held.
    """
    ridge = np.append(precision, 0.0)
    curvature = sums.hessian + np.diag(np.append(precision, 1e-6))
    free = np.ones(current.shape, dtype=bool)
    while True:
        both = free[:, :, None] & free[:, None, :]
        covariance = np.where(both, np.linalg.inv(np.where(both, curvature, np.eye(current.shape[1]))), 0.0)
        gradient = sums.gradient - ridge * current + _times(curvature, np.where(free, 0.0, current))
        alone = np.where(free, current + _times(covariance, gradient), 0.0)
        target = alone + _times(covariance, ridge * centre(alone, covariance))
        lowest = target[:, :n_views].argmin(axis=1)
        below = np.flatnonzero(target[np.arange(len(target)), lowest] < 0.0)
        if not len(below):
            return current + np.clip(target - current, -STEP, STEP)
        free[below, lowest[below]] = False


def _pooled(current: Floats, sums: Sums, precision: Floats, n_views: int) -> tuple[Floats, Floats]:
    """One step of all pathways, drawn to their mean, and the precision that fits how much they differ."""
    loose = np.diag(CENTRE / (len(current) * precision))

    def centre(alone: Floats, covariance: Floats) -> Floats:
        # Jointly with the centre μ all pathways are drawn to: δ = C(gradient + R(μ − b)), μ = mean(b + δ).
        pull = (covariance * np.append(precision, 0.0)).mean(axis=0)[:-1, :-1]
        return np.append(np.linalg.solve(np.eye(len(pull)) - pull + loose, alone.mean(axis=0)[:-1]), 0.0)

    moved = _newton(current, sums, precision, n_views, centre)
    covariance = np.linalg.inv(sums.hessian + np.diag(np.append(precision, 1e-6)))
    spread = (moved - moved.mean(axis=0)) ** 2 + np.diagonal(covariance, axis1=1, axis2=2)
    return moved, np.clip(1.0 / spread[:, :-1].mean(axis=0), *SHRINK)


def _alone(current: Floats, sums: Sums, n_views: int) -> Floats:
    """One step of every pathway by itself, drawn to what is usual."""
    precision, centre = np.full((2, current.shape[1]), COVARIATE_PRECISION)
    precision[:n_views], precision[-1] = WORTH_PRECISION, 0.0
    centre[:] = 0.0
    centre[:n_views] = WORTH
    return steps_alone(current, sums, n_views, precision, centre, STEP)


def _weighed(genes: Genes, state: State) -> tuple[Floats, Floats, Floats, Floats]:
    """Prior, evidence, posterior and local FDR, pathways × genes; the evidence is a ratio of two densities."""
    n_views = genes.views.shape[1]
    tilt = np.matmul(state.coefficients[:, None, :n_views], genes.views)[:, 0]
    rest = np.matmul(state.coefficients[:, None, n_views:-1], genes.covariates)[:, 0] + state.coefficients[:, -1:]
    ratio = _annotation(genes.member.sum(axis=1), genes.member.shape[1], state)
    log_odds = tilt + rest + np.where(genes.member, ratio[:, 1:], ratio[:, :1])
    posterior: Floats = expit(log_odds)
    outside = 1.0 - posterior
    evidence = tilt - (logsumexp(tilt, b=outside, axis=1) - np.log(outside.sum(axis=1)))[:, None]
    local_fdr = np.where(genes.member & (posterior < 0.5), posterior, outside)
    return log_odds - evidence, evidence, posterior, local_fdr
