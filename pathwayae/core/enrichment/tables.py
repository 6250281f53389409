"""What both tests of enrichment share: inputs checked, gene sets matched, one table of results."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pathwayae.core.notice import listed

logger = logging.getLogger("pathwayae")

COLUMNS = (
    *("component", "term", "method", "direction", "score", "pval", "padj"),
    *("n_genes", "n_overlap", "n_up", "n_down", "genes"),
)
"""Columns of every enrichment table."""

SIGNS = ("both", "up", "down")
"""Which ends of the loadings are tested."""

ONE_SIDED = 0.75  # share of the genes named that has one sign, from which on a term is said to go that way


def check_sign(sign: str) -> None:
    """Raise ValueError unless the sign is one of :data:`SIGNS`."""
    if sign not in SIGNS:
        msg = f"sign={sign!r} is not known; choose one of {', '.join(map(repr, SIGNS))}."
        raise ValueError(msg)


def by_majority(n_up: ArrayLike, n_down: ArrayLike) -> NDArray[np.object_]:
    """Say ``"up"`` or ``"down"`` where three quarters have that sign, else ``"mixed"``; ``"none"`` where none has one.

    Examples
    --------
    >>> by_majority([3, 0, 2, 0], [1, 5, 2, 0]).tolist()
    ['up', 'down', 'mixed', 'none']
    """
    up, down = np.asarray(n_up), np.asarray(n_down)
    both = up + down
    named = np.select(
        [both == 0, up >= ONE_SIDED * both, down >= ONE_SIDED * both], ["none", "up", "down"], default="mixed"
    )
    return named.astype(object)


def check(
    loadings: ArrayLike, genes: Sequence[str], components: Sequence[str], *, min_genes: int, max_genes: int | None
) -> tuple[Any, NDArray[np.str_]]:
    """Loadings as float64, CSC where sparse, and gene names as an array of strings, checked against each other."""
    own = sp.issparse(loadings)  # copied, since a comparison sorts the entries of a sparse array in place
    matrix = sp.csc_array(loadings, dtype=np.float64, copy=True) if own else np.asarray(loadings, np.float64)
    names = np.asarray([str(gene) for gene in genes], dtype=np.str_)
    if matrix.ndim != 2 or matrix.shape != (len(names), len(components)):
        msg = f"loadings must be genes × components = {len(names)} × {len(components)}, got shape {matrix.shape}."
        raise ValueError(msg)
    if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
        msg = "loadings hold values that are not finite."
        raise ValueError(msg)
    for what, values in (("genes", names.tolist()), ("components", list(components))):
        twice = pd.Index(values)[pd.Index(values).duplicated()].unique()
        if len(twice):
            msg = f"{what} must be unique; {len(twice)} occur more than once: {listed(twice)}."
            raise ValueError(msg)
    if min_genes < 1 or (max_genes is not None and max_genes < min_genes):
        msg = f"1 ≤ min_genes ≤ max_genes is needed, got min_genes={min_genes} and max_genes={max_genes}."
        raise ValueError(msg)
    return matrix, names


def match(
    gene_sets: Mapping[str, Sequence[str]], names: NDArray[np.str_], *, min_genes: int, max_genes: int | None
) -> dict[str, NDArray[np.intp]]:
    """Rows of the genes of each term that is large and small enough."""
    row = {name: i for i, name in enumerate(names.tolist())}
    kept: dict[str, NDArray[np.intp]] = {}
    wanted: set[str] = set()
    small = large = 0
    for term, members in gene_sets.items():
        if isinstance(members, str):
            msg = f"gene_sets[{term!r}] is a string; a sequence of gene names is needed."
            raise ValueError(msg)
        unique = {str(gene) for gene in members}
        wanted |= unique
        found = sorted(row[gene] for gene in unique if gene in row)
        if len(found) < min_genes:
            small += 1
        elif (max_genes is not None and len(found) > max_genes) or len(found) == len(names):
            large += 1
        else:
            kept[str(term)] = np.asarray(found, dtype=np.intp)
    if not kept:
        msg = (
            f"None of the {len(gene_sets)} gene sets can be tested: {small} have fewer than {min_genes} genes among "
            f"the {len(names)} tested, {large} too many. {len(wanted & row.keys())} of the {len(wanted)} genes in the "
            f"gene sets are among those tested. Gene sets: {listed(sorted(wanted))}; tested: {listed(sorted(row))}. "
            "If these are different identifiers (symbols, Ensembl, another species), translate one of them; "
            "otherwise change min_genes or max_genes."
        )
        raise ValueError(msg)
    if small or large:
        why = [f"{small} have fewer than {min_genes} genes in the model"] if small else []
        most = "" if max_genes is None else f"more than {max_genes}, or "
        why += [f"{large} have {most}all of them"] if large else []
        logger.info("Enrichment: %d of %d terms tested; %s.", len(kept), len(gene_sets), ", ".join(why))
    return kept


def nonzero(matrix: Any, components: Sequence[str]) -> list[tuple[str, int]]:
    """Name and place of the components that are not zero throughout."""
    loads = np.asarray((matrix != 0).sum(axis=0)).ravel() > 0
    used = [(str(name), j) for j, name in enumerate(components) if loads[j]]
    left = [str(name) for j, name in enumerate(components) if not loads[j]]
    if not used:
        msg = "All loadings are zero: there is nothing to rank."
        raise ValueError(msg)
    if left:
        logger.warning("Enrichment: %d components have no loadings and are left out: %s.", len(left), listed(left))
    return used


def column(matrix: Any, j: int) -> NDArray[np.float64]:
    """Loadings of one component, dense."""
    return matrix[:, [j]].toarray().ravel() if sp.issparse(matrix) else matrix[:, j]


def finish(tables: list[pd.DataFrame], method: str) -> pd.DataFrame:
    """One table in the order of the components, adjusted over all its tests."""
    for i, table in enumerate(tables):
        best_first = np.lexsort((table["term"], -table["score"].abs(), table["pval"]))
        tables[i] = table.iloc[best_first]
    whole = pd.concat(tables, ignore_index=True)
    whole["method"] = method
    whole["padj"] = stats.false_discovery_control(whole["pval"].to_numpy(), method="bh")
    return whole[list(COLUMNS)]
