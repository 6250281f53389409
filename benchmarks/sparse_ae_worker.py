"""Epochs of EleutherAI's sparsify in a process of its own, for benchmarks/sparse_ae.py; needs torch and sparsify.

``python sparse_ae_worker.py cells.npy latents k batch``: trains one epoch for every line on its input, and answers
each with a line ``seconds …``.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from sparsify import SparseCoder, SparseCoderConfig


def main(path: str, latents: int, k: int, batch: int) -> None:
    torch.set_num_threads(1)
    cells = torch.from_numpy(np.load(path))
    model = SparseCoder(cells.shape[1], SparseCoderConfig(num_latents=latents, k=k), device="cpu", dtype=torch.float32)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in sys.stdin:
        begin = time.perf_counter()
        for places in torch.randperm(len(cells)).split(batch):
            model(cells[places]).fvu.backward()
            model.remove_gradient_parallel_to_decoder_directions()
            optimiser.step()
            optimiser.zero_grad()
            model.set_decoder_norm_to_unit_norm()
        print("seconds", time.perf_counter() - begin, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
