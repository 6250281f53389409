"""Gene sets that the loadings of a fit, the latents of a sparse autoencoder or archetypes point to."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import scipy.sparse as sp

from pathwayae import _checks, _progress, get
from pathwayae._slots import keys, lookup, store
from pathwayae.core.enrichment.ora import ora
from pathwayae.core.enrichment.prerank import prerank
from pathwayae.core.enrichment.tables import SIGNS
from pathwayae.core.gates import gated
from pathwayae.gs import as_collection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

__all__ = ["enrich"]

logger = logging.getLogger("pathwayae")


@gated(n_jobs=1)
def enrich(
    adata: AnnData,
    gene_sets: Any,
    *,
    method: Literal["prerank", "ora"] = "prerank",
    sign: Literal["both", "up", "down"] = "both",
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
    of components and thousands of sets ``"ora"`` is the faster.

    Parameters
    ----------
    adata
        A fitted AnnData. Reads ``uns[key]``, and ``varm["{key}_loadings"]`` and ``var["{key}_scale"]``, or
        ``varm["{key}_features"]`` of a sparse autoencoder, or ``varm[key]`` of archetypes.
    gene_sets
        What ``pae.gs.as_collection`` takes: a ``GeneSetCollection``, a mapping of names to genes, a GMT file, a table.
    method
        ``"prerank"``: do the genes of a set gather at one end of the ranking by loading (gene set enrichment
        analysis)? ``"ora"``: are they over-represented among the `n_genes` genes with the largest absolute loading?
    sign
        ``"up"``: only sets among the genes that go up with the component, ``"down"``: only those that go down,
        ``"both"``: either, and ``direction`` says which.
    components
        Names of the components to test. ``None`` for all.
    n_genes
        Number of top genes per component, for ``"ora"``.
    min_genes, max_genes
        Gene sets with fewer or more genes in the model are left out, and logged.
    n_permutations
        Number of random sets of each size, for ``"prerank"``. Where fewer than 10 of them reach a score, its *p*-value
        is found by multilevel splitting, down to 1e-10, so that many tests do not need many permutations.
    random_state
        Seed of the permutations.
    n_jobs
        Number of threads, for ``"prerank"``. The result does not depend on it.
    progress
        Show a progress bar on a terminal or in a notebook.
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
        - ``direction``: ``"up"`` or ``"down"``: the genes of the set have loadings at that end; of ``"ora"`` also
          ``"mixed"``, where neither sign has three quarters of the overlap; ``"none"`` without evidence
        - ``score``: normalised enrichment score (``"prerank"``) or odds ratio (``"ora"``)
        - ``pval``; ``padj``: Benjamini–Hochberg over all components and terms of the call
        - ``n_genes``: genes of the term in the model; ``n_overlap`` and ``genes``: its leading edge or overlap;
          ``n_up`` and ``n_down``: those of these genes with a loading above and below 0

        Words are stored as categories; :func:`pathwayae.get.enrichment` returns them as strings.

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
    _checks.choice("sign", sign, SIGNS)
    for name, value in {"n_genes": n_genes, "min_genes": min_genes, "n_permutations": n_permutations}.items():
        _checks.number(name, value, 1, integer=True)
    chosen = get.component_names(adata, components, key=key)
    rows, names, values = _ranked(adata, key)
    places = {name: j for j, name in enumerate(lookup.component_names(adata, key))}
    inputs = (values[rows][:, [places[name] for name in chosen]], names, chosen, as_collection(gene_sets))
    with _progress.bar("enrich", "components", len(chosen), progress=progress) as bar:
        if method == "ora":
            result = ora(
                *inputs, sign=sign, n_genes=n_genes, min_genes=min_genes, max_genes=max_genes, advance=bar.update
            )
        else:
            result = prerank(
                *inputs,
                sign=sign,
                min_genes=min_genes,
                max_genes=max_genes,
                n_permutations=n_permutations,
                random_state=random_state,
                n_jobs=n_jobs,
                advance=bar.update,
            )
    logger.info("Enrichment: %d of %d tests have padj ≤ 0.05.", (result["padj"] <= 0.05).sum(), len(result))
    params = {"method": method, "sign": sign, "n_genes": n_genes, "min_genes": min_genes, "max_genes": max_genes or ""}
    params |= {"n_permutations": n_permutations, "random_state": random_state}
    target = adata.copy() if copy else adata
    stored = result.astype(
        dict.fromkeys(("component", "term", "method", "direction", "genes"), "category")
    )  # words take space
    store.add(target, key, {keys.ENRICHMENT: stored, keys.ENRICHMENT_PARAMS: params})
    return target if copy else None


def _ranked(adata: AnnData, key: str) -> tuple[NDArray[np.intp], list[str], Any]:
    """Rows of the genes in the model, one per gene name; these names; and what all genes are ranked by, by component.

    The latter is genes × components, dense or sparse as in its slot.
    """
    lookup.check_says_genes(adata, key)
    model = lookup.kind_of(adata, key)
    values = lookup.matrix(adata, "varm", lookup.KINDS[model].loadings(key), key)
    values = sp.csr_array(values, dtype=float, copy=True) if sp.issparse(values) else values
    if model == keys.GROUPED:
        used = np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float))
    else:
        used = np.asarray((values != 0).sum(axis=1)).ravel() > 0
    if model == keys.ARCHETYPES:  # how a profile differs from the mean of all
        values = values - values.mean(axis=1, dtype=float, keepdims=True)
    squares = values.power(2).sum(axis=1) if sp.issparse(values) else np.einsum("ij,ij->i", values, values, dtype=float)
    size = np.sqrt(squares)[used]
    names = lookup.gene_names(adata, key)[used]
    order = np.lexsort((names.index.to_numpy(dtype=str), -size))
    repeated = names.iloc[order].duplicated().to_numpy()
    if repeated.any():
        logger.warning(
            "Enrichment: %d genes share their name with another and are left out for it.", int(repeated.sum())
        )
    order = order[~repeated]
    return np.flatnonzero(used)[order], names.iloc[order].tolist(), values
