"""Latents that follow the batch, against scipy and sums over dense arrays."""

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import roc_auc_score

from pathwayae.core.sparse_ae import batch_effect


def planted(n=240, m=6, seed=0):
    """Latent 0 never fires, 1 follows the batch, 2 the group; batch_effect hold groups in different shares."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, 3, n)
    batch = np.where(rng.random(n) < 0.7, group, rng.integers(0, 3, n))
    dense = rng.choice([0.2, 0.4, 0.9], size=(n, m)) * (rng.random((n, m)) < 0.4)
    dense[:, 0] = 0
    dense[:, 1] += 0.8 * (batch == 2)
    dense[:, 2] += 2.0 * (group == 1)
    return dense, batch, group


def shares(values, labels, groups):
    """Sums of squares between labels and in all, within groups that hold two labels or more."""
    between = total = 0.0
    for group in np.unique(groups):
        own = groups == group
        if len(set(labels[own])) < 2:
            continue
        mean = values[own].mean()
        total += ((values[own] - mean) ** 2).sum()
        for label in set(labels[own]):
            part = values[own & (labels == label)]
            between += len(part) * (part.mean() - mean) ** 2
    return between / total if total > 0 else 0.0


def test_without_groups_as_scipy_has_it():
    dense, batch, _ = planted()
    table = batch_effect.association(dense, batch, 3)
    for j in range(1, dense.shape[1]):
        expected = stats.kruskal(*(dense[batch == b, j] for b in range(3)))
        assert table["statistic"][j] == pytest.approx(expected.statistic, rel=1e-9)
        assert table["pval"][j] == pytest.approx(expected.pvalue, rel=1e-9)
        assert table["variance"][j] == pytest.approx(shares(dense[:, j], batch, np.zeros(len(batch))))
        areas = np.array([roc_auc_score(batch == b, dense[:, j]) for b in range(3)])
        assert table["batch"][j] == np.abs(areas - 0.5).argmax()
        assert table["auroc"][j] == pytest.approx(areas[table["batch"][j]])


def test_within_groups_statistics_add_up():
    dense, batch, group = planted()
    group = np.where(batch == 0, 3, group)  # a group of one batch, which says nothing
    table = batch_effect.association(dense, batch, 3, groups=group)
    for j in range(1, dense.shape[1]):
        statistic = freedom = 0.0
        for g in range(3):
            parts = [dense[(group == g) & (batch == b), j] for b in range(3)]
            parts = [part for part in parts if len(part)]
            statistic += stats.kruskal(*parts).statistic
            freedom += len(parts) - 1
        assert table["statistic"][j] == pytest.approx(statistic, rel=1e-9)
        assert table["pval"][j] == pytest.approx(stats.chi2.sf(statistic, freedom), rel=1e-9)
        assert table["variance"][j] == pytest.approx(shares(dense[:, j], batch, group), rel=1e-9)


def test_only_latents_of_the_batch_are_flagged_within_groups():
    dense, batch, group = planted(n=2000)
    alone = batch_effect.association(dense, batch, 3)
    within = batch_effect.association(dense, batch, 3, groups=group)
    assert alone["flag"].tolist() == [False, True, True, False, False, False]  # the group's latent is blamed
    assert within["flag"].tolist() == [False, True, False, False, False, False]
    assert not batch_effect.association(dense, batch, 3, groups=group, min_share=1.0)["flag"].any()


def test_a_latent_that_never_fires_is_not_tested():
    dense, batch, _ = planted()
    table = batch_effect.association(dense, batch, 3)
    assert table.loc[0, ["statistic", "pval", "padj"]].isna().all()
    assert table.loc[0, "variance"] == 0.0
    tested = table["pval"].notna()
    np.testing.assert_allclose(table["padj"][tested], stats.false_discovery_control(table["pval"][tested]))


def test_p_is_uniform_where_batches_are_random():
    rng = np.random.default_rng(3)
    dense = rng.random((300, 400)) * (rng.random((300, 400)) < 0.3)
    table = batch_effect.association(dense, rng.integers(0, 3, 300), 3, groups=rng.integers(0, 2, 300))
    assert stats.kstest(table["pval"], "uniform").pvalue > 0.01
    assert not table["flag"].any()


def test_nothing_can_be_compared_where_every_group_is_one_batch():
    dense, _, group = planted()
    table = batch_effect.association(dense, group, 3, groups=group)
    assert table["pval"].isna().all()
    assert not table["flag"].any()


def test_one_batch_is_refused():
    with pytest.raises(ValueError, match="At least two labels"):
        batch_effect.association(np.eye(3), np.zeros(3, dtype=int), 1)
