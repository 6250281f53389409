"""Fits that share their passes over the cells with torch, here on the CPU."""

import numpy as np
import pytest

from pathwayae.core.archetypes import solver
from pathwayae.core.archetypes.solver import Config, fit, fit_many


def mixtures(n=100, k=4, d=6, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.dirichlet(np.full(k, 0.5), n) @ rng.normal(size=(k, d))
    return x + 0.05 * rng.normal(size=x.shape)


@pytest.fixture
def together(monkeypatch):
    """Send every fit through the batch, on the CPU."""

    def run(*args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(solver, "_shares", lambda *_: True)
            return fit_many(*args, **kwargs)

    return run


def test_fits_of_different_size_weights_and_stretch_are_those_made_alone(together):
    x = mixtures()
    w = np.random.default_rng(1).multinomial(100, np.full(100, 1 / 100), size=3).astype(float)
    configs = [Config(4), Config(2, seed=3), Config(3, delta=0.2)]
    for one, config, row in zip(together(x, configs, row_weights=w), configs, w, strict=True):
        alone = fit(x, config, row_weights=row)
        assert one.converged
        np.testing.assert_allclose(one.explained_variance, alone.explained_variance, atol=1e-7)
        np.testing.assert_allclose(one.archetypes, alone.archetypes, atol=5e-3)
        np.testing.assert_allclose(one.weights, alone.weights, atol=1e-2)
        assert (row[one.mixing.indices] > 0).all()
        assert one.gap < 1e-6


def test_restarts_are_parts_of_the_batch(together):
    x = mixtures(n=50, d=3)
    one, alone = together(x, [Config(2, n_restarts=3)])[0], fit(x, Config(2, n_restarts=3))
    assert len(one.restarts) == 3
    np.testing.assert_allclose(one.restarts, alone.restarts, rtol=1e-5)
    np.testing.assert_allclose(one.loss[-1], alone.loss[-1], rtol=1e-5)


def test_results_do_not_depend_on_how_many_cells_are_worked_on_at_a_time(together, monkeypatch):
    x = mixtures()
    few = Config(3, max_iter=4)
    whole = together(x, [few])[0]
    monkeypatch.setattr("pathwayae.core.archetypes.together.AT_ONCE", 9 * 30)
    parts = together(x, [few])[0]
    np.testing.assert_allclose(parts.loss, whole.loss, rtol=1e-9)
    np.testing.assert_allclose(parts.archetypes, whole.archetypes, atol=1e-9)


def test_a_large_batch_starts_on_a_coreset(together, monkeypatch):
    x = mixtures(n=400)
    monkeypatch.setattr("pathwayae.core.archetypes.coreset.COARSE", 200)
    monkeypatch.setattr("pathwayae.core.archetypes.coreset.START", 100)
    np.testing.assert_allclose(
        together(x, [Config(4)])[0].explained_variance, fit(x, Config(4)).explained_variance, atol=1e-6
    )


def test_only_plain_fits_from_memory_on_a_device_share_their_passes():
    x = mixtures()
    plain = Config(3, device="cuda")
    assert solver._shares(x, plain)
    for change in ({"device": "cpu"}, {"robust": "huber"}, {"entropy_reg": 0.1}, {"coreset": 20}):
        assert not solver._shares(x, Config(**({"n_archetypes": 3, "device": "cuda"} | change)))


@pytest.mark.gpu
def test_fits_on_a_gpu_are_those_of_the_cpu():
    x = mixtures()
    for one, alone in zip(
        fit_many(x, [Config(k, device="cuda") for k in (2, 3)]), fit_many(x, [Config(2), Config(3)]), strict=True
    ):
        np.testing.assert_allclose(one.explained_variance, alone.explained_variance, atol=1e-7)
