"""Archetypal analysis on plain arrays: scikit-learn's contract, the classic class's, and what had to be put right."""

from __future__ import annotations

import logging
import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.optimize
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from pathwayae.core.archetypes import solver as core
from pathwayae.models import ArchetypalAnalysis

SOLVERS = ["exact", "adam"]
CORNERS = np.array([[0.0, 0.0, 1.0], [4.0, 0.0, 0.0], [0.0, 3.0, 0.0], [2.0, 2.0, 5.0]])


@parametrize_with_checks(
    [
        ArchetypalAnalysis(2),
        ArchetypalAnalysis(2, normalize=True, entropy_reg=-0.01),
        ArchetypalAnalysis(2, solver="adam", max_iter=50),
    ]
)
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


@pytest.fixture
def x() -> np.ndarray:
    """Mixtures of four corners, which are the last four rows, with features in different units."""
    inside = np.random.default_rng(0).dirichlet(np.full(4, 0.7), 200) @ CORNERS
    return np.vstack([inside, CORNERS])


@pytest.fixture
def noisy(x: np.ndarray) -> np.ndarray:
    return x + 0.3 * np.random.default_rng(1).normal(size=x.shape)


def centred_variance(x: np.ndarray, fitted: np.ndarray) -> float:
    return 1 - ((x - fitted) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()


def sorted_rows(z: np.ndarray) -> np.ndarray:
    return z[np.lexsort(z.T[::-1])]


def test_planted_corners_are_found_and_named(x: np.ndarray) -> None:
    model = ArchetypalAnalysis(4).fit(x)
    np.testing.assert_allclose(sorted_rows(model.archetypes), sorted_rows(CORNERS), atol=1e-4)
    assert model.gap_ < 1e-5
    assert model.converged_
    assert model.explained_variance_ == pytest.approx(1, abs=1e-5)
    heaviest = model.cells_.groupby("archetype")["cell"].first()
    assert set(heaviest) == {200, 201, 202, 203}
    np.testing.assert_allclose(model.mixing_ @ x, model.archetypes, atol=1e-9)


def test_before_a_fit_there_is_nothing() -> None:
    model = ArchetypalAnalysis(3)
    assert (model.archetypes, model.weights, model.X_mean, model.X_std) == (None, None, None, None)
    assert model.loss_history == model.get_loss_history() == []
    for call, name in (
        (lambda: model.transform(np.ones((2, 2))), "transform"),
        (model.reconstruct, "reconstruct"),
        (lambda: model.score(np.ones((2, 2))), "score"),
    ):
        with pytest.raises(ValueError, match=f"Model must be fitted before {name}") as raised:
            call()
        assert isinstance(raised.value, NotFittedError)


def test_what_the_classic_class_promised(noisy: np.ndarray, capfd) -> None:
    for solver in SOLVERS:
        for normalize in [False, True]:
            model = ArchetypalAnalysis(3, 200, 1e-6, 42, 0.01, normalize, solver=solver)
            weights = model.fit_transform(noisy)
            assert capfd.readouterr() == ("", "")
            assert model.archetypes.shape == (3, 3)
            assert model.weights.shape == weights.shape == (204, 3)
            assert (weights >= 0).all()
            np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
            np.testing.assert_array_equal(weights.astype(np.float32), model.weights)
            assert all(type(value) is float for value in model.loss_history)
            assert model.loss_history == model.get_loss_history()
            assert model.loss_history[-1] < model.loss_history[0]
            np.testing.assert_allclose(model.X_mean, noisy.mean(0))
            np.testing.assert_allclose(model.X_std, noisy.std(0))
            np.testing.assert_allclose(model.reconstruct(), model.weights @ model.archetypes, rtol=1e-6)
            np.testing.assert_allclose(
                model.reconstruct(noisy[:5]), model.transform(noisy[:5]) @ model.archetypes, rtol=1e-6
            )


def test_refits_start_afresh(noisy: np.ndarray) -> None:
    model = ArchetypalAnalysis(3).fit(noisy)
    first = (model.archetypes.copy(), model.get_loss_history())
    model.get_loss_history().append(0.0)
    model.fit(noisy[:50, :2]).fit(noisy)
    np.testing.assert_array_equal(model.archetypes, first[0])
    assert model.loss_history == first[1]


def test_a_seed_decides_and_global_random_state_is_left_alone(noisy: np.ndarray) -> None:
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    a, b = (ArchetypalAnalysis(3, random_seed=7).fit(noisy) for _ in range(2))
    assert np.random.random() == expected  # noqa: NPY002
    np.testing.assert_array_equal(a.archetypes, b.archetypes)
    assert ArchetypalAnalysis(3, random_seed=8).fit(noisy).loss_history != a.loss_history


# What had to be put right.


@pytest.mark.parametrize("solver", SOLVERS)
def test_archetypes_are_in_the_units_of_the_data_whether_normalised_or_not(noisy: np.ndarray, solver: str) -> None:
    x = noisy * [1, 20, 300] + [0, 1000, 0]
    for normalize in (False, True):
        model = ArchetypalAnalysis(4, normalize=normalize, solver=solver, learning_rate=0.01).fit(x)
        assert (model.archetypes >= x.min(0) - 1e-6).all()
        assert (model.archetypes <= x.max(0) + 1e-6).all()
        standard = x / (x.std(0) if normalize else 1)
        fitted = model.reconstruct() / (x.std(0) if normalize else 1)
        assert centred_variance(standard, fitted) == pytest.approx(model.explained_variance_, abs=1e-5)
        assert model.explained_variance_ > 0.7


@pytest.mark.parametrize("solver", SOLVERS)
def test_normalize_is_heeded_wherever_it_is_given(noisy: np.ndarray, solver: str) -> None:
    x = noisy * [1, 20, 300]
    model = ArchetypalAnalysis(4, solver=solver, max_iter=100)
    expected = clone(model).set_params(normalize=True).fit(x)
    by_hand = clone(model).fit(x / x.std(0))
    np.testing.assert_allclose(expected.archetypes, by_hand.archetypes * x.std(0), rtol=1e-6)
    for other in (clone(model).fit(x, normalize=True), clone(model).fit(x, True)):  # as in the classic class
        np.testing.assert_array_equal(other.archetypes, expected.archetypes)
        np.testing.assert_array_equal(other.transform(x), expected.transform(x))
    np.testing.assert_array_equal(clone(model).fit_transform(x, normalize=True), expected.weights.astype(float))
    assert not np.allclose(clone(model).fit(x).archetypes, expected.archetypes)


def test_constant_features_have_unit_scale_and_do_no_harm(noisy: np.ndarray) -> None:
    x = np.column_stack([noisy, np.full(len(noisy), 7.0)])
    model = ArchetypalAnalysis(4, normalize=True).fit(x)
    assert model.X_std[3] == 1
    np.testing.assert_allclose(model.archetypes[:, 3], 7)
    np.testing.assert_allclose(
        model.archetypes[:, :3], ArchetypalAnalysis(4, normalize=True).fit(noisy).archetypes, atol=1e-6
    )


def test_the_cells_of_the_fit_get_the_weights_of_the_fit(noisy: np.ndarray) -> None:
    for options in [{}, {"normalize": True}, {"delta": 0.2}, {"entropy_reg": -0.05}]:
        model = ArchetypalAnalysis(4, **options).fit(noisy)
        np.testing.assert_allclose(model.transform(noisy), model.weights, atol=1e-3)


def test_new_samples_in_any_number_get_optimal_weights(noisy: np.ndarray) -> None:
    model = ArchetypalAnalysis(4).fit(noisy)
    new = np.random.default_rng(3).normal(1, 3, size=(2000, 3))
    found = model.transform(new)
    np.testing.assert_allclose(np.vstack([model.transform(new[:3]), model.transform(new[3:])]), found, atol=1e-6)
    for row, weights in zip(new[:20], found[:20], strict=True):
        z = np.vstack([model.archetypes.T, np.full(4, 1e4)])  # sum to one, by a heavy row
        best, _ = scipy.optimize.nnls(z, np.append(row, 1e4))
        ours = np.linalg.norm(row - weights @ model.archetypes)
        assert ours <= np.linalg.norm(row - best / best.sum() @ model.archetypes) + 1e-6


def test_patience_ends_the_descent(noisy: np.ndarray) -> None:
    model = ArchetypalAnalysis(3, tol=1.0, solver="adam", early_stopping_patience=5).fit(noisy)
    assert model.n_iter_ == 6
    assert model.converged_


def test_the_exact_solver_is_at_least_as_good_as_the_descent(noisy: np.ndarray) -> None:
    exact, adam = (ArchetypalAnalysis(4, learning_rate=0.01, solver=name).fit(noisy) for name in SOLVERS)
    assert exact.explained_variance_ >= adam.explained_variance_
    assert np.isnan(adam.gap_)
    assert exact.gap_ < 1e-5


# Options.


def test_score_is_the_centred_explained_variance(noisy: np.ndarray) -> None:
    model = ArchetypalAnalysis(4).fit(noisy)
    assert model.score(noisy) == pytest.approx(model.explained_variance_, abs=1e-6)
    new = noisy[:20] + 0.1
    assert model.score(new) == pytest.approx(centred_variance(new, model.reconstruct(new)), abs=1e-6)
    assert ArchetypalAnalysis(4).fit(noisy + 1000).score(noisy + 1000) == pytest.approx(model.score(noisy), abs=1e-5)
    scaled = ArchetypalAnalysis(4, normalize=True).fit(noisy)
    expected = centred_variance(new / noisy.std(0), scaled.reconstruct(new) / noisy.std(0))
    assert scaled.score(new) == pytest.approx(expected, abs=1e-6)
    assert model.score(noisy[:1]) == 0


def test_sparse_input_gives_the_fit_of_dense_input() -> None:
    for normalize in [False, True]:
        rng = np.random.default_rng(0)
        x = rng.gamma(1.0, size=(100, 8)) * (rng.random((100, 8)) < 0.4)
        dense = ArchetypalAnalysis(3, normalize=normalize).fit(x)
        sparse = ArchetypalAnalysis(3, normalize=normalize).fit(sp.csr_matrix(x))
        np.testing.assert_allclose(sparse.archetypes, dense.archetypes, atol=1e-6)
        np.testing.assert_allclose(sparse.X_std, dense.X_std, rtol=1e-9)
        np.testing.assert_allclose(sparse.transform(sp.csr_matrix(x)), dense.transform(x), atol=1e-6)
        assert sparse.score(sp.csr_matrix(x)) == pytest.approx(dense.score(x), abs=1e-6)
        with pytest.raises(TypeError, match="[Ss]parse"):
            ArchetypalAnalysis(3, solver="adam").fit(sp.csr_matrix(x))


def test_tables_give_their_names_to_the_cells_behind_archetypes(x: np.ndarray) -> None:
    table = pd.DataFrame(x, index=[f"cell_{i}" for i in range(len(x))], columns=["a", "b", "c"])
    model = ArchetypalAnalysis(4).fit(table)
    assert set(model.cells_.groupby("archetype")["cell"].first()) == {f"cell_{i}" for i in range(200, 204)}
    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    with pytest.raises(ValueError, match="feature names"):
        model.transform(table.rename(columns={"a": "z"}))
    assert model.set_output(transform="pandas").transform(table).columns.tolist() == [
        f"archetypalanalysis{j}" for j in range(4)
    ]


def test_delta_lets_archetypes_leave_the_hull(noisy: np.ndarray) -> None:
    hull, relaxed = (ArchetypalAnalysis(4, delta=delta).fit(noisy) for delta in (0.0, 0.3))
    assert relaxed.explained_variance_ > hull.explained_variance_
    np.testing.assert_allclose(hull.alpha_, 1)
    assert (relaxed.alpha_ <= 1.3 + 1e-9).all()
    assert relaxed.alpha_.max() > 1


def test_starts_can_be_given_and_restarts_do_not_hurt(noisy: np.ndarray) -> None:
    given = ArchetypalAnalysis(4, start=[0, 50, 100, 150]).fit(noisy)
    again = ArchetypalAnalysis(4, start=given.archetypes).fit(noisy)
    assert again.loss_history[-1] <= given.loss_history[-1] + 1e-9
    once, thrice = (ArchetypalAnalysis(4, n_restarts=n).fit(noisy) for n in (1, 3))
    assert thrice.loss_history[-1] <= once.loss_history[-1] + 1e-9


def test_options_of_the_exact_solver_reach_it(noisy: np.ndarray) -> None:
    for options in [{"robust": "huber"}, {"robust": "bisquare"}, {"coreset": 100}, {"max_iter": 3}]:
        model = ArchetypalAnalysis(4, random_seed=3, **options).fit(noisy)
        expected = core.fit(noisy, core.Config(4, seed=3, **options))
        np.testing.assert_array_equal(model.archetypes, expected.archetypes)
        assert model.gap_ == expected.gap
        assert not np.array_equal(model.archetypes, ArchetypalAnalysis(4, random_seed=3).fit(noisy).archetypes)


def test_one_archetype_is_about_the_mean(noisy: np.ndarray) -> None:
    for solver in SOLVERS:
        model = ArchetypalAnalysis(1, solver=solver, learning_rate=0.01, archetype_projection=None).fit(noisy)
        np.testing.assert_array_equal(model.weights, 1)
        atol = 1e-4 if solver == "exact" else 0.6  # the descent has mixtures of 10 cells
        np.testing.assert_allclose(model.archetypes[0], noisy.mean(0), atol=atol)


def test_repeated_cells_change_nothing(x: np.ndarray) -> None:
    model = ArchetypalAnalysis(4).fit(np.vstack([x, x, x[:50]]))
    np.testing.assert_allclose(sorted_rows(model.archetypes), sorted_rows(CORNERS), atol=1e-4)


def test_clones_pipelines_and_pickles(noisy: np.ndarray) -> None:
    model = ArchetypalAnalysis(3, delta=0.1, start=[1, 2, 3], solver="exact")
    assert clone(model).get_params() == model.get_params()
    assert clone(model).set_params(solver="adam").solver == "adam"
    pipeline = make_pipeline(StandardScaler(), ArchetypalAnalysis(3)).fit(noisy, np.zeros(len(noisy)))
    assert pipeline.transform(noisy[:2]).shape == (2, 3)
    assert not pipeline[-1].normalize
    model.fit(noisy)
    back = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(back.transform(noisy), model.transform(noisy))


def test_a_fit_speaks_when_it_is_asked_to(noisy, caplog) -> None:
    for options in [{"logger_level": "INFO"}, {"logger_level": 1}, {"verbose_level": 3}, {"logger_level": "info"}]:
        for solver in SOLVERS:
            caplog.clear()
            ArchetypalAnalysis(3, solver=solver, max_iter=20, **options).fit(noisy)
            assert [record.levelname for record in caplog.records] == ["INFO"]
            assert "explained variance" in caplog.text
            assert logging.getLogger("pathwayae").level == logging.NOTSET


def test_every_iteration_is_told_at_the_lowest_level(noisy: np.ndarray, caplog) -> None:
    model = ArchetypalAnalysis(3, verbose_level=4).fit(noisy)
    told = [record for record in caplog.records if record.levelname == "DEBUG"]
    assert len(told) == model.n_iter_


def test_without_handlers_messages_go_to_standard_error(noisy: np.ndarray, capsys, monkeypatch) -> None:
    monkeypatch.setattr(logging.getLogger("pathwayae"), "propagate", False)
    ArchetypalAnalysis(3, logger_level="INFO").fit(noisy)
    assert capsys.readouterr().err.startswith("pathwayae: 3 archetypes: explained variance")
    assert logging.getLogger("pathwayae").handlers == []


def test_bad_parameters_are_refused(noisy: np.ndarray) -> None:
    for options, error, match in [
        ({"n_archetypes": 0}, ValueError, "n_archetypes=0"),
        ({"n_archetypes": 2.5}, TypeError, "n_archetypes=2.5"),
        ({"n_archetypes": 500}, ValueError, "n_archetypes=500.*n_samples = 204"),
        ({"max_iter": 0}, ValueError, "max_iter=0"),
        ({"tol": -1}, ValueError, "tol=-1"),
        ({"random_seed": None}, TypeError, "random_seed=None"),
        ({"learning_rate": 0}, ValueError, "learning_rate=0"),
        ({"solver": "pcha"}, ValueError, "solver='pcha'"),
        ({"start": "far"}, ValueError, "start='far'"),
        ({"start": [0, 0, 1]}, ValueError, "start"),
        ({"delta": -0.1}, ValueError, "delta=-0.1"),
        ({"entropy_reg": "much"}, TypeError, "entropy_reg='much'"),
        ({"weights_projection": "clip"}, ValueError, "weights_projection='clip'"),
        ({"weights_projection": "softmax"}, ValueError, "softmax' is of solver='adam'"),
        ({"archetype_projection": "knn"}, ValueError, "knn' is of solver='adam'"),
        ({"archetype_projection": "hull", "solver": "adam"}, ValueError, "hull' is of solver='exact'"),
        ({"delta": 0.1, "solver": "adam"}, ValueError, "delta=0.1 is of solver='exact'"),
        ({"n_restarts": 3, "solver": "adam"}, ValueError, "n_restarts=3 is of solver='exact'"),
        ({"robust": "median"}, ValueError, "robust='median'"),
        ({"coreset": 1}, ValueError, "coreset=1"),
        ({"device": "abacus"}, ValueError, "device='abacus'"),
        ({"logger_level": "LOUD"}, ValueError, "logger_level='LOUD'"),
        ({"verbose_level": 9}, ValueError, "verbose_level=9"),
    ]:
        with pytest.raises(error, match=match):
            ArchetypalAnalysis(**{"n_archetypes": 3, **options}).fit(noisy)
    with pytest.raises(TypeError, match="patience"):
        ArchetypalAnalysis(3, patience=3)


def test_bad_data_are_refused(noisy: np.ndarray) -> None:
    for solver in SOLVERS:
        model = ArchetypalAnalysis(3, solver=solver, max_iter=100)
        spoiled = noisy.copy()
        spoiled[3, 1] = np.nan
        with pytest.raises(ValueError, match="NaN"):
            model.fit(spoiled)
        with pytest.raises(ValueError, match="only 2 distinct cells"):
            model.fit(np.repeat(noisy[:2], 10, axis=0))
        with pytest.raises(ValueError, match="All cells are equal"):
            model.fit(np.ones((10, 3)))
        model.fit(noisy)
        with pytest.raises(ValueError, match="features"):
            model.transform(noisy[:, :2])
        with pytest.raises(ValueError, match="NaN"):
            model.transform(spoiled)


class Absolute(ArchetypalAnalysis):
    """Absolute errors, weights by softmax-like powers, archetypes anywhere: each part in other hands."""

    def loss_function(self, archetypes, weights, X):
        return (X - weights @ archetypes).abs().sum(dim=1).mean()

    def project_weights(self, weights):
        positive = np.maximum(weights, 0.01)
        return positive / positive.sum(axis=1, keepdims=True)

    def project_archetypes(self, archetypes, X):
        return np.clip(archetypes, X.min(axis=0), X.max(axis=0))


def test_a_subclass_may_override_loss_and_projections(x: np.ndarray) -> None:
    model = Absolute(4, solver="adam", learning_rate=0.02, max_iter=150).fit(x)
    error = np.abs(x - model.weights @ model.archetypes).sum(axis=1).mean()
    assert min(model.loss_history) == pytest.approx(error, rel=1e-5)
    assert min(model.loss_history) < 0.9 * model.loss_history[0]
    assert model.weights.min() > 0.008  # clipped at 0.01, then divided by a sum a little above 1
    assert (model.archetypes >= x.min(axis=0) - 1e-9).all()
    assert (model.archetypes <= x.max(axis=0) + 1e-9).all()
    with pytest.raises(ValueError, match="Absolute overrides loss_function, project_weights, project_archetypes"):
        Absolute(4).fit(x)


@pytest.mark.parametrize("entropy_reg", [0.0, -0.01])
def test_parts_that_only_call_their_own_change_nothing(x: np.ndarray, entropy_reg: float) -> None:
    class Same(ArchetypalAnalysis):
        def project_weights(self, weights):
            return super().project_weights(weights)

        def project_archetypes(self, archetypes, X):
            return super().project_archetypes(archetypes, X)

    options = {"solver": "adam", "learning_rate": 0.01, "max_iter": 60, "entropy_reg": entropy_reg}
    own, expected = Same(4, **options).fit(x), ArchetypalAnalysis(4, **options).fit(x)
    np.testing.assert_allclose(own.loss_history, expected.loss_history, rtol=1e-6)
    np.testing.assert_allclose(own.archetypes, expected.archetypes, atol=1e-6)

    class Loss(ArchetypalAnalysis):
        def loss_function(self, archetypes, weights, X):
            return super().loss_function(archetypes, weights, X)

    centred = x - x.mean(axis=0)  # about which the built-in gradient is taken
    own, expected = Loss(4, **options).fit(centred), ArchetypalAnalysis(4, **options).fit(centred)
    np.testing.assert_allclose(own.loss_history, expected.loss_history, rtol=2e-3)  # entropy: clamped by autograd
