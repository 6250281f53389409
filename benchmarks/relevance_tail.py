"""Small p-values of ``pae.tl.relevance``: as rare as they say where sets say nothing, and what many sets cost."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
from defaults import DATA
from relevance import Cells, kang, members_of
from run import write
from scipy.stats import false_discovery_control

import pathwayae as pae
from pathwayae.core.trust import relevance as core
from pathwayae.core.trust import tail

DRAWS, BLOCKS = 1000, 8
LEVELS = (5e-2, 1e-2, 1e-3, 1e-4, 1e-5)
SETS = (50, 500, 2000)
ALONE = "HALLMARK_INTERFERON_GAMMA_RESPONSE"


def calibration(cells: Cells, members: list[np.ndarray]) -> list[dict]:
    """How often p of random sets like the real ones are small, over how often they should be."""
    draws = core.null_coherence(cells.correlation, members, cells.bins, DRAWS * BLOCKS, 1)
    blocks = np.array(list(draws)).reshape(BLOCKS, DRAWS, len(members))
    counted, fitted = [], []
    for b in range(BLOCKS):
        others = np.concatenate([blocks[i] for i in range(BLOCKS) if i != b])
        for j in range(len(members)):
            null = blocks[b][:, [j]]
            ordered = np.sort(null[:, 0])
            counted.append((1 + DRAWS - np.searchsorted(ordered, others[:, j])) / (DRAWS + 1))
            fitted.append(tail.pvalues(others[:, j], null))
    rows = []
    for name, pval in (("counts", np.concatenate(counted)), ("counts and tail", np.concatenate(fitted))):
        rows.append({"p from": name, "p-values": len(pval)} | {f"p ≤ {x:g}": (pval <= x).mean() / x for x in LEVELS})
    return rows


def many(cells: Cells, alone: np.ndarray, sizes: list[int]) -> list[dict]:
    """One real set among more and more random ones: its adjusted p, and the time of the whole test."""
    rows = []
    for p in SETS:
        rng = np.random.default_rng(p)
        g = len(cells.bins)
        members = [alone] + [np.sort(rng.choice(g, rng.choice(sizes), replace=False)) for _ in range(p - 1)]
        begin = time.perf_counter()
        null = np.array(list(core.null_coherence(cells.correlation, members, cells.bins, DRAWS, 0)))
        observed = core.coherence(cells.correlation, members)
        drawn = time.perf_counter()
        found = core.significance(observed, null)
        ended = time.perf_counter()
        counts = (1 + (null >= observed - core.TIE).sum(axis=0)) / (DRAWS + 1)
        rows.append(
            {
                "sets": p,
                "padj, counts": false_discovery_control(counts)[0],
                "padj, counts and tail": found.padj[0],
                "random sets called": int((found.padj[1:] <= 0.05).sum()),
                "seconds of random sets": drawn - begin,
                "seconds of p": ended - drawn,
            }
        )
    return rows


def run() -> tuple[str, str, object]:
    """Title, text and figures."""
    adata = kang(pae.gs.read_gmt(DATA / "genesets" / "h.all.v7.5.1.symbols.gmt"))
    cells, members = Cells(adata), members_of(adata.varm["pae_membership"])
    rows = calibration(cells, members)
    alone = members[pae.get.component_names(adata).index(ALONE)]
    lone = many(cells, alone, [len(rows) for rows in members])
    text = (
        f"Kang PBMC, {adata.n_obs} cells, {adata.n_vars} genes. {len(members)} random sets with the sizes, means and "
        f"variances of Hallmark sets, {DRAWS} random sets behind each p, {BLOCKS} times {DRAWS} of them; what a level "
        "should hold is 1, below is conservative, above too many.\n\n"
        f"{pd.DataFrame(rows).to_markdown(index=False, floatfmt='.2f')}\n\n"
        f"## One set among many\n\n{ALONE} among random sets, {DRAWS} random sets each.\n\n"
        f"{pd.DataFrame(lone).to_markdown(index=False, floatfmt='.2g')}"
    )
    return "Relevance: small p-values", text, {"calibration": rows, "one among many": lone}


if __name__ == "__main__":
    write("relevance_tail", *run())
