"""Pathways against random sets, drawn from the table alone."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata
from matplotlib.colors import to_hex
from plotted import flat, labels

from pathwayae import pl
from pathwayae.pl import _axes

PVAL = [0.001, 0.5, 0.02, 0.001, 0.9, 0.3, 0.04]
PADJ = [0.004, 0.6, 0.05, 0.004, 0.9, 0.42, 0.07]
Z = [5.0, 0.1, 2.0, 9.0, -1.0, 0.5, 1.8]


@pytest.fixture
def adata():
    adata = fitted_adata()
    rng = np.random.default_rng(0)

    def with_free(values):
        return [*values, np.nan, np.nan]

    low = rng.uniform(-0.02, 0.0, 7)
    adata.uns["pae"]["relevance"] = pd.DataFrame(
        {
            "component": NAMES,
            "statistic": with_free(rng.uniform(-0.01, 0.3, 7)),
            "null_mean": with_free(low + 0.02),
            "null_low": with_free(low),
            "null_high": with_free(low + 0.05),
            "z": with_free(Z),
            "pval": with_free(PVAL),
            "padj": with_free(PADJ),
            "heldout_variance": rng.uniform(0, 0.1, 9),
            "heldout_se": rng.uniform(0, 0.01, 9),
            "heldout_unique": rng.normal(0, 0.01, 9),
            "heldout_unique_se": rng.uniform(0, 0.001, 9),
        }
    )
    return adata


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
    assert labels(pl.relevance(adata, n_pathways=2, show=False)[0].get_yticklabels()) == [
        flat(PATHWAYS[3]),
        flat(PATHWAYS[0]),
    ]
    with pytest.raises(ValueError, match="n must be at least 1, got 0"):
        pl.relevance(adata, n_pathways=0)


def test_draws_on_axes_given(adata):
    figure, given = plt.subplots(1, 3)
    assert list(pl.relevance(adata, ax=given, show=False)) == list(given)
    figure.canvas.draw()
    with pytest.raises(ValueError, match="3 panels"):
        pl.relevance(adata, ax=given[:2])


def test_names_are_not_cut_off(adata):
    axes = pl.relevance(adata, show=False)
    figure = axes[0].figure
    figure.canvas.draw()
    for text in [*axes[0].get_yticklabels(), *axes[0].get_legend().get_texts(), *(ax.xaxis.label for ax in axes)]:
        box = text.get_window_extent()
        assert box.x0 >= 0
        assert box.x1 <= figure.bbox.x1


def test_needs_what_it_draws():
    with pytest.raises(KeyError, match="pae.tl.relevance"):
        pl.relevance(fitted_adata())
