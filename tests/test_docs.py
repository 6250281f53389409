"""Pages that are made from the code say what it says."""

import importlib.util
import re
from pathlib import Path

import pathwayae as pae

ROOT = Path(__file__).parents[1]


def test_the_page_of_public_functions_is_up_to_date():
    spec = importlib.util.spec_from_file_location("make_api", ROOT / "docs" / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    assert (ROOT / "docs" / "api.md").read_text(encoding="utf-8") == make_api.page(), "run python docs/make_api.py"


def test_functions_and_folders_named_in_the_texts_exist():
    wrong = []
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for surface, name in re.findall(r"\bpae\.(tl|pp|pl|get|gs|datasets|models)\.(\w+)", text):
            wrong += [] if hasattr(getattr(pae, surface), name) else [(page.name, f"{surface}.{name}")]
        for path in re.findall(r"`((?:core|tl|get|pl|docs|benchmarks|tutorials|models|_\w+|datasets)/[\w./]*)`", text):
            there = (ROOT / "pathwayae" / path).exists() or (ROOT / path).exists()
            wrong += [] if there else [(page.name, path)]
    assert wrong == []
