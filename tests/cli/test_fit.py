"""Fit and transform from file to file."""

import json
import re

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from cli_runs import done, error_of, run

import pathwayae as pae


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
    assert f"Written: {folder / 'out.h5ad'}" in result.stderr.splitlines()


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_options_reach_the_fit(files):
    folder, adata, sets, _ = files
    options = "--mask-var chosen --min-genes 6 --max-genes 200 --n-extra 2 --theta 0.2 --scores least_squares"
    options += " --device cpu --seed 3 --key-added mine --layer counts --quiet --max-iter 20 --no-balance --scale unit"
    given = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", *options.split()]
    result = run(*given)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    assert re.match(r"warning: The values \(.*\) look like raw counts", result.stderr)
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
            scale="unit",
            settings=pae.tl.FitSettings(max_iter=20, balance=False),
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


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_counts_are_normalised_and_donors_held_out(files):
    folder, adata, sets, _ = files
    adata.obs["donor"] = ["a", "b", "c", "d"] * 50
    adata.write_h5ad(folder / "cells.h5ad")
    given = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "--layer", "counts", "--normalize", "log1p"]
    options = ["--scores", "projection", "--theta", "auto", "--sample-key", "donor", "--max-iter", 20, "--n-extra", 2]
    done(*given, "-o", folder / "out.h5ad", *options, "--tables", folder / "tables")
    moments = pae.pp.moments(adata, layer="counts", normalize="log1p", sample_key="donor", progress=False)
    settings = pae.tl.FitSettings(max_iter=20)
    wanted = {"layer": "counts", "scores": "projection", "theta": "auto", "n_extra": 2, "settings": settings}
    pae.tl.fit(adata, sets, moments=moments, progress=False, **wanted)
    fitted = ad.read_h5ad(folder / "out.h5ad")
    np.testing.assert_allclose(fitted.obsm["X_pae"], adata.obsm["X_pae"], atol=1e-4)
    path = pd.read_csv(folder / "tables" / "theta_path.csv")
    assert path.columns.tolist() == pae.get.theta_path(adata).columns.tolist()
    assert path.loc[path["chosen"], "theta"].tolist() == [adata.uns["pae"]["params"]["theta"]]


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_tables_say_what_the_slots_say(files, kind):
    folder, adata, sets, _ = files
    given = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad"]
    done(*given, "--tables", folder / "new" / "tables", "--table-format", kind)
    pae.tl.fit(adata, sets, progress=False)
    read = {"csv": pd.read_csv, "tsv": lambda path: pd.read_csv(path, sep="\t"), "parquet": pd.read_parquet}[kind]
    tables = {path.stem: read(path) for path in (folder / "new" / "tables").iterdir()}
    assert sorted(tables) == ["left_out", "loadings", "pathways", "scores", "top_genes", "variance"]
    scores = tables["scores"].set_index("cell")
    assert scores.index.tolist() == adata.obs_names.tolist()
    pd.testing.assert_frame_equal(scores, pae.get.scores(adata), check_names=False, check_dtype=False, rtol=1e-5)
    loadings = tables["loadings"].set_index("gene")
    pd.testing.assert_frame_equal(loadings, pae.get.loadings(adata), check_names=False, check_dtype=False, rtol=1e-5)
    assert tables["pathways"]["pathway"].tolist() == pae.get.pathways(adata)["pathway"].tolist()
    result = run(*given, "--tables", folder / "new" / "tables", "--table-format", kind, "--overwrite")
    assert result.exit_code == 0
    (folder / "out.h5ad").unlink()
    result = run(*given, "--tables", folder / "new" / "tables", "--table-format", kind)
    assert f"scores.{kind}" in error_of(result, 4)


def test_the_summary_is_json_and_alone_on_standard_output(files):
    folder, adata, sets, new = files
    result = done("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "--json")
    record = json.loads(result.stdout)
    assert record["command"] == "fit"
    assert record["version"] == pae.__version__
    assert record["options"]["theta"] == 0.3
    assert record["outputs"] == [str(folder / "out.h5ad")]
    assert (record["n_cells"], record["n_genes"], record["n_pathways"], record["n_free"]) == (200, 300, len(sets), 20)
    assert record["left_out"] == record["flagged"] == record["warnings"] == []
    pae.tl.fit(adata, sets, progress=False)
    assert record["variance_ratio_total"] == pytest.approx(adata.uns["pae"]["variance_ratio_total"])
    transform = ["transform", folder / "new.h5ad", "-r", folder / "out.h5ad", "-o", folder / "scored.h5ad", "--json"]
    record = json.loads(done(*transform).stdout)
    assert (record["n_cells"], record["n_components"]) == (new.n_obs, len(sets) + 20)


def test_several_files_become_one_of_scores(files):
    folder, adata, sets, new = files
    done("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad")
    new.obs_names = [f"new_{name}" for name in new.obs_names]
    new.write_zarr(folder / "new.zarr")
    scored = {}
    for kind in ("zarr", "parquet"):
        out = folder / f"scores.{kind}"
        done("transform", folder / "cells.h5ad", folder / "new.zarr", "-r", folder / "out.h5ad", "-o", out, "-q")
        scored[kind] = ad.read_zarr(out).X if kind == "zarr" else pd.read_parquet(out).to_numpy()
    pae.tl.fit(adata, sets, progress=False)
    wanted = np.concatenate([adata.obsm["X_pae"], adata.obsm["X_pae"][:40]])
    np.testing.assert_allclose(scored["zarr"], wanted, atol=1e-5)
    np.testing.assert_allclose(scored["parquet"], wanted, atol=1e-5)
    again = ["transform", folder / "cells.h5ad", "-r", folder / "out.h5ad", "-o", folder / "scores.zarr"]
    assert "--overwrite" in error_of(run(*again, "--scores-only"), 4)
    done(*again, "--scores-only", "--overwrite")
    assert ad.read_zarr(folder / "scores.zarr").shape == (200, len(sets) + 20)


def test_a_membership_in_varm_is_a_key(files):
    folder, adata, sets, _ = files
    adata.varm["mine"] = pd.DataFrame(
        {name: adata.var_names.isin(genes) for name, genes in sets.items()}, index=adata.var_names
    )
    adata.write_h5ad(folder / "cells.h5ad")
    done("fit", folder / "cells.h5ad", "-p", "mine", "-o", folder / "out.h5ad", "-q")
    assert ad.read_h5ad(folder / "out.h5ad").uns["pae"]["component_names"][: len(sets)].tolist() == list(sets)


def test_a_model_alone_scores_new_cells(files):
    folder, adata, sets, new = files
    model = folder / "model.npz"
    fit = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "--model", model]
    record = json.loads(done(*fit, "--json").stdout)
    assert record["outputs"] == [str(folder / "out.h5ad"), str(model)]
    transform = ["transform", folder / "new.h5ad", "-r", model, "-o", folder / "scored.zarr", "-q"]
    done(*transform, "--tables", folder / "tables")
    pae.tl.fit(adata, sets, progress=False)
    pae.tl.transform(new, adata, progress=False)
    np.testing.assert_allclose(ad.read_zarr(folder / "scored.zarr").obsm["X_pae"], new.obsm["X_pae"], atol=1e-5)
    tables = {path.stem: pd.read_csv(path) for path in (folder / "tables").iterdir()}
    assert sorted(tables) == ["missing_genes", "scores", "unexplained"]
    wanted = pae.get.unexplained(new)
    assert tables["unexplained"]["cell"].tolist() == new.obs_names.tolist()
    np.testing.assert_allclose(tables["unexplained"]["unexplained"], wanted["unexplained"], rtol=1e-4)
