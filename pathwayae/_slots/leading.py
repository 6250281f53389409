"""Which pathways of a fit come first where there is no room for all."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from anndata import AnnData

from pathwayae._slots import keys, lookup

LEVEL = 0.05  # of adjusted p-values
HARMLESS = ("", "duplicate")  # flags of pathways whose scores speak for them


class Leading(NamedTuple):
    """Names of some of the pathways of a fit, the first ones first, the number of all, and the words for the order."""

    names: list[str]
    n_pathways: int
    order: str

    @property
    def title(self) -> str:
        """What is shown and what is not; empty where nothing is left out."""
        n = len(self.names)
        return f"{n:,} of {self.n_pathways:,} pathways, {self.order}" if n < self.n_pathways else ""


def leading(adata: AnnData, key: str, n: int) -> Leading:
    """The pathways that matter: by relevance where it is known, else by the variance that each explains alone.

    By relevance come those that are used by the cells (adjusted p ≤ 0.05) first, by the variance that they explain in
    cells left out. Pathways whose scores do not speak for them, by their flags, come last. Of a fit of free components
    alone these stand in.
    """
    fit = lookup.fit_of(adata, key, keys.GROUPED)
    names = lookup.component_names(adata, key)
    names = names[: int(lookup.value(adata, key, keys.N_PATHWAYS)) or len(names)]
    flagged = np.zeros(len(names), dtype=bool)
    if keys.PATHWAYS in fit:
        flags = pd.DataFrame(fit[keys.PATHWAYS]).set_index("pathway")["flag"].reindex(names, fill_value="")
        flagged = ~flags.isin(HARMLESS).to_numpy()
    if keys.RELEVANCE in fit:
        found = pd.DataFrame(fit[keys.RELEVANCE]).set_index("component").reindex(names)
        unused, size = ~(found["padj"] <= LEVEL).to_numpy(), found["heldout_variance"].to_numpy(dtype=float)
        order = "the relevant ones by variance in cells left out"
    else:
        unused, size = np.zeros(len(names), dtype=bool), np.asarray(fit[keys.VARIANCE_RATIO], dtype=float)[: len(names)]
        order = "those that explain most variance"
    chosen = np.lexsort((-np.nan_to_num(size, nan=-np.inf), unused, flagged))[:n]
    return Leading([names[j] for j in chosen], len(names), order)
