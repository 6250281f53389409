"""What restarts and draws promise on real cells."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from real_cells import variable_genes

import pathwayae as pae

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def kang(real_data: Path) -> ad.AnnData:
    """1 000 variable genes, the Hallmark sets in them, and 40 draws of the eight donors."""
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 1000)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    there = {name: [gene for gene in genes if gene in adata.var_names] for name, genes in sets.items()}
    pae.tl.fit(adata, there, progress=False)
    pae.tl.stability(adata, n_bootstrap=40, sample_key="donor", progress=False)
    return adata


@pytest.mark.filterwarnings("ignore:.*flag ':pathwayae.DataWarning")  # a descent on these genes leaves some pathways
def test_twenty_seeds_agree(kang: ad.AnnData) -> None:
    alone = kang.copy()
    pae.tl.fit(alone, "pae_membership", scores="projection", n_extra=0, progress=False)
    pae.tl.stability(alone, n_bootstrap=0, n_restarts=20, progress=False)
    assert pae.get.stability(alone)["scores"].median() >= 0.99
    assert pae.get.stability(alone)["restarts"].min() >= 0.95


def test_the_seed_says_nothing_of_scores_of_members(kang: ad.AnnData) -> None:
    seeds = [pae.tl.fit(kang, "pae_membership", random_state=s, n_extra=0, copy=True, progress=False) for s in (1, 2)]
    np.testing.assert_array_equal(seeds[0].obsm["X_pae"], seeds[1].obsm["X_pae"])


def test_halves_of_the_cells_agree_on_every_score(kang: ad.AnnData) -> None:
    order = np.random.default_rng(0).permutation(kang.n_obs)
    scores = []
    for half in (order[:1000], order[1000:]):
        part = kang[np.sort(half)].copy()
        pae.tl.fit(part, "pae_membership", n_extra=0, min_genes=1, key_added="part", progress=False)
        everyone = kang.copy()
        pae.tl.transform(everyone, part, key="part", progress=False)
        scores.append(everyone.obsm["X_part"])
    agreed = [np.corrcoef(one, other)[0, 1] for one, other in zip(*(z.T for z in scores), strict=True)]
    assert min(agreed) >= 0.9


def test_a_stable_component_holds_on_four_fifths_of_the_cells(kang: ad.AnnData) -> None:
    table = pae.get.stability(kang)
    stable = (table["verdict"] == "stable").to_numpy() & table["own"].notna().to_numpy()
    assert stable.sum() >= 10
    rng = np.random.default_rng(0)
    held = []
    for _ in range(5):
        part = kang[np.sort(rng.choice(kang.n_obs, kang.n_obs * 4 // 5, replace=False))].copy()
        pae.tl.fit(part, "pae_membership", n_extra=0, min_genes=1, key_added="part", progress=False)
        assert list(part.uns["part"]["component_names"]) == table["component"][table["own"].notna()].tolist()
        everyone = kang.copy()
        pae.tl.transform(everyone, part, key="part", progress=False)
        z, other = kang.obsm["X_pae"], everyone.obsm["X_part"]
        held += [np.corrcoef(z[:, j], other[:, j])[0, 1] >= 0.9 for j in np.flatnonzero(stable)]
    assert np.mean(held) >= 0.95
