"""Trimming a collection by its hierarchy, so that parents and children do not say the same thing twice."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd

from pathwayae.core.genesets import membership
from pathwayae.core.genesets import overlap as _overlap
from pathwayae.core.genesets.hierarchy import check_hierarchy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pathwayae.core.genesets.hierarchy import Hierarchy
    from pathwayae.core.genesets.overlap import Sets

logger = logging.getLogger("pathwayae")

How: TypeAlias = Literal["informative", "leaves", "subtract"]


def trim(
    sets: Sets, hierarchy: Hierarchy, how: How = "informative", *, min_genes: int = 1, jaccard: float = 0.8
) -> dict[str, tuple[str, ...]]:
    """Thin sets out by their hierarchy.

    Parameters
    ----------
    sets, hierarchy, how, min_genes, jaccard
        As for :func:`trim_report`.

    Returns
    -------
    Name → genes of the sets that are left, in their order.

    Examples
    --------
    >>> from pathwayae.core.genesets.hierarchy import Hierarchy
    >>> sets = {"immune": ["C3", "CD3D", "CD2"], "T cell": ["CD3D", "CD2"]}
    >>> trim(sets, Hierarchy({"immune": (), "T cell": ("immune",)}), "subtract")
    {'immune': ('C3',), 'T cell': ('CD3D', 'CD2')}
    """
    left, reasons = _plan(sets, hierarchy, how, min_genes, jaccard)
    kept = {name: genes for name, genes in left.items() if not reasons[name]}
    before, after = ({gene for genes in some.values() for gene in genes} for some in (sets, kept))
    logger.info(
        "trim(how=%r): %d → %d sets; %d of %d genes are in no set any more; trim_report gives the reasons",
        how,
        len(sets),
        len(kept),
        len(before - after),
        len(before),
    )
    return kept


def trim_report(
    sets: Sets, hierarchy: Hierarchy, how: How = "informative", *, min_genes: int = 1, jaccard: float = 0.8
) -> pd.DataFrame:
    """Say which sets ``trim`` with the same arguments keeps, and why the others go.

    A set is *below* another if the hierarchy leads from it up to the other, in one step or several; sets of the
    hierarchy that are not in the collection are passed through.

    ``"informative"``
        Keep the levels that differ: going up from the deepest sets, a set goes if its Jaccard index with a kept set
        below it reaches `jaccard`. Of two names for nearly the same genes the more specific one stays, and no kept set
        is nearly the same as one below it.
    ``"leaves"``
        Keep the sets that have no other set below them.
    ``"subtract"``
        Keep all levels, but each gene only where it is most specific: going up from the deepest sets, a set loses the
        genes of the kept sets below it. One that has too few left goes, and its genes stay with those above it.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    hierarchy
        The hierarchy of the set names (:func:`pathwayae.gs.hierarchy_of`). It may hold more names.
    how
        What to keep.
    min_genes
        Smaller sets go: before all else, so that they count as nobody's children; under ``"subtract"`` by what is left
        of them.
    jaccard
        From which Jaccard index on two sets are nearly the same; for ``"informative"``.

    Returns
    -------
    One row per set: ``pathway``, ``n_genes``, ``n_left`` (genes it keeps, 0 if it goes) and ``reason`` (empty if it
    stays).

    Raises
    ------
    TypeError
        If `hierarchy` is something else, an ontology say.
    KeyError
        If a set is not in the hierarchy.
    ValueError
        If an option is out of bounds.

    Examples
    --------
    >>> from pathwayae.core.genesets.hierarchy import Hierarchy
    >>> sets = {"immune": ["C3", "CD3D", "CD2"], "T cell": ["CD3D", "CD2"]}
    >>> table = trim_report(sets, Hierarchy({"immune": (), "T cell": ("immune",)}), "leaves")
    >>> table.set_index("pathway").loc["immune"].to_dict()
    {'n_genes': 3, 'n_left': 0, 'reason': '1 set(s) below it'}
    """
    left, reasons = _plan(sets, hierarchy, how, min_genes, jaccard)
    records = [
        (name, len(set(genes)), 0 if reasons[name] else len(left[name]), reasons[name]) for name, genes in sets.items()
    ]
    return pd.DataFrame.from_records(records, columns=["pathway", "n_genes", "n_left", "reason"])


def _plan(
    sets: Sets, hierarchy: Hierarchy, how: str, min_genes: int, jaccard: float
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """What is left of each set, and why it goes (empty if it stays)."""
    if how not in get_args(How):
        msg = f"how={how!r} is unknown. Choose one of {', '.join(map(repr, get_args(How)))}."
        raise ValueError(msg)
    if min_genes < 1:
        msg = f"min_genes must be at least 1, got {min_genes}."
        raise ValueError(msg)
    _overlap.check_share("jaccard", jaccard)
    check_hierarchy(hierarchy, sets)
    genes = {name: membership.unique_genes(name, listed) for name, listed in sets.items()}
    reasons = dict.fromkeys(genes, "")
    if how == "subtract":
        return _subtract(genes, hierarchy.restrict(genes), min_genes, reasons), reasons
    large = [name for name, listed in genes.items() if len(listed) >= min_genes]
    reasons |= {name: f"fewer than {min_genes} genes" for name in genes if name not in set(large)}
    among = hierarchy.restrict(large)
    if how == "leaves":
        below = np.asarray(among.closure.sum(axis=0)).ravel() - 1
        reasons |= {name: f"{count} set(s) below it" for name, count in zip(large, below, strict=True) if count}
    else:
        _drop_alike({name: genes[name] for name in large}, among, jaccard, reasons)
    return genes, reasons


def _upwards(hierarchy: Hierarchy) -> Iterator[str]:
    """All names, each after all names below it."""
    for position in np.argsort(-hierarchy.depths, kind="stable"):
        yield hierarchy.names[position]


def _subtract(
    genes: dict[str, tuple[str, ...]], hierarchy: Hierarchy, min_genes: int, reasons: dict[str, str]
) -> dict[str, tuple[str, ...]]:
    covered: dict[str, set[str]] = {name: set() for name in genes}  # by kept sets below
    left = {}
    for name in _upwards(hierarchy):
        left[name] = tuple(gene for gene in genes[name] if gene not in covered[name])
        passed_up = covered.pop(name)
        if len(left[name]) < min_genes:
            reasons[name] = f"fewer than {min_genes} genes left of {len(genes[name])}"
        else:
            passed_up = passed_up.union(left[name])
        for parent in hierarchy.parents[name]:
            covered[parent] |= passed_up
    return {name: left[name] for name in genes}


def _drop_alike(genes: Sets, hierarchy: Hierarchy, jaccard: float, reasons: dict[str, str]) -> None:
    steps = hierarchy.closure.tocoo()
    lower, upper = steps.row[steps.row != steps.col], steps.col[steps.row != steps.col]
    likeness = _overlap.jaccard_of(genes, lower, upper)
    alike: dict[str, list[tuple[float, str]]] = {}
    for i in np.flatnonzero(likeness >= jaccard):
        alike.setdefault(hierarchy.names[upper[i]], []).append((-float(likeness[i]), hierarchy.names[lower[i]]))
    for name in _upwards(hierarchy):
        for negative, other in sorted(alike.get(name, [])):
            if not reasons[other]:
                reasons[name] = f"Jaccard {-negative:.2f} with {other!r} below it"
                break
