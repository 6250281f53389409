"""Options and help."""

import dataclasses
import inspect
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runs import run

import pathwayae as pae
from pathwayae import cli
from pathwayae.cli import _run
from pathwayae.cli._options import EXIT_CODES

# No options: the cells themselves, of which a file has one modality; what --normalize stands for; bars for people; and
# settings, which are options each.
ELSEWHERE = {"adata", "mod", "moments", "copy", "progress", "settings"}
TOOLS = {"fit": pae.tl.fit, "transform": pae.tl.transform, "stability": pae.tl.stability}
TOOLS |= {"relevance": pae.tl.relevance, "refine": pae.tl.refine, "enrich": pae.tl.enrich}
TOOLS |= {"rank": pae.tl.rank_pathways}
EMPTY = {"groups": "all", "covariates": ()}  # options that repeat are None where not given, which stands for these


def options(function):
    """Option → default of a tool, with those of its settings."""
    found = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    if "settings" in found:
        found |= {one.name: one.default for one in dataclasses.fields(pae.tl.FitSettings)}
    return {name: default for name, default in found.items() if name not in ELSEWHERE}


def command(name):
    return next(one for one in cli.COMMANDS if one.__name__ == name)


@pytest.mark.parametrize("name", list(TOOLS))
def test_no_option_of_a_tool_is_forgotten_and_defaults_are_the_same(name):
    offered = inspect.signature(command(name)).parameters
    for option, default in options(TOOLS[name]).items():
        assert option in offered, f"{name} has no --{option.replace('_', '-')}"
        if default is not inspect.Parameter.empty and option != "out":
            given = offered[option].default
            assert default in ((given, EMPTY.get(option)) if given is None else (given,)), option


def test_every_command_has_the_options_of_pipelines():
    for one in cli.COMMANDS:
        names = set(inspect.signature(one).parameters)
        if one.__name__ not in ("demo", "datasets"):
            assert {"as_json", "strict", "overwrite", "quiet", "out"} <= names, one.__name__
        if one.__name__ in TOOLS:
            assert {"tables", "table_format"} <= names


def test_help_has_an_example_and_the_exit_codes():
    for name in [[], *([one.__name__] for one in cli.COMMANDS)]:
        result = run(*name, "--help")
        assert result.exit_code == 0
        example = " ".join(["  pathwayae", *name])
        assert any(line.startswith("  " + example) for line in result.stdout.splitlines()), name
        assert "Exit codes: 0 done; 1 unexpected error" in " ".join(result.stdout.split())


def test_documented_exit_codes_are_those_of_the_code():
    said = {int(code) for code in re.findall(r"(\d+) ", EXIT_CODES)}
    assert said == {0, 1, 2, _run.DOES_NOT_FIT, _run.FILES, _run.WARNED, _run.INTERRUPTED, _run.KILLED + signal.SIGTERM}
    page = (Path(__file__).parents[2] / "docs" / "pipelines" / "README.md").read_text(encoding="utf-8")
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", page, flags=re.MULTILINE)} == said


def test_completion_is_offered():
    assert "--show-completion" in run("--help").stdout


def test_version():
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout == f"pathwayae {pae.__version__}\n"


def test_help_loads_nothing_heavy():
    heavy = ["torch", "scanpy", "anndata", "matplotlib", "pandas", "numpy"]
    code = f"import sys, pathwayae.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]"
