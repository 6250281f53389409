"""The command line: files in, files out, and what happens when something is wrong."""

import inspect
import re
import subprocess
import sys

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
import torch
from typer.testing import CliRunner

import pathwayae as pae
from pathwayae import cli
from pathwayae.cli import _demo
from pathwayae.datasets import _registry

RUNNER = CliRunner()
N_PROGRAMS = 6


def run(*arguments):
    return RUNNER.invoke(cli.app, [str(argument) for argument in arguments])


def error_of(result):
    """The one line on stderr of a failed command."""
    assert result.exit_code == 1, result.output
    lines = result.stderr.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("error: ")
    return lines[0]


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Small problems on a busy machine: threads of torch wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def files(tmp_path):
    """Cells, gene sets and new cells on disk, and the same in memory."""
    adata = pae.datasets.simulate(200, 300, N_PROGRAMS)
    adata.var["symbol"] = [f"sym{i}" for i in range(adata.n_vars)]
    adata.var["chosen"] = np.arange(adata.n_vars) < 250
    member = adata.varm["pathways"]
    sets = {name: member.index[member[name]].tolist() for name in member}
    for slot in ("pathways", "true_loadings"):
        del adata.varm[slot]
    pae.gs.as_collection(sets).to_gmt(tmp_path / "sets.gmt")
    adata.write_h5ad(tmp_path / "cells.h5ad")
    new = adata[:40, ::-1].copy()
    new.write_h5ad(tmp_path / "new.h5ad")
    return tmp_path, adata, sets, new


# The registry.


def test_a_registry_inside_the_package_goes_first(tmp_path, monkeypatch):
    (tmp_path / "package" / "data_registry").mkdir(parents=True)
    (tmp_path / "data_registry").mkdir()
    monkeypatch.setattr(_registry, "__file__", str(tmp_path / "package" / "datasets" / "_registry.py"))
    assert _registry.folder() == tmp_path / "package" / "data_registry"
    (tmp_path / "package" / "data_registry").rmdir()
    assert _registry.folder() == tmp_path / "data_registry"


def test_a_missing_registry_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(_registry, "__file__", str(tmp_path / "package" / "datasets" / "_registry.py"))
    with pytest.raises(FileNotFoundError, match="installation is incomplete"):
        _registry.folder()


# The demo.


@pytest.mark.slow
def test_the_demo_fits_draws_and_names_its_files(tmp_path):
    folder = tmp_path / "new" / "demo"
    result = run("demo", "--out", folder)
    assert result.exit_code == 0, result.output
    written = result.stdout.split(f"Written to {folder.resolve()}:")[1].split()
    assert sorted(written) == sorted(path.name for path in folder.iterdir())
    assert len([name for name in written if name.endswith(".png")]) == 6
    assert len([name for name in written if name.endswith(".csv")]) == 3
    assert all((folder / name).stat().st_size > 1_000 for name in written)

    adata = ad.read_h5ad(folder / "pbmc_pae.h5ad")
    assert adata.shape == (700, 765)
    assert {"X_pae", "X_umap", "X_umap_published"} <= set(adata.obsm)
    assert {"pae_loadings", "pae_membership"} <= set(adata.varm)
    scores = pae.get.scores(adata).groupby(adata.obs["bulk_labels"], observed=True).mean()
    highest = scores.idxmax()
    assert highest["B_CELLS"] == "CD19+ B"
    assert highest["NK_CELLS"] == "CD56+ NK"
    assert highest["CD34_PROGENITORS"] == "CD34+"
    assert set(pae.get.enrichment(adata)["component"]) == {f"free_{i + 1}" for i in range(20)}

    n_matched = pae.get.variance(adata).set_index("component").loc["NK_CELLS"]
    assert f"{n_matched['n_matched']}/{n_matched['n_genes']}" in result.stdout
    # Hidden from the fit, the B-cell sets come back as free components.
    assert re.search(r"free_\d+ → B_CELLS", result.stdout)


def test_the_cells_of_the_demo_are_log_normalised_and_as_published():
    adata = _demo._pbmc()
    values = np.expm1(adata.X.toarray().astype(float))
    assert values.min() == 0
    # Undone, the values of a cell are whole multiples of its smallest one, as scaled counts are.
    unit = np.where(values > 0, values, np.inf).min(axis=1, keepdims=True)
    np.testing.assert_allclose(values / unit, np.round(values / unit), rtol=3e-3)
    assert len(np.unique(unit.round(2))) > 100
    source = sc.datasets.pbmc68k_reduced()
    assert adata.obs["bulk_labels"].equals(source.obs["bulk_labels"])
    np.testing.assert_array_equal(adata.obsm["X_umap_published"], source.obsm["X_umap"])


def test_the_demo_does_not_write_into_a_file(tmp_path):
    (tmp_path / "taken").write_text("mine")
    assert "taken" in error_of(run("demo", "--out", tmp_path / "taken"))
    assert (tmp_path / "taken").read_text() == "mine"


# Fit and transform.


def test_fit_and_transform_equal_the_api(files):
    folder, adata, sets, new = files
    result = run("fit", folder / "cells.h5ad", "--pathways", folder / "sets.gmt", "--out", folder / "out.h5ad")
    assert result.exit_code == 0, result.output
    fitted = ad.read_h5ad(folder / "out.h5ad")
    pae.tl.fit(adata, sets, progress=False)
    np.testing.assert_array_equal(fitted.obsm["X_pae"], adata.obsm["X_pae"])
    np.testing.assert_array_equal(fitted.varm["pae_loadings"], adata.varm["pae_loadings"])

    result = run("transform", folder / "new.h5ad", "-r", folder / "out.h5ad", "-o", folder / "scored.h5ad")
    assert result.exit_code == 0, result.output
    assert "40 cells" in result.stdout
    scored = ad.read_h5ad(folder / "scored.h5ad")
    pae.tl.transform(new, adata)
    np.testing.assert_array_equal(scored.obsm["X_pae"], new.obsm["X_pae"])
    np.testing.assert_allclose(scored.obsm["X_pae"], adata.obsm["X_pae"][:40], atol=1e-5)
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_the_report_names_pathways_matches_and_genes(files):
    folder, _, sets, _ = files
    pae.gs.as_collection({**sets, "[bold]tiny[/bold]": ["gene_1"]}).to_gmt(folder / "sets.gmt")
    result = run("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad")
    fitted = ad.read_h5ad(folder / "out.h5ad")
    table = pae.get.variance(fitted)
    for row in table[table["kind"] == "pathway"].itertuples():
        line = next(line for line in result.stdout.splitlines() if line.startswith(row.component))
        assert f"{row.n_matched}/{row.n_genes}" in line
        assert f"{row.variance_ratio:.1%}" in line
        for gene in pae.get.top_genes(fitted, row.component, n_genes=3).itertuples():
            assert f"{gene.gene}{'' if gene.member else '+'}" in line.split()
    assert "[bold]tiny[/bold] (1)" in result.stdout
    assert f"Written: {folder / 'out.h5ad'}" in result.stdout.splitlines()


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_options_reach_the_fit(files):
    folder, adata, sets, _ = files
    options = "--mask-var chosen --min-genes 6 --max-genes 200 --n-extra 2 --theta 0.2 --scores least_squares"
    options += " --device cpu --seed 3 --key-added mine --layer counts --quiet"
    given = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", *options.split()]
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("warning: The values look like raw counts")
    assert all("raw counts" in line or "flag 'outside'" in line for line in result.stderr.splitlines())
    with pytest.warns(pae.DataWarning, match="raw counts"):
        pae.tl.fit(
            adata,
            sets,
            mask_var="chosen",
            min_genes=6,
            max_genes=200,
            n_extra=2,
            theta=0.2,
            scores="least_squares",
            device="cpu",
            random_state=3,
            key_added="mine",
            layer="counts",
            progress=False,
        )
    fitted = ad.read_h5ad(folder / "out.h5ad")
    np.testing.assert_array_equal(fitted.obsm["X_mine"], adata.obsm["X_mine"])
    assert fitted.uns["mine"]["params"] == adata.uns["mine"]["params"]


def test_gene_symbols_and_keys_reach_both_commands(files):
    folder, adata, sets, new = files
    symbol = adata.var["symbol"]
    symbols = {name: symbol[genes].tolist() for name, genes in sets.items()}
    pae.gs.as_collection(symbols).to_gmt(folder / "symbols.gmt")
    new.var_names = [f"other_{name}" for name in new.var_names]
    new.write_h5ad(folder / "new.h5ad")
    fit = ["fit", folder / "cells.h5ad", "-p", folder / "symbols.gmt", "-o", folder / "out.h5ad"]
    assert run(*fit, "--gene-symbols", "symbol", "--key-added", "a").exit_code == 0
    transform = ["transform", folder / "new.h5ad", "-r", folder / "out.h5ad", "-o", folder / "scored.h5ad"]
    assert run(*transform, "--gene-symbols", "symbol", "--key", "a", "--key-added", "b", "-q").stdout == ""
    fitted, scored = ad.read_h5ad(folder / "out.h5ad"), ad.read_h5ad(folder / "scored.h5ad")
    np.testing.assert_allclose(scored.obsm["X_b"], fitted.obsm["X_a"][:40], atol=1e-5)


def test_defaults_are_those_of_the_api():
    renamed = {"random_state": "seed", "out": "scores only"}  # a command always writes whole cells to --out
    for command, function in ((cli.fit, pae.tl.fit), (cli.transform, pae.tl.transform)):
        offered = inspect.signature(command).parameters
        for name, parameter in inspect.signature(function).parameters.items():
            option = offered.get(renamed.get(name, name))
            if option is not None and parameter.default is not parameter.empty:
                assert option.default == parameter.default, name


# What goes wrong.


def test_errors_are_one_line_and_leave_nothing(files):
    folder = files[0]
    (folder / "folder.h5ad").mkdir()
    before = sorted(folder.iterdir())
    for options, message in [
        ({"cells": "nowhere.h5ad"}, "nowhere.h5ad: no such file"),
        ({"cells": "sets.gmt"}, "cannot be read as .h5ad"),
        ({"pathways": "nowhere.gmt"}, "nowhere.gmt"),
        ({"--layer": "nothing"}, "'nothing' is not in adata.layers"),
        ({"--mask-var": "nothing"}, "'nothing' is not a column of adata.var"),
        ({"--theta": "2"}, "theta=2.0 is out of range"),
        ({"--min-genes": "280"}, "No pathway has 280 genes"),
        ({"--gene-symbols": "symbol"}, "sym0"),
        ({"--out": "out.txt"}, "must end in .h5ad"),
        ({"--out": "no/out.h5ad"}, "there is no folder"),
        ({"--out": "folder.h5ad"}, "is a folder"),
    ]:
        arguments = {"--out": "out.h5ad", **{name: value for name, value in options.items() if name.startswith("--")}}
        arguments["--out"] = folder / arguments["--out"]
        cells, sets = folder / options.get("cells", "cells.h5ad"), folder / options.get("pathways", "sets.gmt")
        result = run("fit", cells, "-p", sets, *(part for pair in arguments.items() for part in pair))
        assert message in error_of(result)
        assert result.stdout == ""
        assert sorted(folder.iterdir()) == before


def test_transform_needs_a_fit_and_shared_genes(files):
    folder, _, _, new = files
    out = folder / "scored.h5ad"
    given = ["transform", folder / "new.h5ad", "-o", out, "-r"]
    assert "reference: No fit under key 'pae'" in error_of(run(*given, folder / "cells.h5ad"))
    assert "nowhere.h5ad: no such file" in error_of(run(*given, folder / "nowhere.h5ad"))
    assert run("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad").exit_code == 0
    new.var_names = new.var["symbol"]
    new.write_h5ad(folder / "new.h5ad")
    assert "None of the 300 genes" in error_of(run(*given, folder / "out.h5ad"))
    assert not out.exists()


def test_nothing_is_overwritten_unless_asked(files):
    folder = files[0]
    out = folder / "out.h5ad"
    out.write_text("precious")
    given = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", out]
    assert "--overwrite" in error_of(run(*given))
    assert out.read_text() == "precious"
    assert "is out of range" in error_of(run(*given, "--overwrite", "--theta", "7"))
    assert out.read_text() == "precious"
    assert run(*given, "--overwrite").exit_code == 0
    assert "X_pae" in ad.read_h5ad(out).obsm


def test_an_input_may_be_its_own_output(files):
    folder, adata, _, _ = files
    cells = folder / "cells.h5ad"
    assert run("fit", cells, "-p", folder / "sets.gmt", "-o", cells, "--overwrite").exit_code == 0
    fitted = ad.read_h5ad(cells)
    assert "X_pae" in fitted.obsm
    assert (fitted.X != adata.X).nnz == 0


def test_a_failed_write_leaves_the_old_file_and_no_other(files, monkeypatch):
    folder = files[0]
    out = folder / "out.h5ad"
    out.write_text("precious")
    before = sorted(folder.iterdir())

    def fail(_, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ad.AnnData, "write_h5ad", fail)
    result = run("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", out, "--overwrite")
    assert "No space left" in error_of(result)
    assert out.read_text() == "precious"
    assert sorted(folder.iterdir()) == before


def test_wrong_usage_has_exit_code_2():
    for arguments in [
        ["fit"],
        ["fit", "cells.h5ad", "--out", "out.h5ad"],
        ["transform", "new.h5ad"],
        ["fit", "--scores", "x"],
        ["nothing"],
    ]:
        assert run(*arguments).exit_code == 2


def test_programming_errors_are_not_hidden(files, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr(pae.tl, "fit", fail)
    folder = files[0]
    result = run("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad")
    assert isinstance(result.exception, RuntimeError)
    assert not (folder / "out.h5ad").exists()


# Help.


def test_help_has_an_example():
    for command in [[], ["demo"], ["fit"], ["transform"]]:
        result = run(*command, "--help")
        assert result.exit_code == 0
        example = " ".join(["  pathwayae", *command])
        assert any(line.startswith("  " + example) for line in result.stdout.splitlines())


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"pathwayae {pae.__version__}\n"


def test_help_loads_nothing_heavy():
    heavy = ["torch", "scanpy", "anndata", "matplotlib", "pandas", "numpy"]
    code = f"import sys, pathwayae.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_entry_point_runs(tmp_path):
    code = "from pathwayae.cli import main; main()"
    command = [sys.executable, "-c", code, "fit", tmp_path / "no.h5ad", "-p", "x.gmt", "-o", tmp_path / "o.h5ad"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr
