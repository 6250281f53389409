"""Newton steps of pathways by themselves against the same steps in numpy."""

import numpy as np

from pathwayae.core.evidence import refine
from pathwayae.core.evidence.newton_loops import steps_alone
from pathwayae.core.evidence.pathway_loops import Sums


def test_steps_are_those_of_numpy_with_views_held_at_nothing():
    rng = np.random.default_rng(0)
    n, k, n_views = 200, 6, 2
    half = rng.normal(size=(n, 9, k))
    hessian = np.einsum("qai,qaj->qij", half, half) * rng.gamma(1.0, 5.0, size=n)[:, None, None]
    nothing = np.zeros(n)
    sums = Sums(nothing, nothing, 30 * rng.normal(size=(n, k)), hessian, nothing)
    current = rng.normal(size=(n, k))
    precision, centre = np.array([0.3, 0.3, 3.0, 3.0, 3.0, 0.0]), np.array([1.0, 1.0, 0.0, 0.0, 0.0, 0.0])
    before = current.copy()
    expected = refine._newton(current, sums, precision[:-1], n_views, lambda *_: centre)
    found = steps_alone(current, sums, n_views, precision, centre, refine.STEP)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(current, before)
    moved_to_nothing = np.isclose(found[:, :n_views], 0.0, atol=1e-12)
    assert 10 < moved_to_nothing.sum() < 2 * n  # some views were held
    assert np.abs(found - current).max() <= refine.STEP + 1e-12
