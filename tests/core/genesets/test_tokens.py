"""What stands for a gene in files and tables of others: names and weights."""

import pandas as pd
import pytest

from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.tokens import members_of


@pytest.mark.parametrize(
    ("given", "genes", "weights"),
    [
        (["CD3D, CD3E", "CD2"], ("CD3D", "CD3E", "CD2"), {}),
        (["TRA@ /// TRAC"], ("TRA@", "TRAC"), {}),
        (["CD3D;CD3E", "CD3D|CD2"], ("CD3D", "CD3E", "CD2"), {}),
        (['"CD3D"', " 'CD2' ", " CD19 "], ("CD3D", "CD2", "CD19"), {}),
        (["CD3D,1.0", "CD2,1.0"], ("CD3D", "CD2"), {}),
        (["CD3D,0.5", "CD14,-2"], ("CD3D", "CD14"), {"CD3D": 0.5, "CD14": -2.0}),
        (["CD3D;u", "CD14;d"], ("CD3D", "CD14"), {"CD3D": 1.0, "CD14": -1.0}),
        (["CD3D+", "HLA-A", "CD14-"], ("CD3D", "HLA-A", "CD14"), {"CD3D": 1.0, "HLA-A": 1.0, "CD14": -1.0}),
        ({"CD3D": 1, "CD2": 1.0}, ("CD3D", "CD2"), {}),
        ({"CD3D": 2, "CD14": -1}, ("CD3D", "CD14"), {"CD3D": 2.0, "CD14": -1.0}),
        (pd.Series({"CD3D": 2.0, "CD14": -1.0}), ("CD3D", "CD14"), {"CD3D": 2.0, "CD14": -1.0}),
        (pd.Series(["CD3D", "CD14"]), ("CD3D", "CD14"), {}),
        (["18S rRNA, 5.8S rRNA", "1,2-diacylglycerol"], ("18S rRNA, 5.8S rRNA", "1,2-diacylglycerol"), {}),
    ],
)
def test_what_stands_for_genes(given, genes, weights):
    assert members_of("A", given) == (genes, weights)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (["CD3\x00D"], ValueError, "holds a NUL byte"),
        ({"CD3D": 0}, ValueError, "the weight of 'CD3D' is 0"),
        ({"CD3D": float("nan")}, ValueError, "the weight of 'CD3D' is nan"),
        ({"CD3D": "up"}, TypeError, "must be a number, found 'up'"),
        (["CD3D;u", "CD3D;d"], ValueError, "'CD3D' has the weights 1 and -1"),
    ],
)
def test_what_is_refused(given, error, message):
    with pytest.raises(error, match=f"gene set 'A': .*{message}"):
        members_of("A", given)


NET = pd.DataFrame(
    {"source": ["T", "T", "B"], "target": ["CD3D", "CD14", "CD19"], "weight": [2.0, -1.0, 1.0]},
)


def test_weights_go_through_everything_that_changes_sets(tmp_path):
    sets = GeneSetCollection.from_frame(NET)
    assert {name: dict(own) for name, own in sets.weights.items()} == {"T": {"CD3D": 2.0, "CD14": -1.0}}
    pd.testing.assert_frame_equal(sets.to_frame(), NET)
    assert GeneSetCollection(sets) == sets
    assert (sets | {"NK": ["NKG7"]}).weights == sets.weights
    assert dict(sets.filter(genes=["CD14"]).weights["T"]) == {"CD14": -1.0}
    assert sets.select(["T"]).weights == sets.weights
    assert dict(sets.map_genes({"CD3D": "Cd3d", "CD14": ["Cd14", "Cd14b"]}).weights["T"]) == {
        "Cd3d": 2.0,
        "Cd14": -1.0,
        "Cd14b": -1.0,
    }
    assert not GeneSetCollection.from_frame(NET, weight=None).weights
    assert GeneSetCollection.from_frame(NET, weight=None) != sets


def test_commas_for_points_and_what_cannot_be_seen():
    """Weights as spreadsheets of half of Europe write them; blanks without width, as web pages leave."""
    sets = GeneSetCollection({"T": ["CD3D;0,5", "CD14:-1,25", "\u200bCD2\ufeff", "CD\u00ad4"]})
    assert dict(sets.weights["T"]) == {"CD3D": 0.5, "CD14": -1.25, "CD2": 1.0, "CD4": 1.0}


def test_weights_are_refused_or_warned_of_where_they_cannot_be_kept():
    sets = GeneSetCollection.from_frame(NET)
    with pytest.raises(ValueError, match="1 set.* have weights.*merge_similar"):
        sets.merge_similar()
    with pytest.raises(ValueError, match="feature_classes.*no sign"):
        sets.feature_classes(["CD3D"])
    with pytest.warns(UserWarning, match=r"Weights of 1 set.*to_frame"):
        sets.to_dict()
    with pytest.raises(ValueError, match="other weights in the other collection: 'T'"):
        sets | {"T": ["CD3D", "CD14"]}
    with pytest.raises(ValueError, match="'Lyz'"):
        sets.map_genes({"CD3D": "Lyz", "CD14": "Lyz"})


@pytest.mark.parametrize(
    ("change", "message"), [({"weight": [0.0, 1, 1]}, "1 of 3 weights are no finite"), ({"weight": ["x", 1, 1]}, "'x'")]
)
def test_bad_columns_of_weights(change, message):
    with pytest.raises(ValueError, match=message):
        GeneSetCollection.from_frame(NET.assign(**change))
