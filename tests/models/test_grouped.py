"""The estimator on plain arrays: scikit-learn's contract and the meaning of its parameters."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

import pathwayae as pae
from pathwayae.core.moments import accumulate
from pathwayae.models import GroupedAutoencoder


@parametrize_with_checks(
    [
        GroupedAutoencoder(),
        GroupedAutoencoder(scores="least_squares", zero_norm="component", center=True, scale="unit", max_iter=300),
    ]
)
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


@pytest.fixture
def uniform() -> np.ndarray:
    x = np.random.default_rng(0).uniform(size=(100, 10))
    return (x - x.min(axis=0)) / (x.max(axis=0) - x.min(axis=0))


CLASSES = np.array([0, 0, 1, 1, -1, 2, 2, np.nan, 0, 1])


@pytest.fixture
def model(uniform: np.ndarray) -> GroupedAutoencoder:
    return GroupedAutoencoder(3, feature_classes=CLASSES, theta=0.95, entropy_on_classes=True, center=False).fit(
        uniform
    )


def test_the_documented_example_runs_and_reports(uniform: np.ndarray, capsys: pytest.CaptureFixture[str]) -> None:
    model = GroupedAutoencoder(
        n_components=3,
        feature_classes=CLASSES,
        theta=0.95,
        entropy_on_classes=True,
        activation="softplus",
        non_negative=True,
        verbose=100,
    ).fit(uniform)
    lines = [line for line in capsys.readouterr().out.splitlines() if line]
    assert lines[0].startswith("iteration 100: loss ")
    assert len(lines) == model.n_iter_ // 100


def test_features_load_on_their_own_class(model: GroupedAutoencoder) -> None:
    share = model.get_W("rows")
    known = CLASSES >= 0
    assert (share[known, CLASSES[known].astype(int)] > 0.95).all()
    assert share[4].max() > 0.9  # no class, but entropy wants one component
    assert share[7].max() < 0.9  # NaN: no regularisation


def test_weights_can_be_scaled_by_column_or_row(model: GroupedAutoencoder) -> None:
    weights = model.get_W()
    np.testing.assert_allclose(model.get_W(True), weights / weights.sum(axis=0), rtol=1e-6)
    np.testing.assert_allclose(model.get_W("rows"), weights / weights.sum(axis=1, keepdims=True), rtol=1e-6)
    weights[:] = 0
    assert (model.get_W() > 0).any()
    with pytest.raises(ValueError, match="apply_scaling='columns'"):
        model.get_W("columns")


def test_scores_reconstruction_and_score_follow_their_formulas(uniform) -> None:
    for scores in ["projection", "least_squares"]:
        for center, scale in [(False, None), (True, "unit"), (True, "pareto")]:
            model = GroupedAutoencoder(
                4, theta=0.1, scores=scores, center=center, scale=scale, max_iter=300, zero_norm="component"
            ).fit(uniform)
            weights = model.loadings_.astype(float)
            mean = uniform.mean(axis=0) if center else np.zeros(10)
            unit = {"unit": uniform.std(axis=0), "pareto": np.sqrt(uniform.std(axis=0)), None: np.ones(10)}[scale]
            standard = (uniform - mean) / unit
            z = standard @ weights
            if scores == "least_squares":
                z = z @ np.linalg.inv(weights.T @ weights + 0.1 * np.eye(4))
            np.testing.assert_allclose(model.transform(uniform), z, atol=1e-10)
            np.testing.assert_allclose(model.predict(uniform), z @ weights.T * unit + mean, atol=1e-10)
            error = ((standard - z @ weights.T) ** 2).sum()
            expected = 1 - error / ((standard - standard.mean(axis=0)) ** 2).sum()
            assert model.score(uniform) == pytest.approx(expected, rel=1e-9)


def test_sparse_input_gives_the_fit_of_dense_input(uniform: np.ndarray) -> None:
    uniform[uniform < 0.5] = 0
    model = GroupedAutoencoder(3, feature_classes=CLASSES, theta=0.5, max_iter=200)
    dense = clone(model).fit(uniform)
    for form in (sp.csr_matrix, sp.csc_array):
        other = clone(model).fit(form(uniform))
        np.testing.assert_allclose(other.loadings_, dense.loadings_, atol=1e-6)
        np.testing.assert_allclose(other.transform(form(uniform)), dense.transform(uniform), atol=1e-6)
        assert other.score(form(uniform)) == pytest.approx(dense.score(uniform), abs=1e-6)
    with pytest.raises(TypeError, match="reconstruction is dense"):
        dense.predict(sp.csr_matrix(uniform))


def test_the_vector_and_its_membership_matrix_mean_the_same(uniform: np.ndarray) -> None:
    vector = np.array([0, 0, 1, 1, -1, 2, 2, -1, 0, 1])
    matrix = vector[:, None] == np.arange(3)
    options = {"theta": 0.5, "max_iter": 100}
    expected = GroupedAutoencoder(4, feature_classes=vector, **options).fit(uniform).loadings_
    for form in (matrix, matrix.astype(int), sp.csr_matrix(matrix)):
        np.testing.assert_array_equal(
            GroupedAutoencoder(4, feature_classes=form, **options).fit(uniform).loadings_, expected
        )


def test_none_and_a_scalar_stand_for_a_whole_vector(uniform: np.ndarray) -> None:
    def weights(classes):
        return GroupedAutoencoder(2, feature_classes=classes, theta=0.5, max_iter=50).fit(uniform).loadings_

    np.testing.assert_array_equal(weights(None), weights(np.nan))
    np.testing.assert_array_equal(weights(-1), weights(np.full(10, -1)))
    np.testing.assert_array_equal(weights(np.nan), weights(np.full(10, np.nan)))
    assert not np.array_equal(weights(-1), weights(np.nan))


def test_held_out_samples_decide_which_loadings_are_kept() -> None:
    rng = np.random.default_rng(1)
    x, held_out = rng.normal(size=(30, 20)), rng.normal(size=(30, 20))
    model = GroupedAutoencoder(8, feature_classes=np.nan, theta=0.5, non_negative=False, max_iter=400)
    model.fit(x, X_val=held_out)
    best = int(np.argmin(model.history_["validation_loss"]))
    assert model.history_["validation_loss"][best] < model.history_["validation_loss"][-1]
    error = held_out - model.predict(held_out)
    assert 0.5 * np.sqrt((error**2).mean()) == pytest.approx(model.history_["validation_loss"][best], rel=1e-5)


def test_held_out_samples_may_come_by_position_and_targets_are_ignored(uniform: np.ndarray) -> None:
    model = GroupedAutoencoder(3, feature_classes=CLASSES, theta=0.5, max_iter=30)
    held_out = uniform[::-1][:40] ** 2
    expected = clone(model).fit(uniform, X_val=held_out)
    assert "validation_loss" in expected.history_
    for form in (held_out, held_out.tolist(), sp.csr_matrix(held_out)):
        np.testing.assert_array_equal(clone(model).fit(uniform, form).loadings_, expected.loadings_)
    for targets in (None, np.arange(100), np.ones((100, 1))):
        assert "validation_loss" not in clone(model).fit(uniform, targets).history_
    for wrong in (held_out[:, :9], np.arange(40)):
        with pytest.raises(ValueError, match=r"Pass these by name: X_val=…"):
            clone(model).fit(uniform, wrong)
    with pytest.raises(ValueError, match="pass one of them"):
        clone(model).fit(uniform, held_out, held_out)


def test_without_structure_the_data_are_fitted_whatever_theta_is(uniform: np.ndarray) -> None:
    variance = [
        GroupedAutoencoder(5, theta=theta, center=True).fit(uniform).score(uniform) for theta in (0.0, 0.9, 1.0)
    ]
    np.testing.assert_allclose(variance, variance[0], atol=0.01)


def test_loadings_are_in_the_range_of_the_activation(uniform) -> None:
    for activation in ["softplus", "sigmoid"]:
        for init in ["membership", "random"]:
            model = GroupedAutoencoder(3, theta=0.5, activation=activation, init=init, max_iter=100).fit(uniform)
            assert (model.loadings_ >= 0).all()
            assert activation == "softplus" or (model.loadings_ <= 1).all()


def test_given_loadings_are_where_the_descent_starts(uniform: np.ndarray) -> None:
    start = np.random.default_rng(0).uniform(0.1, 0.5, size=(10, 3))
    model = GroupedAutoencoder(3, init=start, max_iter=1).fit(uniform)
    np.testing.assert_allclose(model.loadings_, start, atol=1e-6)


def test_negative_loadings_only_where_they_are_allowed() -> None:
    x = np.random.default_rng(0).normal(size=(50, 6))
    assert (GroupedAutoencoder(2, theta=0.1, max_iter=100).fit(x).loadings_ >= 0).all()
    assert (GroupedAutoencoder(2, theta=0.1, max_iter=100, non_negative=False).fit(x).loadings_ < 0).any()


@pytest.mark.parametrize("seed", range(3))
def test_signed_loadings_leave_their_start_at_any_learning_rate(seed) -> None:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(4), 15)
    x = rng.gamma(1.0, size=(300, 4)) @ (np.eye(4)[groups] * rng.gamma(2.0, size=(60, 1))).T
    x = (x + rng.normal(0, 0.3, x.shape) - x.min(axis=0)) / x.max(axis=0)
    lowest = {}
    for rate in (0.03, 0.1, 2.0):
        for theta in (0.0, 1.0):
            model = GroupedAutoencoder(4, groups, theta=theta, non_negative=False, learning_rate=rate).fit(x)
            lowest[theta, rate] = min(model.history_["loss"])
            assert lowest[theta, rate] < 0.99 * model.history_["loss"][0]
    errors = [loss for (theta, _), loss in lowest.items() if theta == 0]
    assert max(errors) < 1.02 * min(errors)  # of the data alone there is one minimum


def test_signed_loadings_of_a_class_are_positive_on_the_whole_and_the_model_is_the_same() -> None:
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(3), 8)
    x = rng.normal(size=(80, 3))[:, groups] + rng.normal(0, 0.5, size=(80, 24))
    start = -np.eye(3)[groups] * 0.3  # the negative of the classes
    model = GroupedAutoencoder(3, groups, theta=0.2, non_negative=False, init=start, max_iter=50).fit(x)
    assert (np.take_along_axis(model.loadings_, groups[:, None], axis=1) > 0).mean() > 0.9
    np.testing.assert_allclose(model.transform(x), x @ model.loadings_, atol=1e-5)
    error = np.sqrt(((x - model.predict(x)) ** 2).mean())
    best = int(np.argmin(model.history_["loss"]))
    assert error == pytest.approx(model.history_["reconstruction"][best], rel=1e-4)


def test_theta_one_is_clipped_and_still_sees_the_data(uniform: np.ndarray) -> None:
    model = GroupedAutoencoder(3, feature_classes=CLASSES, theta=1.0, max_iter=50).fit(uniform)
    terms = {name: np.array(values) for name, values in model.history_.items()}
    expected = 0.001 * terms["reconstruction"] + 0.999 * 0.5 * (terms["zero"] + terms["entropy"])
    np.testing.assert_allclose(terms["loss"], expected, rtol=1e-5)


def test_to_chooses_a_device_that_exists(model: GroupedAutoencoder) -> None:
    assert model.to("cpu") is model
    with pytest.raises(ValueError, match="device='abacus'"):
        model.to("abacus")


def test_bad_parameters_are_refused(uniform: np.ndarray) -> None:
    for options, error, match in [
        ({"n_components": 0}, ValueError, "n_components=0"),
        ({"n_components": 2.0}, TypeError, "n_components"),
        ({"n_components": 2, "feature_classes": CLASSES}, ValueError, "class 2, but n_components=2"),
        ({"feature_classes": [0, 1]}, ValueError, "one class per feature"),
        ({"feature_classes": np.full(10, 0.5)}, ValueError, "whole numbers"),
        ({"feature_classes": np.full(10, -2)}, ValueError, "whole numbers"),
        ({"feature_classes": np.ones((10, 3))}, ValueError, "at most n_components=2"),
        ({"feature_classes": np.full((10, 2), 0.5)}, ValueError, "membership"),
        ({"theta": 2}, ValueError, "theta=2"),
        ({"activation": "relu"}, ValueError, "activation='relu'"),
        ({"entropy_scaling": "linear"}, ValueError, "entropy_scaling"),
        ({"solver": "qr"}, ValueError, "solver='qr'"),
        ({"learning_rate": 0}, ValueError, "learning_rate"),
        ({"random_state": None}, TypeError, "random_state"),
        ({"init": np.ones((3, 3))}, ValueError, "init has shape"),
        ({"init": "zeros"}, ValueError, "init='zeros'"),
        ({"device": "cuda:99" if not __import__("torch").cuda.is_available() else "abacus"}, ValueError, "device"),
    ]:
        with pytest.raises(error, match=match):
            GroupedAutoencoder(**options).fit(uniform)


def test_a_class_without_features_is_warned_of(uniform: np.ndarray) -> None:
    membership = np.zeros((10, 2), dtype=bool)
    membership[:, 0] = True
    with pytest.warns(pae.DataWarning, match="1 classes have no feature"):
        GroupedAutoencoder(2, feature_classes=membership, max_iter=5).fit(uniform)


@pytest.fixture
def wide() -> tuple[np.ndarray, np.ndarray]:
    """Fewer samples than half the features, with three planted groups of features."""
    rng = np.random.default_rng(0)
    classes = np.repeat([0, 1, 2, -1], 100)
    x = rng.gamma(1.0, 0.5, size=(50, 400)) * (rng.random((50, 400)) < 0.3)
    return x + rng.gamma(0.5, 1.0, size=(50, 3)) @ (classes == np.arange(3)[:, None]), classes


@pytest.mark.parametrize("scores", ["projection", "least_squares"])
def test_fewer_samples_than_half_the_features_are_fitted_through_the_samples_with_equal_results(
    wide: tuple[np.ndarray, np.ndarray], scores: str
) -> None:
    x, classes = wide
    options = {"feature_classes": classes, "theta": 0.3, "center": True, "scale": "unit", "scores": scores}
    options |= {"max_iter": 200, "min_delta": 0, "scheduler_patience": 1000, "learning_rate": 0.02}
    held_out = x[:20] * 1.1
    for make in [np.asarray, sp.csr_matrix, sp.csc_matrix]:
        auto, cells, gram = (
            GroupedAutoencoder(3, solver=solver, **options).fit(make(x), X_val=make(held_out))
            for solver in ("auto", "cells", "gram")
        )
        np.testing.assert_array_equal(auto.loadings_, cells.loadings_)
        assert auto.history_ == cells.history_
        for name, values in gram.history_.items():
            np.testing.assert_allclose(cells.history_[name], values, rtol=1e-5, err_msg=name)  # float32
        assert np.linalg.norm(cells.loadings_ - gram.loadings_) < 1e-4 * np.linalg.norm(gram.loadings_)
        np.testing.assert_allclose(cells.mean_, gram.mean_, rtol=1e-12)
        np.testing.assert_allclose(cells.scale_, gram.scale_, rtol=1e-12)
        assert cells.score(make(held_out)) == pytest.approx(gram.score(make(held_out)), rel=1e-4)
        assert cells.set_params(solver="gram").score(make(x)) == pytest.approx(auto.score(make(x)), rel=1e-10)


def test_features_whose_gram_matrix_does_not_fit_are_fitted_through_the_samples(
    uniform: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"feature_classes": CLASSES, "theta": 0.5, "max_iter": 20}
    expected = GroupedAutoencoder(3, **options).fit(uniform)
    monkeypatch.setattr(accumulate, "MAX_GRAM_BYTES", 100)
    result = GroupedAutoencoder(3, **options).fit(uniform)
    np.testing.assert_allclose(result.loadings_, expected.loadings_, rtol=0, atol=1e-4)
    assert result.score(uniform) == pytest.approx(expected.score(uniform), abs=1e-4)
    with pytest.raises(ValueError, match="10 genes need a Gram matrix"):
        GroupedAutoencoder(3, solver="gram", **options).fit(uniform)


def test_constant_data_are_refused_through_the_samples_and_their_gram_matrix() -> None:
    with pytest.raises(ValueError, match="no variation"):
        GroupedAutoencoder(center=True).fit(np.ones((5, 3)))
    for make in [np.asarray, sp.csr_matrix]:
        with pytest.raises(ValueError, match="no variation"):
            GroupedAutoencoder(center=True).fit(make(np.full((5, 30), 0.1)))
        with pytest.raises(ValueError, match="every value is 0"):
            GroupedAutoencoder(center=False).fit(make(np.zeros((5, 30))))
