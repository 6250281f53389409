"""Moments by sketch: what :mod:`pathwayae.core.moments.moments` keeps, at g m instead of g² numbers per stratum.

Expression is nearly of low rank: its Gram matrix is ``F Fᵀ`` and a diagonal. A sketch keeps ``XᵀX Ω`` for m random
directions Ω, and the diagonal exactly. All of it is linear in the cells, so strata add, subtract and reweight as they
do with the matrices themselves, and what is left out is never read again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.moments import stored
from pathwayae.core.moments import strata as algebra
from pathwayae.core.moments.low_rank import LowRank
from pathwayae.core.moments.moments import CONSTANT, Floats, Moments, Scale, unit_of
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.strata import WHOLE, Stack

RANK = 100  # of a sketch: scores and genes of pathways as with the Gram matrix, see benchmarks/sketch.md
EXACT_BYTES = 2**30  # of Gram matrices; beyond, they are sketched unless asked for
ROUNDING = 1e-12  # an eigenvalue of the core below this share of its trace, before centring, is rounding
ARRAYS = ("counts", "sums", "squares", "products", "core", "shadow")


@dataclass(frozen=True, eq=False)
class Sketch:
    """Counts, sums and a sketch of the Gram matrix of a cells × genes matrix, per stratum of the cells.

    Attributes
    ----------
    counts
        Number of cells of each stratum, or their total weight, float64, shape (s,).
    sums, squares
        Sum of each gene and of its squares over the cells of each stratum, float64, shape (s, g).
    products
        ``XᵀX Ω`` of each stratum, not centred, float64, shape (s, g, m).
    core
        ``Ωᵀ XᵀX Ω`` of each stratum, shape (s, m, m).
    shadow
        ``Ωᵀ`` times the sums of each stratum, shape (s, m). Core and shadow are those of all genes that were read,
        and stay so where genes are chosen from them.
    probes
        What Ω is drawn from.
    strata
        Names of the strata, each once.
    genes
        Names of the genes, each once; None for plain arrays.
    normalize
        What was done to the stored values inside the pass: ``""`` or, for instance, ``"log1p 10000"``.

    Examples
    --------
    >>> from pathwayae.core.moments.accumulate_sketch import SketchAccumulator
    >>> cells = np.random.default_rng(0).normal(size=(30, 4))
    >>> pass_ = SketchAccumulator(Probes.of(4, rank=4), ("a", "b", "c"))
    >>> pass_.add(cells, np.arange(30) % 3)
    >>> donors = pass_.result()
    >>> donors.n, donors.without("b").n
    (30, 20)
    >>> gram = donors.standardize(scale=None).gram
    >>> centred = cells - cells.mean(axis=0)
    >>> bool(np.allclose(gram @ np.eye(4), centred.T @ centred))
    True
    """

    counts: Floats
    sums: Floats
    squares: Floats
    products: Floats
    core: Floats
    shadow: Floats
    probes: Probes
    strata: tuple[str, ...] = WHOLE
    genes: tuple[str, ...] | None = None
    normalize: str = ""

    def __post_init__(self) -> None:
        s, g, m = len(self.strata), self.sums.shape[-1], self.probes.size
        shapes = tuple(values.shape for values in self._stack.arrays)
        wanted = ((s,), (s, g), (s, g), (s, g, m), (s, m, m), (s, m))
        places = len(self.probes.places)
        if shapes != wanted or places != g or (self.genes is not None and len(self.genes) != g):
            named = "" if self.genes is None else f", {len(self.genes)} gene names"
            msg = f"A sketch of {s} strata{named} and {places} rows of {m} directions cannot have arrays of {shapes}."
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

    @property
    def mean(self) -> Floats:
        """Mean of each gene, shape (g,)."""
        return self.sum / self.n

    @property
    def variance(self) -> Floats:
        """Population variance of each gene (divisor n), shape (g,); exactly 0 for a constant gene."""
        return self._variance(self.mean**2)

    @property
    def rank(self) -> int:
        """Rank r of the low-rank part."""
        return self.probes.rank

    @cached_property
    def error(self) -> float:
        """Share of the variance that the low-rank part leaves to the diagonal, from 0 to 1: no gene shares it."""
        return self.standardize(scale=None).error

    def __add__(self, other: Sketch) -> Sketch:
        """Sketch of the cells of both; strata of one name are added, others stand side by side."""
        self._check_joins(other)
        return self._of(algebra.add(self._stack, other._stack))

    def __sub__(self, other: Sketch) -> Sketch:
        """Sketch of the cells without those of ``other``, stratum by stratum; an empty stratum goes."""
        self._check_joins(other)
        return self._of(algebra.subtract(self._stack, other._stack))

    def select(self, *strata: str) -> Sketch:
        """Give the sketch of some strata, in the order asked for."""
        return self._of(algebra.select(self._stack, *strata))

    def without(self, *strata: str) -> Sketch:
        """Give the sketch of all other strata: leave one donor out, without reading a cell."""
        algebra.select(self._stack._replace(arrays=()), *strata)  # refuses unknown names
        return self.select(*(name for name in self.strata if name not in strata))

    def weighted(self, weights: Mapping[str, float] | Sequence[float] | Floats) -> Sketch:
        """Give a sketch in which every cell of a stratum counts ``weight`` times; see :meth:`Moments.weighted`."""
        return self._of(algebra.weigh(self._stack, weights))

    def pool(self, groups: Mapping[str, str] | None = None) -> Sketch:
        """Add the strata of each group into one; without ``groups`` all of them, into ``"all"``."""
        return self._of(algebra.pool(self._stack, groups))

    def subset(self, genes: Sequence[str] | NDArray[Any]) -> Sketch:
        """Give the sketch of some genes, in the order asked for: names, indices or a boolean mask.

        Rows are taken; the low-rank part of the result is that of all genes, cut.
        """
        index = algebra.places_of(genes, self.genes)
        names = None if self.genes is None else tuple(self.genes[i] for i in index)
        rows: dict[str, Any] = {name: getattr(self, name)[:, index] for name in ("sums", "squares", "products")}
        return replace(self, **rows, probes=self.probes.subset(index), genes=names)

    def standardize(self, *, center: bool = True, scale: Scale = "pareto", within: bool = False) -> StandardizedSketch:
        """Give the moments of ``X̃ = (X − μ) / σ``, as :meth:`Moments.standardize` gives them."""
        if within and not center:
            msg = "within=True subtracts the means of the strata, so center=False contradicts it."
            raise ValueError(msg)
        if within:
            return self.standardize_within(self.counts, self.sums, self.shadow, scale=scale)
        unit = unit_of(self.variance, scale)
        if not center:
            return self._standardized(np.zeros_like(self.sum), np.zeros(self.probes.size), unit)
        return self._standardized(self.mean, self._shadow / self.n, unit)

    def standardize_with(self, mean: Floats, scale: Floats) -> StandardizedSketch:
        """Give the moments of ``(X − mean) / scale`` for given means and units.

        Genes that were read but are not here are centred at their own means, which the result does not depend on but
        for the quality of its low-rank part.
        """
        shift = self._shadow / self.n
        if not np.array_equal(mean, self.mean):
            shift = shift + (mean - self.mean) @ self.probes.matrix()
        return self._standardized(mean, shift, scale)

    def standardize_within(
        self,
        counts: Floats,
        sums: Floats,
        shadow: Floats | None = None,
        *,
        kept: Floats | None = None,
        scale: Scale = "pareto",
        unit: Floats | None = None,
    ) -> StandardizedSketch:
        """Give moments of cells less the means of a batch, whose counts (b,) and sums (b, g) add up to those of all.

        ``shadow`` (b, m) is Ωᵀ times the sums of each batch; it may be left out where these are all genes that were
        read. Genes that were read but are not here keep nothing. See :meth:`Moments.standardize_within`.
        """
        if shadow is None:
            if not self.probes.whole:
                msg = (
                    f"Of the {self.probes.n_genes} genes of this sketch {len(self.probes.places)} are left, so to be "
                    "centred within batches it needs their shadow: pass that of batches.of_strata."
                )
                raise ValueError(msg)
            shadow = sums @ self.probes.matrix()
        means = sums / counts[:, None]
        explained = counts @ means**2
        products = self._products - means.T @ shadow
        core = self._core - shadow.T @ (shadow / counts[:, None])
        if kept is not None:
            own_shadow = kept @ self.probes.matrix()
            explained -= counts @ kept**2
            products += kept.T @ (own_shadow * counts[:, None])
            core += own_shadow.T @ (own_shadow * counts[:, None])
        variance = self._variance(explained / self.n)
        own = np.where(variance > 0, variance * self.n, 0.0)
        unit = unit_of(variance, scale) if unit is None else unit
        return self._result(products, core, own, self.mean, unit)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to one file (npz), which appears only when it is complete."""
        probes = {name: getattr(self.probes, name) for name in ("seed", "rank", "n_genes", "names")}
        about = {"format": stored.SKETCH, "strata": self.strata, "genes": self.genes, "normalize": self.normalize}
        arrays = dict(zip(ARRAYS, self._stack.arrays, strict=True)) | {"places": self.probes.places}
        stored.write(path, about | {"probes": probes}, arrays)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sketch:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no sketch, is truncated, or does not agree with itself.
        """
        about, arrays = stored.read(path, stored.SKETCH)
        stored.check(path, about, arrays, (*ARRAYS, "places"))
        probes = Probes(**about["probes"], places=arrays["places"])
        genes = None if about["genes"] is None else tuple(about["genes"])
        kept: dict[str, Any] = {name: arrays[name] for name in ARRAYS}
        return cls(**kept, probes=probes, strata=tuple(about["strata"]), genes=genes, normalize=about["normalize"])

    def _standardized(self, mean: Floats, shift: Floats, unit: Floats) -> StandardizedSketch:
        """Centred at ``mean`` (g,), with ``shift`` (m,) its products with Ω over all genes that were read."""
        rest = self._shadow - self.n * shift
        products = self._products - np.outer(self.sum, shift) - np.outer(mean, rest)
        core = self._core - np.outer(self._shadow, shift) - np.outer(shift, rest)
        squares = self.squares.sum(axis=0)
        own = squares - 2.0 * mean * self.sum + self.n * mean**2
        own[own < CONSTANT * squares] = 0.0  # what rounding leaves of a constant gene
        return self._result(products, core, own, mean, unit)

    def _result(
        self, products: Floats, core: Floats, diagonal: Floats, mean: Floats, unit: Floats
    ) -> StandardizedSketch:
        rounding = ROUNDING * float(np.trace(self._core))
        varies = diagonal > 0
        factors = _factors(products, core, np.where(varies, 1.0 / unit, 0.0), self.rank, rounding)
        own = np.maximum(diagonal / unit**2 - np.einsum("ij,ij->i", factors, factors), 0.0)
        return StandardizedSketch(self.n, LowRank(own, factors), mean, unit)

    def _variance(self, explained: Floats) -> Floats:
        mean_square = self.squares.sum(axis=0) / self.n
        variance = mean_square - explained
        return np.where(variance > CONSTANT * mean_square, variance, 0.0)

    @cached_property
    def _products(self) -> Floats:
        return self.products[0] if len(self.products) == 1 else self.products.sum(axis=0)

    @cached_property
    def _core(self) -> Floats:
        return self.core.sum(axis=0)

    @cached_property
    def _shadow(self) -> Floats:
        return self.shadow.sum(axis=0)

    @property
    def _stack(self) -> Stack:
        return Stack(self.strata, tuple(getattr(self, name) for name in ARRAYS))

    def _of(self, stack: Stack) -> Sketch:
        arrays: dict[str, Any] = dict(zip(ARRAYS, stack.arrays, strict=True))
        return replace(self, **arrays, strata=stack.strata)

    def _check_joins(self, other: Sketch) -> None:
        """Raise unless genes, their order, the directions and the normalisation are the same."""
        algebra.check_kinds(self, other)
        algebra.check_normalize(self.normalize, other.normalize)
        self.probes.check_same(other.probes)
        algebra.check_genes(self.genes, other.genes, (self.sums.shape[1], other.sums.shape[1]))


AnyMoments: TypeAlias = Moments | Sketch


@dataclass(frozen=True, eq=False)
class StandardizedSketch:
    """Gram matrix of the standardised cells as low rank and a diagonal, and what standardises new ones.

    Attributes
    ----------
    n
        Number of cells.
    gram
        ``X̃ᵀX̃ ≈ F Fᵀ + diag(d)``, with the exact diagonal; F has shape (g, ≤ r).
    mean, scale
        ``X̃ = (X − mean) / scale``, float64, shape (g,).
    """

    n: int | float
    gram: LowRank
    mean: Floats
    scale: Floats

    @property
    def total(self) -> float:
        """``‖X̃‖²``, the trace of the Gram matrix: exact."""
        return self.gram.trace()

    @property
    def error(self) -> float:
        """Share of the trace that the low-rank part leaves to the diagonal."""
        return float(self.gram.own.sum()) / (self.total or 1.0)

    def subset(self, genes: NDArray[Any]) -> StandardizedSketch:
        """Of some genes: indices or a boolean mask."""
        gram = LowRank(self.gram.own[genes], self.gram.factors[genes])
        return StandardizedSketch(self.n, gram, self.mean[genes], self.scale[genes])


def _factors(products: Floats, core: Floats, inverse_unit: Floats, rank: int, rounding: float) -> Floats:
    """F of ``Y C⁺ Yᵀ ≈ F Fᵀ``, in the units of the genes and cut to its r leading directions.

    The Nyström approximation of a positive semidefinite matrix from ``Y = GΩ`` and ``C = ΩᵀGΩ``, stable where what is
    rounding in C is left out, and best at rank m / 2 (Tropp et al. 2017, arXiv:1706.05736). It is never above G, so
    that what it leaves of the diagonal is not negative.
    """
    values, vectors = np.linalg.eigh((core + core.T) / 2.0)
    kept = values > rounding
    factors = products @ (vectors[:, kept] / np.sqrt(values[kept]))
    factors *= inverse_unit[:, None]
    if factors.shape[1] > rank:
        factors = factors @ np.linalg.eigh(factors.T @ factors)[1][:, -rank:]
    return factors
