"""Commands that add to a fit, or need none, against the functions they call."""

import json

import anndata as ad
import pandas as pd
import pytest
from cli_runs import done, error_of, run

import pathwayae as pae


@pytest.fixture
def fitted(files):
    """A fit with donors, on disk and in memory."""
    folder, adata, sets, _ = files
    adata.obs["donor"] = ["a", "b", "c", "d"] * 50
    pae.tl.fit(adata, sets, n_extra=2, progress=False)
    adata.write_h5ad(folder / "fitted.h5ad")
    return folder, adata, folder / "fitted.h5ad", folder / "out.h5ad"


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_stability(fitted):
    folder, adata, given, out = fitted
    options = ["--sample-key", "donor", "--n-bootstrap", 8, "--random-state", 1]
    result = done("stability", given, "-o", out, *options, "--tables", folder / "t", "--json")
    pae.tl.stability(adata, sample_key="donor", n_bootstrap=8, random_state=1, progress=False)
    wanted = pae.get.stability(adata)
    pd.testing.assert_frame_equal(pae.get.stability(ad.read_h5ad(out)), wanted, check_dtype=False)
    assert json.loads(result.stdout)["verdicts"] == wanted["verdict"].value_counts().to_dict()
    assert pd.read_csv(folder / "t" / "stability.csv")["verdict"].tolist() == wanted["verdict"].tolist()
    assert pd.read_csv(folder / "t" / "trust.csv")["component"].tolist() == pae.get.trust(adata)["component"].tolist()


def test_relevance(fitted):
    folder, adata, given, out = fitted
    options = ["--sample-key", "donor", "--n-null", 50, "--n-folds", 2, "--n-bins", 3]
    result = done("relevance", given, "-o", out, *options, "--tables", folder / "t")
    pae.tl.relevance(adata, sample_key="donor", n_null=50, n_folds=2, n_bins=3, progress=False)
    wanted = pae.get.relevance(adata)
    pd.testing.assert_frame_equal(pae.get.relevance(ad.read_h5ad(out)), wanted, check_dtype=False)
    assert f"{(wanted['verdict'] == 'used').sum()} used" in result.stdout
    assert sorted(path.name for path in (folder / "t").iterdir()) == ["relevance.csv", "trust.csv"]


def test_refine(fitted):
    folder, adata, given, out = fitted
    options = ["--sample-key", "donor", "--fdr", 0.1, "--gmt", folder / "refined.gmt", "--tables", folder / "t"]
    result = done("refine", given, "-o", out, *options, "--json")
    pae.tl.refine(adata, sample_key="donor", fdr=0.1, progress=False)
    assert dict(pae.gs.read_gmt(folder / "refined.gmt")) == dict(pae.get.refined(adata))
    wanted = pae.get.refinement(adata)
    assert json.loads(result.stdout)["calls"] == wanted["call"].value_counts().to_dict()
    assert len(pd.read_csv(folder / "t" / "refinement.csv")) == len(wanted)
    assert json.loads(result.stdout)["outputs"][-1] == str(folder / "refined.gmt")
    out.unlink()
    assert "--gmt" in error_of(run("refine", given, "-o", out, *options[4:6]), 4)


def test_enrich(fitted):
    folder, adata, given, out = fitted
    options = ["-g", folder / "sets.gmt", "--method", "ora", "--n-genes", 40, "--component", "free_1"]
    result = done("enrich", given, "-o", out, *options, "--component", "program_1")
    sets = pae.gs.read_gmt(folder / "sets.gmt")
    pae.tl.enrich(adata, sets, method="ora", n_genes=40, components=["free_1", "program_1"], progress=False)
    wanted = pae.get.enrichment(adata)
    pd.testing.assert_frame_equal(pae.get.enrichment(ad.read_h5ad(out)), wanted, check_dtype=False)
    best = wanted.sort_values("padj").iloc[0]
    assert result.stdout.split("n_genes")[1].split()[:2] == [best["component"], best["term"]]


def test_rank(fitted):
    folder, adata, given, out = fitted
    options = ["--groupby", "cell_type", "--sample-key", "donor", "--group", "type_1", "--group", "type_2"]
    options += ["--reference", "type_3", "--key-added", "mine"]
    result = done("rank", given, "-o", out, *options, "--tables", folder / "t", "--json")
    pae.tl.rank_pathways(
        adata, "cell_type", sample_key="donor", groups=["type_1", "type_2"], reference="type_3", key_added="mine"
    )
    wanted = pae.get.rank_pathways(adata, key_added="mine")
    found = pae.get.rank_pathways(ad.read_h5ad(out), key_added="mine")
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False)
    table = pd.read_csv(folder / "t" / "rank_pathways.csv")
    names = ["pathway", "group"]
    assert table[names].to_numpy().tolist() == wanted[names].to_numpy().tolist()
    genes = pae.get.rank_pathways(adata, of="genes", key_added="mine")
    assert pd.read_csv(folder / "t" / "rank_genes.csv")["gene"].tolist() == genes["gene"].tolist()
    record = json.loads(result.stdout)
    assert (record["n_tests"], record["n_found"]) == (len(wanted), int((wanted["padj"] <= 0.05).sum()))
    assert "cells as replicates" in error_of(
        run("rank", given, "-b", "cell_type", "-o", folder / "o.h5ad", "--strict"), 5
    )


def test_commands_need_a_fit(files):
    folder = files[0]
    for command, more in {
        "stability": [],
        "relevance": [],
        "refine": [],
        "enrich": ["-g", folder / "sets.gmt"],
    }.items():
        result = run(command, folder / "cells.h5ad", "-o", folder / "out.h5ad", *more)
        assert "No fit under key 'pae'" in error_of(result)
        assert not (folder / "out.h5ad").exists()


def test_gene_sets_are_checked_and_made_smaller(files):
    folder, adata, sets, _ = files
    large = {name: [*genes, "not_here"] for name, genes in sets.items()} | {"tiny": ["gene_1", "not_here"]}
    pae.gs.as_collection({**large, "twin": large["program_1"]}).to_gmt(folder / "large.gmt")
    given = ["genesets", folder / "large.gmt", "--cells", folder / "cells.h5ad", "--min-genes", 5]
    result = done(*given, "--merge-similar", 0.9, "--out", folder / "small.gmt", "--json")
    assert dict(pae.gs.read_gmt(folder / "small.gmt")) == {name: tuple(genes) for name, genes in sets.items()}
    record = json.loads(result.stdout)
    genes = {gene for genes in large.values() for gene in genes}
    assert (record["n_given"], record["n_sets"], record["n_genes_of_cells"]) == (len(large) + 1, len(sets), 300)
    assert record["share_of_genes_found"] == pytest.approx(1 - 1 / len(genes))
    sizes = sorted(len(one) for one in sets.values())
    assert record["genes_per_set"]["max"] == sizes[-1]
    assert "1 of 8 sets with 2 genes" in done("genesets", folder / "large.gmt", "--select", "^tiny$").stdout
    adata.var_names = [f"ENSG{i:011d}" for i in range(300)]
    adata.write_h5ad(folder / "cells.h5ad")
    assert "Ensembl" in error_of(run(*given))


def test_datasets_are_listed_and_fetched():
    result = done("datasets", "immune_pbmc")
    assert result.stdout.strip() == str(pae.datasets.fetch("immune_pbmc"))
    assert "immune_pbmc" in done("datasets", "--kind", "gene sets").stdout
    names = [one["name"] for one in json.loads(done("datasets", "--json").stdout)["datasets"]]
    assert names == pae.datasets.list().index.tolist()
    assert "immune_pbm" in error_of(run("datasets", "immune_pbm"))
