"""Codes and features of a sparse autoencoder as labelled tables, from slots made by hand."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp

from pathwayae import get

M = 6


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    obs = pd.DataFrame({"cell_type": pd.Categorical(["B", "T"] * 20)}, index=[f"c{i}" for i in range(40)])
    adata = ad.AnnData(rng.random((40, 9)).astype(np.float32), obs=obs, var=pd.DataFrame(index=list("abcdefghi")))
    codes = rng.gamma(2.0, 1.0, (40, M)) * (rng.random((40, M)) < 0.4)
    adata.obsm["X_sparse_ae"] = sp.csr_matrix(codes.astype(np.float32))
    adata.varm["sparse_ae_features"] = rng.normal(size=(9, M)).astype(np.float32)
    adata.uns["cell_type_colors"] = ["#0072B2", "#E69F00"]
    adata.uns["sparse_ae"] = {
        "params": {"model": "sparse_ae", "obsm": "", "gene_symbols": ""},
        "component_names": np.array([f"latent_{j}" for j in range(M)], dtype=object),
    }
    return adata


def test_codes_and_features_are_the_slots_with_labels(adata):
    codes, features = get.scores(adata, key="sparse_ae"), get.loadings(adata, key="sparse_ae")
    np.testing.assert_array_equal(codes, adata.obsm["X_sparse_ae"].toarray())
    np.testing.assert_array_equal(features, adata.varm["sparse_ae_features"])
    assert codes.index.equals(adata.obs_names)
    assert features.index.equals(adata.var_names)
    assert list(codes.columns) == list(features.columns) == [f"latent_{j}" for j in range(M)]
    assert set(codes.dtypes) == {np.dtype("float32")}
    assert codes.columns.name == "component"


def test_some_latents_come_in_the_order_asked_for(adata):
    chosen = ["latent_4", "latent_0"]
    pd.testing.assert_frame_equal(
        get.scores(adata, chosen, key="sparse_ae"), get.scores(adata, key="sparse_ae")[chosen]
    )
    pd.testing.assert_frame_equal(
        get.loadings(adata, "latent_2", key="sparse_ae"), get.loadings(adata, key="sparse_ae")[["latent_2"]]
    )
    with pytest.raises(KeyError, match="closest: 'latent_"):
        get.scores(adata, "latent_7", key="sparse_ae")
    with pytest.raises(ValueError, match="none twice"):
        get.loadings(adata, ["latent_1", "latent_1"], key="sparse_ae")


def test_an_annotated_matrix_of_latents_for_scanpy(adata):
    latents = get.to_anndata(adata, key="sparse_ae")
    assert sp.issparse(latents.X)
    np.testing.assert_array_equal(latents.X.toarray(), adata.obsm["X_sparse_ae"].toarray())
    assert list(latents.var_names) == list(get.scores(adata, key="sparse_ae").columns)
    assert list(latents.uns["cell_type_colors"]) == adata.uns["cell_type_colors"]
    latents.X.data[:] = 0
    assert adata.obsm["X_sparse_ae"].sum() > 0
    sc.tl.rank_genes_groups(get.to_anndata(adata, key="sparse_ae"), "cell_type", method="wilcoxon")
    axes = sc.pl.dotplot(
        get.to_anndata(adata, key="sparse_ae"), ["latent_1", "latent_3"], groupby="cell_type", show=False
    )
    assert "mainplot_ax" in axes


def test_it_says_what_is_missing(adata):
    other = adata.copy()
    del other.uns["sparse_ae"]
    for function in (get.scores, get.loadings):
        with pytest.raises(KeyError, match=r"run pae.tl.sparse_ae\(adata, key_added='sparse_ae'\).*keys found: none"):
            function(other, key="sparse_ae")
        with pytest.raises(KeyError, match="keys found: 'sparse_ae'"):
            function(adata)
    del adata.varm["sparse_ae_features"]
    with pytest.raises(KeyError, match=r"sparse_ae_features.*run pae.tl.sparse_ae\(.*again"):
        get.loadings(adata, key="sparse_ae")
    adata.uns["sparse_ae"]["params"]["obsm"] = "X_scvi"
    with pytest.raises(KeyError, match=r"fitted to obsm\['X_scvi'\], of which nothing is known about genes"):
        get.loadings(adata, key="sparse_ae")
    adata.obsm["X_sparse_ae"] = adata.obsm["X_sparse_ae"][:, :3]
    with pytest.raises(ValueError, match="different fits"):
        get.scores(adata, key="sparse_ae")
    with pytest.raises(ValueError, match="different fits"):
        get.to_anndata(adata, key="sparse_ae")
    del adata.obsm["X_sparse_ae"]
    with pytest.raises(KeyError, match=r"X_sparse_ae.*pae.tl.transform for new cells"):
        get.scores(adata, key="sparse_ae")
