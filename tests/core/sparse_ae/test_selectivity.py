"""Selectivity of latents against scipy and scikit-learn, one latent and label at a time."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy import stats
from sklearn.metrics import f1_score, precision_recall_curve, roc_auc_score

from pathwayae.core.sparse_ae import measures, ranks, selectivity

N_LABELS = 4


def planted(n=160, m=9, seed=0):
    """Codes with many ties; latent 0 is never active, 1 is everywhere the same, 2 is one label, 3 has no zero."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(n) % N_LABELS)
    dense = rng.choice([0.1, 0.2, 0.5], size=(n, m)) * (rng.random((n, m)) < 0.3)
    dense[:, 0] = 0
    dense[:, 1] = 0.7
    dense[:, 2] = 0.4 * (labels == 1)
    dense[:, 3] = rng.random(n) + 0.5 * (labels == 2)
    dense[:, 4] += 0.3 * (labels == 0)
    return dense, labels


@pytest.fixture(scope="module")
def found():
    dense, labels = planted()
    return dense, labels, selectivity.selectivity(sp.csr_matrix(dense), labels, N_LABELS)


def row(table, latent, label):
    return table[(table["latent"] == latent) & (table["label"] == label)].iloc[0]


def test_ranks_are_those_of_scipy():
    dense, labels = planted()
    ranked = ranks.rank(measures.checked(dense))
    sums = ranks.sums(ranked, labels, N_LABELS)
    for j, values in enumerate(dense.T):
        expected = stats.rankdata(values)
        np.testing.assert_array_equal(sums[j], [expected[labels == label].sum() for label in range(N_LABELS)])
        count = np.unique(values, return_counts=True)[1].astype(float)
        assert ranked.ties[j] == (count**3 - count).sum()


def test_areas_p_values_and_means_are_those_of_scikit_learn_scipy_and_numpy(found):
    dense, labels, table = found
    for latent in range(dense.shape[1]):
        for label in range(N_LABELS):
            own, values, got = labels == label, dense[:, latent], row(table, latent, label)
            assert got["auroc"] == pytest.approx(roc_auc_score(own, values), abs=1e-12)
            assert got["mean"] == pytest.approx(values[own].mean())
            assert got["mean_rest"] == pytest.approx(values[~own].mean())
            if latent < 2:  # says nothing, and is not tested
                assert got[["pval", "padj"]].isna().all()
                assert got["auroc"] == 0.5
            else:
                expected = stats.mannwhitneyu(values[own], values[~own], method="asymptotic").pvalue
                assert got["pval"] == pytest.approx(expected, rel=1e-9)
    tested = table[table["pval"].notna()]
    np.testing.assert_allclose(tested["padj"], stats.false_discovery_control(tested["pval"]), rtol=1e-12)


def test_the_best_f1_is_that_of_the_whole_curve(found):
    dense, labels, table = found
    for latent in range(1, dense.shape[1]):
        for label in range(N_LABELS):
            precision, recall, limit = precision_recall_curve(labels == label, dense[:, latent])
            above = limit > 0
            f1 = 2 * precision[:-1] * recall[:-1] / np.maximum(precision[:-1] + recall[:-1], 1e-300)
            got = row(table, latent, label)
            assert got["f1"] == pytest.approx(f1[above].max(), abs=1e-12)
            called = dense[:, latent] >= got["threshold"]
            assert got["f1"] == pytest.approx(f1_score(labels == label, called))
            assert got["precision"] == pytest.approx((labels == label)[called].mean())
            assert got["recall"] == pytest.approx(called[labels == label].mean())


def test_f1_at_a_share_of_the_largest_activation():
    dense, labels = planted()
    table = selectivity.selectivity(dense, labels, N_LABELS, threshold=0.5)
    for latent in range(dense.shape[1]):
        for label in range(N_LABELS):
            called = dense[:, latent] > 0.5 * dense[:, latent].max()
            got = row(table, latent, label)
            assert got["f1"] == pytest.approx(f1_score(labels == label, called, zero_division=0.0))
            assert got["recall"] == pytest.approx(called[labels == label].mean())
            assert got["precision"] == pytest.approx((labels == label)[called].mean() if called.any() else 0.0)


def test_latents_by_their_best_label_most_selective_first(found):
    dense, labels, table = found
    best = selectivity.best_label(table)
    assert (best.loc[0, "latent"], best.loc[0, "label"]) == (2, 1)
    assert best.loc[0, "auroc"] == 1.0
    assert best.loc[0, "specificity"] == pytest.approx(1.0)
    assert best["auroc"].is_monotonic_decreasing
    assert sorted(best["latent"]) == list(range(2, dense.shape[1]))
    for _, one in best.iterrows():
        areas = table.loc[table["latent"] == one["latent"], "auroc"].to_numpy()
        assert [one["auroc"], one["auroc_second"]] == sorted(areas)[::-1][:2]
        mean = np.array([dense[labels == label, int(one["latent"])].mean() for label in range(N_LABELS)])
        share = mean / mean.sum()
        entropy = -sum(q * np.log(q) for q in share if q > 0)
        assert one["specificity"] == pytest.approx(1 - entropy / np.log(N_LABELS))


def test_no_active_latent_leaves_an_empty_table():
    labels = np.array([0, 1, 0, 1])
    best = selectivity.best_label(selectivity.selectivity(np.zeros((4, 2)), labels, 2))
    assert best.empty
    assert {"auroc_second", "specificity"} <= set(best)


def test_order_of_cells_and_latents_does_not_matter(found):
    dense, labels, table = found
    rng = np.random.default_rng(1)
    cells, latents = rng.permutation(len(dense)), rng.permutation(dense.shape[1])
    other = selectivity.selectivity(dense[cells][:, latents], labels[cells], N_LABELS)
    other["latent"] = latents[other["latent"]]
    other = other.sort_values(["latent", "label"], ignore_index=True)
    pd.testing.assert_frame_equal(other, table, rtol=1e-12)
    rising = selectivity.selectivity(dense**2, labels, N_LABELS)
    pd.testing.assert_frame_equal(rising[["auroc", "pval", "f1"]], table[["auroc", "pval", "f1"]])


@pytest.mark.parametrize(
    ("labels", "n_labels", "message"),
    [
        (np.array([0, 0, 0]), 1, "At least two labels"),
        (np.array([0, 1]), 2, r"one value per cell \(3\)"),
        (np.array([0, 0, 2]), 3, "each must have a cell"),
        (np.array([0, 1, -1]), 2, "run from 0 to 1"),
    ],
)
def test_labels_are_checked(labels, n_labels, message):
    with pytest.raises(ValueError, match=message):
        selectivity.selectivity(np.eye(3), labels, n_labels)
