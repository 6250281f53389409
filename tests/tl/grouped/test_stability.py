"""Restarts and draws of a fit: what is written, and what it says."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import flat
import numpy as np
import pytest
import scipy.linalg

import pathwayae as pae
from pathwayae import DataWarning
from pathwayae._slots.grouped import fitted
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.moments.accumulate import accumulate

DESCENT = {"scores": "projection", "max_iter": 30}  # scores of members have one start
SLOTS = ("pae_loadings_low", "pae_loadings_high")


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(300, 120, 4, n_donors=6, random_state=1)


def fit(adata: ad.AnnData, **kwargs) -> ad.AnnData:
    return flat.fit(adata, "pathways", progress=False, copy=True, **{"n_extra": 2, **kwargs})


def refit(adata: ad.AnnData, options: dict | None = None, **draws) -> ad.AnnData:
    """A fit, and what its stability is."""
    return pae.tl.stability(fit(adata, **(options or {})), progress=False, copy=True, **{"n_bootstrap": 40, **draws})


@pytest.fixture(scope="module")
def drawn(cells: ad.AnnData) -> ad.AnnData:
    return refit(cells, sample_key="donor")


def test_draws_leave_the_fit_as_it_is(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    plain = fit(cells)
    np.testing.assert_allclose(drawn.var["pae_scale"], plain.var["pae_scale"], rtol=1e-12)
    np.testing.assert_allclose(drawn.varm["pae_loadings"], plain.varm["pae_loadings"], atol=1e-6)
    np.testing.assert_allclose(drawn.obsm["X_pae"], plain.obsm["X_pae"], atol=1e-5)
    assert not any(slot in plain.varm for slot in SLOTS)
    assert "stability" not in plain.uns["pae"]
    table = pae.get.stability(drawn).set_index("component")  # planted programs are stable, noise is not
    assert (table["verdict"].iloc[:4] == "stable").all()
    assert table["verdict"].iloc[-1] != "stable"
    assert (table["n_draws"] == 40).all()
    assert table["restarts"].isna().all()


def refit_of(model, data, begin=None, **changes):
    """A fit of the same pathways to other cells, whose evidence is weighed from where that of all cells ended."""
    everywhere, sets = np.ones(len(model.genes), dtype=bool), model.membership.toarray()
    config = model.config(device="cpu", **changes)
    (found,) = grouped.fit_many([grouped.Problem(data, sets, everywhere, model.n_pathways, config, begin=begin)])
    return found


@pytest.mark.parametrize("options", [{}, DESCENT], ids=["members", "projection"])
def test_intervals_are_percentiles_of_refits_of_cells_repeated(cells: ad.AnnData, options: dict) -> None:
    with pytest.warns(DataWarning, match="n_bootstrap=3 draws are too few"):
        adata = refit(cells, {"n_extra": 1, **options}, n_bootstrap=3, sample_key="donor", random_state=5)
    model = fitted(adata, "pae")
    donors, codes = np.unique(cells.obs["donor"].astype(str), return_inverse=True)
    rng = np.random.default_rng(5)
    weights = rng.multinomial(len(donors), np.full(len(donors), 1 / len(donors)), size=3)
    refits, encoders = [], []
    every = cells.X.toarray()[:, model.genes].astype(float)
    begin = refit_of(model, accumulate(every).standardize_with(every.mean(axis=0), model.scale)).evidence
    for weight, seed in zip(weights, rng.integers(2**31, size=3), strict=True):
        values = np.repeat(every, weight[codes], axis=0)
        data = accumulate(values).standardize_with(values.mean(axis=0), model.scale)
        result = refit_of(model, data, begin, random_state=int(seed))
        found, basis = result.loadings, scipy.linalg.orth(result.encoder.toarray())
        left = (np.eye(120) - basis @ basis.T) @ data.gram @ (np.eye(120) - basis @ basis.T)
        free = np.linalg.eigh(left)[1][:, -1:]
        free *= np.sign(free.T @ data.gram @ model.loadings[:, 4:])
        refits.append(np.column_stack([found / np.linalg.norm(found, axis=0), free]))
        encoders.append(np.column_stack([result.encoder.toarray(), free]))
    ends = np.quantile(refits, [0.025, 0.975], axis=0)
    for slot, end in zip(SLOTS, ends, strict=True):
        np.testing.assert_allclose(adata.varm[slot][model.genes], end, atol=2e-5)
    # The score of a refit, on the cells of the fit.
    table = pae.get.stability(adata)
    standard = (cells.X.toarray()[:, model.genes] - model.mean) / model.scale
    for j in range(5):
        scores = [np.corrcoef(standard @ refit[:, j], standard @ model.encoder[:, j])[0, 1] for refit in encoders]
        assert table["scores"][j] == pytest.approx(np.median(scores), abs=1e-5)
        assert table["scores_low"][j] == pytest.approx(np.quantile(scores, 0.05), abs=1e-5)


def test_slots_are_aligned_with_the_genes_and_zero_outside_the_model(cells: ad.AnnData) -> None:
    cells = cells.copy()
    cells.var["keep"] = np.arange(cells.n_vars) % 10 != 3
    adata = refit(cells, {"mask_var": "keep"}, sample_key="donor")
    for slot in SLOTS:
        assert adata.varm[slot].shape == adata.varm["pae_loadings"].shape
        assert adata.varm[slot].dtype == np.float32
        assert not adata.varm[slot][~cells.var["keep"]].any()
    assert (adata.varm[SLOTS[0]] <= adata.varm[SLOTS[1]]).all()
    assert (adata.varm[SLOTS[0]] < adata.varm[SLOTS[1]])[cells.var["keep"]].mean() > 0.99


def test_shuffled_cells_and_genes_give_the_same_intervals(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    shuffled = cells[rng.permutation(cells.n_obs), rng.permutation(cells.n_vars)].copy()
    again = refit(shuffled, sample_key="donor")[:, cells.var_names]
    for slot in SLOTS:  # free components of noise may change place in a draw, pathways not
        np.testing.assert_allclose(again.varm[slot][:, :4], drawn.varm[slot][:, :4], atol=5e-5)
    one, other = (pae.get.stability(a)["scores_low"][:4] for a in (again, drawn))
    np.testing.assert_allclose(one, other, atol=1e-4)


def test_moments_of_donors_are_drawn_without_reading_a_cell(cells: ad.AnnData, drawn: ad.AnnData) -> None:
    moments = pae.pp.moments(cells[:, ::-1].copy(), sample_key="donor", progress=False)
    empty = ad.AnnData(obs=cells.obs, var=cells.var, varm=dict(cells.varm))
    adata = refit(empty, {"moments": moments}, moments=moments)
    for slot in SLOTS:
        np.testing.assert_allclose(adata.varm[slot][:, :4], drawn.varm[slot][:, :4], atol=5e-5)


def test_pathways_of_genes_that_have_nothing_to_do_with_each_other_are_not_used(cells: ad.AnnData) -> None:
    values, rng = cells.X.toarray(), np.random.default_rng(0)
    permuted = ad.AnnData(rng.permuted(values, axis=0), var=cells.var, varm={"pathways": cells.varm["pathways"]})
    with pytest.warns(DataWarning, match="n_bootstrap=4 draws are too few"):
        drawn = refit(permuted, n_bootstrap=4)
    assert set(pae.get.stability(drawn)["verdict"].iloc[:4]) == {"no signal"}
    other = refit(permuted, DESCENT, n_bootstrap=0, n_restarts=1)
    assert set(pae.get.stability(other)["verdict"].iloc[:4]) <= {"no signal", "taken over"}


def test_without_donors_twenty_random_folds_are_drawn(cells: ad.AnnData) -> None:
    few = cells[:, :60].copy()
    adata = refit(few, {"n_extra": 0}, random_state=3)
    folds = pae.pp.moments(few, n_folds=20, random_state=3, progress=False)
    given = refit(few, {"n_extra": 0}, random_state=3, moments=folds)
    for slot in SLOTS:
        np.testing.assert_allclose(adata.varm[slot], given.varm[slot], atol=5e-5)


def test_intervals_of_donors_that_differ_are_wider_than_those_of_folds(cells: ad.AnnData) -> None:
    differing = cells.copy()
    donor = differing.obs["donor"].astype("category").cat.codes.to_numpy()
    values = differing.X.toarray()
    members = (differing.varm["pathways"].to_numpy()[:, 0] > 0).nonzero()[0]
    values[:, members[::2]] *= (1 + donor[:, None] % 2).astype(values.dtype)  # half of a program, by donor
    differing.X = values
    width = {}
    for key in ("donor", None):
        adata = refit(differing, sample_key=key)
        width[key] = np.median((adata.varm[SLOTS[1]] - adata.varm[SLOTS[0]])[members, 0])
    assert width["donor"] > 1.3 * width[None]


def test_restarts_are_fits_with_the_seeds_that_follow(cells: ad.AnnData) -> None:
    each = [fit(cells, random_state=seed, **DESCENT) for seed in range(2, 7)]
    adata = refit(cells, DESCENT | {"random_state": 2}, n_bootstrap=0, n_restarts=4)
    np.testing.assert_array_equal(adata.varm["pae_loadings"], each[0].varm["pae_loadings"])
    table = pae.get.stability(adata)
    x, others = each[0].obsm["X_pae"], [one.obsm["X_pae"] for one in each[1:]]
    scores = [[np.corrcoef(x[:, j], z[:, j])[0, 1] for z in others] for j in range(4)]
    np.testing.assert_allclose(table["scores"][:4], np.median(scores, axis=1), atol=1e-5)
    np.testing.assert_allclose(table["restarts"][:4], np.quantile(scores, 0.05, axis=1), atol=1e-5)
    assert (table["n_restarts"] == 4).all()
    assert set(table["verdict"].iloc[:4]) == {"stable"}
    assert not any(slot in adata.varm for slot in SLOTS)
    assert adata.uns["pae"]["stability_params"]["n_restarts"] == 4


def test_a_start_that_ends_lower_than_the_fit_is_named(cells: ad.AnnData) -> None:
    adata = fit(cells, **DESCENT)
    adata.uns["pae"]["history"]["loss"] = adata.uns["pae"]["history"]["loss"] + 0.1
    with pytest.warns(DataWarning, match=r"random_state=[12] ends in a lower loss than the fit .*fit again with it"):
        pae.tl.stability(adata, n_bootstrap=0, n_restarts=2, progress=False)


def test_restarts_through_the_cells_are_those_from_their_gram_matrix(cells: ad.AnnData) -> None:
    solvers = [DESCENT | {"solver": solver} for solver in ("gram", "cells")]
    gram, through = (refit(cells, one, n_bootstrap=0, n_restarts=2) for one in solvers)
    one, other = (pae.get.stability(adata) for adata in (gram, through))
    np.testing.assert_allclose(one["scores"][:4], other["scores"][:4], atol=1e-5)
    assert one["verdict"].tolist()[:4] == other["verdict"].tolist()[:4]


@pytest.mark.filterwarnings("ignore:.*by less than 0.5:pathwayae.DataWarning")
def test_least_squares_scores_are_compared_as_scores(cells: ad.AnnData) -> None:
    options = {"scores": "least_squares", "max_iter": 30}
    adata = refit(cells, options, n_bootstrap=0, n_restarts=1)
    kept, other = (fit(cells, random_state=seed, **options).obsm["X_pae"] for seed in (0, 1))
    expected = [np.corrcoef(kept[:, j], other[:, j])[0, 1] for j in range(4)]
    np.testing.assert_allclose(pae.get.stability(adata)["scores"][:4], expected, atol=1e-4)


def test_a_later_fit_takes_the_intervals_of_an_earlier_one_away(drawn: ad.AnnData) -> None:
    adata = drawn.copy()
    adata.varm["other_loadings_low"] = adata.varm[SLOTS[0]]
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    assert not any(slot in adata.varm for slot in SLOTS)
    assert "other_loadings_low" in adata.varm
    with pytest.raises(KeyError, match="run pae.tl.stability"):
        pae.get.stability(adata)


def test_everything_survives_the_disk(drawn: ad.AnnData, tmp_path) -> None:
    for form in ["h5ad", "zarr"]:
        path = tmp_path / f"cells.{form}"
        getattr(drawn, f"write_{form}")(path)
        back = getattr(ad, f"read_{form}")(path)
        for slot in SLOTS:
            np.testing.assert_array_equal(back.varm[slot], drawn.varm[slot])
        table = pae.get.stability(drawn)
        assert pae.get.stability(back).astype({"verdict": table["verdict"].dtype}).equals(table)
        part = back[:, ::2]
        np.testing.assert_array_equal(part.varm[SLOTS[0]], drawn.varm[SLOTS[0]][::2])


def test_a_number_of_refits_that_is_none_is_refused(drawn: ad.AnnData) -> None:
    for name in ["n_restarts", "n_bootstrap"]:
        for value in [-1, 2.5, True, "3", None]:
            with pytest.raises((ValueError, TypeError), match=f"{name}={value!r}"):
                pae.tl.stability(drawn, **{name: value}, progress=False)


def test_what_asks_for_nothing_or_for_what_members_do_not_have_is_refused(drawn: ad.AnnData) -> None:
    with pytest.raises(ValueError, match="ask for no refit"):
        pae.tl.stability(drawn, n_bootstrap=0, progress=False)
    with pytest.raises(ValueError, match="scores='members' are computed in closed form. Leave n_restarts out"):
        pae.tl.stability(drawn, n_restarts=2, progress=False)
    with pytest.raises(KeyError, match="No fit under key 'other'"):
        pae.tl.stability(drawn, key="other", progress=False)


def test_what_cannot_be_drawn_is_refused_with_the_way_out(cells: ad.AnnData) -> None:
    with pytest.raises(KeyError, match="sample_key='patient' is not a column"):
        refit(cells, sample_key="patient")
    one = cells[cells.obs["donor"] == cells.obs["donor"].iloc[0]].copy()
    with pytest.raises(ValueError, match="all cells are of one, .* Leave sample_key out"):
        refit(one, sample_key="donor")
    with pytest.raises(ValueError, match=r"only one\. Read them with pae\.pp\.moments\(adata, sample_key"):
        refit(cells, moments=pae.pp.moments(cells, progress=False))
    few = cells[:30].copy()
    few.obs["donor"] = ["a"] * 26 + ["b"] * 4
    with pytest.warns(DataWarning, match="2 strata"), pytest.raises(ValueError, match="would hold 4 different cells"):
        refit(few, sample_key="donor")
    three = cells[cells.obs["donor"].isin(cells.obs["donor"].unique()[:3])].copy()
    with pytest.warns(DataWarning, match="3 strata can be drawn with replacement in few ways"):
        refit(three, sample_key="donor")


def test_strata_with_fewer_cells_than_genes_are_drawn(cells: ad.AnnData) -> None:
    many = cells.copy()
    many.obs["donor"] = [f"d{i % 30}" for i in range(many.n_obs)]  # 10 cells each, 120 genes
    table = pae.get.stability(refit(many, sample_key="donor"))
    assert np.isfinite(table[["scores", "scores_low", "loadings"]].to_numpy()).all()
    assert set(table["verdict"].iloc[:4]) == {"stable"}


def test_draws_of_a_fit_within_batches_are_centred_within_them() -> None:
    cells = pae.datasets.simulate(240, 120, 3, n_donors=6, n_batches=2, random_state=3)
    adata = fit(cells, batch_key="batch", n_extra=0)
    with pytest.warns(DataWarning, match="n_bootstrap=3 draws are too few"):
        pae.tl.stability(adata, n_bootstrap=3, sample_key="donor", random_state=4, progress=False)
    model = fitted(adata, "pae")
    moments = pae.pp.moments(cells, sample_key="donor", batch_key="batch", progress=False)
    joint = (cells.obs["batch"].astype(str) + " | " + cells.obs["donor"].astype(str)).to_numpy()
    rng, n = np.random.default_rng(4), len(moments.strata)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=3)
    values, batch = cells.X.toarray()[:, model.genes].astype(float), cells.obs["batch"].to_numpy()
    refits, centred = [], values.copy()
    for one in np.unique(batch):
        centred[batch == one] -= centred[batch == one].mean(axis=0)
    data = accumulate(centred).standardize_with(np.zeros(centred.shape[1]), model.scale)
    begin = refit_of(model, replace(data, mean=values.mean(axis=0))).evidence
    for weight in weights:
        times = weight[[moments.strata.index(name) for name in joint]]
        drawn, of = np.repeat(values, times, axis=0), np.repeat(batch, times)
        for one in np.unique(of):
            drawn[of == one] -= drawn[of == one].mean(axis=0)
        data = accumulate(drawn).standardize_with(np.zeros(drawn.shape[1]), model.scale)
        data = replace(data, mean=np.repeat(values, times, axis=0).mean(axis=0))
        result = refit_of(model, data, begin)
        refits.append(result.loadings / np.linalg.norm(result.loadings, axis=0))
    for slot, end in zip(SLOTS, np.quantile(refits, [0.025, 0.975], axis=0), strict=True):
        np.testing.assert_allclose(adata.varm[slot][model.genes], end, atol=5e-5)
