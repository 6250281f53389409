"""What the repository says beside the code: one version, one list of dependencies, workflows that run what CI runs."""

import ast
import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
pytestmark = pytest.mark.skipif(not GITHUB.is_dir(), reason="not a checkout of the repository")


@pytest.fixture(scope="module")
def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_version_is_the_same_everywhere(project):
    for place in ("CITATION.cff", ".github/scverse/meta.yaml", ".github/conda/meta.yaml"):
        text = (ROOT / place).read_text(encoding="utf-8")
        found = re.search(r'^(?:\{% set )?version(?::| =) "?([\w.]+)"?', text, flags=re.MULTILINE)
        assert found[1] == project["version"], place


def test_the_recipe_needs_what_the_package_needs(project):
    recipe = (GITHUB / "conda/meta.yaml").read_text(encoding="utf-8").split("  run:\n")[1].split("  run_constrained")[0]
    other = {"matplotlib-base": "matplotlib", "pytorch": "torch"}
    found = {other.get(name, name) + bound for name, bound in re.findall(r"- ([\w-]+) (>=[\d.]+)", recipe)}
    assert found == set(project["dependencies"])


def test_actions_are_pinned_by_hash():
    for workflow in (GITHUB / "workflows").glob("*.yml"):
        used = re.findall(r"uses: (\S+)(.*)", workflow.read_text(encoding="utf-8"))
        assert used, workflow.name
        for action, comment in used:
            assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action


def test_the_workflow_runs_what_ci_runs():
    workflow = (GITHUB / "workflows/test.yml").read_text(encoding="utf-8")
    for command in (
        "ruff check .",
        "ruff format --check .",
        "bin/mypy",
        "bin/sphinx-build",
        "-m build",
        "bash .ci/check_wheel",
        ".ci/floors",
        "sphinx-build -q -W --keep-going docs docs/_build/html",
    ):
        assert command in (ROOT / ".ci/run").read_text(encoding="utf-8"), command
        assert command in workflow, command


def test_what_benchmarks_and_pages_import_from_the_package_is_there():
    asked = {
        (node.module, name.name, path.name)
        for folder in ("benchmarks", "docs")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pathwayae")
        for name in node.names
    }
    assert len(asked) > 20
    missing = [
        (module, name, path)
        for module, name, path in asked
        if not hasattr(importlib.import_module(module), name) and not importlib.util.find_spec(f"{module}.{name}")
    ]
    assert missing == []
