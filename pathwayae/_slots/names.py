"""Names of components as people type them: exact, in other letters, or a part that only one name has."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Sequence

from pathwayae.core.notice import listed

logger = logging.getLogger("pathwayae")

PREFIX = re.compile(r"[A-Z][A-Z0-9]*_")  # of a collection: HALLMARK_, REACTOME_, GOBP_
N_SHOWN = 8
LETTERS = 4  # that a part within a word has at least: ROS is not meant by neurospecific


def find(names: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Names that are meant, in the order asked for.

    The first of these that fits counts: the name itself; the name in other letters, with or without the prefix of its
    collection; names with these words in a row, whole ones or beginnings; names with these letters, four or more. Case
    and what stands between words do not matter; a number is not part of a longer one. A misspelled name is never
    guessed.

    Raises
    ------
    KeyError
        If several names fit, or none; the message gives them, or the closest ones.
    ValueError
        If nothing is asked for, or one name twice.
    """
    known = set(names)
    spelled = [] if known.issuperset(asked) else [(name, _plain(name), _plain(_bare(name))) for name in names]
    found = [one if one in known else _only(spelled, one) for one in asked]
    if not found or len(set(found)) < len(found):
        msg = f"Name at least one component, and none twice; got {listed(asked)}."
        raise ValueError(msg)
    for one, name in zip(asked, found, strict=True):
        if one != name:
            logger.info("%r is taken for %r.", one, name)
    return found


def _only(spelled: list[tuple[str, str, str]], asked: str) -> str:
    """The one name that is meant, of names with their words, whole and without the prefix."""
    fits = _fitting(spelled, asked)
    if len(fits) == 1:
        return fits[0]
    if fits:
        rest = f" and {len(fits) - N_SHOWN} more" if len(fits) > N_SHOWN else ""
        msg = (
            f"{asked!r} is part of {len(fits)} names: {', '.join(map(repr, fits[:N_SHOWN]))}{rest}. Write more of the "
            "one that is meant."
        )
        raise KeyError(msg)
    words = {bare: name for name, _, bare in spelled} | {own: name for name, own, _ in spelled}
    close = [words[one] for one in difflib.get_close_matches(_plain(asked), words, n=4, cutoff=0.4)]
    close = list(dict.fromkeys(close))[:3]
    example = f"e.g. {spelled[0][0]!r}" if spelled else "there are none"
    hint = f"closest: {', '.join(map(repr, close))}" if close else example
    msg = f"No component is called {asked!r}, nor has it as a part ({hint}); see pae.get.component_names(adata)."
    raise KeyError(msg)


def _fitting(spelled: list[tuple[str, str, str]], asked: str) -> list[str]:
    """Names that fit best; none where the words are empty."""
    if not (words := _plain(asked)):
        return []
    before, after = (r"(?<!\d)" if words[0].isdigit() else ""), (r"(?!\d)" if words[-1].isdigit() else "")
    part = re.compile(before + re.escape(words) + after)
    begun = re.compile(r"\b" + part.pattern)
    return (
        [name for name, own, bare in spelled if words in (own, bare)]
        or [name for name, own, _ in spelled if f" {words} " in f" {own} "]
        or [name for name, own, _ in spelled if begun.search(own)]
        or [name for name, own, _ in spelled if len(words) >= LETTERS and part.search(own)]
    )


def _plain(name: str) -> str:
    """Words of a name in small letters, a blank between them."""
    return " ".join(re.findall(r"[^\W_]+", name.lower()))


def _bare(name: str) -> str:
    """A name without the prefix of its collection."""
    found = PREFIX.match(name)
    return name[found.end() :] if found and len(name) > found.end() else name
