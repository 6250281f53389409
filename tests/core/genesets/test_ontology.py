"""OBO text → ontology."""

import gzip
import logging
import random
import re

import pandas as pd
import pytest

from pathwayae.core.genesets.ontology import Ontology, build, parse_obo, read_obo

OBO = """format-version: 1.2
! a comment before the terms
data-version: releases/2024
subsetdef: small "A slim"
default-namespace: rest

[Term]
id: GO:1
name: biological_process
namespace: biological_process

[Term]
id: GO:2
name: immune response \\{all\\}
namespace: biological_process
alt_id: GO:20
alt_id: GO:21
subset: small
def: "A response: of the immune system ! and so on {x}." []
is_a: GO:1 ! biological_process

[Term]
id: GO:3
name: T cell activation
namespace: biological_process
synonym: "T lymphocyte activation" EXACT []
is_a: GO:2 {source="x"} ! immune response
relationship: part_of GO:4 ! adaptive
relationship: regulates GO:5

[Term]
id: GO:4
name: adaptive
is_a: GO:1

[Term]
id: GO:5
name: apoptosis
is_a: GO:1

[Term]
id: GO:6
name: obsolete one
is_obsolete: true
replaced_by: GO:7

[Term]
id: GO:7
name: obsolete two
is_obsolete: true
replaced_by: GO:3

[Term]
id: GO:8
name: obsolete many
is_obsolete: true
replaced_by: GO:3
replaced_by: GO:4

[Term]
id: GO:9
name: obsolete none
is_obsolete: true

[Typedef]
id: part_of
name: part of
is_a: overlaps

[Typedef]
id: has_part

[Instance]
id: GO:1000
instance_of: GO:3
"""


def test_terms_edges_and_graph():
    ontology = parse_obo(OBO)
    assert repr(ontology) == "Ontology(9 terms, 4 obsolete, 4 is_a, 1 part_of)"
    assert repr(parse_obo("[Term]\nid: GO:1\n")) == "Ontology(1 term, 0 obsolete)"
    assert list(ontology.terms.index) == [f"GO:{i}" for i in range(1, 10)]
    assert ontology.terms.loc["GO:2"].to_dict() == {
        "name": "immune response {all}",
        "namespace": "biological_process",
        "obsolete": False,
        "replaced_by": (),
        "alt_ids": ("GO:20", "GO:21"),
        "subsets": ("small",),
    }
    assert ontology.terms.loc["GO:4", "namespace"] == "rest"
    assert ontology.graph.parents == {
        "GO:1": (), "GO:2": ("GO:1",), "GO:3": ("GO:2", "GO:4"), "GO:4": ("GO:1",), "GO:5": ("GO:1",)
    }  # fmt: skip


def test_relations_are_a_choice():
    assert parse_obo(OBO, relations=["is_a"]).graph.parents["GO:3"] == ("GO:2",)
    assert parse_obo(OBO, relations=["is_a", "regulates"]).graph.parents["GO:3"] == ("GO:2", "GO:5")
    assert parse_obo(OBO, relations=()).graph.roots == ("GO:1", "GO:2", "GO:3", "GO:4", "GO:5")
    assert len(parse_obo(OBO, relations=["has_part"]).edges) == 0  # declared, not used
    with pytest.raises(
        ValueError, match=r"unknown relation\(s\) 'causes'. The file has: 'is_a' \(4\), 'part_of' \(1\)"
    ):
        parse_obo(OBO, relations=["is_a", "causes"])
    with pytest.raises(TypeError, match=r"relations must be a list of names, found 'is_a'"):
        parse_obo(OBO, relations="is_a")
    assert parse_obo("[Term]\nid: A:1\n").graph.names == ("A:1",)  # the default needs no part_of


def test_any_id_leads_to_the_term_in_use():
    current = parse_obo(OBO).current
    assert current == {
        **{f"GO:{i}": f"GO:{i}" for i in range(1, 6)},
        "GO:20": "GO:2", "GO:21": "GO:2",
        "GO:6": "GO:3", "GO:7": "GO:3",
    }  # fmt: skip


def test_replacements_that_lead_nowhere_or_round_and_ambiguous_alternatives():
    text = """[Term]
id: A:1
alt_id: A:9
alt_id: A:5
[Term]
id: A:2
alt_id: A:9
[Term]
id: A:3
is_obsolete: true
replaced_by: A:4
[Term]
id: A:4
is_obsolete: true
replaced_by: A:3
[Term]
id: A:5
is_obsolete: true
[Term]
id: A:6
is_obsolete: true
replaced_by: B:1
"""
    assert parse_obo(text).current == {"A:1": "A:1", "A:2": "A:2", "A:5": "A:1"}


def shuffled(text):
    header, *stanzas = text.split("\n\n")
    random.Random(0).shuffle(stanzas)
    return "\n\n".join([header, *stanzas])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.replace("[Term]\n", "[Term]\n\n"),
        lambda text: text[text.index("[Term]") :].replace("name: adaptive", "name: adaptive\nnamespace: rest")
        .replace("name: apoptosis", "name: apoptosis\nnamespace: rest")
        .replace("name: obsolete", "namespace: rest\nname: obsolete"),
        lambda text: text + "\n[Annotation]\nid: x\nsubject: GO:3\n",
        lambda text: text.replace("\n", " \n"),
        lambda text: text.replace("name: obsolete one", "name: obsolete one\nis_a: GO:3"),
        shuffled,
    ],
    ids=["no blank lines", "blank inside", "no header", "other stanzas", "blanks", "obsolete with parents", "order"],
)  # fmt: skip
def test_layout_does_not_matter(change, caplog):
    same(parse_obo(change(OBO)), parse_obo(OBO))
    assert not [record for record in caplog.records if record.name != "pathwayae"]  # nothing to the root logger


def test_gzip_line_ends_and_byte_order_mark(tmp_path):
    expected = parse_obo(OBO)
    for name, data in {
        "plain.obo": OBO.encode(),
        "small.obo.gz": gzip.compress(OBO.encode()),
        "gzipped_without_saying.obo": gzip.compress(OBO.encode()),
        "windows.obo": b"\xef\xbb\xbf" + OBO.replace("\n", "\r\n").encode(),
    }.items():
        (tmp_path / name).write_bytes(data)
        same(read_obo(tmp_path / name), expected)


def test_subset():
    assert parse_obo(OBO).subset("small") == ("GO:2",)
    with pytest.raises(ValueError, match=r"no term in use is in the subset 'large'. The ontology has 'small'"):
        parse_obo(OBO).subset("large")


def test_cycles_are_errors_that_name_the_terms():
    text = OBO.replace("name: adaptive\nis_a: GO:1", "name: adaptive\nis_a: GO:3")
    with pytest.raises(ValueError, match=r"the text: the hierarchy has a cycle of 2 name\(s\).*: GO:3 → GO:4 → GO:3"):
        parse_obo(text)
    assert parse_obo(text, relations=["is_a"]).graph.depth("GO:4") == 3
    with pytest.raises(ValueError, match="cycle of 1 name.*A:1 → A:1"):
        parse_obo("[Term]\nid: A:1\nis_a: A:1\n")


def test_a_part_of_itself_says_nothing(caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        ontology = parse_obo("[Term]\nid: A:1\nrelationship: part_of A:1\n")
    assert ontology.graph.parents == {"A:1": ()}
    assert "dropped 1 relations of a term with itself" in caplog.text


def test_dangling_parents():
    text = OBO.replace("is_a: GO:2 {", "is_a: X:1\nis_a: GO:9\nis_a: GO:2 {")
    message = r"2 relation\(s\) lead to parents that are not terms in use of the file \(1 of them obsolete\), e.g. "
    with pytest.raises(ValueError, match=message + r"GO:3 is_a GO:9; GO:3 is_a X:1\. .*dangling='drop'"):
        parse_obo(text)
    with pytest.warns(UserWarning, match=message):
        same(parse_obo(text, dangling="drop"), parse_obo(OBO))
    parse_obo(text.replace("is_a: X:1", "relationship: in_taxon X:1").replace("is_a: GO:9\n", ""))  # not followed
    with pytest.raises(ValueError, match="dangling='keep' is unknown. Choose 'error' or 'drop'"):
        parse_obo(OBO, dangling="keep")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("<!DOCTYPE html><html>", "HTML page"),
        ("T cells\tmarkers\tCD3D\n", r"line 1: 'T cells\\tmarkers\\tCD3D' is not OBO \(tag: value\)"),
        ("format-version: 1.2\n", r"no \[Term\] in the file"),
        ("[Term]\nid: A:1\n\n[Term]\nname: b\n\n[Term]\nid: A:3\n", r"line 4: this \[Term\] has no id"),
        ("[Term]\nid: A:1\n[Term]\nname: b\n", r"line 3: this \[Term\] has no id"),
        ("[Term]\nid: A:1\n\n[Term]\nid: A:1\n", r"line 5: the term 'A:1' comes twice, first in line 2"),
        ("[Term]\nid: A:1\nwhat is this\n", r"line 3: 'what is this' is not OBO"),
        ("[Term]\nid: A:1\nrelationship: part_of\n", "not valid OBO"),
    ],
    ids=["empty", "html", "gmt", "no term", "no id", "no id at the end", "twice", "no tag", "half a relationship"],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "bad.obo"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        read_obo(path)
    assert str(path) in str(caught.value)


def test_damaged_and_missing_files(tmp_path):
    (tmp_path / "cut.obo.gz").write_bytes(gzip.compress(OBO.encode())[:200])
    with pytest.raises(ValueError, match="damaged gzip"):
        read_obo(tmp_path / "cut.obo.gz")
    (tmp_path / "latin.obo").write_bytes("[Term]\nid: A:1\nname: é".encode("latin-1"))
    with pytest.raises(ValueError, match="line 3: not UTF-8"):
        read_obo(tmp_path / "latin.obo")
    with pytest.raises(FileNotFoundError):
        read_obo(tmp_path / "none.obo")


def test_build_from_tables():
    terms = pd.DataFrame({"name": ["b", "a"], "obsolete": [False, False]}, index=["B", "A"])
    ontology = build(terms, pd.DataFrame({"child": ["B"], "relation": ["is_a"], "parent": ["A"]}))
    assert ontology.graph.parents == {"A": (), "B": ("A",)}
    assert list(ontology.terms["alt_ids"]) == [(), ()]


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "n_terms", "n_obsolete", "relations"),
    [
        ("go-basic_2024-01-17_isa.obo.gz", 47_729, 5_287, {"is_a": 67_579}),
        ("go-nucleus.obo", 176, 0, {"is_a": 221, "part_of": 24}),  # 29 in the file, 5 of a term with itself
        ("goslim_generic.obo", 149, 0, {"is_a": 148, "part_of": 68}),
    ],
)
def test_real_files(real_data, name, n_terms, n_obsolete, relations):
    ontology = read_obo(real_data / "genesets" / name)
    assert (len(ontology.terms), int(ontology.terms["obsolete"].sum())) == (n_terms, n_obsolete)
    assert ontology.edges["relation"].value_counts().to_dict() == relations
    assert len(ontology.graph) == n_terms - n_obsolete


@pytest.mark.real
def test_namespaces_roots_depth_and_level_agree_with_networkx(real_data):
    networkx = pytest.importorskip("networkx")
    path = real_data / "genesets" / "go-basic_2024-01-17_isa.obo.gz"
    graph = networkx.DiGraph()
    for stanza in gzip.decompress(path.read_bytes()).decode().split("[Term]")[1:]:
        own = re.search(r"^id: (\S+)", stanza, re.M)[1]
        graph.add_edges_from((parent, own) for parent in re.findall(r"^is_a: (\S+)", stanza, re.M))
    ontology = read_obo(path)
    counts = ontology.terms[~ontology.terms["obsolete"]].groupby("namespace").size().to_dict()
    assert counts == {"biological_process": 27_186, "molecular_function": 11_198, "cellular_component": 4_058}
    assert ontology.graph.roots == ("GO:0003674", "GO:0005575", "GO:0008150")
    longest = {}
    for term in networkx.topological_sort(graph):
        longest[term] = max((longest[parent] + 1 for parent in graph.predecessors(term)), default=0)
    shortest = networkx.multi_source_dijkstra_path_length(graph, set(ontology.graph.roots))
    assert dict(zip(ontology.graph.names, ontology.graph.depths, strict=True)) == longest
    assert dict(zip(ontology.graph.names, ontology.graph.levels, strict=True)) == shortest


def same(one: Ontology, other: Ontology) -> None:
    pd.testing.assert_frame_equal(one.terms, other.terms)
    pd.testing.assert_frame_equal(one.edges, other.edges)
    assert one.graph == other.graph
    assert one.graph.names == other.graph.names


ROBOT = r"""format-version: 1.2
ontology: go

[Term]
id: GO:1
name: cell\: a \{whole\}\, with\Wescapes

[Term]
id: GO:2
name: nucleus
relationship: BFO:0000050 GO:1 ! cell
relationship: RO:0002211 GO:1

[Term]
id: GO:3
name: conditional
is_a: GO:1 {gci_relation="part_of", gci_filler="NCBITaxon:9606"} ! cell
relationship: part_of GO:2 {gci_filler="NCBITaxon:9606", gci_relation="part_of"}
is_a: GO:2 {is_inferred="true"} ! nucleus

[Typedef]
id: BFO:0000050
name: part of
"""


def test_obo_as_robot_writes_it(caplog):
    with caplog.at_level(logging.INFO, logger="pathwayae"):
        found = parse_obo(ROBOT)
    edges = found.edges.itertuples(index=False)
    assert sorted(map(tuple, edges)) == [("GO:2", "part_of", "GO:1"), ("GO:3", "is_a", "GO:2")]
    assert "left out 2 relations that hold under a condition alone" in caplog.text
    assert found.terms.loc["GO:1", "name"] == "cell: a {whole}, with escapes"
    assert "regulates" in set(parse_obo(ROBOT, relations=["is_a", "regulates"]).edges["relation"])
