"""What values look like cell by cell, against naive loops."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core import cell_values


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    x = np.log1p(rng.poisson(0.5, size=(40, 30)) * 3.0)
    x[7] = 0.0
    return x


@pytest.mark.parametrize("genes", [None, np.array([4, 1, 20, 9])])
@pytest.mark.parametrize("change", [np.asarray, sp.csr_matrix, lambda x: x.astype(np.float32)])
def test_level_and_totals_of_every_cell(values: np.ndarray, genes, change) -> None:
    found = cell_values.describe(change(values), genes)
    columns = range(30) if genes is None else genes
    for i, cell in enumerate(values):
        positive = [cell[j] for j in columns if cell[j] > 0]
        assert found.level[i] == pytest.approx(np.mean(positive), rel=1e-6) if positive else np.isnan(found.level[i])
        assert found.total[i] == pytest.approx(sum(np.exp(v) - 1 for v in cell), rel=1e-6, abs=1e-9)
        assert found.inside[i] == pytest.approx(sum(np.exp(cell[j]) - 1 for j in columns), rel=1e-6, abs=1e-9)


def test_values_without_a_logarithm_stay_numbers() -> None:
    found = cell_values.describe(np.array([[1e6, -3.0]]))
    assert np.isfinite(found.total).all()
    assert found.smallest == -3.0


def test_a_rank_is_the_share_below() -> None:
    rng = np.random.default_rng(1)
    stored = cell_values.quantiles(rng.gamma(2.0, size=20_000))
    new = rng.gamma(2.0, size=4_000)
    np.testing.assert_allclose(np.sort(cell_values.rank(new, stored)), np.linspace(0, 1, 4_000), atol=0.03)
    assert cell_values.rank(np.array([-1.0, 1e9]), stored).tolist() == [0.0, 1.0]
    assert np.isnan(cell_values.quantiles(np.array([np.nan]))).all()
