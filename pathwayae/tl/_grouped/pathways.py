"""Pathways as an analyst has them → gene sets that fit the genes at hand."""

from __future__ import annotations

import logging
import os
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from pathwayae._slots import keys, lookup
from pathwayae.core.genesets.membership import guess_identifiers, mismatch_message
from pathwayae.core.genesets.redundancy import redundancy
from pathwayae.core.notice import listed, warn
from pathwayae.gs import GeneSetCollection, as_collection

logger = logging.getLogger("pathwayae")


def collect(adata: AnnData, pathways: Any, names: NDArray[np.str_]) -> GeneSetCollection:
    """A collection from whatever ``pae.tl.fit`` takes; a string is a key of ``varm`` first, then a file."""
    if isinstance(pathways, str) and pathways in adata.varm:
        return _from_varm(adata, pathways, names)
    if isinstance(pathways, str) and not os.path.exists(pathways):
        msg = (
            f"pathways={pathways!r} is neither a key of adata.varm ({', '.join(adata.varm) or 'which is empty'}) "
            "nor a file. Pass a GeneSetCollection, a GMT file, a dict, a long DataFrame or a key of adata.varm."
        )
        raise FileNotFoundError(msg)
    return as_collection(pathways)


def _from_varm(adata: AnnData, name: str, names: NDArray[np.str_]) -> GeneSetCollection:
    """Columns of a membership matrix as gene sets."""
    values = adata.varm[name]
    for read in ("to_memory", "compute"):  # of a lazily read AnnData
        values = getattr(values, read)() if hasattr(values, read) else values
    fitted = [one for one in adata.uns if keys.membership(one) == name]
    if isinstance(values, pd.DataFrame):
        columns = [str(column) for column in values.columns]
    elif fitted:
        columns = lookup.component_names(adata, fitted[0])[: values.shape[1]]
    else:
        columns = [f"pathway_{j + 1}" for j in range(values.shape[1])]
    member = sp.csc_matrix(values) if sp.issparse(values) else sp.csc_matrix(np.asarray(values, dtype=float))
    if not set(np.unique(member.data)) <= {0.0, 1.0}:
        msg = f"adata.varm[{name!r}] must be a membership of True/False or 1/0; it holds other values."
        raise ValueError(msg)
    member.eliminate_zeros()
    genes = np.split(names[member.indices], member.indptr[1:-1])
    return GeneSetCollection({own: tuple(members) for own, members in zip(columns, genes, strict=True)})


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
    Membership (g × p, boolean), report of the pathways kept and report of the pathways dropped, with a reason.
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
    share = kept["n_matched"].sum() / kept["n_genes"].sum()
    if share < 0.1:
        msg = (
            f"Only {share:.0%} of the genes of the pathways are among the {len(names)} genes of the model."
            f"{_other_kind(collection, names)}"
        )
        warn(msg)
    member = membership.matrix[:, np.flatnonzero(keep)]
    _say_how_redundant(member, kept["pathway"].tolist())
    return member, kept, dropped


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
