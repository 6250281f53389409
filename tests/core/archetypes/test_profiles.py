"""Tables of cells, the order of archetypes, and expression at the archetypes of an embedding."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.archetypes import profiles


def in_blocks(x, size: int = 37):
    return ((i, min(i + size, x.shape[0]), x[i : i + size]) for i in range(0, x.shape[0], size))


@pytest.fixture
def genes() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.gamma(1.0, size=(200, 5)) @ rng.gamma(1.0, size=(5, 30)) + rng.gamma(1.0, size=(200, 30)) + 50


@pytest.mark.parametrize("make", [np.asarray, sp.csr_matrix, lambda x: x.astype(np.float32)])
def test_of_principal_components_profiles_are_their_loadings(genes: np.ndarray, make) -> None:
    centred = genes - genes.mean(0)
    _, _, axes = np.linalg.svd(centred, full_matrices=False)
    loadings = axes[:4].T
    embedding = centred @ loadings
    z = np.random.default_rng(1).normal(size=(3, 4))
    found, mean = profiles.decoded(in_blocks(make(genes)), embedding, z)
    np.testing.assert_allclose(mean, genes.mean(0), rtol=1e-6)
    np.testing.assert_allclose(found, (genes.mean(0) + z @ loadings.T).T, rtol=1e-5)
    shifted, _ = profiles.decoded(in_blocks(make(genes)), embedding + 3, z + 3)  # components that were not centred
    np.testing.assert_allclose(shifted, found, rtol=1e-5)


def test_of_any_embedding_profiles_are_those_of_least_squares_with_an_intercept(genes: np.ndarray) -> None:
    rng = np.random.default_rng(2)
    embedding, z = np.tanh(genes[:, :3] / 50) + rng.normal(size=(200, 3)), rng.normal(size=(4, 3))
    design = np.column_stack([np.ones(200), embedding])
    expected = np.column_stack([np.ones(4), z]) @ np.linalg.lstsq(design, genes, rcond=None)[0]
    np.testing.assert_allclose(profiles.decoded(in_blocks(genes), embedding, z)[0], expected.T, rtol=1e-8)


def test_dimensions_that_do_not_vary_or_repeat_are_harmless(genes: np.ndarray) -> None:
    embedding = genes[:, :2]
    z = embedding[:3]
    expected, _ = profiles.decoded(in_blocks(genes), embedding, z)
    more = np.column_stack([embedding, np.ones(200), embedding[:, 0]])
    found, _ = profiles.decoded(in_blocks(genes), more, np.column_stack([z, np.ones(3), z[:, 0]]))
    np.testing.assert_allclose(found, expected, rtol=1e-8)
    constant, mean = profiles.decoded(in_blocks(genes), np.ones((200, 1)), np.ones((2, 1)))
    np.testing.assert_allclose(constant, np.column_stack([mean, mean]))


def test_the_table_of_cells_is_the_matrix() -> None:
    mixing = sp.random(4, 50, density=0.1, format="csr", random_state=0)
    names = np.array([f"c{i}" for i in range(50)], dtype=object)
    table = profiles.mixing_table(mixing, names, prefix="archetype_")
    back = np.zeros((4, 50))
    for archetype, cell, weight in table.itertuples(index=False):
        back[int(archetype.removeprefix("archetype_")), int(cell[1:])] = weight
    np.testing.assert_array_equal(back, mixing.toarray())
    for _, part in table.groupby("archetype"):
        assert part["weight"].is_monotonic_decreasing
    assert profiles.mixing_table(mixing)["cell"].dtype.kind == "i"


def test_the_order_of_archetypes_does_not_depend_on_how_they_came() -> None:
    rng = np.random.default_rng(0)
    weights, z = rng.dirichlet(np.ones(5), 30), rng.normal(size=(5, 2))
    weights[:, 1] = weights[:, 2] = 0.1  # equal totals: by coordinates
    expected = z[profiles.by_size(weights, z)]
    for _ in range(5):
        shuffle = rng.permutation(5)
        np.testing.assert_array_equal(z[shuffle][profiles.by_size(weights[:, shuffle], z[shuffle])], expected)
    total = weights.sum(0)[profiles.by_size(weights, z)]
    assert (np.diff(total) <= 1e-9).all()
