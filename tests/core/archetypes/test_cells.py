"""Cells in chunks, whatever they come from, and one pass over them."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.archetypes import passes
from pathwayae.core.archetypes.cells import Blocks, Cells, check_distinct, chunks


class Pieces:
    """Cells in blocks of a few."""

    def __init__(self, x, rows=13, make=np.asarray, n=None):
        self.n, self.n_features = len(x) if n is None else n, x.shape[1]
        self.x, self.rows, self.make = x, rows, make

    def blocks(self):
        for first in range(0, len(self.x), self.rows):
            yield self.make(self.x[first : first + self.rows])


def cells(n=100, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)) * [1, 2, 3, 4] + 50


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_blocks_give_the_cells_of_the_whole(make):
    x = cells()
    assert isinstance(Pieces(x), Blocks)
    found = np.concatenate([values for _, values in chunks(Pieces(x, make=make))])
    np.testing.assert_array_equal(found, x)
    np.testing.assert_array_equal([first for first, _ in chunks(Pieces(x, make=make))], np.arange(0, 100, 13))


def test_center_and_scale_are_weighted_moments(monkeypatch):
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MAX_ROWS", 17)
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MIN_ROWS", 1)
    x, w = cells(), np.random.default_rng(1).integers(0, 4, 100)
    before = x.copy()
    repeated = np.repeat(x, w, axis=0)
    found = Cells(x, w)
    np.testing.assert_allclose(found.center, repeated.mean(0))
    np.testing.assert_allclose(found.scale**2, repeated.var(0).sum())
    scaled = np.concatenate([values for _, values in found.chunks()])
    np.testing.assert_allclose(w @ np.square(scaled).sum(1) / w.sum(), 1)
    np.testing.assert_allclose(found.to_input(scaled), x)
    np.testing.assert_allclose(found.from_input(x), scaled)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_allclose(Cells(x + 1e8).scale, Cells(x).scale, rtol=1e-7)  # digits far from the origin
    some = Cells(Pieces(x))  # rows come in the order asked for
    np.testing.assert_allclose(some.to_input(some.rows(np.array([99, 0, 42, 0]))), x[[99, 0, 42, 0]])


# A pass.


def test_sums_of_a_pass_are_those_of_repeated_cells(monkeypatch):
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MAX_ROWS", 17)
    monkeypatch.setattr("pathwayae.core.archetypes.cells.MIN_ROWS", 1)
    x, w = cells(), np.random.default_rng(2).integers(0, 3, 100)
    some = Cells(x, w)
    z = some.from_input(x[:3] + 1)
    a = np.zeros((100, 3), np.float32)
    sums = passes.run(some, passes.Request(z, None), a).sums
    scaled, exact = some.from_input(x), np.repeat(a, w, axis=0).astype(float)
    repeated = np.repeat(scaled, w, axis=0)
    np.testing.assert_allclose(sums.s, exact.T @ exact, rtol=1e-5)
    np.testing.assert_allclose(sums.m, exact.T @ repeated, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(sums.loss, np.square(repeated - exact @ z).sum() / w.sum(), rtol=1e-6)
    residual = np.where(w > 0, np.square(scaled - a @ z).sum(1), 0)
    assert sums.worst[0] == np.argmax(residual)
    np.testing.assert_allclose(sums.worst[1], scaled[sums.worst[0]])
    np.testing.assert_allclose(sums.worst[2], residual.max(), rtol=1e-5)


def test_the_cells_furthest_along_a_direction_are_found_but_not_those_of_weight_zero():
    x = cells(n=1000)
    w = np.ones(1000)
    direction = np.random.default_rng(3).normal(size=(2, 4))
    first = passes.furthest(Cells(x, w), direction)
    w[first.ids] = 0
    some = Cells(x, w)
    offers = passes.furthest(some, direction)
    products = np.where(w[:, None] > 0, some.from_input(x) @ direction.T, np.inf)
    np.testing.assert_allclose(offers.lowest, products.min(0))
    assert set(products.argmin(0)) <= set(offers.ids)
    assert not set(offers.ids) & set(first.ids)
    np.testing.assert_allclose(offers.points, some.from_input(x)[offers.ids])


# Bad input.


def test_distinct_cells_are_counted_among_those_with_weight():
    x = np.repeat(cells(n=4), 5, axis=0)
    check_distinct(Cells(x), 4)
    with pytest.raises(ValueError, match="n_archetypes=5, but there are only 4 distinct cells; ask for at most 4"):
        check_distinct(Cells(Pieces(x)), 5)
    with pytest.raises(ValueError, match="only 2 distinct cells"):
        check_distinct(Cells(x, np.repeat([1, 0, 2, 0], 5)), 3)


def test_bad_cells_and_weights_are_refused():
    x = cells()
    for value in (np.nan, np.inf):
        x[30, 1] = value
        with pytest.raises(ValueError, match=f"X holds {value} at cell 30, feature 1"):
            Cells(Pieces(x))
    for weights, message in (
        (np.ones(3), r"row_weights has shape \(3,\)"),
        (-np.ones(100), "finite and non-negative"),
        (np.zeros(100), "not all zero"),
        (np.full(100, np.nan), "finite"),
    ):
        with pytest.raises(ValueError, match=message):
            Cells(cells(), weights)
    with pytest.raises(ValueError, match="All cells are equal"):
        Cells(np.full((10, 3), 7.3))
    for shape in ((0, 3), (3, 0)):
        with pytest.raises(ValueError, match="at least one of each"):
            Cells(np.ones(shape))
    with pytest.raises(TypeError, match="X is a list"):
        Cells([[1, 2]])
    with pytest.raises(TypeError, match="real numbers"):
        Cells(np.array([["a"]]))
    with pytest.raises(ValueError, match="1 dimensions"):
        Cells(np.ones(3))


def test_blocks_that_miscount_are_refused():
    with pytest.raises(ValueError, match="hold more than the 90 cells"):
        Cells(Pieces(cells(), n=90), np.ones(90))
    with pytest.raises(ValueError, match="hold 100, not the 110 cells"):
        Cells(Pieces(cells(), n=110))
    pieces = Pieces(cells())
    pieces.n_features = 3
    with pytest.raises(ValueError, match=r"shape \(13, 4\); 3 features"):
        Cells(pieces)
