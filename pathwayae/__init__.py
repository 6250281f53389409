"""Pathway-guided factor models for single-cell data, at the price of one pass over the matrix.

>>> import pathwayae as pae
>>> adata = pae.datasets.simulate(300, 300, 5)
>>> pae.tl.fit(adata, "pathways", progress=False)
>>> pae.get.scores(adata).shape
(300, 25)
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathwayae import datasets, get, gs, models, pl, pp, tl
    from pathwayae._report import report
    from pathwayae.core.notice import DataWarning

__version__ = version("pathwayae")
__all__ = ["DataWarning", "__version__", "datasets", "get", "gs", "models", "pl", "pp", "report", "tl"]


def __getattr__(name: str) -> Any:
    # Submodules load when they are first used: torch, scanpy and matplotlib take seconds to import.
    if name == "DataWarning":
        return import_module("pathwayae.core.notice").DataWarning
    if name == "report":
        return import_module("pathwayae._report").report
    if name in __all__:
        return import_module(f"pathwayae.{name}")
    msg = f"module 'pathwayae' has no attribute {name!r}"
    raise AttributeError(msg)


def __dir__() -> list[str]:
    return __all__
