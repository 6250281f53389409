"""Trimming by a hierarchy, against definitions written as loops."""

import logging

import numpy as np
import pytest

from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.hierarchy import Hierarchy
from pathwayae.core.genesets.ontology import parse_obo
from pathwayae.core.genesets.ontology_sets import hierarchy_of
from pathwayae.core.genesets.reactome import read_reactome
from pathwayae.core.genesets.specific import most_specific
from pathwayae.core.genesets.trim import trim, trim_report

TREE = Hierarchy({"immune": (), "T": ("immune",), "CD4": ("T",), "CD8": ("T",), "B": ("immune",)})
SETS = {
    "immune": ("C3", "CD3D", "CD3E", "CD2", "CD4", "CD8A", "CD19"),
    "T": ("CD3D", "CD3E", "CD2", "CD4", "CD8A"),
    "CD4": ("CD3D", "CD3E", "CD2", "CD4"),
    "CD8": ("CD3D", "CD8A"),
    "B": ("CD19",),
}
HOWS = ["informative", "leaves", "subtract"]


def random_case(seed, n=30, n_genes=40):
    """A graph with several parents and sets of which children mostly lie within their parents."""
    rng = np.random.default_rng(seed)
    parents, sets = {}, {}
    for i in range(n):
        above = [f"S{j}" for j in sorted(rng.choice(i, min(i, rng.integers(0, 3)), replace=False))] if i else []
        pool = sorted({gene for name in above for gene in sets[name]}) or [f"G{j}" for j in range(n_genes)]
        genes = rng.choice(pool, int(np.ceil(len(pool) * rng.uniform(0.3, 1))), replace=False).tolist()
        if rng.random() < 0.2:
            genes.append(f"own {i}")
        parents[f"S{i}"], sets[f"S{i}"] = tuple(above), tuple(genes)
    order = rng.permutation(list(sets)).tolist()
    return {name: sets[name] for name in order}, Hierarchy(parents)


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b))


def test_by_hand():
    assert list(trim(SETS, TREE, "leaves")) == ["CD4", "CD8", "B"]
    assert trim(SETS, TREE, "subtract") == {
        "immune": ("C3",),
        "CD4": ("CD3D", "CD3E", "CD2", "CD4"),
        "CD8": ("CD3D", "CD8A"),
        "B": ("CD19",),
    }
    assert list(trim(SETS, TREE, "informative")) == ["immune", "CD4", "CD8", "B"]  # T and CD4 share 4 of 5
    assert list(trim(SETS, TREE, "informative", jaccard=0.81)) == list(SETS)
    assert list(trim(SETS, TREE, "informative", jaccard=0.5)) == ["CD4", "CD8", "B"]


def test_small_sets_go_first_and_count_as_no_children():
    assert list(trim(SETS, TREE, "leaves", min_genes=5)) == ["T"]
    assert list(trim(SETS, TREE, "informative", min_genes=5)) == ["immune", "T"]
    assert trim(SETS, TREE, "subtract", min_genes=3) == {
        "immune": ("C3", "CD8A", "CD19"),  # those of the small sets stay above them
        "CD4": ("CD3D", "CD3E", "CD2", "CD4"),
    }


def test_report_gives_reasons():
    table = trim_report(SETS, TREE, "subtract", min_genes=2).set_index("pathway")
    assert list(table.index) == list(SETS)
    assert table.loc["T"].tolist() == [5, 0, "fewer than 2 genes left of 5"]
    assert table.loc["CD4"].tolist() == [4, 4, ""]
    table = trim_report(SETS, TREE, "leaves", min_genes=2).set_index("pathway")
    assert table["reason"].to_dict() == {
        "immune": "3 set(s) below it",
        "T": "2 set(s) below it",
        "CD4": "",
        "CD8": "",
        "B": "fewer than 2 genes",
    }
    table = trim_report(SETS, TREE).set_index("pathway")
    assert table.loc["T", "reason"] == "Jaccard 0.80 with 'CD4' below it"


@pytest.mark.parametrize(("how", "seed"), [(how, seed) for seed, how in enumerate(HOWS)])
def test_the_report_foretells_the_result(how, seed):
    sets, tree = random_case(seed)
    table = trim_report(sets, tree, how, min_genes=4, jaccard=0.6)
    result = trim(sets, tree, how, min_genes=4, jaccard=0.6)
    assert {name: len(genes) for name, genes in result.items()} == dict(
        table.loc[table["reason"] == "", ["pathway", "n_left"]].to_numpy().tolist()
    )
    assert (table.loc[table["reason"] != "", "n_left"] == 0).all()
    assert table["n_genes"].tolist() == [len(genes) for genes in sets.values()]
    before = {name: tuple(genes) for name, genes in sets.items()}  # neither does the order matter
    names = np.random.default_rng(seed).permutation(list(sets)).tolist()
    again = trim({name: sets[name] for name in names}, tree, how, min_genes=4, jaccard=0.6)
    assert again == result
    assert list(again) == [name for name in names if name in result]
    assert sets == before


@pytest.mark.parametrize("seed", range(3))
def test_leaves_and_subtract_agree_with_loops(seed):
    sets, tree = random_case(seed)
    large = [name for name in sets if len(sets[name]) >= 5]
    expected = [name for name in large if not any(name in tree.ancestors(other) for other in large)]
    assert list(trim(sets, tree, "leaves", min_genes=5)) == expected
    specific = most_specific(GeneSetCollection(sets), tree)  # each gene stays where it is most specific
    assert trim(sets, tree, "subtract") == {name: genes for name, genes in specific.items() if genes}


@pytest.mark.parametrize("seed", range(3))
def test_subtract_loses_no_gene_that_a_large_kept_set_above_could_hold(seed):
    sets, tree = random_case(seed)
    result = trim(sets, tree, "subtract", min_genes=4)
    for name, genes in sets.items():
        for gene in genes:
            kept_above = [other for other in tree.ancestors(name) if other in result and gene in sets[other]]
            holders = [other for other in (name, *tree.ancestors(name), *tree.descendants(name)) if other in result]
            if name in result:
                assert any(gene in result[other] for other in holders)
            elif kept_above:
                below = [other for above in kept_above for other in (above, *tree.descendants(above))]
                assert any(gene in result.get(other, ()) for other in below)
    for name, genes in result.items():
        assert all(set(genes).isdisjoint(result.get(other, ())) for other in tree.descendants(name))


@pytest.mark.parametrize(("seed", "threshold"), [(0, 0.4), (1, 0.7), (2, 0.7), (3, 1.0)])
def test_informative_keeps_exactly_one_side_of_what_is_alike(seed, threshold):
    sets, tree = random_case(seed)
    result = trim(sets, tree, "informative", jaccard=threshold)
    for name in sets:
        alike = [
            other
            for other in tree.descendants(name)
            if other in result and jaccard(sets[name], sets[other]) >= threshold
        ]
        assert (name in result) == (not alike)
    assert all(result[name] == sets[name] for name in result)


def test_names_between_are_passed_through_and_a_flat_hierarchy_changes_nothing():
    sets = {name: SETS[name] for name in ("immune", "CD8", "B")}
    for how, expected in {
        "informative": sets,
        "leaves": {"CD8": SETS["CD8"], "B": SETS["B"]},
        "subtract": {**sets, "immune": ("C3", "CD3E", "CD2", "CD4")},
    }.items():
        assert trim(sets, TREE, how) == expected
        assert trim(SETS, Hierarchy(dict.fromkeys(SETS, ())), how) == SETS
        assert trim({}, TREE, how) == {}
    sets = {"up": ("A", "B"), "down": ("B", "A"), "aside": ("A", "B")}  # the same genes below each other
    tree = Hierarchy({"up": (), "down": ("up",), "aside": ()})
    assert list(trim(sets, tree, jaccard=1.0)) == ["down", "aside"]


def test_what_happened_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        trim(SETS, TREE, "leaves")
    assert "trim(how='leaves'): 5 → 3 sets; 1 of 7 genes are in no set any more" in caplog.text


def test_bad_input():
    with pytest.raises(KeyError, match="1 of 2 sets are not in the hierarchy, e.g. 'NK'; its names are like 'immune'"):
        trim({"T": ("CD3D",), "NK": ("NKG7",)}, TREE)
    make = r"pae.gs.hierarchy_of\(collection, ontology\)"
    ontology = parse_obo("[Term]\nid: GO:1\n")
    for wrong in (ontology, dict(TREE.parents), None):
        with pytest.raises(
            TypeError, match=rf"must be a Hierarchy .*found {type(wrong).__name__}. Make it with {make}"
        ):
            trim(SETS, wrong)
    with pytest.raises(KeyError, match=rf"5 of 5 sets are not in the hierarchy.*its names are like 'GO:1'.*{make}"):
        trim(SETS, ontology.graph)
    with pytest.raises(ValueError, match="how='roots' is unknown. Choose one of 'informative', 'leaves', 'subtract'"):
        trim(SETS, TREE, "roots")
    with pytest.raises(ValueError, match="min_genes must be at least 1, got 0"):
        trim(SETS, TREE, min_genes=0)
    with pytest.raises(ValueError, match="jaccard=1.5 is no threshold"):
        trim_report(SETS, TREE, jaccard=1.5)


@pytest.mark.real
def test_real_reactome(real_data):
    folder = real_data / "genesets"
    sets, ontology = read_reactome(folder / "ReactomePathways.gmt", folder / "ReactomePathwaysRelation.txt")
    tree = hierarchy_of(sets, ontology)
    counts = {how: len(sets.trim(tree, how, min_genes=10)) for how in HOWS}
    assert counts["leaves"] < counts["subtract"] < counts["informative"] < len(sets.filter(min_genes=10))
