import numpy as np
import pytest
from scipy import stats

from pathwayae.core import annotation as core


def test_shares_are_squared_correlations_and_ratios_of_sums_of_squares():
    rng = np.random.default_rng(0)
    scores, x = rng.normal(size=(60, 3)), rng.normal(size=60)
    scores[:, 1] += 2 * x
    x[:5] = np.nan
    expected = [stats.pearsonr(scores[5:, j], x[5:])[0] ** 2 for j in range(3)]
    np.testing.assert_allclose(core.shares_explained(scores, x), expected, rtol=1e-10)
    codes = rng.integers(-1, 4, 60)
    for j, found in enumerate(core.between_levels(scores, codes)):
        inside = scores[codes >= 0, j]
        own = codes[codes >= 0]
        between = sum((own == b).sum() * (inside[own == b].mean() - inside.mean()) ** 2 for b in range(4))
        assert found == pytest.approx(between / ((inside - inside.mean()) ** 2).sum())


def test_what_does_not_vary_has_no_share():
    scores = np.column_stack([np.ones(20), np.arange(20.0)])
    assert np.isnan(core.shares_explained(scores, np.arange(20.0))).tolist() == [True, False]
    assert np.isnan(core.shares_explained(scores, np.ones(20))).all()
    assert np.isnan(core.shares_explained(scores, np.full(20, np.nan))).all()
    assert np.isnan(core.between_levels(scores, np.zeros(20, dtype=int))).all()


def test_labels_claim_no_more_than_the_evidence():
    nothing = {side: {"term": "", "padj": np.nan, "family": ""} for side in ("up", "down")}
    assert core.label("", {"g2m": np.nan, "s_phase": 0.1}, nothing, "A", 0.3) == "unnamed"
    assert core.label("", {"g2m": 0.71, "s_phase": 0.4}, nothing, "", np.nan) == "cell cycle G2M (r² .71)"
    both = nothing | {"down": {"term": "T<x> $", "padj": 1e-4, "family": "HLA"}}
    assert core.label("", {}, both, "A", -0.8) == "HLA genes down, T<x> $ down (FDR 0.0001)"
    assert core.label("", {}, nothing, "A", -0.8) == "near A (r -.80)"
    shares = {"depth": 0.6, "n_genes": 0.7, "mito": np.nan}
    assert core.technical_reason(shares, {"batch": 0.2}, 0.5) == "number of genes (r² .70), depth (r² .60)"
    assert core.technical_reason(shares, {"batch": 0.9}, 0.8) == "batch (η² .90)"
    assert core.technical_reason(shares, {"batch": np.nan}, 0.8) == ""


def test_lists_of_the_cell_cycle_are_whole():
    assert len(set(core.S_GENES)) == len(core.S_GENES) == 43 + 1  # and a new name
    assert len(set(core.G2M_GENES)) == len(core.G2M_GENES) == 54 + 2
    assert not set(core.S_GENES) & set(core.G2M_GENES)
