"""A descent whose loadings are kept on a support, from cells to slots."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import pathwayae as pae


def cells():
    return pae.datasets.simulate(300, 400, 6, random_state=1)


def fitted(adata, **settings):
    options = {"scores": "projection", "n_extra": 2, "progress": False, "copy": True}
    return pae.tl.fit(adata, "pathways", settings=pae.tl.FitSettings(max_iter=60, **settings), **options)


@pytest.mark.parametrize("balance", [True, False])
def test_a_fit_on_a_support_has_sparse_loadings_and_says_what_the_dense_one_does(balance):
    adata = cells()
    dense, sparse = (fitted(adata, support=support, balance=balance) for support in (False, True))
    loadings, whole = sparse.varm["pae_loadings"], dense.varm["pae_loadings"]
    assert isinstance(loadings, sp.csr_matrix)
    assert loadings.dtype == np.float32
    size = np.asarray(sparse.varm["pae_membership"].sum(axis=0)).ravel()
    stored = np.diff(loadings.tocsc().indptr)[:6]
    assert (stored >= size).all()
    assert (stored <= size + np.ceil(1.5 * np.maximum(size, 30))).all()
    cosine = (loadings.toarray() * whole).sum(axis=0)[:6]  # of unit columns
    assert (cosine > 0.97).all()
    for j in range(6):
        assert np.corrcoef(sparse.obsm["X_pae"][:, j], dense.obsm["X_pae"][:, j])[0, 1] > 0.98
    assert pae.get.history(sparse).shape == pae.get.history(dense).shape


def test_new_cells_score_the_same_from_the_slots_of_a_fit_on_a_support(tmp_path):
    found = fitted(cells(), support=True)
    found.write_h5ad(tmp_path / "fit.h5ad")
    again = cells()
    pae.tl.transform(again, ad.read_h5ad(tmp_path / "fit.h5ad"))
    np.testing.assert_array_equal(again.obsm["X_pae"], found.obsm["X_pae"])


def test_few_loadings_are_dense_unless_asked_for():
    assert isinstance(fitted(cells()).varm["pae_loadings"], np.ndarray)


def test_what_a_support_is_not_for_is_refused():
    with pytest.raises(ValueError, match="support=True"):
        fitted(cells(), support=True, zero_norm="feature")
