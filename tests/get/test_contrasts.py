"""``pae.get.rank_pathways``: rows chosen and sorted, and copies."""

import numpy as np
import pandas as pd
import pytest
from fitted import fitted_adata

import pathwayae as pae


@pytest.fixture(scope="module")
def cells():
    """Seven pathways and two free components; four cell types; eight donors in two conditions."""
    adata = fitted_adata()
    rng = np.random.default_rng(0)
    adata.obs["donor"] = rng.permutation(np.arange(240) % 8).astype(str)
    adata.obs["condition"] = rng.choice(["a", "b"], 240)
    adata.X = None
    pae.tl.rank_pathways(adata, "condition", reference="a", sample_key="donor", within="cell_type")
    return adata


def test_rows_are_sorted_and_chosen(cells):
    table = pae.get.rank_pathways(cells)
    assert len(table) == 9 * 4
    assert table["p"].is_monotonic_increasing
    assert table.index.tolist() == list(range(36))
    assert not (table.dtypes == "category").any()
    own = pae.get.rank_pathways(cells, group="b", within="NK")
    pd.testing.assert_frame_equal(own, table[table["within"] == "NK"].reset_index(drop=True))
    cutoff = float(table["padj"].quantile(0.3))
    assert (pae.get.rank_pathways(cells, max_padj=cutoff)["padj"] <= cutoff).all()


def test_tables_are_copies(cells):
    table = pae.get.rank_pathways(cells)
    table.loc[:, "effect"] = 0.0
    assert (pae.get.rank_pathways(cells)["effect"] != 0.0).all()


def test_genes_come_in_the_order_of_their_pathways():
    adata = pae.datasets.simulate(300, 400, 6, n_donors=4, n_cell_types=3)
    pae.tl.fit(adata, "pathways", n_extra=1, progress=False)
    pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    table, genes = pae.get.rank_pathways(adata), pae.get.rank_pathways(adata, of="genes")
    assert len(genes) == 10 * len(table)
    ids = ["pathway", "group", "within"]
    assert genes[ids].drop_duplicates().to_numpy().tolist() == table[ids].to_numpy().tolist()
    first = genes.groupby(ids, sort=False).first().reset_index()
    assert first["gene"].tolist() == table["gene"].tolist()
    few = pae.get.rank_pathways(adata, of="genes", max_padj=0.01, group="type_1")
    assert set(few["pathway"]) == set(pae.get.rank_pathways(adata, max_padj=0.01, group="type_1")["pathway"])


@pytest.mark.parametrize(
    ("asked", "error", "says"),
    [
        ({"group": "c"}, ValueError, "group='c' was not compared; choose one of 'b'"),
        ({"within": "T"}, ValueError, "within='T' was not compared"),
        ({"max_padj": 2}, ValueError, "between 0 and 1"),
        ({"of": "cells"}, ValueError, "of='cells' is not known"),
        ({"key": "other"}, KeyError, "No fit"),
        ({"key_added": "markers"}, KeyError, "key_added='markers'"),
    ],
)
def test_bad_input_is_refused(cells, asked, error, says):
    with pytest.raises(error, match=says):
        pae.get.rank_pathways(cells, **asked)
