"""New cells beside those of a fit: other donors, cell types, tissues and scales, on real cells."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy.stats import rankdata

import pathwayae as pae

pytestmark = pytest.mark.real
IFN = "HALLMARK_INTERFERON_ALPHA_RESPONSE"


def auroc(values: np.ndarray, positive: np.ndarray) -> float:
    n = positive.sum()
    return float((rankdata(values)[positive].sum() - n * (n + 1) / 2) / (n * (len(values) - n)))


def load(path: Path, target: float = 1e4) -> ad.AnnData:
    adata = sc.read_h5ad(path)
    sc.pp.filter_genes(adata, min_cells=10)
    sc.pp.normalize_total(adata, target_sum=target)
    sc.pp.log1p(adata)
    return adata


def transformed(new: ad.AnnData, reference: ad.AnnData, **options) -> tuple[ad.AnnData, list[str]]:
    """The cells with their scores, and what was told."""
    bare = ad.AnnData(new.X.copy(), obs=new.obs.copy(), var=new.var[[]].copy())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pae.DataWarning)
        pae.tl.transform(bare, reference, progress=False, **options)
    return bare, [str(one.message) for one in caught]


@pytest.fixture(scope="module")
def sets(real_data: Path) -> pae.gs.GeneSetCollection:
    return pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")


@pytest.fixture(scope="module")
def kang(real_data: Path, sets) -> ad.AnnData:
    adata = load(real_data / "cells" / "kang_ifnb_2000cells.h5ad")
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
    adata = adata[:, adata.var["highly_variable"] | adata.var_names.isin(sets.genes)].copy()
    pae.tl.fit(adata, sets, progress=False)
    return adata


@pytest.mark.parametrize(
    ("column", "value", "most"), [("donor", "101", 0.08), ("donor", "1488", 0.05), ("cell_type", "B cells", 0.2)]
)
def test_what_was_left_out_keeps_its_response(kang: ad.AnnData, sets, column: str, value: str, most: float) -> None:
    out = (kang.obs[column].astype(str) == value).to_numpy()
    reference = pae.tl.fit(kang[~out].copy(), sets, progress=False, copy=True)
    new, _ = transformed(kang[out], reference)
    stimulated = (kang.obs["condition"] == "stim").to_numpy()[out]
    seen = auroc(pae.get.scores(kang)[IFN].to_numpy()[out], stimulated)
    assert abs(auroc(pae.get.scores(new)[IFN].to_numpy(), stimulated) - seen) < 0.01
    assert pae.get.unexplained(new)["unlike"].mean() < most


def test_cells_of_another_tissue_are_told_and_those_of_the_same_are_not(kang: ad.AnnData, real_data: Path) -> None:
    pancreas = load(real_data / "cells" / "baron_human1_pancreas_2002genes.h5ad")
    with pytest.raises(ValueError, match="more than max_missing"):
        transformed(pancreas, kang)
    new, told = transformed(pancreas, kang, max_missing=1)
    assert pae.get.unexplained(new)["unlike"].mean() > 0.85
    assert any("does not explain" in one for one in told)
    new, told = transformed(load(real_data / "cells" / "pbmc3k_raw.h5ad"), kang)
    assert pae.get.unexplained(new)["unlike"].mean() < 0.05
    assert told == []


def test_genes_that_are_missing_cost_little_until_it_is_told(kang: ad.AnnData) -> None:
    order = np.random.default_rng(0).permutation(kang.n_vars)
    names = pae.get.component_names(kang)[: kang.uns["pae"]["n_pathways"]]
    for share, least, silent in ((0.1, 0.95, True), (0.4, 0.8, False)):
        new, told = transformed(kang[:, np.sort(order[int(share * len(order)) :])], kang)
        own, full = pae.get.scores(new)[names], pae.get.scores(kang)[names]
        assert own.corrwith(full).median() > least
        assert (told == []) == silent
        assert abs(pae.get.missing_genes(new)["weight_missing"].median() - share) < 0.05


@pytest.mark.parametrize("target", [5e3, 2e4, 1e6])
def test_another_scale_is_told(kang: ad.AnnData, real_data: Path, target: float) -> None:
    _, told = transformed(load(real_data / "cells" / "kang_ifnb_2000cells.h5ad", target), kang)
    assert len(told) == 1
    assert f"normalised to {target:,.0f} counts per cell" in told[0]


def test_a_model_of_hallmark_is_some_hundred_kilobytes(kang: ad.AnnData, sets, tmp_path) -> None:
    variable = kang[:, kang.var["highly_variable"]].copy()
    pae.tl.fit(variable, sets, progress=False)
    pae.models.save(variable, tmp_path / "model.npz")
    assert (tmp_path / "model.npz").stat().st_size < 900_000
    new, _ = transformed(variable, pae.models.load(tmp_path / "model.npz"))
    np.testing.assert_array_equal(new.obsm["X_pae"], variable.obsm["X_pae"])
