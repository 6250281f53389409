"""Annotations: which gene is said to belong to which term, on what evidence. GAF files and plain tables."""

from __future__ import annotations

import csv
import io
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from pathwayae.core.gates import gated
from pathwayae.core.genesets.textfile import read_text, table_lines
from pathwayae.core.notice import warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

logger = logging.getLogger("pathwayae")

# Usual names of columns, in any letter case, with or without spaces, in the order in which they are looked for.
GENE = ("gene", "gene_symbol", "symbol", "hgnc_symbol", "gene_name", "external_gene_name", "gene_id")
TERM = ("term", "term_id", "go_id", "go", "go_term_accession", "hpo_id", "ontology_id")
_GAF_COLUMNS = {1: "id", 2: "symbol", 3: "qualifier", 4: "term", 6: "evidence", 12: "taxon"}
_GAF_WIDTHS = (15, 16, 17)  # the last two are optional, and so are their tabs in many files
_KINDS = {
    "Ensembl ids": re.compile(r"ENS[A-Z]{0,4}[GTP]\d{11}(\.\d+)?"),
    "Entrez ids": re.compile(r"\d+"),
    "UniProt accessions": re.compile(r"[OPQ]\d[A-Z0-9]{3}\d|[A-NR-Z]\d([A-Z][A-Z0-9]{2}\d){1,2}"),
}
_MIXED = 0.05


@dataclass(frozen=True, eq=False, repr=False)
class Annotations:
    """A long table of gene–term pairs, and what was left out on the way.

    Parameters
    ----------
    table
        Columns ``gene``, ``term``, ``evidence``, ``qualifier`` (empty where the source has none); one row per line of
        the source that was kept, so a pair may come again with other evidence.
    report
        What happened → number of rows: ``"read"``, then what was excluded (``"NOT"``, ``"evidence"``, ``"taxon"``,
        ``"no gene or term"``, ``"obsolete term"``, ``"unknown term"``) or changed (``"alternative id"``,
        ``"replaced term"``), and ``"kept"``.

    Examples
    --------
    >>> found = read_annotations(pd.DataFrame({"gene": ["CD3D", "CD19"], "term": ["GO:2", "GO:3"]}))
    >>> found
    Annotations(2 rows, 2 genes, 2 terms)
    >>> found.report
    {'read': 2, 'no gene or term': 0, 'kept': 2}
    """

    table: pd.DataFrame
    report: Mapping[str, int]

    def __repr__(self) -> str:
        counts = {"row": len(self.table)} | {what: self.table[what].nunique() for what in ("gene", "term")}
        shown = ", ".join(f"{count} {what}{'s' * (count != 1)}" for what, count in counts.items())
        return f"{type(self).__name__}({shown})"


@gated(
    own=(
        "evidence",
        "exclude_evidence",
    ),
    reads=("path",),
)
def read_gaf(
    path: str | os.PathLike[str],
    *,
    symbols: bool = True,
    evidence: Iterable[str] | None = None,
    exclude_evidence: Iterable[str] | None = None,
    taxon: int | str | None = None,
) -> Annotations:
    r"""Read a gene association file (GAF 2.x), plain or gzipped.

    Lines with the qualifier NOT, which deny the annotation, are excluded and counted.

    Parameters
    ----------
    path
        The file.
    symbols
        Name genes by symbol (column 3); else by the id of the database (column 2), a UniProt accession, mostly.
    evidence
        Codes to keep, such as ``["EXP", "IDA", "IPI", "IMP", "IGI", "IEP"]`` (experiments); by default all.
    exclude_evidence
        Codes to leave out, such as ``["IEA", "ND"]``; a warning names those that are not in the file. Give one of
        the two.
    taxon
        NCBI number of the species to keep, such as 9606; where a line names two, the first is that of the gene.

    Returns
    -------
    The annotations; their ``report`` counts what was left out.

    Raises
    ------
    ValueError
        If the file is not GAF, a line has another number of columns than 15 to 17, no code of `evidence` or no gene
        of `taxon` occurs in the file, or nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> row = "UniProtKB {} {} {} GO:2 PMID:1 {} - C - - protein taxon:9606 20240101 UniProt - -\n"
    >>> rows = row.format("P04234", "CD3D", "part_of", "IDA") + row.format("P15391", "CD19", "NOT|part_of", "IBA")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/small.gaf", "w") as file:
    ...         _ = file.write("!gaf-version: 2.2\n" + rows.replace(" ", "\t"))
    ...     found = read_gaf(f"{folder}/small.gaf")
    >>> found.table
       gene  term evidence qualifier
    0  CD3D  GO:2      IDA   part_of
    >>> found.report
    {'read': 2, 'NOT': 1, 'no gene or term': 0, 'kept': 1}
    """
    source = os.fspath(path)
    if evidence is not None and exclude_evidence is not None:
        msg = "evidence and exclude_evidence were both given. Give the codes to keep or the codes to leave out."
        raise ValueError(msg)
    table = _gaf_table(read_text(path), source)
    table["taxon"] = table["taxon"].str.split("|").str[0].str.removeprefix("taxon:")
    if taxon is not None and (taxon := str(taxon).removeprefix("taxon:")) not in set(table["taxon"]):
        msg = f"{source}: no gene is of taxon={taxon}. The file has {_counts(table['taxon'])}. Choose among these."
        raise ValueError(msg)
    report = {"read": len(table)}

    def drop(what: str, rows: pd.Series[bool]) -> None:
        nonlocal table
        report[what] = int(rows.sum())
        table = table[~rows]

    drop("NOT", _denied(table["qualifier"]))
    if evidence is not None:
        drop("evidence", ~table["evidence"].isin(_codes("evidence", evidence, table, source)))
    if exclude_evidence is not None:
        drop("evidence", table["evidence"].isin(_codes("exclude_evidence", exclude_evidence, table, source)))
    if taxon is not None:
        drop("taxon", table["taxon"] != taxon)
    elif (n_taxa := table["taxon"].nunique()) > 1:
        warn(f"{source}: genes of {n_taxa} taxa are mixed: {_counts(table['taxon'])}. Choose one with taxon=….")
    table = table.assign(gene=table["symbol" if symbols else "id"])
    drop("no gene or term", (table["gene"] == "") | (table["term"] == ""))
    return _finish(table, report, source)


@gated(reads=("data",))
def read_annotations(
    data: str | os.PathLike[str] | pd.DataFrame,
    *,
    gene: str | int | None = None,
    term: str | int | None = None,
    evidence: str | int | None = None,
    qualifier: str | int | None = None,
    taxon_column: str | int | None = None,
    taxon: int | str | None = None,
) -> Annotations:
    r"""Read a table with one row per gene and term.

    Parameters
    ----------
    data
        A tab-separated file, plain or gzipped, or a table in memory.
    gene, term
        Their columns: names, if the first line of the file is a header, or positions from 0, if it has none. By
        default the first of the usual names that is there, in any letter case: ``gene``, ``gene_symbol``, ``symbol``,
        ``gene_name``, ``gene_id`` and their like; ``term``, ``term_id``, ``go_id``, ``go``, ``hpo_id`` and theirs.
    evidence
        Column of the evidence codes, if there is one.
    qualifier
        Column of the qualifiers; rows with NOT, which deny the annotation, are excluded and counted. By default a
        column called ``qualifier``, in any letter case.
    taxon_column
        Column of the species; by default one called ``tax_id``, ``#tax_id`` or ``taxon``, in any letter case.
    taxon
        NCBI number of the species to keep, such as 9606 (``gene2go`` holds all species); several species without it are
        warned of.

    Returns
    -------
    The annotations, each gene, term and evidence once.

    Raises
    ------
    KeyError
        If a column is missing; the message lists those there are.
    ValueError
        If rows differ in their number of columns, or nothing is left.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with open(f"{folder}/pairs.tsv", "w") as file:
    ...         _ = file.write("gene\tgo_id\nCD3D\tGO:2\nCD19\tGO:3\n")
    ...     read_annotations(f"{folder}/pairs.tsv").table["gene"].tolist()
    ['CD3D', 'CD19']
    """
    if isinstance(data, pd.DataFrame):
        source, table = "the table", data
    else:
        source = os.fspath(data)
        advice = "A file with GO annotations in 15 to 17 columns is read by read_gaf."
        lines = table_lines(read_text(data), source, (), advice=advice)
        numbered = all(isinstance(column, int) for column in (gene, term))
        table = _frame(lines, header=None if numbered else 0)
    gene, term = _named(table, gene, GENE), _named(table, term, TERM)
    qualifier = _named(table, qualifier, ("qualifier",))
    taxon_column = _named(table, taxon_column, ("tax_id", "#tax_id", "taxon"))
    if taxon is not None and taxon_column is None:
        msg = f"{source}: taxon={taxon} needs a column of species. Name it with taxon_column=…: {list(table.columns)}."
        raise ValueError(msg)
    optional = {"evidence": evidence, "qualifier": qualifier, "taxon_column": taxon_column}
    columns: dict[str, str | int | None] = {"gene": gene, "term": term}
    columns |= {key: column for key, column in optional.items() if column is not None}
    for parameter, column in columns.items():
        if column is None:
            msg = f"{source}: no column has a usual name of {parameter}s: {list(table.columns)}. Name it: {parameter}=…"
            raise KeyError(msg)
        if column not in table.columns:
            msg = f"{source}: {parameter}={column!r} is not a column: {list(table.columns)}. Name the right one."
            raise KeyError(msg)
    if twice := [column for column in columns.values() if getattr(table[column], "ndim", 1) > 1]:
        msg = f"{source} has several columns called {twice[0]!r}. Rename all but one, or name another."
        raise ValueError(msg)
    picked = pd.DataFrame({key: table[column].to_numpy() for key, column in columns.items()})
    report = {"read": len(picked)}
    picked = _denied_and_foreign(picked, report, taxon, source)
    empty = (picked.isna() | (picked.astype("string").apply(lambda cells: cells.str.strip()) == ""))[["gene", "term"]]
    report["no gene or term"] = int(empty.any(axis=1).sum())
    picked = picked[~empty.any(axis=1)]
    wrong = [value for key in ("gene", "term") for value in picked[key] if not isinstance(value, str)]
    if wrong:
        msg = f"{source}: genes and terms must be strings, found {wrong[0]!r}. Convert them with astype(str)."
        raise ValueError(msg)
    return _finish(picked.drop_duplicates(), report, source)


def _named(table: pd.DataFrame, column: str | int | None, usual: tuple[str, ...]) -> str | int | None:
    """The column, or the one that has a usual name, the first of them that is there."""
    if column is not None:
        return column
    there = {re.sub(r"[\s_-]", "", str(name)).lower(): name for name in reversed(table.columns)}
    return next((there[plain] for name in usual if (plain := name.replace("_", "")) in there), None)


def _denied(qualifiers: pd.Series) -> pd.Series:
    """Which of some qualifiers hold the word NOT, however it is written."""
    return qualifiers.map({one: "NOT" in re.split(r"[|\s]+", one.upper()) for one in qualifiers.unique()}).astype(bool)


def _denied_and_foreign(
    picked: pd.DataFrame, report: dict[str, int], taxon: int | str | None, source: str
) -> pd.DataFrame:
    """Rows that are not denied by NOT, of one species."""
    if "qualifier" in picked:
        text = picked["qualifier"].fillna("").astype(str)
        denied = _denied(text)
        report["NOT"] = int(denied.sum())
        picked = picked.assign(qualifier=text.where(text != "-", ""))[~denied]
    if "taxon_column" not in picked:
        return picked
    species = picked.pop("taxon_column").astype(str).str.removeprefix("taxon:")
    if taxon is not None:
        own = species == str(taxon).removeprefix("taxon:")
        if not own.any():
            msg = f"{source}: no gene is of taxon={taxon}. The file has {_counts(species)}. Choose among these."
            raise ValueError(msg)
        report["taxon"] = int((~own).sum())
        return picked[own]
    if (n_taxa := species.nunique()) > 1:
        warn(f"{source}: genes of {n_taxa} taxa are mixed: {_counts(species)}. Choose one with taxon=….")
    return picked


def identifier_kinds(genes: Iterable[str]) -> dict[str, int]:
    """Count gene names by kind.

    Parameters
    ----------
    genes
        Names of genes.

    Returns
    -------
    "Ensembl ids", "Entrez ids", "UniProt accessions" or "other names" (symbols) → number of different names, the most
    frequent first. A few symbols, such as P2RY12, look like accessions.

    Examples
    --------
    >>> identifier_kinds(["CD3D", "CD19", "ENSG00000167286"])
    {'other names': 2, 'Ensembl ids': 1}
    """
    kinds = Counter(
        next((kind for kind, pattern in _KINDS.items() if pattern.fullmatch(gene)), "other names")
        for gene in dict.fromkeys(genes)
    )
    return dict(kinds.most_common())


def _gaf_table(text: str, source: str) -> pd.DataFrame:
    advice = "A table of genes and terms alone is read by read_annotations."
    head = [line for line in text[:20_000].split("\n") if line.startswith("!")]
    version = next((line for line in head if re.match(r"!\s*\w+-version:", line)), "")
    if version and not version.lstrip("! ").startswith("gaf-version"):
        msg = f"{source}: its header says {version!r}, which is not GAF. Give a gene association file, GAF 2.x."
        raise ValueError(msg)
    lines = table_lines(text, source, _GAF_WIDTHS, comment="!", advice=advice)
    if not version:
        warn(f"{source}: no '!gaf-version' line; read as GAF 2.x by its columns.")
    table = _frame(lines, columns=_GAF_COLUMNS)
    first = table.iloc[0]
    if not first["taxon"].startswith("taxon:") or ":" not in first["term"]:
        msg = (
            f"{source}: column 13 holds {first['taxon']!r} and column 5 {first['term']!r}, where GAF has "
            f"'taxon:9606' and 'GO:0006955'. Give a GAF 2.x file. {advice}"
        )
        raise ValueError(msg)
    return table


def _frame(lines: list[str], *, header: int | None = None, columns: Mapping[int, str] | None = None) -> pd.DataFrame:
    return pd.read_csv(
        io.StringIO("\n".join(lines)),
        sep="\t",
        header=header,
        usecols=None if columns is None else list(columns),
        names=None if columns is None else list(columns.values()),
        dtype=str,
        na_filter=False,
        quoting=csv.QUOTE_NONE,
    )


def _codes(parameter: str, codes: Iterable[str], table: pd.DataFrame, source: str) -> list[str]:
    if isinstance(codes, str):
        msg = f"{parameter} must be a list of codes, found {codes!r}. Write [{codes!r}] for a single one."
        raise TypeError(msg)
    wanted = list(codes)
    there = set(table["evidence"])
    absent = [code for code in wanted if code not in there]
    if parameter == "evidence" and len(absent) == len(wanted):
        some = _counts(table["evidence"], len(there))
        msg = f"{source}: no line has one of {parameter}={wanted}. The file has {some}. Choose among these."
        raise ValueError(msg)
    if parameter == "exclude_evidence" and absent:
        some = _counts(table["evidence"], len(there))
        warn(f"{source}: no line has {', '.join(map(repr, absent))} of {parameter}. The file has {some}.")
    return wanted


def _counts(values: pd.Series[str], most: int = 5) -> str:
    counts = Counter(values)
    some = ", ".join(f"{value} ({count})" for value, count in counts.most_common(most))
    return some + ", …" * (len(counts) > most)


def _finish(table: pd.DataFrame, report: dict[str, int], source: str) -> Annotations:
    table = table.assign(**{key: "" for key in ("evidence", "qualifier") if key not in table})
    table = table.loc[:, ["gene", "term", "evidence", "qualifier"]].reset_index(drop=True)
    report["kept"] = len(table)
    text = ", ".join(f"{what} {count}" for what, count in report.items())
    if table.empty:
        msg = f"{source}: no annotation is left ({text}). Loosen the filters, or check the columns."
        raise ValueError(msg)
    logger.info("%s: %s", source, text)
    kinds = identifier_kinds(table["gene"])
    common = {kind: count for kind, count in kinds.items() if count >= _MIXED * sum(kinds.values())}
    if len(common) > 1:
        counts = ", ".join(f"{count} {kind}" for kind, count in common.items())
        warn(
            f"{source}: gene identifiers of different kinds are mixed: {counts}. Only those written as in "
            "adata.var_names will be found; map them to one kind first."
        )
    return Annotations(table, report)
