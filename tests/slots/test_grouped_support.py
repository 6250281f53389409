"""Slots of a fit whose loadings are kept on a support: the scores of the dense fit, and all that reads them."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata.experimental import read_lazy
from grouped_fits import OUTSIDE

import pathwayae as pae
from pathwayae._slots.grouped import fitted
from pathwayae.core.grouped.encoder import expression_bins

pytestmark = pytest.mark.filterwarnings(OUTSIDE)
KINDS = {
    "members": {},
    "members, plain": {"balance": False},
    "projection": {"scores": "projection"},
    "projection, plain": {"scores": "projection", "balance": False},
}


def cells(n=250, g=300):
    return pae.datasets.simulate(n, g, 6, random_state=2)


def fit(adata, *, support, copy=True, scores="members", balance=True, **options):
    settings = pae.tl.FitSettings(support=support, balance=balance)
    options = {"n_extra": 3, "progress": False, **options}
    return pae.tl.fit(adata, "pathways", scores=scores, settings=settings, copy=copy, **options)


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request):
    return KINDS[request.param]


@pytest.fixture(scope="module")
def sparse(kind):
    return fit(cells(), support=True, **kind)


def standardised(adata):
    return (adata.X.toarray().astype(float) - adata.var["pae_mean"].to_numpy()) / adata.var["pae_scale"].to_numpy()


def encoder_of(adata):
    """What turns standardised cells into scores, from the slots alone."""
    if "pae_encoder" not in adata.varm:
        return adata.varm["pae_loadings"].toarray().astype(float)
    weights = adata.varm["pae_encoder"].toarray().astype(float)
    if "pae_bin" not in adata.var:
        return weights
    return weights - adata.uns["pae"]["level"].astype(float)[adata.var["pae_bin"].to_numpy().astype(int)]


def test_slots_are_sparse_and_scores_follow_from_them(sparse, kind):
    tied = kind.get("scores") == "projection" and kind.get("balance") is False
    balanced = kind.get("balance", True)
    for name in ["pae_loadings"] + ([] if tied else ["pae_encoder"]):
        slot = sparse.varm[name]
        assert isinstance(slot, sp.csr_matrix)
        assert slot.dtype == np.float32
        assert slot.shape == (300, 9)
        assert slot.has_canonical_format
    assert ("pae_encoder" in sparse.varm) != tied
    assert ("pae_bin" in sparse.var) == ("level" in sparse.uns["pae"]) == balanced
    if balanced:
        bins = sparse.var["pae_bin"].to_numpy()
        np.testing.assert_array_equal(bins, expression_bins(sparse.var["pae_mean"].to_numpy()))
        assert sparse.uns["pae"]["level"].shape == (5, 9)
        assert sparse.uns["pae"]["level"].dtype == np.float32
    standard = standardised(sparse)
    np.testing.assert_allclose(sparse.obsm["X_pae"], standard @ encoder_of(sparse), rtol=0, atol=2e-5)


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("scale", ["pareto", "unit"])
def test_scores_are_those_of_the_dense_fit_and_loadings_on_the_support(balance, scale):
    dense, some = (fit(cells(), support=support, balance=balance, scale=scale) for support in (False, True))
    size = np.abs(dense.obsm["X_pae"]).max()
    np.testing.assert_allclose(some.obsm["X_pae"], dense.obsm["X_pae"], rtol=0, atol=1e-5 * size)
    loadings, whole = some.varm["pae_loadings"].toarray()[:, :6], dense.varm["pae_loadings"][:, :6]
    kept, member = loadings != 0, some.varm["pae_membership"].toarray()
    assert kept[member].all()
    assert ((kept & ~member).sum(axis=0) == np.maximum(30, member.sum(axis=0))).all()
    norms = [found.uns["pae"]["norm"][:6] for found in (some, dense)]
    np.testing.assert_allclose(loadings * norms[0], np.where(kept, whole * norms[1], 0.0), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(some.varm["pae_loadings"].toarray()[:, 6:], dense.varm["pae_loadings"][:, 6:], atol=1e-5)
    for name in ("variance_ratio", "variance_ratio_total"):
        np.testing.assert_allclose(some.uns["pae"][name], dense.uns["pae"][name], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(encoder_of(some), dense.varm["pae_encoder"], atol=1e-6)
    tables = [found.uns["pae"]["pathways"] for found in (some, dense)]
    assert (tables[0]["flag"] == tables[1]["flag"]).all()
    np.testing.assert_allclose(*(table["agreement"] for table in tables), rtol=1e-6)


def test_the_same_cells_score_the_same_in_any_order_of_genes(sparse):
    again = cells()
    pae.tl.transform(again, sparse)
    np.testing.assert_allclose(again.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)
    shuffled = cells()[:, np.random.default_rng(0).permutation(300)].copy()
    pae.tl.transform(shuffled, sparse)
    np.testing.assert_allclose(shuffled.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)
    shuffled.X = shuffled.X.toarray()
    del shuffled.uns["pae"]
    pae.tl.transform(shuffled, sparse)
    np.testing.assert_allclose(shuffled.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")  # that genes are missing
def test_missing_genes_of_new_cells_or_of_the_reference_count_as_being_at_their_mean(sparse):
    mean = sparse.var["pae_mean"].to_numpy()
    few = np.argsort(mean)[:200]  # none of the last bins
    for genes in (few, np.random.default_rng(1).permutation(300)[:200]):
        expected = standardised(sparse)[:, genes] @ encoder_of(sparse)[genes]
        some = cells()[:, genes].copy()
        pae.tl.transform(some, sparse)
        np.testing.assert_allclose(some.obsm["X_pae"], expected, rtol=0, atol=2e-5)
        whole = cells()
        pae.tl.transform(whole, sparse[:, genes].copy())
        np.testing.assert_allclose(whole.obsm["X_pae"], expected, rtol=0, atol=2e-5)


def test_genes_outside_the_model_have_empty_rows():
    adata = cells()
    adata.var["keep"] = np.arange(300) % 7 != 0
    found = fit(adata, support=True, mask_var="keep")
    out = ~adata.var["keep"].to_numpy()
    assert found.varm["pae_loadings"][out].nnz == found.varm["pae_encoder"][out].nnz == 0
    assert np.isnan(found.var["pae_bin"][out]).all()
    assert np.isfinite(found.var["pae_bin"][~out]).all()
    again = cells()
    pae.tl.transform(again, found)
    np.testing.assert_allclose(again.obsm["X_pae"], found.obsm["X_pae"], rtol=0, atol=1e-5)
    model = fitted(found, "pae")
    assert list(model.names) == sorted(adata.var_names[~out])
    standard = (found.X.toarray()[:, model.genes] - model.mean) / model.scale
    np.testing.assert_allclose(standard @ model.encoder, found.obsm["X_pae"], rtol=0, atol=2e-5)


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
def test_a_fit_on_a_support_survives_a_file(sparse, tmp_path, form):
    path = tmp_path / f"cells.{form}"
    getattr(sparse, f"write_{form}")(path)
    back = ad.read_h5ad(path) if form == "h5ad" else ad.read_zarr(path)
    for name in ("pae_loadings", "pae_encoder"):
        if name in sparse.varm:
            assert sp.issparse(back.varm[name])
            assert back.varm[name].dtype == np.float32
            assert (back.varm[name] != sparse.varm[name]).nnz == 0
    again = cells()
    pae.tl.transform(again, back)
    np.testing.assert_allclose(again.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(fitted(back, "pae").encoder, fitted(sparse, "pae").encoder)


def test_a_fit_on_a_support_survives_subsetting_and_concatenation(sparse, tmp_path):
    part = sparse[:100, 40:90].copy()
    assert pae.get.scores(part).shape == (100, 9)
    assert pae.get.loadings(part).shape == (50, 9)
    for name in ("pae_loadings", "pae_encoder"):
        if name in sparse.varm:
            assert (part.varm[name] != sparse.varm[name][40:90]).nnz == 0
    part.write_h5ad(tmp_path / "part.h5ad")
    both = ad.concat([sparse[:100], sparse[100:]], merge="same", uns_merge="same")
    np.testing.assert_array_equal(both.obsm["X_pae"], sparse.obsm["X_pae"])
    assert (both.varm["pae_loadings"] != sparse.varm["pae_loadings"]).nnz == 0
    again = cells()
    pae.tl.transform(again, both)
    np.testing.assert_allclose(again.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)


def slots_of(adata):
    found = {(where, name) for where in ("obsm", "varm", "var", "obs") for name in getattr(adata, where)}
    return found | {("uns", name) for name in adata.uns["pae"]}


@pytest.mark.parametrize("support", [True, False])
def test_a_fit_leaves_nothing_of_an_earlier_one_of_the_other_form(sparse, kind, support):
    fresh = fit(cells(), support=support, **kind)
    again = sparse.copy()
    for other in (not support, support):
        fit(again, support=other, copy=False, **kind)
    assert slots_of(again) == slots_of(fresh)
    for name in fresh.varm:
        assert type(again.varm[name]) is type(fresh.varm[name])
    np.testing.assert_array_equal(again.obsm["X_pae"], fresh.obsm["X_pae"])
    assert again.uns["pae"]["fit_id"] == fresh.uns["pae"]["fit_id"]


def test_all_slots_have_the_name_of_the_key(kind):
    adata = cells()
    found = fit(adata, support=True, key_added="mine", **kind)
    new = {name for where in ("obsm", "varm", "var", "uns") for name in set(getattr(found, where))}
    new -= {name for where in ("obsm", "varm", "var", "uns") for name in set(getattr(adata, where))}
    assert all("mine" in name for name in new)
    assert "X_pae" not in found.obsm
    pae.tl.transform(adata, found, key="mine", key_added="mine")
    np.testing.assert_allclose(adata.obsm["X_mine"], found.obsm["X_mine"], rtol=0, atol=1e-5)


def test_a_lost_slot_is_named(sparse):
    for where, name in (("varm", "pae_loadings"), ("varm", "pae_encoder")):
        lost = sparse.copy()
        if name in lost.varm:
            del getattr(lost, where)[name]
            with pytest.raises(KeyError, match=name):
                fitted(lost, "pae")


@pytest.mark.parametrize("shape", [(250, 300), (100, 300)], ids=["moments", "cells"])
@pytest.mark.parametrize("support", [True, False])
def test_order_of_genes_and_cells_does_not_matter_with_or_without_a_support(shape, support):
    adata, rng = cells(*shape), np.random.default_rng(3)
    rows, genes = rng.permutation(shape[0]), rng.permutation(shape[1])
    found, shuffled = fit(adata, support=support), fit(adata[rows][:, genes].copy(), support=support)
    plain = fit(adata, support=not support)
    size = np.abs(found.obsm["X_pae"]).max()
    np.testing.assert_allclose(shuffled.obsm["X_pae"], found.obsm["X_pae"][rows], rtol=0, atol=1e-5 * size)
    np.testing.assert_allclose(plain.obsm["X_pae"], found.obsm["X_pae"], rtol=0, atol=1e-5 * size)
    one, other = (each.varm["pae_loadings"][:, :6] for each in (found, shuffled))
    one, other = (each.toarray() if support else each for each in (one, other))
    np.testing.assert_allclose(other, one[genes], rtol=0, atol=1e-5)


@pytest.mark.parametrize("solver", ["gram", "sketch"])
@pytest.mark.parametrize("batch_key", ["batch", None])
def test_within_batches_and_from_a_sketch_scores_are_those_of_the_dense_fit(solver, batch_key):
    adata = pae.datasets.simulate(250, 300, 6, n_batches=2, batch_effect=1.0, random_state=2)
    options = {"n_extra": 2, "batch_key": batch_key, "progress": False, "copy": True}
    dense, some = (
        pae.tl.fit(adata, "pathways", settings=pae.tl.FitSettings(support=support, solver=solver), **options)
        for support in (False, True)
    )
    np.testing.assert_allclose(some.obsm["X_pae"], dense.obsm["X_pae"], rtol=0, atol=1e-5)
    pae.tl.transform(adata, some)
    np.testing.assert_allclose(adata.obsm["X_pae"], some.obsm["X_pae"], rtol=0, atol=1e-5)
    if batch_key:
        tables = [pae.get.batch_variance(found) for found in (dense, some)]
        pd.testing.assert_frame_equal(*tables, rtol=1e-5, atol=1e-6)


def test_references_on_disk_and_scores_from_file_to_file(sparse, tmp_path):
    sparse.write_h5ad(tmp_path / "fit.h5ad")
    cells().write_h5ad(tmp_path / "cells.h5ad")
    backed, lazy = ad.read_h5ad(tmp_path / "fit.h5ad", backed="r"), read_lazy(tmp_path / "fit.h5ad")
    for reference in (backed, lazy):
        again = cells()
        pae.tl.transform(again, reference)
        np.testing.assert_allclose(again.obsm["X_pae"], sparse.obsm["X_pae"], rtol=0, atol=1e-5)
        assert pae.get.top_genes(reference).equals(pae.get.top_genes(sparse))
    backed.file.close()
    pae.tl.transform(str(tmp_path / "cells.h5ad"), sparse, out=tmp_path / "scores.zarr", progress=False)
    scores = ad.read_zarr(tmp_path / "scores.zarr")
    np.testing.assert_allclose(scores.X, sparse.obsm["X_pae"], rtol=0, atol=1e-5)
