"""Scores from file to file: the numbers of the transform in memory, whole files or none."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

import pathwayae as pae
from pathwayae import _checks
from pathwayae._cells import sources
from pathwayae.tl import _project, _stream

SOURCES = ["h5ad-csr", "h5ad-csc", "h5ad-dense", "zarr-csr", "zarr-dense", "memory", "view", "dask"]
OUTS = ["scores.zarr", "scores.parquet"]


@pytest.fixture(scope="module")
def fitted() -> ad.AnnData:
    """Components with names that no folder could have."""
    adata = pae.datasets.simulate(400, 300, 6, random_state=3)
    member = adata.varm["pathways"]
    sets = {f"IL6/JAK: {name}": member.index[member[name]].tolist() for name in member}
    pae.tl.fit(adata, sets, n_extra=3, progress=False)
    return adata


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(_project, "BLOCK_BYTES", 16 * 300 * 37)
    monkeypatch.setattr(_stream, "CHUNK_BYTES", 4 * 9 * 50)


def bare(adata: ad.AnnData) -> ad.AnnData:
    """The cells and genes without any result."""
    return ad.AnnData(adata.X.copy(), obs=adata.obs.copy(), var=adata.var[[]].copy())


def stored(adata: ad.AnnData, kind: str, folder: Path):
    new = bare(adata)
    form, _, how = kind.partition("-")
    if how == "dense":
        new.X = new.X.toarray()
    elif how == "csc":
        new.X = new.X.tocsc()
    if form in ("h5ad", "zarr"):
        getattr(new, f"write_{form}")(folder / f"cells.{form}")
        return folder / f"cells.{form}"
    if form == "view":
        return ad.concat([new, new], index_unique="-")[: new.n_obs]
    if form == "dask":
        dask_array = pytest.importorskip("dask.array")
        new.X = dask_array.from_array(new.X.toarray(), chunks=(90, 300))
    return new


def back(out: Path) -> pd.DataFrame:
    """Scores of a file, cells × components."""
    return pd.read_parquet(out) if out.suffix == ".parquet" else ad.read_zarr(out).to_df()


def transform(data, fitted: ad.AnnData, out: Path, **kwargs) -> None:
    assert pae.tl.transform(data, fitted, out=out, progress=False, **kwargs) is None


def in_memory(data, fitted: ad.AnnData) -> pd.DataFrame:
    if isinstance(data, Path):
        data = ad.read_zarr(data) if data.suffix == ".zarr" else ad.read_h5ad(data)
    own = data.copy()
    pae.tl.transform(own, fitted, progress=False)
    return pae.get.scores(own)


def assert_nothing_is_left(folder: Path, *kept: str) -> None:
    assert {path.name for path in folder.iterdir()} == set(kept)


@pytest.mark.parametrize("out", OUTS)
@pytest.mark.parametrize("kind", SOURCES)
def test_the_file_holds_the_scores_of_the_transform_in_memory(fitted: ad.AnnData, kind: str, out: str, tmp_path):
    data = stored(fitted, kind, tmp_path)
    before = {path.name for path in tmp_path.iterdir()}
    transform(data, fitted, tmp_path / out)
    scores, expected = back(tmp_path / out), in_memory(data, fitted)
    assert list(scores.index) == list(expected.index)
    assert list(scores.columns) == list(fitted.uns["pae"]["component_names"])
    assert set(scores.dtypes) == {np.dtype("float32")}
    np.testing.assert_array_equal(scores.to_numpy(), expected.to_numpy())
    np.testing.assert_allclose(scores.to_numpy(), fitted.obsm["X_pae"], atol=1e-5)
    assert_nothing_is_left(tmp_path, out, *before)
    if isinstance(data, ad.AnnData):
        assert "X_pae" not in data.obsm
        assert "pae" not in data.uns


@pytest.mark.parametrize("out", OUTS)
def test_shards_are_one_after_another_with_genes_in_any_order(fitted: ad.AnnData, out: str, tmp_path) -> None:
    rng = np.random.default_rng(0)
    first = bare(fitted)[:150, rng.permutation(300)].copy()
    second = bare(fitted)[150:220].copy()
    third = bare(fitted)[220:, rng.permutation(300)].copy()
    extra = ad.AnnData(np.ones((180, 2), dtype=np.float32), obs=third.obs, var=pd.DataFrame(index=["x", "y"]))
    third = ad.concat([extra, third], axis=1)
    first.write_h5ad(tmp_path / "a.h5ad")
    third.write_zarr(tmp_path / "c.zarr")
    transform([tmp_path / "a.h5ad", second, str(tmp_path / "c.zarr")], fitted, tmp_path / out)
    scores = back(tmp_path / out)
    assert list(scores.index) == list(fitted.obs_names)
    np.testing.assert_allclose(scores.to_numpy(), fitted.obsm["X_pae"], atol=1e-5)


def test_the_zarr_is_an_anndata_over_the_components(fitted: ad.AnnData, tmp_path) -> None:
    one, two = bare(fitted)[:150].copy(), bare(fitted)[150:].copy()
    one.obs = pd.DataFrame({"donor": pd.Categorical(["d1"] * 150), "good": True, "age": 3}, index=one.obs_names)
    two.obs = pd.DataFrame({"donor": pd.Categorical(["d2"] * 250), "age": 5}, index=two.obs_names)
    one.write_h5ad(tmp_path / "one.h5ad")
    out = tmp_path / "scores.zarr"
    transform([tmp_path / "one.h5ad", two], fitted, out, key_added="ref")
    result = ad.read_zarr(out)
    expected = pae.get.to_anndata(fitted).var.drop(columns=["verdict", "reason"])
    assert result.X.dtype == np.float32
    pd.testing.assert_frame_equal(result.var.astype(expected.dtypes), expected)
    assert result.obs["donor"].tolist() == ["d1"] * 150 + ["d2"] * 250
    assert list(result.obs["donor"].cat.categories) == ["d1", "d2"]
    assert result.obs["age"].tolist() == [3] * 150 + [5] * 250
    assert result.obs["good"].isna().sum() == 250
    assert result.obs["good"][:150].all()
    assert result.obs["ref_shard"].tolist() == [str(tmp_path / "one.h5ad")] * 150 + ["data[1].X"] * 250
    assert list(result.uns["ref"]["component_names"]) == list(fitted.uns["pae"]["component_names"])
    assert result.uns["ref"]["params"]["theta"] == 0.3
    import zarr

    assert zarr.open_group(out, mode="r")["X"].chunks == (50, 9)
    assert "X" in zarr.open_consolidated(out, mode="r")
    sc.pp.neighbors(result, use_rep="X")
    single = tmp_path / "single.zarr"
    transform(two, fitted, single)
    found = ad.read_zarr(single).obs
    pd.testing.assert_frame_equal(found[list(two.obs)], two.obs)
    assert set(found) - set(two.obs) == {"pae_unexplained", "pae_unexplained_quantile"}


def test_the_parquet_has_a_row_group_per_block(fitted: ad.AnnData, tmp_path) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    path = stored(fitted, "h5ad-dense", tmp_path)
    transform(path, fitted, tmp_path / "scores.parquet")
    file = pq.ParquetFile(tmp_path / "scores.parquet")
    rows = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
    assert rows == [148, 148, 104]  # float32: four times as many cells as values of 16 bytes would allow


@pytest.mark.filterwarnings("ignore:.* are on another scale")  # cells without most of their values
def test_neither_cells_nor_scores_of_a_block_exceed_its_bytes(fitted: ad.AnnData, tmp_path, monkeypatch) -> None:
    sizes = []
    original = sources.Source.block

    def block(self, start, stop):
        sizes.append((stop - start, self.row_bytes))
        return original(self, start, stop)

    path = stored(fitted, "h5ad-csr", tmp_path)
    monkeypatch.setattr(sources.Source, "block", block)
    transform(path, fitted, tmp_path / "a.zarr")
    assert len(sizes) > 4
    assert max(rows * each for rows, each in sizes[1:]) <= _project.BLOCK_BYTES  # the first is the look for counts
    few = bare(fitted)
    few.X = sp.csr_matrix(few.X.toarray() * (np.arange(300) < 5))  # less to read per cell than to write
    few.write_h5ad(tmp_path / "few.h5ad")
    sizes.clear()
    transform(tmp_path / "few.h5ad", fitted, tmp_path / "few.parquet")
    rows = [each[0] for each in sizes[1:]]
    width = 8 * 9
    assert sizes[0][1] < width * 2
    assert max(rows) * max(width, sizes[0][1]) <= _project.BLOCK_BYTES


def test_counts_are_normalised_shard_by_shard_as_the_moments_were(fitted: ad.AnnData, tmp_path) -> None:
    raw = ad.AnnData(fitted.layers["counts"].copy(), obs=fitted.obs, var=fitted.var[[]])
    log = raw.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    reference = raw.copy()
    reference.varm["pathways"] = fitted.varm["pathways"]
    pae.tl.fit(reference, "pathways", moments=pae.pp.moments(raw, normalize="log1p", progress=False), progress=False)
    raw[:200].write_h5ad(tmp_path / "counts.h5ad")
    transform([tmp_path / "counts.h5ad", log[200:].copy()], reference, tmp_path / "scores.zarr")
    np.testing.assert_allclose(back(tmp_path / "scores.zarr").to_numpy(), reference.obsm["X_pae"], atol=1e-4)
    with pytest.warns(pae.DataWarning, match=r"file .*counts\.h5ad\) look like raw counts"):
        transform(tmp_path / "counts.h5ad", fitted, tmp_path / "raw.zarr")


@pytest.mark.filterwarnings("ignore:Observation names are not unique")  # of reading them again
def test_layers_symbols_and_missing_genes_are_looked_at_in_every_shard(fitted: ad.AnnData, tmp_path) -> None:
    new = bare(fitted)
    new.layers["log"], new.X = new.X, None
    new.var["symbol"] = new.var_names.to_numpy()
    new.var_names = [f"ENSG{i:011d}" for i in range(300)]
    new.write_h5ad(tmp_path / "full.h5ad")
    new[:, np.arange(300) % 4 > 0].copy().write_h5ad(tmp_path / "part.h5ad")
    shards = [tmp_path / "full.h5ad", tmp_path / "part.h5ad"]
    with (
        pytest.warns(pae.DataWarning, match=r"75 of 300 genes of the model are missing .*part\.h5ad"),
        pytest.warns(pae.DataWarning, match="400 cells have the name of another"),
    ):
        transform(shards, fitted, tmp_path / "scores.zarr", layer="log", gene_symbols="symbol")
    scores = back(tmp_path / "scores.zarr").to_numpy()
    np.testing.assert_allclose(scores[:400], fitted.obsm["X_pae"], atol=1e-5)
    assert np.abs(scores[400:] - fitted.obsm["X_pae"]).max() > 0.1
    with pytest.raises(ValueError, match=r"None of the 300 genes of the model is in the new cells \(file .*full"):
        transform(shards, fitted, tmp_path / "other.zarr", layer="log")
    with pytest.raises(KeyError, match="X"):
        transform(shards, fitted, tmp_path / "other.zarr")
    assert_nothing_is_left(tmp_path, "full.h5ad", "part.h5ad", "scores.zarr")


@pytest.mark.filterwarnings("ignore:Observation names are not unique")  # of reading them again
@pytest.mark.parametrize("out", OUTS)
def test_names_of_cells_that_repeat_are_kept_and_said(fitted: ad.AnnData, out: str, tmp_path) -> None:
    path = stored(fitted, "h5ad-csr", tmp_path)
    with pytest.warns(pae.DataWarning, match="400 cells have the name of another, for instance"):
        transform([path, bare(fitted)], fitted, tmp_path / out)
    scores = back(tmp_path / out)
    assert list(scores.index) == [*fitted.obs_names, *fitted.obs_names]
    np.testing.assert_allclose(scores[400:].to_numpy(), fitted.obsm["X_pae"], atol=1e-5)
    if out.endswith(".zarr"):
        assert (ad.read_zarr(tmp_path / out).obs["pae_shard"].value_counts() == 400).all()


# Bad input: a clear error, and no file that looks whole.


@pytest.mark.parametrize("out", OUTS)
def test_a_file_that_is_damaged_in_the_middle_leaves_no_file_behind(
    fitted: ad.AnnData, out: str, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(_checks, "COUNTS_ROWS", 20)
    path = stored(fitted, "h5ad-csr", tmp_path)
    with h5py.File(path, "r+") as file:
        file["X/indices"][int(file["X/indptr"][250])] = 10**6
    written = []
    original = _stream.scored
    monkeypatch.setattr(_stream, "scored", lambda *args: (written.append(each[1]) or each for each in original(*args)))
    with pytest.raises(ValueError, match=r"file .*cells\.h5ad, cells \d+–\d+, is damaged") as caught:
        transform(path, fitted, tmp_path / out)
    first, last = map(int, re.search(r"cells (\d+)–(\d+),", str(caught.value)).groups())
    assert first <= 250 <= last
    assert written[-1] == first > 0
    assert_nothing_is_left(tmp_path, "cells.h5ad")


def test_a_truncated_file_and_values_that_are_not_finite_leave_no_file_behind(fitted: ad.AnnData, tmp_path) -> None:
    path = stored(fitted, "h5ad-csr", tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"cells\.h5ad cannot be opened"):
        transform(path, fitted, tmp_path / "scores.zarr")
    new = bare(fitted)
    new.X = new.X.toarray()
    new.X[333, 4] = np.nan
    new.write_zarr(tmp_path / "nan.zarr")
    for out in OUTS:
        with pytest.raises(ValueError, match=r"nan\.zarr, cells \d+–\d+, holds 1 NaN"):
            transform(tmp_path / "nan.zarr", fitted, tmp_path / out)
    assert_nothing_is_left(tmp_path, "cells.h5ad", "nan.zarr")


@pytest.mark.parametrize("out", OUTS)
def test_an_interruption_leaves_no_file_behind(fitted: ad.AnnData, out: str, tmp_path, monkeypatch) -> None:
    original = _stream.scored

    def interrupted(*args):
        yield next(original(*args))
        raise KeyboardInterrupt

    monkeypatch.setattr(_stream, "scored", interrupted)
    with pytest.raises(KeyboardInterrupt):
        transform(bare(fitted), fitted, tmp_path / out)
    assert_nothing_is_left(tmp_path)


def test_obs_that_cannot_be_written_are_refused_before_the_pass(fitted: ad.AnnData, tmp_path) -> None:
    new = bare(fitted)
    new.obs["day"] = pd.date_range("2020-01-01", periods=400)
    with pytest.raises(ValueError, match=r"scores\.zarr': obs of the cells cannot be written: .*'day'"):
        transform(new, fitted, tmp_path / "scores.zarr")
    assert_nothing_is_left(tmp_path)


def test_what_cannot_be_written_is_refused_before_anything_is_read(fitted: ad.AnnData, tmp_path) -> None:
    path = stored(fitted, "h5ad-csr", tmp_path)
    new = bare(fitted)
    (tmp_path / "there.zarr").mkdir()
    (tmp_path / "there.parquet").write_text("mine")
    for data in (path, str(path), [new, new], ()):
        with pytest.raises(ValueError, match=r"pass out='scores\.zarr'"):
            pae.tl.transform(data, fitted, progress=False)
    for name in ("there.zarr", "there.parquet"):
        with pytest.raises(FileExistsError, match="is there already; remove it or choose another name"):
            transform(path, fitted, tmp_path / name)
    assert (tmp_path / "there.parquet").read_text() == "mine"
    with pytest.raises(ValueError, match=r"must end in \.zarr or \.parquet"):
        transform(path, fitted, tmp_path / "scores.h5ad")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        transform(path, fitted, tmp_path / "nowhere" / "scores.zarr")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        transform(tmp_path / "absent.h5ad", fitted, tmp_path / "scores.zarr")
    with pytest.raises(ValueError, match="copy=True returns a changed AnnData"):
        transform(new, fitted, tmp_path / "scores.zarr", copy=True)
    with pytest.raises(TypeError, match="adata is a ndarray"):
        pae.tl.transform(np.ones((3, 3)), fitted)
    with pytest.raises(TypeError, match="is a ndarray"):
        transform([new, np.ones((3, 3))], fitted, tmp_path / "scores.zarr")
    with pytest.raises(KeyError, match="run pae.tl.fit"):
        transform(path, new, tmp_path / "scores.zarr")
    assert_nothing_is_left(tmp_path, "cells.h5ad", "there.zarr", "there.parquet")


def test_a_missing_library_is_named_with_the_command_that_installs_it(fitted: ad.AnnData, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match=r"pip install 'pathwayae\[parquet\]'"):
        transform(bare(fitted), fitted, tmp_path / "scores.parquet")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(ImportError, match=r"pip install 'pathwayae\[zarr\]'"):
        transform(bare(fitted), fitted, tmp_path / "scores.zarr")
    assert_nothing_is_left(tmp_path)


def test_lazily_read_cells_and_annotation_go_to_a_file(fitted: ad.AnnData, tmp_path) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    from anndata.experimental import read_lazy

    lazy = read_lazy(stored(fitted, "zarr-csr", tmp_path))
    transform(lazy, fitted, tmp_path / "scores.zarr")
    result = ad.read_zarr(tmp_path / "scores.zarr")
    np.testing.assert_allclose(result.X, fitted.obsm["X_pae"], atol=1e-5)
    assert result.obs["cell_type"].tolist() == fitted.obs["cell_type"].tolist()


def test_a_column_that_is_there_is_not_overwritten_by_that_of_the_shards(fitted, tmp_path) -> None:
    shards = []
    for part in ("a", "b"):
        new = bare(fitted)
        new.obs_names = [f"{part}_{name}" for name in new.obs_names]
        new.obs["pae_shard"] = "mine"
        new.write_h5ad(tmp_path / f"{part}.h5ad")
        shards.append(tmp_path / f"{part}.h5ad")
    with pytest.raises(ValueError, match="obs has a column 'pae_shard' already"):
        pae.tl.transform(shards, fitted, out=tmp_path / "scores.zarr", progress=False)
    assert not (tmp_path / "scores.zarr").exists()
