"""Scores in groups of cells, and loadings seen from the genes, against naive ways."""

import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata

from pathwayae import get


@pytest.fixture
def adata():
    return fitted_adata()


def test_scores_by_group_are_those_of_a_loop(adata):
    adata.obs.loc[adata.obs_names[:7], "cell_type"] = np.nan
    adata.obsm["X_pae"][:, 3] = 2.0
    table = get.scores_by_group(adata, "cell_type", threshold=0.5)
    values = get.scores(adata, standardize=True)
    group = adata.obs["cell_type"]
    for row in table.itertuples():
        own = values.loc[(group == row.group).to_numpy(), row.component]
        assert row.n_cells == len(own)
        assert row.mean == pytest.approx(own.mean(), abs=1e-9)
        assert row.sd == pytest.approx(own.std(ddof=0), abs=1e-6)
        assert row.share_high == pytest.approx((own > 0.5).mean())
        inside = values.loc[group.notna().to_numpy(), row.component]
        within = sum(((one - one.mean()) ** 2).sum() for _, one in inside.groupby(group[group.notna()], observed=True))
        total = ((inside - inside.mean()) ** 2).sum()
        assert row.between == pytest.approx(1 - within / total if total else 0.0, abs=1e-9)
    raw = get.scores_by_group(adata, "cell_type", NAMES[0], standardize=False)
    expected = get.scores(adata)[NAMES[0]].astype(float).groupby(group, observed=True).mean()
    np.testing.assert_allclose(raw["mean"], expected, rtol=1e-6)


def test_groups_of_several_columns_keep_their_order_and_leave_out_what_is_missing(adata):
    half = np.where(np.arange(adata.n_obs) % 2 == 0, "a", "b")
    adata.obs["half"] = pd.Categorical(half, categories=["b", "a", "unused"])
    adata.obs["yes"] = np.arange(adata.n_obs) < 200
    table = get.scores_by_group(adata, ["half", "yes"], NAMES[0])
    assert table["group"].tolist() == ["b | False", "b | True", "a | False", "a | True"]
    assert table["n_cells"].tolist() == [20, 100, 20, 100]
    adata.obs.loc[adata.obs_names[:10], "half"] = np.nan
    assert get.scores_by_group(adata, ["half", "yes"], NAMES[0])["n_cells"].sum() == 230


def test_what_is_no_group_is_refused_with_the_next_step(adata):
    adata.obs["depth"], adata.obs["cluster"] = 1.5, np.arange(adata.n_obs) % 3
    adata.obs["barcode"], adata.obs["none"] = adata.obs_names, pd.Categorical([None] * adata.n_obs)
    for by, error, message in [
        ("depth", ValueError, "holds numbers"),
        ("cluster", ValueError, r"holds numbers.*astype\(str\)"),
        ("barcode", ValueError, "240 groups; at most 100"),
        ("none", ValueError, "No cell has a group"),
        ([], ValueError, "at least one"),
        (["cell_type", "cell_type"], ValueError, "none twice"),
        ("typo", KeyError, "which has 'cell_type'"),
    ]:
        with pytest.raises(error, match=message):
            get.scores_by_group(adata, by)
    with pytest.raises(ValueError, match="threshold"):
        get.scores_by_group(adata, "cell_type", threshold=np.nan)


def test_a_group_of_one_cell_and_one_group(adata):
    adata.obs["few"] = ["one", *["rest"] * (adata.n_obs - 1)]
    table = get.scores_by_group(adata, "few").set_index("group")
    np.testing.assert_allclose(table.loc["one", "sd"], 0, atol=1e-7)
    adata.obs["few"] = "all"
    table = get.scores_by_group(adata, "few")
    np.testing.assert_allclose(table["mean"], 0, atol=1e-12)
    np.testing.assert_allclose(table["between"], 0, atol=1e-12)


def test_a_gene_has_the_row_of_the_loadings(adata):
    table = get.gene(adata, "GENE5").set_index("component")
    row, loadings = get.loadings(adata).loc["GENE5"], get.loadings(adata)
    np.testing.assert_allclose(table.loc[NAMES, "loading"], row, rtol=1e-6)
    np.testing.assert_allclose(table.loc[NAMES, "share"], row / loadings.abs().max(), rtol=1e-6)
    member = adata.varm["pae_membership"].toarray()[5]
    assert table.loc[PATHWAYS, "member"].tolist() == member.tolist()
    assert not table.loc["free_1", "member"]
    assert (np.diff(table["loading"].abs()) <= 0).all()
    with pytest.raises(KeyError, match="closest: 'GENE5"):
        get.gene(adata, "gene5x")
    with pytest.raises(ValueError, match="outside the model"):
        get.gene(adata, "GENE149")
    symbols = fitted_adata(symbols=True)
    assert get.gene(symbols, "GENE5").equals(get.gene(symbols, "ENSG00005"))


def test_similarity_is_the_cosine(adata):
    adata.varm["pae_loadings"][:, 2] = 0
    table = get.similarity(adata)
    values = get.loadings(adata).astype(float)
    for one in NAMES:
        for other in NAMES:
            a, b = values[one], values[other]
            size = np.sqrt((a @ a) * (b @ b))
            expected = 1.0 if one == other else a @ b / size if size else 0.0
            assert table.loc[one, other] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("layer", ["", "own"])
def test_leading_genes_have_the_means_of_what_was_fitted(adata, layer):
    if layer:
        adata.layers["own"] = adata.X * 2 + 1
        adata.uns["pae"]["params"]["layer"] = "own"
    table = get.leading_genes(adata, PATHWAYS[0], "cell_type", n_genes=4)
    assert table["gene"].unique().tolist() == get.top_genes(adata, PATHWAYS[0], n_genes=4)["gene"].tolist()
    values = adata.to_df(layer or None).astype(float)
    for row in table.itertuples():
        rows = (adata.obs["cell_type"] == row.group).to_numpy()
        own = values[row.gene]
        assert row.mean == pytest.approx(own[rows].mean())
        assert row.standard == pytest.approx((own[rows].mean() - own.mean()) / own.std(ddof=0))
        assert row.share == pytest.approx((own[rows] > 0).mean())
    if layer:
        del adata.layers["own"]
        with pytest.raises(KeyError, match="put the layer back"):
            get.leading_genes(adata, PATHWAYS[0], "cell_type")


def test_leading_genes_of_counts_are_normalised_as_the_fit_did(adata):
    adata.uns["pae"]["params"]["normalize"] = "log1p 10000"
    table = get.leading_genes(adata, PATHWAYS[0], "cell_type", n_genes=1)
    total = adata.X.sum(axis=1, keepdims=True)
    values = pd.DataFrame(np.log1p(1e4 * adata.X / total), columns=adata.var_names)[table["gene"].iloc[0]]
    expected = values.groupby(adata.obs["cell_type"].to_numpy()).mean()
    np.testing.assert_allclose(table["mean"], expected.loc[table["group"]], rtol=1e-5)
