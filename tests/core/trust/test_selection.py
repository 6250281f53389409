"""What was held out, against the cells themselves."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from sklearn.metrics import roc_auc_score

from pathwayae.core.grouped import components
from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.fit import Config
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Moments
from pathwayae.core.trust import selection

CONFIG = Config(theta=0.3, epsilon=0.0, l1_ratio=0.5, learning_rate=0.03, max_iter=60)
G, P = 60, 3


def cells(n=300, n_free=2, seed=0, noise=0.5, first=0):
    """Three pathways of ten genes, and free programs on all genes from the first."""
    rng = np.random.default_rng(seed)
    membership = np.zeros((G, P), dtype=bool)
    for j in range(P):
        membership[10 * j : 10 * j + 10, j] = True
    free = rng.normal(size=(G, n_free)) * (np.arange(G) >= first)[:, None]
    loadings = np.column_stack([membership, free])
    return rng.gamma(1.0, 1.0, size=(n, P + n_free)) @ loadings.T + noise * rng.normal(size=(n, G)), membership


def strata_of(values, n_folds=3):
    codes = np.arange(len(values)) % n_folds
    parts = [accumulate(values[codes == f]) for f in range(n_folds)]
    names = tuple(f"s{f}" for f in range(n_folds))
    stacked = (np.concatenate([getattr(part, name) for part in parts]) for name in ("counts", "sums", "grams"))
    return Moments(*stacked, names), codes


def design_of(values, membership, **options):
    moments, codes = strata_of(values)
    return selection.Design(moments, membership, replace(CONFIG, **options), True, "pareto"), codes


def standardized(values, codes, fold):
    """Training and held-out cells of a fold, in units of the training cells."""
    train, held_out = values[codes != fold], values[codes == fold]
    mean, unit = train.mean(axis=0), np.sqrt(train.std(axis=0))
    return (train - mean) / unit, (held_out - mean) / unit


def test_every_member_is_hidden_once_and_evenly():
    membership = np.zeros((30, 3), dtype=bool)
    membership[:13, 0] = membership[5:8, 1] = membership[29, 2] = True
    hidden = selection.hidden_members(membership, 5, np.random.default_rng(0))
    assert (hidden[~membership] == -1).all()
    assert sorted(np.bincount(hidden[:13, 0], minlength=5)) == [2, 2, 3, 3, 3]
    assert len(set(hidden[5:8, 1])) == 3
    assert hidden[29, 2] == -1  # a pathway keeps its only member


def test_recovery_is_the_partial_area_under_the_curve():
    rng = np.random.default_rng(1)
    membership = rng.random((200, 4)) < 0.3
    membership[:, 3] = True  # nothing to compare with
    hidden = membership & (rng.random((200, 4)) < 0.5)
    hidden[:, 2] = False  # nothing hidden
    loadings = rng.random((200, 4)) + hidden
    loadings[:, 0] -= 0.7 * hidden[:, 0]
    areas = selection.recovery(loadings, hidden, membership)
    for j in (0, 1):
        used = hidden[:, j] | ~membership[:, j]
        n = (~membership[:, j]).sum()
        above = [(loadings[~membership[:, j], j] > value).mean() for value in loadings[hidden[:, j], j]]
        raw = np.mean([max(0.0, 1 - share / 0.1) for share in above])
        assert areas[j] == pytest.approx(0.5 * (1 + (raw - 0.05) / 0.95), rel=1e-12)
        # the same by the trapezoids of a curve, but for the one step that 0.1 cuts
        assert areas[j] == pytest.approx(roc_auc_score(hidden[used, j], loadings[used, j], max_fpr=0.1), abs=1 / n)
    assert areas[1] == 1.0
    assert np.isnan(areas[2:]).all()


def test_equal_loadings_count_half_and_chance_is_one_half():
    membership = np.array([[1], [1], [0], [0]], dtype=bool)
    hidden = np.array([[1], [0], [0], [0]], dtype=bool)
    below = selection.recovery(np.zeros((4, 1)), hidden, membership)
    assert below == pytest.approx(0.5 * (1 - 0.05 / 0.95))  # half of the others above: none within 0.1
    rng = np.random.default_rng(0)
    membership = np.arange(2000)[:, None] < np.full(300, 400)
    hidden = membership & (np.arange(2000)[:, None] % 4 == 0)
    areas = selection.recovery(rng.random((2000, 300)), hidden, membership)
    assert abs(areas.mean() - 0.5) < 4 * areas.std() / 300**0.5


def test_path_of_theta_is_that_of_one_fit_after_another_on_the_cells():
    values, membership = cells()
    design, codes = design_of(values, membership, random_state=4)
    table = selection.theta_path(design, 2, thetas=(0.5, 0.1))
    assert table["theta"].tolist() == [0.1, 0.5]
    hidden = selection.hidden_members(membership, 3, np.random.default_rng(4))
    for row in table.itertuples():
        error, auc, inside, agreed = [], [], [], []
        for fold in range(3):
            train, held_out = standardized(values, codes, fold)
            data = accumulate(train).standardize(center=False, scale=None)
            seen = membership & (hidden != fold)
            w = grouped.fit(data, seen, np.ones(G, bool), P, replace(design.config, theta=row.theta)).loadings
            left = train - train @ scipy.linalg.orth(w) @ scipy.linalg.orth(w).T
            free = np.linalg.svd(left, full_matrices=False)[2][:2].T
            q = scipy.linalg.orth(np.column_stack([w, free]))
            error.append(((held_out - held_out @ q @ q.T) ** 2).sum() / (held_out**2).sum())
            auc.extend(selection.recovery(w, hidden == fold, membership))
            own = held_out.T @ held_out
            agreed.append(selection.agreement(own, w, hidden == fold, membership))
            inside.append(np.mean([(w[seen[:, j], j] ** 2).sum() / (w[:, j] ** 2).sum() for j in range(P)]))
        assert row.heldout_error == pytest.approx(np.mean(error), rel=1e-4)
        assert row.se == pytest.approx(np.std(error, ddof=1) / 3**0.5, rel=1e-2)
        assert row.auc == pytest.approx(np.mean(auc), abs=0.01)  # ranks of near ties
        assert row.correlation == pytest.approx(np.mean(agreed), rel=1e-3)
        assert row.correlation_se == pytest.approx(np.std(np.mean(agreed, axis=0), ddof=1) / P**0.5, rel=1e-2)
        assert row.inside == pytest.approx(np.mean(inside), rel=1e-4)
    assert table["chosen"].sum() == 1


def test_the_best_is_chosen_and_those_as_good_are_marked():
    error = np.array([0.500, 0.501, 0.505, 0.509, 0.600])
    base = np.array([0.30, 0.401, 0.402, 0.400, 0.39])
    jitter = np.array([[0.0, 0.01, -0.01, 0.0, 0.0], [0.0, -0.01, 0.01, 0.0, 0.0], [0.0, 0.0, 0.0, 0.02, 0.0]])
    agreed = base + jitter - jitter.mean(axis=0)
    chosen, as_good = selection.choose(error, agreed)
    assert (chosen, as_good.tolist()) == (2, [False, True, True, True, False])
    chosen, as_good = selection.choose(error, np.tile(base, (3, 1)))
    assert (chosen, as_good.tolist()) == (2, [False, False, True, False, False])  # without noise, itself alone
    chosen, as_good = selection.choose(error, np.zeros((0, 5)))  # nothing was hidden
    assert (chosen, as_good.tolist()) == (3, [True, True, True, True, False])
    assert selection.choose(error, agreed[:1], tolerance=0.5)[0] == 4


def test_scores_agree_with_hidden_members_as_the_cells_say():
    values, membership = cells()
    values = values - values.mean(axis=0)
    membership[:, 2] = True  # nothing to compare with
    hidden = membership & (np.arange(G) % 3 == 0)[:, None]
    hidden[:, 1] = False
    encoder = np.random.default_rng(2).normal(size=(G, P)) ** 2
    found = selection.agreement(values.T @ values, encoder, hidden, membership)
    score = values @ np.where(hidden[:, 0], 0.0, encoder[:, 0])
    target = values[:, hidden[:, 0]].mean(axis=1) - values[:, ~membership[:, 0]].mean(axis=1)
    assert found[0] == pytest.approx(np.corrcoef(score, target)[0, 1], rel=1e-10)
    assert np.isnan(found[1:]).all()


def test_hidden_genes_are_predicted_by_least_squares():
    values, _ = cells(80)
    values = values - values.mean(axis=0)
    basis = np.linalg.qr(np.random.default_rng(2).normal(size=(G, 6)))[0]
    hidden = np.arange(G) % 4 == 1
    shares = selection.predicted_share(values.T @ values, basis, hidden, 3)
    for k, share in zip(range(3, 7), shares, strict=True):
        scores = np.linalg.lstsq(basis[~hidden, :k], values[:, ~hidden].T, rcond=None)[0]
        left = values[:, hidden] - (basis[hidden, :k] @ scores).T
        assert share == pytest.approx(1 - (left**2).sum() / (values[:, hidden] ** 2).sum(), rel=1e-10)
    assert len(shares) == 4


def test_path_of_free_components_explains_what_they_do():
    values, membership = cells()
    design, codes = design_of(values, membership)
    table = selection.extra_path(design, 4)
    explained = np.zeros((3, 2, 5))
    for fold in range(3):
        train, held_out = standardized(values, codes, fold)
        data = accumulate(train).standardize(center=False, scale=None)
        w = grouped.fit(data, membership, np.ones(G, bool), P, CONFIG).loadings
        for m in range(5):
            q = scipy.linalg.orth(np.column_stack([w, components.residual_components(data.gram, w, m)]))
            explained[fold, :, m] = [((x @ q) ** 2).sum() / (x**2).sum() for x in (train, held_out)]
    np.testing.assert_allclose(table["explained"], explained.mean(axis=0)[0], rtol=1e-4)
    np.testing.assert_allclose(table["heldout_explained"], explained.mean(axis=0)[1], rtol=1e-4)
    assert table["n_extra"].tolist() == [0, 1, 2, 3, 4]
    assert table["chosen"].sum() == 1


@pytest.mark.parametrize("planted", [1, 4])
def test_as_many_free_components_as_were_planted(planted):
    values, membership = cells(600, planted, seed=planted, first=30)
    design, _ = design_of(values, membership)
    table = selection.extra_path(design, 10)
    assert table.loc[table["chosen"], "n_extra"].tolist() == [planted]
    assert table["heldout_explained"].is_monotonic_increasing


def test_advance_is_called_per_fold_and_nothing_is_changed():
    values, membership = cells(60)
    design, _ = design_of(values, membership, max_iter=2)
    before, calls = (design.membership.copy(), design.moments.grams.copy()), []
    selection.theta_path(design, 0, thetas=(0.1, 0.2), advance=lambda: calls.append(1))
    table = selection.extra_path(design, 0, advance=lambda: calls.append(1))
    assert len(calls) == 6
    assert (len(table), table["chosen"].tolist()) == (1, [True])  # a path without components
    np.testing.assert_array_equal(design.membership, before[0])
    np.testing.assert_array_equal(design.moments.grams, before[1])
