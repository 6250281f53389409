"""Squared error from products with the Gram matrix against torch's autograd through the cells themselves."""

import numpy as np
import pytest
import torch

from pathwayae.core.grouped import reconstruction

N, G, K = 23, 9, 4
RIDGES = [1e-3, 0.1, 10.0]


def cells(seed=0, n=N):
    return torch.randn(n, G, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 + 0.5


def loadings(*batch, seed=1, k=K):
    return torch.randn(*batch, G, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def gram_of(x):
    """``W ↦ G W`` and tr G."""
    return (x.mT @ x).matmul, float((x * x).sum())


def through_x_projection(x, w):
    return ((x - x @ w @ w.mT) ** 2).sum()


def through_x_least_squares(x, w, ridge):
    scores = x @ w @ torch.linalg.inv(w.mT @ w + ridge * torch.eye(w.shape[1], dtype=w.dtype))
    return ((x - scores @ w.mT) ** 2).sum()


def assert_is(result, expected, w):
    (by_autograd,) = torch.autograd.grad(expected, w)
    assert float(result[0]) == pytest.approx(float(expected.detach()), rel=1e-11)
    torch.testing.assert_close(result[1], by_autograd, rtol=1e-9, atol=1e-9 * float(by_autograd.abs().max()))


@pytest.mark.parametrize(("k", "scale"), [(1, 0.01), (K, 0.01), (K, 1.0), (K, 3.0), (G, 1.0), (G + 2, 3.0)])
def test_projection_is_the_error_through_the_cells_and_its_autograd(k, scale):
    x, w = cells(n=3 if k == 1 else N), (scale * loadings(k=k)).requires_grad_()  # once fewer cells than genes
    result = reconstruction.projection(w.detach(), *gram_of(x))
    assert_is(result, through_x_projection(x, w), w)


@pytest.mark.parametrize(
    ("k", "ridge"), [(1, 1e-3), (K, 1e-3), (K, 0.1), (K, 10.0), (G, 1e-3), (G, 0.1), (G + 2, 0.1), (G + 2, 10.0)]
)
def test_least_squares_is_the_error_through_the_cells_and_its_autograd(k, ridge):
    x, w = cells(), loadings(k=k).requires_grad_()
    result = reconstruction.least_squares(w.detach(), *gram_of(x), ridge)
    assert_is(result, through_x_least_squares(x, w, ridge), w)


def test_least_squares_without_a_ridge_is_what_lstsq_leaves_over():
    x, w = cells(), loadings()
    scores = np.linalg.lstsq(w.numpy(), x.numpy().T, rcond=None)[0]
    left = np.sum((x.numpy().T - w.numpy() @ scores) ** 2)
    value, gradient = reconstruction.least_squares(w, *gram_of(x), 0.0)
    assert float(value) == pytest.approx(left, rel=1e-11)
    # Only the space spanned matters, so there is no gradient along the loadings themselves.
    torch.testing.assert_close(w.mT @ gradient, torch.zeros(K, K, dtype=torch.float64), rtol=0, atol=1e-9)


def test_the_leading_eigenvectors_leave_the_sum_of_the_other_eigenvalues_and_no_gradient():
    x = cells()
    values, vectors = np.linalg.eigh((x.mT @ x).numpy())
    value, gradient = reconstruction.projection(torch.tensor(vectors[:, -K:].copy()), *gram_of(x))
    assert float(value) == pytest.approx(values[:-K].sum(), rel=1e-11)
    assert float(gradient.abs().max()) < 1e-10 * values[-1]
    basis = torch.linalg.qr(loadings())[0]
    tied = reconstruction.projection(basis, *gram_of(x))[0]
    free = reconstruction.least_squares(basis, *gram_of(x), 0.0)[0]
    assert float(tied) == pytest.approx(float(free), rel=1e-12)


@pytest.mark.parametrize(
    "function",
    [reconstruction.projection, lambda w, product, total: reconstruction.least_squares(w, product, total, 0.1)],
    ids=["projection", "least squares"],
)
def test_batches_and_float32_give_what_a_loop_and_float64_give_and_change_nothing(function):
    x, w = cells(), loadings(2, 3)
    gram, total = x.mT @ x, float((x * x).sum())
    gram_before, w_before = gram.clone(), w.clone()
    value, gradient = function(w, gram.matmul, total)
    assert value.shape == (2, 3)
    assert gradient.shape == w.shape
    for a in range(2):
        for b in range(3):
            one_value, one_gradient = function(w[a, b], gram.matmul, total)
            torch.testing.assert_close(value[a, b], one_value, rtol=1e-12, atol=0)
            torch.testing.assert_close(gradient[a, b], one_gradient, rtol=1e-11, atol=1e-9)
    assert torch.equal(w, w_before)
    w = 0.3 * loadings()
    value, gradient = function(w, *gram_of(x))
    single_value, single_gradient = function(w.float(), *gram_of(x.float()))
    assert single_gradient.dtype == torch.float32
    assert float(single_value) == pytest.approx(float(value), rel=1e-5)  # float32
    torch.testing.assert_close(single_gradient.double(), gradient, rtol=0, atol=1e-5 * float(gradient.abs().max()))
    assert torch.equal(gram, gram_before)


def test_unit_columns_have_length_one_and_keep_their_norms_and_an_empty_one_stays_finite():
    w = loadings(2)
    before = w.clone()
    unit, norm = reconstruction.unit_columns(w)
    assert torch.equal(w, before)
    torch.testing.assert_close(norm, torch.linalg.vector_norm(w, dim=-2, keepdim=True), rtol=1e-14, atol=0)
    torch.testing.assert_close(unit * norm, w, rtol=1e-14, atol=0)
    torch.testing.assert_close((unit**2).sum(-2), torch.ones(2, K, dtype=torch.float64), rtol=1e-14, atol=0)
    w[..., 1] = 0
    unit, norm = reconstruction.unit_columns(w)
    gradient = reconstruction.through_unit_columns(torch.zeros_like(w), unit, norm)
    assert torch.isfinite(unit).all()
    assert not unit[..., 1].any()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("ridge", RIDGES)
def test_the_gradient_through_unit_columns_is_that_of_autograd(ridge):
    x, w = cells(), loadings().requires_grad_()
    unit, norm = reconstruction.unit_columns(w.detach())
    value, gradient = reconstruction.least_squares(unit, *gram_of(x), ridge)
    result = reconstruction.through_unit_columns(gradient, unit, norm)
    expected = through_x_least_squares(x, w / torch.linalg.vector_norm(w, dim=0), ridge)
    assert_is((value, result), expected, w)


@pytest.mark.parametrize("dropout", [0.3, 0.9])
def test_hiding_is_the_average_over_drawn_masks(dropout):
    rng = np.random.default_rng(11)
    x, w = rng.normal(size=(6, 8)), torch.from_numpy(rng.uniform(size=(8, 3)))
    gram = torch.from_numpy(x.T @ x)
    hidden = reconstruction.hiding(dropout)
    value, _ = reconstruction.projection(
        w, lambda v: gram @ v, float(gram.trace()), hidden=hidden, diagonal=gram.diagonal()
    )
    draws = []
    for _ in range(20_000):
        seen = x * (rng.random(x.shape) >= dropout) / (1.0 - dropout)
        draws.append(((x - seen @ w.numpy() @ w.numpy().T) ** 2).sum())
    error = np.std(draws) / np.sqrt(len(draws))
    assert abs(float(value) - np.mean(draws)) < 4 * error
    assert float(value) > 10 * error  # the test can tell


@pytest.mark.parametrize("batch", [(), (2,)])
def test_the_gradient_with_hidden_entries_is_that_of_autograd(batch):
    rng = np.random.default_rng(12)
    x = torch.from_numpy(rng.normal(size=(20, 7)))
    gram = x.T @ x
    w = torch.from_numpy(rng.uniform(size=(*batch, 7, 3))).requires_grad_()
    b = w.mT @ w
    expected = (
        gram.trace()
        - 2 * (w.mT @ gram @ w).diagonal(dim1=-2, dim2=-1).sum(-1)
        + ((w.mT @ gram @ w) * b).sum((-2, -1))
        + 9.0 * (b * (w.mT @ (gram.diagonal()[:, None] * w))).sum((-2, -1))
    )
    expected.sum().backward()
    value, gradient = reconstruction.projection(
        w.detach(), lambda v: gram @ v, float(gram.trace()), hidden=9.0, diagonal=gram.diagonal()
    )
    torch.testing.assert_close(value, expected.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradient, w.grad, rtol=1e-12, atol=1e-12)


def test_nothing_hidden_is_the_classic_error():
    rng = np.random.default_rng(13)
    x = rng.normal(size=(20, 7))
    gram, w = torch.from_numpy(x.T @ x), torch.from_numpy(rng.uniform(size=(7, 3)))
    plain = reconstruction.projection(w, lambda v: gram @ v, float(gram.trace()))
    hidden = reconstruction.projection(w, lambda v: gram @ v, float(gram.trace()), hidden=0.0, diagonal=gram.diagonal())
    for one, other in zip(plain, hidden, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert reconstruction.hiding(0.0) == 0.0
    assert reconstruction.hiding(0.75) == pytest.approx(3.0)
