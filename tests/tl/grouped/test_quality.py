"""Whether a score speaks for its pathway: figures from the slots, a flag for every way to fail."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from grouped_fits import CLASSIC, EVERY, SQUARES, encoder_of, fit, sets_of
from noisy_programs import names, programs, towering
from oracles import balanced

import pathwayae as pae
from pathwayae.core.grouped.encoder import expression_bins, score_weights

FLAGGED = r"ignore:.* pathways .*\(flag '"
FIGURES = ["n_effective", "top_gene_share", "agreement", "outside"]


# Figures.


def effective(weights: np.ndarray) -> float:
    shares = weights**2 / (weights**2).sum()
    return 1 / (shares**2).sum()


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(300, 250, 4, random_state=2)


@pytest.mark.filterwarnings(FLAGGED)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_the_figures_follow_from_the_slots_and_the_cells(cells: ad.AnnData, options: dict) -> None:
    cells = cells.copy()
    cells.obs["half"] = np.where(np.arange(300) % 2, "odd", "even")
    for batch_key in [None, "half"]:
        result = fit(cells, batch_key=batch_key, **options)
        x, member = cells.X.toarray().astype(float), result.varm["pae_membership"].toarray()
        for rows in [slice(0, None, 2), slice(1, None, 2)] if batch_key else [slice(None)]:
            x[rows] -= x[rows].mean(axis=0)
        standard = x / result.var["pae_scale"].to_numpy()
        loadings = result.varm["pae_loadings"].astype(float)[:, :4]
        encoder = encoder_of(result)[:, :4]
        bins = expression_bins(result.var["pae_mean"].to_numpy()) if options.get("balance", True) else None
        kind = options.get("scores", "members")
        weights = score_weights(loadings, kind, 0.1)
        if kind == "members":
            weights = np.where(member, loadings, 0.0)
        table = pae.get.pathways(result)
        for j in range(4):
            score, plain = standard @ encoder[:, j], member[:, [j]].astype(float)
            beyond = np.where(member[:, [j]], 0.0, weights[:, [j]])
            if bins is not None:
                plain, beyond = balanced(plain, bins), balanced(beyond, bins)
            part = (standard @ beyond)[:, 0]
            if kind != "members":  # whose encoder is the balanced weights but for its length; nothing is outside
                whole = standard @ (weights[:, [j]] if bins is None else balanced(weights[:, [j]], bins))[:, 0]
                np.testing.assert_allclose(whole, score, atol=1e-4 * np.abs(score).max())
            expected = [
                min(effective(loadings[:, j]), effective(weights[:, j])),
                max((w[:, j] ** 2).max() / (w[:, j] ** 2).sum() for w in (loadings, weights)),
                np.corrcoef(score, (standard @ plain)[:, 0])[0, 1],
                np.cov(part, score)[0, 1] / np.var(score, ddof=1),
            ]
            np.testing.assert_allclose(table.loc[j, FIGURES].tolist(), expected, rtol=1e-4, atol=1e-5)
        assert (table["outside"] == 0).all() == (kind == "members")
        expected = np.select(
            [table["top_gene_share"] > 0.5, table["outside"] > 0.5, ~(table["agreement"] >= 0.5)],
            ["one gene", "outside", "disagrees"],
            "",
        )
        assert table["flag"].tolist() == expected.tolist()


@pytest.mark.filterwarnings("ignore:The values")  # made-up ones, on no scale of expression
def test_no_gene_makes_more_than_half_of_a_score_of_members(cells: ad.AnnData) -> None:
    other = cells.copy()
    other.X = cells.X.toarray()
    other.X[:, 0] *= 100  # a gene that towers over all others
    rng = np.random.default_rng(0)
    sets = {f"s{j}": names(other, 0, *rng.choice(np.arange(1, 250), size, replace=False)) for j, size in
            enumerate([2, 2, 2, 3, 4, 9])}  # fmt: skip
    for scale in ("pareto", "unit", None):
        table = fit(other, sets, min_genes=3, balance=False, scale=scale, key_added="own").uns["own"]["pathways"]
        assert (table["top_gene_share"] <= 0.5 + 1e-6).all()
        assert not (table["flag"] == "one gene").any()


# Flags.


def assert_flagged(table: pd.DataFrame, **expected: str) -> None:
    found = table.set_index("pathway")["flag"]
    assert found[found != ""].to_dict() == expected


def test_a_descent_that_copies_one_gene_is_flagged_and_hiding_its_input_or_members_are_not() -> None:
    adata = towering()
    sets = {"tower": names(adata, *range(10)), "plain": names(adata, *range(10, 20))}
    with pytest.warns(pae.DataWarning, match=r"1 of 2 pathways have over half .* on one gene.*\(flag 'one gene'\): to"):
        copied = fit(adata, sets, **CLASSIC)
    assert_flagged(pae.get.pathways(copied), tower="one gene")
    row = pae.get.pathways(copied).iloc[0]
    assert row["top_gene_share"] > 0.7
    assert row["n_effective"] < 2
    assert pae.get.top_genes(copied, "tower", n_genes=1)["gene"].tolist() == ["G0"]
    members = fit(adata, sets)
    assert_flagged(pae.get.pathways(members))
    assert (pae.get.pathways(members)["n_effective"] > 5).all()


def test_pathways_of_one_gene_or_two_are_flagged() -> None:
    for options in [{}, {"scores": "projection"}, {"scores": "least_squares"}, CLASSIC]:
        adata = programs(400, 100, [10, 10])
        sets = {"one": names(adata, 0), "two": names(adata, 10, 11), "ten": names(adata, *range(10, 20))}
        with pytest.warns(
            pae.DataWarning, match=r"2 of 3 pathways have 2 genes or fewer .*\(flag 'few genes'\): one, two"
        ):
            result = fit(adata, sets, min_genes=1, **options)
        table = pae.get.pathways(result)
        assert table.loc[:1, "flag"].tolist() == ["few genes"] * 2
        assert table.loc[0, "top_gene_share"] == pytest.approx(1, abs=0.01)
        if "scores" not in options:
            assert table.loc[:1, "n_effective"].tolist() == pytest.approx([1, 2], rel=1e-6)
            assert table.loc[2, "flag"] == ""
            np.testing.assert_allclose(table.loc[:1, "agreement"], 1.0, atol=1e-6)


def test_a_score_that_other_genes_make_is_flagged() -> None:
    adata = programs(400, 100, [25, 25])
    sets = {"program": names(adata, *range(25)), "noise": names(adata, *range(50, 56), *range(25, 28))}
    with pytest.warns(pae.DataWarning, match=r"genes outside the pathway make over half \(flag 'outside'\): noise"):
        result = fit(adata, sets, **CLASSIC, theta=0.0)
    assert_flagged(pae.get.pathways(result), noise="outside")
    assert pae.get.pathways(result)["outside"].iloc[1] > 0.5
    assert (pae.get.pathways(fit(adata, sets))["outside"] == 0).all()


def test_a_set_of_all_genes_has_no_mean_to_agree_with() -> None:
    adata = programs(400, 150, [20, 20])
    sets = {"all": names(adata, *range(150)), "program": names(adata, *range(20))}
    for options in [{}, {"scores": "projection"}, {"scores": "least_squares"}]:
        with pytest.warns(pae.DataWarning, match=r"1 of 2 pathways have a score that goes .*'disagrees'\).*: all\."):
            result = fit(adata, sets, **options)
        assert np.isfinite(result.obsm["X_pae"]).all()
        table = pae.get.pathways(result)
        assert np.isnan(table.loc[0, "agreement"])
        assert_flagged(table, all="disagrees")
        whole = fit(adata, sets, **options, balance=False).uns["pae"]["pathways"]
        assert np.isfinite(whole[FIGURES]).all(axis=None)


def test_a_set_of_all_genes_that_go_against_each_other_has_a_score_that_does_not_vary() -> None:
    x = np.random.default_rng(0).normal(size=(200, 3))
    x = x - x.mean(axis=1, keepdims=True) + 5  # any two of three sum to what the third lacks
    adata = ad.AnnData(x, var=pd.DataFrame(index=["A", "B", "C"]))
    with pytest.warns(pae.DataWarning, match="1 of 1 pathways have a score that does not vary"):
        result = fit(adata, {"all": ["A", "B", "C"]}, min_genes=3, n_extra=0, scale="unit")
    np.testing.assert_array_equal(result.obsm["X_pae"], 0)
    assert result.uns["pae"]["variance_ratio"].tolist() == [0]
    assert pae.get.pathways(result)["flag"].tolist() == ["constant"]
    assert pae.get.trust(result)["verdict"].tolist() == ["unfaithful"]


def test_a_set_that_means_something_else_than_its_name_is_flagged() -> None:
    # Genes as they come, of three programs at once and of none: what they share is one of the programs, not their mean.
    adata = pae.datasets.simulate(300, 150, 3)
    sets = sets_of(adata, any=[*range(30, 60)])
    with pytest.warns(pae.DataWarning, match=r"1 of 4 pathways .*'disagrees'\): it means something else .*: any\."):
        table = pae.get.pathways(fit(adata, sets))
    assert_flagged(table, any="disagrees")
    assert table.set_index("pathway").loc["any", "agreement"] < 0.5


def test_equal_sets_are_flagged_and_members_score_them_alike() -> None:
    adata = programs(400, 100, [10, 10])
    sets = {name: names(adata, *range(10)) for name in ("one", "again")} | {"other": names(adata, *range(10, 20))}
    for options in [{}, CLASSIC | {"theta": 1.0}]:
        with pytest.warns(pae.DataWarning, match=r"2 of 3 pathways have the same .*keep one of each\): one, again"):
            result = fit(adata, sets, **options)
        assert_flagged(pae.get.pathways(result), one="duplicate", again="duplicate")
        if not options:
            scores, alone = pae.get.scores(result), pae.get.scores(fit(adata, {"one": sets["one"]}))
            np.testing.assert_array_equal(scores["one"], scores["again"])
            # What two say alike counts once: each is shorter by the root of two.
            np.testing.assert_allclose(scores["one"] * np.sqrt(2), alone["one"], rtol=0.02, atol=0.02)


def test_more_flagged_pathways_than_can_be_named_are_counted() -> None:
    adata = programs(400, 100, [10])
    sets = {f"s{j}": names(adata, j) for j in range(9)} | {"ten": names(adata, *range(10))}
    with pytest.warns(pae.DataWarning, match=r"9 of 10 pathways .*'few genes'\): s0, s1, s2, s3, s4 and 4 more\."):
        fit(adata, sets, min_genes=1)


def test_only_flagged_pathways_on_request(cells: ad.AnnData, tmp_path) -> None:
    with pytest.warns(pae.DataWarning):
        result = fit(cells, sets_of(cells, small=[7]), min_genes=1)
    result.write_h5ad(tmp_path / "cells.h5ad")
    for adata in (result, ad.read_h5ad(tmp_path / "cells.h5ad")):
        whole, flagged = pae.get.pathways(adata), pae.get.pathways(adata, flagged=True)
        assert whole["pathway"].tolist() == [*sets_of(cells), "small"]
        assert flagged["pathway"].tolist() == ["small"]
        assert flagged.index.tolist() == [0]
        assert list(flagged) == list(whole)
        assert flagged["flag"].tolist() == ["few genes"]
    plain = fit(cells)
    assert pae.get.pathways(plain, flagged=True).empty
    whole = pae.get.pathways(plain)
    whole.loc[0, "flag"] = "changed"
    assert pae.get.pathways(plain)["flag"].tolist() == [""] * 4
    with pytest.raises(KeyError, match="No fit under key 'other'"):
        pae.get.pathways(plain, key="other")


def test_a_panel_of_few_genes_is_balanced_too() -> None:
    for n_genes in [30, 50, 130]:
        adata = programs(300, n_genes, [8, 8])
        sets = {"one": names(adata, *range(8)), "other": names(adata, *range(8, 16))}
        for options in [{}, {"scores": "projection"}, {"scores": "least_squares"}]:
            result = fit(adata, sets, **options)
            assert_flagged(pae.get.pathways(result))
            bins = expression_bins(result.var["pae_mean"].to_numpy())
            assert bins.max() == n_genes // 60 - (n_genes >= 60)
            encoder = result.varm["pae_encoder"].astype(float)[:, :2]
            for b in np.unique(bins):
                np.testing.assert_allclose(encoder[bins == b].sum(axis=0), 0, atol=1e-5)
            truth = np.column_stack([adata.X[:, :8].mean(axis=1), adata.X[:, 8:16].mean(axis=1)])
            for j in range(2):
                found = np.corrcoef(result.obsm["X_pae"][:, j], truth[:, j] - adata.X.mean(axis=1))[0, 1]
                assert found > 0.9


# Bad input.


def test_settings_that_do_not_go_together_are_refused(cells: ad.AnnData) -> None:
    for options, error, match in [
        ({"scores": "projection", "dropout": 1.0}, ValueError, r"dropout=1\.0 hides the whole input; .* below 1"),
        ({"scores": "projection", "dropout": 1}, ValueError, "dropout=1 hides the whole input"),
        ({"scores": "projection", "dropout": 1.5}, ValueError, r"dropout=1\.5 hides the whole input"),
        ({"scores": "projection", "dropout": -0.1}, ValueError, r"dropout=-0\.1 is out of range"),
        ({"scores": "projection", "dropout": np.nan}, ValueError, "dropout=nan"),
        ({"scores": "projection", "dropout": "much"}, TypeError, "dropout='much' must be a number"),
        ({"scores": "projection", "dropout": True}, TypeError, "dropout=True must be a number"),
        ({"scores": "least_squares", "dropout": 0.5}, ValueError, "least_squares scores hide nothing. Leave it out"),
        ({"dropout": 0.5}, ValueError, r"dropout=0\.5 sets the descent .* Leave dropout out, or pass scores='projec"),
        ({"theta": 0.2}, ValueError, r"theta=0\.2 sets the descent .* Leave theta out, or pass scores='projection'"),
        ({"theta": "auto"}, ValueError, "theta='auto' .* scores='members' has none. Pass scores='projection'"),
        ({"epsilon": 0.1}, ValueError, "Leave epsilon out, or pass scores='projection'"),
        ({"l1_ratio": 0.1}, ValueError, "Leave l1_ratio out"),
        ({"zero_norm": "feature"}, ValueError, "Leave zero_norm out"),
        ({"init": "membership"}, ValueError, "Leave init out"),
        ({"learning_rate": 0.1}, ValueError, "Leave learning_rate out"),
        ({"max_iter": 500}, ValueError, "Leave max_iter out"),
        ({"center": False}, ValueError, "center=False, but scores='members'.*pass scores='projection' and FitSettings"),
        ({"center": False, "balance": False}, ValueError, "center=False, but scores='members'"),
        ({"center": False, **CLASSIC, "balance": True}, ValueError, "center=False, but .*balance=True"),
        ({"center": False, **CLASSIC, "init": "evidence"}, ValueError, "center=False, but .*init='evidence'"),
        ({"center": False, **SQUARES, "balance": True}, ValueError, "center=False, but scores='least_squares'"),
    ]:
        adata = cells.copy()
        with pytest.raises(error, match=match):
            flat.fit(adata, "pathways", progress=False, **options)
        assert "pae" not in adata.uns
        assert set(adata.varm) == set(cells.varm)


@pytest.mark.filterwarnings(FLAGGED)
def test_the_dropout_that_was_meant_is_stored(cells: ad.AnnData) -> None:
    for options, dropout in [
        ({"scores": "projection"}, 0.9),
        ({"scores": "projection", "dropout": 0}, 0.0),
        ({"scores": "least_squares"}, 0.0),
        ({"scores": "least_squares", "dropout": 0.0}, 0.0),
        ({}, 0.0),
    ]:
        assert fit(cells, **options).uns["pae"]["params"]["dropout"] == dropout


def test_what_a_descent_would_ignore_is_ignored_by_members_where_it_is_the_default(cells: ad.AnnData) -> None:
    plain = fit(cells)
    spelled = fit(cells, theta=0.3, epsilon=0.0, max_iter=100, init="evidence", dropout=None)
    np.testing.assert_array_equal(plain.obsm["X_pae"], spelled.obsm["X_pae"])


def test_a_sparse_and_a_dense_matrix_have_the_same_figures(cells: ad.AnnData) -> None:
    dense = cells.copy()
    dense.X = cells.X.toarray()
    assert sp.issparse(cells.X)
    pd.testing.assert_frame_equal(pae.get.pathways(fit(cells)), pae.get.pathways(fit(dense)), rtol=1e-6)
