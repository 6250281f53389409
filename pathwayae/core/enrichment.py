"""Enrichment: the gene sets that the loadings of a component point to.

Two tests with one result table: :func:`prerank` asks whether the genes of a set gather at one end of the ranking by
loading (gene set enrichment analysis), :func:`ora` whether they are over-represented among the genes that load most.
The first runs through gseapy, which is imported here and nowhere else. It is never shown a gene or term name: it
upper-cases gene names when gene sets are in capitals, turns names that look like integers into integers, reorders ties
and drops sets that hold all genes. Matching, filtering, tie-breaking and multiple testing are therefore done here.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pathwayae.core.notice import listed

__all__ = ["COLUMNS", "ora", "prerank"]

logger = logging.getLogger("pathwayae")

COLUMNS = ("component", "term", "method", "score", "pval", "padj", "n_genes", "n_overlap", "genes")
"""Columns of every enrichment table."""


def prerank(
    loadings: ArrayLike,
    genes: Sequence[str],
    components: Sequence[str],
    gene_sets: Mapping[str, Sequence[str]],
    *,
    min_genes: int = 5,
    max_genes: int | None = None,
    n_permutations: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Gene set enrichment analysis of the genes ranked by their loading, one ranking per component.

    Genes are ranked by loading, ties by name, so the result does not depend on the order of the genes. Hits are
    weighted by |loading|. The *p*-value compares the enrichment score with those of the same sign among
    `n_permutations` random sets of the same size.

    Parameters
    ----------
    loadings
        Array, dense or sparse, genes × components. A component of zeros is left out, and logged.
    genes
        Names of the rows, unique. They are the genes tested; genes of `gene_sets` that are not among them do not count.
    components
        Names of the columns, unique.
    gene_sets
        Term → names of its genes.
    min_genes, max_genes
        Terms with fewer or more genes (``None``: no limit) among those tested are left out, and logged; so is a term
        that holds all of them.
    n_permutations
        Number of random sets. The smallest *p*-value is ``1 / (n_permutations + 1)``, never 0.
    random_state
        Seed of the permutations.
    n_jobs
        Number of threads. The result does not depend on it.
    advance
        Called after every component.

    Returns
    -------
    pandas.DataFrame
        One row per component and term, by component in the order given, then *p*-value. Columns:

        - ``component``, ``term``, ``method`` (``"prerank"``)
        - ``score``: normalised enrichment score; above 0 the set gathers at high loadings, below 0 at low ones
        - ``pval``; ``padj``: Benjamini–Hochberg over **all** rows of the table (gseapy's own FDR is not used)
        - ``n_genes``: size of the set among the genes tested
        - ``n_overlap``, ``genes``: number and names (";"-joined, the most extreme loading first) of the leading edge

    Raises
    ------
    ValueError
        If shapes do not fit, names repeat, a loading is not finite, all loadings are zero, or no term is left.

    Notes
    -----
    A term none of whose genes loads on a component would be placed by its ties alone: it gets score 0 and *p* = 1.
    Where no loading of a component is negative, the lower end of the ranking means "no loading" and is no signal: such
    a component is tested for the upper end only, and terms with a negative score get *p* = 1.

    With m tests, a single term can reach ``padj ≤ 0.05`` only if ``n_permutations ≥ 20 m``; it is logged where this
    stands in the way. Time is about 20 ms per component and term (3 000 genes, 1 000 permutations, one thread).

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.core.enrichment import prerank
    >>> genes = [f"g{i}" for i in range(100)]
    >>> loadings = np.linspace(1, 0, 100)[:, None] ** 4
    >>> table = prerank(loadings, genes, ["a"], {"high": genes[:10], "low": genes[-10:]}, n_permutations=200)
    >>> table["term"].tolist()
    ['high', 'low']
    """
    matrix, names = _check(loadings, genes, components, min_genes=min_genes, max_genes=max_genes)
    if n_permutations < 1:
        msg = f"n_permutations must be at least 1, got {n_permutations}."
        raise ValueError(msg)
    sets = _match(gene_sets, names, min_genes=min_genes, max_genes=max_genes)
    tables = []
    for component, j in _nonzero(matrix, components):
        values = _column(matrix, j)
        order = np.lexsort((names, -values))
        table = _prerank_one(values[order], names[order], _ranks(sets, order), n_permutations, random_state, n_jobs)
        table.insert(0, "component", component)
        tables.append(table)
        advance()
    whole = _finish(tables, "prerank")
    _warn_of_floor(whole, n_permutations)
    return whole


def ora(
    loadings: ArrayLike,
    genes: Sequence[str],
    components: Sequence[str],
    gene_sets: Mapping[str, Sequence[str]],
    *,
    n_genes: int = 100,
    min_genes: int = 5,
    max_genes: int | None = None,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Over-representation of gene sets among the genes that load most on a component (hypergeometric test).

    Parameters
    ----------
    loadings
        Array, dense or sparse, genes × components. A component of zeros is left out, and logged.
    genes
        Names of the rows, unique: the background of the test. Genes of `gene_sets` not among them do not count.
    components
        Names of the columns, unique.
    gene_sets
        Term → names of its genes.
    n_genes
        Number of genes per component: those with the largest |loading|, ties by name. Genes with a loading of 0 are
        never among them, so there can be fewer.
    min_genes, max_genes
        Terms with fewer or more genes (``None``: no limit) among those tested are left out, and logged; so is a term
        that holds all of them.
    advance
        Called after every component.

    Returns
    -------
    pandas.DataFrame
        Columns as for :func:`prerank`, with ``method`` ``"ora"`` and

        - ``score``: odds ratio, with 0.5 added to each cell of the 2 × 2 table (Haldane–Anscombe), hence finite
        - ``pval``: P(overlap ≥ the one observed), one-sided; terms without overlap are tests too, with *p* = 1
        - ``n_overlap``, ``genes``: the genes of the term among the top genes, the largest |loading| first

    Raises
    ------
    ValueError
        If shapes do not fit, names repeat, a loading is not finite, all loadings are zero, `n_genes` is not between 1
        and the number of genes less one, or no term is left.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.core.enrichment import ora
    >>> genes = [f"g{i}" for i in range(100)]
    >>> table = ora(np.linspace(1, 0, 100)[:, None], genes, ["a"], {"high": genes[:10], "low": genes[-10:]}, n_genes=20)
    >>> table[["term", "n_overlap"]].values.tolist()
    [['high', 10], ['low', 0]]
    """
    matrix, names = _check(loadings, genes, components, min_genes=min_genes, max_genes=max_genes)
    if not 1 <= n_genes < len(names):
        msg = f"n_genes must be between 1 and {len(names) - 1} (one less than the genes tested), got {n_genes}."
        raise ValueError(msg)
    sets = _match(gene_sets, names, min_genes=min_genes, max_genes=max_genes)
    terms = np.array(list(sets), dtype=object)
    ends = np.cumsum([0, *map(len, sets.values())])
    entries = (np.ones(ends[-1]), np.concatenate(list(sets.values())), ends)
    member = sp.csc_array(sp.csr_array(entries, (len(sets), len(names))))
    tables = []
    for component, j in _nonzero(matrix, components):
        table = _ora_one(n_genes, _column(matrix, j), names, terms, member)
        table.insert(0, "component", component)
        tables.append(table)
        advance()
    return _finish(tables, "ora")


def _check(
    loadings: ArrayLike, genes: Sequence[str], components: Sequence[str], *, min_genes: int, max_genes: int | None
) -> tuple[Any, NDArray[np.str_]]:
    """Loadings as float64, CSC where sparse, and gene names as an array of strings, checked against each other."""
    own = sp.issparse(loadings)  # copied, since a comparison sorts the entries of a sparse array in place
    matrix = sp.csc_array(loadings, dtype=np.float64, copy=True) if own else np.asarray(loadings, np.float64)
    names = np.asarray([str(gene) for gene in genes], dtype=np.str_)
    if matrix.ndim != 2 or matrix.shape != (len(names), len(components)):
        msg = f"loadings must be genes × components = {len(names)} × {len(components)}, got shape {matrix.shape}."
        raise ValueError(msg)
    if not np.isfinite(matrix.data if sp.issparse(matrix) else matrix).all():
        msg = "loadings hold values that are not finite."
        raise ValueError(msg)
    for what, values in (("genes", names.tolist()), ("components", list(components))):
        twice = pd.Index(values)[pd.Index(values).duplicated()].unique()
        if len(twice):
            msg = f"{what} must be unique; {len(twice)} occur more than once: {listed(twice)}."
            raise ValueError(msg)
    if min_genes < 1 or (max_genes is not None and max_genes < min_genes):
        msg = f"1 ≤ min_genes ≤ max_genes is needed, got min_genes={min_genes} and max_genes={max_genes}."
        raise ValueError(msg)
    return matrix, names


def _match(
    gene_sets: Mapping[str, Sequence[str]], names: NDArray[np.str_], *, min_genes: int, max_genes: int | None
) -> dict[str, NDArray[np.intp]]:
    """Rows of the genes of each term that is large and small enough."""
    row = {name: i for i, name in enumerate(names.tolist())}
    kept: dict[str, NDArray[np.intp]] = {}
    wanted: set[str] = set()
    small = large = 0
    for term, members in gene_sets.items():
        if isinstance(members, str):
            msg = f"gene_sets[{term!r}] is a string; a sequence of gene names is needed."
            raise ValueError(msg)
        unique = {str(gene) for gene in members}
        wanted |= unique
        found = sorted(row[gene] for gene in unique if gene in row)
        if len(found) < min_genes:
            small += 1
        elif (max_genes is not None and len(found) > max_genes) or len(found) == len(names):
            large += 1
        else:
            kept[str(term)] = np.asarray(found, dtype=np.intp)
    if not kept:
        msg = (
            f"None of the {len(gene_sets)} gene sets can be tested: {small} have fewer than {min_genes} genes among "
            f"the {len(names)} tested, {large} too many. {len(wanted & row.keys())} of the {len(wanted)} genes in the "
            f"gene sets are among those tested. Gene sets: {listed(sorted(wanted))}; tested: {listed(sorted(row))}. "
            "If these are different identifiers (symbols, Ensembl, another species), translate one of them; "
            "otherwise change min_genes or max_genes."
        )
        raise ValueError(msg)
    if small or large:
        logger.info(
            "Enrichment: %d of %d terms tested; %d have fewer than %d genes in the model, %d more than %s or all.",
            *(len(kept), len(gene_sets), small, min_genes, large, max_genes),
        )
    return kept


def _nonzero(matrix: Any, components: Sequence[str]) -> list[tuple[str, int]]:
    """Name and place of the components that are not zero throughout."""
    loads = np.asarray((matrix != 0).sum(axis=0)).ravel() > 0
    used = [(str(name), j) for j, name in enumerate(components) if loads[j]]
    left = [str(name) for j, name in enumerate(components) if not loads[j]]
    if not used:
        msg = "All loadings are zero: there is nothing to rank."
        raise ValueError(msg)
    if left:
        logger.warning("Enrichment: %d components have no loadings and are left out: %s.", len(left), listed(left))
    return used


def _column(matrix: Any, j: int) -> NDArray[np.float64]:
    """Loadings of one component, dense."""
    return matrix[:, [j]].toarray().ravel() if sp.issparse(matrix) else matrix[:, j]


def _ranks(sets: dict[str, NDArray[np.intp]], order: NDArray[np.intp]) -> dict[str, NDArray[np.intp]]:
    """Positions of the genes of each term in the ranking, ascending."""
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return {term: np.sort(rank[rows]) for term, rows in sets.items()}


def _prerank_one(
    values: NDArray[np.float64],
    names: NDArray[np.str_],
    ranks: dict[str, NDArray[np.intp]],
    n_permutations: int,
    random_state: int,
    n_jobs: int,
) -> pd.DataFrame:
    """Test all terms on one component; `values` and `names` in the order of the ranking."""
    import gseapy

    terms = list(ranks)
    hits = [ranks[term] for term in terms]
    loaded = [i for i, positions in enumerate(hits) if np.any(values[positions])]
    table = pd.DataFrame({"term": terms, "score": 0.0, "pval": 1.0, "n_genes": [len(x) for x in hits]})
    table["n_overlap"], table["genes"] = 0, ""
    if not loaded:
        return table
    with contextlib.redirect_stderr(io.StringIO()):  # gseapy warns about ties, which the names have broken
        result = gseapy.prerank(
            pd.Series(values, index=_tokens(len(values))),
            {f"T{i}": _tokens(hits[i]) for i in loaded},
            outdir=None,
            no_plot=True,
            ascending=None,  # as ranked here; gseapy's own sorting is not stable
            min_size=1,
            max_size=len(values),
            permutation_num=n_permutations,
            threads=n_jobs,
            seed=random_state,
        ).res2d
    rows = result["Term"].str[1:].astype(int).to_numpy()
    score = result["NES"].to_numpy(dtype=np.float64)
    pval = np.maximum(result["NOM p-val"].to_numpy(dtype=np.float64), 1.0 / (n_permutations + 1.0))
    untestable = ~np.isfinite(score) | ~np.isfinite(pval)
    if values[-1] >= 0:
        untestable |= score < 0
    table.loc[rows, "score"] = np.where(np.isfinite(score), score, 0.0)
    table.loc[rows, "pval"] = np.where(untestable, 1.0, pval)
    edges = [[int(token[1:]) for token in edge.split(";") if token] for edge in result["Lead_genes"]]
    table.loc[rows, "n_overlap"] = [len(edge) for edge in edges]
    table.loc[rows, "genes"] = [";".join(names[edge]) for edge in edges]
    return table


def _warn_of_floor(table: pd.DataFrame, n_permutations: int) -> None:
    """Say so if a term would need more permutations to become significant."""
    floor = 1.0 / (n_permutations + 1.0)
    short = (table["pval"] <= floor) & (table["padj"] > 0.05)
    if short.any():
        logger.warning(
            "Enrichment: %d terms were beaten by none of %d permutations, yet among %d tests that is not enough for "
            "padj ≤ 0.05: raise n_permutations to %d, test fewer components or terms, or use ora.",
            *(int(short.sum()), n_permutations, len(table), 20 * len(table)),
        )


def _ora_one(
    n_genes: int, values: NDArray[np.float64], names: NDArray[np.str_], terms: NDArray[np.object_], member: Any
) -> pd.DataFrame:
    """Test all terms, whose genes are the rows of `member`, on the genes that load most on one component."""
    loaded = np.flatnonzero(values)
    size = np.abs(values[loaded])
    if len(loaded) > n_genes:  # those that tie with the last stay, for the names to decide
        loaded = loaded[size >= np.partition(size, -n_genes)[-n_genes]]
    top = loaded[np.lexsort((names[loaded], -np.abs(values[loaded])))][:n_genes]
    hit = sp.csr_array(member[:, top])
    hit.sort_indices()
    sizes, overlap = np.diff(member.tocsr().indptr), np.diff(hit.indptr)
    table = np.array([[overlap, sizes - overlap], [len(top) - overlap, len(names) - sizes - len(top) + overlap]]) + 0.5
    listed_genes = np.full(len(terms), "", dtype=object)
    for i in np.flatnonzero(overlap):
        listed_genes[i] = ";".join(names[top[hit.indices[hit.indptr[i] : hit.indptr[i + 1]]]])
    return pd.DataFrame(
        {
            "term": terms,
            "score": table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]),
            "pval": stats.hypergeom.sf(overlap - 1, len(names), sizes, len(top)),
            "n_genes": sizes,
            "n_overlap": overlap,
            "genes": listed_genes,
        }
    )


def _tokens(ranks: int | NDArray[np.intp]) -> list[str]:
    """Stand-ins for gene names, safe from gseapy's handling of case and of integers."""
    return [f"G{i}" for i in (range(ranks) if isinstance(ranks, int) else ranks.tolist())]


def _finish(tables: list[pd.DataFrame], method: str) -> pd.DataFrame:
    """One table in the order of the components, adjusted over all its tests."""
    for i, table in enumerate(tables):
        best_first = np.lexsort((table["term"], -table["score"].abs(), table["pval"]))
        tables[i] = table.iloc[best_first]
    whole = pd.concat(tables, ignore_index=True)
    whole["method"] = method
    whole["padj"] = stats.false_discovery_control(whole["pval"].to_numpy(), method="bh")
    return whole[list(COLUMNS)]
