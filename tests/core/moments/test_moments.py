"""Moments per stratum: what the algebra says is what the cells say."""

import numpy as np
import pytest

from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Moments

GENES = ("a", "b", "c", "d", "e")
STRATA = ("x", "y", "z")


def cells(n=90, seed=0):
    return np.log1p(np.random.default_rng(seed).poisson(2.0, size=(n, 5)).astype(float))


def codes(n=90):
    return np.arange(n) % 3


def named(moments, genes=GENES, normalize=""):
    return Moments(moments.counts, moments.sums, moments.grams, moments.strata, genes, normalize)


@pytest.fixture
def whole():
    return named(accumulate(cells(), codes=codes(), strata=STRATA))


def assert_same(a, b, rtol=1e-12, atol=0.0):
    assert a.strata == b.strata
    assert a.genes == b.genes
    for name in ("counts", "sums", "grams"):
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), rtol=rtol, atol=atol)


def test_strata_add_up_to_the_whole_and_each_has_the_moments_of_its_cells(whole):
    direct = accumulate(cells())
    assert whole.n == direct.n == 90
    np.testing.assert_allclose(whole.sum, direct.sum, rtol=1e-12)
    np.testing.assert_allclose(whole.gram, direct.gram, rtol=1e-12)
    assert_same(whole.pool(), named(direct))
    for i, name in enumerate(STRATA):
        assert_same(whole.select(name).pool(), named(accumulate(cells()[codes() == i])))
    others = named(accumulate(cells()[codes() != 1]))  # leaving a stratum out is reading the others
    assert_same(whole.without("y").pool(), others)
    assert_same((whole - whole.select("y")).pool(), others)
    pooled = whole.pool({"x": "first", "z": "first"})
    assert pooled.strata == ("first", "y")
    assert_same(pooled.select("first").pool(), others)


def test_moments_of_parts_add_in_any_order_and_new_strata_stand_beside_old_ones(whole):
    first = named(accumulate(cells()[:40], codes=codes()[:40], strata=STRATA))
    second = named(accumulate(cells()[40:], codes=codes()[40:], strata=STRATA))
    assert_same(first + second, whole)
    assert_same(second + first, whole)
    assert_same(whole - second, first, atol=1e-12)
    other = named(accumulate(cells(20, seed=1), strata=("w",)))
    grams = whole.grams.copy()
    both = whole + other
    assert both.strata == (*STRATA, "w")
    assert both.n == 110
    assert_same(both.without("w"), whole)
    np.testing.assert_array_equal(whole.grams, grams)


def test_weights_are_repeated_cells(whole):
    repeated = np.repeat(np.arange(90), np.array([2, 0, 3])[codes()])
    expected = named(accumulate(cells()[repeated]))
    assert_same(whole.weighted([2, 0, 3]).pool(), expected)
    assert_same(whole.weighted({"x": 2, "y": 0, "z": 3}).pool(), expected)
    assert whole.weighted({"x": 0.5}).n == 75


def test_genes_are_chosen_by_name_index_or_mask(whole):
    expected = named(accumulate(cells()[:, [3, 0]], codes=codes(), strata=STRATA), ("d", "a"))
    assert_same(whole.subset(["d", "a"]), expected)
    assert_same(whole.subset(np.array(["d", "a"])), expected)
    assert_same(whole.subset(np.array([3, 0])), expected)
    assert whole.subset(np.array([True, False, False, True, False])).genes == ("a", "d")


@pytest.mark.parametrize("scale", ["unit", "pareto", None])
def test_within_strata_is_the_explicit_removal_of_their_means(whole, scale):
    x = cells()
    centred = x - np.stack([x[codes() == i].mean(axis=0) for i in range(3)])[codes()]
    unit = centred.std(axis=0) ** {"unit": 1.0, "pareto": 0.5, None: 0.0}[scale]
    result = whole.standardize(scale=scale, within=True)
    np.testing.assert_allclose(result.scale, unit, rtol=1e-12)
    np.testing.assert_allclose(result.gram, (centred / unit).T @ (centred / unit), rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(result.mean, x.mean(axis=0), rtol=1e-12)
    one = whole.pool()
    np.testing.assert_allclose(one.standardize(within=True).gram, one.standardize().gram, rtol=1e-10, atol=1e-10)


def test_a_file_gives_back_what_was_saved(whole, tmp_path):
    whole.save(tmp_path / "m.npz")
    back = Moments.load(tmp_path / "m.npz")
    assert_same(back, whole, rtol=0)
    assert back.normalize == whole.normalize
    assert accumulate(cells()).genes is None
    accumulate(cells()).save(tmp_path / "m.npz")
    assert Moments.load(tmp_path / "m.npz").genes is None
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]


def test_a_failed_save_leaves_the_old_file(whole, tmp_path, monkeypatch):
    whole.save(tmp_path / "m.npz")

    def broken(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", broken)
    with pytest.raises(OSError, match="disk full"):
        whole.pool().save(tmp_path / "m.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["m.npz"]
    assert_same(Moments.load(tmp_path / "m.npz"), whole, rtol=0)


def test_a_truncated_or_another_file_is_refused_by_name(whole, tmp_path):
    whole.save(tmp_path / "m.npz")
    content = (tmp_path / "m.npz").read_bytes()
    for share in (0.0, 0.1, 0.5, 0.99):
        (tmp_path / "t.npz").write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=r"t\.npz is not a whole file of moments"):
            Moments.load(tmp_path / "t.npz")
    np.savez(tmp_path / "other.npz", a=np.ones(3))
    with pytest.raises(ValueError, match="not a whole file of moments"):
        Moments.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        Moments.load(tmp_path / "absent.npz")


def test_genes_are_checked_on_every_join(whole):
    with pytest.raises(ValueError, match="another order"):
        whole + whole.subset(list(GENES[::-1]))
    assert_same(whole + whole.subset(list(GENES[::-1])).subset(GENES), whole.weighted([2, 2, 2]))
    with pytest.raises(ValueError, match=r"1 are in the first moments only \('e'\), 0 in the second only"):
        whole + whole.subset(list(GENES[:4]))
    with pytest.raises(ValueError, match="not all named"):
        whole + accumulate(cells())
    with pytest.raises(ValueError, match="normalised by '' cannot be joined with 'log1p 10000'"):
        whole - named(accumulate(cells()), normalize="log1p 10000")


def test_what_does_not_exist_is_refused(whole):
    with pytest.raises(ValueError, match="no stratum 'w'"):
        whole.without("w")
    with pytest.raises(ValueError, match="no stratum is left"):
        whole.without(*STRATA)
    with pytest.raises(ValueError, match="no stratum 'w'"):
        whole.weighted({"w": 2.0})
    with pytest.raises(ValueError, match="1 of 2 genes are not in these moments, for instance 'q'"):
        whole.subset(["a", "q"])
    with pytest.raises(ValueError, match="left with -30 cells"):
        whole - whole.weighted([2, 0, 0])
    with pytest.raises(ValueError, match="'w' cannot be subtracted"):
        whole - named(accumulate(cells(), strata=("w",)))


def test_shapes_and_names_must_agree(whole):
    with pytest.raises(ValueError, match="4 gene names"):
        named(whole, GENES[:4])
    with pytest.raises(ValueError, match="same name as another: 'a'"):
        named(whole, ("a", "a", "c", "d", "e"))
    for weights in ([1, 2], [1, -1, 1], [1, np.nan, 1], [1, np.inf, 1]):
        with pytest.raises(ValueError, match="One finite weight of at least 0"):
            whole.weighted(weights)
    with pytest.raises(ValueError, match="center=False contradicts"):
        whole.standardize(center=False, within=True)


@pytest.mark.parametrize("within", [False, True])
def test_some_genes_standardised_are_those_of_the_subset(whole, within):
    for genes in (np.array([3, 0, 4]), np.arange(5)):
        found = whole.standardize(within=within, genes=genes)
        expected = whole.subset(genes).standardize(within=within)
        for name in ("gram", "mean", "scale"):
            np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-12, atol=1e-12)
