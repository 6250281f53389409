"""Volumes against known shapes, the null against its moments, p-values against their distribution."""

import numpy as np
import pytest
from scipy.stats import kstest

from pathwayae.core.archetypes import solver, t_ratio


def triangle(n, rng, d=2):
    return rng.dirichlet(np.full(3, 0.5), n) @ rng.normal(size=(3, d))


@pytest.mark.parametrize("k", [2, 5])
def test_cells_of_a_simplex_with_its_corners_fill_it(k):
    rng = np.random.default_rng(k)
    corners = rng.normal(size=(k, 7))
    cells = np.vstack([corners, rng.dirichlet(np.ones(k), 100) @ corners])
    assert t_ratio.t_ratio(cells, corners) == pytest.approx(1)


def test_a_cube_and_three_of_its_corners():
    cube = np.array(np.meshgrid([0, 1], [0, 1], [0, 1])).reshape(3, -1).T.astype(float)
    corners = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    assert t_ratio.t_ratio(cube, corners) == pytest.approx(1 / 6)
    assert t_ratio.t_ratio(cube, corners[:3]) == pytest.approx(1 / 2)  # projected onto the ground
    assert t_ratio.t_ratio(cube, corners[:2]) == pytest.approx(1)


def test_turning_shifting_and_stretching_change_nothing():
    rng = np.random.default_rng(0)
    cells = triangle(200, rng, 4) + 0.1 * rng.normal(size=(200, 4))
    corners = cells[[3, 50, 120]]
    turn, _ = np.linalg.qr(rng.normal(size=(4, 4)))
    expected = t_ratio.t_ratio(cells, corners)
    assert 0 < expected < 1
    assert t_ratio.t_ratio(1e4 * cells @ turn + 30, 1e4 * corners @ turn + 30) == pytest.approx(expected)


def test_no_volume_no_ratio():
    rng = np.random.default_rng(0)
    cells = rng.normal(size=(50, 9))
    assert np.isnan(t_ratio.t_ratio(cells, np.array([[0.0] * 9, [1.0] * 9, [2.0] * 9])))  # on a line
    assert np.isnan(t_ratio.t_ratio(cells, cells[:8]))  # seven dimensions
    assert np.isnan(t_ratio.t_ratio(cells[:, :2], cells[:5, :2]))  # five corners in a plane


def test_the_null_keeps_mean_and_covariance_and_loses_the_corners():
    rng = np.random.default_rng(0)
    cells = triangle(400, rng, 5) + 0.05 * rng.normal(size=(400, 5)) + 3
    draw = t_ratio.Null(cells).draw(rng)
    np.testing.assert_allclose(draw.mean(axis=0), cells.mean(axis=0))
    np.testing.assert_allclose(np.cov(draw.T), np.cov(cells.T), atol=1e-10)
    config = solver.Config(3)
    assert solver.fit(draw, config).explained_variance < solver.fit(cells, config).explained_variance - 0.005


def test_the_null_of_features_permutes_each_of_them():
    rng = np.random.default_rng(0)
    cells = rng.gamma(1.0, size=(60, 4)) @ rng.normal(size=(4, 4))
    draw = t_ratio.Null(cells, axes=False).draw(rng)
    np.testing.assert_allclose(np.sort(draw, axis=0), np.sort(cells, axis=0))
    assert np.abs(np.corrcoef(draw.T) - np.eye(4)).max() < 0.5
    assert not np.allclose(draw, cells)
    still = np.column_stack([cells[:, :2], np.full(60, 5.0)])  # a feature that does not vary stays what it is
    draw = t_ratio.Null(still).draw(np.random.default_rng(1))
    np.testing.assert_allclose(draw[:, 2], 5)
    np.testing.assert_allclose(np.cov(draw[:, :2].T), np.cov(still[:, :2].T))


def test_p_values_count_and_are_never_zero():
    found = t_ratio.significance(10.0, np.arange(9.0))
    assert found.pval == pytest.approx(0.1)
    assert found.null_mean == pytest.approx(4)
    assert t_ratio.significance(-1.0, np.arange(9.0)).pval == 1
    assert t_ratio.significance(4.0, np.arange(9.0)).pval == pytest.approx(0.6)  # a tie counts
    assert t_ratio.significance(10.0, np.array([1.0, np.nan, 2.0])).pval == pytest.approx(0.5)
    assert np.isnan(t_ratio.significance(np.nan, np.arange(9.0)).pval)


@pytest.mark.parametrize("axes", [True, False])
def test_p_is_uniform_where_there_are_no_corners(axes):
    """Cells of correlated normal axes, or of independent features of any shape; p with refits, ties spread evenly."""
    rng = np.random.default_rng(17)
    mixing = np.array([[1.5, 0.0, 0.0], [0.8, 1.0, 0.0], [0.3, 0.3, 0.7]])
    n_null, found = 9, {"t_ratio": [], "explained_variance": []}
    for _ in range(60):
        cells = rng.normal(size=(40, 3)) @ mixing if axes else rng.gamma(2.0, size=(40, 3)) * [3.0, 2.0, 1.0]
        null = t_ratio.Null(cells, axes=axes)
        fits = []
        for i, x in enumerate([cells, *(null.draw(rng) for _ in range(n_null))]):
            fit = solver.fit(x, solver.Config(3, max_iter=10, seed=i))
            fits.append((t_ratio.t_ratio(x, fit.archetypes), fit.explained_variance))
        for name, values in zip(found, np.array(fits).T, strict=True):
            pval = t_ratio.significance(values[0], values[1:]).pval
            found[name].append(pval - rng.random() / (n_null + 1))
    for values in found.values():
        assert kstest(values, "uniform").pvalue > 0.01


def test_corners_are_found():
    rng = np.random.default_rng(2)
    cells = triangle(150, rng, 6) + 0.05 * rng.normal(size=(150, 6))
    null = t_ratio.Null(cells)
    fits = [(x, solver.fit(x, solver.Config(3))) for x in [cells, *(null.draw(rng) for _ in range(19))]]
    ratios = np.array([t_ratio.t_ratio(x, fit.archetypes) for x, fit in fits])
    explained = np.array([fit.explained_variance for _, fit in fits])
    assert t_ratio.significance(ratios[0], ratios[1:]).pval == pytest.approx(0.05)
    assert t_ratio.significance(explained[0], explained[1:]).pval == pytest.approx(0.05)
