"""Most specific sets, classes, weighted membership."""

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.genesets.annotations import read_annotations
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.hierarchy import Hierarchy
from pathwayae.core.genesets.ontology import parse_obo
from pathwayae.core.genesets.ontology_sets import from_ontology, hierarchy_of
from pathwayae.core.genesets.specific import most_specific, specific_classes, weighted_membership

TREE = Hierarchy({"all": (), "immune": ("all",), "T": ("immune",), "B": ("immune",), "death": ("all",)})
SETS = GeneSetCollection(
    {
        "all": ["ACTB", "C3", "CD3D", "CD19", "PTPRC", "BAX"],
        "immune": ["C3", "CD3D", "CD19", "PTPRC"],
        "T": ["CD3D", "PTPRC"],
        "B": ["CD19", "PTPRC", "XYZ"],  # not within its parents, as in real collections
        "death": ["BAX", "CD3D"],
    },
    {"T": "text"},
)


def naive(sets, hierarchy):
    return {
        name: tuple(gene for gene in genes if not any(gene in sets[below] for below in hierarchy.descendants(name)))
        for name, genes in sets.items()
    }


def random_case(seed):
    rng = np.random.default_rng(seed)
    n = 30
    parents = {
        f"s{i}": tuple({f"s{j}" for j in rng.integers(0, i, size=rng.integers(0, 3))}) if i else () for i in range(n)
    }
    sets = {name: [f"g{j}" for j in rng.permutation(40)[: rng.integers(0, 20)]] for name in parents}
    order = [f"s{i}" for i in rng.permutation(n)]
    return GeneSetCollection({name: sets[name] for name in order}), Hierarchy(parents)


def test_genes_stay_in_their_most_specific_sets():
    found = most_specific(SETS, TREE)
    assert dict(found) == {
        "all": ("ACTB",), "immune": ("C3",), "T": ("CD3D", "PTPRC"), "B": ("CD19", "PTPRC", "XYZ"),
        "death": ("BAX", "CD3D"),
    }  # fmt: skip
    assert found.descriptions["T"] == "text"


def test_a_chain_with_a_set_left_out():
    sets = GeneSetCollection({"all": ["A", "B"], "T": ["A"]})
    assert dict(most_specific(sets, TREE)) == {"all": ("B",), "T": ("A",)}
    message = r"1 of 1 sets are not in the hierarchy, e.g. 'NK'.*pae.gs.hierarchy_of\(collection, ontology\)"
    with pytest.raises(KeyError, match=message):
        most_specific(GeneSetCollection({"NK": ["A"]}), TREE)
    with pytest.raises(KeyError, match=message):
        specific_classes(GeneSetCollection({"NK": ["A"]}), TREE, ["A"])


def test_classes():
    genes = ["CD19", "new", "PTPRC", "CD3D", "ACTB", "C3", "BAX", "XYZ"]
    names = ["none", *SETS]
    classes = specific_classes(SETS, TREE, genes)
    # PTPRC: T (2 genes) before B (3); CD3D: T and death have 2 each, T is deeper
    expected = ["B", "none", "T", "T", "all", "immune", "death", "B"]
    assert [names[int(one) + 1] for one in classes] == expected
    assert np.isnan(specific_classes(SETS, TREE, ["new"], unannotated=float("nan"))).all()


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_naive_loops_and_classes_name_a_specific_set_of_the_gene(seed):
    sets, hierarchy = random_case(seed)
    found = most_specific(sets, hierarchy)
    assert dict(found) == naive(sets, hierarchy)
    assert set(found.genes) == set(sets.genes)  # no gene is lost
    assert most_specific(found, hierarchy) == found
    genes = [*sets.genes, "new"]
    classes = dict(zip(genes, specific_classes(sets, hierarchy, genes), strict=True))
    for gene in sets.genes:
        options = [name for name in sets if gene in found[name]]
        chosen = list(sets)[int(classes[gene])]
        assert chosen in options
        assert len(sets[chosen]) == min(len(sets[name]) for name in options)
    assert classes["new"] == -1
    shuffled = list(np.random.default_rng(seed).permutation(genes))
    assert dict(zip(shuffled, specific_classes(sets, hierarchy, shuffled), strict=True)) == classes


class Data:
    """As much of AnnData as is needed."""

    def __init__(self, names):
        self.var_names = pd.Index(names)


def test_dicts_and_data_will_do():
    genes = ["CD19", "new", "PTPRC", "CD3D"]
    assert most_specific(dict(SETS), TREE) == most_specific(SETS, TREE)
    expected = specific_classes(SETS, TREE, genes)
    np.testing.assert_array_equal(specific_classes(dict(SETS), TREE, Data(genes)), expected)


def test_arguments_of_another_kind():
    ontology = parse_obo("[Term]\nid: A:1\n")
    for wrong in (ontology, dict(TREE.parents), None):
        message = (
            rf"must be a Hierarchy .*, found {type(wrong).__name__}. Make it with pae.gs.hierarchy_of\(collection,"
        )
        with pytest.raises(TypeError, match=message):
            most_specific(SETS, wrong)
        with pytest.raises(TypeError, match=message):
            specific_classes(SETS, wrong, ["CD19"])
    with pytest.raises(
        TypeError, match=r"most_specific\(collection, hierarchy\): collection must be .*found Hierarchy"
    ):
        most_specific(TREE, SETS)
    with pytest.raises(TypeError, match=r"specific_classes\(collection, hierarchy, var_names\): collection must be"):
        specific_classes(TREE, SETS, ["CD19"])


OBO = """[Term]
id: A:1
[Term]
id: A:2
is_a: A:1
[Term]
id: A:3
is_a: A:2
alt_id: A:9
[Term]
id: A:4
is_a: A:1
"""
ROWS = [("g1", "A:3", "IEA"), ("g1", "A:2", "IDA"), ("g1", "A:1", "ND"), ("g2", "A:4", "ND"), ("g3", "A:9", "IEA")]
CONFIDENCE = {"IDA": 1.0, "IEA": 0.4, "ND": 0.1}


@pytest.fixture
def case():
    found = read_annotations(pd.DataFrame(ROWS, columns=["gene", "term", "evidence"]), evidence="evidence")
    ontology = parse_obo(OBO)
    return found, ontology, from_ontology(ontology, found)


def test_weights_are_those_of_the_best_support(case):
    weights = weighted_membership(*case, var_names=["g3", "g1", "new", "g2"], confidence=CONFIDENCE)
    assert list(case[2]) == ["A:1", "A:2", "A:3", "A:4"]
    specific = most_specific(case[2], hierarchy_of(case[2], case[1]))
    assert dict(specific) == {"A:1": (), "A:2": (), "A:3": ("g1", "g3"), "A:4": ("g2",)}
    np.testing.assert_array_equal(
        weights.toarray(), [[0.4, 0.4, 0.4, 0], [1.0, 1.0, 0.4, 0], [0, 0, 0, 0], [0.1, 0, 0, 0.1]]
    )
    high = weighted_membership(*case, var_names=["g3", "g1", "new", "g2"], confidence={**CONFIDENCE, "IEA": 0.9})
    assert (high.toarray() >= weights.toarray()).all()
    assert weights.format == "csr"
    assert weights.dtype == np.float64


def test_weights_cover_the_membership_and_follow_the_sets_given(case):
    found, ontology, sets = case
    genes = ["g1", "g2", "g3"]
    weights = weighted_membership(*case, var_names=genes, confidence={}, default=1.0)
    assert (weights.toarray() == sets.membership(genes).matrix.toarray()).all()
    fewer = GeneSetCollection({"x A:4": ["g2"], "y A:1": ["g1"]})
    weights = weighted_membership(found, ontology, fewer, var_names=genes, confidence=CONFIDENCE)
    np.testing.assert_array_equal(weights.toarray(), [[0, 1.0], [0.1, 0], [0, 0]])


def test_weights_take_dicts_data_and_the_path_of_an_ontology(case, tmp_path):
    found, ontology, sets = case
    (tmp_path / "small.obo").write_text(OBO)
    genes = ["g3", "g1", "new", "g2"]
    expected = weighted_membership(*case, var_names=genes, confidence=CONFIDENCE)
    named = {sets.descriptions[name]: listed for name, listed in sets.items()}
    for arguments in ((found, ontology, named), (found, tmp_path / "small.obo", sets)):
        for names in (Data(genes), iter(genes)):
            assert (weighted_membership(*arguments, var_names=names, confidence=CONFIDENCE) != expected).nnz == 0
    with pytest.raises(TypeError, match="annotations=<Ontology> must be annotations"):
        weighted_membership(ontology, found, sets, var_names=genes, confidence=CONFIDENCE)


def test_bad_weights(case):
    found, ontology, _ = case
    with pytest.raises(ValueError, match=r"no weight for the evidence IEA \(2\), ND \(2\).*default=…"):
        weighted_membership(*case, var_names=["g1"], confidence={"IDA": 1})
    for weight in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"confidence of 'IDA' is .*Give a finite number above 0"):
            weighted_membership(*case, var_names=["g1"], confidence={**CONFIDENCE, "IDA": weight})
    with pytest.raises(ValueError, match="1 of 1 sets carry no id of the ontology, e.g. 'x'"):
        weighted_membership(found, ontology, GeneSetCollection({"x": ["g1"]}), var_names=["g1"], confidence=CONFIDENCE)
    with pytest.warns(UserWarning, match="1 of 2 memberships are supported by no annotation and get the weight 0"):
        weighted_membership(
            found, ontology, GeneSetCollection({"A:4": ["g1", "g2"]}), var_names=["g1", "g2"], confidence=CONFIDENCE
        )
