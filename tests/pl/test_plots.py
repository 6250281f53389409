import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import FREE, NAMES, PATHWAYS, fitted_adata
from matplotlib.colors import to_hex
from plotted import enriched, flat, genes_of, labels

from pathwayae import get, pl
from pathwayae.pl import _axes
from pathwayae.pl._grouped.loadings import ADDED, MEMBER
from pathwayae.pl._grouped.loadings import FREE as FREE_GENE


@pytest.fixture
def adata():
    return fitted_adata()


def test_loadings_show_top_genes_and_tell_members_from_added(adata):
    axes = pl.loadings(adata, [PATHWAYS[0], "free_1"], n_genes=12, show=False)
    assert len(axes) == 2
    table = get.top_genes(adata, PATHWAYS[0], n_genes=12)
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == table["gene"].tolist()
    assert flat(axes[0].get_title()) == flat(PATHWAYS[0] + genes_of(adata, PATHWAYS[0]))
    lines = {line.get_label(): line for line in axes[0].lines}
    for kind, rows in ((MEMBER, table["member"]), (ADDED, ~table["member"])):
        np.testing.assert_array_equal(lines[kind].get_xdata(), table.loc[rows, "loading"])
        np.testing.assert_array_equal(lines[kind].get_ydata(), np.flatnonzero(rows))
    assert lines[MEMBER].get_color() != lines[ADDED].get_color()
    assert lines[MEMBER].get_markerfacecolor() == lines[MEMBER].get_color()
    assert to_hex(lines[ADDED].get_markerfacecolor()) == "#ffffff"
    assert FREE_GENE in {line.get_label() for line in axes[1].lines}
    (legend,) = axes[0].figure.legends
    assert [text.get_text() for text in legend.get_texts()] == [MEMBER, ADDED, FREE_GENE]


def test_loadings_leave_out_what_is_next_to_nothing(adata):
    values = adata.varm["pae_loadings"]
    values[:, 0] = 0.0
    values[:4, 0] = [0.5, 0.2, 0.005, 0.0049]
    axes = pl.loadings(adata, NAMES[:2], n_genes=8, show=False)
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == ["GENE0", "GENE1", "GENE2"]
    assert len(axes[1].get_yticklabels()) == 8
    assert axes[0].get_ylim() == axes[1].get_ylim()  # rows of the same height
    assert axes[0].get_xlim()[1] >= 0.5 * 1.04
    assert axes[0].get_xlim()[0] == 0
    values[:, 0] = 0.0
    assert len(pl.loadings(adata, NAMES[0], show=False).get_yticklabels()) == 0


def test_loadings_take_the_pathways_with_most_variance_and_titles_name_flags(adata):
    axes = pl.loadings(adata, show=False)
    table = get.variance(adata).query("kind == 'pathway'").nlargest(6, "variance_ratio")
    assert [flat(ax.get_title()) for ax in axes] == [flat(name + genes_of(adata, name)) for name in table["component"]]
    adata.uns["pae"]["pathways"].loc[0, "flag"] = "one gene"
    ax = pl.loadings(adata, PATHWAYS[0], show=False)
    assert ax.get_title().endswith(f"{genes_of(adata, PATHWAYS[0])}: one gene")


def test_panels_need_as_many_axes(adata):
    _, axes = plt.subplots(1, 2)
    assert list(pl.loadings(adata, NAMES[:2], ax=axes, show=False)) == list(axes)
    for plot in (pl.loadings, pl.embedding):
        with pytest.raises(ValueError, match="has 3 panels: ax must be a sequence of 3"):
            plot(adata, NAMES[:3], ax=axes[0], show=False)
        with pytest.raises(ValueError, match="ncols"):
            plot(adata, NAMES[:3], ncols=0, show=False)


def test_scores_are_means_of_z_scores(adata):
    ax = pl.scores(adata, "cell_type", show=False)
    rows = labels(ax.get_yticklabels())
    assert sorted(rows) == sorted(map(flat, PATHWAYS))
    table = get.scores(adata).astype(float)[PATHWAYS]
    means = ((table - table.mean()) / table.std(ddof=0)).groupby(adata.obs["cell_type"], observed=True).mean().T
    means.index = [flat(name) for name in means.index]
    drawn = np.asarray(ax.images[0].get_array())
    np.testing.assert_allclose(drawn, means.loc[rows].to_numpy())
    assert (np.diff(drawn.argmax(axis=1)) >= 0).all()  # blocks
    low, high = ax.images[0].get_clim()
    assert low == -high
    groups = adata.obs["cell_type"].cat.categories
    assert labels(ax.get_xticklabels()) == [flat(f"{name} ({60})") for name in groups]


def test_scores_choose_what_differs_between_groups(adata):
    adata.obsm["X_pae"][:, 3] = 0.0
    assert len(pl.scores(adata, "cell_type", n_pathways=3, show=False).images[0].get_array()) == 3
    ax = pl.scores(adata, "cell_type", n_pathways=len(PATHWAYS) - 1, show=False)
    assert not {flat(name) for name in FREE} & set(labels(ax.get_yticklabels()))
    assert flat(NAMES[3]) not in labels(ax.get_yticklabels())
    ax = pl.scores(adata, "cell_type", components=["free_1", NAMES[3]], standard_scale=False, show=False)
    drawn = dict(zip(labels(ax.get_yticklabels()), np.asarray(ax.images[0].get_array()), strict=True))
    expected = get.scores(adata)["free_1"].astype(float).groupby(adata.obs["cell_type"], observed=True).mean()
    np.testing.assert_allclose(drawn["free_1"], expected)
    np.testing.assert_array_equal(drawn[flat(NAMES[3])], 0)


def colorbar_of(ax):
    return ax.images[0].colorbar


def test_scores_do_not_pale_for_a_small_extreme_group(adata):
    few = np.flatnonzero(adata.obs["cell_type"] == "NK")[:5]
    adata.obs["group"] = np.where(np.isin(np.arange(adata.n_obs), few), "few", adata.obs["cell_type"].astype(str))
    adata.obsm["X_pae"][few, 0] += 40.0
    ax = pl.scores(adata, "group", show=False)
    assert np.abs(ax.images[0].get_array()).max() > 5  # the means themselves are not clipped
    assert ax.images[0].get_clim() == (-2.5, 2.5)
    assert colorbar_of(ax).extend == "max"
    adata.obsm["X_pae"][few, 1] -= 40.0
    assert colorbar_of(pl.scores(adata, "group", show=False)).extend == "both"
    raw = pl.scores(adata, "group", standard_scale=False, show=False)
    assert raw.images[0].get_clim()[1] > 2.5  # not in s.d.


def test_scores_have_colours_up_to_the_largest_mean_if_none_is_extreme(adata):
    ax = pl.scores(adata, "cell_type", show=False)
    assert ax.images[0].get_clim()[1] == pytest.approx(np.abs(ax.images[0].get_array()).max())
    assert colorbar_of(ax).extend == "neither"
    adata.obsm["X_pae"][:] = 1.0
    assert pl.scores(adata, "cell_type", show=False).images[0].get_clim() == (-1.0, 1.0)


def test_scores_with_few_rows_have_room_for_the_colour_bar(adata):
    adata.obs["half"] = pd.Categorical(np.arange(adata.n_obs) % 2 == 0)
    ax = pl.scores(adata, "half", components=["free_1"], show=False)
    assert labels(ax.get_yticklabels()) == ["free_1"]
    figure = ax.figure
    assert figure.get_size_inches()[1] >= 3.2
    figure.canvas.draw()
    label = colorbar_of(ax).ax.yaxis.label
    assert "\n" not in label.get_text()
    assert label.get_window_extent().y0 >= 0
    assert label.get_window_extent().y1 <= figure.bbox.height


def test_scores_leave_out_cells_without_a_group(adata):
    adata.obs.loc[adata.obs["cell_type"] == "NK", "cell_type"] = np.nan
    ax = pl.scores(adata, "cell_type", show=False)
    assert ax.images[0].get_array().shape == (len(PATHWAYS), 3)
    with pytest.raises(KeyError, match="which has 'cell_type'"):
        pl.scores(adata, "celltype", show=False)
    adata.obs["depth"] = 1.5
    with pytest.raises(ValueError, match="holds numbers"):
        pl.scores(adata, "depth", show=False)
    with pytest.raises(ValueError, match="n_pathways"):
        pl.scores(adata, "cell_type", n_pathways=0, show=False)
    adata.uns["pae"]["n_pathways"] = 0  # free components alone
    assert len(pl.scores(adata, "cell_type", show=False).images[0].get_array()) == len(NAMES)


def test_embedding_draws_high_scores_last_with_robust_limits(adata):
    adata.obsm["X_pae"][0, 0] = 1e6
    axes = pl.embedding(adata, NAMES[:2], show=False)
    (cells,) = axes[0].collections
    values = adata.obsm["X_pae"][:, 0]
    order = np.argsort(values, kind="stable")
    np.testing.assert_array_equal(cells.get_array(), values[order])
    np.testing.assert_allclose(cells.get_offsets(), adata.obsm["X_umap"][order])
    np.testing.assert_allclose(cells.get_clim(), np.percentile(values, [1, 99]))
    assert cells.get_rasterized()
    assert axes[0].get_aspect() == 1
    assert len(axes[0].get_xticks()) == 0
    assert flat(axes[1].get_title()) == flat(NAMES[1])


@pytest.mark.parametrize("stretch", [(2.0, 1.0), (1.0, 1.7)])
def test_embedding_leaves_no_gaps(adata, stretch):
    """Panels of equal aspect fill the grid, whatever the shape of the embedding."""
    adata.obsm["X_umap"] = adata.obsm["X_umap"] * np.array(stretch)
    axes = pl.embedding(adata, NAMES[:4], ncols=2, show=False)
    axes[0].figure.canvas.draw()
    upper, lower = axes[0].get_window_extent(), axes[2].get_window_extent()
    inch = axes[0].figure.dpi
    assert upper.y0 - lower.y1 < 0.9 * inch
    assert axes[0].figure.bbox.height - upper.y1 < 0.9 * inch
    assert upper.width > 1.9 * inch
    assert axes[0].get_aspect() == 1


def test_embedding_chooses_the_area_of_points(adata):
    assert pl.embedding(adata, NAMES[0], show=False).collections[0].get_sizes().tolist() == [12.0]
    many = fitted_adata(n=6000)
    assert pl.embedding(many, NAMES[0], show=False).collections[0].get_sizes().tolist() == [2.0]
    adata.obsm["X_umap"][:] = 0.0
    adata.obsm["X_umap"][0] = np.nan
    pl.embedding(adata, NAMES[0], show=False).figure.canvas.draw()


def test_embedding_takes_any_basis(adata):
    adata.obsm["X_pca"] = np.random.default_rng(0).normal(size=(adata.n_obs, 5))
    ax = pl.embedding(adata, NAMES[0], basis="pca", dims=(3, 1), size=2.0, show=False)
    order = np.argsort(adata.obsm["X_pae"][:, 0], kind="stable")
    np.testing.assert_allclose(ax.collections[0].get_offsets(), adata.obsm["X_pca"][order][:, [3, 1]])
    assert ax.collections[0].get_sizes().tolist() == [2.0]
    with pytest.raises(KeyError, match="found: 'X_umap'"):
        pl.embedding(adata, NAMES[0], basis="X_tsne", show=False)
    with pytest.raises(ValueError, match="which has 2"):
        pl.embedding(adata, NAMES[0], dims=(0, 2), show=False)
    with pytest.raises(KeyError, match="closest: 'B cells'"):
        pl.embedding(adata, "B cels", show=False)


LOSS, ERROR, ZERO, ENTROPY = (
    "loss (weighted sum)",
    "reconstruction error",
    "zero (outside the pathways)",
    "entropy (spread of the genes)",
)


def test_history_has_a_line_per_term(adata):
    adata.uns["pae"]["history"]["entropy"] = np.full(60, np.nan)
    ax = pl.history(adata, log=True, show=False)
    assert [line.get_label() for line in ax.lines] == [LOSS, ERROR, ZERO]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), adata.uns["pae"]["history"]["loss"])
    assert ax.get_yscale() == "log"


def test_history_leaves_out_terms_without_weight(adata):
    for theta, epsilon, expected in (
        (0.3, 0.0, [LOSS, ERROR, ZERO]),
        (0.3, 1.0, [LOSS, ERROR, ENTROPY]),
        (0.3, 0.5, [LOSS, ERROR, ZERO, ENTROPY]),
        (0.0, 0.5, [LOSS, ERROR]),
    ):
        adata.uns["pae"]["params"] |= {"theta": theta, "epsilon": epsilon}
        ax = pl.history(adata, show=False)
        assert [line.get_label() for line in ax.lines] == expected
        assert [text.get_text() for text in ax.get_legend().get_texts()] == expected
    adata.uns["pae"]["params"] |= {"theta": 0.3, "epsilon": 0.0}
    adata.uns["pae"]["history"]["zero"] = np.zeros(60)  # nothing can load outside pathways that hold every gene
    assert [line.get_label() for line in pl.history(adata, show=False).lines] == [LOSS, ERROR, ENTROPY]


def test_variance_has_a_bar_per_component(adata):
    ax = pl.variance(adata, n_components=8, show=False)
    table = get.variance(adata).sort_values("variance_ratio", ascending=False)[:8]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar for bar in ax.patches}
    np.testing.assert_allclose([bars[i].get_width() for i in range(8)], table["variance_ratio"])
    assert labels(ax.get_yticklabels()) == [flat(name) for name in table["component"]]
    free = {to_hex(bars[i].get_facecolor()) for i in range(8) if table["component"].iloc[i] in FREE}
    pathway = {to_hex(bars[i].get_facecolor()) for i in range(8) if table["component"].iloc[i] in PATHWAYS}
    assert len(free) == len(pathway) == 1
    assert free != pathway
    ax.figure.canvas.draw()
    assert max(text.get_window_extent().x1 for text in ax.texts) < ax.bbox.x1
    assert "12.0 %" in {text.get_text() for text in ax.texts}
    with pytest.raises(ValueError, match="n_components must be at least 1"):
        pl.variance(adata, n_components=0, show=False)


def test_wrapping_cuts_nothing_off():
    for name in [*NAMES, "x" * 100, "", "a $ b", "two  blanks _/ and more" * 3]:
        wrapped = _axes.wrap(name, 20)
        assert flat(wrapped).replace("\\$", "$") == flat(name)
        assert max(len(line) for line in wrapped.split("\n")) <= 22


def test_plots_of_some_say_of_how_many():
    adata = enriched()
    table = adata.uns["pae"]["enrichment"]
    cases = {
        "2 of 9 components, those that explain most": pl.variance(adata, n_components=2, show=False),
        "3 of 7 pathways, those that differ most between groups": pl.scores(
            adata, "cell_type", n_pathways=3, show=False
        ),
    }
    for words, ax in cases.items():
        assert ax.get_title() == words
    for ax in (pl.variance(adata, show=False), pl.scores(adata, "cell_type", PATHWAYS[:2], show=False)):
        assert ax.get_title() == ""
    assert (
        pl.loadings(adata, show=False)[0].figure.get_suptitle() == "6 of 7 pathways, those that explain most variance"
    )
    assert pl.loadings(adata, PATHWAYS[:2], show=False)[0].figure.get_suptitle() == ""
    more = [table.assign(component=table["component"] + f" {j}") for j in range(2)]
    adata.uns["pae"]["enrichment"] = pd.concat(more, ignore_index=True)
    adata.uns["pae"]["component_names"] = np.array([f"{name} {j}" for j in range(2) for name in NAMES])
    ax = pl.enrichment(adata, max_padj=1.0, n_terms=1, show=False)
    assert ax.get_title() == "10 of 18 components, the most significant"


def test_the_figure_grows_with_the_lines_of_the_labels():
    assert _axes.pitch(["one", "two"], 0.25) == 0.25
    assert _axes.pitch(["a\nb", "c\nd"], 0.25) == pytest.approx(0.32)
    assert _axes.pitch(["a\nb", "c"], 0.2) == pytest.approx(0.25)
    assert _axes.pitch(["a\nb"], 0.2) == 0.2
