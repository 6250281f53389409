"""The command in a process of its own: entry points, and what is left when it is killed."""

import os
import signal
import subprocess
import sys

import pytest

FIT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell turns off for what runs in the background
import anndata as ad
from pathwayae.cli import main
write = ad.io.write_elem
def slow(root, name, value, **options):
    write(root, name, value, **options)
    print("writing", file=sys.stderr, flush=True)
    time.sleep(60)
ad.io.write_elem = slow
main()
"""


def test_the_module_runs(tmp_path):
    command = [sys.executable, "-m", "pathwayae", "fit", tmp_path / "no.h5ad", "-p", "x.gmt", "-o", tmp_path / "o.h5ad"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 4
    assert done.stderr == f"error: {tmp_path / 'no.h5ad'}: no such file.\n"
    assert done.stdout == ""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "left"), [(signal.SIGKILL, -9, 1), (signal.SIGTERM, 143, 0), (signal.SIGINT, 130, 0)]
)
def test_a_run_killed_while_writing_leaves_no_output(files, sent, code, left):
    folder = files[0]
    out = folder / "out.h5ad"
    out.write_text("precious")
    command = [sys.executable, "-c", FIT, "fit", folder / "cells.h5ad", "-p", folder / "sets.gmt", "-o", out]
    with subprocess.Popen([*command, "--overwrite"], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line == "writing\n":
                break
        process.send_signal(sent)
        process.stderr.read()
        assert process.wait(timeout=60) == code
    assert out.read_text() == "precious"
    hidden = [name for name in os.listdir(folder) if name.startswith(".")]
    assert len(hidden) == left
    assert all(name.startswith(".out.") and name.endswith(".tmp") for name in hidden)
