"""Gene sets that the loadings of a fit, the latents of a sparse autoencoder or archetypes point to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from tqdm import tqdm

from pathwayae import _checks, get
from pathwayae._slots import keys, lookup, store
from pathwayae.core import enrichment
from pathwayae.gs import as_collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["enrich"]

logger = logging.getLogger("pathwayae")


def enrich(
    adata: AnnData,
    gene_sets: Any,
    *,
    method: Literal["prerank", "ora"] = "prerank",
    components: str | Sequence[str] | None = None,
    n_genes: int = 100,
    min_genes: int = 5,
    max_genes: int | None = None,
    n_permutations: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    """Test which gene sets the loadings of each component point to.

    The genes tested, and the background of ``"ora"``, are the genes of the model, under the names that the pathways had
    at the fit (``gene_symbols``). Where several genes share a name, the one with the largest loadings stands for it.

    With the key of a sparse autoencoder its latents are tested, by what they add to each gene; with that of an
    archetypal analysis its archetypes, by the difference of their profile from the mean of all archetypes. For hundreds
    of latents take ``"ora"``, which is a hundred times as fast, or choose `components`.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]``, and ``varm["{key}_loadings"]`` and ``var["{key}_scale"]``, or
        ``varm["{key}_features"]`` of a sparse autoencoder, or ``varm[key]`` of archetypes.
    gene_sets
        What ``pae.gs.as_collection`` takes: a ``GeneSetCollection``, a mapping of names to genes, a GMT file, a table.
    method
        ``"prerank"``: do the genes of a set gather at one end of the ranking by loading (gene set enrichment
        analysis)? ``"ora"``: are they over-represented among the `n_genes` genes with the largest |loading|?
    components
        Names of the components to test. ``None`` for all.
    n_genes
        Number of top genes per component, for ``"ora"``.
    min_genes, max_genes
        Gene sets with fewer or more genes in the model are left out, and logged.
    n_permutations
        Number of random sets, for ``"prerank"``. *p*-values are at least ``1 / (n_permutations + 1)``, so
        many tests need many permutations; it is logged where their number stands in the way of ``padj ≤ 0.05``.
    random_state
        Seed of the permutations.
    n_jobs
        Number of threads, for ``"prerank"``. The result does not depend on it.
    progress
        Show a progress bar.
    key
        Key of the fit.
    copy
        Return a changed copy and leave `adata` as it is.

    Returns
    -------
    anndata.AnnData or None
        With ``uns[key]["enrichment"]``, a :class:`pandas.DataFrame` that replaces the one of an earlier call; one row
        per component and term:

        - ``component``, ``term``, ``method``
        - ``score``: normalised enrichment score (``"prerank"``) or odds ratio (``"ora"``)
        - ``pval``; ``padj``: Benjamini–Hochberg over all components and terms of the call
        - ``n_genes``: genes of the term in the model; ``n_overlap`` and ``genes``: its leading edge or overlap

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a component is unknown.
    ValueError
        If an argument is out of range or no gene set is left; the message says how many genes were matched.

    See Also
    --------
    pathwayae.get.enrichment, pathwayae.pl.enrichment

    Examples
    --------
    >>> sets = pae.gs.GeneSetCollection({"first": adata.var_names[:80], "last": adata.var_names[-80:]})
    >>> sets.to_gmt("sets.gmt")
    >>> pae.tl.enrich(adata, "sets.gmt", method="ora", n_genes=50, progress=False)
    >>> pae.get.enrichment(adata, "free_1")["term"].tolist()
    ['first', 'last']
    """
    if method not in ("prerank", "ora"):
        msg = f"method must be 'prerank' or 'ora', got {method!r}."
        raise ValueError(msg)
    for name, value in {"n_genes": n_genes, "min_genes": min_genes, "n_permutations": n_permutations}.items():
        _checks.number(name, value, 1, integer=True)
    chosen = get.component_names(adata, components, key=key)
    table, used = _ranked(adata, key)
    table = _named(adata, table, used, chosen, key)
    sets = as_collection(gene_sets)
    inputs = (table.to_numpy(), table.index.to_list(), table.columns.to_list(), sets)
    with tqdm(total=len(chosen), desc="enrich", unit=" components", disable=not progress, leave=False) as bar:
        if method == "ora":
            result = enrichment.ora(
                *inputs, n_genes=n_genes, min_genes=min_genes, max_genes=max_genes, advance=bar.update
            )
        else:
            result = enrichment.prerank(
                *inputs,
                min_genes=min_genes,
                max_genes=max_genes,
                n_permutations=n_permutations,
                random_state=random_state,
                n_jobs=n_jobs,
                advance=bar.update,
            )
    logger.info("Enrichment: %d of %d tests have padj ≤ 0.05.", (result["padj"] <= 0.05).sum(), len(result))
    params = {"method": method, "n_genes": n_genes, "min_genes": min_genes, "max_genes": max_genes or ""}
    params |= {"n_permutations": n_permutations, "random_state": random_state}
    target = adata.copy() if copy else adata
    store.add(target, key, {keys.ENRICHMENT: result, keys.ENRICHMENT_PARAMS: params})
    return target if copy else None


def _ranked(adata: AnnData, key: str) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """What genes are ranked by, genes × components, and which genes are in the model."""
    model = lookup.kind_of(adata, key)
    if model == keys.SPARSE_AE:
        table = get.loadings(adata, key=key)
        return table, (table != 0).any(axis=1).to_numpy()
    if model == keys.ARCHETYPES:
        return _contrasts(adata, key)
    scale = np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float)
    return get.loadings(adata, key=key), np.isfinite(scale)


def _contrasts(adata: AnnData, key: str) -> tuple[pd.DataFrame, NDArray[np.bool_]]:
    """Profiles of archetypes less their mean, and the genes that any of them has."""
    table = get.loadings(adata, key=key).astype(float)
    return table.sub(table.mean(axis=1), axis=0), (table != 0).any(axis=1).to_numpy()


def _named(adata: AnnData, table: pd.DataFrame, used: NDArray[np.bool_], chosen: list[str], key: str) -> pd.DataFrame:
    """Values of the components chosen for the genes in the model, one row per gene name."""
    size = np.linalg.norm(table.to_numpy(dtype=float), axis=1)[used]
    names = lookup.gene_names(adata, key)[used]
    table = table.loc[used, chosen]
    order = np.lexsort((table.index.to_numpy(dtype=str), -size))
    repeated = names.iloc[order].duplicated().to_numpy()
    if repeated.any():
        logger.warning(
            "Enrichment: %d genes share their name with another and are left out for it.", int(repeated.sum())
        )
    return table.iloc[order[~repeated]].set_axis(names.iloc[order[~repeated]].to_numpy(), axis=0)
