"""Sparse matrices as they are brought: looked at before a compiled loop trusts their indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

NEXT = "Write the data again from their source."


def canonical(matrix: Any, name: str = "X") -> Any:
    """The matrix as CSR with the indices of every row ascending and none twice; a dense one as it is.

    What is stored twice is added up, which is what scipy means by it. The matrix itself is never changed: a copy is
    made where something has to be.

    Parameters
    ----------
    matrix
        Dense or sparse, any format, shape (n, g).
    name
        What messages call it.

    Raises
    ------
    ValueError
        If indices point outside the matrix, or the bounds of rows do not fit the number of stored values, or values
        of a dense one are masked.

    Examples
    --------
    >>> twice = sp.csr_array((np.ones(3), [2, 0, 0], [0, 3]), shape=(1, 3))
    >>> canonical(twice).toarray()
    array([[2., 0., 1.]])
    """
    if not sp.issparse(matrix):
        check_unmasked(matrix, name)
        return matrix
    check_compressed(matrix, name)
    rows = matrix.tocsr()  # of other formats a new one, of which scipy adds up what is stored twice
    alike = type(rows)((rows.data, rows.indices, rows.indptr), shape=rows.shape)  # whose flags nobody has set
    if alike.has_canonical_format:
        return rows
    result = alike.copy()
    result.sum_duplicates()
    return result


def check_unmasked(matrix: Any, name: str) -> None:
    """Raise ValueError where values of a masked array are masked: what lies under the mask would count."""
    if isinstance(matrix, np.ma.MaskedArray) and (n := int(np.ma.getmaskarray(matrix).sum())):
        msg = f"{name} is a masked array, of which {n} values are masked. Fill them, for instance by filled(0)."
        raise ValueError(msg)


def check_compressed(matrix: Any, name: str) -> None:
    """Raise ValueError where the indices of a matrix in CSR or CSC are damaged; scipy looks at other formats."""
    if matrix.format in ("csr", "csc"):
        shape = matrix.shape if matrix.format == "csr" else matrix.shape[::-1]
        check_indices(matrix.indptr, matrix.indices, len(matrix.data), shape, name)


def check_indices(
    indptr: NDArray[Any], indices: NDArray[Any], n_stored: int, shape: tuple[int, int], name: str
) -> None:
    """Raise ValueError unless rows (or columns) lie one after the other and every index is inside.

    Parameters
    ----------
    indptr, indices
        Of a compressed matrix.
    n_stored
        Number of its values.
    shape
        Rows × columns of CSR, columns × rows of CSC.
    name
        What messages call it.
    """
    check_bounds(indptr, min(n_stored, len(indices)), shape[0], name)
    if n_stored != len(indices):
        msg = f"{name} is damaged: it has {len(indices)} indices for {n_stored} stored values. {NEXT}"
        raise ValueError(msg)
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= shape[1]):
        wrong = int(indices.min()) if int(indices.min()) < 0 else int(indices.max())
        msg = f"{name} is damaged: it has an index {wrong} outside of 0 to {shape[1] - 1}. {NEXT}"
        raise ValueError(msg)


def check_bounds(indptr: NDArray[Any], n_stored: int, n_rows: int, name: str) -> None:
    """Raise ValueError unless the bounds of the rows begin at 0, never fall and end at the number of stored values."""
    if indptr.ndim != 1 or len(indptr) != n_rows + 1 or indptr.dtype.kind not in "iu":
        what = f"are {indptr.dtype} of shape {indptr.shape} where {n_rows + 1} integers belong"
    elif int(indptr[0]) != 0 or int(indptr[-1]) != n_stored:
        what = f"go from {int(indptr[0])} to {int(indptr[-1])} where {n_stored} values are stored"
    elif (indptr[1:] < indptr[:-1]).any():
        what = f"decrease after row {int(np.flatnonzero(indptr[1:] < indptr[:-1])[0])}"
    else:
        return
    msg = f"{name} is damaged: the bounds of its rows (indptr) {what}. {NEXT}"
    raise ValueError(msg)
