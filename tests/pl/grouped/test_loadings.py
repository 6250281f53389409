"""Whiskers and verdicts on the plot of loadings."""

import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata
from plotted import flat, genes_of, labels

from pathwayae import get, pl
from pathwayae.pl._grouped.loadings import INTERVAL


def whiskers(ax):
    """Rows → ends, from the black lines."""
    for lines in ax.collections:
        if np.allclose(lines.get_color()[0][:3], 0):
            return [(start[0], end[0]) for start, end in lines.get_segments()]
    return []


@pytest.fixture
def adata():
    adata = fitted_adata()
    values = adata.varm["pae_loadings"]
    adata.varm["pae_loadings_low"] = values - 0.03 * (values != 0)
    adata.varm["pae_loadings_high"] = values + 0.01 * (values != 0)
    adata.uns["pae"]["stability"] = pd.DataFrame(
        {
            "component": NAMES,
            "verdict": ["stable", "unstable", "no signal"] * 3,
            "scores_low": [0.999, 0.8999, 0.5, 1.0, -0.2, 0.0, 0.97, 0.1, 0.2],
        }
    )
    return adata


def test_whiskers_are_the_intervals_of_the_genes_shown(adata):
    axes = pl.loadings(adata, [PATHWAYS[0], "free_1"], n_genes=8, show=False)
    for ax, name in zip(axes, [PATHWAYS[0], "free_1"], strict=True):
        table = get.top_genes(adata, name, n_genes=8)
        assert labels(ax.get_yticklabels()) == table["gene"].tolist()
        np.testing.assert_allclose(whiskers(ax), table[["low", "high"]].to_numpy(), rtol=1e-6)
        left, right = ax.get_xlim()
        assert left <= min(table["low"].min(), 0)
        assert right >= table["high"].max()
    legend = axes[0].figure.legends[0]
    assert [text.get_text() for text in legend.get_texts()].count(INTERVAL) == 1


def test_the_title_gives_the_verdict_and_does_not_round_up(adata):
    axes = pl.loadings(adata, NAMES[:5], show=False)
    lines = [ax.get_title().split("\n")[-1] for ax in axes]
    assert lines == ["stable (r ≥ 0.99)", "unstable (r ≥ 0.89)", "no signal (r ≥ 0.50)", "stable (r ≥ 1.00)",
                     "unstable (r ≥ -0.20)"]  # fmt: skip
    for ax, name in zip(axes, NAMES, strict=False):
        assert flat(ax.get_title()).startswith(flat(name))


def test_restarts_alone_give_a_verdict_without_whiskers_and_no_refits_neither(adata):
    for slot in ("pae_loadings_low", "pae_loadings_high"):
        del adata.varm[slot]
    ax = pl.loadings(adata, NAMES[0], show=False)
    assert whiskers(ax) == []
    assert ax.get_title().endswith("stable (r ≥ 0.99)")
    del adata.uns["pae"]["stability"]
    ax = pl.loadings(adata, NAMES[0], show=False)
    assert whiskers(ax) == []
    assert flat(ax.get_title()) == flat(NAMES[0] + genes_of(adata, NAMES[0]))
    assert INTERVAL not in [text.get_text() for text in ax.figure.legends[0].get_texts()]
