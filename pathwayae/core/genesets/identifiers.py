"""What kind of identifiers names of genes are."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENSEMBL = re.compile(r"ENS([A-Z]{3,4})?G\d{11}(\.\d+)?(_PAR_Y)?")
_ENSEMBL_SPECIES = {None: "human", "MUS": "mouse"}
_OPEN_READING_FRAME = re.compile(r"C[0-9XY]+orf\d+")


def guess_identifiers(names: Iterable[str]) -> str:
    """Say what kind of gene identifiers most of the names are.

    Parameters
    ----------
    names
        Gene names.

    Returns
    -------
    "Ensembl gene ids (human)", "Ensembl gene ids (mouse)", "Ensembl gene ids (other species)", "Entrez ids",
    "row numbers" (0, 1, 2, …: the names of a matrix without names), "human symbols" (upper case), "mouse symbols"
    (capitalised), or "unknown" where no kind has more than half of the names.

    Examples
    --------
    >>> guess_identifiers(["CD3D", "C1orf112", "MT-CO1"])
    'human symbols'
    >>> guess_identifiers(["Cd3d", "H2-Ab1", "mt-Co1"])
    'mouse symbols'
    >>> guess_identifiers(["ENSG00000167286", "ENSG00000198851.10"])
    'Ensembl gene ids (human)'
    """
    listed = [str(name) for name in names]
    if not listed:
        return "unknown"
    kind, count = Counter(map(identifier_kind, listed)).most_common(1)[0]
    if 2 * count <= len(listed):
        return "unknown"
    return "row numbers" if kind == "Entrez ids" and "0" in listed else kind


def identifier_kind(name: str) -> str:
    """Kind of one identifier, as :func:`guess_identifiers` names kinds.

    Examples
    --------
    >>> identifier_kind("Cd3d"), identifier_kind("a gene")
    ('mouse symbols', 'unknown')
    """
    if match := _ENSEMBL.fullmatch(name):
        return f"Ensembl gene ids ({_ENSEMBL_SPECIES.get(match[1], 'other species')})"
    if name.isascii() and name.isdigit():
        return "Entrez ids"
    if not name[:1].isalnum() or any(character.isspace() for character in name):
        return "unknown"
    if name.isupper() or _OPEN_READING_FRAME.fullmatch(name):
        return "human symbols"
    core = name.removeprefix("mt-")
    return "mouse symbols" if core[:1].isupper() or re.fullmatch(r"\d+[A-Z]\d+Rik", core) else "unknown"
