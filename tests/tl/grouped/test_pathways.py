"""What is said of the pathways that a fit takes."""

import logging

import numpy as np

from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.tl._grouped.pathways import choose

GENES = np.array([f"G{i}" for i in range(40)])


def said(sets, caplog, min_genes=2):
    caplog.clear()
    with caplog.at_level(logging.INFO, "pathwayae"):
        choose(GeneSetCollection(sets), GENES, min_genes, None)
    return caplog.text


def test_a_fit_says_how_redundant_its_pathways_are_and_what_merging_would_leave(caplog):
    sets = {"a": GENES[:10], "nearly a": [*GENES[:9], "lost"], "half of a": GENES[:5], "b": GENES[20:30]}
    sets |= {"small": GENES[:1]}
    text = said(sets, caplog)
    assert "3 of 4 pathways share half of their genes or more with another (Jaccard index of 0.5)" in text
    assert "filter(genes=adata).merge_similar() would leave 3." in text
    left = GeneSetCollection(sets).filter(min_genes=2, genes=GENES).merge_similar()
    assert len(left) == 3
    text = said({name: sets[name] for name in ("a", "half of a", "b")}, caplog)
    assert "2 of 3 pathways" in text
    assert "merge" not in text


def test_nothing_is_said_of_one_pathway_or_where_nobody_listens(caplog):
    assert said({"a": GENES[:10], "small": GENES[:1]}, caplog) == ""
    choose(GeneSetCollection({"a": GENES[:10], "b": GENES[:10]}), GENES, 2, None)
    assert caplog.text == ""
