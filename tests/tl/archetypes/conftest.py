"""Cells with pathway scores and components, and four archetypes of the scores."""

import anndata as ad
import pytest
import scanpy as sc

import pathwayae as pae


@pytest.fixture(scope="module")
def scored() -> ad.AnnData:
    adata = pae.datasets.simulate(250, 200, 5, random_state=3)
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    sc.pp.pca(adata, n_comps=8)
    return adata


@pytest.fixture(scope="module")
def fitted(scored: ad.AnnData) -> ad.AnnData:
    return pae.tl.archetypes(scored, 4, labels=True, copy=True)
