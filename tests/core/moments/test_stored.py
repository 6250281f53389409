"""Files of moments that were changed: what no cells give is refused, and so is a byte that differs."""

from __future__ import annotations

import json

import numpy as np
import pytest
from oracles import sketch

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Moments
from pathwayae.core.moments.sketch import Sketch

NAMES = tuple(f"gene_{i}" for i in range(9))


def cells():
    return np.random.default_rng(0).gamma(1.0, size=(50, 9))


@pytest.fixture(params=["moments", "sketch"])
def saved(request, tmp_path):
    """A file of either kind, and its class."""
    codes = np.arange(50) % 2
    if request.param == "moments":
        found = accumulate(cells(), codes=codes, strata=("a", "b"))
    else:
        found = sketch(cells(), rank=3, genes=NAMES, codes=codes, strata=("a", "b"))
    found.save(tmp_path / "m.npz")
    return tmp_path / "m.npz", type(found)


def changed(path, **changes):
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    about = json.loads(str(arrays.pop("about")))
    about.pop("checksum", None)  # as one who writes such a file by hand would
    for name, change in changes.items():
        if name in arrays:
            arrays[name] = change(arrays[name])
        else:
            about[name] = change(about[name])
    np.savez(path, about=np.array(json.dumps(about)), **arrays)


def with_value(value, place=0):
    def change(values):
        values = values.copy()
        values.reshape(-1)[place] = value
        return values

    return change


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("counts", with_value(np.nan), "counts hold NaN"),
        ("counts", with_value(-3.0), "fewer than no cells"),
        ("counts", np.zeros_like, "none hold any"),
        ("sums", with_value(np.inf), "sums hold NaN or infinite"),
        ("sums", lambda values: values.astype(str), "sums are of type <U"),
        ("sums", lambda values: values.astype(complex), "sums are of type complex128"),
        ("normalize", lambda _: "log2 10000", "'log2 10000', which this version does not know"),
        ("normalize", lambda _: "log1p", "does not know"),
        ("normalize", lambda _: 7, "does not know"),
    ],
)
def test_what_no_cells_give_is_refused(saved, name, change, words):
    path, kind = saved
    kind.load(path)
    changed(path, **{name: change})
    with pytest.raises(ValueError, match=rf"m\.npz holds no moments of cells: .*{words}"):
        kind.load(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (with_value(np.nan, 5), "grams hold NaN"),
        (with_value(9.0, 5), "is not symmetric"),
        (with_value(-1.0, 10), "sums of squares are below 0"),
        (lambda values: values.astype(complex), "grams are of type complex128"),
    ],
)
def test_gram_matrices_that_are_none_are_refused(tmp_path, change, words):
    accumulate(cells()).save(tmp_path / "m.npz")
    changed(tmp_path / "m.npz", grams=change)
    with pytest.raises(ValueError, match=words):
        Moments.load(tmp_path / "m.npz")


def test_files_that_were_normalised_by_known_means_are_read(saved):
    path, kind = saved
    for how in ("", "log1p 10000", "log1p 1e+06", "log1p 2500.5"):
        changed(path, normalize=lambda _, how=how: how)
        assert kind.load(path).normalize == how


@pytest.mark.parametrize("name", ["counts", "sums"])
def test_a_byte_of_an_array_that_changed_is_noticed(saved, name):
    path, kind = saved
    content, values = bytearray(path.read_bytes()), getattr(kind.load(path), name).tobytes()
    content[content.index(values) + len(values) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with pytest.raises(ValueError, match=r"m\.npz is not a whole file of moments"):
        kind.load(path)


def test_sketches_keep_their_squares(tmp_path):
    sketch(cells(), rank=3, genes=NAMES).save(tmp_path / "m.npz")
    changed(tmp_path / "m.npz", squares=with_value(-1.0))
    with pytest.raises(ValueError, match="sums of squares are below 0"):
        Sketch.load(tmp_path / "m.npz")


def test_values_that_were_changed_and_packed_again_are_noticed(saved):
    """The archive is whole then; what it holds is not what was saved."""
    path, kind = saved
    with np.load(path) as file:
        held = dict(file)
    np.savez(path, **{**held, "sums": -held["sums"]})
    with pytest.raises(ValueError, match=r"m\.npz is damaged, or was changed by hand.*checksum.*pae\.pp\.moments"):
        kind.load(path)
    about = json.loads(str(held["about"]))
    del about["checksum"]
    np.savez(path, **{**held, "about": np.array(json.dumps(about))})
    assert kind.load(path).counts.sum() == held["counts"].sum()  # as files of older versions are
