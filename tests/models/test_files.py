"""A model alone in a file: the same model back, or a refusal."""

from __future__ import annotations

import json
import os
import zipfile

import anndata as ad
import flat
import numpy as np
import pytest

import pathwayae as pae
from pathwayae._slots import model_files


def bare(adata: ad.AnnData) -> ad.AnnData:
    return ad.AnnData(adata.X.copy(), obs=adata.obs[["cell_type", "batch"]].copy(), var=adata.var[[]].copy())


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    return pae.datasets.simulate(300, 200, 5, n_batches=2, random_state=1)


FITS = {
    "members": {},
    "support": {"support": True},
    "batches": {"batch_key": "batch"},
    "projection": {"scores": "projection", "balance": False},
    "symbols": {"gene_symbols": "symbol"},
}


@pytest.fixture(scope="module", params=FITS)
def fitted(request, cells: ad.AnnData) -> ad.AnnData:
    adata = cells.copy()
    adata.var["symbol"] = adata.var_names.to_numpy()
    adata.var["use"] = np.arange(200) % 10 > 0
    if request.param == "symbols":
        adata.var_names = [f"ENSG{i:011d}" for i in range(200)]
    sets = {
        name: adata.var["symbol"][adata.varm["pathways"][name].to_numpy()].tolist() for name in adata.varm["pathways"]
    }
    flat.fit(adata, sets, n_extra=2, mask_var="use", progress=False, **FITS[request.param])
    return adata


def test_what_comes_back_scores_as_the_fit_does(fitted: ad.AnnData, tmp_path) -> None:
    before = fitted.copy()
    pae.models.save(fitted, tmp_path / "model.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["model.npz"]
    model = pae.models.load(tmp_path / "model.npz")
    assert model.shape == (0, 180)
    assert model.uns["pae"]["fit_id"] == fitted.uns["pae"]["fit_id"] == before.uns["pae"]["fit_id"]
    new = [bare(fitted) for _ in range(3)]
    for one, reference in zip(new, (fitted, model, tmp_path / "model.npz"), strict=True):
        pae.tl.transform(one, reference, progress=False)
    for one in new[1:]:
        np.testing.assert_array_equal(one.obsm["X_pae"], new[0].obsm["X_pae"])
        assert one.obs.equals(new[0].obs)
        assert pae.get.missing_genes(one).equals(pae.get.missing_genes(new[0]))
    used = fitted.var["use"].to_numpy()
    assert pae.get.loadings(model).equals(pae.get.loadings(fitted)[used])
    assert pae.get.pathways(model).equals(pae.get.pathways(fitted))
    assert pae.get.variance(model).equals(pae.get.variance(fitted))
    pae.models.save(model, tmp_path / "again.npz")
    again = pae.models.load(tmp_path / "again.npz")
    assert pae.get.loadings(again).equals(pae.get.loadings(model))
    model.write_h5ad(tmp_path / "model.h5ad")
    pae.tl.transform(last := bare(fitted), tmp_path / "model.h5ad", progress=False)
    np.testing.assert_array_equal(last.obsm["X_pae"], new[0].obsm["X_pae"])


def test_the_other_models_come_back_too(cells: ad.AnnData, tmp_path) -> None:
    adata = cells.copy()
    flat.sparse_ae(adata, n_latents=8, n_epochs=2, progress=False)
    pae.tl.archetypes(adata, 3, obsm=None)
    for key in ("sparse_ae", "archetypes"):
        pae.models.save(adata, tmp_path / f"{key}.npz", key=key)
        own, theirs = bare(adata), bare(adata)
        pae.tl.transform(own, adata, key=key, progress=False)
        pae.tl.transform(theirs, tmp_path / f"{key}.npz", key=key, progress=False)
        one, two = (
            np.asarray(a.obsm[f"X_{key}"].todense() if key == "sparse_ae" else a.obsm[f"X_{key}"])
            for a in (own, theirs)
        )
        np.testing.assert_array_equal(one, two)


@pytest.fixture(scope="module")
def simple(cells: ad.AnnData) -> ad.AnnData:
    return pae.tl.fit(cells, "pathways", n_extra=2, progress=False, copy=True)


def changed(path, **changes):
    """A file with some of its header changed."""
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(name) for name in file.namelist()}
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
        arrays = {name: file[name] for name in file.files if name != "about"}
    assert "about.npy" in members
    for name, change in changes.items():
        about[name] = change
    np.savez_compressed(path, about=np.array(json.dumps(about)), **arrays)


def test_what_is_not_known_or_not_whole_is_refused(simple: ad.AnnData, tmp_path) -> None:
    path = tmp_path / "model.npz"
    pae.models.save(simple, path)
    content = path.read_bytes()
    for share in (0.0, 0.3, 0.9):
        path.write_bytes(content[: int(len(content) * share)])
        with pytest.raises(ValueError, match=r"model\.npz is no whole file of a model"):
            pae.models.load(path)
    for changes, match in [
        ({"version": 2, "pathwayae": "9.0"}, r"version 2, written by pathwayae 9\.0; .* reads version 1\. Upgrade"),
        ({"format": "pathwayae moments 1"}, "no model of pae.models.save; its format is 'pathwayae moments 1'"),
        ({"kind": "transformer"}, "a model of kind 'transformer'"),
        ({"sha256": "0" * 64}, "is damaged: its contents do not have the checksum"),
    ]:
        path.write_bytes(content)
        changed(path, **changes)
        with pytest.raises(ValueError, match=match):
            pae.tl.transform(bare(simple), path, progress=False)
    np.savez(path, a=np.ones(3))
    with pytest.raises(ValueError, match="no whole file of a model"):
        pae.models.load(path)
    np.savez(path, about=np.array([{"format": 1}], dtype=object))  # what only pickle reads
    with pytest.raises(ValueError, match="no whole file of a model"):
        pae.models.load(path)
    with pytest.raises(FileNotFoundError, match=r"there is no such file.*pae\.models\.save"):
        pae.models.load(tmp_path / "nowhere.npz")


def test_models_that_do_not_agree_with_themselves_are_not_written(simple: ad.AnnData, tmp_path) -> None:
    def bad(change):
        adata = simple.copy()
        change(adata)
        return adata

    def set_scale(adata):
        adata.var.loc[adata.var_names[3], "pae_scale"] = -1.0

    def set_mean(adata):
        adata.var.loc[adata.var_names[3], "pae_mean"] = np.nan

    def fewer_names(adata):
        adata.uns["pae"]["component_names"] = adata.uns["pae"]["component_names"][:-1]

    def same_genes(adata):
        adata.var_names = [adata.var_names[0], *adata.var_names[:-1]]

    cases = [
        (set_scale, "0 or negative"),
        (set_mean, "'pae_mean'.* not finite"),
        (fewer_names, r"columns for \d+ components"),
    ]
    cases += [(same_genes, "more than once")]
    for change, match in cases:
        with pytest.raises(ValueError, match=match):
            pae.models.save(bad(change), tmp_path / "model.npz")
    new = bare(simple)
    pae.tl.transform(new, simple, progress=False)
    with pytest.raises(KeyError, match="pae_mean"):
        pae.models.save(new, tmp_path / "model.npz")
    with pytest.raises(KeyError, match="keys found: 'pae'"):
        pae.models.save(simple, tmp_path / "model.npz", key="other")
    with pytest.raises(ValueError, match=r"must end in \.npz"):
        pae.models.save(simple, tmp_path / "model.pkl")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        pae.models.save(simple, tmp_path / "none" / "model.npz")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_write_leaves_the_older_file(simple: ad.AnnData, tmp_path, monkeypatch) -> None:
    path = tmp_path / "model.npz"
    pae.models.save(simple, path)
    before = path.read_bytes()

    def interrupted(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(model_files.np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        pae.models.save(simple, path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["model.npz"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_named(simple: ad.AnnData, tmp_path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError, match="cannot be written"):
        pae.models.save(simple, tmp_path / "model.npz")


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_text_and_folders_are_no_models(tmp_path):
    """What is no zip archive is not taken for a pickle, which numpy would say how to load."""
    (tmp_path / "model.npz").write_text("hello")
    with pytest.raises(ValueError, match="no zip archive") as caught:
        pae.models.load(tmp_path / "model.npz")
    assert "pickle" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="a folder; name a file"):
        pae.models.load(tmp_path)
