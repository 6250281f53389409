"""Plots of gene sets: overlap and coverage."""

import itertools

import numpy as np
import pytest
from plotted import long_names, without_values

from pathwayae import pl
from pathwayae.core.genesets.collection import GeneSetCollection


@pytest.fixture
def pathways():
    return long_names()


@pytest.fixture
def adata():
    return without_values()


def flat(text):
    return "".join(text.split()).replace(r"\$", "$")


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
    ax.figure.canvas.draw()
    boxes = sorted((tick.get_window_extent() for tick in ax.get_yticklabels()), key=lambda box: box.y0)
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in itertools.pairwise(boxes))  # they do not touch


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
    adata.var_names = [f"ENSG{i:011d}" for i in range(adata.n_vars)]
    axes = pl.coverage(pathways, adata, gene_symbols="symbol", show=False)
    assert [bar.get_height() for bar in axes[1].containers[0]] == bars


def test_bad_input(pathways, adata):
    with pytest.raises(ValueError, match="measure='shared' is not known; choose one of 'jaccard', 'containment'"):
        pl.overlap(pathways, measure="shared")
    with pytest.raises(ValueError, match="n_sets=1, and the collection has 12"):
        pl.overlap(pathways, n_sets=1)
    with pytest.raises(ValueError, match="the collection has 1"):
        pl.overlap({"a": ["G"]})
    with pytest.raises(ValueError, match="The collection has no sets"):
        pl.coverage(GeneSetCollection({}), adata)
    with pytest.raises(KeyError, match="gene_symbols='name' is not a column"):
        pl.coverage(pathways, adata, gene_symbols="name")
