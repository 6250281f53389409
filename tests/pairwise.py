"""Few cases in which every two values of two axes still meet."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any


def pairwise(**axes: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Cases, one value per axis in the order given, such that every pair of values of two axes occurs in one of them.

    Greedy and the same on every call: each case is the first one, in the order of the whole product, that holds the
    most pairs not seen before.
    """
    cases = list(itertools.product(*(range(len(values)) for values in axes.values())))
    pairs = {case: set(itertools.combinations(enumerate(case), 2)) for case in cases}
    missing, chosen = set().union(*pairs.values()), []
    while missing:
        best = max(cases, key=lambda case: len(pairs[case] & missing))
        missing -= pairs[best]
        chosen.append(best)
    values = list(axes.values())
    return [tuple(values[axis][i] for axis, i in enumerate(case)) for case in chosen]
