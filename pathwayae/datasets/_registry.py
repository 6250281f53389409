"""The registry: one card per data set and gene-set collection, and the files that travel with the package."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

KINDS = ("gene sets", "ontology", "annotation", "cells")
TYPES: dict[str, type | tuple[type, ...]] = {"str": str, "int": int, "bool": bool, "tuple": (list, tuple)}


@dataclass(frozen=True)
class File:
    """A file of a card.

    ``sha256`` is that of the file as it is kept; without it the download cannot be verified, because the address is
    rolling or the publisher states none. ``mirrors`` are other addresses of the same bytes. ``member`` is taken out of
    a zip archive. ``package`` is an installed package that holds the file under ``path``. ``copies`` are other known
    copies, by name and sha256, that serve as well when they lie in ``$PATHWAYAE_DATA``.
    """

    name: str
    url: str = ""
    mirrors: tuple[str, ...] = ()
    sha256: str = ""
    size: int = 0
    rolling: bool = False
    member: str = ""
    package: str = ""
    path: str = ""
    copies: tuple[tuple[str, str], ...] = ()

    @property
    def urls(self) -> tuple[str, ...]:
        """All addresses, the publisher's first."""
        return (self.url, *self.mirrors) if self.url else ()

    @property
    def known(self) -> dict[str, tuple[str, ...]]:
        """Names under which the file may lie in a folder of data, each with the hashes that are right."""
        pairs = [(self.name, self.sha256), *self.copies]
        return {name: tuple(value for other, value in pairs if other == name and value) for name, _ in pairs}


@dataclass(frozen=True)
class Card:
    """What is known about a data set or gene-set collection; sizes that are not known are 0."""

    name: str
    title: str
    kind: str
    what: str
    organism: str
    licence: str
    redistributable: bool
    citation: tuple[str, ...]
    processing: str
    files: tuple[File, ...]
    identifier: str = ""
    version: str = ""
    homepage: str = ""
    by_hand: str = ""
    n_sets: int = 0
    n_terms: int = 0
    n_cells: int = 0
    n_genes: int = 0
    embedded: bool = False


def folder() -> Path:
    """Folder of the registry: inside the package (wheel), else beside it (source checkout, editable install).

    Raises
    ------
    FileNotFoundError
        If it is in neither place.
    """
    package = Path(__file__).parents[1]
    places = (package / "data_registry", package.parent / "data_registry")
    for place in places:
        if place.is_dir():
            return place
    msg = (
        f"The registry of data sets is neither {places[0]} nor {places[1]}: the installation is incomplete. "
        "Install pathwayae again from a wheel or from its repository."
    )
    raise FileNotFoundError(msg)


def cards() -> dict[str, Card]:
    """All cards by name, in alphabetical order.

    Raises
    ------
    ValueError
        If a card is incomplete or holds something unknown.
    """
    return {path.stem: read_card(path) for path in sorted(folder().glob("*.toml"))}


def card(name: str) -> Card:
    """The card of a data set.

    Raises
    ------
    KeyError
        If there is none; names that are close are shown.
    """
    names = sorted(path.stem for path in folder().glob("*.toml"))
    if name not in names:
        close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.5) or [n for n in names if str(name) in n]
        hint = f"Did you mean {' or '.join(map(repr, close))}? " if close else ""
        msg = f"There is no data set {name!r}. {hint}pae.datasets.list() shows all {len(names)}."
        raise KeyError(msg)
    return read_card(folder() / f"{name}.toml")


def read_card(path: Path) -> Card:
    """Read one card and check it.

    Raises
    ------
    ValueError
        If it is not TOML, incomplete, or holds something unknown; the message names card and key.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        msg = f"{path.name}: {error}"
        raise ValueError(msg) from error
    embedded = "file" in raw  # lies beside the card
    if embedded:
        raw["files"] = [{"name": raw.pop("file"), **{key: raw.pop(key) for key in ("sha256", "size") if key in raw}}]
    if not isinstance(raw.get("files"), list) or not all(isinstance(entry, dict) for entry in raw["files"]):
        msg = f"{path.name}: [[files]] must be there, one table per file."
        raise ValueError(msg)
    files = tuple(_file(entry, f"{path.name}, file {i + 1}") for i, entry in enumerate(raw.pop("files")))
    if {"name", "embedded"} & set(raw):
        msg = f"{path.name}: 'name' and 'embedded' follow from the files; leave them out."
        raise ValueError(msg)
    raw |= {"name": path.stem, "embedded": embedded, "files": files}
    _check(Card, raw, path.name)
    _check_card(result := Card(**_frozen(raw)), path)
    return result


def _file(raw: dict[str, Any], where: str) -> File:
    copies = raw.pop("copies", [])
    for entry in copies:
        if set(entry) != {"name", "sha256"}:
            msg = f"{where}: each of copies has a name and a sha256, nothing else; got {sorted(entry)}."
            raise ValueError(msg)
    raw["copies"] = tuple((entry["name"], entry["sha256"]) for entry in copies)
    _check(File, raw, where)
    result = File(**_frozen(raw))
    for name in (result.name, *result.known):
        if not re.fullmatch(r"[\w.+-]+", name) or name.startswith("."):
            msg = f"{where}: {name!r} is not the name of a file."
            raise ValueError(msg)
    for value in (result.sha256, *(value for _, value in result.copies)):
        if value and not re.fullmatch(r"[0-9a-f]{64}", value):
            msg = f"{where}: sha256 {value!r} is not 64 hexadecimal digits in lower case."
            raise ValueError(msg)
    if bad := [url for url in result.urls if not (re.match(r"\w+://[^\s/]+/\S+$", url) and is_safe(url))]:
        msg = f"{where}: {bad[0]!r} is not an address of https://…; what others can change on its way is not fetched."
        raise ValueError(msg)
    if result.rolling and (result.sha256 or result.mirrors or not result.url):
        msg = f"{where}: a rolling file has a url, and neither a sha256 nor mirrors."
        raise ValueError(msg)
    return result


def is_safe(url: str) -> bool:
    """Whether nobody on the way can change what an address answers: https, or this machine itself."""
    parts = urlsplit(url)
    return parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in ("127.0.0.1", "::1", "localhost"))


def _check(kind: type, raw: Mapping[str, Any], where: str) -> None:
    """All keys that must be there, none that is unknown, and each of its type."""
    known = {field.name: field for field in fields(kind)}
    if unknown := sorted(set(raw) - set(known)):
        msg = f"{where}: {unknown[0]!r} is not known; keys are {', '.join(known)}."
        raise ValueError(msg)
    for name, field in known.items():
        required = field.default is MISSING
        if name not in raw:
            if required:
                msg = f"{where}: {name!r} is missing."
                raise ValueError(msg)
            continue
        value, wanted = raw[name], str(field.type).partition("[")[0]
        if not isinstance(value, TYPES[wanted]) or (wanted == "int" and isinstance(value, bool)):
            msg = f"{where}: {name!r} must be {'a list' if wanted == 'tuple' else wanted}, not {value!r}."
            raise ValueError(msg)
        if value in ("", [], ()) and (required or wanted == "str"):
            msg = f"{where}: {name!r} is empty."
            raise ValueError(msg)


def _frozen(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()}


def _check_card(card: Card, path: Path) -> None:
    """What the keys of a card say together."""
    problem = ""
    names = [file.name for file in card.files]
    if card.kind not in KINDS:
        problem = f"kind={card.kind!r} is not known; choose one of {', '.join(map(repr, KINDS))}"
    elif not all(isinstance(entry, str) for entry in card.citation):
        problem = "citation must be a list of strings"
    elif len(set(names)) < len(names):
        problem = "two files have the same name"
    elif card.embedded and not path.with_name(names[0]).is_file():
        problem = f"there is no {names[0]} beside it"
    elif not card.embedded and not card.by_hand and not all(file.url or file.package for file in card.files):
        problem = "a file without a url needs by_hand: how to get it"
    if problem:
        msg = f"{path.name}: {problem}."
        raise ValueError(msg)
