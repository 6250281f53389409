"""Which words can name the slots of a fit."""

import numpy as np
import pytest
from anndata import AnnData, read_h5ad

import pathwayae as pae

SETS = {"first": ["gene_0", "gene_1", "gene_2"], "second": ["gene_3", "gene_4", "gene_5"]}


@pytest.fixture
def cells():
    adata = AnnData(np.random.default_rng(0).gamma(1.0, size=(40, 12)))
    adata.var_names = [f"gene_{i}" for i in range(12)]
    return adata


def fits(adata, key):
    return [
        lambda: pae.tl.fit(adata, SETS, min_genes=3, n_extra=1, key_added=key, progress=False),
        lambda: pae.tl.sparse_ae(adata, n_latents=4, k=2, n_epochs=1, key_added=key, progress=False),
        lambda: pae.tl.archetypes(adata, 3, obsm=None, key_added=key, progress=False),
    ]


@pytest.mark.parametrize("key", ["", " ", " pae", ".", "..", "a/b", "a\0b", "a\nb", "\ud800", "\x1b[31m"])
@pytest.mark.parametrize("which", range(3))
def test_what_a_file_cannot_have_in_a_name_is_refused(cells, which, key):
    with pytest.raises(ValueError, match="key_added=.* cannot name slots of a file"):
        fits(cells, key)[which]()
    assert not cells.uns
    assert not cells.obsm
    assert not cells.varm


@pytest.mark.parametrize("key", ["pca", "umap", "neighbors", "X", "rank_genes_groups"])
@pytest.mark.parametrize("which", range(3))
def test_words_of_scanpy_are_refused(cells, which, key):
    with pytest.raises(ValueError, match="scanpy calls slots of its own"):
        fits(cells, key)[which]()


@pytest.mark.parametrize("key", [5, None, ("a",), np.array(["a"])])
@pytest.mark.parametrize("which", range(3))
def test_what_is_no_text_is_refused(cells, which, key):
    with pytest.raises(TypeError, match="key_added=.* must be text"):
        fits(cells, key)[which]()


@pytest.mark.parametrize("key", ["pae", "second fit", "β-cells", "a.b", "pca_like"])
def test_other_words_survive_a_file(cells, key, tmp_path):
    fits(cells, key)[0]()
    cells.write_h5ad(tmp_path / "cells.h5ad")
    again = read_h5ad(tmp_path / "cells.h5ad")
    assert pae.get.scores(again, key=key).shape == (40, 3)


def test_new_cells_get_such_words_too(cells):
    fits(cells, "pae")[0]()
    with pytest.raises(ValueError, match="cannot name slots"):
        pae.tl.transform(cells.copy(), cells, key_added="a/b", progress=False)


def test_half_characters_in_names_of_sets_are_refused(cells):
    with pytest.raises(ValueError, match="holds half a character"):
        pae.tl.fit(cells, {"\ud800 set": SETS["first"]}, min_genes=3, progress=False)
    assert not cells.uns
