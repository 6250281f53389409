"""Write ``docs/api.md``: every public function with its parameters and defaults, from the signatures themselves.

python docs/make_api.py
"""

import importlib
import inspect
import re
from pathlib import Path

PAGE = Path(__file__).with_name("api.md")
SURFACES = {
    "gs": "Gene sets",
    "pp": "One pass over the cells",
    "tl": "Tools",
    "get": "Tables",
    "pl": "Plots",
    "datasets": "Data",
    "models": "Estimators on plain arrays",
}
INTRODUCTION = """# All public functions

Made by `python docs/make_api.py`; a test checks that it is up to date. `*` stands before parameters that must be named.
What a parameter means is said by `help(pae.tl.fit)` and the like.
"""


def shown(function):
    """The signature without annotations."""
    parts, star = [], False
    for one in inspect.signature(function).parameters.values():
        if one.name == "self":
            continue
        if one.kind is one.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(one.name if one.default is one.empty else f"{one.name}={one.default!r}")
    return ", ".join(parts)


def first_line(function):
    text = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return re.sub(r":\w+:`~?(?:pathwayae\.)?([^`]+)`", r"`\1`", " ".join(text.split())).replace("|", "\\|")


def entry(name, one):
    return f"**`{name}`** `({shown(one)})`  \n{first_line(one)}"


def page():
    lines = [INTRODUCTION]
    for surface, title in SURFACES.items():
        module = importlib.import_module(f"pathwayae.{surface}")
        lines += [f"## {title}: `pae.{surface}`", ""]
        for name in module.__all__:
            one = getattr(module, name)
            if callable(one) and (inspect.isfunction(one) or inspect.isclass(one)):
                lines += [entry(name, one), ""]
    lines += [
        "## One page of a fit: `pae.report`",
        "",
        entry("report", importlib.import_module("pathwayae").report),
        "",
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
