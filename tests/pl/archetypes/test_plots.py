"""Plots of archetypes hold the numbers of the slots, name what they show and cut nothing off."""

import numpy as np
import pandas as pd
import pytest
from archetypal_cells import archetypal
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex
from plotted import labels

from pathwayae import get, pl
from pathwayae.pl._archetypes.positions import positions
from pathwayae.pl._archetypes.simplex import polygon
from pathwayae.pl._cells import COLORS


def points(ax):
    """Places of the cells, in the order of the first collection with the most points."""
    return max((c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)), key=len)


def sorted_rows(values):
    values = np.round(np.asarray(values, dtype=float), 5)
    return values[np.lexsort(values.T)]


def inside(figure, texts):
    figure.canvas.draw()
    for text in texts:
        box = text.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.x1 + 1
        assert box.y1 <= figure.bbox.y1 + 1


@pytest.mark.parametrize("k", [3, 4, 7])
def test_cells_lie_at_the_mean_of_the_corners_of_a_regular_polygon_by_weight(k):
    corners = polygon(k)
    np.testing.assert_allclose(np.linalg.norm(corners, axis=1), 1)
    sides = np.linalg.norm(corners - np.roll(corners, 1, axis=0), axis=1)
    np.testing.assert_allclose(sides, sides[0])
    np.testing.assert_allclose(corners.sum(axis=0), 0, atol=1e-12)
    adata = archetypal(k)
    ax = pl.archetype_simplex(adata, show=False)
    np.testing.assert_allclose(points(ax), adata.obsm["X_archetypes"].astype(float) @ corners, atol=1e-6)
    assert [text.get_text() for text in ax.texts] == [str(j) for j in range(k)]
    inside(ax.figure, ax.texts)


def test_two_archetypes_are_the_ends_of_a_line():
    adata = archetypal(2)
    found = points(pl.archetype_simplex(adata, show=False))
    np.testing.assert_allclose(found[:, 0], adata.obsm["X_archetypes"] @ [-1.0, 1.0], atol=1e-6)
    assert np.abs(found[:, 1]).max() <= 0.12
    adata.obsm["X_archetypes"] = adata.obsm["X_archetypes"][:, :1]
    adata.uns["archetypes"]["component_names"] = np.array(["archetype_0"])
    with pytest.raises(ValueError, match="one archetype only"):
        pl.archetype_simplex(adata)


def test_groups_have_their_colours_and_a_legend():
    adata = archetypal()
    adata.obs.iloc[:3, 0] = np.nan
    ax = pl.archetype_simplex(adata, color="type", show=False)
    legend = ax.get_legend()
    assert legend.get_title().get_text() == "type"
    assert labels(legend.get_texts()) == [f"type/{j}" for j in range(4)]
    cells = next(c for c in ax.collections if isinstance(c, PathCollection))
    places = adata.obsm["X_archetypes"].astype(float) @ polygon(4)
    colour = {
        tuple(np.round(p, 5)): to_hex(c) for p, c in zip(cells.get_offsets(), cells.get_facecolors(), strict=True)
    }
    codes = adata.obs["type"].cat.codes
    for i, place in enumerate(np.round(places, 5)):
        expected = "#D0D0D0" if codes.iloc[i] < 0 else COLORS[codes.iloc[i]]
        assert colour[tuple(place)] == expected.lower()
    inside(ax.figure, [*legend.get_texts(), *ax.texts])
    adata.uns["type_colors"] = ["#111111", "#222222", "#333333", "#444444"]
    ax = pl.archetype_simplex(adata, color="type", show=False)
    assert [to_hex(handle.get_color()) for handle in ax.get_legend().legend_handles] == adata.uns["type_colors"]


@pytest.mark.parametrize("color", ["depth", "g3"])
def test_numbers_and_genes_are_colours_in_order(color):
    adata = archetypal()
    ax = pl.archetypes(adata, color=color, show=False)
    cells = max((c for c in ax.collections if isinstance(c, PathCollection)), key=lambda c: len(c.get_offsets()))
    values = np.asarray(cells.get_array())
    assert (np.diff(values) >= 0).all()
    own = adata.obs["depth"] if color == "depth" else adata[:, "g3"].X.ravel()
    np.testing.assert_allclose(values, np.sort(own), rtol=1e-6)
    np.testing.assert_allclose(sorted_rows(cells.get_offsets()), sorted_rows(adata.obsm["X_umap"]))


def test_archetypes_lie_where_the_fit_has_them_with_their_draws():
    adata = archetypal()
    ax = pl.archetypes(adata, basis="pca", dims=(1, 2), show=False)
    diamonds = [line for line in ax.lines if line.get_marker() == "D"]
    at = np.array([(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds])
    np.testing.assert_allclose(at, adata.uns["archetypes"]["coordinates"][:, 1:3])
    assert len(ax.lines) == 4 + 6  # every pair is joined
    crosses = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)][-1]
    np.testing.assert_allclose(crosses, adata.uns["archetypes"]["bootstrap"][:, :, 1:3].reshape(-1, 2), rtol=1e-6)
    assert ax.get_xlabel() == "PCA 2"


def test_on_another_embedding_they_lie_among_their_cells():
    adata = archetypal()
    ax = pl.archetypes(adata, draws=False, show=False)
    at = np.array([(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines])
    expected = positions(adata, "umap", key="archetypes").iloc[:, 2:].to_numpy(float)
    np.testing.assert_allclose(at, expected)
    weights = pd.DataFrame(adata.obsm["X_archetypes"])
    own = adata.obsm["X_umap"][weights.idxmax(axis=1).to_numpy() == 0]  # no corner of the hull: among its own cells
    assert (own.min(axis=0) <= expected[0]).all()
    assert (expected[0] <= own.max(axis=0)).all()
    assert len(points(ax)) == adata.n_obs
    with pytest.raises(ValueError, match="dims must be two columns"):
        pl.archetypes(adata, dims=(0, 2))
    with pytest.raises(KeyError, match="basis='tsne'"):
        pl.archetypes(adata, basis="tsne")
    with pytest.raises(KeyError, match="color='nothing' is no column"):
        pl.archetypes(adata, color="nothing")
    del adata.uns["archetypes"]["bootstrap"]
    pl.archetypes(adata, show=False)
    with pytest.raises(KeyError, match="pae.tl.archetype_trust"):
        pl.archetypes(adata, draws=True)


@pytest.mark.parametrize("kind", ["gene", "pathway"])
def test_profiles_are_standardised_values(kind):
    adata = archetypal()
    ax = pl.archetype_profiles(adata, of=kind, n_features=2, show=False)
    top = get.archetype_features(adata, of=kind, n_features=2)["feature"].drop_duplicates().tolist()
    assert labels(ax.get_yticklabels()) == [name.removeprefix("HALLMARK_") for name in top]  # all have it
    table = get.archetype_features(adata, of=kind).pivot_table(index="feature", columns="archetype", values="value")
    values = table.loc[top].to_numpy()
    expected = (values - values.mean(axis=1, keepdims=True)) / values.std(axis=1, keepdims=True)
    np.testing.assert_allclose(np.asarray(ax.images[0].get_array()), expected)
    assert ax.images[0].get_clim()[1] == pytest.approx(np.abs(expected).max())
    inside(ax.figure, [*ax.get_yticklabels(), ax.xaxis.label])


def test_profiles_of_names_given():
    adata = archetypal()
    assert labels(pl.archetype_profiles(adata, features=["g7", "g0"], show=False).get_yticklabels()) == ["g7", "g0"]
    with pytest.raises(KeyError, match="no gene 'x' was tested"):
        pl.archetype_profiles(adata, features=["x"])
    adata.uns["archetypes"]["features"] = adata.uns["archetypes"]["features"].query("kind == 'pathway'")
    with pytest.raises(ValueError, match="No gene to show"):
        pl.archetype_profiles(adata)
    del adata.uns["archetypes"]["features"]
    with pytest.raises(KeyError, match="pae.tl.archetype_features"):
        pl.archetype_profiles(adata)


def test_weights_by_group_are_means_that_sum_to_one():
    adata = archetypal()
    adata.obs.iloc[:5, 0] = np.nan
    ax = pl.archetype_weights(adata, "type", show=False)
    shown = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(shown.sum(axis=1), 1, rtol=1e-5)
    weights = pd.DataFrame(adata.obsm["X_archetypes"]).groupby(adata.obs["type"].to_numpy(), observed=True).mean()
    np.testing.assert_allclose(shown, weights.to_numpy(), rtol=1e-5)  # each type leads at its own archetype
    counts = adata.obs["type"].value_counts()
    assert labels(ax.get_yticklabels()) == [f"type/{j}({counts[f'type / {j}']})" for j in range(4)]
    inside(ax.figure, [*ax.get_yticklabels(), ax.yaxis.label])
    with pytest.raises(KeyError, match="groupby='donor' is not a column"):
        pl.archetype_weights(adata, "donor")
    with pytest.raises(ValueError, match="holds numbers"):
        pl.archetype_weights(adata, "depth")


def test_selection_shows_the_table_and_marks_the_choice():
    adata = archetypal()
    axes = pl.archetype_selection(adata, show=False)
    table = get.archetype_selection(adata)
    for ax, column, ringed in ((axes[0], "explained_variance", 3), (axes[1], "bic", 4)):
        curve, ring, chosen = ax.lines
        np.testing.assert_array_equal(curve.get_xdata(), table["n_archetypes"])
        np.testing.assert_array_equal(curve.get_ydata(), table[column])
        assert ring.get_xdata().tolist() == [ringed]
        assert list(chosen.get_xdata()) == [4, 4]
    outline, filled = axes[2].containers
    assert [bar.get_height() for bar in outline] == [2, 3, 4, 5]
    assert [bar.get_height() for bar in filled] == [2, 3, 4, 3]
    adata.uns["archetypes_selection"]["table"]["n_stable"] = np.nan  # without draws
    assert len(pl.archetype_selection(adata, show=False)) == 2
