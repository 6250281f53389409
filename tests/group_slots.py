"""An AnnData with every slot of loadings by group, made by hand on the fit of :mod:`fitted`."""

import numpy as np
from fitted import PATHWAYS, fitted_adata

GROUPS = ["CD14+ monocytes", "CD4 T cells", "B cells of the germinal centre", "NK"]


def grouped_adata(*, tested=True, **options):
    """Gene i of every pathway is most in group i % 4; the second pathway is not carried in the last group."""
    adata = fitted_adata(**options)
    rng = np.random.default_rng(5)
    member = adata.varm["pae_membership"].toarray()
    used = np.isfinite(adata.var["pae_scale"].to_numpy())
    parts = []
    for j in range(len(PATHWAYS)):
        outside = rng.choice(np.flatnonzero(~member[:, j] & used), 8, replace=False)
        genes = np.sort(np.concatenate([np.flatnonzero(member[:, j]), outside]))
        parts.append((np.full(len(genes), j), genes))
    pathway, gene = (np.concatenate(one) for one in zip(*parts, strict=True))
    shared = rng.gamma(2.0, 0.2, len(gene))
    loading = shared[:, None] * (0.5 + 1.5 * (np.arange(len(gene))[:, None] % 4 == np.arange(4)))
    loading[(pathway == 1), 3] = np.nan
    reference = np.where(np.isnan(loading), np.nan, shared[:, None])
    pvalue = np.where(np.abs(loading - reference) > 0.3, 1e-4, 0.6) if tested else np.full_like(loading, np.nan)
    pvalue[np.isnan(loading)] = np.nan
    carried = np.ones((len(PATHWAYS), 4), dtype=bool)
    carried[1, 3] = False
    adata.uns["pae"]["group_loadings"] = {
        "pathways": np.array(PATHWAYS, dtype=object),
        "groups": np.array(GROUPS, dtype=object),
        "pathway": pathway.astype(np.int32),
        "gene": np.array([f"GENE{i}" for i in gene], dtype=object),
        "member": member[gene, pathway],
        "shared": shared.astype(np.float32),
        "loading": loading.astype(np.float32),
        "reference": reference.astype(np.float32),
        "error": np.where(np.isnan(pvalue), np.nan, 0.05).astype(np.float32),
        "pvalue": pvalue,
        "padj": pvalue * 1.1,
        "sd": rng.random((len(PATHWAYS), 4)).astype(np.float32),
        "reliability": np.where(carried, 0.8, 0.02).astype(np.float32),
        "carried": carried,
        "n_cells": np.full(4, 60),
        "n_samples": np.full(4, 6 if tested else 1),
    }
    params = {"groupby": "cell_type", "sample_key": "donor" if tested else "", "reference": "rest", "n_genes": 8}
    adata.uns["pae"]["group_loadings_params"] = params
    return adata
