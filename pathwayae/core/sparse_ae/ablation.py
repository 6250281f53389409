"""Progressive ablation: latents of every cell zeroed from the smallest activation up, and what is still explained."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

SHARES = (0.9, 0.95)  # of the variance that the whole code explains
ALL = 64  # every number kept is tried up to here, then numbers that grow by about a tenth
GROWTH = 1.1

Floats = NDArray[np.float64]
Errors = Callable[[NDArray[np.floating], sp.csr_matrix, Sequence[int]], Floats]
Decode = Callable[[sp.csr_matrix], NDArray[np.floating]]
Blocks = Iterable[tuple[NDArray[np.floating], sp.csr_matrix]]


def rank_in_cell(codes: sp.csr_matrix) -> NDArray[np.intp]:
    """Place of every stored activation in its cell, 0 for the largest; ties by the number of the latent."""
    row = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
    order = np.lexsort((codes.indices, -codes.data, row))
    place = np.empty(codes.nnz, dtype=np.intp)
    place[order] = np.arange(codes.nnz) - codes.indptr[row[order]]
    return place


def _kept(codes: sp.csr_matrix, place: NDArray[np.intp], n: int) -> sp.csr_matrix:
    chosen = place < n
    indptr = np.concatenate([[0], np.cumsum(chosen)])[codes.indptr]
    return sp.csr_matrix((codes.data[chosen], codes.indices[chosen], indptr), shape=codes.shape)


def decoded(decode: Decode) -> Errors:
    """Squared errors for any decoder: the cells are decoded once for every number kept."""

    def errors(values: NDArray[np.floating], codes: sp.csr_matrix, kept: Sequence[int]) -> Floats:
        place = rank_in_cell(codes)
        result = np.empty(len(kept))
        for i, n in enumerate(kept):
            residual = values.astype(np.float64) - decode(_kept(codes, place, n))
            result[i] = np.einsum("ij,ij->", residual, residual)
        return result

    return errors


def linear(dictionary: NDArray[np.floating], offset: NDArray[np.floating]) -> Errors:
    """Squared errors for a linear decoder ``h D + offset``, in the time of decoding once: one latent at a time.

    Parameters
    ----------
    dictionary
        Shape (m, d).
    offset
        Shape (d,).
    """
    rows = np.asarray(dictionary, dtype=np.float64)

    def errors(values: NDArray[np.floating], codes: sp.csr_matrix, kept: Sequence[int]) -> Floats:
        place = rank_in_cell(codes)
        cell = np.repeat(np.arange(codes.shape[0]), np.diff(codes.indptr))
        by_place = np.argsort(place, kind="stable")
        first = np.searchsorted(place[by_place], np.arange(int(place.max(initial=-1)) + 2))
        residual = values.astype(np.float64) - offset
        own = np.einsum("ij,ij->i", residual, residual)
        course = [own.sum()]
        for start, stop in pairwise(first):
            at = by_place[start:stop]
            cells = cell[at]
            left = residual[cells] - codes.data[at][:, None] * rows[codes.indices[at]]
            residual[cells] = left
            own[cells] = np.einsum("ij,ij->i", left, left)
            course.append(own.sum())
        return np.array([course[min(n, len(course) - 1)] for n in kept])

    return errors


def grid(most: int) -> list[int]:
    """Numbers to keep from 0 to `most`: all small ones, then ever wider apart."""
    values = list(range(min(most, ALL) + 1))
    while values[-1] < most:
        values.append(min(most, int(np.ceil(values[-1] * GROWTH))))
    return values


def curve(blocks: Blocks, errors: Errors, kept: Sequence[int]) -> pd.DataFrame:
    """Variance explained against the number of latents that every cell keeps.

    ``EV(q) = 1 − Σ‖x − decode(the q largest of h)‖² / Σ‖x − x̄‖²``, x̄ the mean of these cells. It is not bounded
    below: a decoder that is not centred may do worse than the mean. One cell, or cells all alike, are their mean: then
    x̄ is what the decoder makes of no latent at all.

    Parameters
    ----------
    blocks
        Values (cells × features) and codes (cells × latents) of some cells at a time.
    errors
        Of :func:`linear` or :func:`decoded`.
    kept
        Numbers to keep, ascending from 0; the last one is the whole code.

    Returns
    -------
    pandas.DataFrame
        Per number: ``kept``, ``mean_kept`` (activations per cell that are left: cells with fewer keep all),
        ``population`` (their share of the latents), ``explained_variance``, ``share`` (of what the whole code explains;
        NaN if that is not above 0).

    Raises
    ------
    ValueError
        If there is no cell, or all cells are what the decoder makes of no latent.
    """
    squared, left = np.zeros(len(kept)), np.zeros(len(kept))
    n = m = 0
    shift = total = 0.0
    total_squares = 0.0
    for values, codes in blocks:
        wide = values.astype(np.float64)
        shift = wide.mean(axis=0) if n == 0 else shift  # sums of squares about 0 lose digits
        wide -= shift
        total = total + wide.sum(axis=0)
        total_squares += float(np.einsum("ij,ij->", wide, wide))
        n, m = n + codes.shape[0], codes.shape[1]
        squared += errors(values, codes, kept)
        left += [np.minimum(np.diff(codes.indptr), q).sum() for q in kept]
    variance = total_squares - float(np.sum(np.square(total))) / max(n, 1)
    if n == 1 or variance <= 1e-12 * total_squares:
        variance = float(squared[0])
    if variance <= 0 or n == 0:
        msg = f"There is nothing to explain in {n} cells: each is what the decoder makes of no latent."
        raise ValueError(msg)
    explained = 1.0 - squared / variance
    whole = explained[-1]
    return pd.DataFrame(
        {
            "kept": np.asarray(kept, dtype=np.int64),
            "mean_kept": left / n,
            "population": left / n / m,
            "explained_variance": explained,
            "share": explained / whole if whole > 0 else np.full(len(kept), np.nan),
        }
    )


def fewest(table: pd.DataFrame, shares: Sequence[float] = SHARES) -> pd.DataFrame:
    """Fewest latents to keep so that a share of what the whole code explains is kept, of the numbers tried.

    Returns
    -------
    pandas.DataFrame
        Per share: ``share``, ``kept`` (−1 where the whole code explains nothing), ``mean_kept``,
        ``explained_variance``.

    Examples
    --------
    >>> table = pd.DataFrame({"kept": [0, 1, 2], "share": [0.0, 0.92, 1.0], "mean_kept": [0.0, 1.0, 1.5],
    ...                       "explained_variance": [0.0, 0.46, 0.5]})
    >>> fewest(table)["kept"].tolist()
    [1, 2]
    """
    rows = []
    for share in shares:
        enough = table[table["share"] >= share]
        found = enough.iloc[0] if len(enough) else None
        rows.append(
            {
                "share": share,
                "kept": -1 if found is None else int(found["kept"]),
                "mean_kept": np.nan if found is None else float(found["mean_kept"]),
                "explained_variance": np.nan if found is None else float(found["explained_variance"]),
            }
        )
    return pd.DataFrame(rows)


def between(table: pd.DataFrame, shares: Sequence[float] = SHARES) -> list[int]:
    """Numbers not tried yet that could be the fewest for a share: those just below the first that is enough."""
    tried = table["kept"].tolist()
    missing: set[int] = set()
    for number in fewest(table, shares)["kept"]:
        if number > 0:
            below = max(q for q in tried if q < number)
            missing |= set(range(below + 1, number))
    return sorted(missing)
