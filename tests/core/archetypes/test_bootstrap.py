"""Draws, their matching and the verdict, against brute force and arithmetic."""

from itertools import permutations

import numpy as np
import pytest

from pathwayae.core.archetypes import bootstrap


def test_draws_are_of_as_many_cells_and_depend_on_the_seed_alone():
    first = list(bootstrap.draws(40, 6, np.random.default_rng(3)))
    again = list(bootstrap.draws(40, 6, np.random.default_rng(3)))
    assert len(first) == 6
    for one, other in zip(first, again, strict=True):
        assert one.shape == (40,)
        assert one.sum() == 40
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(first[0], first[1])


def test_a_cell_is_left_out_of_a_draw_with_the_chance_of_the_bootstrap():
    times = np.array(list(bootstrap.draws(200, 300, np.random.default_rng(0))))
    expected = (1 - 1 / 200) ** 200
    error = np.sqrt(expected * (1 - expected) / times.size)
    assert abs((times == 0).mean() - expected) < 5 * error
    np.testing.assert_allclose(times.mean(axis=0), 1, atol=5 / np.sqrt(300))


def test_donors_are_drawn_whole_and_as_many_as_there_are():
    donors = np.array([0, 0, 1, 2, 2, 2])
    for times in bootstrap.draws(6, 20, np.random.default_rng(1), strata=donors):
        own = times[[0, 2, 3]]
        np.testing.assert_array_equal(times, own[donors])
        assert own.sum() == 3


def test_matching_is_the_best_of_all_orders():
    with pytest.raises(ValueError, match=r"draw 1 has archetypes of shape \(3, 2\), the reference \(4, 2\)"):
        bootstrap.match(np.zeros((4, 2)), [np.zeros((4, 2)), np.zeros((3, 2))])
    rng = np.random.default_rng(0)
    for _ in range(20):
        reference, other = rng.normal(size=(4, 3)), rng.normal(size=(4, 3))
        costs = [((reference - other[list(order)]) ** 2).sum() for order in permutations(range(4))]
        best = other[list(list(permutations(range(4)))[int(np.argmin(costs))])]
        np.testing.assert_array_equal(bootstrap.match(reference, [other])[0], best)


def test_spread_is_the_root_mean_square_in_units_of_the_mean_distance():
    corners = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])  # distances 3, 4, 5: mean 4
    moves = np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 2.2]])
    matched = corners + np.stack([moves, np.zeros_like(moves)], axis=2)
    table = bootstrap.spread(["a", "b", "c"], corners, matched)
    np.testing.assert_allclose(table["spread"], [0, 1 / 4, np.sqrt((4 + 4.84) / 2) / 4])
    np.testing.assert_allclose(table["nearest"], [3 / 4, 3 / 4, 1])
    np.testing.assert_array_equal(table["found_again"], [1, 1, 0])  # half of the nearest distance: 1.5, 1.5, 2
    assert table["verdict"].tolist() == ["stable", "stable", "unstable"]
    assert (table["n_draws"] == 2).all()


@pytest.mark.parametrize(("n_far", "verdict"), [(2, "stable"), (3, "unstable")])
def test_stable_is_found_again_in_eighteen_of_twenty(n_far, verdict):
    corners = np.array([[0.0], [1.0]])
    matched = np.repeat(corners[None], 20, axis=0)
    matched[:n_far, 1] += 0.7
    table = bootstrap.spread(["a", "b"], corners, matched)
    assert table["verdict"].tolist() == ["stable", verdict]


def test_offset_and_scale_change_nothing():
    rng = np.random.default_rng(0)
    corners = rng.normal(size=(4, 5))
    matched = corners + 0.3 * rng.normal(size=(10, 4, 5))
    table = bootstrap.spread(list("abcd"), corners, matched)
    moved = bootstrap.spread(list("abcd"), 7 * corners + 100, 7 * matched + 100)
    np.testing.assert_allclose(moved.iloc[:, 1:5].to_numpy(float), table.iloc[:, 1:5].to_numpy(float))
