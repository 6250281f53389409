"""The descent on a support against the dense one, and what must not change it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import torch.nn.functional as F
from oracles import balanced

from pathwayae.core.evidence.association import prepare
from pathwayae.core.grouped import reconstruction, sparse_descent, start, support, support_loops
from pathwayae.core.grouped.encoder import expression_bins
from pathwayae.core.grouped.fit import Config, Problem, fit, fit_many
from pathwayae.core.grouped.sparse_descent import fit_on_support
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Standardized

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.03, "max_iter": 40, "support": True}
ACTIVATIONS = {"softplus": F.softplus, "sigmoid": torch.sigmoid, "identity": lambda v: v}


def planted(n=400, g=90, p=4, size=12, seed=0):
    """Moments of cells with p programs, of which two overlap, and the membership; the last genes are in none."""
    rng = np.random.default_rng(seed)
    membership = np.zeros((g, p), dtype=bool)
    for j in range(p):
        membership[j * size - (j == 1) * 3 :, j][:size] = True
    activity = rng.gamma(0.5, 1.0, size=(n, p))
    x = activity @ (membership * rng.gamma(2.0, 1.0, size=(g, p))).T + rng.normal(size=(n, g))
    return accumulate(x).standardize(center=True, scale="unit"), membership


def problem(data, membership, k=None, **config):
    everyone = np.ones(len(membership), dtype=bool)
    return Problem(data, membership, everyone, k or membership.shape[1], Config(**{**CONFIG, **config}))


def low_rank_moments(data):
    """The same moments with the matrix that a descent on a support sees, as a dense one."""
    gram = support.low_rank(data.gram, prepare(data.gram))
    return Standardized(data.n, gram.factors @ gram.factors.T + np.diag(gram.own), data.mean, data.scale)


@pytest.fixture
def every_gene(monkeypatch):
    monkeypatch.setattr(support, "OUTSIDE", 10**6)


@pytest.fixture
def few_outside(monkeypatch):
    monkeypatch.setattr(support, "OUTSIDE", 5)


# The dense descent as the oracle.


@pytest.mark.usefixtures("every_gene")
@pytest.mark.parametrize("activation", ["softplus", "identity", "sigmoid"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.9, "epsilon": 0.0}, {"relative": False, "k": 6}])
def test_with_every_gene_in_it_is_the_dense_descent(activation, options):
    data, membership = planted()
    steps = {"max_iter": 20} if activation == "identity" else {}  # then loadings cross 0, where rounding decides
    case = problem(data, membership, activation=activation, **options, **steps)
    rng = np.random.default_rng(1)
    case = replace(case, init=rng.uniform(0.02, 0.3, size=(90, case.n_components)))
    found = fit_on_support(case)
    dense = replace(case, data=low_rank_moments(data), config=replace(case.config, support=False))
    expected = next(fit_many([dense]))
    assert found.loadings.nnz == 90 * case.n_components
    for name, values in expected.history.items():  # float32
        np.testing.assert_allclose(found.history[name], values, rtol=2e-4, err_msg=name)
    assert (found.best_iteration, found.converged) == (expected.best_iteration, expected.converged)
    size = np.abs(expected.loadings).max()
    np.testing.assert_allclose(found.loadings.toarray(), expected.loadings, atol=2e-3 * size)


@pytest.mark.usefixtures("every_gene")
@pytest.mark.parametrize("begin", ["membership", "evidence"])
def test_it_starts_where_the_dense_one_does(begin, monkeypatch):
    for module in (start, sparse_descent):
        monkeypatch.setattr(module, "NOISE", 0.0)
    data, membership = planted()
    case = problem(data, membership, start=begin, dropout=0.9, max_iter=1)
    dense = replace(case, data=low_rank_moments(data), config=replace(case.config, support=False))
    expected = next(fit_many([dense])).loadings
    np.testing.assert_allclose(fit_on_support(case).loadings.toarray(), expected, rtol=1e-5)


def naive(point, places, rest_places, chosen, case, gram):
    """Loss of the dense matrix that a point stands for, pair by pair; the penalties as DESIGN 2.2 has them."""
    w = ACTIVATIONS[case.config.activation](point)
    g, k = chosen.shape
    full = torch.stack([
        torch.stack([w[places[i, j]] if chosen[i, j] else w[rest_places[j]] for j in range(k)]) for i in range(g)
    ])  # fmt: skip
    diagonal, hidden = gram.diagonal(), reconstruction.hiding(case.config.dropout)
    a, b = full.T @ gram @ full, full.T @ full
    squared = 1 - 2 * torch.trace(a) + torch.trace((a + hidden * full.T @ (diagonal[:, None] * full)) @ b)
    outside = torch.ones((g, k), dtype=bool)
    outside[:, : case.membership.shape[1]] = ~torch.from_numpy(case.membership)
    zero = sum((full[:, j].abs() * outside[:, j]).sum() / (full[:, j].norm() * g**0.5) for j in range(k)) / k
    p = full.abs() / full.abs().sum(1, keepdim=True)
    entropy = -(p * p.log()).sum(1).mean() / np.log(k)
    return 0.7 * squared.sqrt() + 0.3 * (0.8 * zero + 0.2 * entropy)


@pytest.mark.usefixtures("few_outside")
@pytest.mark.parametrize("activation", ["softplus", "identity"])
def test_value_and_gradient_at_a_point_are_those_of_the_dense_matrix_it_stands_for(activation):
    data, membership = planted()
    case = problem(data, membership, activation=activation, dropout=0.5)
    target, point = sparse_descent._begin(case)
    rng = np.random.default_rng(2)
    point = point + torch.from_numpy(0.2 * rng.normal(size=point.shape))
    step = target(point)
    chosen = target.support.matrix(np.ones(len(target.places))).toarray() > 0
    places = np.zeros(chosen.shape, dtype=int)
    places[target.support.rows, target.support.columns] = target.places.numpy()
    rest_places = np.arange(point.shape[1] - 4, point.shape[1])
    gram = low_rank_moments(data).gram
    at = point[0].clone().requires_grad_()
    loss = naive(at, places, rest_places, chosen, case, torch.from_numpy(gram / np.trace(gram)))
    loss.backward()
    assert float(step.monitored) == pytest.approx(loss.item(), rel=1e-10)
    inside = target.places.numpy()
    size = at.grad[inside].abs().max().item()
    np.testing.assert_allclose(step.gradient[0, inside], at.grad[inside], atol=1e-10 * size)
    mean = at.grad[rest_places] / torch.from_numpy(90 - chosen.sum(axis=0))  # of one of the genes of the rest
    np.testing.assert_allclose(step.gradient[0, rest_places], mean, atol=1e-10 * size)
    free = np.setdiff1d(np.arange(point.shape[1] - 4), inside)  # go the way of the rest, from where they are
    slope = (lambda v: torch.ones_like(v)) if activation == "identity" else torch.sigmoid
    of_rest = (mean / slope(at[rest_places]))[target.slots.components[free]] * slope(at[free])
    np.testing.assert_allclose(step.gradient[0, free], of_rest.detach(), atol=1e-10 * size)


# What it finds.


def average_precision(loadings, members):
    order = np.argsort(-loadings)
    hits = members[order]
    return (np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean()


@pytest.mark.usefixtures("few_outside")
def test_planted_programs_come_out_of_corrupted_sets_as_from_the_dense_descent():
    data, truth = planted(n=800, g=160, p=6, size=20, seed=3)
    rng, given = np.random.default_rng(4), truth.copy()
    for j in range(6):  # a quarter is missing, and as many are false
        given[rng.choice(np.flatnonzero(truth[:, j]), 5, replace=False), j] = False
        given[rng.choice(np.flatnonzero(~truth[:, j]), 5, replace=False), j] = True
    case = problem(data, given, epsilon=0.0, dropout=0.9, max_iter=100, start="evidence")
    dense = replace(case, config=replace(case.config, support=False))
    found, expected = fit_on_support(case).loadings.toarray(), next(fit_many([dense])).loadings
    precision = [[average_precision(w[:, j], truth[:, j]) for j in range(6)] for w in (found, expected)]
    assert np.mean(precision[0]) > 0.95
    assert np.mean(precision[0]) > np.mean(precision[1]) - 0.02
    for j in range(6):
        a, b = found[:, j], expected[:, j]
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98


@pytest.mark.usefixtures("few_outside")
@pytest.mark.parametrize("activation", ["softplus", "identity"])
def test_loadings_are_exactly_zero_outside_a_support_that_grows_within_bounds(activation):
    data, membership = planted()
    found = fit_on_support(problem(data, membership, activation=activation, max_iter=60)).loadings
    stored = np.zeros(membership.shape, dtype=bool)
    stored[found.tocoo().coords] = True
    assert (stored >= membership).all()
    outside = (stored & ~membership).sum(axis=0)
    assert (outside >= 12).all()  # as many as members
    assert (outside <= 18).all()  # and half of them more
    assert found.dtype == np.float64
    assert found.shape == (90, 4)


@pytest.mark.parametrize("activation", ["softplus", "identity"])
def test_a_gene_of_the_program_that_the_support_left_out_comes_in(activation, monkeypatch):
    data, truth = planted(n=1000, seed=5)
    given, lost = truth.copy(), np.array([3, 15, 27, 39])
    given[lost, np.arange(4)] = False
    choose = sparse_descent.chosen

    def without(members, values, n):
        j = int(np.flatnonzero([np.array_equal(np.flatnonzero(column), members) for column in given.T])[0])
        return np.setdiff1d(choose(members, values, n), lost[j])

    monkeypatch.setattr(sparse_descent, "chosen", without)
    case = problem(data, given, activation=activation, theta=0.1, epsilon=0.0, max_iter=100)
    found = fit_on_support(case).loadings.toarray()
    others = np.array([np.median(found[~truth[:, j], j]) for j in range(4)])
    assert (found[lost, np.arange(4)] > 10 * np.abs(others)).all()
    assert (found[lost, np.arange(4)] > 0.2 * np.median(found[given[:, 0], 0])).all()
    monkeypatch.setattr(sparse_descent, "GROW_AT", ())
    assert (fit_on_support(case).loadings.toarray()[lost, np.arange(4)] == 0).all()


@pytest.mark.usefixtures("few_outside")
def test_what_was_not_in_at_the_best_point_is_not_in_the_result():
    data, membership = planted()
    case = problem(data, membership, max_iter=12, learning_rate=5.0)  # gets worse from the first step on
    found = fit_on_support(case)
    assert found.best_iteration < 10  # of the first look outside
    np.testing.assert_array_equal(np.diff(found.loadings.indptr), 24)


# What must not change it.


@pytest.mark.usefixtures("few_outside")
def test_the_number_of_threads_changes_no_digit(monkeypatch):
    monkeypatch.setattr(support_loops, "SMALL", 0)
    data, membership = planted()
    case = problem(data, membership, dropout=0.9)
    results = []
    for n in (1, 3):
        monkeypatch.setattr(sparse_descent, "threads", lambda n=n: n)
        monkeypatch.setattr(torch, "get_num_threads", lambda n=n: n)
        results.append(fit_on_support(case))
    one, three = results
    assert one.history == three.history
    np.testing.assert_array_equal(one.loadings.toarray(), three.loadings.toarray())


@pytest.mark.usefixtures("few_outside")
def test_the_order_of_the_genes_changes_rounding_alone():
    data, membership = planted()
    order = np.random.default_rng(1).permutation(90)
    moved = Standardized(data.n, data.gram[np.ix_(order, order)], data.mean[order], data.scale[order])
    init = np.random.default_rng(0).uniform(0.02, 0.3, size=(90, 4))
    first = fit_on_support(replace(problem(data, membership), init=init)).loadings.toarray()
    last = fit_on_support(replace(problem(moved, membership[order]), init=init[order])).loadings.toarray()
    np.testing.assert_allclose(last, first[order], atol=1e-9)


@pytest.mark.usefixtures("few_outside")
def test_it_repeats_with_its_seed_and_leaves_its_inputs_alone():
    data, membership = planted()
    gram, given = data.gram.copy(), membership.copy()
    case = problem(data, membership, start="evidence")
    heard = []
    one = fit_on_support(case, lambda i, terms: heard.append((i, terms["loss"])))
    two = fit_on_support(case)
    other = fit_on_support(replace(case, config=replace(case.config, random_state=5)))
    assert heard == list(enumerate(one.history["loss"], start=1))
    assert one.history == two.history
    assert one.history != other.history
    np.testing.assert_array_equal(one.loadings.toarray(), two.loadings.toarray())
    np.testing.assert_array_equal(data.gram, gram)
    np.testing.assert_array_equal(membership, given)


@pytest.mark.usefixtures("few_outside")
def test_a_sparse_membership_is_a_membership_and_fit_takes_this_path():
    data, membership = planted()
    case = problem(data, membership, balance=True)
    expected = fit_on_support(case)
    everyone = np.ones(90, dtype=bool)
    for one in (membership, sp.csc_array(membership), sp.csr_array(membership)):
        found = fit(data, one, everyone, 4, case.config)
        np.testing.assert_array_equal(found.loadings.toarray(), expected.loadings.toarray())
        bins = expression_bins(data.mean)
        np.testing.assert_allclose(found.encoder.toarray(), balanced(found.weights.toarray(), bins), atol=1e-12)
    many = list(fit_many([case, replace(case, config=replace(case.config, theta=0.1))]))
    np.testing.assert_array_equal(many[0].loadings.toarray(), expected.loadings.toarray())


# Sizes and refusals.


def test_more_pathways_than_genes_all_genes_and_no_genes():
    data, _ = planted(g=50)
    membership = np.random.default_rng(0).random((50, 70)) < 0.1
    membership[:, 0], membership[:, 1] = True, False
    found = fit_on_support(problem(data, membership, dropout=0.9))
    assert np.isfinite(found.loadings.data).all()
    assert min(found.history["loss"]) < found.history["loss"][0]
    np.testing.assert_array_equal(np.diff(found.loadings.indptr)[:2], [50, 0])


@pytest.mark.usefixtures("few_outside")
def test_moments_of_low_rank_are_taken_as_they_are():
    data, membership = planted()
    low = support.low_rank(data.gram, prepare(data.gram))
    case = problem(data, membership)
    sketched = replace(case, data=Standardized(data.n, low, data.mean, data.scale))
    first, last = fit_on_support(case), fit_on_support(sketched)
    np.testing.assert_allclose(first.loadings.toarray(), last.loadings.toarray(), atol=1e-9)


@pytest.mark.parametrize("option", [{"scores": "least_squares"}, {"zero_norm": "feature"}, {"validation": True}])
def test_what_a_support_is_not_for_is_refused(option):
    data, membership = planted()
    validation = data if option.pop("validation", False) else None
    case = replace(problem(data, membership, **option), validation=validation)
    with pytest.raises(ValueError, match="support=True .* Pass support=False"):
        fit_on_support(case)
