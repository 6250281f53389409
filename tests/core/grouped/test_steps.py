"""Descents from moments against plain torch through the cells, step by step."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pairwise import pairwise

from pathwayae.core.grouped.fit import Config, fit
from pathwayae.core.moments.accumulate import accumulate
from pathwayae.core.moments.moments import Standardized

CONFIG = {"theta": 0.3, "epsilon": 0.2, "l1_ratio": 0.4, "learning_rate": 0.01, "max_iter": 200}
ACTIVATIONS = {"softplus": F.softplus, "sigmoid": torch.sigmoid, "identity": lambda v: v}
LS = "least_squares"


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


SOFT = [
    {"activation": activation, "scores": scores, "zero_norm": zero_norm, "relative": relative}
    for activation, scores, zero_norm, relative in pairwise(
        activation=["softplus", "sigmoid"],
        scores=["projection", LS],
        zero_norm=["feature", "component"],
        relative=[True, False],
    )
]
SIGNED = [  # without structure
    {"theta": 0.0, "activation": "identity", "scores": scores, "relative": relative}
    for scores, relative in (("projection", True), (LS, True), (LS, False))
]
HIDDEN = [{"zero_norm": "feature", "dropout": 0.3}, {"zero_norm": "component", "dropout": 0.9}]


@pytest.mark.parametrize("options", [*SOFT, *SIGNED, *HIDDEN], ids=lambda options: " ".join(map(str, options.values())))
def test_200_steps_from_moments_are_200_steps_of_autograd_through_the_cells(options):
    scheduler = {"scheduler_patience": 1, "scheduler_factor": 0.9, "min_delta": 3e-3, "early_stopping_patience": 10_000}
    config = Config(**{**CONFIG, **scheduler, **options})
    assert assert_descents_agree(config) < config.learning_rate  # the scheduler had its say


@pytest.mark.parametrize(("scores", "zero_norm"), [("projection", "feature"), (LS, "component"), (LS, "feature")])
def test_the_first_steps_of_signed_loadings_with_structure_are_those_of_autograd_through_the_cells(scores, zero_norm):
    # Few steps: where a signed loading meets the kink of |w| at 0, a rounding error decides which way it goes on.
    assert_descents_agree(
        Config(**{**CONFIG, "max_iter": 12}, activation="identity", scores=scores, zero_norm=zero_norm)
    )
