"""How far a fit holds where its cells are drawn again or its descent starts elsewhere, and a verdict per component.

fit + refits → matched correlations, intervals of the loadings → table
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pathwayae.core.moments.gram_product import Gram
from pathwayae.core.moments.sketch import ARRAYS, AnyMoments, Sketch
from pathwayae.core.moments.strata import WHOLE

LEVEL = 0.95  # of the intervals
HOLDS = 0.9  # a component holds in a refit whose scores correlate this much with those of the fit
TAIL = 0.05  # a stable component holds in all but this share of the refits
COHERENT = 1.5  # times what unrelated genes would explain; genes permuted over cells: 0.98 to 1.2
OWN = 0.5  # of a pathway's squared loadings; where its own genes carry less, its name means little

Floats = NDArray[np.float64]


def bootstrap_weights(n_strata: int, n_draws: int, rng: np.random.Generator) -> Floats:
    """How often each stratum is drawn when as many as there are are drawn with replacement, (n_draws, n_strata).

    The bootstrap of Efron (1979), 10.1214/aos/1176344552, with strata (donors, folds of cells) as the units that
    are independent of each other.

    Examples
    --------
    >>> bootstrap_weights(4, 3, np.random.default_rng(0)).sum(axis=1)
    array([4., 4., 4.])
    """
    return rng.multinomial(n_strata, np.full(n_strata, 1.0 / n_strata), size=n_draws).astype(np.float64)


def reweighted(moments: AnyMoments, weights: Floats) -> AnyMoments:
    """Moments of all cells together, those of stratum s counted ``weights[s]`` times.

    The same as ``moments.weighted(weights).pool()``, with one Gram matrix or one set of products in memory instead of
    one per stratum.
    """
    if isinstance(moments, Sketch):
        arrays: dict[str, Any] = {name: np.tensordot(weights, getattr(moments, name), 1)[None] for name in ARRAYS}
        return replace(moments, **arrays, strata=WHOLE)
    gram = np.zeros(moments.grams.shape[1:])
    for weight, own in zip(weights, moments.grams, strict=True):
        if weight > 0:
            gram += own if weight == 1 else weight * own
    counts, sums = np.array([weights @ moments.counts]), (weights @ moments.sums)[None]
    return replace(moments, counts=counts, sums=sums, grams=gram[None], strata=WHOLE)


class Match(NamedTuple):
    """Components of a refit as those of the fit.

    ``order[j]`` is the component of the refit that is component j of the fit, ``sign[j]`` ±1 its direction;
    ``scores[j]`` and ``loadings[j]`` are how well they agree, from −1 to 1.
    """

    order: NDArray[np.intp]
    sign: Floats
    scores: Floats
    loadings: Floats


class Anchor:
    """A fit that refits are compared with, on the scores of the same cells.

    Pathways are matched by their place. Free components have neither order nor sign: they are matched one to one so
    that the sum of |correlation| of the scores is largest (Kuhn 1955, 10.1002/nav.3800020109).

    Parameters
    ----------
    gram
        ``X̃ᵀX̃`` of the cells that are scored, or its operator, shape (g, g).
    loadings, encoder
        Loadings of the fit and its matrix E with scores ``X̃E``, shape (g, k).
    n_pathways
        Number of pathways; the components after them are free.

    Examples
    --------
    >>> anchor = Anchor(np.eye(3), np.eye(3), np.eye(3), 1)
    >>> found = anchor.match(np.eye(3)[:, [0, 2, 1]] * [1, -1, 1], np.eye(3)[:, [0, 2, 1]] * [1, -1, 1])
    >>> found.order, found.sign
    (array([0, 2, 1]), array([ 1.,  1., -1.]))
    """

    def __init__(self, gram: Gram, loadings: Floats, encoder: Floats, n_pathways: int) -> None:
        self._gram, self._n_pathways = gram, n_pathways
        self._loadings = _unit(np.linalg.norm(loadings, axis=0), loadings)
        products = np.asarray(gram @ encoder)
        self._products = _unit(_root(np.einsum("ij,ij->j", encoder, products)), products)

    def match(self, loadings: Floats, encoder: Floats) -> Match:
        """The components of a refit, by how well their scores agree on the cells of the anchor.

        Agreement of the scores is ``e_aᵀ G e_b / sqrt(e_aᵀ G e_a · e_bᵀ G e_b)``: their correlation over the cells
        where the genes are centred, else their cosine. Agreement of the loadings is their cosine. A component without
        variance or without loadings agrees with nothing: 0.
        """
        length = _root(np.einsum("ij,ij->j", encoder, np.asarray(self._gram @ encoder)))
        crossed = self._products.T @ _unit(length, encoder)
        p, k = self._n_pathways, crossed.shape[0]
        order = np.arange(k)
        if k > p:
            order[p:] = p + linear_sum_assignment(np.abs(crossed[p:, p:]), maximize=True)[1]
        scores = np.clip(crossed[np.arange(k), order], -1.0, 1.0)
        sign = np.where((scores < 0) & (np.arange(k) >= p), -1.0, 1.0)
        other = _unit(np.linalg.norm(loadings, axis=0), loadings)[:, order] * sign
        cosines = np.clip(np.einsum("ij,ij->j", self._loadings, other), -1.0, 1.0)
        return Match(order, sign, scores * sign, cosines)


class Tails:
    """The smallest and the largest of many arrays, entry by entry: all that the ends of an interval need.

    Of B arrays only about ``(1 − level) B`` are held, so 200 draws take the memory of 12.

    Parameters
    ----------
    n
        Number of arrays to come.
    shape
        Their shape.
    level
        Share of the values inside the interval.

    Examples
    --------
    >>> tails = Tails(5, (1,), level=0.5)
    >>> for value in (4.0, 1.0, 5.0, 2.0, 3.0):
    ...     tails.add(np.array([value]))
    >>> low, high = tails.interval()
    >>> float(low[0]), float(high[0])
    (2.0, 4.0)
    """

    def __init__(self, n: int, shape: tuple[int, ...], *, level: float = LEVEL) -> None:
        position = (n - 1) * (1.0 - level) / 2.0
        self._whole = int(position)
        self._part = position - self._whole
        held = min(n, self._whole + 2)
        self._low = np.full((held, *shape), np.inf, dtype=np.float32)
        self._high = np.full((held, *shape), -np.inf, dtype=np.float32)

    def add(self, values: NDArray[np.floating]) -> None:
        """Take in one more array."""
        rising = values.astype(np.float32)
        falling = rising.copy()
        for low, high in zip(self._low, self._high, strict=True):
            rising, low[...] = np.maximum(rising, low), np.minimum(rising, low)
            falling, high[...] = np.minimum(falling, high), np.maximum(falling, high)

    def interval(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Both ends: percentiles of the arrays, linear between neighbours."""
        first, second = self._whole, min(self._whole + 1, len(self._low) - 1)
        low = self._low[first] + self._part * (self._low[second] - self._low[first])
        high = self._high[first] + self._part * (self._high[second] - self._high[first])
        return low, high


def own_share(loadings: Floats, membership: NDArray[np.bool_]) -> Floats:
    """Share of the squared loadings of each component that its own genes carry, (k,); NaN for free components."""
    squared, p = loadings**2, membership.shape[1]
    total, own = squared.sum(axis=0), np.full(loadings.shape[1], np.nan)
    members = np.einsum("ij,ij->j", squared[:, :p], membership.astype(np.float64))
    own[:p] = np.divide(members, total[:p], out=np.zeros(p), where=total[:p] > 0)
    return own


def chance_share(diagonal: Floats, n: float, encoder: Floats) -> Floats:
    """Share of ``‖X̃‖²`` that each score ``X̃e`` would explain alone if no gene had to do with another, shape (k,).

    For independent centred genes with ``d_i = ‖x̃_i‖²`` a score explains its own genes,
    ``Σ e_i² d_i² / (Σ e_i² d_i · Σ d_i)``, and of all by chance 1/n: the expectation of
    :func:`pathwayae.core.grouped.components.variance_ratio` with numerator and denominator taken for themselves.

    Parameters
    ----------
    diagonal
        Of the Gram matrix, shape (g,).
    n
        Number of cells.
    encoder
        Shape (g, k).

    Examples
    --------
    >>> chance_share(np.full(50, 3.0), 100, np.eye(50)[:, :1])
    array([0.03])
    """
    weights = encoder**2
    power = (weights.T @ diagonal) * diagonal.sum()
    own = np.divide(weights.T @ diagonal**2, power, out=np.zeros_like(power), where=power > 0)
    return own + 1.0 / n


def table(
    names: list[str],
    draws: list[Match],
    restarts: list[Match],
    *,
    own: Floats,
    variance: Floats,
    chance: Floats,
) -> pd.DataFrame:
    """One row per component with its verdict.

    Parameters
    ----------
    names
        Of the components, k.
    draws, restarts
        Refits of drawn cells, and of the same cells from other starts; either may be empty, not both.
    own
        :func:`own_share`, NaN for free components.
    variance
        Share of the variance that each score explains alone, shape (k,).
    chance
        :func:`chance_share`.

    Returns
    -------
    Columns ``component``, ``verdict``, ``scores``, ``scores_low``, ``loadings``, ``restarts``, ``own``,
    ``variance_ratio``, ``chance``, ``n_draws`` and ``n_restarts``. ``scores`` and ``loadings`` are medians and
    ``scores_low`` the 5 % quantile over the draws, or over the restarts without draws; ``restarts`` is the 5 % quantile
    of the scores over the restarts, NaN without. See :func:`verdicts`.
    """
    chosen = draws or restarts
    scores = np.array([match.scores for match in chosen])
    low = np.quantile(scores, TAIL, axis=0)
    again = np.full(len(names), np.nan)
    if restarts:
        again = np.quantile([match.scores for match in restarts], TAIL, axis=0)
    return pd.DataFrame(
        {
            "component": np.array(names, dtype=object),
            "verdict": verdicts(np.fmin(low, again), own, variance, chance, drawn=bool(draws)),
            "scores": np.median(scores, axis=0),
            "scores_low": low,
            "loadings": np.median([match.loadings for match in chosen], axis=0),
            "restarts": again,
            "own": own,
            "variance_ratio": variance,
            "chance": chance,
            "n_draws": len(draws),
            "n_restarts": len(restarts),
        }
    )


def verdicts(low: Floats, own: Floats, variance: Floats, chance: Floats, *, drawn: bool) -> NDArray[np.object_]:
    """A word per component, the first of these that applies.

    - *no signal*: the score explains no more than 1.5 times what it would of genes that have nothing to do with each
      other;
    - *taken over*: the genes of the pathway carry less than half of the squared weights of its score, so that the data
      have made something else of it;
    - *unstable*: in more than 5 % of the refits the scores correlate by less than 0.9 with those of the fit;
    - *untested*: a free component without draws. It follows from the moments in closed form, so that all starts agree
      on it whether or not other cells would;
    - *stable*: all others.

    Parameters
    ----------
    low
        5 % quantile of the correlations of the scores, the lower one of draws and restarts, shape (k,).
    own, variance, chance
        As in :func:`table`.
    drawn
        Whether any of the refits are of drawn cells.
    """
    free = np.isnan(own)
    word = np.where(low >= HOLDS, np.where(free & (not drawn), "untested", "stable"), "unstable")
    word = np.where(own < OWN, "taken over", word)
    return np.where(variance <= COHERENT * chance, "no signal", word).astype(object)


def _root(squares: Floats) -> Floats:
    return np.sqrt(np.maximum(squares, 0.0))


def _unit(length: Floats, columns: Floats) -> Floats:
    """Columns over their lengths; 0 where there is none."""
    return np.divide(columns, length, out=np.zeros_like(columns, dtype=np.float64), where=length > 0)
