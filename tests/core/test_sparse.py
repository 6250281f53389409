"""Sparse matrices as they are brought: canonical, or refused before a loop trusts them."""

import numpy as np
import pytest
import scipy.sparse as sp

from pathwayae.core.sparse import canonical, check_bounds


def scrambled(kind=sp.csr_matrix, dtype=np.float32, index=np.int32):
    """Rows with entries in no order, some twice, some explicit zeros, an empty row; and the same, dense."""
    rng = np.random.default_rng(0)
    data, indices, indptr = [], [], [0]
    for row in range(12):
        chosen = rng.permutation(7)[: 0 if row == 3 else 4]
        twice = np.concatenate([chosen, chosen[:2]])
        indices.append(rng.permutation(twice))
        data.append(rng.normal(size=len(twice)) * (rng.random(len(twice)) < 0.8))
        indptr.append(indptr[-1] + len(twice))
    arrays = (
        np.concatenate(data).astype(dtype),
        np.concatenate(indices).astype(index),
        np.array(indptr, dtype=index),
    )
    dense = np.zeros((12, 7))
    for row in range(12):
        for p in range(indptr[row], indptr[row + 1]):
            dense[row, arrays[1][p]] += arrays[0][p]
    matrix = kind(arrays, shape=(12, 7)) if kind in (sp.csr_matrix, sp.csr_array) else kind(arrays, shape=(7, 12)).T
    return matrix, dense


@pytest.mark.parametrize("index", [np.int32, np.int64])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64])
@pytest.mark.parametrize("kind", [sp.csr_matrix, sp.csr_array])
def test_rows_are_sorted_and_added_up_in_a_copy(kind, dtype, index):
    matrix, dense = scrambled(kind, dtype, index)
    before = [values.copy() for values in (matrix.data, matrix.indices, matrix.indptr)]
    found = canonical(matrix)
    assert found.format == "csr"
    assert type(found)((found.data, found.indices, found.indptr), shape=found.shape).has_canonical_format
    np.testing.assert_allclose(found.toarray(), dense, atol=1e-6)
    for values, kept in zip((matrix.data, matrix.indices, matrix.indptr), before, strict=True):
        np.testing.assert_array_equal(values, kept)


def test_a_flag_that_says_all_is_well_is_not_believed():
    matrix, dense = scrambled()
    matrix.has_canonical_format = True
    np.testing.assert_allclose(canonical(matrix).sum(axis=0), dense.sum(axis=0)[None], atol=1e-6)
    assert canonical(matrix).nnz < matrix.nnz


@pytest.mark.parametrize("make", [sp.csc_matrix, sp.coo_matrix, sp.lil_matrix, sp.bsr_matrix, sp.dok_matrix])
def test_other_formats_become_rows(make):
    dense = scrambled()[1]
    found = canonical(make(dense))
    assert found.format == "csr"
    np.testing.assert_array_equal(found.toarray(), dense)


def test_what_is_in_order_is_not_copied_and_dense_is_left_alone():
    matrix = sp.csr_matrix(scrambled()[1])
    assert canonical(matrix) is matrix
    dense = np.eye(3)
    assert canonical(dense) is dense


def damaged(kind=sp.csr_matrix, **changes):
    matrix = kind(np.eye(4))
    for name, (place, value) in changes.items():
        getattr(matrix, name)[place] = value
    return matrix


@pytest.mark.parametrize("by_genes", [False, True])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"indptr": (2, 1)}, None),
        ({"indptr": (2, 0)}, "decrease after row 1"),
        ({"indptr": (4, 9)}, "from 0 to 9 where 4 values"),
        ({"indptr": (0, 1)}, "from 1 to 4"),
        ({"indptr": (1, 1000)}, "decrease after row 1"),
        ({"indices": (1, 7)}, "index 7 outside of 0 to 3"),
        ({"indices": (1, -1)}, "index -1 outside"),
    ],
)
def test_indices_that_point_elsewhere_are_refused(changes, words, by_genes):
    matrix = damaged(sp.csc_matrix if by_genes else sp.csr_matrix, **changes)
    if words is None:  # a row with two values, one with none: not damaged
        canonical(matrix)
        return
    with pytest.raises(ValueError, match=f"cells is damaged.*{words}"):
        canonical(matrix, "cells")


def test_stored_values_and_indices_are_as_many():
    matrix = sp.csr_matrix(np.eye(4))
    matrix.data = np.ones(6)
    with pytest.raises(ValueError, match="4 indices for 6 stored values"):
        canonical(matrix)


def test_bounds_are_integers_one_more_than_the_rows():
    with pytest.raises(ValueError, match="5 integers belong"):
        check_bounds(np.arange(4), 3, 4, "X")
    with pytest.raises(ValueError, match="float64"):
        check_bounds(np.arange(5.0), 4, 4, "X")
