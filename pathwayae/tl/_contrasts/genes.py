"""The genes that carry differences of scores, from the cells as the fit read them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae import _checks
from pathwayae._cells import sources
from pathwayae._cells.matrix import opened
from pathwayae._slots import grouped, keys, lookup
from pathwayae.core.contrasts import genes as core
from pathwayae.core.contrasts.units import Units
from pathwayae.core.moments.accumulate import BLOCK_BYTES
from pathwayae.core.notice import warn

logger = logging.getLogger("pathwayae")

Floats = NDArray[np.float64]

N_GENES = 10  # per pathway and contrast
CLOSE = 1e-3  # of the largest difference of scores: how well genes must add up to it


class Carrying:
    """Shares of genes and their names; ``member`` tells which pathways name which genes."""

    def __init__(self, shares: core.Shares, names: NDArray[Any], membership: sp.csr_array) -> None:
        self.shares, self.names, self.membership = shares, names, membership

    def of(self, contrast: int) -> tuple[NDArray[Any], Floats, NDArray[np.bool_]]:
        """Names, shares and whether members, all of components × genes, of one contrast."""
        gene, n_pathways = self.shares.gene[contrast], self.membership.shape[1]
        member = np.zeros(gene.shape, dtype=bool)
        rows = np.repeat(np.arange(n_pathways)[:, None], gene.shape[1], axis=1)
        member[:n_pathways] = np.asarray(self.membership[gene[:n_pathways], rows].todense(), dtype=bool)
        return self.names[gene], self.shares.share[contrast], member


def carrying(adata: AnnData, key: str, units: Units, of_units: Floats, observed: Floats) -> Carrying | None:
    """Find the genes that carry each difference; None where the model is not linear in genes, or cells are not there.

    Parameters
    ----------
    units, of_units
        The differences of r contrasts are ``of_units @ units.mean``, shape (r, u).
    observed
        These, in the units of the scores, shape (r, k).
    """
    if lookup.kind_of(adata, key) != keys.GROUPED or not lookup.has(adata, "var", keys.scale(key)):
        logger.info("Scores under %r are not sums over genes of these cells; no genes are named.", key)
        return None
    params = lookup.plain(lookup.fit_of(adata, key)[keys.PARAMS])
    symbols = params.get("gene_symbols") or None
    source = opened(adata, params.get("layer") or None, symbols, str(params.get("normalize", "")), needed=False)
    if source is None:
        logger.info("adata.X is not there; no genes are named.")
        return None
    scale = np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=np.float64)
    genes = np.flatnonzero(np.isfinite(scale))
    weights = core.weights_of_cells(of_units, units)
    found = core.differences(_narrow(source, genes), weights, len(genes))
    found -= _of_batches(adata, key, params, weights, genes)
    encoder = grouped.encoder_of(adata, key, genes)
    shares = core.shares(found / scale[genes], encoder, N_GENES)
    if np.abs(shares.total - observed).max() > CLOSE * np.abs(observed).max():
        msg = (
            f"The scores under {key!r} are not those of {source.name} as it is now, so no genes are named. Restore the "
            "values that the fit read, or run pae.tl.fit or pae.tl.transform again."
        )
        warn(msg)
        return None
    membership = sp.csr_array(lookup.plain(lookup.slot(adata, "varm", keys.membership(key), key)))[genes]
    return Carrying(shares, _checks.gene_names(adata, symbols)[genes].astype(object), membership)


def _narrow(source: sources.Source, genes: NDArray[np.intp]) -> Iterator[tuple[int, int, Any]]:
    for block in source.blocks(BLOCK_BYTES):
        yield block.start, block.stop, block.values[:, genes]


def _of_batches(
    adata: AnnData, key: str, params: dict[str, Any], weights: sp.csr_array, genes: NDArray[np.intp]
) -> Floats | float:
    """What the means of batches make of the differences of genes, where the fit took them off; shape (r, g)."""
    names, column = list(grouped.batch_names(adata, key)), params.get("batch_key", "")
    if not names or column not in adata.obs:
        return 0.0
    codes = pd.Index(names).get_indexer(pd.Index(pd.Series(adata.obs[column]).astype(str)))
    mean = np.asarray(lookup.slot(adata, "var", keys.mean(key), key), dtype=np.float64)[genes]
    means = np.vstack([grouped.batch_means(adata, key)[genes].T, mean])  # the last for batches the fit has not seen
    n = len(codes)
    inside = sp.csr_array((np.ones(n), (np.arange(n), codes % len(means))), shape=(n, len(means)))
    return np.asarray(sp.csr_array(weights @ inside).toarray() @ means)


def table(carried: Carrying | None, rows: pd.DataFrame, names: NDArray[Any]) -> pd.DataFrame:
    """A row per pathway, contrast and gene: ``pathway, group, within, gene, share, effect, member``.

    Parameters
    ----------
    rows
        ``group``, ``within`` and ``effect`` (k values) of every contrast.
    names
        Of the components, shape (k,).
    """
    parts = []
    for i, row in enumerate(rows.to_dict("records") if carried is not None else []):
        gene, share, member = carried.of(i)  # type: ignore[union-attr]
        known = np.isfinite(share) & np.isfinite(row["effect"])[:, None]
        which, place = np.nonzero(known)
        part = {"pathway": names[which], "group": row["group"], "within": row["within"], "gene": gene[which, place]}
        part |= {"share": share[which, place], "effect": share[which, place] * row["effect"][which]}
        parts.append(pd.DataFrame(part | {"member": member[which, place]}))
    if parts:
        return pd.concat(parts, ignore_index=True)
    empty = {name: pd.Series(dtype=object) for name in ("pathway", "group", "within", "gene")}
    empty |= {"share": pd.Series(dtype=float), "effect": pd.Series(dtype=float), "member": pd.Series(dtype=bool)}
    return pd.DataFrame(empty)
