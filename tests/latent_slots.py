"""An AnnData with the codes and features of a sparse autoencoder, made by hand."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

N_LATENTS = 24
TYPES = ["CD14+ monocytes", "CD4 T cells", "B cells of the germinal centre", "NK"]
LATENTS = [f"latent_{j}" for j in range(N_LATENTS)]


def coded_adata(n=240, g=64, *, key="sparse_ae", symbols=False, seed=0):
    """Latents 4 to 7 fire in one cell type each, 0 never, 1 in one cell, 2 nearly everywhere, 3 in one batch.

    The last 4 genes are outside the model. Gene 3j to 3j + 4 belong to latent j.
    """
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.arange(n) % 4)
    batch = rng.integers(0, 2, n)
    codes = rng.gamma(2.0, 0.4, (n, N_LATENTS)) * (rng.random((n, N_LATENTS)) < 0.15)
    codes[:, :8] = 0
    codes[5, 1] = 0.6
    codes[:, 2] = rng.gamma(2.0, 0.4, n) * (rng.random(n) < 0.9)
    codes[:, 3] = rng.gamma(2.0, 0.4, n) * (batch == 1) * (rng.random(n) < 0.8)
    for j in range(4):
        codes[:, 4 + j] = rng.gamma(3.0, 0.4, n) * (group == j) * (rng.random(n) < 0.8 + 0.05 * j)
    dictionary = rng.normal(scale=0.02, size=(N_LATENTS, g))
    for j in range(N_LATENTS):
        dictionary[j, 3 * j % (g - 4) : 3 * j % (g - 4) + 5] += rng.choice([-0.5, 0.5])
    dictionary[:, -4:] = 0
    var = pd.DataFrame(index=[f"ENSG{i:05d}" if symbols else f"GENE{i}" for i in range(g)])
    if symbols:
        var["symbol"] = [f"GENE{i}" for i in range(g)]
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical([TYPES[i] for i in group], categories=TYPES),
            "batch": pd.Categorical([f"batch {b}" for b in batch]),
        },
        index=[f"c{i}" for i in range(n)],
    )
    x = codes @ dictionary + rng.normal(scale=0.05, size=(n, g)) + 1.0
    adata = AnnData(X=x.astype(np.float32), obs=obs, var=var)
    angle = group * np.pi / 2
    adata.obsm["X_umap"] = 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1) + rng.normal(size=(n, 2))
    adata.obsm[f"X_{key}"] = sparse.csr_matrix(codes.astype(np.float32))
    adata.varm[f"{key}_features"] = dictionary.T.astype(np.float32)
    adata.uns[key] = {
        "params": {"model": "sparse_ae", "obsm": "", "layer": "", "gene_symbols": "symbol" if symbols else ""},
        "component_names": np.array(LATENTS, dtype=object),
    }
    return adata


def dense_codes(adata, key="sparse_ae"):
    return adata.obsm[f"X_{key}"].toarray().astype(float)


def analysed_adata(**settings):
    """The same with the tables that plots read; ablation and sweep made up."""
    from pathwayae import tl

    adata = coded_adata(**settings)
    tl.latent_sparsity(adata)
    tl.latent_selectivity(adata, "cell_type")
    kept = np.arange(8)
    explained = 0.8 * (1 - np.exp(-kept / 1.5)) - 0.05
    whole = explained[-1]
    adata.uns["sparse_ae"]["ablation"] = pd.DataFrame(
        {
            "kept": kept,
            "mean_kept": 0.9 * kept,
            "population": 0.9 * kept / N_LATENTS,
            "explained_variance": explained,
            "share": explained / whole,
        }
    )
    first = [int(np.argmax(explained >= share * whole)) for share in (0.9, 0.95)]
    adata.uns["sparse_ae"]["ablation_fewest"] = pd.DataFrame(
        {
            "share": [0.9, 0.95],
            "kept": first,
            "mean_kept": 0.9 * np.array(first),
            "explained_variance": explained[first],
        }
    )
    adata.uns["sparse_ae_sweep"] = {"settings": sweep_table()}
    return adata


def sweep_table():
    """Two kinds and two numbers of latents, three settings each; the strongest of one kind leaves nothing active."""
    rows = []
    for kind, strengths in (("batchtopk", [2, 4, 8]), ("l1", [0.3, 0.1, 0.03])):
        for n_latents in (64, 128):
            for i, strength in enumerate(strengths):
                l0 = 2.0 ** (i + 1) * (1.2 if kind == "l1" else 1.0) * (n_latents / 64) ** 0.2
                rows.append(
                    {
                        "sparsity": kind,
                        "n_latents": n_latents,
                        "strength": strength,
                        "n_fits": 3,
                        "unexplained": 0.3 * l0**-0.6 + (0.02 if kind == "l1" else 0.0),
                        "unexplained_sd": 0.01,
                        "l0": 0.0 if (kind, n_latents, i) == ("l1", 64, 0) else l0,
                        "l0_sd": 0.1,
                        "population": l0 / n_latents,
                        "population_sd": 0.001,
                        "hoyer": 0.9 - 0.05 * i,
                        "hoyer_sd": 0.01,
                        "never": 0.4 / l0,
                        "never_sd": 0.01,
                    }
                )
    return pd.DataFrame(rows)
