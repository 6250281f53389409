"""Gene sets that are nearly the same: which of them a larger one makes superfluous, and their union."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets import overlap as _overlap

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import numpy.typing as npt

    from pathwayae.core.genesets.overlap import Sets

logger = logging.getLogger("pathwayae")


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
    _overlap.check_share("jaccard", jaccard)
    _overlap.check_share("containment", containment)
    if jaccard is None and containment is None:
        msg = "jaccard and containment are both None. Give at least one threshold, jaccard=0.8 say."
        raise ValueError(msg)
    names, member = np.array(list(sets), dtype=object), _overlap.member_of(sets)
    sizes = np.diff(member.indptr).astype(np.int64)
    pairs = _overlap.alike(member, jaccard, containment)
    rows, kept, dropped = _dropped(pairs, names.tolist(), sizes)
    table = pairs.drop(columns=["first", "second"]).iloc[rows].reset_index(drop=True)
    table.insert(0, "kept", names[kept])
    table.insert(1, "dropped", names[dropped])
    table.insert(2, "n_kept", sizes[kept])
    table.insert(3, "n_dropped", sizes[dropped])
    return table


def redundancy(member: Any, names: Sequence[str], *, alike: float = 0.5, merged: float = 0.8) -> tuple[int, int]:
    """Count the sets that are much like another, and those that :func:`merge_similar` would leave.

    Parameters
    ----------
    member
        Which gene is in which set, sparse, genes × sets.
    names
        Names of the sets.
    alike
        Sets are much like another from this Jaccard index on, at most `merged`.
    merged
        Jaccard index from which on sets are united.

    Returns
    -------
    The two numbers.

    Examples
    --------
    >>> member = sparse.csr_array([[1, 1, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]])
    >>> redundancy(member, ["T", "T cells", "B"]), redundancy(member, ["T", "T cells", "B"], merged=0.6)
    ((2, 3), (2, 2))
    """
    sets = sparse.csr_matrix(member.T, dtype=np.int32)
    pairs = _overlap.alike(sets, alike, None)
    much = np.unique(pairs[["first", "second"]].to_numpy())
    rows, *_ = _dropped(pairs[pairs["jaccard"] >= merged], names, np.diff(sets.indptr))
    return len(much), len(names) - len(rows)


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
        logger.info(
            "%d pair(s) of the merged collection are alike in turn",
            len(_overlap.alike(_overlap.member_of(united), jaccard, containment)),
        )
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


def _dropped(
    pairs: pd.DataFrame, names: Sequence[str], sizes: npt.NDArray[Any]
) -> tuple[list[int], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Rows of the pairs by which a set goes, from the largest set on, and the sets kept and dropped in them."""
    order = np.array(sorted(range(len(names)), key=lambda i: (-sizes[i], names[i])), dtype=np.intp)
    place = np.argsort(order)
    sides = np.sort(place[pairs[["first", "second"]].to_numpy(dtype=np.intp)], axis=1)
    turn = np.lexsort((sides[:, 1], sides[:, 0]))
    gone = np.zeros(len(names), dtype=np.bool_)
    rows = []
    for row, (larger, smaller) in zip(turn.tolist(), sides[turn].tolist(), strict=True):
        if not gone[larger] and not gone[smaller]:  # all that could drop the larger one came before
            gone[smaller] = True
            rows.append(row)
    return rows, order[sides[rows, 0]], order[sides[rows, 1]]
