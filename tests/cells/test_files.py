"""Files of cells that change while they are read, take values from others, or are of other kinds."""

import gzip
import os
import shutil

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.io
import scipy.sparse as sp
from cli_runs import done, error_of, run

import pathwayae as pae
from pathwayae._cells import sources
from pathwayae.cli import _files as cli_files

PASSES = {
    "moments": lambda cells, *_: pae.pp.moments(cells, progress=False),
    "transform": lambda cells, fitted, out: pae.tl.transform(cells, fitted, out=out, progress=False),
}


@pytest.fixture(scope="module")
def fitted():
    adata = pae.datasets.simulate(200, 300, 6)
    pae.tl.fit(adata, "pathways", progress=False)
    return adata


@pytest.fixture
def halfway(monkeypatch):
    """Does something to a file after the second block that is read; blocks are small."""

    def after(action):
        read, blocks = sources.Source.block, []

        def block(self, start, stop):
            found = read(self, start, stop)
            blocks.append(found)
            if len(blocks) == 2:
                action()
            return found

        monkeypatch.setattr(sources.Source, "block", block)

    monkeypatch.setattr("pathwayae._cells.sources.STORED_BYTES", 10**9)
    return after


def cut_off(path):
    if path.is_dir():
        max((path / "X").rglob("*"), key=lambda one: one.stat().st_size if one.is_file() else -1).unlink()
    else:
        os.truncate(path, path.stat().st_size // 2)


def written_to(path):
    if path.is_dir():
        path = max((path / "X").rglob("*"), key=lambda one: one.stat().st_size if one.is_file() else -1)
    with path.open("r+b") as file:
        byte = file.read(1)
        file.seek(0)
        file.write(byte)
    os.utime(path, ns=(1, 1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("form", ["dense", "sparse"])
@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("change", [cut_off, written_to])
@pytest.mark.parametrize("way", PASSES)
def test_a_file_that_changes_during_a_pass_is_refused(fitted, halfway, tmp_path, form, kind, change, way):
    cells = ad.AnnData(fitted.X.copy() if form == "sparse" else fitted.X.toarray(), fitted.obs, fitted.var)
    path, out = tmp_path / f"cells.{kind}", tmp_path / "scores.parquet"
    getattr(cells, f"write_{kind}")(path)
    halfway(lambda: change(path))
    with pytest.raises(ValueError, match=r"changed on the disk|cannot be read"):
        PASSES[way](path, fitted, out)
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("way", ["moments of a view", "fit", "sparse_ae"])
def test_backed_cells_that_change_are_refused(fitted, halfway, tmp_path, way):
    path = tmp_path / "cells.h5ad"
    fitted.write_h5ad(path)
    cells = ad.read_h5ad(path, backed="r")
    names = set(cells.uns), set(cells.obsm)
    halfway(lambda: written_to(path))
    work = {
        "moments of a view": lambda: pae.pp.moments(cells[50:], progress=False),
        "fit": lambda: pae.tl.fit(cells, "pathways", key_added="again", progress=False),
        "sparse_ae": lambda: pae.tl.sparse_ae(cells, n_latents=8, n_epochs=1, progress=False),
    }
    with pytest.raises(ValueError, match="changed on the disk"):
        work[way]()
    assert (set(cells.uns), set(cells.obsm)) == names


def test_a_file_that_stays_as_it_is_is_read_even_where_another_takes_its_name(fitted, halfway, tmp_path):
    path = tmp_path / "cells.h5ad"
    fitted.write_h5ad(path)
    expected = pae.pp.moments(path, progress=False).grams
    (tmp_path / "other.h5ad").write_text("something else")
    halfway(lambda: os.replace(tmp_path / "other.h5ad", path))
    np.testing.assert_array_equal(pae.pp.moments(path, progress=False).grams, expected)


def linked(path):
    with h5py.File(path, "r+") as root:
        del root["X/data"]
        root["X/data"] = h5py.ExternalLink("other.h5ad", "X/data")


def stored_outside(path):
    with h5py.File(path, "r+") as root:
        values = root["X/data"][...]
        del root["X/data"]
        values.tofile(path.parent / "raw.bin")
        root["X"].create_dataset(
            "data", values.shape, values.dtype, external=[(str(path.parent / "raw.bin"), 0, values.nbytes)]
        )


def virtual(path):
    with h5py.File(path, "r+") as root:
        layout = h5py.VirtualLayout(root["X/data"].shape, root["X/data"].dtype)
        layout[:] = h5py.VirtualSource("other.h5ad", "X/data", shape=root["X/data"].shape)
        del root["X/data"]
        root["X"].create_virtual_dataset("data", layout)


@pytest.mark.parametrize("damage", [linked, stored_outside, virtual])
def test_values_in_other_files_are_not_followed(fitted, tmp_path, damage):
    path = tmp_path / "cells.h5ad"
    fitted.write_h5ad(path)
    shutil.copy(path, tmp_path / "other.h5ad")
    damage(path)
    with pytest.raises(ValueError, match=r"cells.h5ad is not read: .*'X/data'.* file"):
        pae.pp.moments(path, progress=False)
    error = error_of(run("fit", path, "-p", "pathways", "-o", tmp_path / "out.h5ad"), 4)
    assert "it is not read" in error
    with pytest.raises(ValueError, match="is not read"):
        pae.tl.transform(fitted.copy(), path, progress=False)


@pytest.fixture
def counts(tmp_path):
    """Counts as Cell Ranger writes them: HDF5 of both versions, and a folder; two genes share a symbol."""
    adata = pae.datasets.simulate(120, 300, 6)
    rng = np.random.default_rng(0)
    X = sp.csr_matrix(rng.poisson(np.expm1(adata.X.toarray()) + 0.05).astype(np.int32))
    names = [*adata.var_names[:-1], adata.var_names[0]]
    ids, cells = [f"ENSG{i:011d}" for i in range(300)], [f"cell{i}-1" for i in range(120)]
    with h5py.File(tmp_path / "counts.h5", "w") as root:
        group = root.create_group("matrix")
        for name, values in {"data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": X.shape[::-1]}.items():
            group[name] = values
        group["barcodes"] = np.array(cells, dtype="S")
        features = {"id": ids, "name": names, "feature_type": ["Gene Expression"] * 300, "genome": ["x"] * 300}
        for name, values in features.items():
            group[f"features/{name}"] = np.array(values, dtype="S")
    folder = tmp_path / "mtx"
    folder.mkdir()
    with gzip.open(folder / "matrix.mtx.gz", "wb") as file:
        scipy.io.mmwrite(file, X.T)
    with gzip.open(folder / "barcodes.tsv.gz", "wt") as file:
        file.write("".join(f"{name}\n" for name in cells))
    with gzip.open(folder / "features.tsv.gz", "wt") as file:
        file.writelines(f"{one}\t{name}\tGene Expression\n" for one, name in zip(ids, names, strict=True))
    member = adata.varm["pathways"]
    pae.gs.as_collection({name: member.index[member[name]].tolist() for name in member}).to_gmt(tmp_path / "sets.gmt")
    return tmp_path, X


@pytest.mark.parametrize("source", ["counts.h5", "mtx", "mtx/matrix.mtx.gz"])
@pytest.mark.parametrize("kind", [".h5ad", ".zarr"])
def test_what_cell_ranger_writes_is_fitted(counts, source, kind):
    folder, X = counts
    out = folder / f"out{kind}"
    done("fit", folder / source, "-p", folder / "sets.gmt", "-o", out, "--normalize", "log1p", "-q")
    fitted = ad.read_zarr(out) if kind == ".zarr" else ad.read_h5ad(out)
    assert (fitted.X != X).nnz == 0
    assert fitted.var["gene_ids"].iloc[-1] == "ENSG00000000299"
    assert fitted.var_names.is_unique
    memory = sc.read_10x_h5(folder / "counts.h5")
    memory.var_names_make_unique()
    moments = pae.pp.moments(memory, normalize="log1p", progress=False)
    pae.tl.fit(memory, pae.gs.read_gmt(folder / "sets.gmt"), moments=moments, progress=False)
    np.testing.assert_allclose(fitted.obsm["X_pae"], memory.obsm["X_pae"], atol=1e-4)


def test_files_of_other_kinds_name_the_call_that_reads_them(counts, fitted):
    folder = counts[0]
    fitted.write_h5ad(folder / "cells.h5ad")
    (folder / "cells.h5ad.gz").write_bytes(gzip.compress((folder / "cells.h5ad").read_bytes()))
    (folder / "cells.csv").write_text("a,b\n")
    (folder / "cells.rds").write_bytes(b"RDX3")
    for name, told in {
        "counts.h5": "scanpy.read_10x_h5(",
        "mtx": "scanpy.read_10x_mtx(",
        "mtx/matrix.mtx.gz": "scanpy.read_10x_mtx(",
        "cells.h5ad.gz": "gunzip",
        "cells.csv": "read_csv(",
        "cells.rds": "writeH5AD",
    }.items():
        with pytest.raises(ValueError, match="is not read") as caught:
            pae.pp.moments(folder / name, progress=False)
        assert told in str(caught.value)
        if "10x" not in told:
            assert told in error_of(run("fit", folder / name, "-p", "x", "-o", folder / "out.h5ad"), 4)


def test_a_zarr_whose_names_or_values_are_gone_is_not_read_as_empty(tmp_path):
    """Removed beneath consolidated metadata, where zarr reads empty names and zeros."""
    adata = ad.AnnData(sp.csr_matrix(np.eye(6)), var=pd.DataFrame(index=list("abcdef")))
    for part, said in (("var", "lacks the names of var"), ("obs", "lacks the names of obs"), ("X", "lacks .* chunks")):
        path = tmp_path / f"{part}.zarr"
        adata.write_zarr(path)
        shutil.rmtree(path / part)
        with pytest.raises(ValueError, match=said):
            pae.pp.moments(path, progress=False)
        with pytest.raises(OSError, match=said), cli_files.opened(path):
            pass


def shapeless(root):
    del root["X"].attrs["shape"]


def of_floats(root, part="X/indices"):
    attrs, values = dict(root[part].attrs), root[part][...] + 0.5
    del root[part]
    root[part] = values
    root[part].attrs.update(attrs)


def round_and_round(root):
    del root["X/indptr"]
    root["X/indptr"] = h5py.SoftLink("/X/indptr")


@pytest.mark.parametrize("damage", [shapeless, of_floats, round_and_round])
def test_whatever_is_damaged_in_a_file_is_said_of_the_file(tmp_path, damage):
    path = tmp_path / "cells.h5ad"
    ad.AnnData(sp.csr_matrix(np.eye(4)), var=pd.DataFrame(index=list("abcd"))).write_h5ad(path)
    with h5py.File(path, "r+") as root:
        damage(root)
    with pytest.raises(ValueError, match=r"file .*cells\.h5ad (cannot be|is damaged).*write|Write"):
        pae.pp.moments(path, progress=False)


def test_bounds_of_a_zarr_that_cannot_be_unpacked_are_said_of_the_file(tmp_path):
    ad.AnnData(sp.csr_matrix(np.eye(40)), var=pd.DataFrame(index=map(str, range(40)))).write_zarr(tmp_path / "x.zarr")
    for chunk in (tmp_path / "x.zarr" / "X" / "indptr").rglob("*"):
        if chunk.is_file() and not chunk.name.startswith((".z", "zarr")):
            chunk.write_bytes(chunk.read_bytes()[:20])
    with pytest.raises(ValueError, match=r"file .*x\.zarr cannot be read.*fetch or write it again"):
        pae.pp.moments(tmp_path / "x.zarr", progress=False)


def test_cells_that_are_given_twice_are_told_of(tmp_path):
    adata = ad.AnnData(sp.csr_matrix(np.eye(4)), var=pd.DataFrame(index=list("abcd")))
    adata.write_h5ad(tmp_path / "a.h5ad")
    (tmp_path / "b.h5ad").symlink_to(tmp_path / "a.h5ad")
    for data in ([tmp_path / "a.h5ad", tmp_path / "b.h5ad"], [adata, adata]):
        with pytest.warns(pae.DataWarning, match=r"data\[1\] is the same as data\[0\].*counted twice"):
            assert pae.pp.moments(data, progress=False).counts.sum() == 8
