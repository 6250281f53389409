"""The hierarchy: ancestors, depth, level, restriction, cycles; against naive recursion."""

import copy
import pickle

import numpy as np
import pytest

from pathwayae.core.genesets.hierarchy import Hierarchy

DIAMOND = {"root": (), "a": ("root",), "b": ("root",), "c": ("a", "b"), "d": ("c", "root"), "alone": ()}


def naive_ancestors(parents, name):
    return {above for parent in parents[name] for above in ({parent} | naive_ancestors(parents, parent))}


def naive_way(parents, name, choose):
    return 1 + choose(naive_way(parents, parent, choose) for parent in parents[name]) if parents[name] else 0


def random_graph(seed, n=60):
    rng = np.random.default_rng(seed)
    names = [f"n{i}" for i in range(n)]
    parents = {
        name: tuple(names[j] for j in rng.choice(i, size=min(i, rng.integers(0, 4)), replace=False)) if i else ()
        for i, name in enumerate(names)
    }
    return {names[i]: parents[names[i]] for i in rng.permutation(n)}


@pytest.mark.parametrize("parents", [DIAMOND, *map(random_graph, range(3))], ids=str)
def test_agrees_with_naive_recursion(parents):
    hierarchy = Hierarchy(parents)
    ancestors = {name: naive_ancestors(parents, name) for name in parents}
    for name in parents:
        assert set(hierarchy.ancestors(name)) == ancestors[name]
        assert set(hierarchy.descendants(name)) == {other for other in parents if name in ancestors[other]}
        assert hierarchy.depth(name) == naive_way(parents, name, max)
        assert hierarchy.level(name) == naive_way(parents, name, min)
    assert hierarchy.roots == tuple(name for name in parents if not parents[name])


def test_order_and_unknown_names():
    hierarchy = Hierarchy(DIAMOND)
    assert hierarchy.ancestors("d") == ("root", "a", "b", "c")
    assert hierarchy.descendants("root") == ("a", "b", "c", "d")
    assert hierarchy.ancestors("alone") == hierarchy.descendants("alone") == ()
    assert len(Hierarchy({})) == 0
    assert Hierarchy({}).closure.shape == (0, 0)
    assert "a" in hierarchy
    with pytest.raises(KeyError, match="'b' is not in the hierarchy"):
        Hierarchy({"a": ()}).depth("b")


@pytest.mark.parametrize("seed", range(3))
def test_restriction_keeps_ancestors_and_can_be_done_in_steps(seed):
    hierarchy = Hierarchy(random_graph(seed))
    rng = np.random.default_rng(seed)
    some = list(rng.permutation(hierarchy.names)[:30])
    few = some[:10]
    restricted = hierarchy.restrict(some)
    assert restricted.names == tuple(some)
    for name in some:
        assert set(restricted.ancestors(name)) == set(hierarchy.ancestors(name)) & set(some)
    assert restricted.restrict(few).parents.keys() == hierarchy.restrict(few).parents.keys()
    for name in few:
        assert set(restricted.restrict(few).parents[name]) == set(hierarchy.restrict(few).parents[name])


def test_restriction_passes_parenthood_through():
    assert Hierarchy(DIAMOND).restrict(["d", "a", "root"]).parents == {"d": ("a", "root"), "a": ("root",), "root": ()}
    assert Hierarchy(DIAMOND).restrict([]).parents == {}
    with pytest.raises(KeyError, match="'nobody' is not in the hierarchy of 6 names"):
        Hierarchy(DIAMOND).restrict(["nobody"])


def test_parents_are_checked():
    with pytest.raises(ValueError, match=r"1 parent\(s\) are not names of the hierarchy, e.g. 'x', parent of 'a'"):
        Hierarchy({"a": ("x",)})
    with pytest.raises(TypeError, match=r"parents of 'b' must be a tuple of names, found 'a'"):
        Hierarchy({"a": (), "b": "a"})
    assert Hierarchy({"a": (), "b": ["a", "a"]}).parents == {"a": (), "b": ("a",)}


def test_cycles_are_named():
    parents = {"root": (), "a": ("root", "c"), "b": ("a",), "c": ("b",), "below": ("c",), "apart": ("root",)}
    with pytest.raises(ValueError, match=r"cycle of 3 name\(s\), each below the next: a → c → b → a\."):
        Hierarchy(parents)
    with pytest.raises(ValueError, match="cycle of 1 name.*: a → a"):
        Hierarchy({"a": ("a",)})
    ring = {f"n{i:02}": (f"n{(i + 1) % 50:02}",) for i in range(50)}
    with pytest.raises(ValueError, match="cycle of 50 name.*…") as caught:
        Hierarchy(ring)
    assert len(str(caught.value)) < 250


def test_copies_and_does_not_follow_its_input():
    parents = dict(DIAMOND)
    hierarchy = Hierarchy(parents)
    parents["new"] = ()
    assert "new" not in hierarchy
    assert pickle.loads(pickle.dumps(hierarchy)) == copy.deepcopy(hierarchy) == hierarchy
    assert repr(hierarchy) == "Hierarchy(6 names, 6 parents, 2 roots)"
    assert repr(Hierarchy({"a": (), "b": ("a",)})) == "Hierarchy(2 names, 1 parent, 1 root)"


def test_a_long_chain():
    n = 3000
    chain = Hierarchy({f"n{i}": (f"n{i - 1}",) if i else () for i in range(n)})
    assert chain.depth(f"n{n - 1}") == n - 1
    assert chain.restrict([f"n{n - 1}", "n0"]).parents[f"n{n - 1}"] == ("n0",)
