"""Training: classic runs equal plain torch, stacked runs equal single ones, schedules, dead latents, bad data."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from planted_programs import plant, share_found

from pathwayae.core.notice import DataWarning
from pathwayae.core.sparse_ae import network, training
from pathwayae.core.sparse_ae.minibatches import InMemory
from pathwayae.core.sparse_ae.settings import Config, classic

SMALL = Config(n_latents=12, k=2, n_epochs=8, batch_size=32)


@pytest.fixture(scope="module")
def small():
    return plant(300, 20, 6, size=5, active=1.5)[0]


def plain_torch(X, kind, n_epochs):
    """The classic networks written with torch's own layers and optimiser, on the same minibatches."""
    x = torch.from_numpy(X)
    d = X.shape[1]
    sizes = [d, 128, d] if kind == "single" else [d, 256, 128, 256, d]
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        layers = torch.nn.ModuleList(torch.nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True))  # noqa: RUF007
    optimiser = torch.optim.Adam(layers.parameters(), lr=1e-3)
    rng, history = np.random.default_rng(7), []
    for _ in range(n_epochs):
        total = 0.0
        for batch in torch.from_numpy(rng.permutation(len(X))).split(128):
            h = x[batch]
            for number, layer in enumerate(layers):
                h = layer(h)
                last, middle = number == len(layers) - 1, number == len(layers) // 2 - 1
                h = torch.sigmoid(h) if last or (middle and kind != "l1") else torch.relu(h)
                if middle:
                    codes = h
            rate = codes.mean(0).clamp(1e-8, 1 - 1e-8)
            kl = (0.05 * (0.05 / rate).log() + 0.95 * (0.95 / (1 - rate)).log()).sum()
            loss = torch.nn.functional.mse_loss(h, x[batch])
            loss = loss + (0.001 * codes.abs().mean() if kind == "l1" else 0.01 * kl)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += float(loss.detach()) * len(batch)
        history.append(total / len(X))
    return history


@pytest.mark.parametrize("kind", ["l1", "kl", "single"])
def test_a_classic_run_equals_plain_torch(kind) -> None:
    X = np.random.default_rng(0).uniform(size=(300, 10)).astype(np.float32)
    config = classic(kind, seed=3, n_epochs=4)
    fit = training.train(InMemory(X, held_out=0), [config], order=7)[0]
    np.testing.assert_allclose(fit.history["total"], plain_torch(X, kind, 4), rtol=1e-5)
    weight = 0.001 if kind == "l1" else 0.01
    sums = np.add(fit.history["reconstruction"], weight * np.asarray(fit.history["sparsity"]))
    np.testing.assert_allclose(fit.history["total"], sums, rtol=1e-6)


@pytest.mark.parametrize(
    "variants",
    [
        [{"k": 1}, {"k": 2, "seed": 4}, {"k": 3.5, "weight": 0.0}],
        [{"sparsity": "topk", "k": 1}, {"sparsity": "topk", "k": 3, "seed": 1}],
        [{"sparsity": "jumprelu", "k": 1}, {"sparsity": "jumprelu", "k": 3, "seed": 1}],
        [{"sparsity": "l1", "weight": 0.05}, {"sparsity": "l1", "weight": 5.0}],
        [{"sparsity": "kl", "rho": 0.05}, {"sparsity": "kl", "rho": 0.2}],
    ],
    ids=lambda variants: variants[0].get("sparsity", "batchtopk"),
)
@pytest.mark.filterwarnings("ignore:all 12 latents are dead")
def test_networks_trained_together_equal_those_trained_alone(small, variants) -> None:
    cells = InMemory(small)
    configs = [replace(SMALL, **variant) for variant in variants]
    together = training.train(cells, configs, order=1)
    for fit, config in zip(together, configs, strict=True):
        alone = training.train(cells, [config], order=1)[0]
        assert fit.n_epochs == alone.n_epochs
        assert (fit.n_dead, fit.n_rare) == (alone.n_dead, alone.n_rare)
        for name, values in alone.history.items():
            np.testing.assert_allclose(fit.history[name], values, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(network.features(fit.network), network.features(alone.network), atol=1e-3)


def test_the_same_seed_gives_the_same_network_from_dense_and_sparse_cells(small) -> None:
    small = np.where(small > np.median(small), small, 0)
    first, second = (training.train(InMemory(X), [SMALL])[0] for X in (small, sp.csr_matrix(small)))
    np.testing.assert_array_equal(network.features(first.network), network.features(second.network))
    other = training.train(InMemory(small), [replace(SMALL, seed=1)])[0]
    assert not np.allclose(network.features(first.network), network.features(other.network))


def test_settings_of_different_shape_run_apart_and_progress_is_told_every_epoch(small) -> None:
    sizes, seen = (9, 12, 9), []
    configs = [replace(SMALL, n_latents=m, n_epochs=1) for m in sizes]
    fits = training.train(InMemory(small), configs)
    assert [fit.network.n_latents for fit in fits] == list(sizes)
    three = [replace(SMALL, n_epochs=3)]
    training.train(InMemory(small), three, progress=lambda epoch, terms: seen.append((epoch, terms)))
    assert [epoch for epoch, _ in seen] == [1, 2, 3]
    assert {"total", "reconstruction", "sparsity", "unexplained", "dead"} <= set(seen[0][1])


def test_history_says_what_the_network_kept_does(small) -> None:
    cells = InMemory(small)
    fit = training.train(cells, [SMALL])[0]
    held = small[cells.held]
    error, variance = network.residual(fit.network, held)
    assert fit.unexplained == min(fit.history["unexplained"])
    np.testing.assert_allclose(fit.unexplained, error / variance, rtol=1e-4)
    assert len(set(map(len, fit.history.values()))) == 1
    np.testing.assert_allclose(fit.history["active"], 2, atol=0.05)


def test_an_offset_changes_nothing_once_centred(small) -> None:
    first, second = (training.train(InMemory(small + np.float32(shift)), [SMALL])[0] for shift in (0, 10))
    np.testing.assert_allclose(first.unexplained, second.unexplained, rtol=1e-2)
    np.testing.assert_allclose(network.features(first.network), network.features(second.network), atol=1e-2)
    np.testing.assert_allclose(second.network.mean - first.network.mean, 10, atol=1e-4)


def test_scaling_all_cells_scales_features_alone(small) -> None:
    first, second = (training.train(InMemory(small * np.float32(factor)), [SMALL])[0] for factor in (1, 64))
    np.testing.assert_allclose(second.history["unexplained"], first.history["unexplained"], rtol=1e-4)
    np.testing.assert_allclose(
        network.features(second.network), 64 * network.features(first.network), rtol=1e-3, atol=1e-2
    )


def test_adam_is_the_same_in_one_pass_and_with_operations_of_torch() -> None:
    """The second is that of devices and of double precision."""
    configs = [training.resolve(replace(SMALL, seed=seed), 100, 5) for seed in range(2)]
    single, double = (training.stacks.build(configs, 5) for _ in range(2))
    for tensors in (double.weights, double.biases):
        tensors[:] = [tensor.detach().double().requires_grad_() for tensor in tensors]
    double.k, double.weight = double.k.double(), double.weight.double()
    moves = training._Adam(), training._Adam()
    rates = torch.tensor([0.01, 0.003])
    for step in range(4):
        x = torch.randn((40, 5), generator=torch.Generator().manual_seed(step))
        for stack, adam in zip((single, double), moves, strict=True):
            training.stacks.losses(stack, x.to(stack.weights[0].dtype))[0].total.sum().backward()
            adam.move(stack, rates)
    for one, other in zip(single.parameters(), double.parameters(), strict=True):
        np.testing.assert_allclose(one.detach(), other.detach(), rtol=1e-4, atol=1e-5)


def test_the_rate_rises_stays_and_falls_as_fractions_of_the_run() -> None:
    schedule = training._Schedule(Config(learning_rate=1.0, warmup=0.1, decay=0.2), 2, 100)
    rates = np.array([schedule.rates(step) for step in range(100)])
    np.testing.assert_allclose(rates[:10, 0], np.arange(1, 11) / 10)
    np.testing.assert_array_equal(rates[10:80], 1)
    np.testing.assert_allclose(rates[80:, 1], np.arange(20, 0, -1) / 20)
    schedule.start_decay(1, 40)
    assert (schedule.early(0), schedule.early(1)) == (False, True)
    assert schedule.rates(50).tolist() == [1, 0.5]
    assert schedule.running(60).tolist() == [True, False]


def test_an_error_that_stops_falling_ends_the_run_early_and_keeps_the_best_state() -> None:
    noise = np.random.default_rng(0).normal(size=(100, 30)).astype(np.float32)  # nothing to learn but the noise
    fit = training.train(InMemory(noise), [Config(n_latents=60, k=8, n_epochs=200, batch_size=32)])[0]
    assert fit.converged
    assert fit.n_epochs < 150
    assert fit.unexplained == min(fit.history["unexplained"]) < fit.history["unexplained"][-1]


@pytest.mark.parametrize(("offset", "center", "cause"), [(10, False, "Set center=True"), (0, True, "Lower weight")])
def test_latents_that_all_die_are_explained(small, offset, center, cause) -> None:
    config = replace(SMALL, sparsity="l1", weight=100.0, center=center, n_epochs=40, learning_rate=0.05)
    cells = InMemory(small + np.float32(offset), held_out=0)
    with pytest.warns(DataWarning, match=f"all 12 latents are dead.*γ = .*{cause}"):
        fit = training.train(cells, [config])[0]
    assert fit.n_dead == 12
    spread = small.astype(float)
    gamma = np.linalg.norm(spread.mean(axis=0) + offset) / np.sqrt(spread.var(axis=0).sum())
    np.testing.assert_allclose(fit.gamma, 0 if center else gamma, rtol=1e-4)


def test_latents_that_die_after_the_best_state_are_explained_too(small) -> None:
    config = replace(SMALL, sparsity="l1", weight=100.0, n_epochs=40, learning_rate=0.05)
    with pytest.warns(DataWarning, match="all 12 latents are dead.*at the end.*Lower weight"):
        fit = training.train(InMemory(small, held_out=0.1), [config])[0]
    assert fit.n_dead < 12
    assert fit.history["dead"][-1] == 1


def test_dead_latents_are_woken(small) -> None:
    """A latent whose bias keeps it silent fires again with the auxiliary loss, and only with it."""
    silent = {}
    for revive in (0.0, 1.0):
        cells = InMemory(small)
        config = training.resolve(replace(SMALL, revive=revive, n_epochs=40), cells.n, 20)
        run = training.Run(cells, [config], *cells.moments())
        with torch.no_grad():
            run.stack.biases[0][0, 0, :4] = -0.5
        fit = run.all_epochs(np.random.default_rng(0), None)[0]
        silent[revive] = fit.history["dead"][-1]
    assert silent[0.0] >= 3 / 12
    assert silent[1.0] < silent[0.0]


def test_cells_that_do_not_vary_or_are_not_finite_are_refused(small) -> None:
    with pytest.raises(ValueError, match="no variation to fit: all 40 training cells are equal"):
        training.train(InMemory(np.full((40, 3), 0.1), held_out=0), [Config()])
    bad = small.copy()
    bad[3, 5] = np.nan
    with pytest.raises(ValueError, match="NaN or infinite values, in 1 of 20 features"):
        training.train(InMemory(bad, held_out=0), [Config()])


@pytest.mark.parametrize("n", [20, 60])
def test_defaults_run_on_very_few_cells(small, n) -> None:
    fit = training.train(InMemory(small[:n]), [Config(n_epochs=30)])[0]
    assert np.isfinite(fit.unexplained)


def test_programs_of_few_cells_are_found() -> None:
    X, programs = plant(1000, 60, 16, size=8, active=2)
    fit = training.train(InMemory(X), [Config(n_latents=64, k=4)])[0]
    assert share_found(network.features(fit.network), programs) >= 0.9
    assert fit.unexplained < 0.06


@pytest.mark.slow
@pytest.mark.parametrize("offset", [0, 10])
def test_defaults_find_the_planted_programs(offset) -> None:
    X, programs = plant()
    fit = training.train(InMemory(X + np.float32(offset)), [Config()])[0]
    assert fit.network.n_latents == 256
    assert share_found(network.features(fit.network), programs) >= 0.9
    assert fit.unexplained < 0.06


@pytest.mark.gpu
def test_the_gpu_trains_as_the_cpu(small) -> None:
    first, second = (
        training.train(InMemory(small, device=device), [replace(SMALL, device=device)])[0] for device in ("cpu", "cuda")
    )
    np.testing.assert_allclose(first.history["unexplained"], second.history["unexplained"], rtol=2e-2)
    mixed = training.train(InMemory(small, device="cuda"), [replace(SMALL, device="cuda", bfloat16=True)])[0]
    np.testing.assert_allclose(mixed.unexplained, first.unexplained, rtol=0.1)
