"""Columns of ``obs`` that say which cells are compared: groups, samples, strata and covariates, looked at."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae.core.contrasts.units import REST, Units, aggregate
from pathwayae.core.notice import listed

Floats = NDArray[np.float64]

REST_NAME = "rest"
MOST_NUMBERS = 50  # a column of whole numbers with more values holds numbers, no groups


class Factor(NamedTuple):
    """Level of each cell, −1 where it has none, shape (n,); the levels with cells; and those without."""

    codes: NDArray[np.intp]
    names: list[str]
    unused: list[str]


def factor(adata: AnnData, name: str, column: Any) -> Factor:
    """Levels of a column in the order of its categories.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If it holds numbers that are no groups, or no cell has a level.
    """
    _checks.check_column(adata, name, column)
    values = pd.Series(np.asarray(adata.obs[column], dtype=object)) if not _known(adata, column) else adata.obs[column]
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        whole = values.dropna()
        if (whole % 1 != 0).any() or whole.nunique() > MOST_NUMBERS:
            msg = (
                f"adata.obs[{column!r}] holds numbers; {name} needs groups. Divide them into bins first (pandas.cut), "
                "or pass them as covariates."
            )
            raise ValueError(msg)
    found = values.astype("category")
    used = found.cat.remove_unused_categories()
    names = [str(level) for level in used.cat.categories]
    if not names:
        msg = f"No cell has a value in adata.obs[{column!r}] ({name})."
        raise ValueError(msg)
    unused = [str(level) for level in found.cat.categories if str(level) not in names]
    return Factor(used.cat.codes.to_numpy().astype(np.intp), names, unused)


def _known(adata: AnnData, column: str) -> bool:
    """Whether the column is in memory as pandas has it."""
    return isinstance(adata.obs, pd.DataFrame) and column in adata.obs


def chosen(levels: Factor, groups: str | Sequence[str], reference: str, groupby: str) -> tuple[list[int], int]:
    """Places of the groups to test and of the reference, ``REST`` for all others.

    Raises
    ------
    ValueError
        If a level is unknown, has no cells, is its own reference, or nothing is left to compare.
    """
    if len(levels.names) < 2:
        msg = f"adata.obs[{groupby!r}] has one group with cells, {levels.names[0]!r}; groupby needs two to compare."
        raise ValueError(msg)
    place = {name: i for i, name in enumerate(levels.names)}
    if reference == REST_NAME and reference not in place:
        against = REST
    else:
        against = _place(levels, place, "reference", reference, groupby)
    if isinstance(groups, str) and groups == "all" and "all" not in place:
        return [i for i in range(len(levels.names)) if i != against], against
    wanted = [groups] if isinstance(groups, str) else [str(one) for one in groups]
    if not wanted or len(set(wanted)) < len(wanted):
        msg = f"groups must name at least one group, and none twice; got {listed(wanted)}."
        raise ValueError(msg)
    found = [_place(levels, place, "groups", one, groupby) for one in wanted]
    if against in found:
        msg = f"reference={reference!r} is one of groups, and would be compared with itself; leave it out of them."
        raise ValueError(msg)
    return found, against


def _place(levels: Factor, place: dict[str, int], name: str, value: Any, groupby: str) -> int:
    if str(value) in place:
        return place[str(value)]
    if str(value) in levels.unused:
        msg = f"{name}: {value!r} is a level of adata.obs[{groupby!r}] that no cell has; leave it out."
        raise ValueError(msg)
    lower = {one.lower(): one for one in levels.names}
    close = difflib.get_close_matches(str(value).lower(), lower, n=1, cutoff=0.4)
    hint = f"did you mean {lower[close[0]]!r}? " if close else ""
    also = f", and {REST_NAME!r} for all others" if name == "reference" else ""
    msg = f"{name}: {value!r} is no level of adata.obs[{groupby!r}]; {hint}Levels: {listed(levels.names, 20)}{also}."
    raise ValueError(msg)


class Covariates(NamedTuple):
    """Values of the cells, (n, q), NaN where missing; the column that each is from, and whether it is a yes or no."""

    values: Floats
    names: list[str]
    binary: list[bool]


def covariates(adata: AnnData, columns: Sequence[str]) -> Covariates:
    """Numbers as they are, everything else as one column per level but the first.

    Raises
    ------
    KeyError
        If there is no such column.
    ValueError
        If one holds infinite values.
    """
    parts = [np.zeros((adata.n_obs, 0))]
    names: list[str] = []
    binary: list[bool] = []
    for column in columns:
        _checks.check_column(adata, "covariates", column)
        values = pd.Series(adata.obs[column])
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            part = values.to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
            if np.isinf(part).any():
                msg = f"covariates: adata.obs[{column!r}] holds infinite values; remove or replace them."
                raise ValueError(msg)
        else:
            levels = factor(adata, "covariates", column)
            part = (levels.codes[:, None] == np.arange(1, len(levels.names))).astype(np.float64)
            part[levels.codes < 0] = np.nan
            binary += [True] * part.shape[1]
        binary += [False] * (len(names) + part.shape[1] - len(binary))
        parts.append(part)
        names += [column] * part.shape[1]
    return Covariates(np.hstack(parts), names, binary)


def of_units(found: Covariates, units: Units, sample_key: str) -> Floats:
    """Covariates of the units, shape (u, q): means of numbers over cells; a category must be the same in all cells.

    Raises
    ------
    ValueError
        If a category differs between cells of one sample and group.
    """
    known = np.where(units.of_cell[:, None] >= 0, found.values, 0.0)
    zero = np.where(units.of_cell >= 0, 0, -1)
    whole: Floats = aggregate(known, zero, np.where(units.of_cell >= 0, units.of_cell, -1), zero).mean
    for j, (name, yes_or_no) in enumerate(zip(found.names, found.binary, strict=True)):
        if yes_or_no and not np.isin(np.round(whole[:, j], 9), (0.0, 1.0)).all():
            msg = (
                f"covariates: adata.obs[{name!r}] differs between cells of one sample of {sample_key!r} in one group; "
                "a covariate describes samples. Leave it out, or make samples of both columns."
            )
            raise ValueError(msg)
    return whole
