import anndata as ad
import numpy as np
import pandas as pd
import pytest
from fitted import FREE, NAMES, PATHWAYS, fitted_adata

from pathwayae import get
from pathwayae._slots import lookup


@pytest.fixture
def adata():
    return fitted_adata()


def test_scores_and_loadings_are_the_slots_with_labels(adata):
    scores, loadings = get.scores(adata), get.loadings(adata)
    np.testing.assert_array_equal(scores.to_numpy(), adata.obsm["X_pae"])
    np.testing.assert_array_equal(loadings.to_numpy(), adata.varm["pae_loadings"])
    assert scores.index.equals(adata.obs_names)
    assert loadings.index.equals(adata.var_names)
    assert list(scores.columns) == list(loadings.columns) == NAMES


def test_nothing_fitted_or_under_another_key():
    other = fitted_adata(key="hallmark")
    assert get.scores(other, key="hallmark").shape == (240, len(NAMES))
    with pytest.raises(KeyError, match=r"run pae.tl.fit\(adata.*keys found: 'hallmark'"):
        get.scores(other)
    tables = (get.scores, get.loadings, get.top_genes, get.variance, get.history, get.enrichment)
    for function in (*tables, get.to_anndata):
        with pytest.raises(KeyError, match="keys found: none"):
            function(ad.AnnData(np.ones((3, 2))))


def test_missing_slot_and_mismatch(adata):
    del adata.varm["pae_loadings"]
    with pytest.raises(KeyError, match=r"pae_loadings.*is missing"):
        get.loadings(adata)
    adata.obsm["X_pae"] = adata.obsm["X_pae"][:, :3]
    with pytest.raises(ValueError, match="different fits"):
        get.scores(adata)


def test_component_names_are_checked(adata):
    assert get.component_names(adata) == NAMES
    assert get.component_names(adata, "B cells") == ["B cells"]
    assert get.component_names(adata, ["free_1", "B cells"]) == ["free_1", "B cells"]
    with pytest.raises(KeyError, match="closest: 'HALLMARK_TNFA_SIGNALING_VIA_NFKB'"):
        get.component_names(adata, "hallmark_tnfa_signalling")
    for bad in ([], ["B cells", "B cells"]):
        with pytest.raises(ValueError, match="at least one"):
            get.component_names(adata, bad)


def test_top_genes_of_a_pathway(adata):
    table = get.top_genes(adata, PATHWAYS[0], n_genes=25)
    assert list(table.columns) == ["component", "rank", "gene", "loading", "member"]
    values = pd.Series(adata.varm["pae_loadings"][:, 0], index=adata.var_names).sort_values(ascending=False)[:25]
    assert table["gene"].tolist() == values.index.tolist()
    assert table["rank"].tolist() == list(range(1, 26))
    np.testing.assert_array_equal(table["loading"], values)
    member = pd.Series(adata.varm["pae_membership"].toarray()[:, 0], index=adata.var_names)
    assert table["member"].tolist() == member[table["gene"]].tolist()
    assert 0 < table["member"].sum() < 25
    with pytest.raises(ValueError, match="n_genes"):
        get.top_genes(adata, n_genes=0)


def test_top_genes_of_a_free_component_go_by_size(adata):
    table = get.top_genes(adata, "free_1", n_genes=30)
    values = adata.varm["pae_loadings"][:, NAMES.index("free_1")]
    np.testing.assert_array_equal(np.abs(table["loading"]), np.sort(np.abs(values))[::-1][:30])
    assert (table["loading"] < 0).any()
    assert not table["member"].any()


def test_top_genes_skip_zeros_and_genes_outside_and_break_ties_by_name(adata):
    values = adata.varm["pae_loadings"]
    values[:, 0] = 0
    values[[30, 2, 7], 0] = 0.5
    values[-1, 0] = 9.0  # outside the model
    assert get.top_genes(adata, PATHWAYS[0])["gene"].tolist() == ["GENE2", "GENE30", "GENE7"]
    shuffled = adata[:, np.random.default_rng(1).permutation(adata.n_vars)].copy()
    pd.testing.assert_frame_equal(get.top_genes(shuffled), get.top_genes(adata))


def test_top_genes_show_symbols():
    adata = fitted_adata(symbols=True)
    pd.testing.assert_frame_equal(get.top_genes(adata), get.top_genes(fitted_adata()))
    assert get.loadings(adata).index[0] == "ENSG00000"
    adata.var.loc["ENSG00003", "symbol"] = None
    assert lookup.gene_names(adata, "pae").iloc[2:4].tolist() == ["GENE2", "ENSG00003"]
    del adata.var["symbol"]
    with pytest.raises(KeyError, match="put the column back"):
        get.top_genes(adata)


def test_variance(adata):
    table = get.variance(adata)
    assert table["component"].tolist() == NAMES
    assert table["kind"].tolist() == ["pathway"] * len(PATHWAYS) + ["free"] * len(FREE)
    np.testing.assert_array_equal(table["variance_ratio"], adata.uns["pae"]["variance_ratio"])
    assert table["n_matched"].tolist() == [20] * len(PATHWAYS) + [0, 0]
    assert table["n_genes"].tolist() == [25] * len(PATHWAYS) + [0, 0]


def test_transformed_cells_have_no_report_on_genes(adata):
    for name in ("history", "pathways", "dropped"):
        del adata.uns["pae"][name]
    expected = get.variance(fitted_adata())
    pd.testing.assert_frame_equal(get.variance(adata), expected[["component", "variance_ratio", "kind"]])
    assert list(get.to_anndata(adata).var.columns) == ["variance_ratio", "kind"]


def test_history(adata):
    table = get.history(adata)
    assert list(table.columns) == ["loss", "reconstruction", "zero", "entropy"]
    assert table.index.name == "iteration"
    np.testing.assert_array_equal(table["zero"], adata.uns["pae"]["history"]["zero"])


def test_enrichment(adata):
    with pytest.raises(KeyError, match=r"pae\.tl\.enrich"):
        get.enrichment(adata)
    adata.uns["pae"]["enrichment"] = pd.DataFrame({"component": ["B cells", "free_1"], "padj": [0.2, 0.01]})
    assert len(get.enrichment(adata)) == 2
    assert get.enrichment(adata, max_padj=0.05)["component"].tolist() == ["free_1"]
    assert get.enrichment(adata, components="B cells")["padj"].tolist() == [0.2]
    assert get.enrichment(adata, components="b CELL")["padj"].tolist() == [0.2]
    with pytest.raises(KeyError, match="closest: 'B cells'"):
        get.enrichment(adata, components="B cels")
    with pytest.raises(ValueError, match="max_padj"):
        get.enrichment(adata, max_padj=5)


def test_to_anndata_shares_nothing_and_carries_what_plots_need(adata):
    adata.obsp["connectivities"] = np.eye(adata.n_obs)
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 3}}
    programs = get.to_anndata(adata)
    assert list(programs.var_names) == NAMES
    np.testing.assert_array_equal(programs.X, adata.obsm["X_pae"])
    assert set(programs.obsm) == {"X_umap"}
    assert "connectivities" in programs.obsp
    assert set(programs.uns) == {"cell_type_colors", "neighbors"}
    assert list(programs.var.columns) == ["variance_ratio", "kind", "n_genes", "n_matched", "verdict", "reason"]
    programs.X[:] = 0
    programs.obsm["X_umap"][:] = 0
    programs.uns["neighbors"]["params"]["n_neighbors"] = 99
    assert adata.obsm["X_pae"].any()
    assert adata.obsm["X_umap"].any()
    assert adata.uns["neighbors"]["params"]["n_neighbors"] == 3


def test_to_anndata_works_with_scanpy(adata):
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt
    import scanpy as sc

    programs = get.to_anndata(adata)
    sc.pl.umap(programs, color=[PATHWAYS[0], "cell_type"], show=False)
    sc.pl.matrixplot(programs, PATHWAYS[:3], groupby="cell_type", show=False)
    plt.close("all")
    sc.tl.rank_genes_groups(programs, "cell_type", method="wilcoxon")
    best = programs.uns["rank_genes_groups"]["names"]["CD4 T cells"][0]
    assert NAMES.index(best) % 4 == 1


def test_after_a_round_trip_through_a_file(adata, tmp_path):
    for form in ["h5ad", "zarr"]:
        if form == "zarr":
            pytest.importorskip("zarr")
        path = tmp_path / f"fitted.{form}"
        getattr(adata, f"write_{form}")(path)
        back = getattr(ad, f"read_{form}")(path)
        for function in (get.scores, get.loadings, get.top_genes, get.variance, get.history):
            pd.testing.assert_frame_equal(function(back), function(adata), check_names=False)
        get.to_anndata(back).write_h5ad(tmp_path / "programs.h5ad")


def test_a_subset_keeps_working(adata):
    part = adata[:50, :80]
    assert get.scores(part).shape == (50, len(NAMES))
    assert set(get.top_genes(part)["gene"]) <= set(part.var_names)


def test_scores_in_standard_deviations_have_no_nan(adata):
    adata.obsm["X_pae"][:, 2] = 0.1
    values = adata.obsm["X_pae"].astype(float)
    table = get.scores(adata, standardize=True)
    values[:, 2] = 0.0
    spread = values.std(axis=0)
    expected = (values - values.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    np.testing.assert_allclose(table, expected, atol=1e-5)
    assert list(table.columns) == NAMES
