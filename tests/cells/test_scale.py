"""On which scale values are: what is said of those that are no logarithms of normalised counts."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from anndata import AnnData

import pathwayae as pae
from pathwayae._cells.scale import other_than_logarithms

COUNTS = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.7, 3.0, size=120), size=(200, 120))
TOTAL = COUNTS / COUNTS.sum(axis=1, keepdims=True) * 1e4
LOGS = np.log1p(TOTAL)
SCALED = np.clip((LOGS - LOGS.mean(axis=0)) / np.maximum(LOGS.std(axis=0), 1e-3), None, 10)
KINDS = {
    "raw counts": COUNTS.astype(np.float32),
    "counts that are not whole": COUNTS * np.random.default_rng(2).uniform(0.7, 1.0, size=COUNTS.shape),
    "counts normalised to 10,000 per cell without a logarithm": TOTAL,
    "scaled (z-scored) genes": SCALED,
    "counts normalised to 1 per cell without a logarithm": TOTAL / 1e4,
    "present and absent alone (0 and 1)": (COUNTS > 0).astype(np.float32),
    "no logarithms of counts": LOGS - LOGS.mean(axis=0),
}
GOOD = {
    "logarithms": LOGS,
    "logarithms per million": np.log1p(TOTAL * 100),
    "logarithms to the base 2": np.log2(1 + TOTAL),
    "corrected logarithms": LOGS - 0.2 * LOGS.mean(axis=0),
    "square roots": np.sqrt(TOTAL / 100),
    "nothing": np.zeros((60, 60)),
}


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("kind", KINDS)
def test_values_on_another_scale_are_named(kind, form):
    assert other_than_logarithms(form(KINDS[kind])).startswith(kind)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("kind", GOOD)
def test_logarithms_and_the_like_are_let_pass(kind, form):
    assert other_than_logarithms(form(GOOD[kind])) == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_fit_says_it_once(kind):
    adata = AnnData(KINDS[kind].astype(np.float32))
    sets = {"first": adata.var_names[:20].tolist(), "second": adata.var_names[20:50].tolist()}
    with pytest.warns(pae.DataWarning) as caught:
        pae.tl.fit(adata, sets, n_extra=1, progress=False)
    said = [str(warning.message) for warning in caught if "look like" in str(warning.message)]
    assert len(said) == 1
    assert f"(adata.X) look like {kind}" in said[0]
