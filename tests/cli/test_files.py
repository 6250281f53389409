"""Files keep what a command does not change, and are written whole."""

import os
import shutil
import stat
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from cli_runs import done, error_of, run

import pathwayae as pae
from pathwayae.cli import _files, _room
from pathwayae.core.files import whole_or_nothing


def same(a, b):
    """Everything of two AnnData but what a fit writes."""
    np.testing.assert_array_equal(dense(a.X), dense(b.X))
    for name in ("layers", "obsp", "obsm", "varm"):
        assert set(getattr(a, name)) <= set(getattr(b, name))
        for key, value in getattr(a, name).items():
            np.testing.assert_array_equal(dense(value), dense(getattr(b, name)[key]))
    pd.testing.assert_frame_equal(a.obs, b.obs[a.obs.columns])
    pd.testing.assert_frame_equal(a.var, b.var[a.var.columns])
    np.testing.assert_array_equal(dense(a.raw.X), dense(b.raw.X))
    assert a.uns["nested"]["words"].tolist() == b.uns["nested"]["words"].tolist()


def dense(values):
    return values.toarray() if sp.issparse(values) else np.asarray(values)


@pytest.fixture
def rich(files):
    """Cells with something in every slot."""
    folder, adata, _, _ = files
    adata.raw = adata.copy()
    adata.obs["group"] = pd.Categorical(["a", "b"] * 100)
    adata.obs["note"] = [f"note {i}" for i in range(200)]
    adata.obsp["distances"] = sp.eye(200, format="csr", dtype=np.float32)
    adata.obsm["X_pca"] = np.arange(400, dtype=np.float32).reshape(200, 2)
    adata.obsm["X_table"] = pd.DataFrame({"x": np.arange(200.0)}, index=adata.obs_names)
    adata.uns["nested"] = {"words": np.array(["α", "b"]), "none": {}}
    adata.layers["dense"] = np.asarray(adata.X.todense())
    return folder, adata


@pytest.mark.parametrize("there", [".h5ad", ".zarr"])
@pytest.mark.parametrize("here", [".h5ad", ".zarr"])
def test_every_slot_survives_from_any_kind_to_any(rich, here, there):
    folder, adata = rich
    getattr(adata, f"write_{here[1:]}")(folder / f"rich{here}")
    out = folder / f"out{there}"
    done("fit", folder / f"rich{here}", "-p", folder / "sets.gmt", "-o", out, "-q")
    done("relevance", out, "-o", out, "--overwrite", "--n-null", 20, "-q")
    written = getattr(ad, f"read_{there[1:]}")(out)
    same(adata, written)
    pae.tl.fit(adata, str(folder / "sets.gmt"), progress=False)
    pae.tl.relevance(adata, n_null=20, progress=False)
    np.testing.assert_array_equal(written.obsm["X_pae"], adata.obsm["X_pae"])
    pd.testing.assert_frame_equal(pae.get.relevance(written), pae.get.relevance(adata), check_dtype=False)
    assert [name for name in os.listdir(folder) if name.startswith(".")] == []


@pytest.mark.parametrize("how", ["dense", "by genes", "dense by chunks"])
def test_any_matrix_is_read_where_it_lies(files, how):
    folder, adata, sets, _ = files
    adata.X = sp.csc_matrix(adata.X) if how == "by genes" else np.asarray(adata.X.todense())
    adata.write_h5ad(folder / "cells.h5ad", compression="gzip" if "chunks" in how else None)
    done("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "-q")
    pae.tl.fit(adata, sets, progress=False)
    np.testing.assert_allclose(ad.read_h5ad(folder / "out.h5ad").obsm["X_pae"], adata.obsm["X_pae"], atol=1e-5)


def test_the_matrix_is_copied_as_it_is_and_never_loaded(files, monkeypatch):
    folder, adata, _, _ = files
    adata.write_h5ad(folder / "cells.h5ad", compression="gzip")
    for loader in ("read_h5ad", "read_zarr"):
        monkeypatch.setattr(ad, loader, lambda *_: pytest.fail("all of a file was read"))
    done("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "-q")
    with h5py.File(folder / "cells.h5ad") as before, h5py.File(folder / "out.h5ad") as after:
        assert after["X/data"].compression == "gzip"
        np.testing.assert_array_equal(before["X/data"][:], after["X/data"][:])


def test_a_file_of_an_old_anndata_is_read_and_written(files):
    """Before 0.7 obs and var were arrays of records."""
    folder, adata, sets, _ = files
    old = folder / "old.h5ad"
    with h5py.File(old, "w") as root:
        root["X"] = np.asarray(adata.X.todense())
        for name, index in (("obs", adata.obs_names), ("var", adata.var_names)):
            root[name] = np.array([(one.encode(),) for one in index], dtype=[("index", "S20")])
    done("fit", old, "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "-q")
    pae.tl.fit(adata, sets, progress=False)
    np.testing.assert_allclose(ad.read_h5ad(folder / "out.h5ad").obsm["X_pae"], adata.obsm["X_pae"], atol=1e-5)


@pytest.mark.parametrize("kind", [".h5ad", ".zarr"])
def test_an_input_that_may_not_be_written_makes_an_output_that_may(files, kind):
    folder, adata, _, _ = files
    cells = folder / f"cells{kind}"
    if kind == ".zarr":
        adata.write_zarr(cells)
    for path in (*cells.rglob("*"), cells):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done("fit", cells, "-p", folder / "sets.gmt", "-o", folder / f"out{kind}", "-q")
    out = folder / f"out{kind}"
    assert all(path.stat().st_mode & stat.S_IWUSR for path in (out, *out.rglob("*")))
    for path in (cells, *cells.rglob("*")):
        path.chmod(0o755)


def test_home_is_expanded(files, monkeypatch):
    folder = files[0]
    monkeypatch.setenv("HOME", str(folder))
    done("fit", "~/cells.h5ad", "-p", "~/sets.gmt", "-o", "~/out.h5ad", "--tables", "~/tables", "-q")
    assert (folder / "out.h5ad").is_file()
    assert (folder / "tables" / "scores.csv").is_file()


def test_a_folder_takes_the_place_of_a_folder(tmp_path):
    target = tmp_path / "a.zarr"
    for content in ("old", "new"):
        with whole_or_nothing(target) as part:
            part.mkdir()
            (part / content).write_text(content)
    assert [path.name for path in target.iterdir()] == ["new"]
    with pytest.raises(FileNotFoundError), whole_or_nothing(target):
        pass  # nothing was written
    assert [path.name for path in target.iterdir()] == ["new"]
    assert os.listdir(tmp_path) == ["a.zarr"]


def test_a_frame_that_has_not_changed_is_not_written_anew(files, tmp_path):
    folder = files[0]
    with _files.opened(folder / "cells.h5ad") as cells:
        cells.adata.uns["note"] = "mine"
        _files.write(cells, tmp_path / "out.h5ad")
    grown = os.path.getsize(tmp_path / "out.h5ad") - os.path.getsize(folder / "cells.h5ad")
    assert grown < 10_000
    assert ad.read_h5ad(Path(tmp_path / "out.h5ad")).uns["note"] == "mine"


def test_the_room_asked_for_is_what_a_file_takes(rich, tmp_path):
    """At least, for HDF5 may crash on a full disk; and not many times as much."""
    _, adata = rich
    pae.tl.fit(adata, {"one": adata.var_names[:30]}, n_extra=20, progress=False)
    with h5py.File(tmp_path / "empty.h5", "w"):
        pass
    empty = os.path.getsize(tmp_path / "empty.h5")
    values = {"uns": dict(adata.uns), "obs": adata.obs, "var": adata.var, "obsm": dict(adata.obsm), "X": adata.X}
    values |= {"dense": adata.layers["dense"], "varm": dict(adata.varm), "words": adata.obs_names.to_numpy()}
    for name, value in values.items():
        with h5py.File(tmp_path / f"{name}.h5", "w") as root:
            ad.io.write_elem(root, name, value)
        taken = os.path.getsize(tmp_path / f"{name}.h5") - empty
        assert taken <= _room.n_bytes(value) <= 10 * taken + 50_000, name


def test_a_disk_too_small_is_met_before_hdf5(files, monkeypatch):
    folder, adata, _, _ = files
    adata.write_zarr(folder / "cells.zarr")
    before = sorted(folder.iterdir())

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.posix_fallocate", full, raising=False)
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 100_000))
    monkeypatch.setattr(ad.io, "write_elem", lambda *_: pytest.fail("HDF5 wrote"))
    monkeypatch.setattr(ad.AnnData, "write_h5ad", lambda *_: pytest.fail("HDF5 wrote"))
    for cells in ("cells.h5ad", "cells.zarr"):
        out = folder / "out.h5ad"
        said = error_of(run("fit", folder / cells, "-p", folder / "sets.gmt", "-o", out), 4)
        assert said == f"error: {out}: No space left on device. Free some space, or write elsewhere."
        assert sorted(folder.iterdir()) == before
