"""Is a pathway used: programs are, silent sets are not; held-out shares are those of fits without the donor."""

import anndata
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from real_cells import variable_genes

import pathwayae as pae
from pathwayae.core.notice import DataWarning
from pathwayae.core.trust import relevance as core


def simulated():
    """Cells whose genes vary in every pair of donors."""
    adata = pae.datasets.simulate(500, 400, 5, n_silent=3, n_donors=3, depth=10_000.0, random_state=1)
    counts = pd.DataFrame(adata.X.toarray() > 0).groupby(adata.obs["donor"].to_numpy()).sum()
    return adata[:, (counts > 1).all().to_numpy()].copy()


@pytest.fixture(scope="module")
def fitted():
    adata = simulated()
    pae.tl.fit(adata, "pathways", n_extra=3, progress=False)
    return adata


@pytest.fixture
def cells(fitted):
    return fitted.copy()


def judged(adata, **options):
    options = {"sample_key": "donor", "n_null": 199, "progress": False, **options}
    return pae.get.relevance(pae.tl.relevance(adata, copy=True, **options))


@pytest.fixture(scope="module")
def judgement(fitted):
    return judged(fitted)


def test_programs_are_used_silent_sets_are_not_and_free_components_are_not_tested(cells, judgement):
    assert "relevance" not in cells.uns["pae"]  # of which a copy was judged
    assert judgement["component"].tolist() == pae.get.component_names(cells)
    table = judgement.set_index("component")
    programs, silent, free = (table[table.index.str.startswith(kind)] for kind in ("program", "silent", "free"))
    assert (programs["verdict"] == "used").all()
    assert (silent["verdict"] == "not used").all()
    assert (programs["heldout_variance"] > 4 * programs["heldout_se"]).all()
    assert programs["heldout_unique"].min() > silent["heldout_unique"].max()
    assert (free["verdict"] == "not tested").all()
    assert free[["statistic", "null_mean", "null_low", "null_high", "z", "pval", "padj"]].isna().all(axis=None)
    assert free[["heldout_variance", "heldout_se", "heldout_unique", "heldout_unique_se"]].notna().all(axis=None)
    r = np.corrcoef(cells.X.toarray().T.astype(float))
    for j, rows in enumerate(cells.varm["pathways"].to_numpy().astype(bool).T):
        block = r[np.ix_(rows, rows)]  # the statistic is the mean correlation of the members
        assert_allclose(judgement["statistic"][j], block[~np.eye(len(block), dtype=bool)].mean(), atol=1e-6)


@pytest.mark.filterwarnings("ignore:.*mean of their genes by less:pathwayae.DataWarning")  # a set of random genes
def test_held_out_shares_are_those_of_fits_without_the_donor(cells, judgement):
    alone, unique = [], []
    for donor in cells.obs["donor"].cat.categories:
        train = cells[cells.obs["donor"] != donor].copy()
        pae.tl.fit(train, "pathways", n_extra=3, progress=False)
        left_out = cells[cells.obs["donor"] == donor].copy()
        del left_out.uns["pae"]
        pae.tl.transform(left_out, train, progress=False)
        mean, scale = train.var["pae_mean"].to_numpy(), train.var["pae_scale"].to_numpy()
        x, there = ((one.X.toarray() - mean) / scale for one in (train, left_out))
        z, z_there = train.obsm["X_pae"].astype(float), left_out.obsm["X_pae"].astype(float)

        def left(columns, x=x, z=z, there=there, z_there=z_there):
            decoder = np.linalg.lstsq(z[:, columns], x, rcond=None)[0]
            return np.sum((there - z_there[:, columns] @ decoder) ** 2) / np.sum(there**2)

        everything = list(range(11))
        alone.append([1 - left([j]) for j in range(8)])
        unique.append([left([i for i in everything if i != j]) - left(everything) for j in range(8)])
    table = judgement[:8]
    assert_allclose(table["heldout_variance"], np.mean(alone, axis=0), rtol=2e-3, atol=1e-5)
    assert_allclose(table["heldout_se"], np.std(alone, axis=0, ddof=1) / np.sqrt(3), rtol=5e-3, atol=1e-5)
    assert_allclose(table["heldout_unique"], np.mean(unique, axis=0), rtol=2e-3, atol=1e-5)
    assert_allclose(table["heldout_unique_se"], np.std(unique, axis=0, ddof=1) / np.sqrt(3), rtol=5e-3, atol=1e-5)


def test_neither_the_order_of_genes_nor_of_cells_matters(cells, judgement):
    rng = np.random.default_rng(0)
    other = cells[rng.permutation(cells.n_obs)][:, rng.permutation(cells.n_vars)].copy()
    one, two = judgement, judged(other)
    exact = ["component", "pval", "padj", "verdict"]
    pd.testing.assert_frame_equal(one[exact], two[exact])
    pd.testing.assert_frame_equal(one, two, rtol=1e-4, atol=1e-6)


def test_the_same_seed_gives_the_same_table_and_another_one_another(cells, judgement):
    pd.testing.assert_frame_equal(judged(cells), judgement)
    assert not np.allclose(judgement["null_mean"][:8], judged(cells, random_state=1)["null_mean"][:8], rtol=1e-6)
    first, second = (judged(cells, sample_key=None, n_folds=2, random_state=seed) for seed in (0, 1))
    assert not np.allclose(first["heldout_variance"], second["heldout_variance"], rtol=1e-6)


def test_moments_stand_in_for_the_cells(cells, judgement):
    moments = pae.pp.moments(cells, sample_key="donor", progress=False)
    del cells.X
    got = judged(cells, moments=moments, sample_key=None)
    pd.testing.assert_frame_equal(got, judgement, rtol=1e-5, atol=1e-8)


def test_more_strata_than_folds_are_pooled_whole_whoever_reads_them(cells):
    cells.obs["sample"] = cells.obs["donor"].astype(str) + np.where(np.arange(cells.n_obs) % 3 == 0, "a", "b")
    moments = pae.pp.moments(cells, sample_key="sample", progress=False)
    read = judged(cells, sample_key="sample", n_folds=2)
    given = judged(cells, moments=moments, sample_key=None, n_folds=2)
    pd.testing.assert_frame_equal(read, given, rtol=1e-4, atol=1e-6)
    assert not np.allclose(read["heldout_se"], judged(cells, sample_key="sample", n_folds=6)["heldout_se"], rtol=1e-3)


@pytest.mark.filterwarnings("ignore:.*of whose variance genes outside:pathwayae.DataWarning")  # sets of random genes
@pytest.mark.filterwarnings("ignore:.*mean of their genes by less:pathwayae.DataWarning")
def test_units_and_scores_of_the_fit_are_kept():
    adata = simulated()
    pae.tl.fit(
        adata,
        "pathways",
        n_extra=0,
        scale=None,
        scores="least_squares",
        settings=pae.tl.FitSettings(max_iter=10),
        progress=False,
    )
    table = judged(adata)
    train = adata[adata.obs["donor"] != "donor_1"].copy()
    assert len(train) < adata.n_obs
    assert table["heldout_variance"].notna().all()
    assert (table["verdict"] != "not tested").all()
    pae.tl.fit(adata, "pathways", n_extra=0, scale="unit", progress=False)
    other = judged(adata)
    assert_allclose(table["statistic"], other["statistic"])  # correlations have no units
    assert not np.allclose(table["heldout_variance"], other["heldout_variance"], rtol=1e-2)


def test_the_table_survives_writing_and_subsetting_until_the_next_fit(cells, tmp_path):
    assert pae.tl.relevance(cells, n_folds=2, n_null=19, progress=False) is None
    for form in ["h5ad", "zarr"]:
        path = tmp_path / f"cells.{form}"
        getattr(cells, f"write_{form}")(path)
        back = getattr(anndata, f"read_{form}")(path)
        expected = pae.get.relevance(cells)
        pd.testing.assert_frame_equal(pae.get.relevance(back), expected, check_dtype=False)
        pd.testing.assert_frame_equal(pae.get.relevance(back[:50, 30:].copy()), expected, check_dtype=False)
    pae.tl.fit(cells, "pathways", progress=False)
    assert "relevance" not in cells.uns["pae"]


def test_sets_of_most_genes_are_warned_of():
    adata = simulated()
    names = adata.var_names
    sets = {"most": names[:300].tolist(), "few": names[:20].tolist()}
    pae.tl.fit(adata, sets, n_extra=0, progress=False)
    with pytest.warns(DataWarning, match=r"Of 1 pathways .* \(most\)"):
        judged(adata, n_null=9)


def test_too_few_draws_for_one_pathway_to_be_found_are_logged(cells, caplog):
    with caplog.at_level("INFO", logger="pathwayae"):
        judged(cells, n_null=19)
    assert "8 pathways need n_null of 160 or more" in caplog.text


def test_bad_input_is_refused_at_the_door(cells):
    for options, error, match in [
        ({"n_null": 0}, ValueError, "n_null=0"),
        ({"n_null": 9.5}, TypeError, "n_null=9.5 must be an integer"),
        ({"n_folds": 1}, ValueError, "n_folds=1"),
        ({"n_bins": 0}, ValueError, "n_bins=0"),
        ({"n_bins": 27}, ValueError, "n_bins=27.*400 genes too few.*n_bins up to 26"),
        ({"random_state": 0.5}, TypeError, "random_state=0.5 must be an integer"),
        ({"random_state": None}, TypeError, "random_state=None"),
        ({"random_state": -1}, ValueError, "random_state=-1"),
        ({"sample_key": "patient"}, KeyError, "sample_key='patient' is not a column.*donor"),
        ({"sample_key": "one"}, ValueError, "adata.obs\\['one'\\] has 1 stratum.*random folds"),
        ({"key": "other"}, KeyError, "other"),
        ({"progress": 1}, TypeError, "progress=1"),
    ]:
        cells.obs["one"] = "same"
        with pytest.raises(error, match=match):
            judged(cells, **options)
        assert "relevance" not in cells.uns["pae"]


def test_moments_that_cannot_be_left_out_are_refused(cells):
    whole = pae.pp.moments(cells, progress=False)
    with pytest.raises(ValueError, match="the moments have 1 stratum.*n_folds="):
        judged(cells, moments=whole, sample_key=None)
    with pytest.raises(ValueError, match="moments have their strata already"):
        judged(cells, moments=whole)


def test_p_does_not_depend_on_the_other_pathways(judgement):
    few = simulated()
    few.varm["pathways"] = few.varm["pathways"].iloc[:, 2:4]
    pae.tl.fit(few, "pathways", n_extra=0, progress=False)
    names = ["statistic", "null_mean", "null_low", "null_high", "z", "pval"]
    assert_allclose(judged(few)[names], judgement[names][2:4], rtol=1e-9)


def test_random_sets_come_from_the_genes_of_the_model(cells, monkeypatch):
    seen = []

    def bins(mean, variance, n_bins):
        seen.append(len(mean))
        return np.arange(len(mean)) % 3

    monkeypatch.setattr(core, "matched_bins", bins)
    cells.var["keep"] = np.arange(cells.n_vars) >= 25
    pae.tl.fit(cells, "pathways", mask_var="keep", n_extra=0, progress=False)
    judged(cells, n_null=9)
    assert seen == [375]


@pytest.mark.real
def test_interferon_is_used_by_stimulated_cells_and_shuffled_names_by_none(real_data):
    adata = variable_genes(real_data / "cells" / "kang_ifnb_2000cells.h5ad", 1200)
    sets = pae.gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    options = {"n_folds": 2, "n_null": 999}
    pae.tl.fit(adata, sets, min_genes=8, n_extra=5, progress=False)
    table = judged(adata, **options).set_index("component")
    interferon = table.loc[["HALLMARK_INTERFERON_ALPHA_RESPONSE", "HALLMARK_INTERFERON_GAMMA_RESPONSE"]]
    assert (interferon["verdict"] == "used").all()
    adata.var_names = np.random.default_rng(0).permutation(adata.var_names)
    pae.tl.fit(adata, sets, min_genes=8, n_extra=5, progress=False)
    assert (judged(adata, **options)["verdict"] == "used").mean() <= 0.05


@pytest.mark.filterwarnings("ignore:The values .* look like no logarithms:pathwayae.DataWarning")  # centred genes
def test_with_batches_genes_vary_together_within_them_alone():
    adata = pae.datasets.simulate(400, 300, 5, n_batches=3, n_donors=4, batch_effect=1.0)
    pae.tl.fit(adata, "pathways", batch_key="batch", n_extra=2, progress=False)
    pae.tl.relevance(adata, sample_key="donor", n_folds=3, n_null=20, progress=False)
    flat = adata.copy()
    values = flat.X.toarray().astype(np.float64)
    for batch in flat.obs["batch"].cat.categories:
        values[flat.obs["batch"] == batch] -= values[flat.obs["batch"] == batch].mean(axis=0)
    flat.X = values
    pae.tl.fit(flat, "pathways", n_extra=2, progress=False)
    pae.tl.relevance(flat, n_folds=3, n_null=20, progress=False)
    with_batches, explicit = pae.get.relevance(adata), pae.get.relevance(flat)
    assert_allclose(with_batches["statistic"], explicit["statistic"], rtol=1e-6)
    assert (with_batches["heldout_variance"] > 0).all()
