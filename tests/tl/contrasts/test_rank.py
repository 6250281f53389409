"""``pae.tl.rank_pathways``: what is written, where it comes from, and what it says of input that cannot be compared."""

import logging

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae

COLUMNS = ["pathway", "group", "reference", "within", "effect", "effect_low", "effect_high", "statistic", "df", "p"]
COLUMNS += ["padj", "auroc", "n_samples", "n_samples_reference", "n_pairs", "n_agree", "n_cells", "n_cells_reference"]
COLUMNS += ["gene", "gene_share", "verdict"]


@pytest.fixture(scope="module")
def cells():
    """600 cells of 3 types, 2 batches and 6 donors with a fit; half of each donor's cells are treated."""
    adata = pae.datasets.simulate(600, 400, 6, n_cell_types=3, n_batches=2, n_donors=6, random_state=1)
    adata = adata[:, np.asarray(adata.X.max(axis=0).todense()).ravel() > 0].copy()
    adata.obs["condition"] = pd.Categorical(np.where(np.arange(600) % 2, "stim", "ctrl"), ["ctrl", "stim", "never"])
    adata.obs["age"] = adata.obs["donor"].cat.codes.astype(float)
    treated = (adata.obs["condition"] == "stim").to_numpy()
    dense = adata.X.toarray()
    raised = np.flatnonzero(adata.varm["pathways"]["program_2"].to_numpy())
    dense[np.ix_(treated, raised)] += 0.7
    adata.X = dense
    pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    return adata


ASKED = {"groupby": "condition", "reference": "ctrl", "sample_key": "donor", "within": "cell_type"}


def ranked(adata, **asked):
    found = pae.tl.rank_pathways(adata, **(ASKED | asked), copy=True)
    return pae.get.rank_pathways(found)


def test_the_table_has_a_row_per_pathway_group_and_level_and_finds_what_was_raised(cells):
    table = ranked(cells)
    assert table.columns.tolist() == COLUMNS
    assert len(table) == 8 * 3
    assert not table[["pathway", "within"]].duplicated().any()
    first = table.head(3)
    assert set(first["pathway"]) == {"program_2"}
    assert (first["padj"] < 1e-4).all()
    assert (first["n_agree"] == 6).all()
    assert (first["auroc"] > 0.8).all()
    assert (first["effect_low"] < first["effect"]).all()
    assert set(table["group"]) == {"stim"}
    assert set(table["reference"]) == {"ctrl"}
    assert set(table["verdict"]) <= {"untested", "unfaithful"}
    np.testing.assert_allclose(
        np.sort(table["padj"]), np.sort(pd.Series(table["p"]).pipe(lambda p: by_benjamini(p.to_numpy())))
    )


def by_benjamini(p):
    order = np.argsort(p)[::-1]
    padj, low = np.empty(len(p)), 1.0
    for rank, i in zip(range(len(p), 0, -1), order, strict=True):
        low = min(low, p[i] * len(p) / rank)
        padj[i] = low
    return padj


def test_genes_carry_the_whole_difference_as_a_loop_over_donors_has_it(cells):
    found = pae.tl.rank_pathways(cells, "condition", reference="ctrl", sample_key="donor", copy=True)
    table = pae.get.rank_pathways(found).set_index("pathway")
    genes = pae.get.rank_pathways(found, of="genes")
    values = (np.asarray(cells.X, dtype=float) - cells.var["pae_mean"].to_numpy()) / cells.var["pae_scale"].to_numpy()
    encoder = np.asarray(cells.varm["pae_encoder"], dtype=float)
    np.testing.assert_allclose(values @ encoder, cells.obsm["X_pae"], atol=1e-3)
    donors = cells.obs["donor"].cat.categories
    treated = (cells.obs["condition"] == "stim").to_numpy()
    # twelve equal-sized groups of cells would weigh alike; here they differ a little, so weights come from the means
    scores = cells.obsm["X_pae"][:, 1].astype(float)
    donor = cells.obs["donor"].to_numpy()
    of_scores = [scores[treated & (donor == d)].mean() - scores[~treated & (donor == d)].mean() for d in donors]
    of_genes = [
        values[treated & (donor == d)].mean(axis=0) - values[~treated & (donor == d)].mean(axis=0) for d in donors
    ]
    plain = np.mean(of_genes, axis=0) * encoder[:, 1] / np.mean(of_scores)
    assert plain.sum() == pytest.approx(1.0, abs=1e-3)
    own = genes[genes["pathway"] == "program_2"]
    assert len(own) == 10
    assert own["share"].is_monotonic_decreasing
    np.testing.assert_allclose(own["share"], pd.Series(plain, cells.var_names)[own["gene"]], atol=0.02)
    assert own["gene"].iloc[0] == table.loc["program_2", "gene"]
    assert own["share"].iloc[0] == table.loc["program_2", "gene_share"]
    np.testing.assert_allclose(own["effect"], own["share"] * table.loc["program_2", "effect"])
    member = cells.varm["pathways"]["program_2"]
    assert own["member"].tolist() == member[own["gene"]].astype(bool).tolist()
    assert own["member"].any()
    assert not genes.loc[genes["pathway"] == "free_1", "member"].any()


def test_genes_carry_differences_of_fits_within_batches_and_of_sparse_cells(cells):
    import scipy.sparse as sp

    adata = cells.copy()
    adata.X = sp.csr_matrix(adata.X)
    pae.tl.fit(adata, "pathways", n_extra=2, batch_key="batch", progress=False)
    pae.tl.rank_pathways(adata, **ASKED)
    table = pae.get.rank_pathways(adata)
    assert (table["gene"] != "").all()
    dense = adata.copy()
    dense.X = dense.X.toarray()
    pae.tl.rank_pathways(dense, **ASKED)
    np.testing.assert_allclose(pae.get.rank_pathways(dense)["gene_share"], table["gene_share"], rtol=1e-5)


def test_scores_that_are_not_those_of_the_cells_name_no_genes(cells):
    adata = cells.copy()
    adata.X = adata.X * 2.0
    with pytest.warns(pae.DataWarning, match="are not those of adata.X"):
        table = ranked(adata)
    assert (table["gene"] == "").all()
    assert table["gene_share"].isna().all()
    np.testing.assert_allclose(table["p"], ranked(cells)["p"])


def test_the_order_of_cells_and_genes_changes_nothing_and_the_input_stays(cells):
    table = ranked(cells)
    assert "rank_pathways" not in cells.uns["pae"]
    rng = np.random.default_rng(0)
    turned = cells[rng.permutation(600), rng.permutation(cells.n_vars)].copy()
    again = ranked(turned)
    assert again["pathway"].tolist() == table["pathway"].tolist()
    for name in ("effect", "p", "auroc", "gene_share"):
        np.testing.assert_allclose(again[name], table[name], rtol=1e-6)
    assert again["gene"].tolist() == table["gene"].tolist()


@pytest.mark.parametrize("ending", ["h5ad", "zarr"])
def test_what_is_written_survives_files_and_subsetting(cells, tmp_path, ending):
    adata = cells.copy()
    pae.tl.rank_pathways(adata, **ASKED)
    pae.tl.rank_pathways(adata, "cell_type", sample_key="donor", key_added="markers")
    path = tmp_path / f"cells.{ending}"
    getattr(adata, f"write_{ending}")(path)
    again = getattr(ad, f"read_{ending}")(path)
    for name in (None, "markers"):
        for of in ("pathways", "genes"):
            expected = pae.get.rank_pathways(adata, of=of, key_added=name)
            pd.testing.assert_frame_equal(pae.get.rank_pathways(again, of=of, key_added=name), expected)
    assert again.uns["pae"]["rank_pathways_params"]["within"] == "cell_type"
    pd.testing.assert_frame_equal(pae.get.rank_pathways(again[:50]), pae.get.rank_pathways(adata))


def test_markers_of_cell_types_are_the_groups_against_the_rest(cells):
    found = pae.tl.rank_pathways(cells, "cell_type", sample_key="donor", copy=True)
    table = pae.get.rank_pathways(found)
    assert sorted(set(table["group"])) == ["type_1", "type_2", "type_3"]
    assert set(table["reference"]) == {"rest"}
    assert set(table["within"]) == {""}
    one = pae.tl.rank_pathways(cells, "cell_type", groups=["type_2"], sample_key="donor", copy=True)
    one = pae.get.rank_pathways(one).set_index("pathway")
    two = table[table["group"] == "type_2"].set_index("pathway").loc[one.index]
    np.testing.assert_allclose(one["p"], two["p"])


def test_tests_over_cells_say_that_cells_are_no_replicates(cells):
    for method in ("auto", "t-test"):
        with pytest.warns(pae.DataWarning, match="p-values take cells as replicates"):
            table = ranked(cells, sample_key=None, method=method)
        assert (table[["n_samples", "n_pairs", "n_agree"]] == 0).all(axis=None)
        assert table["pathway"][0] == "program_2"


def test_a_mixed_model_agrees_with_the_moderated_test(cells):
    table = ranked(cells).set_index(["pathway", "within"])
    mixed = ranked(cells, method="mixed").set_index(["pathway", "within"]).loc[table.index]
    np.testing.assert_allclose(mixed["effect"], table["effect"], atol=0.1)
    assert np.corrcoef(mixed["statistic"], table["statistic"])[0, 1] > 0.9


def test_covariates_of_samples_are_in_the_model(cells):
    adata = cells.copy()
    adata.obs["old"] = np.where(adata.obs["age"] > 2, "yes", "no")
    half = (adata.obs["donor"].cat.codes % 2).to_numpy() == (adata.obs["condition"] == "stim").to_numpy()
    unpaired = adata[half].copy()  # each donor in one condition
    plain = ranked(unpaired)
    described = ranked(unpaired, covariates=["age", "old"])
    assert (plain["n_pairs"] == 0).all()
    assert (plain["n_samples"] == 3).all()
    assert not np.allclose(np.sort(plain["effect"]), np.sort(described["effect"]))
    np.testing.assert_allclose(ranked(adata, covariates="age")["p"], ranked(adata)["p"])  # constant within pairs


def test_new_cells_and_other_models_are_ranked_without_genes(cells, caplog):
    new = ad.AnnData(cells.X, obs=cells.obs, var=cells.var[[]])
    pae.tl.transform(new, cells, progress=False)
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        table = ranked(new)
    assert "no genes are named" in caplog.text
    np.testing.assert_allclose(table["p"], ranked(cells)["p"], rtol=1e-4)
    assert set(table["verdict"]) == {""}
    assert pae.get.rank_pathways(pae.tl.rank_pathways(new, **ASKED, copy=True), of="genes").empty
    other = cells.copy()
    pae.tl.sparse_ae(other, n_latents=16, k=3, n_epochs=3, progress=False)
    pae.tl.archetypes(other, 3, progress=False)
    import warnings

    for key, n in (("sparse_ae", 16), ("archetypes", 3)):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "[0-9]+ scores do not vary", pae.DataWarning)
            pae.tl.rank_pathways(other, **ASKED, key=key)
        assert len(pae.get.rank_pathways(other, key=key)) == 3 * n


def test_missing_and_unused_levels_are_left_out_and_said(cells, caplog):
    adata = cells.copy()
    adata.obs.loc[adata.obs_names[:30], "condition"] = np.nan
    with pytest.warns(pae.DataWarning, match="30 of 600 cells have no value"), caplog.at_level(logging.INFO):
        found = pae.tl.rank_pathways(adata, **ASKED, copy=True)
    assert "'never'" in caplog.text
    assert found.uns["pae"]["rank_pathways_params"]["n_cells_without"] == 30
    np.testing.assert_allclose(pae.get.rank_pathways(found)["p"], ranked(cells[30:].copy())["p"], rtol=1e-6)


def test_what_cannot_be_tested_is_left_out_and_said(cells):
    adata = cells.copy()
    only = (adata.obs["cell_type"] == "type_1") & (adata.obs["condition"] == "stim") & (adata.obs["donor"] != "donor_1")
    adata = adata[~only].copy()
    with pytest.warns(pae.DataWarning, match="1 of 3 comparisons .* stim in type_1 .fewer than two samples on a side"):
        found = pae.tl.rank_pathways(adata, **ASKED, copy=True)
    left_out = found.uns["pae"]["rank_pathways_params"]["left_out"]
    assert left_out.to_dict("records") == [
        {"group": "stim", "reference": "ctrl", "within": "type_1", "reason": "fewer than two samples on a side"}
    ]
    assert set(pae.get.rank_pathways(found)["within"]) == {"type_2", "type_3"}


def test_scores_that_do_not_vary_have_no_p(cells):
    adata = cells.copy()
    adata.obsm["X_pae"][:, 3] = 1.5
    adata.X = None
    with pytest.warns(pae.DataWarning, match="1 scores do not vary and have no p-value: 'program_4'"):
        table = ranked(adata)
    flat = table[table["pathway"] == "program_4"]
    assert flat["p"].isna().all()
    assert (flat["effect"] == 0).all()
    assert table["padj"].notna().sum() == 21


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"groupby": "nothing"}, KeyError, "not a column"),
        ({"groupby": ["condition"]}, TypeError, "must be text, not list.*a column of"),
        ({"groupby": "n_counts"}, ValueError, "holds numbers"),
        ({"reference": "Ctrl"}, ValueError, "did you mean 'ctrl'"),
        ({"reference": "never"}, ValueError, "no cell has"),
        ({"groups": ["ctrl"]}, ValueError, "compared with itself"),
        ({"groups": ["stmi"]}, ValueError, "did you mean 'stim'"),
        ({"groups": []}, ValueError, "at least one"),
        ({"groups": ["stim", "stim"]}, ValueError, "none twice"),
        ({"within": "condition"}, ValueError, "is groupby already"),
        ({"sample_key": "condition"}, ValueError, "is groupby already"),
        ({"sample_key": "whole"}, ValueError, "None of 3 comparisons .*fewer than two samples"),
        ({"groupby": "whole", "reference": "rest"}, ValueError, "one group with cells"),
        ({"groupby": "empty"}, ValueError, "No cell has a value"),
        ({"covariates": ["told"]}, ValueError, "None of 3 comparisons .*cannot be told from the covariates"),
        ({"covariates": ["batch"]}, ValueError, "differs between cells of one sample"),
        ({"covariates": ["infinite"]}, ValueError, "infinite"),
        ({"covariates": ["nothing"]}, KeyError, "covariates='nothing'"),
        ({"covariates": ["age"], "sample_key": None}, ValueError, "covariates describe samples: pass sample_key"),
        ({"method": "mixed", "sample_key": None}, ValueError, "pass sample_key"),
        ({"method": "wilcoxon"}, ValueError, "compares cells"),
        ({"method": "limma"}, ValueError, "method='limma' is not known"),
        ({"key": "other"}, KeyError, "No fit under key 'other'"),
        ({"key_added": "params"}, ValueError, "something else of that name"),
        ({"key_added": "a/b"}, ValueError, "without '/'"),
    ],
)
def test_bad_input_is_refused_and_nothing_written(cells, asked, error, says):
    adata = cells.copy()
    adata.obs["n_counts"] = np.arange(600)
    adata.obs["whole"] = "one"
    adata.obs["empty"] = pd.Categorical([np.nan] * 600)
    adata.obs["told"] = (adata.obs["condition"] == "stim").astype(float)
    adata.obs["infinite"] = np.inf
    adata.obs["batch"] = np.where(np.arange(600) % 4 < 2, "a", "b")
    before = set(adata.uns["pae"])
    with pytest.raises(error, match=says):
        pae.tl.rank_pathways(adata, **(ASKED | asked))
    assert set(adata.uns["pae"]) == before
