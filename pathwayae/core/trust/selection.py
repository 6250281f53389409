"""Strength of the prior and number of free components, chosen by what was not seen: cells, and genes of the sets.

strata → folds; in each, fits on the other cells without some members of every set → errors and ranks of what was hidden
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped import components
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.grouped.fit import Config, Problem
from pathwayae.core.moments.batches import centred, of_strata
from pathwayae.core.moments.folds import N_FOLDS, together
from pathwayae.core.moments.gram_product import Data, Gram
from pathwayae.core.moments.moments import Scale
from pathwayae.core.moments.sketch import AnyMoments

THETAS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9)
N_FREE = 50  # free components looked at by default
TOLERANCE = 0.02  # of the held-out error, which chooses θ where no member can be hidden
MAX_FPR = 0.1  # false-positive rate up to which the recovery of hidden members is judged
ANNOTATION = 0.99  # loadings with more of their squares on members than this say what the annotation said

Floats = NDArray[np.float64]
Advance = Callable[[], object]


class Design(NamedTuple):
    """What is fitted in every fold.

    Attributes
    ----------
    moments
        Of the genes of the model, one stratum per fold; with batches, of every donor and batch.
    membership
        Gene i belongs to pathway j, shape (g, p).
    config
        Settings of the fits; θ is replaced along a path.
    center, scale
        How genes are standardised, by the training cells.
    batches
        Names of the batches within which cells are centred, those held out too; none for all cells alike.
    effects
        What is taken off the cells of each batch, shape (b, g), where it was estimated beside covariates.
    """

    moments: AnyMoments
    membership: NDArray[np.bool_]
    config: Config
    center: bool
    scale: Scale
    batches: tuple[str, ...] = ()
    effects: Floats | None = None
    penalised: NDArray[np.bool_] | None = None

    @property
    def folds(self) -> list[tuple[str, ...]]:
        """Strata held out together."""
        return together(self.moments, N_FOLDS) if self.batches else [(name,) for name in self.moments.strata]


def hidden_members(membership: NDArray[np.bool_], n_folds: int, rng: np.random.Generator) -> NDArray[np.intp]:
    """Fold in which each member of each pathway is hidden, shape (g, p); −1 for genes that are no members.

    The members of a pathway are dealt out at random and evenly, the first to a fold drawn at random. Pathways with one
    member keep it.
    """
    result = np.full(membership.shape, -1, dtype=np.intp)
    for j, members in enumerate(membership.T):
        genes = rng.permutation(np.flatnonzero(members))
        if len(genes) < 2:  # without its one member it would be no pathway
            continue
        result[genes, j] = (np.arange(len(genes)) + rng.integers(n_folds)) % n_folds
    return result


def theta_path(
    design: Design, n_extra: int, *, thetas: Sequence[float] = THETAS, advance: Advance = lambda: None
) -> pd.DataFrame:
    """Held-out error, and what scores and loadings say of hidden members, along a path of θ.

    In fold f the model sees the cells of the other folds and pathways without the members of f; all θ of a fold
    descend together. Neither the error nor the recovery chooses. What a pathway leaves over, a strong prior's more, is
    no fault of its score; and loadings that reach further find hidden members at any strength, also those of sets that
    lack none, while the score takes in what is not the pathway's.

    Parameters
    ----------
    design
        Cells, pathways and settings; the seed of ``config`` also draws the members to hide.
    n_extra
        Number of free components of the model, from the residual of each fit.
    thetas
        Values of θ, each once.
    advance
        Called after each fold.

    Returns
    -------
    One row per θ, ascending: ``theta``; ``heldout_error``, the mean over folds of ``1 − tr(QᵀGQ) / tr G`` with Q a
    basis of all loadings, G of the held-out cells in units of the training cells; ``se``, its standard error over
    folds; ``correlation``, the mean of :func:`agreement` over folds and pathways, and its standard error over
    pathways; ``auc``, the mean of :func:`recovery` over folds and pathways, and its standard error ``auc_se``;
    ``inside``, the mean share of squared loadings on the members seen; ``as_good`` and ``chosen``, see
    :func:`choose`.
    """
    thetas = sorted(float(theta) for theta in thetas)
    n_folds = len(design.folds)
    hidden = hidden_members(design.membership, n_folds, np.random.default_rng(design.config.random_state))
    error, inside = np.zeros((2, n_folds, len(thetas)))
    auc, agreed = np.zeros((2, n_folds, len(thetas), design.membership.shape[1]))
    for f, (train, held_out) in enumerate(_splits(design)):
        seen = design.membership & (hidden != f)
        configs = [replace(design.config, theta=theta) for theta in thetas]
        fits = grouped.fit_many(_problem(design, train, seen, config) for config in configs)
        for t, fit in enumerate(fits):
            basis = _basis(train, fit.encoder, n_extra)
            loadings = fit.loadings.toarray() if sp.issparse(fit.loadings) else fit.loadings
            error[f, t] = 1.0 - _explained(held_out, basis).sum()
            auc[f, t] = recovery(loadings, hidden == f, design.membership)
            agreed[f, t] = agreement(held_out.gram, fit.encoder.toarray(), hidden == f, design.membership)
            inside[f, t] = _inside(loadings, seen)
        advance()
    table = pd.DataFrame({"theta": thetas, "heldout_error": error.mean(axis=0), "se": _standard_error(error)})
    per_pathway = _of_pathways(agreed)
    table["correlation"], table["correlation_se"] = _mean_and_error(per_pathway)
    draws = auc.transpose(0, 2, 1).reshape(-1, len(thetas))
    table["auc"], table["auc_se"] = _mean_and_error(draws[np.isfinite(draws).all(axis=1)])
    table["inside"] = inside.mean(axis=0)
    best, table["as_good"] = choose(error.mean(axis=0), per_pathway)
    table["chosen"] = np.arange(len(table)) == best
    return table


def choose(error: Floats, agreed: Floats, tolerance: float = TOLERANCE) -> tuple[int, NDArray[np.bool_]]:
    """Position of the θ whose scores say most of hidden members, and all that say as much.

    As good as the best are the θ whose correlation falls short of the largest mean by no more than one standard error,
    pathway by pathway. The best is chosen, not the strongest that is as good: with few pathways that error is wide.

    Parameters
    ----------
    error
        Held-out error of each θ, ascending, shape (t,).
    agreed
        :func:`agreement` of each pathway, mean over folds, shape (r, t); with fewer than two rows the largest θ with
        ``error ≤ (1 + tolerance) · min error`` is chosen.
    tolerance
        Relative to the smallest error.
    """
    if len(agreed) < 2:
        as_good = error <= (1.0 + tolerance) * error.min()
        return int(np.flatnonzero(as_good)[-1]), as_good
    best = int(agreed.mean(axis=0).argmax())
    short = agreed[:, [best]] - agreed
    return best, short.mean(axis=0) <= _standard_error(short)


def agreement(gram: Gram, encoder: Floats, hidden: NDArray[np.bool_], membership: NDArray[np.bool_]) -> Floats:
    """Correlation of each pathway's score with the mean of its hidden members, shape (p,); NaN where nothing is hidden.

    The score is taken without the hidden genes, and from the mean of the hidden members that of all genes that are no
    members is taken, so that neither a gene's own noise nor the level of a cell makes them agree. With e a column of
    the encoder, 0 at hidden genes, and ``t = 1_H / |H| − 1_N / |N|``: ``eᵀGt / sqrt(eᵀGe · tᵀGt)``.

    Parameters
    ----------
    gram
        Of the cells held out, shape (g, g), or its operator; about the mean of the cells that were not.
    encoder
        Shape (g, p).
    hidden, membership
        Shape (g, p).
    """
    others = ~membership
    known = hidden.any(axis=0) & others.any(axis=0)
    score = np.where(hidden, 0.0, encoder)[:, known]
    target = (hidden / np.maximum(hidden.sum(axis=0), 1) - others / np.maximum(others.sum(axis=0), 1))[:, known]
    of_score, of_target = gram @ score, gram @ target
    size = np.sqrt(np.sum(score * of_score, axis=0) * np.sum(target * of_target, axis=0))
    result = np.full(membership.shape[1], np.nan)
    result[known] = np.sum(score * of_target, axis=0) / np.maximum(size, 1e-300)
    return result


def recovery(loadings: Floats, hidden: NDArray[np.bool_], membership: NDArray[np.bool_]) -> Floats:
    """How near the top of each pathway's loadings its hidden members are, shape (p,); NaN where nothing is hidden.

    The partial area under the ROC curve of hidden members against genes that are no members, up to a false-positive
    rate a = ``MAX_FPR`` and scaled so that 0.5 is chance and 1 perfect (McClish 1989, 10.1177/0272989X8900900307):
    ``u = mean max(0, 1 − fpr / a)`` over hidden members, fpr the share of other genes above one, then
    ``½ (1 + (a u − a²/2) / (a − a²/2))``. Where the curve begins is where strengths of the prior differ most.
    """
    areas = np.full(membership.shape[1], np.nan)
    for j in np.flatnonzero(hidden.any(axis=0) & ~membership.all(axis=0)):
        values, others = loadings[hidden[:, j], j], np.sort(loadings[~membership[:, j], j])
        above = len(others) - (np.searchsorted(others, values) + np.searchsorted(others, values, "right")) / 2.0
        u = np.maximum(0.0, 1.0 - above / len(others) / MAX_FPR).mean()
        chance = MAX_FPR / 2.0
        areas[j] = 0.5 * (1.0 + (u - chance) / (1.0 - chance))
    return areas


def extra_path(design: Design, n_max: int, *, advance: Advance = lambda: None) -> pd.DataFrame:
    """Variance explained in held-out cells, and predicted of held-out genes in them, by number of free components.

    One fit of the pathways and one eigen-decomposition per fold give the whole curve. Variance explained by a
    projection can only grow with its dimension, whatever was held out. Held-out genes in held-out cells, predicted
    from the other genes, have a best number (Owen and Perry 2009, 10.1214/08-AOAS227).

    Parameters
    ----------
    design
        Cells, pathways and settings; the seed of ``config`` also draws the genes to hold out.
    n_max
        Largest number of free components.
    advance
        Called after each fold.

    Returns
    -------
    One row per number from 0: ``n_extra``; ``explained`` and ``heldout_explained``, shares of the variance of training
    and of held-out cells in the span of pathways and free components; ``predicted``, share of the variance of
    held-out genes in held-out cells; ``se``, standard error over folds of how much less that is than the best;
    ``chosen``: the smallest number that predicts as much as the best to one standard error.
    """
    n_folds, g = len(design.folds), len(design.membership)
    fold_of_gene = np.random.default_rng(design.config.random_state).permutation(g) % n_folds
    explained, held, predicted = np.zeros((3, n_folds, n_max + 1))
    for f, (train, held_out) in enumerate(_splits(design)):
        problem = _problem(design, train, design.membership, design.config)
        basis = _basis(train, next(iter(grouped.fit_many([problem]))).encoder, n_max)
        p = basis.shape[1] - n_max
        explained[f] = np.cumsum(_explained(train, basis))[max(p - 1, 0) :]
        held[f] = np.cumsum(_explained(held_out, basis))[max(p - 1, 0) :]
        predicted[f] = predicted_share(held_out.gram, basis, fold_of_gene == f, p)
        advance()
    mean = predicted.mean(axis=0)
    short = predicted[:, [mean.argmax()]] - predicted
    se = _standard_error(short)
    chosen = int(np.flatnonzero(short.mean(axis=0) <= se)[0])
    table = pd.DataFrame({"n_extra": np.arange(n_max + 1), "explained": explained.mean(axis=0)})
    table["heldout_explained"], table["predicted"], table["se"] = held.mean(axis=0), mean, se
    table["chosen"] = table["n_extra"] == chosen
    return table


def predicted_share(gram: Gram, basis: Floats, hidden: NDArray[np.bool_], first: int) -> Floats:
    """Share of the variance of hidden genes that the other genes predict, with the first p, p + 1, … components.

    With A and B the rows of the basis for seen and hidden genes, ``X̂_B = X_A A (AᵀA)⁻¹ Bᵀ``, so that
    ``‖X_B − X̂_B‖² = tr G_BB − 2 tr(N T) + tr(N S N BᵀB)``, ``N = (AᵀA)⁻¹``, ``S = AᵀG_AA A``, ``T = AᵀG_AB B``.

    Parameters
    ----------
    gram
        Of the cells to predict, shape (g, g), or its operator.
    basis
        Loadings, shape (g, k).
    hidden
        Genes to predict, shape (g,).
    first
        p; from 0 to k.

    Returns
    -------
    Shape (k − p + 1,).
    """
    seen, held_out = np.where(hidden[:, None], 0.0, basis), np.where(hidden[:, None], basis, 0.0)
    product = np.asarray(gram @ seen)
    s, t = seen.T @ product, product.T @ held_out
    normal, c = seen.T @ seen, held_out.T @ held_out
    total = gram.diagonal()[hidden].sum()
    shares = []
    for k in range(first, basis.shape[1] + 1):
        n = np.linalg.pinv(normal[:k, :k], hermitian=True)
        shares.append((2.0 * np.sum(n * t[:k, :k].T) - np.sum((n @ s[:k, :k] @ n) * c[:k, :k])) / total)
    return np.array(shares)


def _splits(design: Design) -> Iterator[tuple[Data, Data]]:
    """Cells of the other folds, and those of one fold in their units."""
    for fold in design.folds:
        others, own = design.moments.without(*fold), design.moments.select(*fold)
        if not design.batches:
            whole = others.standardize(center=design.center, scale=design.scale)
            yield whole, own.standardize_with(whole.mean, whole.scale)
            continue
        known, left = (of_strata(part, design.batches, effects=design.effects) for part in (others, own))
        train = centred(others, known, scale=design.scale)
        yield train, centred(own, left, unit=train.scale)


def _problem(design: Design, train: Data, membership: NDArray[np.bool_], config: Config) -> Problem:
    g, p = membership.shape
    penalised = np.ones(g, dtype=bool) if design.penalised is None else design.penalised
    return Problem(train, membership, penalised, p, config)


def _basis(train: Data, encoder: Encoder, n_extra: int) -> Floats:
    """Orthonormal basis of the encoder of the pathways, then the free components."""
    free = components.residual_components(train.gram, encoder, n_extra)
    return np.column_stack([scipy.linalg.orth(encoder.toarray()), free])


def _explained(cells: Data, basis: Floats) -> Floats:
    """Share of ‖X̃‖² along each column of an orthonormal basis."""
    return np.einsum("ij,ij->j", basis, cells.gram @ basis) / cells.total


def _of_pathways(values: Floats) -> Floats:
    """Folds × θ × pathways → pathways × θ, the mean over the folds in which each pathway is known."""
    values = values[:, :, np.isfinite(values).all(axis=1).any(axis=0)]
    return np.nanmean(values, axis=0).T


def _inside(loadings: Floats, membership: NDArray[np.bool_]) -> float:
    """Mean over pathways of the share of squared loadings on members."""
    squares = loadings**2
    return float(np.mean((squares * membership).sum(axis=0) / np.maximum(squares.sum(axis=0), 1e-300)))


def _mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    """Over the first axis; NaN where there are not two rows."""
    if len(values) < 2:
        return np.full(values.shape[1], np.nan), np.full(values.shape[1], np.nan)
    return values.mean(axis=0), _standard_error(values)


def _standard_error(values: Floats) -> Floats:
    """Of the mean over the first axis."""
    return values.std(axis=0, ddof=1) / np.sqrt(len(values))
