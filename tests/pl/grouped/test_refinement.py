import numpy as np
import pytest
from fitted import PATHWAYS
from matplotlib.colors import to_hex
from matplotlib.text import Text
from plotted import flat, labels
from refined_slots import refined_adata

from pathwayae import get, pl
from pathwayae.pl._grouped.refinement import STYLE, _apart


@pytest.fixture(scope="module")
def adata():
    return refined_adata()


def test_bars_are_the_numbers_of_the_table_the_best_carried_on_top(adata):
    ax = pl.refinement(adata, show=False)
    table = get.refinement(adata, of="pathways").sort_values("heldout_auc", ascending=False, ignore_index=True)
    assert labels(ax.get_yticklabels()) == [flat(name) for name in table["pathway"]]
    assert ax.get_ylim()[0] > ax.get_ylim()[1]
    end = np.zeros(len(table))
    for bars in ax.containers:
        widths = np.array([bar.get_width() for bar in bars])
        sign = -1 if bars.get_label() == "dropped" else 1
        np.testing.assert_array_equal(widths, sign * table[f"n_{bars.get_label()}"])
        if sign > 0:
            np.testing.assert_array_equal([bar.get_x() for bar in bars], end)
            end += widths
    sets = get.refined(adata)
    np.testing.assert_array_equal(end, [len(sets[name]) for name in table["pathway"]])
    written = {text.get_text(): text for text in ax.texts}
    for auc, verdict in zip(table["heldout_auc"], table["verdict"], strict=True):
        assert (written[f"{auc:.2f}"].get_fontweight() == "bold") == (verdict == "carried")
    few = pl.refinement(adata, n_pathways=3, show=False)
    assert len(few.get_yticks()) == 3
    assert few.get_title(loc="left").startswith(f"3 of {len(PATHWAYS)} pathways")


def test_every_gene_is_a_point_at_its_evidence_and_prior(adata):
    name = PATHWAYS[1]
    ax = pl.refinement(adata, name, show=False)
    table = get.refinement(adata, name, everything=True)
    expected = {tuple(row): call for *row, call in table[["evidence", "prior", "call"]].itertuples(index=False)}
    drawn = {}
    for points in ax.collections:
        shown = next(call for call, (color, _) in STYLE.items() if to_hex(points.get_facecolor()[0]) == color.lower())
        drawn |= {tuple(row): shown for row in np.asarray(points.get_offsets())}
    assert drawn == expected
    line = ax.lines[0]
    assert (line.get_xy1(), line.get_slope()) == ((0, 0), -1)  # prior + evidence = 0


def test_names_are_the_likeliest_others_and_the_least_likely_annotated(adata):
    ax = pl.refinement(adata, PATHWAYS[0], n_genes=4, show=False)
    table = get.refinement(adata, PATHWAYS[0], everything=True)
    likely, doubtful = table[~table["annotated"]]["gene"][:4], table[table["annotated"]]["gene"][-4:]
    assert {text.get_text() for text in ax.texts} == {*likely, *doubtful}
    ax.figure.canvas.draw()
    boxes = [Text.get_window_extent(text) for text in ax.texts]  # without the lines that lead to the points
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    for box in boxes:
        assert box.x0 >= 0
        assert box.x1 <= ax.figure.bbox.width


def test_a_panel_per_pathway(adata):
    axes = pl.refinement(adata, PATHWAYS[:3], n_genes=0, show=False)
    assert [flat(ax.get_title()).split("held-out")[0] for ax in axes] == [flat(name) for name in PATHWAYS[:3]]
    assert not any(ax.texts for ax in axes)
    with pytest.raises(ValueError, match="n_pathways"):
        pl.refinement(adata, n_pathways=0)


def test_heights_are_apart_and_as_near_as_can_be():
    np.testing.assert_allclose(_apart(np.array([0.2, 0.5, 0.8]), 0.1), [0.2, 0.5, 0.8])
    np.testing.assert_allclose(_apart(np.array([0.5, 0.5, 0.5]), 0.1), [0.4, 0.5, 0.6])
    np.testing.assert_allclose(_apart(np.array([-1.0, 2.0]), 0.1), [0.05, 0.95])
    np.testing.assert_allclose(_apart(np.array([0.98, 0.99]), 0.1), [0.85, 0.95])
