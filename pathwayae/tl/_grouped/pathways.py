"""Pathways as an analyst has them → gene sets that fit the genes at hand."""

from __future__ import annotations

import itertools
import logging
import os
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, lookup
from pathwayae.core.genesets.identifiers import guess_identifiers
from pathwayae.core.genesets.membership import mismatch_message
from pathwayae.core.genesets.naming import dates, misspelt
from pathwayae.core.genesets.redundancy import redundancy
from pathwayae.core.genesets.weights import matrix as weight_matrix
from pathwayae.core.notice import listed, warn
from pathwayae.gs import GeneSetCollection, as_collection

logger = logging.getLogger("pathwayae")

MISSPELT = 0.05  # of the genes of the pathways; more are a matter of spelling than the odd alias


def collect(adata: AnnData, pathways: Any, names: NDArray[np.str_]) -> GeneSetCollection:
    """A collection from whatever ``pae.tl.fit`` takes; a string is a key of ``varm`` first, then a file."""
    if isinstance(pathways, str) and pathways in adata.varm:
        return _from_varm(adata, pathways, names)
    if isinstance(pathways, str) and not os.path.exists(pathways):
        msg = (
            f"pathways={pathways!r} is neither a key of adata.varm ({', '.join(adata.varm) or 'which is empty'}), a "
            f"column of adata.var ({', '.join(map(str, adata.var)) or 'which has none'}) nor a file. Pass a "
            "GeneSetCollection, a GMT file, a dict, a long DataFrame, a key of adata.varm, or classes: one value per "
            "gene or a column of adata.var."
        )
        raise FileNotFoundError(msg)
    return as_collection(pathways)


def _from_varm(adata: AnnData, name: str, names: NDArray[np.str_]) -> GeneSetCollection:
    """Columns of a membership matrix as gene sets."""
    values = adata.varm[name]
    for read in ("to_memory", "compute"):  # of a lazily read AnnData
        values = getattr(values, read)() if hasattr(values, read) else values
    fitted = [one for one in adata.uns if keys.membership(one) == name]
    if fitted:
        refuse_weighted(lookup.plain(lookup.fit_of(adata, fitted[0]).get(keys.PARAMS, {})), f"fit(pathways={name!r})")
    if isinstance(values, pd.DataFrame):
        columns = [str(column) for column in values.columns]
    elif fitted:
        columns = lookup.component_names(adata, fitted[0])[: values.shape[1]]
    else:
        columns = [f"pathway_{j + 1}" for j in range(values.shape[1])]
    member = sp.csc_matrix(values if sp.issparse(values) else np.asarray(values, dtype=float), dtype=float)
    if not np.isfinite(member.data).all():
        msg = f"adata.varm[{name!r}] must be a membership of True/False, 1/0 or weights; it holds NaN or infinity."
        raise ValueError(msg)
    member.eliminate_zeros()
    parts = [slice(a, b) for a, b in itertools.pairwise(member.indptr)]
    genes = {own: tuple(names[member.indices[part]]) for own, part in zip(columns, parts, strict=True)}
    values = {own: member.data[part].tolist() for own, part in zip(columns, parts, strict=True)}
    return GeneSetCollection(genes, weights={own: dict(zip(genes[own], values[own], strict=True)) for own in genes})


def check_matched(collection: GeneSetCollection, names: Collection[str]) -> None:
    """Raise ValueError saying which identifiers both sides look like unless some gene of some pathway is there."""
    if not collection.genes:
        what = f"none of its {len(collection)} sets has a gene" if collection else "the collection has no sets"
        msg = f"pathways: {what}. Read it again, or filter it less."
        raise ValueError(msg)
    if set(collection.genes).isdisjoint(names):
        raise ValueError(mismatch_message(collection.genes, list(names)))


def _other_kind(collection: GeneSetCollection, names: NDArray[np.str_]) -> str:
    """What both sides look like, where the kinds of identifiers differ."""
    if guess_identifiers(collection.genes) == guess_identifiers(names):
        return ""
    return " " + mismatch_message(collection.genes, names)


def choose(
    collection: GeneSetCollection,
    names: NDArray[np.str_],
    min_genes: int,
    max_genes: int | None,
    *,
    constant: Collection[str] = (),
) -> tuple[sp.csr_matrix, pd.DataFrame, pd.DataFrame]:
    """Pathways with a permitted number of genes in the model.

    Parameters
    ----------
    names
        Genes of the model, shape (g,).
    constant
        Genes that were to be in the model but do not vary.

    Returns
    -------
    Membership (g × p; boolean, or float64 with the signs and sizes of members where the collection has weights),
    report of the pathways kept and report of the pathways dropped, with a reason.
    """
    membership = collection.membership(list(names))
    report = membership.report
    matched = report["n_matched"]
    few = matched < min_genes
    many = matched > max_genes if max_genes is not None else np.zeros(len(report), dtype=bool)
    keep = ~(few | many)
    if not keep.any():
        msg = (
            f"No pathway has {min_genes} genes or more{'' if max_genes is None else f' and {max_genes} or fewer'} in "
            f"the model; the most any of {len(report)} has is {matched.max()}. Lower min_genes or use more genes."
            f"{_other_kind(collection, names)}"
        )
        raise ValueError(msg)
    dropped = report.loc[~keep, ["pathway", "n_genes", "n_matched"]].reset_index(drop=True)
    dropped["reason"] = np.where(few[~keep], f"fewer than {min_genes} genes", f"more than {max_genes} genes")
    _report_constant(collection, dropped, min_genes, set(constant))
    kept = report[keep].reset_index(drop=True)
    _warn_of_names(collection, names, constant)
    share = kept["n_matched"].sum() / kept["n_genes"].sum()
    if share < 0.1:
        msg = (
            f"Only {share:.0%} of the genes of the pathways are among the {len(names)} genes of the model."
            f"{_other_kind(collection, names)}"
        )
        warn(msg)
    member = membership.matrix[:, np.flatnonzero(keep)]
    chosen = kept["pathway"].tolist()
    _say_how_redundant(member, chosen)
    weights = {name: own for name in chosen if (own := collection.weights.get(name))}
    if weights:
        member = weight_matrix(weights, chosen, names.tolist(), member)
        n_down = int((member.data < 0).sum())
        what = "%d of %d pathways have weights; %d of their members in the model go down with their pathway."
        logger.info(what, len(weights), len(chosen), n_down)
    return member, kept, dropped


def refuse_weights(membership: sp.csr_matrix, scores: str) -> None:
    """Raise where a descent would take genes that go down with a pathway for genes that go up with it."""
    if membership.dtype != bool and scores != "members":
        msg = (
            f"scores={scores!r} starts from memberships, which have neither signs nor sizes, and the pathways have "
            'weights. Use scores="members", or give the pathways without weights (from_frame(table, weight=None)).'
        )
        raise ValueError(msg)


def refuse_weighted(params: Mapping[str, Any], what: str) -> None:
    """Raise where a tool knows members of a fit as equals alone, and the fit has weights of members."""
    if params.get(keys.WEIGHTED, False):
        msg = (
            f"pae.tl.{what} takes the members of a pathway as equals, and this fit has weights of members (signs, "
            "sizes), which would be left out. Fit again without them: GeneSetCollection.from_frame(table, weight=None)."
        )
        raise ValueError(msg)


def _warn_of_names(collection: GeneSetCollection, names: NDArray[np.str_], constant: Collection[str]) -> None:
    """Say so where many genes are only written otherwise in the data."""
    genes = collection.genes
    found = misspelt(genes, [*names, *constant])
    if found.share >= MISSPELT:
        warn(
            f"{len(found.names):,} of {len(genes):,} genes of the pathways ({found.share:.0%}) are in the "
            f"data under another spelling ({found.described}) and are not used: pass "
            "pae.gs.match_genes(pathways, adata) instead of the pathways."
        )
    for sentence in dates(genes, names):
        warn(sentence)


def _say_how_redundant(member: sp.csr_matrix, names: list[str]) -> None:
    """Log how many pathways are much like another, by their genes in the model; merging them is left to the user."""
    if len(names) < 2 or not logger.isEnabledFor(logging.INFO):
        return
    n_alike, n_left = redundancy(member, names)
    logger.info(
        "%s of %s pathways share half of their genes or more with another (Jaccard index of 0.5)%s.",
        *(f"{n_alike:,}", f"{len(names):,}"),
        f"; pae.gs.as_collection(pathways).filter(genes=adata).merge_similar() would leave {n_left:,}"
        if n_left < len(names)
        else "",
    )


def _report_constant(collection: GeneSetCollection, dropped: pd.DataFrame, min_genes: int, constant: set[str]) -> None:
    """Say which pathways are dropped because their genes are there but do not vary."""
    if not constant:
        return
    here = np.array([len(constant.intersection(collection[name])) for name in dropped["pathway"]], dtype=int)
    flat = (dropped["n_matched"] < min_genes) & (dropped["n_matched"] + here >= min_genes)
    dropped.loc[flat, "reason"] = f"fewer than {min_genes} genes that vary"
    if flat.any():
        msg = (
            f"{int(flat.sum())} pathways have fewer than {min_genes} genes that vary and get no score: "
            f"{listed(dropped.loc[flat, 'pathway'], 5, quoted=False)}."
        )
        warn(msg)
