"""Reactome and WikiPathways: how these two write pathways down."""

from __future__ import annotations

import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from pathwayae.core.gates import gated
from pathwayae.core.genesets import gmt, ontology
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.textfile import read_text, table_lines
from pathwayae.core.notice import warn

logger = logging.getLogger("pathwayae")

_FILES = ("ReactomePathways.gmt", "ReactomePathwaysRelation.txt", "ReactomePathways.txt")
_PREFIX = re.compile(r"R-[A-Z]{3}-")
_WIKIPATHWAYS = re.compile(r"(?P<name>.*)%(?P<version>[^%]*)%(?P<id>WP\d+)%(?P<species>[^%]*)")


class WikiPathway(NamedTuple):
    """The parts of a WikiPathways set name.

    Parameters
    ----------
    name
        Title of the pathway.
    version
        Release of the collection.
    id
        Stable id.
    species
        Species.

    Examples
    --------
    >>> parse_wikipathways("GDNF signaling%WikiPathways_20230410%WP5143%Homo sapiens").id
    'WP5143'
    """

    name: str
    version: str
    id: str
    species: str


def parse_wikipathways(name: str) -> WikiPathway | None:
    """Take a WikiPathways set name, ``name%version%id%species``, apart.

    Parameters
    ----------
    name
        The name of the set.

    Returns
    -------
    Its parts, or ``None`` if it is not written so.

    Examples
    --------
    >>> parse_wikipathways("GDNF signaling%WikiPathways_20230410%WP5143%Homo sapiens")
    WikiPathway(name='GDNF signaling', version='WikiPathways_20230410', id='WP5143', species='Homo sapiens')
    >>> parse_wikipathways("HALLMARK_HYPOXIA") is None
    True
    """
    match = _WIKIPATHWAYS.fullmatch(name)
    return WikiPathway(**{key: value.strip() for key, value in match.groupdict().items()}) if match else None


@gated()
def rename_wikipathways(collection: GeneSetCollection, *, name: str = "{id} {name}") -> GeneSetCollection:
    """Give sets of a WikiPathways GMT short names; the id becomes the description.

    Parameters
    ----------
    collection
        Sets called ``name%version%id%species``; others keep their names.
    name
        How to call them; ``{id}``, ``{name}``, ``{version}`` and ``{species}`` are filled in. Some titles occur twice.

    Returns
    -------
    The sets in the same order.

    Raises
    ------
    ValueError
        If no name is written so, or two sets would get the same name.

    Examples
    --------
    >>> sets = GeneSetCollection({"GDNF signaling%WikiPathways_20230410%WP5143%Homo sapiens": ["GDNF", "RET"]})
    >>> dict(rename_wikipathways(sets).descriptions)
    {'WP5143 GDNF signaling': 'WP5143'}
    """
    parsed = {old: parse_wikipathways(old) for old in collection}
    n_others = sum(parts is None for parts in parsed.values())
    if n_others == len(parsed):
        msg = (
            f"none of {len(parsed)} set names is written name%version%id%species, e.g. {next(iter(parsed), '')!r}. "
            "Give the GMT of WikiPathways itself."
        )
        raise ValueError(msg)
    if n_others:
        logger.info("%d of %d sets keep their names: not written as WikiPathways does", n_others, len(parsed))
    sets: dict[str, tuple[str, ...]] = {}
    descriptions: dict[str, str] = {}
    for old, parts in parsed.items():
        new = old if parts is None else _filled_in(name, parts)
        if new in sets:
            msg = f"name={name!r} gives two sets the name {new!r}. Put {{id}} into it."
            raise ValueError(msg)
        sets[new] = collection[old]
        descriptions[new] = collection.descriptions[old] if parts is None else parts.id
    return GeneSetCollection(sets, descriptions)


@gated(reads=("sets", "relations", "names"))
def read_reactome(
    sets: str | os.PathLike[str] | Mapping[str, str | os.PathLike[str]],
    relations: str | os.PathLike[str] | None = None,
    names: str | os.PathLike[str] | None = None,
    *,
    prefix: str = "R-HSA-",
) -> tuple[GeneSetCollection, ontology.Ontology]:
    r"""Read Reactome's gene sets with their hierarchy.

    Parameters
    ----------
    sets
        ``ReactomePathways.gmt``: name, id, genes. Or, as the only argument, a dict with the paths of all files under
        their names, as ``pae.datasets.fetch("reactome")`` gives it.
    relations
        ``ReactomePathwaysRelation.txt``: parent, child.
    names
        ``ReactomePathways.txt``: id, name, species. Without it, names are those of `sets`, and pathways without genes
        have none.
    prefix
        Keep the ids that begin so, those of one species; ``R-HSA-`` is human, ``R-MMU-`` mouse.

    Returns
    -------
    The sets, called "R-HSA-168256 Immune System", in the order of the file, the id as description; and the pathways
    as an ontology, to be used like one that was read from OBO.

    Raises
    ------
    TypeError
        If `relations` are missing, or come in addition to a dict.
    ValueError
        If the dict has no such files, a line has another number of columns, a set has no such id or comes twice, or
        there is a cycle.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/sets.gmt", "w") as file:
    ...         _ = file.write("Innate Immune System\tR-HSA-168249\tTLR4\tMYD88\n")
    ...     with open(f"{folder}/relations.txt", "w") as file:
    ...         _ = file.write("R-HSA-168256\tR-HSA-168249\nR-MMU-1\tR-MMU-2\n")
    ...     pathways, graph = read_reactome(f"{folder}/sets.gmt", f"{folder}/relations.txt")
    >>> pathways
    GeneSetCollection(1 set, 2 genes: 'R-HSA-168249 Innate Immune System')
    >>> graph.graph.parents
    {'R-HSA-168249': ('R-HSA-168256',), 'R-HSA-168256': ()}
    """
    if isinstance(sets, Mapping):
        if relations is not None or names is not None:
            msg = "sets is a dict of files, which has the relations and names too. Give it as the only argument."
            raise TypeError(msg)
        sets, relations, names = _from_dict(sets)
    elif relations is None:
        msg = (
            f"relations is missing. Give the path of {_FILES[1]} too, or the dict of pae.datasets.fetch('reactome') as "
            "the only argument."
        )
        raise TypeError(msg)
    source = os.fspath(sets)
    records = _records(sets, prefix)
    if empty := [record.name for record in records.values() if not record.genes]:
        warn(f"{source}: {len(empty)} set(s) without genes dropped, e.g. {empty[0]!r}")
    filled = {f"{key} {record.name}": record for key, record in records.items() if record.genes}
    collection = GeneSetCollection(
        {name: record.genes for name, record in filled.items()},
        {name: record.description for name, record in filled.items()},
    )
    return collection, _pathways(relations, names, {key: record.name for key, record in records.items()}, prefix)


def _from_dict(
    files: Mapping[str, str | os.PathLike[str]],
) -> tuple[str | os.PathLike[str], str | os.PathLike[str], str | os.PathLike[str] | None]:
    if missing := [name for name in _FILES[:2] if name not in files]:
        msg = (
            f"sets is a dict without {' and '.join(missing)}; it has {list(files)}. Its keys must be these file names."
        )
        raise ValueError(msg)
    return files[_FILES[0]], files[_FILES[1]], files.get(_FILES[2])


def _records(sets: str | os.PathLike[str], prefix: str) -> dict[str, gmt.GeneSet]:
    source = os.fspath(sets)
    listed = gmt.read(sets, description=True)
    records: dict[str, gmt.GeneSet] = {}
    for record in listed:
        if not record.description.startswith(prefix):
            msg = (
                f"{source}: the id {record.description!r} of {record.name!r} does not begin with prefix={prefix!r}. "
                f"The file has {_prefixes(one.description for one in listed)}. Give ReactomePathways.gmt of one "
                "species (name, id, genes) and its prefix."
            )
            raise ValueError(msg)
        if record.description in records:
            msg = f"{source}: the id {record.description!r} of {record.name!r} comes twice. Remove one of the lines."
            raise ValueError(msg)
        records[record.description] = record
    return records


def _prefixes(ids: Iterable[str]) -> str:
    found = Counter(match[0] for one in ids if (match := _PREFIX.match(one)))
    return ", ".join(f"{prefix!r} ({count})" for prefix, count in found.most_common()) or "no Reactome ids"


def _filled_in(pattern: str, parts: WikiPathway) -> str:
    try:
        return pattern.format(**parts._asdict())
    except (KeyError, IndexError, ValueError) as error:
        msg = (
            f"name={pattern!r} cannot be filled in ({error!r}). Use {{id}}, {{name}}, {{version}} and {{species}} only."
        )
        raise ValueError(msg) from error


def _pathways(
    relations: str | os.PathLike[str],
    names: str | os.PathLike[str] | None,
    known: dict[str, str],
    prefix: str,
) -> ontology.Ontology:
    source = os.fspath(relations)
    advice = "Give ReactomePathwaysRelation.txt (parent, child) as relations and ReactomePathways.txt as names."
    rows = [line.split("\t") for line in table_lines(read_text(relations), source, [2], advice=advice)]
    pairs = sorted({(child.strip(), parent.strip()) for parent, child in rows if child.startswith(prefix)})
    if not pairs:
        there = _prefixes(child for _, child in rows)
        msg = f"{source}: no child begins with prefix={prefix!r}. The file has {there}. Give the right prefix."
        raise ValueError(msg)
    if foreign := [pair for pair in pairs if not pair[1].startswith(prefix)]:
        msg = (
            f"{source}: {foreign[0][1]!r}, parent of {foreign[0][0]!r}, does not begin with {prefix!r}. Drop that line."
        )
        raise ValueError(msg)
    labels = dict(known)
    if names is not None:
        lines = table_lines(read_text(names), os.fspath(names), [3], advice=advice)
        labels |= {key.strip(): name.strip() for key, name, _ in (line.split("\t") for line in lines)}
    in_graph = {one for pair in pairs for one in pair}
    if alone := sorted(set(known) - in_graph):
        logger.info("%s: %d set(s) are in no relation and become roots, e.g. %s", source, len(alone), alone[0])
    index = pd.Index(sorted(in_graph | set(known)), name="id")
    terms = pd.DataFrame({"name": [labels.get(one, "") for one in index], "namespace": "reactome"}, index=index)
    edges = pd.DataFrame([(child, "is_a", parent) for child, parent in pairs], columns=["child", "relation", "parent"])
    return ontology.build(terms, edges, source=source)
