"""The marks on the plots are the numbers of the tables."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import fitted_adata

from pathwayae import get, pl


@pytest.fixture
def adata():
    adata = fitted_adata()
    theta = np.array([0.1, 0.3, 0.5])
    adata.uns["pae"]["theta_path"] = pd.DataFrame(
        {"theta": theta, "heldout_error": [0.61, 0.62, 0.66], "se": 0.01, "auc": [0.8, 0.84, 0.7], "auc_se": 0.02}
        | {"inside": theta, "as_good": theta == 0.3, "chosen": theta == 0.3}
    )
    number = np.arange(6)
    adata.uns["pae"]["n_extra_path"] = pd.DataFrame(
        {"n_extra": number, "explained": 0.3 + number / 20, "heldout_explained": 0.3 + number / 40}
        | {"predicted": [0.1, 0.2, 0.22, 0.21, 0.19, 0.15], "se": 0.005, "chosen": number == 2}
    )
    return adata


def verticals(ax):
    return [line.get_xdata()[0] for line in ax.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]


def test_theta_path_shows_the_table(adata):
    recovery, error = pl.theta_path(adata, show=False)
    table = get.theta_path(adata)
    for ax, column, se in ((recovery, "auc", "auc_se"), (error, "heldout_error", "se")):
        line, _, bars = ax.containers[0].lines
        np.testing.assert_array_equal(line.get_xdata(), table["theta"])
        np.testing.assert_array_equal(line.get_ydata(), table[column])
        heights = [segment[1, 1] - segment[0, 1] for segment in bars[0].get_segments()]
        np.testing.assert_allclose(heights, 2 * table[se])
        assert verticals(ax) == [0.3]
        assert ax.get_title() == "chosen: θ = 0.3"


def test_chance_is_drawn_only_where_it_is_near(adata):
    assert len(pl.theta_path(adata, show=False)[0].get_lines()) + 1 == len(_near(adata)[0].get_lines())


def _near(adata):
    adata.uns["pae"]["theta_path"]["auc"] = [0.5, 0.52, 0.51]
    return pl.theta_path(adata, show=False)


def test_n_extra_path_shows_the_table(adata):
    predicted, explained = pl.n_extra_path(adata, show=False)
    table = get.n_extra_path(adata)
    np.testing.assert_array_equal(predicted.lines[0].get_ydata(), table["predicted"])
    assert predicted.lines[1].get_xydata().tolist() == [[2, 0.22]]
    for line, column in zip(explained.lines, ("explained", "heldout_explained"), strict=False):
        np.testing.assert_array_equal(line.get_ydata(), table[column])
    assert [text.get_text() for text in explained.get_legend().get_texts()] == ["training cells", "held-out cells"]
    assert verticals(predicted) == verticals(explained) == [2]


@pytest.mark.parametrize("plot", [pl.theta_path, pl.n_extra_path])
def test_draws_on_axes_given_shows_when_asked_and_fits_the_figure(adata, plot, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    _, given = plt.subplots(1, 2)
    assert plot(adata, ax=given, show=False) == list(given)
    assert not shown
    axes = plot(adata, show=True)
    assert shown == [1]
    figure = axes[0].figure
    figure.canvas.draw()
    for ax in axes:
        box = ax.get_tightbbox()
        assert box.x0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1
    with pytest.raises(ValueError, match="2 panels"):
        plot(adata, ax=given[0], show=False)
    with pytest.raises(KeyError, match="No "):
        plot(fitted_adata(), show=False)
