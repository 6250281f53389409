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


def find(names: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Names that are meant, in the order asked for.

    The first of these that fits counts: the name itself; the name in other letters, with or without the prefix of its
    collection; names with these words in a row; names with these letters. Case and what stands between words do not
    matter; a number is not part of a longer one. A misspelled name is never guessed.

    Raises
    ------
    KeyError
        If several names fit, or none; the message gives them, or the closest ones.
    ValueError
        If nothing is asked for, or one name twice.
    """
    known = set(names)
    found = [one if one in known else _only(names, one) for one in asked]
    if not found or len(set(found)) < len(found):
        msg = f"Name at least one component, and none twice; got {listed(asked)}."
        raise ValueError(msg)
    for one, name in zip(asked, found, strict=True):
        if one != name:
            logger.info("%r is taken for %r.", one, name)
    return found


def _only(names: Sequence[str], asked: str) -> str:
    """The one name that is meant."""
    fits = _fitting(names, asked)
    if len(fits) == 1:
        return fits[0]
    if fits:
        rest = f" and {len(fits) - N_SHOWN} more" if len(fits) > N_SHOWN else ""
        msg = (
            f"{asked!r} is part of {len(fits)} names: {', '.join(map(repr, fits[:N_SHOWN]))}{rest}. Write more of the "
            "one that is meant."
        )
        raise KeyError(msg)
    spelled = {_plain(_bare(name)): name for name in names} | {_plain(name): name for name in names}
    close = [spelled[one] for one in difflib.get_close_matches(_plain(asked), spelled, n=4, cutoff=0.4)]
    close = list(dict.fromkeys(close))[:3]
    hint = f"closest: {', '.join(map(repr, close))}" if close else f"e.g. {names[0]!r}" if names else "there are none"
    msg = f"No component is called {asked!r}, nor has it as a part ({hint}); see pae.get.component_names(adata)."
    raise KeyError(msg)


def _fitting(names: Sequence[str], asked: str) -> list[str]:
    """Names that fit best; none where the words are empty."""
    if not (words := _plain(asked)):
        return []
    plain = [_plain(name) for name in names]
    same = [name for name, own in zip(names, plain, strict=True) if words in (own, _plain(_bare(name)))]
    whole = [name for name, own in zip(names, plain, strict=True) if f" {words} " in f" {own} "]
    before, after = (r"(?<!\d)" if words[0].isdigit() else ""), (r"(?!\d)" if words[-1].isdigit() else "")
    letters = before + re.escape(words) + after
    begun = [name for name, own in zip(names, plain, strict=True) if re.search(r"\b" + letters, own)]
    part = [name for name, own in zip(names, plain, strict=True) if re.search(letters, own)]
    return same or whole or begun or part


def _plain(name: str) -> str:
    """Words of a name in small letters, a blank between them."""
    return " ".join(re.findall(r"[^\W_]+", name.lower()))


def _bare(name: str) -> str:
    """A name without the prefix of its collection."""
    found = PREFIX.match(name)
    return name[found.end() :] if found and len(name) > found.end() else name
