"""One modality of a MuData, and what is neither a MuData nor an AnnData."""

from types import MappingProxyType

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import pathwayae as pae


class Modalities:
    """What of a MuData is used: ``mod``; and what users see of it: ``obs``, ``uns`` and ``obsm``."""

    def __init__(self, mod: dict[str, ad.AnnData]) -> None:
        self.mod = MappingProxyType(mod)
        self.obs = pd.concat([one.obs.add_prefix(f"{name}:") for name, one in mod.items()], axis=1)
        self.uns: dict[str, object] = {}
        self.obsm: dict[str, object] = {}


def real(mod: dict[str, ad.AnnData]):
    return pytest.importorskip("mudata").MuData(mod)


@pytest.fixture(params=[Modalities, real], ids=["stand-in", "mudata"])
def mdata(request):
    rna = pae.datasets.simulate(300, 120, 3, n_batches=2)
    atac = ad.AnnData(np.ones((300, 10), dtype=np.float32), obs=pd.DataFrame(index=rna.obs_names))
    return request.param({"rna": rna, "atac": atac})


def test_the_modality_is_fitted_and_written_to(mdata):
    alone = mdata.mod["rna"].copy()
    pae.tl.fit(alone, "pathways", batch_key="batch", n_extra=1, progress=False)
    assert pae.tl.fit(mdata, "pathways", mod="rna", batch_key="batch", n_extra=1, progress=False) is None
    pd.testing.assert_frame_equal(pae.get.scores(mdata.mod["rna"]), pae.get.scores(alone))
    assert not set(mdata.mod["atac"].obsm)
    new = mdata.mod["rna"].copy()
    for name in ("obsm", "varm", "uns"):
        setattr(new, name, {})
    other = type(mdata)({"rna": new})
    pae.tl.transform(other, alone, mod="rna", progress=False)
    np.testing.assert_allclose(other.mod["rna"].obsm["X_pae"], alone.obsm["X_pae"], atol=1e-5)


def test_a_copy_is_one_of_the_modality(mdata):
    copied = pae.tl.fit(mdata, "pathways", mod="rna", n_extra=1, progress=False, copy=True)
    assert copied.obsm["X_pae"].shape == (300, 4)
    assert "X_pae" not in mdata.mod["rna"].obsm


def test_which_modality_is_asked_for(mdata):
    for mod in (None, "protein"):
        with pytest.raises(ValueError, match=rf"mod={mod!r}: adata is a MuData with the modalities 'rna', 'atac'"):
            pae.tl.fit(mdata, "pathways", mod=mod)
        with pytest.raises(ValueError, match="name one of them"):
            pae.tl.transform(mdata, mdata.mod["rna"], mod=mod)
    with pytest.raises(
        ValueError, match="mod='rna' names a modality of a MuData, but adata is a AnnData; leave it out"
    ):
        pae.tl.fit(mdata.mod["rna"], "pathways", mod="rna")
    with pytest.raises(TypeError, match=r"reference is a \w+; .*reference\.mod\['rna'\]"):
        pae.tl.transform(mdata.mod["rna"], mdata)
    with pytest.raises(TypeError, match=r"adata is a MuData; pass one of its modalities, such as mdata\.mod\['rna'\]"):
        pae.get.scores(mdata)


def test_a_path_cannot_be_fitted_and_the_next_step_is_told(mdata, tmp_path):
    path = tmp_path / "cells.h5ad"
    rna = mdata.mod["rna"]
    rna.write_h5ad(path)
    for given in (path, str(path)):
        with pytest.raises(TypeError, match=r"adata is the path '.*cells\.h5ad'; pass an AnnData\. .*pae\.pp\.moments"):
            pae.tl.fit(given, "pathways")
    with pytest.raises(TypeError, match="adata is a ndarray; pass an AnnData.$"):
        pae.tl.fit(rna.X.toarray(), "pathways")
    moments = pae.pp.moments([path], progress=False)  # the steps of the message
    shell = ad.AnnData(var=rna.var, varm=dict(rna.varm))
    pae.tl.fit(shell, "pathways", moments=moments, n_extra=1, progress=False)
    pae.tl.transform([path], shell, out=tmp_path / "scores.parquet", progress=False)
    pae.tl.fit(rna, "pathways", n_extra=1, progress=False)
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "scores.parquet"), pae.get.scores(rna), atol=1e-4)
