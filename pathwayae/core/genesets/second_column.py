"""Whether the second column of a GMT file is a description, as the format has it, or already a gene."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from pathwayae.core.genesets.identifiers import identifier_kind

if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING = frozenset({"", "na", "n/a", "nan", "none", "null", "-", ".", "--"})
_ADDRESS = re.compile(r"(https?|ftp)://|www\.", re.IGNORECASE)
_OF_SETS = re.compile(r"[A-Z]-[A-Z]{3}-\d|WP\d+$|M\d{4,}$")  # identifiers of Reactome, WikiPathways, MSigDB
_LONGEST = 15  # characters of a symbol or an identifier of the short kinds
_FEW = 20  # sets that may well have no gene in common
_SOME = 0.1  # of the second fields that are genes of other sets, at least, where there are more sets
_MOST = 0.5  # of the second fields that are names of genes elsewhere in the file


class Decision(NamedTuple):
    """Whether the second column is a description, why, and whether another reader might think otherwise."""

    is_description: bool
    why: str
    is_sure: bool


def decide(lines: Sequence[Sequence[str]]) -> Decision:
    """Decide for a whole file, from what its second fields look like.

    Parameters
    ----------
    lines
        Fields of every line: name, second field, further fields.

    Returns
    -------
    The decision. Names of genes that other lines have further right speak for a gene; blanks, ``na``, addresses,
    sentences, the name of the set and one text for all sets speak for a description.

    Examples
    --------
    >>> decide([["T", "CD3D", "CD2"], ["NK", "CD2", "CD3D"]]).is_description
    False
    >>> decide([["T", "markers of T cells", "CD2"], ["NK", "", "CD3D"]]).is_description
    True
    """
    fields = [(line[0], line[1]) for line in lines if len(line) > 1]
    genes = {gene for line in lines for gene in line[2:]}
    asked = [second for first, second in fields if not _described(first, second)]
    if not asked:
        return Decision(is_description=True, why="no second field looks like a gene", is_sure=True)
    known = sum(second in genes for second in asked)
    if known > _MOST * len(fields):
        why = f"{known:,} of {len(fields):,} second fields are genes of other sets"
        return Decision(is_description=False, why=why, is_sure=True)
    why = f"{known:,} of {len(fields):,} second fields are genes of other sets"
    kinds = Counter(map(identifier_kind, genes))
    usual = kinds.most_common(1)[0][0] if kinds else "unknown"
    if usual != "unknown" and len(asked) == len(fields) and _like_genes(asked, usual) and _room_for(known, len(fields)):
        return Decision(is_description=False, why=f"{why}, and all look like genes ({usual})", is_sure=known > 0)
    return Decision(is_description=True, why=why, is_sure=True)


def _like_genes(fields: Sequence[str], usual: str) -> bool:
    """Whether all have the shape of genes of this kind, and not that of identifiers of sets (GO:…, R-HSA-…, WP…)."""
    if len(fields) > 1 and len({one[:3] for one in fields}) == 1 and not usual.startswith("Ensembl"):
        return False
    return all(identifier_kind(one) == usual and (usual.startswith("Ensembl") or _is_short(one)) for one in fields)


def _is_short(name: str) -> bool:
    return len(name) <= _LONGEST and ":" not in name and not _OF_SETS.match(name)


def _room_for(known: int, n_lines: int) -> bool:
    """Among many sets some would share a gene; few may be disjoint."""
    return n_lines <= _FEW or known > _SOME * n_lines


def _described(name: str, second: str) -> bool:
    """Whether a second field can be nothing but a description."""
    return (
        second.lower() in _NOTHING
        or second == name
        or "_" in second
        or bool(_ADDRESS.search(second))
        or len(second.split()) > 1
    )
