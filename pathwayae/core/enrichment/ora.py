"""Over-representation of gene sets among the genes that load most on a component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from pathwayae.core.enrichment.tables import by_majority, check, check_sign, column, finish, match, nonzero


def ora(
    loadings: ArrayLike,
    genes: Sequence[str],
    components: Sequence[str],
    gene_sets: Mapping[str, Sequence[str]],
    *,
    sign: str = "both",
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
    sign
        ``"up"`` for the genes with the largest loadings above 0, ``"down"`` for those below 0, ``"both"`` for either.
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
        - ``n_overlap``, ``genes``: the genes of the term among the top genes, the largest |loading| first; ``n_up``,
          ``n_down``: those of them with a loading above and below 0
        - ``direction``: ``"up"`` or ``"down"`` where at least three quarters of these genes have that sign, else
          ``"mixed"``; ``"none"`` without overlap

    Raises
    ------
    ValueError
        If shapes do not fit, names repeat, a loading is not finite, all loadings are zero, `n_genes` is not between 1
        and the number of genes less one, or no term is left.

    Examples
    --------
    >>> import numpy as np
    >>> from pathwayae.core.enrichment.ora import ora
    >>> genes = [f"g{i}" for i in range(100)]
    >>> table = ora(np.linspace(1, 0, 100)[:, None], genes, ["a"], {"high": genes[:10], "low": genes[-10:]}, n_genes=20)
    >>> table[["term", "n_overlap"]].values.tolist()
    [['high', 10], ['low', 0]]
    """
    matrix, names = check(loadings, genes, components, min_genes=min_genes, max_genes=max_genes)
    check_sign(sign)
    if not 1 <= n_genes < len(names):
        msg = f"n_genes must be between 1 and {len(names) - 1} (one less than the genes tested), got {n_genes}."
        raise ValueError(msg)
    sets = match(gene_sets, names, min_genes=min_genes, max_genes=max_genes)
    terms = np.array(list(sets), dtype=object)
    ends = np.cumsum([0, *map(len, sets.values())])
    entries = (np.ones(ends[-1]), np.concatenate(list(sets.values())), ends)
    member = sp.csc_array(sp.csr_array(entries, (len(sets), len(names))))
    tables = []
    for component, j in nonzero(matrix, components):
        table = _ora_one(n_genes, sign, column(matrix, j), names, terms, member)
        table.insert(0, "component", component)
        tables.append(table)
        advance()
    return finish(tables, "ora")


def _ora_one(
    n_genes: int, sign: str, values: Any, names: NDArray[np.str_], terms: NDArray[np.object_], member: Any
) -> pd.DataFrame:
    """Test all terms, whose genes are the rows of `member`, on the genes that load most on one component."""
    loaded = np.flatnonzero({"both": values != 0, "up": values > 0, "down": values < 0}[sign])
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
    n_up = np.asarray(hit @ (values[top] > 0).astype(float)).astype(int)
    n_down = np.asarray(hit @ (values[top] < 0).astype(float)).astype(int)
    return pd.DataFrame(
        {
            "term": terms,
            "direction": by_majority(n_up, n_down),
            "score": table[0, 0] * table[1, 1] / (table[0, 1] * table[1, 0]),
            "pval": stats.hypergeom.sf(overlap - 1, len(names), sizes, len(top)),
            "n_genes": sizes,
            "n_overlap": overlap,
            "n_up": n_up,
            "n_down": n_down,
            "genes": listed_genes,
        }
    )
