"""Every row of docs/migrating.md, run."""

import re
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.exceptions import NotFittedError

import pathwayae as pae
from pathwayae.models import ArchetypalAnalysis, GroupedAutoencoder

PAGE = Path(__file__).parents[1] / "docs" / "migrating.md"
ROWS = {}
RNG = np.random.default_rng(0)
CLASSES = np.r_[np.repeat([0.0, 1.0, 2.0], 6), -1.0, -1.0, np.nan, np.nan]
X = np.abs(RNG.normal(0, 0.2, (60, 22)))
X[:, :18] += RNG.gamma(1.0, size=(60, 3))[:, CLASSES[:18].astype(int)]
X /= X.max(axis=0)
CORNERS = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
POINTS = np.vstack([RNG.dirichlet(np.ones(3), 60) @ CORNERS, CORNERS])


def row(function):
    """A row of the page by the name of its function."""
    ROWS[function.__name__] = function
    return function


def fit(classes=CLASSES, k=3, **options):
    return GroupedAutoencoder(k, classes, **{"theta": 0.5, "max_iter": 60, **options}).fit(X)


def on_cells(**settings):
    """The same fit on an AnnData, columns of unit length."""
    names = [f"g{i:02}" for i in range(22)]
    adata = ad.AnnData(X.astype(np.float32), var=pd.DataFrame({"classes": CLASSES}, index=names))
    options = {
        name: settings.pop(name, usual) for name, usual in (("theta", 0.5), ("n_extra", 0), ("random_state", 42))
    }
    own = pae.tl.FitSettings.classic(**{"max_iter": 60, **settings})
    usual = {"scores": "projection", "scale": None, "progress": False, "device": "cpu"}
    pae.tl.fit(adata, "classes", settings=own, **usual, **options)
    return pae.get.loadings(adata).to_numpy()


def same_on_cells(k=3, **options):
    loadings = fit(k=k, **options).loadings_
    expected = loadings / np.linalg.norm(loadings, axis=0)
    np.testing.assert_allclose(on_cells(n_extra=k - 3, **options), expected, atol=5e-4)


def outside(model):
    share = model.get_W("rows")
    return 1 - share[:18][np.arange(18), CLASSES[:18].astype(int)].mean()


@row
def n_components():
    assert GroupedAutoencoder().n_components == 2
    assert fit(k=5).loadings_.shape == (22, 5)
    same_on_cells(k=4)


@row
def classes():
    share = fit(theta=0.95, max_iter=500, epsilon=0.9, entropy_scaling=None).get_W("rows")
    assert (share[:18].argmax(axis=1) == CLASSES[:18]).all()
    assert share[18:20].max(axis=1).min() > 0.9  # entropy
    assert share[20:].max(axis=1).max() < 0.9  # nothing
    same_on_cells()


@row
def scalar_classes():
    for value in (-1, np.nan):
        np.testing.assert_array_equal(fit(value).loadings_, fit(np.full(22, value)).loadings_)
    with pytest.raises(ValueError, match="has no class"):
        pae.tl.fit(ad.AnnData(X), np.full(22, -1), progress=False)


@row
def no_classes():
    np.testing.assert_array_equal(fit(None).loadings_, fit(np.nan).loadings_)


@row
def theta():
    assert GroupedAutoencoder().theta == 1.0
    by = {theta: outside(fit(theta=theta, init="random", max_iter=200)) for theta in (0.0, 0.9)}
    assert by[0.9] < 0.5 * by[0.0]
    np.testing.assert_array_equal(fit(theta=1.0).history_["loss"], fit(theta=0.999).history_["loss"])
    same_on_cells(theta=0.8)


@row
def epsilon():
    for value, other in ((0.0, "zero"), (1.0, "entropy")):
        history = fit(epsilon=value).history_
        terms = 0.5 * np.array(history["reconstruction"]) + 0.5 * np.array(history[other])
        np.testing.assert_allclose(history["loss"], terms, rtol=1e-5)
    same_on_cells(epsilon=0.2)


@row
def l1_ratio():
    p = fit(l1_ratio=1.0, max_iter=1, non_negative=False)
    share = np.abs(p.loadings_) / np.abs(p.loadings_).sum(axis=1, keepdims=True)
    zero = np.mean([share[:18][CLASSES[:18] != j, j].mean() for j in range(3)])
    assert p.history_["zero"][0] == pytest.approx(zero, rel=1e-4)
    same_on_cells(l1_ratio=0.1)


@row
def non_negative():
    assert (fit().loadings_ >= 0).all()
    assert (fit(theta=0.0, non_negative=False, center=True).loadings_ < 0).any()
    same_on_cells(non_negative=False, max_iter=15)


@row
def activation():
    assert fit(activation="sigmoid").loadings_.max() <= 1
    same_on_cells(activation="sigmoid")


@row
def entropy_on_classes():
    loadings = fit(max_iter=1, entropy_on_classes=True, entropy_scaling=None)
    p = loadings.get_W("rows").astype(float)
    e = -(p * np.log(p)).sum(axis=1)
    by_class = [e[c == CLASSES].mean() for c in (-1, 0, 1, 2)]
    assert loadings.history_["entropy"][0] == pytest.approx(np.mean(by_class), rel=1e-4)
    same_on_cells(entropy_on_classes=True)


@row
def entropy_scaling():
    by = {scaling: fit(max_iter=1, entropy_scaling=scaling).history_["entropy"][0] for scaling in ("log", "exp", None)}
    assert by["log"] == pytest.approx(by[None] / np.log(3), rel=1e-5)
    assert by["exp"] == pytest.approx(by[None] / np.exp(3), rel=1e-5)
    same_on_cells(entropy_scaling=None)


@row
def learning_rate():
    assert GroupedAutoencoder().learning_rate == 0.1
    same_on_cells(learning_rate=0.02)


@row
def early_stopping():
    model = fit(early_stopping_patience=5, min_delta=10.0, max_iter=50)
    assert (model.n_iter_, model.converged_) == (6, True)
    same_on_cells(early_stopping_patience=5, min_delta=1e-3)


@row
def scheduler():
    same_on_cells(scheduler_patience=2, scheduler_factor=0.3, min_delta=1e-3)
    assert fit(scheduler_factor=0.1, scheduler_patience=0, min_delta=10.0).n_iter_ == 60


@row
def verbose():
    fit(max_iter=10, verbose=5)  # prints two lines


@row
def random_state():
    assert GroupedAutoencoder().random_state == 42
    np.testing.assert_array_equal(fit(random_state=1).loadings_, fit(random_state=1).loadings_)
    assert not np.array_equal(fit(random_state=1).loadings_, fit(random_state=2).loadings_)


@row
def device():
    model = fit()
    assert model.to("cpu") is model
    assert isinstance(model.transform(X), np.ndarray)


@row
def validation():
    held_out = X[:20] + 0.1
    by_position = GroupedAutoencoder(3, CLASSES, theta=0.5, max_iter=60).fit(X, held_out)
    by_name = GroupedAutoencoder(3, CLASSES, theta=0.5, max_iter=60).fit(X, X_val=held_out)
    np.testing.assert_array_equal(by_position.loadings_, by_name.loadings_)
    assert len(by_position.history_["validation_loss"]) == by_position.n_iter_


@row
def transform():
    model = fit()
    np.testing.assert_allclose(model.transform(X), X @ model.loadings_, atol=1e-6)
    np.testing.assert_allclose(model.predict(X), X @ model.loadings_ @ model.loadings_.T, atol=1e-6)


@row
def get_w():
    model = fit()
    np.testing.assert_allclose(model.get_W(True).sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(model.get_W("rows").sum(axis=1), 1, rtol=1e-5)


@row
def start():
    assert fit(max_iter=1).history_["loss"][0] < fit(max_iter=1, init="random").history_["loss"][0]


@row
def gram():
    by = {solver: fit(solver=solver, max_iter=20) for solver in ("gram", "cells")}
    np.testing.assert_allclose(by["gram"].history_["loss"], by["cells"].history_["loss"], rtol=1e-4)
    weights = torch.tensor(fit(max_iter=1).loadings_, dtype=torch.float64)
    error = torch.tensor(X) - torch.tensor(X) @ weights @ weights.T
    assert by["gram"].history_["reconstruction"][0] == pytest.approx(float(error.square().mean().sqrt()), rel=1e-4)


@row
def signed():
    model = fit(theta=0.0, non_negative=False, learning_rate=2.0, max_iter=400)
    assert min(model.history_["loss"]) < fit(theta=0.0, non_negative=False, max_iter=400).history_["loss"][-1] * 1.1


@row
def empty_class():
    member = np.zeros((22, 3))
    member[:6, 0] = member[6:12, 1] = 1
    with pytest.warns(pae.DataWarning, match="their components are free"):
        fit(member)


@row
def membership():
    member = CLASSES[:, None] == np.arange(3)
    member[0] = True
    assert fit(member, theta=0.9, epsilon=0.0).get_W("rows")[0].max() < 0.9


@row
def more():
    for options in ({"scores": "least_squares"}, {"dropout": 0.5}, {"center": True, "balance": True, "scale": "unit"}):
        assert np.isfinite(fit(**options).transform(X)).all()


@row
def archetype_parameters():
    model = ArchetypalAnalysis(3, 500, 1e-6, 42, 0.001, False)
    assert model.get_params() == ArchetypalAnalysis(3).get_params()
    ArchetypalAnalysis(3, early_stopping_patience=5, logger_level="ERROR", verbose_level=1, solver="adam").fit(POINTS)


@row
def normalize():
    wide = POINTS * [1.0, 1000.0]
    one, other = ArchetypalAnalysis(3).fit(wide, normalize=True), ArchetypalAnalysis(3, normalize=True).fit(wide)
    np.testing.assert_array_equal(one.archetypes, other.archetypes)


@row
def units():
    found = ArchetypalAnalysis(3).fit(POINTS).archetypes
    assert np.abs(found[:, None] - CORNERS).sum(axis=2).min(axis=0).max() < 1e-3


@row
def archetype_transform():
    model = ArchetypalAnalysis(3).fit(POINTS)
    np.testing.assert_allclose(model.transform(POINTS), model.weights, atol=1e-3)
    assert model.transform(POINTS[:1]).shape == (1, 3)


@row
def reconstruct():
    model = ArchetypalAnalysis(3)
    weights = model.fit_transform(POINTS)
    np.testing.assert_allclose(model.reconstruct(), weights @ model.archetypes, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(POINTS), POINTS, atol=0.01)


@row
def attributes():
    model = ArchetypalAnalysis(3)
    assert [model.archetypes, model.weights, model.X_mean, model.X_std, model.loss_history] == [None] * 4 + [[]]
    first = len(model.fit(POINTS).get_loss_history())
    assert len(model.fit(POINTS).loss_history) == first
    assert model.X_std.shape == (2,)


@row
def unfitted():
    with pytest.raises(NotFittedError, match="Model must be fitted before transform"):
        ArchetypalAnalysis(3).transform(POINTS)
    with pytest.raises(ValueError, match="Model must be fitted before reconstruct"):
        ArchetypalAnalysis(3).reconstruct()


@row
def entropy_reg():
    spread = [ArchetypalAnalysis(3, entropy_reg=reg).fit(POINTS).weights.max(axis=1).mean() for reg in (-0.3, 0.0)]
    assert spread[0] < spread[1]


@row
def hooks():
    class Own(ArchetypalAnalysis):
        def loss_function(self, archetypes, weights, X):
            return (X - weights @ archetypes).abs().mean()

        def project_weights(self, weights):
            positive = np.maximum(weights, 0.02)
            return positive / positive.sum(axis=1, keepdims=True)

        def project_archetypes(self, archetypes, X):
            return np.clip(archetypes, X.min(axis=0), X.max(axis=0))

    model = Own(3, solver="adam", max_iter=30, learning_rate=0.01).fit(POINTS)
    assert model.weights.min() > 0.01
    assert min(model.loss_history) < model.loss_history[0]


@row
def projections():
    found = ArchetypalAnalysis(3, solver="adam", archetype_projection="knn", max_iter=20).fit(POINTS).archetypes
    assert (found >= -1e-9).all()
    assert ArchetypalAnalysis(3, archetype_projection="hull").fit(POINTS).gap_ < 1e-4


@row
def starts():
    for start in ("kmeans++", "furthest_sum", "aa++", POINTS[:3]):
        assert ArchetypalAnalysis(3, start=start).fit(POINTS).explained_variance_ > 0.99


def test_the_page_names_every_row_that_is_run():
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"^\|.*\| `(\w+)` \|$", text, flags=re.MULTILINE)
    assert set(named) == set(ROWS)
    assert len(named) == len(re.findall(r"^\|(?! classic \|| ---).*$", text, flags=re.MULTILINE))  # no row without one


@pytest.mark.parametrize("name", list(ROWS))
def test_row(name):
    ROWS[name]()
