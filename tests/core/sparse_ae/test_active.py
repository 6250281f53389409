"""Sums over active pairs and Adam in one pass, against dense autograd in double precision and torch's optimiser."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathwayae.core.sparse_ae import active

N_MODELS, N, D, M = 3, 20, 7, 12


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_active_pairs_are_those_of_nonzero() -> None:
    values, least = normal(N_MODELS, N, M), torch.tensor([-1.0, 0.5, 5.0])
    found = active.find(values, least[:, None, None])
    wanted = ((values > 0) & (values >= least[:, None, None])).numpy()
    np.testing.assert_array_equal(found.fired, wanted.sum(axis=1))
    models, cells, latents = np.nonzero(wanted)
    np.testing.assert_array_equal(found.cells, models * N + cells)
    np.testing.assert_array_equal(found.latents, models * M + latents)
    np.testing.assert_array_equal(found.values, values.numpy()[wanted])


@pytest.mark.parametrize("transposed", [False, True])
def test_gradients_equal_those_of_dense_autograd(transposed) -> None:
    x = normal(N, D)
    inputs = [normal(N_MODELS, D, M, seed=1), normal(N_MODELS, 1, M, seed=2), normal(N_MODELS, 1, D, seed=3)]
    inputs.append(normal(N_MODELS, M, D, seed=4))
    if transposed:
        inputs[0] = inputs[0].mT.contiguous().mT
    weigh, weigh_total = normal(N_MODELS, N, D, seed=5), normal(N_MODELS, seed=6)
    seen = []
    for dense in (True, False):
        weight, bias, centre, dictionary = own = [
            (tensor.double() if dense else tensor).detach().requires_grad_() for tensor in inputs
        ]
        pre = (x.to(weight.dtype) - centre) @ weight + bias
        if dense:
            codes = torch.relu(pre) * (pre.detach() >= 1.5)
            rebuilt, total = codes @ dictionary, codes.sum(dim=(-2, -1))
        else:
            found = active.find(pre, 1.5)
            rebuilt, total = active.decode_with_gradients(found, x, (weight, bias, centre), dictionary)
        loss = ((rebuilt - weigh) ** 2).sum() + (total * weigh_total).sum()
        seen.append([rebuilt.detach(), total.detach(), *torch.autograd.grad(loss, own)])
    for wanted, got in zip(*seen, strict=True):
        assert float((got - wanted).norm()) <= 1e-6 * float(wanted.norm())


def test_cells_and_latents_without_any_pair_get_zeros() -> None:
    values = torch.zeros((2, 3, M))
    values[1, 1, 4] = 2.0
    dictionary = normal(2, M, D).requires_grad_()
    weight, bias, centre = (torch.ones(shape).requires_grad_() for shape in ((2, D, M), (2, 1, M), (2, 1, D)))
    found = active.find(values)
    rebuilt, total = active.decode_with_gradients(found, normal(3, D), (weight, bias, centre), dictionary)
    rebuilt.sum().backward()
    assert total.tolist() == [0, 2]
    np.testing.assert_array_equal(rebuilt[1, 1].detach(), 2 * dictionary[1, 4].detach())
    assert int((rebuilt != 0).any(dim=-1).sum()) == 1
    assert dictionary.grad.nonzero()[:, :2].unique(dim=0).tolist() == [[1, 4]]
    assert weight.grad.nonzero()[:, [0, 2]].unique(dim=0).tolist() == [[1, 4]]


def test_the_same_pairs_give_the_same_digits() -> None:
    found, x, dictionary = active.find(normal(1, N, M)), normal(N, D), normal(1, M, D)
    seen = []
    for _ in range(2):
        weight = normal(1, D, M).requires_grad_()
        rebuilt, _ = active.decode_with_gradients(
            found, x, (weight, torch.zeros(1, 1, M), torch.zeros(1, 1, D)), dictionary
        )
        seen.append(torch.autograd.grad((rebuilt**2).sum(), weight)[0])
    assert torch.equal(*seen)


@pytest.mark.parametrize("transposed", [False, True])
def test_adam_equals_that_of_torch(transposed) -> None:
    start, rates = normal(2, M, D), torch.tensor([0.01, 0.0])
    point = start.mT.contiguous().mT.clone() if transposed else start.clone()
    mean, squares = torch.zeros_like(point), torch.zeros_like(point)
    wanted = start[0].double().requires_grad_()
    optimiser = torch.optim.Adam([wanted], lr=0.01)
    for step in range(1, 6):
        gradient = normal(2, M, D, seed=step)
        active.move(point, gradient, mean, squares, rates, step=step, unit=False)
        wanted.grad = gradient[0].double()
        optimiser.step()
    np.testing.assert_allclose(point[0], wanted.detach(), rtol=1e-6, atol=1e-7)
    np.testing.assert_array_equal(point[1], start[1])


def test_rows_of_unit_length_keep_it() -> None:
    """Oracle: project the gradient, Adam in double precision, normalise."""
    rows = normal(2, M, D)
    rows /= rows.norm(dim=-1, keepdim=True)
    mean, squares = torch.zeros_like(rows), torch.zeros_like(rows)
    wanted = rows.double()
    first, second = torch.zeros_like(wanted), torch.zeros_like(wanted)
    rates = torch.tensor([0.01, 0.1])
    for step in range(1, 6):
        gradient = normal(2, M, D, seed=step)
        active.move(rows, gradient, mean, squares, rates, step=step, unit=True)
        slope = gradient.double()
        slope = slope - (slope * wanted).sum(dim=-1, keepdim=True) * wanted
        first, second = 0.9 * first + 0.1 * slope, 0.999 * second + 0.001 * slope**2
        change = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
        wanted = wanted - rates[:, None, None].double() * change
        wanted = wanted / wanted.norm(dim=-1, keepdim=True)
    np.testing.assert_allclose(rows, wanted, atol=2e-6)
    np.testing.assert_allclose(rows.norm(dim=-1), 1, atol=1e-6)
