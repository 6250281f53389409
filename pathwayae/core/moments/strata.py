"""Algebra of what is kept per stratum of the cells, whatever is kept: arrays whose first axis are the strata.

The first array of a stack holds the counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.notice import listed

WHOLE = ("all",)  # the one stratum of cells that were not divided

Floats = NDArray[np.float64]


class Stack(NamedTuple):
    """Names of the strata, and arrays of shape (s, …), counts first."""

    strata: tuple[str, ...]
    arrays: tuple[Floats, ...]


def add(first: Stack, second: Stack) -> Stack:
    """Strata of one name added, others side by side; no input is changed.

    Examples
    --------
    >>> add(Stack(("a",), (np.ones(1),)), Stack(("b", "a"), (np.array([2.0, 3.0]),)))
    Stack(strata=('a', 'b'), arrays=(array([4., 2.]),))
    """
    strata = tuple(dict.fromkeys((*first.strata, *second.strata)))
    position = {name: i for i, name in enumerate(strata)}
    arrays = _zeros(len(strata), first)
    for part in (first, second):
        for i, name in enumerate(part.strata):
            for whole, values in zip(arrays, part.arrays, strict=True):
                whole[position[name]] += values[i]
    return Stack(strata, arrays)


def subtract(first: Stack, second: Stack) -> Stack:
    """Strata without the cells of others of the same name; an empty stratum goes.

    Raises
    ------
    ValueError
        If a stratum is not there, fewer than no cells would be left in one, or none is left.
    """
    position = {name: i for i, name in enumerate(first.strata)}
    unknown = [name for name in second.strata if name not in position]
    if unknown:
        msg = f"Stratum {unknown[0]!r} cannot be subtracted: it is not among {listed(first.strata)}."
        raise ValueError(msg)
    arrays = tuple(values.copy() for values in first.arrays)
    for i, name in enumerate(second.strata):
        for whole, values in zip(arrays, second.arrays, strict=True):
            whole[position[name]] -= values[i]
        if (left := arrays[0][position[name]]) < 0:
            msg = f"Stratum {name!r} would be left with {left:g} cells."
            raise ValueError(msg)
    return select(
        Stack(first.strata, arrays),
        *(name for name, count in zip(first.strata, arrays[0], strict=True) if count > 0),
    )


def select(stack: Stack, *strata: str) -> Stack:
    """Some strata, in the order asked for.

    Raises
    ------
    ValueError
        If a stratum does not exist, or none is asked for.
    """
    unknown = [name for name in strata if name not in stack.strata]
    if unknown or not strata:
        what = f"there is no stratum {unknown[0]!r}" if unknown else "no stratum is left"
        msg = f"No moments without cells: {what} (of {listed(stack.strata)})."
        raise ValueError(msg)
    rows = [stack.strata.index(name) for name in strata]
    return Stack(strata, tuple(values[rows] for values in stack.arrays))


def weigh(stack: Stack, weights: Mapping[str, float] | Sequence[float] | Floats) -> Stack:
    """Every cell of a stratum counts ``weight`` times; weight 0 removes the stratum.

    Raises
    ------
    ValueError
        If weights are not finite, negative, of unknown strata, or not one per stratum.
    """
    if isinstance(weights, Mapping):
        if not set(weights) <= set(stack.strata):
            select(stack, *weights)  # names the unknown one
        weights = [weights.get(name, 1.0) for name in stack.strata]
    w = np.asarray(weights, dtype=np.float64)
    if w.shape != (len(stack.strata),) or not np.isfinite(w).all() or (w < 0).any():
        msg = f"One finite weight of at least 0 is needed per stratum ({len(stack.strata)}); got {weights}."
        raise ValueError(msg)
    kept = select(stack, *(name for name, weight in zip(stack.strata, w, strict=True) if weight > 0))
    own = w[w > 0]
    return Stack(kept.strata, tuple(values * own.reshape(-1, *[1] * (values.ndim - 1)) for values in kept.arrays))


def pool(stack: Stack, groups: Mapping[str, str] | None) -> Stack:
    """Add the strata of each group into one; without ``groups`` all of them, into ``"all"``."""
    names = [WHOLE[0] if groups is None else groups.get(name, name) for name in stack.strata]
    pooled = tuple(dict.fromkeys(names))
    if len(pooled) == len(names):
        return Stack(pooled, stack.arrays)
    arrays = _zeros(len(pooled), stack)
    for i, name in enumerate(names):
        for whole, values in zip(arrays, stack.arrays, strict=True):
            whole[pooled.index(name)] += values[i]
    return Stack(pooled, arrays)


def places_of(chosen: Sequence[str] | NDArray[Any], genes: tuple[str, ...] | None) -> NDArray[np.intp]:
    """Places of genes given by name, index or a boolean mask.

    Raises
    ------
    ValueError
        If a name is not among the genes.
    """
    asked = np.asarray(chosen)
    if asked.dtype.kind in "UO" and len(asked):
        position = {name: i for i, name in enumerate(genes or ())}
        unknown = [name for name in asked if name not in position]
        if unknown:
            msg = f"{len(unknown)} of {len(asked)} genes are not in these moments, for instance {str(unknown[0])!r}."
            raise ValueError(msg)
        asked = np.array([position[name] for name in asked])
    return np.flatnonzero(asked) if asked.dtype == bool else asked.astype(np.intp)


def check_names(strata: tuple[str, ...], genes: tuple[str, ...] | None) -> None:
    """Raise where a stratum or a gene has the name of another."""
    for what, names in (("stratum", strata), ("gene", genes or ())):
        if len(set(names)) != len(names):
            repeated = next(name for name in names if names.count(name) > 1)
            msg = f"A {what} of these moments has the same name as another: {repeated!r}."
            raise ValueError(msg)


def check_genes(first: tuple[str, ...] | None, second: tuple[str, ...] | None, sizes: tuple[int, int]) -> None:
    """Raise unless genes and their order are the same; ``sizes`` are their numbers."""
    if first == second and sizes[0] == sizes[1]:
        return
    if first is None or second is None:
        msg = f"{sizes[0]} and {sizes[1]} genes, not all named, cannot be joined."
        raise ValueError(msg)
    only, there = set(first) - set(second), set(second) - set(first)
    if not only and not there:
        msg = "The genes are the same in another order; join with other.subset(self.genes)."
        raise ValueError(msg)
    msg = (
        f"The genes differ: {len(only)} are in the first moments only ({listed(sorted(only))}), {len(there)} in "
        f"the second only ({listed(sorted(there))}). Take those of both with subset."
    )
    raise ValueError(msg)


def check_kinds(first: object, second: object) -> None:
    """Raise where exact moments would be joined with a sketch, or either with something else."""
    if type(first) is type(second):
        return
    kinds = sorted(type(one).__name__ for one in (first, second))
    msg = f"{kinds[0]} and {kinds[1]} cannot be joined: "
    if kinds == ["Moments", "Sketch"]:
        msg += "one holds Gram matrices, the other a sketch of them. Read both with the same sketch= of pae.pp.moments."
    else:
        msg += "only moments with moments, and sketches with sketches."
    raise ValueError(msg)


def check_normalize(first: str, second: str) -> None:
    """Raise where values were normalised in two ways."""
    if first != second:
        msg = f"Values normalised by {first!r} cannot be joined with {second!r}."
        raise ValueError(msg)


def _zeros(n: int, like: Stack) -> tuple[Floats, ...]:
    return tuple(np.zeros((n, *values.shape[1:])) for values in like.arrays)
