"""Gene sets: read, write and convert collections of pathways."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Set
from pathlib import Path
from typing import Any, Literal, TypeAlias

import pandas as pd

from pathwayae.core import kinds
from pathwayae.core.gates import gated
from pathwayae.core.genesets import gmt
from pathwayae.core.genesets.annotations import Annotations, read_annotations, read_gaf
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.genes import gene_names
from pathwayae.core.genesets.hierarchy import Hierarchy
from pathwayae.core.genesets.naming import misspelt
from pathwayae.core.genesets.ontology import Ontology, read_obo
from pathwayae.core.genesets.ontology_sets import from_ontology, hierarchy_of
from pathwayae.core.genesets.reactome import read_reactome, rename_wikipathways
from pathwayae.core.genesets.specific import most_specific, specific_classes, weighted_membership
from pathwayae.core.notice import listed, warn

__all__ = [
    "Annotations",
    "GeneSetCollection",
    "Hierarchy",
    "Ontology",
    "as_collection",
    "from_ontology",
    "hierarchy_of",
    "match_genes",
    "most_specific",
    "read_annotations",
    "read_gaf",
    "read_gmt",
    "read_obo",
    "read_reactome",
    "rename_wikipathways",
    "specific_classes",
    "weighted_membership",
]

logger = logging.getLogger("pathwayae")

FILES = (".gmt", ".gmt.gz", ".json", ".xml", ".grp", ".gmx", ".txt", ".csv", ".tsv", ".zip")
Pathways: TypeAlias = (
    GeneSetCollection | str | os.PathLike[str] | Mapping[str, Iterable[str]] | pd.DataFrame | Iterable[str]
)


@gated(reads=("path",))
def read_gmt(
    path: str | os.PathLike[str],
    *,
    duplicates: Literal["error", "number"] = "error",
    description: bool | Literal["auto"] = "auto",
) -> GeneSetCollection:
    """Read a GMT file, or gene sets in JSON, XML, GMX or as a plain list of genes.

    Files may be packed (gzip, bzip2, xz, or a zip archive of one file). In GMT fields are separated by tabs alone. Sets
    without genes are dropped and repeated genes of a set are kept once; one warning counts both. ``GENE,1.0`` (Enrichr)
    and ``GENE;d`` are weights of members, see :class:`GeneSetCollection`.

    Parameters
    ----------
    path
        The file: one set per line, name, description and genes separated by tabs; or MSigDB's JSON or XML, a JSON
        object name → genes, sets in columns (``.gmx``), or one gene per line (GRP; one set).
    duplicates
        Sets of the same name are never merged: ``"error"`` refuses them; ``"number"`` calls them ``NAME``, ``NAME_2``,
        ``NAME_3`` …, passing over names that exist already.
    description
        Whether the second column of a GMT file is a description (True) or a gene already (False). ``"auto"``: decided
        from the whole file, which is logged, and warned of where it is a guess.

    Returns
    -------
    The gene sets in the order of the file, with their descriptions.

    Raises
    ------
    ValueError
        If the file is not a GMT file, no set has genes, or names are repeated under ``duplicates="error"``.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     as_collection({"T cells": ["CD3D", "CD3E"], "B cells": ["CD19"]}).to_gmt(f"{folder}/cells.gmt")
    ...     read_gmt(f"{folder}/cells.gmt")
    GeneSetCollection(2 sets, 3 genes: 'T cells', 'B cells')
    """
    if duplicates not in ("error", "number"):
        msg = f"duplicates={duplicates!r} is unknown. Choose 'error' or 'number'."
        raise ValueError(msg)
    if description not in (True, False, "auto"):
        msg = f"description={description!r} is unknown. Choose True, False or 'auto'."
        raise ValueError(msg)
    records = gmt.read(path, description=description)
    kept = [record for record in records if record.genes]
    if not kept:
        msg = (
            f"{os.fspath(path)}: none of {len(records)} sets has a gene. GMT has a description in the second column "
            "and genes from the third on. A long table (set, gene) is read by pandas and GeneSetCollection.from_frame."
        )
        raise ValueError(msg)
    repeated = [name for name, count in Counter(record.name for record in kept).items() if count > 1]
    if repeated and duplicates == "error":
        msg = (
            f"{os.fspath(path)}: {len(repeated)} set name(s) occur more than once: {listed(repeated, 10)}. "
            'Pass duplicates="number" to keep them all under numbered names, or rename them in the file.'
        )
        raise ValueError(msg)
    names = _numbered([record.name for record in kept])
    sets = {name: record.genes for name, record in zip(names, kept, strict=True)}
    collection = GeneSetCollection(sets, {name: rec.description for name, rec in zip(names, kept, strict=True)})
    if problems := _problems(records, sets):
        warn(f"{os.fspath(path)}: {'; '.join(problems)}")
    return collection


@gated(own=("pathways",))
def as_collection(pathways: Pathways) -> GeneSetCollection:
    """Turn whatever holds gene sets into a collection.

    Parameters
    ----------
    pathways
        A :class:`GeneSetCollection` (returned as it is), the path of a file that :func:`read_gmt` reads, a mapping of
        name → genes or of name → gene → weight, a long table with the columns ``source``, ``target`` and, where it
        has it, ``weight``, or the genes of a single set, which is named ``"genes"``.

    Returns
    -------
    The gene sets.

    Raises
    ------
    TypeError
        If `pathways` is none of these.
    FileNotFoundError
        If `pathways` is a path and there is no such file.

    Examples
    --------
    >>> as_collection({"T cells": ["CD3D", "CD3E"]})
    GeneSetCollection(1 set, 2 genes: 'T cells')
    """
    if isinstance(pathways, GeneSetCollection):
        return pathways
    if isinstance(pathways, (str, os.PathLike)):
        if not Path(pathways).expanduser().exists():
            msg = f"pathways={os.fspath(pathways)!r}: no such file. A string is taken as the path of a GMT file."
            raise FileNotFoundError(msg)
        return read_gmt(pathways)
    if isinstance(pathways, pd.DataFrame):
        return GeneSetCollection.from_frame(pathways)
    if isinstance(pathways, Mapping):
        return GeneSetCollection(pathways)
    genes = list(pathways) if isinstance(pathways, Iterable) and not isinstance(pathways, bytes) else []
    if genes and all(isinstance(gene, str) for gene in genes):
        if any(gene.endswith(FILES) for gene in genes):
            msg = f"pathways={listed(genes)} are files: read each, and unite them: gs.read_gmt(one) | gs.read_gmt(two)."
            raise ValueError(msg)
        return GeneSetCollection({"genes": sorted(genes) if isinstance(pathways, Set) else genes})
    msg = (
        f"pathways={kinds.shown(pathways)} is a {type(pathways).__name__} that holds no names of genes. Pass a "
        "GeneSetCollection, the path of a GMT file, a dict of name → list of genes, a long DataFrame with the columns "
        "'source' and 'target', or the genes of a single set; a fit also takes classes, one value per gene of adata. "
        "Components without any are those of pae.models.GroupedAutoencoder(k, feature_classes=-1)."
    )
    raise TypeError(msg)


@gated()
def match_genes(pathways: Pathways, adata: Any, *, gene_symbols: str | None = None) -> GeneSetCollection:
    """Write genes of pathways as the data write them: quotes, blanks, versions, letter case, glued names.

    A gene that is in the data as it stands keeps its name; another gets the name of the one gene of the data that
    differs from it in nothing else (``TP53`` → ``TP53_ENSG00000141510``, ``ENSG00000141510`` → ``ENSG00000141510.18``,
    ``c1qa`` → ``C1QA``). Between human and mouse nothing is matched by letter case, since a name alike is not always an
    orthologue; nor are dates (``1-Mar``), which can mean several genes. The log counts what was matched.

    Parameters
    ----------
    pathways
        What :func:`as_collection` takes.
    adata
        The data, or the names of their genes.
    gene_symbols
        Column of ``adata.var`` that holds the names of the genes; ``None`` for ``adata.var_names``.

    Returns
    -------
    A new collection, with its descriptions and weights.

    Examples
    --------
    >>> dict(match_genes({"T cells": ["CD3D", "CD2"]}, ["CD3D_ENSG00000167286", "CD2", "CD19"]))
    {'T cells': ('CD3D_ENSG00000167286', 'CD2')}
    """
    collection = as_collection(pathways)
    found = misspelt(collection.genes, gene_names(adata, gene_symbols))
    logger.info("match_genes: %d of %d genes renamed (%s).", len(found.names), len(collection.genes), found.described)
    return collection.map_genes(found.names, unmapped="keep") if found.names else collection


def _problems(records: list[gmt.GeneSet], sets: Mapping[str, tuple[str, ...]]) -> list[str]:
    problems = []
    empty = [record.name for record in records if not record.genes]
    if empty:
        problems.append(f"{len(empty)} set(s) without genes dropped, e.g. {listed(empty)}")
    repeats = {name: len(genes) - len(set(genes)) for name, genes in sets.items()}
    affected = [name for name, count in repeats.items() if count]
    if affected:
        problems.append(
            f"{sum(repeats.values())} repeated gene(s) in {len(affected)} set(s) kept once, e.g. in {listed(affected)}"
        )
    return problems


def _numbered(names: list[str]) -> list[str]:
    taken = set(names)
    seen: set[str] = set()
    result = []
    for name in names:
        unique, number = name, 2
        if name in seen:
            while (unique := f"{name}_{number}") in taken:
                number += 1
            taken.add(unique)
        seen.add(name)
        result.append(unique)
    return result
