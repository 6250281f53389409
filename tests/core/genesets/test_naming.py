"""Genes that are there under another spelling."""

import numpy as np
import pandas as pd
import pytest

from pathwayae import gs
from pathwayae.core.genesets.membership import mismatch_message
from pathwayae.core.genesets.naming import misspelt


@pytest.mark.parametrize(
    ("present", "kind"),
    [
        (['"CD3D"', '"CD2"'], "quotes"),
        ([" CD3D", "CD2 "], "blanks"),
        (["CD3D_ENSG00000167286", "CD2_ENSG00000116824.3"], "symbols glued to identifiers"),
        (["ENSG00000167286.CD3D", "ENSG00000116824|CD2"], "symbols glued to identifiers"),
        (["cd3d", "cd2"], "letter case"),
    ],
)
def test_what_differs_is_said_and_mended_by_one_call(present, kind):
    message = mismatch_message(["CD3D", "CD2"], present)
    assert f"2 of 2 are in the data under another spelling ({kind} 2" in message
    assert "pae.gs.match_genes(pathways, adata)" in message
    mended = gs.match_genes({"T": {"CD3D": 1.0, "CD2": -1.0}}, present)
    assert mended["T"] == tuple(present)
    assert mended.weights["T"][present[1]] == -1.0


def test_names_as_r_changes_them_are_known():
    """``make.names`` puts dots for dashes, and X in front of digits."""
    found = misspelt(["HLA.A", "X5S_rRNA", "NKX2.5", "MT.CO1"], ["HLA-A", "5S_rRNA", "NKX2-5", "MT-CO1", "X2"])
    assert found.names == {"HLA.A": "HLA-A", "X5S_rRNA": "5S_rRNA", "NKX2.5": "NKX2-5", "MT.CO1": "MT-CO1"}
    assert found.kinds == {"marks of R": 4}
    assert not misspelt(["A.1.B"], ["A-1.B", "A.1-B"]).names  # two genes it could be


def test_what_is_not_safe_is_left_alone():
    mouse = ["Cd3d", "Cd2", "Actb"]
    assert not misspelt(["CD3D", "CD2", "ACTB"], mouse).names  # an orthologue is not a spelling
    assert not misspelt(["cd3d"], ["CD3D", "Cd3d"]).names  # two genes it could be
    assert not misspelt(["CD3D", "cd3d"], ["CD3D"]).names  # taken already
    message = mismatch_message(["MARCHF1", "SEPTIN2"], ["1-Mar", "2-Sep", "DEC-1"])
    assert "var_names hold 3 date(s), e.g. '1-Mar'" in message
    assert "a file that Excel did not open" in message


def test_a_mapping_of_many_is_that_of_a_naive_loop():
    rng = np.random.default_rng(0)
    names = [f"GENE{j}" for j in range(200)]
    written = [name.lower() if low else name for name, low in zip(names, rng.random(200) < 0.66, strict=True)]
    expected = {name: own for name, own in zip(names, written, strict=True) if name != own}
    assert misspelt(names, written).names == expected
    sets = gs.match_genes({"A": names}, pd.Index(written))
    assert list(sets["A"]) == written
