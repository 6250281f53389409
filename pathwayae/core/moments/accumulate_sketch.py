"""One pass over a matrix, block by block: a sketch of the moments of its cells, per stratum."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.moments import accumulate as exact
from pathwayae.core.moments import sketch_product
from pathwayae.core.moments.accumulate import Accumulator, Matrix
from pathwayae.core.moments.moments import Floats, Moments
from pathwayae.core.moments.probes import Probes
from pathwayae.core.moments.sketch import Sketch
from pathwayae.core.moments.strata import WHOLE

AnyAccumulator: TypeAlias = "Accumulator | SketchAccumulator"


class SketchAccumulator:
    """Sketch of blocks of cells that arrive one after another, added up in float64.

    Parameters
    ----------
    probes
        Directions to look along, for the genes of the blocks.
    strata
        Names of the strata that the codes of cells count from 0.
    max_bytes
        Limit of all products, by default ``accumulate.MAX_GRAM_BYTES``.
    device
        Where the products are computed, as torch names it, in float64; ``"cpu"`` needs no torch.

    Raises
    ------
    ValueError
        If the products would need more than that.

    Examples
    --------
    >>> pass_ = SketchAccumulator(Probes.of(2, rank=1), ("a", "b"))
    >>> pass_.add(np.array([[1.0, 2.0], [0.0, 3.0]]), np.array([0, 1]))
    >>> pass_.add(np.array([[4.0, 0.0]]), np.array([1]))
    >>> pass_.result().counts
    array([1., 2.])
    """

    def __init__(
        self,
        probes: Probes,
        strata: tuple[str, ...] = WHOLE,
        *,
        max_bytes: int | None = None,
        device: str = "cpu",
    ) -> None:
        g, s = probes.n_genes, len(strata)
        check_size(g, s, probes.size, exact.MAX_GRAM_BYTES if max_bytes is None else max_bytes)
        self._probes, self._strata, self._rows = probes, strata, exact.block_rows(g)
        self._directions = probes.matrix()
        self._counts, self._sums, self._squares = np.zeros(s), np.zeros((s, g)), np.zeros((s, g))
        self._products, self._add = _on(device, (s, g, probes.size), self._directions)

    def add(self, block: Matrix, codes: NDArray[np.integer[Any]] | None = None) -> None:
        """Add cells, dense or CSR, shape (n, g), with the stratum of each, shape (n,); by default the first."""
        for stratum, part in exact.by_stratum(block, codes):
            self._counts[stratum] += part.shape[0]
            self._sums[stratum] += exact.sum_of(part)
            self._squares[stratum] += _squares(part)
            self._add(self._products[stratum], part, rows=self._rows)

    def result(self, genes: tuple[str, ...] | None = None, normalize: str = "") -> Sketch:
        """Sketch of the cells so far; the accumulator ends with it."""
        products = self._products if isinstance(self._products, np.ndarray) else self._products.cpu().numpy()
        core = np.stack([self._directions.T @ own for own in products])
        shadow = self._sums @ self._directions
        kept = (self._counts, self._sums, self._squares, products, core, shadow)
        return Sketch(*kept, self._probes, self._strata, genes, normalize)


def accumulator(
    n_genes: int, strata: tuple[str, ...], probes: Probes | None, *, max_bytes: int | None = None, device: str = "cpu"
) -> AnyAccumulator:
    """What adds blocks up: a sketch along the directions, or where there are none the Gram matrices."""
    if probes is None:
        return Accumulator(n_genes, strata, max_bytes=max_bytes, device=device)
    return SketchAccumulator(probes, strata, max_bytes=max_bytes, device=device)


def along(moments: Moments, directions: Floats) -> Sketch:
    """The sketch of moments along known directions, (g, m), such as the leading ones of all their strata together.

    What it says of strata drawn again is nearly exact where these directions are those of the strata as well, at
    g m numbers for each of them.

    Examples
    --------
    >>> from pathwayae.core.moments.accumulate import accumulate
    >>> cells = np.random.default_rng(0).normal(size=(30, 4))
    >>> exact, near = accumulate(cells), along(accumulate(cells), np.eye(4))
    >>> bool(np.allclose(near.standardize().gram @ np.eye(4), exact.standardize().gram))
    True
    """
    products = np.stack([gram @ directions for gram in moments.grams])
    squares = np.stack([np.diagonal(gram) for gram in moments.grams])
    core, shadow = directions.T @ products, moments.sums @ directions
    probes = Probes.along(directions)
    arrays = (moments.counts, moments.sums, squares, products, core, shadow)
    return Sketch(*arrays, probes, moments.strata, moments.genes, moments.normalize)


def bytes_of(n_genes: int, probes: Probes | None) -> int:
    """Of one stratum: of its products with the directions, or of its Gram matrix."""
    return 8 * n_genes * (n_genes if probes is None else probes.size)


def check_size(n_genes: int, n_strata: int, n_directions: int, max_bytes: int) -> None:
    """Raise ValueError where the sketches of so many strata do not fit."""
    n_bytes = 8 * n_genes * n_strata * n_directions
    if n_bytes > max_bytes:
        msg = (
            f"Sketches of {n_genes} genes × {n_directions} directions in {n_strata} strata need "
            f"{n_bytes / 2**30:.3g} GiB; at most {max_bytes / 2**30:.3g} GiB is allowed. Choose fewer genes, a lower "
            "rank, or fewer strata."
        )
        raise ValueError(msg)


def _on(device: str, shape: tuple[int, int, int], directions: Floats) -> tuple[Any, Callable[..., None]]:
    """Products of no cells yet on the device, and what adds a block to one of them."""
    if device == "cpu":

        def add(products: Floats, block: Matrix, *, rows: int) -> None:
            sketch_product.add_product(products, block, directions, rows=rows)

        return np.zeros(shape), add
    import torch

    from pathwayae.core.moments import gram_device

    there = torch.as_tensor(directions, device=device)

    def add_there(products: Any, block: Matrix, *, rows: int) -> None:
        gram_device.add_product(products, block, there, rows=rows)

    return torch.zeros(shape, dtype=torch.float64, device=device), add_there


def _squares(block: Matrix) -> Floats:
    """Sum of squares of each gene in float64."""
    if sp.issparse(block):
        values = block.data.astype(np.float64, copy=False)
        return np.bincount(block.indices, values * values, minlength=block.shape[1]).astype(np.float64, copy=False)
    return np.asarray(np.einsum("ij,ij->j", block, block, dtype=np.float64))
