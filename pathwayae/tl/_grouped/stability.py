"""Refits of cells drawn again and from other starts: how far to trust a fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, lookup, store
from pathwayae._slots.grouped import Fitted, fitted
from pathwayae.core.descent import side_by_side
from pathwayae.core.evidence import association
from pathwayae.core.evidence.basis import orthonormal
from pathwayae.core.gates import gated
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped import variances
from pathwayae.core.grouped.encoder import Weights, score_weights
from pathwayae.core.grouped.fit import Problem
from pathwayae.core.grouped.model import Model, complete
from pathwayae.core.moments.accumulate_sketch import along
from pathwayae.core.moments.batches import centred, of_strata
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.sketch import AnyMoments, Sketch
from pathwayae.core.notice import warn
from pathwayae.core.trust import stability as core
from pathwayae.tl._grouped.moments import moments_of, standardize
from pathwayae.tl._grouped.pathways import refuse_weighted

N_FOLDS = 20  # of cells at random, where there are no donors
FEW_STRATA = 5  # four can be drawn in 35 ways only, which is too few for the ends of an interval
FEW_CELLS = 10  # different ones in a draw, at least
FEW_DRAWS = 40  # with fewer, the ends of a 95 % interval lie outside all but the outermost draws
BETTER = 1e-3  # of the loss: another start that ends lower by more is worth a word


@gated()
def stability(
    adata: AnnData,
    *,
    n_bootstrap: int = 200,
    n_restarts: int = 0,
    moments: Moments | Sketch | None = None,
    sample_key: str | None = None,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    """Refit cells drawn with replacement, and from other starts, for intervals and a verdict per component.

    Every draw reweights the Gram matrices of donors or folds, reads no cell, and starts from a seed of its own. It is
    centred at its own means, as a fit of those cells would be, but keeps the units of the fit: a unit is a choice of
    weights of the genes, and loadings are comparable only under the same ones. Free components of a refit are matched
    to those of the fit by their scores, one to one. The fit itself does not change. It is the bootstrap of Efron
    (1979, 10.1214/aos/1176344552) over donors, whose cells resemble each other.

    With ``scores="members"`` and more than 512 genes draws share the 100 leading directions of all cells, and what lies
    beside them is kept gene by gene: a draw takes a seventh of a fit. Pathways agree with refits of whole Gram matrices
    to 0.01; free components, which take their order from what little tells them apart, seem steadier by up to 0.1.

    The Gram matrices of all strata are held, those of `moments` once more, and four to six beside them: at 2 000 genes
    (30 MiB each) .3 GiB for 6 donors and .8 GiB for 20 folds.

    Parameters
    ----------
    adata
        A fitted AnnData.
    n_bootstrap
        Number of draws; 0 for none. The ends of 95 % intervals need 40 at the least; 200 are usual. Cells that are
        drawn twice make genes go together more, so intervals of ``scores="members"`` lie a little high.
    n_restarts
        Of a descent (``scores="projection"`` or ``"least_squares"``): number of other starts, with the seeds after
        that of the fit.
    moments
        What :func:`pathwayae.pp.moments` read, with two strata or more, which are drawn; by default the cells are read
        once.
    sample_key
        Column of ``obs`` with the donor or sample of each cell, drawn whole; by default 20 random folds of the cells.
        Cells of a donor resemble each other, so intervals that ignore donors are too narrow. With `moments`, their
        strata.
    random_state
        Seed of the folds and of the draws.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes

    - ``uns[key]["stability"]`` and ``"stability_params"``, see :func:`pathwayae.get.stability`;
    - with draws ``varm["{key}_loadings_low"]`` and ``varm["{key}_loadings_high"]``: 2.5 and 97.5 % percentiles of the
      loadings over the draws, float32, genes × components.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    ValueError
        If there is nothing to do, one stratum to draw, more components than cells in a draw, or no descent to start
        elsewhere.

    Warns
    -----
    pathwayae.DataWarning
        If there are few donors or draws, or another start ends in a lower loss than the fit.

    See Also
    --------
    pathwayae.get.stability, pathwayae.get.trust, pathwayae.pl.loadings

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 150, 3, n_donors=6)
    >>> pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    >>> pae.tl.stability(adata, n_bootstrap=40, sample_key="donor", progress=False)
    >>> pae.get.stability(adata)["verdict"].tolist()[:3]
    ['stable', 'stable', 'stable']
    """
    _check(adata, n_bootstrap, n_restarts, moments, sample_key, random_state)
    model = fitted(adata, key)
    refuse_weighted(model.params, "stability")
    if n_restarts and model.params["scores"] == "members":
        msg = (
            f"n_restarts={n_restarts} starts a descent elsewhere, and scores='members' are computed in closed form. "
            "Leave n_restarts out."
        )
        raise ValueError(msg)
    strata = _strata(adata, model, n_bootstrap, moments, sample_key, random_state, progress=progress)
    problem = _problem(model, strata)
    others = _restarted(adata, key, problem, n_restarts, progress=progress)
    outcome = _refitted(model, problem, others, strata, n_bootstrap, random_state, progress=progress)
    settings = {"n_bootstrap": n_bootstrap, "n_restarts": n_restarts, "sample_key": sample_key or ""}
    settings |= {"strata": "" if moments is None else "moments", "random_state": random_state}
    target = adata.copy() if copy else adata
    ends = (keys.loadings_low(key), keys.loadings_high(key))
    varm: dict[str, Any] = dict.fromkeys(ends)
    if outcome.interval is not None:
        varm = {ends[i]: store.of_all_genes(adata.n_vars, model.genes, outcome.interval[i]) for i in (0, 1)}
    store.add(target, key, {keys.STABILITY: outcome.table, keys.STABILITY_PARAMS: settings}, varm=varm)
    return target if copy else None


class _Outcome(NamedTuple):
    """The table of components, and the ends of the intervals of the loadings (g, k), None without draws."""

    table: pd.DataFrame
    interval: tuple[NDArray[np.float32], NDArray[np.float32]] | None


def _check(
    adata: AnnData, n_bootstrap: Any, n_restarts: Any, moments: AnyMoments | None, sample_key: Any, random_state: Any
) -> None:
    """Raise where refits cannot be made as asked; warn of too few draws or strata."""
    for name, value in (("n_bootstrap", n_bootstrap), ("n_restarts", n_restarts), ("random_state", random_state)):
        _checks.number(name, value, 0, integer=True)
    if not n_bootstrap and not n_restarts:
        msg = "n_bootstrap=0 and n_restarts=0 ask for no refit; pass one of them, for instance n_bootstrap=200."
        raise ValueError(msg)
    if moments is None and sample_key is not None:
        _checks.check_column(adata, "sample_key", sample_key)
    if not n_bootstrap:
        return
    if n_bootstrap < FEW_DRAWS:
        msg = (
            f"n_bootstrap={n_bootstrap} draws are too few for the ends of 95 % intervals; take {FEW_DRAWS} at the "
            "least, or 200."
        )
        warn(msg)
    if moments is not None:
        _check_strata(moments.strata, given=True)


def _strata(
    adata: AnnData,
    model: Fitted,
    n_bootstrap: int,
    moments: AnyMoments | None,
    sample_key: str | None,
    random_state: int,
    *,
    progress: bool,
) -> AnyMoments:
    """Moments of every donor, batch, or donor in a batch, for the genes of the model; without, of folds."""
    batch_key = model.params.get("batch_key") or None
    divided = sample_key is not None or batch_key is not None
    strata = moments_of(
        adata,
        model,
        moments,
        sample_key=sample_key if n_bootstrap else None,
        batch_key=batch_key,
        n_folds=None if divided or not n_bootstrap else min(N_FOLDS, adata.n_obs),
        random_state=random_state,
        progress=progress,
    )
    if n_bootstrap and moments is None:
        _check_strata(strata.strata, given=False)
    return strata


def _problem(model: Fitted, strata: AnyMoments) -> Problem:
    """What the fit was about, from the moments of its cells."""
    data = standardize(model, strata)
    return model.problem(data, model.config())


def _restarted(adata: AnnData, key: str, problem: Problem, n_restarts: int, *, progress: bool) -> list[grouped.Fit]:
    """Fits of the same problem from starts with the seeds after that of the fit; a lower loss is warned of."""
    if not n_restarts:
        return []
    first = problem.config.random_state + 1
    started = [replace(problem, config=replace(problem.config, random_state=first + r)) for r in range(n_restarts)]
    fits = list(_progress.bar("restarts", "fits", n_restarts, progress=progress, items=grouped.fit_many(started)))
    losses = [fit.history["loss"][fit.best_iteration - 1] for fit in fits]
    own = float(np.min(lookup.value(adata, key, keys.HISTORY)["loss"]))
    if min(losses) < own * (1 - BETTER):
        msg = (
            f"The start with random_state={first + int(np.argmin(losses))} ends in a lower loss than the fit "
            f"({min(losses):.6g} against {own:.6g}): fit again with it."
        )
        warn(msg)
    return fits


def _refitted(
    model: Fitted,
    problem: Problem,
    others: list[grouped.Fit],
    strata: AnyMoments,
    n_bootstrap: int,
    random_state: int,
    *,
    progress: bool,
) -> _Outcome:
    """How far the fit holds in fits from other starts and in refits of draws."""
    gram, n_extra = problem.data.gram, len(model.components) - problem.n_components
    drawn = _shared(model, problem, strata) if n_bootstrap else strata
    once = np.ones(len(drawn.strata))
    every = problem if drawn is strata else replace(problem, data=_standardized(model, drawn, once))
    anchor = core.Anchor(every.data.gram, model.loadings, model.encoder, model.n_pathways)
    again = [complete(gram, fit, n_extra, problem.config) for fit in others]
    restarts = [anchor.match(_dense(refit.loadings), refit.encoder.toarray()) for refit in again]
    draws, tails = [], core.Tails(max(n_bootstrap, 1), model.loadings.shape if n_bootstrap else (0,))
    if n_bootstrap:
        rng = np.random.default_rng(random_state)
        weights = core.bootstrap_weights(len(strata.strata), n_bootstrap, rng)
        together = n_extra if problem.config.scores == "members" else len(model.components)
        _check_draws(weights, strata, max(together, FEW_CELLS))
        seeds = rng.integers(2**31, size=n_bootstrap)
        refits = _draws(model, every, drawn, weights, seeds, n_extra)
        for refit in _progress.bar("bootstrap", "fits", n_bootstrap, progress=progress, items=refits):
            values = _dense(refit.loadings)
            match = anchor.match(values, refit.encoder.toarray())
            tails.add(values[:, match.order] * match.sign)
            draws.append(match)
    table = core.table(
        model.components,
        draws,
        restarts,
        own=core.own_share(_weights(model), problem.membership),
        variance=variances.variance_ratio(gram, model.encoder),
        chance=core.chance_share(np.asarray(gram.diagonal()), problem.data.n, model.encoder),
    )
    return _Outcome(table, tails.interval() if n_bootstrap else None)


def _shared(model: Fitted, problem: Problem, strata: AnyMoments) -> AnyMoments:
    """Strata along the leading directions of all cells, which draws have in common, for scores of members.

    A draw then costs products of g × r, not sums of g × g per stratum. Few genes, and descents, take them as they are.
    """
    if isinstance(strata, Sketch) or problem.config.scores != "members" or len(model.genes) <= association.EXACT:
        return strata
    gram = problem.data.gram
    directions = association.leading_factors(gram, association.RANK) * np.sqrt(np.asarray(gram.diagonal()))[:, None]
    return along(strata, orthonormal(directions / np.linalg.norm(directions, axis=0)) / model.scale[:, None])


def _dense(loadings: Weights) -> NDArray[np.float64]:
    return np.asarray(loadings.toarray() if sp.issparse(loadings) else loadings, dtype=np.float64)


def _weights(model: Fitted) -> NDArray[np.float64]:
    """Weights of the genes in the scores before they were balanced, up to the length of each column, shape (g, k).

    Of joint scores, after.
    """
    config, p = model.config(), model.n_pathways
    if config.joint:
        return model.encoder
    if config.scores == "members":
        own = np.where(model.membership.toarray(), model.loadings[:, :p], 0.0)
    else:
        own = score_weights(model.loadings[:, :p], config.scores, config.ridge)
    return np.column_stack([own, model.loadings[:, p:]])


def _draws(
    model: Fitted,
    problem: Problem,
    strata: AnyMoments,
    weights: NDArray[np.float64],
    seeds: NDArray[np.int64],
    n_extra: int,
) -> Iterator[Model]:
    """Models of draws, each from a start of its own; Gram matrices of one slice of the fits are held.

    Without a descent the evidence of a draw is weighed from where that of all cells ended, a draw per thread.
    """
    if problem.config.scores == "members":
        (whole,) = grouped.fit_many([problem])

        def refitted(weight: NDArray[np.float64]) -> Model:
            data = _standardized(model, strata, weight)
            (fit,) = grouped.fit_many([replace(problem, data=data, begin=whole.evidence)])
            return complete(data.gram, fit, n_extra, problem.config)

        yield from side_by_side(refitted, weights)
        return
    held: deque[Any] = deque()

    def drawn() -> Iterator[Problem]:
        for weight, seed in zip(weights, seeds.tolist(), strict=True):
            data = _standardized(model, strata, weight)
            held.append(data.gram)
            yield replace(problem, data=data, config=replace(problem.config, random_state=seed))

    for fit in grouped.fit_many(drawn()):
        yield complete(held.popleft(), fit, n_extra, problem.config)


def _standardized(model: Fitted, strata: AnyMoments, weight: NDArray[np.float64]) -> Data:
    """Cells of one draw, centred at their own means, in the units of the fit."""
    draw = core.reweighted(strata, weight)
    if model.batches:
        own = of_strata(strata, model.batches, weight, effects=model.effects)
        return centred(draw, own, unit=model.scale)
    mean = draw.mean if model.params["center"] else np.zeros_like(draw.sum)
    return draw.standardize_with(mean, model.scale)


def _check_strata(strata: tuple[str, ...], *, given: bool) -> None:
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


def _check_draws(weights: NDArray[np.float64], strata: AnyMoments, limit: int) -> None:
    """Raise where a draw would hold no more cells than so many: the components that share their variance."""
    fewest = float(((weights > 0) @ strata.counts).min())
    if fewest <= limit:
        msg = (
            f"A draw of the {len(strata.strata)} strata would hold {fewest:g} different cells, and its components need "
            f"more than {limit}. Leave sample_key out to draw random folds, leave out donors of few cells, or fit "
            "fewer components."
        )
        raise ValueError(msg)
