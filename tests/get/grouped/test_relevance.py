"""The table of relevance, read from the slots."""

import pandas as pd
import pytest
from fitted import NAMES, PATHWAYS, fitted_adata

from pathwayae import get


@pytest.fixture
def adata():
    adata = fitted_adata()
    padj = [0.01, 0.2, 0.04, 0.05, 0.9, 0.06, 0.3, float("nan"), float("nan")]
    adata.uns["pae"]["relevance"] = pd.DataFrame({"component": NAMES, "padj": padj})
    return adata


def test_rows_are_those_asked_for_in_their_order(adata):
    assert get.relevance(adata)["component"].tolist() == NAMES
    assert get.relevance(adata, components=[NAMES[-1], NAMES[2]])["component"].tolist() == [NAMES[-1], NAMES[2]]
    assert get.relevance(adata, components=NAMES[3])["padj"].tolist() == [0.05]
    table = get.relevance(adata)
    table.loc[0, "padj"] = 9.0  # a copy
    assert adata.uns["pae"]["relevance"]["padj"][0] == 0.01


def test_rows_up_to_an_adjusted_p_leave_out_what_was_not_tested(adata):
    table = get.relevance(adata, max_padj=0.05)
    assert table["component"].tolist() == [PATHWAYS[0], PATHWAYS[2], PATHWAYS[3]]
    assert table.index.tolist() == [0, 1, 2]
    assert len(get.relevance(adata, max_padj=1)) == len(PATHWAYS)


def test_what_is_missing_or_unknown_is_named(adata):
    with pytest.raises(KeyError, match="nothing"):
        get.relevance(adata, components="nothing")
    with pytest.raises(ValueError, match="max_padj must be between 0 and 1, got 2"):
        get.relevance(adata, max_padj=2)
    with pytest.raises(KeyError, match=r"No relevance in adata.uns\['pae'\].*pae.tl.relevance"):
        get.relevance(fitted_adata())
    with pytest.raises(KeyError, match="No fit under key 'other'"):
        get.relevance(adata, key="other")
