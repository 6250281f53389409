"""Which genes belong to the pathways, as tables and as gene sets, read from the slots of ``pae.tl.refine``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import expit

from pathwayae._slots import keys, lookup
from pathwayae.core.evidence.calls import CALLS
from pathwayae.core.gates import gated
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.get._common import component_names

if TYPE_CHECKING:
    from anndata import AnnData


@gated()
def refinement(
    adata: AnnData,
    pathways: str | Sequence[str] | None = None,
    *,
    of: Literal["genes", "pathways"] = "genes",
    calls: str | Sequence[str] | None = None,
    everything: bool = False,
    key: str = keys.DEFAULT,
) -> pd.DataFrame:
    """Return the membership of genes in pathways, weighed, or a report of the pathways.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.refine``. Reads ``varm["{key}_prior"]``, ``varm["{key}_evidence"]``,
        ``varm["{key}_call"]``, ``varm["{key}_membership"]`` and ``var["{key}_scale"]``.
    pathways
        Names of pathways. ``None`` for all.
    of
        ``"genes"``: one row per pathway and gene; ``"pathways"``: one row per pathway.
    calls
        Of genes: keep ``"confirmed"``, ``"added"``, ``"dropped"`` or ``"undecided"``, one or some of them.
    everything
        Of genes: all genes of the model for every pathway; by default those that are annotated, decided, or as likely
        members as not.
    key
        Key of the fit.

    Returns
    -------
    pandas.DataFrame
        One row per pathway and gene, pathways in the order of the model, the surest members first, ties by name:

        - ``pathway``, ``gene`` (its name in the pathways, see the ``gene_symbols`` of the fit)
        - ``prior``: log-odds of membership by the annotation and by how visible the gene is
        - ``evidence``: log-likelihood ratio by its association with the rest of the pathway
        - ``posterior``: probability of membership, ``1 / (1 + exp(−prior − evidence))``
        - ``local_fdr``: probability that what is nearest is wrong, from 0 to 0.5: to keep an annotated gene with a
          posterior of 0.5 or more, to drop one with less, to add another with 0.5 or more; for other genes that are
          not annotated 1 − posterior, the probability that adding them is wrong
        - ``call``: ``"confirmed"``, ``"added"``, ``"dropped"`` or ``"undecided"``, under the rate of ``pae.tl.refine``
        - ``annotated``: whether the pathway names the gene

        Of pathways one row each: ``pathway``; ``n_genes`` annotated in the model; ``annotated_share`` (estimated share
        of the true members that are annotated) and ``false_share`` (of the annotated genes that are no members);
        ``heldout_auc``: each fifth of the genes hidden and looked for among genes of similar mean expression, 0.5 is
        chance; ``heldout_se`` (standard error of the AUC of random genes), ``pval`` against random gene sets of the
        same size and expression and ``padj`` (Benjamini–Hochberg); ``verdict``: ``"carried"`` by the cells or
        ``"not carried"`` at the rate of ``pae.tl.refine`` (genes are decided of at a fifth of it), ``"too small"`` with
        a single gene, ``"not weighed"`` with none or all genes; ``n_undecided`` (annotated ones), ``n_confirmed``,
        ``n_added``, ``n_dropped``.

    Raises
    ------
    KeyError
        If nothing was fitted or refined under `key`, or a pathway is unknown.
    ValueError
        If a call does not exist, or `of` is unknown.

    Examples
    --------
    >>> pae.get.refinement(adata, "program_1", calls="added")[["gene", "call", "annotated"]].head(2)
           gene   call  annotated
    0   gene_34  added      False
    1  gene_335  added      False
    >>> pae.get.refinement(adata, of="pathways")["verdict"].tolist()
    ['carried', 'carried', 'carried', 'carried', 'carried', 'carried', 'not carried']
    """
    if of not in ("genes", "pathways"):
        msg = f"of={of!r} is not known; choose 'genes' or 'pathways'."
        raise ValueError(msg)
    if of == "pathways":
        return _of_pathways(adata, pathways, key)
    wanted = _calls(calls)
    names = component_names(adata, key=key)[: _n_pathways(adata, key)]
    member = sparse.csc_array(_refined_slot(adata, keys.membership(key), key))
    prior, evidence, code = (
        np.asarray(_refined_slot(adata, slot, key)) for slot in (keys.prior(key), keys.evidence(key), keys.call(key))
    )
    used = np.flatnonzero(np.isfinite(np.asarray(lookup.slot(adata, "var", keys.scale(key), key), dtype=float)))
    labels = lookup.gene_names(adata, key).to_numpy(dtype=str)[used]
    places = {name: j for j, name in enumerate(names)}
    parts = []
    for name in _chosen(adata, pathways, key):
        j = places[name]
        odds = prior[used, j].astype(float) + evidence[used, j]
        annotated = member[:, [j]].toarray().ravel()[used] > 0
        decided = code[used, j]
        kept = np.isfinite(odds) & np.isin(decided, wanted)
        if not everything:
            kept &= annotated | (odds >= 0) | (decided > 0)
        order = np.lexsort((labels, -odds))
        order = order[kept[order]]
        columns = {
            "pathway": np.full(len(order), name, dtype=object),
            "gene": labels[order].astype(object),
            "prior": prior[used, j][order].astype(float),
            "evidence": evidence[used, j][order].astype(float),
            "posterior": expit(odds[order]),
            "local_fdr": expit(np.where(annotated & (odds < 0), odds, -odds)[order]),
            "call": np.array(CALLS, dtype=object)[decided[order]],
            "annotated": annotated[order],
        }
        parts.append(pd.DataFrame(columns))
    words = dict.fromkeys(("pathway", "gene", "call"), str)  # also of tables without rows
    return pd.concat(parts, ignore_index=True).astype(words)


def _of_pathways(adata: AnnData, pathways: str | Sequence[str] | None, key: str) -> pd.DataFrame:
    """The report of ``pae.tl.refine``, one row per pathway."""
    table = lookup.analysis(adata, key, keys.GROUPED, keys.REFINEMENT, f"refine(adata, key={key!r})")
    if pathways is None:
        return table
    return table.set_index("pathway").loc[_chosen(adata, pathways, key)].reset_index()


@gated()
def refined(
    adata: AnnData,
    *,
    threshold: float | None = None,
    undecided: bool = True,
    carried_only: bool = False,
    key: str = keys.DEFAULT,
) -> GeneSetCollection:
    """Return the gene sets after refinement.

    Parameters
    ----------
    adata
        An AnnData after ``pae.tl.refine``; see :func:`refinement` for the slots read.
    threshold
        ``None``: sets follow the calls: the annotated genes without the dropped ones, and the added ones. A number
        from 0 to 1: all genes with a posterior of at least that, whatever was called.
    undecided
        Keep annotated genes that were neither confirmed nor dropped. Of no effect with a threshold.
    carried_only
        Leave out pathways that the cells do not carry, see :func:`refinement`.
    key
        Key of the fit.

    Returns
    -------
    GeneSetCollection
        Genes of the model alone, under their names in the pathways, annotated ones first as they stand in the table of
        :func:`refinement`; the description of a set counts its calls. Pathways that could not be weighed stay as
        they are, and sets without genes are left out. ``.to_gmt(path)`` writes it, and ``pae.tl.fit`` takes it.

    Raises
    ------
    KeyError
        If nothing was fitted or refined under `key`.
    ValueError
        If `threshold` is not between 0 and 1.

    Examples
    --------
    >>> import pathwayae as pae
    >>> adata = pae.datasets.simulate(500, 300, 6)
    >>> pae.tl.fit(adata, "pathways", n_extra=2, progress=False)
    >>> pae.tl.refine(adata, progress=False)
    >>> sets = pae.get.refined(adata)
    >>> pae.tl.fit(adata, sets, n_extra=2, progress=False)
    """
    if threshold is not None and not 0 <= threshold <= 1:
        msg = f"threshold={threshold!r} is no probability; choose a value from 0 to 1, or None to follow the calls."
        raise ValueError(msg)
    summary = _of_pathways(adata, None, key)
    table = refinement(adata, everything=threshold is not None, key=key)
    if threshold is None:
        kept = table["call"].isin(["confirmed", "added"])
        if undecided:
            kept |= table["annotated"] & (table["call"] == "undecided")
    else:
        kept = table["posterior"] >= threshold
    genes = {str(name): group["gene"].tolist() for name, group in table[kept].groupby("pathway", sort=False)}
    member = sparse.csc_array(lookup.slot(adata, "varm", keys.membership(key), key))
    labels = lookup.gene_names(adata, key).to_numpy(dtype=str)
    sets, about = {}, {}
    for j, row in enumerate(summary.to_dict("records")):
        name = row["pathway"]
        if row["verdict"] == "not weighed":
            genes[name] = sorted(labels[member[:, [j]].toarray().ravel() > 0].tolist())
        if genes.get(name) and not (carried_only and row["verdict"] != "carried"):
            sets[name] = genes[name]
            about[name] = ", ".join(f"{row[f'n_{call}']} {call}" for call in (*CALLS[1:], CALLS[0]))
    return GeneSetCollection(sets, about)


def _calls(calls: str | Sequence[str] | None) -> list[int]:
    """Codes of the calls asked for."""
    chosen = CALLS if calls is None else [calls] if isinstance(calls, str) else list(calls)
    unknown = [name for name in chosen if name not in CALLS]
    if unknown or not chosen:
        msg = f"calls={calls!r}: choose from {', '.join(map(repr, CALLS))}, or None for all."
        raise ValueError(msg)
    return [CALLS.index(name) for name in chosen]


def _chosen(adata: AnnData, pathways: str | Sequence[str] | None, key: str) -> list[str]:
    """Names of pathways; free components have no members to weigh."""
    own = component_names(adata, key=key)[: _n_pathways(adata, key)]
    if pathways is None:
        return own
    chosen = component_names(adata, pathways, key=key)
    free = [name for name in chosen if name not in own]
    if free:
        msg = f"{free[0]!r} is a free component: it has no annotated genes to refine. Name pathways."
        raise KeyError(msg)
    return chosen


def _n_pathways(adata: AnnData, key: str) -> int:
    return int(lookup.value(adata, key, keys.N_PATHWAYS, kind=keys.GROUPED))


def _refined_slot(adata: AnnData, slot: str, key: str) -> object:
    lookup.analysis(adata, key, keys.GROUPED, keys.REFINEMENT, f"refine(adata, key={key!r})")
    return lookup.slot(adata, "varm", slot, key)
