"""Gene sets from an ontology: propagation, choices, hierarchy."""

import numpy as np
import pandas as pd
import pytest

from pathwayae.core.genesets import propagate
from pathwayae.core.genesets.annotations import read_annotations
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.ontology import parse_obo
from pathwayae.core.genesets.ontology_sets import from_ontology, hierarchy_of, term_ids

OBO = """[Term]
id: GO:1
name: process
namespace: biological_process
[Term]
id: GO:2
name: immune response
namespace: biological_process
alt_id: GO:20
subset: slim
is_a: GO:1
[Term]
id: GO:3
name: T cell activation
namespace: biological_process
is_a: GO:2
relationship: part_of GO:4
relationship: regulates GO:6
[Term]
id: GO:4
name: adaptive
namespace: biological_process
is_a: GO:1
[Term]
id: GO:5
name: membrane
namespace: cellular_component
subset: slim
[Term]
id: GO:6
name: apoptosis
namespace: biological_process
is_a: GO:2
[Term]
id: GO:7
is_obsolete: true
replaced_by: GO:3
[Term]
id: GO:8
is_obsolete: true
"""
PAIRS = [("CD3D", "GO:3"), ("CD19", "GO:20"), ("BAX", "GO:6"), ("CD2", "GO:7"), ("CD3D", "GO:5"), ("ACTB", "GO:1")]


@pytest.fixture(scope="module")
def ontology():
    return parse_obo(OBO)


@pytest.fixture(scope="module")
def annotations():
    return read_annotations(pd.DataFrame(PAIRS, columns=["gene", "term"]))


def naive(edges, pairs):
    def above(term):
        return {term}.union(*(above(parent) for child, parent in edges if child == term))

    sets = {}
    for gene, term in pairs:
        for one in above(term):
            sets.setdefault(one, set()).add(gene)
    return sets


def random_case(seed, n_terms=40, n_genes=25):
    rng = np.random.default_rng(seed)
    terms = [f"T:{i:03}" for i in rng.permutation(n_terms)]
    edges = {(terms[i], terms[j]) for i in range(1, n_terms) for j in rng.integers(0, i, size=rng.integers(0, 4))}
    pairs = [(f"G{rng.integers(n_genes)}", terms[rng.integers(n_terms)]) for _ in range(60)]
    return terms, sorted(edges), pairs


def text_of(terms, edges):
    return "\n".join(
        f"[Term]\nid: {term}\nname: name of {term}\n" + "".join(f"is_a: {up}\n" for down, up in edges if down == term)
        for term in terms
    )


def by_id(collection):
    return {collection.descriptions[name]: set(genes) for name, genes in collection.items()}


def test_genes_belong_to_all_terms_above(ontology, annotations):
    sets = from_ontology(ontology, annotations)
    assert dict(sets) == {
        "GO:1 process": ("ACTB", "BAX", "CD19", "CD2", "CD3D"),
        "GO:2 immune response": ("BAX", "CD19", "CD2", "CD3D"),
        "GO:3 T cell activation": ("CD2", "CD3D"),
        "GO:4 adaptive": ("CD2", "CD3D"),
        "GO:5 membrane": ("CD3D",),
        "GO:6 apoptosis": ("BAX",),
    }
    assert list(sets.descriptions.values()) == [f"GO:{i}" for i in range(1, 7)]


@pytest.mark.parametrize("seed", range(4))
def test_agrees_with_naive_recursion_in_any_order(seed):
    terms, edges, pairs = random_case(seed)
    expected = naive(edges, pairs)
    sets = from_ontology(parse_obo(text_of(terms, edges)), pd.DataFrame(pairs, columns=["gene", "term"]))
    assert by_id(sets) == expected
    rng = np.random.default_rng(seed)
    shuffled = text_of(list(rng.permutation(terms)), [edges[i] for i in rng.permutation(len(edges))])
    table = pd.DataFrame([pairs[i] for i in rng.permutation(len(pairs))], columns=["gene", "term"])
    again = from_ontology(parse_obo(shuffled), table)
    assert again == sets
    assert list(again) == sorted(again)


@pytest.mark.parametrize("seed", range(3))
def test_a_further_edge_never_removes_a_gene(seed):
    terms, edges, pairs = random_case(seed)
    table = pd.DataFrame(pairs, columns=["gene", "term"])
    before = by_id(from_ontology(parse_obo(text_of(terms, edges)), table))
    rng = np.random.default_rng(seed)
    for _ in range(5):
        up, down = sorted(rng.choice(len(terms), size=2, replace=False))  # parents come first in `terms`
        after = by_id(from_ontology(parse_obo(text_of(terms, {*edges, (terms[down], terms[up])})), table))
        assert all(genes <= after[term] for term, genes in before.items())


def test_relations_are_those_of_the_ontology(annotations):
    strict = from_ontology(parse_obo(OBO, relations=["is_a"]), annotations)
    assert "GO:4 adaptive" not in strict
    wide = from_ontology(parse_obo(OBO, relations=["is_a", "part_of", "regulates"]), annotations)
    assert wide["GO:6 apoptosis"] == ("BAX", "CD2", "CD3D")


CHOICES = [
    ({"min_genes": 3}, "12"),
    ({"max_genes": 1}, "56"),
    ({"min_genes": 2, "max_genes": 4}, "234"),
    ({"namespace": "cellular_component"}, "5"),
    ({"namespace": "BP"}, "12346"),
    ({"namespace": ["BP", "cellular_component"]}, "123456"),
    ({"depth": 0}, "15"),
    ({"depth": (1, None)}, "2346"),
    ({"depth": np.int64(0)}, "15"),
    ({"depth": [np.int8(1), 2]}, "2346"),
    ({"level": (1, 1)}, "24"),
    ({"level": (None, 1), "namespace": "BP"}, "124"),
    ({"roots": "GO:2"}, "236"),
    ({"roots": ["GO:4", "GO:5"]}, "345"),
    ({"roots": []}, ""),
    ({"roots": "GO:20", "depth": (2, 5)}, "36"),
    ({"slim": "slim"}, "25"),
    ({"slim": ["GO:7", "GO:20", "GO:4"]}, "234"),
    ({"slim": parse_obo("[Term]\nid: GO:6\n")}, "6"),
]


def test_choices(ontology, annotations):
    whole = from_ontology(ontology, annotations)
    for choice, expected in CHOICES:
        sets = from_ontology(ontology, annotations, **choice)
        assert "".join(term.removeprefix("GO:") for term in sets.descriptions.values()) == expected, choice
        assert all(sets[name] == whole[name] for name in sets)  # a choice of terms, never of genes


def test_slim_from_a_file(ontology, annotations, tmp_path):
    (tmp_path / "slim.obo").write_text("[Term]\nid: GO:3\nis_a: GO:999\n[Term]\nid: GO:777\n")
    for path in (tmp_path / "slim.obo", str(tmp_path / "slim.obo")):
        with pytest.warns(UserWarning, match="slim: 1 of 2 terms are not in use in the ontology, e.g. 'GO:777'"):
            assert list(from_ontology(ontology, annotations, slim=path)) == ["GO:3 T cell activation"]


BAD = [
    ({"min_genes": 0}, "min_genes=0 and max_genes=None leave no size"),
    ({"namespace": "process"}, r"namespace='process'.* has 'biological_process', 'cellular_component'"),
    ({"depth": 9}, "depth=9 leaves no term: the ontology has depth 0 to 2"),
    ({"depth": (-1, 2)}, r"depth=\(-1, 2\) leaves no term"),
    ({"depth": range(1, 3)}, r"depth=range\(1, 3\) is neither .*\(least, most\), both included"),
    ({"level": (1,)}, r"level=\(1,\) is neither a whole number nor a pair"),
    ({"level": "12"}, "level='12' is neither"),
    ({"level": (0, 1.5)}, r"level=\(0, 1.5\) is neither"),
    ({"depth": True}, "depth=True is neither"),
    ({"roots": "GO:8"}, r"roots='GO:8': 'GO:8' not in use in the ontology. Ids look like 'GO:1'"),
    ({"slim": "wide"}, "no term in use is in the subset 'wide'. The ontology has 'slim'"),
    ({"slim": ["X"]}, "slim: none of 1 terms is in use"),
    ({"name": "{title}"}, r"name='\{title\}' cannot be filled in"),
    ({"name": "{namespace}"}, r"gives several sets the name 'biological_process'. Put \{id\} into it"),
]


def test_bad_choices(ontology, annotations):
    for choice, message in BAD:
        with pytest.raises(ValueError, match=message):
            from_ontology(ontology, annotations, **choice)


def test_names(ontology, annotations):
    assert list(from_ontology(ontology, annotations, roots="GO:3", name="{name} ({id})")) == [
        "T cell activation (GO:3)"
    ]
    assert list(from_ontology(parse_obo("[Term]\nid: GO:3\n"), pd.DataFrame({"gene": ["A"], "term": ["GO:3"]}))) == [
        "GO:3"
    ]


def test_paths_and_collections(tmp_path, ontology, annotations):
    (tmp_path / "small.obo").write_text(OBO)
    row = "UniProtKB\tP1\t{}\tinvolved_in\t{}\tPMID:1\tIDA\t\tP\t\t\tprotein\ttaxon:9606\t20240101\tUniProt\t\t\n"
    (tmp_path / "small.gaf").write_text("!gaf-version: 2.2\n" + "".join(row.format(*pair) for pair in PAIRS))
    expected = from_ontology(ontology, annotations)
    assert from_ontology(tmp_path / "small.obo", str(tmp_path / "small.gaf")) == expected
    direct = {f"x ({term})": [gene for gene, other in PAIRS if other == term] for _, term in PAIRS}
    assert from_ontology(ontology, GeneSetCollection(direct)) == expected
    assert from_ontology(ontology, direct) == expected
    assert (
        from_ontology(ontology, {term: sets for (_, term), sets in zip(PAIRS, direct.values(), strict=True)})
        == expected
    )
    with pytest.warns(UserWarning, match=r"1 of 7 sets carry no id of a term in use and are left out, e.g. 'more'"):
        assert from_ontology(ontology, GeneSetCollection({**direct, "more": ["A"]})) == expected


def test_obsolete_alternative_and_unknown_terms_are_counted(ontology):
    pairs = [*PAIRS, ("A", "GO:8"), ("B", "GO:404"), ("C", "GO:404")]
    found = read_annotations(pd.DataFrame(pairs, columns=["gene", "term"]))
    message = (
        "3 of 9 annotations dropped: 1 to obsolete terms without a single replacement, 2 to unknown terms, e.g. 'GO:8'"
    )
    with pytest.warns(UserWarning, match=message) as caught:
        resolved = propagate.resolve(found, ontology)
    assert resolved.report == {
        "read": 9, "no gene or term": 0, "alternative id": 1, "replaced term": 1, "obsolete term": 1,
        "unknown term": 2, "kept": 6,
    }  # fmt: skip
    assert caught[0].filename == __file__
    assert propagate.resolve(resolved, ontology).report == resolved.report
    with pytest.warns(UserWarning, match=message) as caught:
        from_ontology(ontology, found)
    assert caught[0].filename == __file__


@pytest.mark.parametrize(
    ("gene", "term", "message"),
    [
        ("CD3D", "R-HSA-1", "annotations hold 'R-HSA-1', the ontology 'GO:1', 'GO:2', 'GO:3' and 3 more.*same kind"),
        ("GO:1", "CD3D", "The genes look like terms: swap gene=… and term=…"),
    ],
)
def test_annotations_of_another_ontology(ontology, gene, term, message):
    with pytest.raises(ValueError, match="none of 1 annotated terms is in use in the ontology: .*" + message):
        from_ontology(ontology, pd.DataFrame({"gene": [gene], "term": [term]}))


def test_sets_of_another_ontology(ontology):
    sets = {"R-HSA-1 Immune System": ["CD3D"], "R-HSA-2 Innate": ["C3"]}
    message = (
        "none of 2 sets carries an id of the ontology: sets like 'R-HSA-1 Immune System', 'R-HSA-2 Innate', ids like "
        "'GO:1', 'GO:2', 'GO:3' and 3 more. Use the ontology of these sets"
    )
    for given in (sets, GeneSetCollection(sets)):
        with pytest.raises(ValueError, match=message):
            from_ontology(ontology, given)
    for function in (lambda: hierarchy_of({}, ontology), lambda: from_ontology(ontology, {})):
        with pytest.raises(ValueError, match="the collection has no sets"):
            function()
    with pytest.raises(ValueError, match="The genes look like terms: give term → genes"):
        from_ontology(ontology, {"CD3D": ["GO:3", "GO:5"]})


def test_arguments_in_the_wrong_order_or_of_another_kind(ontology, annotations):
    sets = GeneSetCollection({"x (GO:3)": ["A"], "y (GO:2)": ["A"]})
    call = r"hierarchy_of\(collection, ontology\): "
    for first, second, message in (
        (ontology, sets, "collection must be a GeneSetCollection or a dict of name → genes, found Ontology"),
        ("sets.gmt", ontology, "collection must be .*found str.*pae.gs.read_gmt"),
        (sets, ontology.graph, "ontology must be an Ontology .*path of an OBO file, found Hierarchy"),
        (sets, sets, "ontology must be .*found GeneSetCollection.*order of the arguments"),
        (sets, {"GO:1": ()}, "ontology must be .*found dict"),
    ):
        with pytest.raises(TypeError, match=call + message):
            hierarchy_of(first, second)
    with pytest.raises(
        TypeError, match=r"from_ontology\(ontology, annotations\): ontology must be .*found Annotations"
    ):
        from_ontology(annotations, ontology)
    with pytest.raises(TypeError, match=r"term_ids\(collection, ontology\): collection must be"):
        term_ids(ontology, sets)
    with pytest.raises(TypeError, match="annotations is of type list. Pass annotations .*dict of term → genes"):
        from_ontology(ontology, [("CD3D", "GO:3")])


def test_hierarchy_of_dicts_and_paths(ontology, tmp_path):
    sets = {"x (GO:3)": ["A"], "y (GO:2)": ["A"]}
    expected = {"x (GO:3)": ("y (GO:2)",), "y (GO:2)": ()}
    (tmp_path / "small.obo").write_text(OBO)
    for path in (ontology, tmp_path / "small.obo", str(tmp_path / "small.obo")):
        assert hierarchy_of(sets, path).parents == hierarchy_of(GeneSetCollection(sets), path).parents == expected
        assert term_ids(sets, path) == {"x (GO:3)": "GO:3", "y (GO:2)": "GO:2"}


def test_hierarchy_passes_through_left_out_terms(ontology, annotations):
    sets = from_ontology(ontology, annotations, min_genes=1, name="{name}")
    assert hierarchy_of(sets, ontology).parents == {
        "process": (), "immune response": ("process",), "T cell activation": ("immune response", "adaptive"),
        "adaptive": ("process",), "membrane": (), "apoptosis": ("immune response",),
    }  # fmt: skip
    fewer = GeneSetCollection(
        {name: sets[name] for name in ("T cell activation", "process")},
        {"process": "GO:1", "T cell activation": "GO:3"},
    )
    assert hierarchy_of(fewer, ontology).parents == {"T cell activation": ("process",), "process": ()}


def test_ids_are_found_in_names_and_descriptions(ontology):
    sets = GeneSetCollection(
        {
            "T (GO:3)": ["A"],
            "GO:20 immune": ["A"],
            "GO:7%x": ["A"],
            "GO:2 GO:3": ["A"],
            "none": ["A"],
            "by text": ["A"],
        },
        {"by text": "GO:5"},
    )
    assert term_ids(sets, ontology) == {"T (GO:3)": "GO:3", "GO:20 immune": "GO:2", "GO:7%x": "GO:3", "by text": "GO:5"}
    with pytest.warns(
        UserWarning, match="2 of 6 sets have no term in use .* stand alone in the hierarchy, e.g. 'GO:2 GO:3', 'none'"
    ):
        hierarchy = hierarchy_of(sets, ontology)
    assert hierarchy.parents["T (GO:3)"] == hierarchy.parents["GO:7%x"] == ("GO:20 immune",)
    assert hierarchy.parents["none"] == ()
    with pytest.raises(ValueError, match="none of 1 sets carries an id of the ontology"):
        hierarchy_of(GeneSetCollection({"a": ["A"]}), ontology)
