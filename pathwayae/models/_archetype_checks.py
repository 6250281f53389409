"""What parameters of archetypal analysis may be, and which solver they are of."""

from __future__ import annotations

from typing import Any

import numpy as np

from pathwayae import _checks
from pathwayae.core.archetypes import classic

ADAM: dict[str, tuple[Any, ...]] = {"delta": (0.0,), "robust": (None,), "coreset": (None,), "n_restarts": (1,)}
EXACT: dict[str, tuple[Any, ...]] = {"weights_projection": (None, "euclidean"), "archetype_projection": (None, "hull")}
HOOKS = ("loss_function", "project_weights", "project_archetypes")  # methods that a subclass may have of its own


def overridden(own: type, base: type) -> list[str]:
    """Hooks that a subclass has of its own."""
    return [name for name in HOOKS if getattr(own, name) is not getattr(base, name)]


def check(model: Any, own: type, base: type) -> None:
    """Check what the core does not."""
    for name in ("n_archetypes", "max_iter", "n_restarts", "early_stopping_patience"):
        _checks.number(name, getattr(model, name), 1, integer=True)
    _checks.number("random_seed", model.random_seed, 0, integer=True)
    for name, least in (("tol", 1e-15), ("learning_rate", 1e-12), ("entropy_reg", -np.inf)):
        _checks.number(name, getattr(model, name), least)
    _checks.number("delta", model.delta, 0, 1e6)
    _checks.choice("solver", model.solver, ("exact", "adam"))
    _checks.choice("weights_projection", model.weights_projection, (None, *classic.WEIGHTS))
    _checks.choice("archetype_projection", model.archetype_projection, (None, "hull", *classic.ARCHETYPES))
    adam = model.solver == "adam"
    if not adam and (found := overridden(own, base)):
        msg = f'{own.__name__} overrides {", ".join(found)}, which the exact solver does not call; pass solver="adam".'
        raise ValueError(msg)
    foreign = dict(ADAM if adam else EXACT)
    if adam and model.archetype_projection == "hull":
        foreign["archetype_projection"] = (None,)
    for name, usual in foreign.items():
        if not any(getattr(model, name) is value or getattr(model, name) == value for value in usual):
            other = "exact" if adam else "adam"
            msg = f"{name}={getattr(model, name)!r} is of solver={other!r}; leave it out, or choose that solver."
            raise ValueError(msg)
