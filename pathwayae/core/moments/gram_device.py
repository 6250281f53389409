"""``XᵀX`` of one block of cells on an accelerator: stored values go there, dense they are only there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from torch import Tensor

Block = Any  # numpy array or scipy CSR, cells × genes


def add_gram(gram: Tensor, block: Block, *, rows: int) -> None:
    """Add ``blockᵀ block``: products in float32 without TF32, added up across blocks in the precision of ``gram``.

    Nothing here waits for the device, so that the next block is read while this one is multiplied.

    Parameters
    ----------
    gram
        Float64 on the device, shape (g, g); changed in place, both triangles.
    block
        Dense, or CSR without duplicates, of any number type, shape (n, g).
    rows
        Cells multiplied at a time; float32 rounding grows with their number.

    Examples
    --------
    >>> gram = torch.zeros((2, 2), dtype=torch.float64)
    >>> add_gram(gram, np.array([[1.0, 2.0], [0.0, 3.0]]), rows=10)
    >>> gram.tolist()
    [[1.0, 2.0], [2.0, 13.0]]
    """
    with full_precision():
        for first in range(0, block.shape[0], rows):
            cells = _on_device(block[first : first + rows], gram.device)
            gram += cells.mT @ cells


def add_product(products: Tensor, block: Block, directions: Tensor, *, rows: int) -> None:
    """Add ``blockᵀ (block Ω)`` in float64: a sketch is divided by what is small in it, so its digits count.

    Only the stored values are rounded to float32, if they are not that already.

    Parameters
    ----------
    products
        Float64 on the device, shape (g, m); changed in place.
    block
        Dense, or CSR without duplicates, of any number type, shape (n, g).
    directions
        Ω, float64 on the device, shape (g, m).
    rows
        Cells multiplied at a time.

    Examples
    --------
    >>> products = torch.zeros((2, 1), dtype=torch.float64)
    >>> add_product(products, np.array([[1.0, 2.0], [0.0, 3.0]]), torch.ones((2, 1), dtype=torch.float64), rows=10)
    >>> products.ravel().tolist()
    [3.0, 15.0]
    """
    for first in range(0, block.shape[0], rows):
        cells = _on_device(block[first : first + rows], products.device).double()
        products += cells.mT @ (cells @ directions)


@contextmanager
def full_precision() -> Iterator[None]:
    """Float32 products of all 24 bits, whatever the caller set; his setting comes back afterwards."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _on_device(block: Block, device: torch.device) -> Tensor:
    if not sp.issparse(block):
        return _copied(np.ascontiguousarray(block, dtype=np.float32), device)
    cells = np.repeat(np.arange(block.shape[0]), np.diff(block.indptr))
    place = _copied(cells * block.shape[1] + block.indices, device)
    values = _copied(block.data.astype(np.float32, copy=False), device)
    dense = torch.zeros(block.shape[0] * block.shape[1], dtype=torch.float32, device=device)
    return dense.index_put_((place,), values).reshape(block.shape)


def _copied(values: np.ndarray[Any, Any], device: torch.device) -> Tensor:
    """From page-locked memory, so that the copy overlaps with what the device is doing."""
    tensor = torch.from_numpy(np.require(values, requirements="W"))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
