"""Collections of annbatch: one zarr that holds several AnnData, named ``dataset_0`` and so on."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

MARK = ("encoding-type", "annbatch-preshuffled")  # of the root of a collection
MEMBER = re.compile(r"dataset_(\d+)")


def spread_all(data: Any) -> list[Any]:
    """The AnnData and paths of one or a list of them, with the data sets of a collection in its place."""
    items = data if isinstance(data, list | tuple) else [data]
    several = [spread(Path(item).expanduser()) if isinstance(item, str | os.PathLike) else [item] for item in items]
    return [one for some in several for one in some]


def spread(path: Path) -> list[Path]:
    """The data sets of a collection, in the order of their numbers; any other path alone."""
    return members(path) or [path]


def members(path: Path) -> list[Path]:
    """The data sets of a collection, in the order of their numbers; none where the path is no collection."""
    try:
        attributes = json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
    except (OSError, ValueError, AttributeError):
        return []
    if attributes.get(MARK[0]) != MARK[1]:
        return []
    found = {int(match[1]): one for one in path.iterdir() if (match := MEMBER.fullmatch(one.name))}
    return [found[number] for number in sorted(found)]
