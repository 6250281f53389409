"""Pathways that cannot say anything: their scores are numbers all the same, and they are reported."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grouped_fits import CLASSIC, OUTSIDE, SQUARES, sets_of

import pathwayae as pae
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.encoder import Encoder, balanced_encoder, expression_bins, score_weights
from pathwayae.tl._grouped.quality import MEANING, flags


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


def fit(adata: ad.AnnData, sets: dict[str, list[str]], **kwargs) -> ad.AnnData:
    return flat.fit(adata, sets, n_extra=2, progress=False, copy=True, **kwargs)


def assert_finite(result: ad.AnnData) -> None:
    assert np.isfinite(result.obsm["X_pae"]).all()
    assert np.isfinite(result.varm["pae_loadings"]).all()
    assert np.isfinite(result.varm.get("pae_encoder", np.zeros(1))).all()
    for name in ("norm", "variance_ratio", "variance_ratio_total"):
        assert np.isfinite(result.uns["pae"][name]).all()
    assert all(np.isfinite(values).all() for values in result.uns["pae"]["history"].values())
    assert (len(result.uns["pae"]["history"]) == 0) == (result.uns["pae"]["params"]["scores"] == "members")


def test_pathways_of_genes_that_do_not_vary_get_no_score_and_are_named(cells: ad.AnnData) -> None:
    sets = sets_of(cells, flat=[*range(8)], batchy=[*range(10, 18)], part=[0, 1, *range(50, 53)], small=[60, 61])
    for batch_key, names in ((None, "flat, part"), ("batch", "flat, batchy, part")):
        said = f"{len(names.split())} pathways have fewer than 5 genes that vary and get no score: {names}"
        for options in [{}, {"scores": "projection"}, CLASSIC]:
            with pytest.warns(pae.DataWarning, match=said):
                result = fit(cells, sets, batch_key=batch_key, **options)
            assert_finite(result)
            dropped = result.uns["pae"]["dropped"].set_index("pathway")
            assert set(dropped.index) == {*names.split(", "), "small"}
            assert (dropped.loc[names.split(", "), "reason"] == "fewer than 5 genes that vary").all()
            assert dropped.loc["flat", ["n_genes", "n_matched"]].tolist() == [8, 0]
            assert dropped.loc["part", "n_matched"] == 3
            assert dropped.loc["small", "reason"] == "fewer than 5 genes"
            assert (result.uns["pae"]["pathways"]["flag"] == "").all()


def test_genes_that_the_moments_do_not_have_are_not_called_constant(cells: ad.AnnData) -> None:
    moments = pae.pp.moments(cells, genes=cells.var_names[5:].tolist(), progress=False)
    sets = sets_of(cells, gone=[*range(5)], flat=[*range(5, 10)])
    with pytest.warns(pae.DataWarning, match="1 pathways have fewer than 5 genes that vary and get no score: flat"):
        dropped = fit(cells, sets, moments=moments).uns["pae"]["dropped"].set_index("pathway")
    assert dropped.loc["gone", "reason"] == "fewer than 5 genes"


@pytest.mark.filterwarnings(OUTSIDE)
def test_pathways_of_one_gene_and_of_the_same_genes_have_finite_scores_and_a_flag(cells: ad.AnnData, tmp_path) -> None:
    twin = sets_of(cells)["program_1"]
    sets = {"twin": twin[::-1], **sets_of(cells, one=[40], other=[41], again=[40]), "more": [*twin, cells.var_names[3]]}
    for options in [
        {},
        {"batch_key": "batch"},
        {"balance": False},
        {"scores": "projection"},
        {"scores": "least_squares"},
        CLASSIC,
        CLASSIC | {"theta": 1.0},
        CLASSIC | {"batch_key": "batch"},
        SQUARES | {"theta": 1.0},
    ]:
        with (
            pytest.warns(pae.DataWarning, match=r"of 8 pathways have the same genes in the model .*program_1, more\."),
            pytest.warns(pae.DataWarning, match=r"3 of 8 pathways have 2 genes or fewer in .*: one, other, again"),
        ):
            result = fit(cells, sets, min_genes=1, **options)
        assert_finite(result)
        np.testing.assert_allclose(np.linalg.norm(result.varm["pae_loadings"], axis=0), 1, atol=1e-5)
        result.write_h5ad(tmp_path / "cells.h5ad")
        report = ad.read_h5ad(tmp_path / "cells.h5ad").uns["pae"]["pathways"].set_index("pathway")
        # gene 3 is constant, so "more" has the genes of "twin" in the model; least squares share what they have alike
        same = report.loc[["twin", "program_1", "more"]]
        assert same["flag"].tolist() == np.where(same["outside"] > 0.5, "outside", "duplicate").tolist()
        assert options.get("scores") == "least_squares" or (same["flag"] == "duplicate").all()
        assert (report.loc[["one", "other", "again"], "flag"] == "few genes").all()
        assert report.loc[["program_2", "program_3"], "flag"].tolist() == ["", ""]
        if "scores" not in options:
            scores = pae.get.scores(result)
            for one, other in (("twin", "program_1"), ("twin", "more"), ("one", "again")):
                np.testing.assert_array_equal(scores[one], scores[other])


def test_a_column_that_the_descent_leaves_empty_scores_0_and_is_flagged(cells: ad.AnnData, monkeypatch) -> None:
    original = grouped.fit

    def emptied(data, membership, penalised, n_components, config, **kwargs):
        result = original(data, membership, penalised, n_components, config, **kwargs)
        loadings = result.loadings.copy()
        loadings[:, 1] = 0.0
        loadings[:, 2] *= 1e-3 / np.linalg.norm(loadings[:, 2])
        weights = score_weights(loadings, config.scores, config.ridge)
        bins = expression_bins(data.mean)
        encoder = balanced_encoder(weights, bins) if config.balance else Encoder(weights)
        return result._replace(loadings=loadings, weights=weights, encoder=encoder)

    monkeypatch.setattr(grouped, "fit", emptied)
    for options in [CLASSIC, SQUARES, {"scores": "projection"}, {"scores": "least_squares"}]:
        with (
            pytest.warns(pae.DataWarning, match=r"1 of 3 pathways have a score that does not vary .*: program_2\."),
            pytest.warns(pae.DataWarning, match=r"1 of 3 pathways were given up by the descent.*: program_3\."),
        ):
            result = fit(cells, sets_of(cells), **options)
        assert_finite(result)
        np.testing.assert_array_equal(result.obsm["X_pae"][:, 1], 0)
        assert result.uns["pae"]["variance_ratio"][1] == 0
        table = result.uns["pae"]["pathways"]
        assert table["flag"].tolist() == ["", "constant", "collapsed"]
        assert table.loc[1, ["n_effective", "top_gene_share", "outside"]].tolist() == [0, 0, 0]
        assert np.isnan(table.loc[1, "agreement"])


def figures(**columns: list[float]) -> pd.DataFrame:
    """Three pathways with nothing to say against them, but for the columns given."""
    table = pd.DataFrame({"top_gene_share": [0.1] * 3, "agreement": [0.9] * 3, "outside": [0.1] * 3})
    return table.assign(**columns)


SETS = sp.csr_matrix(np.array([[1, 1, 0], [1, 1, 1], [1, 1, 1], [0, 0, 1]], dtype=bool))
DISTINCT = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 1, 1], [0, 0, 1]], dtype=bool))


def test_every_figure_has_its_flag() -> None:
    for table, expected in [
        ({}, ["", "", ""]),
        ({"top_gene_share": [0.5, 0.5 + 1e-7, 0.51]}, ["", "", "one gene"]),  # two even genes have half each
        ({"outside": [0.5, 0.51, -0.3]}, ["", "outside", ""]),
        ({"agreement": [0.5, 0.49, np.nan]}, ["", "disagrees", "disagrees"]),
        ({"agreement": [-0.9, 0.9, 1.0]}, ["disagrees", "", ""]),
    ]:
        assert flags(DISTINCT, np.ones(3), np.ones(3), figures(**table)).tolist() == expected


def test_the_lengths_and_variances_have_theirs() -> None:
    assert flags(DISTINCT, np.array([1.0, 0.009, 0.01]), np.ones(3), figures()).tolist() == ["", "collapsed", ""]
    power = np.array([1.0, 0.0, np.nan])
    assert flags(DISTINCT, np.ones(3), power, figures()).tolist() == ["", "constant", "constant"]
    assert flags(SETS, np.ones(3), np.ones(3), figures()).tolist() == ["duplicate", "duplicate", ""]
    few = sp.csr_matrix(np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0]], dtype=bool))
    assert flags(few, np.ones(3), np.ones(3), figures()).tolist() == ["", "few genes", "few genes"]


def test_the_gravest_flag_counts() -> None:
    kinds = list(MEANING)
    assert kinds == ["constant", "collapsed", "few genes", "one gene", "outside", "disagrees", "duplicate"]
    equal = sp.csr_matrix(np.ones((2, 3), dtype=bool))  # few genes, and the same ones
    bad = {"top_gene_share": [0.9] * 3, "outside": [0.9] * 3, "agreement": [0.1] * 3}
    found = flags(equal, np.array([1e-3, 1e-3, 1.0]), np.array([0.0, 1.0, 1.0]), figures(**bad))
    assert found.tolist() == kinds[:3]
    same = sp.csr_matrix(np.ones((4, 3), dtype=bool))
    bad = {"top_gene_share": [0.9, 0.1, 0.1], "outside": [0.9, 0.9, 0.1], "agreement": [0.1, 0.1, 0.1]}
    assert flags(same, np.ones(3), np.ones(3), figures(**bad)).tolist() == kinds[3:6]


@pytest.mark.filterwarnings("ignore:.* are on another scale")
def test_a_higher_score_is_more_of_the_genes_of_a_pathway(cells: ad.AnnData) -> None:
    for options in [{}, {"scores": "projection"}, CLASSIC]:
        result = fit(cells, sets_of(cells), **options)
        more = result.copy()
        more.X = more.X + 1.0 * np.asarray(cells.varm["pathways"]["program_2"])[None, :] * (np.arange(200) >= 24)
        before = result.obsm["X_pae"][:, 1].copy()
        pae.tl.transform(more, result)
        assert (more.obsm["X_pae"][:, 1] > before).all()


@pytest.mark.filterwarnings("ignore:.* of 6 pathways")
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_a_descent_that_only_rises_is_warned_of(scores):
    adata = pae.datasets.simulate(200, 300, 6)
    with pytest.warns(pae.DataWarning, match="The loss rose from .* lower learning_rate"):
        pae.tl.fit(
            adata,
            "pathways",
            scores=scores,
            settings=pae.tl.FitSettings(learning_rate=1e6, max_iter=20, scheduler_patience=20),
            progress=False,
        )
