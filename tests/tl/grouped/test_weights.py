"""Members with signs and sizes: a repressed target goes down with its transcription factor."""

import logging

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad

import pathwayae as pae

UP, DOWN = [f"B{j}" for j in range(8)], [f"M{j}" for j in range(8)]
NET = pd.DataFrame({"source": "TF", "target": UP + DOWN, "weight": [1.0] * 8 + [-1.0] * 8})
PLAIN = pd.DataFrame({"source": "plain", "target": [f"N{j}" for j in range(6)], "weight": 1.0})


@pytest.fixture(scope="module")
def cells():
    """B cells, monocytes and others; markers of the first two, and noise."""
    rng = np.random.default_rng(0)
    names = UP + DOWN + [f"N{j}" for j in range(144)]
    kind = np.repeat(["B", "mono", "other"], 80)
    x = rng.gamma(1.0, 0.4, size=(240, 160))
    x[:80, :8] += 2.0
    x[80:160, 8:16] += 2.0
    return AnnData(
        x.astype(np.float32), pd.DataFrame({"kind": kind}, index=map(str, range(240))), pd.DataFrame(index=names)
    )


def fitted(cells, net, **options):
    return pae.tl.fit(cells, net, n_extra=0, progress=False, copy=True, **options)


@pytest.fixture(scope="module")
def signed(cells):
    return fitted(cells, pd.concat([NET, PLAIN]))


def test_repressed_targets_lower_the_score(cells, signed):
    means = pae.get.scores(signed, standardize=True)["TF"].groupby(cells.obs["kind"].to_numpy()).mean()
    assert means["B"] > 1
    assert means["mono"] < -1
    assert abs(means["other"]) < 0.3
    flat = fitted(cells, pae.gs.GeneSetCollection.from_frame(NET, weight=None))
    assert pae.get.scores(flat, standardize=True)["TF"].groupby(cells.obs["kind"].to_numpy()).mean()["mono"] > 0.5


def test_signs_are_those_of_the_loadings_and_survive_a_file(signed, tmp_path):
    top = pae.get.top_genes(signed, "TF", n_genes=16).set_index("gene")
    assert top["member"].all()
    assert (top.loc[UP, "loading"] > 0).all()
    assert (top.loc[DOWN, "loading"] < 0).all()
    assert signed.varm["pae_membership"].dtype == bool
    signed.write_h5ad(tmp_path / "a.h5ad")
    back = read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(pae.get.top_genes(back, "TF"), pae.get.top_genes(signed, "TF"))
    with pytest.raises(ValueError, match="weights of members"):
        pae.tl.refine(back, progress=False)


def test_weights_of_one_are_no_weights(cells):
    equal = NET.assign(weight=1.0)
    plain = fitted(cells, {"TF": UP + DOWN})
    for net in (equal, equal.drop(columns="weight"), {"TF": dict.fromkeys(UP + DOWN, 1)}):
        np.testing.assert_array_equal(fitted(cells, net).obsm["X_pae"], plain.obsm["X_pae"])


def test_a_common_factor_changes_nothing_and_all_signs_turn_the_score(cells):
    own = fitted(cells, NET).obsm["X_pae"]
    np.testing.assert_allclose(fitted(cells, NET.assign(weight=7.0 * NET["weight"])).obsm["X_pae"], own, atol=1e-5)
    np.testing.assert_allclose(fitted(cells, NET.assign(weight=-NET["weight"])).obsm["X_pae"], -own, atol=1e-5)


def test_every_form_gives_the_same_fit(cells, tmp_path):
    own = fitted(cells, NET).obsm["X_pae"]
    weights = dict(zip(NET["target"], NET["weight"], strict=True))
    marked = [f"{gene};{'u' if weight > 0 else 'd'}" for gene, weight in weights.items()]
    pae.gs.as_collection(NET).to_gmt(tmp_path / "net.gmt")
    matrix = cells.copy()
    matrix.varm["net"] = pd.DataFrame(
        {"TF": [weights.get(gene, 0.0) for gene in cells.var_names]}, index=cells.var_names
    )
    for net in ({"TF": weights}, {"TF": marked}, str(tmp_path / "net.gmt")):
        np.testing.assert_array_equal(fitted(cells, net).obsm["X_pae"], own)
    np.testing.assert_allclose(fitted(matrix, "net").obsm["X_pae"], own, atol=1e-6)
    turned = cells[:, np.random.default_rng(1).permutation(160)].copy()
    np.testing.assert_allclose(fitted(turned, NET).obsm["X_pae"], own, atol=1e-5)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_descents_refuse_weights(cells, scores):
    before = set(cells.varm) | set(cells.obsm) | set(cells.uns)
    with pytest.raises(ValueError, match=rf"scores='{scores}' starts from memberships.*scores=\"members\""):
        pae.tl.fit(cells, NET, scores=scores, progress=False)
    assert set(cells.varm) | set(cells.obsm) | set(cells.uns) == before


@pytest.mark.parametrize("tool", ["refine", "relevance", "stability", "n_extra_path"])
def test_tools_that_know_equals_alone_refuse_weights(signed, tool):
    with pytest.raises(ValueError, match="weights of members"):
        getattr(pae.tl, tool)(signed, progress=False)
    with pytest.raises(ValueError, match="weights of members"):
        pae.tl.fit(signed, "pae_membership", progress=False)


def test_wrong_letter_case_is_warned_of_with_its_share(cells, caplog):
    rng = np.random.default_rng(0)
    written = {
        "TF": [gene.lower() if low else gene for gene, low in zip(UP + DOWN, rng.random(16) < 0.66, strict=True)]
    }
    n = sum(gene.islower() for gene in written["TF"])
    with pytest.warns(pae.DataWarning, match=rf"{n} of 16 genes .*{n / 16:.0%}.*letter case {n}.*pae\.gs\.match_genes"):
        fitted(cells, written)
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        mended = pae.gs.match_genes(written, cells)
    assert set(mended["TF"]) == set(UP + DOWN)
    assert f"{n} of 16 genes renamed" in caplog.text
