"""Archetypes as labelled tables, from slots made by hand."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae


@pytest.fixture
def adata() -> ad.AnnData:
    rng = np.random.default_rng(0)
    made = ad.AnnData(rng.random((5, 4)).astype(np.float32))
    made.obsm["X_aa"] = rng.dirichlet(np.ones(2), 5).astype(np.float32)
    made.varm["aa"] = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 0.0], [4.0, 0.0]], dtype=np.float32)
    made.var["aa_mean"] = [1.5, 4.0, np.nan, 1.0]
    made.uns["aa"] = {
        "params": {"model": "archetypes", "obsm": "X_pca"},
        "component_names": np.array(["archetype_0", "archetype_1"], dtype=object),
        "dimensions": np.array(["a/b", "c"], dtype=object),
        "coordinates": np.array([[1.0, 2.0], [3.0, 4.0]]),
        "cells": pd.DataFrame({"archetype": ["archetype_0", "archetype_1"], "cell": ["0", "3"], "weight": [1.0, 1.0]}),
    }
    return made


def test_weights_are_labelled(adata: ad.AnnData) -> None:
    table = pae.get.scores(adata, key="aa")
    np.testing.assert_array_equal(table, adata.obsm["X_aa"])
    assert table.index.tolist() == adata.obs_names.tolist()
    assert table.columns.tolist() == ["archetype_0", "archetype_1"]


def test_profiles_are_missing_for_genes_outside_the_model(adata: ad.AnnData) -> None:
    table = pae.get.archetypes(adata, of="profiles", key="aa")
    np.testing.assert_array_equal(table, [[1, 2], [3, 5], [np.nan, np.nan], [4, 0]])
    relative = pae.get.archetypes(adata, of="profiles", relative=True, key="aa")
    np.testing.assert_array_equal(relative, [[-0.5, 0.5], [-1, 1], [np.nan, np.nan], [3, -1]])


def test_coordinates_are_those_of_the_embedding_or_of_the_genes(adata: ad.AnnData) -> None:
    table = pae.get.archetypes(adata, of="coordinates", key="aa")
    assert table.columns.tolist() == ["a/b", "c"]
    np.testing.assert_array_equal(table, [[1, 2], [3, 4]])
    del adata.uns["aa"]["coordinates"]
    genes = pae.get.archetypes(adata, of="coordinates", key="aa")
    np.testing.assert_array_equal(genes, [[1, 3, 4], [2, 5, 0]])
    assert genes.columns.tolist() == ["0", "1", "3"]


def test_the_table_of_cells_is_a_copy(adata: ad.AnnData) -> None:
    table = pae.get.archetypes(adata, of="cells", key="aa")
    table["weight"] = 0
    assert (adata.uns["aa"]["cells"]["weight"] == 1).all()


def test_what_is_not_there_is_said(adata: ad.AnnData) -> None:
    with pytest.raises(KeyError, match="No archetypes under key 'archetypes'.*keys found: 'aa'"):
        pae.get.scores(adata, key="archetypes")
    with pytest.raises(ValueError, match="of='scores'"):
        pae.get.archetypes(adata, of="scores", key="aa")
    with pytest.raises(ValueError, match="relative=True"):
        pae.get.archetypes(adata, of="cells", relative=True, key="aa")
    for name in ("varm", "var"):
        part = adata.copy()
        if name == "varm":
            del part.varm["aa"]
        else:
            del part.var["aa_mean"]
        with pytest.raises(KeyError, match=f"adata.{name}"):
            pae.get.archetypes(part, of="profiles", key="aa")
    del adata.obsm["X_aa"], adata.uns["aa"]["cells"]
    with pytest.raises(KeyError, match="obsm"):
        pae.get.scores(adata, key="aa")
    with pytest.raises(KeyError, match="cells"):
        pae.get.archetypes(adata, of="cells", key="aa")
