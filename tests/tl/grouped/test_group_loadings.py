"""``pae.tl.group_loadings``: the cells themselves as oracle, slots that last, planted truth, and what is refused."""

import logging

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats

import pathwayae as pae

FAST = {"n_extra": 1, "progress": False}


def make(n_donors=4, **options):
    adata = pae.datasets.simulate(600, 200, 3, n_cell_types=3, n_donors=n_donors, random_state=1, **options)
    adata.var["keep"] = np.arange(adata.n_vars) % 20 != 7
    return adata


def fit(adata, **options):
    flat.fit(adata, "pathways", mask_var="keep", **FAST, **options)
    return adata


def compare(adata, groupby="cell_type", **options):
    pae.tl.group_loadings(adata, groupby, progress=False, **{"sample_key": "donor"} | options)
    return adata


@pytest.fixture(scope="module")
def compared():
    return compare(fit(make()))


def by_hand(adata, pathway, strata, samples):
    """Loadings on a pathway of cells about the means of their strata, and the loading of each sample, linearised."""
    genes = np.isfinite(adata.var["pae_scale"])
    j = list(adata.uns["pae"]["component_names"]).index(pathway)
    x = np.asarray(adata[:, genes].to_df(), dtype=float) / adata.var["pae_scale"].to_numpy()[genes]
    for name in np.unique(strata):
        x[strata == name] -= x[strata == name].mean(axis=0)
    weights = adata.varm["pae_encoder"][genes, j].astype(float)
    rest = x @ weights[:, None] - x * weights
    names = adata.var_names[genes]
    products = pd.DataFrame({name: (x * rest)[samples == name].sum(axis=0) for name in np.unique(samples)}, index=names)
    shared = weights @ products
    return products.sum(axis=1) / shared.sum(), products, shared


def test_the_table_is_what_the_cells_say(compared):
    cell_type, donor = (compared.obs[name].astype(str).to_numpy() for name in ("cell_type", "donor"))
    strata = np.char.add(cell_type.astype(str), donor.astype(str))
    for pathway in ("program_1", "program_3"):
        shared, *_ = by_hand(compared, pathway, strata, donor)
        for group in np.unique(cell_type):
            table = pae.get.group_loadings(compared, pathway, group).set_index("gene")
            own, of = cell_type == group, {}
            for side, cells in ((0, own), (1, ~own)):
                loading, products, spread = by_hand(compared[cells], pathway, strata[cells], donor[cells])
                n = np.array([(donor[cells] == name).sum() for name in spread.index], dtype=float)
                n -= [len(np.unique(strata[cells][donor[cells] == name])) for name in spread.index]
                rest = (products - np.outer(loading, spread)) / spread.sum() / np.sqrt(1 - n / n.sum())
                of[side] = loading, rest, n
            error = np.sqrt(((of[0][1] - of[1][1]) ** 2).sum(axis=1))
            genes = table.index
            np.testing.assert_allclose(table["shared"], shared[genes], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(table["loading"], of[0][0][genes], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(table["reference"], of[1][0][genes], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(table["se"], error[genes], rtol=1e-4)
            freedom = min(n.sum() ** 2 / (n**2).sum() for *_, n in of.values()) - 1
            t = (of[0][0] - of[1][0])[genes] / error[genes]
            tested = table["pval"].notna()
            np.testing.assert_allclose(table["pval"][tested], 2 * stats.t.sf(np.abs(t), freedom)[tested], rtol=1e-4)
            assert (table["n_cells"] == own.sum()).all()
            assert (table["n_samples"] == 4).all()


def test_members_are_there_with_the_most_correlated_others(compared):
    table = pae.get.group_loadings(compared)
    named = compared.varm["pathways"][compared.var["keep"]]
    for pathway, rows in table.groupby("pathway"):
        once = rows.drop_duplicates("gene")
        assert set(once.loc[once["member"], "gene"]) == set(named.index[named[pathway]])
        assert 0 < (~once["member"]).sum() <= 30
    padj = stats.false_discovery_control(table["pval"].dropna())
    np.testing.assert_allclose(table["padj"].dropna(), padj)


def test_order_and_form_of_the_cells_do_not_matter(compared):
    expected = pae.get.group_loadings(compared)
    rng = np.random.default_rng(0)
    moved = compared[rng.permutation(compared.n_obs), rng.permutation(compared.n_vars)].copy()
    dense = compared.copy()
    dense.X = dense.X.toarray()
    columns = compared.copy()
    columns.X = sp.csc_matrix(columns.X)
    for other in (moved, dense, columns):
        found = pae.get.group_loadings(compare(other))
        keys = ["pathway", "group", "gene"]
        found, given = (table.set_index(keys).sort_index() for table in (found, expected))
        pd.testing.assert_frame_equal(found, given, rtol=1e-4, atol=1e-6)


def test_one_group_has_the_shared_loadings(compared):
    adata = compared.copy()
    adata.obs["all"] = "cells"
    with pytest.warns(pae.DataWarning, match="nothing to compare with"):
        compare(adata, "all")
    table = pae.get.group_loadings(adata)
    np.testing.assert_array_equal(table["loading"], table["shared"])
    assert table[["reference", "difference", "se", "pval", "padj"]].isna().all(axis=None)


def test_groups_in_which_no_pathway_varies_are_told_as_such():
    adata = ad.AnnData(np.random.default_rng(0).normal(size=(200, 40)) + 3.0)
    adata.obs["half"] = np.repeat(["a", "b"], 100)
    pae.tl.fit(adata, adata.var_names[:12].tolist(), n_extra=0, progress=False)
    with pytest.warns(pae.DataWarning, match="No pathway varies enough within any group"):
        pae.tl.group_loadings(adata, "half", progress=False)


def test_a_reference_and_some_groups(compared):
    two = compare(compared[compared.obs["cell_type"] != "type_2"].copy())
    expected = pae.get.group_loadings(two, "program_2", "type_3").set_index("gene")
    adata = compare(compared.copy(), pathways="program_2", groups=["type_3", "type_1"], reference="type_1")
    table = pae.get.group_loadings(adata, groups="type_3").set_index("gene")
    shared = table.index.intersection(expected.index)
    assert len(shared) > 40
    for name in ("loading", "reference", "se", "pval"):
        np.testing.assert_allclose(table.loc[shared, name], expected.loc[shared, name], rtol=1e-5)
    assert pae.get.group_loadings(adata, groups="type_1")["difference"].isna().all()
    assert adata.uns["pae"]["group_loadings_params"]["reference"] == "type_1"


def test_without_donors_nothing_is_tested(compared):
    adata = compare(compared.copy(), sample_key=None)
    table = pae.get.group_loadings(adata)
    assert table[["se", "pval", "padj"]].isna().all(axis=None)
    assert table["difference"].notna().any()
    cell_type = adata.obs["cell_type"].astype(str).to_numpy()
    shared, *_ = by_hand(adata, "program_1", cell_type, cell_type)
    one = table[table["pathway"] == "program_1"].drop_duplicates("gene").set_index("gene")["shared"]
    np.testing.assert_allclose(one, shared[one.index], rtol=1e-5, atol=1e-6)


def test_means_of_the_batches_of_the_fit_are_taken_off():
    adata = make(n_batches=2, batch_effect=0.0)
    high = (adata.obs["batch"] == "batch_2").to_numpy()
    shifted = adata.copy()
    shifted.X = adata.X + sp.csr_matrix(3.0 * np.outer(high, np.arange(adata.n_vars) % 3 == 0))
    fits = [compare(fit(one, batch_key="batch", balance=False)) for one in (adata, shifted)]
    keys = ["pathway", "group", "gene"]
    tables = [pae.get.group_loadings(one).set_index(keys).sort_index() for one in fits]
    pd.testing.assert_frame_equal(*tables, rtol=1e-3, atol=1e-4)
    pae.get.group_loadings(compare(adata, "batch"))  # the batches themselves are groups like others


@pytest.mark.parametrize(
    "options", [{"solver": "sketch"}, {"scores": "projection"}, {"scores": "least_squares"}, {"balance": False}]
)
@pytest.mark.filterwarnings("ignore:.*flag ':pathwayae.DataWarning")
def test_every_kind_of_fit_has_loadings_by_group(options):
    adata = compare(fit(make(), **options))
    table = pae.get.group_loadings(adata, of="groups")
    assert table["carried"].any()
    assert table["reliability"].between(0, 1).all()


def test_counts_are_normalised_as_those_of_the_fit_were(compared):
    adata = make()
    adata.X = adata.layers["counts"]
    moments = pae.pp.moments(adata, normalize="log1p", progress=False)
    fit(adata, moments=moments)
    found = pae.get.group_loadings(compare(adata)).set_index(["pathway", "group", "gene"])
    expected = pae.get.group_loadings(compared).set_index(["pathway", "group", "gene"])
    np.testing.assert_allclose(found["loading"], expected["loading"].reindex(found.index), rtol=1e-3, atol=1e-4)


def test_a_copy_leaves_the_cells_and_slots_go_with_the_next_fit(compared, tmp_path):
    adata = fit(make())
    before = adata.copy()
    other = pae.tl.group_loadings(adata, "cell_type", progress=False, copy=True)
    assert "group_loadings" not in adata.uns["pae"]
    assert "group_loadings" in other.uns["pae"]
    np.testing.assert_array_equal(adata.X.toarray(), before.X.toarray())
    other.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(pae.get.group_loadings(back), pae.get.group_loadings(other), check_dtype=False)
    assert "group_loadings" not in fit(other).uns["pae"]


def test_cells_read_from_disk_say_the_same(compared, tmp_path):
    compared.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    pae.tl.group_loadings(back, "cell_type", sample_key="donor", progress=False)
    pd.testing.assert_frame_equal(pae.get.group_loadings(back), pae.get.group_loadings(compared), rtol=1e-5)
    back.file.close()


def test_a_gene_that_follows_in_one_group_alone_is_found():
    adata = make(n_donors=8)
    true = adata.varm["true_loadings"]["program_1"].where(adata.varm["pathways"]["program_1"] & adata.var["keep"], 0.0)
    gene = true.argmax()
    values = adata.X.toarray()
    elsewhere = np.flatnonzero(adata.obs["cell_type"] != "type_1")
    values[elsewhere, gene] = np.random.default_rng(0).permutation(values[elsewhere, gene])
    adata.X = values
    table = pae.get.group_loadings(compare(fit(adata)), "program_1", "type_1")
    assert table["gene"].iloc[0] == adata.var_names[gene]
    assert table["padj"].idxmin() == 0
    assert table["padj"].iloc[0] < 0.05
    assert abs(table["reference"].iloc[0]) < 0.2 * table["loading"].iloc[0]


def test_cells_without_a_group_and_levels_without_cells_are_left_out_and_said(compared, caplog):
    adata = compared.copy()
    kept = adata.obs["cell_type"] != "type_3"
    adata.obs["mine"] = adata.obs["cell_type"].where(kept).cat.add_categories("nobody")
    with caplog.at_level(logging.INFO, "pathwayae"), pytest.warns(pae.DataWarning, match="cells have no 'mine'"):
        compare(adata, "mine")
    assert "levels of 'mine' have no cells" in caplog.text
    expected = pae.get.group_loadings(compare(adata[kept].copy()))
    pd.testing.assert_frame_equal(pae.get.group_loadings(adata), expected, rtol=1e-5)


def test_small_groups_and_few_donors_are_said(compared):
    adata = compared.copy()
    group = adata.obs["cell_type"].astype(str).to_numpy(dtype=object)
    group[:5] = "few"
    group[(group == "type_2") & (adata.obs["donor"].isin(["donor_3", "donor_4"])).to_numpy()] = "type_1"
    adata.obs["mine"] = group
    with pytest.warns(pae.DataWarning) as caught:
        compare(adata, "mine")
    messages = [str(one.message) for one in caught]
    assert any("fewer than 10 cells and are not reported: 'few' (5)" in one for one in messages)
    assert any("1 groups are not tested ('type_2')" in one for one in messages)
    table = pae.get.group_loadings(adata)
    assert set(table["group"]) == {"type_1", "type_2", "type_3"}
    assert table.loc[table["group"] == "type_2", "pval"].isna().all()
    assert table.loc[table["group"] == "type_2", "difference"].notna().any()


def test_a_gene_that_does_not_vary_in_a_group_has_a_loading_of_0_and_no_test(compared):
    adata = compared.copy()
    gene = pae.get.group_loadings(adata, "program_1").query("member")["gene"].iloc[0]
    values = adata.X.toarray()
    values[adata.obs["cell_type"] == "type_2", adata.var_names.get_loc(gene)] = 0.7
    adata.X = values
    row = pae.get.group_loadings(compare(adata), "program_1", "type_2").set_index("gene").loc[gene]
    assert row["loading"] == 0.0
    assert np.isnan(row["pval"])


def test_what_cannot_be_answered_is_refused_and_nothing_is_written(compared):
    adata = fit(make())
    adata.obs["number"] = np.linspace(0, 1, adata.n_obs)
    adata.obs["single"] = adata.obs_names
    adata.obs["gap"] = adata.obs["donor"].where(np.arange(adata.n_obs) > 3)
    bare = ad.AnnData(np.ones((3, 2)))
    for options, error, message in [
        ({"groupby": "type"}, KeyError, "groupby='type' is not a column"),
        ({"groupby": "number"}, ValueError, "holds numbers"),
        ({"groupby": "single"}, ValueError, "has 10 cells"),
        ({"groupby": "donor"}, ValueError, "cannot be the replicates"),
        ({"sample_key": "patient"}, KeyError, "sample_key='patient' is not a column"),
        ({"sample_key": "gap"}, ValueError, "4 cells have no 'gap'"),
        ({"pathways": "program1"}, KeyError, "closest: 'program_1'"),
        ({"pathways": "free_1"}, KeyError, "free component"),
        ({"groups": "type1"}, KeyError, "closest: 'type_1'"),
        ({"groups": ["type_1", "type_1"]}, ValueError, "none twice"),
        ({"reference": "others"}, KeyError, "reference: no cell"),
        ({"n_genes": -1}, ValueError, "n_genes=-1"),
        ({"key": "other"}, KeyError, "No fit under key 'other'"),
    ]:
        with pytest.raises(error, match=message):
            compare(adata, **options)
    assert "group_loadings" not in adata.uns["pae"]
    bare.obs["cell_type"] = "one"
    with pytest.raises(KeyError, match=r"run pae\.tl\.fit"):
        pae.tl.group_loadings(bare, "cell_type")
