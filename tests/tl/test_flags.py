"""Pathways that cannot say anything: their scores are numbers all the same, and they are reported."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae.core import grouped_ae
from pathwayae.tl._pathways import flags


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """Genes 0–9 are constant, 10–19 constant within batches, 20–23 both."""
    adata = pae.datasets.simulate(300, 200, 3, n_batches=2, random_state=1)
    x = adata.X.toarray()
    x[:, :10] = 1.7
    x[:, 10:20] = 0.3 + adata.obs["batch"].cat.codes.to_numpy()[:, None]
    x[:, 20:24] = 0.0
    adata.X = x
    return adata


def sets_of(adata: ad.AnnData, **more: list[int]) -> dict[str, list[str]]:
    member = adata.varm["pathways"]
    own = {name: member.index[member[name]].tolist() for name in member}
    return own | {name: adata.var_names[rows].tolist() for name, rows in more.items()}


def fit(adata: ad.AnnData, sets: dict[str, list[str]], **kwargs) -> ad.AnnData:
    return pae.tl.fit(adata, sets, n_extra=2, progress=False, copy=True, **kwargs)


def assert_finite(result: ad.AnnData) -> None:
    assert np.isfinite(result.obsm["X_pae"]).all()
    assert np.isfinite(result.varm["pae_loadings"]).all()
    for name in ("norm", "variance_ratio", "variance_ratio_total"):
        assert np.isfinite(result.uns["pae"][name]).all()
    assert all(np.isfinite(values).all() for values in result.uns["pae"]["history"].values())


CONSTANT = "ignore:.* genes (have the same value|do not vary)"


@pytest.mark.filterwarnings(CONSTANT)
@pytest.mark.parametrize("batch_key", [None, "batch"])
def test_pathways_of_genes_that_do_not_vary_get_no_score_and_are_named(cells: ad.AnnData, batch_key) -> None:
    sets = sets_of(cells, flat=[*range(8)], batchy=[*range(10, 18)], part=[0, 1, *range(50, 53)], small=[60, 61])
    names = "flat, batchy, part" if batch_key else "flat, part"
    n = 3 if batch_key else 2
    with pytest.warns(
        pae.DataWarning, match=f"{n} pathways have fewer than 5 genes that vary and get no score: {names}"
    ):
        result = fit(cells, sets, batch_key=batch_key)
    assert_finite(result)
    dropped = result.uns["pae"]["dropped"].set_index("pathway")
    assert set(dropped.index) == {*names.split(", "), "small"}
    assert (dropped.loc[names.split(", "), "reason"] == "fewer than 5 genes that vary").all()
    assert dropped.loc["flat", ["n_genes", "n_matched"]].tolist() == [8, 0]
    assert dropped.loc["part", "n_matched"] == 3
    assert dropped.loc["small", "reason"] == "fewer than 5 genes"
    assert (result.uns["pae"]["pathways"]["flag"] == "").all()


@pytest.mark.filterwarnings(CONSTANT)
def test_genes_that_the_moments_do_not_have_are_not_called_constant(cells: ad.AnnData) -> None:
    moments = pae.pp.moments(cells, genes=cells.var_names[5:].tolist(), progress=False)
    sets = sets_of(cells, gone=[*range(5)], flat=[*range(5, 10)])
    with pytest.warns(pae.DataWarning, match="1 pathways have fewer than 5 genes that vary and get no score: flat"):
        dropped = fit(cells, sets, moments=moments).uns["pae"]["dropped"].set_index("pathway")
    assert dropped.loc["gone", "reason"] == "fewer than 5 genes"


@pytest.mark.filterwarnings(CONSTANT)
@pytest.mark.parametrize("options", [{}, {"scores": "least_squares"}, {"batch_key": "batch"}, {"theta": 1.0}])
def test_pathways_of_one_gene_and_of_the_same_genes_have_finite_scores_and_a_flag(
    cells: ad.AnnData, options: dict, tmp_path
) -> None:
    twin = sets_of(cells)["program_1"]
    sets = {"twin": twin[::-1], **sets_of(cells, one=[40], other=[41], again=[40]), "more": [*twin, cells.var_names[3]]}
    with pytest.warns(
        pae.DataWarning, match=r"5 pathways have the same genes in the model .*: twin, program_1, one, ag"
    ):
        result = fit(cells, sets, min_genes=1, **options)
    assert_finite(result)
    np.testing.assert_allclose(np.linalg.norm(result.varm["pae_loadings"], axis=0), 1, atol=1e-5)
    result.write_h5ad(tmp_path / "cells.h5ad")
    report = ad.read_h5ad(tmp_path / "cells.h5ad").uns["pae"]["pathways"].set_index("pathway")
    # gene 3 is constant, so "more" has the genes of "twin" in the model
    assert set(report.index[report["flag"] == "duplicate"]) == {"twin", "program_1", "more", "one", "again"}
    assert report.loc[["program_2", "program_3", "other"], "flag"].tolist() == ["", "", ""]


@pytest.mark.filterwarnings(CONSTANT)
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_a_column_that_the_descent_leaves_empty_scores_0_and_is_flagged(cells: ad.AnnData, scores, monkeypatch) -> None:
    original = grouped_ae.fit

    def emptied(*args, **kwargs):
        result = original(*args, **kwargs)
        result.loadings[:, 1] = 0.0
        result.loadings[:, 2] *= 1e-3 / np.linalg.norm(result.loadings[:, 2])
        return result

    monkeypatch.setattr(grouped_ae, "fit", emptied)
    with (
        pytest.warns(pae.DataWarning, match=r"1 pathways have a score that does not vary .*: program_2\."),
        pytest.warns(pae.DataWarning, match=r"1 pathways were given up by the descent.*: program_3\."),
    ):
        result = fit(cells, sets_of(cells), scores=scores)
    assert_finite(result)
    np.testing.assert_array_equal(result.obsm["X_pae"][:, 1], 0)
    assert result.uns["pae"]["variance_ratio"][1] == 0
    assert result.uns["pae"]["pathways"]["flag"].tolist() == ["", "constant", "collapsed"]


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")
def test_the_worst_flag_counts() -> None:
    membership = sp.csr_matrix(np.array([[1, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1]], dtype=bool))
    found = flags(membership, np.array([1.0, 1e-3, 1e-3, 1.0]), np.array([1.0, 1.0, 0.0, np.nan]), list("abcd"))
    assert found.tolist() == ["duplicate", "collapsed", "constant", "constant"]


@pytest.mark.filterwarnings(CONSTANT)
def test_a_higher_score_is_more_of_the_genes_of_a_pathway(cells: ad.AnnData) -> None:
    result = fit(cells, sets_of(cells))
    more = result.copy()
    more.X = more.X + 1.0 * np.asarray(cells.varm["pathways"]["program_2"])[None, :] * (np.arange(200) >= 24)
    before = result.obsm["X_pae"][:, 1].copy()
    pae.tl.transform(more, result)
    assert (more.obsm["X_pae"][:, 1] > before).all()
