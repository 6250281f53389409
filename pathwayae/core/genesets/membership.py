"""Gene sets laid over the genes of a matrix: who belongs where, who is lost, and why nothing matches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, get_args

import numpy as np
import pandas as pd
from scipy import sparse

from pathwayae.core.genesets.identifiers import guess_identifiers
from pathwayae.core.genesets.naming import advice as spelling
from pathwayae.core.notice import listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt


class Annotated(Protocol):
    """Anything that names its genes, AnnData first of all."""

    @property
    def var_names(self) -> Any:
        """Names of the genes."""


VarNames: TypeAlias = "Annotated | Iterable[str]"
Overlap: TypeAlias = Literal["error", "first", "smallest", "unassigned", "ignore"]


@dataclass(frozen=True, eq=False)
class Membership:
    """Which gene belongs to which pathway.

    Parameters
    ----------
    matrix
        Genes × pathways, boolean, CSR.
    names
        Names of the pathways, in the order of the columns.
    report
        One row per pathway: ``pathway``, ``n_genes`` (different genes in the set), ``n_matched`` (found in the data),
        ``n_lost``, and ``lost``, the genes not found, joined by ";".

    Examples
    --------
    >>> m = build({"T": ["CD3D", "CD3E", "CD2"], "B": ["CD19", "MS4A1"]}, ["CD19", "CD3D", "CD3E"])
    >>> m.matrix.toarray().astype(int)
    array([[0, 1],
           [1, 0],
           [1, 0]])
    >>> m.report
      pathway  n_genes  n_matched  n_lost   lost
    0       T        3          2       1    CD2
    1       B        2          1       1  MS4A1
    """

    matrix: sparse.csr_matrix[np.bool_]
    names: tuple[str, ...]
    report: pd.DataFrame


def unique_genes(name: str, genes: Iterable[str]) -> tuple[str, ...]:
    """Check the genes of one set and drop repeated ones, keeping the order (a Python set is sorted).

    Parameters
    ----------
    name
        Name of the gene set, for the errors.
    genes
        Its genes.

    Returns
    -------
    The different genes.

    Examples
    --------
    >>> unique_genes("T cells", ["CD3D", "CD2", "CD3D"])
    ('CD3D', 'CD2')
    """
    if isinstance(genes, (str, bytes)) or not hasattr(genes, "__iter__"):
        next_step = f"Write [{genes!r}] for a single gene." if isinstance(genes, str) else "Give a list of names."
        if isinstance(genes, str) and (mark := next((one for one in ",;|\t /" if one in genes), "")):
            next_step = f"Write {genes!r}.split({mark!r})."
        msg = f"gene set {name!r}: expected a list of genes, found {genes!r}. {next_step}"
        raise TypeError(msg)
    listed = list(genes)
    for gene in listed:
        if not isinstance(gene, str):
            msg = (
                f"gene set {name!r}: genes must be strings, found {gene!r} ({type(gene).__name__}). "
                "Drop missing values (of a column: df[name].dropna()), and turn numbers into strings."
            )
            raise TypeError(msg)
        if not gene:
            msg = f"gene set {name!r}: holds an empty gene name. Drop it."
            raise ValueError(msg)
    return tuple(dict.fromkeys(map(str, sorted(listed) if isinstance(genes, (set, frozenset)) else listed)))


def names_of(parameter: str, genes: Any) -> Any:
    """Take the names of annotated data, or names as they are.

    Parameters
    ----------
    parameter
        What the error calls them.
    genes
        Anything with ``var_names``, or an iterable of names.

    Returns
    -------
    The names, as they are held.

    Raises
    ------
    TypeError
        If `genes` is neither, or a string.

    Examples
    --------
    >>> names_of("var_names", ["CD3D", "CD19"])
    ['CD3D', 'CD19']
    """
    names = getattr(genes, "var_names", genes)
    if isinstance(names, (str, bytes)) or not hasattr(names, "__iter__"):
        single = f" Write [{names!r}] for a single gene." if isinstance(names, str) else ""
        msg = f"{parameter} must be an AnnData or a list of gene names, found {names!r}.{single}"
        raise TypeError(msg)
    return names


def build(sets: Mapping[str, Iterable[str]], var_names: VarNames) -> Membership:
    """Lay gene sets over the genes of a matrix, by name.

    A set's repeated genes count once. Sets of which no gene is found keep their (empty) column; see the report, and
    :func:`mismatch_message` when nothing matches at all.

    Parameters
    ----------
    sets
        Name → genes.
    var_names
        Names of the genes of the matrix, each different, or the AnnData that has them.

    Returns
    -------
    The membership, rows in the order of `var_names`, columns in the order of `sets`.

    Raises
    ------
    ValueError
        If `var_names` are not unique.

    Examples
    --------
    >>> build({"T": ["CD3D", "CD2"], "B": ["CD19"]}, ["CD19", "CD3D"]).matrix.nnz
    2
    """
    index = pd.Index(names_of("var_names", var_names))
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        msg = (
            f"var_names must be unique: {len(repeated)} name(s) occur more than once, e.g. {listed(repeated)}. "
            "Call adata.var_names_make_unique(), or use a column of adata.var with unique names."
        )
        raise ValueError(msg)
    place = {name: row for row, name in enumerate(index)}
    where: list[int] = []
    records: list[tuple[str, int, int, int, str]] = []
    for name, genes in sets.items():
        different = unique_genes(name, genes)
        found = [place[gene] for gene in different if gene in place]
        lost = [gene for gene in different if gene not in place] if len(found) < len(different) else []
        where += found
        records.append((name, len(different), len(found), len(lost), ";".join(lost)))
    columns = np.repeat(np.arange(len(records)), [n_found for _, _, n_found, _, _ in records])
    matrix = sparse.csr_matrix(
        (np.ones(len(where), dtype=np.bool_), (where, columns)), shape=(len(index), len(records)), dtype=np.bool_
    )
    matrix.sort_indices()
    report = pd.DataFrame.from_records(records, columns=["pathway", "n_genes", "n_matched", "n_lost", "lost"])
    return Membership(matrix, tuple(sets), report)


def feature_classes(matrix: Any, *, overlap: Overlap = "error", unannotated: float = -1) -> npt.NDArray[np.float64]:
    """Give every gene one class: the vector form of a membership.

    Parameters
    ----------
    matrix
        Membership, genes × pathways, sparse or dense; any non-zero value means "belongs".
    overlap
        What to do with genes in several pathways: ``"error"`` refuses them; ``"first"`` takes the first pathway in
        order; ``"smallest"`` takes the most specific one, with the fewest genes in `matrix` (the first among equals);
        ``"unassigned"`` gives -1; ``"ignore"`` gives NaN.
    unannotated
        Value of the genes of no pathway: -1 (no pathway, entropy only) or NaN (no regularisation at all).

    Returns
    -------
    One value per gene: the column of its pathway (0, 1, …), -1 or NaN.

    Raises
    ------
    ValueError
        If genes overlap under ``overlap="error"``, or an option is unknown.

    Examples
    --------
    >>> P = [[1, 0], [1, 1], [0, 1], [0, 1], [0, 0]]
    >>> feature_classes(P, overlap="smallest")
    array([ 0.,  0.,  1.,  1., -1.])
    >>> feature_classes(P, overlap="ignore", unannotated=float("nan"))
    array([ 0., nan,  1.,  1., nan])
    """
    if overlap not in get_args(Overlap):
        msg = f"overlap={overlap!r} is unknown. Choose one of {', '.join(map(repr, get_args(Overlap)))}."
        raise ValueError(msg)
    if not (unannotated == -1 or unannotated != unannotated):  # NaN differs from itself
        msg = f"unannotated={unannotated!r} is not allowed. Use -1 (entropy only) or float('nan') (not regularised)."
        raise ValueError(msg)
    member = sparse.csr_matrix(matrix, dtype=np.bool_, copy=True)
    member.sum_duplicates()
    member.eliminate_zeros()
    counts = np.diff(member.indptr)
    several = counts > 1
    if overlap == "error" and several.any():
        msg = (
            f"{several.sum()} of {len(counts)} genes are in more than one pathway (overlap='error'), and a class "
            "vector holds one per gene. Choose overlap='first', 'smallest', 'unassigned' or 'ignore', or use the "
            "membership matrix, which keeps them all."
        )
        raise ValueError(msg)
    sizes = np.bincount(member.indices, minlength=member.shape[1])
    order = np.argsort(sizes, kind="stable") if overlap == "smallest" else np.arange(member.shape[1])
    rank = np.argsort(order)
    classes = np.full(len(counts), float(unannotated))
    annotated = counts > 0
    if annotated.any():
        starts = member.indptr[:-1][annotated]
        classes[annotated] = order[np.minimum.reduceat(rank[member.indices], starts)]
    if overlap in ("unassigned", "ignore"):
        classes[several] = -1.0 if overlap == "unassigned" else np.nan
    return classes


def mismatch_message(set_genes: Iterable[str], var_names: Iterable[str]) -> str:
    """Say why few genes of the gene sets are found in the data, and what to do next.

    Parameters
    ----------
    set_genes
        Genes of all gene sets.
    var_names
        Names of the genes of the matrix.

    Returns
    -------
    A text to put into an error or a warning.

    Examples
    --------
    >>> print(mismatch_message(["CD3D", "CD19"], ["ENSG00000167286", "ENSG00000177455"]))
    0 of 2 genes of the gene sets are in var_names (2 genes). The gene sets hold human symbols, e.g. 'CD3D', 'CD19'; \
var_names hold Ensembl gene ids (human), e.g. 'ENSG00000167286', 'ENSG00000177455'. Name the column of adata.var that \
holds symbols with gene_symbols=….
    """
    wanted, present = list(dict.fromkeys(map(str, set_genes))), list(dict.fromkeys(map(str, var_names)))
    kinds = guess_identifiers(wanted), guess_identifiers(present)
    n_found = len(set(wanted) & set(present))
    return (
        f"{n_found} of {len(wanted)} genes of the gene sets are in var_names ({len(present)} genes). The gene sets "
        f"hold {_describe(kinds[0])}, e.g. {listed(wanted)}; var_names hold {_describe(kinds[1])}, e.g. "
        f"{listed(present)}. {spelling(wanted, present) or _advice(*kinds, wanted, present)}"
    )


def _advice(wanted_kind: str, present_kind: str, wanted: list[str], present: list[str]) -> str:
    to_symbols = "name the column of adata.var that holds symbols with gene_symbols=…"
    sets_are_ensembl, data_are_ensembl = wanted_kind.startswith("Ensembl"), present_kind.startswith("Ensembl")
    if present_kind == "row numbers":
        return "The data have no gene names: set adata.var_names to gene symbols."
    if sets_are_ensembl and data_are_ensembl:
        if wanted_kind != present_kind:
            return "The species differ: use the gene sets of the data's species, or map through an orthologue table."
        return (
            "If one side has versions after a dot (ENSG….5), strip them; else check that no genes were filtered away."
        )
    if sets_are_ensembl:
        return "Use the symbols version of the gene sets, or give the column of Ensembl ids with gene_symbols=…."
    if wanted_kind == "Entrez ids" and present_kind != "Entrez ids":
        return f"Use the symbols version of the GMT{f', and {to_symbols}' if data_are_ensembl else ''}."
    if data_are_ensembl or (present_kind == "Entrez ids" and wanted_kind != "Entrez ids"):
        return f"{to_symbols[0].upper()}{to_symbols[1:]}."
    exact = len(set(wanted) & set(present))
    folded = len({gene.casefold() for gene in wanted} & {gene.casefold() for gene in present})
    if {wanted_kind, present_kind} == {"human symbols", "mouse symbols"}:
        alike = f" ({folded} names agree if case is ignored, but a name alike is not always an orthologue)"
        return (
            f"One side looks human and the other mouse{alike if folded else ''}: use the other species' collection, "
            "or map through an orthologue table."
        )
    if folded > max(2 * exact, exact + 1) or (folded and not exact):
        return f"Only the case differs for {folded} genes: write the names of both sides in the same case."
    return "Check that both come from the same species and naming, and that the genes were not filtered away."


def _describe(kind: str) -> str:
    return "names of an unknown kind" if kind == "unknown" else kind
