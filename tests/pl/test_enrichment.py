import numpy as np
import pytest
from fitted import PATHWAYS, fitted_adata
from plotted import enriched, flat, labels

from pathwayae import get, pl
from pathwayae.pl._enrichment import _round_steps


@pytest.mark.parametrize("method", ["ora", "prerank"])
def test_enrichment_shows_the_table(method):
    adata = enriched(method)
    ax = pl.enrichment(adata, show=False)
    table = get.enrichment(adata, max_padj=0.05)
    dots = ax.collections[0]
    assert sorted(dots.get_array().tolist()) == pytest.approx(sorted(table["score"]))
    x, y = labels(ax.get_xticklabels()), labels(ax.get_yticklabels())
    drawn = {(x[int(i)], y[int(j)]) for i, j in dots.get_offsets()}
    assert drawn == {(flat(c), flat(t)) for c, t in zip(table["component"], table["term"], strict=True)}
    strength = -np.log10(table["padj"])
    assert sorted(dots.get_sizes() / dots.get_sizes().max()) == pytest.approx(sorted(strength / strength.max()))


def test_the_shape_of_a_dot_says_the_direction():
    adata = enriched("prerank")
    ax = pl.enrichment(adata, max_padj=1.0, show=False)
    dots = ax.collections[0]
    assert {"genes up", "genes down"} <= {text.get_text() for text in ax.get_legend().get_texts()}
    paths = dots.get_paths()
    assert len(paths) == len(dots.get_offsets())
    for path, score in zip(paths, dots.get_array(), strict=True):
        if abs(score) > 0:  # the lone corner of the triangle is at the top or at the bottom
            heights = path.vertices[:3, 1]
            assert np.sign(np.median(heights) - heights.mean()) == -np.sign(score)


@pytest.mark.parametrize(("method", "components"), [("ora", None), ("prerank", "B cells")])
def test_enrichment_has_its_colour_bar_under_the_legend(method, components):
    ax = pl.enrichment(enriched(method), components=components, show=False)
    figure = ax.figure
    figure.canvas.draw()
    legend, bar = ax.get_legend().get_window_extent(), ax.collections[0].colorbar.ax
    box = bar.get_tightbbox()
    assert bar.get_window_extent().y1 < legend.y0
    assert ax.bbox.x1 < bar.get_window_extent().x0 < ax.bbox.x1 + 0.3 * figure.dpi
    assert max(box.x1, legend.x1) <= figure.bbox.width + 1
    assert box.y0 >= -1
    assert figure.bbox.width - max(box.x1, legend.x1) < 0.2 * figure.dpi  # no blank
    assert all(len(text.get_text()) <= 11 for text in ax.get_legend().get_texts())
    n_rows = len(ax.get_yticks())
    assert ax.bbox.height / n_rows < (0.6 if n_rows > 3 else 2.0) * figure.dpi


def test_steps_of_the_legend_are_round():
    for low, high, expected in (
        (2.1, 8.5, [2, 5, 10]),
        (1.3, 1.9, [1, 2]),
        (2.0, 5.0, [2, 5]),
        (5.0, 5.0, [5]),
        (0.0, 0.0, [0.001]),
        (15, 300, [10, 50, 100, 500]),
    ):
        assert _round_steps(low, high) == pytest.approx(expected)


def test_enrichment_limits_terms_and_says_when_nothing_passes():
    adata = enriched()
    ax = pl.enrichment(adata, n_terms=1, components=["B cells", PATHWAYS[0]], max_padj=1.0, show=False)
    assert set(labels(ax.get_yticklabels())) == {"Bcells", flat(PATHWAYS[0])}
    with pytest.raises(ValueError, match=r"smallest is .* in .*larger max_padj, or test other gene sets"):
        pl.enrichment(adata, max_padj=0.0, show=False)
    with pytest.raises(ValueError, match="n_terms"):
        pl.enrichment(adata, n_terms=0, show=False)
    table = adata.uns["pae"]["enrichment"]
    adata.uns["pae"]["enrichment"] = table[table["component"] != "free_1"]
    with pytest.raises(ValueError, match=r"No term was tested.*pae\.tl\.enrich"):
        pl.enrichment(adata, components="free_1", show=False)
    with pytest.raises(KeyError, match="enrich"):
        pl.enrichment(fitted_adata(), show=False)
