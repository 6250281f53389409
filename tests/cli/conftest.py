"""Cells and gene sets as files."""

import numpy as np
import pytest
import torch

import pathwayae as pae

N_PROGRAMS = 6


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small problems on a busy machine: threads of torch wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def files(tmp_path):
    """Cells, gene sets and new cells on disk, and the same in memory."""
    adata = pae.datasets.simulate(200, 300, N_PROGRAMS)
    adata.var["symbol"] = [f"sym{i}" for i in range(adata.n_vars)]
    adata.var["chosen"] = np.arange(adata.n_vars) < 250
    member = adata.varm["pathways"]
    sets = {name: member.index[member[name]].tolist() for name in member}
    for slot in ("pathways", "true_loadings"):
        del adata.varm[slot]
    pae.gs.as_collection(sets).to_gmt(tmp_path / "sets.gmt")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    new = adata[:40, ::-1].copy()
    new.write_h5ad(tmp_path / "new.h5ad")
    return tmp_path, adata, sets, new
