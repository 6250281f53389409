"""What components may stand for: gene sets, pathways, genes, and what goes with their scores in the cells."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from pathwayae import _checks, get
from pathwayae._slots import keys, lookup, store
from pathwayae.core import annotation as core
from pathwayae.core.gates import gated
from pathwayae.core.notice import warn
from pathwayae.tl._enrich import enrich

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["annotate_components"]

logger = logging.getLogger("pathwayae")

LEVEL = 0.05  # of padj
TOTALS = ("total_counts", "n_counts", "nCount_RNA")
GENES = ("n_genes_by_counts", "n_genes", "nFeature_RNA")
FEWEST = 5  # genes of a phase of the cell cycle that must be there

Floats = NDArray[np.float64]


@gated()
def annotate_components(
    adata: AnnData,
    gene_sets: Any = None,
    *,
    components: str | Sequence[str] | None = None,
    batch_key: str | Sequence[str] | None = None,
    sample_key: str | None = None,
    n_genes: int = 10,
    technical: float = 0.5,
    progress: bool = True,
    key: str = keys.DEFAULT,
    copy: bool = False,
) -> AnnData | None:
    r"""Describe what components may stand for, and flag those that look technical. Nothing is renamed.

    The share of the variance of a score that goes with a number of the cells is the squared correlation r², with a
    division of the cells :math:`\eta^2 = \sum_b n_b (\bar z_b - \bar z)^2 / \sum_i (z_i - \bar z)^2`. A share is no
    cause: cell types differ in depth too, so a flag asks for a look and is no verdict.

    Parameters
    ----------
    adata
        A fitted AnnData with its cells. Reads scores, loadings and ``X``; for depth ``obs["total_counts"]``,
        ``"n_counts"`` or ``"nCount_RNA"``, else ``layers["counts"]``, else ``X``, which is logged.
    gene_sets
        What ``pae.gs.as_collection`` takes, for ``pae.tl.enrich``, whose table is replaced. ``None`` to take the table
        that is there.
    components
        Names of components. ``None`` for the free components; where there are none, for all.
    batch_key
        Column or columns of ``obs`` with batches.
    sample_key
        Column of ``obs`` with samples or donors: shown, never flagged, since donors differ in biology too.
    n_genes
        Number of genes to name on either side.
    technical
        r² with depth, number of genes or mitochondrial share, or η² of a batch, from which on a component is flagged.
    progress
        Show a progress bar on a terminal or in a notebook.
    key
        Key of the fit, of any model.
    copy
        Return a changed copy instead of changing `adata`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]["annotation"]``, a DataFrame, and ``uns[key]["annotation_params"]``:

    - ``component``, ``label``: what the evidence says, or ``"unnamed"``; ``technical``, ``reason``
    - ``up_term``, ``up_padj``, ``down_term``, ``down_padj``: best gene set of either direction with ``padj ≤ 0.05``
    - ``nearest``, ``correlation``: pathway with the most correlated scores; ``nearest_genes``, ``cosine``: with the
      most similar loadings; of a fit of pathways
    - ``positive``, ``negative``: genes with the largest loadings of either sign; of archetypes from the mean of all
    - ``r2_depth`` (log of the total), ``r2_n_genes``, ``r2_mito``, ``r2_ribo``, ``r2_s_phase``, ``r2_g2m`` (mean of the
      standardised genes of Tirosh and others 2016, 10.1126/science.aad0501); NaN where the cells do not tell
    - ``eta2_{column}`` of batches and samples

    Raises
    ------
    KeyError
        If nothing was fitted under `key`, or a name or column does not exist.
    ValueError
        If a number is out of range, or no gene set can be tested.

    Warns
    -----
    pathwayae.DataWarning
        If a column divides the cells into fewer than two levels.

    See Also
    --------
    pathwayae.get.annotation, pathwayae.tl.enrich

    Examples
    --------
    >>> pae.tl.annotate_components(adata, batch_key="batch", progress=False)
    >>> pae.get.annotation(adata)["technical"].tolist()
    [True, True]
    """
    _checks.number("n_genes", n_genes, 1, integer=True)
    _checks.number("technical", technical, 0, 1)
    batches = [batch_key] if isinstance(batch_key, str) else list(batch_key or ())
    divisions = list(dict.fromkeys([*batches, *([sample_key] if sample_key else [])]))
    for name in divisions:
        _checks.check_column(adata, "sample_key" if name not in batches else "batch_key", name)
    chosen = _chosen(adata, components, key)
    scores = get.scores(adata, chosen, key=key).to_numpy(dtype=float)
    loadings = _loadings(adata, chosen, key)
    shares = {name: core.shares_explained(scores, value) for name, value in _covariates(adata, key).items()}
    eta2 = {name: _eta2(adata, name, scores) for name in divisions}
    target = adata.copy() if copy else adata
    if gene_sets is not None:
        enrich(target, gene_sets, components=chosen, progress=progress, key=key)
    best = _best_terms(target, key)
    near = _nearest(adata, chosen, key)
    names = lookup.gene_names(adata, key).to_numpy(dtype=str)
    rows = []
    for j, component in enumerate(chosen):
        own = {name: float(value[j]) for name, value in shares.items()}
        apart = {name: float(value[j]) for name, value in eta2.items()}
        ends: dict[str, dict[str, Any]] = {}
        for side, sign in (("up", 1.0), ("down", -1.0)):
            term, padj = best.get((component, side), ("", np.nan))
            extreme = _extreme(sign * loadings[:, j], names, core.N_FAMILY)
            ends[side] = {"term": term, "padj": padj, "family": core.family(extreme) if len(extreme) > 2 else ""}
        reason = core.technical_reason(own, {name: apart[name] for name in batches}, technical)
        nearest, r, nearest_genes, cosine = near[j]
        row: dict[str, Any] = {"component": component, "label": core.label(reason, own, ends, nearest, r)}
        row |= {"technical": bool(reason), "reason": reason}
        row |= {f"{side}_{name}": ends[side][name] for side in ends for name in ("term", "padj")}
        row |= {"nearest": nearest, "correlation": r, "nearest_genes": nearest_genes, "cosine": cosine}
        row |= {
            side: ";".join(_extreme(sign * loadings[:, j], names, n_genes))
            for side, sign in (("positive", 1.0), ("negative", -1.0))
        }
        rows.append(row | {f"r2_{name}": v for name, v in own.items()} | {f"eta2_{n}": v for n, v in apart.items()})
    params = {
        "technical": technical,
        "n_genes": n_genes,
        "batch_key": ";".join(batches),
        "sample_key": sample_key or "",
    }
    store.add(target, key, {keys.ANNOTATION: pd.DataFrame(rows), keys.ANNOTATION_PARAMS: params})
    return target if copy else None


def _chosen(adata: AnnData, components: str | Sequence[str] | None, key: str) -> list[str]:
    names = get.component_names(adata, components, key=key)
    if components is not None or lookup.kind_of(adata, key) != keys.GROUPED:
        return names
    free = names[int(lookup.value(adata, key, keys.N_PATHWAYS)) :]
    if not free:
        logger.info("The fit has no free components; all %d pathways are described.", len(names))
    return free or names


def _loadings(adata: AnnData, chosen: list[str], key: str) -> Floats:
    """Loadings of the genes; of archetypes as differences from the mean of all."""
    if lookup.kind_of(adata, key) != keys.ARCHETYPES:
        return np.asarray(get.loadings(adata, chosen, key=key), dtype=float)
    table = get.loadings(adata, key=key).astype(float)
    return table.sub(table.mean(axis=1), axis=0)[chosen].to_numpy()


def _extreme(values: Floats, names: NDArray[np.str_], n_genes: int) -> list[str]:
    order = np.lexsort((names, -values))[:n_genes]
    return names[order[values[order] > 0]].tolist()


def _eta2(adata: AnnData, column: str, scores: Floats) -> Floats:
    codes, levels = pd.factorize(np.asarray(adata.obs[column], dtype=object))
    if len(levels) < 2:
        warn(f"adata.obs[{column!r}] has {len(levels)} level, so nothing can be said of it; its eta2 is NaN.")
    return core.between_levels(scores, codes)


def _covariates(adata: AnnData, key: str) -> dict[str, Floats]:
    """Numbers of the cells; NaN where the genes or cells do not tell."""
    upper = np.char.upper(lookup.gene_names(adata, key).to_numpy(dtype=str))
    counts = adata.layers.get("counts", adata.X)
    nothing = np.full(adata.n_obs, np.nan)
    if counts is None:
        logger.warning("adata.X is missing: depth, shares and cell cycle are not known.")
        return dict.fromkeys(("depth", "n_genes", "mito", "ribo", "s_phase", "g2m"), nothing)
    counts = lookup.plain(counts)
    found = {}
    total = _sums(counts)
    column = next((name for name in TOTALS if name in adata.obs), "")
    if not column and "counts" not in adata.layers:
        logger.info("No counts in obs or layers: depth and number of genes are of adata.X.")
    depth = np.asarray(adata.obs[column], dtype=float) if column else total
    found["depth"] = np.log1p(np.maximum(depth, 0.0))
    column = next((name for name in GENES if name in adata.obs), "")
    found["n_genes"] = np.asarray(adata.obs[column], dtype=float) if column else _sums(counts != 0)
    for name, starts in (("mito", core.MITOCHONDRIAL), ("ribo", core.RIBOSOMAL)):
        own = np.flatnonzero([gene.startswith(starts) for gene in upper])
        part = _sums(counts[:, own]) if len(own) else nothing
        found[name] = np.divide(part, total, out=nothing.copy(), where=total > 0)
    if "pct_counts_mt" in adata.obs:
        found["mito"] = np.asarray(adata.obs["pct_counts_mt"], dtype=float)
    expression = lookup.plain(adata.X)
    for name, genes in (("s_phase", core.S_GENES), ("g2m", core.G2M_GENES)):
        own = np.flatnonzero(np.isin(upper, genes))
        found[name] = _phase(expression[:, own]) if len(own) >= FEWEST else nothing
    return found


def _sums(values: Any) -> Floats:
    return np.asarray(values.sum(axis=1), dtype=float).ravel()


def _phase(values: Any) -> Floats:
    """Mean of standardised genes; those without variance count as 0."""
    dense = np.asarray(values.toarray() if sp.issparse(values) else values, dtype=float)
    spread = dense.std(axis=0)
    return ((dense - dense.mean(axis=0)) / np.where(spread > 0, spread, np.inf)).mean(axis=1)


def _best_terms(adata: AnnData, key: str) -> dict[tuple[str, str], tuple[str, float]]:
    """Best significant gene set of every component and direction."""
    if keys.ENRICHMENT not in lookup.fit_of(adata, key):
        return {}
    table = get.enrichment(adata, max_padj=LEVEL, key=key)
    if "direction" not in table:
        return {}
    table = table.iloc[np.lexsort((-table["score"].abs(), table["pval"]))].drop_duplicates(["component", "direction"])
    places = zip(table["component"], table["direction"], strict=True)
    return dict(zip(places, zip(table["term"], table["padj"].astype(float), strict=True), strict=True))


def _nearest(adata: AnnData, chosen: list[str], key: str) -> list[tuple[str, float, str, float]]:
    """For each component the other pathway with the most correlated scores, and that with the most similar loadings."""
    if lookup.kind_of(adata, key) != keys.GROUPED:
        return [("", np.nan, "", np.nan)] * len(chosen)
    pathways = get.component_names(adata, key=key)[: int(lookup.value(adata, key, keys.N_PATHWAYS))]
    own = np.array([[one == other for other in pathways] for one in chosen])
    found = []
    for table, centred in ((get.scores, True), (get.loadings, False)):
        ours, theirs = (
            _unit(table(adata, part, key=key).to_numpy(dtype=float), centred) for part in (chosen, pathways)
        )
        similarity = np.where(own, 0.0, ours.T @ theirs)
        best = np.abs(similarity).argmax(axis=1)
        found.append([(pathways[j], float(similarity[i, j])) for i, j in enumerate(best)])
    return [(*by_scores, *by_genes) for by_scores, by_genes in zip(*found, strict=True)]


def _unit(columns: Floats, centred: bool) -> Floats:  # noqa: FBT001
    columns = columns - columns.mean(axis=0) if centred else columns
    length = np.linalg.norm(columns, axis=0)
    return columns / np.where(length > 0, length, 1.0)
