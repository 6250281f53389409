"""The pages of the API reference, one per module, made of what the package exports; ``conf.py`` writes them."""

import importlib
import inspect
from pathlib import Path

SURFACES = {
    "gs": "Gene sets",
    "pp": "One pass over the cells",
    "tl": "Tools",
    "get": "Tables",
    "pl": "Plots",
    "datasets": "Data",
    "models": "Estimators and saved models",
}
# Headings of the functions and classes of a module, by the folder in which they are written.
HEADINGS = {
    "_grouped": "Pathways",
    "_contrasts": "Every model",
    "": "Every model",
    "_sparse_ae": "Sparse autoencoder",
    "_archetypes": "Archetypes",
    "_genesets": "Gene sets",
}
BY_MODEL = ("tl", "get", "pl")
INDEX = """# API reference

```python
import pathwayae as pae
```

A tool of `pae.tl` writes into the slots of an AnnData, the function of the same name in `pae.get` reads its table, that
in `pae.pl` draws it. Tools change `adata` and return `None`; with `copy=True` they return a changed copy.

{table}

```{{toctree}}
:hidden:

{pages}
report
```
"""


def exported(surface):
    """Names of functions and classes of a module, with the objects."""
    module = importlib.import_module(f"pathwayae.{surface}")
    found = {name: getattr(module, name) for name in module.__all__}
    return {name: one for name, one in found.items() if inspect.isfunction(one) or inspect.isclass(one)}


def parts(surface):
    """The names under each heading, headings in order."""
    under = {heading: [] for heading in HEADINGS.values()}
    for name, one in sorted(exported(surface).items(), key=lambda item: inspect.isclass(item[1])):
        folder = next((part for part in one.__module__.split(".") if part in HEADINGS), "")
        under[HEADINGS[folder]].append(name)
    return {heading: names for heading, names in under.items() if names}


def autosummary(names):
    rows = "\n".join(f"   {name}" for name in names)
    return (
        "```{eval-rst}\n.. currentmodule:: pathwayae\n\n"
        f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{rows}\n```\n"
    )


def page(surface):
    module = importlib.import_module(f"pathwayae.{surface}")
    lines = [f"# {SURFACES[surface]}: `pae.{surface}`\n", f"{inspect.getdoc(module)}\n"]
    if surface in BY_MODEL:
        for heading, names in parts(surface).items():
            lines += [f"## {heading}\n", autosummary(f"{surface}.{name}" for name in names)]
    else:
        lines.append(autosummary(f"{surface}.{name}" for name in exported(surface)))
    return "\n".join(lines)


def pages():
    """Text of every page by the name of its file."""
    rows = ["| module | what is in it |", "| --- | --- |"]
    for surface, title in SURFACES.items():
        doc = inspect.getdoc(importlib.import_module(f"pathwayae.{surface}")).partition("\n\n")[0]
        rows.append(f"| [`pae.{surface}`]({surface}.md) | {title}. {' '.join(doc.split())} |")
    rows.append("| [`pae.report`](report.md) | Everything that was asked of a fit, as one page of HTML. |")
    made = {"index.md": INDEX.format(table="\n".join(rows), pages="\n".join(SURFACES))}
    made |= {f"{surface}.md": page(surface) for surface in SURFACES}
    made["report.md"] = "# One page of a fit, and warnings\n\n" + autosummary(["report", "DataWarning"])
    return made


def write(folder):
    """Write pages that changed, so that a second build reads only what is new."""
    folder.mkdir(exist_ok=True)
    for name, text in pages().items():
        path = folder / name
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(__file__).with_name("api"))
