"""Progress bars are for who watches: in a log they would be lines of nothing."""

from __future__ import annotations

import io
import sys

import pytest

import pathwayae as pae
from pathwayae import _progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Notebook(io.StringIO):  # as ipykernel.iostream.OutStream, which says that it is no terminal
    pass


Notebook.__module__ = "ipykernel.iostream"


def test_a_bar_counts_what_is_iterated_over(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert list(_progress.bar("squares", "numbers", 3, progress=True, items=range(3))) == [0, 1, 2]
    shown = sys.stderr.getvalue()
    assert "squares" in shown
    assert "0/3" in shown
    assert shown.rstrip(" ").endswith("\r")  # gone when it is done


@pytest.mark.parametrize(("stream", "seen"), [(Terminal, True), (Notebook, True), (io.StringIO, False)])
def test_bars_are_shown_to_terminals_and_notebooks_alone(stream, seen: bool, monkeypatch) -> None:
    cells = pae.datasets.simulate(120, 150, 3)
    monkeypatch.setattr(sys, "stderr", stream())
    pae.tl.fit(cells, "pathways")
    assert ("cells" in sys.stderr.getvalue()) == seen
    monkeypatch.setattr(sys, "stderr", stream())
    pae.tl.fit(cells, "pathways", progress=False)
    assert not sys.stderr.getvalue()


def test_a_program_without_standard_error_needs_no_bar(monkeypatch) -> None:
    monkeypatch.setattr(sys, "stderr", None)  # as under pythonw
    assert list(_progress.bar("squares", "numbers", progress=True, items=[1])) == [1]
