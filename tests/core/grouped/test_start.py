"""Where descents start: the scale, what it knows of the pathways, ties."""

import math
from dataclasses import replace

import numpy as np
import pytest

from pathwayae.core.grouped import members, start
from pathwayae.core.grouped.fit import Config, Problem, fit
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
    """Moments of the package and the cells they stand for, the latter standardised by numpy."""
    data = accumulate(x).standardize(center=True, scale=scale)
    return data, (x - x.mean(axis=0)) / (x.std(axis=0) if scale == "unit" else 1.0)


@pytest.mark.parametrize(("n_components", "seed"), [(3, 0), (6, 1)])
@pytest.mark.parametrize("hidden", [0.0, 0.25, 9.0])
def test_no_scalar_multiple_of_the_start_explains_the_data_better(n_components, seed, hidden):
    x, membership = planted(seed=seed)
    data, explicit = standardised(x)
    seen, weights = (
        start.start(
            membership,
            n_components,
            data.gram,
            scores="projection",
            rng=np.random.default_rng(seed),
            **({"hidden": share} if share else {}),
        )
        for share in (0.0, hidden)
    )
    squares = (explicit**2).sum(axis=0)

    def left(scalar):
        both = scalar**2 * weights @ weights.T
        return np.sum((explicit - explicit @ both) ** 2) + hidden * np.sum(squares @ both**2)

    for scalar in [*np.linspace(0.05, 3, 60), 0.999, 1.001]:
        assert left(scalar) >= left(1.0)
    ratio = weights / seen  # the same but for the scale
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-12)
    assert ratio[0, 0] < 1 or not hidden
    a, b = seen.T @ data.gram @ seen, seen.T @ seen
    assert np.trace(a) / np.trace(a @ b) == pytest.approx(1.0, rel=1e-12)  # s² of what is already scaled


def started(problem):
    """The point that a descent starts from: one step keeps it."""
    options = (problem.data, problem.membership, problem.penalised, problem.n_components)
    return fit(*options, replace(problem.config, max_iter=1)).loadings


@pytest.mark.parametrize(("scores", "dropout"), [("projection", 0.0), ("projection", 0.9), ("least_squares", 0.0)])
def test_the_start_from_evidence_is_the_probability_of_membership_for_every_seed(scores, dropout):
    x, membership = planted()
    data, _ = standardised(x)
    config = Config(**CONFIG, scores=scores, start="evidence", dropout=dropout)
    problem = Problem(data, membership, np.ones(30, dtype=bool), 3, config)
    first, again, other = (started(replace(problem, config=replace(config, random_state=seed))) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    np.testing.assert_allclose(other, first, rtol=3 * start.NOISE)  # up to what breaks ties
    believed = members.posterior(data, membership)
    expected = np.maximum(believed, start.SMALL)
    unit = [values / np.linalg.norm(values, axis=0) for values in (first, expected)]
    np.testing.assert_allclose(*unit, rtol=2 * start.NOISE)
    given = started(replace(problem, config=replace(config, start="membership")))
    assert np.linalg.norm(given / np.linalg.norm(given, axis=0) - unit[0]) > 50 * start.NOISE


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_the_start_is_the_membership_and_breaks_ties(scores):
    x, membership = planted()
    data, _ = standardised(x)
    weights = start.start(membership, 5, data.gram, scores=scores, rng=np.random.default_rng(0))
    assert weights.shape == (30, 5)
    assert (weights > 0).all()
    length = np.linalg.norm(weights, axis=0)
    np.testing.assert_allclose(length, length[0], rtol=1e-12)
    if scores == "least_squares":
        np.testing.assert_allclose(length, 1.0, rtol=1e-12)
    for j in range(3):
        inside, outside = weights[membership[:, j], j], weights[~membership[:, j], j]
        assert outside.max() < 0.02 * inside.min()
    twins = start.start(membership[:, [0, 0]], 2, data.gram, scores=scores, rng=np.random.default_rng(0))
    assert (twins[:, 0] != twins[:, 1]).all()


@pytest.mark.parametrize("activation", ["softplus", "sigmoid"])
def test_the_start_from_the_membership_is_far_below_random_weights(activation):
    x, membership = planted()
    data, _ = standardised(x)
    config = Config(**{**CONFIG, "max_iter": 1}, activation=activation)
    noise = np.random.default_rng(0).normal(scale=0.1, size=(30, 8))
    center = math.log(2) if activation == "softplus" else 0.5
    options = (data, membership, np.ones(30, bool), 8, config)
    ours = fit(*options).history["loss"][0]
    random = fit(*options, init=np.clip(center + noise, 0.01, 0.99)).history["loss"][0]
    assert ours < 1
    assert random > 10 * ours


def test_data_without_variation_do_not_break_the_start():
    member = planted()[1]
    weights = start.start(member, 4, np.zeros((30, 30)), scores="projection", rng=np.random.default_rng(0))
    assert np.isfinite(weights).all()


def groups_of_genes(seed=0, n=300, counts=False):
    """Cells with four groups of genes that go together, and the group of each gene."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(4), 15)
    x = rng.gamma(0.5, 1.0, size=(n, 4))[:, group] * rng.gamma(2.0, 1.0, size=60) + rng.gamma(1.0, 0.5, size=(n, 60))
    return (np.log1p(rng.poisson(x)) if counts else x), group


def same_group(weights, group):
    """Share of genes whose largest weight is in the column of most of their group, where no two have the same one."""
    largest = np.abs(weights).argmax(axis=1)
    table = np.array([np.bincount(largest[group == one], minlength=weights.shape[1]) for one in range(4)])
    return table.max(axis=1).sum() / len(group) if len(set(table.argmax(axis=1))) == 4 else 0.0


@pytest.mark.parametrize("counts", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_free_components_start_from_groups_of_genes_that_go_together(seed, counts):
    x, group = groups_of_genes(seed, counts=counts)
    rng = np.random.default_rng(0)
    weights = start.start(np.zeros((60, 0), dtype=bool), 4, x.T @ x, scores="projection", rng=rng)
    assert same_group(weights, group) > 0.9
    assert (weights > 0).all()
    # Beside a pathway that is one of the groups the others are found, in its place none.
    member = (group == 2)[:, None]
    beside = start.start(member, 4, x.T @ x, scores="projection", rng=np.random.default_rng(0))
    assert same_group(beside, group) > 0.9
    assert (beside[group == 2].argmax(axis=1) == 0).mean() > 0.9


@pytest.mark.parametrize("theta", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("scaling", ["exp", "log"])
def test_a_descent_without_pathways_keeps_the_groups_however_strong_the_structure(scaling, theta):
    x, group = groups_of_genes(counts=True)
    config = Config(**CONFIG | {"theta": theta, "epsilon": 0.5, "max_iter": 300}, entropy_scaling=scaling)
    data = accumulate(x).standardize(center=False, scale=None)
    found = fit(data, np.zeros((60, 0), dtype=bool), np.ones(60, dtype=bool), 4, config)
    assert same_group(found.loadings, group) > 0.9
    assert min(found.history["loss"]) < found.history["loss"][0]


def test_more_components_than_genes_leave_room_for_and_signed_ones_start_too():
    x, _ = groups_of_genes()
    gram, rng = x.T @ x, np.random.default_rng(0)
    many = start.start(np.eye(60, dtype=bool)[:, :58], 62, gram, scores="projection", rng=rng)
    assert many.shape == (60, 62)
    assert np.isfinite(many).all()
    signed = start.beside(gram, np.zeros((60, 0)), 3, rng, signed=True)
    vectors = np.linalg.eigh(gram)[1][:, -3:]
    np.testing.assert_allclose(vectors @ (vectors.T @ signed), signed, atol=1e-8)  # the span of the leading ones
    np.testing.assert_allclose(signed.T @ signed, np.eye(3), atol=1e-8)
    nothing = start.beside(np.zeros((60, 60)), np.zeros((60, 0)), 3, rng)
    assert np.isfinite(nothing).all()


def test_a_rotation_finds_columns_of_few_rows_in_any_basis_of_them():
    rng = np.random.default_rng(1)
    simple = np.kron(np.eye(3), np.ones((8, 1))) / np.sqrt(8)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    found = start.varimax(simple @ turn)
    np.testing.assert_allclose(np.sort(np.abs(simple.T @ found), axis=0)[-1], 1.0, atol=1e-6)
