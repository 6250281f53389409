"""The main job: slots, alignment by name, invariances, bad input."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from grouped_fits import CLASSIC, EVERY, OUTSIDE, assert_same_fit, encoder_of, fit, sets_of
from oracles import balanced
from sklearn.metrics import average_precision_score

import pathwayae as pae
from pathwayae.core.grouped.encoder import expression_bins, multiplicity


def standardised(fitted: ad.AnnData) -> np.ndarray:
    x = fitted.X.toarray().astype(float)
    return (x - x.mean(axis=0)) / np.sqrt(x.std(axis=0))


def test_slots_are_written_with_their_shapes_and_types(fitted: ad.AnnData) -> None:
    assert fitted.obsm["X_pae"].shape == (400, 9)
    assert fitted.obsm["X_pae"].dtype == np.float32
    assert fitted.varm["pae_loadings"].shape == (300, 9)
    assert fitted.varm["pae_loadings"].dtype == np.float32
    assert sp.issparse(fitted.varm["pae_membership"])
    assert fitted.varm["pae_membership"].dtype == bool
    entries = fitted.uns["pae"]
    assert list(entries["component_names"]) == [f"program_{j}" for j in range(1, 7)] + ["free_1", "free_2", "free_3"]
    assert entries["n_pathways"] == 6
    assert entries["variance_ratio"].shape == (9,)
    assert (entries["pathways"]["n_matched"] == entries["pathways"]["n_genes"]).all()
    added = ["n_effective", "top_gene_share", "agreement", "outside", "flag"]
    assert list(entries["pathways"])[-5:] == added
    if entries["params"]["scores"] == "members":
        assert entries["history"] == {}
        assert fitted.varm["pae_encoder"].shape == (300, 9)
        assert fitted.varm["pae_encoder"].dtype == np.float32
    else:
        assert set(entries["history"]) == {"loss", "reconstruction", "zero", "entropy"}
        assert {len(values) for values in entries["history"].values()} == {100}
        assert "pae_encoder" not in fitted.varm


def assert_scores_are_balanced_expression(fitted: ad.AnnData, options: dict) -> None:
    loadings, encoder = fitted.varm["pae_loadings"].astype(float), encoder_of(fitted)
    tied = options.get("scores") == "projection" and options.get("balance", True) is False
    assert ("pae_encoder" in fitted.varm) != tied
    np.testing.assert_allclose(fitted.obsm["X_pae"], standardised(fitted) @ encoder, atol=1e-5)
    # Components have unit length, pathways are non-negative, free ones orthogonal.
    np.testing.assert_allclose(np.linalg.norm(loadings, axis=0), 1, atol=1e-6)
    assert (loadings[:, :6] >= 0).all()
    np.testing.assert_array_equal(encoder[:, 6:], loadings[:, 6:])
    unit = encoder / np.linalg.norm(encoder, axis=0)
    np.testing.assert_allclose(encoder[:, 6:].T @ unit, np.eye(9)[6:], atol=1e-5)
    # Within bins of genes of like mean the encoder is balanced.
    encoder, loadings = encoder[:, :6], loadings[:, :6]
    bins = expression_bins(fitted.var["pae_mean"].to_numpy())
    level = np.array([np.abs(encoder[bins == b].mean(axis=0)) for b in range(5)])
    if not options.get("balance", True):
        assert level.max() > 1e-3
        return
    assert level.max() < 1e-8  # float32
    if options.get("scores") == "projection":
        np.testing.assert_allclose(encoder, balanced(loadings, bins), atol=1e-6)
    elif "scores" not in options:
        member = fitted.varm["pae_membership"].toarray()
        expected = balanced(np.where(member, loadings, 0.0), bins)
        expected /= np.linalg.norm(expected, axis=0)
        expected /= np.sqrt(multiplicity(expected))
        np.testing.assert_allclose(encoder, expected, atol=1e-6)


def assert_variance_ratio_is_that_of_a_regression(fitted: ad.AnnData) -> None:
    standard, entries = standardised(fitted), fitted.uns["pae"]

    def explained(z: np.ndarray) -> float:
        return ((z @ np.linalg.lstsq(z, standard, rcond=None)[0]) ** 2).sum() / (standard**2).sum()

    for j, ratio in enumerate(entries["variance_ratio"]):
        assert explained(standard @ encoder_of(fitted)[:, [j]]) == pytest.approx(ratio, rel=1e-6)
    assert explained(standard @ encoder_of(fitted)) == pytest.approx(entries["variance_ratio_total"], rel=1e-6)


def assert_most_members_are_recovered(fitted: ad.AnnData) -> None:
    assert np.isfinite(fitted.obsm["X_pae"]).all()
    true, given = fitted.varm["true_loadings"].to_numpy() > 0, fitted.varm["pathways"].to_numpy()
    found = [average_precision_score(true[:, j], fitted.varm["pae_loadings"][:, j]) for j in range(6)]
    assert np.mean(found) > np.mean([average_precision_score(true[:, j], given[:, j]) for j in range(6)])


@pytest.mark.filterwarnings(OUTSIDE)
@pytest.mark.parametrize("options", EVERY, ids=str)
def test_what_a_fit_is_made_of(cells: ad.AnnData, options: dict) -> None:
    fitted = fit(cells, **options)
    assert_scores_are_balanced_expression(fitted, options)
    assert_variance_ratio_is_that_of_a_regression(fitted)
    assert_most_members_are_recovered(fitted)


@pytest.mark.filterwarnings(OUTSIDE)
def test_other_options_recover_most_members_too(cells: ad.AnnData) -> None:
    for options in (
        {"scale": "unit"},
        {"scale": None},
        {"n_extra": 0},
        {"scores": "projection", "dropout": 0.5, "epsilon": 0.2},
        {"scores": "projection", "balance": False, "init": "membership"},
        CLASSIC | {"zero_norm": "feature"},
        CLASSIC | {"scale": "unit"},
        CLASSIC | {"scale": None},
        CLASSIC | {"center": False},
        CLASSIC | {"n_extra": 0},
        CLASSIC | {"epsilon": 0.2},
    ):
        assert_most_members_are_recovered(fit(cells, **options))


def test_the_input_is_left_alone_with_copy_and_changed_without(cells: ad.AnnData) -> None:
    before = cells.copy()
    assert fit(cells) is not cells
    assert "X_pae" not in cells.obsm
    assert (cells.X != before.X).nnz == 0
    own = cells.copy()
    assert pae.tl.fit(own, "pathways", progress=False) is None
    assert "X_pae" in own.obsm


@pytest.mark.filterwarnings("ignore:.* are on another scale")
def test_a_level_that_all_genes_of_a_cell_share_does_not_move_balanced_scores(cells: ad.AnnData) -> None:
    level = 1 + np.random.default_rng(0).uniform(0, 1, size=(400, 1))
    for balance in [True, False]:
        fitted = fit(cells, balance=balance)
        other = fitted.copy()
        other.X = cells.X.toarray() + level * fitted.var["pae_scale"].to_numpy()  # as much in every gene's own unit
        pae.tl.transform(other, fitted)
        moved = np.abs(other.obsm["X_pae"] - fitted.obsm["X_pae"])[:, :6].max(axis=0)
        assert (moved < 1e-4).all() if balance else (moved > 1).all()


def test_a_fit_without_an_encoder_of_its_own_removes_that_of_an_earlier_one(cells: ad.AnnData) -> None:
    again = fit(fit(cells), **CLASSIC)
    assert "pae_encoder" not in again.varm
    assert "pae_encoder" in fit(again).varm
    assert fit(again).uns["pae"]["history"] == {}


def test_a_score_depends_on_no_seed_and_no_other_pathway(cells: ad.AnnData) -> None:
    fitted, seeded = fit(cells), fit(cells, random_state=7)
    np.testing.assert_array_equal(seeded.obsm["X_pae"], fitted.obsm["X_pae"])
    sets = sets_of(cells)
    alone = fit(cells, {"program_2": sets["program_2"]})
    np.testing.assert_allclose(alone.varm["pae_loadings"][:, 0], fitted.varm["pae_loadings"][:, 1], atol=1e-6)
    first, second = alone.obsm["X_pae"][:, 0], fitted.obsm["X_pae"][:, 1]
    np.testing.assert_allclose(first / first.std(), second / second.std(), atol=1e-4)


def test_shuffled_cells_and_genes_give_the_same_fit(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    # Sums over cells in another order differ in the last digit of float64; 100 float32 steps carry it on.
    assert_same_fit(fitted, fit(shuffled, **kind), atol=2e-5)


def test_the_order_of_the_cells_does_not_matter_where_means_and_variances_tie() -> None:
    for n_genes in [300, 600]:
        rng = np.random.default_rng(0)
        program = np.where(np.arange(n_genes) // 20 == np.arange(3)[:, None], 0.3, 0.0)
        x = np.log1p(rng.poisson(0.3 + rng.gamma(1, 1, size=(300, 3)) @ program))  # few values, many equal means
        cells = ad.AnnData(x, var=pd.DataFrame(index=[f"G{i}" for i in range(n_genes)]))
        sets = {f"P{j}": cells.var_names[20 * j : 20 * j + 20].tolist() for j in range(3)}
        assert_same_fit(fit(cells, sets), fit(cells[rng.permutation(300)].copy(), sets), atol=1e-6)


def test_key_added_renames_all_slots(cells: ad.AnnData) -> None:
    result = fit(cells, key_added="mine")
    assert set(result.obsm) - set(cells.obsm) == {"X_mine"}
    assert set(result.varm) - set(cells.varm) == {"mine_loadings", "mine_encoder", "mine_membership"}
    assert set(result.var) - set(cells.var) == {"mine_mean", "mine_scale"}
    assert set(result.uns) - set(cells.uns) == {"mine"}


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")  # a gene that is never seen
@pytest.mark.parametrize("options", [{}, CLASSIC], ids=["members", "projection"])
def test_defaults_recover_the_planted_programs(options: dict) -> None:
    for seed in range(5):
        adata = pae.datasets.simulate(random_state=seed)
        flat.fit(adata, "pathways", progress=False, **options)
        true = adata.varm["true_loadings"].to_numpy() > 0
        found = [average_precision_score(true[:, j], adata.varm["pae_loadings"][:, j]) for j in range(20)]
        assert np.mean(found) >= 0.97


def test_a_fit_survives_a_file(fitted: ad.AnnData, tmp_path) -> None:
    for form in ["h5ad", "zarr"]:
        path = tmp_path / f"cells.{form}"
        getattr(fitted, f"write_{form}")(path)
        back = ad.read_h5ad(path) if form == "h5ad" else ad.read_zarr(path)
        assert_same_fit(fitted, back, atol=0)
        pd.testing.assert_frame_equal(pae.get.scores(fitted), pae.get.scores(back))
        pd.testing.assert_frame_equal(pae.get.top_genes(fitted), pae.get.top_genes(back))
        again = pae.tl.transform(fitted, back, copy=True)
        np.testing.assert_allclose(again.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-6)


def test_a_fit_survives_subsetting_and_concatenation(fitted: ad.AnnData, tmp_path) -> None:
    part = fitted[:100, :50].copy()
    assert pae.get.scores(part).shape == (100, 9)
    assert pae.get.loadings(part).shape == (50, 9)
    np.testing.assert_array_equal(part.obsm["X_pae"], fitted.obsm["X_pae"][:100])
    part.write_h5ad(tmp_path / "part.h5ad")
    sc.pp.neighbors(fitted.copy(), use_rep="X_pae")
    both = ad.concat([fitted[:100], fitted[100:]], merge="same", uns_merge="same")
    np.testing.assert_array_equal(both.obsm["X_pae"], fitted.obsm["X_pae"])
    np.testing.assert_array_equal(both.varm["pae_loadings"], fitted.varm["pae_loadings"])


def test_names_with_slashes_survive_a_file(cells: ad.AnnData, tmp_path) -> None:
    sets = {f"IL6/JAK {name}": genes for name, genes in sets_of(cells).items()}
    result = fit(cells, sets)
    result.write_h5ad(tmp_path / "a.h5ad")
    assert next(iter(pae.get.scores(ad.read_h5ad(tmp_path / "a.h5ad")))) == "IL6/JAK program_1"


def test_a_fit_replaces_an_earlier_one_and_leaves_no_scores_of_it(cells: ad.AnnData) -> None:
    for copy in [False, True]:
        adata = cells.copy()
        adata.obsm["X_other"] = np.ones((400, 2))
        sets = sets_of(cells)
        pae.tl.fit(adata, sets, n_extra=3, progress=False)
        pae.tl.enrich(adata, sets, method="ora")
        moments = pae.pp.moments(cells, progress=False)
        bare = ad.AnnData(obs=adata.obs, var=adata.var, obsm=dict(adata.obsm), varm=dict(adata.varm), uns=adata.uns)
        fewer = {name: genes for name, genes in sets.items() if name != "program_2"}
        result = pae.tl.fit(bare, fewer, moments=moments, n_extra=1, progress=False, copy=copy)
        assert (result is None) != copy
        result = bare if result is None else result
        assert "X_pae" not in result.obsm
        np.testing.assert_array_equal(result.obsm["X_other"], adata.obsm["X_other"])
        assert result.varm["pae_loadings"].shape == (300, 6)
        assert result.varm["pae_membership"].shape == (300, 5)
        fresh = ad.AnnData(obs=cells.obs, var=cells.var)
        pae.tl.fit(fresh, fewer, moments=moments, n_extra=1, progress=False)
        assert set(result.uns["pae"]) == set(fresh.uns["pae"])
        assert "enrichment" not in result.uns["pae"]
        if copy:
            assert bare.obsm["X_pae"].shape == (400, 9)
            assert "enrichment" in bare.uns["pae"]


@pytest.mark.gpu
def test_the_gpu_gives_the_fit_of_the_cpu(cells: ad.AnnData, fitted: ad.AnnData, kind: dict) -> None:
    # float32 products in another order, carried through 100 steps
    assert_same_fit(fitted, fit(cells, device="cuda", **kind), atol=1e-3)
