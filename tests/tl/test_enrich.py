import anndata as ad
import numpy as np
import pandas as pd
import pytest
from fitted import PATHWAYS, fitted_adata, member_sets

from pathwayae import get
from pathwayae.core.enrichment.tables import COLUMNS
from pathwayae.tl._enrich import enrich


@pytest.fixture
def adata():
    return fitted_adata()


@pytest.mark.parametrize("method", ["prerank", "ora"])
def test_pathways_find_themselves(adata, method):
    x = adata.X.copy()
    assert enrich(adata, member_sets(adata), method=method, n_genes=20) is None
    table = get.enrichment(adata)
    assert tuple(table.columns) == COLUMNS
    assert set(table["method"]) == {method}
    best = table.drop_duplicates("component").set_index("component")
    for name in PATHWAYS:
        assert best.loc[name, "term"] == name
        assert best.loc[name, "n_genes"] == 20
        assert best.loc[name, "padj"] < 0.05
    np.testing.assert_array_equal(adata.X, x)


def test_words_are_stored_as_categories_and_returned_as_strings(adata):
    enrich(adata, member_sets(adata), method="ora", n_genes=20)
    words = ["component", "term", "method", "direction", "genes"]
    assert (adata.uns["pae"]["enrichment"][words].dtypes == "category").all()
    for table in (get.enrichment(adata), get.enrichment(adata, PATHWAYS[0], max_padj=0.5)):
        assert all(table[name].dtype.kind == "O" and isinstance(table[name].iloc[0], str) for name in words)


def test_genes_outside_the_model_are_not_tested(adata):
    outside = adata.var_names[-10:].tolist()
    enrich(adata, {"half": outside + adata.var_names[:10].tolist()}, method="ora", n_genes=20)
    assert set(get.enrichment(adata)["n_genes"]) == {10}
    with pytest.raises(ValueError, match="0 of the 10 genes"):
        enrich(adata, {"outside": outside})


def test_names_come_from_the_symbols_of_the_fit(adata):
    by_id = fitted_adata(symbols=True)
    for each in (adata, by_id):
        enrich(each, member_sets(each), method="ora", n_genes=20)
    pd.testing.assert_frame_equal(get.enrichment(by_id), get.enrichment(adata))


def test_repeated_symbols_are_represented_by_the_larger_loading(caplog):
    adata = fitted_adata(symbols=True)
    adata.var.iloc[0, adata.var.columns.get_loc("symbol")] = "GENE1"
    adata.varm["pae_loadings"][:2] = 0
    adata.varm["pae_loadings"][0, 0] = 9
    enrich(adata, {"a": [f"GENE{i}" for i in range(1, 11)]}, method="ora", components=PATHWAYS[0], n_genes=1)
    assert get.enrichment(adata)["genes"].tolist() == ["GENE1"]
    assert "1 genes share their name" in caplog.text


def test_a_copy_leaves_the_input_alone_and_components_can_be_chosen(adata, watched, capsys):
    before = set(adata.uns["pae"])
    options = {"method": "ora", "n_genes": 20, "components": ["free_1", "B cells"]}
    changed = enrich(adata, member_sets(adata), **options, copy=True)
    assert "enrich: " in capsys.readouterr().err  # the bar
    assert set(adata.uns["pae"]) == before
    assert get.enrichment(changed)["component"].drop_duplicates().tolist() == ["free_1", "B cells"]
    enrich(adata, member_sets(adata), **options, progress=False)
    assert capsys.readouterr().err == ""


def test_the_table_survives_files_and_another_order_of_genes(adata, tmp_path):
    shuffled = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    for each in (adata, shuffled):
        enrich(each, member_sets(adata), method="prerank", n_permutations=50)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for back in (shuffled, ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")):
        pd.testing.assert_frame_equal(get.enrichment(back), get.enrichment(adata), check_dtype=False)
    assert adata.uns["pae"]["enrichment_params"]["max_genes"] == ""


def test_arguments_are_checked(adata):
    sets = member_sets(adata)
    with pytest.raises(KeyError, match=r"pae\.tl\.fit"):
        enrich(adata, sets, key="other")
    with pytest.raises(KeyError, match="closest: 'B cells'"):
        enrich(adata, sets, components="b cels")
    with pytest.raises(ValueError, match="'prerank', 'ora'"):
        enrich(adata, sets, method="gsea")
    for name in ("n_genes", "min_genes", "n_permutations"):
        with pytest.raises(ValueError, match=f"{name}=0 is out of range"):
            enrich(adata, sets, **{name: 0})
    with pytest.raises(ValueError, match="n_genes must be between"):
        enrich(adata, sets, method="ora", n_genes=10_000)
    with pytest.raises(ValueError, match="None of the 7 gene sets can be tested: .* 7 too many"):
        enrich(adata, sets, max_genes=6)  # all have 20
    assert "enrichment" not in adata.uns["pae"]


def test_archetypes_are_tested_by_what_sets_them_apart():
    rng = np.random.default_rng(0)
    genes = [f"GENE{i}" for i in range(60)]
    profiles = np.repeat(rng.gamma(2.0, 5.0, (60, 1)), 3, axis=1)  # housekeeping genes are high in all archetypes
    sets = {f"set {j}": genes[10 * j : 10 * j + 8] for j in range(3)}
    for j in range(3):
        profiles[10 * j : 10 * j + 8, j] += 3.0
    profiles[50:] = 0  # outside the model
    adata = ad.AnnData(np.zeros((4, 60)), var=pd.DataFrame(index=genes))
    adata.varm["archetypes"] = profiles.astype(np.float32)
    names = np.array(["archetype_0", "archetype_1", "archetype_2"], dtype=object)
    adata.uns["archetypes"] = {"params": {"model": "archetypes"}, "component_names": names}
    for method in ("prerank", "ora"):
        enrich(adata, sets, key="archetypes", method=method, n_genes=8)
        table = adata.uns["archetypes"]["enrichment"]
        best = table.sort_values(["pval", "score"], ascending=[True, False]).drop_duplicates("component")
        assert dict(zip(best["component"], best["term"], strict=True)) == {
            f"archetype_{j}": f"set {j}" for j in range(3)
        }
    with pytest.raises(ValueError, match="0 of the 10 genes"):
        enrich(adata, {"outside": genes[50:]}, key="archetypes")
    del adata.varm["archetypes"]
    for obsm, message in (
        ("", r"varm\['archetypes'\].* is missing: run pae\.tl"),
        ("X_own", "nothing is known about genes"),
    ):
        adata.uns["archetypes"]["params"]["obsm"] = obsm
        with pytest.raises(KeyError, match=message):
            enrich(adata, sets, key="archetypes")
