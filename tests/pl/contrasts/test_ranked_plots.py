"""Plots of pathways that differ: what is drawn is what the table and the cells say."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata
from matplotlib.colors import to_hex
from matplotlib.text import Text
from plotted import flat
from ranked_slots import compared, rank, ranked

from pathwayae import get, pl
from pathwayae.pl import _axes
from pathwayae.pl._contrasts import dots
from pathwayae.pl._contrasts.volcano import _spread

TYPES = ["B cells of the germinal centre", "CD14+ monocytes", "CD4 T cells", "NK"]


@pytest.fixture(scope="module")
def adata():
    return ranked()


def drawn_dots(ax):
    """Column and row of each dot, full or hollow, with its area."""
    full, hollow = ax.collections[:2]
    parts = [
        pd.DataFrame({"x": x, "y": y, "area": area, "full": one is full})
        for one in (full, hollow)
        for x, y, area in [(*np.asarray(one.get_offsets()).T, one.get_sizes())]
    ]
    return pd.concat(parts), full


def test_dots_stand_where_the_table_says_with_its_effects_and_fdr(adata):
    ax = pl.rank_pathways(adata, NAMES, show=False)
    table = get.rank_pathways(adata)
    table["x"], table["y"] = [table["within"].map(TYPES.index), table["pathway"].map(NAMES.index)]
    found, full = drawn_dots(ax)
    both = table.merge(found, on=["x", "y"], validate="1:1")
    assert len(both) == len(table) == len(found) == 36
    assert (both["full"] == (both["padj"] <= 0.05)).all()
    assert 5 <= both["full"].sum() < 36
    expected = 8 + 34 * np.minimum(-np.log10(both["padj"]), 4)
    np.testing.assert_allclose(both["area"], expected)
    effects = table.set_index(["x", "y"])["effect"]
    for (x, y), value in zip(np.asarray(full.get_offsets()).astype(int), np.asarray(full.get_array()), strict=True):
        assert effects[x, y] == value
    low, high = full.get_clim()
    assert -low == high == table["effect"].abs().max()
    assert [flat(one.get_text()) for one in ax.get_xticklabels()] == [flat(one) for one in TYPES]
    assert ax.get_title() == "condition: stim against ctrl"
    assert ax.get_xlabel() == "cell_type"


def test_small_effects_look_small():
    adata = compared()
    adata.uns["pae"]["component_names"] = np.array(NAMES)
    rank(adata, "condition", reference="ctrl")
    adata.uns["pae"]["rank_pathways"]["effect"] *= 0.1
    full = pl.rank_pathways(adata, show=False).collections[0]
    assert full.get_clim() == (-1.0, 1.0)
    full = pl.rank_pathways(adata, vmax=3, show=False).collections[0]
    assert full.get_clim() == (-3.0, 3.0)


def test_leading_pathways_are_the_significant_ones_and_how_many_is_said(adata):
    ax = pl.rank_pathways(adata, n_pathways=2, show=False)
    names = [flat(one.get_text()) for one in ax.get_yticklabels()]
    assert names == [flat(PATHWAYS[0]), flat(_short(PATHWAYS[3]))]
    assert "2 of 9 pathways, the leading ones" in ax.get_title()


def _short(name):
    from pathwayae.pl._names import labels

    return labels([name, PATHWAYS[0]], 44)[0]


def test_marks_of_each_group_come_next_to_each_other(adata):
    ax = pl.rank_pathways(adata, n_pathways=4, key_added="types", show=False)
    table = get.rank_pathways(adata, key_added="types")
    rows = dots.leading(table, [(one, "") for one in TYPES], 4)
    best = table[table["pathway"].isin(rows)].sort_values("effect", ascending=False).drop_duplicates("pathway")
    place = best.set_index("pathway")["group"].map(TYPES.index)
    assert place[rows].tolist() == [0, 1, 2, 3]  # a pathway marks each
    assert "each group against all other cells" in ax.get_title()


@pytest.mark.parametrize("y", ["p", "padj"])
def test_volcano_holds_the_table(adata, y):
    axes = pl.volcano(adata, y=y, n_labels=2, show=False)
    whole = get.rank_pathways(adata)
    assert len(axes) == 4
    for ax, level in zip(axes, TYPES, strict=True):
        rows = get.rank_pathways(adata, within=level)
        points = np.asarray(ax.collections[0].get_offsets())
        np.testing.assert_allclose(points, np.column_stack([rows["effect"], -np.log10(rows[y])]))
        wanted = np.where(rows["effect"] > 0, _axes.VERMILLION, _axes.BLUE)
        wanted = np.where(rows["padj"] <= 0.05, wanted, "#B0B0B0")
        assert [to_hex(one) for one in ax.collections[0].get_facecolors()] == [one.lower() for one in wanted]
        line = ax.lines[-1].get_ydata()[0]
        limit = 0.05 if y == "padj" else whole.loc[whole["padj"] <= 0.05, "p"].max()
        assert line == pytest.approx(-np.log10(limit))
        names = [one for one in ax.texts if one.get_text() != "FDR 0.05"]
        assert len(names) == min(2, (rows["padj"] <= 0.05).sum())
        assert {one.xy for one in names} <= {tuple(point) for point in points}
        assert ax.get_ylabel() == ("−log10 p" if y == "p" else "−log10 FDR")


def test_names_of_a_volcano_do_not_meet(adata):
    for seed in range(50):
        rng = np.random.default_rng(seed)
        sizes = 0.06 * rng.integers(1, 3, size=8)
        wanted = np.sort(rng.beta(0.3, 0.3, size=8))[::-1]
        centre = _spread(wanted, sizes)
        assert (centre[:-1] - centre[1:] >= (sizes[:-1] + sizes[1:]) / 2 - 1e-9).all()
        assert centre[-1] >= sizes[-1] / 2 - 1e-9
        assert sizes.sum() > 1 or centre[0] <= 1.0
    figure = pl.volcano(adata, group="B cells of the germinal centre", key_added="types", show=False).figure
    figure.canvas.draw()
    boxes = [Text.get_window_extent(one) for one in figure.axes[0].texts if one.get_position()[0] == 1.05]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_without_anything_significant_there_is_no_line_and_no_name(adata):
    table = adata.copy()
    table.uns["pae"]["rank_pathways"] = table.uns["pae"]["rank_pathways"].assign(p=1.0, padj=1.0)
    for ax in pl.volcano(table, show=False):
        assert not ax.texts
        assert ax.get_title().endswith("0 of 9 at FDR 0.05")
        assert len(ax.lines) == 1  # at effect 0
    assert len(pl.rank_pathways(table, show=False).collections[0].get_offsets()) == 0


def test_scores_without_p_have_no_dot(adata):
    table = adata.copy()
    entry = table.uns["pae"]["rank_pathways"].copy()
    entry.loc[entry["pathway"] == PATHWAYS[0], ["p", "padj"]] = np.nan
    table.uns["pae"]["rank_pathways"] = entry
    found, _ = drawn_dots(pl.rank_pathways(table, PATHWAYS, show=False))
    assert set(found["y"]) == set(range(1, 7))
    table.uns["pae"]["rank_pathways"] = entry.assign(p=np.nan, padj=np.nan)
    for plot in (pl.rank_pathways, pl.volcano):
        with pytest.raises(ValueError, match="has a p-value"):
            plot(table, show=False)


def test_violins_have_a_dot_per_donor_at_its_mean(adata):
    ax = pl.violin(adata, PATHWAYS[0], show=False)
    scores = get.scores(adata, PATHWAYS[0]).iloc[:, 0].astype(float)
    means = scores.groupby([adata.obs[one] for one in ("cell_type", "condition", "donor")], observed=True).mean()
    points = [one for one in ax.collections if len(one.get_offsets()) > 1]
    order = [(level, group) for group in ("ctrl", "stim") for level in adata.obs["cell_type"].cat.categories]
    assert len(points) == 8
    for one, (level, group) in zip(points, order, strict=True):
        x, y = np.asarray(one.get_offsets()).T
        np.testing.assert_allclose(y, means[level, group])
        assert abs(x.mean() - list(adata.obs["cell_type"].cat.categories).index(level)) == pytest.approx(0.2)
    assert [one.get_text() for one in ax.get_legend().get_texts()] == ["ctrl", "stim", "mean of a donor"]
    alone = pl.violin(adata, PATHWAYS[:2], "cell_type", show=False)
    assert len(alone) == 2
    assert alone[0].get_legend() is None


def test_few_cells_have_no_violin(adata):
    few = adata[:6].copy()
    few.obs["one"] = pd.Categorical(["a"] * 4 + ["b", "b"])
    ax = pl.violin(few, PATHWAYS[0], "one", sample_key="one", show=False)
    assert sum(len(one.get_offsets()) == 1 for one in ax.collections) >= 2


def test_lines_of_donors_end_at_their_means(adata):
    axes = pl.paired(adata, PATHWAYS[0], show=False)
    scores = get.scores(adata, PATHWAYS[0]).iloc[:, 0].astype(float)
    means = scores.groupby([adata.obs[one] for one in ("cell_type", "donor", "condition")], observed=True).mean()
    table = get.rank_pathways(adata).query("pathway == @PATHWAYS[0]").set_index("within")
    for ax, level in zip(axes, adata.obs["cell_type"].cat.categories, strict=True):
        assert len(ax.lines) == 5
        for line in ax.lines:
            np.testing.assert_allclose(line.get_ydata(), means[level, line.get_label()][["ctrl", "stim"]])
        assert f"{table.loc[level, 'effect']:+.2f} s.d., FDR " in ax.get_title()
        assert ax.get_ylim() == axes[0].get_ylim()
    assert [one.get_text() for one in axes[0].figure.legends[0].get_texts()] == [f"d{i}" for i in range(5)]


def test_paired_without_a_ranking_and_with_other_columns_has_no_result(adata):
    ax = pl.paired(compared(), PATHWAYS[0], "condition", sample_key="donor", show=False)
    assert ax.get_title() == ""
    assert pl.paired(adata, PATHWAYS[0], "condition", sample_key="donor", show=False).get_title() == ""
    reverse = compared()
    rank(reverse, "condition", reference="stim")
    ax = pl.paired(reverse, PATHWAYS[0], show=False)
    assert [one.get_text() for one in ax.get_xticklabels()] == ["stim", "ctrl"]
    assert ax.get_title().startswith("−")


def test_bad_input(adata):
    for call in (
        lambda: pl.rank_pathways(fitted_adata()),
        lambda: pl.volcano(fitted_adata()),
        lambda: pl.violin(fitted_adata(), PATHWAYS[0]),
        lambda: pl.paired(fitted_adata(), PATHWAYS[0]),
    ):
        with pytest.raises(KeyError, match=r"run pae\.tl\.rank_pathways"):
            call()
    for call in (pl.rank_pathways, pl.violin, pl.paired):
        with pytest.raises(KeyError, match="HALLMARK_TNFA_SIGNALING_VIA_NFKB"):
            call(adata, "HALLMARK_TNFA_SIGNALLING_VIA_NFKB")
    for plot in (pl.rank_pathways, pl.volcano):
        with pytest.raises(ValueError, match="was not compared; choose one of 'stim'"):
            plot(adata, group="nobody")
    with pytest.raises(ValueError, match="from 1 to 100, got 0"):
        pl.rank_pathways(adata, n_pathways=0)
    with pytest.raises(ValueError, match="y='q' is not known"):
        pl.volcano(adata, y="q")
    with pytest.raises(ValueError, match="n_labels must be 0 or above"):
        pl.volcano(adata, n_labels=-1)
    with pytest.raises(KeyError, match="groupby='nothing' is not a column"):
        pl.violin(adata, PATHWAYS[0], "nothing")
    with pytest.raises(ValueError, match="sample_key must name"):
        pl.paired(adata, PATHWAYS[0], "condition")
    with pytest.raises(ValueError, match="nothing is paired"):
        pl.paired(adata, PATHWAYS[0], "donor", sample_key="condition", within="donor")
    many = adata.copy()
    many.obs["many"] = pd.Categorical([f"g{i % 7}" for i in range(many.n_obs)])
    with pytest.raises(ValueError, match="7 groups of 'many' cannot stand beside each other"):
        pl.violin(many, PATHWAYS[0], "many", within="condition")
    plt.close("all")


def test_one_donor_has_one_line():
    adata = compared(n_donors=1)
    ax = pl.paired(adata, PATHWAYS[0], "condition", sample_key="donor", show=False)
    assert len(ax.lines) == 1
