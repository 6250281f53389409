"""Moments and sketches as files (npz): what they are, their names and their arrays."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.files import whole_or_nothing

MOMENTS, SKETCH = "pathwayae moments 1", "pathwayae sketch 1"
WHAT = {MOMENTS: "exact moments", SKETCH: "a sketch"}

Path = str | os.PathLike[str]


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """One file, which appears only when it is complete; ``about`` holds its ``format``."""
    with whole_or_nothing(path) as part, part.open("wb") as file:
        named: dict[str, Any] = {"about": np.array(json.dumps(about)), **arrays}
        np.savez(file, **named)


def read(path: Path, *formats: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What :func:`write` wrote in one of these formats.

    Raises
    ------
    ValueError
        If the file is truncated, is none of moments, or has another format.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            about = json.loads(str(file["about"]))
            known = about.get("format") in formats
            arrays = {name: file[name] for name in file.files if name != "about"} if known else {}
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, AttributeError, TypeError) as error:
        msg = f"{os.fspath(path)} is not a whole file of moments ({error}); write it again with their method save."
        raise ValueError(msg) from error
    if known:
        return about, arrays
    msg = f"{os.fspath(path)} has format {about.get('format')!r}; this version reads {' and '.join(map(repr, formats))}"
    if about.get("format") in WHAT:
        msg += f" here. It holds {WHAT[about['format']]}: pae.pp.read_moments reads either"
    raise ValueError(msg + ".")


def check_arrays(path: Path, arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> None:
    """Raise where an array is missing."""
    missing = [name for name in names if name not in arrays]
    if missing:
        msg = f"{os.fspath(path)} is not a whole file of moments: it lacks {missing}; write it again."
        raise ValueError(msg)
