"""Batches of the cells at hand: read from ``obs``, looked at, and turned into what their scores are shifted by."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells import sources
from pathwayae._cells.labels import labels as labels_of
from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.moments import batches as core
from pathwayae.core.moments import design
from pathwayae.core.moments.batches import JOINT, Batches
from pathwayae.core.moments.gram_product import Data
from pathwayae.core.moments.sketch import AnyMoments
from pathwayae.core.notice import listed, warn
from pathwayae.core.trust.composition import FAR, composition
from pathwayae.tl._grouped.settings import Asked

FEW_TO_COMPARE = 100  # cells, for clusters of like ones in several batches
FEW = 10  # a mean of fewer cells takes much of what is theirs with it


class Factor(NamedTuple):
    """A column of ``obs``: its levels, sorted, and which of them each cell is of, shape (n,)."""

    key: str
    names: tuple[str, ...]
    codes: NDArray[np.intp]


class Labels(NamedTuple):
    """Names of the batches, sorted, and which of them each cell is of, shape (n,); the column of ``obs``.

    ``covariates`` are what batch effects are estimated beside.
    """

    key: str
    names: tuple[str, ...]
    codes: NDArray[np.intp]
    covariates: tuple[Factor, ...] = ()

    @property
    def n_levels(self) -> int:
        """Number of batches and of the levels of all covariates."""
        return len(self.names) + sum(len(one.names) for one in self.covariates)

    @property
    def levels(self) -> NDArray[np.intp]:
        """Batch of each cell, then its level of every covariate, counted through all of them, shape (f, n)."""
        sizes = [0, len(self.names), *(len(one.names) for one in self.covariates)]
        starts = np.cumsum(sizes)
        return np.array(
            [
                codes + start
                for codes, start in zip((self.codes, *(c.codes for c in self.covariates)), starts, strict=False)
            ]
        )

    def beside(self, batches: Batches, sums: NDArray[np.float64]) -> Batches:
        """The same batches with effects estimated beside the covariates, from the sums over all levels, (q, g)."""
        if not self.covariates:
            return batches
        return batches.beside(design.cells_shared(self.levels, self.n_levels), sums)


def check(asked: Asked) -> None:
    """Raise where the settings of a fit contradict centring within batches."""
    batch_key, condition_key = asked.batch_key, asked.settings.condition_key
    _check_covariates(asked)
    for name, value in (("batch_key", batch_key), ("condition_key", condition_key)):
        if not isinstance(value, str | None):
            msg = f"{name}={value!r} must be the name of one column of obs, not {type(value).__name__}."
            raise TypeError(msg)
    if batch_key is None and condition_key is not None:
        msg = f"condition_key={condition_key!r} is only compared with batches; pass batch_key too, or leave it out."
        raise ValueError(msg)
    if batch_key is not None and not asked.settings.center:
        msg = f"batch_key={batch_key!r} centres genes within batches, so center=False contradicts it; leave one out."
        raise ValueError(msg)
    if batch_key is not None and asked.settings.solver == "cells":
        msg = f"batch_key={batch_key!r} needs the Gram matrix; pass solver='gram', or leave solver out."
        raise ValueError(msg)


def read(
    adata: AnnData,
    source: sources.Source | None,
    batch_key: str | None,
    condition_key: str | None,
    covariates: Sequence[str] = (),
) -> Labels | None:
    """The batches of the cells of a fit, and covariates; warns of batches that are one condition.

    Raises
    ------
    KeyError
        If a column does not exist.
    ValueError
        If a cell has no batch, condition or covariate, a covariate holds numbers, or nothing tells the batches from
        the covariates.
    """
    if batch_key is None:
        return None
    labels = _column(adata, source, batch_key)
    names, codes = np.unique(labels.astype(str), return_inverse=True)
    if condition_key is not None:
        _check_conditions(labels, _column(adata, source, condition_key), batch_key, condition_key)
    found = Labels(batch_key, tuple(names.tolist()), codes, tuple(_factor(adata, source, key) for key in covariates))
    if covariates:
        _check_design(found)
    return found


def _factor(adata: AnnData, source: sources.Source | None, key: str) -> Factor:
    """A covariate; raises where it holds numbers."""
    values = _column(adata, source, key)
    kind: Any = getattr(adata.obs[key], "dtype", None)
    if pd.api.types.is_numeric_dtype(kind) and not pd.api.types.is_bool_dtype(kind):
        msg = (
            f"covariates: {key!r} holds numbers ({kind}), and covariates are categories. Where they are labels, pass a "
            f"column of adata.obs[{key!r}].astype(str); where they measure something, cut them with pd.cut."
        )
        raise ValueError(msg)
    names, codes = np.unique(values.astype(str), return_inverse=True)
    return Factor(key, tuple(names.tolist()), codes)


def _check_covariates(asked: Asked) -> None:
    """Raise where covariates are no columns to estimate batches beside."""
    keys = asked.covariate_keys
    if not all(isinstance(key, str) for key in keys):
        msg = f"covariates={asked.covariates!r} must be a column of obs or a list of them."
        raise TypeError(msg)
    if keys and asked.batch_key is None:
        msg = f"covariates={asked.covariates!r} are what batch effects are estimated beside; pass batch_key too."
        raise ValueError(msg)
    if len({*keys, asked.batch_key}) < len(keys) + 1:
        msg = f"covariates={asked.covariates!r} must name each column once, and not batch_key={asked.batch_key!r}."
        raise ValueError(msg)


def _check_design(labels: Labels) -> None:
    """Raise where nothing tells batches from covariates; warn where only few cells do."""
    shared, n_batches = design.cells_shared(labels.levels, labels.n_levels), len(labels.names)
    groups = design.comparable(shared, n_batches)
    named = listed((one.key for one in labels.covariates), 10)
    if groups.max() > 0:
        parts = [[name for name, group in zip(labels.names, groups, strict=True) if group == j] for j in (0, 1)]
        msg = (
            f"Batches and covariates are confounded: {listed(parts[0])} and {listed(parts[1])} of {labels.key!r} share "
            f"no level of {named} through which they could be compared ({groups.max() + 1} such groups of batches). "
            "Leave out that covariate or join its levels, leave out those batches, or fit without batch_key."
        )
        raise ValueError(msg)
    sure = design.effective_cells(shared, n_batches)
    few = [(name, own) for name, own in zip(labels.names, sure, strict=True) if own < FEW]
    if few and (np.diagonal(shared)[:n_batches][sure < FEW] >= FEW).any():
        which = listed((f"{name!r} (as from {own:.2g} cells)" for name, own in few), 10, quoted=False)
        msg = (
            f"Few cells tell the batches of {labels.key!r} from {named}, so the effect of {len(few)} of {n_batches} is "
            f"little sure: {which}. Join levels of the covariates that batches do not share, or leave such batches out."
        )
        warn(msg)


def of_moments(moments: AnyMoments, labels: Labels) -> Batches:
    """Batches from the strata of moments, beside covariates where strata are named ``"batch | level"``.

    Raises
    ------
    ValueError
        If a batch is not there, or a stratum is of no known batch and level.
    """
    found = core.of_strata(moments, labels.names)
    core.check_known(labels.names, found.names, moments.strata)
    if not labels.covariates:
        return found
    factors = (labels.names, *(one.names for one in labels.covariates))
    known = {JOINT.join(names): i for i, names in enumerate(itertools.product(*factors))}
    pairs = [_place_of(stratum, known, labels) for stratum in moments.strata]
    levels = np.array(np.unravel_index(pairs, [len(names) for names in factors]))
    levels += np.cumsum([0, *(len(names) for names in factors[:-1])])[:, None]
    shared = design.cells_shared(levels, labels.n_levels, moments.counts)
    return found.beside(shared, design.indicator(levels, labels.n_levels) @ moments.sums)


def _place_of(stratum: str, known: dict[str, int], labels: Labels) -> int:
    """Which pair of batch and levels a stratum is of, or a sample of."""
    parts = stratum.split(JOINT)
    names = [JOINT.join(parts[:i]) for i in range(1, len(parts) + 1)]
    places = [known[name] for name in names if name in known]
    if len(places) == 1:
        return places[0]
    keys = [one.key for one in labels.covariates]
    what = "may be of several levels" if places else "is of no level"
    msg = (
        f"Stratum {stratum!r} of the moments {what} of covariates={keys}, which needs strata of batches and levels. "
        f"Read them with pae.pp.moments(adata, batch_key={labels.key!r}, covariates={keys})."
    )
    raise ValueError(msg)


def check_sizes(batches: Batches, key: str) -> None:
    """Warn of batches of so few cells that their own mean is most of them."""
    few = [(name, count) for name, count in zip(batches.names, batches.counts, strict=True) if count < FEW]
    if few:
        named = listed((f"{name!r} ({count:g})" for name, count in few), 10, quoted=False)
        msg = (
            f"{len(few)} of {len(batches.names)} batches of {key!r} have fewer than {FEW} cells: "
            f"{named}. Centred by their own mean they lose much of "
            "what they hold; a batch of one cell scores 0 throughout. Join or leave out such batches."
        )
        warn(msg)


def check_composition(
    scores: NDArray[np.float32], labels: Labels, components: list[str], *, n_pathways: int, seed: int
) -> None:
    """Warn where centring took more off the scores than a shift of whole batches."""
    if len(labels.names) < 2 or len(scores) < FEW_TO_COMPARE:
        return
    found = composition(scores, labels.codes, len(labels.names), seed=seed)
    remedy = (
        "Where the cells have labels, name them, covariates=['cell_type'] for instance: the effect of a batch is then "
        "estimated beside theirs. Where batches differ in something that is to be kept, a treatment, leave batch_key "
        "out."
    )
    apart = [name for name, group in zip(labels.names, found.groups, strict=True) if group > 0]
    if apart:
        msg = f"Batches of {labels.key!r} hold different cells: none of {listed(apart)} is like those of the others."
        warn(f"{msg} {remedy}")
        return
    flagged = found.flagged
    if not flagged.any():
        return
    size = np.where(flagged, np.abs(found.off), 0.0)
    named = size[:, :n_pathways] if flagged[:, :n_pathways].any() else size
    b, j = np.unravel_index(named.argmax(), named.shape)
    msg = (
        f"Batches of {labels.key!r} differ by more than a shift of all their cells, as they do where they hold kinds "
        f"of cells in unequal shares. Centred at their own means, like cells come to lie up to "
        f"{abs(found.off[b, j]):.2f} s.d. from those of the others ({labels.names[b]!r}, score {components[j]!r}), and "
        f"over {FAR:g} in {int(flagged.any(axis=1).sum())} of {len(labels.names)} batches. "
    )
    warn(msg + remedy)


def shifts(
    labels: Labels | None, batches: Batches | None, data: Data, encoder: Encoder
) -> tuple[NDArray[np.intp] | None, NDArray[np.float64] | None]:
    """Batch of each cell of the fit, shape (n,), and what it shifts scores by, shape (b, k)."""
    if labels is None or batches is None:
        return None, None
    place = pd.Index(batches.names).get_indexer(pd.Index(labels.names))
    return place[labels.codes], core.offsets(batches.centres, data.mean, data.scale, encoder)


def _column(adata: AnnData, source: sources.Source | None, key: str) -> NDArray[np.object_]:
    """Values of a column of ``obs`` as text, also where there are no cells to read."""
    if source is not None:
        return labels_of(source, [key])
    if key not in adata.obs:
        msg = f"{key!r} is not a column of adata.obs, which has {list(adata.obs.columns)}."
        raise KeyError(msg)
    return _checks.as_text(adata.obs[key], key)


def _check_conditions(
    labels: NDArray[np.object_], conditions: NDArray[np.object_], batch_key: str, condition_key: str
) -> None:
    """Warn of batches that are one condition, where there are several."""
    if len(np.unique(conditions.astype(str))) < 2:
        return
    single = core.single_condition(labels, conditions)
    if not single:
        return
    n_batches = len(np.unique(labels.astype(str)))
    named = listed((f"{name!r} ({value})" for name, value in single.items()), 10, quoted=False)
    rest = (
        f"No batch holds two, so nothing of the difference between the means of the {condition_key!r} groups is left"
        if len(single) == n_batches
        else "It is left where a batch holds several"
    )
    msg = (
        f"Batches and conditions are confounded: {len(single)} of {n_batches} batches of {batch_key!r} hold cells of "
        f"one {condition_key!r} only: {named}. Their own "
        f"mean is taken off them, and what the condition does to all of their cells with it. {rest}. Choose a "
        "batch_key whose batches hold several conditions, or leave it out."
    )
    warn(msg)
