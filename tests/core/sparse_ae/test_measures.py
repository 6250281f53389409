"""How sparse codes are, against loops over dense arrays."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.sparse_ae import measures


def random_codes(n=60, m=25, seed=0, share=0.2):
    """Codes with ties, a latent that is never active, one in a single cell, a dense one, and an empty cell."""
    rng = np.random.default_rng(seed)
    dense = rng.choice([0.05, 0.1, 0.2, 0.7, 1.3], size=(n, m)) * (rng.random((n, m)) < share)
    dense[:, 0] = 0
    dense[:, 1] = 0
    dense[3, 1] = 0.4
    dense[:, 2] = 0.3 + rng.random(n)
    dense[5] = 0
    return dense


settings = pytest.mark.parametrize(("threshold", "relative"), [(0.1, False), (0.0, False), (0.5, True), (0.0, True)])


@settings
def test_cells_as_a_loop_over_dense_codes_has_it(threshold, relative):
    dense = random_codes()
    table = measures.of_cells(sp.csr_matrix(dense), threshold, relative=relative)
    limit = threshold * dense.max(axis=0) if relative else np.full(dense.shape[1], threshold)
    m = dense.shape[1]
    for i, code in enumerate(dense):
        n_active = sum(code[j] > limit[j] for j in range(m))
        assert table["l0"][i] == n_active
        assert table["population"][i] == pytest.approx(n_active / m)
        assert table["l1"][i] == pytest.approx(sum(code))
        if code.any():
            ratio = np.linalg.norm(code, 1) / np.linalg.norm(code, 2)
            assert table["hoyer"][i] == pytest.approx((np.sqrt(m) - ratio) / (np.sqrt(m) - 1))
        else:
            assert np.isnan(table["hoyer"][i])


@settings
def test_latents_as_a_loop_over_dense_codes_has_it(threshold, relative):
    dense = random_codes(n=300)
    table = measures.of_latents(sp.csr_matrix(dense), threshold, relative=relative)
    for j, values in enumerate(dense.T):
        active = values > (threshold * values.max() if relative else threshold)
        assert table["n_cells"][j] == active.sum()
        assert table["lifetime"][j] == pytest.approx(active.mean())
        assert table["max"][j] == pytest.approx(values.max())
        assert table["mean"][j] == pytest.approx(values.mean())
        assert table["dead"][j] == (active.mean() < 0.01)
        if active.any():
            assert table["mean_active"][j] == pytest.approx(values[active].mean())
        else:
            assert np.isnan(table["mean_active"][j])
        share = active.mean()
        kind = "never" if share == 0 else "rare" if share < 0.01 else "dense" if share > 0.5 else "common"
        assert table["kind"][j] == kind
    assert table["kind"].tolist()[:3] == ["never", "rare", "dense"] or threshold != 0.1
    assert measures.of_cells(dense)["population"].mean() == pytest.approx(measures.of_latents(dense)["lifetime"].mean())


def test_a_summary_of_some_cells_is_that_of_their_codes_alone():
    dense = random_codes(n=300)
    chosen = np.arange(0, 300, 3)
    held = measures.checked(dense)
    row = measures.summary(measures.of_cells(dense).iloc[chosen], measures.active(held)[chosen])
    cells, latents = measures.of_cells(dense[chosen]), measures.of_latents(dense[chosen])
    assert row["n_cells"] == 100
    for name in ("l0", "population", "hoyer"):
        assert row[name] == pytest.approx(cells[name].mean())
    assert row["never"] == pytest.approx((latents["kind"] == "never").mean())
    assert row["rare"] == pytest.approx((latents["kind"] == "rare").mean())
    assert row["dead"] == pytest.approx(latents["dead"].mean())
    assert row["dense"] == pytest.approx((latents["kind"] == "dense").mean())


def test_the_histogram_holds_every_activation_once():
    assert len(measures.activations(np.zeros((3, 2)))) == 0
    assert measures.activations(np.full((3, 2), 0.5), n_bins=10)["count"].sum() == 6
    dense = random_codes()
    table = measures.activations(dense, n_bins=12)
    values = dense[dense > 0]
    assert table["count"].sum() == len(values)
    assert table["low"].iloc[0] == values.min()
    assert table["high"].iloc[-1] == values.max()
    ratio = table["high"] / table["low"]
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-9)
    for _, row in table.iloc[:-1].iterrows():
        assert row["count"] == ((values >= row["low"]) & (values < row["high"])).sum()


def test_stored_zeros_and_duplicates_do_not_count():
    codes = sp.csr_matrix(([0.0, 0.3, 0.4], ([0, 0, 1], [1, 0, 1])), shape=(2, 2))
    twice = sp.coo_matrix(([0.1, 0.2, 0.4], ([0, 0, 1], [0, 0, 1])), shape=(2, 2))
    for each in (codes, twice):
        np.testing.assert_array_equal(measures.of_latents(each, 0.0)["n_cells"], [1, 1])
    assert codes.nnz == 3  # what was given stays as it is


def test_what_are_no_codes_is_refused():
    for codes, message in (
        (np.zeros((0, 3)), "cells × latents"),
        (np.zeros(3), "cells × latents"),
        (np.array([[np.nan, 1.0]]), "1 values that are NaN or infinite"),
        (np.array([[-0.5, 1.0]]), "at least 0, the smallest is -0.5"),
    ):
        with pytest.raises(ValueError, match=message):
            measures.checked(codes)
