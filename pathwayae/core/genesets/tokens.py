"""What stands for a gene in a list or a cell of a table → names, each with its weight."""

from __future__ import annotations

import math
import numbers
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pathwayae.core.genesets.membership import unique_genes

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNSEEN = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff\u00ad"  # what web pages and Word leave: it takes no room
_ODD = re.compile(rf"""[,;|"'\s\x00{_UNSEEN}]|/{{2,}}|[+-]$""")  # all that is not a plain name has one of these
_SEPARATOR = re.compile(r"\s*(?:/{2,}|[,;|\n])\s*")
_NUMBER = re.compile(r"[+-]?((\d+\.\d*|\.\d+|\d+)([eE][+-]?\d+)?|[nN]a[nN]|inf)")
_WEIGHTED = re.compile(rf"(?P<gene>.*[^\s,;:])\s*[,;:]\s*(?P<weight>{_NUMBER.pattern})")
_MARKED = re.compile(r"(?P<gene>.*\w)\s*(?:;\s*(?P<mark>[udUD])|(?P<sign>[+-]))")
_BLANK = re.compile(r"\s")
_NO_ROOM = dict.fromkeys(map(ord, _UNSEEN))
_COMMA = re.compile(r"(?P<gene>.*\w)\s*[;:]\s*(?P<weight>[+-]?\d+,\d+)")  # as written in much of Europe
_MARKS = {"u": 1.0, "d": -1.0, "+": 1.0, "-": -1.0}


def members_of(name: str, genes: Any) -> tuple[tuple[str, ...], dict[str, float]]:
    """Take the members of one set apart: names, and weights where some are not 1.

    A weight is the value in a mapping gene → weight, a number after a comma (``"CD3D,0.8"``, as Enrichr writes), or a
    mark: ``"CD3D;u"``, ``"CD14;d"``, ``"CD14-"`` for 1 and −1. Several names in a cell (``"CD3D, CD3E"``,
    ``"TRA@ /// TRAC"``) become several genes; quotes and blanks around a name are removed.

    Parameters
    ----------
    name
        Name of the set, for the errors.
    genes
        Genes, or gene → weight (a mapping or a Series of numbers).

    Returns
    -------
    The different genes in their order, and gene → weight: of all of them, or of none where all weights are 1.

    Raises
    ------
    TypeError
        If a gene is not a string or a weight not a number.
    ValueError
        If a gene is empty or has a NUL byte, a weight is 0 or not finite, or a gene has two different weights.

    Examples
    --------
    >>> members_of("T cells", ["CD3D, CD3E", '"CD2"'])
    (('CD3D', 'CD3E', 'CD2'), {})
    >>> members_of("T cells", {"CD3D": 2, "CD14": -1})
    (('CD3D', 'CD14'), {'CD3D': 2.0, 'CD14': -1.0})
    >>> members_of("T cells", ["CD3D", "CD14;d"])
    (('CD3D', 'CD14'), {'CD3D': 1.0, 'CD14': -1.0})
    """
    given = _weights_given(name, genes)
    raw = unique_genes(name, genes if given is None else list(given))
    if given is None and not any(map(_ODD.search, raw)):
        return raw, {}
    weights: dict[str, float] = {}
    for one in raw:
        outer = 1.0 if given is None else given[one]
        for gene, inner in _taken_apart(name, one):
            weight = _checked(name, gene, outer * inner)
            if weights.setdefault(gene, weight) != weight:
                msg = (
                    f"gene set {name!r}: {gene!r} has the weights {weights[gene]:g} and {weight:g}. Keep one: a gene "
                    "goes up with its set or down."
                )
                raise ValueError(msg)
    return tuple(weights), checked(name, weights)


def checked(name: str, weights: Mapping[str, float]) -> dict[str, float]:
    """Gene → weight where some are not 1; raises where one is 0 or not finite.

    Examples
    --------
    >>> checked("T cells", {"CD3D": 1.0}), checked("T cells", {"CD3D": 1.0, "CD14": -1.0})
    ({}, {'CD3D': 1.0, 'CD14': -1.0})
    """
    found = {gene: _checked(name, gene, weight) for gene, weight in weights.items()}
    return found if any(weight != 1.0 for weight in found.values()) else {}


def _weights_given(name: str, genes: Any) -> dict[str, float] | None:
    """Gene → weight of a mapping or a Series of numbers; None for plain genes."""
    if not isinstance(genes, Mapping):
        if not (hasattr(genes, "items") and hasattr(genes, "dtype") and genes.dtype.kind in "iuf"):
            return None
        if not genes.index.is_unique:
            msg = f"gene set {name!r}: a gene comes twice in the index of its weights. Keep one of them."
            raise ValueError(msg)
    weights = dict(genes.items())
    for gene, weight in weights.items():
        if isinstance(weight, bool) or not isinstance(weight, numbers.Real):
            msg = (
                f"gene set {name!r}: the weight of {gene!r} must be a number, found {weight!r}. Give gene → weight "
                "(negative for genes that go down), or a list of genes."
            )
            raise TypeError(msg)
    return {gene: float(weight) for gene, weight in weights.items()}


def _checked(name: str, gene: str, weight: float) -> float:
    if not math.isfinite(weight) or weight == 0:
        msg = (
            f"gene set {name!r}: the weight of {gene!r} is {weight:g}. Weights are finite and not 0; leave genes out "
            "that are no members."
        )
        raise ValueError(msg)
    return weight


def _taken_apart(name: str, text: str) -> Iterator[tuple[str, float]]:
    """Names and weights in what stands for one gene."""
    if not _ODD.search(text):
        yield text, 1.0
        return
    if "\x00" in text:
        msg = f"gene set {name!r}: {text[:40]!r} holds a NUL byte, so it is no text. Read the file in its own encoding."
        raise ValueError(msg)
    bare = _bare(text.translate(_NO_ROOM))
    if not bare:
        if text.strip():
            return
        msg = f"gene set {name!r}: holds an empty gene name. Drop it."
        raise ValueError(msg)
    if match := _COMMA.fullmatch(bare):
        yield _bare(match["gene"]), float(match["weight"].replace(",", "."))
        return
    if (match := _WEIGHTED.fullmatch(bare)) and not _NUMBER.fullmatch(match["gene"]):
        weight = float(match["weight"])
        if "," not in match["gene"]:
            yield _bare(match["gene"]), weight
            return
    if (match := _MARKED.fullmatch(bare)) and not _SEPARATOR.search(match["gene"]):
        yield _bare(match["gene"]), _MARKS[(match["mark"] or match["sign"]).lower()]
        return
    parts = [_bare(part) for part in _SEPARATOR.split(bare)]
    parts = [part for part in parts if part]
    # A name with a comma of its own, "1,2-dihydro…" or "18S rRNA, 28S rRNA", is left as it is.
    if len(parts) > 1 and not any(_NUMBER.fullmatch(part) or _BLANK.search(part) for part in parts):
        yield from ((part, 1.0) for part in parts)
    else:
        yield bare, 1.0


def _bare(text: str) -> str:
    """Without blanks and quotes around it, those that R and Excel leave."""
    bare = text.strip()
    while len(bare) > 1 and bare[0] == bare[-1] and bare[0] in "\"'":
        bare = bare[1:-1].strip()
    return bare.strip('"')
