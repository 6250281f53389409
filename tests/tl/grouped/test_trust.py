"""One word on trust: what the flags, the tests of genes and the refits say together."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from grouped_fits import CLASSIC, fit
from noisy_programs import names, towering

import pathwayae as pae

FIGURES = ["n_effective", "top_gene_share", "agreement", "outside"]


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(300, 250, 4, random_state=2)


@pytest.fixture
def told(cells: ad.AnnData) -> ad.AnnData:
    """A fit without flags."""
    return fit(cells, n_extra=2)


def with_flag(adata: ad.AnnData, flag: str) -> None:
    adata.uns["pae"]["pathways"]["flag"] = [flag, "", "", ""]


def relevance(adata: ad.AnnData, verdict: str = "used", padj: float = 0.01, heldout: float = 0.1) -> None:
    """Of the first pathway as given, of the others used."""
    free = pae.get.component_names(adata)[4:]
    adata.uns["pae"]["relevance"] = pd.DataFrame(
        {
            "component": pae.get.component_names(adata),
            "padj": [padj, 0.01, 0.01, 0.01] + [np.nan] * len(free),
            "heldout_variance": [heldout] + [0.1] * (3 + len(free)),
            "verdict": [verdict, "used", "used", "used"] + ["not tested"] * len(free),
        }
    )


def refinement(adata: ad.AnnData, verdict: str = "carried") -> None:
    adata.uns["pae"]["refinement"] = pd.DataFrame(
        {
            "pathway": pae.get.component_names(adata)[:4],
            "heldout_auc": 0.8,
            "padj": 0.02,
            "verdict": [verdict, "carried", "carried", "carried"],
        }
    )


def refits(adata: ad.AnnData, low: float, verdict: str = "stable") -> None:
    labels = pae.get.component_names(adata)
    adata.uns["pae"]["stability"] = pd.DataFrame(
        {"component": labels, "scores_low": [low] + [0.95] * 5, "verdict": [verdict] + ["stable"] * 5}
    )


def word(adata: ad.AnnData, component: int = 0) -> tuple[str, str]:
    return tuple(pae.get.trust(adata).loc[component, ["verdict", "reason"]])


def test_nothing_but_the_fit_is_untested_and_free_components_name_no_genes(told: ad.AnnData) -> None:
    table = pae.get.trust(told)
    assert table["component"].tolist() == pae.get.component_names(told)
    assert (table["verdict"] == "untested").all()
    assert table["reason"].tolist() == ["no test of its genes"] * 4 + ["names no genes"] * 2
    asked = ["stability", "relevance_padj", "heldout_variance", "heldout_auc", "heldout_padj"]
    assert table[asked].isna().all(axis=None)
    own = pae.get.pathways(told)
    np.testing.assert_array_equal(table.loc[:3, FIGURES], own[FIGURES])
    assert table.loc[4:, FIGURES].isna().all(axis=None)
    np.testing.assert_array_equal(table["variance_ratio"], told.uns["pae"]["variance_ratio"])
    assert table["top_gene"].tolist() == pae.get.top_genes(told, n_genes=1)["gene"].tolist()
    assert not {"flag", "answers", "lost", "n_lost"} & set(table)


def test_an_unfaithful_score_is_never_used_whatever_else_is_known(told: ad.AnnData) -> None:
    for flag, reason in [
        ("constant", "the score does not vary"),
        ("collapsed", "the descent gave the pathway up"),
        ("few genes", "two genes or fewer in the model"),
        ("one gene", "over half of the score is one gene, {gene}"),
        ("outside", "genes outside the pathway make over half of the score"),
        ("disagrees", "the score goes with the mean of the genes by less than 0.5"),
    ]:
        gene = pae.get.top_genes(told, n_genes=1)["gene"].iloc[0]
        expected, flagged = ("unfaithful", reason.format(gene=gene)), told.copy()
        with_flag(flagged, flag)
        assert word(flagged) == expected
        relevance(flagged)
        refinement(flagged)
        refits(flagged, 0.99)
        assert word(flagged) == expected
        assert word(flagged, 1) == ("used", "its genes go together more than random ones, and refits agree")


def test_a_duplicate_may_be_used(told: ad.AnnData) -> None:
    with_flag(told, "duplicate")
    assert word(told) == ("untested", "no test of its genes")
    relevance(told)
    assert word(told) == ("used", "its genes go together more than random ones")


def test_relevance_says_whether_the_cells_use_a_pathway(told: ad.AnnData) -> None:
    relevance(told)
    table = pae.get.trust(told)
    assert table["verdict"].tolist() == ["used"] * 4 + ["untested"] * 2
    assert table["relevance_padj"].tolist()[:4] == [0.01] * 4
    assert table["heldout_variance"].tolist() == [0.1] * 6
    relevance(told, "not used", padj=0.4)
    assert word(told) == ("not used", "its genes go together no more than random ones")
    relevance(told, "not used", padj=0.01, heldout=-0.1)
    assert word(told) == ("not used", "the score explains nothing in cells left out")


def test_refine_answers_where_relevance_was_not_asked(told: ad.AnnData) -> None:
    refinement(told)
    assert word(told) == ("used", "hidden genes of it are found again")
    assert pae.get.trust(told)["heldout_auc"].tolist()[:4] == [0.8] * 4
    assert pae.get.trust(told)["heldout_padj"].tolist()[:4] == [0.02] * 4
    refinement(told, "not carried")
    assert word(told) == ("not used", "hidden genes of it stay hidden")
    for verdict in ("too small", "not weighed"):
        refinement(told, verdict)
        assert word(told) == ("untested", "no test of its genes")
    refinement(told, "not carried")
    relevance(told)
    assert word(told) == ("used", "its genes go together more than random ones")  # relevance goes first


def test_refits_that_disagree_are_told_where_nothing_graver_is(told: ad.AnnData) -> None:
    refits(told, 0.9)
    assert word(told) == ("untested", "no test of its genes, and refits agree")
    assert word(told, 5) == ("untested", "names no genes, and refits agree")
    refits(told, 0.5)
    assert word(told) == ("unstable", "refits agree by 0.50")
    relevance(told)
    assert word(told) == ("unstable", "refits agree by 0.50")
    assert pae.get.trust(told)["stability"].tolist() == [0.5] + [0.95] * 5
    relevance(told, "not used", padj=0.4)
    assert word(told)[0] == "not used"
    with_flag(told, "disagrees")
    assert word(told)[0] == "unfaithful"


def test_what_refits_say_beside_agreement_counts_too(told: ad.AnnData) -> None:
    for verdict, expected in [("taken over", "unfaithful"), ("no signal", "not used")]:
        relevance(told)
        refits(told, 0.95, verdict)
        assert word(told)[0] == expected


def test_rows_of_trust_are_those_asked_for_in_their_order(told: ad.AnnData) -> None:
    assert pae.get.trust(told, ["free_2", "program_3"])["component"].tolist() == ["free_2", "program_3"]
    assert pae.get.trust(told, "program_2").index.tolist() == [0]
    with pytest.raises(KeyError, match="nothing"):
        pae.get.trust(told, "nothing")
    with pytest.raises(KeyError, match="No fit under key 'other'"):
        pae.get.trust(told, key="other")


def test_a_score_of_one_gene_is_never_used_by_real_answers(tmp_path) -> None:
    for n_extra in [0, 2]:
        adata = towering()
        sets = {"tower": names(adata, *range(10)), "plain": names(adata, *range(10, 20)), "two": names(adata, 10, 11)}
        with (
            pytest.warns(pae.DataWarning, match=r"'one gene'\): tower\."),
            pytest.warns(pae.DataWarning, match=r"'few genes'\): two\."),
        ):
            result = fit(adata, sets, min_genes=2, n_extra=n_extra, **CLASSIC)
        pae.tl.relevance(result, n_folds=2, progress=False)
        assert pae.get.relevance(result)["verdict"].tolist()[:2] == ["used"] * 2  # by their genes
        result.write_h5ad(tmp_path / "cells.h5ad")
        for one in (result, ad.read_h5ad(tmp_path / "cells.h5ad")):
            table = pae.get.trust(one)
            assert table["verdict"].tolist()[:3] == ["unfaithful", "used", "unfaithful"]
            assert table["reason"].tolist()[0] == "over half of the score is one gene, G0"
            assert table["top_gene"].tolist()[0] == "G0"


def test_a_heat_map_of_used_pathways_alone(told: ad.AnnData) -> None:
    told.obs["group"] = pd.Categorical(np.where(np.arange(300) % 3, "a", "b"))
    with pytest.raises(ValueError, match=r"only='used', but the verdicts of the 4 pathways are {'untested': 4}"):
        pae.pl.scores(told, "group", only="used", show=False)
    relevance(told, "not used", padj=0.4)
    drawn = pae.pl.scores(told, "group", only="used", show=False)
    labels = {label.get_text() for label in drawn.get_yticklabels()}
    assert labels == {"program_2", "program_3", "program_4"}
    other = pae.pl.scores(told, "group", only="not used", show=False)
    assert [label.get_text() for label in other.get_yticklabels()] == ["program_1"]
