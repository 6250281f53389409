"""``pathwayae report`` against the function that it calls."""

import json
import re

import pandas as pd
import pytest
from cli_runs import done, error_of, run

import pathwayae as pae


@pytest.fixture
def fitted(files):
    """A fit on disk and in memory."""
    folder, adata, sets, _ = files
    adata.obs["donor"] = ["a", "b", "c", "d"] * 50
    pae.tl.fit(adata, sets, n_extra=2, progress=False)
    pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    adata.write_h5ad(folder / "fitted.h5ad")
    return folder, adata, folder / "fitted.h5ad"


def test_the_page_is_that_of_python(fitted):
    folder, adata, given = fitted
    options = ["--title", "Mine", "--multiqc", folder / "x_mqc.json", "--tables", folder / "t", "--json"]
    record = json.loads(done("report", given, *options).stdout)
    pae.report(adata, folder / "wanted.html", title="Mine", multiqc=folder / "y_mqc.json")
    own, wanted = ((folder / name).read_text(encoding="utf-8") for name in ("fitted.html", "wanted.html"))
    own, wanted = (re.sub(r"\d{4}-\d\d-\d\d", "", text).split('id="again"')[0] for text in (own, wanted))
    assert own == wanted
    outputs = ["fitted.html", "x_mqc.json", "x_pathwayae_mqc.json"]
    names = ["trust", "pathways", "top_genes", "left_out", "rank_pathways"]
    assert record["outputs"] == [
        *(str(folder / one) for one in outputs),
        *(str(folder / "t" / f"{one}.csv") for one in names),
    ]
    assert record["n_bytes"] == (folder / "fitted.html").stat().st_size
    assert len(pd.read_csv(folder / "t" / "rank_pathways.csv")) == len(pae.get.rank_pathways(adata))
    general = json.loads((folder / "x_mqc.json").read_text())["data"]["x"]
    assert general == json.loads((folder / "y_mqc.json").read_text())["data"]["y"]


def test_columns_together(fitted):
    folder, _, given = fitted
    result = done("report", given, "-o", folder / "r.html", "-b", "cell_type", "-b", "donor")
    assert "r.html" in result.stdout
    assert "type_1 | a" in (folder / "r.html").read_text(encoding="utf-8")


def test_what_is_refused(fitted, files):
    folder, _, given = fitted
    assert "--out" in error_of(run("report", given, "-o", folder / "r.pdf"))
    (folder / "fitted.html").write_text("mine")
    assert "--overwrite" in error_of(run("report", given), 4)
    assert "_mqc.json" in error_of(run("report", given, "--overwrite", "--multiqc", folder / "a.json"))
    assert "pae.tl.fit" in error_of(run("report", folder / "cells.h5ad"))
    assert "not a column" in error_of(run("report", given, "--overwrite", "-b", "nothing"))
    assert "no such file" in error_of(run("report", folder / "none.h5ad"), 4)
    assert (folder / "fitted.html").read_text() == "mine"
    assert not (folder / "cells.html").exists()
