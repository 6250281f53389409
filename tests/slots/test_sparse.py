"""Sparse loadings are read as dense ones are, by whatever reads them, also from files, views and joined cells."""

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from fitted import FREE, PATHWAYS, fitted_adata, member_sets
from scipy import sparse

import pathwayae as pae
from pathwayae._slots import lookup, store
from pathwayae._slots.gene_loadings import gene_loadings
from pathwayae.cli import _summary


def dense():
    """A fit that leaves most loadings at zero, and has intervals of the loadings."""
    adata = fitted_adata()
    loadings = adata.varm["pae_loadings"]
    loadings[np.abs(loadings) < 0.03] = 0
    adata.varm["pae_loadings_low"], adata.varm["pae_loadings_high"] = 0.9 * loadings, 1.1 * loadings
    adata.uns["pae"] |= {"variance_ratio_total": 0.4}
    return adata


def unsorted(values):
    """CSR whose entries stand in rows from right to left: what is sorted in place elsewhere would come apart."""
    sorted_ = sparse.csr_matrix(values)
    turn = np.concatenate([np.arange(a, b)[::-1] for a, b in zip(sorted_.indptr, sorted_.indptr[1:], strict=False)])
    return sparse.csr_matrix((sorted_.data[turn], sorted_.indices[turn], sorted_.indptr), sorted_.shape)


def in_memory(adata, _):
    return adata


def as_array(adata, _):
    adata.varm["pae_loadings"] = sparse.csr_array(adata.varm["pae_loadings"])
    return adata


def from_h5ad(adata, folder):
    adata.write_h5ad(folder / "a.h5ad")
    return ad.read_h5ad(folder / "a.h5ad")


def from_zarr(adata, folder):
    adata.write_zarr(folder / "a.zarr")
    return ad.read_zarr(folder / "a.zarr")


def backed(adata, folder):
    adata.write_h5ad(folder / "a.h5ad")
    return ad.read_h5ad(folder / "a.h5ad", backed="r")


def subset(adata, _):
    rng = np.random.default_rng(0)
    return adata[rng.permutation(adata.n_obs)[:200], rng.permutation(adata.n_vars)[:140]]


def joined(adata, _):
    parts = {"a": adata[:100].copy(), "b": adata[100:].copy()}
    return ad.concat(parts, merge="same", uns_merge="first")


WAYS = [as_array, from_h5ad, from_zarr, backed, subset, joined]


def enriched(adata, **options):
    adata = adata.copy() if adata.is_view else adata
    pae.tl.enrich(adata, member_sets(dense()), progress=False, n_permutations=20, n_genes=20, **options)
    return adata


def latents(adata):
    pae.tl.sparse_ae(adata, obsm="X_pae", n_latents=12, k=2, n_epochs=2, progress=False)
    return pae.get.loadings(adata, key="sparse_ae")


def drawn(axes):
    figure = np.ravel(np.asarray(axes, dtype=object))[0].figure
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba()).copy()
    plt.close(figure)
    return pixels


READERS = {
    "loadings": pae.get.loadings,
    "some loadings": lambda adata: pae.get.loadings(adata, [FREE[0], PATHWAYS[2]]),
    "top genes": lambda adata: pae.get.top_genes(adata, n_genes=25),
    "top genes of some": lambda adata: pae.get.top_genes(adata, [FREE[1], PATHWAYS[0]], n_genes=3),
    "trust": pae.get.trust,
    "free components": pae.get.free_components,
    "components": lambda adata: pae.get.to_anndata(adata).var,
    "over-representation": lambda adata: pae.get.enrichment(enriched(adata, method="ora")),
    "ranked enrichment": lambda adata: pae.get.enrichment(enriched(adata, components=[FREE[0], PATHWAYS[2]])),
    "latents of scores": latents,
    "plot of loadings": lambda adata: drawn(pae.pl.loadings(adata, [FREE[0], PATHWAYS[2]], show=False)),
    "plot of scores": lambda adata: drawn(pae.pl.scores(adata, "cell_type", show=False)),
    "plot of enrichment": lambda adata: drawn(pae.pl.enrichment(enriched(adata, method="ora"), show=False)),
}
CASES = [(name, in_memory) for name in READERS]
CASES += [(name, way) for way in WAYS for name in ("loadings", "some loadings", "top genes", "over-representation")]


@pytest.mark.parametrize(("name", "way"), CASES)
def test_whatever_reads_loadings_reads_sparse_ones(name, way, tmp_path):
    adata, other = dense(), dense()
    other.varm["pae_loadings"] = unsorted(other.varm["pae_loadings"])
    for folder in (tmp_path / "dense", tmp_path / "sparse"):
        folder.mkdir()
    adata = (in_memory if way is as_array else way)(adata, tmp_path / "dense")
    other = way(other, tmp_path / "sparse")
    before = other.varm["pae_loadings"].toarray()
    expected, found = READERS[name](adata), READERS[name](other)
    if isinstance(expected, pd.DataFrame):
        pd.testing.assert_frame_equal(found, expected, rtol=1e-5, atol=1e-7)
    else:
        np.testing.assert_array_equal(found, expected)
    assert sparse.issparse(other.varm["pae_loadings"])
    np.testing.assert_array_equal(other.varm["pae_loadings"].toarray(), before)


def test_the_report_of_the_command_line(capsys):
    printed = []
    for change in (np.asarray, sparse.csr_matrix):
        adata = dense()
        adata.varm["pae_loadings"] = change(adata.varm["pae_loadings"])
        _summary.show(adata)
        printed.append(capsys.readouterr().out)
    assert PATHWAYS[-1] in printed[0]
    assert printed[0] == printed[1]


def test_lazily_read_loadings(tmp_path):
    adata = dense()
    adata.varm["pae_loadings"] = sparse.csr_matrix(adata.varm["pae_loadings"])
    adata.write_zarr(tmp_path / "a.zarr")
    lazy = ad.experimental.read_lazy(tmp_path / "a.zarr")
    np.testing.assert_array_equal(pae.get.loadings(lazy).to_numpy(), pae.get.loadings(dense()).to_numpy())
    pd.testing.assert_frame_equal(pae.get.top_genes(lazy), pae.get.top_genes(dense()), check_dtype=False)


def test_a_large_table_has_sparse_columns_unless_components_are_named(monkeypatch):
    adata = dense()
    adata.varm["pae_loadings"] = sparse.csr_matrix(adata.varm["pae_loadings"])
    monkeypatch.setattr(lookup, "DENSE", adata.n_vars * 3)
    table = pae.get.loadings(adata)
    assert all(isinstance(dtype, pd.SparseDtype) for dtype in table.dtypes)
    assert table.sparse.density < 0.5
    np.testing.assert_array_equal(table.sparse.to_dense().to_numpy(), dense().varm["pae_loadings"])
    assert table.columns.equals(pae.get.loadings(dense()).columns)
    assert (
        table["B cells"].nlargest(5).index.tolist() == pae.get.loadings(dense())["B cells"].nlargest(5).index.tolist()
    )
    pd.testing.assert_frame_equal(pae.get.loadings(adata, FREE), pae.get.loadings(dense(), FREE))
    adata.varm["pae_loadings"] = adata.varm["pae_loadings"].toarray()
    assert (pae.get.loadings(adata).dtypes == np.float32).all()


def test_gene_loadings_stay_sparse_in_the_units_of_the_genes():
    adata = dense()
    adata.var["pae_scale"] = np.where(np.arange(adata.n_vars) < 140, 1 + np.arange(adata.n_vars) / 50, np.nan)
    expected = gene_loadings(adata, "X_pae", 9)
    for change in (sparse.csr_matrix, sparse.csr_array, sparse.csc_matrix):
        adata.varm["pae_loadings"] = change(dense().varm["pae_loadings"])
        found = gene_loadings(adata, "X_pae", 9)
        assert sparse.issparse(found)
        assert found.dtype == np.float64
        np.testing.assert_allclose(found.toarray(), expected, rtol=1e-15)
        assert gene_loadings(adata, "X_pae", 8) is None
    values = sparse.random(adata.n_vars, 4, 0.3, random_state=0, format="csr")
    values.data[0] = np.nan
    adata.varm["X_own"] = values
    np.testing.assert_array_equal(gene_loadings(adata, "X_own", 4).toarray(), np.nan_to_num(values.toarray()))
    assert np.isnan(adata.varm["X_own"].data[0])


def test_sparse_values_of_the_model_get_zero_rows_for_other_genes():
    values = sparse.random(5, 3, 0.5, random_state=0, format="csr")
    genes = np.array([7, 0, 3, 2, 9])
    whole = store.of_all_genes(11, genes, values)
    assert isinstance(whole, sparse.csr_matrix)
    assert whole.dtype == np.float32
    assert whole.has_canonical_format
    np.testing.assert_array_equal(whole.toarray(), store.of_all_genes(11, genes, values.toarray()))


def test_the_identity_of_a_fit_follows_from_sparse_arrays_too():
    values = sparse.csr_matrix(np.eye(3, dtype=np.float32))
    moved = sparse.csr_matrix(np.eye(3, dtype=np.float32)[::-1])
    assert store.fingerprint([values]) == store.fingerprint([values.copy()])
    assert len({store.fingerprint([one]) for one in (values, moved, 2 * values)}) == 3
