"""How specifically genes belong to pathways: the most specific sets of a gene, and memberships with weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.gates import gated
from pathwayae.core.genesets import membership, propagate
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.hierarchy import check_hierarchy
from pathwayae.core.genesets.ontology_sets import as_ontology, as_sets, term_ids
from pathwayae.core.notice import warn

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    import numpy.typing as npt

    from pathwayae.core.genesets.annotations import Annotations
    from pathwayae.core.genesets.hierarchy import Hierarchy
    from pathwayae.core.genesets.ontology import Ontology
    from pathwayae.core.genesets.ontology_sets import Sets


@gated(
    own=(
        "collection",
        "hierarchy",
    )
)
def most_specific(collection: Sets, hierarchy: Hierarchy) -> GeneSetCollection:
    """Keep a gene only in those of its sets below which no other set holds it.

    Parameters
    ----------
    collection
        The sets.
    hierarchy
        Their hierarchy; every set must be in it.

    Returns
    -------
    The same sets in the same order, some of them smaller, some of them perhaps empty.

    Raises
    ------
    TypeError
        If `collection` or `hierarchy` is something else.
    KeyError
        If a set is not in the hierarchy.

    Examples
    --------
    >>> from pathwayae.gs import Hierarchy
    >>> pathways = GeneSetCollection({"immune": ["C3", "CD3D"], "T cell": ["CD3D"]})
    >>> dict(most_specific(pathways, Hierarchy({"immune": (), "T cell": ("immune",)})))
    {'immune': ('C3',), 'T cell': ('CD3D',)}
    """
    collection = as_sets(collection, "most_specific(collection, hierarchy)")
    check_hierarchy(hierarchy, collection)
    genes = collection.genes
    matrix = _specific(collection.membership(genes).matrix, collection, hierarchy).tocsc()
    matrix.sort_indices()
    kept = {
        name: {genes[i] for i in matrix.indices[matrix.indptr[j] : matrix.indptr[j + 1]]}
        for j, name in enumerate(collection)
    }
    sets = {name: tuple(gene for gene in listed if gene in kept[name]) for name, listed in collection.items()}
    return GeneSetCollection(sets, collection.descriptions)


@gated(
    own=(
        "collection",
        "hierarchy",
        "unannotated",
    )
)
def specific_classes(
    collection: Sets,
    hierarchy: Hierarchy,
    var_names: membership.VarNames,
    *,
    unannotated: float = -1,
) -> npt.NDArray[np.float64]:
    """Give every gene of a matrix one class: its most specific pathway.

    Among the sets of a gene below which no other set holds it, the one with the fewest genes in the data is taken,
    then the deepest, then the first. Sizes are those of the whole sets, not of what :func:`most_specific` leaves.

    Parameters
    ----------
    collection
        The sets.
    hierarchy
        Their hierarchy; every set must be in it.
    var_names
        Names of the genes of the matrix, each different, or the AnnData that has them.
    unannotated
        Value of the genes of no set: -1 (entropy only) or NaN (not regularised).

    Returns
    -------
    One value per gene: the position of its set, or -1 or NaN.

    Raises
    ------
    TypeError
        If `collection` or `hierarchy` is something else.
    KeyError
        If a set is not in the hierarchy.

    Examples
    --------
    >>> from pathwayae.gs import Hierarchy
    >>> pathways = GeneSetCollection({"immune": ["C3", "CD3D"], "T cell": ["CD3D"]})
    >>> specific_classes(pathways, Hierarchy({"immune": (), "T cell": ("immune",)}), ["CD3D", "ACTB", "C3"])
    array([ 1., -1.,  0.])
    """
    collection = as_sets(collection, "specific_classes(collection, hierarchy, var_names)")
    check_hierarchy(hierarchy, collection)
    whole = collection.membership(var_names).matrix
    sizes = np.bincount(whole.indices, minlength=len(collection))
    depths = np.array([hierarchy.depth(name) for name in collection], dtype=np.int64)
    order = np.lexsort((np.arange(len(collection)), -depths, sizes))
    matrix = _specific(whole, collection, hierarchy)[:, order]
    classes = membership.feature_classes(matrix, overlap="first", unannotated=unannotated)
    chosen = classes >= 0
    classes[chosen] = order[classes[chosen].astype(np.intp)]
    return classes


@gated(
    own=(
        "ontology",
        "collection",
    ),
    reads=("ontology",),
)
def weighted_membership(
    annotations: Annotations,
    ontology: Ontology | str | os.PathLike[str],
    collection: Sets,
    *,
    var_names: membership.VarNames,
    confidence: Mapping[str, float],
    default: float | None = None,
) -> sparse.csr_matrix[np.float64]:
    r"""Weigh each membership by the best evidence that supports it, here or in a term below.

    Parameters
    ----------
    annotations
        The annotations, with evidence codes.
    ontology
        The ontology, or the path of an OBO file.
    collection
        Sets that carry ids of terms, as :func:`pathwayae.gs.from_ontology` makes them.
    var_names
        Names of the genes of the matrix, each different, or the AnnData that has them.
    confidence
        Evidence code → weight above 0.
    default
        Weight of all other codes; by default they are an error.

    Returns
    -------
    Genes × pathways, sparse: the greatest weight of an annotation of the gene to the term or to one below it; 0 where
    the gene is not in the set. Rows follow `var_names` and columns the order of `collection`; the example puts both
    names to them.

    Raises
    ------
    ValueError
        If a code has no weight, a weight is not above 0, or a set carries no id of the ontology.

    Examples
    --------
    >>> import tempfile
    >>> import pathwayae as pae
    >>> with tempfile.NamedTemporaryFile("w+", suffix=".obo") as file:
    ...     print("[Term]\nid: GO:1\n[Term]\nid: GO:2\nis_a: GO:1", file=file, flush=True)
    ...     ontology = pae.gs.read_obo(file.name)
    >>> table = pd.DataFrame({"gene": ["CD3D", "C3"], "term": ["GO:2", "GO:1"], "evidence": ["IDA", "IEA"]})
    >>> sets = GeneSetCollection({"GO:1": ["CD3D", "C3"], "GO:2": ["CD3D"]})
    >>> found = pae.gs.read_annotations(table, evidence="evidence")
    >>> weights = {"IDA": 1.0, "IEA": 0.3}
    >>> genes = ["CD3D", "C3"]
    >>> weighted = pae.gs.weighted_membership(found, ontology, sets, var_names=genes, confidence=weights)
    >>> pd.DataFrame(weighted.toarray(), index=genes, columns=list(sets))
          GO:1  GO:2
    CD3D   1.0   1.0
    C3     0.3   0.0
    """
    call = "weighted_membership(annotations, ontology, collection)"
    ontology, collection = as_ontology(ontology, call), as_sets(collection, call)
    index = pd.Index(membership.names_of("var_names", var_names))
    ids = term_ids(collection, ontology)
    if lost := [name for name in collection if name not in ids]:
        msg = f"{len(lost)} of {len(collection)} sets carry no id of the ontology, e.g. {lost[0]!r}. Drop them first."
        raise ValueError(msg)
    found = propagate.resolve(annotations, ontology)
    weights = _weights(found.table["evidence"], confidence, default)
    genes, support = propagate.propagate_weights(found, weights, ontology, [ids[name] for name in collection])
    places = genes.get_indexer(index)
    annotated = np.flatnonzero(places >= 0)
    pick = sparse.csr_matrix((np.ones(len(annotated)), (annotated, places[annotated])), shape=(len(places), len(genes)))
    member = collection.membership(index).matrix
    weighted = (pick @ support).multiply(member).tocsr()
    weighted.eliminate_zeros()
    weighted.sort_indices()
    if n_lost := member.nnz - weighted.nnz:
        warn(
            f"{n_lost} of {member.nnz} memberships are supported by no annotation and get the weight 0. Give the "
            "annotations the sets were made from."
        )
    return weighted


def _specific(
    matrix: sparse.csr_matrix[np.bool_], collection: GeneSetCollection, hierarchy: Hierarchy
) -> sparse.csr_matrix[np.bool_]:
    """Drop memberships that a set below holds too."""
    among = hierarchy if hierarchy.names == tuple(collection) else hierarchy.restrict(collection)
    above = among.closure - sparse.identity(len(among), dtype=np.bool_, format="csr")
    covered = (matrix @ above).tocsr()  # genes × sets: a set below holds the gene
    specific = (matrix - matrix.multiply(covered)).tocsr()
    specific.eliminate_zeros()
    return specific


def _weights(evidence: pd.Series[str], confidence: Mapping[str, float], default: float | None) -> list[float]:
    given = dict(confidence) if default is None else {**confidence, "default": default}
    for code, weight in given.items():
        if not 0 < weight < np.inf:
            msg = f"confidence of {code!r} is {weight!r}. Give a finite number above 0, or filter the code out."
            raise ValueError(msg)
    counts = evidence.value_counts()
    missing = [f"{code or 'none'} ({count})" for code, count in counts.items() if code not in confidence]
    if missing and default is None:
        msg = (
            f"confidence has no weight for the evidence {', '.join(missing)}. Add the code(s), or give all others one "
            "weight with default=…."
        )
        raise ValueError(msg)
    return [float(confidence.get(code, default if default is not None else 0.0)) for code in evidence]
