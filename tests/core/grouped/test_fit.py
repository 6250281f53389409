"""A fit: its loadings, encoder and history, and what must not change them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from oracles import balanced

from pathwayae.core.grouped import members
from pathwayae.core.grouped.encoder import expression_bins, score_weights
from pathwayae.core.grouped.fit import Config, fit
from pathwayae.core.moments.accumulate import accumulate

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.01, "max_iter": 200}


def planted(n=150, g=30, p=3, seed=0):
    """Cells with p planted overlapping programs, and which gene belongs to which; the last genes to none."""
    rng = np.random.default_rng(seed)
    membership = rng.random((g, p)) < 0.35
    membership[-4:] = False
    activity = rng.gamma(0.5, 1.0, size=(n, p))
    return activity @ (membership * rng.gamma(2.0, 1.0, size=(g, p))).T + rng.normal(size=(n, g)), membership


def standardised(x, scale="unit"):
    return accumulate(x).standardize(center=True, scale=scale)


@pytest.mark.parametrize(("scores", "balance"), [("projection", True), ("least_squares", True), ("projection", False)])
def test_the_encoder_of_a_fit_follows_from_its_loadings(scores, balance):
    x, membership = planted()
    data = standardised(x + np.arange(30))
    config = Config(**{**CONFIG, "max_iter": 5}, scores=scores, balance=balance)
    result = fit(data, membership, np.ones(30, bool), 5, config)
    np.testing.assert_array_equal(result.weights, score_weights(result.loadings, scores, config.ridge))
    expected = balanced(result.weights, expression_bins(data.mean)) if balance else result.weights
    np.testing.assert_allclose(result.encoder.toarray(), expected, atol=1e-15)
    assert result.encoder.shape == (30, 5)
    if scores == "least_squares":
        np.testing.assert_allclose(np.linalg.norm(result.loadings, axis=0), 1.0, rtol=1e-6)  # float32
    plain = fit(data, membership, np.ones(30, bool), 5, replace(config, balance=False))
    np.testing.assert_array_equal(result.loadings, plain.loadings)  # the descent knows nothing of balance
    assert result.history == plain.history


@pytest.mark.parametrize("balance", [True, False])
def test_members_are_closed_form_without_a_descent(balance):
    x, membership = planted()
    data = standardised(x)
    heard = []
    config = Config(**CONFIG, scores="members", balance=balance)
    result = fit(data, membership, np.ones(30, bool), 3, config, progress=lambda *step: heard.append(step))
    expected = members.fit(data, membership, balance=balance)
    for name in ("weights", "encoder"):
        np.testing.assert_array_equal(getattr(result, name).toarray(), getattr(expected, name).toarray(), err_msg=name)
    np.testing.assert_array_equal(result.loadings, expected.loadings)
    assert (result.history, result.best_iteration, result.converged, heard) == ({}, 0, True, [])
    other = replace(config, theta=0.9, max_iter=3, random_state=7, start="evidence")
    np.testing.assert_array_equal(fit(data, membership, np.ones(30, bool), 3, other).loadings, result.loadings)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_a_fit_lowers_the_loss_reports_every_term_and_repeats_with_its_seed(scores):
    x, membership = planted()
    data, config, heard = standardised(x), Config(**{**CONFIG, "max_iter": 60}, scores=scores), []
    options = (data, membership, np.ones(30, bool), 5)
    result = fit(*options, config, progress=lambda i, terms: heard.append((i, terms["loss"])))
    assert set(result.history) == {"loss", "reconstruction", "zero", "entropy"}
    assert {len(values) for values in result.history.values()} == {len(heard)}
    assert heard == list(enumerate(result.history["loss"], start=1))
    assert min(result.history["loss"]) < result.history["loss"][0]
    assert result.loadings.dtype == np.float64
    assert result.loadings.shape == (30, 5)
    terms = np.array([result.history[name] for name in ("reconstruction", "zero", "entropy")])
    combined = np.array([0.7, 0.3 * 0.8, 0.3 * 0.2]) @ terms
    np.testing.assert_allclose(result.history["loss"], combined, rtol=1e-6)  # float32
    again, other = fit(*options, config), fit(*options, replace(config, random_state=5))
    assert result.history == again.history
    np.testing.assert_array_equal(result.loadings, again.loadings)
    assert not np.array_equal(result.loadings, other.loadings)


def test_planted_programs_are_found_again():
    x, membership = planted(n=1000, g=60, seed=3)
    result = fit(standardised(x), membership, np.ones(60, bool), 3, Config(**{**CONFIG, "max_iter": 500}))
    for j in range(3):
        inside, outside = result.loadings[membership[:, j], j], result.loadings[~membership[:, j], j]
        assert (inside[:, None] > outside).mean() > 0.95  # AUC of members


def test_the_pathways_know_nothing_of_the_order_of_the_genes():
    x, membership = planted()
    order = np.random.default_rng(1).permutation(30)
    init = np.random.default_rng(0).uniform(0.02, 0.3, size=(30, 5))
    options = (np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 50}))
    first = fit(standardised(x), membership, *options, init=init)
    last = fit(standardised(x[:, order]), membership[order], *options, init=init[order])
    # float32, another order of sums
    np.testing.assert_allclose(last.loadings, first.loadings[order], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_multiplying_the_cells_by_a_constant_changes_nothing_but_rounding_when_relative(scores):
    x, membership = planted()
    options = (membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 60}, scores=scores))
    first, quarter, sixteen, odd = (fit(standardised(c * x, None), *options) for c in (1.0, 0.25, 16.0, 37.1))
    for other in (quarter, sixteen):  # a power of two does not round
        assert other.history == first.history
        np.testing.assert_array_equal(other.loadings, first.loadings)
    np.testing.assert_allclose(odd.history["loss"], first.history["loss"], rtol=1e-5)  # float32
    assert np.linalg.norm(odd.loadings - first.loadings) < 1e-4 * np.linalg.norm(first.loadings)


def test_a_fit_leaves_global_random_states_and_its_inputs_alone():
    x, membership = planted()
    data, given = standardised(x), membership.copy()
    gram, init = data.gram.copy(), np.random.default_rng(0).uniform(0.02, 0.3, size=(30, 5))
    before = init.copy()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    for start in (init, None):
        fit(data, membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 5}), init=start)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_array_equal(data.gram, gram)
    np.testing.assert_array_equal(membership, given)
    np.testing.assert_array_equal(init, before)
