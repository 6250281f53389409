"""Descent: where it ends, when it ends and what it keeps."""

import itertools
import math

import pytest
import torch

from pathwayae.core.optimize import Step, minimize

OPTIONS = {
    "learning_rate": 0.1,
    "max_iter": 50,
    "min_delta": 0.0,
    "early_stopping_patience": 1000,
    "scheduler_patience": 1000,
    "scheduler_factor": 0.5,
}


def quadratic(center, curvature):
    def objective(point):
        value = 0.5 * (curvature * (point - center) ** 2).sum()
        return Step(value, {"loss": value}, curvature * (point - center))

    return objective


class Script:
    """An objective that returns the values it is told, with a gradient of 1, and remembers where it was called."""

    def __init__(self, values):
        self.values = iter(values)
        self.points = []

    def __call__(self, point):
        self.points.append(point.clone())
        value = torch.tensor(next(self.values), dtype=torch.float64)
        return Step(value, {"loss": value, "twice": 2 * value}, torch.ones_like(point))

    def learning_rates(self):
        """Length of each move: with a constant gradient Adam moves by the learning rate (over 1 + 1e-8)."""
        return [float((a - b).abs().max()) for a, b in itertools.pairwise(self.points)]


def run(values, **options):
    script = Script(values)
    progress = []
    start = torch.zeros(2, 3, dtype=torch.float64)
    options = {**OPTIONS, "max_iter": len(values), **options}
    return script, minimize(script, start, progress=lambda i, terms: progress.append((i, terms)), **options), progress


def test_the_minimum_of_a_quadratic_is_reached():
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    curvature = 0.1 + torch.rand(4, 3, generator=generator, dtype=torch.float64)
    result = minimize(
        quadratic(center, curvature),
        torch.zeros(4, 3, dtype=torch.float64),
        **{**OPTIONS, "max_iter": 2000, "scheduler_patience": 20, "early_stopping_patience": 200},
    )
    torch.testing.assert_close(result.best, center, rtol=0, atol=1e-8)
    assert min(result.history["loss"]) < 1e-14


def test_the_moves_are_those_of_torch_adam_with_its_plateau_scheduler():
    center, curvature = torch.tensor([1.0, -2.0, 30.0]).double(), torch.tensor([1.0, 50.0, 0.01]).double()
    options = {**OPTIONS, "max_iter": 300, "learning_rate": 0.5, "min_delta": 1e-3, "scheduler_patience": 4}
    result = minimize(quadratic(center, curvature), torch.zeros(3, dtype=torch.float64), **options)
    point = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    adam = torch.optim.Adam([point], lr=0.5)
    scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(
        adam, patience=4, factor=0.5, threshold=1e-3, threshold_mode="abs"
    )
    expected = []
    for _ in range(300):
        adam.zero_grad()
        loss = 0.5 * (curvature * (point - center) ** 2).sum()
        loss.backward()
        adam.step()
        scheduler.step(loss.item())
        expected.append(loss.item())
    assert adam.param_groups[0]["lr"] < 0.5
    assert result.history["loss"] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("values", [[5, 3, 1, 2, 4], [1, 2, 3], [3, 2, 1], [2, 1, 1, 3, 1], [4]])
def test_the_best_point_evaluated_is_kept_and_the_first_of_equals(values):
    script, result, _ = run(values)
    best = values.index(min(values))
    assert result.best_iteration == best + 1
    assert torch.equal(result.best, script.points[best])
    assert not result.converged


def test_an_improvement_too_small_to_count_is_still_kept():
    script, result, _ = run([1.0, 0.999, 0.998, 0.997], min_delta=0.1, early_stopping_patience=3)
    assert result.converged
    assert result.best_iteration == 4
    assert torch.equal(result.best, script.points[3])


def test_the_start_is_not_modified():
    start = torch.ones(3, dtype=torch.float64)
    minimize(quadratic(torch.zeros(3).double(), torch.ones(3).double()), start, **OPTIONS)
    assert torch.equal(start, torch.ones(3, dtype=torch.float64))
    assert start.grad is None


def test_the_first_point_evaluated_is_the_start():
    script, _, _ = run([1.0, 2.0])
    assert not script.points[0].any()


def test_no_iteration_gives_the_start_back():
    script, result, progress = run([])
    assert not result.best.any()
    assert (result.history, result.best_iteration, result.converged) == ({}, 0, False)
    assert script.points == progress == []


def stops_at(values, patience, min_delta):
    """Iterations without an improvement on the last value that was one, counted by hand."""
    reference, waited = math.inf, 0
    for i, value in enumerate(values, start=1):
        if value < reference - min_delta:
            reference, waited = value, 0
        else:
            waited += 1
        if waited == patience:
            return i
    return None


@pytest.mark.parametrize("patience", [1, 2, 3, 5])
@pytest.mark.parametrize(
    "values",
    [
        [1.0] * 8,
        [9, 8, 7, 6, 5, 4, 3, 2],
        [9, 8, 8, 8, 7, 7, 7, 7, 7, 7],
        [5, 4.95, 4.9, 4.85, 4.8, 4.75, 4.7, 4.65, 4.6],
        [1, 2, 3, 4, 0, 1, 2, 3, 4, 5],
    ],
)
def test_early_stopping_ends_after_patience_iterations_without_improvement(values, patience):
    expected = stops_at(values, patience, 0.12)
    script, result, _ = run(values, min_delta=0.12, early_stopping_patience=patience)
    assert len(script.points) == (expected or len(values))
    assert result.converged == (expected is not None)


def test_slow_progress_that_adds_up_to_min_delta_counts_as_improvement():
    values = [1 - 0.04 * i for i in range(20)]  # every third step is 0.12 below the last that counted
    assert not run(values, min_delta=0.1, early_stopping_patience=3)[1].converged
    assert run(values, min_delta=0.1, early_stopping_patience=2)[1].converged


@pytest.mark.parametrize("factor", [0.5, 0.1])
@pytest.mark.parametrize("patience", [0, 1, 3])
def test_the_learning_rate_falls_as_torch_counts_after_more_than_patience_iterations_without_improvement(
    patience, factor
):
    script, _, _ = run([1.0] * 14, scheduler_patience=patience, scheduler_factor=factor)
    expected, bad, rate = [], 0, 0.1
    for i in range(13):
        bad += i > 0  # the first value is an improvement on nothing
        if bad > patience:
            rate, bad = rate * factor, 0
        expected.append(rate)
    # The rate changes after the move of the same iteration.
    assert script.learning_rates() == pytest.approx([0.1, *expected[:-1]], rel=1e-6, abs=1e-8)


def test_the_learning_rate_stays_while_the_value_improves():
    script, _, _ = run([20.0 - i for i in range(12)], scheduler_patience=0, min_delta=0.5)
    assert script.learning_rates() == pytest.approx([0.1] * 11, rel=1e-6)


@pytest.mark.parametrize(("patience", "length"), [(3, 4), (100, 9)])
def test_history_and_progress_cover_every_iteration_with_every_term(patience, length):
    values = [2.0] * 9
    script, result, progress = run(values, early_stopping_patience=patience)
    assert len(script.points) == length
    assert result.history == {"loss": values[:length], "twice": [4.0] * length}
    assert progress == [(i + 1, {"loss": 2.0, "twice": 4.0}) for i in range(length)]


def test_what_is_monitored_and_what_descends_may_differ():
    center = torch.tensor([3.0], dtype=torch.float64)

    def objective(point):
        held_out = ((point - 1.0) ** 2).sum()
        return Step(held_out, {"loss": ((point - center) ** 2).sum()}, 2 * (point - center))

    options = {**OPTIONS, "max_iter": 500, "learning_rate": 0.01}
    result = minimize(objective, torch.zeros(1, dtype=torch.float64), **options)
    assert float(result.best) == pytest.approx(1.0, abs=0.01)  # the best of points 0.01 apart
    assert result.history["loss"][-1] < result.history["loss"][result.best_iteration - 1]
