"""A hierarchy of named things (terms, pathways): who lies below whom, and how deep."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from scipy import sparse

from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

Span: TypeAlias = "int | tuple[int | None, int | None]"

_SHOWN = 8


@dataclass(frozen=True, repr=False)
class Hierarchy:
    """A directed graph without cycles from names to their parents.

    A name may have several parents. *Depth* is the longest way up to a root, *level* the shortest; roots have 0.

    Parameters
    ----------
    parents
        Name → its direct parents; a root has none. Every parent must be a name itself.

    Raises
    ------
    TypeError
        If the parents of a name are a string.
    ValueError
        If a parent is not among the names, or the names of a cycle, which are listed.

    Examples
    --------
    >>> tree = Hierarchy({"immune": (), "adaptive": ("immune",), "T cell": ("adaptive",), "B cell": ("adaptive",)})
    >>> tree.ancestors("T cell")
    ('immune', 'adaptive')
    >>> tree.depth("T cell")
    2
    >>> tree.restrict(["immune", "B cell"]).parents
    {'immune': (), 'B cell': ('immune',)}
    """

    parents: Mapping[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        checked: dict[str, tuple[str, ...]] = {}
        for name, above in self.parents.items():
            if isinstance(above, str):
                msg = f"the parents of {name!r} must be a tuple of names, found {above!r}. Write ({above!r},)."
                raise TypeError(msg)
            checked[name] = tuple(dict.fromkeys(above))
        dangling = [(name, parent) for name, above in checked.items() for parent in above if parent not in checked]
        if dangling:
            name, parent = dangling[0]
            msg = (
                f"{len(dangling)} parent(s) are not names of the hierarchy, e.g. {parent!r}, parent of {name!r}. "
                "Add them as names (with no parents if they are roots), or drop them."
            )
            raise ValueError(msg)
        object.__setattr__(self, "parents", checked)
        if (self.depths < 0).any():
            cycle = self._find_cycle()
            shown = cycle if len(cycle) <= _SHOWN else [*cycle[: _SHOWN - 1], "…", cycle[-1]]
            msg = (
                f"the hierarchy has a cycle of {len(cycle)} name(s), each below the next: "
                f"{' → '.join([*shown, cycle[0]])}. Remove one of these parents."
            )
            raise ValueError(msg)

    def __len__(self) -> int:
        return len(self.parents)

    def __contains__(self, name: object) -> bool:
        return name in self.parents

    def __repr__(self) -> str:
        n_edges = sum(map(len, self.parents.values()))
        counts = {"name": len(self), "parent": n_edges, "root": len(self.roots)}
        shown = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
        return f"{type(self).__name__}({shown})"

    @cached_property
    def names(self) -> tuple[str, ...]:
        """All names, in order."""
        return tuple(self.parents)

    @cached_property
    def roots(self) -> tuple[str, ...]:
        """Names without parents, in order."""
        return tuple(name for name, above in self.parents.items() if not above)

    @cached_property
    def positions(self) -> dict[str, int]:
        """Name → its position, the row and column of the matrices."""
        return {name: position for position, name in enumerate(self.names)}

    @cached_property
    def matrix(self) -> sparse.csr_matrix[np.bool_]:
        """Names × names, boolean: the column is a direct parent of the row."""
        above = [self.positions[parent] for parents in self.parents.values() for parent in parents]
        below = np.repeat(np.arange(len(self)), [len(parents) for parents in self.parents.values()])
        shape = (len(self), len(self))
        return sparse.csr_matrix((np.ones(len(above), dtype=np.bool_), (below, above)), shape=shape, dtype=np.bool_)

    @cached_property
    def closure(self) -> sparse.csr_matrix[np.bool_]:
        """Names × names, boolean: the column is the row itself or one of its ancestors, near or far."""
        reached = (self.matrix + sparse.identity(len(self), dtype=np.bool_, format="csr")).tocsr()
        n_known = -1
        while reached.nnz != n_known:  # each round doubles the length of the ways up
            n_known = reached.nnz
            reached = (reached @ reached).tocsr()
        reached.sort_indices()
        return reached

    @cached_property
    def depths(self) -> npt.NDArray[np.int64]:
        """The longest way up to a root for each name, in order."""
        children = self.matrix.T.tocsr()
        waiting = np.diff(self.matrix.indptr).astype(np.int64)
        depths = np.full(len(self), -1, dtype=np.int64)
        front, step = np.flatnonzero(waiting == 0), 0
        while len(front):  # a name is placed one step after the last of its parents
            depths[front] = step
            below = children[front].indices
            waiting -= np.bincount(below, minlength=len(self))
            front = np.unique(below)
            front = front[waiting[front] == 0]
            step += 1
        return depths

    @cached_property
    def levels(self) -> npt.NDArray[np.int64]:
        """The shortest way up to a root for each name, in order."""
        children = self.matrix.T.tocsr()
        levels = np.full(len(self), -1, dtype=np.int64)
        front, step = np.flatnonzero(np.diff(self.matrix.indptr) == 0), 0
        while len(front):
            levels[front] = step
            front = np.unique(children[front].indices)
            front = front[levels[front] < 0]
            step += 1
        return levels

    def depth(self, name: str) -> int:
        """Give the longest way up from a name to a root.

        Parameters
        ----------
        name
            One of the names.

        Returns
        -------
        The number of steps, 0 for a root.

        Examples
        --------
        >>> Hierarchy({"a": (), "b": ("a",), "c": ("a", "b")}).depth("c")
        2
        """
        return int(self.depths[self._position(name)])

    def level(self, name: str) -> int:
        """Give the shortest way up from a name to a root.

        Parameters
        ----------
        name
            One of the names.

        Returns
        -------
        The number of steps, 0 for a root.

        Examples
        --------
        >>> Hierarchy({"a": (), "b": ("a",), "c": ("a", "b")}).level("c")
        1
        """
        return int(self.levels[self._position(name)])

    def ancestors(self, name: str) -> tuple[str, ...]:
        """List all names above a name, near and far.

        Parameters
        ----------
        name
            One of the names; it is not among its own ancestors.

        Returns
        -------
        The ancestors in the order of the hierarchy.

        Examples
        --------
        >>> Hierarchy({"a": (), "b": ("a",), "c": ("b",)}).ancestors("c")
        ('a', 'b')
        """
        own = self._position(name)
        start, end = self.closure.indptr[own : own + 2]
        return tuple(self.names[i] for i in self.closure.indices[start:end] if i != own)

    def descendants(self, name: str) -> tuple[str, ...]:
        """List all names below a name, near and far.

        Parameters
        ----------
        name
            One of the names; it is not among its own descendants.

        Returns
        -------
        The descendants in the order of the hierarchy.

        Examples
        --------
        >>> Hierarchy({"a": (), "b": ("a",), "c": ("b",)}).descendants("a")
        ('b', 'c')
        """
        own = self._position(name)
        start, end = self._below.indptr[own : own + 2]
        return tuple(self.names[i] for i in self._below.indices[start:end] if i != own)

    def restrict(self, names: Iterable[str]) -> Hierarchy:
        """Keep some names; where names between two of them go, parenthood passes through.

        Parameters
        ----------
        names
            The names to keep.

        Returns
        -------
        A hierarchy of these names in the order given. Its parents are the first kept names on each way up, so that
        ancestors among the kept names stay ancestors.

        Raises
        ------
        KeyError
            If a name is unknown.

        Examples
        --------
        >>> Hierarchy({"a": (), "b": ("a",), "c": ("b",)}).restrict(["c", "a"]).parents
        {'c': ('a',), 'a': ()}
        """
        kept = list(dict.fromkeys(names))
        for name in kept:
            self._position(name)
        wanted = set(kept)
        nearest: dict[str, tuple[str, ...]] = {}
        for position in np.argsort(self.depths, kind="stable"):  # parents come before their children
            name = self.names[position]
            nearest[name] = tuple(
                dict.fromkeys(
                    found
                    for parent in self.parents[name]
                    for found in ((parent,) if parent in wanted else nearest[parent])
                )
            )
        return Hierarchy({name: nearest[name] for name in kept})

    @cached_property
    def _below(self) -> sparse.csr_matrix[np.bool_]:
        below = self.closure.T.tocsr()
        below.sort_indices()
        return below

    def _position(self, name: str) -> int:
        if name not in self.positions:
            msg = f"{name!r} is not in the hierarchy of {len(self)} names ({listed(self.names)}). See `names`."
            raise KeyError(msg)
        return self.positions[name]

    def _find_cycle(self) -> list[str]:
        stuck = {self.names[i] for i in np.flatnonzero(self.depths < 0)}
        way = [min(stuck)]
        while way.count(way[-1]) < 2:  # a stuck name always has a stuck parent, so the way up must come back
            way.append(min(parent for parent in self.parents[way[-1]] if parent in stuck))
        return way[way.index(way[-1]) : -1]


def check_hierarchy(hierarchy: object, sets: Iterable[str]) -> None:
    """Refuse what is not a hierarchy with the names of all sets.

    Parameters
    ----------
    hierarchy
        The hierarchy.
    sets
        Names of the sets.

    Raises
    ------
    TypeError
        If it is no :class:`Hierarchy`.
    KeyError
        If a set is not in it.

    Examples
    --------
    >>> check_hierarchy(Hierarchy({"immune": (), "T cell": ("immune",)}), ["T cell"])
    """
    make = "pae.gs.hierarchy_of(collection, ontology)"
    if not isinstance(hierarchy, Hierarchy):
        msg = f"hierarchy must be a Hierarchy of the set names, found {type(hierarchy).__name__}. Make it with {make}."
        raise TypeError(msg)
    names = list(sets)
    if unknown := [name for name in names if name not in hierarchy]:
        msg = (
            f"{len(unknown)} of {len(names)} sets are not in the hierarchy, e.g. {unknown[0]!r}; its names are like "
            f"{next(iter(hierarchy.names), '')!r}. Make the hierarchy from this collection with {make}, or select the "
            "sets that are in it."
        )
        raise KeyError(msg)


def within(parameter: str, span: Span, steps: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Find the names that lie so many steps below a root.

    Parameters
    ----------
    parameter
        What the errors call it.
    span
        A whole number, or a pair (least, most), both included, where ``None`` is no limit.
    steps
        Depths or levels of the names.

    Returns
    -------
    One boolean per name.

    Raises
    ------
    ValueError
        If `span` is neither, or leaves nothing.

    Examples
    --------
    >>> within("depth", (1, None), np.array([0, 1, 2])).tolist()
    [False, True, True]
    """
    ends: Any = (span, span) if _is_step(span) else span
    if not (isinstance(ends, (tuple, list)) and len(ends) == 2 and all(end is None or _is_step(end) for end in ends)):
        msg = (
            f"{parameter}={span!r} is neither a whole number nor a pair. Give a number or (least, most), both "
            "included, with None for no limit."
        )
        raise ValueError(msg)
    deepest = int(steps.max(initial=0))
    low, high = 0 if ends[0] is None else ends[0], deepest if ends[1] is None else ends[1]
    if low < 0 or high < low or low > deepest:
        msg = (
            f"{parameter}={span!r} leaves no term: the ontology has {parameter} 0 to {deepest}. Give a number or "
            "(least, most)."
        )
        raise ValueError(msg)
    return (steps >= low) & (steps <= high)


def _is_step(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
