"""Number of cells, gene sums and Gram matrix per stratum of the cells, and the algebra on them.

A linear model with squared error sees the data only through these moments, so every iteration after the pass costs the
same for a thousand cells as for a hundred million. Strata (samples, batches, donors, folds) add up to the whole: what
is left out, reweighted or pooled is never read again.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pathwayae.core.files import whole_or_nothing
from pathwayae.core.notice import listed

CONSTANT = 1e-12  # a variance below this share of the mean square is rounding, not variation
WHOLE = ("all",)  # the one stratum of cells that were not divided
FORMAT = "pathwayae moments 1"

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
        for what, names in (("stratum", self.strata), ("gene", self.genes or ())):
            if len(set(names)) != len(names):
                msg = f"A {what} of these moments has the same name as another: {_repeated(names)}."
                raise ValueError(msg)

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
        strata = tuple(dict.fromkeys((*self.strata, *other.strata)))
        position = {name: i for i, name in enumerate(strata)}
        result = zeros(len(strata), self.sums.shape[1])
        for part in (self, other):
            for i, name in enumerate(part.strata):
                for whole, values in zip(result, (part.counts, part.sums, part.grams), strict=True):
                    whole[position[name]] += values[i]
        return replace(self, counts=result[0], sums=result[1], grams=result[2], strata=strata)

    def __sub__(self, other: Moments) -> Moments:
        """Moments of the cells without those of ``other``, stratum by stratum; an empty stratum goes.

        Subtraction rounds; where whole strata go, :meth:`without` does not.
        """
        self._check_joins(other)
        position = {name: i for i, name in enumerate(self.strata)}
        unknown = [name for name in other.strata if name not in position]
        if unknown:
            msg = f"Stratum {unknown[0]!r} cannot be subtracted: it is not among {listed(self.strata)}."
            raise ValueError(msg)
        counts, sums, grams = self.counts.copy(), self.sums.copy(), self.grams.copy()
        for i, name in enumerate(other.strata):
            counts[position[name]] -= other.counts[i]
            sums[position[name]] -= other.sums[i]
            grams[position[name]] -= other.grams[i]
            if counts[position[name]] < 0:
                msg = f"Stratum {name!r} would be left with {counts[position[name]]:g} cells."
                raise ValueError(msg)
        left = replace(self, counts=counts, sums=sums, grams=grams)
        return left.select(*(name for name, count in zip(self.strata, counts, strict=True) if count > 0))

    def select(self, *strata: str) -> Moments:
        """Moments of some strata, in the order asked for.

        Raises
        ------
        ValueError
            If a stratum does not exist, or none is asked for.
        """
        unknown = [name for name in strata if name not in self.strata]
        if unknown or not strata:
            what = f"there is no stratum {unknown[0]!r}" if unknown else "no stratum is left"
            msg = f"No moments without cells: {what} (of {listed(self.strata)})."
            raise ValueError(msg)
        rows = [self.strata.index(name) for name in strata]
        return replace(self, counts=self.counts[rows], sums=self.sums[rows], grams=self.grams[rows], strata=strata)

    def without(self, *strata: str) -> Moments:
        """Moments of all other strata: leave one donor out, without reading a cell."""
        self.select(*strata)  # refuses unknown names
        return self.select(*(name for name in self.strata if name not in strata))

    def weighted(self, weights: Mapping[str, float] | Sequence[float] | Floats) -> Moments:
        """Moments in which every cell of a stratum counts ``weight`` times, as in a bootstrap over donors.

        Parameters
        ----------
        weights
            One per stratum, ≥ 0, or a mapping from names; a stratum without one keeps weight 1. Weight 0 removes it.
        """
        if isinstance(weights, Mapping):
            if not set(weights) <= set(self.strata):
                self.select(*weights)  # names the unknown one
            weights = [weights.get(name, 1.0) for name in self.strata]
        w = np.asarray(weights, dtype=np.float64)
        if w.shape != self.counts.shape or not np.isfinite(w).all() or (w < 0).any():
            msg = f"One finite weight of at least 0 is needed per stratum ({len(self.counts)}); got {weights}."
            raise ValueError(msg)
        kept = self.select(*(name for name, weight in zip(self.strata, w, strict=True) if weight > 0))
        w = w[w > 0]
        return replace(kept, counts=kept.counts * w, sums=kept.sums * w[:, None], grams=kept.grams * w[:, None, None])

    def pool(self, groups: Mapping[str, str] | None = None) -> Moments:
        """Strata of one group added into one; without ``groups`` all of them, into ``"all"``."""
        names = [WHOLE[0] if groups is None else groups.get(name, name) for name in self.strata]
        pooled = tuple(dict.fromkeys(names))
        counts, sums, grams = zeros(len(pooled), self.sums.shape[1])
        for i, name in enumerate(names):
            j = pooled.index(name)
            counts[j] += self.counts[i]
            sums[j] += self.sums[i]
            grams[j] += self.grams[i]
        return replace(self, counts=counts, sums=sums, grams=grams, strata=pooled)

    def subset(self, genes: Sequence[str] | NDArray[Any]) -> Moments:
        """Moments of some genes, in the order asked for: names, indices or a boolean mask.

        Raises
        ------
        ValueError
            If a name is not among the genes.
        """
        chosen = np.asarray(genes)
        if chosen.dtype.kind in "UO" and len(chosen):
            position = {name: i for i, name in enumerate(self.genes or ())}
            unknown = [name for name in chosen if name not in position]
            if unknown:
                msg = (
                    f"{len(unknown)} of {len(chosen)} genes are not in these moments, for instance {str(unknown[0])!r}."
                )
                raise ValueError(msg)
            chosen = np.array([position[name] for name in chosen])
        index = np.flatnonzero(chosen) if chosen.dtype == bool else chosen.astype(np.intp)
        names = None if self.genes is None else tuple(self.genes[i] for i in index)
        grams = np.stack([gram[np.ix_(index, index)] for gram in self.grams])
        return replace(self, sums=self.sums[:, index], grams=grams, genes=names)

    def standardize(self, *, center: bool = True, scale: Scale = "pareto", within: bool = False) -> Standardized:
        """Moments of ``X̃ = (X − μ) / σ`` without touching the matrix again.

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
        """
        if within and not center:
            msg = "within=True subtracts the means of the strata, so center=False contradicts it."
            raise ValueError(msg)
        if within:
            return self.standardize_within(self.counts, self.sums, scale=scale)
        mean = self.mean if center else np.zeros_like(self.sum)
        variance = self.variance
        standardized = self.standardize_with(mean, _unit(variance, scale))
        if center:
            _clear(standardized.gram, variance == 0)
        return standardized

    def standardize_within(
        self, counts: Floats, sums: Floats, *, scale: Scale = "pareto", unit: Floats | None = None
    ) -> Standardized:
        """Moments of cells less the means of their batch, whose counts (b,) and sums (b, g) add up to those of all.

        Genes are divided by ``unit`` (g,), or where it is None as ``scale`` says. No Gram matrix per batch is needed:
        ``Σ_b (G_b − n_b μ_b μ_bᵀ) = G − Σ_b n_b μ_b μ_bᵀ``.
        """
        means = sums / counts[:, None]
        between = means.T @ (means * counts[:, None])
        variance = self._variance(np.diagonal(between) / self.n)
        unit = _unit(variance, scale) if unit is None else unit
        gram = (self.gram - between) / unit / unit[:, None]
        _clear(gram, variance == 0)
        return Standardized(self.n, gram, self.mean, unit)

    def standardize_with(self, mean: Floats, scale: Floats) -> Standardized:
        """Moments of ``(X − mean) / scale`` for given means and units: ``G − s μᵀ − μ sᵀ + n μμᵀ``, s the sums."""
        cross = np.outer(self.sum, mean)
        gram = self.gram - cross - cross.T + self.n * np.outer(mean, mean)
        gram /= scale
        gram /= scale[:, None]
        return Standardized(self.n, gram, mean, scale)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write all of it to one file (npz), which appears only when it is complete.

        Parameters
        ----------
        path
            Where to; a file of that name is replaced.
        """
        about = {"format": FORMAT, "strata": self.strata, "genes": self.genes, "normalize": self.normalize}
        with whole_or_nothing(path) as part, part.open("wb") as file:
            np.savez(file, about=np.array(json.dumps(about)), counts=self.counts, sums=self.sums, grams=self.grams)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Moments:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is no file of moments, is truncated, or does not agree with itself.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                counts, sums, grams = file["counts"], file["sums"], file["grams"]
        except (zipfile.BadZipFile, KeyError, ValueError, EOFError, AttributeError, TypeError) as error:
            msg = f"{os.fspath(path)} is not a whole file of moments ({error}); write it again with Moments.save."
            raise ValueError(msg) from error
        if about.get("format") != FORMAT:
            msg = f"{os.fspath(path)} has format {about.get('format')!r}; this version reads {FORMAT!r}."
            raise ValueError(msg)
        genes = None if about["genes"] is None else tuple(about["genes"])
        return cls(counts, sums, grams, tuple(about["strata"]), genes, about["normalize"])

    def _variance(self, explained: Floats) -> Floats:
        mean_square = np.diagonal(self.gram) / self.n
        variance = mean_square - explained
        return np.where(variance > CONSTANT * mean_square, variance, 0.0)

    def _check_joins(self, other: Moments) -> None:
        """Raise unless genes, their order and the normalisation are the same."""
        if self.normalize != other.normalize:
            msg = f"Values normalised by {self.normalize!r} cannot be joined with {other.normalize!r}."
            raise ValueError(msg)
        if self.genes == other.genes and self.sums.shape[1] == other.sums.shape[1]:
            return
        if self.genes is None or other.genes is None:
            msg = f"{self.sums.shape[1]} and {other.sums.shape[1]} genes, not all named, cannot be joined."
            raise ValueError(msg)
        only, there = set(self.genes) - set(other.genes), set(other.genes) - set(self.genes)
        if not only and not there:
            msg = "The genes are the same in another order; join with other.subset(self.genes)."
            raise ValueError(msg)
        msg = (
            f"The genes differ: {len(only)} are in the first moments only ({listed(sorted(only))}), {len(there)} in "
            f"the second only ({listed(sorted(there))}). Take those of both with subset."
        )
        raise ValueError(msg)


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


def zeros(s: int, g: int) -> tuple[Floats, Floats, Floats]:
    """Counts, sums and Gram matrices of no cells yet."""
    return np.zeros(s), np.zeros((s, g)), np.zeros((s, g, g))


def _unit(variance: Floats, scale: Scale) -> Floats:
    """What each gene is divided by; 1 for a constant gene."""
    return np.where(variance > 0, variance, 1.0) ** {"unit": 0.5, "pareto": 0.25, None: 0.0}[scale]


def _clear(gram: Floats, constant: NDArray[np.bool_]) -> None:
    """Remove what rounding leaves of constant genes."""
    gram[constant] = 0.0
    gram[:, constant] = 0.0


def _repeated(names: Sequence[str]) -> str:
    return next(repr(name) for name in names if names.count(name) > 1)
