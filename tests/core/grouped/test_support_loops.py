"""The compiled reconstruction error against the dense one, entry by entry."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from pathwayae.core.grouped import reconstruction, support_loops
from pathwayae.core.grouped.support import support_of
from pathwayae.core.grouped.support_loops import reconstruction as on_support
from pathwayae.core.grouped.support_loops import relative
from pathwayae.core.moments.low_rank import LowRank


def problem(g=40, k=6, r=5, density=0.3, seed=0, sign=True):
    rng = np.random.default_rng(seed)
    chosen = rng.random((g, k)) < density
    chosen[:, 0], chosen[0] = True, False  # all genes but one, which has no component
    if k > 2:
        chosen[:, 2] = False
    support, _ = support_of(*np.nonzero(chosen), chosen.shape)
    gram = LowRank(rng.uniform(0.5, 2.0, size=g), rng.normal(size=(g, r)))
    weights = rng.normal(size=len(support.genes)) if sign else rng.random(len(support.genes))
    return chosen, support, gram, 0.3 * weights, 0.1 * rng.normal(size=k)


def dense(chosen, support, weights, rest):
    return np.where(chosen, support.matrix(weights).toarray(), rest)


@pytest.mark.parametrize("shape", [(40, 6), (5, 30), (7, 1)])  # more components than genes, one alone
@pytest.mark.parametrize("hidden", [0.0, 9.0])
@pytest.mark.parametrize("with_rest", [True, False])
def test_error_and_gradient_are_those_of_the_dense_matrix(shape, hidden, with_rest):
    chosen, support, gram, weights, rest = problem(*shape)
    rest = rest * with_rest
    full = dense(chosen, support, weights, rest)
    matrix = torch.from_numpy((gram.factors @ gram.factors.T + np.diag(gram.own)) / gram.trace())
    value, gradient = reconstruction.projection(
        torch.from_numpy(full), lambda w: matrix @ w, 1.0, hidden=hidden, diagonal=matrix.diagonal()
    )
    found = on_support(weights, rest, support, relative(gram, hidden), None)
    gradient = gradient.numpy()
    size = np.abs(gradient).max()
    assert found.squared == pytest.approx(float(value), rel=1e-12)
    np.testing.assert_allclose(
        support.matrix(found.gradient).toarray(), np.where(chosen, gradient, 0), atol=1e-12 * size
    )
    np.testing.assert_allclose(found.of_rest, np.where(chosen, 0, gradient).sum(axis=0), atol=1e-11 * size)
    product = matrix.numpy() @ full
    noise = hidden * matrix.diagonal().numpy()[:, None] * full
    assert found.trace == pytest.approx(np.sum(full * product), rel=1e-12)
    assert found.power == pytest.approx(np.trace(full.T @ (product + noise) @ full.T @ full), rel=1e-12)


def test_the_products_behind_it_give_the_gradient_of_the_low_rank_everywhere():
    _, support, gram, weights, rest = problem()
    full = dense(*problem()[:2], weights, rest)
    factors = gram.factors / np.sqrt(gram.trace())
    found = on_support(weights, rest, support, relative(gram, 9.0), None)
    product = factors @ (factors.T @ full)
    expected = product @ (full.T @ full) - 2 * product + full @ (full.T @ product)
    np.testing.assert_allclose(factors @ found.residual.T + found.mixed @ found.profiles.T, expected, atol=1e-13)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_numbers_do_not_depend_on_the_number_of_threads(n, monkeypatch):
    monkeypatch.setattr(support_loops, "SMALL", 0)
    _, support, gram, weights, rest = problem(200, 40)
    one = on_support(weights, rest, support, relative(gram, 9.0), None)
    with ThreadPoolExecutor(n) as pool:
        more = on_support(weights, rest, support, relative(gram, 9.0), pool)
    for name, value in one._asdict().items():
        np.testing.assert_array_equal(value, getattr(more, name), err_msg=name)


def test_inputs_are_left_alone():
    _, support, gram, weights, rest = problem()
    before = [np.copy(part) for part in (weights, rest, *support, *relative(gram, 9.0))]
    cells = relative(gram, 9.0)
    on_support(weights, rest, support, cells, None)
    for old, new in zip(before, (weights, rest, *support, *cells), strict=True):
        np.testing.assert_array_equal(old, new)
