"""Scores that every pathway makes by itself: naive loops, planted truth, and what must not change them."""

import numpy as np
import pytest
from oracles import balanced
from scipy.sparse import csc_array

from pathwayae.core.evidence.association import prepare
from pathwayae.core.grouped import members
from pathwayae.core.grouped.encoder import expression_bins
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.gram_product import standardize


def cells(n=400, g=180, n_programs=4, size=15, seed=0):
    """Programs of `size` genes each, the first genes; the rest is noise."""
    rng = np.random.default_rng(seed)
    true = np.zeros((g, n_programs), dtype=bool)
    for j in range(n_programs):
        true[j * size : (j + 1) * size, j] = True
    x = rng.gamma(1.0, 1.0, size=(n, n_programs)) @ (true * rng.uniform(0.5, 2.0, size=true.shape)).T
    return x + rng.normal(size=(n, g)) + rng.uniform(0, 5, size=g), true


def dense(found):
    return found._replace(weights=found.weights.toarray(), encoder=found.encoder.toarray(), evidence=0.0)


def fitted(x, sets, *, balance=True):
    return dense(members.fit(accumulate(x).standardize(center=True, scale="pareto"), sets, balance=balance))


def test_weights_are_the_item_rest_correlations_of_profiles_in_a_naive_loop():
    x, true = cells(g=90)
    sets = true.copy()
    sets[80:84, 1] = True
    prepared = prepare(np.cov(x.T), rank=20)
    profiles = prepared.factors / np.linalg.norm(prepared.factors, axis=1, keepdims=True)
    expected = sets.astype(float)
    for _ in range(2):
        before, expected = expected, np.zeros_like(expected)
        for j in range(sets.shape[1]):
            for i in np.flatnonzero(sets[:, j]):
                rest = sum(before[m, j] * profiles[m] for m in np.flatnonzero(sets[:, j]) if m != i)
                expected[i, j] = max(profiles[i] @ rest / np.linalg.norm(rest), 0.0) + 0.4
    np.testing.assert_allclose(members.member_weights(prepared, csc_array(sets)).toarray(), expected, atol=1e-10)


def test_prior_weights_have_their_signs_in_a_naive_loop():
    x, true = cells(g=90)
    rng = np.random.default_rng(3)
    prior = np.where(true, rng.choice([-1.0, 1.0], size=true.shape) * rng.uniform(0.5, 1.5, size=true.shape), 0.0)
    prepared = prepare(np.cov(x.T), rank=20)
    profiles = prepared.factors / np.linalg.norm(prepared.factors, axis=1, keepdims=True)
    expected = prior.copy()
    for _ in range(2):
        before, expected = expected, np.zeros_like(expected)
        for j in range(prior.shape[1]):
            for i in np.flatnonzero(prior[:, j]):
                rest = sum(before[m, j] * profiles[m] for m in np.flatnonzero(prior[:, j]) if m != i)
                along = np.sign(prior[i, j]) * (profiles[i] @ rest) / np.linalg.norm(rest)
                expected[i, j] = prior[i, j] * (max(along, 0.0) + 0.4)
    np.testing.assert_allclose(members.member_weights(prepared, csc_array(prior)).toarray(), expected, atol=1e-10)


def test_a_gene_turned_round_with_its_sign_is_the_same_gene():
    x, true = cells()
    sign = np.where(np.arange(len(true)) % 3 == 0, -1.0, 1.0)
    plain, turned = fitted(x, true, balance=False), fitted(x * sign, true * sign[:, None], balance=False)
    np.testing.assert_allclose(turned.weights, plain.weights * sign[:, None], atol=1e-8)
    np.testing.assert_allclose(np.abs(turned.encoder), plain.encoder, atol=1e-8)
    np.testing.assert_allclose(turned.loadings[true], (plain.loadings * sign[:, None])[true], atol=1e-8)


def test_only_members_have_weights_and_the_encoder_is_their_balance():
    x, true = cells()
    found = fitted(x, true)
    np.testing.assert_array_equal(found.weights > 0, true)
    balanced_weights = balanced(found.weights, expression_bins(x.mean(axis=0)))
    cosine = (balanced_weights * found.encoder).sum(axis=0)
    np.testing.assert_allclose(
        cosine, np.linalg.norm(balanced_weights, axis=0) * np.linalg.norm(found.encoder, axis=0), rtol=1e-12
    )


def test_a_pathway_has_the_same_score_in_any_collection():
    x, true = cells()
    rng = np.random.default_rng(5)
    more = np.column_stack([true, rng.random((len(true), 30)) < 0.1])
    alone, among = fitted(x, true[:, :1]), fitted(x, more)
    np.testing.assert_allclose(among.weights[:, 0], alone.weights[:, 0], rtol=1e-12)
    np.testing.assert_allclose(among.loadings[:, 0], alone.loadings[:, 0], rtol=0, atol=1e-10)
    unit = [found.encoder[:, 0] / np.linalg.norm(found.encoder[:, 0]) for found in (alone, among)]
    np.testing.assert_allclose(*unit, atol=1e-12)


def test_false_members_get_less_weight_and_hidden_ones_are_found():
    x, true = cells(n=1500)
    given = true.copy()
    for j in range(4):
        given[j * 15 : j * 15 + 4, j] = False  # hidden
        given[100 + 4 * j : 104 + 4 * j, j] = True  # false
    found = fitted(x, given)
    for j in range(4):
        assert found.weights[true[:, j] & given[:, j], j].min() > found.weights[given[:, j] & ~true[:, j], j].max()
        hidden = true[:, j] & ~given[:, j]
        assert np.median(found.loadings[hidden, j]) > 5 * np.median(found.loadings[~true[:, j] & ~given[:, j], j])


def test_no_gene_outweighs_all_others_together_and_one_gene_is_itself():
    rng = np.random.default_rng(6)
    x, sets = rng.normal(size=(300, 80)), rng.random((80, 200)) < 0.04
    sets = sets[:, sets.sum(axis=0) >= 2]
    weights = fitted(x, sets).weights
    share = (weights**2).max(axis=0) / (weights**2).sum(axis=0)
    assert share.max() <= 0.5 + 1e-12
    few = np.zeros((80, 2), dtype=bool)
    few[:2, 0], few[3, 1] = True, True
    weights = fitted(x, few).weights
    assert weights[0, 0] == pytest.approx(weights[1, 0])
    assert np.flatnonzero(weights[:, 1]).tolist() == [3]


def test_a_set_of_all_genes_and_equal_sets_are_finite():
    x, true = cells(g=70, n_programs=2)
    sets = np.column_stack([np.ones(70, dtype=bool), true[:, 0], true[:, 0]])
    found = fitted(x, sets)
    assert all(np.isfinite(part).all() for part in found)
    np.testing.assert_array_equal(found.encoder[:, 1], found.encoder[:, 2])


def test_order_of_genes_cells_and_pathways_does_not_matter():
    x, true = cells(g=500)
    rng = np.random.default_rng(7)
    rows, genes, order = rng.permutation(400), rng.permutation(500), rng.permutation(4)
    whole, shuffled = fitted(x, true), fitted(x[rows][:, genes], true[genes][:, order])
    np.testing.assert_allclose(shuffled.encoder, whole.encoder[genes][:, order], atol=1e-7)
    np.testing.assert_allclose(shuffled.loadings, whole.loadings[genes][:, order], atol=1e-5)


def test_moments_and_cells_give_the_same():
    x, true = cells(n=120, g=300)
    moments = members.fit(accumulate(x).standardize(center=True, scale="pareto"), true, balance=True)
    through = members.fit(standardize(x, center=True, scale="pareto"), true, balance=True)
    for one, other in zip(dense(moments), dense(through), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)


@pytest.mark.parametrize("balance", [True, False])
def test_on_a_support_the_scores_are_the_same_and_the_largest_loadings_are_kept(balance):
    x, true = cells(n=300, g=400)
    sets = np.column_stack([true, true[:, 0] | true[:, 1], np.arange(400) < 395, np.ones(400, dtype=bool)])
    data = accumulate(x).standardize(center=True, scale="pareto")
    whole, some = (members.fit(data, sets, balance=balance, support=support) for support in (False, True))
    np.testing.assert_array_equal(some.encoder.toarray(), whole.encoder.toarray())
    kept = some.loadings.toarray()
    for j, n_outside in enumerate([30, 30, 30, 30, 30, 5, 0]):
        outside = np.flatnonzero(~sets[:, j])
        np.testing.assert_array_equal(kept[sets[:, j], j], whole.loadings[sets[:, j], j])
        expected = np.zeros(len(outside))
        largest = np.argsort(-whole.loadings[outside, j])[:n_outside]
        expected[largest] = whole.loadings[outside[largest], j]
        np.testing.assert_array_equal(kept[outside, j], expected)


def test_scores_follow_the_programs_better_than_the_mean_of_the_genes():
    rng = np.random.default_rng(8)
    x, true = cells(n=800, seed=9)
    x = x + rng.normal(size=(800, 1)) * 2.0  # a level of every cell
    given = true.copy()
    given[90:150] |= rng.random((60, 4)) < 0.2
    truth = np.column_stack([x[:, true[:, j]].mean(axis=1) - x[:, 60:].mean(axis=1) for j in range(4)])
    standard = (x - x.mean(axis=0)) / np.sqrt(x.std(axis=0))
    ours, plain = standard @ fitted(x, given).encoder, standard @ given.astype(float)
    for j in range(4):
        assert np.corrcoef(ours[:, j], truth[:, j])[0, 1] > 0.85
        assert np.corrcoef(plain[:, j], truth[:, j])[0, 1] < 0.7


def test_joint_scores_leave_to_another_pathway_what_is_its():
    """Two programs of 30 genes share 15: each score goes less with the other program, and more with its own."""
    rng = np.random.default_rng(0)
    sets = np.zeros((200, 2), dtype=bool)
    sets[:30, 0], sets[15:45, 1] = True, True
    activity = rng.gamma(1.0, 1.0, size=(500, 2))
    x = activity @ sets.T + rng.normal(size=(500, 200)) + rng.uniform(0, 5, size=200)
    data = accumulate(x).standardize(center=True, scale="pareto")
    alone, joint = (members.fit(data, sets, balance=True, joint=joint) for joint in (False, True))
    own, other = [], []
    for found in (alone, joint):
        scores = ((x - data.mean) / data.scale) @ found.encoder.toarray()
        table = np.corrcoef(scores.T, activity.T)[:2, 2:]
        own.append(np.diag(table).min())
        other.append(np.abs(table - np.diag(np.diag(table))).max())
    assert own[1] > own[0]
    assert other[1] < 0.5 * other[0]
    np.testing.assert_array_equal(joint.loadings, alone.loadings)
    np.testing.assert_allclose(balanced(joint.weights, expression_bins(data.mean)), joint.encoder.toarray(), atol=1e-12)
