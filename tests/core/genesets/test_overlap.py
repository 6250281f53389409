"""Overlaps of gene sets against loops over Python sets."""

import itertools

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.genesets import gmt
from pathwayae.core.genesets.overlap import jaccard_of, merge, overlap, overlap_matrix, redundant, refuse_conflicts

COLUMNS = ["set_a", "set_b", "n_a", "n_b", "n_shared", "jaccard", "containment"]


def random_sets(seed, n=40, n_genes=25):
    """Sets of all sizes, some empty, some equal, some nested."""
    rng = np.random.default_rng(seed)
    universe = [f"G{i}" for i in range(n_genes)]
    sets = {f"S{j}": tuple(rng.choice(universe, rng.integers(0, 12), replace=False)) for j in range(n)}
    for j in range(0, n, 4):
        sets[f"copy {j}"] = sets[f"S{j}"][::-1]
        sets[f"part {j}"] = sets[f"S{j}"][:-1]
    return sets


def shuffled(sets, seed):
    names = list(sets)
    np.random.default_rng(seed).shuffle(names)
    return {name: tuple(np.random.default_rng(seed).permutation(sets[name]).tolist()) for name in names}


def measures(a, b):
    shared, either, smaller = len(a & b), len(a | b), min(len(a), len(b))
    return shared, shared / either if either else 0.0, shared / smaller if smaller else 0.0


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


def test_matrix_agrees_with_a_loop_and_jaccard_of_pairs_with_the_matrix():
    sets = random_sets(3)
    for which, measure in enumerate(["shared", "jaccard", "containment"]):
        result = overlap_matrix(sets, measure=measure)
        assert list(result.index) == list(result.columns) == list(sets)
        for a, b in itertools.product(sets, repeat=2):
            assert result.loc[a, b] == measures(set(sets[a]), set(sets[b]))[which]
    rows, columns = np.random.default_rng(0).integers(0, len(sets), (2, 100))
    np.testing.assert_array_equal(jaccard_of(sets, rows, columns), overlap_matrix(sets).to_numpy()[rows, columns])


def naive_redundant(sets, alike):
    waiting = sorted(sets, key=lambda name: (-len(sets[name]), name))
    rows = []
    while waiting:
        head, *waiting = waiting
        dropped = [name for name in waiting if alike(set(sets[head]), set(sets[name]))]
        waiting = [name for name in waiting if name not in dropped]
        rows += [(head, name) for name in dropped]
    return rows


@pytest.mark.parametrize(
    ("seed", "thresholds"),
    [(0, (0.8, None)), (1, (0.4, None)), (2, (0.4, None)), (0, (None, 1.0)), (1, (0.5, 0.75)), (2, (1.0, None))],
)
def test_redundant_agrees_with_a_loop(seed, thresholds):
    sets = random_sets(seed)
    jaccard, containment = (np.inf if value is None else value for value in thresholds)

    def alike(a, b):
        _, j, c = measures(a, b)
        return j >= jaccard or c >= containment

    result = redundant(sets, jaccard=thresholds[0], containment=thresholds[1])
    assert list(zip(result["kept"], result["dropped"], strict=True)) == naive_redundant(sets, alike)
    pd.testing.assert_frame_equal(
        redundant(shuffled(sets, seed), jaccard=thresholds[0], containment=thresholds[1]), result
    )
    assert set(result["kept"]).isdisjoint(result["dropped"])
    assert result["dropped"].is_unique
    for row in result.itertuples():
        assert (row.n_kept, row.n_dropped) == (len(sets[row.kept]), len(sets[row.dropped]))
        found = measures(set(sets[row.kept]), set(sets[row.dropped]))
        assert (row.n_shared, row.jaccard, row.containment) == found


def test_ties_go_by_name_and_likeness_does_not_pass_along_chains():
    assert redundant({"b": tuple("XY"), "a": tuple("YX")})[["kept", "dropped"]].to_numpy().tolist() == [["a", "b"]]
    chain = {"a": tuple("1234"), "b": tuple("2345"), "c": tuple("3456")}  # a like b, b like c, a unlike c
    assert redundant(chain, jaccard=0.6)[["kept", "dropped"]].to_numpy().tolist() == [["a", "b"]]


def test_sets_without_genes_are_like_nothing():
    sets = {"a": (), "b": (), "c": ("G",)}
    assert overlap(sets).empty
    assert list(overlap(sets).columns) == COLUMNS
    assert redundant(sets).empty
    assert list(redundant(sets).columns)[:4] == ["kept", "dropped", "n_kept", "n_dropped"]
    assert overlap_matrix(sets).to_numpy().tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]
    for function in (overlap, redundant, overlap_matrix):
        assert function({}).empty


def test_merge_unites_and_says_what():
    sets = {"T": ("CD3D", "CD3E"), "B": ("CD19",), "T cells": ("CD3E", "CD3D", "CD2"), "tiny T": ("CD3D", "TRAC")}
    table = redundant(sets, jaccard=0.25)
    united, described = merge(sets, {"T cells": "markers"}, table)
    assert united == {"B": ("CD19",), "T cells": ("CD3E", "CD3D", "CD2", "TRAC")}
    assert described == {"B": "", "T cells": "markers; merged with: T | tiny T"}
    united, _ = merge(sets, {}, table, name=" / ".join)
    assert list(united) == ["B", "T cells / T / tiny T"]
    many = random_sets(6)
    united, _ = merge(many, {}, redundant(many, jaccard=0.3))
    assert {gene for genes in united.values() for gene in genes} == {gene for genes in many.values() for gene in genes}
    assert all(set(many[name]) <= set(genes) for name, genes in united.items())
    with pytest.raises(ValueError, match="gives two sets the name 'B'"):
        merge(sets, {}, table, name=lambda names: "B")


def test_conflicts_do_not_depend_on_the_order_of_genes():
    refuse_conflicts({"a": "XY", "b": "Z"}, {"a": "YX", "c": "Q"})
    with pytest.raises(ValueError, match=r"1 set\(s\) have other genes in the other collection: 'a'"):
        refuse_conflicts({"a": "XY"}, {"a": "XZ"})


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sets: overlap(sets, min_shared=0), "min_shared must be at least 1, got 0"),
        (lambda sets: overlap_matrix(sets, measure="dice"), "measure='dice' is unknown. Choose one of 'jaccard'"),
        (lambda sets: redundant(sets, jaccard=0), "jaccard=0 is no threshold"),
        (lambda sets: redundant(sets, jaccard=float("nan")), "jaccard=nan is no threshold"),
        (lambda sets: redundant(sets, jaccard=None), "both None"),
    ],
)
def test_bad_input(call, message):
    with pytest.raises(ValueError, match=message):
        call({"a": ("G1",)})


def test_thousands_of_sets_take_seconds():
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 15_000, (6_000, 60))
    sets = {f"S{i}": [f"G{j}" for j in np.unique(row)] for i, row in enumerate(draws)}
    sets["copy"] = sets["S7"]
    assert redundant(sets)[["kept", "dropped"]].to_numpy().tolist() == [["S7", "copy"]]
    assert len(overlap(sets, min_shared=10)) >= 1


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
