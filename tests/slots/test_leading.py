"""Which pathways come first."""

import numpy as np
import pytest
from fitted import FREE, NAMES, PATHWAYS, fitted_adata
from plotted import relevant

from pathwayae._slots.leading import leading


def by_loop(adata, table, size):
    """Pathways sorted by a tuple."""
    flags = adata.uns["pae"]["pathways"].set_index("pathway")["flag"]
    unused = {name: bool(table is not None and not table.loc[name, "padj"] <= 0.05) for name in PATHWAYS}
    return sorted(PATHWAYS, key=lambda name: (flags[name] not in ("", "duplicate"), unused[name], -size[name]))


@pytest.mark.parametrize("made", [fitted_adata, relevant])
def test_the_ones_that_matter_come_first_and_flagged_ones_last(made):
    adata = made()
    table = adata.uns["pae"]["relevance"].set_index("component") if "relevance" in adata.uns["pae"] else None
    ratio = dict(zip(NAMES, adata.uns["pae"]["variance_ratio"], strict=True))
    size = ratio if table is None else table["heldout_variance"].to_dict()
    best = leading(adata, "pae", 2).names
    assert best == by_loop(adata, table, size)[:2]
    report = adata.uns["pae"]["pathways"].set_index("pathway")
    report.loc[best, "flag"] = ["outside", "duplicate"]
    adata.uns["pae"]["pathways"] = report.reset_index()
    found = leading(adata, "pae", 99)
    assert found.names == by_loop(adata, table, size)
    assert found.names[-1] == best[0]
    assert found.title == ""
    words = "the relevant ones by variance in cells left out" if table is not None else "those that explain most"
    assert leading(adata, "pae", 3).title.startswith(f"3 of 7 pathways, {words}")


def test_without_a_report_as_after_transform_and_without_pathways():
    adata = fitted_adata()
    del adata.uns["pae"]["pathways"]
    ratio = adata.uns["pae"]["variance_ratio"]
    assert leading(adata, "pae", 1).names == [PATHWAYS[int(np.argmax(ratio[:7]))]]
    adata.uns["pae"] |= {"component_names": np.array(FREE), "n_pathways": 0, "variance_ratio": np.array([0.1, 0.2])}
    assert leading(adata, "pae", 9).names == FREE[::-1]
