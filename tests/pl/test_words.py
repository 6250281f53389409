"""Words of the plots mean the same everywhere: colours of numbers and of categories, titles, legends, their order."""

import inspect
from functools import cache

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from archetypal_cells import archetypal
from fitted import NAMES, PATHWAYS
from group_slots import grouped_adata
from latent_slots import analysed_adata
from matplotlib.collections import PathCollection
from matplotlib.colors import LogNorm, Normalize, to_hex
from plotted import enriched, flat, long_names
from ranked_slots import ranked
from refined_slots import refined_adata

from pathwayae import pl

MAKERS = {
    "fit": enriched,
    "prerank": lambda: enriched("prerank"),
    "refined": refined_adata,
    "groups": grouped_adata,
    "latents": analysed_adata,
    "ranked": ranked,
    "archetypes": archetypal,
    "sets": long_names,
}
NUMBERS = {  # plots of numbers as colours: data, and what is shown
    "archetype_profiles": ("archetypes", {}),
    "archetype_simplex": ("archetypes", {"color": "depth"}),
    "archetype_weights": ("archetypes", {"groupby": "type"}),
    "archetypes": ("archetypes", {"color": "depth"}),
    "embedding": ("fit", {"color": NAMES[0]}),
    "enrichment": ("prerank", {"max_padj": 1.0}),
    "group_loadings": ("groups", {"pathway": PATHWAYS[1]}),
    "latent_cells": ("latents", {"latents": "latent_6"}),
    "latent_features": ("latents", {}),
    "latent_selectivity": ("latents", {}),
    "leading_genes": ("fit", {"component": PATHWAYS[1], "groupby": "cell_type"}),
    "loadings_heatmap": ("fit", {}),
    "network": ("fit", {"threshold": 0.05}),
    "overlap": ("sets", {}),
    "rank_pathways": ("ranked", {}),
    "scores_dotplot": ("fit", {"groupby": "cell_type"}),
    "variance_by_group": ("fit", {"groupby": "cell_type"}),
    "scores": ("fit", {"groupby": "cell_type"}),
}
CATEGORIES = ["archetype_simplex", "archetypes"]
ONE_PANEL = NUMBERS | {
    "gene": ("fit", {"gene": "GENE3"}),
    "history": ("fit", {}),
    "latent_ablation": ("latents", {}),
    "loadings": ("fit", {"components": PATHWAYS[1]}),
    "refinement": ("refined", {}),
    "variance": ("fit", {}),
}
PANELS = {
    "embedding": ("fit", {"color": NAMES[:2]}),
    "latent_cells": ("latents", {"latents": ["latent_6", "latent_5"]}),
    "latent_features": ("latents", {"latents": ["latent_6", "latent_5"], "shape": (8, 8)}),
    "loadings": ("fit", {"components": PATHWAYS[:2]}),
    "refinement": ("refined", {"pathways": PATHWAYS[:2]}),
}
GROUPS = [f"type / {j}" for j in range(4)]
OWN = dict(zip(GROUPS, ["#111111", "#222222", "#333333", "#444444"], strict=True))

# In this order, after the data, what is shown, numbers of things, and words of one plot alone.
ORDER = [
    *("basis", "dims", "layer", "cmap", "norm", "vmin", "vmax", "palette", "legend_loc", "size", "title", "ncols"),
    *("key", "ax", "show", "save"),
]


@cache
def made(data):
    return MAKERS[data]()


def draw(name, plots=ONE_PANEL, **words):
    """On the only figure that is open, or on given axes."""
    if "ax" not in words:
        plt.close("all")
    data, shown = plots[name]
    return getattr(pl, name)(made(data), **shown, **words, show=False)


def by_type(name, **words):
    """Archetypes coloured by a category."""
    plt.close("all")
    return getattr(pl, name)(made("archetypes"), "type", **words, show=False)


def colored(ax):
    """The artist that a colour bar belongs to."""
    return next(one for one in [*ax.images, *ax.collections] if one.colorbar is not None)


def title(ax):
    return ax.get_title() or ax.get_title(loc="left")


def inside(figure, artists):
    figure.canvas.draw()
    for one in artists:
        box = one.get_window_extent()
        assert box.x0 >= -1
        assert box.y0 >= -1
        assert box.x1 <= figure.bbox.width + 1
        assert box.y1 <= figure.bbox.height + 1


def taking(word):
    return {name for name in pl.__all__ if word in inspect.signature(getattr(pl, name)).parameters}


# Which plots take which words.


def test_plots_take_the_words_that_have_a_meaning_there():
    for word in ("cmap", "norm", "vmin", "vmax"):
        assert taking(word) == set(NUMBERS)
    for word in ("palette", "legend_loc"):
        assert taking(word) == {*CATEGORIES, "embedding"}
    assert taking("title") == set(ONE_PANEL) | set(PANELS)
    assert taking("ax") == taking("show") == taking("save") == set(pl.__all__)


def test_words_stand_in_one_order():
    """Data and what is shown by position; then numbers of things, own words, and the shared ones in their order."""
    for name in pl.__all__:
        parameters = list(inspect.signature(getattr(pl, name)).parameters.values())
        words = [one.name for one in parameters if one.kind is one.KEYWORD_ONLY]
        shared = [word for word in words if word in ORDER]
        own = words[: len(words) - len(shared)]
        assert [word for word in ORDER if word in shared] == shared == words[len(own) :]
        assert own == sorted(own, key=lambda word: not word.startswith("n_"))
        positional = [one.name for one in parameters if one.kind is not one.KEYWORD_ONLY]
        assert not set(positional) & set(ORDER)
        assert len(positional) <= 3


def test_a_word_has_one_type_and_one_description():
    for word in ORDER:
        types, texts = set(), set()
        for name in taking(word):
            function = getattr(pl, name)
            types.add(str(inspect.signature(function).parameters[word].annotation))
            text = inspect.cleandoc(function.__doc__).split(f"\n{word}\n", 1)[1]
            lines = text.split("\n")
            texts.add(" ".join(line.strip() for line in lines[: next(i for i, x in enumerate(lines) if x[:1] != " ")]))
        alone = {"cmap", "key", "ax", "title"}  # what they stand for depends on the plot
        assert len(texts) == 1 or word in alone
        expected = {"cmap": 2, "title": 2, "ax": 3}.get(word, 1)  # None for a map that depends; panels
        assert len(types) <= expected


# Numbers as colours.


def test_limits_are_those_asked_for_and_one_leaves_the_other_to_the_plot():
    for name in NUMBERS:
        artist = colored(draw(name, vmin=-0.25, vmax=0.75, cmap="magma"))
        assert artist.get_clim() == (-0.25, 0.75)
        assert artist.get_cmap().name == "magma"
        assert artist.colorbar.vmin == -0.25
        low, high = colored(draw(name)).get_clim()
        own = colored(draw(name, vmax=high / 2)).get_clim()
        assert own[1] == high / 2
        assert own[0] in (low, -high / 2)
        assert (own[0] == -own[1]) == (low == -high)  # what is around 0 stays around 0


def test_a_norm_is_taken_whole_and_its_own_is_not_touched():
    for name in NUMBERS:
        norm = LogNorm(0.01, 0.5)
        artist = colored(draw(name, norm=norm))
        assert type(artist.norm) is LogNorm
        assert artist.get_clim() == (0.01, 0.5)
        assert artist.norm is not norm
        free = Normalize()
        artist = colored(draw(name, norm=free))
        values = np.ma.compressed(np.ma.masked_invalid(artist.get_array()))
        assert artist.get_clim() == pytest.approx((values.min(), values.max()))
        assert free.vmin is None


def test_a_norm_without_limits_takes_those_of_every_panel():
    first, second = draw("embedding", PANELS, norm=Normalize())
    assert colored(first).get_clim() != colored(second).get_clim()


def test_colours_that_contradict_each_other_are_refused_before_anything_is_drawn():
    for words, message in [
        ({"norm": Normalize(0, 1), "vmax": 1}, "norm has limits of its own"),
        ({"norm": "log"}, "must be a matplotlib Normalize"),
        ({"vmin": 2, "vmax": 1}, "vmin must be below vmax"),
        ({"vmin": np.nan}, "vmin=nan is no finite number"),
        ({"cmap": "no such map"}, "cmap must be a matplotlib Colormap or the name of one"),
    ]:
        for name in NUMBERS:
            with pytest.raises((TypeError, ValueError), match=message):
                draw(name, **words)
            assert plt.get_fignums() == []


def test_colour_bars_point_to_what_lies_beyond_them():
    for name in ["archetype_weights", "latent_selectivity", "overlap", "scores"]:
        shown = np.asarray(colored(draw(name)).get_array())
        middle = float(np.median(shown))
        assert colored(draw(name, vmin=middle, vmax=float(shown.max()) + 1)).colorbar.extend == "min"
        assert colored(draw(name, vmin=float(shown.min()) - 1, vmax=middle)).colorbar.extend == "max"


def test_odds_ratios_keep_their_logarithmic_scale():
    ax = pl.enrichment(enriched(), vmin=1, vmax=50, show=False)
    assert isinstance(colored(ax).norm, LogNorm)
    assert colored(ax).get_clim() == (1, 50)
    with pytest.raises(ValueError, match="vmin and vmax must be above 0"):
        pl.enrichment(enriched(), vmin=-1)


# Titles.


def test_a_title_replaces_the_plots_own():
    for name in ONE_PANEL:
        ax = draw(name, title="What is $\\theta$?")
        assert title(ax) == "What is $\\theta$?"
        inside(ax.figure, [ax.title if ax.get_title() else ax._left_title])
        with pytest.raises((TypeError, ValueError), match=r"title(=\['one', 'two'\])? must be (text|a string)"):
            draw(name, title=["one", "two"])


def test_a_title_of_given_axes_stays_where_the_plot_has_none():
    for name in sorted(
        set(ONE_PANEL)
        - {"loadings", "group_loadings", "embedding", "latent_cells", "gene", "leading_genes", "rank_pathways"}
    ):
        _, ax = plt.subplots()
        ax.set_title("mine")
        draw(name, ax=ax)
        assert ax.get_title() == "mine"


def test_a_title_stands_above_a_legend_that_is_above_the_panel():
    ax = draw("latent_ablation", title="A title")
    ax.figure.canvas.draw()
    assert ax.title.get_window_extent().y0 >= ax.get_legend().get_window_extent().y1 - 3


def test_panels_have_a_title_each():
    for name in PANELS:
        axes = draw(name, PANELS, title=["first", "second\nline"])
        assert axes.dtype == object
        assert [title(ax) for ax in axes] == ["first", "second\nline"]
        inside(axes[0].figure, [ax.title for ax in axes])
        for wrong in ("one", ["one"], ["one", 2]):
            with pytest.raises((TypeError, ValueError), match="a sequence of 2 strings|must be text, a list of"):
                draw(name, PANELS, title=wrong)


# Categories as colours.


def legend(ax):
    entries = zip(ax.get_legend().get_texts(), ax.get_legend().legend_handles, strict=True)
    return {flat(text.get_text()): to_hex(handle.get_color()) for text, handle in entries}


def cells(ax):
    paths = [one for one in ax.collections if isinstance(one, PathCollection)]
    return max(paths, key=lambda one: len(one.get_offsets()))


def test_a_palette_colours_the_groups():
    for name in CATEGORIES:
        for palette in [OWN, list(OWN.values()), [*OWN.values(), "#555555"], {**OWN, "no group": "red"}]:
            ax = by_type(name, palette=palette)
            assert legend(ax) == {flat(group): color for group, color in OWN.items()}
            assert {to_hex(one) for one in cells(ax).get_facecolors()} == set(OWN.values())


def test_a_palette_may_be_the_name_of_a_colour_map():
    for name in CATEGORIES:
        for palette in ["Set2", "viridis"]:
            ax = by_type(name, palette=palette)
            expected = mpl.colormaps[palette](range(4) if palette == "Set2" else np.linspace(0, 1, 4))
            assert list(legend(ax).values()) == [to_hex(one) for one in expected]


def test_palettes_and_legends_that_cannot_be_are_refused():
    for words, message in [
        ({"palette": ["red", "blue", "green"]}, "3 colours, too few for 4 groups"),
        ({"palette": {GROUPS[0]: "red"}}, "no colour for 'type / 1', 'type / 2'"),
        ({"palette": ["red", "blue", "green", "no colour"]}, "matplotlib knows no colour 'no colour'"),
        ({"palette": "no map"}, "palette='no map' is no colour map"),
        ({"legend_loc": "upper left"}, "choose one of 'right margin', 'on data', 'none'"),
    ]:
        for name in CATEGORIES:
            with pytest.raises(ValueError, match=message):
                by_type(name, **words)
            assert plt.get_fignums() == []


def test_a_colour_map_with_too_few_colours_is_refused():
    adata = archetypal()
    adata.obs["many"] = [f"group {i % 9}" for i in range(adata.n_obs)]
    with pytest.raises(ValueError, match="8 colours, too few for 9 groups"):
        pl.archetypes(adata, "many", palette="Set2")


def test_names_of_groups_stand_where_they_are_asked_for():
    for name in CATEGORIES:
        right = by_type(name)
        right.figure.canvas.draw()
        assert right.get_legend().get_window_extent().x0 >= right.get_window_extent().x1
        inside(right.figure, [right.get_legend()])
        on_data = by_type(name, legend_loc="on data")
        assert on_data.get_legend() is None
        places = {flat(text.get_text()): text.get_position() for text in on_data.texts}
        points, colors = cells(on_data).get_offsets(), [to_hex(one) for one in cells(on_data).get_facecolors()]
        for group, color in zip(GROUPS, legend(right).values(), strict=True):
            own = np.asarray(points)[np.array(colors) == color]
            np.testing.assert_allclose(places[flat(group)], np.median(own, axis=0))
        inside(on_data.figure, on_data.texts)
        without = by_type(name, legend_loc="none")
        assert without.get_legend() is None
        assert len(without.texts) == len(on_data.texts) - len(GROUPS)
        assert without.figure.get_figwidth() == on_data.figure.get_figwidth() < right.figure.get_figwidth()


def test_the_area_of_points_is_the_one_asked_for():
    for name in ["archetype_simplex", "archetypes", "embedding", "latent_cells"]:
        assert set(colored(draw(name, size=3.0)).get_sizes()) == {3.0}
        with pytest.raises(ValueError, match="size must be above 0"):
            draw(name, size=0)
