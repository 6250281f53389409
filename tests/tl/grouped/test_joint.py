"""Scores of all pathways at once: a ridge regression of cells on the encoders that pathways have by themselves."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from grouped_fits import encoder_of, fit, sets_of
from sklearn.linear_model import Ridge

import pathwayae as pae

P = 6
JOINT = {"joint": True, "n_extra": 0}


@pytest.fixture(scope="module")
def alone(cells: ad.AnnData) -> ad.AnnData:
    return fit(cells, n_extra=0)


@pytest.fixture(scope="module")
def joint(cells: ad.AnnData) -> ad.AnnData:
    return fit(cells, **JOINT)


def standard(fitted: ad.AnnData) -> np.ndarray:
    mean, scale = (fitted.var[f"pae_{name}"].to_numpy() for name in ("mean", "scale"))
    return (fitted.X.toarray() - mean) / scale


def assert_alike(first: np.ndarray, second: np.ndarray, atol: float = 1e-5) -> None:
    """Equal up to the length of each column."""
    np.testing.assert_allclose(*(z / np.linalg.norm(z, axis=0) for z in (first, second)), atol=atol)


def test_scores_are_ridge_regressions_on_the_encoders_of_all_pathways(alone, joint) -> None:
    columns = encoder_of(alone)
    columns /= np.linalg.norm(columns, axis=0)
    cells = standard(alone)
    expected = Ridge(alpha=1.0, fit_intercept=False).fit(columns, cells.T).coef_
    assert_alike(joint.obsm["X_pae"], expected)
    np.testing.assert_allclose(joint.obsm["X_pae"], cells @ encoder_of(joint), atol=1e-4)
    np.testing.assert_array_equal(joint.varm["pae_loadings"], alone.varm["pae_loadings"])


def test_the_share_made_outside_and_own_weights_are_reported(alone, joint) -> None:
    encoder, member = encoder_of(joint), joint.varm["pae_membership"].toarray()
    assert (pae.get.pathways(alone)["outside"] == 0).all()
    assert (pae.get.pathways(joint)["outside"] < 0).all()  # what goes with other pathways is taken off
    table = pae.tl.stability(joint, n_bootstrap=40, progress=False, copy=True)
    own = pae.get.stability(table).set_index("component")["own"].to_numpy()
    np.testing.assert_allclose(own, (encoder**2 * member).sum(axis=0) / (encoder**2).sum(axis=0), atol=1e-6)


def test_new_cells_and_files_have_the_same_scores(cells, joint, tmp_path) -> None:
    joint.write_h5ad(tmp_path / "fit.h5ad")
    new = ad.AnnData(cells.X, cells.obs[[]], cells.var[[]])
    pae.tl.transform(new, ad.read_h5ad(tmp_path / "fit.h5ad"), progress=False)
    np.testing.assert_allclose(new.obsm["X_pae"], joint.obsm["X_pae"], atol=1e-5)


@pytest.mark.parametrize(("solver", "atol"), [("cells", 1e-5), ("sketch", 5e-3)])
def test_scores_do_not_depend_on_what_is_read_of_the_cells(cells, joint, solver, atol) -> None:
    assert_alike(fit(cells, **JOINT, solver=solver).obsm["X_pae"], joint.obsm["X_pae"], atol)


def test_batches_are_centred(cells) -> None:
    cells = cells.copy()
    cells.obs["batch"] = np.where(np.arange(cells.n_obs) < 150, "a", "b")
    found = fit(cells, **JOINT, batch_key="batch").obsm["X_pae"]
    for own in (found[:150], found[150:]):
        np.testing.assert_allclose(own.mean(axis=0), 0.0, atol=1e-4)


def test_a_gene_turned_round_with_its_sign_changes_nothing(cells) -> None:
    # Balance compares genes by their means, which turning moves.
    options = {**JOINT, "balance": False, "scale": "unit"}
    table = pd.DataFrame([(name, gene, 1.0) for name, genes in sets_of(cells).items() for gene in genes])
    table.columns = ["source", "target", "weight"]
    turned, net = cells.copy(), table.copy()
    genes = table["target"][::5].unique()
    values = turned.X.toarray()
    values[:, turned.var_names.isin(genes)] *= -1.0
    turned.X = values
    net.loc[net["target"].isin(genes), "weight"] = -1.0
    np.testing.assert_allclose(
        fit(turned, net, **options).obsm["X_pae"], fit(cells, table, **options).obsm["X_pae"], atol=1e-4
    )


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"scores": "projection"}, "joint=True is of scores='members'"),
        ({"scores": "least_squares"}, "joint=True is of scores='members'"),
        ({"support": True}, "leave one of them out"),
        ({"joint": 2}, "joint"),
    ],
)
def test_what_contradicts_it_is_refused(cells, options, match) -> None:
    with pytest.raises((ValueError, TypeError), match=match):
        fit(cells, **{**JOINT, **options})
