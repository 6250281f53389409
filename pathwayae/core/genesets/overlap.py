"""How gene sets overlap: the shared genes of all pairs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets import membership

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    Sets: TypeAlias = Mapping[str, Sequence[str]]

_SHOWN = 3
PAIRS_AT_ONCE = 2**23  # pairs of sets compared at a time

Measure: TypeAlias = Literal["jaccard", "containment", "shared"]


def overlap(sets: Sets, *, min_shared: int = 1, jaccard: float | None = None) -> pd.DataFrame:
    """Compare all pairs of sets that share genes.

    Sets are told apart by their names alone: two with the same genes are a pair like any other.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    min_shared
        Fewest genes a pair must share, at least 1.
    jaccard
        Smallest Jaccard index of a pair; with it thousands of sets are compared in less than a second. ``None`` for
        all pairs.

    Returns
    -------
    One row per pair, the most alike first: ``set_a`` (the one that comes first), ``set_b``, their sizes ``n_a`` and
    ``n_b``, ``n_shared``, ``jaccard`` (shared genes / genes of either) and ``containment`` (shared genes / genes of
    the smaller set; 1 if one lies within the other).

    Raises
    ------
    ValueError
        If `min_shared` is below 1, or `jaccard` is not above 0 and at most 1.

    Examples
    --------
    >>> overlap({"T": ["CD3D", "CD3E", "CD2"], "B": ["CD19"], "NK": ["NKG7", "CD2"]}).iloc[0].to_dict()
    {'set_a': 'T', 'set_b': 'NK', 'n_a': 3, 'n_b': 2, 'n_shared': 1, 'jaccard': 0.25, 'containment': 0.5}
    """
    if min_shared < 1:
        msg = f"min_shared must be at least 1, got {min_shared}: pairs without shared genes are not listed."
        raise ValueError(msg)
    check_share("jaccard", jaccard)
    names, sizes = np.array(list(sets), dtype=object), _sizes(sets)
    if jaccard is None:
        pairs = measured(_shared(sets).tocoo(), sizes)
    else:
        pairs = alike(member_of(sets), jaccard, None)
        pairs[["first", "second"]] = np.sort(pairs[["first", "second"]].to_numpy(), axis=1)
        pairs = pairs.sort_values(["first", "second"])
    pairs = pairs[pairs["n_shared"] >= min_shared]
    pairs = pairs.sort_values(["jaccard", "containment"], ascending=False, kind="stable", ignore_index=True)
    first, second = pairs.pop("first").to_numpy(), pairs.pop("second").to_numpy()
    pairs.insert(0, "set_a", names[first])
    pairs.insert(1, "set_b", names[second])
    pairs.insert(2, "n_a", sizes[first])
    pairs.insert(3, "n_b", sizes[second])
    return pairs


def overlap_matrix(sets: Sets, *, measure: Measure = "jaccard") -> pd.DataFrame:
    """Compare every set with every other.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    measure
        ``"jaccard"`` (shared genes / genes of either), ``"containment"`` (shared genes / genes of the smaller set) or
        ``"shared"`` (their number). Sets without genes have 0 everywhere.

    Returns
    -------
    Sets × sets, symmetric, in the order of the collection.

    Raises
    ------
    ValueError
        If `measure` is unknown.

    Examples
    --------
    >>> overlap_matrix({"T": ["CD3D", "CD3E", "CD2"], "NK": ["NKG7", "CD2"]}).to_numpy().tolist()
    [[1.0, 0.25], [0.25, 1.0]]
    """
    if measure not in get_args(Measure):
        msg = f"measure={measure!r} is unknown. Choose one of {', '.join(map(repr, get_args(Measure)))}."
        raise ValueError(msg)
    shared = _shared(sets)
    sizes = _sizes(sets)
    if measure != "shared":
        shared = shared.astype(np.float64)
        rows, columns = _coordinates(shared)
        if measure == "jaccard":
            shared.data /= sizes[rows] + sizes[columns] - shared.data
        else:
            shared.data /= np.minimum(sizes[rows], sizes[columns])
    return pd.DataFrame(shared.toarray(), index=list(sets), columns=list(sets))


def jaccard_of(sets: Sets, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp]) -> npt.NDArray[np.float64]:
    """Jaccard index of some pairs.

    Parameters
    ----------
    sets
        Name → genes.
    rows, columns
        Positions of the one and of the other set of each pair.

    Returns
    -------
    One value per pair; 0 for sets without genes.

    Examples
    --------
    >>> jaccard_of({"T": ["CD3D", "CD2"], "NK": ["NKG7", "CD2"]}, np.array([0]), np.array([1])).round(2).tolist()
    [0.33]
    """
    member, sizes = member_of(sets), _sizes(sets)
    shared = np.asarray(member[rows].multiply(member[columns]).sum(axis=1), dtype=np.float64).ravel()
    either = sizes[rows] + sizes[columns] - shared
    return shared / np.maximum(either, 1)


def member_of(sets: Sets) -> Any:
    """Lay sets over their genes.

    Parameters
    ----------
    sets
        Name → genes.

    Returns
    -------
    Sets × genes, whole numbers 0 and 1, CSR.

    Examples
    --------
    >>> member_of({"T": ["CD3D", "CD2"], "NK": ["NKG7", "CD2"]}).toarray().tolist()
    [[1, 1, 0], [0, 1, 1]]
    """
    listed = [membership.unique_genes(name, genes) for name, genes in sets.items()]
    position = {gene: i for i, gene in enumerate(dict.fromkeys(gene for genes in listed for gene in genes))}
    columns = np.array([position[gene] for genes in listed for gene in genes], dtype=np.int32)
    rows = np.repeat(np.arange(len(listed), dtype=np.int32), [len(genes) for genes in listed])
    shape = (len(listed), len(position))
    return sparse.csr_matrix((np.ones(len(columns), dtype=np.int32), (rows, columns)), shape=shape)


def measured(shared: Any, sizes: npt.NDArray[np.int64]) -> pd.DataFrame:
    """Measure how alike sets are whose shared genes are counted.

    Parameters
    ----------
    shared
        Numbers of shared genes, COO; only what is above the diagonal counts.
    sizes
        Numbers of genes of the sets.

    Returns
    -------
    One row per pair: positions ``first`` and ``second``, ``n_shared``, ``jaccard`` and ``containment``.

    Examples
    --------
    >>> measured(sparse.coo_array([[3, 1], [1, 2]]), np.array([3, 2])).to_dict("records")
    [{'first': 0, 'second': 1, 'n_shared': 1, 'jaccard': 0.25, 'containment': 0.5}]
    """
    chosen = shared.col > shared.row
    first, second, count = shared.row[chosen], shared.col[chosen], shared.data[chosen].astype(np.int64)
    return pd.DataFrame(
        {
            "first": first.astype(np.intp),
            "second": second.astype(np.intp),
            "n_shared": count,
            "jaccard": count / (sizes[first] + sizes[second] - count),
            "containment": count / np.minimum(sizes[first], sizes[second]),
        }
    )


def alike(member: Any, jaccard: float | None, containment: float | None) -> pd.DataFrame:
    """Find the pairs of sets that reach one of the thresholds.

    Sets go by size, some at a time, against those that are no smaller: of the product of all with all only a part is
    there at once. Where only the Jaccard index counts, sets that are too large to reach it are left out.

    Parameters
    ----------
    member
        Sets × genes, whole numbers 0 and 1, CSR.
    jaccard, containment
        The thresholds; ``None`` not to use one.

    Returns
    -------
    What :func:`measured` returns; which set of a pair is the first says nothing.

    Examples
    --------
    >>> sets = member_of({"T": ["CD3D", "CD3E", "CD2"], "T cells": ["CD3D", "CD3E"], "B": ["CD19"]})
    >>> alike(sets, 0.5, None)[["n_shared", "containment"]].to_dict("records")
    [{'n_shared': 2, 'containment': 1.0}]
    """
    sizes = np.diff(member.indptr).astype(np.int64)
    order = np.argsort(sizes, kind="stable")
    member, ordered = member[order], sizes[order]
    n_at_once = max(1, PAIRS_AT_ONCE // max(1, len(sizes)))
    parts = [] if len(sizes) else [measured(sparse.coo_array((0, 0), dtype=np.int32), sizes)]
    for start in range(0, len(sizes), n_at_once):
        some = member[start : start + n_at_once]
        end = len(sizes)
        if jaccard is not None and containment is None:
            end = int(np.searchsorted(ordered, ordered[start : start + n_at_once][-1] / jaccard + 1e-6, "right"))
        pairs = measured((some @ member[start:end].T).tocoo(), ordered[start:end])
        alike = np.zeros(len(pairs), dtype=np.bool_)
        for column, least in (("jaccard", jaccard), ("containment", containment)):
            alike |= pairs[column].to_numpy() >= (np.inf if least is None else least)
        places = {side: order[start + pairs.loc[alike, side].to_numpy()] for side in ("first", "second")}
        parts.append(pairs[alike].assign(**places))
    return pd.concat(parts, ignore_index=True)


def check_share(parameter: str, value: float | None) -> None:
    """Refuse thresholds that are not above 0 and at most 1.

    Parameters
    ----------
    parameter
        What the error calls it.
    value
        The threshold; ``None`` passes.

    Raises
    ------
    ValueError
        If it is out of bounds.

    Examples
    --------
    >>> check_share("jaccard", 0.8)
    """
    if value is not None and not 0 < value <= 1:
        msg = f"{parameter}={value!r} is no threshold. Give a number above 0 and at most 1."
        raise ValueError(msg)


def refuse_conflicts(sets: Sets, others: Sets) -> None:
    """Raise an error if a name has different genes in two collections; their order does not count.

    Parameters
    ----------
    sets, others
        Name → genes.

    Raises
    ------
    ValueError
        If there is such a name.

    Examples
    --------
    >>> refuse_conflicts({"T": ["CD3D", "CD2"]}, {"T": ["CD2", "CD3D"], "B": ["CD19"]})
    """
    if differ := [name for name in sets if name in others and set(sets[name]) != set(others[name])]:
        some = ", ".join(map(repr, differ[:_SHOWN])) + ", …" * (len(differ) > _SHOWN)
        msg = f"{len(differ)} set(s) have other genes in the other collection: {some}. Rename or drop them first."
        raise ValueError(msg)


def _sizes(sets: Sets) -> npt.NDArray[np.int64]:
    return np.array([len(membership.unique_genes(name, genes)) for name, genes in sets.items()], dtype=np.int64)


def _shared(sets: Sets) -> Any:
    """Sets × sets, numbers of shared genes, CSR without zeros, in order."""
    member = member_of(sets)
    shared = (member @ member.T).tocsr()
    shared.sort_indices()
    return shared


def _coordinates(matrix: Any) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.intp), np.diff(matrix.indptr))
    return rows, matrix.indices
