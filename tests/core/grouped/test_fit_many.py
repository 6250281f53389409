"""Many fits together against each of them alone."""

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped.fit import Config, Problem, fit, fit_many
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.gram_product import standardize
from pathwayae.core.moments.moments import Standardized

HIDING = {"dropout": 0.9, "start": "evidence", "balance": True}  # what tl.fit gives projection


def planted(n=150, g=30, p=3, seed=0):
    """Cells with p planted overlapping programs, and which gene belongs to which; the last genes to none."""
    rng = np.random.default_rng(seed)
    membership = rng.random((g, p)) < 0.35
    membership[-4:] = False
    activity = rng.gamma(0.5, 1.0, size=(n, p))
    return activity @ (membership * rng.gamma(2.0, 1.0, size=(g, p))).T + rng.normal(size=(n, g)), membership


def random_weights(shape, seed=0):
    return np.random.default_rng(seed).uniform(0.02, 0.3, size=shape)


TOGETHER = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.05, "max_iter": 60}


def a_problem(scores="projection", zero_norm="component", **config):
    x, membership = planted()
    config = Config(**{**TOGETHER, **config}, scores=scores, zero_norm=zero_norm)
    return Problem(accumulate(x).standardize(center=True, scale="unit"), membership, np.ones(30, bool), 5, config)


def restarts(problem):
    return [replace(problem, config=replace(problem.config, random_state=seed)) for seed in range(4)]


def path(problem):
    """θ and ε, the ends included; ε = 0 needs no gradient of the entropy."""
    pairs = [(0.0, 0.0), (0.3, 0.0), (0.3, 1.0), (0.9, 0.5), (1.0, 0.2)]
    return [replace(problem, config=replace(problem.config, theta=t, epsilon=e)) for t, e in pairs]


def draws(problem):
    """Cells drawn with replacement, and those left out to stop by."""
    x, rng = planted()[0], np.random.default_rng(0)
    problems = []
    for _ in range(3):
        rows = rng.integers(len(x), size=len(x))
        data = accumulate(x[rows]).standardize(center=True, scale="unit")
        rest = (np.delete(x, rows, axis=0) - data.mean) / data.scale
        held_out = Standardized(len(rest), rest.T @ rest, data.mean, data.scale)
        problems.append(replace(problem, data=data, validation=held_out))
    return problems


def path_over_draws(problem):
    """Two θ for each draw: problems in a row share their cells."""
    configs = [replace(problem.config, theta=theta) for theta in (0.1, 0.6)]
    return [replace(one, config=config) for one in draws(problem) for config in configs]


def through_cells(problem):
    data = standardize(planted()[0], center=True, scale="unit")
    return [*restarts(problem)[:2], *restarts(replace(problem, data=data))[2:]]


def other_memberships(problem):
    rng = np.random.default_rng(0)
    return [replace(problem, membership=problem.membership[rng.permutation(30)]) for _ in range(3)]


def given_starts(problem):
    return [replace(problem, init=random_weights((30, 5), seed=seed)) for seed in range(3)]


KINDS = [restarts, path, draws, path_over_draws, through_cells, other_memberships, given_starts]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def dense(values):
    return values if isinstance(values, np.ndarray) else values.toarray()


def fit_alone(problem):
    values = [problem.data, problem.membership, problem.penalised, problem.n_components, problem.config]
    return fit(*values, init=problem.init, validation=problem.validation)


def assert_fits_agree(fits, problems):
    assert len(fits) == len(problems)
    for one, problem in zip(fits, problems, strict=True):
        alone = fit_alone(problem)
        assert len(one.history["loss"]) == len(alone.history["loss"])
        assert one.history.keys() == alone.history.keys()
        for name, values in alone.history.items():
            np.testing.assert_allclose(one.history[name], values, rtol=1e-5, err_msg=name)  # float32
        for name in ("loadings", "weights", "encoder"):
            values, expected = dense(getattr(one, name)), dense(getattr(alone, name))
            assert np.linalg.norm(values - expected) < 1e-5 * np.linalg.norm(expected), name
            assert values.dtype == np.float64
        assert one.converged == alone.converged
        assert one.best_iteration == alone.best_iteration
        assert one.loadings.flags.c_contiguous


WAYS = [(norm, scores) for norm in ("feature", "component") for scores in ("projection", "least_squares")]
PAIRS = [(kind, WAYS[j]) for i, kind in enumerate(KINDS) for j in (i % 4, 3 - i % 4)]  # every norm, all scores


@pytest.mark.parametrize(("kind", "way"), PAIRS, ids=lambda value: getattr(value, "__name__", None))
def test_fits_together_are_the_fits_one_by_one(kind, way):
    zero_norm, scores = way
    problems = kind(a_problem(scores, zero_norm))
    assert_fits_agree(list(fit_many(problems)), problems)


@every_kind
def test_fits_of_hidden_input_together_are_the_fits_one_by_one(kind):
    # Few steps: two free components that start alike part ways, and which takes what hangs on the last digit.
    problems = kind(a_problem(**HIDING, max_iter=30))
    fits = list(fit_many(problems))
    assert_fits_agree(fits, problems)
    whole = list(fit_many([replace(one, config=replace(one.config, dropout=0.0)) for one in problems]))
    for one, seen in zip(fits, whole, strict=True):
        assert np.linalg.norm(one.loadings - seen.loadings) > 0.1 * np.linalg.norm(seen.loadings)


@every_kind
def test_members_together_are_those_one_by_one(kind, monkeypatch):
    problems = kind(a_problem("members", balance=True))
    problems = [replace(one, n_components=3, init=None) for one in problems]
    fits = list(fit_many(iter(problems)))
    monkeypatch.setitem(grouped.SLICE_BYTES, "cpu", 1)
    for one, other, problem in zip(fits, fit_many(iter(problems)), problems, strict=True):
        alone = fit_alone(problem)
        for name in ("loadings", "weights", "encoder"):
            np.testing.assert_array_equal(dense(getattr(one, name)), dense(getattr(alone, name)))
            np.testing.assert_array_equal(dense(getattr(other, name)), dense(getattr(alone, name)))
        assert one[3:6] == other[3:6] == alone[3:6] == ({}, 0, True)


@pytest.mark.parametrize("kind", [given_starts, path, draws], ids=lambda kind: kind.__name__)
def test_fits_together_that_end_at_different_iterations_are_the_fits_one_by_one(kind):
    options = {"learning_rate": 0.3, "max_iter": 300, "min_delta": 1e-3}
    problems = kind(a_problem(**options, early_stopping_patience=8, scheduler_patience=3))
    fits = list(fit_many(problems))
    assert_fits_agree(fits, problems)
    assert len({len(one.history["loss"]) for one in fits}) > 1
    assert all(one.converged for one in fits)


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@every_kind
def test_slices_change_nothing_and_come_in_order_one_after_the_other_or_side_by_side(kind, monkeypatch):
    problems = kind(a_problem(max_iter=20))
    whole = list(fit_many(problems))
    taken = []

    def one_by_one():
        for i, problem in enumerate(problems):
            taken.append(i)
            yield problem

    monkeypatch.setitem(grouped.SLICE_BYTES, "cpu", 1)
    with threads(1):
        some = fit_many(one_by_one())
        first = next(some)
        assert taken == [0, 1]  # one to fit, and one that no longer went with it
        alone = [first, *some]
    for one, other in zip(alone, whole, strict=True):
        np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-5)  # float32
        assert np.linalg.norm(one.loadings - other.loadings) < 1e-5 * np.linalg.norm(other.loadings)
    for n_threads in (2, 3):
        with threads(n_threads):
            together = list(fit_many(iter(problems)))
            assert torch.get_num_threads() == n_threads
        for one, other in zip(together, alone, strict=True):
            np.testing.assert_array_equal(one.loadings, other.loadings)
            assert one.history == other.history


def test_an_error_in_one_slice_reaches_the_caller_and_the_threads_come_back(monkeypatch):
    monkeypatch.setitem(grouped.SLICE_BYTES, "cpu", 1)
    problem = a_problem(max_iter=5)
    odd = replace(problem, config=replace(problem.config, max_iter=6))
    with threads(2):
        with pytest.raises(ValueError, match="the same config"):
            list(fit_many([problem, problem, problem, odd]))
        assert torch.get_num_threads() == 2


def test_a_slice_holds_what_fits_in_its_bytes(monkeypatch):
    problem = a_problem(max_iter=1)
    state, gram = 4 * grouped.N_ARRAYS * 30 * 5, 12 * 30 * 30
    sizes = []
    minimize = grouped.minimize

    def counting(objective, start, **options):
        sizes.append(len(start))
        return minimize(objective, start, **options)

    monkeypatch.setattr(grouped, "minimize", counting)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one slice after the other
    monkeypatch.setitem(grouped.SLICE_BYTES, "cpu", gram + 3 * state)
    assert len(list(fit_many([problem] * 8))) == 8
    assert sizes == [3, 3, 2]
    sizes.clear()
    own = [
        replace(problem, data=accumulate(planted(seed=seed)[0]).standardize(center=True, scale="unit"))
        for seed in range(5)
    ]
    monkeypatch.setitem(grouped.SLICE_BYTES, "cpu", 2 * (gram + state))
    assert len(list(fit_many(own))) == 5
    assert sizes == [2, 2, 1]


def test_restarts_depend_on_their_seeds_and_on_nothing_else():
    problems = restarts(a_problem())
    first, again = (list(fit_many(problems)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.loadings, other.loadings)
        assert one.history == other.history
    assert len({one.history["loss"][-1] for one in first}) == 4
    assert list(fit_many([])) == []


def test_problems_with_the_same_cells_share_one_product():
    problems = restarts(a_problem())
    calls = []
    target = grouped.objective(problems)
    counted = target.data._replace(product=lambda w: (calls.append(w.shape), target.data.product(w))[1])
    replace(target, data=counted)(torch.zeros(4, 30, 5))
    assert calls == [(4, 30, 5)]
    assert target.outside.shape == (30, 5)
    assert target.share_data.shape == ()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"n_components": 6}, "n_components"),
        ({"penalised": np.zeros(30, bool)}, "penalised"),
        ({"membership": np.ones((9, 3), bool)}, "shape of membership"),
        ({"validation": "data"}, "validation"),
        ({"config": Config(**{**TOGETHER, "max_iter": 3})}, "config"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_problems_that_cannot_be_fitted_together_are_refused_by_name(changes, name):
    problem = a_problem(zero_norm="component")
    if "validation" in changes:
        changes = {"validation": problem.data}
    with pytest.raises(ValueError, match=f"the same {name}"):
        list(fit_many([problem, replace(problem, **changes)]))
    members = a_problem("members", balance=True)
    with pytest.raises(ValueError, match="the same config"):
        list(fit_many([members, replace(members, config=replace(members.config, balance=False))]))
