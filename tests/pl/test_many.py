"""Readable at 3 and at 300 pathways, at 1, 2 and at 40 groups, and with names that are hard to write."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata
from plotted import flat, labels
from scipy import sparse

from pathwayae import get, pl


def many(p=300, n=200, g=120, n_groups=40):
    """A fit of many pathways with long and strange names, one of them without loadings; some cells have no group."""
    rng = np.random.default_rng(0)
    odd = ["a $x_1$ < b", 'R&D_"quoted"/slash', "REACTOME_" + "VERY_LONG_" * 12]
    names = [*odd, *(f"REACTOME_PATHWAY_WITH_A_NAME_{j}" for j in range(p))][:p]
    member = rng.random((g, p)) < 0.1
    loadings = (member * rng.gamma(2.0, 0.1, member.shape)).astype(np.float32)
    loadings[:, 1:2] = 0
    adata = ad.AnnData(rng.poisson(1.0, (n, g)).astype(np.float32))
    adata.var["pae_scale"] = adata.var["pae_mean"] = 1.0
    group = np.array([f"cluster {i % n_groups}" for i in range(n)], dtype=object)
    group[:5] = None
    adata.obs["group"] = pd.Categorical(group)
    adata.obsm["X_pae"] = rng.normal(size=(n, p)).astype(np.float32)
    adata.obsm["X_pae"][:, 1:2] = 0
    adata.varm["pae_loadings"], adata.varm["pae_membership"] = loadings, sparse.csr_matrix(member)
    report = pd.DataFrame({"pathway": names, "n_genes": 20, "n_matched": member.sum(axis=0), "n_lost": 0, "lost": ""})
    report = report.assign(n_effective=5.0, top_gene_share=0.1, agreement=0.9, outside=0.0, flag="")
    params = {"model": "grouped", "layer": "", "gene_symbols": "", "theta": 0.3, "scores": "members"}
    adata.uns["pae"] = {
        "params": params,
        "component_names": np.array(names),
        "n_pathways": p,
        "variance_ratio": rng.random(p) / p,
        "pathways": report,
        "dropped": report[["pathway", "n_genes"]][:0],
    }
    return adata


PLOTS = {
    "scores": lambda a, names: pl.scores(a, "group", names, dendrogram=True),
    "swapped": lambda a, names: pl.scores(a, "group", names, swap_axes=True),
    "dots": lambda a, names: pl.scores_dotplot(a, "group", names),
    "spread": lambda a, names: pl.variance_by_group(a, "group", names),
    "heat map": lambda a, names: pl.loadings_heatmap(a, names),
    "network": lambda a, names: pl.network(a, names),
    "variance": lambda a, names: pl.variance(a, n_components=300),
    "gene": lambda a, names: pl.gene(a, "5", n_components=300),
    "genes": lambda a, names: pl.leading_genes(a, get.component_names(a)[0], "group"),
    "overview": lambda a, names: pl.overview(a, "group"),
}


@pytest.mark.parametrize("name", PLOTS)
@pytest.mark.parametrize(("p", "n_groups"), [(300, 40), (3, 2), (1, 1)])
def test_figures_stay_on_a_page_and_within_their_edges(name, p, n_groups):
    adata = many(p, n_groups=n_groups)
    for names in (None, get.component_names(adata)):
        figure = np.ravel(np.asarray(PLOTS[name](adata, names), dtype=object))[0].figure
        figure.canvas.draw()
        assert max(figure.get_size_inches()) < 28
        for ax in figure.axes:
            if ax.get_visible() and (box := ax.get_tightbbox()) is not None:
                assert min(box.x0, box.y0) >= -2
                assert box.x1 <= figure.bbox.width + 2
                assert box.y1 <= figure.bbox.height + 2
        plt.close("all")


def test_what_is_left_out_is_said():
    adata = many()
    names = get.component_names(adata)
    assert pl.scores(adata, "group", names).get_title().startswith("100 of 300 pathways")
    assert pl.scores(adata, "group").get_xlabel() == "group (number of cells;\n5 without a group left out)"
    assert pl.network(adata, names).get_title().startswith("60 of 300")
    assert pl.loadings_heatmap(adata, names).get_title() == "60 of 300 components, the first"
    assert pl.variance(adata, n_components=300).get_title().startswith("100 of 300")
    with pytest.raises(ValueError, match="300 panels are too many for one figure, which takes 48"):
        pl.loadings(adata, names)


def test_small_differences_are_pale_and_one_group_is_white():
    adata = fitted_adata()
    rng = np.random.default_rng(0)
    half = np.arange(adata.n_obs) % 2
    adata.obsm["X_pae"] = (rng.normal(size=(adata.n_obs, len(NAMES))) + 0.26 * half[:, None]).astype(np.float32)
    adata.obs["half"], adata.obs["all"] = np.where(half, "a", "b"), "all"
    image = pl.scores(adata, "half").images[0]
    assert image.get_clim() == (-1.0, 1.0)
    rgba = image.to_rgba(np.asarray(image.get_array()))
    assert rgba[..., :3].min() > 0.5
    ax = pl.scores(adata, "all", PATHWAYS)
    rgba = ax.images[0].to_rgba(np.asarray(ax.images[0].get_array()))
    assert rgba[..., :3].min() > 0.95
    assert ax.get_title() == "one group: the mean of all cells is 0"
    raw = pl.scores(adata, "half", standard_scale=False).images[0]
    assert raw.get_clim()[1] >= get.scores(adata, PATHWAYS).std().min()


def test_groups_can_be_crossed_ordered_by_a_tree_and_drawn_along_either_axis():
    adata = fitted_adata()
    adata.obs["half"] = np.where(np.arange(adata.n_obs) % 2, "a", "b")
    plain = pl.scores(adata, ["cell_type", "half"])
    swapped = pl.scores(adata, ["cell_type", "half"], swap_axes=True)
    np.testing.assert_array_equal(plain.images[0].get_array(), swapped.images[0].get_array().T)
    assert labels(plain.get_xticklabels()) == labels(swapped.get_yticklabels())
    assert plain.get_xlabel() == swapped.get_ylabel() == "cell_type | half (number of cells)"
    tree = pl.scores(adata, ["cell_type", "half"], dendrogram=True)
    assert sorted(labels(tree.get_xticklabels())) == sorted(labels(plain.get_xticklabels()))
    first = [name.split("|")[0] for name in labels(tree.get_xticklabels())]
    assert all(first[i] == first[i + 1] for i in range(0, 8, 2))  # halves of a type are alike
    (inset,) = tree.child_axes
    assert len(inset.lines) == 7


def test_dots_are_means_and_shares():
    adata = fitted_adata()
    ax = pl.scores_dotplot(adata, "cell_type", threshold=0.5)
    table = get.scores_by_group(adata, "cell_type", PATHWAYS, threshold=0.5).set_index(["component", "group"])
    dots = ax.collections[0]
    rows, columns = labels(ax.get_yticklabels()), [one.split("(")[0] for one in labels(ax.get_xticklabels())]
    drawn = {(rows[int(y)], columns[int(x)]): i for i, (x, y) in enumerate(dots.get_offsets())}
    area = dots.get_sizes() / dots.get_sizes().max()
    for (component, group), row in table.iterrows():
        i = drawn[flat(component), flat(group)]
        assert dots.get_array()[i] == pytest.approx(row["mean"])
        assert area[i] == pytest.approx(row["share_high"] / table["share_high"].max())
    assert ax.get_legend().get_title().get_text() == "cells over 0.5 s.d."


def test_network_has_an_edge_for_every_pair_over_the_threshold():
    adata = fitted_adata()
    cosine = get.similarity(adata, PATHWAYS).to_numpy()
    pairs = cosine[np.triu_indices(len(PATHWAYS), 1)]
    cut = float(np.median(pairs))
    ax = pl.network(adata, threshold=cut)
    np.testing.assert_allclose(np.sort(ax.collections[0].get_array()), np.sort(pairs[pairs >= cut]))
    assert "no two share loadings: the largest cosine is" in pl.network(adata, threshold=1.0).get_title()
    for wrong in (-0.1, 1.5):
        with pytest.raises(ValueError, match="threshold must be a cosine"):
            pl.network(adata, threshold=wrong)


def test_names_of_fifty_nodes_do_not_overlap():
    ax = pl.network(many(50, n_groups=2), n_pathways=50)
    ax.figure.canvas.draw()
    at = np.array([text.get_position() for text in ax.texts])
    inches = ax.get_window_extent().width / ax.figure.dpi / np.ptp(ax.get_xlim())
    gaps = np.linalg.norm(np.diff(np.vstack([at, at[:1]]), axis=0), axis=1) * inches
    assert gaps.min() > 0.14  # of lines of small letters, side by side


def test_embedding_mixes_components_columns_and_genes():
    adata = fitted_adata()
    adata.obs["depth"] = np.arange(adata.n_obs, dtype=float)
    adata.obs.loc[adata.obs_names[0], "depth"] = np.nan
    axes = pl.embedding(adata, [PATHWAYS[0], "cell_type", "depth", "GENE1"])
    assert [flat(ax.get_title()) for ax in axes] == [flat(PATHWAYS[0]), "cell_type", "depth", "GENE1"]
    assert axes[1].get_legend() is not None
    assert axes[3].collections[0].get_array().max() == adata.X[:, 1].max()
    with pytest.raises(ValueError, match="at least one entry"):
        pl.embedding(adata, [])


@pytest.mark.parametrize("k", [8, 30])
def test_the_legend_of_the_simplex_is_whole(k):
    from archetypal_cells import archetypal

    adata = archetypal()
    adata.obs["cluster"] = [f"a group with a long name {i % k}" for i in range(adata.n_obs)]
    for ax in (pl.archetype_simplex(adata, "cluster"), pl.archetypes(adata, "cluster")):
        ax.figure.canvas.draw()
        box = ax.get_legend().get_window_extent()
        assert box.y0 >= 0
        assert box.x1 <= ax.figure.bbox.width
        assert box.y1 <= ax.figure.bbox.height
        assert ax.get_window_extent().width > 2 * ax.figure.dpi
        colors = {handle.get_color() for handle in ax.get_legend().legend_handles}
        assert len(colors) == k
