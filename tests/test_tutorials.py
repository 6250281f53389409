"""Every tutorial runs in full, and its stored outputs are there and clean."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parents[1] / "tutorials"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
LARGEST = 1_500_000  # bytes
TIMEOUT = 600  # seconds per cell

every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def kinds(cell):
    """What a cell shows: pictures and values; text that is printed may be a progress bar."""
    return [output.output_type for output in cell.outputs if output.output_type != "stream"]


def texts(cell):
    for output in cell.outputs:
        yield output.get("text", "")
        yield from (value for name, value in output.get("data", {}).items() if name.startswith("text/"))


def test_there_are_tutorials():
    assert NOTEBOOKS


@every_notebook
def test_stored_outputs_are_complete_small_and_clean(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert path.stat().st_size < LARGEST
    assert notebook.metadata.kernelspec.name == "python3"
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert any("image/png" in output.get("data", {}) for cell in cells for output in cell.outputs)
    for cell in cells:
        assert "execution" not in cell.metadata
        assert all(output.output_type != "error" for output in cell.outputs)
        assert all(output.get("name") != "stderr" for output in cell.outputs)
        for text in texts(cell):
            assert not re.search(r"(^|[\s'\"(])(/[\w.-]+){2,}|[A-Z]:\\|Warning", text), text


@pytest.mark.slow
@every_notebook
def test_it_runs_and_shows_what_is_stored(path, tmp_path, request):
    stored = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    environment = {}
    if stored.metadata.get("pathwayae", {}).get("needs") == "real":
        environment["PATHWAYAE_DATA"] = str(request.getfixturevalue("real_data"))
    fresh = nbformat.from_dict({**stored, "cells": [cell.copy() for cell in stored.cells]})
    for cell in code_cells(fresh):
        cell.outputs = []
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        NotebookClient(fresh, timeout=TIMEOUT, kernel_name="python3", resources=resources).execute()
    assert [kinds(cell) for cell in code_cells(fresh)] == [kinds(cell) for cell in code_cells(stored)]
