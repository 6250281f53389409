"""The cards of the registry: what they say, how they are read, and their table."""

import hashlib
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from registry_card import GOOD

import pathwayae as pae
from pathwayae.datasets import _registry

ROOT = Path(__file__).parents[2]
CARDS = _registry.cards()
FILES = [(name, file) for name, card in CARDS.items() for file in card.files]


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


# The cards.


def test_the_collections_and_cells_that_were_promised_have_cards():
    promised = {"immune_pbmc", "hallmark_human", "hallmark_mouse", "reactome", "go_basic", "goa_human", "wikipathways"}
    assert promised | {"pbmc3k", "kang_ifnb", "baron_human1", "kegg"} <= set(CARDS)


def test_a_card_says_what_one_must_know():
    for name, card in CARDS.items():
        assert re.fullmatch(r"[a-z0-9_]+", card.name)
        assert len(card.title) < 70, name
        assert card.citation, name
        assert card.licence, name
        assert not card.redistributable or re.search(r"CC|BSD", card.licence), name
        assert card.embedded or card.homepage.startswith("https://"), name
        assert all(url.startswith("https://") for file in card.files for url in file.urls), name
        assert (card.version == "rolling") == any(file.rolling for file in card.files), name
        for file in card.files:
            if re.search(r"/(current|latest)[/.]|//current\.", file.url):
                assert file.rolling, name
            if any("raw.githubusercontent.com" in url for url in file.urls):
                assert file.sha256, name
                assert all(re.search(r"/[0-9a-f]{40}/", url) for url in file.urls if "raw.github" in url), name


def test_kegg_is_not_offered_for_download():
    kegg = CARDS["kegg"]
    assert not kegg.redistributable
    assert not any(file.urls for file in kegg.files)
    assert not [file.name for name, file in FILES if name != "kegg" and "kegg" in file.name.lower()]


def test_nothing_embedded_may_not_be_redistributed():
    for card in CARDS.values():
        if card.embedded:
            assert card.redistributable
            assert sha256(_registry.folder() / card.files[0].name) == card.files[0].sha256
            assert (_registry.folder() / card.files[0].name).stat().st_size == card.files[0].size


@pytest.mark.real
def test_hashes_and_sizes_are_those_of_the_real_files(real_data):
    present = {path.name: path for folder in ("genesets", "cells") for path in (real_data / folder).iterdir()}
    seen = set()
    for _, file in FILES:
        for name, right in file.known.items():
            if name in present and right:
                assert sha256(present[name]) in right
                assert not file.sha256 or present[name].stat().st_size == file.size
                seen.add(name)
    assert seen == set(present)


@pytest.mark.real
def test_numbers_are_those_of_the_real_files(real_data):
    for card in CARDS.values():
        path = next((p for p in real_data.glob(f"*/{card.files[0].name}")), None)
        if path and card.kind == "gene sets":
            records = [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            genes = {gene for record in records for gene in record[2:] if gene}
            assert (card.n_sets, card.n_genes) == (len(records), len(genes)), card.name
        elif path and card.kind == "cells":
            assert ad.read_h5ad(path, backed="r").shape == (card.n_cells, card.n_genes)


def test_wheel_and_sdist_carry_all_cards(tmp_path):
    pytest.importorskip("hatchling")
    if not (ROOT / "pyproject.toml").is_file():
        pytest.skip("not a source checkout")
    code = (
        "import sys; from hatchling.builders.wheel import WheelBuilder; from hatchling.builders.sdist import "
        "SdistBuilder; [print(p) for b in (WheelBuilder, SdistBuilder) "
        "for p in b(sys.argv[1]).build(directory=sys.argv[2], versions=['standard'])]"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    wheel, sdist = done.stdout.split()
    expected = {path.name for path in (ROOT / "data_registry").iterdir() if path.suffix in (".toml", ".gmt", ".py")}
    listed = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[-1] for name in listed if name.startswith("pathwayae/data_registry/")} == expected
    with tarfile.open(sdist) as archive:
        assert {name.split("/")[-1] for name in archive.getnames() if "/data_registry/" in name} == expected


# Reading cards.

FILE = '[[files]]\nname = "a.gmt"\nurl = "https://example.org/a.gmt"\n'


def test_a_faulty_card_is_refused_by_name_and_key(tmp_path):
    for text, message in [
        ("title = ", "c.toml: "),
        (GOOD, r"\[\[files\]\] must be there"),
        (GOOD.replace('title = "T"', "") + FILE, "'title' is missing"),
        (GOOD.replace('"T"', '""') + FILE, "'title' is empty"),
        (GOOD.replace('["C"]', "[]") + FILE, "'citation' is empty"),
        (GOOD.replace('["C"]', "[1]") + FILE, "citation must be a list of strings"),
        (GOOD.replace("true", '"yes"') + FILE, "'redistributable' must be bool"),
        (GOOD.replace('"gene sets"', '"genes"') + FILE, "kind='genes' is not known"),
        (GOOD + 'license = "x"\n' + FILE, "'license' is not known"),
        (GOOD + 'name = "x"\n' + FILE, "leave them out"),
        (GOOD + FILE + "hash = 1\n", "file 1: 'hash' is not known"),
        (GOOD + FILE + 'sha256 = "ABC"\n', "64 hexadecimal digits"),
        (GOOD + FILE + "size = true\n", "'size' must be int"),
        (GOOD + FILE + FILE, "two files have the same name"),
        (GOOD + FILE.replace("https://", ""), "is not an address"),
        (GOOD + FILE.replace('"a.gmt"', '"../a.gmt"'), "not the name of a file"),
        (GOOD + FILE + f'rolling = true\nsha256 = "{"0" * 64}"\n', "rolling file has a url, and neither"),
        (GOOD + FILE + 'copies = [{ name = "b" }]\n', "a name and a sha256"),
        (GOOD + '[[files]]\nname = "a.gmt"\n', "needs by_hand"),
        (GOOD + 'file = "b.gmt"\n', "there is no b.gmt beside it"),
    ]:
        (tmp_path / "c.toml").write_text(text)
        with pytest.raises(ValueError, match=message) as caught:
            _registry.read_card(tmp_path / "c.toml")
        assert "c.toml" in str(caught.value)


def test_an_unknown_name_shows_close_ones():
    with pytest.raises(KeyError, match="'hallmark_human'.*pae.datasets.list"):
        pae.datasets.fetch("hallmark_humna")
    with pytest.raises(KeyError, match="There is no data set 'zzzzzz'. pae"):
        pae.datasets.fetch("zzzzzz")


# The table.


def test_the_table_has_a_row_per_card():
    table = pae.datasets.list()
    assert list(table.index) == sorted(CARDS)
    columns = "title kind organism identifiers version n licence redistributable size_mb where"
    assert list(table.columns) == columns.split()
    assert table.loc["immune_pbmc", "where"] == "embedded"
    assert table.loc["pbmc68k_reduced", "where"] == "embedded"
    assert table.loc["kang_ifnb", ["n", "size_mb"]].tolist() == ["24,673 × 15,706", 38.36]
    assert table.drop(columns="size_mb").notna().all(axis=None)
    pd.testing.assert_frame_equal(pae.datasets.list("cells"), table[table["kind"] == "cells"])
    for kind, near in {"cell": "cells", "gene set": "gene sets", "Ontology": "ontology"}.items():
        message = f"kind='{kind}' is not known. Did you mean '{near}'. Choose one of 'gene sets', 'ontology'"
        with pytest.raises(ValueError, match=message):
            pae.datasets.list(kind)
    with pytest.raises(ValueError, match="kind='xyz' is not known. Choose one of"):
        pae.datasets.list("xyz")


def test_reading_the_table_loads_neither_requests_nor_scanpy():
    code = (
        "import sys, pathwayae as pae; heavy = ['torch', 'requests', 'scanpy', 'pooch'];"
        "pae.datasets; print(*[n for n in heavy if n in sys.modules]);"
        "pae.datasets.list(); print(*[n for n in heavy[:3] if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == []


# Where it lies.


def test_a_registry_inside_the_package_goes_first(tmp_path, monkeypatch):
    (tmp_path / "package" / "data_registry").mkdir(parents=True)
    (tmp_path / "data_registry").mkdir()
    monkeypatch.setattr(_registry, "__file__", str(tmp_path / "package" / "datasets" / "_registry.py"))
    assert _registry.folder() == tmp_path / "package" / "data_registry"
    (tmp_path / "package" / "data_registry").rmdir()
    assert _registry.folder() == tmp_path / "data_registry"


def test_a_missing_registry_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_registry, "__file__", str(tmp_path / "package" / "datasets" / "_registry.py"))
    with pytest.raises(FileNotFoundError, match="installation is incomplete"):
        _registry.folder()
