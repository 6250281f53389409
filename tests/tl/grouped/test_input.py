"""What a fit is given: pathways in any form, cells from anywhere or their moments, and input that is refused."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
from grouped_fits import CLASSIC, OUTSIDE, SQUARES, assert_same_fit, encoder_of, fit, sets_of

import pathwayae as pae


def test_dense_and_sparse_matrices_give_the_same_fit(cells: ad.AnnData, fitted, kind: dict) -> None:
    for form in ["dense", "csr_matrix", "csc_matrix", "csr_array", "csc_array"]:
        other = cells.copy()
        other.X = cells.X.toarray() if form == "dense" else getattr(sp, form)(cells.X)
        assert_same_fit(fitted, fit(other, **kind), atol=1e-6)


def test_every_form_of_pathways_gives_the_same_fit(cells: ad.AnnData, fitted: ad.AnnData, kind: dict, tmp_path) -> None:
    for form in ["dict", "collection", "frame", "gmt", "varm_array", "varm_sparse"]:
        sets, adata = sets_of(cells), cells.copy()
        collection = pae.gs.GeneSetCollection(sets)
        if form == "dict":
            pathways = sets
        elif form == "collection":
            pathways = collection
        elif form == "frame":
            pathways = pd.DataFrame([(name, gene) for name, genes in sets.items() for gene in genes])
            pathways.columns = ["source", "target"]
        elif form == "gmt":
            pathways = tmp_path / "sets.gmt"
            pae.gs.as_collection(collection).to_gmt(pathways)
        else:
            values = cells.varm["pathways"].to_numpy()
            adata.varm["member"] = values if form == "varm_array" else sp.csr_matrix(values)
            pathways = "member"
        other = fit(adata, pathways, **kind)
        np.testing.assert_array_equal(other.varm["pae_loadings"], fitted.varm["pae_loadings"])
    again = fit(fitted, "pae_membership", **kind)
    np.testing.assert_array_equal(again.varm["pae_loadings"], fitted.varm["pae_loadings"])
    np.testing.assert_array_equal(again.obsm["X_pae"], fitted.obsm["X_pae"])  # the same seed, to the bit
    assert list(again.uns["pae"]["component_names"]) == list(fitted.uns["pae"]["component_names"])


def test_a_layer_a_mask_and_symbols_are_used(cells: ad.AnnData, kind: dict) -> None:
    other = cells.copy()
    other.layers["lognorm"] = other.X.copy()
    other.X = sp.csr_matrix(other.shape, dtype=np.float32)
    other.var["symbol"] = other.var_names.to_numpy()
    other.var_names = [f"ENSG{i:011d}" for i in range(other.n_vars)]
    other.var["use"] = np.arange(other.n_vars) < 250
    result = fit(other, sets_of(cells), layer="lognorm", mask_var="use", gene_symbols="symbol", **kind)
    expected = fit(cells[:, :250].copy(), **kind)
    np.testing.assert_array_equal(result.varm["pae_loadings"][:250], expected.varm["pae_loadings"])
    np.testing.assert_array_equal(encoder_of(result)[:250], encoder_of(expected))
    assert (result.varm["pae_loadings"][250:] == 0).all()
    assert (encoder_of(result)[250:] == 0).all()
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == list(range(250, 300))


@pytest.mark.filterwarnings("ignore:.* of view, initializing view as actual")
def test_cells_that_are_not_in_memory_get_the_same_fit(
    cells: ad.AnnData, fitted: ad.AnnData, kind: dict, tmp_path
) -> None:
    for form in ["backed", "dask", "view"]:
        if form == "backed":
            cells.write_h5ad(tmp_path / "a.h5ad")
            other = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
        elif form == "dask":
            other = cells.copy()
            other.X = pytest.importorskip("dask.array").from_array(cells.X.toarray(), chunks=(150, 300))
        else:
            other = ad.concat([cells, cells], index_unique="-", merge="same")[:400]
        flat.fit(other, sets_of(cells), n_extra=3, progress=False, **kind)
        np.testing.assert_allclose(other.varm["pae_loadings"], fitted.varm["pae_loadings"], atol=1e-5)
        np.testing.assert_allclose(other.obsm["X_pae"], fitted.obsm["X_pae"], atol=1e-3)
        pae.tl.transform(other, fitted, key_added="again")
        np.testing.assert_allclose(other.obsm["X_again"], fitted.obsm["X_pae"], atol=1e-5)


def test_moments_give_the_fit_of_the_cells_without_reading_them(cells: ad.AnnData, fitted, kind: dict) -> None:
    moments = pae.pp.moments(cells[:, ::-1], progress=False, n_folds=3)
    result = fit(cells, moments=moments, **kind)
    assert_same_fit(fitted, result, atol=1e-5)
    bare = ad.AnnData(obs=cells.obs, var=cells.var)
    flat.fit(bare, sets_of(cells), moments=moments, n_extra=3, progress=False, **kind)
    assert "X_pae" not in bare.obsm
    np.testing.assert_array_equal(bare.varm["pae_loadings"], result.varm["pae_loadings"])
    pae.tl.transform(cells_again := cells.copy(), bare)
    np.testing.assert_allclose(cells_again.obsm["X_pae"], result.obsm["X_pae"], atol=1e-6)


def test_moments_of_some_genes_give_the_model_of_those_genes(cells: ad.AnnData, kind: dict) -> None:
    moments = pae.pp.moments(cells, genes=list(cells.var_names[:250]), progress=False)
    result, expected = fit(cells, moments=moments, **kind), fit(cells[:, :250].copy(), **kind)
    np.testing.assert_array_equal(result.varm["pae_loadings"][:250], expected.varm["pae_loadings"])
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == list(range(250, 300))


@pytest.mark.filterwarnings("ignore:.* pathways have")  # Poisson noise: a score may mean anything
def test_counts_are_normalised_as_the_moments_were(cells: ad.AnnData, kind: dict) -> None:
    counts = np.random.default_rng(0).poisson(0.4, size=(200, 300)).astype(np.float32)
    raw = ad.AnnData(sp.csr_matrix(counts), var=cells.var[[]])
    log = raw.copy()
    sc.pp.normalize_total(log, target_sum=1e4)
    sc.pp.log1p(log)
    result = fit(raw, sets_of(cells), moments=pae.pp.moments(raw, normalize="log1p", progress=False), **kind)
    expected = fit(log, sets_of(cells), **kind)
    np.testing.assert_allclose(result.obsm["X_pae"], expected.obsm["X_pae"], atol=1e-2)
    again = pae.tl.transform(raw, result, copy=True)
    np.testing.assert_allclose(again.obsm["X_pae"], result.obsm["X_pae"], atol=1e-5)


def test_pathways_that_are_too_small_are_reported(cells: ad.AnnData) -> None:
    sets = {**sets_of(cells), "tiny": list(cells.var_names[:3]), "absent": ["X1", "X2", "X3", "X4", "X5", "X6"]}
    dropped = fit(cells, sets).uns["pae"]["dropped"]
    assert dropped["pathway"].tolist() == ["tiny", "absent"]
    assert dropped["n_matched"].tolist() == [3, 0]
    assert dropped["reason"].tolist() == ["fewer than 5 genes"] * 2


# Bad input: a clear error or a named warning, nothing half-written.


def assert_refused(adata: ad.AnnData, error: type[Exception], match: str, pathways="pathways", **kwargs) -> None:
    slots = (set(adata.obsm), set(adata.varm), set(adata.var), set(adata.uns))
    with pytest.raises(error, match=match):
        flat.fit(adata, pathways, progress=False, **kwargs)
    assert slots == (set(adata.obsm), set(adata.varm), set(adata.var), set(adata.uns))


def test_genes_that_are_not_those_of_the_sets_are_recognised(cells: ad.AnnData) -> None:
    human, mouse = ["CD3E", "CD3D", "CD4", "IL7R", "LCK"], ["Cd3e", "Cd3d", "Cd4", "Il7r", "Lck"]
    other = cells.copy()
    other.var_names = [f"ENSG{i:011d}" for i in range(other.n_vars)]
    assert_refused(other, ValueError, "(?s)Ensembl.*gene_symbols", {"A": human})
    other.var_names = [f"GENE{i}" for i in range(other.n_vars)]
    assert_refused(other, ValueError, "mouse", {"A": mouse})
    other.var_names = ["Cd3e", *other.var_names[1:]]  # matches a gene by chance
    assert_refused(other, ValueError, "(?s)No pathway has 5 genes.*mouse symbols", {"A": mouse})
    other.var_names = ["A", "B", "A", *cells.var_names[3:]]
    assert_refused(other, ValueError, "more than once, for instance 'A'", sets_of(cells))
    other.var_names = [f"other_{name}" for name in cells.var_names]
    moments = pae.pp.moments(other, progress=False)
    assert_refused(cells.copy(), ValueError, "None of the 300 genes is in the moments", moments=moments)


def test_raw_counts_are_warned_of(cells: ad.AnnData) -> None:
    with pytest.warns(pae.DataWarning, match="raw counts"):
        fit(cells, layer="counts")


def test_values_that_are_not_finite_are_refused(cells: ad.AnnData) -> None:
    for value in [np.nan, np.inf]:
        for sparse in [True, False]:
            other = cells.copy()
            dense = other.X.toarray()
            dense[7, 11] = value
            other.X = sp.csr_matrix(dense) if sparse else dense
            assert_refused(other, ValueError, "1 NaN or infinite values, the first in column 11")


@pytest.mark.filterwarnings(OUTSIDE)
def test_constant_genes_are_left_out_and_counted(cells: ad.AnnData, kind: dict, caplog) -> None:
    caplog.set_level("INFO", logger="pathwayae")
    other = cells.copy()
    dense = other.X.toarray()
    dense[:, 5] = 0
    dense[:, 9] = 3.3
    other.X = dense
    result = fit(other, **kind)
    assert "2 of 300 genes do not vary over the cells" in caplog.text
    assert (result.varm["pae_loadings"][[5, 9]] == 0).all()
    assert (encoder_of(result)[[5, 9]] == 0).all()
    assert result.var["pae_scale"].isna().to_numpy().nonzero()[0].tolist() == [5, 9]


def test_bad_arguments_are_refused(cells: ad.AnnData) -> None:
    for options, error, match in [
        (CLASSIC | {"theta": 1.5}, ValueError, "theta=1.5 is out of range"),
        (CLASSIC | {"theta": "strong"}, ValueError, "theta='strong' is not known; pass a number or 'auto'"),
        (CLASSIC | {"epsilon": -0.1}, ValueError, "epsilon=-0.1 is out of range"),
        (CLASSIC | {"zero_norm": "both"}, ValueError, "zero_norm='both' is not known"),
        (SQUARES | {"l1_ratio": 2}, ValueError, "l1_ratio=2 is out of range"),
        (CLASSIC | {"learning_rate": 0}, ValueError, "learning_rate=0 is out of range"),
        (CLASSIC | {"max_iter": 0}, ValueError, "max_iter=0 is out of range"),
        (CLASSIC | {"max_iter": 1.5}, TypeError, "max_iter=1.5 must be an integer"),
        ({"theta": 1.5}, ValueError, "theta=1.5"),
        ({"min_genes": 0}, ValueError, "min_genes"),
        ({"min_genes": 10, "max_genes": 5}, ValueError, "max_genes=5"),
        ({"min_genes": 200}, ValueError, "No pathway has 200 genes"),
        ({"n_extra": -1}, ValueError, "n_extra"),
        ({"n_extra": 1.5}, TypeError, "n_extra=1.5 must be an integer"),
        ({"scale": "quantile"}, ValueError, "choose one of 'unit', 'pareto', None"),
        ({"scores": "mean"}, ValueError, "scores='mean' is not known; choose one of 'members', 'projection'"),
        ({"zero_norm": "both"}, ValueError, "zero_norm"),
        ({"balance": "yes"}, TypeError, "balance='yes'"),
        ({"init": "random"}, ValueError, "init='random'"),
        ({"random_state": -1}, ValueError, "random_state"),
        ({"device": "tpu9"}, ValueError, "device='tpu9'"),
        ({"layer": "missing"}, KeyError, "layer='missing' is not in adata.layers"),
        ({"mask_var": "missing"}, KeyError, "mask_var='missing'"),
        ({"mask_var": np.zeros(300, dtype=bool)}, ValueError, "selects no gene"),
        ({"mask_var": np.ones(3, dtype=bool)}, ValueError, "one value per gene"),
        ({"gene_symbols": "missing"}, KeyError, "gene_symbols='missing'"),
        ({"pathways": "nowhere.gmt"}, FileNotFoundError, "neither a key of adata.varm"),
        ({"pathways": 5}, TypeError, "int"),
        ({"pathways": {}}, ValueError, "pathways: the collection has no sets. Read it again, or filter it less"),
        ({"pathways": pae.gs.GeneSetCollection({"A": ["G"]}).filter(min_genes=500)}, ValueError, "has no sets"),
        ({"pathways": {"A": [], "B": []}}, ValueError, "none of its 2 sets has a gene"),
    ]:
        assert_refused(cells.copy(), error, match, **options)
    few = cells[:8].copy()
    more = "6 pathways are more than the 5 cells .*scores='members'"
    assert_refused(few[:5].copy(), ValueError, more, scores="projection")


@pytest.mark.parametrize("n_cells", [2, 5])
def test_fewer_cells_than_pathways_and_free_components_are_fitted(cells: ad.AnnData, n_cells: int) -> None:
    """Pseudobulk with all defaults: as many free components as there is room for, which is said."""
    few = cells[:n_cells].copy()
    with pytest.warns(
        pae.DataWarning, match=rf"n_extra=20 .* {n_cells} cells.*: {n_cells - 1} are fitted.*Pass n_extra"
    ):
        pae.tl.fit(few, "pathways", progress=False)
    assert few.obsm["X_pae"].shape == (n_cells, few.uns["pae"]["n_pathways"] + n_cells - 1)
    assert np.isfinite(few.obsm["X_pae"]).all()
    again = cells[:n_cells].copy()
    pae.tl.fit(again, "pathways", n_extra=n_cells - 1, progress=False)
    np.testing.assert_allclose(again.obsm["X_pae"], few.obsm["X_pae"], atol=1e-5)


def test_what_says_nothing_is_refused_with_the_next_step(cells: ad.AnnData) -> None:
    equal = cells[[0] * 5].copy()
    equal.obs_names_make_unique()
    with pytest.raises(ValueError, match=r"genes varies over the cells.*Pass at least two cells that differ"):
        pae.tl.fit(equal, "pathways")
    alone = cells.copy()
    alone.obs["own"] = alone.obs_names
    with pytest.raises(ValueError, match=r"varies within batches.*groups of several cells"):
        pae.tl.fit(alone, "pathways", batch_key="own")
    alone.obs["own"] = ["a\0", *["a"] * (alone.n_obs - 1)]
    with pytest.raises(ValueError, match="'own' holds text that ends in a NUL"):
        pae.tl.fit(alone, "pathways", batch_key="own")
    alone.var_names = ["", *alone.var_names[1:]]
    with pytest.raises(ValueError, match=r"adata\.var_names holds 1 empty name.*gene 0"):
        pae.tl.fit(alone, {"a": alone.var_names[1:20].tolist()})
