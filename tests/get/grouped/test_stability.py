"""The table of trust, and genes with their intervals, from slots made by hand."""

import numpy as np
import pandas as pd
import pytest
from fitted import NAMES, fitted_adata

from pathwayae import get


def with_intervals(adata, key="pae"):
    """Verdicts and intervals in the slots of a hand-made fit: ±10 % and 0.02."""
    values = adata.varm[f"{key}_loadings"]
    half = 0.1 * np.abs(values) + 0.02 * (values != 0)
    adata.varm[f"{key}_loadings_low"], adata.varm[f"{key}_loadings_high"] = values - half, values + half
    verdicts = ["stable", "unstable", "no signal"] * 3
    low = np.linspace(0.999, 0.35, len(NAMES))
    adata.uns[key]["stability"] = pd.DataFrame({"component": NAMES, "verdict": verdicts, "scores_low": low})
    return adata


def test_the_table_can_be_asked_for_some_components_in_their_order():
    adata = with_intervals(fitted_adata())
    table = get.stability(adata)
    assert table["component"].tolist() == NAMES
    some = get.stability(adata, [NAMES[3], NAMES[0]])
    assert some["component"].tolist() == [NAMES[3], NAMES[0]]
    assert some.index.tolist() == [0, 1]
    assert some["verdict"].tolist() == ["stable", "stable"]
    some.loc[0, "verdict"] = "changed"
    assert get.stability(adata)["verdict"].tolist()[3] == "stable"
    with pytest.raises(KeyError, match="No component is called 'nothing'"):
        get.stability(adata, "nothing")


def test_a_fit_without_draws_has_no_table_and_no_intervals():
    adata = fitted_adata()
    with pytest.raises(KeyError, match=r"No stability in adata\.uns\['pae'\]: run pae.tl.stability"):
        get.stability(adata)
    assert list(get.top_genes(adata)) == ["component", "rank", "gene", "loading", "member"]


def test_top_genes_come_with_the_intervals_of_their_own_loadings():
    for key in ["pae", "other"]:
        adata = with_intervals(fitted_adata(key=key, symbols=True), key)
        table = get.top_genes(adata, n_genes=7, key=key)
        assert list(table) == ["component", "rank", "gene", "loading", "member", "low", "high"]
        for row in table.itertuples():
            i = adata.var["symbol"].tolist().index(row.gene)
            j = NAMES.index(row.component)
            assert row.low == adata.varm[f"{key}_loadings_low"][i, j]
            assert row.high == adata.varm[f"{key}_loadings_high"][i, j]


def test_intervals_of_another_fit_are_refused():
    adata = with_intervals(fitted_adata())
    adata.varm["pae_loadings_low"] = adata.varm["pae_loadings_low"][:, :4]
    with pytest.raises(ValueError, match="come from different fits"):
        get.top_genes(adata)
