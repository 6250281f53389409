"""The demo."""

import re

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from cli_runs import error_of, run

import pathwayae as pae
from pathwayae.cli import _demo


@pytest.mark.slow
def test_the_demo_fits_draws_and_names_its_files(tmp_path):
    folder = tmp_path / "new" / "demo"
    result = run("demo", "--out", folder)
    assert result.exit_code == 0, result.output
    written = result.stdout.split(f"Written to {folder.resolve()}:")[1].split()
    assert sorted(written) == sorted(path.name for path in folder.iterdir())
    assert len([name for name in written if name.endswith(".png")]) == 6
    assert len([name for name in written if name.endswith(".csv")]) == 3
    assert all((folder / name).stat().st_size > 1_000 for name in written)

    adata = ad.read_h5ad(folder / "pbmc_pae.h5ad")
    assert adata.shape == (700, 765)
    assert {"X_pae", "X_umap", "X_umap_published"} <= set(adata.obsm)
    assert {"pae_loadings", "pae_membership"} <= set(adata.varm)
    scores = pae.get.scores(adata).groupby(adata.obs["bulk_labels"], observed=True).mean()
    highest = scores.idxmax()
    assert highest["B_CELLS"] == "CD19+ B"
    assert highest["NK_CELLS"] == "CD56+ NK"
    assert highest["CD34_PROGENITORS"] == "CD34+"
    assert set(pae.get.enrichment(adata)["component"]) == {f"free_{i + 1}" for i in range(20)}

    n_matched = pae.get.variance(adata).set_index("component").loc["NK_CELLS"]
    assert f"{n_matched['n_matched']}/{n_matched['n_genes']}" in result.stdout
    # Hidden from the fit, the B-cell sets come back as free components.
    assert re.search(r"free_\d+ → B_CELLS", result.stdout)


def test_the_cells_of_the_demo_are_log_normalised_and_as_published():
    adata = _demo._pbmc()
    values = np.expm1(adata.X.toarray().astype(float))
    assert values.min() == 0
    # Undone, the values of a cell are whole multiples of its smallest one, as scaled counts are.
    unit = np.where(values > 0, values, np.inf).min(axis=1, keepdims=True)
    np.testing.assert_allclose(values / unit, np.round(values / unit), rtol=3e-3)
    assert len(np.unique(unit.round(2))) > 100
    source = sc.datasets.pbmc68k_reduced()
    assert adata.obs["bulk_labels"].equals(source.obs["bulk_labels"])
    np.testing.assert_array_equal(adata.obsm["X_umap_published"], source.obsm["X_umap"])


def test_the_demo_does_not_write_into_a_file(tmp_path):
    (tmp_path / "taken").write_text("mine")
    assert "taken" in error_of(run("demo", "--out", tmp_path / "taken"), 4)
    assert (tmp_path / "taken").read_text() == "mine"
