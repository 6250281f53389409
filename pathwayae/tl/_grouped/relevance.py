"""Is a pathway used at all: more coherent than random sets like it, and seen again in cells left out."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae._slots.grouped import Fitted, fitted
from pathwayae.core.gates import gated
from pathwayae.core.grouped import components
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments.folds import together
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.moments import Moments, Standardized
from pathwayae.core.moments.sketch import AnyMoments, Sketch, StandardizedSketch
from pathwayae.core.notice import listed, warn
from pathwayae.core.trust import relevance as core
from pathwayae.core.trust import tail
from pathwayae.tl._grouped.moments import left_out, moments_of, standardize
from pathwayae.tl._grouped.pathways import refuse_weighted

logger = logging.getLogger("pathwayae")

LEVEL = 0.05  # of padj
MOSTLY_OWN = 0.5  # a random set that holds more of the pathway's own members than this is no comparison

Floats = NDArray[np.float64]


@gated()
def relevance(
    adata: AnnData,
    *,
    moments: Moments | Sketch | None = None,
    sample_key: str | None = None,
    n_folds: int = 5,
    n_null: int = 1000,
    n_bins: int | None = None,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Ask of every pathway whether the cells use it at all.

    Two answers, both from moments.

    **Against random sets.** The statistic is the coherence of the pathway, the mean correlation of two of its m genes
    in the model, :math:`\bar r = (1^\top R_S 1 - m) / (m (m - 1))`. `n_null` times the genes are permuted among genes
    with like mean and variance. The p-value is :math:`(b + 1) / (B + 1)` with b of B random sets at least as coherent
    (Phipson and Smyth 2010, 10.2202/1544-6115.1585) and, for b < 10, from a generalised Pareto tail fitted to the
    most coherent tenth of them (Knijnenburg et al. 2009, 10.1093/bioinformatics/btp211; its shape 0 at least, which
    makes small p conservative), adjusted over the pathways as Benjamini and Hochberg (1995) do.
    Where gene names say nothing, p is uniform whatever the cell types are, because a set is compared with sets that
    are as likely. It says that *these* genes vary together more than others of their kind; it is no test over donors.
    Fitted models of random sets were tried as null and told less, at many times the price: a fit moves to what varies
    in the cells, with any set.

    **In cells left out.** The model is fitted without each fold in turn, in the units of the other cells, and its
    scores explain the fold with the decoder of the others. A share below zero says that the component misleads there.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads what ``pae.tl.fit`` wrote, and the cells unless `moments` are given.
    moments
        What :func:`pathwayae.pp.moments` read, in two strata or more; each is left out in turn.
    sample_key
        Column of ``obs``, such as the donor: its values are left out whole. By default random folds of cells, which
        depend on the order of the cells; where the fit had a `batch_key` its batches.
    n_folds
        Number of folds; more strata than this are pooled, whole.
    n_null
        Number of random sets B of every pathway. *p*-values are at least ``1 / (n_null + 1)``, and with 200 or more
        a thousandth of that, so that 1 000 serve thousands of pathways; it is logged where their number stands in the
        way of ``padj ≤ 0.05``.
    n_bins
        Number of bins of the mean to match in, each divided into three of the variance; by default at most 10, of 36
        genes or more each.
    random_state
        Seed of the random sets, of random folds and of the fits.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["relevance"]``, a DataFrame that replaces the one of an earlier call,
    one row per component in the order of the model:

    - ``component``
    - ``statistic``: coherence, from −1 to 1; ``null_mean``, ``null_low``, ``null_high``: mean, 5 % and 95 % quantile of
      the random sets; ``z``: in their standard deviations; ``pval``, ``padj``. NaN for free components, which name no
      genes.
    - ``heldout_variance``: share of the left-out variance that the score explains alone, mean over folds;
      ``heldout_unique``: the share that is lost when it is left out of all scores; ``heldout_se``,
      ``heldout_unique_se``: standard errors over folds. A free component of a fold is the one whose loadings are most
      like those of the model.
    - ``verdict``: ``"used"`` for ``padj ≤ 0.05`` and ``heldout_variance > 0``, else ``"not used"``; ``"not tested"``
      for free components.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    TypeError
        If a number is not of its kind, such as a seed that is no integer.
    ValueError
        If there are fewer than two strata, too few genes to match from, or a parameter is out of range.

    Warns
    -----
    pathwayae.DataWarning
        If random sets like a pathway hold half of its own members or more; its p-value is then too large.

    See Also
    --------
    pathwayae.get.relevance, pathwayae.pl.relevance

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(400, 500, 6, n_silent=2)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.relevance(adata, n_folds=2, progress=False)
    >>> pae.get.relevance(adata)["verdict"].value_counts().to_dict()
    {'used': 6, 'not used': 2, 'not tested': 2}
    """
    _check(n_folds=n_folds, n_null=n_null, n_bins=n_bins, random_state=random_state, progress=progress, copy=copy)
    model = fitted(adata, key)
    refuse_weighted(model.params, "relevance")
    batch_key = model.params.get("batch_key") or None
    n_strata = _check_strata(adata, moments, sample_key or (batch_key if moments is None else None))
    strata = moments_of(
        adata,
        model,
        moments,
        sample_key=sample_key,
        batch_key=batch_key,
        n_folds=None if batch_key else min(n_folds, n_strata),
        random_state=random_state,
        progress=progress,
    )
    groups = together(strata, n_folds)
    if not model.batches:
        strata = strata.pool({name: group[0] for group in groups for name in group})
        groups = [(group[0],) for group in groups]
    tests = _test(strata, model, n_null, n_bins, random_state, progress=progress)
    folds = _left_out(strata, groups, model, random_state, progress=progress)
    target = adata.copy() if copy else adata
    params = {"n_folds": n_folds, "n_null": n_null, "n_bins": n_bins or "", "sample_key": sample_key or ""}
    params["random_state"] = random_state
    store.add(target, key, {keys.RELEVANCE: _table(model, tests, folds), keys.RELEVANCE_PARAMS: params})
    return target if copy else None


def _check(*, n_folds: Any, n_null: Any, n_bins: Any, random_state: Any, progress: Any, copy: Any) -> None:
    _checks.number("n_folds", n_folds, 2, integer=True)
    _checks.number("n_null", n_null, 1, integer=True)
    _checks.number("random_state", random_state, 0, integer=True)
    if n_bins is not None:
        _checks.number("n_bins", n_bins, 1, integer=True)
    _checks.choice("progress", progress, (True, False))
    _checks.choice("copy", copy, (True, False))


def _check_strata(adata: AnnData, moments: AnyMoments | None, sample_key: str | None) -> int:
    """Number of strata that can be left out; raises where there are not two."""
    if moments is not None:
        if sample_key is not None:
            msg = "moments have their strata already; pass sample_key to pae.pp.moments, or leave moments out."
            raise ValueError(msg)
        n, what = len(moments.strata), "the moments have"
        remedy = "read them with sample_key= or n_folds="
    elif sample_key is not None:
        _checks.check_column(adata, "sample_key", sample_key)
        values = pd.Series(np.asarray(adata.obs[sample_key], dtype=object))  # of a table in memory or read lazily
        n, what = int(values.nunique()), f"adata.obs[{sample_key!r}] has"
        remedy = "leave sample_key out for random folds of cells"
    else:
        return int(adata.n_obs)
    if n < 2:
        msg = f"{what} {n} stratum or none, and to leave one out takes two: {remedy}."
        raise ValueError(msg)
    return n


def _test(
    moments: AnyMoments, model: Fitted, n_null: int, n_bins: int | None, random_state: int, *, progress: bool
) -> tuple[Floats, core.Significance]:
    """Coherence of the pathways and what their matched random sets say of it."""
    n = model.n_pathways
    columns = model.membership.tocsc()
    members = [np.sort(columns.indices[columns.indptr[j] : columns.indptr[j + 1]]).astype(np.intp) for j in range(n)]
    bins = core.matched_bins(moments.mean, moments.variance, n_bins)
    _warn_of_own(core.own_share(members, bins), model)
    correlation = core.correlations(_correlated(moments, model))
    draws = core.null_coherence(correlation, members, bins, n_null, random_state)
    bar = _progress.bar("random sets", "draws", n_null, progress=progress, items=draws)
    observed = core.coherence(correlation, members)
    tests = core.significance(observed, np.array(list(bar)))
    if (tests.padj > LEVEL).all() and n * tail.smallest(n_null) > LEVEL:
        needed = int(np.ceil(n / LEVEL))
        needed = needed if n_null >= tail.ENOUGH else min(needed, tail.ENOUGH)
        logger.info("%d pathways need n_null of %d or more for one alone to be found.", n, needed)
    return observed, tests


def _correlated(moments: AnyMoments, model: Fitted) -> Standardized | StandardizedSketch:
    """Centred cells, within the batches of the fit; of a sketch the leading directions of the correlations count."""
    if model.batches:
        return standardize(model, moments)
    return moments.standardize(scale="unit" if isinstance(moments, Sketch) else None)


def _warn_of_own(share: Floats, model: Fitted) -> None:
    if (own := np.flatnonzero(share >= MOSTLY_OWN)).size:
        named = listed((model.components[j] for j in own), quoted=False)
        msg = (
            f"Of {own.size} pathways matched random sets hold {100 * MOSTLY_OWN:.0f} % of the own members or more "
            f"({named}), so their p-values are too large. Fit more genes, or lower n_bins."
        )
        warn(msg)


class _Fold(NamedTuple):
    train: Data
    left_out: Data


def _folds(moments: AnyMoments, groups: list[tuple[str, ...]], model: Fitted) -> Iterator[_Fold]:
    """Every group of strata in the units of the others, which are standardised as the fit was."""
    for names in groups:
        train = standardize(model, moments.without(*names))
        yield _Fold(train, left_out(model, moments.select(*names), train))


def _left_out(
    moments: AnyMoments, groups: list[tuple[str, ...]], model: Fitted, random_state: int, *, progress: bool
) -> list[core.HeldOut]:
    """What fits to the other folds explain of each; the fits descend together, as many as memory has room for."""
    config = model.config(random_state=random_state)
    membership: Any = model.membership.tocsc() if config.scores == "members" else model.membership.toarray()
    waiting: list[_Fold] = []

    def problems() -> Iterator[grouped.Problem]:
        for fold in _folds(moments, groups, model):
            waiting.append(fold)
            yield model.problem(fold.train, config, membership)

    fits = grouped.fit_many(problems())
    bar = _progress.bar("left out", "folds", len(groups), progress=progress, items=fits)
    return [_explained(waiting.pop(0), fit, model) for fit in bar]


def _explained(fold: _Fold, fit: grouped.Fit, model: Fitted) -> core.HeldOut:
    n, n_free = model.n_pathways, model.loadings.shape[1] - fit.encoder.shape[1]
    rest = components.residual_components(fold.train.gram, fit.encoder, n_free, directions=fit.directions)
    pathways, together = np.split(fit.encoder.toarray(), [n], axis=1)
    free = np.column_stack([together, rest])
    free = free[:, core.matching_order(model.loadings[:, n:], free)]
    return core.held_out(fold.train, fold.left_out, np.column_stack([pathways, free]))


def _table(model: Fitted, tests: tuple[Floats, core.Significance], folds: list[core.HeldOut]) -> pd.DataFrame:
    n, k = model.n_pathways, len(model.components)
    observed, result = tests

    def of_all(values: Floats) -> Floats:
        return np.concatenate([values, np.full(k - n, np.nan)])

    alone, unique = np.array([fold.alone for fold in folds]), np.array([fold.unique for fold in folds])
    root = np.sqrt(len(folds))
    variance, padj = alone.mean(axis=0), of_all(result.padj)
    verdict = np.where((padj <= LEVEL) & (variance > 0), "used", "not used").astype(object)
    verdict[n:] = "not tested"
    return pd.DataFrame(
        {
            "component": np.array(model.components, dtype=object),
            "statistic": of_all(observed),
            **{name: of_all(values) for name, values in result._asdict().items()},
            "heldout_variance": variance,
            "heldout_se": alone.std(axis=0, ddof=1) / root,
            "heldout_unique": unique.mean(axis=0),
            "heldout_unique_se": unique.std(axis=0, ddof=1) / root,
            "verdict": verdict,
        }
    )
