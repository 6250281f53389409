"""Ablation, agreement and sweep: analyses that need the network or train others."""

import anndata as ad
import flat
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from pathwayae import DataWarning, get, tl
from pathwayae._cells import matrix
from pathwayae._cells.minibatches import training_cells
from pathwayae._slots.sparse_ae import fitted
from pathwayae.core.sparse_ae import agreement, trade_off
from pathwayae.core.sparse_ae.network import decode, encode, features
from pathwayae.core.sparse_ae.settings import Config
from pathwayae.core.sparse_ae.training import train

TRAINED = {"n_epochs": 60, "batch_size": 64, "learning_rate": 0.01}
QUICK = {"n_epochs": 3, "batch_size": 64}
SWEPT = {"n_epochs": 3, "settings": tl.SparseAESettings(batch_size=64), "progress": False}


def planted(n=500, g=40, p=8, seed=0):
    """Cells that are sums of few of p programs, each of 5 genes of its own."""
    rng = np.random.default_rng(seed)
    programs = np.kron(np.eye(p), np.ones(5))[:, :g]
    activity = rng.gamma(4.0, 0.5, (n, p)) * (rng.random((n, p)) < 0.2)
    x = activity @ programs + 0.1 * rng.normal(size=(n, g)) + 1.0
    var = pd.DataFrame(index=[f"GENE{i:02d}" for i in range(g)])
    adata = AnnData(x.astype(np.float32), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]), var=var)
    adata.obsm["X_pca"] = (x - x.mean(axis=0))[:, ::4].astype(np.float32)
    return adata


@pytest.fixture(scope="module")
def linear():
    adata = planted()
    flat.sparse_ae(adata, n_latents=12, k=2, **TRAINED, progress=False)
    return adata


@pytest.fixture(scope="module")
def deep():
    adata = planted()
    adata.X = adata.X / adata.X.max()
    adata.X[adata.X < 0] = 0
    tl.sparse_ae(
        adata,
        settings=tl.SparseAESettings(classic="kl", learning_rate=0.005),
        n_latents=12,
        n_epochs=60,
        progress=False,
    )
    return adata


# Ablation.


def by_hand(adata, q, cells=slice(None)):
    """Variance explained by the q largest activations of each cell, decoded by the network."""
    codes = adata.obsm["X_sparse_ae"].toarray()[cells]
    kept = np.zeros_like(codes)
    for i, code in enumerate(codes):
        top = np.argsort(-code, kind="stable")[:q]
        kept[i, top] = code[top]
    model = fitted(adata)
    x = adata.X[cells][:, model.genes].astype(float)
    error = ((x - decode(model.network, kept)) ** 2).sum()
    return 1 - error / ((x - x.mean(axis=0)) ** 2).sum()


@pytest.mark.parametrize("kind", ["linear", "deep"])
def test_the_curve_is_that_of_zeroing_and_decoding_by_hand(kind, request):
    adata = request.getfixturevalue(kind).copy()
    tl.latent_ablation(adata)
    table = get.latent_ablation(adata)
    assert table["kept"].tolist() == list(range(int(np.diff(adata.obsm["X_sparse_ae"].indptr).max()) + 1))
    for row in table.itertuples():
        assert row.explained_variance == pytest.approx(by_hand(adata, row.kept), abs=1e-6)
    assert table["share"].iloc[-1] == 1.0
    whole = table["explained_variance"].iloc[-1]
    if whole > 0:
        for row in get.latent_ablation(adata, fewest=True).itertuples():
            course = table["explained_variance"]
            assert row.kept == table["kept"][(course >= row.share * whole).to_numpy().argmax()]


def test_planted_cells_need_few_latents_wherever_the_curve_is_looked_at(linear, monkeypatch):
    from pathwayae.core.sparse_ae import ablation

    every, some = linear.copy(), linear.copy()
    tl.latent_ablation(every)
    table, fewest = get.latent_ablation(every), get.latent_ablation(every, fewest=True)
    assert table["explained_variance"].iloc[-1] > 0.9
    assert fewest["share"].tolist() == [0.9, 0.95]
    assert (fewest["kept"] <= 4).all()  # 1.6 programs per cell
    assert fewest["kept"].is_monotonic_increasing
    monkeypatch.setattr(ablation, "ALL", 1)
    monkeypatch.setattr(ablation, "GROWTH", 4)
    tl.latent_ablation(some)
    pd.testing.assert_frame_equal(get.latent_ablation(some, fewest=True), fewest)
    found = get.latent_ablation(some).set_index("kept")
    assert len(found) < len(table)
    pd.testing.assert_frame_equal(found, table.set_index("kept").loc[found.index])


@pytest.mark.parametrize("kind", ["linear", "deep"])
def test_one_cell_can_be_looked_at(kind, request):
    adata = request.getfixturevalue(kind)[7:8].copy()
    tl.latent_ablation(adata, progress=False)
    table = get.latent_ablation(adata)
    assert table["explained_variance"].iloc[0] == 0
    assert 0 < table["explained_variance"].iloc[-1] <= 1


def test_some_of_many_cells_are_drawn(linear):
    adata = linear.copy()
    tl.latent_ablation(adata, n_cells=100, random_state=3)
    some = get.latent_ablation(adata)
    chosen = np.sort(np.random.default_rng(3).choice(adata.n_obs, 100, replace=False))
    assert some["explained_variance"][2] == pytest.approx(by_hand(adata, 2, chosen), abs=1e-6)
    tl.latent_ablation(adata, n_cells=500)
    tl.latent_ablation(linear := linear.copy())
    pd.testing.assert_frame_equal(get.latent_ablation(adata), get.latent_ablation(linear))


def test_codes_that_explain_nothing_are_said(linear):
    adata = linear.copy()
    adata.obsm["X_sparse_ae"] = adata.obsm["X_sparse_ae"] * 20
    with pytest.warns(DataWarning, match="so there is no share of it to keep"):
        tl.latent_ablation(adata)
    assert get.latent_ablation(adata, fewest=True)["kept"].tolist() == [-1, -1]


# Agreement.


def test_agreement_is_that_of_refits_by_hand(linear):
    adata = linear.copy()
    tl.latent_agreement(adata, n_refits=2, progress=False)
    table = get.latent_agreement(adata)
    cells = training_cells(matrix.chosen(adata), held_out=0.1, seed=0, device="cpu", progress=False)
    refits = train(cells, [Config(n_latents=12, k=2, **TRAINED, seed=seed) for seed in (1, 2)], order=1)
    expected = agreement.agreement(features(fitted(adata).network), [features(fit.network) for fit in refits])
    np.testing.assert_allclose(table["cosine"], expected["cosine"], atol=1e-6)
    np.testing.assert_array_equal(table["found"], expected["found"])
    assert table["fires"].equals(pd.Series(np.asarray(adata.obsm["X_sparse_ae"].sum(axis=0)).ravel() > 0, name="fires"))


def test_planted_programs_come_back_and_a_strict_cosine_finds_less(linear):
    adata = linear.copy()
    tl.latent_agreement(adata, n_refits=3, progress=False)
    table = get.latent_agreement(adata).set_index("latent")
    programs = np.kron(np.eye(8), np.ones(5))
    cosine = agreement.cosines(programs, get.loadings(adata, key="sparse_ae").to_numpy().T)
    assert (cosine.max(axis=1) > 0.9).sum() >= 7
    best = cosine.argmax(axis=1)[cosine.max(axis=1) > 0.9]
    assert (table["found"].to_numpy()[best] == 1.0).mean() > 0.8
    for bound, stable in ((1.0, False), (-1.0, True)):
        tl.latent_agreement(adata, n_refits=1, min_cosine=bound, progress=False)
        assert (get.latent_agreement(adata)["stable"] == stable).all()


def test_refits_of_hidden_layers_and_of_an_embedding(deep):
    adata = deep.copy()
    tl.latent_agreement(adata, n_refits=1, progress=False)
    assert get.latent_agreement(adata)["cosine"].between(-1, 1).all()
    flat.sparse_ae(adata, obsm="X_pca", n_latents=10, k=2, **QUICK, key_added="pcs", progress=False)
    tl.latent_agreement(adata, n_refits=1, key="pcs", progress=False)
    tl.latent_ablation(adata, key="pcs")
    assert len(get.latent_agreement(adata, key="pcs")) == 10
    assert get.latent_ablation(adata, key="pcs")["share"].iloc[-1] == 1.0


# Both.


def test_results_survive_a_file_and_the_order_of_genes(linear, tmp_path):
    adata = linear.copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    shuffled = adata[:, np.random.default_rng(0).permutation(adata.n_vars)].copy()
    for each in (adata, back, shuffled):
        tl.latent_ablation(each)
        tl.latent_agreement(each, n_refits=1, progress=False)
    adata.write_zarr(tmp_path / "b.zarr")
    for other in (back, shuffled, ad.read_zarr(tmp_path / "b.zarr")):
        for read in (get.latent_ablation, get.latent_agreement, lambda a: get.latent_ablation(a, fewest=True)):
            pd.testing.assert_frame_equal(read(other), read(adata), rtol=1e-4, atol=1e-6, check_dtype=False)


def test_copies_leave_the_input_alone(linear):
    before = set(linear.uns["sparse_ae"])
    assert "ablation" in tl.latent_ablation(linear, copy=True).uns["sparse_ae"]
    assert "latent_agreement" in tl.latent_agreement(linear, n_refits=1, progress=False, copy=True).uns["sparse_ae"]
    assert set(linear.uns["sparse_ae"]) == before


def test_new_cells_have_codes_but_no_network(linear):
    new = planted(n=60, seed=1)
    tl.transform(new, linear, key="sparse_ae")
    tl.latent_sparsity(new)
    for tool in (tl.latent_ablation, tl.latent_agreement):
        with pytest.raises(KeyError, match="codes but no network"):
            tool(new)


def test_genes_that_are_gone_are_left_out(linear):
    adata = linear[:, 10:].copy()
    tl.latent_ablation(adata)
    whole = get.latent_ablation(adata)
    assert whole["explained_variance"].iloc[-1] == pytest.approx(by_hand(adata, whole["kept"].iloc[-1]), abs=1e-6)
    tl.latent_agreement(adata, n_refits=1, progress=False)
    assert len(get.latent_agreement(adata)) == 12


def test_arguments_are_checked(linear):
    for tool, arguments, error, message in (
        (tl.latent_ablation, {"n_cells": 0}, ValueError, "n_cells=0 is out of range"),
        (tl.latent_ablation, {"random_state": 0.5}, TypeError, "random_state"),
        (tl.latent_ablation, {"key": "other"}, KeyError, "No sparse autoencoder under key 'other'"),
        (tl.latent_agreement, {"n_refits": 0}, ValueError, "n_refits=0 is out of range"),
        (tl.latent_agreement, {"min_cosine": 2}, ValueError, "min_cosine"),
        (tl.latent_agreement, {"device": "abacus"}, ValueError, "abacus"),
    ):
        with pytest.raises(error, match=message):
            tool(linear.copy(), **arguments)


# Sweep.


def test_a_sweep_is_that_of_fits_by_hand():
    adata = planted()
    arguments = {"strengths": (1, 2, 4), "n_latents": 12, "n_seeds": 2, "random_state": 5}
    tl.sparse_ae_sweep(adata, **arguments, **SWEPT, threshold=0.05)
    fits = get.sparse_ae_sweep(adata, of="fits")
    assert fits[["strength", "seed"]].to_numpy().tolist() == [[k, s] for k in (1.0, 2.0, 4.0) for s in (5, 6)]
    cells = training_cells(matrix.chosen(adata), held_out=0.1, seed=5, device="cpu", progress=False)
    held_out = np.concatenate([np.asarray(batch) for batch in cells.held_out()])
    for row in fits.itertuples():
        config = Config(n_latents=12, k=row.strength, seed=row.seed, **QUICK)
        (fit,) = train(cells, [config], order=5)
        expected = trade_off.of_codes(encode(fit.network, held_out), 0.05)
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, abs=1e-6), name
        rebuilt = decode(fit.network, encode(fit.network, held_out))
        error = ((held_out - rebuilt) ** 2).sum() / ((held_out - held_out.mean(axis=0)) ** 2).sum()
        assert row.unexplained == pytest.approx(error, rel=1e-4)
    settings = get.sparse_ae_sweep(adata)
    assert settings["n_fits"].tolist() == [2, 2, 2]
    np.testing.assert_allclose(settings["unexplained"], fits["unexplained"].to_numpy().reshape(3, 2).mean(axis=1))
    assert get.sparse_ae_sweep(adata, of="equal_sparsity").empty  # one kind


def test_kinds_are_compared_at_equal_sparsity():
    adata = planted()
    kinds = ("batchtopk", "l1")
    strengths = {"batchtopk": [1, 2, 4], "l1": [0.03, 0.3]}
    options = SWEPT | {"n_epochs": 20, "sparsity": kinds, "strengths": strengths}
    tl.sparse_ae_sweep(adata, n_latents=[8, 12], by="l0", **options)
    table, found = get.sparse_ae_sweep(adata), get.sparse_ae_sweep(adata, of="equal_sparsity")
    assert len(table) == 2 * (3 + 2)
    assert set(found["n_latents"]) <= {8, 12}
    assert len(found)
    for n_latents, rows in found.groupby("n_latents"):
        expected = trade_off.equal_sparsity(table[table["n_latents"] == n_latents])
        pd.testing.assert_frame_equal(rows.drop(columns="n_latents").reset_index(drop=True), expected)
    tl.sparse_ae_sweep(adata, n_latents=8, **options)
    assert list(get.sparse_ae_sweep(adata, of="equal_sparsity")) == ["hoyer", "sparsity", "unexplained", "n_latents"]


def test_more_latents_per_cell_explain_more():
    adata = planted()
    tl.sparse_ae_sweep(adata, strengths=(1, 2, 4), n_latents=16, **SWEPT | {"n_epochs": 40})
    table = get.sparse_ae_sweep(adata)
    assert table["unexplained"].is_monotonic_decreasing
    assert table["l0"].is_monotonic_increasing
    assert table["hoyer"].is_monotonic_decreasing


def test_the_classic_networks_are_swept_as_they_are_fitted_and_what_has_nothing_in_common_is_said():
    adata = planted(n=200)
    adata.X = np.clip(adata.X / adata.X.max(), 0, 1)
    arguments = {"sparsity": ["l1", "kl"], "strengths": {"l1": [0.01]}, "n_epochs": 2, "progress": False}
    tables = []
    for name in ("l1", "kl"):  # the networks are those of `sparsity`, whichever of them is named
        with pytest.warns(DataWarning, match="no hoyer in common"):
            tl.sparse_ae_sweep(adata, settings=tl.SparseAESettings(classic=name), **arguments)
        tables.append(get.sparse_ae_sweep(adata))
    pd.testing.assert_frame_equal(*tables)
    assert tables[0].loc[tables[0]["sparsity"] == "l1", "strength"].tolist() == [0.01]
    assert len(tables[0]) == 1 + 6
    assert set(tables[0]["n_latents"]) == {128}
    assert adata.uns["sparse_ae_sweep"]["params"]["classic"] == "kl"
    assert tables[0].loc[tables[0]["sparsity"] == "kl", "l0"].eq(128).all()  # sigmoids of 2 epochs are all above 0.1
    with pytest.raises(ValueError, match="not for 'topk'"):
        tl.sparse_ae_sweep(adata, sparsity="topk", settings=tl.SparseAESettings(classic="l1"))


def test_a_sweep_comes_before_a_fit_outlives_it_and_survives_a_file(tmp_path):
    adata = planted(n=200)
    arguments = {"strengths": (1, 2), "n_latents": 8, **SWEPT}
    copied = tl.sparse_ae_sweep(adata, **arguments, copy=True)
    assert "sparse_ae_sweep" not in adata.uns
    flat.sparse_ae(copied, n_latents=8, k=2, **QUICK, progress=False)
    assert len(get.sparse_ae_sweep(copied)) == 2
    tl.sparse_ae_sweep(copied, **arguments, obsm="X_pca", key_added="pcs")
    for form in ("h5ad", "zarr"):
        getattr(copied, f"write_{form}")(tmp_path / f"a.{form}")
        back = getattr(ad, f"read_{form}")(tmp_path / f"a.{form}")
        for key in ("sparse_ae", "pcs"):
            for of in ("fits", "settings", "equal_sparsity"):
                before, after = get.sparse_ae_sweep(copied, of=of, key=key), get.sparse_ae_sweep(back, of=of, key=key)
                pd.testing.assert_frame_equal(after, before, check_dtype=False)
    assert copied.uns["pcs_sweep"]["params"]["obsm"] == "X_pca"


def test_default_strengths_follow_the_number_of_latents():
    adata = planted(n=200)
    tl.sparse_ae_sweep(adata, sparsity=["topk", "l1"], n_latents=[1, 9], **SWEPT)
    table = get.sparse_ae_sweep(adata)
    own = table[table["sparsity"] == "topk"].groupby("n_latents")["strength"].agg(list)
    assert own.to_dict() == {1: [1.0], 9: [2.0, 4.0]}
    own = table.loc[(table["sparsity"] == "l1") & (table["n_latents"] == 9), "strength"]
    assert own.tolist() == [0.01, 0.03, 0.1, 0.3, 1.0]


def test_parts_that_fit_in_memory_give_the_same(monkeypatch):
    from pathwayae.tl._sparse_ae import sweep

    adata = planted(n=200)
    arguments = {"strengths": (1, 2, 4), "n_latents": 8, **SWEPT}
    tl.sparse_ae_sweep(adata, **arguments)
    before = get.sparse_ae_sweep(adata)
    monkeypatch.setattr(sweep, "TOGETHER_BYTES", 1)
    tl.sparse_ae_sweep(adata, **arguments)
    pd.testing.assert_frame_equal(get.sparse_ae_sweep(adata), before, rtol=1e-4)


def test_settings_of_a_sweep_are_checked():
    for arguments, error, message in (
        ({"sparsity": "l2"}, ValueError, "sparsity='l2' is not known"),
        ({"sparsity": []}, ValueError, "at least one"),
        ({"sparsity": ["l1", "kl"], "strengths": [0.1]}, ValueError, "pass a mapping"),
        ({"strengths": {"l1": [0.1]}}, ValueError, "strengths='l1' is not known; choose one of 'batchtopk'"),
        ({"strengths": [2, 2]}, ValueError, "none twice"),
        ({"strengths": [-1]}, ValueError, "strengths=-1 is out of range"),
        ({"strengths": [20], "n_latents": 8}, ValueError, "k=20"),
        ({"n_latents": [8, 8]}, ValueError, "none twice"),
        ({"n_latents": 2.5}, TypeError, "n_latents=2.5"),
        ({"n_seeds": 0}, ValueError, "n_seeds=0"),
        ({"by": "l2"}, ValueError, "by='l2'"),
        ({"settings": tl.SparseAESettings(held_out=0)}, ValueError, "held_out=0.* is out of range"),
        ({"threshold": -1}, ValueError, "threshold=-1"),
        ({"settings": tl.SparseAESettings(weight=0.1)}, ValueError, "weight=0.1 is a strength"),
        ({"settings": {"batch_size": 3}}, TypeError, r"must be pae\.tl\.SparseAESettings\(…\) or None, not dict"),
        ({"obsm": "X_none"}, KeyError, "X_none"),
    ):
        with pytest.raises(error, match=message):
            tl.sparse_ae_sweep(planted(n=60), **arguments, progress=False)
        with pytest.raises(ValueError, match="Fewer than 2 of"):
            tl.sparse_ae_sweep(planted(n=15), n_latents=4, strengths=[1], progress=False)
