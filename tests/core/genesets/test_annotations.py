"""GAF files and gene–term tables."""

import gzip
import logging

import pandas as pd
import pytest

from pathwayae.core.genesets.annotations import Annotations, identifier_kinds, read_annotations, read_gaf

HEADER = "!gaf-version: 2.2\n!generated-by: hand\n"


def line(symbol, term, evidence="IDA", qualifier="involved_in", *, accession="P1", taxon="taxon:9606", width=17):
    row = ["UniProtKB", accession, symbol, qualifier, term, "PMID:1", evidence, "", "P", "a name! with \"quotes", "",
           "protein", taxon, "20240101", "UniProt", "", ""]  # fmt: skip
    return "\t".join(row[:width]) + "\n"


BODY = (
    line("CD3D", "GO:3", accession="P04234")
    + line("CD19", "GO:3", "IBA", "NOT|involved_in", accession="P15391")
    + line("CD19", "GO:2", "IEA", accession="P15391")
    + line("NA", "GO:2", "IEA", "colocalizes_with|NOT", accession="P2")
    + line("CD2", "GO:2", "ND", "contributes_to", accession="P06729", taxon="taxon:9606|taxon:1280")
)


@pytest.fixture
def gaf(tmp_path):
    def write(text=HEADER + BODY, name="small.gaf"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def pairs(annotations):
    return list(zip(annotations.table["gene"], annotations.table["term"], strict=True))


def test_not_is_excluded_and_counted(gaf, caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        found = read_gaf(gaf())
    assert "read 5, NOT 2, no gene or term 0, kept 3" in caplog.text
    assert pairs(found) == [("CD3D", "GO:3"), ("CD19", "GO:2"), ("CD2", "GO:2")]
    assert found.report == {"read": 5, "NOT": 2, "no gene or term": 0, "kept": 3}
    assert list(found.table.columns) == ["gene", "term", "evidence", "qualifier"]
    assert list(found.table.index) == [0, 1, 2]
    assert repr(found) == "Annotations(3 rows, 3 genes, 2 terms)"
    assert repr(read_gaf(gaf(HEADER + line("CD3D", "GO:3")))) == "Annotations(1 row, 1 gene, 1 term)"
    assert list(read_gaf(gaf(), symbols=False).table["gene"]) == ["P04234", "P15391", "P06729"]
    assert read_gaf(gaf(HEADER + BODY + line("", "GO:2"))).report["no gene or term"] == 1


@pytest.mark.parametrize("qualifier", ["not", " NOT ", "Not|located_in", "part_of| NOT", "NOT enables"])
def test_not_is_known_however_it_is_written(gaf, qualifier):
    denied = line("CD3D", "GO:3").split("\t")
    denied[3] = qualifier
    found = read_gaf(gaf(HEADER + "\t".join(denied) + line("CD2", "GO:2")))
    assert (pairs(found), found.report["NOT"]) == ([("CD2", "GO:2")], 1)


def test_evidence(gaf):
    kept = read_gaf(gaf(), evidence=["IDA", "EXP"])
    assert (pairs(kept), kept.report["evidence"]) == ([("CD3D", "GO:3")], 2)
    rest = read_gaf(gaf(), exclude_evidence=["IEA", "ND"])
    assert (pairs(rest), rest.report["evidence"]) == ([("CD3D", "GO:3")], 2)
    with pytest.warns(
        UserWarning, match=r"no line has 'IAE' of exclude_evidence. The file has IDA \(1\), IEA"
    ) as caught:
        assert pairs(read_gaf(gaf(), exclude_evidence=["IAE", "IEA", "ND"])) == pairs(rest)
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"no line has one of evidence=\['ida'\]. The file has IDA \(1\), IEA \(1\)"):
        read_gaf(gaf(), evidence=["ida"])
    with pytest.raises(TypeError, match=r"evidence must be a list of codes, found 'IDA'. Write \['IDA'\]"):
        read_gaf(gaf(), evidence="IDA")
    with pytest.raises(ValueError, match="evidence and exclude_evidence were both given"):
        read_gaf(gaf(), evidence=["IDA"], exclude_evidence=["IEA"])


def test_taxon_is_that_of_the_gene_and_mixed_taxa_are_told(gaf):
    path = gaf(HEADER + BODY + line("Cd3d", "GO:3", taxon="taxon:10090"))
    for taxon in (9606, "9606", "taxon:9606"):
        found = read_gaf(path, taxon=taxon)
        assert found.report["taxon"] == 1
        assert list(found.table["gene"]) == ["CD3D", "CD19", "CD2"]  # also the line with a second taxon
    with pytest.warns(UserWarning, match=r"genes of 2 taxa are mixed: 9606 \(3\), 10090 \(1\). Choose one with taxon="):
        read_gaf(path)


def test_a_taxon_that_is_not_there_is_refused(gaf):
    with pytest.raises(ValueError, match=r"no gene is of taxon=10090. The file has 9606 \(5\). Choose among these"):
        read_gaf(gaf(), taxon=10090)
    path = gaf(HEADER + "".join(line("A", "GO:1", taxon=f"taxon:{number}") for number in range(9)))
    with pytest.raises(ValueError, match=r"The file has 0 \(1\), .*4 \(1\), …\. Choose"):
        read_gaf(path, taxon="taxon:9606")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: gzip.compress(text.encode()),
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace("\t\t\n", "\n"),
        lambda text: text.replace("\t\t\n", "\t\n", 2),
        lambda text: text + "!the end\n\n",
        lambda text: text.replace("2.2", "2.1"),
    ],
    ids=["gzip", "CRLF", "BOM", "15 columns", "16 and 17 columns", "comments and blank lines", "2.1"],
)
def test_layout_does_not_matter(gaf, change):
    expected = read_gaf(gaf())
    found = read_gaf(gaf(change(HEADER + BODY), "changed.gaf"))
    pd.testing.assert_frame_equal(found.table, expected.table)
    assert found.report == expected.report


def test_without_header_it_is_read_with_a_warning_at_the_users_line(gaf):
    with pytest.warns(UserWarning, match="no '!gaf-version' line; read as GAF 2.x") as caught:
        found = read_gaf(gaf(BODY))
    assert pairs(found) == pairs(read_gaf(gaf()))
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (HEADER + BODY + line("A", "GO:1", width=14), r"line 8: 14 tab-separated column\(s\), where 15 or 16 or 17"),
        (HEADER + BODY.replace("\n", "\t\n", 1), r"line 3: 18 tab-separated column\(s\)"),
        ("CD3D\tGO:3\n", r"line 1: 2 tab-separated.*read by read_annotations"),
        (HEADER, "no rows, only comments or blank lines"),
        ("!gpa-version: 2.0\n" + BODY, "'!gpa-version: 2.0', which is not GAF"),
        (HEADER + "\t".join("abcdefghijklmno") + "\n", "column 13 holds 'm' and column 5 'e'"),
        ("<html><body>", "HTML page"),
        ("", "is empty"),
    ],
    ids=["too few", "too many", "two columns", "header only", "GPAD", "other columns", "html", "empty"],
)
def test_bad_gaf(gaf, text, message):
    path = gaf(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_gaf(path)
    assert str(path) in str(caught.value)


def test_mixed_identifiers_are_told():
    table = pd.DataFrame({"gene": ["CD3D", "CD19", "ENSG00000167286", "920"], "term": "GO:1"})
    with pytest.warns(UserWarning, match="of different kinds are mixed: 2 other names, 1 Ensembl ids, 1 Entrez ids"):
        read_annotations(table)


def test_identifier_kinds():
    names = ["CD3D", "CD3D", "P04234", "A0A087WW49", "ENSMUSG00000032094.2", "920", "C1orf112", "H2-Ab1"]
    assert identifier_kinds(names) == {
        "other names": 3, "UniProt accessions": 2, "Ensembl ids": 1, "Entrez ids": 1
    }  # fmt: skip
    assert identifier_kinds([]) == {}


@pytest.mark.parametrize(
    ("text", "columns"),
    [
        ("gene\tterm\nCD3D\tGO:3\nNA\tGO:2\n", {}),
        ("term\tx\tgene\nGO:3\t\tCD3D\nGO:2\t1\tNA\n", {}),
        ("CD3D\tGO:3\nNA\tGO:2\n", {"gene": 0, "term": 1}),
        ("symbol\tgo_id\r\nCD3D\tGO:3\r\n\r\nNA\tGO:2\r\n", {"gene": "symbol", "term": "go_id"}),
        ("symbol\tgo_id\nCD3D\tGO:3\nNA\tGO:2\n", {}),
        ("GO term\tGO_ID\tGeneID\tGene Symbol\nb\tGO:3\t915\tCD3D\na\tGO:2\t4\tNA\n", {}),
        ("Gene name\tGO term accession\nCD3D\tGO:3\nNA\tGO:2\n", {}),
        ("term\tgo_id\tgene\nx\tGO:3\tCD3D\ny\tGO:2\tNA\n", {"term": "go_id"}),
    ],
    ids=["two columns", "other order", "no header", "names", "found", "found among ids", "BioMart", "named"],
)
def test_tables(tmp_path, text, columns):
    for name, data in {"a.tsv": text.encode(), "a.tsv.gz": gzip.compress(text.encode())}.items():
        (tmp_path / name).write_bytes(data)
        found = read_annotations(tmp_path / name, **columns)
        assert pairs(found) == [("CD3D", "GO:3"), ("NA", "GO:2")]
        assert set(found.table["evidence"]) == {""}


def test_tables_in_memory():
    table = pd.DataFrame({"gene": ["A", "A", "A", None, "B"], "term": ["T", "T", "T", "T", " "], "code": list("xyxxx")})
    found = read_annotations(table, evidence="code")
    assert isinstance(found, Annotations)
    assert found.report == {"read": 5, "no gene or term": 2, "kept": 2}
    assert list(found.table["evidence"]) == ["x", "y"]
    assert len(read_annotations(table).table) == 1


@pytest.mark.parametrize(
    ("text", "error", "message"),
    [
        ("gene\tset\nA\tB\n", KeyError, r"no column has a usual name of terms: \['gene', 'set'\]. Name it: term="),
        ("gene\tterm\nA\tB\nC\n", ValueError, r"line 3: 1 tab-separated column\(s\), where 2 are expected: 'C'"),
        ("gene\tterm\nA\tB\tC\n", ValueError, r"line 2: 3 tab-separated"),
        ("gene term\nA B\n", ValueError, r"line 1: 1 tab-separated column\(s\), where at least 2"),
        ("gene\tterm\n", ValueError, "no annotation is left"),
        ("gene\tterm\n\tGO:1\n", ValueError, r"no annotation is left \(read 1, no gene or term 1"),
    ],
    ids=["no such column", "too few", "too many", "blanks", "header only", "no gene"],
)
def test_bad_tables(tmp_path, text, error, message):
    (tmp_path / "bad.tsv").write_text(text)
    with pytest.raises(error, match=message):
        read_annotations(tmp_path / "bad.tsv")


def test_a_column_that_comes_twice_is_named():
    table = pd.DataFrame([["CD3D", "GO:1", "GO:2"]], columns=["gene", "term", "term"])
    with pytest.raises(ValueError, match="several columns called 'term'"):
        read_annotations(table)


def test_numbers_are_refused():
    with pytest.raises(
        ValueError, match=r"genes and terms must be strings, found 920. Convert them with astype\(str\)"
    ):
        read_annotations(pd.DataFrame({"gene": [920], "term": ["GO:1"]}))


@pytest.mark.real
def test_real_gaf(real_data):
    with pytest.warns(UserWarning, match="no '!gaf-version' line"):
        found = read_gaf(real_data / "genesets" / "uniprot_human_232lines.gaf", taxon=9606)
    assert found.report == {"read": 232, "NOT": 1, "taxon": 0, "no gene or term": 0, "kept": 231}
    assert found.table["evidence"].value_counts()[["IBA", "IDA", "IEA"]].tolist() == [75, 64, 16]
    assert "fake" not in set(found.table["gene"])


@pytest.mark.real
def test_real_table(real_data):
    found = read_annotations(real_data / "genesets" / "goa_human_2024-02-20_gene_go.tsv.gz")
    assert found.report == {"read": 252_037, "no gene or term": 0, "kept": 252_037}
    assert found.table["gene"].nunique() == 19_614


GENE2GO = (
    "#tax_id\tGeneID\tGO_ID\tEvidence\tQualifier\n"
    "9606\t915\tGO:2\tIDA\tinvolved_in\n9606\t930\tGO:2\tIBA\tNOT involved_in\n"
    "10090\t12500\tGO:2\tIDA\tinvolved_in\n9606\t931\tGO:3\tIDA\t-\n"
)


def test_gene2go_keeps_neither_denied_rows_nor_other_species(tmp_path):
    path = tmp_path / "gene2go.gz"
    path.write_bytes(gzip.compress(GENE2GO.encode()))
    names = {"evidence": "Evidence"}
    found = read_annotations(path, **names, taxon=9606)
    assert found.table["gene"].tolist() == ["915", "931"]
    assert found.report == {"read": 4, "NOT": 1, "taxon": 1, "no gene or term": 0, "kept": 2}
    assert found.table["qualifier"].tolist() == ["involved_in", ""]
    with pytest.warns(UserWarning, match=r"2 taxa are mixed: 9606 \(2\), 10090 \(1\)"):
        assert read_annotations(path, **names).report["kept"] == 3
    with pytest.raises(ValueError, match=r"no gene is of taxon=7227\. The file has 9606"):
        read_annotations(path, **names, taxon=7227)
    plain = pd.DataFrame({"gene": ["CD3D", "CD2"], "term": ["GO:1", "GO:1"], "q": ["", "NOT|part_of"]})
    assert read_annotations(plain, qualifier="q").table["gene"].tolist() == ["CD3D"]
    with pytest.raises(ValueError, match=r"taxon=9606 needs a column of species"):
        read_annotations(plain, taxon=9606)
