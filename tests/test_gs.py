"""The public face of gene sets, and the collection in the registry."""

import hashlib
import re
import tomllib
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import pathwayae
from pathwayae import gs
from pathwayae.core.genesets import gmt

REGISTRY = Path(pathwayae.__file__).parent.parent / "data_registry"
if not REGISTRY.is_dir():
    REGISTRY = Path(pathwayae.__file__).parent / "data_registry"


@pytest.fixture
def write_text(tmp_path):
    def write(text):
        path = tmp_path / "sets.gmt"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_all_names_exist():
    assert sorted(gs.__all__) == list(gs.__all__)
    assert all(hasattr(gs, name) for name in gs.__all__)


def test_round_trip(tmp_path):
    for name in ["sets.gmt", "sets.gmt.gz"]:
        pathways = gs.GeneSetCollection({"T / αβ": ["CD3D", "CD2"], "B": ["CD19"]}, {"B": "B cells; see 10.1/x"})
        gs.as_collection(pathways).to_gmt(tmp_path / name)
        back = gs.read_gmt(tmp_path / name)
        assert back == pathways
        assert back.descriptions == pathways.descriptions


def test_write_takes_what_as_collection_takes(tmp_path):
    gs.as_collection({"A": ["G1"]}).to_gmt(tmp_path / "a.gmt")
    gs.as_collection(str(tmp_path / "a.gmt")).to_gmt(tmp_path / "b.gmt")
    assert (tmp_path / "b.gmt").read_text() == "A\t\tG1\n"


def test_duplicates_are_refused_by_default(write_text):
    path = write_text("A\t\tG1\nB\t\tG2\nA\t\tG3\n")
    with pytest.raises(ValueError, match=r"sets\.gmt: 1 set name.*: 'A'\. Pass duplicates=\"number\""):
        gs.read_gmt(path)
    with pytest.raises(ValueError, match=r"duplicates='merge' is not known; choose one of 'error', 'number'"):
        gs.read_gmt(path, duplicates="merge")


def test_numbers_never_collide(write_text):
    path = write_text("A\tone\tG1\nA\ttwo\tG2\nA_2\tthree\tG3\nA\tfour\tG4\nA_2\tfive\tG5\n")
    pathways = gs.read_gmt(path, duplicates="number")
    assert dict(pathways) == {"A": ("G1",), "A_3": ("G2",), "A_2": ("G3",), "A_4": ("G4",), "A_2_2": ("G5",)}
    assert pathways.descriptions["A_4"] == "four"
    same = gs.read_gmt(write_text("A\t\tG1\nA\t\tG1\nA\t\tG1\n"), duplicates="number")
    assert list(same) == ["A", "A_2", "A_3"]


def test_one_warning_counts_all_problems(write_text):
    path = write_text("A\t\tG1\tG1\tG1\nB\tno genes\nC\t\tG2\nD\t\tG2\tG3\tG2\nE\t\t\t\n")
    for read in (gs.read_gmt, gs.as_collection):
        with pytest.warns(UserWarning, match=r"sets\.gmt: ") as caught:
            pathways = read(path)
        assert len(caught) == 1
        assert caught[0].filename == __file__
        message = str(caught[0].message)
        assert "2 set(s) without genes dropped, e.g. 'B', 'E'" in message
        assert "3 repeated gene(s) in 2 set(s) kept once, e.g. in 'A', 'D'" in message
        assert dict(pathways) == {"A": ("G1",), "C": ("G2",), "D": ("G2", "G3")}


def test_clean_files_give_no_warning(write_text):
    path = write_text("A\t\tG1\tG2\t\r\nB\t\tG1\r\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(gs.read_gmt(path)) == 2


def test_empty_duplicates_do_not_matter(write_text):
    with pytest.warns(UserWarning, match="1 set"):
        assert list(gs.read_gmt(write_text("A\t\tG1\nA\tempty\n"))) == ["A"]


def test_long_tables_are_recognised(write_text):
    with pytest.raises(ValueError, match=r"none of 3 sets has a gene.*from_frame"):
        gs.read_gmt(write_text("A\tG1\nA\tG2\nB\tG1\n"))


def test_as_collection(write_text):
    path = write_text("A\tfirst\tG1\tG2\nB\t\tG1\n")
    expected = gs.GeneSetCollection({"A": ["G1", "G2"], "B": ["G1"]})
    table = pd.DataFrame({"source": ["A", "A", "B"], "target": ["G1", "G2", "G1"]})
    for pathways in (expected, path, str(path), dict(expected), table):
        assert gs.as_collection(pathways) == expected
    assert gs.as_collection(expected) is expected
    assert gs.as_collection(path).descriptions["A"] == "first"


def test_as_collection_refuses():
    for pathways in [[1, 2], None, 3, {None}]:
        with pytest.raises(TypeError, match=f"pathways=.* is a {type(pathways).__name__}.*GMT file.*dict.*DataFrame"):
            gs.as_collection(pathways)
    with pytest.raises(FileNotFoundError, match=r"pathways='HALLMARK': no such file\. A string is taken as the path"):
        gs.as_collection("HALLMARK")


@pytest.mark.real
def test_real_collections(real_data):
    hallmark = gs.read_gmt(real_data / "genesets" / "h.all.v7.5.1.symbols.gmt")
    assert (len(hallmark), len(hallmark.genes)) == (50, 4383)
    with pytest.warns(UserWarning, match="111 repeated gene"):
        wikipathways = gs.read_gmt(real_data / "genesets" / "wikipathways_hsa_2023_symbols.gmt")
    assert (len(wikipathways), len(wikipathways.genes)) == (796, 8207)


def test_registry_card_describes_its_file():
    path = REGISTRY / "immune_pbmc.gmt"
    card = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    pathways = gs.read_gmt(path)
    assert card["file"] == path.name
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (card["n_sets"], card["n_genes"]) == (len(pathways), len(pathways.genes))
    assert {"title", "what", "organism", "identifier", "version", "licence", "citation", "processing"} <= set(card)
    assert card["redistributable"] is True


def test_immune_pbmc():
    path = REGISTRY / "immune_pbmc.gmt"
    records = gmt.read(path)
    card = tomllib.loads(path.with_suffix(".toml").read_text(encoding="utf-8"))
    cited = set()
    for record in records:
        assert 10 <= len(record.genes) <= 40
        assert list(record.genes) == sorted(set(record.genes))
        references = record.description.split("; ")[1:]
        assert references
        assert all(re.search(r", doi:10\.\d{4,}/\S+$", reference) for reference in references)
        cited |= set(references)
    assert cited == set(card["citation"])
    assert len({record.name for record in records}) == len(records)
    assert len({frozenset(record.genes) for record in records}) == len(records)


def test_immune_pbmc_covers_the_demo_data():
    scanpy = pytest.importorskip("scanpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        var_names = scanpy.datasets.pbmc68k_reduced().var_names
    pathways = gs.read_gmt(REGISTRY / "immune_pbmc.gmt")
    assert len(pathways.filter(min_genes=5, genes=var_names)) >= 12


@pytest.mark.parametrize("kind", [list, tuple, set, pd.Index, pd.Series, np.array])
def test_the_genes_of_a_single_set_are_a_collection(kind):
    found = gs.as_collection(kind(["CD3D", "CD3E", "CD2"]))
    assert list(found) == ["genes"]
    assert sorted(found["genes"]) == ["CD2", "CD3D", "CD3E"]


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        (["a.gmt", "b.gmt"], ValueError, r"gs\.read_gmt\(one\) \| gs\.read_gmt"),
        ([["CD3D"], ["CD2"]], TypeError, "name → list of genes"),
        (["CD3D", None], TypeError, "no names of genes"),
        ({"T": "CD3D,CD2"}, TypeError, r"Write 'CD3D,CD2'\.split\(','\)"),
        ({"T": None}, TypeError, "Give a list of names"),
        (pd.DataFrame({"T": ["CD3D"], "B": ["CD19"]}), KeyError, r"df\[name\]\.dropna\(\) for name in df"),
    ],
)
def test_what_is_no_set_says_what_to_pass(given, error, said):
    with pytest.raises(error, match=said):
        gs.as_collection(given)
