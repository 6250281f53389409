"""Files of gene sets as they are downloaded: other formats, compressed, damaged, without descriptions."""

import bz2
import gzip
import io
import json
import logging
import lzma
import tarfile
import zipfile

import pytest

from pathwayae import gs
from pathwayae.core.genesets import compressed, gmt
from pathwayae.core.notice import DataWarning

SETS = {"T cells": ("CD3D", "CD3E", "CD2"), "B cells": ("CD19", "MS4A1")}
GMT = "T cells\t\tCD3D\tCD3E\tCD2\nB cells\t\tCD19\tMS4A1\n"


def zipped(path, **files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress], ids=["plain", "gz", "bz2", "xz"])
def test_packed_files_are_recognised_by_content(tmp_path, pack):
    (tmp_path / "sets").write_bytes(pack(GMT.encode()))
    assert dict(gs.read_gmt(tmp_path / "sets")) == SETS
    assert dict(gs.as_collection(tmp_path / "sets")) == SETS


def test_zip_archives_of_one_file(tmp_path):
    zipped(tmp_path / "sets.zip", **{"sets.gmt": GMT, "__MACOSX/x": "rubbish"})
    assert dict(gs.read_gmt(tmp_path / "sets.zip")) == SETS
    zipped(tmp_path / "two.zip", one=GMT, two=GMT)
    with pytest.raises(ValueError, match=r"two\.zip holds 2 files \('one', 'two'\)\. Unpack it"):
        gs.read_gmt(tmp_path / "two.zip")


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_file_that_expands_a_thousandfold_is_stopped(tmp_path, pack, monkeypatch):
    monkeypatch.setattr(compressed, "FREE", 2**20)
    path = tmp_path / "bomb"
    path.write_bytes(pack(b"A" * 2**24))
    with pytest.raises(ValueError, match=r"bomb \([\d,]+ bytes\) unpacks to more than"):
        gs.read_gmt(path)


def test_damaged_files(tmp_path):
    path = tmp_path / "sets.gmt.gz"
    path.write_bytes(gzip.compress(GMT.encode())[:-9])
    with pytest.raises(ValueError, match="damaged gzip file"):
        gs.read_gmt(path)
    path.write_bytes(GMT.replace("CD2", "CD\x002").encode())
    with pytest.raises(ValueError, match="line 1: holds a NUL byte"):
        gs.read_gmt(path)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("my_genes.txt", "# from a paper\nCD3D\nCD2\n\n", {"my_genes": ("CD3D", "CD2")}),
        ("a.grp", "HALLMARK_X\n> Genes of x\nCD3D\nCD2\n", {"HALLMARK_X": ("CD3D", "CD2")}),
        ("a.grp", "# HALLMARK_X\nCD3D\nCD2\n", {"HALLMARK_X": ("CD3D", "CD2")}),
        (
            "a.json",
            json.dumps({"T cells": {"geneSymbols": ["CD3D", "CD2"], "pmid": "1"}}),
            {"T cells": ("CD3D", "CD2")},
        ),
        ("a.json", json.dumps({name: list(genes) for name, genes in SETS.items()}, indent=1), SETS),
        (
            "a.xml",
            '<?xml version="1.0"?><MSIGDB><GENESET STANDARD_NAME="X" MEMBERS_SYMBOLIZED="CD3D,CD2"/></MSIGDB>',
            {"X": ("CD3D", "CD2")},
        ),
        ("a.gmx", "T\tB\nna\tna\nCD3D\tCD19\nCD2\t\n", {"T": ("CD3D", "CD2"), "B": ("CD19",)}),
        ("enrichr.txt", "T cells\t\tCD3D,1.0\tCD2,1.0\n", {"T cells": ("CD3D", "CD2")}),
        ("a.gmt", "#version 2\n# a comment\n" + GMT, SETS),
        ("utf16.gmt", GMT, SETS),
    ],
)
def test_other_formats(tmp_path, name, text, expected):
    (tmp_path / name).write_bytes(text.encode("utf-16" if name.startswith("utf16") else "utf-8"))
    assert dict(gs.as_collection(tmp_path / name)) == expected


def test_weights_of_files_survive_them(tmp_path):
    path = tmp_path / "net.gmt"
    path.write_text("PAX5\tna\tCD19,1.0\tLYZ,-0.5\nX\tna\tCD2\n")
    sets = gs.read_gmt(path)
    assert dict(sets.weights["PAX5"]) == {"CD19": 1.0, "LYZ": -0.5}
    sets.to_gmt(tmp_path / "again.gmt")
    assert gs.read_gmt(tmp_path / "again.gmt") == sets
    (tmp_path / "net.json").write_text('{"PAX5": {"CD19": 1, "LYZ": -0.5}}')
    assert gs.read_gmt(tmp_path / "net.json").weights == sets.weights


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"A": 5}', "the set 'A' is no list of genes"),
        ('{"A": [', "not valid JSON"),
        ('<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "b">]><x/>', "defines entities"),
        ('<?xml version="1.0"?><x/>', "without <GENESET"),
    ],
)
def test_other_formats_that_hold_no_sets(tmp_path, text, message):
    (tmp_path / "a").write_text(text)
    with pytest.raises(ValueError, match=message):
        gs.read_gmt(tmp_path / "a")


SHARED = "A\tG1A\tCD2\tCD4\nB\tCD2\tG1A\tCD4\nC\tCD4\tCD2\tG1A\n"


def test_a_file_without_descriptions_keeps_the_first_gene(tmp_path, caplog):
    path = tmp_path / "a.gmt"
    path.write_text(SHARED)
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        assert dict(gs.read_gmt(path))["A"] == ("G1A", "CD2", "CD4")
    assert "the second column is a gene: the file has no descriptions (3 of 3" in caplog.text
    assert dict(gs.read_gmt(path, description=True))["A"] == ("CD2", "CD4")
    path.write_text("T cells\tCD3D\tCD3E\tCD2\nB cells\tCD19\tMS4A1\tCD79A\n")
    with pytest.warns(DataWarning, match=r"taken as a gene.*description=True.*description=False"):
        assert dict(gs.read_gmt(path))["T cells"] == ("CD3D", "CD3E", "CD2")
    assert dict(gs.read_gmt(path, description=False))["B cells"] == ("CD19", "MS4A1", "CD79A")
    with pytest.raises(ValueError, match="description='x' is not known"):
        gs.read_gmt(path, description="x")


@pytest.mark.parametrize(
    "second", ["", "na", "http://x.org/{}", "markers of {}", "GO:000{}", "R-HSA-16484{}", "SOURCE", "WP43{}", "{} text"]
)
def test_descriptions_are_no_genes(tmp_path, second):
    path = tmp_path / "a.gmt"
    path.write_text("".join(f"SET_{j}\t{second.format(j)}\tCD3D\tCD2\tCD4{j}\n" for j in range(5)))
    assert dict(gs.read_gmt(path))["SET_4"] == ("CD3D", "CD2", "CD44")


def test_what_is_packed_otherwise_is_named(tmp_path):
    path = tmp_path / "sets"
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("sets.gmt"))
    said = {
        gzip.compress(gzip.compress(GMT.encode())): "packed twice",
        gzip.compress(archive.getvalue()): "a tar archive",
        lzma.compress(GMT.encode(), format=lzma.FORMAT_ALONE): "lzma",
        b"\x28\xb5\x2f\xfd\x20": "zstandard",
        b"\x89HDF\r\n\x1a\n": "h5ad",
        b"PAR1\x15\x04": "read_parquet",
        b"\x89PNG\r\n": "a picture",
        b"\x80\x04\x95": "a pickle",
        gzip.compress(b"X\n\x00\x00\x00\x02"): "a file of R",
    }
    for content, words in said.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=words):
            compressed.read_bytes(path)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"T": ["CD3D", null]}', r"'T' holds None, and genes are text: leave null out"),
        ('{"T": [915, 916]}', r"'T' holds 915, and genes are text.*quotes"),
        ('{"C2": {"T": ["CD3D"]}}', r"'C2' is no list of genes but an object of other things"),
        ('{"T": "CD3D,CD2"}', r"'T' is no list of genes but 'CD3D,CD2'"),
        ('{"T": {"CD3D": 1%s}}' % ("0" * 5000), "is not valid JSON"),
    ],
)
def test_json_that_holds_no_genes_says_what_it_holds(tmp_path, text, words):
    (tmp_path / "sets.json").write_text(text)
    with pytest.raises(ValueError, match=words):
        gs.read_gmt(tmp_path / "sets.json")


def test_sets_that_look_like_comments_are_told_of(tmp_path):
    (tmp_path / "a.gmt").write_text("#OLD\tdescription\tCD3D\tCD2\nNEW\tdescription\tCD14\tLYZ\n")
    with pytest.warns(UserWarning, match=r"1 lines with tabs begin with '#', e\.g\. '#OLD'.*remove these lines"):
        assert list(gs.read_gmt(tmp_path / "a.gmt")) == ["#OLD", "NEW"]


def test_zip_archives_with_a_text_that_explains_them_and_workbooks(tmp_path):
    with zipfile.ZipFile(tmp_path / "sets.zip", "w") as archive:
        archive.writestr("README.txt", "read me")
        archive.writestr("sets.gmt", "T cells\t\tCD3D\n")
    assert compressed.read_bytes(tmp_path / "sets.zip") == b"T cells\t\tCD3D\n"
    with zipfile.ZipFile(tmp_path / "sets.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "")
    with pytest.raises(ValueError, match="workbook of Excel"):
        compressed.read_bytes(tmp_path / "sets.xlsx")


def test_long_tables_quoted_names_and_weights_that_are_none(tmp_path):
    path = tmp_path / "sets.tsv"
    path.write_text('"source"\t"target"\nT\tCD3D\nT\tCD2\n')
    with pytest.raises(ValueError, match=r"a row per set and gene \(source, target\).*read_csv"):
        gmt.read(path)
    path.write_text('"T cells"\t"of a paper"\t"CD3D"\t"CD2"\n')
    assert gmt.read(path, description=True) == [("T cells", "of a paper", ('"CD3D"', '"CD2"'))]
    for text in ("CD3D,nan", "CD3D,inf"):
        with pytest.raises(ValueError, match="weight of 'CD3D' is"):
            gs.GeneSetCollection({"T": [text]})
