"""The pipelines of the documentation run: the Snakefile by snakemake, the Nextflow processes by their scripts."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import yaml

import pathwayae as pae

ROOT = Path(__file__).parents[2]
PIPELINES = ROOT / "docs" / "pipelines"
MODULES = PIPELINES / "nextflow" / "modules" / "local" / "pathwayae"

pytestmark = pytest.mark.slow


@pytest.fixture
def work(files):
    """A folder with cells of donors, gene sets and new cells; and an environment with ``pathwayae`` in its path."""
    folder, adata, _, new = files
    adata.obs["donor"] = ["a", "b", "c", "d"] * 50
    adata.write_h5ad(folder / "cells.h5ad")
    new.write_h5ad(folder / "new.h5ad")
    (folder / "bin").mkdir()
    command = folder / "bin" / "pathwayae"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pathwayae "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return folder, adata, os.environ | {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": path}


def ranked_as_in_python(adata, sets, ranked, table):
    pae.tl.fit(adata, str(sets), progress=False)
    pae.tl.rank_pathways(adata, "cell_type", sample_key="donor")
    wanted = pae.get.rank_pathways(adata)
    found = pae.get.rank_pathways(ad.read_h5ad(ranked))
    pd.testing.assert_frame_equal(found, wanted, check_dtype=False, atol=1e-6)  # scores are float32
    assert pd.read_csv(table)["pathway"].tolist() == wanted["pathway"].tolist()


@pytest.mark.skipif(not importlib.util.find_spec("snakemake"), reason="needs snakemake, which is in pathwayae[test]")
@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_the_snakefile_runs_from_cells_to_tables(work):
    folder, adata, environment = work
    config = {"cells": "cells.h5ad", "gene_sets": "sets.gmt", "new": {"second": "new.h5ad"}, "groupby": "cell_type"}
    config |= {"reference": "rest", "sample_key": "donor", "within": "", "fit": "", "rank": "", "transform": ""}
    assert set(config) == set(yaml.safe_load((PIPELINES / "snakemake" / "config.yaml").read_text(encoding="utf-8")))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    snakemake = [sys.executable, "-m", "snakemake", "--cores", "1", "-s", PIPELINES / "snakemake" / "Snakefile"]
    done = subprocess.run(
        snakemake, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    results = folder / "results"
    assert json.loads((results / "fit.json").read_text())["n_cells"] == 200
    assert json.loads((results / "cells_mqc.json").read_text())["data"]["cells"]["n_cells"] == 200
    assert "Differences between groups" in (results / "report.html").read_text(encoding="utf-8")
    ranked_as_in_python(adata, folder / "sets.gmt", results / "ranked.h5ad", results / "rank" / "rank_pathways.csv")
    scored = ad.read_h5ad(results / "new" / "second.h5ad")
    np.testing.assert_allclose(scored.obsm["X_pae"], adata.obsm["X_pae"][:40], atol=1e-5)


def script_of(module, part, **values):
    """The script, or stub, of a Nextflow process with the variables put in, as Groovy would."""
    text = (MODULES / module / "main.nf").read_text(encoding="utf-8")
    script = re.search(rf'\n    {part}:.*?"""\n(.*?)    """', text, flags=re.DOTALL)[1]
    script = "\n".join(line.removeprefix("    ") for line in script.splitlines()).replace("\\\\\n", "\\\n")
    for name, value in values.items():
        script = re.sub(rf"(?<!\\)\$(?:\{{{re.escape(name)}\}}|{re.escape(name)}\b)", str(value), script)
    assert not re.findall(r"(?<!\\)\$\{?[a-z]\w*", script), "a variable was not put in"
    return script.replace("\\$", "$")


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_the_scripts_of_the_nextflow_processes_run(work):
    folder, adata, environment = work
    values = {"task.cpus": 1, "task.process": "PATHWAYAE_FIT", "prefix": "fit1", "args": ""}
    fit = script_of("fit", "script", cells="cells.h5ad", gene_sets="sets.gmt", **values)
    values |= {"prefix": "rank1", "args": "--sample-key donor"}
    rank = script_of("rank", "script", fitted="fit1.h5ad", groupby="cell_type", **values)
    for script, prefix in ((fit, "fit1"), (rank, "rank1")):
        shell = ["bash", "-euo", "pipefail", "-c", script]
        done = subprocess.run(
            shell, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
        )
        assert done.returncode == 0, done.stderr
        versions = yaml.safe_load((folder / "versions.yml").read_text())
        assert versions == {"PATHWAYAE_FIT": {"pathwayae": pae.__version__}}
        assert json.loads((folder / f"{prefix}.json").read_text())["outputs"][0] == f"{prefix}.h5ad"
    values |= {"prefix": "page1", "args": ""}
    script = script_of("report", "script", fitted="rank1.h5ad", **values)
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, check=True, timeout=200)
    assert "Differences between groups" in (folder / "page1.html").read_text(encoding="utf-8")
    assert list(json.loads((folder / "page1_pathwayae_mqc.json").read_text())["data"]) == ["page1"]
    table = folder / "rank1_tables" / "rank_pathways.csv"
    ranked_as_in_python(adata, folder / "sets.gmt", folder / "rank1.h5ad", table)


@pytest.mark.parametrize("module", ["fit", "rank", "report"])
def test_stubs_make_what_the_processes_declare(tmp_path, work, module):
    text = (MODULES / module / "main.nf").read_text(encoding="utf-8")
    stub = script_of(module, "stub", **{"task.process": "P", "prefix": "one"})
    subprocess.run(["bash", "-euo", "pipefail", "-c", stub], cwd=tmp_path, env=work[2], check=True, timeout=60)
    emitted = dict(re.findall(r'path\(?\s*"([^"]+)"\)?\s*,\s*emit: (\w+)', text))
    wanted = {"html", "multiqc"} if module == "report" else {"h5ad", "tables", "json"}
    assert set(emitted.values()) == wanted | {"versions"}
    assert all(list(tmp_path.glob(pattern)) for pattern in emitted)
    meta = yaml.safe_load((MODULES / module / "meta.yml").read_text(encoding="utf-8"))
    assert set(meta["output"]) == set(emitted.values())
    assert meta["name"] == f"pathwayae_{module}"
