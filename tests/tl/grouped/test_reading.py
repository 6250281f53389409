"""How often cells are read for a fit and its scores."""

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae._cells import sources


@pytest.fixture
def rows(monkeypatch):
    """Cells of every block that is read, in order."""
    found, original = [], sources.Source.block

    def block(self, start, stop):
        result = original(self, start, stop)
        found.append(range(start, start + result.values.shape[0]))
        return result

    monkeypatch.setattr(sources.Source, "block", block)
    return found


@pytest.fixture
def passes(monkeypatch):
    """One entry for every pass over all cells."""
    found, original = [], sources.Source.blocks

    def blocks(self, *args, **kwargs):
        found.append(self.shape[0])
        return original(self, *args, **kwargs)

    monkeypatch.setattr(sources.Source, "blocks", blocks)
    return found


def stored(n, g, form, path):
    adata = pae.datasets.simulate(n, g, 6, random_state=4)
    adata.X = adata.X.toarray() if form == "dense" else sp.csr_matrix(adata.X)
    adata.write_h5ad(path)
    return adata


def times_read(rows, n):
    """How often each cell is read, but for those of the look at the first ones."""
    counts = np.zeros(n, dtype=int)
    for some in rows:
        counts[list(some)] += 1
    return set(counts[n // 2 :].tolist())


OPTIONS = {"n_extra": 2, "progress": False}


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")
@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize(("n", "solver", "expected"), [(120, "auto", 1), (120, "gram", 2), (400, "auto", 2)])
def test_cells_on_disk_are_read_once_where_they_are_held_and_twice_where_not(
    tmp_path, monkeypatch, rows, passes, form, n, solver, expected
):
    monkeypatch.setattr(pae._checks, "COUNTS_ROWS", 10)
    path = tmp_path / "cells.h5ad"
    memory = stored(n, 300, form, path)
    backed = ad.read_h5ad(path, backed="r")
    settings = pae.tl.FitSettings(solver=solver)
    pae.tl.fit(backed, "pathways", settings=settings, **OPTIONS)
    assert len(passes) == expected
    assert times_read(rows, n) == {expected}
    assert backed.uns["pae"]["params"]["solver"] == ("cells" if expected == 1 else "gram")
    pae.tl.fit(memory, "pathways", settings=settings, **OPTIONS)
    np.testing.assert_allclose(backed.obsm["X_pae"], memory.obsm["X_pae"], rtol=0, atol=1e-4)
    backed.file.close()


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")
def test_cells_with_moments_are_read_once_for_their_scores(tmp_path, passes):
    path = tmp_path / "cells.h5ad"
    stored(150, 200, "csr", path)
    backed = ad.read_h5ad(path, backed="r")
    moments = pae.pp.moments(backed, progress=False)
    assert passes.pop() == 150
    assert not passes
    pae.tl.fit(backed, "pathways", moments=moments, **OPTIONS)
    assert passes == [150]
    backed.file.close()


@pytest.mark.filterwarnings("ignore::pathwayae.core.notice.DataWarning")
@pytest.mark.parametrize("support", [True, False])
def test_scores_of_cells_that_are_held_are_those_of_a_second_reading(tmp_path, support):
    path = tmp_path / "cells.h5ad"
    memory = stored(120, 300, "csr", path)
    memory.var["keep"] = np.random.default_rng(0).permutation(300) > 20
    backed = ad.read_h5ad(path, backed="r")
    backed.var["keep"] = memory.var["keep"]
    settings = pae.tl.FitSettings(support=support)
    for adata in (backed, memory):
        pae.tl.fit(adata, "pathways", mask_var="keep", settings=settings, **OPTIONS)
    again = memory.copy()
    pae.tl.transform(again, backed)
    np.testing.assert_allclose(backed.obsm["X_pae"], again.obsm["X_pae"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(backed.obsm["X_pae"], memory.obsm["X_pae"], rtol=0, atol=1e-5)
    backed.file.close()
