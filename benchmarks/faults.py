"""What every writer leaves when it is stopped: signals, a disk that is full, a folder without rights, damaged input.

    python benchmarks/faults.py          # some minutes; writes benchmarks/faults.md

Every writer runs in a process of its own, beside an old file of its name. Signals come when all is written and nothing
is in its place yet; a full disk is a limit on the size of files (``ulimit -f``), a folder without rights one that is
read-only for a user without privileges (as root the case is left out).
"""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path

import h5py
import numpy as np

import pathwayae as pae

HERE = Path(__file__).parent
PRELUDE = """
import signal, sys, time, os
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup hides it from its children
import anndata as ad
import pathwayae as pae
from pathwayae.core import files
out = sys.argv[1]
here = os.path.dirname(os.path.dirname(out))
place = files._take_place
def slow(part, target):
    print("written", file=sys.stderr, flush=True)
    if "PAUSE" in os.environ:
        time.sleep(60)
    place(part, target)
files._take_place = slow
def cli(*words):
    from pathwayae.cli import main
    sys.argv = ["pathwayae", *words]
    main()
def fitted():
    return ad.read_h5ad(f"{here}/fitted.h5ad")
"""
FIT = 'cli("fit", f"{here}/cells.h5ad", "-p", f"{here}/sets.gmt", "-o", out, "--overwrite", "-q")'
WRITERS = {
    "pathwayae fit, h5ad": ("out.h5ad", FIT),
    "pathwayae fit, zarr": ("out.zarr", FIT),
    "pathwayae transform, zarr": (
        "out.zarr",
        'cli("transform", f"{here}/cells.h5ad", "-r", f"{here}/fitted.h5ad", "-o", out, "--scores-only",'
        ' "--overwrite", "-q")',
    ),
    "tl.transform(out=…), parquet": (
        "new.parquet",
        'pae.tl.transform(f"{here}/cells.h5ad", f"{here}/fitted.h5ad", out=out, progress=False)',
    ),
    "Moments.save": ("out.npz", "pae.pp.moments(fitted(), progress=False).save(out)"),
    "models.save": ("out.npz", "pae.models.save(fitted(), out)"),
    "to_gmt": ("out.gmt", 'pae.gs.read_gmt(f"{here}/sets.gmt").to_gmt(out)'),
    "pae.report": ("out.html", "pae.report(fitted(), out)"),
    "pl.loadings(save=…)": (
        "out.png",
        "import matplotlib; matplotlib.use('Agg'); pae.pl.loadings(fitted(), save=out, show=False)",
    ),
}
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGKILL")
LIMIT = 1024  # bytes


def main() -> None:
    """Run all, and write the tables."""
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        prepare(here)
        faults = [*SIGNALS, "full disk"] + ([] if os.geteuid() == 0 else ["read-only folder"])
        jobs = [(writer, fault) for writer in WRITERS for fault in faults]
        with ThreadPoolExecutor(2) as pool:
            rows = list(pool.map(lambda job: run(here, *job), jobs))
            damaged = list(pool.map(lambda job: read_damaged(here, job), DAMAGE))
    text = (
        __doc__.split("\n\n")[0]
        + f"\n*{date.today()}, by {'root' if os.geteuid() == 0 else 'a user without privileges'}: "
        + "`python benchmarks/faults.py`.*\n\n"
        + table(("writer", "fault", "exit code", "what it says", "old file", "left"), rows)
    )
    text += "\n" + table(("damage", "exit code", "what `pathwayae fit` says", "left"), damaged)
    (HERE / "faults.md").write_text("# Faults\n\n" + text, encoding="utf-8")


def prepare(here: Path) -> None:
    adata = pae.datasets.simulate(300, 400, 6)
    member = adata.varm["pathways"]
    pae.gs.as_collection({one: member.index[member[one]].tolist() for one in member}).to_gmt(here / "sets.gmt")
    adata.write_h5ad(here / "cells.h5ad")
    pae.tl.fit(adata, "pathways", progress=False)
    adata.write_h5ad(here / "fitted.h5ad")


def run(here: Path, writer: str, fault: str) -> tuple[str, ...]:
    """One writer that is stopped: how it ended, what it said, and what is left."""
    name, code = WRITERS[writer]
    folder = Path(tempfile.mkdtemp(dir=here))
    out = folder / name
    old = make_old(out)
    if fault == "read-only folder":
        folder.chmod(0o500)
    limit = (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))) if fault == "full disk" else None
    environment = os.environ | ({"PAUSE": "1"} if fault in SIGNALS else {})
    command = [sys.executable, "-c", PRELUDE + code, str(out)]
    with subprocess.Popen(command, stderr=-1, stdout=-1, text=True, env=environment, preexec_fn=limit) as process:
        said = []
        for line in process.stderr:
            said.append(line)
            if line == "written\n" and fault in SIGNALS:
                process.send_signal(getattr(signal, fault))
        exit_code = process.wait(120)
    folder.chmod(0o700)
    last = next((one for one in reversed(said) if one.strip() and one != "written\n"), "").strip()
    kept = "none before" if old is None else "stays" if old == content(out) else "LOST"
    left = [one for one in os.listdir(folder) if one != name]
    shutil.rmtree(folder)
    return (
        writer,
        fault,
        str(exit_code),
        shorter(last, here),
        kept,
        ", ".join(re.sub(r"\.\w+\.tmp", ".….tmp", one) for one in left),
    )


def make_old(out: Path) -> str | None:
    """An old file, or zarr; none where a writer replaces none."""
    if out.name.startswith("new"):
        return None
    if out.suffix == ".zarr":
        out.mkdir()
        (out / ".zgroup").write_text('{"zarr_format": 2}')
    else:
        out.write_text("old")
    return content(out)


def content(out: Path) -> str:
    return (out / ".zgroup" if out.is_dir() else out).read_text(errors="replace")


def shorter(line: str, here: Path) -> str:
    line = re.sub(rf"{here}/(tmp\w+/)?", "", line)
    return (line if len(line) < 200 else line[:200] + "…").replace("|", "\\|")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def decreasing(path: Path) -> None:
    with h5py.File(path, "r+") as root:
        root["X/indptr"][5] = 10**6


def outside(path: Path) -> None:
    with h5py.File(path, "r+") as root:
        root["X/indices"][7] = 10**6


def infinite(path: Path) -> None:
    with h5py.File(path, "r+") as root:
        root["X/data"][7] = np.inf


def linked(path: Path) -> None:
    with h5py.File(path, "r+") as root:
        del root["X/data"]
        root["X/data"] = h5py.ExternalLink("/etc/passwd", "X/data")


def page(path: Path) -> None:
    path.write_text("<!DOCTYPE html>")


DAMAGE = {"cut in half": cut, "rows that decrease": decreasing, "a gene outside": outside}
DAMAGE |= {"an infinite value": infinite, "a link into another file": linked, "a web page": page}


def read_damaged(here: Path, damage: str) -> tuple[str, ...]:
    folder = Path(tempfile.mkdtemp(dir=here))
    shutil.copy(here / "cells.h5ad", folder / "cells.h5ad")
    DAMAGE[damage](folder / "cells.h5ad")
    command = [sys.executable, "-m", "pathwayae", "fit", folder / "cells.h5ad", "-p", here / "sets.gmt"]
    done = subprocess.run([*command, "-o", folder / "out.h5ad"], capture_output=True, text=True, check=False)
    left = [one for one in os.listdir(folder) if one != "cells.h5ad"]
    return damage, str(done.returncode), shorter(done.stderr.strip().split("\n")[-1], here), ", ".join(left)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join("| " + " | ".join(one) + " |\n" for one in lines)


if __name__ == "__main__":
    main()
