"""Names of pathways as labels: a shared prefix and the middle of long ones left out, and no two alike."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from pathwayae._slots.names import PREFIX
from pathwayae.pl import _axes

GAP = "…"


def labels(names: Iterable[object], width: int, n_lines: int = 2) -> list[str]:
    """Labels of a list; the prefix of a collection is left out where all names have the same."""
    return titles(_without_prefix([str(name) for name in names]), width, n_lines)


def titles(names: Sequence[str], width: int, n_lines: int = 3) -> list[str]:
    """Names in lines, about as many as asked for; longer ones lose their middle, but never what tells them apart."""
    room = dict.fromkeys(names, width * n_lines)
    cut = {name: _cut(name, room[name]) for name in names}
    while alike := [name for name in room if Counter(cut.values())[cut[name]] > 1]:
        for name in alike:
            room[name] += width // 2
            cut[name] = _cut(name, room[name])
    return [_axes.wrap(cut[name], width) for name in names]


def _without_prefix(names: list[str]) -> list[str]:
    """Names without the prefix that all of them have, if there are several and something is left of each."""
    found = PREFIX.match(names[0]) if len(set(names)) > 1 else None
    if found is None or not all(name.startswith(found[0]) and len(name) > found.end() for name in names):
        return names
    return [name[found.end() :] for name in names]


def _cut(name: str, room: int) -> str:
    """A name of at most so many characters, of which the middle goes, at words where one ends near."""
    if len(name) <= room:
        return name
    n_tail, near = (room - 1) * 2 // 5, min(12, room // 6)
    head, tail = name[: room - 1 - n_tail], name[len(name) - n_tail :]
    at = max(head.rfind(mark) for mark in " _/")
    head = head[: at + 1] if at >= len(head) - near else head
    found = re.search(r"[ _/]", tail[:near])
    return head + GAP + (tail[found.end() :] if found else tail)
