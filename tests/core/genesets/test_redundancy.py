"""Redundant gene sets against loops over Python sets."""

import numpy as np
import pandas as pd
import pytest
from random_sets import measures, random_sets, shuffled

from pathwayae.core.genesets import overlap as module
from pathwayae.core.genesets.overlap import member_of
from pathwayae.core.genesets.redundancy import merge, redundancy, redundant


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


@pytest.mark.parametrize("n_pairs", [1, 300, 2**23])
def test_the_counts_are_those_of_the_tables_however_many_pairs_are_compared_at_a_time(n_pairs, monkeypatch):
    monkeypatch.setattr(module, "PAIRS_AT_ONCE", n_pairs)
    for seed in range(3):
        sets = random_sets(seed)
        shapes = {name: set(genes) for name, genes in sets.items()}
        likes = [max(measures(a, b)[1] for other, b in shapes.items() if other != own) for own, a in shapes.items()]
        n_left = len(sets) - len(naive_redundant(sets, lambda a, b: measures(a, b)[1] >= 0.8))
        member = member_of(sets).T.astype(bool)
        assert redundancy(member, list(sets)) == (sum(like >= 0.5 for like in likes), n_left)
        assert len(sets) - len(redundant(sets)) == n_left


def test_nothing_is_redundant_where_there_is_nothing():
    for sets in ({}, {"a": (), "b": (), "c": ("G",)}):
        assert redundant(sets).empty
        assert list(redundant(sets).columns)[:4] == ["kept", "dropped", "n_kept", "n_dropped"]
        assert redundancy(member_of(sets).T, list(sets)) == (0, len(sets))


def test_thresholds_are_checked():
    for jaccard, message in ((0, "jaccard=0 is no threshold"), (np.nan, "jaccard=nan is no thr"), (None, "both None")):
        with pytest.raises(ValueError, match=message):
            redundant({"a": ("G1",)}, jaccard=jaccard)


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


def test_one_copy_is_found_among_thousands_of_sets():
    rng = np.random.default_rng(0)
    draws = rng.integers(0, 15_000, (6_000, 60))
    sets = {f"S{i}": [f"G{j}" for j in np.unique(row)] for i, row in enumerate(draws)}
    sets["copy"] = sets["S7"]
    assert redundant(sets)[["kept", "dropped"]].to_numpy().tolist() == [["S7", "copy"]]
