"""The Gram matrix of a block as an accelerator computes it; here on the CPU through the same code."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from pairwise import pairwise

from pathwayae.core.moments import gram_device
from pathwayae.core.moments.accumulate import Accumulator

TOLERANCE = 1e-5  # of float32 products, relative to the root of the diagonal entries


def cells(n=700, g=40, seed=0):
    return sp.random_array((n, g), density=0.1, format="csr", rng=np.random.default_rng(seed)).astype(np.float32)


def largest_difference(found, expected):
    size = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
    return (np.abs(found - expected) / size).max()


@pytest.mark.parametrize(
    ("make", "rows", "dtype"),
    pairwise(
        make=[sp.csr_matrix, sp.csr_array, lambda matrix: matrix.toarray()],
        rows=[1, 50, 10_000],
        dtype=[np.float64, np.float32, np.int64, np.uint8, bool],
    ),
)
def test_a_block_is_added_in_float64(make, rows, dtype):
    matrix = (cells() * 20).astype(dtype)
    wide = matrix.toarray().astype(float)
    gram = torch.eye(40, dtype=torch.float64)
    gram_device.add_gram(gram, make(matrix), rows=rows)
    assert largest_difference(gram.numpy() - np.eye(40), wide.T @ wide + 1e-300) < TOLERANCE


def test_one_large_gram_keeps_the_digits_of_small_blocks():
    gram = torch.full((1, 1), 2.0**30, dtype=torch.float64)
    for _ in range(3):
        gram_device.add_gram(gram, np.array([[1.0]]), rows=1)
    assert gram.item() == 2.0**30 + 3  # float32 would still be at 2**30


def test_the_precision_that_the_caller_chose_comes_back():
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    try:
        with gram_device.full_precision():
            assert torch.get_float32_matmul_precision() == "highest"
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision(before)


def moments_on(device, matrix, codes):
    added = Accumulator(matrix.shape[1], ("a", "b"), device=device)
    for first in range(0, matrix.shape[0], 200):
        added.add(matrix[first : first + 200], codes[first : first + 200])
    return added.result()


@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)])  # cpu:0 goes through torch
def test_the_accumulator_gives_the_moments_of_the_cpu(device):
    matrix = cells()
    codes = np.random.default_rng(0).integers(0, 2, matrix.shape[0])
    found, expected = moments_on(device, matrix, codes), moments_on("cpu", matrix, codes)
    np.testing.assert_array_equal(found.counts, expected.counts)
    np.testing.assert_array_equal(found.sums, expected.sums)
    for one, other in zip(found.grams, expected.grams, strict=True):
        assert largest_difference(one, other) < TOLERANCE
