"""What archetypes promise on real cells: who they are, that they hold, and that a cloud without corners has none."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from real_cells import variable_genes

import pathwayae as pae

pytestmark = pytest.mark.real

MONOCYTES = {"CD14+ Monocytes", "FCGR3A+ Monocytes"}


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    """1 500 variable genes, Hallmark scores, 20 components, and five archetypes of either."""
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 1500)
    sc.pp.pca(adata, n_comps=20)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    pae.tl.fit(adata, sets, min_genes=10, progress=False)
    for key, obsm in (("X_pca", "X_pca"), ("X_pae", "X_pae")):
        pae.tl.archetypes(adata, 5, obsm=obsm, n_restarts=3, progress=False, key_added=f"of_{key}")
        pae.tl.archetype_features(adata, groupby=["cell_type", "condition"], sample_key="donor", key=f"of_{key}")
    return adata


def closest(adata: ad.AnnData, key: str) -> pd.DataFrame:
    """Archetypes × groups: share of the closest tenth of the cells."""
    groups = pae.get.archetype_groups(adata, key=key)
    return groups.pivot_table(index="archetype", columns="group", values="share_closest")


def monocytes(adata: ad.AnnData, key: str) -> tuple[str, str]:
    """Archetypes of treated and of untreated monocytes."""
    share = closest(adata, key)
    own = share.index[share[sorted(MONOCYTES)].sum(axis=1) > 0.9]
    assert len(own) == 2
    return str(share.loc[own, "stim"].idxmax()), str(share.loc[own, "ctrl"].idxmax())


@pytest.mark.parametrize("key", ["of_X_pca", "of_X_pae"])
def test_archetypes_are_cell_types_and_the_answer_of_monocytes(kang: ad.AnnData, key: str) -> None:
    entry, share = kang.uns[key], closest(kang, key)
    assert entry["gap"] < 1e-5
    assert entry["converged"]
    assert entry["explained_variance"] > 0.55
    treated, untreated = monocytes(kang, key)
    assert share.loc[treated, "stim"] >= 0.99
    assert share.loc[untreated, "ctrl"] >= 0.99
    rest = share.drop([treated, untreated])
    assert rest["B cells"].max() >= 0.9
    assert rest["CD4 T cells"].max() >= 0.95
    assert rest[["CD8 T cells", "NK cells"]].sum(axis=1).max() >= 0.95


@pytest.mark.parametrize("key", ["of_X_pca", "of_X_pae"])
def test_pathways_and_genes_name_the_archetypes(kang: ad.AnnData, key: str) -> None:
    treated, _ = monocytes(kang, key)
    scores = pae.get.archetype_features(kang, of="pathway", archetypes=treated, n_features=10, key=key)["feature"]
    pathways = [name for name in scores if not name.startswith("free_")]
    assert set(pathways[:2]) == {"HALLMARK_INTERFERON_ALPHA_RESPONSE", "HALLMARK_INTERFERON_GAMMA_RESPONSE"}
    genes = pae.get.archetype_features(kang, of="gene", n_features=10, key=key)
    lead = {frozenset(part["feature"]) for _, part in genes.groupby("archetype")}
    for markers in ({"CD79A", "CD74"}, {"NKG7", "GNLY", "GZMB"}, {"CXCL10", "IDO1"}, {"CD14"}):
        assert any(markers <= found for found in lead), markers


def test_archetypes_hold_for_other_donors_and_are_corners(kang: ad.AnnData) -> None:
    pae.tl.archetype_trust(kang, n_bootstrap=20, n_permutations=19, sample_key="donor", key="of_X_pca", progress=False)
    table = pae.get.archetype_trust(kang, key="of_X_pca")
    shape = pae.get.archetype_trust(kang, of="shape", key="of_X_pca").set_index("statistic")
    assert (table["verdict"] == "stable").all()
    np.testing.assert_allclose(shape["pval"], 1 / 20)
    assert shape.loc["t_ratio", "observed"] > 1.5 * shape.loc["t_ratio", "null_mean"]


def test_a_cloud_of_the_same_covariance_has_no_corners(kang: ad.AnnData) -> None:
    n = 500
    cloud = ad.AnnData(np.zeros((n, 1), dtype=np.float32), obs=kang.obs[[]][:n].copy())
    spread = kang.obsm["X_pca"].std(axis=0)
    cloud.obsm["X_pca"] = np.random.default_rng(0).normal(size=(n, len(spread))) * spread
    pae.tl.archetypes(cloud, 5, obsm="X_pca")
    pae.tl.archetype_trust(cloud, n_bootstrap=10, n_permutations=19, progress=False)
    assert pae.get.archetype_trust(cloud).attrs["verdict"].startswith("unstable")
    assert (pae.get.archetype_trust(cloud, of="shape")["pval"] > 0.05).all()


def test_new_cells_go_to_the_archetypes_of_their_type(kang: ad.AnnData) -> None:
    """Groups of new cells have the mean weights of their kind, within four standard errors."""
    new = np.arange(kang.n_obs) % 5 == 0
    rest, later = kang[~new].copy(), kang[new].copy()
    pae.tl.archetypes(rest, 5, obsm="X_pca", n_restarts=3)
    pae.tl.transform(later, rest, key="archetypes")
    kind = ["cell_type", "condition"]
    groups = [
        pae.get.scores(one, key="archetypes").groupby([one.obs[name] for name in kind], observed=True)
        for one in (rest, later)
    ]
    sizes = [group.size() for group in groups]
    common = sizes[1].index[sizes[1] >= 15]
    assert len(common) >= 8
    error = groups[0].std().loc[common].mul(np.sqrt(1 / sizes[0].loc[common] + 1 / sizes[1].loc[common]), axis=0)
    off = (groups[0].mean().loc[common] - groups[1].mean().loc[common]).abs()
    assert (off < 4 * error).all(axis=None)
    assert off.mean(axis=None) < 0.03
