"""A symmetric matrix of low rank and a diagonal, never formed: what the Gram matrix of expression nearly is."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


class LowRank(NamedTuple):
    """``diag(d) ± F Fᵀ``, never formed: what a symmetric matrix is asked for, at r numbers per gene.

    Attributes
    ----------
    own
        d, shape (g,).
    factors
        F, shape (g, r).
    sign
        1 or −1.
    """

    own: Floats
    factors: Floats
    sign: float = 1.0

    def __matmul__(self, other: Floats) -> Floats:
        """The matrix times ``other``, shape (g,) or (g, p)."""
        return (self.own * other.T).T + self.sign * (self.factors @ (self.factors.T @ other))

    @property
    def shape(self) -> tuple[int, ...]:
        """``(g, g)``."""
        return (len(self.own), len(self.own))

    def trace(self) -> float:
        """Sum of the diagonal."""
        return float(self.diagonal().sum())

    def diagonal(self) -> Floats:
        """Shape (g,)."""
        return self.own + self.sign * np.einsum("ij,ij->i", self.factors, self.factors)
