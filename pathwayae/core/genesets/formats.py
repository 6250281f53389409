"""Gene sets in other formats than GMT: JSON and XML of MSigDB, GMX, and plain lists of genes (GRP)."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import PurePath
from typing import Any

Record = tuple[str, str, tuple[str, ...]]

_ENDINGS = re.compile(r"(\.(gmt|grp|txt|tsv|csv|list|lst|gz|bz2|xz|zip))+$", re.IGNORECASE)
_WIDEST = 40  # characters of a line in a plain list of genes


def parse_other(text: str, source: str) -> list[Record] | None:
    r"""Take gene sets from text that is no GMT.

    Parameters
    ----------
    text
        The text: JSON (MSigDB's, or name → genes), XML (MSigDB's), GMX (by the ending of `source`), or one gene per
        line. A list is one set, named after its first line where that is followed by one with ``>`` (GRP), after the
        first comment in front of the genes where that is a single word, else after the file.
    source
        Path of the file.

    Returns
    -------
    Name, description and genes of every set; None where lines have tabs, as in GMT.

    Raises
    ------
    ValueError
        If it is JSON or XML that does not hold gene sets.

    Examples
    --------
    >>> parse_other('{"T cells": {"geneSymbols": ["CD3D", "CD2"], "exactSource": ""}}', "a.json")
    [('T cells', '', ('CD3D', 'CD2'))]
    >>> parse_other("# from a paper\nCD3D\nCD2\n", "data/T_cells.txt")
    [('T_cells', '', ('CD3D', 'CD2'))]
    """
    start = text.lstrip()
    if start[:1] in "{[" and "\t" not in start.split("\n", 1)[0]:
        return _json(text, source)
    if start.startswith(("<?xml", "<MSIGDB", "<GENESET")):
        return _xml(text, source)
    if re.search(r"\.gmx(\.\w+)?$", source, re.IGNORECASE):
        return _gmx(text)
    if "\t" in text:
        return None
    return _list(text, source)


def _json(text: str, source: str) -> list[Record]:
    advice = "Give an object name → genes, or MSigDB's JSON (name → {'geneSymbols': […]})."
    try:
        found = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError) as error:
        msg = f"{source} is not valid JSON ({error}). {advice}"
        raise ValueError(msg) from error
    if text.lstrip()[0] != "{":
        msg = f"{source} holds a JSON list, which names no sets. {advice}"
        raise ValueError(msg)
    return [_json_set(name, value, source, advice) for name, value in found]


def _json_set(name: str, value: Any, source: str, advice: str) -> Record:
    """One set: a list of genes, a mapping gene → weight, or MSigDB's description of it."""
    pairs = isinstance(value, list) and all(isinstance(one, tuple) for one in value) and bool(value)
    described = ""
    if pairs:
        fields = dict(value)
        genes = next((fields[field] for field in ("geneSymbols", "genes", "geneset") if field in fields), None)
        if genes is None and all(_is_number(weight) for weight in fields.values()):
            genes = [f"{gene},{float(weight)!r}" for gene, weight in fields.items()]
        described = str(fields.get("msigdbURL") or fields.get("exactSource") or fields.get("description") or "")
        value = genes
    if not isinstance(value, list):
        what = "an object of other things" if pairs else f"{value!r:.40}"
        msg = f"{source}: the set {name!r} is no list of genes but {what}. {advice}"
        raise ValueError(msg)
    if odd := [gene for gene in value if not isinstance(gene, str)]:
        msg = (
            f"{source}: the set {name!r} holds {odd[0]!r:.40}, and genes are text: leave null out, and put numbers in "
            f"quotes. {advice}"
        )
        raise ValueError(msg)
    return name, " ".join(described.split()), tuple(gene.strip() for gene in value if gene.strip())


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _xml(text: str, source: str) -> list[Record]:
    if "<!ENTITY" in text:
        msg = f"{source}: XML that defines entities is not read. Download the file again from MSigDB."
        raise ValueError(msg)
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        msg = f"{source} is not valid XML ({error}). Download the file again."
        raise ValueError(msg) from error
    records = []
    for one in root.iter("GENESET"):
        genes = one.get("MEMBERS_SYMBOLIZED") or one.get("MEMBERS") or ""
        described = one.get("DESCRIPTION_BRIEF") or ""
        members = tuple(gene.strip() for gene in genes.split(",") if gene.strip())
        records.append((one.get("STANDARD_NAME") or "", " ".join(described.split()), members))
    if not records or not all(name for name, *_ in records):
        msg = f"{source}: XML without <GENESET STANDARD_NAME=… MEMBERS_SYMBOLIZED=…>. Give MSigDB's XML, or a GMT file."
        raise ValueError(msg)
    return records


def _gmx(text: str) -> list[Record]:
    """Sets in columns: name, description, genes."""
    rows = [[field.strip() for field in line.split("\t")] for line in text.split("\n") if line.strip()]
    described = rows[1] if len(rows) > 1 else []
    return [
        (name, described[j] if j < len(described) else "", tuple(row[j] for row in rows[2:] if j < len(row) and row[j]))
        for j, name in enumerate(rows[0])
        if name
    ]


def _list(text: str, source: str) -> list[Record] | None:
    """One gene per line, as GRP and as people keep them; None where lines look like anything else."""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    genes = [line for line in lines if not line.startswith(("#", ">"))]
    name, described = _ENDINGS.sub("", PurePath(source).name) or "genes", ""
    if len(lines) > 1 and lines[1].startswith((">", "#")) and not lines[0].startswith(("#", ">")):
        name, described, genes = lines[0], lines[1].lstrip("># "), genes[1:]
    elif lines and lines[0].startswith("#") and re.fullmatch(r"#\s*[A-Z0-9]+(_[A-Z0-9]+)+", lines[0]):
        name = lines[0].lstrip("# ")
    if any(len(gene) > _WIDEST or len(gene.split()) > 1 or "," in gene for gene in genes):
        return None
    return [(name, described, tuple(genes))] if genes else None
