"""What a gene has to show to be held for a member that the annotation lacks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, logit

from pathwayae.core.evidence.refine import ANNOTATED, Refinement

Floats = NDArray[np.float64]

FEWEST = 5  # genes of the strongest evidence that are looked at together, also where half a pathway is fewer
ROOM = 0.5  # members that the annotation may lack where it names none: below one, so that none is added


def earned(result: Refinement, membership: NDArray[np.bool_]) -> Refinement:
    r"""Lower the prior of genes that are not annotated, so that they are members by evidence alone and few in number.

    A pathway whose members vary between cell types has the evidence of every gene that marks such a type. The model of
    :func:`pathwayae.core.evidence.refine.refine` then finds that the annotation lacks most of the members, with all of
    these genes among them. Two bounds keep that out. No prior of a gene outside the pathway is above the share of
    members that the posterior expects among these genes: how visible a gene is may speak against it, not for it. And
    the annotation names at least half of the members that the cells show: with the genes in the order of their
    evidence, R_m the first m of them and n_j the size of the pathway,

    .. math:: \sum_{i \in R_m,\, i \notin j} P(z_{ij} = 1) \le |\{i \in R_m,\, i \in j\}|
              \quad \text{for every } m \ge n_j / 2 .

    The log-odds of all genes outside are lowered by one number, the smallest that does it, so that their order stays.

    Parameters
    ----------
    result
        Of :func:`pathwayae.core.evidence.refine.refine`.
    membership
        What it was made of, shape (g, p).

    Returns
    -------
    The same with `prior` and `posterior` of the genes outside lowered, and with the `local_fdr` and `annotated_share`
    that follow; annotated genes stay as they are.

    Examples
    --------
    >>> from pathwayae.core.evidence.refine import refine
    >>> rng = np.random.default_rng(0)
    >>> true = np.arange(500)[:, None] < 60
    >>> x = np.where(true, 5.0, 0.0) + rng.normal(size=(500, 1))
    >>> few = np.arange(500)[:, None] < 20  # a third of what the cells show
    >>> found = refine(x[:, :, None], few)
    >>> lowered = earned(found, few)
    >>> int((found.posterior[~few] > 0.9).sum()), int((lowered.posterior[~few] > 0.9).sum())
    (35, 0)
    """
    prior = result.prior.copy()
    for j, inside in enumerate(membership.T):
        outside = ~inside
        share = np.clip(result.posterior[outside, j].mean(), 1e-12, 1.0 - 1e-12)
        prior[outside, j] = np.minimum(prior[outside, j], logit(share))
        order = np.argsort(-result.evidence[:, j], kind="stable")
        log_odds = prior[order, j] + result.evidence[order, j]
        prior[outside, j] -= _excess(log_odds, inside[order])
    posterior = expit(prior + result.evidence)
    local_fdr = np.where(membership & (posterior < 0.5), posterior, 1.0 - posterior)
    named = np.where(membership, posterior, 0.0).sum(axis=0)
    share = (named + ANNOTATED[0]) / (posterior.sum(axis=0) + sum(ANNOTATED))
    return result._replace(prior=prior, posterior=posterior, local_fdr=local_fdr, annotated_share=share)


def _excess(log_odds: Floats, inside: NDArray[np.bool_]) -> float:
    """What the log-odds of the genes outside are too high by; genes by their evidence, the strongest first."""
    first = min(max(-(-int(inside.sum()) // 2), FEWEST), len(inside)) - 1
    room = np.maximum(np.cumsum(inside)[first:], ROOM)

    def over(lowered: float) -> float:
        expected = np.cumsum(np.where(inside, 0.0, expit(log_odds - lowered)))[first:]
        return float((expected - room).max())

    if over(0.0) <= 0.0:
        return 0.0
    enough = max(float(log_odds[~inside].max()), 0.0) + np.log(2.0 * len(inside) / ROOM)
    return float(brentq(over, 0.0, enough, xtol=1e-6))
