from __future__ import annotations

import anndata as ad
import pytest
from grouped_fits import KINDS, fit

import pathwayae as pae


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(400, 300, 6, random_state=3)


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request) -> dict:
    """Options of a fit, for what holds with and without a descent."""
    return KINDS[request.param]


@pytest.fixture(scope="module")
def fitted(cells: ad.AnnData, kind: dict) -> ad.AnnData:
    return fit(cells, **kind)
