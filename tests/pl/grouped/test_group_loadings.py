"""Genes × groups: which genes are drawn, in which order, and what is marked."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fitted import PATHWAYS
from group_slots import GROUPS, grouped_adata
from matplotlib.colors import to_hex
from plotted import labels

from pathwayae import get, pl
from pathwayae.pl import _axes


def test_the_image_holds_shared_loadings_and_those_of_each_group():
    adata = grouped_adata()
    ax = pl.group_loadings(adata, PATHWAYS[0], n_genes=12, show=False)
    table = get.group_loadings(adata, PATHWAYS[0])
    genes = labels(ax.get_yticklabels())
    assert len(genes) == len(set(genes)) == 12
    values = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(values[:, 0], table.drop_duplicates("gene").set_index("gene").loc[genes, "shared"])
    for j, group in enumerate(GROUPS):
        own = table[table["group"] == group].set_index("gene").loc[genes, "loading"]
        np.testing.assert_allclose(values[:, j + 1], own)
    assert labels(ax.get_xticklabels())[:2] == ["allgroups", "CD14+monocytes(60)"]
    assert ax.get_xlabel() == "cell_type (number of cells)"


def test_leading_genes_stand_above_and_below_are_those_that_differ():
    adata = grouped_adata()
    ax = pl.group_loadings(adata, PATHWAYS[0], n_genes=12, show=False)
    table = get.group_loadings(adata, PATHWAYS[0])
    shared = table.drop_duplicates("gene").set_index("gene")["shared"].sort_values(ascending=False)
    genes = labels(ax.get_yticklabels())
    assert genes[:6] == shared.index[:6].tolist()
    least = table.groupby("gene")["padj"].min()
    rest = least.drop(genes[:6]).sort_values()
    assert least[genes[6:]].max() <= rest.iloc[6:].min()


def test_triangles_stand_where_groups_differ_and_colours_of_names_say_who_is_a_member():
    adata = grouped_adata()
    ax = pl.group_loadings(adata, PATHWAYS[0], n_genes=100, show=False)
    genes = labels(ax.get_yticklabels())
    table = get.group_loadings(adata, PATHWAYS[0], max_padj=0.05)
    for marker, sign in (("^", 1), ("v", -1)):
        found = {(int(y), int(x)) for line in ax.lines if line.get_marker() == marker for x, y in line.get_xydata()}
        rows = table[sign * table["difference"] > 0]
        assert found == {
            (genes.index(g), GROUPS.index(c) + 1) for g, c in zip(rows["gene"], rows["group"], strict=True)
        }
        assert found
    member = get.group_loadings(adata, PATHWAYS[0]).drop_duplicates("gene").set_index("gene")["member"]
    for label in ax.get_yticklabels():
        assert to_hex(label.get_color(), keep_alpha=False) == (
            "#000000" if member[label.get_text()] else _axes.VERMILLION.lower()
        )
    words = [text.get_text() for text in ax.figure.legends[0].get_texts()]
    assert words == ["more than in the other groups", "less than in the other groups", "gene not in the set"]


def test_without_a_test_nothing_is_marked_and_what_is_not_carried_is_grey():
    adata = grouped_adata(tested=False)
    adata.uns["pae"]["group_loadings_params"]["reference"] = "NK"
    ax = pl.group_loadings(adata, PATHWAYS[1], GROUPS[2:], show=False)
    assert not [line for line in ax.lines if line.get_marker() in ("^", "v")]
    assert np.isnan(np.asarray(ax.images[0].get_array().filled(np.nan))[:, 2]).all()
    assert to_hex(ax.get_facecolor()) == "#d9d9d9"
    assert "not carried" in [text.get_text() for text in ax.figure.legends[0].get_texts()]
    with pytest.raises(ValueError, match=r"carried in none of these groups"):
        pl.group_loadings(adata, PATHWAYS[1], "NK", show=False)
    with pytest.raises(ValueError, match="n_genes must be at least 2"):
        pl.group_loadings(adata, PATHWAYS[1], n_genes=1, show=False)
    plt.close("all")


def test_on_axes_given_the_meaning_of_marks_stands_under_them():
    _, ax = plt.subplots()
    pl.group_loadings(grouped_adata(), PATHWAYS[1], n_genes=100, ax=ax, show=False)
    assert ax.get_xlabel().split("\n") == [
        "cell_type (number of cells)",
        "▲ more than in the other groups",
        "▼ less than in the other groups",
        "grey: not carried",
        "orange: gene not in the set",
    ]
    assert not ax.figure.legends
