"""Settings at equal sparsity against lines written down by hand."""

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.sparse_ae import measures, trade_off


def curves():
    """Unexplained is linear in log L0, with another slope for each kind, so that any interpolation is exact."""
    rows = []
    for kind, l0, slope in (("l1", [1.0, 4.0, 20.0], -0.1), ("kl", [2.0, 8.0, 64.0], -0.05)):
        rows += [{"sparsity": kind, "l0": x, "unexplained": 0.5 + slope * np.log(x)} for x in l0]
    return pd.DataFrame(rows)


def test_equal_sparsity_lies_on_the_curves_where_they_overlap():
    found = trade_off.equal_sparsity(curves().sample(frac=1, random_state=0), n_points=5)
    assert found["l0"].min() == pytest.approx(2.0)
    assert found["l0"].max() == pytest.approx(20.0)
    assert found.groupby("sparsity").size().to_dict() == {"l1": 5, "kl": 5}
    slope = found["sparsity"].map({"l1": -0.1, "kl": -0.05})
    np.testing.assert_allclose(found["unexplained"], 0.5 + slope * np.log(found["l0"]), rtol=1e-12)


def test_hoyer_is_interpolated_as_it_is():
    table = curves().assign(hoyer=curves()["l0"] / 64, unexplained=0.01 * curves()["l0"])
    found = trade_off.equal_sparsity(table, by="hoyer", n_points=3)
    np.testing.assert_allclose(found["unexplained"], 0.64 * found["hoyer"], rtol=1e-12)


def test_settings_without_active_latents_or_with_nan_do_not_matter():
    extra = pd.DataFrame({"sparsity": ["l1", "kl", "kl"], "l0": [0.0, 3.0, np.nan], "unexplained": [1.0, np.nan, 0.2]})
    before, after = (trade_off.equal_sparsity(x) for x in (curves(), pd.concat([curves(), extra])))
    pd.testing.assert_frame_equal(before, after)


def test_settings_that_another_of_their_kind_beats_do_not_matter():
    worse = curves().assign(unexplained=curves()["unexplained"] + 0.01)
    denser = curves().assign(l0=1.5 * curves()["l0"], unexplained=curves()["unexplained"] + 0.3)
    several = pd.concat([worse, curves(), denser])
    pd.testing.assert_frame_equal(trade_off.equal_sparsity(several), trade_off.equal_sparsity(curves()))


def test_a_kind_that_reaches_other_sparsities_does_not_keep_the_rest_from_being_compared():
    far = pd.DataFrame({"sparsity": "topk", "l0": [500.0, 900.0], "unexplained": [0.1, 0.05]})
    near = pd.DataFrame({"sparsity": "jumprelu", "l0": [1.0, 5.0], "unexplained": [0.6, 0.4]})
    found = trade_off.equal_sparsity(pd.concat([curves(), far, near]))
    assert "topk" not in set(found["sparsity"])
    jump = found[found["sparsity"] == "jumprelu"]
    assert jump["l0"].max() <= 5.0
    assert found["l0"].min() == pytest.approx(1.0)
    assert found["l0"].max() == pytest.approx(20.0)
    assert (found.groupby("l0").size() >= 2).all()
    np.testing.assert_allclose(jump["unexplained"], 0.6 - 0.2 * np.log(jump["l0"]) / np.log(5.0), rtol=1e-12)


def test_nothing_is_extrapolated():
    apart = curves()
    apart.loc[apart["sparsity"] == "kl", "l0"] += 100
    assert trade_off.equal_sparsity(apart).empty
    assert trade_off.equal_sparsity(curves().query("sparsity == 'l1'")).empty
    touching = curves().query("not (sparsity == 'kl' and l0 < 8) and not (sparsity == 'l1' and l0 > 4)")
    touching = touching.assign(l0=touching["l0"].replace(8.0, 4.0))
    found = trade_off.equal_sparsity(touching)
    assert found["l0"].tolist() == pytest.approx([4.0, 4.0])
    with pytest.raises(ValueError, match="by='l2' is not known"):
        trade_off.equal_sparsity(curves(), by="l2")


def test_means_and_deviations_over_seeds():
    fits = pd.DataFrame(
        {"kind": ["b", "b", "a"], "k": [4, 4, 8], "l0": [3.0, 5.0, 7.0], "unexplained": [0.1, 0.3, 0.5]}
    )
    found = trade_off.over_seeds(fits, ["kind", "k"], ["l0", "unexplained"])
    assert found["kind"].tolist() == ["b", "a"]
    assert found["n_fits"].tolist() == [2, 1]
    np.testing.assert_allclose(found["l0"], [4.0, 7.0])
    np.testing.assert_allclose(found["l0_sd"], [np.std([3, 5], ddof=1), 0.0])
    np.testing.assert_allclose(found["unexplained_sd"], [np.std([0.1, 0.3], ddof=1), 0.0])


@pytest.mark.parametrize("relative", [False, True])
def test_a_row_of_codes_is_the_mean_over_cells(relative):
    rng = np.random.default_rng(0)
    dense = rng.random((40, 12)) * (rng.random((40, 12)) < 0.3)
    dense[:, 0] = 0
    row = trade_off.of_codes(dense, 0.2, relative=relative)
    cells = measures.of_cells(dense, 0.2, relative=relative)
    for name in ("l0", "population", "hoyer"):
        assert row[name] == pytest.approx(cells[name].mean())
    limit = 0.2 * dense.max(axis=0) if relative else 0.2
    assert row["never"] == pytest.approx(np.mean(~(dense > limit).any(axis=0)))
