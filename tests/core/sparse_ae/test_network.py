"""A trained network: codes, reconstruction, features, and their independence of batching."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.sparse_ae import network
from pathwayae.core.sparse_ae.network import Network


def make(sparsity="batchtopk", *, hidden=None, code="relu", output="identity", d=6, m=10) -> Network:
    rng = np.random.default_rng(0)
    sizes = [d, *([hidden] if hidden else []), m, *([hidden] if hidden else []), d]
    layers = [
        (rng.normal(size=(b, a)).astype(np.float32), rng.normal(size=b).astype(np.float32)) for a, b in pairwise(sizes)
    ]
    half = len(layers) // 2
    threshold = (
        rng.uniform(0.1, 1, m) if sparsity == "jumprelu" else np.asarray(0.7 if sparsity == "batchtopk" else 0.0)
    )
    k = 3.0 if sparsity in ("batchtopk", "topk", "jumprelu") else 0.0
    mean = rng.normal(size=d)
    return Network(tuple(layers[:half]), tuple(layers[half:]), mean, 2.5, threshold, sparsity, k, code, output)


def by_hand(net, X):
    """Codes and reconstruction written out in numpy, float64."""
    values = (X - net.mean) / net.scale
    for number, (w, b) in enumerate(net.encoder):
        values = (np.maximum(values, 0) if number else values) @ w.T.astype(float) + b
    if net.code == "sigmoid":
        codes = 1 / (1 + np.exp(-values))
    else:
        codes = np.maximum(values, 0)
        if net.sparsity == "topk":
            codes *= codes >= np.sort(codes, axis=1)[:, [-int(net.k)]]
        codes *= codes >= net.threshold
    values = codes
    for number, (w, b) in enumerate(net.decoder):
        values = (np.maximum(values, 0) if number else values) @ w.T.astype(float) + b
    finish = {"identity": lambda v: v, "relu": lambda v: np.maximum(v, 0), "sigmoid": lambda v: 1 / (1 + np.exp(-v))}
    return codes, finish[net.output](values) * net.scale + net.mean


CASES = [
    make(),
    make("topk"),
    make("jumprelu"),
    make("l1", hidden=5, output="sigmoid"),
    make("kl", hidden=5, code="sigmoid", output="relu"),
]


@pytest.mark.parametrize("net", CASES, ids=lambda net: net.sparsity)
def test_codes_reconstruction_and_residual_follow_their_formulas(net) -> None:
    X = np.random.default_rng(1).normal(size=(40, 6))
    codes, rebuilt = by_hand(net, X)
    found = network.encode(net, X)
    assert found.format == "csr"
    assert found.dtype == np.float32
    np.testing.assert_allclose(found.toarray(), codes, rtol=1e-6)
    np.testing.assert_allclose(network.decode(net, found), rebuilt, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(network.decode(net, found.toarray()), rebuilt, rtol=1e-5, atol=1e-5)
    error, variance = network.residual(net, X)
    np.testing.assert_allclose(error, ((X - rebuilt) ** 2).sum(), rtol=1e-6)
    np.testing.assert_allclose(variance, 40 * X.var(axis=0).sum(), rtol=1e-9)
    zero = network.decode(net, np.zeros((1, 10)))  # features are decoded unit codes less this
    wanted = np.vstack([network.decode(net, np.eye(10)[[j]]) - zero for j in range(10)])
    np.testing.assert_allclose(network.features(net), wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("net", CASES, ids=lambda net: net.sparsity)
def test_codes_do_not_depend_on_how_cells_are_batched(net, monkeypatch) -> None:
    X = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    whole = network.encode(net, X).toarray()
    parts = sp.vstack([network.encode(net, part) for part in (X[:1], X[1:18], X[18:])]).toarray()
    np.testing.assert_array_equal(parts, whole)
    monkeypatch.setattr(network, "CHUNK", 50)
    np.testing.assert_array_equal(network.encode(net, X[::-1])[::-1].toarray(), whole)
    np.testing.assert_array_equal(network.encode(net, sp.csr_matrix(X)).toarray(), whole)
    assert network.encode(net, X[:0]).shape == (0, 10)


def test_a_width_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"X has shape \(3, 5\).*6 features"):
        network.encode(make(), np.zeros((3, 5)))
    with pytest.raises(ValueError, match=r"codes has shape \(3, 5\).*10 latents"):
        network.decode(make(), np.zeros((3, 5)))


@pytest.mark.gpu
def test_the_gpu_gives_the_same_codes() -> None:
    net = replace(make(), threshold=np.asarray(0.7))
    X = np.random.default_rng(1).normal(size=(40, 6))
    difference = network.encode(net, X, device="cuda") - network.encode(net, X)
    assert abs(difference).max() < 1e-5
