"""The true-path rule: a gene annotated to a term belongs to every term above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets.annotations import Annotations
from pathwayae.core.notice import listed, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pathwayae.core.genesets.ontology import Ontology


def resolve(annotations: Annotations, ontology: Ontology) -> Annotations:
    r"""Write annotations with the ids of terms in use.

    Alternative ids become the primary one, obsolete terms their replacement if it is unique. What is left is dropped
    with a warning.

    Parameters
    ----------
    annotations
        The annotations.
    ontology
        The ontology.

    Returns
    -------
    The annotations, their report completed with ``"alternative id"``, ``"replaced term"``, ``"obsolete term"`` and
    ``"unknown term"`` (the last two are excluded).

    Raises
    ------
    ValueError
        If no term is in use in the ontology.

    Examples
    --------
    >>> from pathwayae.core.genesets.annotations import read_annotations
    >>> from pathwayae.core.genesets.ontology import parse_obo
    >>> found = read_annotations(pd.DataFrame({"gene": ["CD3D"], "term": ["GO:7"]}))
    >>> resolved = resolve(found, parse_obo("[Term]\nid: GO:1\nalt_id: GO:7\n"))
    >>> resolved.table["term"].tolist(), resolved.report["alternative id"]
    (['GO:1'], 1)
    """
    table = annotations.table
    different = list(dict.fromkeys(table["term"]))
    obsolete = set(ontology.terms.index[ontology.terms["obsolete"].astype(bool)])
    kinds = {
        term: (
            "kept" if term in ontology.graph
            else ("replaced term" if term in obsolete else "alternative id") if term in ontology.current
            else "obsolete term" if term in obsolete
            else "unknown term"
        )
        for term in different
    }  # fmt: skip
    counts = table["term"].map(kinds).value_counts()
    steps = ("alternative id", "replaced term", "obsolete term", "unknown term")
    report = {key: value for key, value in annotations.report.items() if key not in (*steps, "kept")}
    report |= {step: annotations.report.get(step, 0) + int(counts.get(step, 0)) for step in steps}
    resolved = table.assign(term=table["term"].map(ontology.current)).dropna(subset=["term"]).reset_index(drop=True)
    report["kept"] = len(resolved)
    if resolved.empty:
        msg = (
            f"none of {len(different)} annotated terms is in use in the ontology: annotations hold "
            f"{listed(different)}, the ontology {listed(ontology.graph.names)}. {_advice(annotations, ontology)}"
        )
        raise ValueError(msg)
    if n_lost := len(table) - len(resolved):
        examples = [term for term in different if term not in ontology.current]
        warn(
            f"{n_lost} of {len(table)} annotations dropped: {int(counts.get('obsolete term', 0))} to obsolete terms "
            f"without a single replacement, {int(counts.get('unknown term', 0))} to unknown terms, e.g. "
            f"{listed(examples)}"
        )
    return Annotations(resolved, report)


def propagate(
    annotations: Annotations, ontology: Ontology, terms: Sequence[str] | None = None
) -> tuple[pd.Index[str], sparse.csr_matrix[np.bool_]]:
    r"""Lay out which gene belongs to which term, directly or through a term below.

    Parameters
    ----------
    annotations
        The annotations, with terms in use (see :func:`resolve`).
    ontology
        The ontology.
    terms
        Terms in use to give, in order; by default all.

    Returns
    -------
    The genes, sorted, and a boolean matrix, genes × terms.

    Examples
    --------
    >>> from pathwayae.core.genesets.annotations import read_annotations
    >>> from pathwayae.core.genesets.ontology import parse_obo
    >>> ontology = parse_obo("[Term]\nid: GO:1\n[Term]\nid: GO:2\nis_a: GO:1\n")
    >>> found = read_annotations(pd.DataFrame({"gene": ["CD3D", "C3"], "term": ["GO:2", "GO:1"]}))
    >>> genes, matrix = propagate(found, ontology)
    >>> list(genes), matrix.toarray().astype(int).tolist()
    (['C3', 'CD3D'], [[1, 0], [1, 1]])
    """
    rows, genes = pd.factorize(annotations.table["gene"], sort=True)
    columns = annotations.table["term"].map(ontology.graph.positions).to_numpy()
    shape = (len(genes), len(ontology.graph))
    direct = sparse.csr_matrix((np.ones(len(rows), dtype=np.bool_), (rows, columns)), shape=shape, dtype=np.bool_)
    matrix = (direct @ _up_to(ontology, terms)).tocsr()
    matrix.sort_indices()
    return pd.Index(genes), matrix


def propagate_weights(
    annotations: Annotations,
    weights: Sequence[float],
    ontology: Ontology,
    terms: Sequence[str],
) -> tuple[pd.Index[str], sparse.csr_matrix[np.float64]]:
    r"""Lay out how strongly each gene belongs to each term: the greatest weight of an annotation that supports it.

    Parameters
    ----------
    annotations
        The annotations, with terms in use (see :func:`resolve`).
    weights
        One per row of the annotations, positive.
    ontology
        The ontology.
    terms
        Terms in use to give, in order.

    Returns
    -------
    The genes, sorted, and a matrix, genes × terms.

    Examples
    --------
    >>> from pathwayae.core.genesets.annotations import read_annotations
    >>> from pathwayae.core.genesets.ontology import parse_obo
    >>> ontology = parse_obo("[Term]\nid: GO:1\n[Term]\nid: GO:2\nis_a: GO:1\n")
    >>> found = read_annotations(pd.DataFrame({"gene": ["CD3D", "CD3D"], "term": ["GO:1", "GO:2"]}))
    >>> propagate_weights(found, [0.2, 0.9], ontology, ["GO:1", "GO:2"])[1].toarray().tolist()
    [[0.9, 0.9]]
    """
    codes, genes = pd.factorize(annotations.table["gene"], sort=True)
    places = annotations.table["term"].map(ontology.graph.positions).to_numpy()
    reached = _up_to(ontology, terms)[places].tocoo()  # annotations × terms
    rows, columns = codes[reached.row], reached.col
    values = np.asarray(weights, dtype=np.float64)[reached.row]
    order = np.lexsort((values, columns, rows))
    rows, columns, values = rows[order], columns[order], values[order]
    greatest = np.ones(len(rows), dtype=np.bool_)
    greatest[:-1] = (rows[1:] != rows[:-1]) | (columns[1:] != columns[:-1])
    shape = (len(genes), reached.shape[1])
    matrix = sparse.csr_matrix((values[greatest], (rows[greatest], columns[greatest])), shape=shape)
    return pd.Index(genes), matrix


def _up_to(ontology: Ontology, terms: Sequence[str] | None) -> sparse.csr_matrix[np.bool_]:
    closure = ontology.graph.closure
    return closure if terms is None else closure[:, [ontology.graph.positions[term] for term in terms]]


def _advice(annotations: Annotations, ontology: Ontology) -> str:
    if any(gene in ontology.current for gene in annotations.table["gene"].unique()):
        return "The genes look like terms: swap gene=… and term=…."
    return "Use annotations and ontology of the same kind and, as far as possible, of the same release."
