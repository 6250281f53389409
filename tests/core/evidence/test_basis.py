"""A basis against scipy's."""

import numpy as np
import pytest
import scipy.linalg

from pathwayae.core.evidence.basis import orthonormal


@pytest.mark.parametrize(("g", "k", "rank"), [(40, 7, 7), (40, 9, 5), (6, 6, 6), (5, 9, 3)])
def test_it_spans_what_the_columns_span(g, k, rank):
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(g, rank)) @ rng.normal(size=(rank, k)) if rank < k else rng.normal(size=(g, k))
    basis, expected = orthonormal(columns), scipy.linalg.orth(columns)
    assert basis.shape == (g, rank)
    np.testing.assert_allclose(basis.T @ basis, np.eye(rank), atol=1e-13)
    np.testing.assert_allclose(basis @ basis.T, expected @ expected.T, atol=1e-9)


def test_nearly_dependent_columns_stay_orthonormal():
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(100, 20))
    columns[:, 10:] = columns[:, :10] + 1e-6 * columns[:, 10:]
    basis = orthonormal(columns)
    assert basis.shape == (100, 20)
    np.testing.assert_allclose(basis.T @ basis, np.eye(20), atol=1e-12)


def test_nothing_has_no_basis():
    assert orthonormal(np.zeros((4, 0))).shape == (4, 0)
    assert orthonormal(np.zeros((4, 2))).shape == (4, 0)
