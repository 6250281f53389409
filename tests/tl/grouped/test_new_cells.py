"""New cells held against those of the fit: scale, missing genes, what is unexplained, new batches."""

from __future__ import annotations

import logging
import re
import warnings

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import pathwayae as pae
from pathwayae._cells.alignment import why_lost
from pathwayae.tl._grouped import seen


@pytest.fixture(scope="module")
def cells() -> ad.AnnData:
    """Counts of 300 genes in cells of one kind, normalised to 10 000 and their log1p; 5 pathways."""
    rng = np.random.default_rng(0)
    activity = rng.gamma(1.0, size=(600, 5))
    rate = np.tile(rng.gamma(1.0, 0.5, size=300), (600, 1)) + 0.05
    for j in range(5):
        rate[:, 30 * j : 30 * j + 30] += activity[:, [j]]
    counts = rng.poisson(2000 * rate / rate.sum(axis=1, keepdims=True)).astype(float)
    adata = ad.AnnData(sp.csr_matrix(of_total(counts, 1e4), dtype=np.float32))
    adata.layers["counts"] = sp.csr_matrix(counts, dtype=np.float32)
    adata.var_names = [f"GENE{i}" for i in range(300)]
    adata.obs_names = [f"c{i}" for i in range(600)]
    adata.obs["batch"] = np.where(np.arange(600) % 2, "b", "a")
    adata.uns["sets"] = {f"set_{j}": adata.var_names[30 * j : 30 * j + 30].tolist() for j in range(5)}
    return adata


def of_total(counts: np.ndarray, total: float) -> np.ndarray:
    return np.log1p(counts / counts.sum(axis=1, keepdims=True) * total)


def bare(adata: ad.AnnData, x=None) -> ad.AnnData:
    return ad.AnnData(adata.X.copy() if x is None else x, obs=adata.obs[["batch"]].copy(), var=adata.var[[]].copy())


@pytest.fixture(scope="module", params=["gram", "cells"])
def fitted(request, cells: ad.AnnData) -> ad.AnnData:
    adata = cells[:450].copy()
    flat.fit(adata, cells.uns["sets"], n_extra=2, solver=request.param, progress=False)
    return adata


def error_of(cell: np.ndarray, fitted: ad.AnnData, mean=None) -> float:
    """Residual of dense least squares on the encoders."""
    scale = fitted.var["pae_scale"].to_numpy()
    tilde = (cell - (fitted.var["pae_mean"].to_numpy() if mean is None else mean)) / scale
    encoder = fitted.varm["pae_encoder"].astype(float)
    left = tilde - encoder @ np.linalg.lstsq(encoder, tilde, rcond=None)[0]
    return float((left**2).sum() / (scale**2).sum())


# Unexplained.


def test_errors_and_their_rank_among_the_cells_of_the_fit(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(cells[450:])
    pae.tl.transform(new, fitted, progress=False)
    table = pae.get.unexplained(new)
    dense = cells.X.toarray().astype(float)
    own = [error_of(cell, fitted) for cell in dense[:450]]
    expected = np.array([error_of(cell, fitted) for cell in dense[450:]])
    np.testing.assert_allclose(table["unexplained"], expected, rtol=1e-4)
    np.testing.assert_allclose(table["unexplained_quantile"], [np.mean(own < one) for one in expected], atol=0.01)
    assert table["unlike"].mean() < 0.1
    assert list(table.index) == list(new.obs_names)
    kept = fitted.uns["pae"]["reference_cells"]
    np.testing.assert_allclose(kept["unexplained"], np.quantile(own, kept["quantile"]), rtol=1e-4)
    assert kept["n_cells"] == 450
    assert not kept["negative"]


def test_cells_with_other_genes_are_unlike_and_told(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    counts = cells.layers["counts"].toarray()[450:]
    counts[:40] = counts[:40, ::-1]  # genes of one level become genes of another
    new = bare(cells[450:], of_total(counts, 1e4))
    with pytest.warns(pae.DataWarning, match=r"4\d of 150 new cells \(adata.X\) have more .* than 99% of the cells"):
        pae.tl.transform(new, fitted, progress=False)
    table = pae.get.unexplained(new)
    assert table["unlike"][:40].all()
    assert table["unlike"][40:].mean() < 0.1


def test_missing_genes_leave_errors_of_the_same_size(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    keep = np.random.default_rng(3).permutation(300)[:200]
    with pytest.warns(pae.DataWarning, match="100 of 300 genes"):
        pae.tl.transform(new := bare(cells[450:, keep]), fitted, progress=False)
    assert pae.get.unexplained(new)["unlike"].mean() < 0.1


def test_a_fit_keeps_the_same_of_its_cells_whatever_their_form(cells: ad.AnnData) -> None:
    kept = []
    for solver in ("gram", "cells"):
        for form in (np.asarray, sp.csr_matrix):
            adata = bare(cells)
            adata.X = form(cells.X.toarray())
            flat.fit(adata, cells.uns["sets"], n_extra=2, solver=solver, progress=False)
            kept.append(adata.uns["pae"]["reference_cells"])
    for other in kept[1:]:
        for name in ("level", "total", "inside", "unexplained"):
            np.testing.assert_allclose(other[name], kept[0][name], rtol=1e-4)


def test_a_sample_of_many_cells_follows_from_the_seed(cells: ad.AnnData, monkeypatch) -> None:
    monkeypatch.setattr(seen, "N_CELLS", 100)
    kept = []
    for seed in (0, 0, 1):
        adata = bare(cells)
        flat.fit(adata, cells.uns["sets"], n_extra=2, random_state=seed, progress=False)
        kept.append(adata.uns["pae"]["reference_cells"])
    assert kept[0]["n_cells"] == 100
    np.testing.assert_array_equal(kept[0]["unexplained"], kept[1]["unexplained"])
    assert (kept[0]["unexplained"] != kept[2]["unexplained"]).any()


def test_fits_that_kept_nothing_of_their_cells_score_as_before(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    older = fitted.copy()
    del older.uns["pae"]["reference_cells"]
    new = bare(cells[450:], cells.X[450:] * 2)
    pae.tl.transform(new, older, progress=False)
    assert "pae_unexplained" not in new.obs
    with pytest.raises(KeyError, match="pae_unexplained"):
        pae.get.unexplained(new)
    moments = pae.pp.moments(cells, progress=False)
    shell = ad.AnnData(obs=cells.obs[[]], var=cells.var[[]])
    pae.tl.fit(shell, cells.uns["sets"], moments=moments, progress=False)
    assert "reference_cells" not in shell.uns["pae"]


# Scale.


CHANGES = {
    "per million": (lambda x, counts: of_total(counts, 1e6), "normalised to 1,000,000 counts per cell, .* to 10,000"),
    "half": (lambda x, counts: of_total(counts, 5e3), "normalised to 5,000 counts per cell, .* to 10,000"),
    "z": (lambda x, counts: (x - x.mean(axis=0)) / (x.std(axis=0) + 1e-9), "look like scaled"),
    "no log": (lambda x, counts: np.expm1(x) + 0.5, "look like counts"),
    "log2": (lambda x, counts: x / np.log(2), "are on another scale: the genes of the model have"),
    "counts": (lambda x, counts: counts, "look like raw counts"),
}


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
@pytest.mark.parametrize("change", CHANGES)
def test_values_of_another_scale_are_told_once(cells: ad.AnnData, fitted: ad.AnnData, change: str, form) -> None:
    changed, match = CHANGES[change]
    x = changed(cells.X.toarray()[450:].astype(float), cells.layers["counts"].toarray()[450:])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", pae.DataWarning)
        pae.tl.transform(bare(cells[450:], form(x)), fitted, progress=False)
    assert len(caught) == 1
    assert re.search(match, str(caught[0].message))


def test_a_part_of_the_genes_tells_the_scale_too(cells: ad.AnnData) -> None:
    """Totals of a part are not all the same; others, shallow or deep in part, are not told of."""
    adata = bare(cells[:450, :200])
    pae.tl.fit(adata, cells.uns["sets"], n_extra=2, progress=False)
    counts = cells.layers["counts"].toarray()[450:]
    pae.tl.transform(bare(cells[450:]), adata, progress=False)
    with pytest.warns(pae.DataWarning, match=r"on another scale.*they were normalised to 30,000 counts per cell"):
        pae.tl.transform(bare(cells[450:], of_total(counts, 3e4)), adata, progress=False)
    thin = np.random.default_rng(0).binomial(counts.astype(int), 0.02).astype(float)
    with pytest.warns(pae.DataWarning, match="of another depth or scale: their positive values have the mean"):
        pae.tl.transform(bare(cells[450:], of_total(thin + 1e-12, 1e4)), adata, progress=False)


# Missing genes.


def test_the_weight_that_is_missing_of_every_pathway(cells: ad.AnnData, fitted: ad.AnnData, tmp_path) -> None:
    keep = np.ones(300, dtype=bool)
    keep[[0, 1, 40, 299]] = False
    new = bare(cells[450:, keep])
    pae.tl.transform(new, fitted, progress=False)
    table = pae.get.missing_genes(new)
    squares = fitted.varm["pae_encoder"].astype(float) ** 2
    np.testing.assert_allclose(table["weight_missing"], squares[~keep].sum(axis=0) / squares.sum(axis=0), atol=1e-6)
    assert table["component"].tolist() == list(fitted.uns["pae"]["component_names"])
    assert table["n_genes"].tolist() == [30] * 5 + [300] * 2
    assert table["n_missing"].tolist() == [2, 1, 0, 0, 0, 4, 4]
    first = sorted(["GENE0", "GENE1"], key=lambda gene: -squares[int(gene[4:]), 0])
    assert table["missing"].tolist()[:3] == [";".join(first), "GENE40", ""]
    new.write_h5ad(tmp_path / "new.h5ad")
    new.write_zarr(tmp_path / "new.zarr")
    for back in (ad.read_h5ad(tmp_path / "new.h5ad"), ad.read_zarr(tmp_path / "new.zarr")):
        pd.testing.assert_frame_equal(pae.get.missing_genes(back), table, check_dtype=False)
        pd.testing.assert_frame_equal(pae.get.unexplained(back), pae.get.unexplained(new))
    full = bare(cells[450:])
    pae.tl.transform(full, fitted, progress=False)
    assert pae.get.missing_genes(full)["weight_missing"].eq(0).all()


def test_a_pathway_without_most_of_its_weight_is_named(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    with (
        pytest.warns(pae.DataWarning, match=r"25 of 300 genes of the model are missing"),
        pytest.warns(pae.DataWarning, match=r"1 of 7 components lack more than half of .*'set_0' \(\d\d%\)"),
    ):
        pae.tl.transform(bare(cells[450:, 25:]), fitted, progress=False)


@pytest.mark.filterwarnings("ignore:.* that the model does not explain")  # of few genes, all outside pathways
def test_too_much_missing_is_refused_unless_allowed(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(cells[450:, 120:])
    with pytest.raises(ValueError, match=r"more than max_missing=0\.5 allows.* or pass max_missing=1"):
        pae.tl.transform(new, fitted, progress=False)
    assert "X_pae" not in new.obsm
    assert "pae" not in new.uns
    with (
        pytest.warns(pae.DataWarning, match="120 of 300 genes"),
        pytest.warns(pae.DataWarning, match="lack more than half"),
    ):
        pae.tl.transform(new, fitted, max_missing=1, progress=False)
    with pytest.raises(ValueError, match=r"max_missing=1\.5 is out of range"):
        pae.tl.transform(new, fitted, max_missing=1.5, progress=False)


def test_names_that_would_match_if_written_alike_are_explained(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    mouse = bare(cells[450:])
    mouse.var_names = [name.capitalize() for name in mouse.var_names]
    match = (
        r"None of the 300 genes.*Without regard to case 100 % would match \('Gene0' and 'GENE0'\): genes of another sp"
    )
    with pytest.raises(ValueError, match=match):
        pae.tl.transform(mouse, fitted, progress=False)
    ids = np.array([f"ENSG{i:011d}" for i in range(9)])
    assert "Without versions 100 %" in why_lost([f"{one}.3" for one in ids], ids)
    assert why_lost(ids, cells.var_names).startswith("One side has Ensembl ids")
    assert why_lost(["A", "B"], ["C", "D"]) == ""


# Bad cells and views.


def test_nothing_is_written_of_cells_that_cannot_be_scored(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(cells[450:], cells.X[450:].toarray())
    new.X[3, 5] = np.nan
    twice = bare(cells[450:])
    twice.var_names = ["GENE0", *twice.var_names[:-1]]
    for one, match in ((new, "NaN"), (twice, "more than once")):
        with pytest.raises(ValueError, match=match):
            pae.tl.transform(one, fitted, progress=False)
        assert "pae_unexplained" not in one.obs
        assert "pae" not in one.uns


def test_a_view_gets_what_a_copy_gets(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    whole = bare(cells)
    view, copied = whole[450:], whole[450:].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ad.ImplicitModificationWarning)
        pae.tl.transform(view, fitted, progress=False)
    pae.tl.transform(copied, fitted, progress=False)
    np.testing.assert_array_equal(view.obsm["X_pae"], copied.obsm["X_pae"])
    pd.testing.assert_frame_equal(view.obs, copied.obs)
    assert "pae" not in whole.uns
    assert list(whole.obs) == ["batch"]


def test_a_later_fit_takes_the_columns_away(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    new = bare(cells)
    pae.tl.transform(new, fitted, progress=False)
    assert "pae_unexplained" in new.obs
    pae.tl.fit(new, cells.uns["sets"], progress=False)
    assert "pae_unexplained" not in new.obs
    assert "missing_genes" not in new.uns["pae"]


# Files.


def test_files_get_the_columns_of_cells_in_memory(cells: ad.AnnData, fitted: ad.AnnData, tmp_path) -> None:
    first, second = bare(cells[450:500]), bare(cells[500:, 10:])
    first.write_h5ad(tmp_path / "a.h5ad")
    pae.tl.transform([tmp_path / "a.h5ad", second], fitted, out=tmp_path / "scores.zarr", progress=False)
    back = ad.read_zarr(tmp_path / "scores.zarr")
    for one in (first, second):
        pae.tl.transform(one, fitted, progress=False)
        pd.testing.assert_frame_equal(pae.get.unexplained(back[one.obs_names]), pae.get.unexplained(one))
    table = pae.get.missing_genes(back)
    assert table["shard"].tolist() == [str(tmp_path / "a.h5ad")] * 7 + ["data[1].X"] * 7
    expected = pd.concat([pae.get.missing_genes(one) for one in (first, second)], ignore_index=True)
    pd.testing.assert_frame_equal(table.drop(columns="shard"), expected, check_dtype=False)


# Batches.


@pytest.fixture(scope="module")
def batched(cells: ad.AnnData) -> ad.AnnData:
    adata = cells[:450].copy()
    pae.tl.fit(adata, cells.uns["sets"], n_extra=2, batch_key="batch", progress=False)
    return adata


@pytest.mark.parametrize("out", [False, True])
def test_new_batches_are_centred_by_their_own_mean(
    cells: ad.AnnData, batched: ad.AnnData, out: bool, tmp_path, caplog
) -> None:
    new = bare(cells[450:], cells.X[450:].toarray())
    new.obs["batch"] = np.where(np.arange(150) < 100, "new", "a")
    dense = new.X.astype(float)
    mean = dense[:100].mean(axis=0)
    scale, encoder = batched.var["pae_scale"].to_numpy(), batched.varm["pae_encoder"].astype(float)
    options = {"new_batches": "center", "progress": False}
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        if out:  # in two shards, the second without some genes
            new[:60].write_h5ad(tmp_path / "a.h5ad")
            pae.tl.transform([tmp_path / "a.h5ad", new[60:, :299].copy()], batched, out=tmp_path / "o.zarr", **options)
            back = ad.read_zarr(tmp_path / "o.zarr")
            scores, errors = back.X, back.obs["pae_unexplained"].to_numpy()
        else:
            pae.tl.transform(new, batched, **options)
            scores, errors = new.obsm["X_pae"], new.obs["pae_unexplained"].to_numpy()
    assert "as if their cells were composed as those of the fit: 'new'" in caplog.text
    rows = slice(60 if out else 100)
    if out:
        mean[299] = dense[:60, 299].mean()
    np.testing.assert_allclose(scores[rows], ((dense[rows] - mean) / scale) @ encoder, atol=1e-4)
    np.testing.assert_allclose(errors[rows], [error_of(cell, batched, mean) for cell in dense[rows]], rtol=1e-4)
    if not out:
        pae.tl.transform(known := bare(cells[450:])[100:].copy(), batched, batch_key="batch", progress=False)
        known.obs["batch"] = "a"
        pae.tl.transform(known, batched, progress=False)
        np.testing.assert_allclose(scores[100:], known.obsm["X_pae"], atol=1e-5)


def test_new_batches_can_be_refused_and_few_cells_are_told(cells: ad.AnnData, batched: ad.AnnData) -> None:
    new = bare(cells[450:])
    new.obs["batch"] = np.where(np.arange(150) < 4, "few", "a")
    with pytest.raises(ValueError, match=r"4 cells are of batches that the fit has not seen .*new_batches='global'"):
        pae.tl.transform(new, batched, new_batches="error", progress=False)
    with pytest.warns(pae.DataWarning, match=r"1 of 1 new batches of 'batch' have fewer than 10 cells: 'few' \(4\)"):
        pae.tl.transform(new, batched, new_batches="center", progress=False)
    with pytest.raises(ValueError, match="new_batches='mean' is not known"):
        pae.tl.transform(new, batched, new_batches="mean", progress=False)


def test_new_batches_of_a_fit_without_any_are_refused(cells: ad.AnnData, fitted: ad.AnnData) -> None:
    with pytest.raises(ValueError, match="new_batches='center', but the fit centred no batches"):
        pae.tl.transform(bare(cells[450:]), fitted, new_batches="center", progress=False)
