"""Algebra, tables, reports and renaming of a collection."""

import logging

import numpy as np
import pandas as pd
import pytest

from pathwayae import gs
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.hierarchy import Hierarchy

SETS = {"T / αβ": ["CD3D", "CD2", "CD3E"], "B": ["MS4A1", "CD19"], "NK": ["NKG7", "CD2"]}


class Data:
    """What the collection needs of an AnnData."""

    def __init__(self, names, **columns):
        self.var_names = pd.Index(names)
        self.var = pd.DataFrame(columns, index=self.var_names)


@pytest.fixture
def pathways():
    return GeneSetCollection(SETS, {"B": "B cell markers"})


def test_names_are_identity():
    twins = GeneSetCollection({"a": ["G1", "G2"], "b": ["G2", "G1"]})
    assert len(twins) == len(twins | twins) == len(twins & twins) == 2
    assert twins.overlap()["jaccard"].tolist() == [1.0]
    assert list(GeneSetCollection.from_frame(twins.to_frame())) == ["a", "b"]
    assert twins.sets_per_gene().to_dict() == {"G1": 2, "G2": 2}
    assert len(twins.map_genes({"G1": "G", "G2": "G"})) == 2


# Algebra.


def test_union_and_intersection(pathways):
    other = GeneSetCollection({"mono": ["LYZ"], "B": ["CD19", "MS4A1"], "NK": ["CD2", "NKG7"]}, {"B": "x", "NK": "y"})
    both = pathways | other
    assert list(both) == [*pathways, "mono"]
    assert both["B"] == pathways["B"]
    assert dict(both.descriptions) == {"T / αβ": "", "B": "B cell markers", "NK": "y", "mono": ""}
    assert pathways | GeneSetCollection({}) == GeneSetCollection({}) | pathways == pathways
    assert dict(pathways) == {name: tuple(genes) for name, genes in SETS.items()}

    other = GeneSetCollection({"NK": ["CD2", "NKG7"], "mono": ["LYZ"], "B": ["CD19", "MS4A1"]})
    assert list((pathways & other).items()) == [(name, pathways[name]) for name in ("B", "NK")]
    assert (pathways & other).descriptions["B"] == "B cell markers"
    assert len(pathways & GeneSetCollection({})) == 0


def test_algebra_refuses_a_name_with_two_meanings(pathways):
    other = GeneSetCollection({"B": ["CD19"], "NK": ["GNLY"]})
    for operation in (lambda: pathways | other, lambda: pathways & other):
        with pytest.raises(ValueError, match=r"2 set\(s\) have other genes in the other collection: 'B', 'NK'"):
            operation()
    for wrong in (["B"], "B", None):
        for operation in (lambda: pathways | wrong, lambda: wrong | pathways, lambda: pathways & wrong):  # noqa: B023
            with pytest.raises(TypeError):
                operation()


def test_algebra_takes_mappings(pathways):
    other = {"mono": ["LYZ", "LYZ"], "B": ["CD19", "MS4A1"]}
    same = GeneSetCollection(other)
    for found, expected in (
        (pathways | other, pathways | same),
        (other | pathways, same | pathways),
        (pathways & other, pathways & same),
    ):
        assert found == expected
        assert found.descriptions == expected.descriptions
    with pytest.raises(ValueError, match=r"1 set\(s\) have other genes in the other collection: 'B'"):
        pathways | {"B": ["LYZ"]}
    with pytest.raises(TypeError, match="gene set 'mono': expected a list of genes"):
        pathways & {"mono": "LYZ"}


def test_select(pathways):
    assert list(pathways.select(["NK", "B", "NK"])) == ["NK", "B"]
    assert pathways.select("B").descriptions == {"B": "B cell markers"}
    assert len(pathways.select([])) == 0
    assert list(pathways.select(regex="^(B|T)")) == ["T / αβ", "B"]
    assert list(pathways.select(regex="(?i)nk")) == ["NK"]
    with pytest.raises(KeyError, match=r"1 name\(s\) are not in the collection, e.g. 'T/αβ'. Did you mean 'T / αβ'"):
        pathways.select(["B", "T/αβ"])
    with pytest.raises(ValueError, match="regex='nk' is found in none of 3 set names"):
        pathways.select(regex="nk")
    with pytest.raises(
        ValueError, match=r"regex='\(' is not a regular expression: missing \), unterminated subpattern"
    ):
        pathways.select(regex="(")
    for arguments in ({}, {"names": ["B"], "regex": "B"}):
        with pytest.raises(ValueError, match="give either names or regex"):
            pathways.select(**arguments)


# Round trips.


def test_frame_dict_and_gmt_round_trip(pathways, tmp_path):
    assert pathways.to_dict() == SETS
    assert GeneSetCollection(pathways.to_dict(), pathways.descriptions) == pathways
    table = pathways.to_frame()
    assert list(table.columns) == ["source", "target", "weight"]
    assert (table["weight"] == 1.0).all()
    assert GeneSetCollection.from_frame(table) == pathways
    assert GeneSetCollection({"empty": []}).to_frame().dtypes["weight"] == np.float64
    for name in ("sets.gmt", "sets.gmt.gz"):
        pathways.to_gmt(tmp_path / name)
        back = gs.read_gmt(tmp_path / name)
        assert back == pathways
        assert back.descriptions == pathways.descriptions


# Against data.


def test_report(pathways):
    table = (pathways | GeneSetCollection({"none": []})).report(["CD3D", "CD2", "CD3E", "CD19", "ACTB"], min_genes=2)
    assert table.to_dict("list") == {
        "pathway": ["T / αβ", "B", "NK", "none"],
        "n_genes": [3, 2, 2, 0],
        "n_matched": [3, 1, 1, 0],
        "n_lost": [0, 1, 1, 0],
        "share": [1.0, 0.5, 0.5, 0.0],
        "reason": ["", "fewer than 2 genes matched", "fewer than 2 genes matched", "no genes"],
        "lost": ["", "MS4A1", "NKG7", ""],
    }
    assert pathways.report(["CD19"])["reason"].tolist() == ["no gene matched", "", "no gene matched"]


def test_report_takes_data_or_names_in_any_order(pathways):
    names = ["CD19", "CD2", "ACTB", "CD3D"]
    expected = pathways.report(names)
    for same in (Data(names), names[::-1], pd.Index(names), np.array(names), iter(names)):
        pd.testing.assert_frame_equal(pathways.report(same), expected)
    data = Data(["e1", "e2", "e3", "e4"], symbol=["CD19", "CD2", None, "CD3D"])
    pd.testing.assert_frame_equal(pathways.report(data, gene_symbols="symbol"), expected)
    assert pathways.sets_per_gene(data, gene_symbols="symbol").to_dict() == {"CD19": 1, "CD2": 2, "e3": 0, "CD3D": 1}


def test_report_says_what_to_do(pathways):
    for names, message in (  # all messages: test_membership
        (["ENSG00000167286", "ENSG00000116824"], "hold Ensembl gene ids .*gene_symbols=…"),
        (["Cd3d", "Cd2", "Cd3e"], r"human and the other mouse \(3 names agree if case is ignored.*orthologue table"),
    ):
        with pytest.warns(UserWarning, match=message) as caught:
            table = pathways.report(names)
        assert caught[0].filename == __file__
        assert set(table["reason"]) == {"no gene matched"}


def test_report_refuses(pathways):
    for wrong in ("CD3D", 3):
        with pytest.raises(TypeError, match="adata must be an AnnData or a list of gene names"):
            pathways.report(wrong)
    for repeated in (["CD3D", "CD2", "CD3D"], Data(["CD3D", "CD3D"])):
        with pytest.raises(
            ValueError, match=r"var_names must be unique: 1 name\(s\) occur more than once, e.g. 'CD3D'"
        ):
            pathways.report(repeated)
    with pytest.raises(ValueError, match="must be unique"):
        pathways.report(Data(["a", "b"], symbol=["CD3D", "CD3D"]), gene_symbols="symbol")
    with pytest.raises(TypeError, match="gene_symbols='symbol' names a column of adata.var, but adata is a list"):
        pathways.report(["CD3D"], gene_symbols="symbol")
    with pytest.raises(KeyError, match="gene_symbols='name' is not a column of adata.var, which has"):
        pathways.report(Data(["CD3D"], symbol=["x"]), gene_symbols="name")


def test_sets_per_gene_agrees_with_a_loop(pathways):
    counts = pathways.sets_per_gene()
    assert tuple(counts.index) == pathways.genes
    assert counts.to_dict() == {gene: sum(gene in genes for genes in pathways.values()) for gene in pathways.genes}
    counts = pathways.sets_per_gene(["ACTB", "CD2"])
    assert (counts.index.tolist(), counts.tolist(), counts.name) == (["ACTB", "CD2"], [0, 2], "n_sets")
    assert pathways.identifiers() == "human symbols"


# Renaming genes.

MAP = {"CD3D": "Cd3d", "CD2": ["Cd2", "Cd2b"], "CD3E": "Cd3d", "CD19": None, "NKG7": float("nan"), "other": "x"}


def test_map_genes_takes_several_unites_and_logs_counts(pathways, caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        pathways.map_genes(MAP)
    assert "3 of 6 genes renamed, 3 without a new name (dropped), 1 with several, 1 new names shared" in caplog.text
    assert "1 set(s) left without genes" in caplog.text
    assert dict(pathways.map_genes(MAP)) == {"T / αβ": ("Cd3d", "Cd2", "Cd2b"), "B": (), "NK": ("Cd2", "Cd2b")}
    kept = pathways.map_genes(MAP, unmapped="keep")
    assert dict(kept) == {"T / αβ": ("Cd3d", "Cd2", "Cd2b"), "B": ("MS4A1", "CD19"), "NK": ("NKG7", "Cd2", "Cd2b")}
    assert kept.descriptions == pathways.descriptions
    with pytest.raises(ValueError, match="3 of 6 genes have no new name in the mapping, e.g. 'MS4A1', 'CD19', 'NKG7'"):
        pathways.map_genes(MAP, unmapped="error")


def test_all_kinds_of_mappings_agree(pathways):
    pairs = [("CD3D", "Cd3d"), ("CD2", "Cd2"), ("CD2", "Cd2b"), ("CD3E", "Cd3d"), ("CD19", None), ("NKG7", np.nan)]
    table = pd.DataFrame(pairs, columns=["human", "mouse"])
    before = table.copy()
    expected = pathways.map_genes(MAP)
    for same in (table, table.set_index("human")["mouse"], table.astype("category"), pd.concat([table, table])):
        assert pathways.map_genes(same) == expected
    pd.testing.assert_frame_equal(table, before)


def test_mapping_there_and_back(pathways):
    there = {gene: f"ENSG{i:011d}" for i, gene in enumerate(pathways.genes)}
    assert pathways.map_genes(there).identifiers() == "Ensembl gene ids (human)"
    assert pathways.map_genes(there).map_genes({new: old for old, new in there.items()}) == pathways
    entrez = pd.DataFrame({"old": [915, 930], "new": ["CD3D", "CD19"]})
    assert dict(GeneSetCollection({"a": ["915", "930"]}).map_genes(entrez)) == {"a": ("CD3D", "CD19")}


def test_dropping_most_genes_is_told(pathways):
    message = r"4 of 6 genes have no new name in the mapping \(2 old names\) and are dropped, e.g. .*unmapped='keep'"
    mapping = {"CD3D": "Cd3d", "CD2": "Cd2"}
    with pytest.warns(UserWarning, match=message) as caught:
        pathways.map_genes(mapping)
    assert caught[0].filename == __file__
    assert pathways.map_genes(mapping, unmapped="keep").genes != ()  # without a warning
    assert pathways.map_genes({**mapping, "CD3E": "Cd3e"}).genes != ()  # half of them is not most


def test_map_genes_refuses(pathways):
    swapped = {"Cd3d": "CD3D", "Cd2": "CD2"}
    with pytest.raises(ValueError, match=r"none of 6 genes .*hold human symbols.*\(mouse symbols\).*swap the columns"):
        pathways.map_genes(swapped)
    assert pathways.map_genes(swapped, unmapped="keep") == pathways
    with pytest.raises(ValueError, match="unmapped='ignore' is unknown"):
        pathways.map_genes(MAP, unmapped="ignore")
    with pytest.raises(ValueError, match="must have two columns"):
        pathways.map_genes(pd.DataFrame({"a": ["CD3D"], "b": ["x"], "c": ["y"]}))
    with pytest.raises(TypeError, match="mapping must be a dict, a Series or a table of two columns"):
        pathways.map_genes([("CD3D", "Cd3d")])
    with pytest.raises(TypeError, match=r"mapping holds 915.0 \(float\)"):
        pathways.map_genes({915.0: "CD3D"})


# Merging and trimming, the methods.


def test_merge_similar_is_the_same_in_any_order():
    rng = np.random.default_rng(0)
    universe = [f"G{i}" for i in range(20)]
    pathways = GeneSetCollection(
        {f"S{j}": rng.choice(universe, rng.integers(0, 9), replace=False).tolist() for j in range(50)},
        {f"S{j}": f"set {j}" for j in range(50)},
    )
    merged = pathways.merge_similar(jaccard=0.4)
    assert len(merged) == 50 - len(pathways.redundant(jaccard=0.4)) < 50
    for seed in range(3):
        names = np.random.default_rng(seed).permutation(list(pathways)).tolist()
        again = pathways.select(names).merge_similar(jaccard=0.4)
        assert dict(again) == dict(merged)
        assert again.descriptions == merged.descriptions
        assert list(again) == [name for name in names if name in merged]
    for row in pathways.redundant(jaccard=0.4).itertuples():
        assert row.dropped in merged.descriptions[row.kept].split("; merged with: ")[1].split(" | ")
    assert pathways.merge_similar(jaccard=1.0, name=" + ".join).genes != ()


def test_unions_that_are_alike_in_turn_are_counted_in_the_log(caplog):
    sets = GeneSetCollection({"a": list("1234"), "b": list("1235"), "c": list("1234567"), "d": ["X"]})
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        merged = sets.merge_similar(jaccard=0.6)
    assert list(merged) == ["a", "c", "d"]
    assert "1 pair(s) of the merged collection are alike in turn" in caplog.text
    assert list(merged.merge_similar(jaccard=0.6)) == ["c", "d"]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        assert sets.merge_similar(jaccard=0.9) == sets
    assert "alike in turn" not in caplog.text


def test_trim_keeps_descriptions(pathways):
    tree = Hierarchy({"T / αβ": (), "NK": ("T / αβ",), "B": ()})
    trimmed = pathways.trim(tree, "subtract")
    assert dict(trimmed) == {"T / αβ": ("CD3D", "CD3E"), "B": ("MS4A1", "CD19"), "NK": ("NKG7", "CD2")}
    assert trimmed.descriptions["B"] == "B cell markers"
    assert list(pathways.trim(tree, "leaves")) == ["B", "NK"]
    assert pathways.trim_report(tree, "leaves")["n_left"].tolist() == [0, 2, 2]


@pytest.mark.real
def test_reactome_hygiene_on_real_cells(real_data):
    ad = pytest.importorskip("anndata")
    reactome = gs.read_gmt(real_data / "genesets" / "c2.cp.reactome.v7.5.1.symbols.gmt")
    counts = reactome.sets_per_gene()
    assert (len(reactome), len(counts), counts.max()) == (1_615, 10_646, 292)
    assert round(100 * (counts > 1).mean()) == 96
    assert round(counts.mean(), 1) == 8.4
    adata = ad.read_h5ad(real_data / "cells" / "kang_ifnb_2000cells.h5ad")
    report = reactome.report(adata, min_genes=10)
    pathways = reactome.filter(genes=adata.var_names, min_genes=10)
    assert (report["reason"] == "").sum() == len(pathways) == 949
    assert [len(pathways.merge_similar(jaccard=least)) for least in (0.8, 0.6)] == [859, 689]
