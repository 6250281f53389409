"""A page as one HTML file that loads nothing."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from functools import cache
from importlib.metadata import version
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined, Template

from pathwayae._report.contents import Page

SCRIPT, STYLE, PAGE = "report.js", "report.css", "report.html.j2"


def html(page: Page) -> str:
    """The page, with style, script and pictures inside; names are escaped."""
    script, style = _text(SCRIPT), _text(STYLE)
    return _template().render(
        page=page,
        script=script,
        style=style,
        script_hash=_hash(script),
        style_hash=_hash(style),
        version=version("pathwayae"),
        today=date.today().isoformat(),
    )


def _text(name: str) -> str:
    return files("pathwayae._report").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """As a Content-Security-Policy names a text that may run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


@cache
def _template() -> Template:
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["base64"] = lambda data: base64.b64encode(data).decode()
    return environment.get_template(PAGE)
