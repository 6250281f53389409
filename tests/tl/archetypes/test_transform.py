"""Weights of new cells over the archetypes of a fit: the same numbers, genes by name, other embeddings refused."""

from __future__ import annotations

import anndata as ad
import flat
import numpy as np
import pytest
import scanpy as sc
from archetypal_cells import bare

import pathwayae as pae
from pathwayae.core.archetypes import simplex


@pytest.mark.parametrize("options", [{"entropy_reg": -0.05}, {"obsm": "X_pca", "delta": 0.2}, {"obsm": None}])
def test_the_cells_of_the_fit_get_the_weights_of_the_fit(scored: ad.AnnData, options: dict) -> None:
    reference = flat.archetypes(scored, 4, copy=True, **options)
    new = bare(reference, "X_pae", "X_pca")
    assert pae.tl.transform(new, reference, key="archetypes") is None
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"], atol=1e-3)
    few = bare(reference[[5, 2, 9]], "X_pae", "X_pca")
    few = pae.tl.transform(few, reference, key="archetypes", key_added="ref", copy=True)
    np.testing.assert_allclose(few.obsm["X_ref"], reference.obsm["X_archetypes"][[5, 2, 9]], atol=1e-3)
    assert (
        pae.get.scores(few, key="ref").columns.tolist() == pae.get.scores(reference, key="archetypes").columns.tolist()
    )


def test_new_cells_are_scored_first(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(scored[:20, ::-1])
    with pytest.raises(KeyError, match="pae.tl.transform\\(adata, reference, key='pae'\\)"):
        pae.tl.transform(new, fitted, key="archetypes")
    pae.tl.transform(new, fitted)
    pae.tl.transform(new, fitted, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], fitted.obsm["X_archetypes"][:20], atol=1e-3)
    pae.tl.transform(new, fitted, key="archetypes")  # again, in place of itself


def test_genes_are_matched_by_name_and_missing_ones_left_out(scored: ad.AnnData) -> None:
    reference = pae.tl.archetypes(bare(scored), 3, obsm=None, copy=True)
    order = np.random.default_rng(0).permutation(200)
    new = bare(scored[:30, order])
    pae.tl.transform(new, reference, key="archetypes")
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"][:30], atol=1e-3)
    z = reference.varm["archetypes"]
    spread = ((z - z.mean(1, keepdims=True)) ** 2).sum(1)
    kept = np.sort(np.argsort(-spread)[:190])
    pae.tl.transform(few := bare(scored[:30, kept]), reference, key="archetypes")
    expected = simplex.weights(scored[:30, kept].X.toarray(), z[kept].T)
    np.testing.assert_allclose(few.obsm["X_archetypes"], expected, atol=1e-5)
    with pytest.warns(pae.DataWarning, match="100 of 200 genes of the model are missing .* of the squared distances"):
        pae.tl.transform(bare(scored[:30, np.argsort(spread)[:100]]), reference, key="archetypes", max_missing=1)
    with pytest.raises(ValueError, match=r"they carry \d\d% of .*, more than max_missing=0\.5 allows"):
        pae.tl.transform(bare(scored[:30, np.argsort(spread)[:100]]), reference, key="archetypes")
    renamed = bare(scored[:30])
    renamed.var["symbol"] = renamed.var_names.to_numpy()
    renamed.var_names = [f"ENSG{i}" for i in range(200)]
    with pytest.raises(ValueError, match="None of the 200 genes"):
        pae.tl.transform(renamed, reference, key="archetypes")
    pae.tl.transform(renamed, reference, key="archetypes", gene_symbols="symbol")
    np.testing.assert_allclose(renamed.obsm["X_archetypes"], reference.obsm["X_archetypes"][:30], atol=1e-3)
    by_id = bare(scored)  # and a reference whose genes have symbols, in whose order it is fitted
    by_id.var["symbol"] = by_id.var_names.to_numpy()
    by_id.var_names = [f"ENSG{i}" for i in range(200)]
    pae.tl.archetypes(by_id, 3, obsm=None, gene_symbols="symbol")
    np.testing.assert_array_equal(by_id.varm["archetypes"], reference.varm["archetypes"])
    new = bare(scored[:30])
    new.var["name"], new.var_names = new.var_names.to_numpy(), [f"row{i}" for i in range(200)]
    pae.tl.transform(new, by_id, key="archetypes", gene_symbols="name")
    np.testing.assert_allclose(new.obsm["X_archetypes"], reference.obsm["X_archetypes"][:30], atol=1e-3)


def test_new_cells_with_another_embedding_are_refused(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    reference = pae.tl.archetypes(scored, 3, obsm="X_pca", copy=True)
    own = bare(scored[:100])
    sc.pp.pca(own, n_comps=8)
    with pytest.raises(ValueError, match="principal components of their own"):
        pae.tl.transform(own, reference, key="archetypes")
    sc.pp.pca(own, n_comps=5)
    with pytest.raises(ValueError, match="other dimensions \\(5"):
        pae.tl.transform(own, reference, key="archetypes")
    with pytest.raises(KeyError, match="sc.tl.ingest"):
        pae.tl.transform(bare(scored), reference, key="archetypes")
    other = pae.tl.fit(bare_with_pathways(scored), "pathways", n_extra=1, progress=False, copy=True)
    with pytest.raises(ValueError, match="other dimensions"):
        pae.tl.transform(other, fitted, key="archetypes")


def bare_with_pathways(adata: ad.AnnData) -> ad.AnnData:
    made = bare(adata)
    made.varm["pathways"] = adata.varm["pathways"]
    return made


def test_wrong_calls_with_archetypes_are_refused(scored: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(scored, "X_pae")
    for options, match in (({"out": "a.zarr"}, "out="), ({"batch_key": "b"}, "batch_key="), ({"layer": "x"}, "layer=")):
        with pytest.raises((KeyError, ValueError), match=match):
            pae.tl.transform(new, fitted, key="archetypes", **options)
    with pytest.raises(KeyError):
        pae.tl.transform(new, fitted, key="nothing")
    assert "X_archetypes" not in new.obsm
