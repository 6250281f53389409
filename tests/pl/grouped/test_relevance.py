"""Pathways against random sets, drawn from the table alone."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from fitted import PATHWAYS
from matplotlib.colors import to_hex
from plotted import PADJ, flat, labels, relevant

from pathwayae import pl
from pathwayae.pl import _axes


@pytest.fixture
def adata():
    return relevant()


def dots(axes):
    """(x, y) → colour of every dot of the first panel."""
    return {
        tuple(np.round(point, 6)): to_hex(found.get_edgecolor()[0])
        for found in axes.collections
        if hasattr(found, "get_sizes") and len(found.get_offsets())
        for point in found.get_offsets()
        if len(found.get_sizes()) and found.get_sizes()[0] > 20
    }


def test_pathways_are_sorted_by_significance_and_free_components_left_out(adata):
    axes = pl.relevance(adata, show=False)
    order = [3, 0, 2, 6, 5, 1, 4]
    assert labels(axes[0].get_yticklabels()) == [flat(PATHWAYS[j]) for j in order]
    assert axes[0].get_ylim()[0] > axes[0].get_ylim()[1]  # the first on top


def test_dots_are_the_statistics_and_colours_say_which_are_found(adata):
    axes = pl.relevance(adata, show=False)
    table = adata.uns["pae"]["relevance"]
    expected = {
        (round(table["statistic"][j], 6), float(row)): (_axes.BLUE if PADJ[j] <= 0.05 else _axes.VERMILLION).lower()
        for row, j in enumerate([3, 0, 2, 6, 5, 1, 4])
    }
    assert dots(axes[0]) == expected


def test_the_axis_of_coherence_is_a_root_with_honest_ticks(adata):
    axes = pl.relevance(adata, show=False)
    transform = axes[0].xaxis.get_transform()
    np.testing.assert_allclose(transform.transform(np.array([-0.04, 0.0, 0.25])), [-0.2, 0.0, 0.5])
    np.testing.assert_allclose(transform.inverted().transform(np.array([-0.2, 0.0, 0.5])), [-0.04, 0.0, 0.25])
    plt.gcf().canvas.draw()
    assert [float(tick.get_text()) for tick in axes[0].get_xticklabels()] == list(axes[0].get_xticks())
    assert "root axis" in axes[0].get_xlabel()


@pytest.mark.parametrize(("panel", "value"), [(1, "heldout_variance"), (2, "heldout_unique")])
def test_shares_of_cells_left_out_have_two_standard_errors(adata, panel, value):
    ax = pl.relevance(adata, show=False)[panel]
    table = adata.uns["pae"]["relevance"]
    error = "heldout_se" if panel == 1 else "heldout_unique_se"
    found = sorted(
        (line.get_xdata()[i], line.get_ydata()[i], *segments[i][:, 0])
        for line, _, bars in ax.containers
        for segments in [bars[0].get_segments()]
        for i in range(len(segments))
    )
    expected = sorted(
        (table[value][j], row, table[value][j] - 2 * table[error][j], table[value][j] + 2 * table[error][j])
        for row, j in enumerate([3, 0, 2, 6, 5, 1, 4])
    )
    np.testing.assert_allclose(found, expected)


def test_as_many_pathways_as_asked_for(adata):
    axes = pl.relevance(adata, n_pathways=2, show=False)
    assert labels(axes[0].get_yticklabels()) == [flat(PATHWAYS[3]), flat(PATHWAYS[0])]
    with pytest.raises(ValueError, match="n_pathways must be at least 1, got 0"):
        pl.relevance(adata, n_pathways=0)
