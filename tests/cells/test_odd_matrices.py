"""Cells as they come: entries twice or in no order, damaged indices, values that are none: one answer of readers."""

from __future__ import annotations

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pathwayae as pae

N, G = 90, 24
GENES = [f"gene_{i:02d}" for i in range(G)]
SETS = {"first": GENES[:8], "second": GENES[6:16], "third": GENES[14:]}


def expression() -> np.ndarray:
    rng = np.random.default_rng(1)
    programs = rng.gamma(0.5, 1.0, size=(N, 3)) @ np.array([[g in SETS[s] for g in GENES] for s in SETS])
    return np.where(rng.random((N, G)) < 0.6, programs + rng.gamma(1.0, 0.5, size=(N, G)), 0.0)


def entries_twice(dense: np.ndarray, index: type = np.int32) -> sp.csr_matrix:
    """The same cells with every third entry stored as two halves, rows in no order, and zeros that are stored."""
    rng = np.random.default_rng(2)
    data, indices, indptr = [], [], [0]
    for row in dense:
        genes = np.flatnonzero(row)
        stored = np.concatenate([genes, genes[::3], np.flatnonzero(row == 0)[:1]])
        share = np.ones(len(stored))
        share[: len(genes)][::3], share[len(genes) : len(genes) + len(genes[::3])] = 0.5, 0.5
        order = rng.permutation(len(stored))
        data.append((row[stored] * share)[order])
        indices.append(stored[order])
        indptr.append(indptr[-1] + len(stored))
    return sp.csr_matrix(
        (np.concatenate(data), np.concatenate(indices).astype(index), np.array(indptr, dtype=index)), shape=dense.shape
    )


def annotated(values) -> ad.AnnData:
    obs = pd.DataFrame({"batch": np.where(np.arange(N) % 3, "a", "b")}, index=[f"cell_{i}" for i in range(N)])
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=GENES))


def brought(way: str, path, index: type = np.int32):
    """The odd cells as an AnnData or file, in one of the ways that they are brought."""
    odd = entries_twice(expression(), index)
    by_genes = sp.csc_matrix((odd.data, odd.indices, odd.indptr), shape=(G, N)) if way.endswith("csc") else None
    if by_genes is not None:  # genes × cells of the transposed cells: entries twice within a gene
        twice = entries_twice(expression().T, index)
        odd = sp.csc_matrix((twice.data, twice.indices, twice.indptr), shape=(N, G))
    adata = annotated(odd)
    kind = way.split("-")[0]
    if kind == "memory":
        return adata
    if kind == "view":
        order = np.random.default_rng(3).permutation(N)
        return adata[np.argsort(order)][order]
    if kind == "zarr":
        pytest.importorskip("zarr")
        adata.write_zarr(path / "cells.zarr")
        return path / "cells.zarr"
    adata.write_h5ad(path / "cells.h5ad")
    if kind == "backed":
        return ad.read_h5ad(path / "cells.h5ad", backed="r")
    return path / "cells.h5ad"


WAYS = ["memory-csr", "memory-csc", "view-csr", "file-csr", "file-csc", "backed-csr", "zarr-csr"]


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("way", WAYS)
def test_moments_are_those_of_the_dense_cells(way, index, tmp_path):
    odd = brought(way, tmp_path, index)
    before = odd.X.copy() if way.startswith("memory") else None
    expected = pae.pp.moments(annotated(expression()), sample_key="batch", progress=False)
    found = pae.pp.moments(odd, sample_key="batch", progress=False)
    np.testing.assert_allclose(found.grams, expected.grams, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.sums, expected.sums, rtol=1e-12)
    sketched = pae.pp.moments(odd, sample_key="batch", sketch=True, rank=6, progress=False)
    same = pae.pp.moments(annotated(expression()), sample_key="batch", sketch=True, rank=6, progress=False)
    np.testing.assert_allclose(sketched.products, same.products, rtol=1e-10, atol=1e-10)
    if before is not None:
        np.testing.assert_array_equal(odd.X.data, before.data)
        np.testing.assert_array_equal(odd.X.indices, before.indices)


@pytest.mark.parametrize("solver", ["gram", "cells"])
@pytest.mark.parametrize("way", ["memory-csr", "memory-csc", "view-csr", "backed-csr"])
def test_fits_and_transfers_are_those_of_the_dense_cells(way, solver, tmp_path):
    settings = pae.tl.FitSettings(solver=solver)
    plain, odd = annotated(expression()), brought(way, tmp_path)
    pae.tl.fit(plain, SETS, n_extra=1, min_genes=3, settings=settings, progress=False)
    held = odd.to_memory() if way.startswith(("backed", "view")) else odd
    pae.tl.fit(held, SETS, n_extra=1, min_genes=3, settings=settings, progress=False)
    np.testing.assert_allclose(held.obsm["X_pae"], plain.obsm["X_pae"], atol=1e-5)
    new = annotated(entries_twice(expression()))
    pae.tl.transform(new, plain, progress=False)
    np.testing.assert_allclose(new.obsm["X_pae"], plain.obsm["X_pae"], atol=1e-5)


def test_the_other_models_read_the_same_cells():
    plain, odd = annotated(expression()), annotated(entries_twice(expression()))
    for adata in (plain, odd):
        pae.tl.sparse_ae(adata, n_latents=6, k=2, n_epochs=3, progress=False)
        pae.tl.archetypes(adata, 3, obsm=None, progress=False)
    odd_codes, codes = (sp.csr_matrix(adata.obsm["X_sparse_ae"]).toarray() for adata in (odd, plain))
    np.testing.assert_allclose(odd_codes, codes, atol=1e-4)
    np.testing.assert_allclose(odd.obsm["X_archetypes"], plain.obsm["X_archetypes"], atol=1e-4)


@pytest.mark.parametrize("model", [pae.models.GroupedAutoencoder(3, max_iter=5), pae.models.GroupedAutoencoder(3)])
def test_estimators_read_the_same_cells(model):
    dense = expression()
    classes = np.repeat([0, 1, 2], 8)
    model.set_params(feature_classes=classes)
    expected = model.fit(dense).transform(dense)
    np.testing.assert_allclose(model.fit(entries_twice(dense)).transform(entries_twice(dense)), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "place", "value"),
    [("indptr", 40, 0), ("indptr", -1, 10**6), ("indices", 7, 10**6), ("indices", 7, -3)],
)
@pytest.mark.parametrize("way", ["path", "backed", "memory", "view"])
def test_damaged_indices_are_refused_and_end_no_interpreter(way, name, place, value, tmp_path):
    path = tmp_path / "cells.h5ad"
    annotated(sp.csr_matrix(expression())).write_h5ad(path)
    if way in ("path", "backed"):
        with h5py.File(path, "r+") as file:
            values = file[f"X/{name}"][...]
            values[place] = value
            file[f"X/{name}"][...] = values
    cells = path
    if way == "backed":
        cells = ad.read_h5ad(path, backed="r")
    elif way != "path":
        cells = ad.read_h5ad(path)
        getattr(cells.X, name)[place] = value
        cells = cells[np.arange(N)] if way == "view" else cells
    where = rf"file {path}" if way == "path" else r"adata\.X"
    within = r", cells \d+–\d+," if name == "indices" and way in ("path", "backed") else ""
    with pytest.raises(ValueError, match=f"{where}{within} is damaged"):
        pae.pp.moments(cells, progress=False)


@pytest.mark.parametrize("value", [1e200, -1e16, 3e38])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_values_that_no_expression_has_are_refused(form, value):
    dense = expression()
    dense[3, 2] = value
    adata = annotated(form(dense))
    with pytest.raises(ValueError, match=r"adata\.X holds values up to .*stands for a missing value"):
        pae.tl.fit(adata, SETS, min_genes=3, progress=False)
    assert not adata.uns
    assert not adata.obsm


def test_values_of_other_types_than_numbers_are_refused():
    adata = annotated(expression())
    adata.X = expression().astype(object)
    with pytest.raises(TypeError, match="of type object; real numbers"):
        pae.tl.fit(adata, SETS, min_genes=3, progress=False)


def test_a_mask_by_names_is_taken_by_names():
    adata, other = annotated(expression()), annotated(expression())
    mask = pd.Series(np.arange(G) % 4 > 0, index=GENES)
    pae.tl.fit(adata, SETS, min_genes=3, n_extra=2, mask_var=mask.to_numpy(), progress=False)
    pae.tl.fit(other, SETS, min_genes=3, n_extra=2, mask_var=mask[::-1], progress=False)
    np.testing.assert_array_equal(other.var["pae_mean"], adata.var["pae_mean"])
    with pytest.raises(ValueError, match="lacks 2 genes"):
        pae.tl.fit(other, SETS, min_genes=3, n_extra=2, mask_var=mask[2:], progress=False)
    with pytest.raises(ValueError, match="more than once"):
        pae.tl.fit(other, SETS, min_genes=3, n_extra=2, mask_var=pd.concat([mask, mask[:1]]), progress=False)


def test_groups_that_would_become_one_are_refused():
    adata = annotated(expression())
    adata.obs["mixed"] = pd.Series([1 if i % 2 else "1" for i in range(N)], index=adata.obs_names, dtype=object)
    with pytest.raises(ValueError, match="'mixed' holds 1 both as text"):
        pae.pp.moments(adata, sample_key="mixed", progress=False)
    adata.obs["left"] = np.where(np.arange(N) % 2, "x | y", "x")
    adata.obs["right"] = np.where(np.arange(N) % 2, "z", "y | z")
    with pytest.raises(ValueError, match=r"same stratum 'x \| y \| z'"):
        pae.pp.moments(adata, batch_key="left", sample_key="right", progress=False)


def test_masked_values_are_refused_by_every_reader():
    values = np.ma.masked_greater(np.random.default_rng(0).gamma(2.0, size=(30, 20)), 4.0)
    adata = ad.AnnData(values, obsm={"X_m": values[:, :5]}, layers={"m": values})
    for call in (
        lambda: pae.pp.moments(adata, progress=False),
        lambda: pae.pp.moments(adata[:20], progress=False),
        lambda: pae.tl.fit(adata, adata.var_names[:9].tolist(), layer="m"),
        lambda: pae.tl.sparse_ae(adata, obsm="X_m", progress=False),
    ):
        with pytest.raises(ValueError, match=r"masked array, of which \d+ values are masked\. Fill them"):
            call()
