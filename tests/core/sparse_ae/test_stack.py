"""Stacked networks: start, losses written out in numpy, gradients against finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pathwayae.core.sparse_ae import network, stack
from pathwayae.core.sparse_ae.settings import Config, classic, resolve

D, M = 5, 12


def make(config, n_models=2):
    config = resolve(replace(config, n_latents=M), 100, D)
    return stack.build([replace(config, seed=seed) for seed in range(n_models)], D)


def cells(n=8):
    return torch.rand((n, D), generator=torch.Generator().manual_seed(5))


def layers_of(config, seed):
    """What torch's own layers hold after the same seed."""
    sizes = [D, *config.hidden, M, *reversed(config.hidden), D]
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(seed)
        return [torch.nn.Linear(a, b) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]  # noqa: RUF007


@pytest.mark.parametrize("kind", ["l1", "kl", "single"])
def test_classic_networks_start_as_those_of_torch_and_losses_equal_their_formulas(kind) -> None:
    found = make(classic(kind))
    for seed in range(2):  # the start is that of torch
        for layer, weight, bias in zip(layers_of(found.config, seed), found.weights, found.biases, strict=True):
            np.testing.assert_array_equal(weight[seed].detach(), layer.weight.detach().T)
            np.testing.assert_array_equal(bias[seed, 0].detach(), layer.bias.detach())
    x = cells()
    terms = stack.losses(found, x)[0]
    for model in range(2):
        values = x.numpy().astype(float)
        for number, (w, b) in enumerate(zip(found.weights, found.biases, strict=True)):
            values = values @ w[model].detach().numpy().astype(float) + b[model].detach().numpy()
            if number == len(found.weights) - 1 or (number == found.depth - 1 and kind != "l1"):
                values = 1 / (1 + np.exp(-values))
            else:
                values = np.maximum(values, 0)
            if number == found.depth - 1:
                codes = values
        mse = ((values - x.numpy()) ** 2).mean()
        rates = np.clip(codes.mean(axis=0), 1e-8, 1 - 1e-8)
        kl = (0.05 * np.log(0.05 / rates) + 0.95 * np.log(0.95 / (1 - rates))).sum()
        wanted = mse + (0.001 * np.abs(codes).mean() if kind == "l1" else 0.01 * kl)
        np.testing.assert_allclose(float(terms.total[model].detach()), wanted, rtol=1e-6)
        np.testing.assert_allclose(float(terms.reconstruction[model].detach()), mse, rtol=1e-6)


@pytest.mark.parametrize("sparsity", ["batchtopk", "topk", "jumprelu", "l1"])
def test_the_default_loss_is_the_squared_error_per_cell_and_a_penalty_per_cell(sparsity) -> None:
    found = make(Config(sparsity=sparsity, weight=0.3, k=2))
    with torch.no_grad():
        for bias in found.biases:
            bias += 0.05
    x = cells()
    if sparsity == "jumprelu":
        stack.start_jumps(found, x)
    terms = stack.losses(found, x)[0]
    for model in range(2):
        w, d = (weight[model].detach().numpy().astype(float) for weight in found.weights)
        b, c = (bias[model].detach().numpy().astype(float) for bias in found.biases)
        codes = np.maximum((x.numpy() - c) @ w + b, 0)
        if sparsity in ("batchtopk", "jumprelu"):
            codes *= codes >= np.sort(codes, axis=None)[-2 * 8] - 1e-6
        elif sparsity == "topk":
            codes *= codes >= np.sort(codes, axis=1)[:, [-2]]
        if sparsity == "jumprelu":  # its threshold starts at the k-th value, which itself does not pass
            codes *= codes > codes[codes > 0].min()
            penalty = ((codes > 0).sum(axis=1).mean() / 2 - 1) ** 2
        else:
            penalty = codes.sum(axis=1).mean()
        error = ((codes @ d + c - x.numpy()) ** 2).sum(axis=1).mean()
        np.testing.assert_array_equal(terms.fired[model], (codes > 0).sum(axis=0))
        np.testing.assert_allclose(float(terms.total[model].detach()), error + 0.3 * penalty, rtol=2e-6)


@pytest.mark.parametrize("config", [Config(k=2), Config(sparsity="topk", k=2), Config(sparsity="l1"), classic("kl")])
def test_gradients_equal_finite_differences(config) -> None:
    found = make(config, 1)
    for place in range(len(found.weights)):
        found.weights[place] = found.weights[place].detach().double().requires_grad_()
        found.biases[place] = found.biases[place].detach().double().requires_grad_()
    x = cells(20).double() - 0.4
    total = stack.losses(found, x)[0].total.sum()
    total.backward()
    generator, step = torch.Generator().manual_seed(0), 1e-2
    for tensor in found.parameters():
        direction = torch.randn(tensor.shape, generator=generator, dtype=torch.float64)
        direction /= direction.norm()
        with torch.no_grad():
            values = []
            for sign in (1, -1):
                tensor += sign * step * direction
                values.append(float(stack.losses(found, x)[0].total.sum()))
                tensor -= sign * step * direction
        wanted = (values[0] - values[1]) / (2 * step)
        np.testing.assert_allclose(float((tensor.grad * direction).sum()), wanted, rtol=2e-2, atol=1e-3)


FEW = [Config(k=2), Config(k=2, unit_norm=False, weight=0.0), Config(k=2, loss="mse"), Config(sparsity="topk", k=2)]
FEW += [Config(k=2, output="sigmoid", center=False)]


@pytest.mark.parametrize("config", FEW)
def test_sums_over_latents_that_fire_equal_dense_products(config, monkeypatch) -> None:
    found, x, seen = make(config, 3), cells(40), {}
    with torch.no_grad():
        for bias in found.biases:
            bias += 0.05 * torch.randn(bias.shape, generator=torch.Generator().manual_seed(1))
    for share in (0, 1):
        monkeypatch.setattr(stack, "FEW", share)
        assert stack.few_fire(found) == bool(share)
        terms, rebuilt = stack.losses(found, x)
        gradients = torch.autograd.grad(terms.total.sum(), found.parameters())
        seen[share] = [*(terms.total, terms.penalty, rebuilt), *gradients]
        seen[share] = [
            *(tensor.detach() for tensor in seen[share]),
            terms.fired.float(),
            stack.rebuild(found, x).detach(),
        ]
    for one, other in zip(seen[0], seen[1], strict=True):
        assert float((one - other).norm()) <= 1e-6 * float(one.norm())


def test_few_fire_needs_counted_codes_of_one_layer_in_single_precision() -> None:
    assert stack.few_fire(make(Config(k=1)))
    for config in (Config(k=3), Config(sparsity="l1"), Config(sparsity="jumprelu", k=1), Config(k=1, hidden=(4,))):
        assert not stack.few_fire(make(config))
    double = make(Config(k=1))
    double.weights[-1] = double.weights[-1].detach().double()
    assert not stack.few_fire(double)


def test_the_dictionary_keeps_its_lengths() -> None:
    found = make(Config())
    stack.losses(found, cells())[0].total.sum().backward()
    stack.keep_unit_gradients(found)
    dictionary = found.weights[-1]
    np.testing.assert_allclose((dictionary.grad * dictionary).sum(dim=-1).detach(), 0, atol=1e-6)
    with torch.no_grad():
        dictionary.mul_(3)
    stack.normalise(found)
    np.testing.assert_allclose(dictionary.norm(dim=-1).detach(), 1, rtol=1e-6)


def test_dead_latents_alone_explain_the_residual_in_the_auxiliary_loss() -> None:
    found = make(Config())
    x = cells()
    rebuilt = stack.losses(found, x)[1]
    pre = stack.encode(found, x)
    dead = torch.zeros((2, M), dtype=torch.bool)
    often = pre[0].detach().relu().mean(dim=0).argsort().tolist()[-2:]
    dead[0, often] = True
    residual = x - rebuilt
    share = stack.auxiliary(found, x, residual, dead)
    codes = np.maximum(pre[0].detach().numpy(), 0)[:, often]
    e = residual[0].detach().numpy()
    wanted = ((codes @ found.weights[-1][0].detach().numpy()[often] - e) ** 2).sum() / (e**2).sum()
    np.testing.assert_allclose(share.detach(), [wanted, 0], rtol=1e-5)
    share.sum().backward()
    moved = found.weights[0].grad.abs().sum(dim=1) > 0
    assert moved[0].nonzero().flatten().tolist() == sorted(often)
    assert not moved[1].any()


def test_of_many_dead_latents_half_as_many_as_features_take_part() -> None:
    found = make(Config(), 1)
    rebuilt = stack.losses(found, cells())[1]
    pre = stack.encode(found, cells())
    share = stack.auxiliary(found, cells(), cells() - rebuilt, torch.ones((1, M), dtype=torch.bool))
    codes = np.maximum(pre[0].detach().numpy(), 0)
    codes *= codes >= np.sort(codes, axis=1)[:, [-(D // 2)]]
    e = (cells() - rebuilt)[0].detach().numpy()
    wanted = ((codes @ found.weights[-1][0].detach().numpy() - e) ** 2).sum() / (e**2).sum()
    np.testing.assert_allclose(float(share[0].detach()), wanted, rtol=1e-5)


EXPORTED = [Config(k=2), Config(sparsity="topk", k=2), Config(sparsity="jumprelu", k=2), classic("l1")]


@pytest.mark.parametrize("config", EXPORTED, ids=lambda config: config.sparsity)
def test_an_exported_network_encodes_and_decodes_as_the_stack(config) -> None:
    found = make(config)
    with torch.no_grad():
        for bias in found.biases:
            bias += 0.05
    x = cells()
    if found.config.sparsity == "jumprelu":
        stack.start_jumps(found, x)
        found.jump = found.jump.detach() + 0.01  # away from the value of a cell, which rounding could move across
    found.threshold += 0.2
    mean, scale = np.arange(D, dtype=float), 3.0
    with torch.no_grad():
        codes = stack.codes_at_inference(found, stack.encode(found, x))
        rebuilt = stack.decode(found, codes)
    for model in range(2):
        net = stack.export(found, model, mean, scale)
        raw = x.numpy().astype(float) * scale + mean
        np.testing.assert_allclose(network.encode(net, raw).toarray(), codes[model], atol=1e-6)
        wanted = rebuilt[model].numpy() * scale + mean
        np.testing.assert_allclose(network.decode(net, codes[model].numpy()), wanted, atol=1e-5)
