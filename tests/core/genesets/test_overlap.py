"""Overlaps of gene sets against loops over Python sets."""

import itertools

import numpy as np
import pandas as pd
import pytest
from random_sets import measures, random_sets

from pathwayae.core.genesets import gmt
from pathwayae.core.genesets import overlap as module
from pathwayae.core.genesets.overlap import jaccard_of, overlap, overlap_matrix, refuse_conflicts

COLUMNS = ["set_a", "set_b", "n_a", "n_b", "n_shared", "jaccard", "containment"]


@pytest.mark.parametrize(("seed", "min_shared"), [(0, 1), (1, 3)])
def test_overlap_agrees_with_a_loop(seed, min_shared):
    sets = random_sets(seed)
    expected = []
    for a, b in itertools.combinations(sets, 2):
        shared, jaccard, containment = measures(set(sets[a]), set(sets[b]))
        if shared >= min_shared:
            expected.append((a, b, len(sets[a]), len(sets[b]), shared, jaccard, containment))
    expected.sort(key=lambda row: (-row[5], -row[6]))  # stable: then in the order of the sets
    result = overlap(sets, min_shared=min_shared)
    assert list(result.itertuples(index=False, name=None)) == expected
    assert list(result.columns) == COLUMNS
    assert result.index.equals(pd.RangeIndex(len(expected)))


@pytest.mark.parametrize("jaccard", [0.2, 0.5, 1.0])
def test_pairs_from_a_jaccard_index_on_are_those_of_all_pairs(jaccard, monkeypatch):
    for seed, n_pairs in ((0, 2**23), (1, 100)):
        monkeypatch.setattr(module, "PAIRS_AT_ONCE", n_pairs)
        sets = random_sets(seed)
        every = overlap(sets, min_shared=2)
        found = overlap(sets, min_shared=2, jaccard=jaccard)
        pd.testing.assert_frame_equal(found, every[every["jaccard"] >= jaccard].reset_index(drop=True))
        assert 0 < len(found) < len(every)
    assert overlap({}, jaccard=jaccard).empty


def test_matrix_agrees_with_a_loop_and_jaccard_of_pairs_with_the_matrix():
    sets = random_sets(3)
    for which, measure in enumerate(["shared", "jaccard", "containment"]):
        result = overlap_matrix(sets, measure=measure)
        assert list(result.index) == list(result.columns) == list(sets)
        for a, b in itertools.product(sets, repeat=2):
            assert result.loc[a, b] == measures(set(sets[a]), set(sets[b]))[which]
    rows, columns = np.random.default_rng(0).integers(0, len(sets), (2, 100))
    np.testing.assert_array_equal(jaccard_of(sets, rows, columns), overlap_matrix(sets).to_numpy()[rows, columns])


def test_sets_without_genes_are_like_nothing():
    sets = {"a": (), "b": (), "c": ("G",)}
    assert overlap(sets).empty
    assert list(overlap(sets).columns) == COLUMNS
    assert overlap_matrix(sets).to_numpy().tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    for function in (overlap, overlap_matrix):
        assert function({}).empty


def test_conflicts_do_not_depend_on_the_order_of_genes():
    refuse_conflicts({"a": "XY", "b": "Z"}, {"a": "YX", "c": "Q"})
    with pytest.raises(ValueError, match=r"1 set\(s\) have other genes in the other collection: 'a'"):
        refuse_conflicts({"a": "XY"}, {"a": "XZ"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sets: overlap(sets, min_shared=0), "min_shared must be at least 1, got 0"),
        (lambda sets: overlap(sets, jaccard=1.5), "jaccard=1.5 is no threshold"),
        (lambda sets: overlap_matrix(sets, measure="dice"), "measure='dice' is unknown. Choose one of 'jaccard'"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call({"a": ("G1",)})


@pytest.mark.real
def test_reactome_overlaps_as_counted_elsewhere(real_data):
    records = gmt.read(real_data / "genesets" / "c2.cp.reactome.v7.5.1.symbols.gmt")
    sets = {record.name: record.genes for record in records}
    assert len(sets) == 1_615
    pairs = overlap(sets).query("containment == 1")
    inside = set(pairs.loc[pairs["n_a"] <= pairs["n_b"], "set_a"]) | set(
        pairs.loc[pairs["n_b"] <= pairs["n_a"], "set_b"]
    )
    assert len(inside) == 1_540
