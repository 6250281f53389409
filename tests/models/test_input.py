"""What estimators are given in the place of a matrix of numbers, and numbers that no samples have."""

import anndata
import numpy as np
import pandas as pd
import pytest

from pathwayae import models

MADE = {
    models.GroupedAutoencoder: {"n_components": 2, "max_iter": 3},
    models.SparseAutoencoder: {"n_latents": 4, "k": 2, "n_epochs": 1},
    models.ArchetypalAnalysis: {"n_archetypes": 2, "max_iter": 3},
}
X = np.random.default_rng(0).gamma(2.0, size=(30, 6))


@pytest.mark.parametrize("made", MADE)
@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (anndata.AnnData(X), TypeError, r"of type AnnData; .*adata\.X"),
        (None, TypeError, "X is None"),
        ("cells.h5ad", TypeError, "of type str"),
        (X.astype(str), TypeError, r"X\.astype\(float\)"),
        (np.ma.masked_greater(X, 3.0), ValueError, r"masked array, of which \d+ values are masked"),
        (X * 1e200, ValueError, "holds values up to"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(made, given, error, said):
    with pytest.raises(error, match=said):
        made(**MADE[made]).fit(given)


@pytest.mark.parametrize("made", MADE)
def test_tables_and_arrays_without_masked_values_are_taken(made):
    first, *others = [made(**MADE[made]).fit_transform(one) for one in (X, pd.DataFrame(X), np.ma.masked_array(X))]
    for other in others:
        assert abs(first - other).max() == 0


@pytest.mark.parametrize("solver", ["gram", "cells"])
def test_what_is_added_to_all_values_changes_nothing(solver):
    """Sums of squares about zero would lose the differences between samples."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) @ rng.random((2, 30)) + 0.3 * rng.normal(size=(120, 30))
    made = [models.GroupedAutoencoder(2, center=True, max_iter=60, solver=solver) for _ in range(2)]
    near, far = (model.fit(x + offset) for model, offset in zip(made, (0.0, 1e6), strict=True))
    np.testing.assert_allclose(far.transform(x + 1e6), near.transform(x), atol=1e-4)
    np.testing.assert_allclose(far.mean_, near.mean_ + 1e6)
    assert far.score(x + 1e6) == pytest.approx(near.score(x), abs=1e-5)
