"""Plots of gene sets: overlap and coverage."""

import itertools

import matplotlib as mpl

mpl.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from pathwayae import pl
from pathwayae.core.genesets.collection import GeneSetCollection

GENES = [f"GENE{i}" for i in range(40)]


@pytest.fixture(autouse=True)
def _no_figures_left():
    yield
    plt.close("all")


@pytest.fixture
def pathways():
    rng = np.random.default_rng(0)
    sets = {f"REACTOME_A_VERY_LONG_NAME_OF_A_PATHWAY/{j}_THAT_GOES_ON_AND_ON_$": rng.choice(GENES, 8) for j in range(9)}
    return GeneSetCollection({**sets, "pair 1": GENES[:7], "pair 2": GENES[:8], "small": ["GENE1", "LOST"]})


@pytest.fixture
def adata():
    names = [*GENES[:30], "ACTB"]
    return ad.AnnData(np.zeros((2, 31), np.float32), var=pd.DataFrame({"symbol": names}, index=names))


def flat(text):
    return "".join(text.split()).replace(r"\$", "$")


def texts_of(ax):
    found = [ax.title, ax._left_title, ax.xaxis.label, ax.yaxis.label]
    for axis, (low, high) in ((ax.xaxis, sorted(ax.get_xlim())), (ax.yaxis, sorted(ax.get_ylim()))):
        found += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in found if text.get_text()]


@pytest.mark.parametrize("measure", ["jaccard", "containment"])
def test_overlap_shows_all_sets_in_clustered_order(pathways, measure):
    ax = pl.overlap(pathways, measure=measure, show=False)
    labels = [flat(tick.get_text()) for tick in ax.get_yticklabels()]
    names = {flat(f"{name} ({len(genes)})"): name for name, genes in pathways.items()}
    assert sorted(labels) == sorted(names)  # nothing is cut off
    order = [names[label] for label in labels]
    expected = pathways.overlap_matrix(measure=measure).loc[order, order]
    np.testing.assert_array_equal(ax.images[0].get_array(), expected)
    assert abs(order.index("pair 1") - order.index("pair 2")) == 1
    assert ax.get_title(loc="left") == "12 sets (number of genes)"


def test_overlap_of_many_sets_shows_the_closest_pairs_and_says_so(pathways):
    ax = pl.overlap(pathways, n_sets=2, show=False)
    assert sorted(tick.get_text() for tick in ax.get_yticklabels()) == ["pair 1 (7)", "pair 2 (8)"]
    assert ax.get_title(loc="left") == "2 of 12 sets: the pairs with the largest overlap"
    apart = {f"S{i}": [f"G{i}"] for i in range(5)}
    assert len(pl.overlap(apart, n_sets=3, show=False).get_yticklabels()) == 3


def test_coverage_counts(pathways, adata):
    left, right = pl.coverage(pathways, adata, min_genes=3, show=False)
    report = pathways.report(adata, min_genes=3)
    usable = report["reason"] == ""
    assert left.get_title(loc="left") == f"{usable.sum()} of 12 sets can be used"
    expected, _ = np.histogram(report["share"], bins=np.arange(11) / 10)
    heights = np.sum([[bar.get_height() for bar in bars] for bars in left.containers], axis=0)
    assert heights.sum() == len(pathways)
    np.testing.assert_array_equal(heights, expected)
    counts = pathways.sets_per_gene(adata)
    bars = [bar.get_height() for bar in right.containers[0]]
    assert bars[:3] == [(counts == 0).sum(), (counts == 1).sum(), ((counts >= 2) & (counts <= 4)).sum()]
    assert sum(bars) == adata.n_vars
    assert "of 31 genes are in no set" in right.get_title(loc="left")


def test_coverage_takes_a_column_of_symbols(pathways, adata):
    expected = [bar.get_height() for bar in pl.coverage(pathways, adata, show=False)[1].containers[0]]
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    axes = pl.coverage(pathways, adata, gene_symbols="symbol", show=False)
    assert [bar.get_height() for bar in axes[1].containers[0]] == expected


CALLS = {
    "overlap": lambda sets, adata, **options: pl.overlap(sets, **options),
    "coverage": lambda sets, adata, **options: pl.coverage(sets, adata, **options),
}


@pytest.mark.parametrize("name", CALLS)
def test_draws_where_told_shows_when_told_and_changes_nothing(name, pathways, adata, monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(1))
    before, sets, params = adata.copy(), dict(pathways), dict(mpl.rcParams)
    _, given = plt.subplots(1, 2) if name == "coverage" else plt.subplots()
    drawn = CALLS[name](pathways, adata, ax=given)
    assert all(a is b for a, b in zip(np.ravel(drawn), np.ravel(given), strict=True))
    assert not shown
    assert all(isinstance(ax, Axes) for ax in np.ravel(CALLS[name](pathways, adata, show=True)))
    assert shown == [1]
    pd.testing.assert_frame_equal(adata.var, before.var)
    assert dict(pathways) == sets
    assert dict(mpl.rcParams) == params


@pytest.mark.parametrize("name", CALLS)
def test_everything_fits_into_a_new_figure(name, pathways, adata):
    axes = np.ravel(CALLS[name](pathways, adata, show=False))
    figure = axes[0].figure
    figure.canvas.draw()
    for text in [text for ax in axes for text in texts_of(ax)]:
        box = text.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


def test_labels_of_an_overlap_do_not_touch(pathways):
    ax = pl.overlap(pathways, show=False)
    ax.figure.canvas.draw()
    boxes = sorted((tick.get_window_extent() for tick in ax.get_yticklabels()), key=lambda box: box.y0)
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in itertools.pairwise(boxes))


def test_bad_input(pathways, adata):
    with pytest.raises(ValueError, match="measure='shared' is unknown. Choose one of 'jaccard', 'containment'"):
        pl.overlap(pathways, measure="shared")
    with pytest.raises(ValueError, match="n_sets=1, and the collection has 12"):
        pl.overlap(pathways, n_sets=1)
    with pytest.raises(ValueError, match="the collection has 1"):
        pl.overlap({"a": ["G"]})
    with pytest.raises(ValueError, match="The collection has no sets"):
        pl.coverage(GeneSetCollection({}), adata)
    with pytest.raises(KeyError, match="gene_symbols='name' is not a column"):
        pl.coverage(pathways, adata, gene_symbols="name")
    with pytest.raises(ValueError, match="This plot has 2 panels"):
        pl.coverage(pathways, adata, ax=plt.subplots()[1])
