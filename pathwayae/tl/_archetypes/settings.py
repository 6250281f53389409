"""Settings of ``pae.tl.archetypes``: checked at its door, and handed to the core."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from pathwayae import _checks
from pathwayae.core import gates
from pathwayae.core.archetypes.solver import Config


@dataclass(frozen=True, kw_only=True)
class ArchetypesSettings:
    """Settings of :func:`pathwayae.tl.archetypes` that rarely need a change.

    Attributes
    ----------
    delta
        How far archetypes may leave the hull: they are stretched about the mean of the cells by up to ``1 + delta``.
        Few cells sit at a vertex, so 0.25 is often nearer to the truth.
    entropy_reg
        Times the mean entropy of the weights, in units of the total variance: negative spreads weights over archetypes,
        positive sharpens them.
    robust
        Cells that fit badly count less, by ``"huber"`` or ``"bisquare"`` weights.
    coreset
        Fit to so many cells, drawn by squared distance to the mean, and polish over all; ``"auto"``: from 200 000 cells
        on; ``None``: never.
    max_iter, tol
        Most iterations; relative fall of the loss below which the fit has converged.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(300, 400, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=0, progress=False)
    >>> pae.tl.archetypes(adata, 3, settings=pae.tl.ArchetypesSettings(robust="huber"), progress=False)
    >>> adata.uns["archetypes"]["params"]["robust"]
    'huber'
    """

    delta: float = 0.0
    entropy_reg: float = 0.0
    robust: Literal["huber", "bisquare"] | None = None
    coreset: int | Literal["auto"] | None = "auto"
    max_iter: int = 500
    tol: float = 1e-6

    def __post_init__(self) -> None:
        gates.hold_fields(self)


def check(own: Any, n_restarts: Any, random_state: Any, **flags: Any) -> ArchetypesSettings:
    """The settings, checked, with those beside them.

    Raises
    ------
    TypeError, ValueError
        If they are no such settings, or a value is out of range.
    """
    if own is None:
        own = ArchetypesSettings()
    if not isinstance(own, ArchetypesSettings):
        msg = f"settings={own!r} must be pae.tl.ArchetypesSettings(…), not {type(own).__name__}."
        raise TypeError(msg)
    for name, value in (("n_restarts", n_restarts), ("max_iter", own.max_iter)):
        _checks.number(name, value, 1, integer=True)
    _checks.number("random_state", random_state, 0, integer=True)
    for name, least in (("tol", 1e-15), ("delta", 0), ("entropy_reg", -np.inf)):
        _checks.number(name, getattr(own, name), least)
    for name, value in flags.items():
        _checks.choice(name, value, (True, False))
    return own


def config_of(
    own: ArchetypesSettings, n_archetypes: int, *, start: Any, n_restarts: int, device: str, random_state: int
) -> Config:
    """Settings of the core."""
    shared = {"start": start, "n_restarts": n_restarts, "seed": random_state, "device": _checks.device(device)}
    return Config(n_archetypes=n_archetypes, **asdict(own), **shared)
