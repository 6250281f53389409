"""Moments and sketches as files (npz): what they are, their names and their arrays."""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.files import check_zip, whole_or_nothing

MOMENTS, SKETCH = "pathwayae moments 1", "pathwayae sketch 1"
NORMALIZE = re.compile(r"log1p [0-9]+(\.[0-9]*)?(e\+?[0-9]+)?")
SYMMETRIC = 1e-6  # of the largest sum of squares: how far rounding takes a matrix from its transpose
WHAT = {MOMENTS: "exact moments", SKETCH: "a sketch"}

DAMAGE = (zipfile.BadZipFile, KeyError, ValueError, EOFError, AttributeError, TypeError)

Path = str | os.PathLike[str]


def checksum(about: Mapping[str, Any], arrays: Mapping[str, Any]) -> str:
    """A digest of all that a file holds but itself."""
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps({name: about[name] for name in sorted(about) if name != "checksum"}).encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        digest.update(f"{name} {values.dtype.str} {values.shape}".encode())
        digest.update(values.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def write(path: Path, about: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """One file, which appears only when it is complete; ``about`` holds its ``format``."""
    with whole_or_nothing(path) as part, part.open("wb") as file:
        described = {**about, "checksum": checksum(about, arrays)}
        named: dict[str, Any] = {"about": np.array(json.dumps(described)), **arrays}
        np.savez(file, **named)


def read(path: Path, *formats: str) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What :func:`write` wrote in one of these formats.

    Raises
    ------
    ValueError
        If the file is truncated, is none of moments, or has another format.
    """
    described = about(path, *formats)
    try:
        with np.load(os.path.expanduser(path), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name != "about"}
    except DAMAGE as error:
        raise _no_whole_file(path, error) from error
    if described.get("checksum", "") not in ("", checksum(described, arrays)):  # files of older versions have none
        msg = (
            f"{os.fspath(path)} is damaged, or was changed by hand: its contents do not have the checksum that it "
            "names. Read the cells again with pae.pp.moments."
        )
        raise ValueError(msg)
    return described, arrays


def about(path: Path, *formats: str) -> dict[str, Any]:
    """What a file says of itself, its arrays unread; raises as :func:`read` does."""
    try:
        check_zip(os.path.expanduser(path))
        with np.load(os.path.expanduser(path), allow_pickle=False) as file:
            found: dict[str, Any] = json.loads(str(file["about"]))
            found_format = found.get("format")
    except DAMAGE as error:
        raise _no_whole_file(path, error) from error
    if found_format in formats:
        return found
    msg = f"{os.fspath(path)} has format {found_format!r}; this version reads {' and '.join(map(repr, formats))}"
    if found_format in WHAT:
        msg += f" here. It holds {WHAT[found_format]}: pae.pp.read_moments reads either"
    elif str(found_format).startswith("pathwayae model"):
        msg += ". pae.models.load reads it"
    raise ValueError(msg + ".")


def _no_whole_file(path: Path, error: Exception) -> ValueError:
    msg = f"{os.fspath(path)} is not a whole file of moments ({error}); write it again with their method save."
    return ValueError(msg)


def check(path: Path, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> None:
    """Raise where what was read cannot be moments: an array is missing, or holds what no cells give.

    Bytes that changed in a file are noticed before, by its checksum.
    """
    missing = [name for name in names if name not in arrays]
    if missing:
        msg = f"{os.fspath(path)} is not a whole file of moments: it lacks {missing}; write it again."
        raise ValueError(msg)
    if wrong := _wrong(about, arrays, names):
        msg = f"{os.fspath(path)} holds no moments of cells: {wrong}. Read the cells again with pae.pp.moments."
        raise ValueError(msg)


def _wrong(about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]], names: tuple[str, ...]) -> str:
    """What is wrong with the values of a file; empty where nothing is."""
    done = about.get("normalize")
    if done and not (isinstance(done, str) and NORMALIZE.fullmatch(done)):
        return f"their values were normalised by {done!r}, which this version does not know"
    for name in names:
        values = arrays[name]
        if values.dtype.kind not in "fiu":
            return f"{name} are of type {values.dtype}, and real numbers are needed"
        if not np.isfinite(values).all():
            return f"{name} hold NaN or infinite values"
    if (arrays["counts"] < 0).any() or not arrays["counts"].any():
        return "strata hold fewer than no cells, or none hold any"
    grams = arrays.get("grams", np.zeros((0, 0, 0)))
    square = grams.ndim == 3 and grams.shape[1] == grams.shape[2]
    if (arrays.get("squares", np.zeros(0)) < 0).any() or (square and (np.einsum("sii->si", grams) < 0).any()):
        return "sums of squares are below 0"
    if square:
        # Along one direction a symmetric matrix and its transpose are alike, and no other is.
        along = np.random.default_rng(0).normal(size=grams.shape[1])
        for one in grams:
            if np.abs(one @ along - along @ one).max(initial=0.0) > SYMMETRIC * np.diagonal(one).max(initial=0.0):
                return "a Gram matrix is not symmetric"
    return ""
