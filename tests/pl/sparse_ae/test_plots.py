"""Plots of a sparse autoencoder, drawn from the slots alone."""

import numpy as np
import pytest
from latent_slots import LATENTS, TYPES, analysed_adata, coded_adata, dense_codes, sweep_table
from matplotlib.colors import to_hex
from plotted import flat, labels

from pathwayae import get, pl
from pathwayae.pl import _axes


@pytest.fixture(scope="module")
def analysed():
    return analysed_adata()


@pytest.fixture
def adata(analysed):
    return analysed.copy()


def heights(ax):
    """Total height of bars, stacked ones together."""
    return sum(bar.get_height() for bar in ax.patches)


# Sparsity.


def test_the_histograms_count_cells_latents_and_activations(adata):
    axes = pl.latent_sparsity(adata, show=False)
    dense = dense_codes(adata)
    assert heights(axes[0]) == adata.n_obs
    assert heights(axes[1]) == len(LATENTS)
    assert heights(axes[2]) == (dense > 0).sum()
    assert axes[2].get_xscale() == "log"
    active = (dense > 0.1).sum(axis=1)
    for bar in axes[0].patches:
        low, high = bar.get_x(), bar.get_x() + bar.get_width()
        assert bar.get_height() == ((active > low) & (active < high)).sum()
    dead = [bar for bar in axes[1].patches if to_hex(bar.get_facecolor()) == _axes.VERMILLION.lower()]
    assert sum(bar.get_height() for bar in dead) == 2
    means = [line.get_xdata()[0] for ax in axes[:2] for line in ax.lines]
    np.testing.assert_allclose(means, [active.mean(), (dense > 0.1).mean()])
    axes = pl.latent_sparsity(adata, n_bins=1, show=False)
    assert heights(axes[1]) == len(LATENTS)
    assert [flat(text.get_text()) for text in axes[1].get_legend().get_texts()][:2] == ["below1%:2", "1%ormore:22"]
    with pytest.raises(ValueError, match="n_bins must be at least 1"):
        pl.latent_sparsity(adata, n_bins=0)


# Ablation.


def test_the_ablation_curve_and_its_marks(adata):
    ax = pl.latent_ablation(adata, show=False)
    table, fewest = get.latent_ablation(adata), get.latent_ablation(adata, fewest=True)
    np.testing.assert_allclose(ax.lines[0].get_xydata(), table[["kept", "explained_variance"]])
    marks = [line.get_xydata()[0] for line in ax.lines if line.get_markersize() == 7 and len(line.get_xdata()) == 1]
    np.testing.assert_allclose(marks, fewest[["kept", "explained_variance"]])
    texts = [text.get_text() for text in ax.get_legend().get_texts()]
    assert texts == ["90 % of it: 4 latents", "95 % of it: 5 latents"]
    assert ax.get_xscale() == "linear"


def test_a_long_ablation_is_logarithmic_and_one_that_explains_nothing_has_no_marks(adata):
    table = adata.uns["sparse_ae"]["ablation"]
    adata.uns["sparse_ae"]["ablation"] = table.assign(kept=2 ** table["kept"])
    assert pl.latent_ablation(adata, show=False).get_xscale() == "symlog"
    adata.uns["sparse_ae"]["ablation_fewest"] = get.latent_ablation(adata, fewest=True).assign(kept=-1)
    assert pl.latent_ablation(adata, show=False).get_legend() is None


# Features.


def test_the_heat_map_holds_the_effects_as_shares(adata):
    ax = pl.latent_features(adata, ["latent_9", "latent_4"], n_genes=3, show=False)
    features = get.loadings(adata, key="sparse_ae")
    genes = labels(ax.get_yticklabels())
    assert labels(ax.get_xticklabels()) == ["latent_9", "latent_4"]
    expected = features.loc[genes, ["latent_9", "latent_4"]] / features[["latent_9", "latent_4"]].abs().max()
    np.testing.assert_allclose(ax.images[0].get_array(), expected, rtol=1e-6)
    top = {name: set(features[name].abs().nlargest(3).index) for name in ("latent_9", "latent_4")}
    assert set(genes) == top["latent_9"] | top["latent_4"]
    by_id = pl.latent_features(coded_adata(symbols=True), "latent_4", show=False)
    assert all(gene.startswith("GENE") for gene in labels(by_id.get_yticklabels()))


def test_the_most_active_latents_are_drawn_by_default(adata):
    ax = pl.latent_features(adata, n_latents=5, show=False)
    mean = dense_codes(adata).mean(axis=0)
    expected = [LATENTS[j] for j in sorted(np.argsort(-mean)[:5])]
    assert labels(ax.get_xticklabels()) == expected


def test_images_where_features_are_pixels(adata):
    axes = pl.latent_features(adata, ["latent_3", "latent_8"], shape=(8, 8), show=False)
    features = get.loadings(adata, key="sparse_ae")
    for ax, name in zip(axes, ["latent_3", "latent_8"], strict=True):
        np.testing.assert_allclose(ax.images[0].get_array(), features[name].to_numpy().reshape(8, 8), rtol=1e-6)
        low, high = ax.images[0].get_clim()
        assert low == -high
        assert ax.get_title() == name
    with pytest.raises(ValueError, match="holds all 64 genes, got \\(8, 9\\)"):
        pl.latent_features(adata, shape=(8, 9))


def test_latents_that_move_no_gene_cannot_be_drawn(adata):
    adata.varm["sparse_ae_features"] = np.zeros_like(adata.varm["sparse_ae_features"])
    with pytest.raises(ValueError, match="moves any gene"):
        pl.latent_features(adata, "latent_4")
    assert len(pl.latent_features(adata, "latent_4", shape=(8, 8), show=False)) == 1


# Selectivity.


@pytest.mark.parametrize("by", ["auroc", "f1", "mean"])
def test_the_heat_map_of_selectivity_holds_the_table(adata, by):
    ax = pl.latent_selectivity(adata, by=by, show=False)
    table = get.latent_selectivity(adata).pivot_table(index="latent", columns="label", values=by, observed=True)
    rows = labels(ax.get_yticklabels())
    expected = table.loc[rows, TYPES]
    if by == "mean":
        expected = expected.div(expected.max(axis=1), axis=0)
    np.testing.assert_allclose(ax.images[0].get_array(), expected)
    assert labels(ax.get_xticklabels()) == [flat(name) for name in TYPES]
    assert "latent_0" not in rows  # never fires
    assert ax.get_xlabel() == "cell_type"


def test_labels_take_turns_and_latents_stand_in_blocks(adata):
    ax = pl.latent_selectivity(adata, n_latents=4, show=False)
    assert labels(ax.get_yticklabels()) == ["latent_4", "latent_5", "latent_6", "latent_7"]
    rows = labels(pl.latent_selectivity(adata, show=False).get_yticklabels())
    best = get.latent_selectivity(adata, best=True).set_index("latent")
    place = [TYPES.index(best.loc[name, "label"]) for name in rows]
    assert place == sorted(place)
    for label in range(4):
        own = [best.loc[name, "auroc"] for name, at in zip(rows, place, strict=True) if at == label]
        assert own == sorted(own, reverse=True)
    ax = pl.latent_selectivity(adata, ["latent_2", "latent_6"], show=False)
    assert sorted(labels(ax.get_yticklabels())) == ["latent_2", "latent_6"]
    with pytest.raises(ValueError, match="No latent fires"):
        pl.latent_selectivity(adata, "latent_0")
    with pytest.raises(ValueError, match="by='auc' is not known"):
        pl.latent_selectivity(adata, by="auc")
    table = adata.uns["sparse_ae"]["selectivity"]  # latents that are not significant come last
    assert labels(pl.latent_selectivity(adata, n_latents=2, show=False).get_yticklabels()) != ["latent_4", "latent_5"]
    table.loc[table["latent"].isin(["latent_6", "latent_7"]), "padj"] = 0.9
    assert labels(pl.latent_selectivity(adata, n_latents=2, show=False).get_yticklabels()) == ["latent_4", "latent_5"]


# Sweep.


@pytest.mark.parametrize("by", ["l0", "hoyer"])
def test_sweep_curves_hold_the_settings(adata, by):
    axes = pl.sparse_ae_sweep(adata, by=by, show=False)
    table = sweep_table()
    kinds = list(table.groupby(["sparsity", "n_latents"], sort=False))
    for ax, value in zip(axes, ("unexplained", "never"), strict=True):
        assert len(ax.containers) == len(kinds)
        for container, (_, rows) in zip(ax.containers, kinds, strict=True):
            rows = (rows if by == "hoyer" else rows[rows[by] > 0]).sort_values("strength", kind="stable")
            np.testing.assert_allclose(container[0].get_xydata(), rows[[by, value]])
        assert ax.get_xscale() == ("linear" if by == "hoyer" else "log")
    assert len(axes[0].texts) == sum(len(container[0].get_xdata()) for container in axes[0].containers)
    with pytest.raises(ValueError, match="by='l1' is not known"):
        pl.sparse_ae_sweep(adata, by="l1")


# Top cells.


def test_top_cells_are_circled_and_silent_ones_grey(adata):
    ax = pl.latent_cells(adata, "latent_6", n_cells=12, show=False)
    values = dense_codes(adata)[:, 6]
    silent, fires, top = ax.collections[:3]
    assert len(silent.get_offsets()) == (values == 0).sum()
    np.testing.assert_allclose(np.sort(fires.get_array()), np.sort(values[values > 0]))
    expected = adata.obsm["X_umap"][np.argsort(-values)[:12]]
    found = np.asarray(top.get_offsets())
    np.testing.assert_allclose(found[np.lexsort(found.T)], expected[np.lexsort(expected.T)])
    assert set(adata.obs["cell_type"].to_numpy()[np.argsort(-values)[:12]]) == {TYPES[2]}


def test_top_cells_of_several_latents_and_of_one_that_never_fires(adata):
    axes = pl.latent_cells(adata, ["latent_0", "latent_1"], show=False)
    assert [ax.get_title() for ax in axes] == ["latent_0", "latent_1"]
    assert len(axes[0].collections[2].get_offsets()) == 0
    assert len(axes[1].collections[2].get_offsets()) == 1
    with pytest.raises(KeyError, match="tsne"):
        pl.latent_cells(adata, "latent_4", basis="tsne")
    with pytest.raises(ValueError, match="n_cells=-1 is out of range; choose a value of at least 0"):
        pl.latent_cells(adata, "latent_4", n_cells=-1)
