"""Cells and gene sets to work with: a registry of public ones, and simulations with known truth."""

from __future__ import annotations

from pathwayae.datasets._fetch import fetch, list  # noqa: A004
from pathwayae.datasets._simulate import simulate

__all__ = ["fetch", "list", "simulate"]
