"""Options of ``pae.tl.fit`` in one dictionary, the rare ones among them gathered in their settings."""

from dataclasses import fields
from typing import Any

import pathwayae as pae

RARE = {field.name for field in fields(pae.tl.FitSettings)}


def gathered(options: dict[str, Any]) -> dict[str, Any]:
    """The same as ``pae.tl.fit`` takes it."""
    rare = {name: value for name, value in options.items() if name in RARE}
    plain = {name: value for name, value in options.items() if name not in RARE}
    return plain | ({"settings": pae.tl.FitSettings(**rare)} if rare else {})
