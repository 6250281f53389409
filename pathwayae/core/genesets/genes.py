"""Gene sets against genes: those of a data set, those of a long table, those of a table that renames them."""

from __future__ import annotations

import logging
import numbers
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

import pandas as pd

from pathwayae.core.genesets import membership
from pathwayae.core.genesets.identifiers import guess_identifiers
from pathwayae.core.notice import warn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Sets: TypeAlias = Mapping[str, Sequence[str]]

logger = logging.getLogger("pathwayae")

_EXAMPLES = 5

GeneMap: TypeAlias = "Mapping[str, str | Iterable[str]] | pd.Series[Any] | pd.DataFrame"
Unmapped: TypeAlias = Literal["drop", "keep", "error"]


def gene_names(adata: Any, gene_symbols: str | None = None) -> list[str]:
    """Names of genes, from annotated data or as they are.

    Parameters
    ----------
    adata
        Anything with ``var_names`` (and ``var``), or a sequence of names.
    gene_symbols
        Column of ``adata.var`` that holds the names; a missing one is replaced by the ``var_names``.

    Returns
    -------
    The names.

    Raises
    ------
    KeyError
        If there is no such column.
    TypeError
        If `adata` is a string, or a sequence although `gene_symbols` is given.

    Examples
    --------
    >>> gene_names(pd.Index(["CD3D", "CD19"]))
    ['CD3D', 'CD19']
    """
    names = membership.names_of("adata", adata)
    if gene_symbols is None:
        return [str(name) for name in names]
    if names is adata:
        msg = f"gene_symbols={gene_symbols!r} names a column of adata.var, but adata is a list. Pass the AnnData."
        raise TypeError(msg)
    if gene_symbols not in adata.var:
        msg = f"gene_symbols={gene_symbols!r} is not a column of adata.var, which has {list(adata.var.columns)}."
        raise KeyError(msg)
    pairs = zip(adata.var[gene_symbols], names, strict=True)
    return [str(name if pd.isna(symbol) else symbol) for symbol, name in pairs]


def set_name(name: object) -> str:
    """The name of a gene set, checked.

    Parameters
    ----------
    name
        The name.

    Raises
    ------
    TypeError
        If it is not a string.
    ValueError
        If it is empty, or holds a lone surrogate.

    Examples
    --------
    >>> set_name("T cells")
    'T cells'
    """
    if not isinstance(name, str):
        msg = f"gene set names must be strings, found {name!r} ({type(name).__name__}). Turn it into a string."
        raise TypeError(msg)
    if not name.strip():
        msg = f"gene set names must not be empty, found {name!r}. Name the set."
    elif any("\ud800" <= one <= "\udfff" for one in name):
        msg = f"gene set name {name!r} holds half a character, which no file can have. Read it in its own encoding."
    else:
        return str(name)
    raise ValueError(msg)


def resize(
    sets: Sets, min_genes: int, max_genes: int | None = None, genes: membership.VarNames | None = None
) -> dict[str, Sequence[str]]:
    """Restrict sets to some genes and keep those of a suitable size.

    Parameters
    ----------
    sets
        Name → genes.
    min_genes, max_genes
        Fewest and most genes a set may have; ``None`` for no limit.
    genes
        Genes to restrict the sets to, before they are counted, or data that name them.

    Returns
    -------
    Name → genes, in their order.

    Raises
    ------
    TypeError
        If `genes` is a string.
    ValueError
        If no size is left.

    Examples
    --------
    >>> resize({"T": ("CD3D", "CD2"), "B": ("CD19",)}, 1, genes=["CD2"])
    {'T': ('CD2',)}
    """
    if min_genes < 0 or (max_genes is not None and max_genes < min_genes):
        msg = (
            f"min_genes={min_genes} and max_genes={max_genes} leave no size. "
            "Choose 0 <= min_genes <= max_genes, or max_genes=None."
        )
        raise ValueError(msg)
    kept = dict(sets)
    if genes is not None:
        allowed = set(membership.names_of("genes", genes))
        kept = {name: tuple(gene for gene in listed if gene in allowed) for name, listed in kept.items()}
    most = float("inf") if max_genes is None else max_genes
    return {name: listed for name, listed in kept.items() if min_genes <= len(listed) <= most}


def read_frame(df: pd.DataFrame, source: str = "source", target: str = "target") -> dict[str, list[str]]:
    """Read a long table with one row per set and gene.

    Parameters
    ----------
    df
        The table; sets and genes keep their order of appearance.
    source, target
        Columns of the set names and of the genes.

    Returns
    -------
    Name → genes.

    Raises
    ------
    KeyError
        If a column is missing.
    ValueError
        If there are missing values.

    Examples
    --------
    >>> read_frame(pd.DataFrame({"source": ["T", "T", "B"], "target": ["CD3D", "CD3E", "CD19"]}))
    {'T': ['CD3D', 'CD3E'], 'B': ['CD19']}
    """
    for parameter, column in (("source", source), ("target", target)):
        if column not in df.columns:
            msg = (
                f"{parameter}={column!r} is not a column of the table: {list(df.columns[:10])}. Name it: from_frame("
                "df, source=…, target=…). Of one with a column per set, pass {name: df[name].dropna() for name in df}."
            )
            raise KeyError(msg)
    n_missing = int(df[[source, target]].isna().any(axis=1).sum())
    if n_missing:
        msg = f"{n_missing} of {len(df)} rows miss {source!r} or {target!r}. Drop them with df.dropna(subset=…)."
        raise ValueError(msg)
    sets: dict[str, list[str]] = {}
    for name, gene in zip(df[source], df[target], strict=True):
        sets.setdefault(name, []).append(gene)
    return sets


def report(sets: Sets, adata: Any, *, gene_symbols: str | None = None, min_genes: int = 1) -> pd.DataFrame:
    """Say how many genes of each set are in the data, and which sets have too few.

    A warning says what to do if no gene matches, or if both sides hold different kinds of identifiers.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    adata
        The data, or the names of their genes, each different.
    gene_symbols
        Column of ``adata.var`` that holds the names of the genes; ``None`` for ``adata.var_names``.
    min_genes
        Fewest genes a set needs in the data.

    Returns
    -------
    One row per set: ``pathway``, ``n_genes``, ``n_matched`` (found in the data), ``n_lost``, ``share`` (matched / all),
    ``reason`` (empty, or why the set cannot be used), and ``lost``, the genes not found, joined by ";".

    Raises
    ------
    ValueError
        If names of genes are not unique.

    Examples
    --------
    >>> table = report({"T": ["CD3D", "CD2"], "B": ["CD19"]}, ["CD3D", "CD2", "ACTB"])
    >>> table[["pathway", "n_matched", "share", "reason"]].to_numpy().tolist()
    [['T', 2, 1.0, ''], ['B', 0, 0.0, 'no gene matched']]
    """
    names = gene_names(adata, gene_symbols)
    table = membership.build(sets, names).report
    n_genes, n_matched = table["n_genes"], table["n_matched"]
    lost = table.pop("lost")
    table["share"] = n_matched / n_genes.clip(lower=1)
    table["reason"] = ""
    table.loc[n_matched < min_genes, "reason"] = f"fewer than {min_genes} genes matched"
    table.loc[n_matched == 0, "reason"] = "no gene matched"
    table.loc[n_genes == 0, "reason"] = "no genes"
    table["lost"] = lost
    wanted = {gene for genes in sets.values() for gene in genes}
    kinds = {guess_identifiers(some) for some in (wanted, names)} - {"unknown"}
    if wanted and (len(kinds) > 1 or not n_matched.any()):
        warn(membership.mismatch_message(sorted(wanted), names))
    return table


def sets_per_gene(sets: Sets, adata: Any = None, *, gene_symbols: str | None = None) -> pd.Series[int]:
    """Count the sets each gene is in.

    Parameters
    ----------
    sets
        Name → genes; the collection itself, when called as its method.
    adata
        The data, or names of genes, to count for; ``None`` for the genes of the sets.
    gene_symbols
        Column of ``adata.var`` that holds the names of the genes; ``None`` for ``adata.var_names``.

    Returns
    -------
    Number of sets per gene, indexed by its name, in the order of the data or of first appearance.

    Examples
    --------
    >>> sets_per_gene({"T": ["CD3D", "CD2"], "NK": ["CD2"]}, ["ACTB", "CD2"]).to_dict()
    {'ACTB': 0, 'CD2': 2}
    """
    counts = Counter(gene for name, genes in sets.items() for gene in membership.unique_genes(name, genes))
    names = list(counts) if adata is None else gene_names(adata, gene_symbols)
    return pd.Series([counts[name] for name in names], index=pd.Index(names, dtype=object), name="n_sets", dtype=int)


def map_genes(sets: Sets, mapping: GeneMap, *, unmapped: Unmapped = "drop") -> dict[str, tuple[str, ...]]:
    """Rename the genes of sets by a table.

    Parameters
    ----------
    sets
        Name → genes.
    mapping
        Old name → new name or list of new names, as a mapping, a Series (its index holds the old names) or a table of
        two columns (old, new). A gene with several new names gets all of them; genes that get the same name become
        one; missing new names count as no name.
    unmapped
        Genes without a new name: ``"drop"`` them (with a warning if they are more than half), ``"keep"`` them under
        the old name, or ``"error"``.

    Returns
    -------
    Name → new genes, for all sets; some may have none left.

    Raises
    ------
    TypeError
        If `mapping` is of another kind, or a gene in it is neither a string nor a whole number.
    ValueError
        If no gene is in `mapping` (the message says what both sides hold), a table has not two columns, or genes are
        missing under ``unmapped="error"``.

    Examples
    --------
    >>> map_genes({"T": ["CD3D", "CD2", "TRAC"]}, {"CD3D": "Cd3d", "CD2": ["Cd2", "Cd2b"]})
    {'T': ('Cd3d', 'Cd2', 'Cd2b')}
    """
    if unmapped not in get_args(Unmapped):
        msg = f"unmapped={unmapped!r} is unknown. Choose one of {', '.join(map(repr, get_args(Unmapped)))}."
        raise ValueError(msg)
    table = _table(mapping)
    genes = list(dict.fromkeys(gene for listed in sets.values() for gene in listed))
    lost = [gene for gene in genes if gene not in table]
    _check_mapped(genes, lost, table, unmapped)
    reached = Counter(new for gene in genes for new in table.get(gene, []))
    several = sum(len(table[gene]) > 1 for gene in genes if gene in table)
    if unmapped == "keep":
        table |= {gene: [gene] for gene in lost}
    renamed = {
        name: tuple(dict.fromkeys(new for gene in listed for new in table.get(gene, [])))
        for name, listed in sets.items()
    }
    logger.info(
        "map_genes: %d of %d genes renamed, %d without a new name (%s), %d with several, %d new names shared by "
        "several genes, %d set(s) left without genes",
        len(genes) - len(lost),
        len(genes),
        len(lost),
        "kept" if unmapped == "keep" else "dropped",
        several,
        sum(count > 1 for count in reached.values()),
        sum(bool(sets[name]) and not listed for name, listed in renamed.items()),
    )
    return renamed


def new_names(genes: Iterable[str], mapping: GeneMap, *, keep: bool) -> dict[str, list[str]]:
    """Gene → its new names, itself where it has none and is kept.

    Examples
    --------
    >>> new_names(["CD3D", "CD2"], {"CD3D": "Cd3d"}, keep=True)
    {'CD3D': ['Cd3d'], 'CD2': ['CD2']}
    """
    table = _table(mapping)
    return {gene: table[gene] if gene in table else [gene] * keep for gene in genes}


def _table(mapping: GeneMap) -> dict[str, list[str]]:
    """Old name → new names, each once."""
    table: dict[str, list[str]] = {}
    for old, new in _map_items(mapping):
        if new not in table.setdefault(old, []):
            table[old].append(new)
    return table


def _map_items(mapping: GeneMap) -> Iterator[tuple[str, str]]:
    """All (old, new) pairs of a mapping, without missing ones."""
    if isinstance(mapping, pd.DataFrame):
        if mapping.shape[1] != 2:
            msg = f"mapping must have two columns (old, new), found {list(mapping.columns)}. Select them."
            raise ValueError(msg)
        pairs: Iterable[tuple[Any, Any]] = zip(mapping.iloc[:, 0], mapping.iloc[:, 1], strict=True)
    elif isinstance(mapping, (pd.Series, Mapping)):
        pairs = mapping.items()
    else:
        msg = f"mapping must be a dict, a Series or a table of two columns (old, new), found {type(mapping).__name__}."
        raise TypeError(msg)
    for old, new in pairs:
        several = new if isinstance(new, Iterable) and not isinstance(new, (str, bytes)) else [new]
        for one in several:
            if not (_is_missing(old) or _is_missing(one)):
                yield _gene(old), _gene(one)


def _is_missing(gene: Any) -> bool:
    return bool(gene is None or gene is pd.NA or gene == "" or gene != gene)  # NaN differs from itself


def _gene(gene: object) -> str:
    if isinstance(gene, str):
        return str(gene)
    if isinstance(gene, numbers.Integral) and not isinstance(gene, bool):
        return str(int(gene))
    msg = f"mapping holds {gene!r} ({type(gene).__name__}). Genes must be strings: read the table with dtype=str."
    raise TypeError(msg)


def _check_mapped(genes: list[str], lost: list[str], table: Mapping[str, Sequence[str]], unmapped: str) -> None:
    if genes and len(lost) == len(genes) and unmapped != "keep":
        kinds = guess_identifiers(genes), guess_identifiers(table)
        some = ", ".join(map(repr, list(table)[:_EXAMPLES])) or "nothing"
        msg = (
            f"none of {len(genes)} genes is an old name of the mapping: the gene sets hold {kinds[0]}, e.g. "
            f"{genes[0]!r}; the mapping has {len(table)} old names ({kinds[1]}), e.g. {some}. Give old names of the "
            "same kind; if they are the new ones, swap the columns."
        )
        raise ValueError(msg)
    if lost and unmapped == "error":
        some = ", ".join(map(repr, lost[:_EXAMPLES]))
        msg = (
            f"{len(lost)} of {len(genes)} genes have no new name in the mapping, e.g. {some} (unmapped='error'). Add "
            "them, or choose unmapped='drop' or 'keep'."
        )
        raise ValueError(msg)
    if unmapped == "drop" and 2 * len(lost) > len(genes):
        some = ", ".join(map(repr, lost[:_EXAMPLES]))
        warn(
            f"map_genes: {len(lost)} of {len(genes)} genes have no new name in the mapping ({len(table)} old names) "
            f"and are dropped, e.g. {some}. Give a complete table; if it lists only the names that change, "
            "unmapped='keep' keeps the others."
        )
