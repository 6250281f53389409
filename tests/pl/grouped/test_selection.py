"""The marks on the plots are the numbers of the tables."""

import numpy as np
import pytest
from plotted import with_paths

from pathwayae import get, pl


@pytest.fixture
def adata():
    return with_paths()


def verticals(ax):
    return [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]


def test_theta_path_shows_the_table(adata):
    agreed, error = pl.theta_path(adata, show=False)
    table = get.theta_path(adata)
    for ax, column, se in ((agreed, "correlation", "correlation_se"), (error, "heldout_error", "se")):
        line, _, bars = ax.containers[0].lines
        np.testing.assert_array_equal(line.get_xdata(), table["theta"])
        np.testing.assert_array_equal(line.get_ydata(), table[column])
        heights = [segment[1, 1] - segment[0, 1] for segment in bars[0].get_segments()]
        np.testing.assert_allclose(heights, 2 * table[se])
        assert verticals(ax) == [0.3]
        assert ax.get_title() == "chosen: θ = 0.3"


def test_chance_is_drawn_only_where_it_is_near(adata):
    far = len(pl.theta_path(adata, show=False)[0].get_lines())
    adata.uns["pae"]["theta_path"]["correlation"] = [0.0, 0.02, 0.01]
    assert len(pl.theta_path(adata, show=False)[0].get_lines()) == far + 1


def test_n_extra_path_shows_the_table(adata):
    predicted, explained = pl.n_extra_path(adata, show=False)
    table = get.n_extra_path(adata)
    np.testing.assert_array_equal(predicted.lines[0].get_ydata(), table["predicted"])
    assert predicted.lines[1].get_xydata().tolist() == [[2, 0.22]]
    for line, column in zip(explained.lines, ("explained", "heldout_explained"), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), table[column])
    assert [text.get_text() for text in explained.get_legend().get_texts()] == ["training cells", "held-out cells"]
    assert verticals(predicted) == verticals(explained) == [2]
