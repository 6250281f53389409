"""Gene set enrichment analysis of the genes ranked by their loading.

All components are compared with the same random sets, drawn once, which makes thousands of tests a matter of seconds;
*p*-values too small for these are found by multilevel splitting. gseapy, the oracle of the tests, draws sets anew for
every test, and its own multilevel method ends in a panic where most loadings are 0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from pathwayae.core.enrichment.splitting import tail
from pathwayae.core.enrichment.tables import check, check_sign, column, finish, match, nonzero
from pathwayae.core.enrichment.walks import random_walks, walk

FEW = 10  # random sets beyond a score, below which its p-value is found by multilevel splitting
SMALLEST = 1e-10  # p-value, below which none is told apart
AT_ONCE = 2**25  # random scores held

Floats = NDArray[np.float64]


class _Ranking(NamedTuple):
    """One component: its genes in order, absolute loadings, whether any is below 0, and the hits of each term."""

    component: str
    values: Floats
    names: NDArray[np.str_]
    hits: list[NDArray[np.intp]]


def prerank(
    loadings: ArrayLike,
    genes: Sequence[str],
    components: Sequence[str],
    gene_sets: Mapping[str, Sequence[str]],
    *,
    min_genes: int = 5,
    max_genes: int | None = None,
    sign: str = "both",
    n_permutations: int = 1000,
    random_state: int = 0,
    n_jobs: int = 1,
    advance: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """Gene set enrichment analysis of the genes ranked by their loading, one ranking per component.

    Genes are ranked by loading, ties by name, so the result does not depend on the order of the genes. Hits are
    weighted by |loading|. The *p*-value compares the enrichment score with those of the same sign among
    `n_permutations` random sets of the same size (b + 1 of n + 1). Where fewer than 10 random sets reach the score, it
    is found by multilevel splitting instead, as fgsea does (Korotkevich and others 2021, 10.1101/060012).

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
    sign
        ``"up"`` or ``"down"`` to ask for sets at that end only: the others get *p* = 1.
    n_permutations
        Number of random sets of each size. *p*-values are at least 1e-10.
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
        - ``direction``: ``"up"`` or ``"down"``, the end at which the set gathers; ``"none"`` for a score of 0
        - ``score``: normalised enrichment score; above 0 the set gathers at high loadings, below 0 at low ones
        - ``pval``; ``padj``: Benjamini–Hochberg over **all** rows of the table (the FDR of GSEA is not used)
        - ``n_genes``: size of the set among the genes tested
        - ``n_overlap``, ``genes``: number and names (";"-joined, the most extreme loading first) of the leading edge;
          ``n_up``, ``n_down``: those of them with a loading above and below 0

    Raises
    ------
    ValueError
        If shapes do not fit, names repeat, a loading is not finite, all loadings are zero, or no term is left.

    Notes
    -----
    A term none of whose genes loads on a component would be placed by its ties alone: it gets score 0 and *p* = 1.
    Where no loading of a component is negative, the lower end of the ranking means "no loading" and is no signal: such
    a component is tested for the upper end only, and terms with a negative score get *p* = 1.

    The random sets are drawn once for all components, the smaller ones inside the larger ones, so that *p*-values of
    one call are not independent of each other. Each by itself is what it would be with sets of its own.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.core.enrichment.prerank import prerank
    >>> genes = [f"g{i}" for i in range(100)]
    >>> loadings = np.linspace(1, 0, 100)[:, None] ** 4
    >>> table = prerank(loadings, genes, ["a"], {"high": genes[:10], "low": genes[-10:]}, n_permutations=200)
    >>> table["term"].tolist()
    ['high', 'low']
    """
    matrix, names = check(loadings, genes, components, min_genes=min_genes, max_genes=max_genes)
    check_sign(sign)
    if n_permutations < 1:
        msg = f"n_permutations must be at least 1, got {n_permutations}."
        raise ValueError(msg)
    sets = dict(sorted(match(gene_sets, names, min_genes=min_genes, max_genes=max_genes).items()))
    terms = list(sets)
    size = np.array([len(rows) for rows in sets.values()])
    sizes, place = np.unique(size, return_inverse=True)
    used = nonzero(matrix, components)
    rng = np.random.default_rng(random_state)
    draws = np.array([rng.permutation(len(names))[: sizes[-1]] for _ in range(n_permutations)], dtype=np.intp)
    at_once = max(AT_ONCE // (len(sizes) * n_permutations), 1)
    tables = []
    for start in range(0, len(used), at_once):
        rankings = [_ranked(name, column(matrix, j), names, sets) for name, j in used[start : start + at_once]]
        null = _null(rankings, sizes, draws, n_jobs)
        for ranking, of_sizes in zip(rankings, null, strict=True):
            table = _test(ranking, of_sizes, place, draws, sign, random_state, n_jobs)
            table.insert(0, "component", ranking.component)
            table.insert(1, "term", terms)
            tables.append(table)
            advance()
    return finish(tables, "prerank")


def _ranked(component: str, values: Floats, names: NDArray[np.str_], sets: dict[str, NDArray[np.intp]]) -> _Ranking:
    """Genes of a component from the largest loading to the smallest, and where those of each term are."""
    order = np.lexsort((names, -values))
    rank = np.empty(len(order), dtype=np.intp)
    rank[order] = np.arange(len(order))
    return _Ranking(component, values[order], names[order], [np.sort(rank[rows]) for rows in sets.values()])


def _null(
    rankings: list[_Ranking], sizes: NDArray[np.intp], draws: NDArray[np.intp], n_jobs: int
) -> NDArray[np.float32]:
    """Scores of random sets of each size: components × sizes × draws."""
    weights = np.abs([ranking.values for ranking in rankings])
    parts = np.array_split(draws, max(min(n_jobs, len(draws)), 1))

    def scores(part: NDArray[np.intp]) -> NDArray[np.float32]:
        found = np.empty((len(weights), len(sizes), len(part)), dtype=np.float32)
        random_walks(weights, sizes, part, found)
        return found

    with ThreadPoolExecutor(len(parts)) as pool:
        return np.concatenate(list(pool.map(scores, parts)), axis=2)


def _test(
    ranking: _Ranking,
    null: NDArray[np.float32],
    place: NDArray[np.intp],
    draws: NDArray[np.intp],
    sign: str,
    random_state: int,
    n_jobs: int,
) -> pd.DataFrame:
    """Test all terms on one component; `null` is sizes × draws, NaN where no gene of a random set has a loading."""
    weights = np.abs(ranking.values)
    walks = [walk(hits, weights) for hits in ranking.hits]
    raw = np.array([score for score, _ in walks])
    known = np.isfinite(raw)
    side = np.where(raw > 0, 1.0, -1.0)
    ends = {+1.0: np.where(null > 0, null, np.nan), -1.0: np.where(null < 0, -null, np.nan)}
    beyond, n_same, mean = np.zeros(len(raw)), np.zeros(len(raw)), np.ones(len(raw))
    for end, scores in ends.items():
        rows = np.flatnonzero(known & (side == end))
        same = scores[place[rows]]
        n_same[rows] = np.isfinite(same).sum(axis=1)
        beyond[rows] = (same >= np.abs(raw[rows, None]).astype(np.float32)).sum(axis=1)
        mean[rows] = np.nansum(same, axis=1) / np.maximum(n_same[rows], 1)
    pval = np.where(known, (beyond + 1.0) / (n_same + 1.0), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.where(known & (mean > 0), raw / mean, 0.0)
    one_sided = ranking.values[-1] >= 0
    out = (side < 0) if one_sided or sign == "up" else np.zeros(len(raw), dtype=bool)
    out |= (side > 0) & (sign == "down")
    rare = np.flatnonzero(known & ~out & (beyond < FEW) & (n_same >= FEW))
    at_end = n_same[rare] / len(draws)  # share of random sets whose score has the sign
    pval[rare] = np.clip(_rare(ranking, raw, rare, draws, random_state, n_jobs) / at_end, SMALLEST, 1.0)
    pval[out] = 1.0
    edges = [_edge(hits, *found) for hits, found in zip(ranking.hits, walks, strict=True)]
    return pd.DataFrame(
        {
            "direction": np.select([~known, side > 0], ["none", "up"], default="down").astype(object),
            "score": score,
            "pval": pval,
            "n_genes": [len(hits) for hits in ranking.hits],
            "n_overlap": [len(edge) for edge in edges],
            "n_up": [int((ranking.values[edge] > 0).sum()) for edge in edges],
            "n_down": [int((ranking.values[edge] < 0).sum()) for edge in edges],
            "genes": [";".join(ranking.names[edge]) for edge in edges],
        }
    )


def _edge(hits: NDArray[np.intp], score: float, peak: int) -> NDArray[np.intp]:
    """Ranks of the leading edge, the most extreme first."""
    if not np.isfinite(score):
        return hits[:0]
    return hits[: peak + 1] if score > 0 else hits[peak:][::-1]


def _rare(
    ranking: _Ranking,
    raw: Floats,
    rows: NDArray[np.intp],
    draws: NDArray[np.intp],
    random_state: int,
    n_jobs: int,
) -> Floats:
    """Probability that a random set scores as each of these terms or beyond, at its end, by multilevel splitting."""
    weights = np.abs(ranking.values)
    size = np.array([len(hits) for hits in ranking.hits])
    found = np.full(len(raw), np.nan)
    tasks = [
        (m, end, at[np.argsort(np.abs(raw[at]), kind="stable")])
        for m in np.unique(size[rows])
        for end in (1, -1)
        if len(at := rows[(size[rows] == m) & (np.sign(raw[rows]) == end)])
    ]

    def one(task: tuple[int, int, NDArray[np.intp]]) -> None:
        m, end, at = task  # the other end is the upper one of the ranking turned round
        seed = np.random.default_rng([random_state, int(m), int(end > 0)])
        found[at] = tail(np.ascontiguousarray(weights[::end]), draws[:, :m], np.abs(raw[at]), SMALLEST, seed)

    with ThreadPoolExecutor(max(n_jobs, 1)) as pool:
        list(pool.map(one, tasks))
    return found[rows]
