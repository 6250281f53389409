"""The pages say what the code does: names and arguments exist, links lead somewhere, blocks of code run."""

import ast
import importlib.util
import inspect
import re
import warnings
from pathlib import Path

import pytest
from anndata import AnnData

import pathwayae as pae

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("pipelines/*.md"))]
RUN = ["README.md", "how_it_works.md", "migrating_peers.md", "verdicts.md"]
FOLDERS = r"core|tl|get|pl|docs|benchmarks|tutorials|models|_\w+|datasets"
MADE = {"tutorials", "benchmarks", "api", "project"}  # folders that docs/conf.py fills


def text_of(page):
    return page.read_text(encoding="utf-8")


def the_maker_of_api_pages():
    spec = importlib.util.spec_from_file_location("make_api", DOCS / "make_api.py")
    make_api = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_api)
    return make_api


def test_the_reference_has_every_public_function_under_a_heading():
    make_api = the_maker_of_api_pages()
    listed = set(re.findall(r"^   (\w+\.\w+)$", "\n".join(make_api.pages().values()), flags=re.MULTILINE))
    there = {f"{surface}.{name}" for surface in make_api.SURFACES for name in make_api.exported(surface)}
    assert listed == there
    assert len(there) > 100


def test_functions_and_folders_named_in_the_texts_exist():
    wrong = []
    for page in PAGES:
        text = text_of(page)
        for surface, name in re.findall(r"\bpae\.(tl|pp|pl|get|gs|datasets|models)\.(\w+)", text):
            wrong += [] if hasattr(getattr(pae, surface), name) else [(page.name, f"{surface}.{name}")]
        for path in re.findall(rf"(?<!\{{doc\}})`((?:{FOLDERS})/[\w./]*)`", text):
            there = (ROOT / "pathwayae" / path).exists() or (ROOT / path).exists()
            wrong += [] if there else [(page.name, path)]
    assert wrong == []


def test_arguments_named_in_the_texts_exist():
    """Calls in `code` are read: every keyword is a parameter."""
    wrong = []
    for page in PAGES:
        for call in re.findall(r"`(pae\.\w+\.\w+\([^`]*\))", text_of(page)):
            surface, name = call.split("(")[0].split(".")[1:]
            function = getattr(getattr(pae, surface), name)
            tree = ast.parse(re.sub(r"\s+", " ", call.replace("…", "...")), mode="eval").body
            while isinstance(tree.func, ast.Attribute) and isinstance(tree.func.value, ast.Call):
                tree = tree.func.value
            given = {one.arg for one in tree.keywords}
            wrong += [(page.name, call, given)] if given - set(inspect.signature(function).parameters) else []
    assert wrong == []


def test_links_lead_to_files():
    wrong = []
    for page in PAGES:
        text = re.sub(r"```.*?```", "", text_of(page), flags=re.DOTALL)
        links = re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)|\]\((?!https?:|doi:|mailto:)([^)\s]*:[^)\s]*)\)", text)
        links += [(name + ".md", "") for name in re.findall(r"\{doc\}`([^`<]+)`", text)]
        links += [(name + ".md", "") for name in re.findall(r":link: (\S+)", text)]
        for path, scheme in links:
            folder = path.split("/")[0]
            here = ROOT / path.replace(".md", ".ipynb") if folder == "tutorials" else page.parent / path
            known = here.exists() or (page.parent == DOCS and folder in MADE - {"tutorials"})
            wrong += [] if known and not scheme else [(page.name, path or scheme)]
    assert wrong == []


@pytest.mark.parametrize("name", RUN)
def test_code_of_the_pages_runs(name, cells_of_examples, tmp_path, monkeypatch):
    """Blocks of python, one after the other; ``adata`` is that of the examples, ``new`` are cells without a fit."""
    import matplotlib.pyplot as plt

    monkeypatch.chdir(tmp_path)
    page = ROOT / name if name == "README.md" else DOCS / name
    adata = cells_of_examples.copy()
    names = {"pae": pae, "adata": adata, "new": AnnData(adata.X[:50], adata.obs.iloc[:50, :3], adata.var.iloc[:, :0])}
    blocks = re.findall(r"^```python\n(.*?)^```", text_of(page), flags=re.MULTILINE | re.DOTALL)
    assert blocks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pae.DataWarning)  # of few cells
        for block in blocks:
            exec(compile(block, name, "exec"), names)
    plt.close("all")


def test_works_named_with_a_doi_are_among_the_references():
    doi = re.compile(r"\b10\.\d{4,5}/(?:\([^\s)]*\)|[^\s\]>;,)`}])+")
    listed = set(re.findall(r"doi = \{(.*)\}", text_of(DOCS / "references.bib")))
    pages = [*DOCS.glob("*.md"), *(ROOT / "pathwayae" / "tl").rglob("*.py")]
    named = {(page.name, one.rstrip(".")) for page in pages for one in doi.findall(text_of(page))}
    assert len(listed) > 40
    assert {one for one in named if one[1] not in listed} == set()
