"""Weights of members: their signs and sizes, through everything that changes gene sets, and as a matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets.membership import unique_genes
from pathwayae.core.genesets.tokens import checked, members_of
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Weights = Mapping[str, Mapping[str, float]]


def read(
    sets: Mapping[str, Any], given: Weights | None
) -> tuple[dict[str, tuple[str, ...]], dict[str, dict[str, float]]]:
    """Members of every set, and the weights of the sets that have some other than 1.

    Parameters
    ----------
    sets
        Name → genes, or gene → weight; see :func:`pathwayae.core.genesets.tokens.members_of`.
    given
        Name → gene → weight, which count instead of those in `sets`; genes that are no members are left out. Names
        are then taken as they stand: data may have a gene ``ENSG00000116824|CD2``.

    Returns
    -------
    Name → genes, and name → gene → weight.

    Examples
    --------
    >>> read({"T": {"CD3D": 1, "CD14": -1}, "B": ["CD19"]}, None)
    ({'T': ('CD3D', 'CD14'), 'B': ('CD19',)}, {'T': {'CD3D': 1.0, 'CD14': -1.0}})
    """
    genes, weights = {}, {}
    for name, members in sets.items():
        if given is None:
            genes[name], own = members_of(name, members)
        else:
            genes[name] = unique_genes(name, members)
            own = checked(name, {gene: given.get(name, {}).get(gene, 1.0) for gene in genes[name]})
        if own:
            weights[name] = own
    return genes, weights


def refuse_conflicts(left: Weights, right: Weights, names: Iterable[str]) -> None:
    """Raise where two collections give a set of one name different weights.

    Examples
    --------
    >>> refuse_conflicts({"T": {"CD3D": 2.0}}, {"T": {"CD3D": 2.0}}, ["T"])
    """
    if differ := [name for name in names if left.get(name) != right.get(name)]:
        msg = f"{len(differ)} set(s) have other weights in the other collection: {listed(differ)}. Rename or drop them."
        raise ValueError(msg)


def refuse(weights: Weights, why: str) -> None:
    """Raise where there are weights, which something cannot use.

    Examples
    --------
    >>> refuse({}, "a list of genes has none")
    """
    if weights:
        msg = (
            f"{len(weights)} set(s) have weights, e.g. {listed(weights, 1)}: {why}. To take all members as equals, "
            "build the collection from lists of genes, or with from_frame(table, weight=None)."
        )
        raise ValueError(msg)


def frame(sets: Mapping[str, Sequence[str]], weights: Weights) -> pd.DataFrame:
    """Long table: ``source`` (set), ``target`` (gene), ``weight``.

    Examples
    --------
    >>> frame({"T": ("CD3D",)}, {}).to_numpy().tolist()
    [['T', 'CD3D', 1.0]]
    """
    pairs = [(name, gene, weights.get(name, {}).get(gene, 1.0)) for name, genes in sets.items() for gene in genes]
    return pd.DataFrame(pairs, columns=["source", "target", "weight"]).astype({"weight": float})


def cells(sets: Mapping[str, tuple[str, ...]], weights: Weights) -> dict[str, tuple[str, ...]]:
    """Members as text, with their weights behind a comma in the sets that have some.

    Examples
    --------
    >>> cells({"T": ("CD3D",), "B": ("CD19",)}, {"B": {"CD19": -1.0}})
    {'T': ('CD3D',), 'B': ('CD19,-1.0',)}
    """
    return {
        name: tuple(f"{gene},{weights[name][gene]!r}" for gene in genes) if name in weights else genes
        for name, genes in sets.items()
    }


def renamed(weights: Weights, names: Mapping[str, Sequence[str]]) -> dict[str, dict[str, float]]:
    """Weights under new names of genes.

    Parameters
    ----------
    weights
        Name → gene → weight.
    names
        Gene → new names.

    Raises
    ------
    ValueError
        If genes with different weights in a set get the same name.

    Examples
    --------
    >>> renamed({"T": {"CD3D": 2.0, "CD14": -1.0}}, {"CD3D": ["Cd3d"]})
    {'T': {'Cd3d': 2.0}}
    """
    result: dict[str, dict[str, float]] = {}
    for name, own in weights.items():
        result[name] = {}
        for gene, weight in own.items():
            for new in names.get(gene, ()):
                if result[name].setdefault(new, weight) != weight:
                    msg = (
                        f"gene set {name!r}: genes with the weights {result[name][new]:g} and {weight:g} would both be "
                        f"called {new!r}. Leave one of them out of the mapping."
                    )
                    raise ValueError(msg)
    return result


def column(df: pd.DataFrame, source: str, target: str, weight: str) -> dict[str, dict[str, float]]:
    """Sets of a long table with weights: name → gene → weight.

    Raises
    ------
    ValueError
        If a weight is no number, or a pair comes twice with different weights.

    Examples
    --------
    >>> table = pd.DataFrame({"source": ["T", "T"], "target": ["CD3D", "CD14"], "weight": [1, -1]})
    >>> column(table, "source", "target", "weight")
    {'T': {'CD3D': 1.0, 'CD14': -1.0}}
    """
    values = pd.to_numeric(df[weight], errors="coerce").astype(float)
    wrong = ~np.isfinite(values) | (values == 0)
    if wrong.any():
        msg = (
            f"{weight!r}: {int(wrong.sum())} of {len(df)} weights are no finite numbers other than 0, e.g. "
            f"{df[weight][wrong].iloc[0]!r}. Drop these rows, or pass weight=None to take all members as equals."
        )
        raise ValueError(msg)
    sets: dict[str, dict[str, float]] = {}
    for name, gene, value in zip(df[source], df[target], values, strict=True):
        if sets.setdefault(name, {}).setdefault(gene, value) != value:
            msg = (
                f"{weight!r}: {name!r} and {gene!r} come with the weights {sets[name][gene]:g} and {value:g}. Keep one "
                "row for each pair."
            )
            raise ValueError(msg)
    return sets


def matrix(weights: Weights, names: Sequence[str], genes: Sequence[str], member: Any) -> sparse.csr_matrix:
    """Lay weights over a membership: every member has its own, of mean size 1 in each column.

    Parameters
    ----------
    weights
        Name → gene → weight; sets that are not there have 1 throughout.
    names, genes
        Names of the columns and of the rows.
    member
        Boolean, sparse, genes × sets.

    Returns
    -------
    CSR, float64, with the pattern of `member`.

    Examples
    --------
    >>> matrix({"T": {"CD3D": 3.0, "CD14": -1.0}}, ["T"], ["CD14", "CD3D"], sparse.csr_matrix([[1], [1]])).toarray()
    array([[-0.5],
           [ 1.5]])
    """
    result = sparse.csc_matrix(member, dtype=np.float64, copy=True)
    for j, name in enumerate(names):
        if own := weights.get(name):
            part = slice(result.indptr[j], result.indptr[j + 1])
            values = np.array([own[genes[i]] for i in result.indices[part]])
            result.data[part] = values / np.abs(values).mean() if len(values) else values
    return result.tocsr()
