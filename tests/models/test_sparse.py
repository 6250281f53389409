"""The sparse autoencoder on plain arrays: scikit-learn's contract and what its attributes mean."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
from planted_programs import plant
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from pathwayae.core.notice import DataWarning
from pathwayae.models import SparseAutoencoder


@parametrize_with_checks(
    [
        SparseAutoencoder(n_epochs=10),
        SparseAutoencoder(n_latents=6, k=2, sparsity="topk", hidden=(4,), n_epochs=5),
        SparseAutoencoder(sparsity="kl", n_epochs=5),
    ]
)
def test_scikit_learn_accepts_the_estimator(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def cells():
    return plant(300, 20, 6, size=5, active=1.5)[0]


@pytest.fixture(scope="module")
def model(cells):
    return SparseAutoencoder(n_latents=12, k=2, n_epochs=20).fit(cells)


def test_codes_components_and_reconstruction_fit_together(model, cells) -> None:
    codes = model.transform(cells)
    assert (codes.shape, codes.format, codes.dtype) == ((300, 12), "csr", np.float32)
    nothing = model.inverse_transform(np.zeros((1, 12)))
    np.testing.assert_allclose(model.predict(cells), codes @ model.components_ + nothing, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(model.inverse_transform(codes), model.predict(cells))
    np.testing.assert_allclose(model.inverse_transform(codes.toarray()), model.predict(cells), rtol=1e-5, atol=1e-5)
    residual = ((cells - model.predict(cells)) ** 2).sum()
    np.testing.assert_allclose(model.score(cells), 1 - residual / (300 * cells.var(axis=0).sum()), rtol=1e-4)
    assert model.score(cells) > 0.5


def test_what_a_fit_tells(model, cells) -> None:
    assert model.get_feature_names_out().tolist()[:2] == ["sparseautoencoder0", "sparseautoencoder1"]
    assert (model.n_latents_, model.k_, model.n_epochs_) == (12, 2, 20)
    assert len(model.history_["unexplained"]) == 20
    assert model.unexplained_ == min(model.history_["unexplained"])
    np.testing.assert_allclose(np.linalg.norm(model.components_, axis=1), model.network_.scale, rtol=1e-5)
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.transform(cells).toarray(), model.transform(cells).toarray())
    assert clone(model).get_params() == model.get_params()


def test_verbose_reports_every_so_many_epochs(cells, capsys) -> None:
    SparseAutoencoder(n_latents=12, k=2, n_epochs=4, verbose=2).fit(cells)
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line] == ["epoch 2", "epoch 4"]


def test_classic_networks_fit_and_can_be_changed(cells) -> None:
    for kind in ["l1", "kl", "single"]:
        scaled = (cells - cells.min()) / (cells.max() - cells.min())
        model = SparseAutoencoder.classic(kind, n_epochs=3, random_state=1).fit(scaled)
        assert model.get_params()["held_out"] == 0
        assert (model.n_latents_, model.n_epochs_) == (128, 3)
        assert model.predict(scaled).min() >= 0
        assert len(model.network_.encoder) == (1 if kind == "single" else 2)
        zero = model.inverse_transform(np.zeros((1, 128)))
        np.testing.assert_allclose(model.components_[[3]], model.inverse_transform(np.eye(128)[[3]]) - zero, atol=1e-6)


def test_a_sigmoid_output_for_data_beyond_its_range_is_said(cells) -> None:
    with pytest.warns(DataWarning, match=r"values from 0 to 1, but X has .*rescale X"):
        SparseAutoencoder.classic("l1", n_epochs=1).fit(cells)


def test_parameters_are_checked(cells) -> None:
    for parameters, error, message in [
        ({"n_latents": 5, "k": 6}, ValueError, "k=6 latents per cell of n_latents=5"),
        ({"sparsity": "kl", "code": "relu"}, ValueError, "sparsity='kl' compares rates"),
        ({"sparsity": "lasso"}, ValueError, "sparsity='lasso' is not known; choose one of 'batchtopk'"),
        ({"n_latents": 0}, ValueError, "n_latents=0 is out of range"),
        ({"hidden": (0,)}, ValueError, "hidden=0 is out of range"),
        ({"held_out": 1.0}, ValueError, "held_out=1.0 is out of range"),
        ({"rho": 0}, ValueError, "rho=0 is out of range"),
        ({"n_epochs": 1.5}, TypeError, "n_epochs=1.5 must be an integer"),
        ({"device": "abacus"}, ValueError, "device='abacus' is not a torch device"),
    ]:
        with pytest.raises(error, match=message):
            SparseAutoencoder(**parameters).fit(cells)
    with pytest.raises(ValueError, match="kind='deep' is not known"):
        SparseAutoencoder.classic("deep")


def test_bad_data_are_refused(model, cells) -> None:
    with pytest.raises(ValueError, match="no variation to fit"):
        SparseAutoencoder().fit(np.ones((30, 4)))
    bad = cells.copy()
    bad[0, 0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        SparseAutoencoder().fit(bad)
    with pytest.raises(TypeError, match="X is sparse, but its reconstruction is dense"):
        model.predict(sp.csr_matrix(cells))
    with pytest.raises(ValueError, match="12 latents"):
        model.inverse_transform(np.zeros((2, 3)))
