"""What goes wrong: one line on standard error, an exit code, and no output."""

import json

import anndata as ad
import h5py
import pytest
from cli_runs import error_of, run

import pathwayae as pae
from pathwayae._cells.sources import Source


def test_errors_are_one_line_and_leave_nothing(files):
    folder = files[0]
    (folder / "folder.h5ad").mkdir()
    (folder / "taken").write_text("a file")
    with h5py.File(folder / "several.h5mu", "w") as root:
        root.create_group("mod")
    h5py.File(folder / "empty.h5ad", "w").close()
    (folder / "half.h5ad").write_bytes((folder / "cells.h5ad").read_bytes()[:20_000])
    before = sorted(folder.iterdir())
    for options, code, message in [
        ({"cells": "nowhere.h5ad"}, 4, "nowhere.h5ad: no such file"),
        ({"cells": "sets.gmt"}, 4, "cannot be read as .h5ad"),
        ({"cells": "several.h5mu"}, 4, "is a MuData; write one modality"),
        ({"cells": "empty.h5ad"}, 4, "it has no obs"),
        ({"cells": "half.h5ad"}, 4, "half.h5ad cannot be read"),
        ({"cells": "folder.h5ad"}, 4, "folder.h5ad cannot be read"),
        ({"pathways": "nowhere.gmt"}, 4, "nowhere.gmt"),
        ({"pathways": "cells.h5ad"}, 3, "cells.h5ad"),
        ({"--layer": "nothing"}, 3, "'nothing' is not in adata.layers"),
        ({"--mask-var": "nothing"}, 3, "'nothing' is not a column of adata.var"),
        ({"--batch-key": "nothing"}, 3, "'nothing' is not a column"),
        ({"--theta": "2"}, 3, "theta=2.0 is out of range"),
        ({"--min-genes": "280"}, 3, "No pathway has 280 genes"),
        ({"--gene-symbols": "symbol"}, 3, "sym0"),
        ({"--out": "out.txt"}, 3, "must end in .h5ad or .zarr"),
        ({"--out": "no/out.h5ad"}, 4, "there is no folder"),
        ({"--out": "folder.h5ad"}, 4, "is a folder"),
        ({"--tables": str(folder / "taken")}, 4, "is a file; name a folder"),
    ]:
        arguments = {"--out": "out.h5ad", **{name: value for name, value in options.items() if name.startswith("--")}}
        arguments["--out"] = folder / arguments["--out"]
        cells, sets = folder / options.get("cells", "cells.h5ad"), folder / options.get("pathways", "sets.gmt")
        result = run("fit", cells, "-p", sets, *(part for pair in arguments.items() for part in pair))
        assert message in error_of(result, code), message
        assert sorted(folder.iterdir()) == before


def test_gene_sets_are_checked_before_a_value_is_read(files, monkeypatch):
    folder = files[0]

    def read(*_):
        raise AssertionError("cells were read")

    monkeypatch.setattr(Source, "block", read)
    fit = ["fit", folder / "cells.h5ad", "-o", folder / "out.h5ad", "-p"]
    (folder / "bad.gmt").write_text("one line without tabs\n")
    (folder / "other.gmt").write_text("set\t\tENSG00000141510\tENSG00000012048\n")
    assert "bad.gmt" in error_of(run(*fit, folder / "bad.gmt"))
    assert "Ensembl" in error_of(run(*fit, folder / "other.gmt"))
    assert "No pathway has 999 genes" in error_of(run(*fit, folder / "sets.gmt", "--min-genes", 999))
    result = run(*fit, folder / "sets.gmt")
    assert "cells were read" in str(result.exception)


def test_transform_needs_a_fit_and_shared_genes(files):
    folder, _, _, new = files
    out = folder / "scored.h5ad"
    given = ["transform", folder / "new.h5ad", "-o", out, "-r"]
    assert "reference: No fit under key 'pae'" in error_of(run(*given, folder / "cells.h5ad"))
    assert "nowhere.h5ad: no such file" in error_of(run(*given, folder / "nowhere.h5ad"), 4)
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
    assert "--overwrite" in error_of(run(*given), 4)
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


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "out.h5ad"), "No space left on device. Free some space"),
        (PermissionError(13, "Permission denied", "out.h5ad"), "Permission denied. Change its rights"),
        (RuntimeError("Unable to write (No space left on device)"), "Is the disk full?"),
        (MemoryError("Unable to allocate 3 GiB"), "not enough memory: Unable to allocate 3 GiB"),
    ],
)
@pytest.mark.parametrize("kind", [".h5ad", ".zarr"])
def test_a_failed_write_leaves_the_old_file_and_no_other(files, monkeypatch, error, said, kind):
    folder = files[0]
    out = folder / f"out{kind}"
    fit = ["fit", folder / f"cells{kind}", "-p", folder / "sets.gmt", "-o", out, "--overwrite"]
    if kind == ".zarr":
        files[1].write_zarr(folder / "cells.zarr")
    if out.suffix == ".zarr":
        out.mkdir()
        (out / "precious").write_text("precious")
        (out / ".zgroup").write_text("{}")
    else:
        out.write_text("precious")
    before = sorted(folder.iterdir())

    def fail(*_):
        raise error

    monkeypatch.setattr(ad.io, "write_elem", fail)
    assert said in error_of(run(*fit), 4)
    assert (out / "precious" if out.is_dir() else out).read_text() == "precious"
    assert sorted(folder.iterdir()) == before


def test_a_folder_without_rights_is_refused_before_any_work(files, monkeypatch):
    folder = files[0]
    monkeypatch.setattr("os.access", lambda *_: False)
    result = run("fit", folder / "nowhere.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad")
    assert "cannot be written to" in error_of(result, 4)


@pytest.mark.filterwarnings("default::pathwayae.DataWarning")
def test_strict_makes_a_warning_an_error(files):
    folder = files[0]
    fit = ["fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad", "--layer", "counts"]
    assert "raw counts" in error_of(run(*fit, "--strict"), 5)
    assert not (folder / "out.h5ad").exists()
    result = run(*fit, "--json")
    assert result.exit_code == 0
    assert "raw counts" in json.loads(result.stdout)["warnings"][0]


def test_an_interrupt_ends_with_130(files, monkeypatch):
    folder = files[0]
    before = sorted(folder.iterdir())

    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(ad.io, "write_elem", interrupt)
    result = run("fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", folder / "out.h5ad")
    assert "interrupted" in error_of(result, 130)
    assert sorted(folder.iterdir()) == before


def test_wrong_usage_has_exit_code_2():
    for arguments in [
        ["fit"],
        ["fit", "cells.h5ad", "--out", "out.h5ad"],
        ["transform", "new.h5ad"],
        ["fit", "cells.h5ad", "-p", "x", "-o", "o.h5ad", "--scores", "x"],
        ["fit", "cells.h5ad", "-p", "x", "-o", "o.h5ad", "--theta", "high"],
        ["fit", "cells.h5ad", "-p", "x", "-o", "o.h5ad", "--n-extra", "2.5"],
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
