"""Number of cells, gene sums and Gram matrix per stratum of the cells, and the algebra on them.

A linear model with squared error sees the data only through these moments, so every iteration after the pass costs the
same for a thousand cells as for a hundred million. Strata (samples, batches, donors, folds) add up to the whole: what
is left out, reweighted or pooled is never read again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.moments import gram_passes, stored
from pathwayae.core.moments import strata as algebra
from pathwayae.core.moments.strata import WHOLE, Stack

CONSTANT = 1e-12  # a variance below this share of the mean square is rounding, not variation

Scale = Literal["unit", "pareto"] | None
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of a cells × genes matrix for least-squares models, per stratum of the cells.

    Attributes
    ----------
    counts
        Number of cells of each stratum, or their total weight, float64, shape (s,).
    sums
        Sum of each gene over the cells of each stratum, float64, shape (s, g).
    grams
        ``XᵀX`` of each stratum, not centred, float64, shape (s, g, g).
    strata
        Names of the strata, each once.
    genes
        Names of the genes, each once; None for plain arrays.
    normalize
        What was done to the stored values inside the pass: ``""`` or, for instance, ``"log1p 10000"``.

    Examples
    --------
    >>> donors = Moments(np.array([1.0, 2.0]), np.ones((2, 1)), np.array([[[1.0]], [[3.0]]]), ("donor_1", "donor_2"))
    >>> donors.n, donors.sum, donors.gram
    (3, array([2.]), array([[4.]]))
    >>> donors.without("donor_1").n
    2
    >>> donors.weighted({"donor_2": 2}).n
    5
    """

    counts: Floats
    sums: Floats
    grams: Floats
    strata: tuple[str, ...] = WHOLE
    genes: tuple[str, ...] | None = None
    normalize: str = ""

    def __post_init__(self) -> None:
        s, g = len(self.strata), self.sums.shape[-1]
        shapes = (self.counts.shape, self.sums.shape, self.grams.shape)
        if shapes != ((s,), (s, g), (s, g, g)) or (self.genes is not None and len(self.genes) != g):
            named = "" if self.genes is None else f" and {len(self.genes)} gene names"
            msg = f"Moments of {s} strata{named} cannot have counts, sums and Gram matrices of shapes {shapes}."
            raise ValueError(msg)
        algebra.check_names(self.strata, self.genes)

    @cached_property
    def n(self) -> int | float:
        """Number of cells; a float where weights are not whole numbers."""
        total = float(self.counts.sum())
        return int(total) if total.is_integer() else total

    @cached_property
    def sum(self) -> Floats:
        """Sum of each gene over all cells, shape (g,)."""
        return self.sums.sum(axis=0)

    @cached_property
    def gram(self) -> Floats:
        """``XᵀX`` over all cells, not centred, shape (g, g)."""
        return self.grams[0] if len(self.grams) == 1 else self.grams.sum(axis=0)

    @property
    def mean(self) -> Floats:
        """Mean of each gene, shape (g,)."""
        return self.sum / self.n

    @property
    def variance(self) -> Floats:
        """Population variance of each gene (divisor n), shape (g,); exactly 0 for a constant gene."""
        return self._variance(self.mean**2)

    def __add__(self, other: Moments) -> Moments:
        """Moments of the cells of both; strata of one name are added, others stand side by side."""
        self._check_joins(other)
        return self._of(algebra.add(self._stack, other._stack))

    def __sub__(self, other: Moments) -> Moments:
        """Moments of the cells without those of ``other``, stratum by stratum; an empty stratum goes.

        Subtraction rounds; where whole strata go, :meth:`without` does not.
        """
        self._check_joins(other)
        return self._of(algebra.subtract(self._stack, other._stack))

    def select(self, *strata: str) -> Moments:
        """Give the moments of some strata, in the order asked for.

        Raises
        ------
        ValueError
            If a stratum does not exist, or none is asked for.
        """
        return self._of(algebra.select(self._stack, *strata))

    def without(self, *strata: str) -> Moments:
        """Give the moments of all other strata: leave one donor out, without reading a cell."""
        algebra.select(self._stack._replace(arrays=()), *strata)  # refuses unknown names
        return self.select(*(name for name in self.strata if name not in strata))

    def weighted(self, weights: Mapping[str, float] | Sequence[float] | Floats) -> Moments:
        """Give moments in which every cell of a stratum counts ``weight`` times, as in a bootstrap over donors.

        Parameters
        ----------
        weights
            One per stratum, ≥ 0, or a mapping from names; a stratum without one keeps weight 1. Weight 0 removes it.
        """
        return self._of(algebra.weigh(self._stack, weights))

    def pool(self, groups: Mapping[str, str] | None = None) -> Moments:
        """Add the strata of each group into one; without ``groups`` all of them, into ``"all"``."""
        return self._of(algebra.pool(self._stack, groups))

    def subset(self, genes: Sequence[str] | NDArray[Any]) -> Moments:
        """Give the moments of some genes, in the order asked for: names, indices or a boolean mask.

        Raises
        ------
        ValueError
            If a name is not among the genes.
        """
        index = algebra.places_of(genes, self.genes)
        names = None if self.genes is None else tuple(self.genes[i] for i in index)
        if np.array_equal(index, np.arange(self.sums.shape[1])):
            return self
        grams = np.empty((len(self.grams), len(index), len(index)))
        for gram, chosen in zip(self.grams, grams, strict=True):
            gram_passes.of_genes(gram, index, out=chosen)
        return replace(self, sums=self.sums[:, index], grams=grams, genes=names)

    def standardize(
        self,
        *,
        center: bool = True,
        scale: Scale = "pareto",
        within: bool = False,
        genes: NDArray[np.intp] | None = None,
    ) -> Standardized:
        """Give the moments of ``X̃ = (X − μ) / σ`` without touching the matrix again.

        Parameters
        ----------
        center
            Subtract the mean of each gene: ``G − n μμᵀ``.
        scale
            What each gene is divided by: its standard deviation σ (``"unit"``), √σ (``"pareto"``, van den Berg
            et al. 2006, 10.1186/1471-2164-7-142) or nothing (``None``). A constant gene keeps its unit.
        within
            Subtract from every stratum its own means, ``Σ_b (G_b − n_b μ_b μ_bᵀ)``, an exact removal of differences
            between strata, and take σ within strata. ``mean`` of the result is still that of all cells.
        genes
            Indices of the genes wanted, as of :meth:`subset`, but with no Gram matrix between; by default all.
        """
        if within and not center:
            msg = "within=True subtracts the means of the strata, so center=False contradicts it."
            raise ValueError(msg)
        if within:
            return self.standardize_within(self.counts, self._chosen(self.sums, genes), scale=scale, genes=genes)
        mean = self._chosen(self.mean if center else np.zeros_like(self.sum), genes)
        variance = self._chosen(self.variance, genes)
        standardized = self.standardize_with(mean, unit_of(variance, scale), genes=genes)
        if center:
            _clear(standardized.gram, variance == 0)
        return standardized

    def standardize_within(
        self,
        counts: Floats,
        sums: Floats,
        *,
        kept: Floats | None = None,
        scale: Scale = "pareto",
        unit: Floats | None = None,
        genes: NDArray[np.intp] | None = None,
    ) -> Standardized:
        """Give moments of cells less the means of a batch, whose counts (b,) and sums (b, m) add up to those of all.

        Genes are divided by ``unit`` (m,), or where it is None as ``scale`` says. No Gram matrix per batch is needed:
        ``Σ_b (G_b − n_b μ_b μ_bᵀ) = G − Σ_b n_b μ_b μ_bᵀ``. Of its mean a batch may keep a part ``kept`` (b, m), which
        adds ``Σ_b n_b kept_b kept_bᵀ``. ``genes`` are the indices of the m genes, by default all.
        """
        low, weights = sums / counts[:, None], counts
        variance = self.variance_within(counts, sums, kept=kept, genes=genes)
        if kept is not None:
            low, weights = np.concatenate([low, kept]), np.concatenate([counts, -counts])
        unit = unit_of(variance, scale) if unit is None else unit
        gram = gram_passes.without(self.gram, low, weights, unit, self._index(genes))
        _clear(gram, variance == 0)
        return Standardized(self.n, gram, self._chosen(self.mean, genes), unit)

    def variance_within(
        self, counts: Floats, sums: Floats, *, kept: Floats | None = None, genes: NDArray[np.intp] | None = None
    ) -> Floats:
        """Give the variance that :meth:`standardize_within` leaves of each gene, shape (m,); 0 for a constant."""
        explained = counts @ (sums / counts[:, None]) ** 2
        if kept is not None:
            explained -= counts @ kept**2
        return self._variance(explained / self.n, genes)

    def standardize_with(self, mean: Floats, scale: Floats, *, genes: NDArray[np.intp] | None = None) -> Standardized:
        """Give moments of ``(X − mean) / scale`` for given means and units: ``G − s μᵀ − μ sᵀ + n μμᵀ``, s the sums."""
        sums = self._chosen(self.sum, genes)
        gram = gram_passes.standardized(self.gram, sums, mean, scale, float(self.n), self._index(genes))
        return Standardized(self.n, gram, mean, scale)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to one file (npz), which appears only when it is complete.

        Parameters
        ----------
        path
            Where to; a file of that name is replaced.
        """
        about = {"format": stored.MOMENTS, "strata": self.strata, "genes": self.genes, "normalize": self.normalize}
        stored.write(path, about, {"counts": self.counts, "sums": self.sums, "grams": self.grams})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Moments:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no file of moments, is truncated, or does not agree with itself.
        """
        about, arrays = stored.read(path, stored.MOMENTS)
        stored.check(path, about, arrays, ("counts", "sums", "grams"))
        genes = None if about["genes"] is None else tuple(about["genes"])
        return cls(**arrays, strata=tuple(about["strata"]), genes=genes, normalize=about["normalize"])

    def _chosen(self, values: Floats, genes: NDArray[np.intp] | None) -> Floats:
        return values if genes is None else values[..., genes]

    def _index(self, genes: NDArray[np.intp] | None) -> NDArray[np.intp] | None:
        """Of some genes; None of all as they lie."""
        return None if genes is None or np.array_equal(genes, np.arange(self.sums.shape[1])) else genes

    def _variance(self, explained: Floats, genes: NDArray[np.intp] | None = None) -> Floats:
        mean_square = self._chosen(np.diagonal(self.gram) / self.n, genes)
        variance = mean_square - explained
        return np.where(variance > CONSTANT * mean_square, variance, 0.0)

    @property
    def _stack(self) -> Stack:
        return Stack(self.strata, (self.counts, self.sums, self.grams))

    def _of(self, stack: Stack) -> Moments:
        counts, sums, grams = stack.arrays
        return replace(self, counts=counts, sums=sums, grams=grams, strata=stack.strata)

    def _check_joins(self, other: Moments) -> None:
        """Raise unless genes, their order and the normalisation are the same."""
        algebra.check_kinds(self, other)
        algebra.check_normalize(self.normalize, other.normalize)
        algebra.check_genes(self.genes, other.genes, (self.sums.shape[1], other.sums.shape[1]))


@dataclass(frozen=True, eq=False)
class Standardized:
    """Gram matrix of the standardised cells, with what is needed to standardise new ones.

    Attributes
    ----------
    n
        Number of cells.
    gram
        ``X̃ᵀX̃``, float64, shape (g, g).
    mean, scale
        ``X̃ = (X − mean) / scale``, float64, shape (g,).
    """

    n: int | float
    gram: NDArray[np.float64]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @property
    def total(self) -> float:
        """``‖X̃‖²``, the trace of the Gram matrix."""
        return float(np.trace(self.gram))


def unit_of(variance: Floats, scale: Scale) -> Floats:
    """What each gene is divided by; 1 for a constant gene."""
    return np.where(variance > 0, variance, 1.0) ** {"unit": 0.5, "pareto": 0.25, None: 0.0}[scale]


def _clear(gram: Floats, constant: NDArray[np.bool_]) -> None:
    """Remove what rounding leaves of constant genes."""
    gram[constant] = 0.0
    gram[:, constant] = 0.0
