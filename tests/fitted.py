"""An AnnData with every slot of a fit, made by hand."""

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from pathwayae.core.grouped.components import largest_share, n_effective

PATHWAYS = [
    "Interferon / antiviral response",
    "REACTOME_ANTIGEN_PROCESSING_UBIQUITINATION_AND_PROTEASOME_DEGRADATION",
    "MHC class II antigen presentation",
    "T cell activation (CD3/CD28 co-stimulation) and downstream signalling",
    "HALLMARK_TNFA_SIGNALING_VIA_NFKB",
    "Glycolysis/gluconeogenesis",
    "B cells",
]
FREE = ["free_1", "free_2"]
NAMES = PATHWAYS + FREE


def fitted_adata(n=240, g=150, *, key="pae", symbols=False, seed=0):
    """Cells in 4 groups; the last 10 genes are outside the model; component j is high in group j % 4."""
    rng = np.random.default_rng(seed)
    p, k = len(PATHWAYS), len(NAMES)
    group = rng.permutation(np.arange(n) % 4)
    member = np.zeros((g, p), dtype=bool)
    loadings = rng.gamma(0.3, 0.02, size=(g, k))
    for j in range(p):
        rows = rng.choice(g - 10, 20, replace=False)
        member[rows, j] = True
        loadings[rows, j] += rng.gamma(2.0, 0.1, size=20)
        loadings[rng.choice(g - 10, 3, replace=False), j] += 0.4  # genes that the data added
    loadings[:, p:] = rng.normal(scale=0.1, size=(g, k - p))
    loadings[-10:] = 0
    scores = rng.normal(size=(n, k)) + 2.0 * (np.arange(k)[None, :] % 4 == group[:, None])
    var = pd.DataFrame(index=[f"ENSG{i:05d}" if symbols else f"GENE{i}" for i in range(g)])
    var[f"{key}_mean"] = rng.random(g)
    var[f"{key}_scale"] = np.where(np.arange(g) < g - 10, 1.0, np.nan)
    if symbols:
        var["symbol"] = [f"GENE{i}" for i in range(g)]
    labels = np.array(["CD14+ monocytes", "CD4 T cells", "B cells of the germinal centre", "NK"])
    obs = pd.DataFrame(
        {"cell_type": pd.Categorical(labels[group], categories=labels)}, index=[f"c{i}" for i in range(n)]
    )
    adata = AnnData(X=rng.poisson(1.0, size=(n, g)).astype(np.float32), obs=obs, var=var)
    angle = group * np.pi / 2
    centre = 4 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    adata.obsm["X_umap"] = centre + rng.normal(size=(n, 2))
    adata.obsm[f"X_{key}"] = scores.astype(np.float32)
    adata.varm[f"{key}_loadings"] = loadings.astype(np.float32)
    adata.varm[f"{key}_membership"] = sparse.csr_matrix(member)
    adata.uns["cell_type_colors"] = ["#0072B2", "#E69F00", "#009E73", "#CC79A7"]
    steps = np.arange(60)
    sizes = member.sum(axis=0)
    adata.uns[key] = {
        "params": {
            "model": "grouped",
            "gene_symbols": "symbol" if symbols else "",
            "theta": 0.3,
            "scores": "projection",
            "balance": False,
        },
        "component_names": np.array(NAMES),
        "n_pathways": p,
        "variance_ratio": np.linspace(0.12, 0.01, k)[rng.permutation(k)],
        "history": {
            "loss": 0.7 + 0.5 * np.exp(-steps / 8),
            "reconstruction": 0.9 + 0.3 * np.exp(-steps / 6),
            "zero": 0.02 + 0.4 * np.exp(-steps / 10),
            "entropy": 0.3 + 0.2 * np.exp(-steps / 12),
        },
        "pathways": pd.DataFrame(
            {"pathway": PATHWAYS, "n_genes": sizes + 5, "n_matched": sizes, "n_lost": 5, "lost": "A;B;C;D;E"}
        ).assign(
            n_effective=n_effective(loadings[:, :p]),
            top_gene_share=largest_share(loadings[:, :p]),
            agreement=0.9,
            outside=0.0,
            flag="",
        ),
        "dropped": pd.DataFrame({"pathway": ["tiny"], "n_genes": [2], "n_matched": [1], "reason": ["too few genes"]}),
    }
    return adata


def member_sets(adata, key="pae"):
    """Pathway name → names of its members."""
    member = adata.varm[f"{key}_membership"].toarray()
    genes = np.array([f"GENE{i}" for i in range(adata.n_vars)])
    return {name: genes[member[:, j]].tolist() for j, name in enumerate(PATHWAYS)}
