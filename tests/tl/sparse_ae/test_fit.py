"""Sparse codes into slots: from a matrix, a layer or an embedding, wherever the cells lie."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sparse_ae_cells import OPTIONS, SLOTS, assert_same, planted

import pathwayae as pae
from pathwayae._cells import minibatches
from pathwayae._slots.sparse_ae import fitted
from pathwayae.core.sparse_ae import settings, training
from pathwayae.core.sparse_ae.minibatches import InMemory
from pathwayae.core.sparse_ae.network import decode, encode


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return planted()


@pytest.fixture(scope="module")
def trained(cells: ad.AnnData) -> ad.AnnData:
    return run(cells)


def run(adata: ad.AnnData, **options) -> ad.AnnData:
    return flat.sparse_ae(adata, copy=True, **OPTIONS | options)


def unexplained(adata: ad.AnnData, cells: ad.AnnData) -> float:
    model = fitted(adata)
    values = cells[:, model.ids].X.toarray()
    rebuilt = decode(model.network, adata.obsm["X_sparse_ae"])
    return float(((values - rebuilt) ** 2).sum() / ((values - values.mean(axis=0)) ** 2).sum())


# What is written.


def test_slots_hold_codes_features_and_a_network_that_makes_them(cells: ad.AnnData, trained: ad.AnnData) -> None:
    codes = trained.obsm["X_sparse_ae"]
    assert (codes.shape, codes.dtype, codes.format) == ((400, 24), np.dtype("float32"), "csr")
    assert (codes.data > 0).all()
    model = fitted(trained)
    assert list(model.names) == sorted(cells.var_names)
    assert (encode(model.network, cells[:, model.names].X) != codes).nnz == 0
    one = decode(model.network, np.eye(24)) - decode(model.network, np.zeros((1, 24)))
    np.testing.assert_allclose(pae.get.loadings(trained, key="sparse_ae").loc[model.names].to_numpy().T, one, atol=1e-5)
    assert unexplained(trained, cells) < 0.5
    assert trained.uns["sparse_ae"]["params"]["model"] == "sparse_ae"
    assert list(pae.get.component_names(trained, key="sparse_ae")) == [f"latent_{j}" for j in range(24)]
    history = pae.get.history(trained, key="sparse_ae")
    assert len(history) == trained.uns["sparse_ae"]["n_epochs"]
    assert trained.uns["sparse_ae"]["unexplained"] == pytest.approx(history["unexplained"].min())


def test_it_is_the_network_of_the_core_on_genes_in_the_order_of_their_names(
    cells: ad.AnnData, trained: ad.AnnData
) -> None:
    values = cells.to_df().sort_index(axis=1).to_numpy()
    config = settings.Config(n_latents=24, k=3, n_epochs=12, batch_size=32)
    (fit,) = training.train(InMemory(values, held_out=0.1, seed=0), [config])
    model = fitted(trained)
    np.testing.assert_array_equal(model.network.encoder[0][0], fit.network.encoder[0][0])
    assert trained.uns["sparse_ae"]["unexplained"] == fit.unexplained


def test_nothing_but_the_slots_changes(cells: ad.AnnData, trained: ad.AnnData) -> None:
    assert (trained.X != cells.X).nnz == 0
    assert set(trained.obsm) - set(cells.obsm) == {"X_sparse_ae"}
    assert set(trained.varm) - set(cells.varm) == {f"sparse_ae_{slot}" for slot in SLOTS["varm"]}
    assert set(trained.var) - set(cells.var) == {f"sparse_ae_{slot}" for slot in SLOTS["var"]}
    assert set(trained.uns) - set(cells.uns) == {"sparse_ae"}
    assert "X_other" in run(cells, key_added="other").obsm
    assert not {"sparse_ae", "other"} & set(cells.uns)
    broken = trained.copy()
    broken.X.data[7] = np.nan
    with pytest.raises(ValueError, match=r"adata\.X holds 1 NaN or infinite values, the first in column \d+"):
        flat.sparse_ae(broken, **OPTIONS | {"k": 5})
    assert_same(broken, trained)  # the slots of the call before


def test_a_second_network_takes_the_place_of_the_first_and_its_analyses(trained: ad.AnnData) -> None:
    adata = pae.tl.latent_sparsity(trained, copy=True)
    assert "sparse_ae_l0" in adata.obs
    assert flat.sparse_ae(adata, obsm="X_pca", **OPTIONS) is None
    assert "sparsity" not in adata.uns["sparse_ae"]
    assert list(adata.obs) == list(trained.obs)
    assert not {"sparse_ae_encoder", "sparse_ae_decoder"} & set(adata.varm)
    assert not {"sparse_ae_mean", "sparse_ae_bias"} & set(adata.var)
    assert adata.uns["sparse_ae"]["fit_id"] != trained.uns["sparse_ae"]["fit_id"]
    del adata.varm["PCs"]
    flat.sparse_ae(adata, obsm="X_pca", **OPTIONS)
    assert "sparse_ae_features" not in adata.varm


# What does not change the result.


def test_the_same_seed_gives_the_same_in_any_order_of_genes(cells: ad.AnnData, trained: ad.AnnData) -> None:
    again = run(cells[:, np.random.default_rng(3).permutation(60)].copy())
    assert_same(again, trained)
    assert run(cells).uns["sparse_ae"]["fit_id"] == trained.uns["sparse_ae"]["fit_id"]
    assert (run(cells, random_state=1).obsm["X_sparse_ae"] != trained.obsm["X_sparse_ae"]).nnz > 0


def test_genes_outside_the_mask_do_not_matter(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.var["keep"] = np.arange(60) % 3 > 0
    masked, few = run(adata, mask_var="keep"), run(adata[:, adata.var["keep"]].copy())
    assert_same(few, masked)
    outside = ~adata.var["keep"].to_numpy()
    assert masked.var.loc[outside, "sparse_ae_mean"].isna().all()
    assert (pae.get.loadings(masked, key="sparse_ae")[outside] == 0).all(axis=None)
    assert fitted(masked).network.n_features == 40


@pytest.mark.filterwarnings("ignore:.* of view, initializing view as actual")
@pytest.mark.parametrize("kind", ["layer", "view", "backed", "dask"])
def test_where_the_cells_lie_does_not_matter(cells: ad.AnnData, trained: ad.AnnData, kind: str, tmp_path: Path) -> None:
    adata, options = cells.copy(), {}
    if kind == "layer":
        adata.layers["log"], adata.X = adata.X.toarray(), None
        options = {"layer": "log"}
    elif kind == "view":
        adata.X = adata.X.tocsc()
        adata = ad.concat([adata, adata], merge="same", index_unique="-")[:400]
    elif kind == "backed":
        adata.write_h5ad(tmp_path / "cells.h5ad")
        adata = ad.read_h5ad(tmp_path / "cells.h5ad", backed="r")
    else:
        adata.X = pytest.importorskip("dask.array").from_array(adata.X.toarray(), chunks=(90, 60))
    flat.sparse_ae(adata, **OPTIONS | options)
    assert_same(adata, trained)


def test_files_that_do_not_fit_are_trained_on_by_blocks(cells: ad.AnnData, tmp_path: Path, monkeypatch) -> None:
    """The same blocks give the same network from any file; memory shuffles all cells, which gives another as good."""
    dask_array = pytest.importorskip("dask.array")
    monkeypatch.setattr(minibatches, "HELD_BYTES", 0)
    monkeypatch.setattr(minibatches, "BLOCK_BYTES", 4 * 60 * 90)
    monkeypatch.setattr(minibatches, "POOL_BYTES", 4 * 60 * 180)
    lazy = cells.copy()
    lazy.X = dask_array.from_array(cells.X.toarray(), chunks=(90, 60))
    cells.write_h5ad(tmp_path / "csr.h5ad")
    dense = cells.copy()
    dense.X = dense.X.toarray()
    dense.write_h5ad(tmp_path / "dense.h5ad")
    found = [lazy] + [ad.read_h5ad(tmp_path / name, backed="r") for name in ("csr.h5ad", "dense.h5ad")]
    for adata in found:
        flat.sparse_ae(adata, **OPTIONS | {"n_epochs": 20})
    for other in found[1:]:
        # Only the means differ, in their last bits, by the order in which stored values are added up.
        np.testing.assert_allclose(found[0].varm["sparse_ae_features"], other.varm["sparse_ae_features"], atol=1e-5)
    in_memory = run(cells, n_epochs=20)
    assert unexplained(found[0], cells) == pytest.approx(unexplained(in_memory, cells), abs=0.05)
    assert (found[0].obsm["X_sparse_ae"] != in_memory.obsm["X_sparse_ae"]).nnz > 0


def test_cells_held_out_are_those_of_training_in_memory() -> None:
    for n, share, seed in ((400, 0.1, 0), (12, 0.25, 3), (400, 0.0, 1)):
        mask = minibatches.held_cells(n, share, seed)
        np.testing.assert_array_equal(np.flatnonzero(mask), InMemory(np.ones((n, 2)), held_out=share, seed=seed).held)


# Embeddings.


def test_an_embedding_is_trained_on_as_it_stands_and_means_genes_by_its_loadings(cells: ad.AnnData) -> None:
    adata = run(cells, obsm="X_pca")
    model = fitted(adata)
    assert model.genes is None
    assert model.network.n_features == 10
    assert (encode(model.network, cells.obsm["X_pca"]) != adata.obsm["X_sparse_ae"]).nnz == 0
    one = decode(model.network, np.eye(24)) - decode(model.network, np.zeros((1, 24)))
    np.testing.assert_allclose(
        pae.get.loadings(adata, key="sparse_ae").to_numpy(), cells.varm["PCs"] @ one.T, atol=1e-5
    )
    genes = cells.X.toarray().mean(axis=0) + decode(model.network, adata.obsm["X_sparse_ae"]) @ cells.varm["PCs"].T
    direct = cells.X.toarray().mean(axis=0) + decode(model.network, sp.csr_matrix((1, 24))) @ cells.varm["PCs"].T
    by_features = direct + adata.obsm["X_sparse_ae"] @ pae.get.loadings(adata, key="sparse_ae").to_numpy().T
    np.testing.assert_allclose(by_features, genes, atol=1e-4)  # the features are all that a code does


def test_scores_of_a_fit_mean_genes_in_their_own_units() -> None:
    adata = pae.datasets.simulate(300, 120, 5)
    pae.tl.fit(adata, "pathways", n_extra=3, progress=False)
    flat.sparse_ae(adata, obsm="X_pae", **OPTIONS)
    model = fitted(adata)
    one = (decode(model.network, np.eye(24)) - decode(model.network, np.zeros((1, 24)))).T
    scale = np.nan_to_num(adata.var["pae_scale"].to_numpy())
    expected = scale[:, None] * (adata.varm["pae_loadings"] @ one)
    np.testing.assert_allclose(pae.get.loadings(adata, key="sparse_ae"), expected, atol=1e-5)


def test_an_embedding_without_loadings_says_nothing_about_genes(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.obsm["X_scvi"] = adata.obsm["X_pca"]
    adata.obsm["X_few"] = adata.obsm["X_pca"][:, :4]
    flat.sparse_ae(adata, obsm="X_scvi", **OPTIONS)
    assert "sparse_ae_features" not in adata.varm
    with pytest.raises(
        KeyError,
        match=r"sparse_ae_features'\] is missing: 'sparse_ae' was fitted to obsm\['X_scvi'\], of which nothing",
    ):
        pae.get.loadings(adata, key="sparse_ae")
    adata.varm["X_few"] = adata.varm["PCs"]  # of another embedding
    flat.sparse_ae(adata, obsm="X_few", **OPTIONS)
    assert "sparse_ae_features" not in adata.varm


def test_embeddings_of_any_kind_give_the_same(cells: ad.AnnData) -> None:
    values = cells.obsm["X_pca"]
    expected = run(cells, obsm="X_pca").obsm["X_sparse_ae"].toarray()
    for kind in (
        pd.DataFrame(values, index=cells.obs_names, columns=[f"d{j}" for j in range(10)]),
        sp.csr_matrix(values),
        values.astype(np.float64),
        pytest.importorskip("dask.array").from_array(values, chunks=(70, 5)),
    ):
        adata = cells.copy()
        adata.obsm["X_pca"] = kind
        found = run(adata, obsm="X_pca").obsm["X_sparse_ae"].toarray()
        np.testing.assert_array_equal(found, expected, err_msg=type(kind).__name__)


# The classic networks, and settings.


def test_classic_networks_are_those_of_the_core(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.obsm["X_unit"] = adata.X.toarray() / adata.X.max()
    options = {"device": "cpu", "progress": False, "obsm": "X_unit", "n_epochs": 2}
    flat.sparse_ae(adata, settings=pae.tl.SparseAESettings(classic="kl", weight=0.05), **options)
    model = fitted(adata)
    assert [weight.shape for weight, _ in model.network.encoder] == [(256, 60), (128, 256)]
    assert [weight.shape for weight, _ in model.network.decoder] == [(256, 128), (60, 256)]
    assert (model.network.code, model.network.output, model.network.scale) == ("sigmoid", "sigmoid", 1.0)
    assert (model.params["weight"], model.params["batch_size"], model.params["loss"]) == (0.05, 128, "mse")
    assert list(model.params["hidden"]) == [256]
    (fit,) = training.train(
        InMemory(adata.obsm["X_unit"], held_out=0.0, seed=0), [settings.classic("kl", weight=0.05, n_epochs=2)]
    )
    np.testing.assert_array_equal(model.network.encoder[1][0], fit.network.encoder[1][0])
    flat.sparse_ae(adata, settings=pae.tl.SparseAESettings(classic="single"), n_latents=30, **options)
    assert fitted(adata).network.n_latents == 30
    flat.sparse_ae(adata, settings=pae.tl.SparseAESettings(classic="single"), sparsity="l1", **options)
    own = fitted(adata)
    assert (own.params["sparsity"], own.params["weight"], list(own.params["hidden"])) == ("l1", 0.001, [])
    assert (own.network.code, own.network.output) == ("sigmoid", "sigmoid")
    with pytest.raises(ValueError, match="classic='kl' decides over sparsity, but sparsity='l1'"):
        flat.sparse_ae(adata, settings=pae.tl.SparseAESettings(classic="kl"), sparsity="l1", **options)
    with pytest.raises(ValueError, match="classic='l1' decides over center, but center=False; leave one out"):
        flat.sparse_ae(adata, settings=pae.tl.SparseAESettings(classic="l1", center=False), **options)


def test_a_network_with_hidden_layers_is_read_back_from_genes(cells: ad.AnnData) -> None:
    adata = run(cells, hidden=(20, 16), sparsity="l1")
    model = fitted(adata)
    assert [weight.shape for weight, _ in model.network.encoder] == [(20, 60), (16, 20), (24, 16)]
    assert adata.varm["sparse_ae_encoder"].shape == (60, 20)
    assert (encode(model.network, cells[:, model.names].X) != adata.obsm["X_sparse_ae"]).nnz == 0


# Bad input.


def test_settings_are_checked_at_the_door(cells: ad.AnnData) -> None:
    for options, message in (
        ({"k": 30}, "k=30 latents per cell of n_latents=24"),  # the core has the others of its kind
        ({"sparsity": "lasso"}, "sparsity='lasso' is not known"),
        ({"rho": 0.0}, "rho=0.0 is out of range"),
        ({"held_out": 1.0}, "held_out=1.0 is out of range"),
        ({"hidden": (0,)}, "hidden=0 is out of range"),
        ({"device": "abacus"}, "not a torch device"),
        (
            {"obsm": "X_pca", "mask_var": "keep"},
            "mask_var=.* chooses from X or the layers, but obsm='X_pca'; pass obsm=None",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            run(cells, **options)


def test_what_is_not_there_is_named_with_what_is(cells: ad.AnnData) -> None:
    with pytest.raises(KeyError, match=r"obsm='X_umap' is not in adata\.obsm, which has \['X_pca'\]"):
        run(cells, obsm="X_umap")
    with pytest.raises(KeyError, match=r"layer='log' is not in adata\.layers"):
        run(cells, layer="log")
    with pytest.raises(KeyError, match="mask_var='hv' is not a column"):
        run(cells, mask_var="hv")
    with pytest.raises(KeyError, match="gene_symbols='symbol' is not a column"):
        run(cells, obsm="X_pca", gene_symbols="symbol")
    with pytest.raises(TypeError, match="n_latents='many' must be an integer"):
        run(cells, n_latents="many")
    with pytest.raises(TypeError, match=r"settings=.* must be pae\.tl\.SparseAESettings\(…\) or None, not dict"):
        pae.tl.sparse_ae(cells, settings={"weight": 0.1})


def test_values_that_cannot_be_trained_on_are_refused(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.obsm["X_pca"] = adata.obsm["X_pca"].copy()
    adata.obsm["X_pca"][3, 4] = np.inf
    with pytest.raises(ValueError, match=r"adata\.obsm\['X_pca'\] holds 1 NaN or infinite values, .* column 4"):
        run(adata, obsm="X_pca")
    adata.obsm["X_pca"][:] = 2.5
    with pytest.raises(ValueError, match="no variation"):
        run(adata, obsm="X_pca")
    adata.obsm["X_deep"] = np.zeros((400, 3, 2))
    with pytest.raises(ValueError, match="a matrix of cells × dimensions is needed"):
        run(adata, obsm="X_deep")
    adata.obsm["X_words"] = np.full((400, 2), "a")
    with pytest.raises(TypeError, match="numbers are needed"):
        run(adata, obsm="X_words")
    adata.X = np.ones((400, 60), dtype=np.float32) * 0.5
    with pytest.raises(ValueError, match="no variation"):
        run(adata)
    adata.var_names = ["G0", *adata.var_names[:-1]]
    with pytest.raises(ValueError, match="more than once"):
        run(adata)


def test_counts_are_warned_of(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.X = np.rint(adata.X.toarray() * 3)
    with pytest.warns(pae.DataWarning, match="look like raw counts"):
        run(adata)
    adata.obsm["X_whole"] = np.rint(adata.obsm["X_pca"] * 3)
    run(adata, obsm="X_whole")  # an embedding may hold anything


def test_latents_that_all_die_are_explained(cells: ad.AnnData) -> None:
    adata = cells.copy()
    adata.X = adata.X.toarray() + 10
    with pytest.warns(pae.DataWarning, match=r"γ = .* with center=False.*Set center=True"):
        run(adata, sparsity="l1", weight=50.0, center=False, learning_rate=0.05)


@pytest.mark.parametrize("sparsity", ["batchtopk", "l1"])
@pytest.mark.parametrize("learning_rate", [1.0, 100.0, 1e6])
def test_a_training_that_diverges_is_refused_and_nothing_is_written(cells: ad.AnnData, sparsity, learning_rate) -> None:
    adata = cells.copy()
    before = set(adata.uns), set(adata.obsm), set(adata.varm), set(adata.var)
    with pytest.raises(ValueError, match="diverged.*Lower learning_rate"):
        run(adata, n_latents=64, sparsity=sparsity, learning_rate=learning_rate)
    assert (set(adata.uns), set(adata.obsm), set(adata.varm), set(adata.var)) == before


def test_one_of_several_trainings_that_diverges_is_warned_of(cells: ad.AnnData) -> None:
    X = cells.X.toarray()
    configs = [settings.Config(n_latents=64, k=4, n_epochs=4, learning_rate=rate) for rate in (1e-3, 1e3)]
    with pytest.warns(pae.DataWarning, match="diverged"):
        good, bad = training.train(InMemory(X), configs)
    assert good.unexplained < 1 < bad.unexplained or not np.isfinite(bad.unexplained)
