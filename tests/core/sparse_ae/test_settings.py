"""Defaults that follow from the data, and contradictions that are refused."""

from __future__ import annotations

import pytest

from pathwayae.core.sparse_ae.settings import Config, classic, resolve


@pytest.mark.parametrize(("n", "d"), [(700, 50), (700, 2000), (5_000, 200), (100_000, 2000), (1_000_000, 50)])
def test_defaults_hold_from_hundreds_to_a_million_cells(n, d) -> None:
    found = resolve(Config(), n, d)
    steps = found.n_epochs * -(-n // found.batch_size)
    assert 1000 <= steps <= 4000
    assert found.n_epochs >= 4
    assert d <= 200 or found.n_latents >= 256
    assert found.k * 4 <= found.n_latents <= min(4 * d, 4096)
    assert n * found.k / found.n_latents >= 20
    assert 8 <= found.k <= 32


def test_what_is_set_stays() -> None:
    given = Config(n_latents=7, k=3, weight=0.5, batch_size=10, n_epochs=2, code="relu")
    assert resolve(given, 1000, 20) == given
    assert resolve(Config(n_latents=7), 1000, 20).k == 1


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(n_latents=5, k=6), "k=6 latents per cell of n_latents=5: choose k from 1 to 5"),
        (Config(n_latents=5, k=2.5, sparsity="topk"), "k=2.5 must be whole"),
        (Config(sparsity="kl", code="relu"), "sparsity='kl' compares rates.*code='relu' is not bounded"),
        (Config(code="sigmoid"), "code='sigmoid' is never 0"),
        (Config(output="sigmoid"), "output='sigmoid' lies between 0 and 1.*center=False"),
        (Config(bfloat16=True), "bfloat16=True needs a CUDA device"),
    ],
)
def test_contradictions_are_refused(config, message) -> None:
    with pytest.raises(ValueError, match=message):
        resolve(config, 1000, 50)


def test_classic_networks_have_their_published_settings() -> None:
    for kind, weight, sparsity, hidden in (
        ("l1", 0.001, "l1", (256,)),
        ("kl", 0.01, "kl", (256,)),
        ("single", 0.01, "kl", ()),
    ):
        found = resolve(classic(kind), 1000, 64)
        assert (found.sparsity, found.weight, found.hidden, found.n_latents) == (sparsity, weight, hidden, 128)
        assert (found.batch_size, found.n_epochs, found.learning_rate, found.rho) == (128, 15, 1e-3, 0.05)
        assert (found.output, found.loss, found.center, found.warmup, found.decay, found.revive) == (
            ("sigmoid", "mse", False, 0.0, 0.0, 0.0)
        )
        assert found.code == ("relu" if kind == "l1" else "sigmoid")
