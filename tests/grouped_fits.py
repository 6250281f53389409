"""What the tests of the grouped model share: ways to fit, and parts of a fit."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pytest

CLASSIC = {"scores": "projection", "balance": False, "init": "membership", "dropout": 0.0}
SQUARES = {"scores": "least_squares", "balance": False, "init": "membership"}
KINDS = {"members": {}, "projection": CLASSIC}  # the default, and the descent with everything new left out
EVERY = [{}, {"balance": False}, {"scores": "projection"}, {"scores": "least_squares"}, CLASSIC, SQUARES]
OUTSIDE = r"ignore:.*\(flag 'outside'\)"  # a descent may give a pathway to genes outside
both = pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)  # without and with a descent


def fit(adata: ad.AnnData, pathways="pathways", **kwargs) -> ad.AnnData:
    return flat.fit(adata, pathways, progress=False, copy=True, **{"n_extra": 3, **kwargs})


def encoder_of(fitted: ad.AnnData) -> np.ndarray:
    """What turns standardised cells into scores, float64."""
    return fitted.varm["pae_encoder" if "pae_encoder" in fitted.varm else "pae_loadings"].astype(float)


def sets_of(adata: ad.AnnData, **more: list[int]) -> dict[str, list[str]]:
    """The pathways of the cells, and others of the genes in some rows."""
    member = adata.varm["pathways"]
    own = {name: member.index[member[name]].tolist() for name in member}
    return own | {name: adata.var_names[rows].tolist() for name, rows in more.items()}


def assert_same_fit(a: ad.AnnData, b: ad.AnnData, atol: float) -> None:
    """Equal scores, loadings and standardisation, cells and genes aligned by name."""
    b = b[a.obs_names, a.var_names]
    np.testing.assert_allclose(a.varm["pae_loadings"], b.varm["pae_loadings"], atol=atol)
    np.testing.assert_allclose(encoder_of(a), encoder_of(b), atol=atol)
    np.testing.assert_allclose(a.obsm["X_pae"], b.obsm["X_pae"], atol=atol * 100)
    np.testing.assert_allclose(a.var["pae_scale"], b.var["pae_scale"], rtol=1e-9)
    assert (a.varm["pae_membership"] != b.varm["pae_membership"]).nnz == 0
