"""Other starts of a fit, and refits of cells drawn again: the fit that is kept, and how far to trust it."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from tqdm import tqdm

from pathwayae import _inputs, _keys, pp
from pathwayae.core import components, grouped_ae, stability
from pathwayae.core.batches import of_strata
from pathwayae.core.grouped_ae import Problem
from pathwayae.core.moments import Moments
from pathwayae.core.notice import warn
from pathwayae.tl._write import Model, complete, everything

logger = logging.getLogger("pathwayae")

N_FOLDS = 20  # of cells at random, where there are no donors
FEW_STRATA = 5  # four can be drawn in 35 ways only, which is too few for the ends of an interval
FEW_DRAWS = 40  # with fewer, the ends of a 95 % interval lie outside all but the outermost draws


class Outcome(NamedTuple):
    """The table of components, and the ends of the intervals of the loadings (g, k), None without draws."""

    table: pd.DataFrame
    interval: tuple[NDArray[np.float32], NDArray[np.float32]] | None


def check(
    adata: AnnData, n_restarts: Any, n_bootstrap: Any, sample_key: Any, solver: str, moments: Moments | None
) -> None:
    """Raise where refits cannot be made as asked; warn of too few draws or strata."""
    for name, value, low in (("n_restarts", n_restarts, 1), ("n_bootstrap", n_bootstrap, 0)):
        try:
            _inputs.number(name, value, low, integer=True)
        except TypeError as error:
            raise ValueError(str(error)) from error
    if moments is None and sample_key is not None:
        _inputs.check_column(adata, "sample_key", sample_key)
    if not n_bootstrap:
        return
    if solver == "cells":
        msg = (
            f"n_bootstrap={n_bootstrap} reweights the Gram matrices of donors or folds, which solver='cells' does not "
            "form. Leave solver out, or n_bootstrap."
        )
        raise ValueError(msg)
    if n_bootstrap < FEW_DRAWS:
        msg = (
            f"n_bootstrap={n_bootstrap} draws are too few for the ends of 95 % intervals; take {FEW_DRAWS} at the "
            "least, or 200."
        )
        warn(msg)
    if moments is not None:
        check_strata(moments.strata, given=True)
    elif sample_key is not None and (values := np.unique(np.asarray(adata.obs[sample_key]).astype(str))).size < 2:
        check_strata(tuple(values.tolist()), given=False)


def read(
    adata: AnnData,
    genes: NDArray[np.str_],
    *,
    layer: str | None,
    gene_symbols: str | None,
    batch_key: str | None,
    sample_key: str | None,
    n_folds: int,
    device: str,
    random_state: int,
    progress: bool,
) -> Moments:
    """Moments of every donor, batch, or donor in a batch, in the order of the names of the genes; without, of folds."""
    divided = sample_key is not None or batch_key is not None
    return pp.moments(
        adata,
        layer=layer,
        genes=np.sort(genes),
        gene_symbols=gene_symbols,
        batch_key=batch_key,
        sample_key=sample_key,
        n_folds=None if divided else min(n_folds, adata.n_obs),
        device=device,
        random_state=random_state,
        progress=progress,
    )


def restart(problem: Problem, n_restarts: int, *, progress: bool) -> tuple[Problem, list[grouped_ae.Fit]]:
    """Fits from starts with seeds one after another: the problem with the lowest loss, its fit first, then the others.

    The loss of a fit is that of the point it keeps; of equal ones the first seed is kept.
    """
    first = problem.config.random_state
    started = [replace(problem, config=replace(problem.config, random_state=first + r)) for r in range(n_restarts)]
    fits = list(_shown(grouped_ae.fit_many(started), n_restarts, "restarts", progress=progress))
    losses = [fit.history["loss"][fit.best_iteration - 1] for fit in fits]
    best = int(np.argmin(losses))
    logger.info("Kept seed %d of %d, loss %.6g to %.6g.", first + best, n_restarts, min(losses), max(losses))
    return started[best], [fits[best], *fits[:best], *fits[best + 1 :]]


def assess(
    problem: Problem,
    model: Model,
    others: list[grouped_ae.Fit],
    *,
    names: NDArray[np.str_],
    labels: list[str],
    moments: Moments | None,
    batches: Sequence[str],
    n_bootstrap: int,
    center: bool,
    random_state: int,
    progress: bool,
) -> Outcome | None:
    """How far the model holds in fits from other starts and in refits of draws; None without either.

    A draw is centred at its own means, as a fit of those cells would be, but keeps the units of the fit: a unit is a
    choice of weights of the genes, and loadings are comparable only under the same ones.

    Parameters
    ----------
    problem, model
        What was fitted, and the fit that is kept.
    others
        Fits of the same problem from other starts.
    names, labels
        Of the genes of the model and of its components.
    moments
        Of the strata to draw; needed for ``n_bootstrap`` above 0 only.
    batches
        Names of the batches within which cells are centred; none for all cells alike.
    n_bootstrap, center, random_state, progress
        As ``pae.tl.fit`` takes them.
    """
    if not others and not n_bootstrap:
        return None
    loadings, n_pathways = model.loadings.astype(np.float64), problem.n_components
    gram = problem.data.gram
    anchor = stability.Anchor(gram, loadings, model.encoder, n_pathways)
    n_extra = loadings.shape[1] - n_pathways
    again = [complete(gram, fit, n_extra, problem.config) for fit in others]
    restarts = [anchor.match(refit.loadings.astype(np.float64), refit.encoder) for refit in again]
    draws, tails = [], stability.Tails(max(n_bootstrap, 1), loadings.shape if n_bootstrap else (0,))
    if n_bootstrap and moments is not None:
        strata = moments if moments.genes == tuple(names.tolist()) else moments.subset(names)
        rng = np.random.default_rng(random_state)
        weights = stability.bootstrap_weights(len(strata.strata), n_bootstrap, rng)
        _check_draws(weights, strata, loadings.shape[1])
        seeds = rng.integers(2**31, size=n_bootstrap)
        refits = _refits(problem, strata, weights, seeds, batches, n_extra=n_extra, center=center)
        for refit in _shown(refits, n_bootstrap, "bootstrap", progress=progress):
            values = refit.loadings.astype(np.float64)
            match = anchor.match(values, refit.encoder)
            tails.add(values[:, match.order] * match.sign)
            draws.append(match)
    table = stability.table(
        labels,
        draws,
        restarts,
        own=stability.own_share(np.column_stack([model.fit.weights, loadings[:, n_pathways:]]), problem.membership),
        variance=components.variance_ratio(gram, model.encoder),
        chance=stability.chance_share(np.asarray(gram.diagonal()), problem.data.n, model.encoder),
    )
    return Outcome(table, tails.interval() if n_bootstrap else None)


def store(adata: AnnData, key: str, genes: NDArray[np.intp], outcome: Outcome | None) -> None:
    """Write the slots of an outcome; those of an earlier fit go where this one has none."""
    interval = None if outcome is None else outcome.interval
    for i, slot in enumerate((_keys.loadings_low(key), _keys.loadings_high(key))):
        if interval is not None:
            adata.varm[slot] = everything(adata.n_vars, genes, interval[i])
        elif slot in adata.varm:
            del adata.varm[slot]  # it belongs to other loadings
    if outcome is not None:
        adata.uns[key][_keys.STABILITY] = outcome.table


def _refits(
    problem: Problem,
    strata: Moments,
    weights: NDArray[np.float64],
    seeds: NDArray[np.int64],
    batches: Sequence[str],
    *,
    n_extra: int,
    center: bool,
) -> Iterator[Model]:
    """Models of draws, each from a start of its own; Gram matrices of one slice of the fits are held."""
    held: deque[Any] = deque()

    def drawn() -> Iterator[Problem]:
        for weight, seed in zip(weights, seeds.tolist(), strict=True):
            draw = stability.reweighted(strata, weight)
            if batches:
                own = of_strata(strata, batches, weight)
                data = draw.standardize_within(own.counts, own.sums, unit=problem.data.scale)
            else:
                data = draw.standardize_with(draw.mean if center else np.zeros_like(draw.sum), problem.data.scale)
            held.append(data.gram)
            yield replace(problem, data=data, config=replace(problem.config, random_state=seed))

    for fit in grouped_ae.fit_many(drawn()):
        yield complete(held.popleft(), fit, n_extra, problem.config)


def check_strata(strata: tuple[str, ...], *, given: bool) -> None:
    """Raise where there is one stratum to draw, warn where there are few."""
    if len(strata) >= FEW_STRATA:
        return
    if len(strata) < 2 and given:
        msg = (
            "n_bootstrap draws strata, but these moments have only one. Read them with "
            "pae.pp.moments(adata, sample_key=…), or n_folds=20 where there are no donors."
        )
        raise ValueError(msg)
    if len(strata) < 2:
        msg = (
            f"n_bootstrap draws donors with replacement, but all cells are of one, {strata[0]!r}. Leave sample_key out "
            "to draw random folds of the cells; or, where several were pooled to fit in memory, use fewer genes."
        )
        raise ValueError(msg)
    msg = (
        f"{len(strata)} strata can be drawn with replacement in few ways, so the intervals and verdicts are rough. "
        "Without sample_key random folds of the cells are drawn: finer, but blind to differences between donors."
    )
    warn(msg)


def _check_draws(weights: NDArray[np.float64], strata: Moments, n_components: int) -> None:
    """Raise where a draw would hold no more cells than there are components."""
    fewest = float(((weights > 0) @ strata.counts).min())
    if fewest <= n_components:
        msg = (
            f"A draw of the {len(strata.strata)} strata would hold {fewest:g} different cells, no more than the "
            f"{n_components} components. Leave sample_key out to draw random folds, leave out donors of few cells, or "
            "fit fewer components."
        )
        raise ValueError(msg)


def _shown(items: Iterable[Any], total: int, what: str, *, progress: bool) -> Iterator[Any]:
    yield from tqdm(items, total=total, desc=what, disable=not progress, leave=False)
