"""What new cells lack of every component: genes, and the share of its squared weights that they carry."""

from __future__ import annotations

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae.core.grouped.encoder import Encoder
from pathwayae.core.notice import listed, warn

HALF = 0.5  # share of the weight of a pathway that may be missing before it is named
SHOWN = 5  # genes


def missing(
    components: list[str],
    genes: NDArray[np.str_],
    membership: sp.csr_matrix,
    encoder: Encoder,
    found: NDArray[np.bool_],
) -> pd.DataFrame:
    """One row per component.

    Parameters
    ----------
    components
        Names, shape (k,): the pathways, then the free components.
    genes
        Names, shape (g,).
    membership
        Genes × pathways.
    encoder
        Genes × components.
    found
        Which genes the new cells have, shape (g,).

    Returns
    -------
    ``component``, ``n_genes`` (members, of a free component all genes), ``n_missing``, ``weight_missing`` (share of the
    squared weights of its score) and ``missing`` (up to five genes, the heaviest first, joined by ";").
    """
    whole = encoder.lengths() ** 2
    kept = encoder.of_genes(found).lengths() ** 2
    share = np.clip(1.0 - np.divide(kept, whole, out=np.ones_like(whole), where=whole > 0), 0.0, 1.0)
    member = sp.csr_array(membership)
    n_free = len(components) - member.shape[1]
    sizes = np.concatenate([np.asarray(member.sum(axis=0)).ravel(), np.full(n_free, len(genes))]).astype(int)
    lost = sp.csc_array(member[~found])
    n_lost = np.concatenate([np.diff(lost.indptr), np.full(n_free, (~found).sum())]).astype(int)
    weights = sp.csc_array(encoder.of_genes(~found).weights)
    named = np.full(len(components), "", dtype=object)
    names = genes[~found]
    for j in np.flatnonzero(n_lost):
        rows = lost.indices[lost.indptr[j] : lost.indptr[j + 1]] if j < member.shape[1] else np.arange(len(names))
        own = np.zeros(len(names))
        part = slice(weights.indptr[j], weights.indptr[j + 1])
        own[weights.indices[part]] = np.abs(weights.data[part])
        named[j] = ";".join(names[rows[np.argsort(-own[rows], kind="stable")[:SHOWN]]])
    columns = {
        "component": np.array(components, dtype=object),
        "n_genes": sizes,
        "n_missing": n_lost,
        "weight_missing": share if (~found).any() else np.zeros(len(share)),
        "missing": named,
    }
    return pd.DataFrame(columns)


def report(table: pd.DataFrame, name: str) -> None:
    """Warn of components that lack more than half of their weight."""
    poor = table[table["weight_missing"] > HALF].sort_values("weight_missing", ascending=False)
    if len(poor):
        worst = (f"{one!r} ({share:.0%})" for one, share in zip(poor["component"], poor["weight_missing"], strict=True))
        msg = (
            f"{len(poor)} of {len(table)} components lack more than half of their squared weights in the new cells "
            f"({name}): {listed(worst, 5, quoted=False)}. Their scores are of few genes; see pae.get.missing_genes."
        )
        warn(msg)
