"""Gene sets from an ontology and annotations, and what a hierarchy says about gene sets."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd

from pathwayae.core.gates import gated
from pathwayae.core.genesets import propagate
from pathwayae.core.genesets.annotations import Annotations, read_annotations, read_gaf
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.hierarchy import Hierarchy, within
from pathwayae.core.genesets.ontology import Ontology, read_obo
from pathwayae.core.notice import listed, warn

if TYPE_CHECKING:
    from pathwayae.core.genesets.hierarchy import Span

logger = logging.getLogger("pathwayae")

Slim: TypeAlias = "Ontology | str | os.PathLike[str] | Iterable[str]"
Sets: TypeAlias = "GeneSetCollection | Mapping[str, Iterable[str]]"

_SHORT = {"BP": "biological_process", "MF": "molecular_function", "CC": "cellular_component"}
_TOKEN = re.compile(r"[^\s()\[\]{}%|;,]+")


@gated(own=("ontology", "annotations"), reads=("ontology", "annotations"))
def from_ontology(
    ontology: Ontology | str | os.PathLike[str],
    annotations: Annotations | Sets | pd.DataFrame | str | os.PathLike[str],
    *,
    min_genes: int = 1,
    max_genes: int | None = None,
    namespace: str | Iterable[str] | None = None,
    depth: Span | None = None,
    level: Span | None = None,
    slim: Slim | None = None,
    roots: str | Iterable[str] | None = None,
    name: str = "{id} {name}",
) -> GeneSetCollection:
    r"""Make gene sets of the terms of an ontology.

    A gene annotated to a term belongs to all terms above it (the true-path rule); sets are made after that. Several
    choices of terms are combined: a term must satisfy all.

    Parameters
    ----------
    ontology
        The ontology, or the path of an OBO file (read with its defaults).
    annotations
        Which gene has which term: annotations, the path of a GAF file, a table with the columns ``gene`` and
        ``term``, or a collection or dict of sets that carry ids of terms
        in their descriptions or names.
    min_genes, max_genes
        Fewest and most genes of a set.
    namespace
        Namespace(s) to keep, such as ``"biological_process"``; "BP", "MF" and "CC" will do.
    depth, level
        Keep terms whose longest (`depth`) or shortest (`level`) way up to a root has so many steps: a whole number,
        or a pair (least, most), both included, where ``None`` is no limit. Roots have 0.
    slim
        Keep the terms of a slim: name of a subset of the ontology, path of an OBO file, an ontology, or ids.
    roots
        Keep these terms and what lies below them.
    name
        How to call a set; ``{id}``, ``{name}`` and ``{namespace}`` are filled in.

    Returns
    -------
    Sets sorted by id, their genes sorted by name; the description is the id. :func:`hierarchy_of` gives their
    hierarchy.

    Raises
    ------
    TypeError
        If `ontology` or `annotations` is something else.
    ValueError
        If no annotation meets the ontology, a choice names what does not exist, or two sets would share a name.

    Examples
    --------
    >>> import tempfile
    >>> import pathwayae as pae
    >>> terms = ["id: GO:1\nname: immune response", "id: GO:2\nname: T cell activation\nis_a: GO:1"]
    >>> with tempfile.NamedTemporaryFile("w+", suffix=".obo") as file:
    ...     print(*[f"[Term]\n{term}" for term in terms], sep="\n", file=file, flush=True)
    ...     ontology = pae.gs.read_obo(file.name)
    >>> dict(pae.gs.from_ontology(ontology, pd.DataFrame({"gene": ["CD3D", "C3"], "term": ["GO:2", "GO:1"]})))
    {'GO:1 immune response': ('C3', 'CD3D'), 'GO:2 T cell activation': ('CD3D',)}
    """
    if min_genes < 1 or (max_genes is not None and max_genes < min_genes):
        msg = f"min_genes={min_genes} and max_genes={max_genes} leave no size. Choose 1 <= min_genes <= max_genes."
        raise ValueError(msg)
    graph = as_ontology(ontology, "from_ontology(ontology, annotations)")
    terms = _select(graph, namespace=namespace, depth=depth, level=level, slim=slim, roots=roots)
    found = propagate.resolve(_as_annotations(annotations, graph), graph)
    genes, matrix = propagate.propagate(found, graph, terms)
    columns = matrix.tocsc()
    columns.sort_indices()
    sizes = np.diff(columns.indptr)
    kept = np.flatnonzero((sizes >= min_genes) & (sizes <= (np.inf if max_genes is None else max_genes)))
    logger.info(
        "%d sets of %d terms in use: %d chosen, %d of them without genes or of another size",
        len(kept), len(graph.graph), len(terms), len(terms) - len(kept),
    )  # fmt: skip
    names = _names(graph, [terms[i] for i in kept], name)
    symbols = genes.to_numpy(dtype=object)
    sets = {
        label: tuple(symbols[columns.indices[columns.indptr[i] : columns.indptr[i + 1]]])
        for label, i in zip(names, kept, strict=True)
    }
    return GeneSetCollection(sets, {label: terms[i] for label, i in zip(names, kept, strict=True)})


def term_ids(collection: Sets, ontology: Ontology | str | os.PathLike[str]) -> dict[str, str]:
    r"""Find the terms that gene sets stand for, by the ids they carry.

    Parameters
    ----------
    collection
        Sets whose description is an id, or whose name contains one ("immune response (GO:0006955)").
    ontology
        The ontology, or the path of an OBO file; alternative ids and replaced terms are followed.

    Returns
    -------
    Set name → id of the term in use, for the sets where there is exactly one.

    Examples
    --------
    >>> from pathwayae.core.genesets.ontology import parse_obo
    >>> ontology = parse_obo("[Term]\nid: GO:1\nalt_id: GO:7\n")
    >>> term_ids(GeneSetCollection({"immune response (GO:7)": ["C3"], "hypoxia": ["VEGFA"]}), ontology)
    {'immune response (GO:7)': 'GO:1'}
    """
    call = "term_ids(collection, ontology)"
    descriptions = as_sets(collection, call).descriptions
    current = as_ontology(ontology, call).current
    found: dict[str, str] = {}
    for name, description in descriptions.items():
        own = description.partition("; ")[0]  # merge_similar adds to a description
        terms = {current[own]} if own in current else set()
        terms = terms or {current[token] for token in _TOKEN.findall(name) if token in current}
        if len(terms) == 1:
            found[name] = terms.pop()
    return found


@gated(own=("collection", "ontology"), reads=("ontology",))
def hierarchy_of(collection: Sets, ontology: Ontology | str | os.PathLike[str]) -> Hierarchy:
    r"""Give gene sets the hierarchy of the terms they stand for.

    Parameters
    ----------
    collection
        Sets that carry ids of terms: of :func:`from_ontology`, of Reactome, or of any GMT with ids in its names or
        descriptions.
    ontology
        The ontology, or the path of an OBO file (read with its defaults).

    Returns
    -------
    A hierarchy of the set names, in the order of the collection. Where terms between two sets are missing, parenthood
    passes through. Sets without a term stand alone, with a warning.

    Raises
    ------
    TypeError
        If `collection` or `ontology` is something else.
    ValueError
        If no set carries an id of the ontology.

    Examples
    --------
    >>> import tempfile
    >>> import pathwayae as pae
    >>> with tempfile.NamedTemporaryFile("w+", suffix=".obo") as file:
    ...     terms = ["id: GO:1", "id: GO:2\nis_a: GO:1", "id: GO:3\nis_a: GO:2"]
    ...     print(*[f"[Term]\n{term}" for term in terms], sep="\n", file=file, flush=True)
    ...     ontology = pae.gs.read_obo(file.name)
    >>> pae.gs.hierarchy_of(GeneSetCollection({"T (GO:3)": ["CD3D"], "all (GO:1)": ["CD3D"]}), ontology).parents
    {'T (GO:3)': ('all (GO:1)',), 'all (GO:1)': ()}
    """
    call = "hierarchy_of(collection, ontology)"
    sets, ontology = as_sets(collection, call), as_ontology(ontology, call)
    ids = _ids(sets, ontology)
    if lost := [name for name in sets if name not in ids]:
        warn(
            f"{len(lost)} of {len(sets)} sets have no term in use in the ontology and stand alone in the "
            f"hierarchy, e.g. {listed(lost)}"
        )
    sets_of: dict[str, list[str]] = {}
    for name, term in ids.items():
        sets_of.setdefault(term, []).append(name)
    above = ontology.graph.restrict(sets_of).parents
    return Hierarchy(
        {
            name: tuple(one for parent in above[ids[name]] for one in sets_of[parent]) if name in ids else ()
            for name in sets
        }
    )


def as_sets(collection: object, call: str) -> GeneSetCollection:
    """Take a collection, or make one of a mapping.

    Parameters
    ----------
    collection
        What was given.
    call
        The function with its parameters in order, for the error.

    Returns
    -------
    The collection.

    Raises
    ------
    TypeError
        If `collection` is neither.

    Examples
    --------
    >>> as_sets({"T": ["CD3D"]}, "hierarchy_of(collection, ontology)")
    GeneSetCollection(1 set, 1 gene: 'T')
    """
    if isinstance(collection, Mapping):
        return collection if isinstance(collection, GeneSetCollection) else GeneSetCollection(collection)
    msg = (
        f"{call}: collection must be a GeneSetCollection or a dict of name → genes, found {type(collection).__name__}. "
        "Mind the order of the arguments; a GMT file is read by pae.gs.read_gmt."
    )
    raise TypeError(msg)


def as_ontology(ontology: object, call: str) -> Ontology:
    r"""Take an ontology, or read one from a path.

    Parameters
    ----------
    ontology
        What was given.
    call
        The function with its parameters in order, for the error.

    Returns
    -------
    The ontology.

    Raises
    ------
    TypeError
        If `ontology` is neither.

    Examples
    --------
    >>> from pathwayae.core.genesets.ontology import parse_obo
    >>> as_ontology(parse_obo("[Term]\nid: GO:1\n"), "hierarchy_of(collection, ontology)")
    Ontology(1 term, 0 obsolete)
    """
    if isinstance(ontology, Ontology):
        return ontology
    if isinstance(ontology, (str, os.PathLike)):
        return read_obo(ontology)
    msg = (
        f"{call}: ontology must be an Ontology (of pae.gs.read_obo or read_reactome) or the path of an OBO file, found "
        f"{type(ontology).__name__}. Mind the order of the arguments."
    )
    raise TypeError(msg)


def _ids(collection: GeneSetCollection, ontology: Ontology) -> dict[str, str]:
    """Terms of the sets (:func:`term_ids`), at least one."""
    if not collection:
        msg = "the collection has no sets. Read it again, or filter it less."
        raise ValueError(msg)
    ids = term_ids(collection, ontology)
    if not ids:
        swapped = any(gene in ontology.current for gene in collection.genes)
        advice = (
            "The genes look like terms: give term → genes."
            if swapped
            else "Use the ontology of these sets (read_reactome gives Reactome's), or put its ids into the names or "
            "the descriptions of the sets."
        )
        msg = (
            f"none of {len(collection)} sets carries an id of the ontology: sets like {listed(collection)}, ids like "
            f"{listed(ontology.graph.names)}. {advice}"
        )
        raise ValueError(msg)
    return ids


def _as_annotations(
    annotations: Annotations | Sets | pd.DataFrame | str | os.PathLike[str], ontology: Ontology
) -> Annotations:
    if isinstance(annotations, Annotations):
        return annotations
    if isinstance(annotations, Mapping):
        sets = as_sets(annotations, "from_ontology(ontology, annotations)")
        ids = _ids(sets, ontology)
        if lost := [name for name in sets if name not in ids]:
            warn(f"{len(lost)} of {len(sets)} sets carry no id of a term in use and are left out, e.g. {listed(lost)}")
        pairs = [(gene, term) for name, term in ids.items() for gene in sets[name]]
        return read_annotations(pd.DataFrame(pairs, columns=["gene", "term"]))
    if isinstance(annotations, pd.DataFrame):
        return read_annotations(annotations, evidence="evidence" if "evidence" in annotations else None)
    if isinstance(annotations, (str, os.PathLike)):
        return read_gaf(annotations)
    msg = (
        f"annotations is of type {type(annotations).__name__}. Pass annotations (of pae.gs.read_gaf or "
        "read_annotations), the path of a GAF file, a table with the columns 'gene' and 'term', or a GeneSetCollection "
        "or dict of term → genes."
    )
    raise TypeError(msg)


def _select(
    ontology: Ontology,
    *,
    namespace: str | Iterable[str] | None,
    depth: Span | None,
    level: Span | None,
    slim: Slim | None,
    roots: str | Iterable[str] | None,
) -> list[str]:
    graph = ontology.graph
    keep = np.ones(len(graph), dtype=np.bool_)
    if namespace is not None:
        spaces = ontology.terms.loc[list(graph.names), "namespace"]
        given = [namespace] if isinstance(namespace, str) else list(namespace)
        wanted = [_SHORT.get(one, one) for one in given]
        known = sorted(set(spaces))
        if unknown := [one for one in wanted if one not in known]:
            msg = f"namespace={namespace!r}: no term in use is in {listed(unknown)}. The ontology has {listed(known)}."
            raise ValueError(msg)
        keep &= spaces.isin(wanted).to_numpy()
    if depth is not None:
        keep &= within("depth", depth, graph.depths)
    if level is not None:
        keep &= within("level", level, graph.levels)
    if slim is not None:
        keep &= np.isin(np.array(graph.names, dtype=object), _slim_terms(slim, ontology))
    if roots is not None:
        given = [roots] if isinstance(roots, str) else list(roots)
        if unknown := [one for one in given if one not in ontology.current]:
            msg = f"roots={roots!r}: {listed(unknown)} not in use in the ontology. Ids look like {listed(graph.names)}."
            raise ValueError(msg)
        positions = [graph.positions[ontology.current[one]] for one in given]
        keep &= graph.closure[:, positions].sum(axis=1).A1 > 0 if positions else False
    return [graph.names[i] for i in np.flatnonzero(keep)]


def _slim_terms(slim: Slim, ontology: Ontology) -> list[str]:
    if isinstance(slim, (str, os.PathLike)):
        if isinstance(slim, str) and not os.path.exists(slim):
            return list(ontology.subset(slim))
        slim = read_obo(slim, relations=())
    wanted_terms = list(slim.graph.names) if isinstance(slim, Ontology) else list(slim)
    found = [ontology.current[term] for term in wanted_terms if term in ontology.current]
    lost = [term for term in wanted_terms if term not in ontology.current]
    if not found:
        msg = f"slim: none of {len(wanted_terms)} terms is in use in the ontology, {listed(lost)}. Give GO's own slim."
        raise ValueError(msg)
    if lost:
        warn(f"slim: {len(lost)} of {len(wanted_terms)} terms are not in use in the ontology, e.g. {listed(lost)}")
    return found


def _names(ontology: Ontology, terms: list[str], pattern: str) -> list[str]:
    table = ontology.terms.loc[terms]
    try:
        names = [
            pattern.format(id=term, name=name, namespace=namespace).strip()
            for term, name, namespace in zip(terms, table["name"], table["namespace"], strict=True)
        ]
    except (KeyError, IndexError, ValueError) as error:
        msg = f"name={pattern!r} cannot be filled in ({error!r}). Use {{id}}, {{name}} and {{namespace}} only."
        raise ValueError(msg) from error
    repeated = pd.Index(names)[pd.Index(names).duplicated()]
    if len(repeated):
        msg = f"name={pattern!r} gives several sets the name {repeated[0]!r}. Put {{id}} into it."
        raise ValueError(msg)
    return names
