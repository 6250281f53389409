"""The whole objective against loops over genes and components, and the point of a fit that is kept by it."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pairwise import pairwise

from pathwayae.core.grouped import fit as grouped
from pathwayae.core.grouped import loss, start
from pathwayae.core.grouped.fit import Config, Problem, fit
from pathwayae.core.grouped.loss import shares
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Standardized

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.01, "max_iter": 200}
ACTIVATIONS = {"softplus": F.softplus, "sigmoid": torch.sigmoid, "identity": lambda v: v}


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
    step = grouped.objective([Problem(data, membership, penalised, k, config)])(v.detach().float())
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
    ("zero_norm", "activation", "scores", "on_classes", "scaling", "shares_of_terms"),
    pairwise(
        zero_norm=["feature", "component"],
        activation=list(ACTIVATIONS),
        scores=["projection", "least_squares"],
        on_classes=[False, True],
        scaling=["log", "exp", None],
        shares_of_terms=[(0.3, 0.2, 0.4), (0.7, 0.0, 0.0), (0.5, 1.0, 1.0), (0.0, 0.5, 0.5), (1.0, 0.2, 0.4)],
    ),
)
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
    assert_objective_is_naive(planted(n=20, g=GENES)[0], OVERLAPPING, EVERY, 4, config)


@pytest.mark.parametrize(
    ("k", "scores", "on_classes", "relative"),
    pairwise(k=[3, 5], scores=["projection", "least_squares"], on_classes=[False, True], relative=[True, False]),
)
def test_the_objective_with_nan_genes_and_in_absolute_units_is_that_of_the_design(k, scores, on_classes, relative):
    config = Config(**CONFIG, zero_norm="feature", scores=scores, entropy_on_classes=on_classes, relative=relative)
    assert_objective_is_naive(5.0 * planted(n=20, g=GENES)[0], OVERLAPPING, SOME, k, config)


@pytest.mark.parametrize(
    ("activation", "dropout", "relative"),
    pairwise(activation=list(ACTIVATIONS), dropout=[0.3, 0.9], relative=[True, False]),
)
def test_the_objective_of_hidden_input_is_that_of_the_design(activation, dropout, relative):
    config = Config(**CONFIG, activation=activation, dropout=dropout, relative=relative)
    assert_objective_is_naive(planted(n=20, g=GENES)[0], OVERLAPPING, EVERY, 4, config)


def test_the_objective_of_hidden_input_is_the_mean_over_masks():
    data, explicit = standardised(planted(n=20, g=GENES)[0])
    config = Config(**CONFIG, dropout=0.4)
    v = torch.tensor(unconstrained(random_weights((GENES, 4), "softplus"), "softplus")).float()
    rmse = float(grouped.objective([Problem(data, OVERLAPPING, EVERY, 4, config)])(v).terms["reconstruction"])
    w, rng = F.softplus(v).double().numpy(), np.random.default_rng(0)
    left = [
        np.sum((explicit - explicit * (rng.random(explicit.shape) < 0.6) / 0.6 @ w @ w.T) ** 2) for _ in range(4000)
    ]
    mean, error = np.mean(left), np.std(left) / math.sqrt(len(left))
    assert abs(rmse**2 * np.sum(explicit**2) - mean) < 4 * error
    whole = np.sum((explicit - explicit @ w @ w.T) ** 2)
    assert mean - whole > 20 * error  # or nothing would be seen


@pytest.mark.parametrize("epsilon", [0.0, 0.3, 1.0])
def test_a_term_that_is_not_there_leaves_its_share_to_the_other(epsilon):
    assert shares(0.3, epsilon, has_zero=True, has_entropy=False) == pytest.approx((0.7, 0.3, 0.0))
    assert shares(0.3, epsilon, has_zero=False, has_entropy=True) == pytest.approx((0.7, 0.0, 0.3))
    config = Config(**{**CONFIG, "epsilon": epsilon}, zero_norm="feature")  # no gene has a pathway
    assert_objective_is_naive(planted(n=20, g=GENES)[0], np.zeros((GENES, 2), dtype=bool), EVERY, 3, config)


@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_only_the_data_speak_where_no_gene_is_penalised(zero_norm):
    config = Config(**CONFIG, zero_norm=zero_norm)
    data, explicit = standardised(planted(n=20, g=GENES)[0])
    v = torch.randn(GENES, 4, generator=torch.Generator().manual_seed(0))
    step = grouped.objective([Problem(data, OVERLAPPING, ~EVERY, 4, config)])(v)
    w = F.softplus(v).double()
    x = torch.tensor(explicit)
    expected = 0.7 * torch.linalg.norm(x - x @ w @ w.T) / torch.linalg.norm(x)
    assert float(step.terms["loss"]) == pytest.approx(float(expected), rel=1e-6)  # float32


def test_theta_of_one_is_clipped_so_that_the_data_never_vanish():
    data_share, zero, entropy = shares(1.0, 0.25, has_zero=True, has_entropy=True)
    assert data_share == pytest.approx(1e-3)
    assert (zero, entropy) == pytest.approx((0.75 * 0.999, 0.25 * 0.999))


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
@pytest.mark.parametrize("zero_norm", ["feature", "component"])
def test_a_batch_of_weights_gives_what_a_loop_over_it_gives(zero_norm, scores):
    data, _ = standardised(planted()[0])
    config = Config(**CONFIG, zero_norm=zero_norm, scores=scores)
    target = grouped.objective([Problem(data, planted()[1], np.ones(30, bool), 5, config)])
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


# The point that a fit keeps.


def relative_loss(loadings, explicit, membership, config):
    """The loss of fitted non-negative loadings, from the cells."""
    v = torch.tensor(unconstrained(np.maximum(loadings, 1e-12), "softplus"))
    return float(naive_loss(v, torch.tensor(explicit), membership, np.ones(len(loadings), bool), config)["loss"])


@pytest.mark.filterwarnings("ignore:The loss rose")  # which is what is asked for
@pytest.mark.parametrize(
    ("zero_norm", "scores"), [("feature", "projection"), ("component", "projection"), ("component", "least_squares")]
)
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
    kept = relative_loss(result.loadings, explicit, membership, config)
    assert kept == pytest.approx(min(losses), rel=1e-5)  # float32


def held_out(x, other):
    """Moments of other cells in the units of the first."""
    explicit = (other - x.mean(axis=0)) / x.std(axis=0)
    return Standardized(len(other), explicit.T @ explicit, x.mean(axis=0), x.std(axis=0)), explicit


@pytest.mark.parametrize(("scores", "relative"), [("projection", True), ("least_squares", False)])
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


def test_held_out_cells_decide_when_to_stop_and_are_seen_whole():
    x, membership = planted(n=8)
    data, _ = standardised(x)
    other, _ = held_out(x, planted(n=200, seed=5)[0])
    config = {**CONFIG, "theta": 0.01, "learning_rate": 0.05}
    options = (data, membership, np.ones(30, bool), 5)
    alone, watched = (
        fit(*options, Config(**config, early_stopping_patience=5), validation=cells) for cells in (None, other)
    )
    assert watched.converged
    assert len(watched.history["loss"]) < len(alone.history["loss"])
    hidden, whole = (
        fit(*options, Config(**config, dropout=p), init=random_weights((30, 5), "softplus"), validation=data).history
        for p in (0.9, 0.0)
    )
    assert whole["validation_loss"] == whole["loss"]  # the cells themselves
    assert hidden["validation_loss"][0] == whole["loss"][0]
    assert hidden["loss"][0] > 1.1 * whole["loss"][0]
