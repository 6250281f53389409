"""Settings of ``pae.tl.sparse_ae``: checked at its door, handed to the core, and stored with the fit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.sparse_ae import settings as core
from pathwayae.core.sparse_ae.settings import Config
from pathwayae.core.sparse_ae.sparsity import Sparsity

HELD_OUT = 0.1
OF_CLASSIC = {"hidden": (), "output": "identity", "center": True}


@dataclass(frozen=True, kw_only=True)
class SparseAESettings:
    """Settings of :func:`pathwayae.tl.sparse_ae` that rarely need a change.

    Attributes
    ----------
    weight
        Of the penalty; by default 0.1 (``"l1"``), 0.01 (``"kl"``), 1 (``"jumprelu"``). With ``"batchtopk"`` and
        ``"topk"`` of a small Σ|h|, by default 0.03, which empties places that only noise would fill: `k` need not be
        exact.
    rho
        Wanted mean activity of a latent, for ``"kl"``.
    hidden
        Sizes of layers between cells and code, mirrored between code and cells.
    output
        Activation of the output. ``"sigmoid"`` needs values between 0 and 1 and ``center=False``.
    center
        Subtract the mean of every column. Without it the mean takes up the latents where it outweighs the variation.
    classic
        One of the classic networks as they were, with sigmoid output and mean squared error, for values between 0 and
        1: ``"l1"`` and ``"kl"``: d → 256 → 128 → 256 → d; ``"single"``: one layer each way,
        with ``sparsity="l1"`` that penalty in the place of KL. They decide over `hidden`, `output` and `center`, and
        over k; the number of latents, `weight`, `rho`, `batch_size` and the number of epochs may differ.
    batch_size, learning_rate
        Of Adam. By default about a twentieth of the cells (32 to 4 096), and 0.001.
    held_out
        Share of the cells, at most 10 000 of them, that is not trained on but measured. By default a tenth; none with
        `classic`, which trains on all cells to the last epoch.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 200, 6)
    >>> settings = pae.tl.SparseAESettings(weight=0.0, batch_size=64)
    >>> pae.tl.sparse_ae(adata, n_latents=32, k=4, n_epochs=5, settings=settings, progress=False)
    >>> adata.uns["sparse_ae"]["params"]["batch_size"]
    64
    """

    weight: float | None = None
    rho: float = 0.05
    hidden: tuple[int, ...] = ()
    output: Literal["identity", "relu", "sigmoid"] = "identity"
    center: bool = True
    classic: Literal["l1", "kl", "single"] | None = None
    batch_size: int | None = None
    learning_rate: float = 1e-3
    held_out: float | None = None

    def __post_init__(self) -> None:
        gates.hold_fields(self)


def check(own: Any, n_latents: Any, k: Any, n_epochs: Any, random_state: Any) -> SparseAESettings:
    """The settings, checked; ``held_out`` is filled in.

    Raises
    ------
    TypeError, ValueError
        If they are no such settings, or a number is out of range.
    """
    if own is None:
        own = SparseAESettings()
    if not isinstance(own, SparseAESettings):
        msg = f"settings={own!r} must be pae.tl.SparseAESettings(…), not {type(own).__name__}."
        raise TypeError(msg)
    for name, value in (("n_latents", n_latents), ("batch_size", own.batch_size), ("n_epochs", n_epochs)):
        if value is not None:
            _checks.number(name, value, 1, integer=True)
    for name, value, low in (("k", k, 0), ("weight", own.weight, 0), ("learning_rate", own.learning_rate, 1e-12)):
        if value is not None:
            _checks.number(name, value, low)
    _checks.number("rho", own.rho, 1e-8, 1 - 1e-8)
    _checks.number("random_state", random_state, 0, 2**31, integer=True)
    _checks.choice("output", own.output, ("identity", "relu", "sigmoid"))
    _checks.choice("classic", own.classic, (*core.CLASSIC, None))
    for size in own.hidden:
        _checks.number("hidden", size, 1, integer=True)
    held_out = own.held_out if own.held_out is not None else HELD_OUT if own.classic is None else 0.0
    _checks.number("held_out", held_out, 0, 0.9)
    if own.classic is not None:
        for name, default in OF_CLASSIC.items():
            refuse_beside_classic(own.classic, name, getattr(own, name), default)
    return SparseAESettings(**asdict(own) | {"held_out": held_out, "hidden": tuple(own.hidden)})


def refuse_beside_classic(classic: str, name: str, value: Any, default: Any) -> None:
    """Raise where a setting is given over which a classic network decides."""
    if value != default:
        msg = f"classic={classic!r} decides over {name}, but {name}={value!r}; leave one out."
        raise ValueError(msg)


def config_of(
    own: SparseAESettings,
    *,
    n_latents: int | None,
    k: float | None,
    sparsity: Sparsity,
    n_epochs: int | None,
    device: str,
    random_state: int,
) -> Config:
    """Settings of the core; what follows from the data stays None."""
    _checks.choice("sparsity", sparsity, tuple(core.WEIGHTS))
    seed, device = int(random_state), _checks.device(device)
    if own.classic is None:
        return Config(
            n_latents=n_latents,
            hidden=own.hidden,
            sparsity=sparsity,
            k=k,
            weight=own.weight,
            rho=own.rho,
            output=own.output,
            center=own.center,
            batch_size=own.batch_size,
            n_epochs=n_epochs,
            learning_rate=own.learning_rate,
            seed=seed,
            device=device,
        )
    given: dict[str, Any] = {}
    if own.classic == "single" and sparsity == "l1":
        given = {"sparsity": "l1", "weight": core.CLASSIC["l1"]["weight"]}
    elif sparsity != core.CLASSIC[own.classic]["sparsity"]:
        refuse_beside_classic(own.classic, "sparsity", sparsity, "batchtopk")
    refuse_beside_classic(own.classic, "k", k, None)
    wanted = {"n_latents": n_latents, "weight": own.weight, "batch_size": own.batch_size, "n_epochs": n_epochs}
    given |= {name: value for name, value in wanted.items() if value is not None}
    return core.classic(own.classic, rho=own.rho, learning_rate=own.learning_rate, seed=seed, device=device, **given)


def stored(
    own: SparseAESettings,
    config: Config,
    *,
    layer: str | None,
    obsm: str | None,
    mask_var: str | NDArray[np.bool_] | None,
    gene_symbols: str | None,
    random_state: int,
) -> dict[str, Any]:
    """Settings as h5ad and zarr can hold them; "" stands for None."""
    params: dict[str, Any] = {"layer": layer, "obsm": obsm, "gene_symbols": gene_symbols, "random_state": random_state}
    params |= {"mask_var": mask_var if isinstance(mask_var, str | None) else "array"}
    params |= {"classic": own.classic, "held_out": own.held_out} | asdict(config)
    params["hidden"] = np.array(config.hidden, dtype=np.int64)
    return {name: "" if value is None else value for name, value in params.items()}
