"""Agreement of dictionaries against brute force over all pairings and planted truth."""

from itertools import permutations

import numpy as np
import pytest

from pathwayae.core.sparse_ae import agreement


def rows(m, d, seed=0):
    return np.random.default_rng(seed).normal(size=(m, d))


def test_cosines_by_definition():
    first, second = rows(4, 6), rows(5, 6, seed=1)
    first[2] = 0
    found = agreement.cosines(first, second)
    for i in range(4):
        for j in range(5):
            length = np.linalg.norm(first[i]) * np.linalg.norm(second[j])
            assert found[i, j] == pytest.approx(first[i] @ second[j] / length if length else 0.0)


def test_the_pairing_is_the_best_of_all():
    first, second = rows(6, 4), rows(6, 4, seed=1)
    partner, cosine = agreement.match(first, second)
    values = agreement.cosines(first, second)
    best = max(sum(values[i, j] for i, j in enumerate(order)) for order in permutations(range(6)))
    assert sorted(partner) == list(range(6))
    assert cosine.sum() == pytest.approx(best)
    np.testing.assert_allclose(cosine, values[np.arange(6), partner])


@pytest.mark.parametrize(("m", "other"), [(4, 7), (7, 4)])
def test_dictionaries_of_different_size(m, other):
    second = rows(other, 5)
    first = second[:m] if m <= other else np.concatenate([second, rows(m - other, 5, seed=1)])
    partner, cosine = agreement.match(first, second)
    np.testing.assert_array_equal(partner[: min(m, other)], np.arange(min(m, other)))
    np.testing.assert_allclose(cosine[: min(m, other)], 1.0)
    assert (partner[other:] == -1).all()
    assert (cosine[other:] == 0.0).all()


def test_planted_latents_are_stable_and_random_ones_are_not():
    rng = np.random.default_rng(0)
    shared = rows(5, 80)
    refits = []
    for seed in range(4):
        both = np.concatenate([shared + 0.1 * rng.normal(size=shared.shape), rows(5, 80, seed=10 + seed)])
        refits.append(both[rng.permutation(10)])
    table = agreement.agreement(np.concatenate([shared, rows(5, 80, seed=9)]), refits)
    assert table["stable"].tolist() == [True] * 5 + [False] * 5
    assert table["found"].tolist() == [1.0] * 5 + [0.0] * 5
    assert (table["cosine_min"] <= table["cosine"]).all()


def test_chance_is_what_random_directions_of_the_same_moments_reach():
    rng = np.random.default_rng(0)
    spread = np.array([5.0, 2.0, 1.0, 0.3])
    dictionary = rng.normal(size=(3000, 4)) * spread
    drawn = agreement.random_like(dictionary, 1)
    assert drawn.shape == dictionary.shape
    np.testing.assert_allclose(drawn.T @ drawn, dictionary.T @ dictionary, atol=0.08 * 25 * 3000)
    assert np.abs(agreement.cosines(drawn[:50], dictionary[:50]) - 1).min() > 1e-6
    refit = rows(60, 5, seed=1)
    table = agreement.agreement(rows(60, 5), [refit])
    assert table["chance"].mean() == pytest.approx(table["cosine"].mean(), abs=0.05)  # these refits are random too
    high = agreement.agreement(rows(60, 400), [rows(60, 400)])
    assert high["chance"].mean() < 0.3
    assert high["cosine"].min() > 0.999


def test_found_is_a_share_of_the_refits():
    shared = rows(3, 40)
    lost = np.concatenate([shared[:2], rows(1, 40, seed=3)])
    table = agreement.agreement(shared, [shared, shared, lost, lost])
    assert table["found"].tolist() == [1.0, 1.0, 0.5]
    assert table["stable"].tolist() == [True, True, False]
    assert (agreement.agreement(shared, [-shared])["found"] == 0).all()  # a turned latent is not the same


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="At least one refit"):
        agreement.agreement(rows(3, 4), [])
    with pytest.raises(ValueError, match=r"4 features, got \[5\]"):
        agreement.agreement(rows(3, 4), [rows(3, 5)])
