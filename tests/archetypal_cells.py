"""What the tests of archetypes share."""

import anndata as ad
import numpy as np
import pandas as pd


def bare(adata: ad.AnnData, *obsm: str) -> ad.AnnData:
    """The cells and genes and some embeddings, without any other result."""
    kept = {name: adata.obsm[name].copy() for name in obsm}
    return ad.AnnData(adata.X.copy(), obs=adata.obs[["cell_type"]].copy(), var=adata.var[[]].copy(), obsm=kept)


def archetypal(k=4, n=90, *, fitted_to="X_pca", draws=5):
    """Every slot of archetypes, made by hand."""
    rng = np.random.default_rng(0)
    weights = rng.dirichlet(np.full(k, 0.4), n)
    corners = 3 * rng.normal(size=(k, 4))
    names = [f"archetype_{j}" for j in range(k)]
    obs = pd.DataFrame(index=[f"c{i}" for i in range(n)])
    obs["type"] = pd.Categorical.from_codes(weights.argmax(axis=1), [f"type / {j}" for j in range(k)])
    obs["depth"] = rng.normal(size=n)
    genes = np.asarray(rng.poisson(2.0, size=(n, 8)), dtype=np.float32)
    adata = ad.AnnData(genes, obs=obs, var=pd.DataFrame(index=[f"g{i}" for i in range(8)]))
    adata.obsm["X_archetypes"] = weights.astype(np.float32)
    adata.obsm["X_pca"] = weights @ corners
    adata.obsm["X_umap"] = rng.normal(size=(n, 2))
    rows = [
        (archetype, kind, f"{letter}{i}", rng.normal(), rng.normal(), 0.0, 0.01, 0.02)
        for archetype in names
        for kind, letter in (("gene", "g"), ("pathway", "HALLMARK_OF_SOMETHING_WITH_A_LONG_NAME_"))
        for i in rng.permutation(8)
    ]
    columns = ["archetype", "kind", "feature", "value", "others", "statistic", "pval", "padj"]
    table = pd.DataFrame(rows, columns=columns)
    table.insert(5, "effect", table["value"] - table["others"])
    adata.uns["archetypes"] = {
        "params": {"model": "archetypes", "obsm": fitted_to},
        "component_names": np.array(names, dtype=object),
        "coordinates": corners,
        "dimensions": np.array([f"PC{i}" for i in range(4)], dtype=object),
        "bootstrap": (corners + 0.1 * rng.normal(size=(draws, k, 4))).astype(np.float32),
        "features": table,
    }
    adata.uns["archetypes_selection"] = {
        "table": pd.DataFrame(
            {
                "n_archetypes": [2, 3, 4, 5],
                "explained_variance": [0.4, 0.7, 0.8, 0.82],
                "gap": 1e-7,
                "bic": [40.0, 30.0, 10.0, 20.0],
                "n_stable": [2.0, 3.0, 4.0, 3.0],
                "spread": [0.1, 0.1, 0.1, 0.4],
                "knee": [False, True, False, False],
                "lowest_bic": [False, False, True, False],
                "chosen": [False, False, True, False],
            }
        ),
        "reason": "4: because",
        "n_archetypes": 4,
    }
    return adata
