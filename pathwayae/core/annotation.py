"""What a component may stand for: associations of its scores, families of its genes, and a label from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pathwayae.core import groups

Floats = NDArray[np.float64]

S_GENES = (
    "MCM5", "PCNA", "TYMS", "FEN1", "MCM2", "MCM4", "RRM1", "UNG", "GINS2", "MCM6", "CDCA7", "DTL", "PRIM1",
    "UHRF1", "MLF1IP", "CENPU", "HELLS", "RFC2", "RPA2", "NASP", "RAD51AP1", "GMNN", "WDR76", "SLBP", "CCNE2",
    "UBR7", "POLD3", "MSH2", "ATAD2", "RAD51", "RRM2", "CDC45", "CDC6", "EXO1", "TIPIN", "DSCC1", "BLM", "CASP8AP2",
    "USP1", "CLSPN", "POLA1", "CHAF1B", "BRIP1", "E2F8",
)  # fmt: skip
G2M_GENES = (
    "HMGB2", "CDK1", "NUSAP1", "UBE2C", "BIRC5", "TPX2", "TOP2A", "NDC80", "CKS2", "NUF2", "CKS1B", "MKI67", "TMPO",
    "CENPF", "TACC3", "FAM64A", "PIMREG", "SMC4", "CCNB2", "CKAP2L", "CKAP2", "AURKB", "BUB1", "KIF11", "ANP32E",
    "TUBB4B", "GTSE1", "KIF20B", "HJURP", "CDCA3", "HN1", "JPT1", "CDC20", "TTK", "CDC25C", "KIF2C", "RANGAP1",
    "NCAPD2", "DLGAP5", "CDCA2", "CDCA8", "ECT2", "KIF23", "HMMR", "AURKA", "PSRC1", "ANLN", "LBR", "CKAP5",
    "CENPE", "CTCF", "NEK2", "G2E3", "GAS2L3", "CBX5", "CENPA",
)  # fmt: skip
"""Genes of the S and G2/M phases (Tirosh and others 2016, 10.1126/science.aad0501), old names beside today's."""

MITOCHONDRIAL = ("MT-",)
RIBOSOMAL = ("RPS", "RPL")
FAMILIES = {
    "HLA": ("HLA-", "H2-"),
    "ribosomal": RIBOSOMAL,
    "mitochondrial": MITOCHONDRIAL,
    "immunoglobulin": ("IGH", "IGK", "IGL"),
    "haemoglobin": ("HBA", "HBB", "HBD", "HBG"),
    "histone": ("HIST", "H1-", "H2A", "H2B", "H3C", "H4C"),
}
N_FAMILY = 10  # genes with the largest loadings of one sign, of which half share a family

TECHNICAL = {"depth": "depth", "n_genes": "number of genes", "mito": "mitochondrial share"}
CELL_CYCLE = {"g2m": "cell cycle G2M", "s_phase": "cell cycle S"}
NAMED = 0.25  # r² with a phase of the cell cycle, from which on it is named
NEAR = 0.5  # |correlation| with the scores of a pathway, from which on it is named


def shares_explained(scores: Floats, covariate: NDArray[Any]) -> Floats:
    """Squared correlation of every column with a covariate, over cells where it is finite; NaN without variance.

    Examples
    --------
    >>> shares_explained(np.array([[0.0], [1.0], [2.0]]), np.array([1.0, 3.0, 5.0])).round(6)
    array([1.])
    """
    known = np.isfinite(covariate)
    if known.sum() < 3:
        return np.full(scores.shape[1], np.nan)
    x, y = covariate[known] - covariate[known].mean(), scores[known] - scores[known].mean(axis=0)
    size = (x @ x) * np.einsum("ij,ij->j", y, y)
    floor = 1e-12 * np.square(covariate[known]).sum() * np.square(scores[known]).sum(axis=0)
    return np.where(size > floor * 1e-6, np.square(x @ y) / np.where(size > 0, size, 1.0), np.nan)


def between_levels(scores: Floats, codes: NDArray[np.intp]) -> Floats:
    """η² of every column between levels, of which −1 is none; NaN with one level or without variance."""
    inside = codes >= 0
    levels, own = np.unique(codes[inside], return_inverse=True)
    if len(levels) < 2:
        return np.full(scores.shape[1], np.nan)
    between, total = groups.squares(scores[inside], own, len(levels))
    return np.where(np.ptp(scores[inside], axis=0) > 0, groups.share(between, total), np.nan)


def family(genes: Sequence[str]) -> str:
    """Family of at least half of the genes, by how their names begin, or an empty string.

    Examples
    --------
    >>> family(["HLA-DRA", "HLA-DRB1", "CD74"]), family(["CD3D", "HLA-A", "LYZ"])
    ('HLA', '')
    """
    upper = [gene.upper() for gene in genes]
    for name, starts in FAMILIES.items():
        if upper and 2 * sum(gene.startswith(starts) for gene in upper) >= len(upper):
            return name
    return ""


def technical_reason(shares: Mapping[str, float], batches: Mapping[str, float], threshold: float) -> str:
    """Which technical associations reach the threshold, the largest first; empty where none does."""
    found = {f"{TECHNICAL[name]} (r² {_short(shares[name])})": shares[name] for name in TECHNICAL if name in shares}
    found |= {f"{name} (η² {_short(share)})": share for name, share in batches.items()}
    reached = [what for what, share in found.items() if np.isfinite(share) and share >= threshold]
    return ", ".join(sorted(reached, key=lambda what: -found[what]))


def label(reason: str, shares: Mapping[str, float], ends: Mapping[str, Mapping[str, Any]], near: str, r: float) -> str:
    """Say what the evidence says, the strongest kind first, in at most two parts; ``"unnamed"`` without any.

    Parameters
    ----------
    reason
        From :func:`technical_reason`.
    shares
        r² with covariates of the cells.
    ends
        ``"up"`` and ``"down"``: ``family``, and ``term`` and ``padj`` of the best gene set that is significant, or "".
    near, r
        Pathway with the most correlated scores, and their correlation.
    """
    parts = [reason] if reason else []
    phase = max(CELL_CYCLE, key=lambda name: np.nan_to_num(shares.get(name, 0.0)))
    if np.nan_to_num(shares.get(phase, 0.0)) >= NAMED:
        parts.append(f"{CELL_CYCLE[phase]} (r² {_short(shares[phase])})")
    parts += [f"{end['family']} genes {side}" for side, end in ends.items() if end["family"]]
    by_padj = sorted((end["padj"], side, end["term"]) for side, end in ends.items() if end["term"])
    parts += [f"{term} {side} (FDR {padj:.1g})" for padj, side, term in by_padj]
    if near and abs(r) >= NEAR:
        parts.append(f"near {near} (r {'-' if r < 0 else ''}{_short(abs(r))})")
    return ", ".join(parts[:2]) or "unnamed"


def _short(share: float) -> str:
    return f"{share:.2f}".removeprefix("0")
