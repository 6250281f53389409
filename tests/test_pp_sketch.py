"""One pass to a sketch: from anywhere the same, chosen by size, and an error where it cannot be what was asked."""

from __future__ import annotations

import logging

import anndata as ad
import numpy as np
import pytest
from dask_cells import counted, on_dask, read, shards

import pathwayae as pae
from pathwayae._cells import strata
from pathwayae.core.moments import accumulate as core
from pathwayae.core.moments.sketch import ARRAYS

pytestmark = pytest.mark.filterwarnings("ignore:Writing zarr v2")
G = 40
GRAMS = 3 * 8 * G * G  # of three donors


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return counted()


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch) -> None:
    monkeypatch.setattr(core, "BLOCK_BYTES", 8 * G * 32)


def sketched(data, **kwargs):
    return read(data, **({"sketch": True, "rank": 6, "sample_key": "donor"} | kwargs))


def assert_same(a, b):
    assert (a.strata, a.genes, a.normalize) == (b.strata, b.genes, b.normalize)
    for name in ARRAYS:
        values = getattr(b, name)
        np.testing.assert_allclose(getattr(a, name), values, rtol=1e-10, atol=1e-10 * np.abs(values).max())


def test_every_source_gives_the_sketch_of_memory(cells, tmp_path):
    wanted = sketched(cells)
    dense = cells.X.toarray().astype(np.float64)
    np.testing.assert_allclose(wanted.pool().products[0], dense.T @ (dense @ wanted.probes.matrix()), rtol=1e-9)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    cells.write_zarr(tmp_path / "cells.zarr")
    csc = cells.copy()
    csc.X = csc.X.tocsc()
    backed = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    for data in (
        tmp_path / "cells.h5ad",
        tmp_path / "cells.zarr",
        backed,
        csc,
        on_dask(cells),
        shards(cells, tmp_path),
    ):
        assert_same(sketched(data), wanted)


def test_the_exact_moments_are_those_of_a_sketch_of_full_rank(cells):
    full, exact = sketched(cells, rank=G), read(cells, sample_key="donor", sketch=False)
    for one, wanted in ((full.without("d1"), exact.without("d1")), (full, exact)):
        gram = one.standardize(within=True).gram
        of_all = wanted.standardize(within=True).gram
        np.testing.assert_allclose(gram @ np.eye(G), of_all, atol=1e-9 * np.trace(of_all))
    np.testing.assert_array_equal(full.sums, exact.sums)


def test_counts_are_normalised_and_shards_join_as_parts_of_the_whole(cells, tmp_path):
    options = {"layer": "counts", "normalize": "log1p", "target_sum": 1000}
    whole = sketched(cells, **options)
    assert whole.normalize == "log1p 1000"
    parts = [sketched(path, genes=cells.var_names, **options) for path in shards(cells, tmp_path)]
    joined = parts[0] + parts[1] + parts[2]
    assert_same(joined.select(*whole.strata), whole)
    with pytest.raises(ValueError, match="Values normalised by"):
        whole + sketched(cells)


def test_auto_keeps_gram_matrices_while_they_fit_and_says_what_it_read(cells, monkeypatch, caplog):
    caplog.set_level(logging.INFO, logger="pathwayae")
    few = {"sample_key": "donor", "rank": 5}
    assert hasattr(read(cells, **few), "grams")
    assert caplog.messages[-1] == "Moments of 330 cells × 40 genes in 3 strata: exact."
    monkeypatch.setattr(strata, "EXACT_BYTES", GRAMS - 1)
    assert read(cells, **few).rank == 5
    assert caplog.messages[-1] == "Moments of 330 cells × 40 genes in 3 strata: a sketch of rank 5."
    assert hasattr(read(cells, **few, sketch=False), "grams")
    assert hasattr(read(cells, sample_key="donor", rank=20), "grams")  # a sketch would be no smaller
    monkeypatch.setattr(strata, "EXACT_BYTES", GRAMS)
    assert hasattr(read(cells, **few), "grams")
    assert read(cells, **few, memory=(GRAMS - 1) / 2**30).rank == 5


def test_strata_are_pooled_only_when_their_sketches_do_not_fit(cells):
    of_stratum = 8 * G * 10
    assert sketched(cells, rank=5, memory=3 * of_stratum / 2**30).strata == ("d1", "d2", "d3")
    with pytest.warns(pae.DataWarning, match="pooled into 2 folds.*lower rank"):
        two = sketched(cells, rank=5, memory=2.5 * of_stratum / 2**30)
    assert len(two.strata) == 2
    with pytest.raises(ValueError, match="Sketches of 40 genes × 10 directions in 1 strata need"):
        sketched(cells, rank=5, memory=0.5 * of_stratum / 2**30)


def test_a_rank_above_genes_or_cells_is_said(cells, caplog):
    caplog.set_level(logging.INFO, logger="pathwayae")
    one = sketched(cells, rank=1000)
    assert one.rank == G
    assert "rank=1000 is more than the 40 genes; the sketch has rank 40 and is exact." in caplog.messages
    few = sketched(cells[:8].copy(), rank=12)
    assert "rank=12 is not below the 8 cells; the sketch is exact." in caplog.messages
    assert few.error < 1e-9
    for rank in (0, 2.5, "many"):
        with pytest.raises((ValueError, TypeError), match="rank"):
            sketched(cells, rank=rank)
    with pytest.raises(ValueError, match="sketch='maybe'"):
        sketched(cells, sketch="maybe")


def test_another_seed_is_not_joined_and_the_same_gives_the_same(cells):
    assert_same(sketched(cells), sketched(cells))
    with pytest.raises(ValueError, match="random_state 0 and 1 cannot be joined. Read both with the same random_state"):
        sketched(cells) + sketched(cells, random_state=1)


def test_files_of_either_kind_are_read(cells, tmp_path):
    for one in (sketched(cells), read(cells, sample_key="donor")):
        one.save(tmp_path / "moments.npz")
        again = pae.pp.read_moments(tmp_path / "moments.npz")
        assert type(again) is type(one)
        np.testing.assert_array_equal(again.sums, one.sums)
    (tmp_path / "other.npz").write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match=r"other\.npz is not a whole file of moments"):
        pae.pp.read_moments(tmp_path / "other.npz")
    np.savez(tmp_path / "another.npz", about=np.array('{"format": "a model"}'))
    with pytest.raises(ValueError, match="has format 'a model'; this version reads 'pathwayae moments 1' and"):
        pae.pp.read_moments(tmp_path / "another.npz")
    with pytest.raises(FileNotFoundError):
        pae.pp.read_moments(tmp_path / "absent.npz")
