"""The random directions that a sketch looks along: the same for the same names of genes and the same seed."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

OVERSAMPLING = 2  # directions per rank; with twice as many the leading ones are as good as exact

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Probes:
    """What Ω, standard normal of shape (g, m), is drawn from; its rows go with the names of the genes.

    Attributes
    ----------
    seed, rank
        Of the draw; m is twice the rank, and no more than the genes that were read.
    n_genes, names
        Genes that were read, and a fingerprint of their sorted names; ``""`` for genes without names.
    places
        Place of each gene among the sorted names, shape (g,).
    given
        Ω itself where it was not drawn, of all genes that were read, shape (g, m).

    Examples
    --------
    >>> first, second = Probes.of(("b", "a"), rank=1), Probes.of(("a", "b"), rank=1)
    >>> bool(np.array_equal(first.matrix(), second.matrix()[[1, 0]])), first.size
    (True, 2)
    """

    seed: int
    rank: int
    n_genes: int
    names: str
    places: NDArray[np.int32]
    given: Floats | None = None

    @classmethod
    def along(cls, directions: Floats) -> Probes:
        """Directions that are known, shape (g, m), for genes without names."""
        g, m = directions.shape
        return cls(0, m, g, "", np.arange(g, dtype=np.int32), directions)

    @classmethod
    def of(cls, genes: tuple[str, ...] | int, *, rank: int, seed: int = 0) -> Probes:
        """For genes by their names, or for so many without names.

        Raises
        ------
        ValueError
            If the rank is below 1 or above the number of genes.
        """
        n = genes if isinstance(genes, int) else len(genes)
        if not 1 <= rank <= n:
            msg = f"rank={rank} of a sketch must be from 1 to the {n} genes."
            raise ValueError(msg)
        if isinstance(genes, int):
            return cls(seed, rank, n, "", np.arange(n, dtype=np.int32))
        order = np.argsort(np.array(genes, dtype=object), kind="stable")
        places = np.empty(n, dtype=np.int32)
        places[order] = np.arange(n)
        joined = "\n".join(genes[i] for i in order.tolist())
        return cls(seed, rank, n, hashlib.sha256(joined.encode()).hexdigest()[:16], places)

    @property
    def size(self) -> int:
        """Number of directions m."""
        return min(OVERSAMPLING * self.rank, self.n_genes) if self.given is None else self.given.shape[1]

    @property
    def whole(self) -> bool:
        """Whether these are all genes that were read."""
        return len(self.places) == self.n_genes

    def matrix(self) -> Floats:
        """Ω of these genes, shape (g, m)."""
        drawn = _drawn(self.seed, self.n_genes, self.size) if self.given is None else self.given
        return drawn[self.places]

    def subset(self, index: NDArray[Any]) -> Probes:
        """Of some of the genes; the directions stay as they are."""
        return replace(self, places=self.places[index])

    def check_same(self, other: Probes) -> None:
        """Raise where two sketches do not look along the same directions, and say why."""
        advice = "Read both with the same random_state, rank and genes of pae.pp.moments."
        for name, own, theirs in (
            ("random_state", self.seed, other.seed),
            ("rank", self.rank, other.rank),
            ("number of genes", self.n_genes, other.n_genes),
        ):
            if own != theirs:
                msg = f"Sketches read with {name} {own} and {theirs} cannot be joined. {advice}"
                raise ValueError(msg)
        if self.names != other.names:
            msg = (
                f"Sketches read from other {self.n_genes} genes cannot be joined, even where those that are left are "
                f"the same: their directions differ. {advice}"
            )
            raise ValueError(msg)


@lru_cache(maxsize=1)
def _drawn(seed: int, n_genes: int, size: int) -> Floats:
    """One matrix is kept, since every stratum, block and draw asks for it again."""
    return np.random.default_rng(seed).standard_normal((n_genes, size))
