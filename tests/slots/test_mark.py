"""Cells joined from two fits are told apart, and those of one fit are read as before."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc

import pathwayae as pae
from pathwayae._slots import keys, mark

TABLES = [pae.get.scores, pae.get.loadings, pae.get.variance, pae.get.pathways, pae.get.trust, pae.get.history]


@pytest.fixture(scope="module")
def cells():
    return pae.datasets.simulate(200, 120, 4, random_state=1)


def sets_of(cells, order=(0, 1, 2, 3)):
    member = cells.varm["pathways"]
    return {member.columns[j]: cells.var_names[member.iloc[:, j].astype(bool)].tolist() for j in order}


def fitted(cells, sets, **options):
    adata = cells.copy()
    pae.tl.fit(adata, sets, n_extra=1, progress=False, **options)
    return adata


def equal(one, other):
    for table in TABLES:
        pd.testing.assert_frame_equal(table(one), table(other), check_names=False)


def test_all_cells_of_a_fit_have_its_id(cells):
    adata = fitted(cells, "pathways")
    assert (adata.obs["pae_fit"] == adata.uns["pae"]["fit_id"]).all()
    assert adata.obs["pae_fit"].cat.codes.dtype == np.int8
    new = cells[:30].copy()
    pae.tl.transform(new, adata, progress=False)
    assert (new.obs["pae_fit"] == adata.uns["pae"]["fit_id"]).all()
    again = adata.copy()
    pae.tl.fit(again, "pathways", n_extra=1, scale="unit", progress=False)
    assert (again.obs["pae_fit"] == again.uns["pae"]["fit_id"]).all()
    assert again.uns["pae"]["fit_id"] != adata.uns["pae"]["fit_id"]
    pae.tl.transform(adata, adata, key_added="other", progress=False)
    assert {"pae_fit", "other_fit"} <= set(adata.obs)


def test_a_fit_without_scores_leaves_no_mark(cells):
    adata = fitted(cells, "pathways")
    moments = pae.pp.moments(cells, progress=False)
    bare = ad.AnnData(obs=adata.obs, var=adata.var, uns=adata.uns, obsm=dict(adata.obsm), varm=dict(adata.varm))
    pae.tl.fit(bare, sets_of(cells), moments=moments, n_extra=1, progress=False)
    assert "X_pae" not in bare.obsm
    assert "pae_fit" not in bare.obs


@pytest.mark.parametrize("uns_merge", ["first", "same", "unique"])
def test_a_fit_split_and_joined_again_is_the_fit(cells, uns_merge, tmp_path):
    adata = fitted(cells, "pathways")
    names = adata.obs_names
    joined = ad.concat([adata[:70], adata[70:].copy()], merge="same", uns_merge=uns_merge)
    equal(joined[names], adata)
    joined = ad.concat([adata[70:], adata[:70]], merge="same", uns_merge=uns_merge)
    equal(joined[names].copy(), adata)
    joined.write_h5ad(tmp_path / "joined.h5ad")
    equal(ad.read_h5ad(tmp_path / "joined.h5ad")[names], adata)


def test_new_cells_and_those_of_their_fit_are_joined(cells):
    adata = fitted(cells[:150], "pathways")
    new = ad.AnnData(cells.X[150:], obs=cells.obs[150:], var=cells.var[[]])
    pae.tl.transform(new, adata, progress=False)
    joined = ad.concat([adata, new], merge="first", uns_merge="first")
    expected = pd.concat([pae.get.scores(adata), pae.get.scores(new)])
    pd.testing.assert_frame_equal(pae.get.scores(joined), expected)
    pd.testing.assert_frame_equal(pae.get.loadings(joined), pae.get.loadings(adata))


@pytest.mark.parametrize("second", ["other names", "other order", "other cells"])
def test_two_fits_joined_are_refused_by_every_reader(cells, second):
    one, two = fitted(cells[:120], "pathways"), None
    sets = sets_of(cells, (3, 2, 1, 0)) if second == "other order" else sets_of(cells)
    sets = {f"another {name}": genes for name, genes in sets.items()} if second == "other names" else sets
    two = fitted(cells[120:], sets)
    joined = ad.concat([one, two], merge="first", uns_merge="first")
    told = r"80 of 200 cells have scores of another fit than that of adata\.uns\['pae'\].*pae\.tl\.transform"
    for read in (*TABLES, pae.get.to_anndata, pae.get.top_genes, pae.get.component_names, pae.get.to_net):
        with pytest.raises(ValueError, match=told):
            read(joined)
    with pytest.raises(ValueError, match=told):
        pae.get.to_obs(joined, "program_1")
    with pytest.raises(ValueError, match=told):
        pae.pl.scores(joined, "cell_type", show=False)
    with pytest.raises(ValueError, match=told):
        pae.tl.enrich(joined, sets, progress=False)
    with pytest.raises(ValueError, match=told):
        pae.tl.archetypes(joined, 3, progress=False)
    kept = joined[joined.obs["pae_fit"] == joined.uns["pae"]["fit_id"]]
    pd.testing.assert_frame_equal(pae.get.scores(kept), pae.get.scores(one))


def test_cells_joined_from_two_fits_are_scored_by_one(cells):
    one, two = fitted(cells[:120], "pathways"), fitted(cells[120:], "pathways")
    joined = ad.concat([one, two], merge="same", uns_merge="first")
    pae.tl.transform(joined, one, progress=False)
    np.testing.assert_allclose(joined.obsm["X_pae"][:120], one.obsm["X_pae"], atol=1e-5)
    assert pae.get.scores(joined).shape == (200, 5)
    joined = ad.concat([one, two], merge="same", uns_merge="first")
    pae.tl.fit(joined, sets_of(cells), n_extra=1, progress=False)
    assert pae.get.scores(joined).shape == (200, 5)


def test_cells_without_scores_beside_those_of_a_fit_are_refused(cells):
    one = fitted(cells[:120], "pathways")
    joined = ad.concat([one, cells[120:].copy()], join="outer", merge="first", uns_merge="first")
    with pytest.raises(ValueError, match=r"80 of 200 cells .* is nan for"):
        pae.get.scores(joined)


def test_joined_without_uns_the_reason_is_told(cells):
    adata = fitted(cells, "pathways")
    joined = ad.concat([adata[:70], adata[70:]])
    np.testing.assert_array_equal(joined.obsm["X_pae"], adata.obsm["X_pae"])
    with pytest.raises(KeyError, match="has scores, but what describes them is lost: anndata.concat keeps it with"):
        pae.get.scores(joined)
    sc.pp.neighbors(joined, use_rep="X_pae")  # which asks for no names


@pytest.mark.parametrize("form", ["h5ad", "zarr"])
@pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning")
def test_the_mark_survives_a_file_and_a_subset(cells, form, tmp_path):
    one, two = fitted(cells[:120], "pathways"), fitted(cells[120:], "pathways")
    for adata, whole in ((one, True), (ad.concat([one, two], merge="first", uns_merge="first"), False)):
        path = tmp_path / f"{whole}.{form}"
        getattr(adata, f"write_{form}")(path)
        back = getattr(ad, f"read_{form}")(path)
        assert back.obs["pae_fit"].tolist() == adata.obs["pae_fit"].tolist()
        if whole:
            equal(back, one)
            equal(back[::2], one[::2])
        else:
            with pytest.raises(ValueError, match="another fit"):
                pae.get.scores(back)
            assert pae.get.scores(back[:100]).shape == (100, 5)


def test_a_column_of_another_is_not_written_over(cells):
    adata = cells.copy()
    adata.obs["pae_fit"] = "well"
    reference = fitted(cells, "pathways")
    for write in (lambda: pae.tl.fit(adata, "pathways", progress=False), lambda: pae.tl.transform(adata, reference)):
        with pytest.raises(ValueError, match=r"adata\.obs\['pae_fit'\] is there already and is not of a fit"):
            write()
        assert (adata.obs["pae_fit"] == "well").all()
        assert "X_pae" not in adata.obsm
    pae.tl.fit(adata, "pathways", key_added="mine", progress=False)


def test_marks_of_text_without_categories_are_read(cells):
    adata = fitted(cells, "pathways")
    adata.obs["pae_fit"] = adata.obs["pae_fit"].astype(str).astype(object)
    assert pae.get.scores(adata).shape == (200, 5)
    adata.obs.iloc[3, adata.obs.columns.get_loc("pae_fit")] = "0" * 16
    with pytest.raises(ValueError, match=r"1 of 200 cells .* is '0000000000000000' for"):
        pae.get.scores(adata)
    del adata.obs["pae_fit"]  # put together by hand: nothing to check
    assert pae.get.scores(adata).shape == (200, 5)
    mark.check_one_fit(adata, "pae", adata.uns["pae"][keys.FIT_ID])
