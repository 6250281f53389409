"""Kinds of values that an annotation names: whether a value is of one, and what messages call it."""

from __future__ import annotations

import ast
import math
import numbers
import os
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import numpy as np

Kind = tuple[str, tuple[Any, ...]]  # the name of a type, and what stands in its brackets

LISTS = {"Sequence", "Iterable", "Collection", "tuple", "list"}
CLASSES = {  # of other packages and of this one, known by name: nothing is imported to tell them
    "AnnData": "an AnnData",
    "Axes": "a matplotlib Axes",
    "Colormap": "a matplotlib Colormap",
    "Normalize": "a matplotlib Normalize",
    "DataFrame": "a pandas DataFrame",
    "Moments": "moments of pae.pp.moments",
    "Sketch": "a sketch of pae.pp.moments",
    "FitSettings": "pae.tl.FitSettings(…)",
    "SparseAESettings": "pae.tl.SparseAESettings(…)",
    "ArchetypesSettings": "pae.tl.ArchetypesSettings(…)",
    "GeneSetCollection": "a pae.gs.GeneSetCollection",
    "Hierarchy": "a pae.gs.Hierarchy",
    "Ontology": "an ontology of pae.gs.read_obo",
    "Annotations": "annotations of pae.gs.read_gaf or read_annotations",
}
WORDS = {
    "None": "None",
    "bool": "True or False",
    "int": "an integer",
    "float": "a number",
    "str": "text",
    "PathLike": "a path",
    "Path": "a path",
    "Mapping": "a dict",
    "dict": "a dict",
    "NDArray": "an array",
    "range": "a range",
}


def what(value: Any, kinds: tuple[Kind, ...]) -> str:
    """What a value is; of a list the first entry that is wrong, or its length."""
    lists = [inside for head, inside in kinds if head in LISTS and len(inside) > 1 and inside[1]]
    if not isinstance(value, list | tuple) or not lists:
        return type(value).__name__
    length, *parts = lists[0]
    if length and len(value) != length:
        return f"a {type(value).__name__} of {len(value)}"
    each = parts if length else parts[:1] * len(value)
    wrong = [
        one for part, one in zip(each, value, strict=True) if not any(is_of(one, kind, empty=False) for kind in part)
    ]
    return f"a {type(value).__name__} with {shown(wrong[0])} ({type(wrong[0]).__name__})" if wrong else "this"


def shown(value: Any) -> str:
    """A value as messages show it: short, in one line."""
    plain: Any = bool | numbers.Number | str | bytes | os.PathLike | None
    if isinstance(value, list | tuple) and not all(isinstance(one, plain | list | tuple | dict) for one in value):
        return f"<{type(value).__name__} of {len(value)}>"
    if isinstance(value, plain | list | tuple | dict):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:79]}…"
    return f"<{type(value).__name__}>"


def kinds_of(annotation: str, names: Mapping[str, Any]) -> tuple[Kind, ...]:
    """Kinds of values that an annotation names; none where it leaves anything open."""
    kinds = tuple(_parsed(ast.parse(annotation, mode="eval").body, names))
    return () if any(head == "" for head, _ in kinds) else kinds


def _parsed(node: ast.expr, names: Mapping[str, Any]) -> Iterator[Kind]:
    if isinstance(node, ast.BinOp):
        yield from _parsed(node.left, names)
        yield from _parsed(node.right, names)
        return
    inside: list[ast.expr] = []
    if isinstance(node, ast.Subscript):
        inside = list(node.slice.elts) if isinstance(node.slice, ast.Tuple) else [node.slice]
        node = node.value
    head = ast.unparse(node).split(".")[-1]
    if head == "Literal":
        for one in inside:
            yield "Literal", (ast.literal_eval(one),)
    elif head == "Union":
        for one in inside:
            yield from _parsed(one, names)
    elif head in LISTS:
        fixed = head == "tuple" and not (inside and ast.unparse(inside[-1]) == "...")
        parts = tuple(tuple(_parsed(one, names)) for one in inside if ast.unparse(one) != "...")
        yield head, (len(parts) if fixed else 0, *parts)
    elif head == "NoneType":
        yield "None", ()
    elif head in WORDS or head in CLASSES:
        yield head, ()
    elif alias := _alias(ast.unparse(node), names):
        yield from _parsed(ast.parse(alias, mode="eval").body, names)
    else:
        yield "", ()


def _alias(dotted: str, names: Mapping[str, Any]) -> str:
    """What a union or a choice stands for that a module has a name for; empty for any other name."""
    first, *rest = dotted.split(".")
    found = names.get(first)
    for one in rest:
        found = getattr(found, one, None)
    if isinstance(found, str):
        return found
    return repr(found) if getattr(found, "__args__", None) else ""


def is_of(value: Any, kind: Kind, *, empty: bool) -> bool:
    """Whether a value is of a kind."""
    head, inside = kind
    if head in LISTS:
        return _is_list(value, inside, empty=empty)
    if head in CLASSES:
        return any(one.__name__ == head for one in type(value).__mro__)
    if head == "Literal":
        return type(value) is type(inside[0]) and value == inside[0]
    if head == "int":
        return isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if head == "float":
        return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
    if head == "NDArray":
        return _is_array(value) and (empty or len(value) > 0)
    types: Any = {
        "None": type(None),
        "bool": bool | np.bool_,
        "str": str,
        "PathLike": os.PathLike,
        "Path": os.PathLike,
        "Mapping": Mapping,
        "dict": Mapping,
        "range": range,
    }
    return isinstance(value, types[head])


def _is_list(value: Any, inside: tuple[Any, ...], *, empty: bool) -> bool:
    """Whether a value is a list of what its kind says; an iterator is not read."""
    if isinstance(value, str | bytes | Mapping) or not hasattr(value, "__iter__") or hasattr(value, "columns"):
        return False
    if not hasattr(value, "__len__"):
        return True  # an iterator, which can be read once
    length, *parts = inside or (0,)
    if len(value) == 0 and not empty:
        return False
    if length and len(value) != length:
        return False
    if not parts:
        return True
    each = parts if length else parts[:1] * len(value)
    return all(
        any(head == "" or is_of(one, (head, rest), empty=empty) for head, rest in kinds)
        for kinds, one in zip(each, value, strict=True)
    )


def _is_array(value: Any) -> bool:
    """Whether a value is an array, or a list that is one."""
    if not isinstance(value, list | tuple):
        return hasattr(value, "__array__") and np.ndim(value) > 0
    try:
        array = np.asarray(value)
    except ValueError:  # of lists of several lengths
        return False
    return array.dtype.kind in "biuf" or (array.dtype.kind == "U" and array.ndim == 1)


def is_empty_list(value: Any) -> bool:
    """Whether a value is a list, or the like, of nothing."""
    return isinstance(value, Sized) and not isinstance(value, str | bytes | Mapping) and len(value) == 0


def is_unknown_word(value: Any, kinds: tuple[Kind, ...]) -> bool:
    """Whether a value has the type of the choices and is none of them."""
    return any(head == "Literal" and type(value) is type(inside[0]) for head, inside in kinds)


def choices(kinds: tuple[Kind, ...]) -> list[str]:
    """All that a choice can be, in the order of its annotation."""
    each = {"bool": ["True", "False"]}
    return [text for kind in kinds for text in each.get(kind[0], [word(kind)])]


def word(kind: Kind) -> str:
    """What messages call a kind."""
    head, inside = kind
    if head == "Literal":
        return repr(inside[0])
    if head not in LISTS:
        return WORDS.get(head) or CLASSES.get(head, head)
    length, *parts = inside or (0,)
    plural = {"a number": "numbers", "an integer": "integers", "text": "text", "a matplotlib Axes": "Axes"}
    of = joined([plural.get(word(one), word(one)) for one in parts[0]]) if parts and parts[0] else "values"
    return f"{length} {of}" if length else f"a list of {of}"


def joined(words: list[str]) -> str:
    """Words with commas and an ``or``, each once."""
    words = list(dict.fromkeys(words))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
