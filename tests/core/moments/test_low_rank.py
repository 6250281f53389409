"""A diagonal and factors against the matrix that they stand for."""

import numpy as np
import pytest

from pathwayae.core.moments.low_rank import LowRank


@pytest.mark.parametrize("sign", [1.0, -1.0])
@pytest.mark.parametrize("r", [0, 1, 4])
def test_low_rank_is_its_matrix(sign, r):
    rng = np.random.default_rng(0)
    own, factors = rng.normal(size=9), rng.normal(size=(9, r))
    low, matrix = LowRank(own, factors, sign), np.diag(own) + sign * factors @ factors.T
    assert low.shape == (9, 9)
    for shape in ((9,), (9, 1), (9, 5), (9, 0)):
        values = rng.normal(size=shape)
        found = low @ values
        assert found.shape == shape
        np.testing.assert_allclose(found, matrix @ values, rtol=0, atol=1e-13)
    np.testing.assert_allclose(low.diagonal(), np.diagonal(matrix), rtol=0, atol=1e-13)
    assert low.trace() == pytest.approx(np.trace(matrix), abs=1e-12)


def test_its_parts_are_not_modified_and_its_sign_is_plus():
    own, factors = np.arange(3.0), np.ones((3, 2))
    low = LowRank(own, factors)
    low @ np.ones(3), low.diagonal(), low.trace()
    np.testing.assert_array_equal(own, np.arange(3.0))
    np.testing.assert_array_equal(factors, np.ones((3, 2)))
    np.testing.assert_array_equal(low @ np.eye(3), np.diag(own) + 2.0)
