"""Fixtures shared by all tests."""

from __future__ import annotations

import os
from pathlib import Path

import matplotlib as mpl
import pytest

mpl.use("Agg")

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with ``cells/`` and ``genesets/``: ``$PATHWAYAE_DATA``, by default ``../shared/data``."""
    folder = Path(os.environ.get("PATHWAYAE_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found in {folder}; set PATHWAYAE_DATA to the folder that holds them")
    return folder


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    """Progress bars as on a terminal."""
    monkeypatch.setattr("pathwayae._progress.watched", lambda: True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip tests marked ``gpu`` where there is no CUDA device."""
    gpu = [item for item in items if item.get_closest_marker("gpu")]
    if gpu:
        import torch

        if not torch.cuda.is_available():
            for item in gpu:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))
