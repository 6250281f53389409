"""One gate per kind of argument: what a signature says of a parameter is held to before anything is done."""

from __future__ import annotations

import inspect
import math
import numbers
import os
import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

import numpy as np

from pathwayae.core import kinds, memory
from pathwayae.core.notice import listed

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")
Bound = float | tuple[float, float]

SEEDS = ("random_state", "random_seed")
LARGEST_INTEGER, LARGEST_SEED = 2**63 - 1, 2**64 - 1
LEAST = {"ncols": 1}
EMPTY = {"covariates", "relations", "roots"}  # none of them is a list of none
MOST = 20  # names in a message
PARTS = {
    "groupby": ("obs", "a column of"),
    "sample_key": ("obs", "a column of"),
    "batch_key": ("obs", "a column of"),
    "covariates": ("obs", "a column of"),
    "layer": ("layers", "one of"),
}


def gated(
    *, own: tuple[str, ...] = (), reads: tuple[str, ...] = (), stores: tuple[str, ...] = (), **bounds: Bound
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Hold the arguments of a function to its annotations, and numbers to bounds, before it runs.

    A flag is True or False, a number finite, a seed from 0 to 2⁶⁴ − 1, a choice one of its words, a list not empty, an
    AnnData no path; columns of ``obs`` and layers are there. What annotations leave open (``Any``) is left to the
    function, as are defaults.

    Parameters
    ----------
    own
        Parameters that the function checks by itself, with more to say.
    reads
        Parameters whose paths are files that are read: they must be there.
    stores
        Parameters whose paths are of cells, in files or folders: they must be there.
    **bounds
        The least value of a parameter, or the least and the largest.

    Examples
    --------
    >>> @gated(n_genes=1)
    ... def top(n_genes: int = 10, *, copy: bool = False) -> None: ...
    >>> top("3")
    Traceback (most recent call last):
    TypeError: n_genes='3' must be an integer, not str.
    >>> top(0)
    Traceback (most recent call last):
    ValueError: n_genes=0 is out of range; choose a value of at least 1.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        signature = inspect.signature(function)

        @cache
        def known() -> dict[str, tuple[kinds.Kind, ...]]:  # when first called: names may stand below the function
            names = getattr(function, "__globals__", {})
            checked = {name: one for name, one in signature.parameters.items() if name not in own}
            return {
                name: kinds.kinds_of(str(one.annotation), names)
                for name, one in checked.items()
                if one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
            }

        @wraps(function)
        def at_the_door(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                given = signature.bind(*args, **kwargs).arguments
            except TypeError:
                return function(*args, **kwargs)  # which says in Python's words what lacks
            if "copy" in signature.parameters and not given.get("out"):
                _can_be_written(given.get("adata"), copy=bool(given.get("copy", False)))
            for name, value in given.items():
                default = signature.parameters[name].default
                if value is default:
                    continue
                empty = name in EMPTY or (isinstance(default, tuple) and not default)
                if name in known():
                    hold(name, value, known()[name], empty=empty)
                    bounded(name, value, bounds.get(name))
                    _named(name, value, given.get("adata", given.get("data")))
                if name in reads or name in stores:
                    _there(name, value, folders=name in stores)
            try:
                return function(*args, **kwargs)
            except (MemoryError, RuntimeError) as error:
                memory.tell(error)
                raise

        return at_the_door

    return decorate


def hold_fields(settings: Any) -> None:
    """The same for the fields of settings, when they are made."""
    _hold_all(vars(settings), type(settings).__annotations__, vars(sys.modules[type(settings).__module__]))


def refit(fit: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """Hold the parameters of an estimator to their annotations, fit it, and leave it as it was if that fails."""

    @wraps(fit)
    def whole_or_as_before(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        made: Any = type(self).__init__
        before = dict(vars(self))
        try:
            _hold_all(before, made.__annotations__, made.__globals__)
            return fit(self, *args, **kwargs)
        except BaseException as error:
            vars(self).clear()
            vars(self).update(before)
            memory.tell(error)
            raise

    return cast(Callable[Concatenate[S, P], R], whole_or_as_before)


def _hold_all(values: Mapping[str, Any], annotations: Mapping[str, Any], names: Mapping[str, Any]) -> None:
    for name, annotation in annotations.items():
        if name in values:
            hold(name, values[name], kinds.kinds_of(str(annotation), names), empty=True)
            bounded(name, values[name], None)


def bounded(name: str, value: Any, bound: Bound | None) -> None:
    """Raise ValueError where a number, or one of a list, is out of its bounds, or a seed is none."""
    if isinstance(value, list | tuple):
        for one in value:
            bounded(name, one, bound)
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or (bound is None and value != value):
        return
    low, high = bound if isinstance(bound, tuple) else (-math.inf if bound is None else bound, math.inf)
    if name in SEEDS:
        low, high = 0, LARGEST_SEED
    elif name in LEAST and bound is None:
        low = LEAST[name]
    if isinstance(value, numbers.Integral) and high == math.inf:
        high = LARGEST_INTEGER
    if not low <= value <= high:
        allowed = f"of at least {low:g}" if value < low and high >= LARGEST_INTEGER else f"from {low:g} to {high:g}"
        msg = f"{name}={value!r} is out of range; choose a value {allowed}."
        raise ValueError(msg)


def _named(name: str, value: Any, adata: Any) -> None:
    """Raise KeyError where a name is not in the part of the cells that it is looked up in; ValueError for no key."""
    if name == "key_added" and isinstance(value, str):
        key(name, value)
    if name not in PARTS or not isinstance(value, str | list | tuple):
        return
    part, what = PARTS[name]
    if not any(one.__name__ == "AnnData" for one in type(adata).__mro__):
        return
    found = getattr(adata, part)
    for one in [value] if isinstance(value, str) else value:
        if one not in found:
            has = listed(found.columns if part == "obs" else found, MOST)
            msg = f"{name}={one!r} is not {'in' if part == 'layers' else what} adata.{part}, which has {has}."
            raise KeyError(msg)


def _can_be_written(adata: Any, *, copy: bool) -> None:
    """Raise ValueError where results cannot be put, before they are computed."""
    if getattr(adata, "isbacked", False) is True and (adata.is_view or copy):
        what = "a view of a backed file, to which nothing can be written" if adata.is_view else "backed by a file"
        msg = f"adata is {what}{' and copy=True' if copy else ''}; pass adata.to_memory()."
        raise ValueError(msg)


def key(name: str, value: str) -> None:
    """Raise ValueError where a text cannot name slots that survive in a file."""
    if not value.strip() or value != value.strip() or set(value) == {"."} or "/" in value or not value.isprintable():
        msg = (
            f"{name}={value!r} cannot name slots of a file: choose a word without '/', control characters and blanks "
            "at its ends."
        )
        raise ValueError(msg)


def _there(name: str, value: Any, *, folders: bool) -> None:
    """Raise FileNotFoundError where a path that is to be read is not there, ValueError where it is a folder."""
    for path in value if isinstance(value, list | tuple) else [value]:
        if not isinstance(path, str | os.PathLike):
            continue
        place = Path(path).expanduser()
        if not place.exists():
            lacks = "" if place.parent.is_dir() else f" (nor is there a folder {str(place.parent)!r})"
            msg = f"{name}={os.fspath(path)!r}: this does not exist{lacks}; check the path."
            raise FileNotFoundError(msg)
        if place.is_dir() and not folders:
            msg = f"{name}={os.fspath(path)!r} is a folder; name a file in it."
            raise ValueError(msg)


def hold(name: str, value: Any, allowed: tuple[kinds.Kind, ...], *, empty: bool = False) -> None:
    """Raise TypeError or ValueError unless a value is of one of the kinds."""
    heads = [head for head, _ in allowed]
    if {"PathLike", "Path"} & set(heads) and isinstance(value, str) and (not value.strip() or "\0" in value):
        msg = f"{name}={value!r} is no path; name a file."
        raise ValueError(msg)
    if not allowed or any(kinds.is_of(value, kind, empty=empty) for kind in allowed):
        return
    if "AnnData" in heads and isinstance(getattr(value, "mod", None), Mapping):
        if "MuData" in heads:
            return
        msg = f"{name} is a MuData; pass one of its modalities, such as mdata.mod[{next(iter(value.mod), 'rna')!r}]."
        raise TypeError(msg)
    words = kinds.joined([kinds.word(kind) for kind in allowed])
    if kinds.is_empty_list(value) and {*kinds.LISTS, "NDArray"} & set(heads):
        msg = f"{name}={value!r} is empty; pass {words} with at least one entry."
        raise ValueError(msg)
    if isinstance(value, float | np.floating) and not math.isfinite(value) and {"int", "float"} & set(heads):
        msg = f"{name}={value!r} is no finite number; pass {words}."
        raise ValueError(msg)
    if kinds.is_unknown_word(value, allowed):
        words_alone = {"Literal", "None", "bool"}.issuperset(heads)
        next_step = f"choose one of {', '.join(kinds.choices(allowed))}" if words_alone else f"pass {words}"
        msg = f"{name}={value!r} is not known; {next_step}."
        raise ValueError(msg)
    msg = f"{name}={kinds.shown(value)} must be {words}, not {kinds.what(value, allowed)}."
    if "AnnData" in heads and isinstance(value, str | os.PathLike):
        msg += " Read the file first: anndata.read_h5ad(path)."
    elif "AnnData" in heads and hasattr(value, "__array__"):
        msg += " Plain arrays are for the estimators of pae.models."
    elif name in PARTS:
        msg += f" It names {PARTS[name][1]} adata.{PARTS[name][0]}."
    raise TypeError(msg)
