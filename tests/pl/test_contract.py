"""What all plots promise: where they draw, when they show, that nothing is cut off or changed, and what they need."""

import copy

import anndata as ad
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from archetypal_cells import archetypal
from fitted import PATHWAYS, fitted_adata
from group_slots import grouped_adata
from latent_slots import analysed_adata, coded_adata
from matplotlib.axes import Axes
from plotted import enriched, long_names, relevant, with_paths, without_values
from ranked_slots import ranked
from refined_slots import refined_adata

from pathwayae import pl

# Plot, its arguments, the AnnData, number of panels, and one that lacks what is drawn with what the message says.
FIT = (lambda: ad.AnnData(np.ones((2, 3))), "run pae.tl.fit")
NO_CODES, BARE = lambda: ad.AnnData(np.ones((2, 64))), lambda: ad.AnnData(np.ones((2, 3)))
PLOTS = {
    "loadings": (pl.loadings, {"components": PATHWAYS[1]}, enriched, 1, *FIT),
    "several loadings": (pl.loadings, {"components": PATHWAYS[:3]}, enriched, 3, *FIT),
    "scores": (pl.scores, {"groupby": "cell_type"}, enriched, 1, fitted_adata, "keys found: 'pae'"),
    "scores_dotplot": (pl.scores_dotplot, {"groupby": "cell_type"}, enriched, 1, fitted_adata, "keys found: 'pae'"),
    "tree": (pl.scores, {"groupby": "cell_type", "dendrogram": True}, enriched, 1, fitted_adata, "keys found: 'pae'"),
    "dots and tree": (
        pl.scores_dotplot,
        {"groupby": "cell_type", "dendrogram": True, "swap_axes": True},
        enriched,
        1,
        fitted_adata,
        "keys found: 'pae'",
    ),
    "loadings_heatmap": (pl.loadings_heatmap, {}, enriched, 1, *FIT),
    "gene": (pl.gene, {"gene": "GENE3"}, enriched, 1, *FIT),
    "leading_genes": (pl.leading_genes, {"component": PATHWAYS[1], "groupby": "cell_type"}, enriched, 1, *FIT),
    "network": (pl.network, {"threshold": 0.05}, enriched, 1, *FIT),
    "variance_by_group": (
        pl.variance_by_group,
        {"groupby": "cell_type"},
        enriched,
        1,
        fitted_adata,
        "keys found: 'pae'",
    ),
    "overview": (pl.overview, {"groupby": "cell_type"}, enriched, 5, *FIT),
    "embedding": (pl.embedding, {"color": PATHWAYS[1]}, enriched, 1, *FIT),
    "groups": (pl.embedding, {"color": ["cell_type", PATHWAYS[1], "GENE1"]}, enriched, 3, *FIT),
    "history": (pl.history, {}, enriched, 1, *FIT),
    "variance": (pl.variance, {}, enriched, 1, *FIT),
    "enrichment": (pl.enrichment, {}, enriched, 1, fitted_adata, "pae.tl.enrich"),
    "relevance": (pl.relevance, {}, relevant, 3, fitted_adata, "pae.tl.relevance"),
    "refinement": (pl.refinement, {}, refined_adata, 1, fitted_adata, r"pae\.tl\.refine"),
    "refined pathways": (pl.refinement, {"pathways": PATHWAYS[:2]}, refined_adata, 2, fitted_adata, "refine"),
    "group_loadings": (
        pl.group_loadings,
        {"pathway": PATHWAYS[1]},
        grouped_adata,
        1,
        fitted_adata,
        "tl.group_loadings",
    ),
    "rank_pathways": (pl.rank_pathways, {}, ranked, 1, fitted_adata, "pae.tl.rank_pathways"),
    "volcano": (pl.volcano, {}, ranked, 4, fitted_adata, "pae.tl.rank_pathways"),
    "violin": (pl.violin, {"pathways": PATHWAYS[:2]}, ranked, 2, fitted_adata, "pae.tl.rank_pathways"),
    "paired": (pl.paired, {"pathway": PATHWAYS[0]}, ranked, 4, fitted_adata, "pae.tl.rank_pathways"),
    "theta_path": (pl.theta_path, {}, with_paths, 2, fitted_adata, "pae.tl.theta_path"),
    "n_extra_path": (pl.n_extra_path, {}, with_paths, 2, fitted_adata, "pae.tl.n_extra_path"),
    "latent_sparsity": (pl.latent_sparsity, {}, analysed_adata, 3, coded_adata, "pae.tl.latent_sparsity"),
    "latent_ablation": (pl.latent_ablation, {}, analysed_adata, 1, coded_adata, "pae.tl.latent_ablation"),
    "latent_features": (pl.latent_features, {}, analysed_adata, 1, NO_CODES, "pae.tl.sparse_ae"),
    "images": (
        pl.latent_features,
        {"latents": ["latent_3", "latent_5"], "shape": (8, 8)},
        analysed_adata,
        2,
        NO_CODES,
        "pae.tl.sparse_ae",
    ),
    "latent_selectivity": (pl.latent_selectivity, {}, analysed_adata, 1, coded_adata, "pae.tl.latent_selectivity"),
    "latent_cells": (pl.latent_cells, {"latents": ["latent_4", "latent_1"]}, analysed_adata, 2, BARE, "tl.sparse_ae"),
    "sparse_ae_sweep": (pl.sparse_ae_sweep, {}, analysed_adata, 2, coded_adata, "pae.tl.sparse_ae_sweep"),
    "archetypes": (pl.archetypes, {"color": "type"}, archetypal, 1, BARE, "pae.tl.archetypes"),
    "archetype_simplex": (pl.archetype_simplex, {"color": "depth"}, archetypal, 1, BARE, "pae.tl.archetypes"),
    "archetype_weights": (pl.archetype_weights, {"groupby": "type"}, archetypal, 1, BARE, "pae.tl.archetypes"),
    "archetype_profiles": (pl.archetype_profiles, {}, archetypal, 1, BARE, "pae.tl.archetypes"),
    "archetype_selection": (pl.archetype_selection, {}, archetypal, 3, BARE, "pae.tl.archetype_selection"),
}
OF_SETS = {
    "overlap": (lambda adata, **options: pl.overlap(long_names(), **options), 1),
    "coverage": (lambda adata, **options: pl.coverage(long_names(), adata, **options), 2),
}


def assert_unchanged(adata, before):
    assert adata.uns.keys() == before.uns.keys()
    for key, entry in before.uns.items():
        if isinstance(entry, dict):
            assert set(adata.uns[key]) == set(entry)
            for name, value in entry.items():
                if isinstance(value, pd.DataFrame):
                    pd.testing.assert_frame_equal(adata.uns[key][name], value)
    for where in ("obs", "var"):
        pd.testing.assert_frame_equal(getattr(adata, where), getattr(before, where))
    for where in ("obsm", "varm"):
        assert set(getattr(adata, where)) == set(getattr(before, where))
        for name, value in getattr(before, where).items():
            assert abs(getattr(adata, where)[name] - value).max() == 0 or not np.isfinite(value).all()


@pytest.mark.parametrize("name", [*PLOTS, *OF_SETS])
def test_draws_where_told_shows_when_told_cuts_nothing_off_and_changes_nothing(name, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    if name in OF_SETS:
        (plot, n), options, adata = OF_SETS[name], {}, without_values()
    else:
        plot, options, made, n, *_ = PLOTS[name]
        adata = made()
    before, params = adata.copy(), copy.copy(dict(mpl.rcParams))
    figure, given = plt.subplots(1, n, squeeze=False, figsize=(6 * n, 7), layout="constrained")
    drawn = plot(adata, **options, ax=given.ravel()[0] if n == 1 else given.ravel(), show=False)
    assert isinstance(drawn, np.ndarray if n > 1 else Axes)
    assert list(np.ravel(drawn)) == list(given.ravel())
    figure.canvas.draw()
    with pytest.raises(
        (TypeError, ValueError), match=f"be a matplotlib Axes|has {n} panels: ax must be a sequence of {n}"
    ):
        plot(adata, **options, ax=[*given.ravel(), given.ravel()[0]])
    drawn = plot(adata, **options)  # not interactive
    assert not shown
    figure = np.ravel(drawn)[0].figure
    figure.canvas.draw()
    boxes = [ax.get_tightbbox() for ax in figure.axes] + [legend.get_window_extent() for legend in figure.legends]
    for box in boxes:
        assert min(box.x0, box.y0) >= -2  # pixels
        assert box.x1 <= figure.bbox.width + 2
        assert box.y1 <= figure.bbox.height + 2
    plot(adata, **options, show=True)
    assert shown == [1]
    assert_unchanged(adata, before)
    assert dict(mpl.rcParams) == params


def test_a_figure_is_written_where_it_is_told_and_nowhere_else(tmp_path):
    adata = enriched()
    for file, of in ((tmp_path / "a name.png", PATHWAYS[0]), (str(tmp_path / "two.svg"), PATHWAYS[:2])):
        pl.loadings(adata, of, show=False, save=file)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a name.png", "two.svg"]
    with pytest.raises(ValueError, match=r"one.xyz'.*choose one of .*pdf.*png"):
        pl.variance(adata, show=False, save=tmp_path / "one.xyz")
    with pytest.raises(FileNotFoundError, match="does not exist; make it first"):
        pl.variance(adata, show=False, save=tmp_path / "none" / "one.png")
    assert len(list(tmp_path.iterdir())) == 2


def test_needs_what_it_draws():
    for plot, options, _, _, without, message in PLOTS.values():
        key = {"key": "other"} if message == "keys found: 'pae'" else {}
        with pytest.raises(KeyError, match=f"{message}|is not a column of adata.obs"):
            plot(without(), **options, **key, show=False)


def test_the_plots_of_a_model_refuse_the_key_of_another():
    adata = archetypal()
    latents = coded_adata(n=adata.n_obs)
    for where, name in (("obsm", "X_sparse_ae"), ("uns", "sparse_ae")):
        getattr(adata, where)[name] = getattr(latents, where)[name]
    for plot in (pl.archetype_simplex, pl.archetypes, lambda a, **key: pl.archetype_weights(a, "type", **key)):
        with pytest.raises(KeyError, match="holds a sparse autoencoder, not archetypes"):
            plot(adata, key="sparse_ae")
    for plot in (pl.latent_features, lambda a, **key: pl.latent_cells(a, "latent_1", **key)):
        with pytest.raises(KeyError, match="holds archetypes, not a sparse autoencoder"):
            plot(adata, key="archetypes")


def test_plots_work_after_a_file(tmp_path):
    for made in (enriched, analysed_adata, archetypal, grouped_adata):
        made().write_h5ad(tmp_path / "a.h5ad")
        back = ad.read_h5ad(tmp_path / "a.h5ad")
        for plot, options, by, *_ in PLOTS.values():
            if by is made:
                plot(back, **options, show=False)
        plt.close("all")
