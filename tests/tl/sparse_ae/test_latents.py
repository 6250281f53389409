"""Sparsity, selectivity, batches and genes of latents, from the slots alone."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from latent_slots import LATENTS, TYPES, coded_adata, dense_codes
from scipy import stats
from sklearn.metrics import roc_auc_score

from pathwayae import DataWarning, get, tl


@pytest.fixture
def adata():
    return coded_adata()


def everything(adata, key="sparse_ae"):
    """All analyses that need no network."""
    tl.latent_sparsity(adata, groupby="cell_type", key=key)
    tl.latent_selectivity(adata, "cell_type", key=key)
    tl.latent_batches(adata, "batch", groupby="cell_type", key=key)
    tl.latent_genes(adata, key=key)


def tables(adata, key="sparse_ae"):
    return {
        "latents": get.latent_sparsity(adata, key=key),
        "cells": get.latent_sparsity(adata, of="cells", key=key),
        "groups": get.latent_sparsity(adata, of="groups", key=key),
        "activations": get.latent_sparsity(adata, of="activations", key=key),
        "selectivity": get.latent_selectivity(adata, key=key),
        "best": get.latent_selectivity(adata, best=True, key=key),
        "batches": get.latent_batches(adata, key=key),
        "genes": get.latent_genes(adata, key=key),
    }


# Sparsity.


@pytest.mark.parametrize(("threshold", "relative"), [(0.1, False), (0.5, True)])
def test_population_and_lifetime_sparsity_are_shares_of_active_codes(adata, threshold, relative):
    assert tl.latent_sparsity(adata, threshold=threshold, relative=relative) is None
    dense = dense_codes(adata)
    active = dense > (threshold * dense.max(axis=0) if relative else threshold)
    latents, cells = get.latent_sparsity(adata), get.latent_sparsity(adata, of="cells")
    assert latents["latent"].tolist() == LATENTS
    np.testing.assert_allclose(latents["lifetime"], active.mean(axis=0))
    np.testing.assert_allclose(cells["population"], active.mean(axis=1))
    np.testing.assert_array_equal(cells["l0"], active.sum(axis=1))
    assert cells.index.equals(adata.obs_names)
    assert get.latent_sparsity(adata, of="activations")["count"].sum() == (dense > 0).sum()


def test_planted_kinds_of_latents_are_told(adata):
    tl.latent_sparsity(adata)
    latents = get.latent_sparsity(adata).set_index("latent")
    kinds = latents["kind"][["latent_0", "latent_1", "latent_2", "latent_4"]]
    assert kinds.tolist() == ["never", "rare", "dense", "common"]
    assert latents.index[latents["dead"]].tolist() == ["latent_0", "latent_1"]
    with pytest.warns(DataWarning, match="No activation is above threshold=99; the largest is"):
        tl.latent_sparsity(adata, threshold=99)
    assert set(get.latent_sparsity(adata)["kind"]) == {"never"}


def test_a_row_per_group_is_that_of_its_cells_alone(adata):
    tl.latent_sparsity(adata, groupby="cell_type")
    groups = get.latent_sparsity(adata, of="groups").set_index("group")
    assert groups.index.tolist() == ["all", *TYPES]
    for name in TYPES:
        part = adata[adata.obs["cell_type"] == name].copy()
        tl.latent_sparsity(part)
        own = get.latent_sparsity(part, of="groups").set_index("group").loc["all"]
        np.testing.assert_allclose(groups.loc[name].astype(float), own.astype(float))


# Selectivity.


def test_areas_are_those_of_scikit_learn(adata):
    tl.latent_selectivity(adata, "cell_type")
    dense, table = dense_codes(adata), get.latent_selectivity(adata)
    assert len(table) == len(LATENTS) * len(TYPES)
    for row in table.itertuples():
        own = (adata.obs["cell_type"] == row.label).to_numpy()
        assert row.auroc == pytest.approx(roc_auc_score(own, dense[:, LATENTS.index(row.latent)]))
    tested = table[table["pval"].notna()]
    np.testing.assert_allclose(tested["padj"], stats.false_discovery_control(tested["pval"]))
    assert set(table.loc[table["pval"].isna(), "latent"]) == {"latent_0"}


def test_planted_latents_are_the_most_selective_ones(adata):
    tl.latent_selectivity(adata, "cell_type")
    best = get.latent_selectivity(adata, best=True)
    assert set(best["latent"][:4]) == {"latent_4", "latent_5", "latent_6", "latent_7"}
    label = best.set_index("latent")["label"]
    assert [label[f"latent_{4 + j}"] for j in range(4)] == TYPES
    np.testing.assert_allclose(best["specificity"][:4], 1.0)
    assert best["auroc"].is_monotonic_decreasing
    assert "latent_0" not in set(best["latent"])


def test_labels_of_any_kind(adata):
    group = adata.obs["cell_type"].cat.codes
    for labels in (
        group.astype(str).astype(object),
        group,
        group == 2,
        pd.Categorical(group.astype(str), categories=list("43210")),  # one has no cell
    ):
        adata.obs["label"] = labels
        tl.latent_selectivity(adata, "label")
        found = get.latent_selectivity(adata, "latent_6").set_index("label")["auroc"]
        two = adata.obs["label"].dtype == bool
        assert found.idxmax() == ("True" if two else "2")
        assert len(found) == (2 if two else 4)


def test_a_fixed_threshold_for_f1(adata):
    tl.latent_selectivity(adata, "cell_type", threshold=0.5)
    row = get.latent_selectivity(adata, "latent_5").set_index("label").loc[TYPES[1]]
    values = dense_codes(adata)[:, 5]
    called, own = values > 0.5 * values.max(), (adata.obs["cell_type"] == TYPES[1]).to_numpy()
    assert row["f1"] == pytest.approx(2 * (called & own).sum() / (called.sum() + own.sum()))
    assert row["threshold"] == pytest.approx(0.5 * values.max())


# Batches.


def test_only_the_latent_of_the_batch_is_flagged(adata):
    tl.latent_batches(adata, "batch", groupby="cell_type")
    assert get.latent_batches(adata, flagged=True)["latent"].tolist() == ["latent_3"]
    row = get.latent_batches(adata).set_index("latent").loc["latent_3"]
    assert row["batch"] in ("batch 0", "batch 1")
    assert abs(row["auroc"] - 0.5) > 0.3
    tl.latent_batches(adata, "batch")
    values, batch = dense_codes(adata)[:, 3], adata.obs["batch"]
    row = get.latent_batches(adata).set_index("latent").loc["latent_3"]
    assert row["pval"] == pytest.approx(stats.kruskal(*(values[batch == b] for b in batch.cat.categories)).pvalue)


def test_batch_and_group_that_are_one_are_said(adata):
    with pytest.warns(DataWarning, match="cannot be told apart"):
        tl.latent_batches(adata, "cell_type", groupby="cell_type")
    assert get.latent_batches(adata)["pval"].isna().all()


# Genes.


def test_top_genes_are_the_largest_entries_of_the_features(adata):
    tl.latent_genes(adata, n_genes=7)
    table = get.latent_genes(adata)
    dense, features = dense_codes(adata), get.loadings(adata, key="sparse_ae")
    for j, name in enumerate(LATENTS):
        own = table[table["latent"] == name]
        expected = features[name].reindex(features[name].abs().sort_values(ascending=False).index)[:7]
        assert own["gene"].tolist() == expected.index.tolist()
        np.testing.assert_allclose(own["effect"], expected, rtol=1e-6)
        assert own["rank"].tolist() == list(range(1, 8))
        fired = dense[dense[:, j] > 0, j]
        np.testing.assert_allclose(own["typical"], expected * (fired.mean() if len(fired) else 0.0), rtol=1e-5)


def test_genes_have_the_names_of_the_fit_and_none_without_effect(adata):
    by_id = coded_adata(symbols=True)
    for each in (adata, by_id):
        tl.latent_genes(each, ["latent_9", "latent_2"], n_genes=64)
    pd.testing.assert_frame_equal(get.latent_genes(adata), get.latent_genes(by_id))
    table = get.latent_genes(adata)
    assert table["latent"].drop_duplicates().tolist() == ["latent_9", "latent_2"]
    assert len(table) == 2 * 60
    assert not set(table["gene"]) & {"GENE60", "GENE61", "GENE62", "GENE63"}
    assert get.latent_genes(adata, "latent_2")["latent"].unique().tolist() == ["latent_2"]


def test_latents_of_an_embedding_without_loadings_have_no_genes(adata):
    adata.uns["sparse_ae"]["params"]["obsm"] = "X_scvi"
    del adata.varm["sparse_ae_features"]
    for tool in (tl.latent_genes, lambda a: tl.enrich(a, {"a": ["GENE1"]}, key="sparse_ae")):
        with pytest.raises(KeyError, match=r"was fitted to obsm\['X_scvi'\], of which nothing is known about genes"):
            tool(adata)


@pytest.mark.parametrize("method", ["prerank", "ora"])
def test_every_latent_is_tested_for_enrichment(adata, method):
    sets = {f"set {j}": [f"GENE{i}" for i in range(3 * j % 60, 3 * j % 60 + 5)] for j in range(8, 12)}
    tl.enrich(adata, sets, key="sparse_ae", method=method, n_genes=6)
    table = get.enrichment(adata, key="sparse_ae")
    assert set(table["component"]) == set(LATENTS)
    assert set(table["n_genes"]) == {5}
    best = table.loc[table.groupby("component")["pval"].idxmin()].set_index("component")
    for j in range(8, 12):
        assert best.loc[f"latent_{j}", "term"] == f"set {j}"
    with pytest.raises(ValueError, match="0 of the 4 genes"):
        tl.enrich(adata, {"outside": [f"GENE{i}" for i in range(60, 64)]}, key="sparse_ae", min_genes=2)


# Slots.


def test_everything_survives_files_and_another_key(adata, tmp_path):
    other = coded_adata(key="other")
    everything(adata)
    everything(other, "other")
    assert "other_l0" in other.obs
    expected = tables(adata)
    adata.write_h5ad(tmp_path / "a.h5ad")
    adata.write_zarr(tmp_path / "a.zarr")
    found = [
        tables(other, "other"),
        tables(ad.read_h5ad(tmp_path / "a.h5ad")),
        tables(ad.read_zarr(tmp_path / "a.zarr")),
    ]
    for name, table in expected.items():
        for own in found:
            pd.testing.assert_frame_equal(own[name], table, check_dtype=False, obj=name)


def test_the_order_of_cells_and_genes_does_not_matter_and_some_cells_will_do(adata):
    rng = np.random.default_rng(1)
    shuffled = adata[rng.permutation(adata.n_obs), rng.permutation(adata.n_vars)].copy()
    for each in (adata, shuffled):
        everything(each)
    before, after = tables(adata), tables(shuffled)
    for name in before:
        left, right = before[name], after[name]
        pd.testing.assert_frame_equal(left, right.loc[left.index] if name == "cells" else right, rtol=1e-6, obj=name)
    some = shuffled[:200].copy()
    pd.testing.assert_frame_equal(get.latent_sparsity(some, of="cells"), before["cells"].loc[some.obs_names])
    everything(some)
    assert get.latent_sparsity(some, of="groups")["n_cells"].iloc[0] == 200


def test_analyses_stand_beside_each_other_and_copies_leave_the_input_alone(adata):
    before = set(adata.uns["sparse_ae"]), set(adata.obs)
    for copied in (
        tl.latent_sparsity(adata, copy=True),
        tl.latent_selectivity(adata, "cell_type", copy=True),
        tl.latent_batches(adata, "batch", copy=True),
        tl.latent_genes(adata, copy=True),
    ):
        assert set(copied.uns["sparse_ae"]) > before[0]
    assert (set(adata.uns["sparse_ae"]), set(adata.obs)) == before
    everything(adata)
    assert {"sparsity", "selectivity", "latent_batches", "latent_genes", "params"} <= set(adata.uns["sparse_ae"])


# At the door.


def test_a_key_without_a_sparse_autoencoder_and_codes_of_another_fit_are_named(adata):
    tools = (
        tl.latent_sparsity,
        lambda a, **key: tl.latent_selectivity(a, "cell_type", **key),
        lambda a, **key: tl.latent_batches(a, "batch", **key),
        tl.latent_genes,
    )
    few, none = adata.copy(), adata.copy()
    few.obsm["X_sparse_ae"] = few.obsm["X_sparse_ae"][:, :5]
    del none.obsm["X_sparse_ae"]
    none.uns["archetypes"] = {"params": {"model": "archetypes"}, "component_names": np.array(["archetype_0"])}
    for tool in tools:
        with pytest.raises(KeyError, match="No sparse autoencoder under key 'other'"):
            tool(adata, key="other")
        with pytest.raises(KeyError, match=r"holds archetypes, not a sparse autoencoder"):
            tool(none, key="archetypes")
        with pytest.raises(KeyError, match="X_sparse_ae"):
            tool(none)
        with pytest.raises(ValueError, match=r"X_sparse_ae'\] has shape \(240, 5\), but .* names 24 components"):
            tool(few)


@pytest.mark.parametrize(
    ("tool", "name"),
    [(tl.latent_selectivity, "groupby"), (tl.latent_batches, "batch_key"), (tl.latent_sparsity, "groupby")],
)
def test_labels_are_looked_at(adata, tool, name):
    with pytest.raises(KeyError, match=f"{name}='nothing' is not a column of adata.obs, which has 'cell_type'"):
        tool(adata, **{name: "nothing"})
    adata.obs["holes"] = adata.obs["cell_type"].where(np.arange(adata.n_obs) > 2)
    with pytest.raises(ValueError, match="3 of 240 cells have no label"):
        tool(adata, **{name: "holes"})
    adata.obs["fractions"] = np.linspace(0, 1, adata.n_obs)
    with pytest.raises(ValueError, match="holds fractions"):
        tool(adata, **{name: "fractions"})
    adata.obs["same"] = "one"
    if tool is not tl.latent_sparsity:
        with pytest.raises(ValueError, match="has one label, 'one'"):
            tool(adata, **{name: "same"})
    assert set(adata.uns["sparse_ae"]) == {"params", "component_names"}


def test_numbers_are_looked_at(adata):
    with pytest.raises(ValueError, match="threshold=-1"):
        tl.latent_sparsity(adata, threshold=-1)
    with pytest.raises(ValueError, match="threshold=2 is out of range; choose a value from 0 to 1"):
        tl.latent_sparsity(adata, threshold=2, relative=True)
    with pytest.raises(ValueError, match="threshold=2"):
        tl.latent_selectivity(adata, "cell_type", threshold=2)
    with pytest.raises(ValueError, match="min_variance"):
        tl.latent_batches(adata, "batch", min_variance=2)
    with pytest.raises(TypeError, match="n_genes"):
        tl.latent_genes(adata, n_genes=1.5)
    with pytest.raises(KeyError, match="closest: 'latent_3'"):
        tl.latent_genes(adata, "Latnt_3")


def test_what_was_not_measured_is_said(adata):
    for read, call in [
        (get.latent_sparsity, "pae.tl.latent_sparsity"),
        (get.latent_selectivity, "pae.tl.latent_selectivity"),
        (get.latent_genes, "pae.tl.latent_genes"),
        (get.latent_batches, "pae.tl.latent_batches"),
        (get.latent_agreement, "pae.tl.latent_agreement"),
        (get.latent_ablation, "pae.tl.latent_ablation"),
        (get.sparse_ae_sweep, "pae.tl.sparse_ae_sweep"),
    ]:
        with pytest.raises(KeyError, match=call):
            read(adata)
    tl.latent_sparsity(adata)
    del adata.obs["sparse_ae_hoyer"]
    with pytest.raises(KeyError, match="sparse_ae_hoyer"):
        get.latent_sparsity(adata, of="cells")
    with pytest.raises(ValueError, match="of='cell' is not known"):
        get.latent_sparsity(adata, of="cell")
    tl.latent_selectivity(adata, "cell_type")
    with pytest.raises(ValueError, match="max_padj"):
        get.latent_selectivity(adata, max_padj=2)
    assert (get.latent_selectivity(adata, max_padj=0.01)["padj"] <= 0.01).all()
