"""Strength of the prior and number of free components, chosen on what a fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData

from pathwayae import _checks, _progress
from pathwayae._slots import keys, store
from pathwayae._slots.grouped import Fitted, fitted
from pathwayae.core.gates import gated
from pathwayae.core.grouped.fit import Config
from pathwayae.core.moments.folds import N_FOLDS, folds
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.sketch import AnyMoments, Sketch
from pathwayae.core.notice import warn
from pathwayae.core.trust import selection
from pathwayae.tl._grouped.moments import moments_of
from pathwayae.tl._grouped.pathways import refuse_weighted
from pathwayae.tl._grouped.prepare import Prepared
from pathwayae.tl._grouped.settings import Asked

N_EXTRA = 20  # free components of the fits that choose θ where their number is still open


@gated()
def theta_path(
    adata: AnnData,
    *,
    thetas: Sequence[float] | None = None,
    moments: Moments | Sketch | None = None,
    sample_key: str | None = None,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Choose the strength of the prior: what scores say of members they have not seen, along a path of θ.

    In every fold the model of the fit sees the cells of the other folds, and the pathways without the members hidden
    in that fold. A score is right so far as it goes with the members that it has not seen in cells that it has not
    seen: the *correlation*, over the cells of the fold, of a pathway's score, taken without the hidden genes, with the
    mean of its hidden members less that of the genes that are no members. Chosen is the θ with the largest; ``as_good``
    marks those that fall short of it by no more than one standard error over pathways.

    Two figures stand beside it and do not choose. The *held-out error* :math:`1 - \mathrm{tr}(Q^\top G Q) /
    \mathrm{tr}\,G` is the share of the variance of the fold's cells outside the span Q of pathways and free
    components; it asks for weak priors, since all that is not the pathways' (batches, other programs) is left over by
    scores that are right. The *AUC* says how well the largest loadings tell hidden members from genes that are no
    members: the partial area under the ROC curve up to a false-positive rate of 0.1, scaled so that 0.5 is chance and
    1 perfect (McClish 1989, 10.1177/0272989X8900900307); it asks for loadings that reach out, also where the sets lack
    nothing. To complete sets, see :func:`pathwayae.tl.refine`.

    The fit itself stays as it is; ``pae.tl.fit(…, theta="auto")`` chooses and fits. Either holds up to 25 Gram matrices
    at once, those of the folds and their complements: 1.2 GiB at 2 500 genes.

    Parameters
    ----------
    adata
        A fitted AnnData.
    thetas
        Values of θ from 0 to 1, at least two; by default 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7 and 0.9.
    moments
        What :func:`pathwayae.pp.moments` read, with two strata or more; by default the cells are read once.
    sample_key
        Column of ``obs`` with the donors, held out whole; by default random folds of cells. With `moments`, their
        strata.
    n_folds
        Number of folds; donors or strata beyond are pooled, fewer are a fold each.
    random_state
        Seed of random folds, of the members hidden and of the starts.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["theta_path"]`` and ``"theta_path_params"``, see
    :func:`pathwayae.get.theta_path`.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    ValueError
        If `thetas` are out of range or repeated, there is one stratum, or the fit had no descent.

    Warns
    -----
    pathwayae.DataWarning
        If no θ is as good as the smallest, if the loadings at the θ chosen copy the annotation, or if hidden members
        are not recovered.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(600, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, scores="projection", progress=False)
    >>> pae.tl.theta_path(adata, thetas=(0.1, 0.2, 0.4), n_folds=3, progress=False)
    >>> pae.get.theta_path(adata).query("chosen")["theta"].item()
    0.2
    """
    values = _grid(thetas)
    _check(n_folds, random_state)
    target = adata.copy() if copy else adata
    model = fitted(target, key)
    _check_descent(model.params["scores"])
    held_out = _folds_of(target, model, moments, sample_key, n_folds, random_state, progress=progress)
    n_extra = len(model.components) - model.n_pathways
    design = _design(held_out, model, random_state)
    table = _theta_path(design, n_extra, values, progress=progress)
    params = {
        "thetas": np.array(values),
        "n_folds": n_folds,
        "sample_key": sample_key or "",
        "random_state": random_state,
    }
    store.add(target, key, {keys.THETA_PATH: table, keys.THETA_PATH_PARAMS: params})
    return target if copy else None


@gated()
def n_extra_path(
    adata: AnnData,
    *,
    n_max: int = selection.N_FREE,
    moments: Moments | Sketch | None = None,
    sample_key: str | None = None,
    n_folds: int = N_FOLDS,
    random_state: int = 0,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Choose the number of free components: variance of held-out cells against it, and its knee.

    In every fold the pathways are fitted to the other cells; free components come in closed form, so one fit gives the
    whole curve. Variance explained in held-out cells can only grow with the number. What stops growing is the variance
    of held-out *genes* in held-out cells, predicted from the other genes by least squares,
    :math:`\hat X_B = X_A L_A (L_A^\top L_A)^{-1} L_B^\top` (bi-cross-validation, Owen and Perry 2009,
    10.1214/08-AOAS227). Chosen is the smallest number that predicts as much as the best, to one standard error.
    For an embedding more may serve, for interpretation fewer.

    The fit itself stays as it is; ``pae.tl.fit(…, n_extra="auto")`` chooses and fits.

    Parameters
    ----------
    adata
        A fitted AnnData.
    n_max
        Largest number of free components; fewer where cells or genes allow no more.
    moments
        What :func:`pathwayae.pp.moments` read, with two strata or more; by default the cells are read once.
    sample_key
        Column of ``obs`` with the donors, held out whole; by default random folds of cells. With `moments`, their
        strata.
    n_folds
        Number of folds; donors or strata beyond are pooled, fewer are a fold each.
    random_state
        Seed of random folds, of the genes held out and of the starts.
    progress
        Show progress bars on a terminal or in a notebook.
    key
        Key of the fit.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["n_extra_path"]`` and ``"n_extra_path_params"``, see
    :func:`pathwayae.get.n_extra_path`.

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a column does not exist.
    ValueError
        If `n_max` is below 1, or there is one stratum.

    See Also
    --------
    pathwayae.get.free_components : what each of them is.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.n_extra_path(adata, n_max=10, n_folds=3, progress=False)
    >>> pae.get.n_extra_path(adata).shape
    (11, 6)
    """
    _checks.number("n_max", n_max, 1, integer=True)
    _check(n_folds, random_state)
    target = adata.copy() if copy else adata
    model = fitted(target, key)
    held_out = _folds_of(target, model, moments, sample_key, n_folds, random_state, progress=progress)
    design = _design(held_out, model, random_state)
    params = {"n_max": n_max, "n_folds": n_folds, "sample_key": sample_key or "", "random_state": random_state}
    table = _extra_path(design, n_max, progress=progress)
    store.add(target, key, {keys.N_EXTRA_PATH: table, keys.N_EXTRA_PATH_PARAMS: params})
    return target if copy else None


def check(asked: Asked) -> None:
    """Raise where nothing can be held out."""
    if not asked.auto:
        return
    if asked.theta == "auto":
        _check_descent(asked.scores)
    if asked.settings.solver == "cells":
        msg = (
            f"{'theta' if asked.theta == 'auto' else 'n_extra'}='auto' holds out moments of cells, which "
            "solver='cells' does not have. Leave solver out, or give a number."
        )
        raise ValueError(msg)
    if asked.moments is not None:
        folds(asked.moments, N_FOLDS)  # refuses a single stratum


def _check_descent(scores: str) -> None:
    if scores == "members":
        msg = (
            "theta='auto' chooses how strongly a descent holds to the pathways, and scores='members' has none. Pass "
            "scores='projection', or leave theta out."
        )
        raise ValueError(msg)


def choose(cells: Prepared, config: Config, asked: Asked) -> tuple[Config, int, dict[str, Any]]:
    """Settings and number of free components with what ``"auto"`` stands for, and the paths to keep."""
    if cells.moments is None or not asked.auto:
        return config, int(asked.n_extra), {}
    paths: dict[str, pd.DataFrame] = {}
    given = cells.moments
    chosen = given if given.genes == tuple(cells.names.tolist()) else given.subset(cells.names)
    strata = chosen if cells.levels else folds(chosen, N_FOLDS)
    center, scale, n_extra = asked.settings.center, asked.scale, asked.n_extra
    levels, effects = tuple(cells.levels), cells.effects
    design = selection.Design(
        strata, cells.membership.toarray(), config, center, scale, levels, effects, cells.penalised
    )
    if asked.theta == "auto":
        n_free = _n_most(design, N_EXTRA if n_extra == "auto" else n_extra)
        table = paths[keys.THETA_PATH] = _theta_path(design, n_free, selection.THETAS, progress=asked.progress)
        config = replace(config, theta=float(table.loc[table["chosen"], "theta"].iloc[0]))
    if n_extra == "auto":
        table = _extra_path(design._replace(config=config), selection.N_FREE, progress=asked.progress)
        paths[keys.N_EXTRA_PATH] = table
        n_extra = int(table.loc[table["chosen"], "n_extra"].iloc[0])
    return config, n_extra, paths


def _theta_path(design: selection.Design, n_extra: int, thetas: Sequence[float], *, progress: bool) -> pd.DataFrame:
    with _bar("theta", design, progress=progress) as bar:
        table = selection.theta_path(design, n_extra, thetas=thetas, advance=bar.update)
    _warn_of_prior(table)
    return table


def _extra_path(design: selection.Design, n_max: int, *, progress: bool) -> pd.DataFrame:
    with _bar("n_extra", design, progress=progress) as bar:
        table = selection.extra_path(design, _n_most(design, n_max), advance=bar.update)
    if table["predicted"].max() <= 0:
        msg = (
            f"No number of free components up to {int(table['n_extra'].max())} predicts genes that were held out (best "
            f"share of their variance {table['predicted'].max():.3g}), so the number chosen, "
            f"{int(table.loc[table['chosen'], 'n_extra'].iloc[0])}, means little: choose n_extra yourself."
        )
        warn(msg)
    return table


def _bar(what: str, design: selection.Design, *, progress: bool) -> Any:
    return _progress.bar(what, "folds", len(design.folds), progress=progress)


def _n_most(design: selection.Design, n_extra: int) -> int:
    """At most as many free components as the cells of every fold's fit and the genes have room for."""
    counts = design.moments.counts
    room = min(counts.sum() - counts.max(), len(design.membership)) - design.membership.shape[1]
    return max(0, min(n_extra, int(room)))


def _warn_of_prior(table: pd.DataFrame) -> None:
    """Say so where the prior is ignored, copied, or not borne out."""
    row = table[table["chosen"]].iloc[0]
    if row["auc"] <= 0.5 + 2.0 * row["auc_se"]:
        msg = (
            f"Members hidden from the pathways are not told from other genes (AUC {row['auc']:.2f}): these cells do "
            f"not bear the pathways out, and θ = {row['theta']:g} is as good as any other."
        )
        warn(msg)
    elif row["inside"] > selection.ANNOTATION:
        msg = (
            f"The prior dominates: at θ = {row['theta']:g} the loadings lie on the annotated members alone "
            f"({row['inside']:.1%} of their squares), so they repeat the annotation. No weaker prior gives scores that "
            "say more of hidden members; scores='members' takes sets as they are without a descent."
        )
        warn(msg)
    elif row["theta"] == table["theta"].min() and table["as_good"].sum() == 1:
        msg = (
            f"The prior is ignored: of the θ tried the smallest, {row['theta']:g}, is better than all others. The "
            "pathways may not fit these cells; see pae.pl.theta_path."
        )
        warn(msg)


def _grid(thetas: Sequence[float] | None) -> tuple[float, ...]:
    if thetas is None:
        return selection.THETAS
    values = tuple(thetas)
    for value in values:
        _checks.number("thetas", value, 0, 1)
    if len(set(values)) < max(2, len(values)):
        msg = f"thetas={values} must hold at least two values, each once."
        raise ValueError(msg)
    return values


def _check(n_folds: Any, random_state: Any) -> None:
    _checks.number("n_folds", n_folds, 2, integer=True)
    _checks.number("random_state", random_state, 0, integer=True)


def _n_folds(adata: AnnData, sample_key: str | None, n_folds: int) -> int | None:
    """Folds to read: no more than there are samples; None where there is one, or no such column."""
    if sample_key is None:
        return n_folds
    n = len(np.unique(np.asarray(adata.obs[sample_key]).astype(str))) if sample_key in adata.obs else 0
    return min(n, n_folds) if n > 1 else None


def _folds_of(
    adata: AnnData,
    model: Fitted,
    moments: AnyMoments | None,
    sample_key: str | None,
    n_folds: int,
    random_state: int,
    *,
    progress: bool,
) -> AnyMoments:
    """Moments of the genes of the model per fold."""
    batch_key = model.params.get("batch_key") or None
    read = moments_of(
        adata,
        model,
        moments if moments is None or model.batches else folds(moments, n_folds),
        sample_key=sample_key,
        batch_key=batch_key,
        n_folds=None if batch_key else _n_folds(adata, sample_key, n_folds),
        random_state=random_state,
        progress=progress,
    )
    return read if model.batches else folds(read, n_folds)


def _design(held_out: AnyMoments, model: Fitted, random_state: int) -> selection.Design:
    refuse_weighted(model.params, "n_extra_path")
    if model.params.get("free") == "together":
        msg = (
            "theta_path and n_extra_path take free components from what the pathways leave over, and this fit has "
            "free='together'. Fit again without it, to choose."
        )
        raise ValueError(msg)
    config = model.config(random_state=random_state)
    center, scale = bool(model.params["center"]), model.params["scale"] or None
    member = model.membership.toarray().astype(bool)
    return selection.Design(held_out, member, config, center, scale, model.batches, model.effects, model.penalised)
