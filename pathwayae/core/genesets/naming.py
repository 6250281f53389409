"""Genes that are there under another spelling: quotes, blanks, versions, letter case, symbols glued to identifiers."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from pathwayae.core.genesets.identifiers import guess_identifiers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ENSEMBL = r"ENS(?:[A-Z]{3,4})?G\d{11}"
_VERSION = re.compile(rf"({_ENSEMBL})\.\d+")
_GLUED = re.compile(
    rf"(?:(?P<id>{_ENSEMBL})(?:\.\d+)?[_|:;.\s/-]+(?P<symbol>.+)|(?P<first>.+?)[_|:;.\s/-]+(?P<last>{_ENSEMBL})(?:\.\d+)?)"
)
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Sept|Oct|Nov|Dec"
_DATE = re.compile(
    rf"\d{{1,2}}[-/. ](?:{_MONTHS})|(?:{_MONTHS})[-/. ]\d{{1,2}}|\d{{4}}-\d{{2}}-\d{{2}}( 00:00:00)?", re.IGNORECASE
)


_OF_R = re.compile(r"X\d")  # which R puts in front of a digit


class Misspelt(NamedTuple):
    """Gene of the sets → name of it in the data, how many differ by what, and their share of the genes of the sets."""

    names: dict[str, str]
    kinds: Counter[str]
    share: float

    @property
    def described(self) -> str:
        """What differs, the most frequent first, with an example."""
        some = next(((gene, name) for gene, name in self.names.items()), None)
        what = ", ".join(f"{kind} {count:,}" for kind, count in self.kinds.most_common())
        return what + (f"; e.g. {str(some[0])!r} is {str(some[1])!r}" if some else "")


def misspelt(wanted: Iterable[str], present: Iterable[str]) -> Misspelt:
    """Find genes of the sets that are in the data, but written otherwise.

    Only names that can mean one gene of the data count. Letter case counts where some gene is the same on both sides or
    both sides are of one species by their looks: ``Cd3d`` is the mouse's and not another spelling of ``CD3D``.

    Parameters
    ----------
    wanted, present
        Genes of the sets, and of the data.

    Examples
    --------
    >>> misspelt(["CD3D", "ENSG00000167286"], ['"CD3D"', "ENSG00000167286.12", "CD2"]).names
    {'CD3D': '"CD3D"', 'ENSG00000167286': 'ENSG00000167286.12'}
    """
    wanted, present = list(dict.fromkeys(wanted)), list(dict.fromkeys(present))
    there = set(present)
    found: dict[str, str] = {}
    kinds: Counter[str] = Counter()
    lost = [gene for gene in wanted if gene not in there]
    if not lost:
        return Misspelt(found, kinds, 0.0)
    used = there.intersection(wanted)
    for gene, name, kind in _pairs(lost, present, cases=not _species_differ(wanted, present, len(used))):
        if name not in used and gene not in found:
            found[gene] = name
            kinds[kind] += 1
    return Misspelt(found, kinds, len(found) / max(len(wanted), 1))


def _pairs(lost: list[str], present: list[str], *, cases: bool) -> Iterator[tuple[str, str, str]]:
    """Gene, its name in the data and what differs, the least first."""
    exact: dict[str, set[tuple[str, str]]] = {}
    folded: dict[str, set[tuple[str, str]]] = {}
    for name in present:
        for form, kind in _forms(name):
            exact.setdefault(form, set()).add((name, kind))
            if cases:
                folded.setdefault(form.casefold(), set()).add((name, kind))
    for gene in lost:
        for form, kind in _forms(gene):
            if len(hits := exact.get(form, set())) == 1:
                name, other = next(iter(hits))
                yield gene, name, other or kind
                break
            if cases and len(hits := folded.get(form.casefold(), set())) == 1:
                yield gene, next(iter(hits))[0], "letter case"
                break


def _forms(name: str) -> Iterator[tuple[str, str]]:
    """A name as it is and bare, and the names that it is made of, with what was taken off."""
    yield name, ""
    bare = name.strip()
    if bare != name:
        yield bare, "blanks"
    unquoted = bare.strip("\"'").strip()
    if unquoted != bare:
        yield unquoted, "quotes"
    if "." in unquoted or "-" in unquoted or unquoted[:1].isdigit() or _OF_R.match(unquoted):  # R's make.names
        yield "\r" + re.sub(r"[^\w.]", ".", unquoted[1:] if _OF_R.match(unquoted) else unquoted), "marks of R"
    if "ENS" not in unquoted:
        return
    if match := _VERSION.fullmatch(unquoted):
        yield match[1], "versions"
    elif match := _GLUED.fullmatch(unquoted):
        yield (match["id"] or match["last"]), "symbols glued to identifiers"
        yield (match["symbol"] or match["first"]), "symbols glued to identifiers"


def _species_differ(wanted: list[str], present: list[str], n_same: int) -> bool:
    """Whether one side is written as in human and the other as in mouse, nearly throughout."""
    if n_same >= 0.1 * min(len(wanted), len(present)):
        return False
    return {guess_identifiers(wanted), guess_identifiers(present)} == {"human symbols", "mouse symbols"}


def is_date(name: str) -> bool:
    """Whether a name is what Excel makes of MARCH1, SEPT2 or DEC1.

    Examples
    --------
    >>> is_date("1-Mar"), is_date("MARCHF1")
    (True, False)
    """
    return not name.isalnum() and bool(_DATE.fullmatch(name.strip("\"' ")))  # a quick look first: dates have hyphens


def advice(wanted: Iterable[str], present: Iterable[str]) -> str:
    """What to do where names are only written otherwise, or were taken for dates; empty where neither is so.

    Examples
    --------
    >>> print(advice(["CD3D", "CD2"], ["CD3D_ENSG00000167286", "CD2_ENSG00000116824"]))
    2 of 2 are in the data under another spelling (symbols glued to identifiers 2; e.g. 'CD3D' is \
'CD3D_ENSG00000167286'): pae.gs.match_genes(pathways, adata) gives the pathways with the names of the data.
    """
    wanted, present = list(dict.fromkeys(wanted)), list(dict.fromkeys(present))
    found = misspelt(wanted, present)
    parts = []
    if found.names:
        parts.append(
            f"{len(found.names):,} of {len(wanted):,} are in the data under another spelling ({found.described}): "
            "pae.gs.match_genes(pathways, adata) gives the pathways with the names of the data."
        )
    return " ".join([*parts, *dates(wanted, present)])


def dates(wanted: Iterable[str], present: Iterable[str]) -> list[str]:
    """A sentence for each side that holds dates, and what to do.

    Examples
    --------
    >>> dates(["CD3D"], ["CD3D"])
    []
    """
    parts = []
    for side, names in (("The gene sets", wanted), ("var_names", present)):
        if found := [name for name in names if is_date(name)]:
            parts.append(
                f"{side} hold {len(found)} date(s), e.g. {found[0]!r}: Excel made them of symbols such as MARCHF1, "
                "SEPTIN2 or DELEC1, and they cannot be told apart again. Take the names from a file that Excel did not "
                "open."
            )
    return parts
