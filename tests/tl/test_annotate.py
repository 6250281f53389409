import anndata as ad
import numpy as np
import pandas as pd
import pytest
from fitted import FREE, NAMES, PATHWAYS, fitted_adata, member_sets
from scipy import sparse

from pathwayae import get, tl
from pathwayae.core.annotation import G2M_GENES
from pathwayae.core.notice import DataWarning


@pytest.fixture
def adata():
    """free_1 follows the batch and free_2 depth."""
    adata = fitted_adata()
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 2, adata.n_obs)
    adata.obs["batch"] = batch.astype(str)
    adata.obs["total_counts"] = rng.gamma(5, 100, adata.n_obs)
    adata.obsm["X_pae"][:, -2] = 3 * batch + rng.normal(size=adata.n_obs)
    adata.obsm["X_pae"][:, -1] = np.log1p(adata.obs["total_counts"]) + 0.1 * rng.normal(size=adata.n_obs)
    return adata


def test_planted_associations_are_flagged_with_their_reason(adata):
    before = adata.X.copy()
    assert tl.annotate_components(adata, batch_key="batch", sample_key="cell_type") is None
    table = get.annotation(adata).set_index("component")
    assert table.index.tolist() == FREE
    assert table["technical"].tolist() == [True, True]
    assert table.loc["free_1", "reason"].startswith("batch (η² .")
    assert table.loc["free_2", "reason"].startswith("depth (r² .")
    assert table.loc["free_1", "label"].startswith(table.loc["free_1", "reason"])
    r = np.corrcoef(adata.obsm["X_pae"][:, -1], np.log1p(adata.obs["total_counts"]))[0, 1]
    assert table.loc["free_2", "r2_depth"] == pytest.approx(r**2, rel=1e-5)
    ours = get.free_components(adata, batch_key=["batch", "cell_type"], n_genes=10).set_index("component")
    for name in ("eta2_batch", "eta2_cell_type", "correlation"):
        np.testing.assert_allclose(table[name], ours[name], rtol=1e-5)
    assert table["nearest"].tolist() == ours["nearest"].tolist()
    assert table["positive"].tolist() == ours["positive"].tolist()
    assert table["r2_mito"].isna().all()  # no such genes
    np.testing.assert_array_equal(adata.X, before)
    tl.annotate_components(adata, batch_key="batch", technical=1.0)
    assert not get.annotation(adata)["technical"].any()


def test_gene_sets_are_tested_in_both_directions(adata):
    loads = pd.Series(adata.varm["pae_loadings"][:, -2], index=adata.var_names)
    sets = {"high <&'$": loads.nlargest(12).index, "low": loads.nsmallest(12).index}
    tl.annotate_components(adata, sets, progress=False)
    row = get.annotation(adata, "free_1").iloc[0]
    assert (row["up_term"], row["down_term"]) == ("high <&'$", "low")
    assert max(row["up_padj"], row["down_padj"]) < 0.01
    assert "high <&'$ up (FDR" in row["label"]
    with pytest.raises(ValueError, match="None of the 1 gene sets can be tested"):
        tl.annotate_components(adata, {"x": ["no", "such"]}, progress=False)


def test_the_cell_cycle_is_named():
    adata = fitted_adata()
    rng = np.random.default_rng(1)
    adata.var_names = [*G2M_GENES[:30], "mt-Co1", "RPS3", *adata.var_names[32:]]
    cycling = rng.gamma(0.3, 3, adata.n_obs)
    adata.X[:, :30] = rng.poisson(np.outer(cycling, np.ones(30)))
    adata.obsm["X_pae"][:, -1] = -cycling
    tl.annotate_components(adata)
    table = get.annotation(adata).set_index("component")
    assert table.loc["free_2", "label"].startswith("cell cycle G2M") or table.loc["free_2", "technical"]
    assert table.loc["free_2", "r2_g2m"] > 0.8
    assert table["r2_mito"].notna().all()
    dense = get.annotation(adata)
    adata.X = sparse.csr_matrix(adata.X)
    tl.annotate_components(adata)
    pd.testing.assert_frame_equal(get.annotation(adata), dense)


def test_without_free_components_all_pathways_are_described(adata):
    adata.obsm["X_pae"], adata.varm["pae_loadings"] = adata.obsm["X_pae"][:, :-2], adata.varm["pae_loadings"][:, :-2]
    adata.uns["pae"]["component_names"] = np.array(PATHWAYS)
    tl.annotate_components(adata)
    table = get.annotation(adata)
    assert table["component"].tolist() == PATHWAYS
    assert (table["nearest"] != table["component"]).all()


def test_it_survives_files_and_copies(adata, tmp_path):
    changed = tl.annotate_components(adata, member_sets(adata), batch_key="batch", progress=False, copy=True)
    assert "annotation" not in adata.uns["pae"]
    changed.write_h5ad(tmp_path / "a.h5ad")
    back = get.annotation(ad.read_h5ad(tmp_path / "a.h5ad"))
    pd.testing.assert_frame_equal(back, get.annotation(changed), check_dtype=False)


def test_bad_input(adata):
    with pytest.raises(KeyError, match="annotate_components"):
        get.annotation(adata)
    with pytest.raises(KeyError, match="batch_key='x' is not a column"):
        tl.annotate_components(adata, batch_key="x")
    with pytest.raises(ValueError, match="technical=2 is out of range"):
        tl.annotate_components(adata, technical=2)
    adata.obs["one"] = "a"
    adata.obs["gaps"] = np.where(np.arange(adata.n_obs) % 3 == 0, None, adata.obs["batch"].astype(object))
    with pytest.warns(DataWarning, match=r"obs\['one'\] has 1 level"):
        tl.annotate_components(adata, batch_key=["one", "gaps"])
    table = get.annotation(adata)
    assert table["eta2_one"].isna().all()
    assert table["eta2_gaps"].notna().all()
    adata.X = None
    tl.annotate_components(adata, components=NAMES[0])
    assert get.annotation(adata)["r2_depth"].isna().all()
