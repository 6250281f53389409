"""Sparse activations and penalties against loops, closed forms and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pathwayae.core.sparse_ae import sparsity


@pytest.fixture
def pre() -> torch.Tensor:
    return torch.randn((2, 6, 9), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_top_k_keeps_the_largest_positive_values_of_every_cell(pre) -> None:
    ks = torch.tensor([2, 7])
    found = sparsity.top_k(pre, ks).numpy()
    for model, k in enumerate(ks.tolist()):
        for row, kept in zip(pre[model].numpy(), found[model], strict=True):
            wanted = np.zeros_like(row)
            largest = np.argsort(row)[-k:]
            wanted[largest] = np.maximum(row[largest], 0)
            np.testing.assert_array_equal(kept, wanted)


def test_batch_threshold_is_an_order_statistic_of_each_problem(pre) -> None:
    found = sparsity.batch_threshold(pre, torch.tensor([1.5, 3.0])).numpy()
    for model, count in enumerate((9, 18)):
        assert found[model] == np.sort(pre[model].numpy().ravel())[-count]
    assert sparsity.batch_threshold(-pre.abs(), torch.tensor([1.0, 1.0])).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("order", "k"), [("random", 7.3), ("rising", 1.0), ("misled", 7.3), ("misled", 1.0), ("equal", 50.0)]
)
def test_batch_threshold_does_not_depend_on_what_its_sample_says(order, k) -> None:
    values = np.random.default_rng(0).normal(size=(1, 60, 50)).astype(np.float32) + 3
    if order == "rising":
        values = np.sort(values, axis=None).reshape(values.shape)
    elif order == "misled":
        values.reshape(-1)[:: sparsity.SAMPLE] += 100
    elif order == "equal":
        values[:] = 1
    found = float(sparsity.batch_threshold(torch.from_numpy(values), torch.tensor([k]))[0])
    assert found == max(np.sort(values.ravel())[-round(60 * np.float32(k))], 0)


def test_cells_of_a_batch_share_the_places_above_its_threshold(pre) -> None:
    threshold = sparsity.batch_threshold(pre, torch.tensor([1.5, 2.0]))
    codes = sparsity.above(pre, threshold[:, None, None])
    assert (codes > 0).sum(dim=(1, 2)).tolist() == [9, 12]
    assert codes[codes > 0].min() >= threshold.min()


def test_penalties_equal_their_formulas() -> None:
    codes = torch.rand((3, 5, 7), generator=torch.Generator().manual_seed(1))
    rho = torch.tensor([0.05, 0.2, 0.5])
    np.testing.assert_allclose(sparsity.absolute(codes), codes.abs().numpy().mean(axis=(1, 2)), rtol=1e-6)
    mean = codes.numpy().astype(float).mean(axis=1)
    r = rho.numpy().astype(float)[:, None]
    wanted = (r * np.log(r / mean) + (1 - r) * np.log((1 - r) / (1 - mean))).sum(axis=1)
    np.testing.assert_allclose(sparsity.kl_divergence(codes, rho), wanted, rtol=1e-6)
    one = torch.tensor([0.05], dtype=torch.float64)
    for value in (0.0, 1.0):  # finite where a latent is never or always on
        rate = np.clip(value, 1e-8, 1 - 1e-8)
        wanted = 4 * (0.05 * np.log(0.05 / rate) + 0.95 * np.log(0.95 / (1 - rate)))
        found = sparsity.kl_divergence(torch.full((1, 3, 4), value), one)
        np.testing.assert_allclose(float(found[0]), wanted, rtol=1e-6)
    codes = (codes[:1, :4, :3].double() * 0.8 + 0.1).requires_grad_()
    assert torch.autograd.gradcheck(lambda h: sparsity.kl_divergence(h, one), codes)


def test_jump_passes_values_above_their_threshold_and_its_kernel_gives_the_gradient(pre) -> None:
    z = torch.relu(pre).requires_grad_()
    threshold = torch.full((2, 1, 9), 0.4, dtype=torch.float64, requires_grad=True)
    width = torch.tensor(0.3, dtype=torch.float64)
    codes, active = sparsity.jump(z, threshold, width)
    over = (z > 0.4).detach()
    np.testing.assert_array_equal(codes.detach(), (z * over).detach())
    np.testing.assert_allclose(active.detach(), over.sum(dim=-1).double().mean(dim=-1))
    upstream = torch.randn(codes.shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    ((codes * upstream).sum() + active.sum()).backward()
    near = ((z - 0.4).abs() < 0.15).detach().double()
    assert 0 < near.sum() < near.numel()
    np.testing.assert_array_equal(z.grad, upstream * over)
    wanted = (-(0.4 / 0.3) * near * upstream).sum(dim=1, keepdim=True) - near.sum(dim=1, keepdim=True) / 0.3 / 6
    np.testing.assert_allclose(threshold.grad, wanted, rtol=1e-12)
