"""Types of parameters as a reader would write them."""

from types import NoneType
from typing import Literal, get_args, get_origin

import numpy as np
from scanpydoc.elegant_typehints._formatting import typehints_formatter
from sphinx_autodoc_typehints import format_annotation


def shown(annotation, config):
    """An array without the shape of its tuple, array-like for all that NumPy takes as an array; the rest as it is."""
    if get_origin(annotation) is np.ndarray:
        return ":py:class:`~numpy.ndarray`"
    parts = get_args(annotation)
    if not any("numpy._typing" in str(part) for part in parts):
        return typehints_formatter(annotation, config)
    others = [part for part in parts if get_origin(part) is Literal or part is NoneType]
    return " | ".join(["array-like", *(format_annotation(part, config) for part in others)])
