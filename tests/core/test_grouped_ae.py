"""The whole objective, its descent and its start against loops and against plain torch through the cells."""

import itertools
import math
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from pathwayae.core import grouped_ae, loss, members, start
from pathwayae.core.encoder import balanced, expression_bins, score_weights
from pathwayae.core.gram_product import standardize
from pathwayae.core.grouped_ae import Config, Problem, fit, fit_many
from pathwayae.core.loss import shares
from pathwayae.core.moments import Standardized, accumulate

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.01, "max_iter": 200}
HIDING = {"dropout": 0.9, "start": "evidence", "balance": True}  # what tl.fit gives projection
ACTIVATIONS = {"softplus": F.softplus, "sigmoid": torch.sigmoid, "identity": lambda v: v}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Many small operations: threads only get in each other's way."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


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


def random_weights(shape, activation, seed=0):
    rng = np.random.default_rng(seed)
    return 0.1 * rng.normal(size=shape) if activation == "identity" else rng.uniform(0.02, 0.3, size=shape)


def unconstrained(weights, activation):
    if activation == "softplus":
        return np.log(np.expm1(weights))
    return np.log(weights / (1 - weights)) if activation == "sigmoid" else weights


def naive_loss(v, x, membership, penalised, config):
    """DESIGN 2.2 and 2.5 to the letter, with loops; v float64 and unconstrained. Returns every term."""
    (n, g), k = x.shape, v.shape[1]
    w = ACTIVATIONS[config.activation](v)
    if config.scores == "least_squares":
        w = w / torch.sqrt((w**2).sum(0))
        scores = x @ w @ torch.linalg.inv(w.T @ w + config.ridge * torch.eye(k, dtype=w.dtype))
    else:
        scores = x @ w
    squared = ((x - scores @ w.T) ** 2).sum()
    if config.dropout:  # what masks add on average: entry (c, i) has variance x_ci² p / (1 − p), and reaches all genes
        for i in range(g):
            for other in range(g):
                through = (w[i] * w[other]).sum()
                squared = squared + config.dropout / (1 - config.dropout) * (x[:, i] ** 2).sum() * through**2
    rmse = torch.sqrt(squared / (n * g))
    if config.relative:
        rmse = rmse / torch.sqrt((x**2).mean())

    inside = [[j < membership.shape[1] and bool(membership[i, j]) for j in range(k)] for i in range(g)]
    size = [[w[i, j].abs() for j in range(k)] for i in range(g)]
    p = [[size[i][j] / sum(size[i]) for j in range(k)] for i in range(g)]
    q = [[size[i][j] ** 2 / sum(s**2 for s in size[i]) for j in range(k)] for i in range(g)]
    zero = None
    if config.zero_norm == "feature":
        m1, m2 = [], []
        for j in range(k):
            outside = [i for i in range(g) if penalised[i] and any(inside[i]) and not inside[i][j]]
            if outside:
                m1.append(sum(p[i][j] for i in outside) / len(outside))
                m2.append(sum(q[i][j] for i in outside) / len(outside))
        if m1:
            zero = config.l1_ratio * sum(m1) / len(m1) + (1 - config.l1_ratio) * torch.sqrt(sum(m2) / len(m2))
    else:
        zero = 0.0
        for j in range(k):
            length = torch.sqrt(sum(size[i][j] ** 2 for i in range(g)))
            zero = zero + sum(size[i][j] for i in range(g) if not inside[i][j]) / (length * math.sqrt(g)) / k

    groups = [[i for i in range(g) if penalised[i]]]
    if config.entropy_on_classes:
        groups = [[i for i in range(g) if penalised[i] and inside[i][j]] for j in range(k)]
        groups.append([i for i in range(g) if penalised[i] and not any(inside[i])])
    per_gene = [-sum(p[i][j] * torch.log(p[i][j]) for j in range(k)) for i in range(g)]
    means = [sum(per_gene[i] for i in genes) / len(genes) for genes in groups if genes]
    entropy = None
    if means:
        factor = {"log": 1 / math.log(k), "exp": 1 / math.exp(k), None: 1.0}[config.entropy_scaling]
        entropy = factor * sum(means) / len(means)

    theta, epsilon = min(config.theta, 0.999), config.epsilon
    if zero is None or entropy is None:
        structure = entropy if zero is None else zero
        structure = 0.0 if structure is None else theta * structure
    else:
        structure = theta * ((1 - epsilon) * zero + epsilon * entropy)
    return {"loss": (1 - theta) * rmse + structure, "reconstruction": rmse, "zero": zero, "entropy": entropy}


def assert_objective_is_naive(x, membership, penalised, k, config):
    data, explicit = standardised(x)
    weights = random_weights((x.shape[1], k), config.activation)
    v = torch.tensor(unconstrained(weights, config.activation)).requires_grad_()
    expected = naive_loss(v, torch.tensor(explicit), membership, penalised, config)
    (gradient,) = torch.autograd.grad(expected["loss"], v)
    step = grouped_ae.objective([Problem(data, membership, penalised, k, config)])(v.detach().float())
    for name, value in expected.items():
        if value is not None:
            # The objective is evaluated in float32, of which a digit is 6e-8.
            assert float(step.terms[name]) == pytest.approx(float(value.detach()), rel=1e-6), name
    assert float(step.monitored) == float(step.terms["loss"])
    torch.testing.assert_close(
        step.gradient.double(),
        gradient,
        rtol=0,
        atol=1e-5 * float(gradient.abs().max()),  # float32
    )


GENES = 9
OVERLAPPING = np.zeros((GENES, 3), dtype=bool)
OVERLAPPING[[0, 1, 2, 2, 3, 4, 5, 5, 6], [0, 0, 0, 1, 1, 1, 1, 2, 2]] = True  # genes 7 and 8 have no pathway
EVERY = np.ones(GENES, dtype=bool)
SOME = ~np.isin(np.arange(GENES), [3, 8])


@pytest.mark.parametrize(
    "shares_of_terms", [(0.3, 0.2, 0.4), (0.7, 0.0, 0.0), (0.5, 1.0, 1.0), (0.0, 0.5, 0.5)], ids=str
)
@pytest.mark.parametrize("scaling", ["log", "exp", None])
@pytest.mark.parametrize("on_classes", [False, True])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_the_objective_is_that_of_the_design(zero_norm, activation, scores, on_classes, scaling, shares_of_terms):
    theta, epsilon, l1_ratio = shares_of_terms
    config = Config(
        **{**CONFIG, "theta": theta, "epsilon": epsilon, "l1_ratio": l1_ratio},
        activation=activation,
        entropy_on_classes=on_classes,
        entropy_scaling=scaling,
        zero_norm=zero_norm,
        scores=scores,
    )
    x = planted(n=20, g=GENES)[0]
    assert_objective_is_naive(x, OVERLAPPING, EVERY, 4, config)


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("on_classes", [False, True])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("k", [3, 5])
def test_the_objective_with_nan_genes_and_in_absolute_units_is_that_of_the_design(k, scores, on_classes, relative):
    config = Config(**CONFIG, zero_norm="feature", scores=scores, entropy_on_classes=on_classes, relative=relative)
    x = 5.0 * planted(n=20, g=GENES)[0]
    assert_objective_is_naive(x, OVERLAPPING, SOME, k, config)


@pytest.mark.parametrize("dropout", [0.3, 0.9])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("relative", [True, False])
def test_the_objective_of_hidden_input_is_that_of_the_design(activation, relative, dropout):
    config = Config(**CONFIG, activation=activation, dropout=dropout, relative=relative)
    assert_objective_is_naive(planted(n=20, g=GENES)[0], OVERLAPPING, EVERY, 4, config)


def test_the_objective_of_hidden_input_is_the_mean_over_masks():
    data, explicit = standardised(planted(n=20, g=GENES)[0])
    config = Config(**CONFIG, dropout=0.4)
    v = torch.tensor(unconstrained(random_weights((GENES, 4), "softplus"), "softplus")).float()
    rmse = float(grouped_ae.objective([Problem(data, OVERLAPPING, EVERY, 4, config)])(v).terms["reconstruction"])
    w, rng = F.softplus(v).double().numpy(), np.random.default_rng(0)
    left = [
        np.sum((explicit - explicit * (rng.random(explicit.shape) < 0.6) / 0.6 @ w @ w.T) ** 2) for _ in range(4000)
    ]
    mean, error = np.mean(left), np.std(left) / math.sqrt(len(left))
    assert abs(rmse**2 * np.sum(explicit**2) - mean) < 4 * error
    whole = np.sum((explicit - explicit @ w @ w.T) ** 2)
    assert mean - whole > 20 * error  # or nothing would be seen


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_entropy_gets_all_of_theta_where_no_gene_has_a_pathway(epsilon):
    config = Config(**{**CONFIG, "epsilon": epsilon}, zero_norm="feature")
    assert shares(0.3, epsilon, has_zero=False, has_entropy=True) == pytest.approx((0.7, 0.0, 0.3))
    assert_objective_is_naive(planted(n=20, g=GENES)[0], np.zeros((GENES, 2), dtype=bool), EVERY, 3, config)


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_zero_suppression_gets_all_of_theta_where_there_is_no_entropy(epsilon):
    assert shares(0.3, epsilon, has_zero=True, has_entropy=False) == pytest.approx((0.7, 0.3, 0.0))


@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_only_the_data_speak_where_no_gene_is_penalised(zero_norm):
    config = Config(**CONFIG, zero_norm=zero_norm)
    data, explicit = standardised(planted(n=20, g=GENES)[0])
    v = torch.randn(GENES, 4, generator=torch.Generator().manual_seed(0))
    step = grouped_ae.objective([Problem(data, OVERLAPPING, ~EVERY, 4, config)])(v)
    w = F.softplus(v).double()
    x = torch.tensor(explicit)
    expected = 0.7 * torch.linalg.norm(x - x @ w @ w.T) / torch.linalg.norm(x)
    assert float(step.terms["loss"]) == pytest.approx(float(expected), rel=1e-6)  # float32


def test_theta_of_one_is_clipped_so_that_the_data_never_vanish():
    data_share, zero, entropy = shares(1.0, 0.25, has_zero=True, has_entropy=True)
    assert data_share == pytest.approx(1e-3)
    assert (zero, entropy) == pytest.approx((0.75 * 0.999, 0.25 * 0.999))
    assert_objective_is_naive(planted(n=20, g=GENES)[0], OVERLAPPING, EVERY, 4, Config(**{**CONFIG, "theta": 1.0}))


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_a_batch_of_weights_gives_what_a_loop_over_it_gives(zero_norm, scores):
    data, _ = standardised(planted()[0])
    config = Config(**CONFIG, zero_norm=zero_norm, scores=scores)
    target = grouped_ae.objective([Problem(data, planted()[1], np.ones(30, bool), 5, config)])
    v = torch.randn(2, 3, 30, 5, generator=torch.Generator().manual_seed(0)) - 2
    together = target(v)
    for a, b in itertools.product(range(2), range(3)):
        one = target(v[a, b])
        for name, value in one.terms.items():
            assert float(together.terms[name][a, b]) == pytest.approx(float(value), rel=1e-6), name  # float32
        scale = float(one.gradient.abs().max())
        torch.testing.assert_close(together.gradient[a, b], one.gradient, rtol=0, atol=1e-5 * scale)  # float32


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deactivate_undoes_the_activation(activation):
    weights = random_weights((20, 4), activation)
    weights[0] = 1e-3 if activation != "identity" else 0.0
    v = start.deactivate(weights, activation)
    np.testing.assert_allclose(v, unconstrained(weights, activation), rtol=1e-9, atol=1e-12)
    back, slope = loss.activate(torch.tensor(v).requires_grad_(), activation)
    np.testing.assert_allclose(back.detach().numpy(), weights, rtol=1e-12)
    leaf = torch.tensor(v).requires_grad_()
    (by_autograd,) = torch.autograd.grad(ACTIVATIONS[activation](leaf).sum(), leaf)
    torch.testing.assert_close(slope.detach(), by_autograd, rtol=1e-12, atol=0)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_deactivate_moves_weights_out_of_range_inside_and_stays_finite(activation):
    v = start.deactivate(np.array([[0.0, 1e-30, 1.0, 40.0, 1e4]]), activation)
    assert np.isfinite(v).all()
    back = ACTIVATIONS[activation](torch.tensor(v)).numpy()
    assert np.isfinite(back).all()
    assert np.abs(back[0, :2]).max() <= 1.1e-6


# 200 steps: moments against plain torch through the cells.


def through_the_cells(x, membership, penalised, k, config, init):
    """The same model written with torch's autograd on the cells, in float32, knowing nothing of moments."""
    x = torch.tensor(x, dtype=torch.float32)
    g = x.shape[1]
    inside = torch.zeros(g, k, dtype=torch.bool)
    inside[:, : membership.shape[1]] = torch.tensor(membership)
    kept = torch.tensor(penalised)
    outside = ~inside & (inside.any(1) & kept)[:, None]
    used = outside.any(0)
    v = torch.tensor(unconstrained(init, config.activation), dtype=torch.float32, requires_grad=True)
    adam = torch.optim.Adam([v], lr=config.learning_rate)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        adam,
        mode="min",
        factor=config.scheduler_factor,
        patience=config.scheduler_patience,
        threshold=config.min_delta,
        threshold_mode="abs",
    )
    history, best, best_loss = [], None, math.inf
    for _ in range(config.max_iter):
        adam.zero_grad()
        w = ACTIVATIONS[config.activation](v)
        if config.scores == "least_squares":
            w = w / torch.linalg.vector_norm(w, dim=0)
            error = x - torch.linalg.solve(w.T @ w + config.ridge * torch.eye(k), (x @ w).T).T @ w.T
        else:
            error = x - x @ w @ w.T
        squared = error.square().sum()
        if config.dropout:
            noise = config.dropout / (1 - config.dropout) * x.square().sum(0)
            squared = squared + (noise @ (w @ w.T).square()).sum()
        rmse = (squared / x.numel()).sqrt()
        if config.relative:
            rmse = rmse / x.square().mean().sqrt()
        p = w.abs() / w.abs().sum(1, keepdim=True)
        if config.zero_norm == "feature":
            q = w**2 / (w**2).sum(1, keepdim=True)
            count = outside.sum(0)[used]
            first, second = ((m * outside).sum(0)[used] / count for m in (p, q))
            zero = config.l1_ratio * first.mean() + (1 - config.l1_ratio) * second.mean().sqrt()
        else:
            zero = ((w.abs() * ~inside).sum(0) / (torch.linalg.vector_norm(w, dim=0) * math.sqrt(g))).mean()
        entropy = torch.special.entr(p).sum(1)[kept].mean() / math.log(k)
        structure = (1 - config.epsilon) * zero + config.epsilon * entropy
        loss = (1 - config.theta) * rmse + config.theta * structure
        history.append(loss.item())
        if loss.item() < best_loss:
            best, best_loss = w.detach().numpy().copy(), loss.item()
        loss.backward()
        adam.step()
        scheduler.step(loss.item())
    return best, history, adam.param_groups[0]["lr"]


def assert_descents_agree(config):
    x, membership = planted()
    data, explicit = standardised(x)
    if not config.relative:  # cells in another unit, so that relative or not is not the same
        data, explicit = Standardized(data.n, 4 * data.gram, data.mean, data.scale), 2 * explicit
    init = random_weights((30, 5), config.activation)
    penalised = np.ones(30, dtype=bool)
    result = fit(data, membership, penalised, 5, config, init=init)
    loadings, history, rate = through_the_cells(explicit, membership, penalised, 5, config, init)
    assert history[-1] < 0.95 * history[0]
    assert len(result.history["loss"]) == config.max_iter
    # float32: both sides round at 6e-8 per operation, and the steps add up.
    np.testing.assert_allclose(result.history["loss"], history, rtol=1e-5)
    assert np.linalg.norm(result.loadings - loadings) < 1e-5 * np.linalg.norm(loadings)
    return rate


PATIENT = {"early_stopping_patience": 10_000}


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("activation", ["softplus", "sigmoid"])
def test_200_steps_from_moments_are_200_steps_of_autograd_through_the_cells(activation, scores, zero_norm, relative):
    config = Config(
        **CONFIG,
        **PATIENT,
        activation=activation,
        scores=scores,
        zero_norm=zero_norm,
        relative=relative,
        scheduler_patience=1,
        scheduler_factor=0.9,
        min_delta=3e-3,
    )
    rate = assert_descents_agree(config)
    assert rate < config.learning_rate  # the scheduler had its say


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_200_steps_of_signed_loadings_without_structure_are_those_of_autograd_through_the_cells(scores, relative):
    config = Config(
        **{**CONFIG, "theta": 0.0},
        **PATIENT,
        activation="identity",
        scores=scores,
        relative=relative,
        scheduler_patience=1,
        scheduler_factor=0.9,
        min_delta=3e-3,
    )
    rate = assert_descents_agree(config)
    assert rate < config.learning_rate


@pytest.mark.parametrize("dropout", [0.3, 0.9])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_200_steps_of_hidden_input_are_those_of_autograd_through_the_cells(zero_norm, dropout):
    config = Config(
        **CONFIG,
        **PATIENT,
        zero_norm=zero_norm,
        dropout=dropout,
        scheduler_patience=1,
        scheduler_factor=0.9,
        min_delta=3e-3,
    )
    assert assert_descents_agree(config) < config.learning_rate


@pytest.mark.parametrize("zero_norm", ["feature", "component"])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_the_first_steps_of_signed_loadings_with_structure_are_those_of_autograd_through_the_cells(scores, zero_norm):
    # Few steps: where a signed loading meets the kink of |w| at 0, a rounding error decides which way it goes on.
    config = Config(
        **{**CONFIG, "max_iter": 12},
        **PATIENT,
        activation="identity",
        scores=scores,
        zero_norm=zero_norm,
    )
    assert_descents_agree(config)


# The start.


@pytest.mark.parametrize("n_components", [3, 6])
@pytest.mark.parametrize("seed", [0, 1])
def test_no_scalar_multiple_of_the_start_explains_the_data_better(n_components, seed):
    x, membership = planted(seed=seed)
    data, explicit = standardised(x)
    weights = start.start(membership, n_components, data.gram, scores="projection", rng=np.random.default_rng(seed))

    def left(scalar):
        w = scalar * weights
        return np.sum((explicit - explicit @ w @ w.T) ** 2)

    for scalar in [*np.linspace(0.05, 3, 60), 0.999, 1.001]:
        assert left(scalar) >= left(1.0)
    a, b = weights.T @ data.gram @ weights, weights.T @ weights
    assert np.trace(a) / np.trace(a @ b) == pytest.approx(1.0, rel=1e-12)  # s² of what is already scaled


@pytest.mark.parametrize("n_components", [3, 6])
@pytest.mark.parametrize("hidden", [0.25, 9.0])
def test_no_scalar_multiple_of_the_start_explains_hidden_input_better(n_components, hidden):
    x, membership = planted()
    data, explicit = standardised(x)
    options = {"scores": "projection", "hidden": hidden}
    weights = start.start(membership, n_components, data.gram, rng=np.random.default_rng(0), **options)
    squares = (explicit**2).sum(axis=0)

    def left(scalar):
        both = scalar**2 * weights @ weights.T
        return np.sum((explicit - explicit @ both) ** 2) + hidden * np.sum(squares @ both**2)

    for scalar in [*np.linspace(0.05, 3, 60), 0.999, 1.001]:
        assert left(scalar) >= left(1.0)
    seen = start.start(membership, n_components, data.gram, scores="projection", rng=np.random.default_rng(0))
    ratio = weights / seen  # the same but for the scale
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-12)
    assert ratio[0, 0] < 1


def started(problem):
    """The point that a descent starts from: one step keeps it."""
    return fit_alone(replace(problem, config=replace(problem.config, max_iter=1))).loadings


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
def test_the_start_is_the_membership(scores):
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


def test_the_start_breaks_ties_between_pathways_with_the_same_genes():
    x, membership = planted()
    data, _ = standardised(x)
    twins = membership[:, [0, 0]]
    weights = start.start(twins, 2, data.gram, scores="projection", rng=np.random.default_rng(0))
    assert (weights[:, 0] != weights[:, 1]).all()


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
    weights = start.start(OVERLAPPING, 4, np.zeros((GENES, GENES)), scores="projection", rng=np.random.default_rng(0))
    assert np.isfinite(weights).all()


# The fit.


def relative_loss(loadings, explicit, membership, config):
    """The loss of fitted non-negative loadings, from the cells."""
    v = torch.tensor(unconstrained(np.maximum(loadings, 1e-12), "softplus"))
    return float(naive_loss(v, torch.tensor(explicit), membership, np.ones(len(loadings), bool), config)["loss"])


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_a_fit_that_stops_early_returns_the_loadings_of_its_lowest_loss(zero_norm, scores):
    x, membership = planted()
    data, explicit = standardised(x)
    # A learning rate that overshoots and little patience, so that the last point is not the best.
    config = Config(
        **{**CONFIG, "learning_rate": 1.5},
        zero_norm=zero_norm,
        scores=scores,
        early_stopping_patience=3,
        scheduler_patience=1000,
    )
    result = fit(data, membership, np.ones(30, bool), 5, config)
    losses = result.history["loss"]
    assert result.converged
    assert len(losses) < config.max_iter
    assert result.best_iteration == int(np.argmin(losses)) + 1
    assert losses[-1] > min(losses)
    assert relative_loss(result.loadings, explicit, membership, config) == pytest.approx(
        min(losses), rel=1e-5
    )  # float32


def test_least_squares_loadings_have_columns_of_unit_length():
    x, membership = planted()
    result = fit(standardised(x)[0], membership, np.ones(30, bool), 5, Config(**CONFIG, scores="least_squares"))
    np.testing.assert_allclose(np.linalg.norm(result.loadings, axis=0), 1.0, rtol=1e-6)  # float32


@pytest.mark.parametrize("balance", [True, False])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_the_encoder_of_a_fit_follows_from_its_loadings(scores, balance):
    x, membership = planted()
    data, _ = standardised(x + np.arange(30))
    config = Config(**{**CONFIG, "max_iter": 5}, scores=scores, balance=balance)
    result = fit(data, membership, np.ones(30, bool), 5, config)
    np.testing.assert_array_equal(result.weights, score_weights(result.loadings, scores, config.ridge))
    expected = balanced(result.weights, expression_bins(data.mean)) if balance else result.weights
    np.testing.assert_array_equal(result.encoder, expected)
    assert result.encoder.shape == (30, 5)
    plain = fit(data, membership, np.ones(30, bool), 5, replace(config, balance=False))
    np.testing.assert_array_equal(result.loadings, plain.loadings)  # the descent knows nothing of balance
    assert result.history == plain.history


@pytest.mark.parametrize("balance", [True, False])
def test_members_are_closed_form_without_a_descent(balance):
    x, membership = planted()
    data, _ = standardised(x)
    heard = []
    config = Config(**CONFIG, scores="members", balance=balance)
    result = fit(data, membership, np.ones(30, bool), 3, config, progress=lambda *step: heard.append(step))
    expected = members.fit(data, membership, balance=balance)
    for name in ("loadings", "weights", "encoder"):
        np.testing.assert_array_equal(getattr(result, name), getattr(expected, name), err_msg=name)
    assert (result.history, result.best_iteration, result.converged, heard) == ({}, 0, True, [])
    other = replace(config, theta=0.9, max_iter=3, random_state=7, start="evidence")
    np.testing.assert_array_equal(fit(data, membership, np.ones(30, bool), 3, other).loadings, result.loadings)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_a_fit_lowers_the_loss_and_reports_every_term(scores):
    x, membership = planted()
    data, _ = standardised(x)
    config = Config(**CONFIG, scores=scores)
    heard = []
    result = fit(
        data, membership, np.ones(30, bool), 5, config, progress=lambda i, terms: heard.append((i, terms["loss"]))
    )
    assert set(result.history) == {"loss", "reconstruction", "zero", "entropy"}
    assert {len(values) for values in result.history.values()} == {len(heard)}
    assert heard == list(enumerate(result.history["loss"], start=1))
    assert min(result.history["loss"]) < result.history["loss"][0]
    assert result.loadings.dtype == np.float64
    assert result.loadings.shape == (30, 5)
    terms = np.array([result.history[name] for name in ("reconstruction", "zero", "entropy")])
    combined = np.array([0.7, 0.3 * 0.8, 0.3 * 0.2]) @ terms
    np.testing.assert_allclose(result.history["loss"], combined, rtol=1e-6)  # float32


def test_planted_programs_are_found_again():
    x, membership = planted(n=1000, g=60, seed=3)
    result = fit(standardised(x)[0], membership, np.ones(60, bool), 3, Config(**{**CONFIG, "max_iter": 500}))
    for j in range(3):
        inside, outside = result.loadings[membership[:, j], j], result.loadings[~membership[:, j], j]
        assert (inside[:, None] > outside).mean() > 0.95  # AUC of members


def test_the_pathways_know_nothing_of_the_order_of_the_genes():
    x, membership = planted()
    order = np.random.default_rng(1).permutation(30)
    init = random_weights((30, 5), "softplus")
    options = (np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 50}))
    first = fit(standardised(x)[0], membership, *options, init=init)
    last = fit(standardised(x[:, order])[0], membership[order], *options, init=init[order])
    np.testing.assert_allclose(
        last.loadings, first.loadings[order], rtol=1e-4, atol=1e-6
    )  # float32, other order of sums


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("constant", [0.25, 16.0])
def test_multiplying_the_cells_by_a_power_of_two_changes_nothing_when_relative(constant, scores):
    x, membership = planted()
    options = (membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 60}, scores=scores))
    first = fit(standardised(x, None)[0], *options)
    last = fit(standardised(constant * x, None)[0], *options)
    assert last.history == first.history  # a power of two does not round
    np.testing.assert_array_equal(last.loadings, first.loadings)


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_multiplying_the_cells_by_any_constant_changes_nothing_but_rounding_when_relative(scores):
    x, membership = planted()
    options = (membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 60}, scores=scores))
    first = fit(standardised(x, None)[0], *options)
    last = fit(standardised(37.1 * x, None)[0], *options)
    np.testing.assert_allclose(last.history["loss"], first.history["loss"], rtol=1e-5)  # float32
    assert np.linalg.norm(last.loadings - first.loadings) < 1e-4 * np.linalg.norm(first.loadings)


def test_the_units_of_the_cells_matter_when_not_relative():
    x, membership = planted()
    options = (membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 1}, relative=False))
    first = fit(standardised(x, None)[0], *options).history["reconstruction"][0]
    last = fit(standardised(10.0 * x, None)[0], *options).history["reconstruction"][0]
    assert last == pytest.approx(10 * first, rel=1e-6)  # float32


def held_out(x, other):
    """Moments of other cells in the units of the first."""
    explicit = (other - x.mean(axis=0)) / x.std(axis=0)
    return Standardized(len(other), explicit.T @ explicit, x.mean(axis=0), x.std(axis=0)), explicit


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_held_out_cells_decide_which_point_is_kept_and_nothing_else(scores, relative):
    x, membership = planted(n=8)
    other, explicit = held_out(x, planted(n=200, seed=5)[0])
    # Neither learning rate nor stopping may change, so that both descents visit the same points.
    config = Config(
        **{**CONFIG, "theta": 0.01, "learning_rate": 0.05},
        scores=scores,
        relative=relative,
        scheduler_patience=1000,
        early_stopping_patience=1000,
    )
    options = (standardised(x)[0], membership, np.ones(30, bool), 5, config)
    alone, watched = fit(*options), fit(*options, validation=other)
    assert alone.history["loss"] == watched.history["loss"]
    assert watched.best_iteration == int(np.argmin(watched.history["validation_loss"])) + 1
    assert watched.best_iteration < alone.best_iteration  # other programs: they soon fit worse
    loss = relative_loss(watched.loadings, explicit, membership, config)
    assert loss == pytest.approx(min(watched.history["validation_loss"]), rel=1e-5)  # float32


def test_held_out_cells_decide_when_to_stop():
    x, membership = planted(n=8)
    other, _ = held_out(x, planted(n=200, seed=5)[0])
    config = Config(**{**CONFIG, "theta": 0.01, "learning_rate": 0.05}, early_stopping_patience=5)
    options = (standardised(x)[0], membership, np.ones(30, bool), 5, config)
    alone, watched = fit(*options), fit(*options, validation=other)
    assert watched.converged
    assert len(watched.history["loss"]) < len(alone.history["loss"])


def test_the_cells_themselves_as_validation_change_nothing():
    x, membership = planted()
    data, _ = standardised(x)
    options = (data, membership, np.ones(30, bool), 5, Config(**CONFIG))
    alone, watched = fit(*options), fit(*options, validation=data)
    assert watched.history["validation_loss"] == watched.history["loss"] == alone.history["loss"]
    np.testing.assert_array_equal(watched.loadings, alone.loadings)


def test_held_out_cells_are_seen_whole():
    x, membership = planted()
    data, _ = standardised(x)
    init = random_weights((30, 5), "softplus")
    hidden, whole = (
        fit(
            data,
            membership,
            np.ones(30, bool),
            5,
            Config(**{**CONFIG, "max_iter": 1}, dropout=dropout),
            init=init,
            validation=data,
        ).history
        for dropout in (0.9, 0.0)
    )
    assert hidden["validation_loss"] == whole["validation_loss"] == whole["loss"]
    assert hidden["loss"][0] > 1.1 * whole["loss"][0]


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_the_same_seed_gives_the_same_fit_and_another_seed_another(scores):
    x, membership = planted()
    data, _ = standardised(x)
    base = {**CONFIG, "max_iter": 30, "scores": scores}
    first, again, other = (
        fit(data, membership, np.ones(30, bool), 5, Config(**base, random_state=s)) for s in (4, 4, 5)
    )
    assert first.history == again.history
    np.testing.assert_array_equal(first.loadings, again.loadings)
    assert not np.array_equal(first.loadings, other.loadings)


def test_a_fit_leaves_global_random_states_and_its_inputs_alone():
    x, membership = planted()
    data, _ = standardised(x)
    gram, given = data.gram.copy(), membership.copy()
    init = random_weights((30, 5), "softplus")
    before = init.copy()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    fit(data, membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 5}), init=init)
    fit(data, membership, np.ones(30, bool), 5, Config(**{**CONFIG, "max_iter": 5}))
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    np.testing.assert_array_equal(data.gram, gram)
    np.testing.assert_array_equal(membership, given)
    np.testing.assert_array_equal(init, before)


# Many fits together.

TOGETHER = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.05, "max_iter": 60}


def a_problem(scores="projection", zero_norm="component", **config):
    x, membership = planted()
    config = Config(**{**TOGETHER, **config}, scores=scores, zero_norm=zero_norm)
    return Problem(standardised(x)[0], membership, np.ones(30, bool), 5, config)


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
    return [replace(problem, init=random_weights((30, 5), "softplus", seed=seed)) for seed in range(3)]


KINDS = [restarts, path, draws, path_over_draws, through_cells, other_memberships, given_starts]
every_kind = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


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
            values, expected = getattr(one, name), getattr(alone, name)
            assert np.linalg.norm(values - expected) < 1e-5 * np.linalg.norm(expected), name
            assert values.dtype == np.float64
        assert one.converged == alone.converged
        assert one.best_iteration == alone.best_iteration
        assert one.loadings.flags.c_contiguous


@every_kind
@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_fits_together_are_the_fits_one_by_one(kind, zero_norm, scores):
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
    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", 1)
    for one, other, problem in zip(fits, fit_many(iter(problems)), problems, strict=True):
        alone = fit_alone(problem)
        for name in ("loadings", "weights", "encoder"):
            np.testing.assert_array_equal(getattr(one, name), getattr(alone, name))
            np.testing.assert_array_equal(getattr(other, name), getattr(alone, name))
        assert one[3:] == other[3:] == alone[3:] == ({}, 0, True)


def test_members_of_problems_that_differ_too_much_are_refused():
    problem = a_problem("members", balance=True)
    with pytest.raises(ValueError, match="the same config"):
        list(fit_many([problem, replace(problem, config=replace(problem.config, balance=False))]))


@pytest.mark.parametrize("kind", [restarts, path, draws], ids=lambda kind: kind.__name__)
def test_fits_together_that_end_at_different_iterations_are_the_fits_one_by_one(kind):
    options = {"learning_rate": 0.3, "max_iter": 300, "min_delta": 1e-3}
    problems = kind(a_problem(**options, early_stopping_patience=8, scheduler_patience=3))
    fits = list(fit_many(problems))
    assert_fits_agree(fits, problems)
    assert len({len(one.history["loss"]) for one in fits}) > 1
    assert all(one.converged for one in fits)


@every_kind
def test_the_slices_change_nothing_and_come_one_after_the_other(kind, monkeypatch):
    problems = kind(a_problem())
    whole = list(fit_many(problems))
    taken = []

    def one_by_one():
        for i, problem in enumerate(problems):
            taken.append(i)
            yield problem

    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", 1)
    with threads(1):
        some = fit_many(one_by_one())
        first = next(some)
        assert taken == [0, 1]  # one to fit, and one that no longer went with it
        rest = list(some)
    for one, other in zip([first, *rest], whole, strict=True):
        np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-5)  # float32
        assert np.linalg.norm(one.loadings - other.loadings) < 1e-5 * np.linalg.norm(other.loadings)


@contextmanager
def threads(n):
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@every_kind
@pytest.mark.parametrize("n_threads", [2, 3])
def test_slices_side_by_side_give_the_same_digits_in_the_same_order(kind, n_threads, monkeypatch):
    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", 1)
    problems = kind(a_problem(max_iter=20))
    with threads(1):
        alone = list(fit_many(problems))
    with threads(n_threads):
        together = list(fit_many(iter(problems)))
        assert torch.get_num_threads() == n_threads
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one.loadings, other.loadings)
        assert one.history == other.history


def test_an_error_in_one_slice_reaches_the_caller_and_the_threads_come_back(monkeypatch):
    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", 1)
    problem = a_problem(max_iter=5)
    odd = replace(problem, config=replace(problem.config, max_iter=6))
    with threads(2):
        with pytest.raises(ValueError, match="the same config"):
            list(fit_many([problem, problem, problem, odd]))
        assert torch.get_num_threads() == 2


def test_a_slice_holds_what_fits_in_its_bytes(monkeypatch):
    problem = a_problem(max_iter=1)
    state, gram = 4 * grouped_ae.N_ARRAYS * 30 * 5, 12 * 30 * 30
    sizes = []
    minimize = grouped_ae.minimize

    def counting(objective, start, **options):
        sizes.append(len(start))
        return minimize(objective, start, **options)

    monkeypatch.setattr(grouped_ae, "minimize", counting)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)  # one slice after the other
    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", gram + 3 * state)
    assert len(list(fit_many([problem] * 8))) == 8
    assert sizes == [3, 3, 2]
    sizes.clear()
    own = [replace(problem, data=standardised(planted(seed=seed)[0])[0]) for seed in range(5)]
    monkeypatch.setitem(grouped_ae.SLICE_BYTES, "cpu", 2 * (gram + state))
    assert len(list(fit_many(own))) == 5
    assert sizes == [2, 2, 1]


def test_no_problem_is_no_fit():
    assert list(fit_many([])) == []


def test_restarts_depend_on_their_seeds_and_on_nothing_else():
    problems = restarts(a_problem())
    first, again = (list(fit_many(problems)) for _ in range(2))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.loadings, other.loadings)
        assert one.history == other.history
    assert len({one.history["loss"][-1] for one in first}) == 4


def test_problems_with_the_same_cells_share_one_product():
    problems = restarts(a_problem())
    calls = []
    target = grouped_ae.objective(problems)
    counted = target.data._replace(product=lambda w: (calls.append(w.shape), target.data.product(w))[1])
    replace(target, data=counted)(torch.zeros(4, 30, 5))
    assert calls == [(4, 30, 5)]
    assert target.outside.shape == (30, 5)
    assert target.share_data.shape == ()


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"n_components": 6}, "n_components"),
        ({"penalised": ~EVERY}, "penalised"),
        ({"membership": OVERLAPPING}, "shape of membership"),
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
