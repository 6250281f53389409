"""Restarts and draws of a fit: what is kept, what is written, and what it says."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
import scipy.linalg

import pathwayae as pae
from pathwayae import DataWarning
from pathwayae.core import grouped_ae
from pathwayae.core.moments import accumulate
from pathwayae.tl._fitted import fitted

DESCENT = {"scores": "projection", "max_iter": 30}  # scores of members have one start
SLOTS = ("pae_loadings_low", "pae_loadings_high")


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(300, 120, 4, n_donors=6, random_state=1)


def fit(adata: ad.AnnData, **kwargs) -> ad.AnnData:
    return pae.tl.fit(adata, "pathways", progress=False, copy=True, **{"n_extra": 2, **kwargs})


@pytest.fixture(scope="module")
def drawn(cells: ad.AnnData) -> ad.AnnData:
    return fit(cells, n_bootstrap=40, sample_key="donor")


def test_draws_leave_the_fit_as_it_is(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    plain = fit(cells)
    np.testing.assert_allclose(drawn.var["pae_scale"], plain.var["pae_scale"], rtol=1e-12)
    np.testing.assert_allclose(drawn.varm["pae_loadings"], plain.varm["pae_loadings"], atol=1e-6)
    np.testing.assert_allclose(drawn.obsm["X_pae"], plain.obsm["X_pae"], atol=1e-5)
    assert not any(slot in plain.varm for slot in SLOTS)
    assert "stability" not in plain.uns["pae"]


@pytest.mark.parametrize("options", [{}, DESCENT], ids=["members", "projection"])
def test_intervals_are_percentiles_of_refits_of_cells_repeated(cells: ad.AnnData, options: dict) -> None:
    with pytest.warns(DataWarning, match="n_bootstrap=3 draws are too few"):
        adata = fit(cells, n_bootstrap=3, sample_key="donor", n_extra=1, random_state=5, **options)
    model = fitted(adata, "pae")
    donors, codes = np.unique(cells.obs["donor"].astype(str), return_inverse=True)
    rng = np.random.default_rng(5)
    weights = rng.multinomial(len(donors), np.full(len(donors), 1 / len(donors)), size=3)
    refits, encoders = [], []
    for weight, seed in zip(weights, rng.integers(2**31, size=3), strict=True):
        values = np.repeat(cells.X.toarray()[:, model.index].astype(float), weight[codes], axis=0)
        data = accumulate(values).standardize_with(values.mean(axis=0), model.scale)
        config = model.config(random_state=int(seed), device="cpu")
        result = grouped_ae.fit(data, model.membership.toarray(), np.ones(120, dtype=bool), 4, config)
        found, basis = result.loadings, scipy.linalg.orth(result.encoder)
        left = (np.eye(120) - basis @ basis.T) @ data.gram @ (np.eye(120) - basis @ basis.T)
        free = np.linalg.eigh(left)[1][:, -1:]
        free *= np.sign(free.T @ data.gram @ model.loadings[:, 4:])
        refits.append(np.column_stack([found / np.linalg.norm(found, axis=0), free]))
        encoders.append(np.column_stack([result.encoder, free]))
    ends = np.quantile(refits, [0.025, 0.975], axis=0)
    for slot, end in zip(SLOTS, ends, strict=True):
        np.testing.assert_allclose(adata.varm[slot][model.index], end, atol=2e-5)
    # The score of a refit, on the cells of the fit.
    table = pae.get.stability(adata)
    standard = (cells.X.toarray()[:, model.index] - model.mean) / model.scale
    for j in range(5):
        scores = [np.corrcoef(standard @ refit[:, j], standard @ model.encoder[:, j])[0, 1] for refit in encoders]
        assert table["scores"][j] == pytest.approx(np.median(scores), abs=1e-5)
        assert table["scores_low"][j] == pytest.approx(np.quantile(scores, 0.05), abs=1e-5)


def test_slots_are_aligned_with_the_genes_and_zero_outside_the_model(cells: ad.AnnData) -> None:
    cells = cells.copy()
    cells.var["keep"] = np.arange(cells.n_vars) % 10 != 3
    adata = fit(cells, n_bootstrap=40, sample_key="donor", mask_var="keep")
    for slot in SLOTS:
        assert adata.varm[slot].shape == adata.varm["pae_loadings"].shape
        assert adata.varm[slot].dtype == np.float32
        assert not adata.varm[slot][~cells.var["keep"]].any()
    assert (adata.varm[SLOTS[0]] <= adata.varm[SLOTS[1]]).all()
    assert (adata.varm[SLOTS[0]] < adata.varm[SLOTS[1]])[cells.var["keep"]].mean() > 0.99


def test_shuffled_cells_and_genes_give_the_same_intervals(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    again = fit(shuffled, n_bootstrap=40, sample_key="donor")[:, cells.var_names]
    for slot in SLOTS:  # free components of noise may change place in a draw, pathways not
        np.testing.assert_allclose(again.varm[slot][:, :4], drawn.varm[slot][:, :4], atol=5e-5)
    one, other = (pae.get.stability(a)["scores_low"][:4] for a in (again, drawn))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_moments_of_donors_are_drawn_without_reading_a_cell(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    moments = pae.pp.moments(cells[:, ::-1].copy(), sample_key="donor", progress=False)
    empty = ad.AnnData(obs=cells.obs, var=cells.var, varm=dict(cells.varm))
    adata = fit(empty, n_bootstrap=40, moments=moments)
    for slot in SLOTS:
        np.testing.assert_allclose(adata.varm[slot][:, :4], drawn.varm[slot][:, :4], atol=5e-5)


def test_pathways_of_genes_that_have_nothing_to_do_with_each_other_are_not_used(cells: ad.AnnData) -> None:
    values, rng = cells.X.toarray(), np.random.default_rng(0)
    permuted = ad.AnnData(rng.permuted(values, axis=0), var=cells.var, varm={"pathways": cells.varm["pathways"]})
    with pytest.warns(DataWarning, match="n_bootstrap=4 draws are too few"):
        drawn = fit(permuted, n_bootstrap=4)
    assert set(pae.get.stability(drawn)["verdict"].iloc[:4]) == {"no signal"}
    flat = fit(permuted, n_restarts=2, **DESCENT)
    assert set(pae.get.stability(flat)["verdict"].iloc[:4]) <= {"no signal", "taken over"}


def test_without_donors_twenty_random_folds_are_drawn(cells: ad.AnnData) -> None:
    few = cells[:, :60].copy()
    adata = fit(few, n_bootstrap=40, random_state=3, n_extra=0)
    folds = pae.pp.moments(few, n_folds=20, random_state=3, progress=False)
    given = fit(few, n_bootstrap=40, random_state=3, n_extra=0, moments=folds)
    for slot in SLOTS:
        np.testing.assert_allclose(adata.varm[slot], given.varm[slot], atol=5e-5)


def test_planted_programs_are_stable_and_noise_is_not(drawn: ad.AnnData) -> None:
    table = pae.get.stability(drawn).set_index("component")
    assert (table["verdict"].iloc[:4] == "stable").all()
    assert table["verdict"].iloc[-1] != "stable"
    assert (table["n_draws"] == 40).all()
    assert table["restarts"].isna().all()


def test_intervals_of_donors_that_differ_are_wider_than_those_of_folds(cells: ad.AnnData) -> None:
    differing = cells.copy()
    donor = differing.obs["donor"].astype("category").cat.codes.to_numpy()
    values = differing.X.toarray()
    members = (differing.varm["pathways"].to_numpy()[:, 0] > 0).nonzero()[0]
    values[:, members[::2]] *= (1 + donor[:, None] % 2).astype(values.dtype)  # half of a program, by donor
    differing.X = values
    width = {}
    for key in ("donor", None):
        adata = fit(differing, n_bootstrap=40, sample_key=key)
        width[key] = np.median((adata.varm[SLOTS[1]] - adata.varm[SLOTS[0]])[members, 0])
    assert width["donor"] > 1.3 * width[None]


def test_of_several_starts_the_one_with_the_lowest_loss_is_kept(cells: ad.AnnData) -> None:
    each = [fit(cells, random_state=seed, **DESCENT) for seed in range(2, 7)]
    losses = [min(adata.uns["pae"]["history"]["loss"]) for adata in each]
    best = int(np.argmin(losses))
    adata = fit(cells, random_state=2, n_restarts=5, **DESCENT)
    assert adata.uns["pae"]["params"]["random_state"] == 2 + best
    np.testing.assert_allclose(adata.varm["pae_loadings"], each[best].varm["pae_loadings"], atol=2e-5)
    table = pae.get.stability(adata)
    x = each[best].obsm["X_pae"]
    others = [one.obsm["X_pae"] for i, one in enumerate(each) if i != best]
    scores = [[np.corrcoef(x[:, j], z[:, j])[0, 1] for z in others] for j in range(4)]
    np.testing.assert_allclose(table["scores"][:4], np.median(scores, axis=1), atol=1e-5)
    np.testing.assert_allclose(table["restarts"][:4], np.quantile(scores, 0.05, axis=1), atol=1e-5)
    assert (table["n_restarts"] == 5).all()
    assert set(table["verdict"].iloc[:4]) == {"stable"}
    assert not any(slot in adata.varm for slot in SLOTS)


def test_restarts_through_the_cells_are_those_from_their_gram_matrix(cells: ad.AnnData) -> None:
    gram, through = (fit(cells, n_restarts=3, solver=solver, **DESCENT) for solver in ("gram", "cells"))
    one, other = (pae.get.stability(adata) for adata in (gram, through))
    np.testing.assert_allclose(one["scores"][:4], other["scores"][:4], atol=1e-5)
    assert one["verdict"].tolist()[:4] == other["verdict"].tolist()[:4]


@pytest.mark.filterwarnings("ignore:.*by less than 0.5:pathwayae.DataWarning")
def test_least_squares_scores_are_compared_as_scores(cells: ad.AnnData) -> None:
    adata = fit(cells, n_restarts=2, scores="least_squares", max_iter=30)
    seed = adata.uns["pae"]["params"]["random_state"]
    kept, other = (
        fit(cells, scores="least_squares", max_iter=30, random_state=s).obsm["X_pae"] for s in (seed, 1 - seed)
    )
    expected = [np.corrcoef(kept[:, j], other[:, j])[0, 1] for j in range(4)]
    np.testing.assert_allclose(pae.get.stability(adata)["scores"][:4], expected, atol=1e-4)


def test_a_later_fit_takes_the_intervals_of_an_earlier_one_away(drawn: ad.AnnData) -> None:
    adata = drawn.copy()
    adata.varm["other_loadings_low"] = adata.varm[SLOTS[0]]
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    assert not any(slot in adata.varm for slot in SLOTS)
    assert "other_loadings_low" in adata.varm
    with pytest.raises(KeyError, match="n_bootstrap=200"):
        pae.get.stability(adata)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_everything_survives_the_disk(drawn: ad.AnnData, form: str, tmp_path) -> None:
    path = tmp_path / f"cells.{form}"
    getattr(drawn, f"write_{form}")(path)
    back = getattr(ad, f"read_{form}")(path)
    for slot in SLOTS:
        np.testing.assert_array_equal(back.varm[slot], drawn.varm[slot])
    assert pae.get.stability(back).astype({"verdict": object}).equals(pae.get.stability(drawn))
    part = back[:, ::2]
    np.testing.assert_array_equal(part.varm[SLOTS[0]], drawn.varm[SLOTS[0]][::2])


@pytest.mark.parametrize("name", ["n_restarts", "n_bootstrap"])
@pytest.mark.parametrize("value", [-1, 2.5, True, "3", None])
def test_a_number_of_refits_that_is_none_is_refused(cells: ad.AnnData, name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{name}={value!r}"):
        fit(cells, **{name: value})


def test_scores_of_members_have_one_start(cells: ad.AnnData) -> None:
    with pytest.raises(ValueError, match=r"n_restarts=2 sets the descent of scores='projection' or 'least_squares'"):
        fit(cells, n_restarts=2)


def test_no_restart_at_all_is_refused(cells: ad.AnnData) -> None:
    with pytest.raises(ValueError, match="n_restarts=0 is out of range; choose a value at least 1"):
        fit(cells, n_restarts=0)


def test_what_cannot_be_drawn_is_refused_with_the_way_out(cells: ad.AnnData) -> None:
    with pytest.raises(KeyError, match="sample_key='patient' is not a column"):
        fit(cells, n_bootstrap=40, sample_key="patient")
    with pytest.raises(ValueError, match=r"solver='cells' does not form\. Leave solver out"):
        fit(cells, n_bootstrap=40, solver="cells")
    one = cells[cells.obs["donor"] == cells.obs["donor"].iloc[0]].copy()
    with pytest.raises(ValueError, match="all cells are of one, .* Leave sample_key out"):
        fit(one, n_bootstrap=40, sample_key="donor")
    with pytest.raises(ValueError, match=r"only one\. Read them with pae\.pp\.moments\(adata, sample_key"):
        fit(cells, n_bootstrap=40, moments=pae.pp.moments(cells, progress=False))
    few = cells[:30].copy()
    few.obs["donor"] = ["a"] * 26 + ["b"] * 4
    with pytest.warns(DataWarning, match="2 strata"), pytest.raises(ValueError, match="would hold 4 different cells"):
        fit(few, n_bootstrap=40, sample_key="donor")


def test_few_donors_are_warned_of(cells: ad.AnnData) -> None:
    three = cells[cells.obs["donor"].isin(cells.obs["donor"].unique()[:3])].copy()
    with pytest.warns(DataWarning, match="3 strata can be drawn with replacement in few ways"):
        fit(three, n_bootstrap=40, sample_key="donor")


def test_strata_with_fewer_cells_than_genes_are_drawn(cells: ad.AnnData) -> None:
    many = cells.copy()
    many.obs["donor"] = [f"d{i % 30}" for i in range(many.n_obs)]  # 10 cells each, 120 genes
    table = pae.get.stability(fit(many, n_bootstrap=40, sample_key="donor"))
    assert np.isfinite(table[["scores", "scores_low", "loadings"]].to_numpy()).all()
    assert set(table["verdict"].iloc[:4]) == {"stable"}
