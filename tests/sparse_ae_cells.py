"""Cells made of few planted programs, quick settings of a sparse autoencoder, and when two fits are the same."""

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

OPTIONS = {"n_latents": 24, "k": 3, "n_epochs": 12, "batch_size": 32, "device": "cpu", "progress": False}
SLOTS = {"varm": ["features", "encoder", "decoder"], "var": ["mean", "bias"]}


def planted() -> ad.AnnData:
    """400 cells × 60 genes, twelve programs of eight genes, three of them in each cell; log values above 0; 10 PCs."""
    rng = np.random.default_rng(0)
    programs = np.zeros((12, 60))
    for j in range(12):
        programs[j, rng.choice(60, 8, replace=False)] = rng.gamma(4.0, 0.25, 8)
    activity = rng.gamma(4.0, 0.25, (400, 12)) * (rng.random((400, 12)) < 0.25)
    values = activity @ programs + 0.1 * rng.random((400, 60))
    names = [f"G{i}" for i in rng.permutation(60)]
    adata = ad.AnnData(sp.csr_matrix(values.astype(np.float32)), var=pd.DataFrame(index=names))
    adata.obs_names = [f"c{i}" for i in range(400)]
    adata.obs["kind"] = pd.Categorical(np.array(["a", "b"])[(activity[:, 0] > 0).astype(int)])
    centred = values - values.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:10].T
    adata.obsm["X_pca"], adata.varm["PCs"] = (centred @ axes).astype(np.float32), axes
    return adata


def assert_same(a: ad.AnnData, b: ad.AnnData, key: str = "sparse_ae") -> None:
    """The same fit to the last bit, genes matched by name."""
    b = b[:, a.var_names]
    np.testing.assert_array_equal(a.obsm[f"X_{key}"].toarray(), b.obsm[f"X_{key}"].toarray())
    for slot in SLOTS["varm"]:
        np.testing.assert_array_equal(a.varm[f"{key}_{slot}"], b.varm[f"{key}_{slot}"])
    for slot in SLOTS["var"]:
        np.testing.assert_array_equal(a.var[f"{key}_{slot}"], b.var[f"{key}_{slot}"])
    np.testing.assert_array_equal(a.uns[key]["history"]["total"], b.uns[key]["history"]["total"])
