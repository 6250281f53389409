"""The fit through the cells against the fit on the Gram matrix; what does not fit in memory is refused."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pytest
import scipy.sparse as sp
from grouped_fits import CLASSIC, OUTSIDE, SQUARES, both, sets_of

import pathwayae as pae
from pathwayae.core.moments import accumulate as moments
from pathwayae.core.moments.gram_product import STORED_BYTES
from pathwayae.tl._grouped import standardize

KINDS = ["dense", "csr", "csc", "int", "view", "backed", "backed dense", "dask", "dask sparse"]


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """Fewer than half as many cells as genes, all of which vary."""
    adata = pae.datasets.simulate(140, 320, 6, random_state=3)
    return adata[:, adata.X.toarray().std(axis=0) > 0].copy()


def fit(adata: ad.AnnData, cells: ad.AnnData, **kwargs) -> ad.AnnData:
    flat.fit(adata, sets_of(cells), progress=False, **{"n_extra": 3, **kwargs})
    return adata


def held(cells: ad.AnnData, kind: str, folder) -> ad.AnnData:
    """The same values held in another way."""
    bare = ad.AnnData(cells.X.copy(), obs=cells.obs[[]], var=cells.var[[]])
    if kind == "dense" or kind == "backed dense":
        bare.X = cells.X.toarray()
    elif kind == "csc":
        bare.X = cells.X.tocsc()
    elif kind == "int":
        bare.X = sp.csr_matrix(np.rint(cells.X.toarray() * 3)).astype(np.int64)
    elif kind == "view":
        twice = ad.concat([bare, bare], index_unique="-")
        return twice[: bare.n_obs]
    elif kind.startswith("dask"):
        dask_array = pytest.importorskip("dask.array")
        bare.X = dask_array.from_array(cells.X.toarray(), chunks=(50, bare.n_vars))
        if kind == "dask sparse":
            bare.X = bare.X.map_blocks(sp.csr_matrix, dtype=np.float32, meta=sp.csr_matrix((0, 0), dtype=np.float32))
    if kind.startswith("backed"):
        path = folder / f"{len(list(folder.iterdir()))}.h5ad"  # the ones before may be open
        bare.write_h5ad(path)
        return ad.read_h5ad(path, backed="r")
    return bare


def assert_same_loadings(a: ad.AnnData, b: ad.AnnData) -> None:
    assert ("pae_encoder" in a.varm) == ("pae_encoder" in b.varm)
    for slot in {"pae_loadings", "pae_encoder"} & set(a.varm):
        # 100 float32 steps on products that were added up in another order
        assert np.linalg.norm(a.varm[slot] - b.varm[slot]) < 1e-5 * np.linalg.norm(a.varm[slot]), slot


def assert_same_model(a: ad.AnnData, b: ad.AnnData) -> None:
    assert_same_loadings(a, b)
    np.testing.assert_allclose(a.var["pae_mean"], b.var["pae_mean"], rtol=1e-12)
    np.testing.assert_allclose(a.var["pae_scale"], b.var["pae_scale"], rtol=1e-9)
    assert np.linalg.norm(a.obsm["X_pae"] - b.obsm["X_pae"]) < 1e-5 * np.linalg.norm(a.obsm["X_pae"])
    np.testing.assert_allclose(a.uns["pae"]["variance_ratio"], b.uns["pae"]["variance_ratio"], rtol=1e-4)
    assert a.uns["pae"]["variance_ratio_total"] == pytest.approx(b.uns["pae"]["variance_ratio_total"], rel=1e-5)
    figures = ["n_effective", "top_gene_share", "agreement", "outside"]
    first, second = (each.uns["pae"]["pathways"] for each in (a, b))
    np.testing.assert_allclose(first[figures], second[figures], rtol=1e-4, atol=1e-5)
    assert first["flag"].tolist() == second["flag"].tolist()
    history = a.uns["pae"]["history"]
    assert set(history) == set(b.uns["pae"]["history"])
    assert ("loss" in history) == (a.uns["pae"]["params"]["scores"] != "members")
    if "loss" in history:
        np.testing.assert_allclose(history["loss"], b.uns["pae"]["history"]["loss"], rtol=1e-5)


@pytest.mark.filterwarnings("ignore:.* of view, initializing view as actual")
@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")  # "int" looks like counts
@both
def test_the_cells_give_the_fit_of_the_gram_matrix(cells: ad.AnnData, options: dict, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(standardize, "BLOCK_BYTES", 16 * 40 * cells.n_vars)  # several blocks
    for kind in KINDS:
        by_gram = fit(held(cells, kind, tmp_path), cells, solver="gram", **options)
        by_cells = fit(held(cells, kind, tmp_path), cells, solver="cells", **options)
        chosen = fit(held(cells, kind, tmp_path), cells, **options)
        solvers = [each.uns["pae"]["params"]["solver"] for each in (by_gram, by_cells, chosen)]
        assert solvers == ["gram", "cells", "cells"]
        assert_same_model(by_gram, by_cells)
        np.testing.assert_array_equal(chosen.varm["pae_loadings"], by_cells.varm["pae_loadings"])


@pytest.mark.filterwarnings(OUTSIDE)
def test_every_option_is_the_same_both_ways(cells: ad.AnnData, tmp_path) -> None:
    for kind in ["dense", "csr"]:
        for options in [
            {"scale": "unit"},
            {"balance": False, "n_extra": 0},
            {"scores": "projection"},
            {"scores": "least_squares"},
            SQUARES,
            CLASSIC | {"scale": "unit"},
            CLASSIC | {"center": False},
            CLASSIC | {"n_extra": 0},
        ]:
            by_gram = fit(held(cells, kind, tmp_path), cells, solver="gram", **options)
            assert_same_model(by_gram, fit(held(cells, kind, tmp_path), cells, solver="cells", **options))


@both
def test_a_matrix_that_is_only_ever_used_in_blocks_gives_the_same_fit(
    cells: ad.AnnData, options: dict, tmp_path, monkeypatch
) -> None:
    for kind in ["dense", "csr", "csc", "backed", "backed dense"]:
        by_gram = fit(held(cells, kind, tmp_path), cells, solver="gram", **options)
        with monkeypatch.context() as patch:
            # The cells in float64 are more than that, what is held of them in float32 or sparse is not.
            patch.setattr(moments, "MAX_GRAM_BYTES", 6 * cells.n_obs * cells.n_vars)
            patch.setattr(moments, "BLOCK_BYTES", 8 * 33 * cells.n_vars)
            patch.setattr(standardize, "STORED_BYTES", 6)
            through = fit(held(cells, kind, tmp_path), cells, **options)
        assert through.uns["pae"]["params"]["solver"] == "cells"
        assert_same_model(by_gram, through)


@both
def test_the_order_of_the_genes_does_not_matter_to_the_bit(cells: ad.AnnData, options: dict, tmp_path) -> None:
    shuffled = cells[:, np.random.default_rng(0).permutation(cells.n_vars)].copy()
    for kind in ["dense", "csr", "backed"]:
        one, other = (fit(held(each, kind, tmp_path), cells, **options) for each in (cells, shuffled))
        assert one.uns["pae"]["params"]["solver"] == "cells"
        aligned = other.var_names.get_indexer(one.var_names)
        np.testing.assert_array_equal(one.varm["pae_loadings"], other.varm["pae_loadings"][aligned])


@pytest.mark.filterwarnings(OUTSIDE)
@both
def test_constant_genes_are_left_out_through_the_cells(cells: ad.AnnData, options: dict, tmp_path, caplog) -> None:
    caplog.set_level("INFO", logger="pathwayae")
    other = cells.copy()
    dense = other.X.toarray()
    dense[:, 5], dense[:, 9] = 0, 3.3
    other.X = sp.csr_matrix(dense)
    for kind in ["dense", "csr", "backed", "backed dense"]:
        for solver in ("gram", "cells"):
            caplog.clear()
            result = fit(held(other, kind, tmp_path), cells, solver=solver, **options)
            assert f"2 of {cells.n_vars} genes do not vary over the cells" in caplog.text
            assert (result.varm["pae_loadings"][[5, 9]] == 0).all()
            assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == [5, 9]
            if solver == "gram":
                by_gram = result.to_memory() if result.isbacked else result
                result.file.close()
        assert_same_loadings(by_gram, result)
        np.testing.assert_allclose(by_gram.var["pae_scale"], result.var["pae_scale"], rtol=1e-9)
    constant = ad.AnnData(np.ones((40, 3), dtype=np.float32), var=cells.var[:3])
    with pytest.raises(ValueError, match="genes varies"):
        flat.fit(constant, {"A": list(cells.var_names[:3])}, min_genes=1, solver="cells", progress=False)


@both
def test_a_masked_fit_goes_through_the_cells_of_the_genes_in_the_mask(
    cells: ad.AnnData, options: dict, tmp_path
) -> None:
    mask = np.arange(cells.n_vars) < 290
    expected = fit(held(cells[:, mask].copy(), "dense", tmp_path), cells, **options)
    for kind in ("dense", "csr"):
        result = fit(held(cells, kind, tmp_path), cells, mask_var=mask, **options)
        assert result.uns["pae"]["params"]["solver"] == "cells"
        np.testing.assert_allclose(result.varm["pae_loadings"][mask], expected.varm["pae_loadings"], atol=1e-6)
        assert (result.varm["pae_loadings"][~mask] == 0).all()


def test_the_smaller_of_the_exact_ways_is_taken_while_it_is_small_and_else_a_sketch(
    cells: ad.AnnData, tmp_path, monkeypatch, caplog
) -> None:
    caplog.set_level("INFO", logger="pathwayae")

    def way(adata: ad.AnnData, **kwargs) -> str:
        caplog.clear()
        result = fit(adata.copy(), cells, **kwargs)
        return "sketch" if "from a sketch" in caplog.text else result.uns["pae"]["params"]["solver"]

    few = held(cells, "csr", tmp_path)
    many = ad.concat([few] * 3, index_unique="-")
    gram, kernel = 8 * cells.n_vars**2, 8 * cells.n_obs**2
    for adata, limit, expected in (
        (few, kernel, "cells"),
        (few, kernel - 1, "sketch"),
        (many, gram, "gram"),
        (many, gram - 1, "sketch"),
    ):
        monkeypatch.setattr(standardize, "EXACT_BYTES", limit)
        assert way(adata) == expected
    assert way(many, solver="gram") == "gram"
    monkeypatch.setattr(standardize, "EXACT_BYTES", kernel)
    monkeypatch.setattr(moments, "MAX_GRAM_BYTES", 1000 * cells.n_vars * 8)
    monkeypatch.setattr(standardize, "STORED_BYTES", 10**6)  # few cells that do not fit
    assert way(few) == "sketch"


def test_moments_and_the_cells_cannot_be_asked_for_together(cells: ad.AnnData) -> None:
    read = pae.pp.moments(cells, progress=False)
    with pytest.raises(ValueError, match="solver='cells' goes through the cells, but moments= stands in their place"):
        fit(cells.copy(), cells, moments=read, solver="cells")
    for solver in ("auto", "gram"):
        result = fit(cells.copy(), cells, moments=read, solver=solver)
        assert result.uns["pae"]["params"]["solver"] == "gram"
    with pytest.raises(ValueError, match="solver='both' is not known"):
        fit(cells.copy(), cells, solver="both")


def test_sparse_cells_that_are_too_large_are_refused_with_the_bytes_of_both_ways(
    cells: ad.AnnData, tmp_path, monkeypatch
) -> None:
    for kind in ["csr", "backed", "dask sparse"]:
        needed, gram = STORED_BYTES * cells.X.nnz, 8 * cells.n_vars**2
        adata = held(cells, kind, tmp_path)
        monkeypatch.setattr(moments, "MAX_GRAM_BYTES", needed - 1)
        monkeypatch.setattr(standardize, "BLOCK_BYTES", 1)
        with pytest.raises(ValueError, match="do not fit in memory through the cells") as caught:
            fit(adata, cells, solver="cells")
        assert f"about {needed / 2**30:.3g} GiB, their Gram matrix {gram / 2**30:.3g} GiB" in str(caught.value)
        assert "X_pae" not in adata.obsm
        assert ("solver='gram'" in str(caught.value)) == (gram < needed)
        monkeypatch.setattr(moments, "MAX_GRAM_BYTES", needed)
        assert fit(adata, cells, solver="cells").uns["pae"]["params"]["solver"] == "cells"


@pytest.mark.filterwarnings("ignore:.* of view, initializing view as actual")
def test_dense_cells_that_are_too_large_are_refused_before_they_are_read(
    cells: ad.AnnData, tmp_path, monkeypatch
) -> None:
    for kind in ["backed dense", "dask"]:
        needed = 4 * cells.n_obs * cells.n_vars
        monkeypatch.setattr(moments, "MAX_GRAM_BYTES", needed - 1)
        with pytest.raises(ValueError, match=r"highly variable ones or those of the pathways") as caught:
            fit(held(cells, kind, tmp_path), cells, solver="cells")
        assert f"about {needed / 2**30:.3g} GiB" in str(caught.value)
        assert "solver='gram'" not in str(caught.value)


def test_a_gram_matrix_that_is_too_large_names_the_cells_where_they_fit(
    cells: ad.AnnData, tmp_path, monkeypatch
) -> None:
    for kind in ["dense", "csr", "backed"]:
        monkeypatch.setattr(moments, "MAX_GRAM_BYTES", 8 * cells.n_vars**2 - 1)
        monkeypatch.setattr(standardize, "STORED_BYTES", 1)
        with pytest.raises(ValueError, match=r"need a Gram matrix of .*Or go through the cells \(solver='cells'\)"):
            fit(held(cells, kind, tmp_path), cells, solver="gram")
        if kind != "dense":
            monkeypatch.setattr(standardize, "STORED_BYTES", 1000)
            with pytest.raises(ValueError, match="need a Gram matrix of") as caught:
                fit(held(cells, kind, tmp_path), cells, solver="gram")
            assert "solver='cells'" not in str(caught.value)
            assert "Or fit from a sketch of it (solver='sketch')." in str(caught.value)


@both
def test_a_sparse_matrix_in_memory_is_not_changed(cells: ad.AnnData, options: dict, tmp_path) -> None:
    adata = held(cells, "csr", tmp_path)
    adata.X = adata.X.astype(np.float64)  # no copy is made of such a matrix
    before = adata.X.copy()
    fit(adata, cells, solver="cells", **options)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(adata.X, name), getattr(before, name))


# Read lazily.


@pytest.fixture
def lazily(tmp_path):
    """Writes an AnnData and reads it lazily."""
    pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    from anndata.experimental import read_lazy

    def write_and_read(adata: ad.AnnData, form: str) -> ad.AnnData:
        getattr(adata, f"write_{form}")(tmp_path / f"lazy.{form}")
        return read_lazy(tmp_path / f"lazy.{form}")

    return write_and_read


@both
def test_lazily_read_cells_get_the_fit_and_the_scores_of_the_cells(cells: ad.AnnData, options: dict, lazily) -> None:
    for form in ["h5ad", "zarr"]:
        full = cells.copy()
        full.var["symbol"] = [f"S{name}" for name in full.var_names]
        full.var["use"] = np.arange(full.n_vars) < 300
        sets = {name: [f"S{gene}" for gene in genes] for name, genes in sets_of(cells).items()}
        options = options | {"gene_symbols": "symbol", "mask_var": "use", "n_extra": 3, "progress": False}
        lazy = lazily(full, form)
        flat.fit(lazy, sets, **options)
        flat.fit(full, sets, **options)
        np.testing.assert_allclose(lazy.varm["pae_loadings"], full.varm["pae_loadings"], atol=1e-6)
        np.testing.assert_allclose(lazy.obsm["X_pae"], full.obsm["X_pae"], atol=1e-4)
        pae.tl.transform(lazy, full, key_added="again", gene_symbols="symbol", progress=False)
        np.testing.assert_allclose(lazy.obsm["X_again"], full.obsm["X_pae"], atol=1e-6)
        pae.tl.transform(full, lazy, key_added="back", progress=False)
        np.testing.assert_allclose(full.obsm["X_back"], lazy.obsm["X_pae"], atol=1e-6)


@both
def test_a_fit_and_a_membership_can_be_read_lazily(cells: ad.AnnData, options: dict, lazily, tmp_path) -> None:
    for form in ["h5ad", "zarr"]:
        fitted = cells.copy()
        flat.fit(fitted, "pathways", n_extra=3, progress=False, **options)
        lazy = lazily(fitted, form)
        new = cells.copy()
        pae.tl.transform(new, lazy, progress=False)
        np.testing.assert_array_equal(new.obsm["X_pae"], fitted.obsm["X_pae"])
        new.write_h5ad(tmp_path / "new.h5ad")
        assert list(pae.get.scores(new)) == list(pae.get.scores(fitted))
        for pathways in ("pathways", "pae_membership"):
            flat.fit(lazy, pathways, n_extra=3, key_added="again", progress=False, **options)
            np.testing.assert_allclose(lazy.varm["again_loadings"], fitted.varm["pae_loadings"], atol=1e-6)
