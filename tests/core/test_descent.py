"""Descent: where it ends, when it ends and what it keeps."""

import itertools
import math
from contextlib import nullcontext

import pytest
import torch

from pathwayae.core import descent as optimize
from pathwayae.core.descent import Step, minimize, say_if_risen
from pathwayae.core.notice import DataWarning

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
        value = 0.5 * (curvature * (point - center) ** 2).flatten(1).sum(1)
        return Step(value, {"loss": value}, curvature * (point - center))

    return objective


def descend(objective, start, **options):
    """One descent."""
    (result,) = minimize(objective, start[None], **options)
    return result


class Script:
    """An objective that returns the values it is told, with a gradient of 1, and remembers where it was called."""

    def __init__(self, values):
        self.values = iter(values)
        self.points = []

    def __call__(self, point):
        self.points.append(point[0].clone())
        value = torch.tensor([next(self.values)], dtype=torch.float64)
        return Step(value, {"loss": value, "twice": 2 * value}, torch.ones_like(point))

    def learning_rates(self):
        """Length of each move: with a constant gradient Adam moves by the learning rate (over 1 + 1e-8)."""
        return [float((a - b).abs().max()) for a, b in itertools.pairwise(self.points)]


def run(values, **options):
    script = Script(values)
    progress = []
    start = torch.zeros(2, 3, dtype=torch.float64)
    options = {**OPTIONS, "max_iter": len(values), **options}
    return script, descend(script, start, progress=lambda i, terms: progress.append((i, terms)), **options), progress


def test_the_minimum_of_a_quadratic_is_reached():
    generator = torch.Generator().manual_seed(0)
    center = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    curvature = 0.1 + torch.rand(4, 3, generator=generator, dtype=torch.float64)
    start = torch.zeros(4, 3, dtype=torch.float64)
    result = descend(
        quadratic(center, curvature),
        start,
        **{**OPTIONS, "max_iter": 2000, "scheduler_patience": 20, "early_stopping_patience": 200},
    )
    torch.testing.assert_close(result.best, center, rtol=0, atol=1e-8)
    assert min(result.history["loss"]) < 1e-14
    assert not start.any()  # not modified
    assert start.grad is None


def test_the_moves_are_those_of_torch_adam_with_its_plateau_scheduler():
    center, curvature = torch.tensor([1.0, -2.0, 30.0]).double(), torch.tensor([1.0, 50.0, 0.01]).double()
    options = {**OPTIONS, "max_iter": 300, "learning_rate": 0.5, "min_delta": 1e-3, "scheduler_patience": 4}
    result = descend(quadratic(center, curvature), torch.zeros(3, dtype=torch.float64), **options)
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


def test_no_iteration_gives_the_start_back():
    assert not run([1.0, 2.0])[0].points[0].any()  # which is the first point evaluated
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
def test_early_stopping_ends_after_patience_iterations_without_improvement(values):
    for patience in (1, 2, 3, 5):
        expected = stops_at(values, patience, 0.12)
        script, result, _ = run(values, min_delta=0.12, early_stopping_patience=patience)
        assert len(script.points) == (expected or len(values))
        assert result.converged == (expected is not None)


@pytest.mark.parametrize(("patience", "factor"), [(0, 0.5), (1, 0.1), (3, 0.5)])
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
    falling, _, _ = run([20.0 - i for i in range(12)], scheduler_patience=patience, min_delta=0.5)
    assert falling.learning_rates() == pytest.approx([0.1] * 11, rel=1e-6)  # stays while the value improves
    # The rate changes after the move of the same iteration.
    assert script.learning_rates() == pytest.approx([0.1, *expected[:-1]], rel=1e-6, abs=1e-8)


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
        held_out = ((point - 1.0) ** 2).sum(1)
        return Step(held_out, {"loss": ((point - center) ** 2).sum(1)}, 2 * (point - center))

    options = {**OPTIONS, "max_iter": 500, "learning_rate": 0.01}
    result = descend(objective, torch.zeros(1, dtype=torch.float64), **options)
    assert float(result.best) == pytest.approx(1.0, abs=0.01)  # the best of points 0.01 apart
    assert result.history["loss"][-1] < result.history["loss"][result.best_iteration - 1]


# Many at once.


def bumpy(seed, n=6):
    """n problems whose value is a tilted quadratic with waves, so that plateaus and stops come at other times."""
    generator = torch.Generator().manual_seed(seed)
    center = 3 * torch.randn(n, 4, generator=generator, dtype=torch.float64)
    curvature = 10 ** (2 * torch.rand(n, 4, generator=generator, dtype=torch.float64) - 1)

    def of(rows):
        def objective(point):
            away = point - center[rows]
            value = (curvature[rows] * away**2 + 0.3 * torch.cos(5 * away)).sum(1)
            gradient = 2 * curvature[rows] * away - 1.5 * torch.sin(5 * away)
            return Step(value, {"loss": value, "length": point.norm(dim=1)}, gradient)

        return objective

    return of, torch.randn(n, 4, generator=generator, dtype=torch.float64)


def assert_same(descent, other):
    assert torch.equal(descent.best, other.best)
    assert descent.history == other.history
    assert (descent.best_iteration, descent.converged) == (other.best_iteration, other.converged)


STOPPING = {
    "learning_rate": 0.4,
    "max_iter": 150,
    "min_delta": 0.02,
    "early_stopping_patience": 12,
    "scheduler_patience": 3,
    "scheduler_factor": 0.5,
}


@pytest.mark.parametrize("seed", range(3))
def test_descents_together_are_the_descents_one_by_one(seed):
    of, start = bumpy(seed)
    together = minimize(of(slice(None)), start, **STOPPING)
    for i, descent in enumerate(together):
        assert_same(descent, descend(of(slice(i, i + 1)), start[i], **STOPPING))
    lengths = {len(descent.history["loss"]) for descent in together}
    assert len(lengths) > 2  # they do end at different iterations
    assert all(descent.converged == (len(descent.history["loss"]) < 150) for descent in together)


def scripted(values):
    """R problems that return the values they are told, with gradients of 1; each point seen is kept."""
    points = []

    def objective(point):
        points.append(point.clone())
        value = values[:, len(points) - 1].clone()
        return Step(value, {"loss": value}, torch.ones_like(point))

    return objective, points


def test_a_descent_that_has_stopped_stays_where_it_is_until_all_have():
    values = torch.tensor([[3.0] * 12, [12.0 - i for i in range(12)]]).double()
    values[0, 7:] = 0.0  # better, but after its end
    objective, points = scripted(values)
    options = {**OPTIONS, "max_iter": 12, "early_stopping_patience": 3}
    stopped, other = minimize(objective, torch.zeros(2, 2, dtype=torch.float64), **options)
    assert (stopped.converged, stopped.best_iteration, stopped.history) == (True, 1, {"loss": [3.0] * 4})
    assert (other.converged, other.best_iteration, len(other.history["loss"])) == (False, 12, 12)
    assert len(points) == 12
    assert all(torch.equal(point[0], points[3][0]) for point in points[4:])
    assert not torch.equal(points[4][1], points[3][1])
    assert torch.equal(stopped.best, points[0][0])
    objective, points = scripted(torch.ones(3, 40, dtype=torch.float64))  # all stopped is the end
    minimize(objective, torch.zeros(3, 1), **{**OPTIONS, "max_iter": 40, "early_stopping_patience": 5})
    assert len(points) == 6


@pytest.mark.parametrize(("seed", "every"), [(0, 2), (1, 7), (2, 1000)])
def test_how_often_numbers_are_read_changes_nothing(monkeypatch, seed, every):
    of, start = bumpy(seed)
    heard, heard_later = [], []
    each = minimize(of(slice(None)), start, **STOPPING, progress=lambda *step: heard.append(step))
    monkeypatch.setattr(optimize, "_read_every", lambda point: every)
    later = minimize(of(slice(None)), start, **STOPPING, progress=lambda *step: heard_later.append(step))
    for descent, other in zip(each, later, strict=True):
        assert_same(descent, other)
    assert heard == heard_later


def test_a_descent_that_only_rose_from_its_start_begins_there_again_with_shorter_steps():
    narrow = quadratic(torch.tensor([1.0, -1.0]).double() * 1e-3, torch.tensor([[1e4, 1e3], [1.0, 1.0]]).double())
    options = {**OPTIONS, "max_iter": 200, "learning_rate": 0.5, "scheduler_patience": 5, "scheduler_factor": 1.0}
    points = []

    def objective(point):
        points.append(point.clone())
        return narrow(point)

    start = torch.zeros(2, 2, dtype=torch.float64)
    start[1] += 1.0  # from which the first steps lead down
    steep, other = minimize(objective, start, **options)
    again = [i for i, point in enumerate(points[1:], start=1) if torch.equal(point[0], start[0])]
    assert again[0] == 7  # the start, one step, and more than five without an improvement
    assert not any(torch.equal(point[0], start[0]) for point in points[1:7])
    assert min(steep.history["loss"]) < 0.01 * steep.history["loss"][0]
    assert_same(other, descend(quadratic(torch.tensor([1.0, -1.0]).double() * 1e-3, 1.0), start[1], **options))
    assert not any(torch.equal(point[1], start[1]) for point in points[1:])


def test_progress_is_the_mean_over_the_descents():
    values = torch.tensor([[3.0, 2.0, 2.0, 1.0], [5.0, 5.0, 1.0, 0.0]]).double()
    heard = []
    options = {**OPTIONS, "max_iter": 4, "progress": lambda i, terms: heard.append((i, terms["loss"]))}
    minimize(scripted(values)[0], torch.zeros(2, 1), **options)
    assert heard == [(1, 4.0), (2, 3.5), (3, 1.5), (4, 0.5)]


def test_a_value_that_is_not_a_number_ends_its_own_descent_only():
    values = torch.tensor([[1.0, *[math.nan] * 9], [10.0 - i for i in range(10)]]).double()
    options = {**OPTIONS, "max_iter": 10, "early_stopping_patience": 4}
    broken, other = minimize(scripted(values)[0], torch.zeros(2, 1, dtype=torch.float64), **options)
    assert (broken.converged, broken.best_iteration, len(broken.history["loss"])) == (True, 1, 5)
    assert (other.converged, other.best_iteration) == (False, 10)


def test_the_memory_layout_of_the_start_is_kept():
    seen = []

    def objective(point):
        seen.append(point.stride())
        value = point.square().sum((1, 2))
        return Step(value, {"loss": value}, 2 * point)

    minimize(objective, torch.ones(2, 5, 3).mT, **{**OPTIONS, "max_iter": 3})
    assert seen == [(15, 1, 3)] * 3


@pytest.mark.parametrize(
    ("loss", "best", "told"),
    [
        ([1.0, 0.5, 2.0], 2, False),  # the best point is kept
        ([1.0, 1.001], 1, False),  # about a minimum
        ([1.0], 1, False),
        ([1.0, 1.2], 1, True),
        ([1.0, float("nan")], 1, True),
        ([-2.0, -1.0], 1, True),
    ],
)
def test_a_descent_that_only_rose_is_told(loss, best, told):
    with pytest.warns(DataWarning, match="lower learning_rate") if told else nullcontext():
        say_if_risen(loss, best)
