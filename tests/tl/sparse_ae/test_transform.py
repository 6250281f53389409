"""A network read back from its slots: codes of new cells, and what files, subsets and joins leave of it."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import flat
import numpy as np
import pytest
import scipy.sparse as sp
from sparse_ae_cells import OPTIONS, assert_same, planted

import pathwayae as pae
from pathwayae._slots import lookup
from pathwayae._slots.sparse_ae import fitted
from pathwayae.core.sparse_ae.network import decode, encode
from pathwayae.tl._sparse_ae.transform import on_genes_of


@pytest.fixture(scope="module")
def trained() -> ad.AnnData:
    adata = planted()
    flat.sparse_ae(adata, **OPTIONS)
    flat.sparse_ae(adata, obsm="X_pca", key_added="of_pcs", **OPTIONS)
    return adata


def bare(adata: ad.AnnData) -> ad.AnnData:
    """The cells and genes without any result."""
    return ad.AnnData(adata.X.copy(), obs=adata.obs[[]].copy(), var=adata.var[[]].copy())


def codes(adata: ad.AnnData, reference, **options) -> np.ndarray:
    new = pae.tl.transform(adata, reference, key="sparse_ae", progress=False, copy=True, **options)
    return new.obsm["X_" + options.get("key_added", "sparse_ae")].toarray()


# New cells.


@pytest.mark.parametrize("kind", ["dense", "backed", "dask"])
def test_cells_of_the_fit_get_their_codes_again(trained: ad.AnnData, kind: str, tmp_path: Path) -> None:
    new = bare(trained)
    if kind == "dense":
        new.X = new.X.toarray()
    elif kind == "backed":
        new.write_h5ad(tmp_path / "new.h5ad")
        new = ad.read_h5ad(tmp_path / "new.h5ad", backed="r")
    else:
        new.X = pytest.importorskip("dask.array").from_array(new.X.toarray(), chunks=(90, 60))
    pae.tl.transform(new, trained, key="sparse_ae", progress=False)
    np.testing.assert_array_equal(new.obsm["X_sparse_ae"].toarray(), trained.obsm["X_sparse_ae"].toarray())
    assert sp.issparse(new.obsm["X_sparse_ae"])
    assert set(new.uns["sparse_ae"]) == {"params", "component_names", "fit_id"}
    assert new.uns["sparse_ae"]["fit_id"] == trained.uns["sparse_ae"]["fit_id"]
    assert list(pae.get.scores(new, key="sparse_ae").columns) == pae.get.component_names(trained, key="sparse_ae")
    pae.tl.transform(new, trained, key="sparse_ae", progress=False)  # again, in place of itself


def test_codes_do_not_depend_on_other_cells_nor_on_the_order_of_genes(trained: ad.AnnData) -> None:
    some = np.array([3, 350, 17])
    new = bare(trained)[some, np.random.default_rng(0).permutation(60)].copy()
    np.testing.assert_allclose(codes(new, trained), trained.obsm["X_sparse_ae"].toarray()[some], rtol=1e-6)


def test_a_missing_gene_counts_as_being_at_its_mean(trained: ad.AnnData) -> None:
    power = (trained.varm["sparse_ae_encoder"] ** 2).sum(axis=1)
    lost = np.argsort(power)[:3]
    at_mean = bare(trained)
    at_mean.X = at_mean.X.toarray()
    at_mean.X[:, lost] = trained.var["sparse_ae_mean"].to_numpy()[lost]
    few = bare(trained)[:, np.setdiff1d(np.arange(60), lost)].copy()
    np.testing.assert_allclose(codes(few, trained), codes(at_mean, trained), atol=1e-5)
    with pytest.warns(pae.DataWarning, match=r"40 of 60 genes of the model are missing .* of the squared weights"):
        codes(
            most := few[:, few.var_names.isin(trained.var_names[np.argsort(power)[::-1][:20]])].copy(),
            trained,
            max_missing=1,
        )
    with pytest.raises(ValueError, match=r"they carry 55% of .*, more than max_missing=0\.5 allows"):
        codes(bare(most), trained)
    few.var_names = [f"ENSG{i}" for i in range(57)]
    with pytest.raises(ValueError, match="None of the 60 genes of the model is in the new cells"):
        codes(few, trained)


def test_genes_are_matched_by_symbols_where_asked(trained: ad.AnnData) -> None:
    reference = bare(trained)
    reference.var["symbol"] = reference.var_names.to_numpy()
    reference.var_names = [f"ENSG{i:03d}" for i in range(60)]
    flat.sparse_ae(reference, gene_symbols="symbol", **OPTIONS)
    expected = trained.obsm["X_sparse_ae"].toarray()
    np.testing.assert_array_equal(reference.obsm["X_sparse_ae"].toarray(), expected)  # in the order of the symbols
    by_id = bare(reference)
    np.testing.assert_array_equal(codes(by_id, reference), expected)
    new = bare(trained)
    new.var["name"] = new.var_names.to_numpy()
    new.var_names = [f"row{i}" for i in range(60)]
    np.testing.assert_array_equal(codes(new, reference, gene_symbols="name"), expected)
    assert lookup.gene_names(reference, "sparse_ae").tolist() == reference.var["symbol"].tolist()


def test_a_layer_is_looked_for_again(trained: ad.AnnData) -> None:
    reference = bare(trained)
    reference.layers["log"], reference.X = reference.X, None
    flat.sparse_ae(reference, layer="log", **OPTIONS)
    with pytest.raises(KeyError, match="layer='log' is not in"):
        codes(bare(trained), reference)
    new = bare(trained)
    new.layers["log1p"], new.X = new.X, None
    np.testing.assert_array_equal(codes(new, reference, layer="log1p"), trained.obsm["X_sparse_ae"].toarray())


def test_an_embedding_of_the_same_name_and_width_is_needed(trained: ad.AnnData) -> None:
    new = bare(trained)
    new.obsm["X_pca"] = trained.obsm["X_pca"]
    pae.tl.transform(new, trained, key="of_pcs", key_added="mine", progress=False)
    np.testing.assert_array_equal(new.obsm["X_mine"].toarray(), trained.obsm["X_of_pcs"].toarray())
    new.obsm["X_pca"] = new.obsm["X_pca"][:, :5]
    with pytest.raises(ValueError, match="has 5 dimensions, the network 10"):
        pae.tl.transform(new, trained, key="of_pcs", progress=False)
    new.layers["log"] = np.ones(new.shape)
    with pytest.raises(ValueError, match=r"layer='log', but the network was trained on obsm\['X_pca'\]"):
        pae.tl.transform(new, trained, key="of_pcs", layer="log", progress=False)
    del new.obsm["X_pca"]
    with pytest.raises(KeyError, match="obsm='X_pca' is not in"):
        pae.tl.transform(new, trained, key="of_pcs", progress=False)


def test_what_a_sparse_autoencoder_cannot_do_is_said(trained: ad.AnnData, tmp_path: Path) -> None:
    new = bare(trained)
    with pytest.raises(ValueError, match="not written to files"):
        pae.tl.transform(new, trained, key="sparse_ae", out=tmp_path / "codes.zarr", progress=False)
    new.obs["batch"] = "one"
    with pytest.raises(ValueError, match="centres no batches"):
        pae.tl.transform(new, trained, key="sparse_ae", batch_key="batch", progress=False)
    broken = trained.copy()
    del broken.varm["sparse_ae_decoder"]
    with pytest.raises(KeyError, match=r"sparse_ae_decoder.*run pae\.tl\.sparse_ae"):
        pae.tl.transform(new, broken, key="sparse_ae", key_added="b", progress=False)
    with pytest.raises(KeyError, match=r"run pae\.tl\.sparse_ae.*keys found: 'sparse_ae', 'of_pcs'"):
        fitted(trained, "nothing")


# Slots that survive.


@pytest.mark.parametrize("suffix", ["h5ad", "zarr"])
def test_files_hold_all_of_it(trained: ad.AnnData, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"cells.{suffix}"
    getattr(trained, f"write_{suffix}")(path)
    back = getattr(ad, f"read_{suffix}")(path)
    assert_same(back, trained)
    for key in ("sparse_ae", "of_pcs"):
        one, two = fitted(back, key), fitted(trained, key)
        for side in ("encoder", "decoder"):
            for a, b in zip(getattr(one.network, side), getattr(two.network, side), strict=True):
                np.testing.assert_array_equal(a[0], b[0])
                np.testing.assert_array_equal(a[1], b[1])
        for name in ("scale", "k", "sparsity", "code", "output"):
            assert getattr(one.network, name) == getattr(two.network, name)
            assert type(getattr(one.network, name)) is type(getattr(two.network, name))
        np.testing.assert_array_equal(one.network.mean, two.network.mean)
        np.testing.assert_array_equal(one.network.threshold, two.network.threshold)
    np.testing.assert_array_equal(codes(bare(trained), path), trained.obsm["X_sparse_ae"].toarray())
    codes(back, trained)  # holds the same fit


def test_a_lazily_read_reference_encodes(trained: ad.AnnData, tmp_path: Path) -> None:
    pytest.importorskip("xarray")
    pytest.importorskip("dask.array")
    from anndata.experimental import read_lazy

    trained.write_zarr(tmp_path / "cells.zarr")
    lazy = read_lazy(tmp_path / "cells.zarr")
    np.testing.assert_array_equal(codes(bare(trained), lazy), trained.obsm["X_sparse_ae"].toarray())


def test_a_subset_in_another_order_still_encodes_and_decodes(trained: ad.AnnData) -> None:
    part = trained[100:200, np.random.default_rng(1).permutation(60)].copy()
    model = fitted(part)
    values = part[:, model.ids].X.toarray()
    np.testing.assert_allclose(
        encode(model.network, values).toarray(), trained.obsm["X_sparse_ae"][100:200].toarray(), rtol=1e-6
    )
    whole = fitted(trained)
    np.testing.assert_allclose(
        decode(model.network, part.obsm["X_sparse_ae"]),
        decode(whole.network, trained.obsm["X_sparse_ae"][100:200]),
        atol=1e-6,
    )
    few = fitted(trained[:, :20].copy())  # the other genes count as being at their mean
    assert few.network.n_features == 20
    assert few.network.n_latents == 24


def test_joined_cells_keep_their_codes(trained: ad.AnnData) -> None:
    halves = [trained[:150].copy(), trained[150:].copy()]
    joined = ad.concat(halves, merge="same", uns_merge="same")
    np.testing.assert_array_equal(joined.obsm["X_sparse_ae"].toarray(), trained.obsm["X_sparse_ae"].toarray())
    np.testing.assert_array_equal(pae.get.scores(joined, key="sparse_ae"), pae.get.scores(trained, key="sparse_ae"))
    np.testing.assert_array_equal(pae.get.loadings(joined, key="sparse_ae"), pae.get.loadings(trained, key="sparse_ae"))
    latents = pae.get.to_anndata(joined, key="sparse_ae")
    assert latents.shape == (400, 24)


# What the analyses read.


def test_aligned_cells_are_those_of_the_training(trained: ad.AnnData) -> None:
    cells, network = on_genes_of(trained, fitted(trained))
    found = [(start, stop, values.toarray()) for start, stop, values in cells.blocks(4 * 60 * 150)]
    assert [(start, stop) for start, stop, _ in found] == [(0, 150), (150, 300), (300, 400)]
    values = np.concatenate([part for _, _, part in found])
    np.testing.assert_array_equal(values, trained.to_df().sort_index(axis=1).to_numpy())
    assert (encode(network, values) != trained.obsm["X_sparse_ae"]).nnz == 0
    cells, network = on_genes_of(trained, fitted(trained, "of_pcs"))
    np.testing.assert_array_equal(next(iter(cells.blocks(2**20)))[2], trained.obsm["X_pca"])
