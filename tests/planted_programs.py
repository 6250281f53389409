"""Cells that are sums of a few planted programs, and how many of them a dictionary finds."""

from __future__ import annotations

import numpy as np


def plant(n_cells=5000, n_genes=200, n_programs=64, *, size=20, active=3.8, noise=0.04, seed=0):
    """Cells (float32) and the programs (rows of length 1); noise is its share of the variance.

    Every gene has a constant background, so that the mean outweighs the variation (γ about 2).
    """
    rng = np.random.default_rng(seed)
    programs = np.zeros((n_programs, n_genes))
    for program in programs:
        program[rng.choice(n_genes, size, replace=False)] = rng.gamma(2.0, 1.0, size)
    programs /= np.linalg.norm(programs, axis=1, keepdims=True)
    activity = rng.gamma(2.0, 1.0, (n_cells, n_programs)) * (rng.random((n_cells, n_programs)) < active / n_programs)
    cells = activity @ programs
    variance = cells.var(axis=0).sum()
    background = rng.gamma(1.0, 1.0, n_genes)
    cells += 2.0 * np.sqrt(variance) * background / np.linalg.norm(background)
    cells += rng.normal(size=cells.shape) * np.sqrt(variance * noise / (1 - noise) / n_genes)
    return cells.astype(np.float32), programs


def share_found(components, programs) -> float:
    """Share of the programs with a component of |cosine| above 0.8."""
    lengths = np.linalg.norm(components, axis=1, keepdims=True)
    cosines = programs @ (components / np.maximum(lengths, 1e-12)).T
    return float((np.abs(cosines).max(axis=1) > 0.8).mean())
