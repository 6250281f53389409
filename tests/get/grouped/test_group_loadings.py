"""Tables of loadings by group, from slots made by hand."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from fitted import PATHWAYS, fitted_adata
from group_slots import GROUPS, grouped_adata

from pathwayae import get

COLUMNS = ["pathway", "group", "gene", "member", "loading", "shared", "reference", "difference", "se", "pval", "padj"]


def test_the_table_holds_every_pair_in_every_group_most_of_it_first():
    adata = grouped_adata()
    entry = adata.uns["pae"]["group_loadings"]
    table = get.group_loadings(adata)
    assert table.columns.tolist() == [*COLUMNS, "n_samples", "n_cells"]
    assert len(table) == entry["loading"].size
    assert table["pathway"].drop_duplicates().tolist() == PATHWAYS
    assert table["group"].drop_duplicates().tolist() == GROUPS
    for (pathway, group), rows in table.groupby(["pathway", "group"], observed=True):
        j, c = PATHWAYS.index(pathway), GROUPS.index(group)
        own = np.flatnonzero(entry["pathway"] == j)
        expected = pd.Series(entry["loading"][own, c], entry["gene"][own])
        np.testing.assert_array_equal(rows["loading"], expected[rows["gene"]])
        assert rows["difference"].dropna().is_monotonic_decreasing
        np.testing.assert_allclose(rows["difference"], rows["loading"] - rows["reference"])
        assert set(rows.loc[rows["member"], "gene"]) == set(entry["gene"][own][entry["member"][own]])


def test_it_can_be_asked_for_some_and_is_a_copy():
    adata = grouped_adata()
    table = get.group_loadings(adata, PATHWAYS[2], ["NK", "CD4 T cells"], max_padj=0.05)
    assert table["pathway"].unique().tolist() == [PATHWAYS[2]]
    assert set(table["group"]) == {"NK", "CD4 T cells"}
    assert (table["padj"] <= 0.05).all()
    assert table.index.tolist() == list(range(len(table)))
    table["loading"] = 0.0
    assert get.group_loadings(adata)["loading"].abs().max() > 0


def test_the_other_table_says_where_a_pathway_is_carried():
    table = get.group_loadings(grouped_adata(), of="groups")
    assert table.columns.tolist() == ["pathway", "group", "n_cells", "n_samples", "sd", "reliability", "carried"]
    assert len(table) == len(PATHWAYS) * 4
    assert table.loc[~table["carried"], ["pathway", "group"]].to_numpy().tolist() == [[PATHWAYS[1], "NK"]]


@pytest.mark.filterwarnings("ignore:Writing zarr v2")
def test_slots_survive_a_file(tmp_path):
    adata = grouped_adata()
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    for back in (ad.read_h5ad(tmp_path / "a.h5ad"), ad.read_zarr(tmp_path / "a.zarr")):
        for of in ("genes", "groups"):
            found, expected = get.group_loadings(back, of=of), get.group_loadings(adata, of=of)
            pd.testing.assert_frame_equal(found, expected, check_dtype=False)
    pd.testing.assert_frame_equal(get.group_loadings(adata[:3, ::2].copy()), get.group_loadings(adata))


def test_what_is_not_there_is_refused_with_the_nearest_names():
    with pytest.raises(KeyError, match=r"run pae\.tl\.group_loadings\(adata, groupby, key='pae'\) first"):
        get.group_loadings(fitted_adata())
    adata = grouped_adata()
    with pytest.raises(KeyError, match="not asked for pathway 'B cell'.*closest: 'B cells'"):
        get.group_loadings(adata, "B cell")
    with pytest.raises(KeyError, match="not asked for group 'CD4 T'.*closest: 'CD4 T cells'"):
        get.group_loadings(adata, groups="CD4 T")
    with pytest.raises(ValueError, match="at least one entry"):
        get.group_loadings(adata, [])
    with pytest.raises(ValueError, match="of='cells' is not known"):
        get.group_loadings(adata, of="cells")
    with pytest.raises(ValueError, match="max_padj must be between"):
        get.group_loadings(adata, max_padj=2)
