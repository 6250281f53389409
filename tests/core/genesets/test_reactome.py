"""Reactome's files and WikiPathways' names."""

import pytest

from pathwayae.core.genesets import gmt
from pathwayae.core.genesets.collection import GeneSetCollection
from pathwayae.core.genesets.ontology_sets import from_ontology, hierarchy_of
from pathwayae.core.genesets.reactome import parse_wikipathways, read_reactome, rename_wikipathways

SETS = "Innate\tR-HSA-2\tTLR4\tMYD88\nTLR4 cascade\tR-HSA-3\tTLR4\nSame\tR-HSA-4\tC3\nSame\tR-HSA-5\tC3\n"
RELATIONS = "R-HSA-1\tR-HSA-2\nR-HSA-2\tR-HSA-3\nR-MMU-1\tR-MMU-2\nR-HSA-1\tR-HSA-4\n"
NAMES = "R-HSA-1\tImmune System\tHomo sapiens\nR-HSA-2\tInnate\tHomo sapiens\nR-MMU-1\tImmune System\tMus musculus\n"


@pytest.fixture
def files(tmp_path):
    def write(sets=SETS, relations=RELATIONS, names=NAMES):
        paths = [tmp_path / "sets.gmt", tmp_path / "relations.txt", tmp_path / "names.txt"]
        for path, text in zip(paths, (sets, relations, names), strict=True):
            path.write_text(text)
        return paths

    return write


def test_reads_sets_and_hierarchy(files):
    sets, ontology = read_reactome(*files())
    assert dict(sets) == {
        "R-HSA-2 Innate": ("TLR4", "MYD88"), "R-HSA-3 TLR4 cascade": ("TLR4",),
        "R-HSA-4 Same": ("C3",), "R-HSA-5 Same": ("C3",),
    }  # fmt: skip
    assert sets.descriptions["R-HSA-2 Innate"] == "R-HSA-2"
    assert ontology.graph.parents == {
        "R-HSA-1": (), "R-HSA-2": ("R-HSA-1",), "R-HSA-3": ("R-HSA-2",), "R-HSA-4": ("R-HSA-1",), "R-HSA-5": ()
    }  # fmt: skip
    assert list(ontology.terms["name"]) == ["Immune System", "Innate", "TLR4 cascade", "Same", "Same"]
    assert hierarchy_of(sets, ontology).parents["R-HSA-3 TLR4 cascade"] == ("R-HSA-2 Innate",)


def test_is_used_like_any_ontology(files):
    sets, ontology = read_reactome(*files())
    assert dict(from_ontology(ontology, sets, depth=(0, 1), roots="R-HSA-1")) == {
        "R-HSA-1 Immune System": ("C3", "MYD88", "TLR4"), "R-HSA-2 Innate": ("MYD88", "TLR4"), "R-HSA-4 Same": ("C3",)
    }  # fmt: skip


def test_sets_without_genes_are_dropped(files):
    with pytest.warns(UserWarning, match=r"1 set\(s\) without genes dropped, e.g. 'Empty'"):
        sets, ontology = read_reactome(*files(sets=SETS + "Empty\tR-HSA-6\n"))
    assert len(sets) == 4
    assert "R-HSA-6" in ontology.graph


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"sets": "T cells\tmarkers\tCD3D\n"},
            "the id 'markers' of 'T cells' does not begin with prefix='R-HSA-'. The file has no Reactome ids",
        ),
        ({"sets": SETS + "Again\tR-HSA-2\tA\n"}, "the id 'R-HSA-2' of 'Again' comes twice"),
        (
            {"relations": NAMES},
            r"relations.txt, line 1: 3 tab-separated.*ReactomePathwaysRelation.txt \(parent, child\)",
        ),
        ({"names": RELATIONS}, "names.txt, line 1: 2 tab-separated"),
        ({"relations": "R-MMU-1\tR-MMU-2\n"}, r"no child begins with prefix='R-HSA-'. The file has 'R-MMU-' \(1\)"),
        ({"relations": RELATIONS + "R-HSA-3\tR-HSA-2\n"}, "cycle of 2 name.*: R-HSA-2 → R-HSA-3 → R-HSA-2"),
        ({"relations": "R-MMU-1\tR-HSA-2\n"}, "'R-MMU-1', parent of 'R-HSA-2', does not begin with 'R-HSA-'"),
    ],
    ids=["another gmt", "twice", "names as relations", "relations as names", "other species", "cycle", "mixed species"],
)
def test_bad_files(files, changed, message):
    with pytest.raises(ValueError, match=message):
        read_reactome(*files(**changed))


def test_a_dict_of_file_names(files):
    paths = files()
    with pytest.raises(ValueError, match=r"not begin with prefix='R-MMU-'. The file has 'R-HSA-' \(4\)"):
        read_reactome(*paths, prefix="R-MMU-")
    names = ("ReactomePathways.gmt", "ReactomePathwaysRelation.txt", "ReactomePathways.txt")
    fetched = dict(zip(names, paths, strict=True))
    sets, ontology = read_reactome(fetched)
    expected_sets, expected = read_reactome(*paths)
    assert sets == expected_sets
    assert ontology.terms.equals(expected.terms)
    assert ontology.graph.parents == expected.graph.parents
    del fetched["ReactomePathways.txt"]
    assert list(read_reactome(fetched)[1].terms["name"]) == ["", "Innate", "TLR4 cascade", "Same", "Same"]
    with pytest.raises(TypeError, match="sets is a dict of files, .*the only argument"):
        read_reactome(fetched, paths[1])
    with pytest.raises(
        ValueError, match=r"a dict without ReactomePathwaysRelation.txt; it has \['ReactomePathways.gmt'"
    ):
        read_reactome({"ReactomePathways.gmt": paths[0]})
    with pytest.raises(TypeError, match=r"relations is missing.*pae.datasets.fetch\('reactome'\)"):
        read_reactome(paths[0])


def test_wikipathways_names():
    assert parse_wikipathways("A 50% rise %WikiPathways_20230410%WP12%Homo sapiens") == (
        "A 50% rise", "WikiPathways_20230410", "WP12", "Homo sapiens"
    )  # fmt: skip
    for other in ("HALLMARK_HYPOXIA", "a%b%c%d", "a%b%WP1", ""):
        assert parse_wikipathways(other) is None


def test_renaming():
    sets = GeneSetCollection(
        {"A%v%WP1%Homo sapiens": ["G1"], "A%v%WP2%Homo sapiens": ["G2"], "other": ["G3"]}, {"other": "text"}
    )
    renamed = rename_wikipathways(sets)
    assert dict(renamed) == {"WP1 A": ("G1",), "WP2 A": ("G2",), "other": ("G3",)}
    assert dict(renamed.descriptions) == {"WP1 A": "WP1", "WP2 A": "WP2", "other": "text"}
    with pytest.raises(ValueError, match=r"name='\{name\}' gives two sets the name 'A'. Put \{id\} into it"):
        rename_wikipathways(sets, name="{name}")
    with pytest.raises(ValueError, match="none of 1 set names is written name%version%id%species, e.g. 'a'"):
        rename_wikipathways(GeneSetCollection({"a": ["G"]}))
    with pytest.raises(ValueError, match=r"name='\{title\}' cannot be filled in"):
        rename_wikipathways(sets, name="{title}")


@pytest.mark.real
def test_real_reactome(real_data):
    folder = real_data / "genesets"
    sets, ontology = read_reactome(
        folder / "ReactomePathways.gmt", folder / "ReactomePathwaysRelation.txt", folder / "ReactomePathways.txt"
    )
    assert (len(sets), len(sets.genes)) == (2_546, 11_391)
    assert len(ontology.edges) == 2_628
    assert len(ontology.graph) == 2_611  # 2,610 in the relations, one set outside
    assert len(ontology.graph.roots) == 30  # 29 and that one
    hierarchy = hierarchy_of(sets, ontology)
    outside = [
        (parent, name)
        for name, parents in hierarchy.parents.items()
        for parent in parents
        if not set(sets[name]) <= set(sets[parent])
    ]
    assert len(outside) == 1  # the file is all but closed under its hierarchy
    whole = from_ontology(ontology, sets)
    assert set(sets["R-HSA-168256 Immune System"]) == set(whole["R-HSA-168256 Immune System"])


@pytest.mark.real
@pytest.mark.parametrize("name", ["wikipathways-20230410-gmt-Homo_sapiens.gmt", "wikipathways_hsa_2023_symbols.gmt"])
def test_real_wikipathways(real_data, name):
    records = gmt.read(real_data / "genesets" / name)
    sets = rename_wikipathways(GeneSetCollection({record.name: record.genes for record in records}))
    assert len(sets) == 796
    assert sets.descriptions["WP5143 GDNF signaling"] == "WP5143"
