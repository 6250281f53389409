"""The classic descent: its gradients, projections, mixtures of near cells, patience, and where it gets to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathwayae.core.archetypes import classic, solver
from pathwayae.core.archetypes.cells import Cells
from pathwayae.core.archetypes.classic import Config
from pathwayae.core.descent import Adam
from pathwayae.core.notice import DataWarning

EVERY = [(weights, archetypes) for weights in classic.WEIGHTS for archetypes in classic.ARCHETYPES]


def mixtures(n: int = 300, k: int = 4, d: int = 6, *, noise: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.full(k, 0.5), n) @ rng.normal(size=(k, d))
    return x + noise * x.std() * rng.normal(size=x.shape)


def descent(weights: str, entropy_reg: float) -> classic._Descent:
    points = mixtures(40)
    config = Config(4, weights=weights, archetypes="free", entropy_reg=entropy_reg)
    made = classic._Descent(points, points[:4] + 0.1, config, classic.Hooks(), Cells(points))
    made.inner[:] = np.random.default_rng(1).uniform(0.1, 1, size=made.inner.shape)
    made._project()
    return made


@pytest.mark.parametrize("entropy_reg", [0.0, 0.3, -0.2])
def test_gradients_are_those_of_automatic_differentiation(entropy_reg: float) -> None:
    made = descent("renormalise", entropy_reg)
    x = torch.tensor(made.points)
    a, z = (torch.tensor(v, requires_grad=True) for v in (made.weights, made.archetypes))
    loss = ((x - a @ z) ** 2).sum(1).mean() - entropy_reg * (a * a.log()).sum(1).mean()
    loss.backward()
    assert made.loss() == pytest.approx(loss.item(), rel=1e-12)
    for own, other in zip(made.gradients(), (a.grad, z.grad), strict=True):
        np.testing.assert_allclose(own, other.numpy(), atol=1e-14)


def test_a_step_through_a_softmax_follows_its_gradient() -> None:
    made = descent("softmax", 0.0)
    x, z = torch.tensor(made.points), torch.tensor(made.archetypes)
    inner = torch.tensor(made.inner, requires_grad=True)
    ((x - torch.softmax(inner, 1) @ z) ** 2).sum(1).mean().backward()
    before = made.inner.copy()
    made.step()
    np.testing.assert_array_equal(np.sign(made.inner - before), -np.sign(inner.grad.numpy()))
    np.testing.assert_allclose(made.weights.sum(1), 1)


def test_the_first_steps_are_those_of_adam_with_clipped_gradients() -> None:
    rng = np.random.default_rng(0)
    point, gradients = rng.normal(size=(3, 2)), [5 * rng.normal(size=(3, 2)) for _ in range(4)]
    ours, theirs = point.copy(), torch.tensor(point, requires_grad=True)
    mover, other = Adam(torch.from_numpy(ours)[None]), torch.optim.Adam([theirs], lr=0.1)
    for gradient in gradients:
        classic._move(mover, ours, np.clip(gradient, -1, 1), 0.1)
        theirs.grad = torch.tensor(gradient).clamp(-1, 1)
        other.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-12)


def test_mixtures_of_near_cells_by_a_loop() -> None:
    x, places = mixtures(50), np.random.default_rng(2).normal(size=(3, 6))
    near, share = classic.nearest_mixtures(x, places)
    for j, place in enumerate(places):
        distance = np.sqrt(((x - place) ** 2).sum(1))
        nearest = np.argsort(distance)[:10]
        np.testing.assert_array_equal(near[j], nearest)
        closeness = 1 / (distance[nearest] + np.median(distance[nearest]))
        np.testing.assert_allclose(share[j], closeness / closeness.sum())


def test_a_place_on_a_cell_is_not_that_cell_alone() -> None:
    x = mixtures(50)
    near, share = classic.nearest_mixtures(x, x[[7]])
    assert near[0, 0] == 7
    assert share[0, 0] < 0.5
    _, equal = classic.nearest_mixtures(np.ones((20, 2)), np.ones((1, 2)))
    np.testing.assert_allclose(equal, 0.1)
    assert classic.nearest_mixtures(x[:3], x[:2])[0].shape == (2, 3)


@pytest.mark.parametrize(("weights", "archetypes"), EVERY)
def test_the_point_kept_is_the_best_one_of_the_simplex_and_its_loss_in_units_of_the_cells(
    weights: str, archetypes: str
) -> None:
    x = 30 * mixtures() + 100
    fit = classic.fit(x, Config(4, max_iter=80, weights=weights, archetypes=archetypes, learning_rate=0.01))
    error = ((x - fit.weights @ fit.archetypes) ** 2).sum(1).mean()
    assert min(fit.loss) == pytest.approx(error, rel=1e-4)
    assert fit.loss[0] > 1.2 * min(fit.loss)
    assert fit.explained_variance == pytest.approx(1 - error / ((x - x.mean(0)) ** 2).sum(1).mean(), rel=1e-6)
    assert (fit.weights >= 0).all()
    np.testing.assert_allclose(fit.weights.sum(1), 1, atol=1e-6)
    if archetypes == "knn":
        np.testing.assert_allclose(fit.mixing @ x, fit.archetypes, rtol=1e-12)
        assert (np.diff(fit.mixing.indptr) == 10).all()
    else:
        assert fit.mixing.nnz == 0
    assert np.isnan(fit.gap)


def test_archetypes_leave_the_cells_they_start_from() -> None:
    x = mixtures()
    fit = classic.fit(x, Config(4, learning_rate=0.01))
    first = classic.fit(x, Config(4, max_iter=1))
    assert np.linalg.norm(fit.archetypes - first.archetypes, axis=1).min() > 0.05
    assert np.linalg.norm(fit.archetypes[:, None] - x[None], axis=2).min() > 1e-3


@pytest.mark.parametrize("seed", range(2))
def test_the_descent_comes_near_to_the_optimum_but_not_beyond(seed: int) -> None:
    x = mixtures(seed=seed)
    optimum = solver.fit(x, solver.Config(4)).explained_variance
    fast, slow = (classic.fit(x, Config(4, learning_rate=rate)).explained_variance for rate in (1e-2, 1e-3))
    assert optimum - 0.02 < fast <= optimum + 1e-9
    assert classic.fit(x, Config(4, max_iter=1)).explained_variance < slow <= optimum + 1e-9


def test_the_sign_of_the_entropy_spreads_or_sharpens() -> None:
    x = mixtures()
    spread, none, sharp = (
        classic.entropy(
            classic.fit(x, Config(4, max_iter=200, learning_rate=0.01, entropy_reg=value)).weights.astype(float)
        ).mean()
        for value in (-0.1, 0.0, 0.1)
    )
    assert spread > none > sharp


def test_patience_ends_a_descent_that_gains_nothing() -> None:
    x = mixtures()
    fit = classic.fit(x, Config(4, tol=1.0, patience=7))
    assert fit.converged
    assert len(fit.loss) == 8
    assert not classic.fit(x, Config(4, max_iter=5)).converged


def test_seeds_decide_and_starts_can_be_given() -> None:
    x = mixtures()
    a, b, c = (classic.fit(x, Config(4, max_iter=20, seed=seed)) for seed in (1, 1, 2))
    assert a.loss == b.loss
    assert a.loss != c.loss
    by_cells = classic.fit(x, Config(4, max_iter=20, start=[3, 50, 100, 200]))
    by_places = classic.fit(x, Config(4, max_iter=20, start=x[[3, 50, 100, 200]]))
    np.testing.assert_allclose(by_cells.loss, by_places.loss)


def test_scale_and_offset_do_not_change_the_path() -> None:
    x = mixtures()
    a, b = (classic.fit(y, Config(4, max_iter=30)) for y in (x, 4 * x - 7))
    np.testing.assert_allclose(np.array(b.loss), 16 * np.array(a.loss), rtol=1e-9)
    np.testing.assert_allclose(b.archetypes, 4 * a.archetypes - 7, atol=1e-9)


def test_a_loss_that_is_not_finite_ends_with_a_warning() -> None:
    with pytest.warns(DataWarning, match="Lower learning_rate"), np.errstate(all="ignore"):
        fit = classic.fit(mixtures(), Config(4, archetypes="free", learning_rate=1e200))
    assert np.isfinite(fit.archetypes).all()


def test_bad_input_is_refused() -> None:
    with pytest.raises(ValueError, match="only 2 distinct cells"):
        classic.fit(np.array([[0.0], [1.0], [1.0]]), Config(3))
    with pytest.raises(ValueError, match="start='far'"):
        classic.fit(mixtures(), Config(4, start="far"))
