"""The collection of gene sets."""

import copy
import pickle
from collections import OrderedDict
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.genesets import membership
from pathwayae.core.genesets.collection import GeneSetCollection

SETS = {"T / αβ": ["CD3D", "CD2", "CD3D", "CD3E"], "B": ["MS4A1", "CD19"], "empty": []}


@pytest.fixture
def pathways():
    return GeneSetCollection(SETS, {"B": "B cell markers"})


def test_is_an_ordered_mapping(pathways):
    assert list(pathways) == ["T / αβ", "B", "empty"]
    assert len(pathways) == 3
    assert pathways["T / αβ"] == ("CD3D", "CD2", "CD3E")
    assert "B" in pathways
    assert "C" not in pathways
    assert pathways.genes == ("CD3D", "CD2", "CD3E", "MS4A1", "CD19")
    assert dict(pathways.descriptions) == {"T / αβ": "", "B": "B cell markers", "empty": ""}
    with pytest.raises(KeyError, match="C"):
        pathways["C"]


def test_is_immutable_and_keeps_no_link_to_its_input():
    given = {"A": ["G1", "G2"]}
    descriptions = {"A": "first"}
    pathways = GeneSetCollection(given, descriptions)
    given["A"].append("G3")
    given["B"] = ["G4"]
    descriptions["A"] = "changed"
    assert dict(pathways) == {"A": ("G1", "G2")}
    assert pathways.descriptions["A"] == "first"
    with pytest.raises(TypeError):
        pathways["A"] = ("G1",)
    with pytest.raises(TypeError):
        pathways.descriptions["A"] = "changed"
    with pytest.raises(AttributeError):
        pathways.names = ("A",)


def test_any_mapping_and_any_sequence_of_genes(pathways):
    for kind in (dict, OrderedDict, MappingProxyType, GeneSetCollection):
        assert GeneSetCollection(kind(SETS)) == pathways
    for kind in (list, tuple, np.array, pd.Series, pd.Index, iter):
        genes = GeneSetCollection({"A": kind(["G2", "G1", "G2"])})["A"]
        assert genes == ("G2", "G1")
        assert {type(gene) for gene in genes} == {str}


def test_copying_a_collection_keeps_descriptions(pathways):
    assert GeneSetCollection(pathways).descriptions == pathways.descriptions
    for other in (copy.deepcopy(pathways), pickle.loads(pickle.dumps(pathways))):
        assert other == pathways
        assert other.descriptions == pathways.descriptions


def test_equality_and_hash(pathways):
    same = GeneSetCollection(SETS)
    assert same == pathways
    assert hash(same) == hash(pathways)
    assert GeneSetCollection(dict(reversed(SETS.items()))) != pathways
    assert GeneSetCollection(SETS | {"B": ["CD19", "MS4A1"]}) != pathways
    assert pathways != dict(pathways)


def test_repr(pathways):
    assert repr(pathways) == "GeneSetCollection(3 sets, 5 genes: 'T / αβ', 'B', 'empty')"
    assert repr(GeneSetCollection({})) == "GeneSetCollection(0 sets, 0 genes)"
    many = GeneSetCollection({f"S{i}": ["G"] for i in range(100)})
    assert repr(many) == "GeneSetCollection(100 sets, 1 gene: 'S0', 'S1', 'S2', …)"


@pytest.mark.parametrize(
    ("sets", "descriptions", "error", "message"),
    [
        ({"A": "CD3D"}, None, TypeError, "gene set 'A': expected a list of genes, found 'CD3D'"),
        ({"A": ["CD3D", None]}, None, TypeError, "genes must be strings, found None"),
        ({"A": [""]}, None, ValueError, "empty gene name"),
        ({"": ["CD3D"]}, None, ValueError, "names must not be empty"),
        ({1: ["CD3D"]}, None, TypeError, r"names must be strings, found 1 \(int\)"),
        ([("A", ["CD3D"])], None, TypeError, "sets must be a mapping of name → genes, found list"),
        ({"A": ["CD3D"]}, {"B": "x"}, ValueError, r"descriptions name 1 set\(s\) that do not exist, e.g. 'B'"),
    ],
)
def test_bad_input(sets, descriptions, error, message):
    with pytest.raises(error, match=message):
        GeneSetCollection(sets, descriptions)


def test_filter_agrees_with_a_loop():
    rng = np.random.default_rng(0)
    universe = [f"G{i}" for i in range(30)]
    pathways = GeneSetCollection(
        {f"S{j}": list(rng.choice(universe, rng.integers(0, 20), replace=False)) for j in range(40)},
        {f"S{j}": str(j) for j in range(40)},
    )
    before = dict(pathways)
    for genes in (None, universe[::2], set(universe[:7]), pd.Index(universe[5:])):
        for least, most in ((1, None), (0, 3), (4, 8), (5, 5)):
            expected = {}
            for name, listed in pathways.items():
                left = tuple(gene for gene in listed if genes is None or gene in genes)
                if len(left) >= least and (most is None or len(left) <= most):
                    expected[name] = left
            result = pathways.filter(min_genes=least, max_genes=most, genes=genes)
            assert list(result.items()) == list(expected.items())
            assert all(result.descriptions[name] == pathways.descriptions[name] for name in result)
    assert dict(pathways) == before


def test_filter_drops_empty_sets_and_refuses_impossible_sizes_and_a_string(pathways):
    assert list(pathways.filter()) == ["T / αβ", "B"]
    for options in ({"min_genes": -1}, {"min_genes": 5, "max_genes": 4}):
        with pytest.raises(ValueError, match=r"min_genes=.* and max_genes=.* leave no size"):
            pathways.filter(**options)
    with pytest.raises(TypeError, match=r"genes must be an AnnData or a list of gene names, found 'CD3D'.*\['CD3D'\]"):
        pathways.filter(genes="CD3D")


class Data:
    """As much of AnnData as is needed."""

    def __init__(self, names):
        self.var_names = pd.Index(names)


def test_data_stand_for_the_names_of_their_genes(pathways):
    names = ["CD19", "ACTB", "CD2", "MS4A1", "CD3E"]
    data = Data(names)
    assert pathways.filter(genes=data) == pathways.filter(genes=names)
    np.testing.assert_array_equal(pathways.feature_classes(data), pathways.feature_classes(names))
    found, expected = pathways.membership(data), pathways.membership(names)
    assert (found.matrix != expected.matrix).nnz == 0
    pd.testing.assert_frame_equal(found.report, expected.report)
    for wrong in ("CD3D", 3):
        with pytest.raises(TypeError, match="var_names must be an AnnData or a list of gene names, found"):
            pathways.membership(wrong)
    with pytest.raises(ValueError, match="var_names must be unique: 1 name"):
        pathways.membership(Data(["CD19", "CD19"]))


def test_membership_and_feature_classes_follow_var_names(pathways):
    var_names = ["CD19", "ACTB", "CD2", "MS4A1", "CD3E"]
    result = pathways.membership(var_names)
    reference = membership.build(SETS, var_names)
    np.testing.assert_array_equal(result.matrix.toarray(), reference.matrix.toarray())
    pd.testing.assert_frame_equal(result.report, reference.report)
    np.testing.assert_array_equal(pathways.feature_classes(var_names), [1, -1, 0, 1, 0])
    np.testing.assert_array_equal(pathways.feature_classes(var_names[::-1]), [0, 1, 0, -1, 1])
    overlapping = GeneSetCollection({"large": ["G1", "G2", "G3"], "small": ["G1", "G9"]})
    classes = overlapping.feature_classes(["G1", "G2", "G0"], overlap="smallest", unannotated=np.nan)
    np.testing.assert_array_equal(classes, [1, 0, np.nan])
    with pytest.raises(ValueError, match="1 of 2 genes"):
        overlapping.feature_classes(["G1", "G2"])


def test_from_frame_keeps_order_of_appearance():
    table = pd.DataFrame(
        {"source": ["B", "A", "B", "A", "B"], "target": ["G1", "G2", "G3", "G2", "G0"], "weight": 1.0},
        index=[3, 3, 1, 0, 9],
    )
    before = table.copy()
    expected = {"B": ("G1", "G3", "G0"), "A": ("G2",)}
    assert list(GeneSetCollection.from_frame(table).items()) == list(expected.items())
    renamed = table.rename(columns={"source": "geneset", "target": "genesymbol"}).astype({"geneset": "category"})
    assert dict(GeneSetCollection.from_frame(renamed, "geneset", "genesymbol")) == expected
    pd.testing.assert_frame_equal(table, before)


def test_from_frame_refuses():
    table = pd.DataFrame({"source": ["A", "A"], "target": ["G1", None]})
    with pytest.raises(KeyError, match=r"target='genesymbol' is not a column.*'source', 'target'"):
        GeneSetCollection.from_frame(table, target="genesymbol")
    with pytest.raises(ValueError, match=r"1 of 2 rows miss 'source' or 'target'.*dropna"):
        GeneSetCollection.from_frame(table)
    with pytest.raises(TypeError, match="genes must be strings, found 915"):
        GeneSetCollection.from_frame(pd.DataFrame({"source": ["A"], "target": [915]}))
