"""How gene sets overlap: the shared genes of all pairs, and sets that are nearly the same."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets import membership

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    Sets: TypeAlias = Mapping[str, Sequence[str]]

logger = logging.getLogger("pathwayae")

_SHOWN = 3

Measure: TypeAlias = Literal["jaccard", "containment", "shared"]


def overlap(sets: Sets, *, min_shared: int = 1) -> pd.DataFrame:
    """Compare all pairs of sets that share genes.

    Sets are told apart by their names alone: two with the same genes are a pair like any other.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    min_shared
        Fewest genes a pair must share, at least 1.

    Returns
    -------
    One row per pair, the most alike first: ``set_a`` (the one that comes first), ``set_b``, their sizes ``n_a`` and
    ``n_b``, ``n_shared``, ``jaccard`` (shared genes / genes of either) and ``containment`` (shared genes / genes of
    the smaller set; 1 if one lies within the other).

    Raises
    ------
    ValueError
        If `min_shared` is below 1.

    Examples
    --------
    >>> overlap({"T": ["CD3D", "CD3E", "CD2"], "B": ["CD19"], "NK": ["NKG7", "CD2"]}).iloc[0].to_dict()
    {'set_a': 'T', 'set_b': 'NK', 'n_a': 3, 'n_b': 2, 'n_shared': 1, 'jaccard': 0.25, 'containment': 0.5}
    """
    if min_shared < 1:
        msg = f"min_shared must be at least 1, got {min_shared}: pairs without shared genes are not listed."
        raise ValueError(msg)
    names, sizes = np.array(list(sets), dtype=object), _sizes(sets)
    pairs = _pairs(sets, min_shared)
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


def redundant(sets: Sets, *, jaccard: float | None = 0.8, containment: float | None = None) -> pd.DataFrame:
    """List the sets that a larger set makes superfluous.

    Sets are gone through from the largest to the smallest, equal sizes by name. Each one that is still there is kept,
    and all later ones that are alike and still there are dropped in its favour. So nothing is dropped in favour of a
    set that is itself dropped, likeness does not pass along chains, and the order of the collection plays no part.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    jaccard
        Two sets are alike from this Jaccard index on (shared genes / genes of either); ``None`` not to use it.
    containment
        Two sets are also alike if this share of the smaller one lies within the larger; ``None`` not to use it.

    Returns
    -------
    One row per superfluous set: ``kept``, ``dropped``, their sizes ``n_kept`` and ``n_dropped``, ``n_shared``,
    ``jaccard``, ``containment``.

    Raises
    ------
    ValueError
        If a threshold is not above 0 and at most 1, or both are ``None``.

    Examples
    --------
    >>> sets = {"T": ["CD3D", "CD3E"], "T cells": ["CD3D", "CD3E", "CD2"], "B": ["CD19"]}
    >>> redundant(sets, jaccard=0.6)[["kept", "dropped"]].to_dict("records")
    [{'kept': 'T cells', 'dropped': 'T'}]
    """
    check_share("jaccard", jaccard)
    check_share("containment", containment)
    if jaccard is None and containment is None:
        msg = "jaccard and containment are both None. Give at least one threshold, jaccard=0.8 say."
        raise ValueError(msg)
    names, sizes = list(sets), _sizes(sets)
    order = sorted(range(len(names)), key=lambda i: (-sizes[i], names[i]))
    place = np.argsort(order)
    pairs = _alike(sets, jaccard, containment)
    sides = np.sort(place[pairs[["first", "second"]].to_numpy()], axis=1)
    turn = np.lexsort((sides[:, 1], sides[:, 0]))
    gone = np.zeros(len(names), dtype=np.bool_)
    rows = []
    for row, (larger, smaller) in zip(turn, sides[turn].tolist(), strict=True):
        if not gone[larger] and not gone[smaller]:  # all that could drop the larger one came before
            gone[smaller] = True
            rows.append(row)
    ordered = np.array([names[i] for i in order], dtype=object)
    kept, dropped = sides[rows].T if rows else np.empty((2, 0), dtype=np.intp)
    table = pairs.drop(columns=["first", "second"]).iloc[rows].reset_index(drop=True)
    table.insert(0, "kept", ordered[kept])
    table.insert(1, "dropped", ordered[dropped])
    table.insert(2, "n_kept", sizes[order][kept])
    table.insert(3, "n_dropped", sizes[order][dropped])
    return table


def merge_similar(
    sets: Sets,
    descriptions: Mapping[str, str],
    *,
    jaccard: float | None = 0.8,
    containment: float | None = None,
    name: Callable[[Sequence[str]], str] | None = None,
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Unite sets that are nearly the same, and log how many are alike in turn.

    Parameters
    ----------
    sets, descriptions, name
        As for :func:`merge`.
    jaccard, containment
        As for :func:`redundant`.

    Returns
    -------
    What :func:`merge` returns.

    Examples
    --------
    >>> sets = {"T": ["CD3D", "CD3E"], "T cells": ["CD3D", "CD3E", "CD2"], "B": ["CD19"]}
    >>> list(merge_similar(sets, {}, jaccard=0.6)[0])
    ['T cells', 'B']
    """
    united, described = merge(sets, descriptions, redundant(sets, jaccard=jaccard, containment=containment), name=name)
    if len(united) < len(sets) and logger.isEnabledFor(logging.INFO):  # comparing all pairs again takes time
        logger.info("%d pair(s) of the merged collection are alike in turn", len(_alike(united, jaccard, containment)))
    return united, described


def merge(
    sets: Sets,
    descriptions: Mapping[str, str],
    table: pd.DataFrame,
    *,
    name: Callable[[Sequence[str]], str] | None = None,
) -> tuple[dict[str, tuple[str, ...]], dict[str, str]]:
    """Unite every kept set with those dropped in its favour.

    Parameters
    ----------
    sets
        Name → genes.
    descriptions
        Name → description.
    table
        What :func:`redundant` returns for these sets.
    name
        Gives the name of a united set from the names of its sets, the kept one first; by default that one's name.

    Returns
    -------
    Name → genes, those of the kept set first, at the place of the kept set; and name → description, that of the kept
    set followed by the names of the others.

    Raises
    ------
    ValueError
        If `name` gives a name twice.

    Examples
    --------
    >>> sets = {"T": ["CD3D", "CD3E"], "T cells": ["CD3E", "CD3D", "CD2"], "B": ["CD19"]}
    >>> merge(sets, {"T cells": "markers"}, redundant(sets, jaccard=0.6))
    ({'T cells': ('CD3E', 'CD3D', 'CD2'), 'B': ('CD19',)}, {'T cells': 'markers; merged with: T', 'B': ''})
    """
    groups: dict[str, list[str]] = {}
    for kept, dropped in zip(table["kept"], table["dropped"], strict=True):
        groups.setdefault(kept, []).append(dropped)
    gone = set(table["dropped"])
    united: dict[str, tuple[str, ...]] = {}
    described: dict[str, str] = {}
    for old in sets:
        if old in gone:
            continue
        others = groups.get(old, [])
        new = name([old, *others]) if name is not None and others else old
        if new in united:
            msg = f"name gives two sets the name {new!r}. Names are identity: make it give different names."
            raise ValueError(msg)
        united[new] = tuple(dict.fromkeys(gene for one in (old, *others) for gene in sets[one]))
        note = f"merged with: {' | '.join(others)}" if others else ""
        described[new] = "; ".join(filter(None, [descriptions.get(old, ""), note]))
    logger.info("%d sets merged into %d others: %d → %d sets", len(gone), len(groups), len(sets), len(united))
    return united, described


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
    member, sizes = _member(sets), _sizes(sets)
    shared = np.asarray(member[rows].multiply(member[columns]).sum(axis=1), dtype=np.float64).ravel()
    either = sizes[rows] + sizes[columns] - shared
    return shared / np.maximum(either, 1)


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


def _member(sets: Sets) -> Any:
    """Sets × genes, whole numbers 0 and 1, CSR."""
    listed = [membership.unique_genes(name, genes) for name, genes in sets.items()]
    position = {gene: i for i, gene in enumerate(dict.fromkeys(gene for genes in listed for gene in genes))}
    columns = np.array([position[gene] for genes in listed for gene in genes], dtype=np.int32)
    rows = np.repeat(np.arange(len(listed), dtype=np.int32), [len(genes) for genes in listed])
    shape = (len(listed), len(position))
    return sparse.csr_matrix((np.ones(len(columns), dtype=np.int32), (rows, columns)), shape=shape)


def _shared(sets: Sets) -> Any:
    """Sets × sets, numbers of shared genes, CSR without zeros, in order."""
    member = _member(sets)
    shared = (member @ member.T).tocsr()
    shared.sort_indices()
    return shared


def _coordinates(matrix: Any) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    rows = np.repeat(np.arange(matrix.shape[0], dtype=np.intp), np.diff(matrix.indptr))
    return rows, matrix.indices


def _alike(sets: Sets, jaccard: float | None, containment: float | None) -> pd.DataFrame:
    """The pairs that reach one of the thresholds."""
    pairs = _pairs(sets)
    alike = np.zeros(len(pairs), dtype=np.bool_)
    for column, least in (("jaccard", jaccard), ("containment", containment)):
        alike |= pairs[column].to_numpy() >= (np.inf if least is None else least)
    return pairs[alike]


def _pairs(sets: Sets, min_shared: int = 1) -> pd.DataFrame:
    """Positions and measures of all pairs that share genes, the first before the second, in order."""
    shared, sizes = _shared(sets), _sizes(sets)
    first, second = _coordinates(shared)
    chosen = (second > first) & (shared.data >= min_shared)
    first, second, count = first[chosen], second[chosen].astype(np.intp), shared.data[chosen].astype(np.int64)
    return pd.DataFrame(
        {
            "first": first,
            "second": second,
            "n_shared": count,
            "jaccard": count / (sizes[first] + sizes[second] - count),
            "containment": count / np.minimum(sizes[first], sizes[second]),
        }
    )
