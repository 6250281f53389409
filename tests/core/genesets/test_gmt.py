"""GMT text ↔ records."""

import gzip
import logging
import os

import pytest

from pathwayae.core.genesets import gmt
from pathwayae.core.genesets.gmt import GeneSet

SETS = [
    GeneSet("T cells / αβ", "markers, with blanks", ("CD3D", "CD3E")),
    GeneSet("B cells", "", ("CD19", "MS4A1", "CD19")),
]
TEXT = "T cells / αβ\tmarkers, with blanks\tCD3D\tCD3E\nB cells\t\tCD19\tMS4A1\tCD19\n"


def test_parse_splits_on_tabs_alone_and_keeps_repeats():
    assert gmt.parse(TEXT) == SETS
    assert gmt.parse("A\tone\u2028two\tG1\n") == [GeneSet("A", "one\u2028two", ("G1",))]  # not the end of a line
    assert gmt.parse("A\tnothing\n") == [GeneSet("A", "nothing", ())]


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace("\n", "\r\n"),
        TEXT.replace("\n", "\r"),
        "\ufeff" + TEXT,
        "\n \n" + TEXT + "\n\t\n",
        TEXT.removesuffix("\n"),
        TEXT.replace("\n", "\t\t\n"),
        TEXT.replace("\tCD3E", "\t\t CD3E "),
        TEXT.splitlines(keepends=True),
        iter(TEXT.splitlines()),
    ],
    ids=["CRLF", "CR", "BOM", "blank lines", "no last newline", "trailing tabs", "empty cell", "lines", "iterator"],
)
def test_parse_tolerates(text):
    assert gmt.parse(text) == SETS


def test_dropped_cells_are_counted_in_the_log(caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        gmt.parse("A\t\tG1\t\tG2\t\nB\t\tG3\n", "some.gmt")
    assert caplog.messages == ["some.gmt: dropped 2 empty gene cells (doubled or trailing tabs)"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"some\.gmt is empty"),
        ("A\t\tG1\nB G2 G3\n", r"some\.gmt, line 2: no tab in 'B G2 G3'.*tab-separated"),
        ("\n\tx\tG1\n", r"some\.gmt, line 2: the gene set has no name"),
        ("<!DOCTYPE html>\n<p>\n", r"some\.gmt, line 1: this is an HTML page.*[Dd]ownload it again"),
        ("\n  <HTML\tlang='en'>\n", r"some\.gmt, line 2: this is an HTML page"),
    ],
)
def test_parse_refuses(text, message):
    with pytest.raises(ValueError, match=message):
        gmt.parse(text, "some.gmt")


def test_long_lines_are_shortened_in_errors():
    with pytest.raises(ValueError, match="x…'") as caught:
        gmt.parse("x" * 10_000)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", ["sets.gmt", "sets.gmt.gz"])
def test_round_trip(tmp_path, name):
    with pytest.raises(FileNotFoundError, match=name):
        gmt.read(tmp_path / name)
    with pytest.raises(ValueError, match="`sets` is empty"):
        gmt.write(tmp_path / name, [])
    assert os.listdir(tmp_path) == []
    gmt.write(tmp_path / name, SETS)
    assert gmt.read(tmp_path / name) == SETS
    first = (tmp_path / name).read_bytes()
    gmt.write(str(tmp_path / name), iter(gmt.read(str(tmp_path / name))))
    assert (tmp_path / name).read_bytes() == first
    assert os.listdir(tmp_path) == [name]


def test_gzip_is_deterministic_and_recognised_by_content(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        gmt.write(tmp_path / folder / f"{folder}.gmt.gz", SETS)
    data = (tmp_path / "a" / "a.gmt.gz").read_bytes()
    assert data == (tmp_path / "b" / "b.gmt.gz").read_bytes()
    assert data[4:8] == bytes(4)
    assert gzip.decompress(data).decode() == TEXT
    (tmp_path / "misnamed.gmt").write_bytes(data)
    assert gmt.read(tmp_path / "misnamed.gmt") == SETS


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (gzip.compress(TEXT.encode())[:-12], "damaged gzip file.*[Dd]ownload it again"),
        (gzip.compress(b""), "is empty"),
        (b"A\t\tG1\nB\t\xe4\tG2\n", "line 2: not UTF-8 text.*Save the file as UTF-8"),
        (b"<html><body>Login</body></html>", "HTML page"),
    ],
    ids=["truncated", "empty", "latin-1", "html"],
)
def test_read_refuses(tmp_path, data, message):
    path = tmp_path / "bad.gmt.gz"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        gmt.read(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (GeneSet("A\tB", "", ("G1",)), "gene set 'A\\\\tB'.*a tab or a line break"),
        (GeneSet("A", "one\ntwo", ("G1",)), r"'one\\ntwo' holds a tab or a line break"),
        (GeneSet("A", "", (" G1",)), "blank"),
        (GeneSet("", "", ("G1",)), "needs a name"),
        (GeneSet("A", "", ()), "at least one gene"),
        (GeneSet("A", "", ("G1", "")), "no empty gene"),
    ],
)
def test_write_refuses_and_leaves_the_old_file(tmp_path, record, message):
    path = tmp_path / "sets.gmt"
    gmt.write(path, SETS)
    with pytest.raises(ValueError, match=message):
        gmt.write(path, [*SETS, record])
    assert path.read_text(encoding="utf-8") == TEXT
    assert os.listdir(tmp_path) == ["sets.gmt"]


def test_write_is_atomic(tmp_path, monkeypatch):
    path = tmp_path / "sets.gmt"
    path.write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        gmt.write(path, SETS)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["sets.gmt"]


REAL = {  # sets, different genes, repeated genes, the same bytes when written again
    "h.all.v7.5.1.symbols.gmt": (50, 4383, 0, True),
    "c2.cp.reactome.v7.5.1.symbols.gmt": (1615, 10646, 0, True),
    "ReactomePathways.gmt": (2546, 11391, None, True),
    "GO_Biological_Process_2021.gmt": (6036, 14937, None, True),
    "wikipathways_hsa_2023_symbols.gmt": (796, 8207, 111, False),
    "PanglaoDB_markers_27_Mar_2020.gmt": (178, None, None, False),
}


@pytest.mark.real
@pytest.mark.parametrize("name", REAL)
def test_real_files(real_data, tmp_path, name):
    n_sets, n_genes, n_repeats, same_bytes = REAL[name]
    source = real_data / "genesets" / name
    sets = gmt.read(source)
    genes = [gene for record in sets for gene in record.genes]
    assert len(sets) == n_sets
    assert n_genes in (None, len(set(genes)))
    assert n_repeats in (None, sum(len(record.genes) - len(set(record.genes)) for record in sets))
    gmt.write(tmp_path / name, sets)
    assert gmt.read(tmp_path / name) == sets
    if same_bytes:
        assert (tmp_path / name).read_bytes() == source.read_bytes()
