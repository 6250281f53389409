"""Settings of a sparse autoencoder: what can be set, what follows from the data, what is refused."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal

from pathwayae.core.sparse_ae.network import Code, Output
from pathwayae.core.sparse_ae.sparsity import Sparsity

STEPS = 2000  # minibatches of a whole run
LEAST_EPOCHS = 4
CELLS_PER_STEP = 20  # an epoch has about so many steps, as far as the bounds below allow
SMALLEST_BATCH, LARGEST_BATCH = 32, 4096
WIDE, WIDEST = 256, 4096  # latents
FIRES = 20  # a latent is meant to be active in at least so many cells, else there are too many latents
CELLS_PER_LATENT = 40  # beyond 256 latents
WEIGHTS = {"batchtopk": 0.03, "topk": 0.03, "jumprelu": 1.0, "l1": 0.1, "kl": 0.01}
CLASSIC: dict[str, dict[str, Any]] = {
    "l1": {"sparsity": "l1", "weight": 0.001, "hidden": (256,)},
    "kl": {"sparsity": "kl", "weight": 0.01, "hidden": (256,)},
    "single": {"sparsity": "kl", "weight": 0.01, "hidden": (), "code": "sigmoid"},
}
CLASSIC_COMMON: dict[str, Any] = {
    "n_latents": 128,
    "rho": 0.05,
    "output": "sigmoid",
    "loss": "mse",
    "center": False,
    "unit_norm": False,
    "batch_size": 128,
    "n_epochs": 15,
    "learning_rate": 1e-3,
    "warmup": 0.0,
    "decay": 0.0,
    "revive": 0.0,
}


@dataclass(frozen=True)
class Config:
    """Settings of one model; ``None`` follows from the data, see :func:`resolve`.

    Attributes
    ----------
    n_latents, hidden
        Number of latents m, and sizes of the hidden layers of the encoder (mirrored in the decoder).
    sparsity, k, weight, rho
        Kind of sparsity; latents per cell (``batchtopk``: on average, ``topk``, ``jumprelu``: aimed at); weight of the
        penalty (``l1``, ``kl``, ``jumprelu``); wanted mean activity (``kl``).
    code, output
        Activations of codes and output. ``None``: sigmoid for ``kl``, else ReLU.
    loss
        ``"share"``: squared error per cell over the mean squared norm of the cells, penalties per cell; ``"mse"``:
        mean squared error over cells and features, ``l1`` as mean over cells and latents.
    center
        Subtract the mean of the training cells.
    unit_norm
        Start tied and keep the dictionary's rows at length 1 (without hidden layers); else as ``torch.nn.Linear``.
    batch_size, n_epochs, learning_rate
        Of Adam.
    warmup, decay
        Shares of the run in which the learning rate rises from and falls to 0.
    patience
        Share of the run after which a held-out error that has not fallen starts the decay.
    revive
        Coefficient of the auxiliary loss of dead latents (without hidden layers); 0 for none.
    bfloat16
        Multiply in bfloat16 (CUDA only); parameters and losses stay float32.
    seed
        Of the start.
    device
        As torch names it.
    """

    n_latents: int | None = None
    hidden: tuple[int, ...] = ()
    sparsity: Sparsity = "batchtopk"
    k: float | None = None
    weight: float | None = None
    rho: float = 0.05
    code: Code | None = None
    output: Output = "identity"
    loss: Literal["share", "mse"] = "share"
    center: bool = True
    unit_norm: bool = True
    batch_size: int | None = None
    n_epochs: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.05
    decay: float = 0.2
    patience: float = 0.2
    revive: float = 1 / 32
    bfloat16: bool = False
    seed: int = 0
    device: str = "cpu"


def resolve(config: Config, n: int, d: int) -> Config:
    """The settings with every ``None`` filled in for n training cells of d features, checked.

    - latents: n / 40, from 256 to 4096, but at most 4 d, and so few that one is active in 20 cells on average;
    - k: 8, or half the square root of d where that is more; never more than a quarter of the latents;
    - minibatches: the power of 2 next to n / 20, from 32 to 4096 cells;
    - epochs: 2 000 minibatches, at least 4 epochs.

    Raises
    ------
    ValueError
        If the settings contradict each other.

    Examples
    --------
    >>> found = resolve(Config(), 5000, 200)
    >>> found.n_latents, found.k, found.batch_size, found.n_epochs
    (256, 8, 256, 100)
    """
    k = config.k
    if k is None:
        k = max(8, round(math.sqrt(d) / 2))
        if config.n_latents is not None:
            k = max(1, min(k, config.n_latents // 4))
    n_latents = config.n_latents
    if n_latents is None:
        wanted = min(4 * d, max(WIDE, n // CELLS_PER_LATENT), WIDEST, int(n * k / FIRES))
        n_latents = max(wanted, 4 * math.ceil(k))
    batch_size = config.batch_size
    if batch_size is None:
        power = round(math.log2(max(n / CELLS_PER_STEP, 1)))
        batch_size = min(max(2**power, SMALLEST_BATCH), LARGEST_BATCH)
    n_epochs = config.n_epochs
    if n_epochs is None:
        n_epochs = max(math.ceil(STEPS / math.ceil(n / batch_size)), LEAST_EPOCHS)
    code: Code = config.code or ("sigmoid" if config.sparsity == "kl" else "relu")
    weight = WEIGHTS[config.sparsity] if config.weight is None else config.weight
    resolved = replace(
        config, n_latents=n_latents, k=k, batch_size=batch_size, n_epochs=n_epochs, code=code, weight=weight
    )
    _check(resolved)
    return resolved


def classic(kind: Literal["l1", "kl", "single"], **changes: Any) -> Config:
    """The classic networks: sigmoid output, mean squared error, no centring, 15 epochs of Adam at 0.001.

    Parameters
    ----------
    kind
        ``"l1"``: d → 256 → 128 → 256 → d with a ReLU code and ``0.001 · mean |h|``; ``"kl"``: the same with a sigmoid
        code and ``0.01 · Σ_j KL(0.05 ‖ mean h_j)``; ``"single"``: one layer each way with sigmoids and the KL term.
    **changes
        Other settings, see :class:`Config`.
    """
    return Config(**{**CLASSIC_COMMON, **CLASSIC[kind], **changes})


def _check(config: Config) -> None:
    """Refuse settings that contradict each other."""
    kind, k, m = config.sparsity, config.k or 0, config.n_latents or 0
    if kind in ("batchtopk", "topk", "jumprelu") and not 0 < k <= m:
        msg = f"k={k} latents per cell of n_latents={m}: choose k from 1 to {m}, or raise n_latents."
        raise ValueError(msg)
    if kind == "topk" and k != int(k):
        msg = f"k={k} must be whole with sparsity='topk'; round it, or use 'batchtopk', where k is a mean."
        raise ValueError(msg)
    if kind == "kl" and config.code != "sigmoid":
        msg = (
            f"sparsity='kl' compares rates of activity, but code={config.code!r} is not bounded by 1; use "
            "code='sigmoid', or sparsity='l1'."
        )
        raise ValueError(msg)
    if kind in ("batchtopk", "topk", "jumprelu") and config.code == "sigmoid":
        msg = f"code='sigmoid' is never 0, so that sparsity={kind!r} cannot apply; use code='relu' or sparsity='kl'."
        raise ValueError(msg)
    if config.output == "sigmoid" and config.center:
        msg = "output='sigmoid' lies between 0 and 1, but centred data do not; set center=False or output='identity'."
        raise ValueError(msg)
    if config.bfloat16 and not config.device.startswith("cuda"):
        msg = f"bfloat16=True needs a CUDA device, but device={config.device!r}; set bfloat16=False."
        raise ValueError(msg)
