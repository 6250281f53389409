"""Strata of the cells that are read: which cell is of which, and what is kept of each so that all fit in memory."""

from __future__ import annotations

import logging
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pathwayae._cells.labels import labels as labels_of
from pathwayae._cells.sources import Source
from pathwayae.core.moments import accumulate
from pathwayae.core.moments.accumulate_sketch import bytes_of, check_size
from pathwayae.core.moments.folds import deal
from pathwayae.core.moments.probes import OVERSAMPLING, Probes
from pathwayae.core.moments.sketch import EXACT_BYTES
from pathwayae.core.moments.strata import WHOLE
from pathwayae.core.notice import warn

logger = logging.getLogger("pathwayae")


def of_cells(
    sources: list[Source], keys: list[str], n_folds: int | None, seed: int
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Stratum of every cell of all sources, as an index into names."""
    n = sum(source.shape[0] for source in sources)
    if keys:
        labels = np.concatenate([labels_of(source, keys) for source in sources])
        names, codes = np.unique(labels.astype(str), return_inverse=True)
        if n_folds is None:
            return codes, tuple(names.tolist())
        return _folds(codes, tuple(names.tolist()), n_folds)
    if n_folds is None:
        return np.zeros(n, dtype=np.intp), WHOLE
    if n_folds > n:
        msg = f"n_folds={n_folds} is more than the {n} cells."
        raise ValueError(msg)
    codes = np.random.default_rng(seed).permutation(n) % n_folds
    return codes, tuple(f"fold_{j + 1}" for j in range(n_folds))


def _folds(codes: NDArray[np.intp], names: tuple[str, ...], k: int) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Whole strata in k folds, the largest first into the fold with the fewest cells."""
    if k > len(names):
        msg = f"n_folds={k} is more than the {len(names)} strata."
        raise ValueError(msg)
    fold = deal(np.bincount(codes, minlength=len(names)), names, k)
    together = tuple(" + ".join(name for name, j in zip(names, fold, strict=True) if j == i) for i in range(k))
    return fold[codes], together


def probes_for(
    names: NDArray[np.str_],
    n_cells: int,
    n_strata: int,
    *,
    sketch: bool | Literal["auto"],
    rank: int,
    budget: int,
    seed: int,
) -> Probes | None:
    """Directions of a sketch; None where Gram matrices are asked for, or fit, or take no more."""
    g = len(names)
    small = OVERSAMPLING * rank >= g or n_strata * bytes_of(g, None) <= min(EXACT_BYTES, budget)
    if sketch is False or (sketch == "auto" and small):
        try:
            accumulate.check_size(g, budget)
        except ValueError as error:
            msg = f"{error} Or raise memory, or pass sketch=True and a rank below {g // OVERSAMPLING}."
            raise ValueError(msg) from error
        return None
    if rank > g:
        logger.info("rank=%d is more than the %d genes; the sketch has rank %d and is exact.", rank, g, g)
    elif rank >= n_cells:
        logger.info("rank=%d is not below the %d cells; the sketch is exact.", rank, n_cells)
    probes = Probes.of(tuple(names.tolist()), rank=min(rank, g), seed=seed)
    check_size(g, 1, probes.size, budget)
    return probes


def fit_memory(
    codes: NDArray[np.intp], strata: tuple[str, ...], n_genes: int, probes: Probes | None, budget: int
) -> tuple[NDArray[np.intp], tuple[str, ...]]:
    """Pool strata into as many folds as the memory has room for, and say so."""
    of_stratum = bytes_of(n_genes, probes)
    room = budget // of_stratum
    if len(strata) <= room:
        return codes, strata
    less = "pass sketch=True" if probes is None else "lower rank"
    msg = (
        f"{len(strata)} strata of {n_genes} genes need {len(strata) * of_stratum / 2**30:.3g} GiB, and memory is "
        f"{budget / 2**30:.3g} GiB: they are pooled into {room} folds, each named after its strata. Raise memory, "
        f"read fewer genes or {less} to keep them apart."
    )
    warn(msg)
    return _folds(codes, strata, room)
