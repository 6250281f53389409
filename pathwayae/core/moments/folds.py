"""Strata in folds: whole ones, the largest first, each into the fold with the fewest cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.moments.sketch import AnyMoments

N_FOLDS = 5


def deal(counts: NDArray[Any], names: Sequence[str], n_folds: int) -> NDArray[np.intp]:
    """Fold of every stratum, shape (s,): the largest first, of equal ones by name, into the fold with the fewest cells.

    Examples
    --------
    >>> deal(np.array([5, 3, 2, 1]), ["a", "b", "c", "d"], 2).tolist()
    [0, 1, 1, 0]
    """
    filled = np.zeros(n_folds)
    fold = np.zeros(len(names), dtype=np.intp)
    for i in np.lexsort((np.array(names), -np.asarray(counts))):
        fold[i] = filled.argmin()
        filled[fold[i]] += counts[i]
    return fold


def together(moments: AnyMoments, n_folds: int) -> list[tuple[str, ...]]:
    """Strata in at most ``n_folds`` groups, sorted.

    Raises
    ------
    ValueError
        If there is only one stratum.
    """
    if len(moments.strata) < 2:
        msg = (
            "The moments have one stratum, so nothing can be held out. Read them with pae.pp.moments(adata, "
            "sample_key=…), or n_folds=5 where there is one sample."
        )
        raise ValueError(msg)
    fold = deal(moments.counts, moments.strata, n_folds)
    groups = [
        tuple(sorted(name for name, own in zip(moments.strata, fold, strict=True) if own == j)) for j in set(fold)
    ]
    return sorted(groups)


def folds(moments: AnyMoments, n_folds: int) -> AnyMoments:
    """Strata pooled whole into at most ``n_folds``, see :func:`deal`.

    Folds are in the order of their names, those of their strata joined with ``" + "``, so that the order of the strata
    does not matter.

    Raises
    ------
    ValueError
        If there is only one stratum.
    """
    groups = together(moments, n_folds)
    names = {name: " + ".join(group) for group in groups for name in group}
    pooled = moments if len(moments.strata) <= n_folds else moments.pool(names)
    ordered = tuple(sorted(pooled.strata))
    return pooled if pooled.strata == ordered else pooled.select(*ordered)
