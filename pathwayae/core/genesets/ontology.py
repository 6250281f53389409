"""Ontologies: terms, their relations, obsolete and alternative ids. The only file that knows obonet."""

from __future__ import annotations

import io
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd

from pathwayae.core.gates import gated
from pathwayae.core.genesets.hierarchy import Hierarchy
from pathwayae.core.genesets.textfile import read_text
from pathwayae.core.notice import listed, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

logger = logging.getLogger("pathwayae")

_USUAL = ("is_a", "part_of")
_BULK = frozenset({"def", "synonym", "xref", "comment", "property_value", "created_by", "creation_date"})
_CONDITION = re.compile(r"\{[^{}]*\bgci_(relation|filler)\s*=")
_ADDRESS = re.compile(r"^https?://purl\.obolibrary\.org/obo/")
_RELATIONS = {  # of the Relation Ontology, by their ids
    "BFO:0000050": "part_of",
    "BFO:0000051": "has_part",
    "BFO:0000066": "occurs_in",
    "RO:0002211": "regulates",
    "RO:0002212": "negatively_regulates",
    "RO:0002213": "positively_regulates",
}
_STANZA = re.compile(r"\[(\w+)\]")
_STANZAS = ("header", "Term", "Typedef")
_COLUMNS = ("name", "namespace", "obsolete", "replaced_by", "alt_ids", "subsets")
_EXAMPLES = 3


@dataclass(frozen=True, eq=False, repr=False)
class Ontology:
    """Terms and the relations between them.

    Parameters
    ----------
    terms
        One row per term, the id as index, sorted: ``name``, ``namespace``, ``obsolete`` (bool), ``replaced_by``,
        ``alt_ids`` and ``subsets`` (tuples of ids or names).
    edges
        ``child``, ``relation``, ``parent``: one row per relation that is followed upwards.
    graph
        The terms in use (not obsolete) with their parents over all `edges`.

    Examples
    --------
    >>> ontology = parse_obo('''format-version: 1.2
    ... [Term]
    ... id: GO:1
    ... name: immune response
    ... [Term]
    ... id: GO:2
    ... name: T cell activation
    ... alt_id: GO:7
    ... is_a: GO:1
    ... ''')
    >>> ontology
    Ontology(2 terms, 0 obsolete, 1 is_a)
    >>> ontology.graph.ancestors("GO:2")
    ('GO:1',)
    >>> ontology.current["GO:7"]
    'GO:2'
    """

    terms: pd.DataFrame
    edges: pd.DataFrame
    graph: Hierarchy

    def __repr__(self) -> str:
        kinds = Counter(self.edges["relation"])
        edges = "".join(f", {count} {relation}" for relation, count in kinds.items())
        terms = f"{len(self.terms)} term{'s' * (len(self.terms) != 1)}"
        return f"{type(self).__name__}({terms}, {int(self.terms['obsolete'].sum())} obsolete{edges})"

    @cached_property
    def current(self) -> dict[str, str]:
        """Any known id → the id of the term in use.

        Terms in use stand for themselves; obsolete ones for their replacement, and the replacement's, as long as it is
        unique; alternative ids for the one term that claims them. Ids that lead nowhere are absent.
        """
        found = {term: term for term in self.graph.names}
        claims: dict[str, set[str]] = {}
        for term, other in self.terms["alt_ids"].items():
            for alternative in other:
                claims.setdefault(alternative, set()).add(str(term))
        alternatives = {one: next(iter(terms)) for one, terms in claims.items() if len(terms) == 1}
        heirs = {str(term): heir for term, heir in self.terms["replaced_by"].items() if term not in found}
        for start in (*heirs, *alternatives):
            seen, here = {start}, start
            while here not in found:
                options = heirs.get(here, ())
                step = options[0] if len(options) == 1 else (alternatives.get(here) if not options else None)
                if step is None or step in seen:
                    break
                seen.add(step)
                here = step
            if here in self.graph:
                found[start] = here
        return found

    def subset(self, name: str) -> tuple[str, ...]:
        r"""List the terms in use of a subset (a slim) that the file defines.

        Parameters
        ----------
        name
            Name of the subset, such as ``"goslim_generic"``.

        Returns
        -------
        Ids, sorted.

        Raises
        ------
        ValueError
            If no term belongs to it; the message lists the subsets there are.

        Examples
        --------
        >>> text = "[Term]\nid: GO:1\nsubset: goslim_generic\n\n[Term]\nid: GO:2\n"
        >>> parse_obo(text).subset("goslim_generic")
        ('GO:1',)
        """
        members = tuple(str(term) for term, names in self.terms["subsets"].items() if name in names)
        members = tuple(term for term in members if term in self.graph)
        if not members:
            known = sorted({one for names in self.terms["subsets"] for one in names})
            msg = f"no term in use is in the subset {name!r}. The ontology has {listed(known, 30) or 'no subsets'}."
            raise ValueError(msg)
        return members


@gated(reads=("path",))
def read_obo(
    path: str | os.PathLike[str],
    *,
    relations: Sequence[str] | None = None,
    dangling: Literal["error", "drop"] = "error",
) -> Ontology:
    r"""Read an ontology in OBO format, plain or gzipped.

    Parameters
    ----------
    path
        The file.
    relations
        Relations to follow from a term up to its parents. By default ``is_a`` and, where the file has it, ``part_of``,
        along which GO annotations hold. Others (``regulates`` …) are a choice about biology: a gene of
        "regulation of X" is then counted for X.
    dangling
        What to do with parents that are not terms in use of this file: ``"error"`` refuses them, ``"drop"`` drops
        the relation with a warning.

    Returns
    -------
    The ontology, terms sorted by id.

    Raises
    ------
    ValueError
        If the file is not OBO, a term has no id or comes twice, a relation is unknown, a parent is dangling, or there
        is a cycle.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/small.obo", "w") as file:
    ...         _ = file.write("[Term]\nid: GO:1\nname: immune response\n")
    ...     read_obo(f"{folder}/small.obo")
    Ontology(1 term, 0 obsolete)
    """
    return parse_obo(read_text(path), relations=relations, dangling=dangling, source=os.fspath(path))


def parse_obo(
    text: str,
    *,
    relations: Sequence[str] | None = None,
    dangling: Literal["error", "drop"] = "error",
    source: str = "the text",
) -> Ontology:
    r"""Read an ontology from OBO text; see :func:`read_obo`.

    Parameters
    ----------
    text
        The text.
    relations, dangling
        As for :func:`read_obo`.
    source
        What the errors call it, usually a path.

    Returns
    -------
    The ontology.

    Examples
    --------
    >>> parse_obo("[Term]\nid: GO:1\n\n[Term]\nid: GO:2\nrelationship: part_of GO:1\n")
    Ontology(2 terms, 0 obsolete, 1 part_of)
    """
    import obonet

    if dangling not in ("error", "drop"):
        msg = f"dangling={dangling!r} is unknown. Choose 'error' or 'drop'."
        raise ValueError(msg)
    prepared = _prepare(text, source)
    try:
        parsed = obonet.read_obo(io.StringIO(prepared), ignore_obsolete=False)
    except ValueError as error:
        msg = f"{source} is not valid OBO: {error}. Correct the line, or download the file again."
        raise ValueError(msg) from error
    default = "".join(parsed.graph.get("default-namespace", []))
    nodes = {term: data for term, data in parsed.nodes(data=True) if "stanza" in data}
    terms = _terms(nodes, default)
    declared = [typedef["id"] for typedef in parsed.graph["typedefs"] if "id" in typedef]
    edges = pd.DataFrame(
        sorted((child, relation, parent) for child, parent, relation in parsed.edges(keys=True)),
        columns=["child", "relation", "parent"],
    )
    edges = edges[edges["relation"].isin(_followed(relations, edges["relation"], declared, source))]
    return build(terms, edges, dangling=dangling, source=source)


def build(
    terms: pd.DataFrame, edges: pd.DataFrame, *, dangling: Literal["error", "drop"] = "error", source: str = "the edges"
) -> Ontology:
    """Make an ontology of a table of terms and a table of edges.

    Parameters
    ----------
    terms
        As in :class:`Ontology`; missing columns are filled with "nothing".
    edges
        ``child``, ``relation``, ``parent``.
    dangling
        As for :func:`read_obo`.
    source
        What the errors call it.

    Returns
    -------
    The ontology, without relations of obsolete terms and of terms with themselves.

    Raises
    ------
    ValueError
        If a parent is dangling, or there is a cycle.

    Examples
    --------
    >>> terms = pd.DataFrame({"name": ["immune response", "T cell activation"]}, index=["GO:1", "GO:2"])
    >>> build(terms, pd.DataFrame({"child": ["GO:2"], "relation": ["is_a"], "parent": ["GO:1"]}))
    Ontology(2 terms, 0 obsolete, 1 is_a)
    """
    blank: dict[str, Any] = {"name": "", "namespace": "", "obsolete": False}
    missing = {key: pd.Series([blank.get(key, ())] * len(terms), index=terms.index) for key in _COLUMNS}
    terms = terms.assign(**{key: column for key, column in missing.items() if key not in terms})
    terms = terms.loc[:, list(_COLUMNS)].sort_index()
    in_use = terms.index[~terms["obsolete"].astype(bool)]
    edges = edges[edges["child"].isin(in_use)]
    reflexive = (edges["child"] == edges["parent"]) & (edges["relation"] != "is_a")  # "X part_of X" says nothing
    if reflexive.any():
        logger.info("%s: dropped %d relations of a term with itself", source, int(reflexive.sum()))
    lost = ~edges["parent"].isin(in_use)
    if lost.any():
        _report_dangling(edges[lost], terms, dangling, source)
    edges = edges[~reflexive & ~lost].reset_index(drop=True)
    parents: dict[str, list[str]] = {str(term): [] for term in in_use}
    for child, parent in zip(edges["child"], edges["parent"], strict=True):
        parents[child].append(parent)
    try:
        graph = Hierarchy({term: tuple(above) for term, above in parents.items()})
    except ValueError as error:
        msg = f"{source}: {error}"
        raise ValueError(msg) from error
    return Ontology(terms, edges, graph)


def _prepare(text: str, source: str) -> str:
    """Check the lines, drop the bulk (definitions, synonyms), and set stanzas apart, as obonet wants them."""
    kept = ["ontology: unnamed"]  # obonet writes to the root logger where the header names none
    seen: dict[str, int] = {}
    n_conditional = 0
    stanza, start, has_id = "header", 0, True
    for number, line in enumerate(text.split("\n"), start=1):
        bare = line.strip()
        if not bare or bare.startswith("!"):
            continue
        if match := _STANZA.match(bare):
            _require_id(source, start, has_id=has_id)
            stanza, start, has_id = match[1], number, match[1] != "Term"
            kept += ["", bare] if stanza in _STANZAS else []
            continue
        tag, colon, value = bare.partition(":")
        if not colon:
            msg = f"{source}, line {number}: {bare[:60]!r} is not OBO (tag: value). Give an OBO file, plain or gzipped."
            raise ValueError(msg)
        if tag in _BULK or stanza not in _STANZAS:
            continue
        if tag in ("is_a", "relationship") and _CONDITION.search(value):
            n_conditional += 1
            continue
        kept.append(_named_relation(bare) if tag in ("relationship", "id") else bare)
        if stanza == "Term" and tag == "id":
            _refuse_repeated(value.partition(" !")[0].strip(), seen, source, number)
            kept.append("stanza: yes")  # tells terms from parents that are only mentioned
            has_id = True
    _require_id(source, start, has_id=has_id)
    if not seen:
        msg = f"{source}: no [Term] in the file, so it is not an ontology in OBO format. Give an OBO file."
        raise ValueError(msg)
    if n_conditional:
        logger.info("%s: left out %d relations that hold under a condition alone (gci_…)", source, n_conditional)
    return "\n".join(kept) + "\n"


def _named_relation(line: str) -> str:
    """``relationship: BFO:0000050 X``, as ROBOT writes it, under the name of the relation."""
    tag, _, value = line.partition(":")
    first, blank, rest = value.strip().partition(" ")
    name = _RELATIONS.get(_ADDRESS.sub("", first).replace("_", ":", 1))
    return line if name is None else f"{tag}: {name}{blank}{rest}"


def _unescaped(text: str) -> str:
    """A name without the escapes of OBO; those of white space are a blank."""
    return re.sub(r"\\(.)", lambda match: " " if match[1] in "nWt" else match[1], text)


def _refuse_repeated(term: str, seen: dict[str, int], source: str, line: int) -> None:
    if term in seen:
        msg = f"{source}, line {line}: the term {term!r} comes twice, first in line {seen[term]}. Drop one of the two."
        raise ValueError(msg)
    seen[term] = line


def _require_id(source: str, line: int, *, has_id: bool) -> None:
    if not has_id:
        msg = f"{source}, line {line}: this [Term] has no id. Add a line 'id: …', or remove the term."
        raise ValueError(msg)


def _terms(nodes: Mapping[str, Mapping[str, Any]], default: str) -> pd.DataFrame:
    rows = [
        (
            _unescaped(data.get("name", "")),
            data.get("namespace", default),
            data.get("is_obsolete", "false") == "true",
            *(tuple(dict.fromkeys(data.get(tag, ()))) for tag in ("replaced_by", "alt_id", "subset")),
        )
        for data in nodes.values()
    ]
    return pd.DataFrame(rows, columns=list(_COLUMNS), index=pd.Index(list(nodes), name="id"))


def _followed(
    relations: Sequence[str] | None, found: Iterable[str], declared: Sequence[str], source: str
) -> tuple[str, ...]:
    if relations is None:
        return _USUAL
    if isinstance(relations, str):
        msg = f"relations must be a list of names, found {relations!r}. Write [{relations!r}] for a single one."
        raise TypeError(msg)
    counts = Counter(found)
    unknown = [name for name in relations if name not in counts and name not in declared and name != "is_a"]
    if unknown:
        there = ", ".join(f"{name!r} ({count})" for name, count in counts.most_common()) or "none"
        msg = f"{source}: unknown relation(s) {listed(unknown)}. The file has: {there}. Choose among these."
        raise ValueError(msg)
    return tuple(relations)


def _report_dangling(lost: pd.DataFrame, terms: pd.DataFrame, dangling: str, source: str) -> None:
    examples = [f"{row.child} {row.relation} {row.parent}" for row in lost.head(_EXAMPLES).itertuples()]
    n_obsolete = int(lost["parent"].isin(terms.index).sum())
    what = f"{source}: {len(lost)} relation(s) lead to parents that are not terms in use of the file"
    what += f" ({n_obsolete} of them obsolete)" * bool(n_obsolete) + f", e.g. {'; '.join(examples)}"
    if dangling == "error":
        msg = f"{what}. Use the complete ontology, or pass dangling='drop' to leave these relations out."
        raise ValueError(msg)
    warn(f"{what}; dropped.")
