"""The scripts that make converted files of the registry again, or none."""

import gzip
import importlib.util
from pathlib import Path

import anndata as ad
import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "data_registry" / "rebuild.py"
pytestmark = pytest.mark.skipif(not SCRIPT.is_file(), reason="not a source checkout")


@pytest.fixture(scope="module")
def rebuild():
    spec = importlib.util.spec_from_file_location("rebuild", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shuffled(values):
    return [values[i] for i in np.random.default_rng(0).permutation(len(values))]


def as_ontology_index(path):
    """The terms of an OBO file as the R package holds them, in no order, with a relation among them."""
    blocks = gzip.decompress(path.read_bytes()).decode().split("\n\n")[1:]
    terms = shuffled([[line.split(": ", 1) for line in block.strip().splitlines()[1:]] for block in blocks])
    terms.append([["id", "part_of"], ["name", "part of"]])
    parents = {term[0][1]: [value.split(" ! ")[0] for key, value in term if key == "is_a"][::-1] for term in terms}
    return {
        "id": np.array([term[0][1] for term in terms]),
        "name": np.array([term[1][1] for term in terms]),
        "obsolete": np.array([term[-1] == ["is_obsolete", "true"] for term in terms]),
        "parents": parents,
    }


def as_gene_list(path):
    genes = {}
    for line in shuffled(gzip.decompress(path.read_bytes()).decode().splitlines()[1:]):
        gene, term = line.split("\t")
        genes.setdefault(gene, []).append(term)
    return genes


@pytest.mark.real
@pytest.mark.parametrize(
    ("card", "name", "key", "raw"),
    [
        ("go_basic_isa", "go-basic_2024-01-17_isa.obo.gz", "go", as_ontology_index),
        ("goa_human_pairs", "goa_human_2024-02-20_gene_go.tsv.gz", "gene_GO_terms", as_gene_list),
    ],
)
def test_tables_come_out_to_the_byte(real_data, rebuild, monkeypatch, tmp_path, card, name, key, raw):
    path = real_data / "genesets" / name
    monkeypatch.setattr(rebuild, "_rda", lambda _: {key: raw(path)})
    rebuild.rebuild(card, "raw.RData", tmp_path / name)
    assert (tmp_path / name).read_bytes() == path.read_bytes()


@pytest.mark.real
def test_cells_come_out_as_they_are(real_data, rebuild, tmp_path):
    name = "baron_human1_pancreas_2002genes.h5ad"
    expected = ad.read_h5ad(real_data / "cells" / name)
    raw = expected.copy()
    raw.obs = raw.obs.rename(columns={"cell_type": "assigned_cluster"})
    raw.obsm["X_umap"] = np.zeros((raw.n_obs, 2))
    raw.write_h5ad(tmp_path / "baron.h5ad")
    rebuild.rebuild("baron_human1_2002genes", tmp_path / "baron.h5ad", tmp_path / name)
    found = ad.read_h5ad(tmp_path / name)
    assert rebuild.contents(found) == rebuild.contents(expected)
    assert not found.obsm
    raw.X[0, 0] += 1
    raw.write_h5ad(tmp_path / "baron.h5ad")
    with pytest.raises(ValueError, match="gives another file than the card baron_human1_2002genes"):
        rebuild.rebuild("baron_human1_2002genes", tmp_path / "baron.h5ad", tmp_path / "other.h5ad")
    assert not (tmp_path / "other.h5ad").exists()


def test_another_raw_file_is_refused_and_nothing_written(rebuild, monkeypatch, tmp_path):
    monkeypatch.setattr(rebuild, "_rda", lambda _: {"gene_GO_terms": {"CD3D": ["GO:1"]}})
    with pytest.raises(ValueError, match=r"raw\.RData gives another file than the card goa_human_pairs"):
        rebuild.rebuild("goa_human_pairs", "raw.RData", tmp_path / "pairs.tsv.gz")
    assert not list(tmp_path.iterdir())
