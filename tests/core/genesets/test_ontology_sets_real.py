"""Gene sets from the whole Gene Ontology against goatools, networkx and known counts."""

import gzip
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.genesets import gmt
from pathwayae.core.genesets.annotations import read_annotations
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.ontology import read_obo
from pathwayae.core.genesets.ontology_sets import from_ontology, hierarchy_of, term_ids


@pytest.fixture(scope="module")
def go(request):
    folder = request.getfixturevalue("real_data") / "genesets"
    return read_obo(folder / "go-basic_2024-01-17_isa.obo.gz")


@pytest.fixture(scope="module")
def goa(request):
    folder = request.getfixturevalue("real_data") / "genesets"
    return read_annotations(folder / "goa_human_2024-02-20_gene_go.tsv.gz", term="go_id")


def by_id(collection):
    return {collection.descriptions[name]: set(genes) for name, genes in collection.items()}


@pytest.mark.real
def test_full_ontology_agrees_with_goatools(real_data, go, goa, tmp_path):
    obo_parser = pytest.importorskip("goatools.obo_parser")
    from goatools.anno.update_association import update_association

    path = tmp_path / "go.obo"
    path.write_bytes(gzip.decompress((real_data / "genesets" / "go-basic_2024-01-17_isa.obo.gz").read_bytes()))
    with open(os.devnull, "w") as silent:
        dag = obo_parser.GODag(str(path), prt=silent)
        terms_of = goa.table.groupby("gene")["term"].agg(set).to_dict()
        update_association(terms_of, dag, prt=None)
    expected = pd.Series([term for terms in terms_of.values() for term in terms]).value_counts()
    sizes = {term: len(genes) for term, genes in by_id(from_ontology(go, goa)).items()}
    some = np.random.default_rng(0).choice(go.graph.names, size=500, replace=False)
    assert {term: sizes.get(term, 0) for term in some} == {term: int(expected.get(term, 0)) for term in some}
    assert sizes == expected.to_dict()  # and all the others
    assert [dag[term].depth for term in some] == [go.graph.depth(term) for term in some]
    assert [dag[term].level for term in some] == [go.graph.level(term) for term in some]


@pytest.mark.real
def test_full_ontology_agrees_with_networkx(real_data, go, goa):
    networkx = pytest.importorskip("networkx")
    path = real_data / "genesets" / "go-basic_2024-01-17_isa.obo.gz"
    graph = networkx.DiGraph()
    for stanza in gzip.decompress(path.read_bytes()).decode().split("[Term]")[1:]:
        own = re.search(r"^id: (\S+)", stanza, re.M)[1]
        graph.add_node(own)
        graph.add_edges_from((own, parent) for parent in re.findall(r"^is_a: (\S+)", stanza, re.M))
    sets = by_id(from_ontology(go, goa))
    genes_of = goa.table.groupby("term")["gene"].agg(set).to_dict()
    for term in np.random.default_rng(1).choice(go.graph.names, size=500, replace=False):
        below = networkx.ancestors(graph, term) | {term}  # edges point up, so networkx calls these ancestors
        assert set().union(*(genes_of.get(one, set()) for one in below)) == sets.get(term, set())


@pytest.mark.real
def test_hierarchy_of_the_full_ontology(go, goa):
    sets = from_ontology(go, goa)
    hierarchy = hierarchy_of(sets, go)
    assert (len(sets), len(sets.genes), sum(map(len, sets.values()))) == (21_983, 19_614, 1_516_647)
    roots = ("GO:0003674 molecular_function", "GO:0005575 cellular_component", "GO:0008150 biological_process")
    assert hierarchy.roots == roots


@pytest.mark.real
def test_size_filter_and_slim_of_the_full_ontology(real_data, go, goa):
    sets = from_ontology(go, goa, min_genes=10, max_genes=500, namespace="BP")
    assert len(sets) == 5_708
    assert all(10 <= len(genes) <= 500 for genes in sets.values())
    hierarchy, ids = hierarchy_of(sets, go), term_ids(sets, go)
    for name in np.random.default_rng(0).choice(list(sets), size=50, replace=False):
        above = {ids[one] for one in hierarchy.ancestors(name)}
        assert above == set(go.graph.ancestors(ids[name])) & set(ids.values())
        assert all(set(sets[name]) <= set(sets[one]) for one in hierarchy.ancestors(name))
    with pytest.warns(UserWarning, match="slim: 14 of 149 terms are not in use"):
        assert len(from_ontology(go, goa, slim=real_data / "genesets" / "goslim_generic.obo")) == 128


@pytest.mark.real
def test_a_gmt_with_ids_is_joined(real_data, go):
    records = gmt.read(Path(real_data) / "genesets" / "GO_Biological_Process_2021.gmt")
    sets = GeneSetCollection({record.name: record.genes for record in records})
    assert len(term_ids(sets, go)) == 5_752  # 5,996 ids are in the file, 244 of them obsolete without a replacement
    with pytest.warns(UserWarning, match="284 of 6036 sets have no term in use"):
        hierarchy = hierarchy_of(sets, go)
    assert hierarchy.ancestors("interferon-gamma-mediated signaling pathway (GO:0060333)") != ()
    assert len(hierarchy) == len(sets)
