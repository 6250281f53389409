"""What archetypes are made of and what they express: tables of cells, order, and profiles over genes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
import scipy.linalg
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Block = tuple[int, int, Any]  # first cell, last + 1, and their values: dense or CSR, all genes

RANK = 1e-10  # share of the largest variance below which a direction of the embedding has none


def mixing_table(mixing: sp.csr_matrix, names: NDArray[Any] | None = None, *, prefix: str = "") -> pd.DataFrame:
    """The cells behind each archetype.

    Parameters
    ----------
    mixing
        CSR, (k, n).
    names
        Of the cells; by default their positions.
    prefix
        Of the archetypes' names, before their number; by default the number alone.

    Returns
    -------
    Columns ``archetype, cell, weight``, archetypes in order, the largest weights first.

    Examples
    --------
    >>> mixing_table(sp.csr_matrix([[0.2, 0.8, 0.0]]))
       archetype  cell  weight
    0          0     1     0.8
    1          0     0     0.2
    """
    entries = sp.coo_matrix(mixing)
    order = np.lexsort((entries.col, -entries.data, entries.row))
    archetype, cell = entries.row[order].astype(np.int64), entries.col[order].astype(np.int64)
    return pd.DataFrame(
        {
            "archetype": np.array([f"{prefix}{j}" for j in archetype], dtype=object) if prefix else archetype,
            "cell": cell if names is None else names[cell],
            "weight": entries.data[order],
        }
    )


def by_size(weights: NDArray[Any], archetypes: Floats) -> NDArray[np.intp]:
    """Archetypes in the order of their total weight, the largest first; equal ones by their coordinates.

    The numbers that archetypes get then do not depend on the start or on the order of the cells.

    Examples
    --------
    >>> by_size(np.array([[0.2, 0.8], [0.4, 0.6]]), np.zeros((2, 1)))
    array([1, 0])
    """
    total = weights.sum(axis=0, dtype=np.float64)
    return np.lexsort((*archetypes.T[::-1], -np.round(total / total.sum(), 6)))


def decoded(blocks: Iterable[Block], embedding: Floats, archetypes: Floats) -> tuple[Floats, Floats]:
    r"""Expression at the archetypes of an embedding, by the linear map that fits the cells' genes best.

    With E the coordinates of the cells (n × d), X their genes and Z the archetypes,

    .. math:: P = \bar x + (Z - \bar e)\, (E_c^\top E_c)^{+} E_c^\top X_c,

    where c stands for centred columns. Where E are principal components of X this is
    :math:`\bar x + (Z - \bar e)\,\mathrm{PCs}^\top`; where it is linear in the genes in another way, such as pathway
    scores, the least-squares decoder takes the place of the loadings. All cells take part, not the few that an
    archetype is a mixture of, and a mixture of archetypes is decoded to the same mixture of profiles.

    Parameters
    ----------
    blocks
        All cells, in order.
    embedding
        Shape (n, d).
    archetypes
        Shape (k, d).

    Returns
    -------
    Profiles, shape (genes, k), and the mean of every gene, shape (genes,).

    Examples
    --------
    >>> genes = np.array([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    >>> decoded([(0, 3, genes)], genes[:, :1] / 2, np.array([[3.0]]))
    (array([[6.],
           [1.]]), array([2., 1.]))
    """
    center = embedding.mean(axis=0, dtype=np.float64)
    cross: Any = 0.0
    total: Any = 0.0
    for start, stop, values in blocks:
        e = embedding[start:stop] - center
        cross = cross + (values.T @ e)  # Σ e = 0, so X need not be centred
        total = total + np.asarray(values.sum(axis=0, dtype=np.float64)).ravel()
    variance, axes = scipy.linalg.eigh(_gram(embedding, center))
    kept = variance > RANK * max(float(variance[-1]), 1e-300)
    inverse = (axes[:, kept] / variance[kept]) @ axes[:, kept].T
    mean = total / len(embedding)
    return mean[:, None] + np.asarray(cross, dtype=np.float64) @ (inverse @ (archetypes - center).T), mean


def _gram(embedding: Floats, center: Floats) -> Floats:
    d = embedding.shape[1]
    gram, rows = np.zeros((d, d)), 8192
    for start in range(0, len(embedding), rows):
        e = embedding[start : start + rows] - center
        gram += e.T @ e
    return gram
