"""Which genes belong to a pathway: the annotation and the cells weighed against each other, with error control.

membership + association (+ covariates) → two groups per pathway → prior, evidence, posterior, local FDR → calls

The model of pathway j, gene by gene: it is truly a member or not (z); the annotation A says yes to a member with
probability α and to another gene with probability β; the association x with the rest of the pathway has density f₀
among non-members and f₁ among members, ``f₁ = f₀ · exp(b·x − κ)``, an exponential tilt with no assumption on f₀. So
``logit P(z | A, x) = log-odds of the annotation + (b·x − κ)``: prior plus evidence. α, β and b are estimated by EM:
the annotations themselves are noisy labels (logistic regression with label noise; Bootkrajang & Kabán 2012,
10.1007/978-3-642-33460-3_15), and what is estimated for one pathway is drawn to what holds for all, as strongly as the
pathways agree (empirical Bayes). Two groups and local FDR: Efron 2008, 10.1214/07-STS236.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, logsumexp

Floats = NDArray[np.float64]

CALLS = ("undecided", "confirmed", "added", "dropped")
UNDECIDED, CONFIRMED, ADDED, DROPPED = range(4)

ANNOTATED = (8.0, 2.0)  # Beta prior: of ten true members about eight are annotated,
FALSE = (2.0, 8.0)  # and of ten annotated genes about two are no members; ten genes' worth of belief
STEP = 1.0  # longest step of a coefficient
CENTRE = 0.1  # precision that draws their mean to 0, so that it stays finite where two groups separate
SHRINK = (1.0, 1e4)  # bounds of the precision that draws the coefficients of one pathway to those of all


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
        Number of EM steps taken.
    """

    prior: Floats
    evidence: Floats
    posterior: Floats
    local_fdr: Floats
    annotated_share: Floats
    false_share: Floats
    slopes: Floats
    n_iterations: int


class _State(NamedTuple):
    """Coefficients (p, f + c + 1), the intercept last; α (p,); false share (p,); precision of shrinkage (f + c,)."""

    coefficients: Floats
    alpha: Floats
    false: Floats
    precision: Floats


def refine(
    associations: Floats,
    membership: NDArray[np.bool_],
    *,
    covariates: Floats | None = None,
    max_iter: int = 100,
    tolerance: float = 1e-3,
) -> Refinement:
    """Posterior of every membership from its annotation and the association of the gene with the rest of the pathway.

    Parameters
    ----------
    associations
        Leave-one-out associations in standard units, larger for members, shape (g, p, f): those of
        :func:`pathwayae.core.association.association`.
    membership
        Gene i is annotated to pathway j, shape (g, p); at least one gene and not all of them in each.
    covariates
        What else makes a membership likely, in standard units, shape (g, c) or (g, p, c), for instance
        :func:`pathwayae.core.association.visibility`. They enter the prior; their weight is learned.
    max_iter, tolerance
        EM ends when no posterior changes by more than `tolerance`.

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
    x, n_views = _design(associations, membership, covariates)
    state = _start(membership, x.shape[1], n_views)
    responsible = _responsibility(x, membership, state)
    n_iterations, change = 0, np.inf
    while n_iterations < max_iter and change >= tolerance:
        state = _maximise(x, membership, responsible, state, n_views)
        before, responsible = responsible, _responsibility(x, membership, state)
        change = float(np.abs(responsible - before).max())
        n_iterations += 1
    return _result(x, membership, state, n_views, n_iterations)


def calls(
    membership: NDArray[np.bool_], posterior: Floats, *, evidence: Floats | None = None, fdr: float = 0.05
) -> NDArray[np.int8]:
    """Decide under a false-discovery rate: codes into ``CALLS``.

    Three families of decisions, over all pathways together: annotated genes are *confirmed* in the order of
    1 − posterior or *dropped* in the order of the posterior, others are *added* in the order of 1 − posterior, each as
    long as the mean of these local error rates stays at or below `fdr` (Sun & Cai 2007, 10.1198/016214507000000545).
    The rest is *undecided*. No gene is confirmed or added below a posterior of 0.5, none dropped above it; and where
    the evidence is given, none is confirmed or added that it does not speak for, none dropped that it does not speak
    against: an annotation is not confirmed by itself.

    Parameters
    ----------
    membership, posterior
        Annotation and probability of membership, shape (g, p).
    evidence
        Log-likelihood ratio of the association, shape (g, p).
    fdr
        Expected share of wrong ones among the decisions of each kind, from 0 to 1.

    Returns
    -------
    int8, shape (g, p).

    Raises
    ------
    ValueError
        If `fdr` is not between 0 and 1.

    Examples
    --------
    >>> given = np.array([[True], [True], [True], [False], [False]])
    >>> codes = calls(given, np.array([[0.99], [0.7], [0.01], [0.98], [0.001]]))
    >>> [CALLS[code] for code in codes.ravel()]
    ['confirmed', 'undecided', 'dropped', 'added', 'undecided']
    """
    if not 0.0 <= fdr <= 1.0:
        msg = f"fdr={fdr!r} is no share of wrong decisions; choose a value from 0 to 1, for instance 0.05."
        raise ValueError(msg)
    codes = np.full(membership.shape, UNDECIDED, dtype=np.int8)
    likely = posterior >= 0.5
    speaks = np.ones_like(posterior) if evidence is None else np.where(likely, evidence, -evidence)
    for code, family, error in (
        (CONFIRMED, membership & likely, 1.0 - posterior),
        (ADDED, ~membership & likely, 1.0 - posterior),
        (DROPPED, membership & ~likely, posterior),
    ):
        family = family & (speaks > 0)
        codes[family & (error <= _threshold(error[family], fdr))] = code
    return codes


def _threshold(error: Floats, fdr: float) -> float:
    """Largest local error rate that may be accepted so that the mean of the accepted ones is at most `fdr`."""
    ordered = np.sort(error)
    mean = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    accepted = np.flatnonzero(mean <= fdr)
    if not len(accepted):
        return -1.0
    last = ordered[accepted[-1]]
    with_ties = mean[np.searchsorted(ordered, last, side="right") - 1]  # which stand or fall together
    return float(last if with_ties <= fdr else np.nextafter(last, -1.0))


def _design(associations: Floats, membership: NDArray[np.bool_], covariates: Floats | None) -> tuple[Floats, int]:
    """Pathways × (views, covariates, 1) × genes, and the number of views."""
    x = np.asarray(associations, dtype=np.float64)
    g, p = membership.shape
    if x.ndim != 3 or x.shape[:2] != (g, p):
        msg = f"associations have shape {x.shape}; for this membership ({g}, {p}, number of views) is needed."
        raise ValueError(msg)
    if covariates is not None:
        more = np.asarray(covariates, dtype=np.float64)
        more = np.broadcast_to(more[:, None, :], (len(more), p, more.shape[1])) if more.ndim == 2 else more
        if more.ndim != 3 or more.shape[:2] != (g, p):
            msg = f"covariates have shape {np.shape(covariates)}; ({g}, number) or ({g}, {p}, number) is needed."
            raise ValueError(msg)
        x = np.concatenate([x, more], axis=2)
    if not np.isfinite(x).all():
        msg = "associations or covariates hold values that are not finite; leave out genes that do not vary."
        raise ValueError(msg)
    size = membership.sum(axis=0)
    if ((size == 0) | (size == g)).any():
        j = int(np.flatnonzero((size == 0) | (size == g))[0])
        msg = f"Pathway {j} has {size[j]} of {g} genes; a pathway needs members and genes that are none. Leave it out."
        raise ValueError(msg)
    whole = np.concatenate([x, np.ones((g, p, 1))], axis=2)
    return np.ascontiguousarray(whole.transpose(1, 2, 0)), associations.shape[2]


def _start(membership: NDArray[np.bool_], n_columns: int, n_views: int) -> _State:
    """Members as many as annotated, each view worth its share of one log-odds per standard unit."""
    g, p = membership.shape
    coefficients = np.zeros((p, n_columns))
    coefficients[:, :n_views] = 1.0 / n_views
    coefficients[:, -1] = logit(membership.sum(axis=0) / g) - 1.0
    precision = np.full(n_columns - 1, 20.0)
    return _State(coefficients, np.full(p, ANNOTATED[0] / sum(ANNOTATED)), np.full(p, FALSE[0] / sum(FALSE)), precision)


def _annotation(membership: NDArray[np.bool_], state: _State) -> Floats:
    """Log-likelihood ratio of the annotation, (g, p): log α/β where annotated, log (1 − α)/(1 − β) where not."""
    n = membership.sum(axis=0)
    g = len(membership)
    members = np.minimum((1.0 - state.false) * n / state.alpha, g - 1.0)
    beta = np.minimum(state.false * n / (g - members), 1.0 - 1e-9)
    return np.where(membership, np.log(state.alpha / beta), np.log1p(-state.alpha) - np.log1p(-beta))


def _responsibility(x: Floats, membership: NDArray[np.bool_], state: _State) -> Floats:
    """Posterior of membership, (g, p)."""
    linear = np.matmul(state.coefficients[:, None, :], x)[:, 0].T
    return expit(linear + _annotation(membership, state))


def _maximise(x: Floats, membership: NDArray[np.bool_], responsible: Floats, state: _State, n_views: int) -> _State:
    """One EM step: shares of the annotation, then one Newton step of the coefficients on the posteriors as labels."""
    n = membership.sum(axis=0)
    inside = (responsible * membership).sum(axis=0)
    alpha = (inside + ANNOTATED[0]) / (responsible.sum(axis=0) + sum(ANNOTATED))
    false = (n - inside + FALSE[0]) / (n + sum(FALSE))
    current = state.coefficients
    fitted = expit(np.matmul(current[:, None, :], x)[:, 0])
    weight = fitted * (1.0 - fitted)
    gradient = np.matmul(x, (responsible.T - fitted)[:, :, None])[:, :, 0]
    ridge = np.append(state.precision, 0.0)
    hessian = np.matmul(x * weight[:, None, :], x.transpose(0, 2, 1)) + np.diag(np.append(state.precision, 1e-6))
    covariance = np.linalg.inv(hessian)
    # Jointly with the centre μ all pathways are drawn to: δ = C(gradient + R(μ − b)), μ = mean(b + δ).
    alone = current + np.matmul(covariance, (gradient - ridge * current)[:, :, None])[:, :, 0]
    pull = (covariance * ridge).mean(axis=0)[:-1, :-1]
    loose = np.diag(CENTRE / (len(current) * state.precision))
    centre = np.append(np.linalg.solve(np.eye(len(pull)) - pull + loose, alone.mean(axis=0)[:-1]), 0.0)
    move = alone + np.matmul(covariance, (ridge * centre)[:, None])[:, :, 0] - current
    moved = current + np.clip(move, -STEP, STEP)
    moved[:, :n_views] = np.maximum(moved[:, :n_views], 0.0)  # association never speaks against membership
    spread = (moved - moved.mean(axis=0)) ** 2 + np.diagonal(covariance, axis1=1, axis2=2)
    precision = np.clip(1.0 / spread[:, :-1].mean(axis=0), *SHRINK)
    return _State(moved, np.clip(alpha, 0.01, 0.999), np.clip(false, 0.001, 0.99), precision)


def _result(x: Floats, membership: NDArray[np.bool_], state: _State, n_views: int, n_iterations: int) -> Refinement:
    """Split the posterior log-odds into prior and evidence, the evidence being a ratio of two densities."""
    slopes = state.coefficients[:, :n_views]
    tilt = np.matmul(slopes[:, None, :], x[:, :n_views])[:, 0].T
    rest = np.matmul(state.coefficients[:, None, n_views:], x[:, n_views:])[:, 0].T
    log_odds = tilt + rest + _annotation(membership, state)
    posterior = expit(log_odds)
    outside = 1.0 - posterior
    evidence = tilt - (logsumexp(tilt, b=outside, axis=0) - np.log(outside.sum(axis=0)))
    local_fdr = np.where(membership & (posterior < 0.5), posterior, outside)
    return Refinement(
        log_odds - evidence, evidence, posterior, local_fdr, state.alpha, state.false, slopes, n_iterations
    )
