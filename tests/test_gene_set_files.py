"""Every real gene-set file is read whole: sets and genes as the publisher counts them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import pathwayae as pae

pytestmark = pytest.mark.real

# File → sets, different genes (None where the source does not say), whether writing gives the same bytes.
FILES = {
    "h.all.v7.5.1.symbols.gmt": (50, 4383, True),
    "h.all.v2024.1.Hs.entrez.gmt": (50, None, True),
    "mh.all.v2024.1.Mm.symbols.gmt": (50, 4291, True),
    "c2.cp.reactome.v7.5.1.symbols.gmt": (1615, 10646, True),
    "c2.cp.reactome.v4.0.symbols.gmt": (674, 6025, True),
    "c2.cp.kegg.v7.5.1.symbols.gmt": (186, 5245, True),
    "ReactomePathways.gmt": (2546, 11391, True),
    "GO_Biological_Process_2021.gmt": (6036, 14937, True),
    "wikipathways-20230410-gmt-Homo_sapiens.gmt": (796, None, True),
    "wikipathways_hsa_2023_symbols.gmt": (796, 8207, False),  # empty cells and repeated genes inside sets
    # 4 681 with "ALCAM " and "PTGDS ", whose blank makes them genes of their own in other readers
    "PanglaoDB_markers_27_Mar_2020.gmt": (178, 4679, False),
}


@pytest.mark.parametrize("name", FILES)
def test_every_gmt_file_has_the_sets_and_genes_of_its_source(real_data: Path, name: str, tmp_path: Path) -> None:
    n_sets, n_genes, regular = FILES[name]
    source = real_data / "genesets" / name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pae.DataWarning)
        sets = pae.gs.read_gmt(source)
    assert len(sets) == n_sets
    assert n_genes is None or len(sets.genes) == n_genes
    pae.gs.as_collection(sets).to_gmt(tmp_path / name)
    assert ((tmp_path / name).read_bytes() == source.read_bytes()) is regular
    assert pae.gs.read_gmt(tmp_path / name) == sets


def test_the_list_of_files_is_complete(real_data: Path) -> None:
    assert {path.name for path in (real_data / "genesets").glob("*.gmt")} == set(FILES)
